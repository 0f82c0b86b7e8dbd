//! `foundry validate-config`.

use crate::failure::{Failure, overrides};
use crate::terminal::{out, out_json, say};
use foundry_models::config::{Config, Problem};
use foundry_models::data::manipulate::Step;
use foundry_models::error::Error;
use foundry_models::pipeline::inputs;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration.
    config: PathBuf,
    /// Change a field of the configuration; may be given several times.
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let config = Config::load(&args.config, &overrides(&args.set)?).map_err(Error::from);
    let config = match config.and_then(|c| Step::of_config(&c).map(|_| c).map_err(Error::from)) {
        Ok(config) => config,
        Err(error) => {
            if args.json {
                let problems = match &error {
                    Error::Config(error) => error.problems(),
                    _ => &[],
                };
                out_json(&json!({
                    "valid": false,
                    "error": error.to_string(),
                    "problems": problems.iter().map(problem).collect::<Vec<_>>(),
                }))?;
            }
            return Err(error.into());
        }
    };
    let missing = inputs(&config).into_iter().filter_map(|input| input.check().err());
    let warnings: Vec<_> = missing.map(|e| e.to_string()).collect();
    for warning in &warnings {
        say(format_args!("warning: {warning}"));
    }
    if args.json {
        out_json(&json!({
            "valid": true,
            "experiment_name": config.experiment_name,
            "architecture": config.model.architecture().to_string(),
            "vocab_size": config.tokenizer.vocab_size,
            "warnings": warnings,
        }))?;
    } else {
        out(format_args!("{}: valid", args.config.display()))?;
        out(format_args!("  experiment    {}", config.experiment_name))?;
        out(format_args!("  architecture  {}", config.model.architecture()))?;
        out(format_args!("  vocabulary    {} at most", config.tokenizer.vocab_size))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A problem for programs: where it is, what is wrong, how to mend it.
fn problem(problem: &Problem) -> Value {
    let place = problem.places.first();
    let position = place.and_then(|place| place.position);
    json!({
        "field": problem.field,
        "message": problem.message,
        "help": problem.help,
        "source": place.map(|place| &place.source),
        "line": position.map(|(line, _)| line),
        "column": position.map(|(_, column)| column),
    })
}
