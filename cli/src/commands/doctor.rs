//! `foundry doctor`: is this machine fit to train on?

use crate::failure::Failure;
use crate::terminal::{out, out_json};
use foundry_models::doctor::{Verdict, examine, examine_config};
use foundry_models::pipeline::CACHE_FOLDER;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A configuration: is it valid, and are the files there that it names?
    config: Option<PathBuf>,
    /// The folder in which runs are to be written; its disk is tried out.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut findings = examine(&args.dir, Path::new(CACHE_FOLDER));
    findings.extend(args.config.iter().flat_map(|path| examine_config(path)));
    let problems = findings.iter().filter(|f| f.verdict == Verdict::Problem).count();
    if args.json {
        let version = env!("CARGO_PKG_VERSION");
        out_json(&json!({ "version": version, "problems": problems, "findings": findings }))?;
    } else {
        out(concat!("foundry ", env!("CARGO_PKG_VERSION")))?;
        for f in &findings {
            let verdict = match f.verdict {
                Verdict::Ok => "ok",
                Verdict::Note => "note",
                Verdict::Problem => "PROBLEM",
            };
            out(format_args!("{:<22} {verdict:<8} {}", f.what, f.found))?;
            if !f.mend.is_empty() {
                out(format_args!("{:<31} mend: {}", "", f.mend))?;
            }
        }
    }
    Ok(if problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
