//! `foundry gpu-selftest`: does this GPU compute what the CPU computes?

use crate::failure::Failure;
use crate::terminal::{out, out_json};
use foundry_engine::gradcheck::Finding;
use foundry_engine::{Device, Precision, ops, parity};
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

/// What mixed precision learned, and whether it did so twice.
struct Mixed {
    precision: Precision,
    trained: Vec<training::Comparison>,
    same_bits: bool,
}

impl Mixed {
    /// Steps that are done again.
    const AGAIN: u64 = 3;

    fn of(device: &Device, precision: Precision, steps: u64) -> Result<Self, Error> {
        let device = device.with_precision(precision)?;
        let trained = training::mixed_training(&device, steps)?;
        let again = training::mixed_training(&device, steps.min(Self::AGAIN))?;
        let same_bits = trained.iter().zip(&again).all(|(a, b)| a.device.starts_with(&b.device));
        Ok(Self { precision, trained, same_bits })
    }

    fn ok(&self) -> bool {
        self.same_bits && self.trained.iter().all(|c| c.worst() <= training::MIXED_TOLERANCE)
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
    // An older device has no tensor cores for it.
    let precisions = [Precision::Bf16, Precision::Fp16];
    let precisions = precisions.into_iter().filter(|p| device.with_precision(*p).is_ok());
    let mixed = precisions.map(|p| Mixed::of(&device, p, args.steps));
    let mixed: Vec<Mixed> = mixed.collect::<Result<_, _>>()?;
    let all = rows.iter().all(Row::ok) && learned && same_bits && mixed.iter().all(Mixed::ok);

    if args.json {
        let ops: Vec<_> = rows
            .iter()
            .map(|r| json!({"op": r.op, "checks": r.checks, "worst_error": r.worst, "ok": r.ok()}))
            .collect();
        let models = |trained: &[training::Comparison], tolerance| -> Vec<_> {
            let row = |c: &training::Comparison| {
                let ok = c.worst() <= tolerance;
                json!({"architecture": c.architecture, "steps": args.steps, "worst_relative_difference": c.worst(),
                       "loss_cpu": c.cpu.last(), "loss_device": c.device.last(), "ok": ok})
            };
            trained.iter().map(row).collect()
        };
        let in_mixed = |m: &Mixed| {
            let trained = models(&m.trained, training::MIXED_TOLERANCE);
            json!({"precision": m.precision.to_string(), "training": trained, "same_bits_twice": m.same_bits})
        };
        out_json(&json!({
            "device": device.describe(),
            "ops": ops,
            "tolerance_ops": parity::TOLERANCE,
            "training": models(&trained, training::TOLERANCE),
            "tolerance_training": training::TOLERANCE,
            "same_bits_twice": same_bits,
            "mixed_precision": mixed.iter().map(in_mixed).collect::<Vec<_>>(),
            "tolerance_mixed_precision": training::MIXED_TOLERANCE,
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
        let learned = |c: &training::Comparison, precision: Precision, tolerance| {
            let ok = c.worst() <= tolerance;
            let name = format!("{} {precision}", c.architecture);
            let (steps, worst) = (args.steps, c.worst());
            let text = format!("{name:<22} {steps} steps, loss within {worst:.1e} of the CPU");
            out(format_args!("{} {text}", word(ok)))
        };
        for c in &trained {
            learned(c, Precision::Fp32, training::TOLERANCE)?;
        }
        out(format_args!("{} trained twice: the same bits", word(same_bits)))?;
        for m in &mixed {
            for c in &m.trained {
                learned(c, m.precision, training::MIXED_TOLERANCE)?;
            }
            out(format_args!(
                "{} {} trained twice: the same bits",
                word(m.same_bits),
                m.precision
            ))?;
        }
    }
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
