//! `foundry gradcheck`: every gradient against finite differences, in f64.

use crate::failure::Failure;
use crate::setup;
use crate::terminal::{out, out_json};
use foundry_engine::gradcheck::{Finding, TOLERANCE, check_op};
use foundry_engine::ops;
use foundry_models::arch::ARCHITECTURES;
use foundry_models::gradcheck::check_model;
use serde_json::json;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// An operation or an architecture; without one, all.
    name: Option<String>,
    /// Seeds the inputs and cotangents.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let wanted = |name: &str| args.name.as_deref().is_none_or(|w| w == name);
    let ops: Vec<_> = ops::ALL.iter().filter(|op| wanted(op.name)).collect();
    let models: Vec<_> = ARCHITECTURES.iter().filter(|a| wanted(a.name)).collect();
    if ops.is_empty() && models.is_empty() {
        let known: Vec<_> =
            ops::ALL.iter().map(|op| op.name).chain(ARCHITECTURES.iter().map(|a| a.name)).collect();
        let name = args.name.as_deref().unwrap_or_default();
        return Err(Failure::usage(format!(
            "no operation or architecture is called '{name}'\n  known: {}",
            known.join(", ")
        )));
    }
    let pool = setup::threads(None, None)?;
    let mut findings: Vec<(&str, Vec<Finding>)> = Vec::new();
    pool.install(|| {
        findings.extend(ops.iter().map(|op| (op.name, check_op(op, args.seed))));
        findings.extend(models.iter().map(|a| (a.name, check_model(a, args.seed))));
    });
    let failed = findings.iter().flat_map(|(_, f)| f).filter(|f| !f.ok()).count();
    if args.json {
        let rows = findings.iter().flat_map(|(name, list)| {
            list.iter().map(move |f| {
                json!({ "name": name, "subject": f.subject, "input": f.input, "error": f.error, "ok": f.ok() })
            })
        });
        out_json(
            &json!({ "tolerance": TOLERANCE, "failed": failed, "findings": rows.collect::<Vec<_>>() }),
        )?;
    } else {
        for (name, list) in &findings {
            let worst = list.iter().map(|f| f.error).fold(0.0, f64::max);
            let verdict = if list.iter().all(Finding::ok) { "ok" } else { "FAILED" };
            out(format_args!(
                "{name:<16} {:>4} gradients  worst error {worst:.1e}  {verdict}",
                list.len()
            ))?;
            for f in list.iter().filter(|f| !f.ok()) {
                out(format_args!("  {}: input {}: {:.3e}", f.subject, f.input, f.error))?;
            }
        }
        out(format_args!("tolerance {TOLERANCE:e}; {failed} failed"))?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
