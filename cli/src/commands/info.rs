//! `foundry info`.

use crate::failure::Failure;
use crate::terminal::{out, out_json};
use foundry_engine::isa::Isa;
use foundry_engine::{Device, ops};
use foundry_models::arch::ARCHITECTURES;
use foundry_models::config::memory;
use foundry_models::tokenizer::TokenizerKind;
use serde_json::json;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// List the operations.
    #[arg(long)]
    ops: bool,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

/// The CPU, and the GPUs that the driver names, if there is one.
fn devices() -> Vec<String> {
    let gpus = Device::cuda_status().unwrap_or_default();
    let gpus = gpus.iter().enumerate().map(|(i, gpu)| format!("cuda:{i} ({})", gpu.name));
    std::iter::once("cpu".to_owned()).chain(gpus).collect()
}

/// Who multiplies matrices on the GPUs, if there are any.
fn products() -> Option<String> {
    Device::cuda_status().ok().filter(|gpus| !gpus.is_empty())?;
    Some(match Device::cuda_multiplier() {
        Ok(multiplier) => multiplier.explain(),
        Err(e) => e.to_string().lines().next().unwrap_or_default().to_owned(),
    })
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kinds: Vec<String> = TokenizerKind::ALL.iter().map(ToString::to_string).collect();
    if args.json {
        out_json(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "architectures": ARCHITECTURES.iter().map(|a| a.name).collect::<Vec<_>>(),
            "tokenizers": kinds,
            "devices": devices(),
            "products_on_gpus": products(),
            "instruction_set": Isa::current().name(),
            "cores": cores,
            "memory_bytes": memory::machine_memory(),
            "ops": ops::ALL.iter().map(|op| op.name).collect::<Vec<_>>(),
            "dtypes": {"cpu": ["f32", "f64"], "cuda": ["f32"]},
            "mixed_precision": {
                "precisions": ["bf16", "fp16"],
                "ops": ops::ALL.iter().filter(|op| op.is_mixed()).map(|op| op.name).collect::<Vec<_>>(),
            },
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    out(format_args!("foundry {}: rears small language models", env!("CARGO_PKG_VERSION")))?;
    out("architectures")?;
    for a in ARCHITECTURES {
        out(format_args!("  {:<6} {}", a.name, a.summary))?;
    }
    out(format_args!("tokenizers       {}", kinds.join(", ")))?;
    out(format_args!("devices          {}", devices().join(", ")))?;
    if let Some(by) = products() {
        out(format_args!("products on GPUs {by}"))?;
    }
    out(format_args!("instruction set  {}", Isa::current().name()))?;
    out(format_args!("cores            {cores}"))?;
    if let Some(memory) = memory::machine_memory() {
        out(format_args!("memory           {}", memory::bytes(memory.into())))?;
    }
    if args.ops {
        out("operations, all with a gradient   cpu        cuda")?;
        for op in ops::ALL {
            let mixed = if op.is_mixed() { ", bf16, fp16" } else { "" };
            out(format_args!("  {:<32}f32, f64   f32{mixed}", op.name))?;
        }
    }
    out("Available Commands: foundry --help")?;
    Ok(ExitCode::SUCCESS)
}
