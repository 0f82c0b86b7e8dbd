//! `foundry explain`: what a configuration means, before anything is made.

use crate::failure::{Failure, load_config};
use crate::progress::Progress;
use crate::setup;
use crate::terminal::{out, out_json, say};
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
    /// Also prepare the data (if they are not in the cache), and tell tokens, epochs, checkpoints and time: a few updates are
    /// made, timed and thrown away.
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
    let mut pace = None;
    if args.data {
        let mut progress = Progress::of(config, args.json);
        let prepared = pool.install(|| -> Result<_, Failure> {
            let say: Say<'_> = &mut |n| progress.show(&n);
            let corpus = pipeline.corpus(say)?;
            let tokenizer = pipeline.tokenizer(&corpus, Stale::Refuse, say)?;
            let data = pipeline.dataset(&corpus, &tokenizer, Rebuild::IfMissing, &stop, say)?;
            let Some(data) = data else { return Ok(None) };
            let plan = pipeline.plan(&data, tokenizer.vocab_size())?;
            let pace = pipeline.pace(&data, &tokenizer, &plan, say);
            Ok(Some((data, tokenizer.vocab_size(), plan, pace)))
        })?;
        let Some((data, size, found, timed)) = prepared else {
            return Ok(ExitCode::from(EXIT_STOPPED));
        };
        vocab = size;
        ledger = Some(data.ledger().clone());
        plan = Some(found);
        pace = Some(timed);
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
            "threads": pool.current_num_threads(),
            "num_workers": config.data.workers(),
            "memory_bytes": u64::try_from(need).unwrap_or(u64::MAX),
            "total_steps": plan.as_ref().map(|p| p.length.total_steps),
            "steps_per_epoch": plan.as_ref().map(|p| p.length.steps_per_epoch),
            "checkpoints": plan.as_ref().map(|p| p.checkpoints.steps.clone()),
            "checkpoint_targets": plan.as_ref().map(|p| p.checkpoints.targets.clone()),
            "unreachable_targets": plan.as_ref().map(|p| p.checkpoints.unreachable.clone()),
            "seconds": pace.as_ref().and_then(|p| Some(p.as_ref().ok()?.seconds())),
            "seconds_per_update": pace.as_ref().and_then(|p| Some(p.as_ref().ok()?.seconds_per_update)),
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
    out(format_args!("threads      {} on this machine", pool.current_num_threads()))?;
    out(format_args!("num_workers  {} on this machine", config.data.workers()))?;
    let (Some(plan), Some(ledger), Some(pace)) = (plan, ledger, pace) else {
        out("updates, epochs, checkpoints and time need the data: foundry explain --data")?;
        return Ok(ExitCode::SUCCESS);
    };
    out(ledger)?;
    out(&plan)?;
    match pace {
        Ok(pace) => out(format_args!("time         {pace}"))?,
        Err(why) => out(format_args!("time         not known: {why}"))?,
    }
    for warning in plan.warnings() {
        say(format_args!("warning: {warning}"));
    }
    Ok(ExitCode::SUCCESS)
}
