//! The stages of `foundry train`, each as a command of its own.

use crate::failure::{Failure, load_config};
use crate::progress::Progress;
use crate::setup;
use crate::terminal::{out, out_json, say, write_new};
use foundry_models::config::choices::CheckpointUnit;
use foundry_models::data::manipulate::Mode;
use foundry_models::data::{Corpora, Rebuild, Split};
use foundry_models::pipeline::{Pipeline, Say, Stale, logged};
use foundry_models::train::checkpoint_schedule::CheckpointSchedule;
use foundry_models::train::signals::{EXIT_STOPPED, StopFlag};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Common {
    /// The configuration.
    config: PathBuf,
    /// Change a field of the configuration; may be given several times.
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(crate) struct PreprocessArgs {
    #[command(flatten)]
    common: Common,
    /// Say what would be done, but do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do every step of dataset_manipulation anew, in place of what earlier runs of these steps wrote.
    #[arg(long, conflicts_with = "dry_run")]
    overwrite: bool,
}

#[derive(clap::Args)]
pub(crate) struct TokenizerArgs {
    #[command(flatten)]
    common: Common,
    /// Train it anew even if it is there.
    #[arg(long)]
    force: bool,
}

#[derive(clap::Args)]
pub(crate) struct DataArgs {
    #[command(flatten)]
    common: Common,
    /// Make the chunks anew even if they are in the cache.
    #[arg(long)]
    force: bool,
}

#[derive(clap::Args)]
pub(crate) struct CheckpointArgs {
    #[command(flatten)]
    common: Common,
    /// Write the steps to a new file instead of standard output; no file that is there is rewritten.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn pipeline(common: &Common) -> Result<Pipeline, Failure> {
    Ok(Pipeline::new(load_config(&common.config, &common.set)?))
}

pub(crate) fn preprocess(args: &PreprocessArgs) -> Result<ExitCode, Failure> {
    let pipeline = pipeline(&args.common)?;
    if args.dry_run {
        let stages = pipeline.stages()?.into_iter().filter(|stage| stage.command == "preprocess");
        let stages: Vec<_> = stages.map(|stage| stage.would).collect();
        if args.common.json {
            return out_json(&json!({ "would": stages })).map(|()| ExitCode::SUCCESS);
        }
        stages.iter().try_for_each(out)?;
        say(format_args!("would make the corpus of {}", args.common.config.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let mut progress = Progress::of(&pipeline.config, args.common.json);
    let call = call("preprocess", &args.common);
    let (corpus, opened) = logged(&pipeline.config, &call, &mut |n| progress.show(&n), |say| {
        if args.overwrite {
            pipeline.manipulate(Mode::Overwrite, say)?;
        }
        let corpus = pipeline.corpus(say)?;
        let opened = Corpora::open(&pipeline.config.data_options(corpus.training.clone()))?;
        Ok((corpus, opened))
    })?;
    if args.common.json {
        out_json(
            &json!({ "training_corpus": corpus.training, "minimal_pairs": corpus.minimal_pairs }),
        )?;
    } else {
        for file in opened.train().files() {
            out(format_args!("{}  {} characters", file.name, file.characters))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn train_tokenizer(args: &TokenizerArgs) -> Result<ExitCode, Failure> {
    let pipeline = pipeline(&args.common)?;
    let pool = setup::threads(None, Some(&pipeline.config))?;
    let mut progress = Progress::of(&pipeline.config, args.common.json);
    let call = call("train-tokenizer", &args.common);
    let tokenizer = pool.install(|| {
        logged(&pipeline.config, &call, &mut |n| progress.show(&n), |say| {
            let corpus = pipeline.corpus(say)?;
            let stale = if args.force { Stale::Anew } else { Stale::Refuse };
            pipeline.tokenizer(&corpus, stale, say)
        })
    })?;
    if args.common.json {
        out_json(&json!({
            "folder": pipeline.config.tokenizer.output_dir,
            "vocab_size": tokenizer.vocab_size(),
            "blake3": tokenizer.hash().to_hex().to_string(),
        }))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn tokenize_dataset(args: &DataArgs) -> Result<ExitCode, Failure> {
    data("tokenize-dataset", args, |dataset, json| {
        let ledger = dataset.ledger();
        if json { out_json(&json!(ledger)) } else { out(ledger) }
    })
}

pub(crate) fn preprocess_data(args: &DataArgs) -> Result<ExitCode, Failure> {
    data("preprocess-data", args, |dataset, json| {
        let splits: Vec<_> = [Split::Train, Split::Validation, Split::Test]
            .into_iter()
            .filter_map(|split| Some((split, dataset.split(split)?)))
            .collect();
        if json {
            let splits: Vec<_> = splits
                .iter()
                .map(|(split, c)| {
                    json!({ "split": split.name(), "chunks": c.len(), "tokens": c.tokens(), "length": c.chunk_length() })
                })
                .collect();
            return out_json(
                &json!({ "key": dataset.key(), "folder": dataset.folder(), "splits": splits }),
            );
        }
        for (split, chunks) in splits {
            out(format_args!(
                "{split}: {} chunks of {} tokens",
                chunks.len(),
                chunks.chunk_length()
            ))?;
        }
        out(format_args!("{}", dataset.folder().display()))
    })
}

/// How a stage was called, for the log.
fn call(name: &str, common: &Common) -> String {
    format!("foundry {name} {}", common.config.display())
}

fn data(
    name: &str,
    args: &DataArgs,
    show: impl FnOnce(&foundry_models::data::Dataset, bool) -> Result<(), Failure>,
) -> Result<ExitCode, Failure> {
    let pipeline = pipeline(&args.common)?;
    let pool = setup::threads(None, Some(&pipeline.config))?;
    let stop = StopFlag::on_signals().map_err(Failure::runtime)?;
    let mut progress = Progress::of(&pipeline.config, args.common.json);
    let rebuild = if args.force { Rebuild::Always } else { Rebuild::IfMissing };
    let call = call(name, &args.common);
    let dataset = pool.install(|| {
        logged(&pipeline.config, &call, &mut |n| progress.show(&n), |say| {
            let corpus = pipeline.corpus(say)?;
            let tokenizer = pipeline.tokenizer(&corpus, Stale::Refuse, say)?;
            pipeline.dataset(&corpus, &tokenizer, rebuild, &stop, say)
        })
    })?;
    progress.finish();
    let Some(dataset) = dataset else {
        say("stopped; nothing was kept. Run the same command again");
        return Ok(ExitCode::from(EXIT_STOPPED));
    };
    show(&dataset, args.common.json)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn generate_checkpoints(args: &CheckpointArgs) -> Result<ExitCode, Failure> {
    let pipeline = pipeline(&args.common)?;
    let pool = setup::threads(None, Some(&pipeline.config))?;
    let stop = StopFlag::on_signals().map_err(Failure::runtime)?;
    let mut progress = Progress::of(&pipeline.config, true);
    let plan = pool.install(|| -> Result<_, Failure> {
        let say: Say<'_> = &mut |n| progress.show(&n);
        let corpus = pipeline.corpus(say)?;
        let tokenizer = pipeline.tokenizer(&corpus, Stale::Refuse, say)?;
        let dataset = pipeline.dataset(&corpus, &tokenizer, Rebuild::IfMissing, &stop, say)?;
        let Some(dataset) = dataset else { return Ok(None) };
        Ok(Some(pipeline.plan(&dataset, tokenizer.vocab_size())?))
    })?;
    let Some(plan) = plan else { return Ok(ExitCode::from(EXIT_STOPPED)) };
    for warning in plan.warnings() {
        say(format_args!("warning: {warning}"));
    }
    let text = schedule(&plan.checkpoints, args.common.json);
    match &args.output {
        Some(path) => write_new(path, &format!("{text}\n"))?,
        None => out(text)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The schedule as one would write it into a configuration, in its own unit.
fn schedule(checkpoints: &CheckpointSchedule, as_json: bool) -> String {
    let CheckpointSchedule { steps, unit, targets, unreachable, .. } = checkpoints;
    let counts: Vec<u64> = targets.iter().map(|target| target.count).collect();
    let listed = if targets.is_empty() { steps } else { &counts };
    if as_json {
        let targets: Vec<_> = targets
            .iter()
            .map(|t| json!({ "count": t.count, "step": t.step, "name": t.babylm_name() }))
            .collect();
        let schedule = json!({
            "checkpoint_unit": unit.name(),
            "checkpoint_schedule": listed,
            "steps": steps,
            "targets": targets,
            "unreachable": unreachable,
        });
        return schedule.to_string();
    }
    let list = |of: &[u64]| of.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let mut text = String::new();
    if *unit != CheckpointUnit::Steps {
        text = format!("# met after updates {}\ncheckpoint_unit: {unit}\n", list(steps));
    }
    if !unreachable.is_empty() {
        text += &format!("# not reached before the end of the run: {}\n", list(unreachable));
    }
    text + &format!("checkpoint_schedule: [{}]", list(listed))
}
