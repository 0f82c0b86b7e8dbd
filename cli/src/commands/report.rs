//! `foundry report`: a run as one page.

use crate::failure::Failure;
use crate::terminal::{out, out_json, say, write_new};
use foundry_models::error::Error;
use foundry_models::report::run_report;
use foundry_models::storage::Disk;
use foundry_models::train::run_folder::REPORT_FILE;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The run folder (training.output_dir), finished or not.
    run: PathBuf,
    /// A new file for the page; by default report.html in the run folder, which is replaced.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print what was written as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let disk = Disk::real();
    let report = run_report(&disk, &args.run)?;
    let path = args.output.clone().unwrap_or_else(|| args.run.join(REPORT_FILE));
    if args.output.is_some() {
        write_new(&path, &report.html)?;
    } else {
        let tag = format!("report-{}", std::process::id());
        disk.replace_file(&path, &tag, report.html.as_bytes()).map_err(Error::from)?;
    }
    for problem in &report.problems {
        say(format_args!("warning: could not be shown: {problem}"));
    }
    if args.json {
        return out_json(&json!({
            "report": path,
            "finished": report.finished,
            "updates": report.updates,
            "problems": report.problems,
        }))
        .map(|()| ExitCode::SUCCESS);
    }
    if !report.finished {
        say("this run has not ended; the page says so");
    }
    out(path.display())?;
    Ok(ExitCode::SUCCESS)
}
