//! `foundry explain`: what a configuration means, before anything is made.

use crate::failure::{Failure, load_config};
use crate::progress::Progress;
use crate::setup;
use crate::terminal::{out, out_json};
use foundry_engine::for_each_param;
use foundry_models::config::memory;
use foundry_models::data::Rebuild;
use foundry_models::pipeline::{Pipeline, Say, Stale, grouped, outlined_model};
use foundry_models::train::signals::{EXIT_STOPPED, StopFlag};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration.
    config: PathBuf,
    /// Change a field of the configuration; may be given several times.
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// Also prepare the data (if they are not in the cache), and tell tokens, epochs and checkpoints.
    #[arg(long)]
    data: bool,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let config = load_config(&args.config, &args.set)?;
    let pool = setup::threads(None, Some(&config))?;
    let stop = StopFlag::on_signals().map_err(Failure::runtime)?;
    let pipeline = Pipeline::new(config);
    let config = &pipeline.config;

    let (mut vocab, mut plan, mut ledger) = (config.tokenizer.vocab_size, None, None);
    if args.data {
        let mut progress = Progress::of(config, args.json);
        let prepared = pool.install(|| -> Result<_, Failure> {
            let say: Say<'_> = &mut |n| progress.show(&n);
            let corpus = pipeline.corpus(say)?;
            let tokenizer = pipeline.tokenizer(&corpus, Stale::Refuse, say)?;
            let data = pipeline.dataset(&corpus, &tokenizer, Rebuild::IfMissing, &stop, say)?;
            Ok(data.map(|data| (data, tokenizer.vocab_size())))
        })?;
        let Some((data, size)) = prepared else { return Ok(ExitCode::from(EXIT_STOPPED)) };
        vocab = size;
        plan = Some(pipeline.plan(&data, vocab)?);
        ledger = Some(data.ledger().clone());
    }

    let model = outlined_model(config, vocab)?;
    let mut tensors = Vec::new();
    for_each_param(&*model, |name, p| tensors.push((name.to_owned(), p.spec())));
    let need = memory::estimate(config).total();
    if args.json {
        let tensors: Vec<_> = tensors
            .iter()
            .map(|(name, spec)| json!({ "name": name, "shape": spec.shape.as_slice(), "elements": spec.numel() }))
            .collect();
        out_json(&json!({
            "config": config.to_yaml(),
            "parameters": model.parameter_count(),
            "tensors": tensors,
            "memory_bytes": u64::try_from(need).unwrap_or(u64::MAX),
            "total_steps": plan.as_ref().map(|p| p.length.total_steps),
            "steps_per_epoch": plan.as_ref().map(|p| p.length.steps_per_epoch),
            "checkpoints": plan.as_ref().map(|p| p.checkpoints.steps.clone()),
            "checkpoint_targets": plan.as_ref().map(|p| p.checkpoints.targets.clone()),
            "checkpoint_bytes": plan.as_ref().map(|p| p.checkpoint_bytes),
            "ledger": ledger,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    out("# the configuration, every default resolved")?;
    out(config.to_yaml().trim_end())?;
    out(format_args!("\n# tensors (for a vocabulary of {})", grouped(vocab as u64)))?;
    for (name, spec) in &tensors {
        let size = grouped(spec.numel() as u64);
        out(format_args!("{name:<44} {:<16} {size:>12}", spec.shape.to_string()))?;
    }
    out(format_args!("\nparameters   {}", grouped(model.parameter_count() as u64)))?;
    out(format_args!("memory       about {}", memory::bytes(need)))?;
    match (plan, ledger) {
        (Some(plan), Some(ledger)) => {
            out(ledger)?;
            out(plan)?;
        }
        _ => out("updates, epochs and checkpoints need the data: foundry explain --data")?,
    }
    Ok(ExitCode::SUCCESS)
}
