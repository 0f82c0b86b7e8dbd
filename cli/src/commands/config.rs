//! `foundry config`: configurations as files.

use crate::failure::Failure;
use crate::terminal::{out, out_json, say, write_new};
use foundry_models::config::ConfigError;
use foundry_models::config::migrate::{Migrated, migrate};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Print a configuration of the original system in today's words, with its comments.
    Migrate(MigrateArgs),
}

#[derive(clap::Args)]
struct MigrateArgs {
    /// The old configuration; it is not changed.
    config: PathBuf,
    /// Write the new one to a file instead of standard output; a file that is there is left alone.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print the new text, and what was changed and dropped, as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    match &args.command {
        Command::Migrate(args) => run_migrate(args),
    }
}

fn run_migrate(args: &MigrateArgs) -> Result<ExitCode, Failure> {
    let new = migrate(&read(&args.config)?, &args.config.display().to_string())?;
    if let Some(path) = &args.output {
        write_new(path, &new.yaml)?;
    }
    let words = |error: &Option<ConfigError>| error.as_ref().map(ToString::to_string);
    if args.json {
        out_json(&json!({
            "yaml": new.yaml,
            "changes": new.changes,
            "dropped": new.dropped,
            "kept_comments": new.kept_comments,
            "invalid": words(&new.invalid),
            "refused_here": words(&new.refused_here),
        }))?;
    } else if args.output.is_none() {
        out(new.yaml.trim_end())?;
    }
    tell(&new);
    match new.invalid {
        None => Ok(ExitCode::SUCCESS),
        Some(error) => {
            Err(Failure::usage(format!("the new configuration is not valid yet\n{error}")))
        }
    }
}

fn tell(new: &Migrated) {
    if new.changes.is_empty() && new.dropped.is_empty() {
        say("nothing in it is old: it is printed as it is");
    }
    new.changes.iter().for_each(|change| say(format_args!("changed  {change}")));
    new.dropped.iter().for_each(|dropped| say(format_args!("dropped  {dropped}")));
    if !new.kept_comments {
        say("comments are lost: the file is not laid out one key a line");
    }
    if let Some(error) = &new.refused_here {
        say(format_args!("valid, but not here and now:\n{error}"));
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let bytes = std::fs::read(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            let tried = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            ConfigError::NotFound { path: path.to_owned(), tried }
        }
        _ => ConfigError::Unreadable { path: path.to_owned(), source: e },
    })?;
    let not_utf8 = |e: std::string::FromUtf8Error| ConfigError::NotUtf8 {
        path: path.to_owned(),
        byte: e.utf8_error().valid_up_to(),
    };
    Ok(String::from_utf8(bytes).map_err(not_utf8)?)
}
