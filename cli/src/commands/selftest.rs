//! `foundry selftest`: scoring held against models whose every probability is known.

use crate::failure::Failure;
use crate::setup;
use crate::terminal::{out, out_json};
use foundry_models::error::Error;
use foundry_models::eval::selftest::{Finding, selftest};
use serde_json::json;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let pool = setup::threads(None, None)?;
    let findings = pool.install(selftest).map_err(Error::from)?;
    let failed = findings.iter().filter(|f| !f.ok()).count();
    if args.json {
        let row = |f: &Finding| {
            json!({
                "architecture": f.architecture,
                "oracle": f.oracle,
                "precision": f.precision,
                "what": f.what,
                "error": f.error,
                "tolerance": f.tolerance,
                "ok": f.ok(),
            })
        };
        let rows: Vec<_> = findings.iter().map(row).collect();
        out_json(&json!({ "failed": failed, "findings": rows }))?;
    } else {
        for f in &findings {
            let verdict = if f.ok() { "ok" } else { "FAILED" };
            out(format_args!(
                "{:<6} {:<8} {}  {:<16} largest error {:.1e}  (at most {:e})  {verdict}",
                f.architecture, f.oracle, f.precision, f.what, f.error, f.tolerance
            ))?;
        }
        out(format_args!("{} comparisons, {failed} failed", findings.len()))?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
