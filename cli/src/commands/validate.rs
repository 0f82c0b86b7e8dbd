//! `foundry validate-config`.

use crate::failure::{Failure, load_config};
use crate::terminal::{out, out_json, say};
use foundry_models::config::Corpus;
use serde_json::json;
use std::path::{Path, PathBuf};
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
    let config = load_config(&args.config, &args.set)?;
    let missing = |path: &Path| {
        (!path.exists()).then(|| {
            let tried = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            format!("{} is not there (tried {})", path.display(), tried.display())
        })
    };
    let warning = match &config.data.corpus {
        Corpus::Files(path) => missing(path),
        Corpus::Synthetic(s) => missing(&s.grammar),
    };
    if let Some(warning) = &warning {
        say(format_args!("warning: {warning}"));
    }
    if args.json {
        out_json(&json!({
            "valid": true,
            "experiment_name": config.experiment_name,
            "architecture": config.model.architecture().to_string(),
            "vocab_size": config.tokenizer.vocab_size,
            "warnings": warning.into_iter().collect::<Vec<_>>(),
        }))?;
    } else {
        out(format_args!("{}: valid", args.config.display()))?;
        out(format_args!("  experiment    {}", config.experiment_name))?;
        out(format_args!("  architecture  {}", config.model.architecture()))?;
        out(format_args!("  vocabulary    {} at most", config.tokenizer.vocab_size))?;
    }
    Ok(ExitCode::SUCCESS)
}
