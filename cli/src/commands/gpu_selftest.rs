//! `foundry gpu-selftest`: does this GPU compute what the CPU computes?

use crate::failure::Failure;
use crate::terminal::{out, out_json};
use foundry_engine::gradcheck::Finding;
use foundry_engine::{Device, ops, parity};
use foundry_models::error::Error;
use foundry_models::parity as training;
use serde_json::json;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The number of the GPU.
    #[arg(long, default_value_t = 0, value_name = "N")]
    gpu: usize,
    /// Training steps of each architecture.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

/// An op and the worst of its findings.
struct Row {
    op: &'static str,
    checks: usize,
    worst: f64,
}

impl Row {
    fn of(op: &'static str, findings: &[Finding]) -> Self {
        let worst =
            |m: f64, f: &Finding| if f.error.is_nan() { f64::INFINITY } else { m.max(f.error) };
        Self { op, checks: findings.len(), worst: findings.iter().fold(0.0, worst) }
    }

    fn ok(&self) -> bool {
        self.worst <= parity::TOLERANCE
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let device = Device::cuda(args.gpu).map_err(Error::from)?;
    let row = |op: &ops::OpEntry| {
        let row = Row::of(op.name, &parity::check_op(op, &device, 1));
        device.check().map(|()| row)
    };
    let rows: Vec<Row> = ops::ALL.iter().map(row).collect::<Result<_, _>>().map_err(Error::from)?;
    let trained = training::training(&device, args.steps).map_err(Error::from)?;
    let again = training::training(&device, args.steps).map_err(Error::from)?;
    let same_bits = trained == again;
    let learned = trained.iter().all(|c| c.worst() <= training::TOLERANCE);
    let all = rows.iter().all(Row::ok) && learned && same_bits;

    if args.json {
        let ops: Vec<_> = rows
            .iter()
            .map(|r| json!({"op": r.op, "checks": r.checks, "worst_error": r.worst, "ok": r.ok()}))
            .collect();
        let models: Vec<_> = trained
            .iter()
            .map(|c| {
                let ok = c.worst() <= training::TOLERANCE;
                json!({"architecture": c.architecture, "steps": args.steps, "worst_relative_difference": c.worst(),
                       "loss_cpu": c.cpu.last(), "loss_device": c.device.last(), "ok": ok})
            })
            .collect();
        out_json(&json!({
            "device": device.describe(),
            "ops": ops,
            "tolerance_ops": parity::TOLERANCE,
            "training": models,
            "tolerance_training": training::TOLERANCE,
            "same_bits_twice": same_bits,
            "ok": all,
        }))?;
    } else {
        let word = |ok| if ok { "ok  " } else { "FAIL" };
        out(format_args!("device {}", device.describe()))?;
        for r in &rows {
            let Row { op, checks, worst, .. } = r;
            out(format_args!(
                "{} {op:<22} {checks:>3} tensors, worst error {worst:.1e}",
                word(r.ok())
            ))?;
        }
        for c in &trained {
            let ok = c.worst() <= training::TOLERANCE;
            let (name, worst) = (&c.architecture, c.worst());
            let steps = args.steps;
            out(format_args!(
                "{} {name:<22} {steps} steps, loss within {worst:.1e} of the CPU",
                word(ok)
            ))?;
        }
        out(format_args!("{} trained twice: the same bits", word(same_bits)))?;
    }
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
