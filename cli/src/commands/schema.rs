//! `foundry schema`: what a configuration can say, for editors.

use crate::failure::Failure;
use crate::terminal::out_json;
use foundry_models::config::schema::json_schema;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<ExitCode, Failure> {
    out_json(&json_schema())?;
    Ok(ExitCode::SUCCESS)
}
