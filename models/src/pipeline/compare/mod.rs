//! `foundry compare`: several models on the same tokens in the same order, and one report.
//!
//! ```text
//! FOLDER/  tokenizer/   logs/   <model>/seed-<n>/    (an ordinary run folder for each)
//!          cost-<model>-seed<n>.json                 what the run took
//!          report.html  comparison.json  runs.csv  minimal_pairs.csv  curves.csv  causal.svg  masked.svg
//! ```
//!
//! One tokenizer serves all, with a mask token. A block is max_sequence_length - 2 tokens of the corpus; a BERT reads it
//! between its two tokens, the others as it is. That all read the same is not trusted but checked, block by block. Models
//! that read left to right learn to predict the next token, those that see both sides hidden ones: their losses are of
//! different things, so they stand in different tables and pictures.

mod entrants;
mod report;

pub use entrants::{Entrant, Kind};
pub use report::{Comparison, Point, RunFigures, SUMMARY_HEAD, Summary};

use super::{Notice, Pipeline, Say, Stale, TrainOptions, TrainOutcome, train};
use crate::config::{Config, ModelConfig, memory};
use crate::data::{Dataset, Rebuild, Split};
use crate::error::Error;
use crate::machine;
use crate::storage::Disk;
use crate::train::metrics::{METRICS_FILE, read_metrics};
use crate::train::run_folder::{RESULT_FILE, RunResult, Wish};
use crate::train::signals::{StopFlag, StopReason};
use entrants::{Shared, adapted, positions};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What is asked for besides the models.
#[derive(Clone, Debug)]
pub struct CompareOptions {
    /// The folder of the comparison.
    pub folder: PathBuf,
    /// The seeds that each model is trained with.
    pub seeds: Vec<u64>,
    /// Whether widths are chosen so that all have as many parameters as the first.
    pub match_parameters: bool,
    /// Start, resume or overwrite.
    pub wish: Wish,
    /// How the program was called, without `--resume` and `--overwrite`, for messages.
    pub command: String,
}

/// How a comparison ended, if nothing went wrong.
#[derive(Debug)]
pub enum CompareOutcome {
    /// All runs are finished.
    Finished(Box<Comparison>),
    /// It was stopped, and can be resumed.
    Stopped {
        /// Why.
        reason: StopReason,
        /// The command that goes on.
        resume: String,
    },
}

/// What a run took, kept beside it: a run that is finished is not run again.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Cost {
    peak_memory_bytes: u64,
}

/// The blocks that all models read.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Blocks {
    count: u64,
    tokens: u64,
    blake3: String,
}

/// Trains every model with every seed on the data of the first, and compares them.
///
/// # Errors
/// Models that cannot be compared (a stateful one, blocks too short); whatever training can meet. What was trained before
/// is still there.
pub fn compare(
    entrants: Vec<Entrant>,
    options: &CompareOptions,
    stop: &StopFlag,
    say: Say<'_>,
) -> Result<CompareOutcome, Error> {
    let resume = format!("{} --resume", options.command);
    let stopped = |reason| Ok(CompareOutcome::Stopped { reason, resume: resume.clone() });
    let why = || stop.reason().unwrap_or(StopReason::Terminate);
    check(&entrants, options)?;
    let base = entrants[0].config.clone();
    differences(&entrants, say);
    let first = Shared { folder: &options.folder, seed: options.seeds[0], steps: None };

    // One tokenizer, then the blocks of every model, then the length of the run in updates.
    let mut pipeline = Pipeline::new(adapted(&base, &entrants[0], &first)?);
    let stale = if options.wish == Wish::Overwrite { Stale::Retrain } else { Stale::Refuse };
    let corpus = pipeline.corpus(say)?;
    let tokenizer = pipeline.tokenizer(&corpus, stale, say)?;
    let vocab = tokenizer.vocab_size();
    let target = memory::parameter_count(&base.model, vocab, positions(&base, &base.model));
    let mut entrants = entrants;
    for entrant in entrants.iter_mut().skip(1).filter(|_| options.match_parameters) {
        let positions = positions(&base, &entrant.config.model);
        *entrant = entrant.clone().matched(target, vocab, positions);
        let count = memory::parameter_count(&entrant.config.model, vocab, positions);
        if count.abs_diff(target) * 50 > target {
            say(Notice::Warning(format!(
                "{}: {count} parameters, {target} were wanted: no width comes nearer",
                entrant.name
            )));
        }
    }
    let (mut blocks, mut steps): (Option<Blocks>, Option<u64>) = (None, None);
    for entrant in &entrants {
        pipeline.config = adapted(&base, entrant, &first)?;
        let dataset = pipeline.dataset(&corpus, &tokenizer, Rebuild::IfMissing, stop, say)?;
        let Some(dataset) = dataset else { return stopped(why()) };
        let framed = matches!(entrant.config.model, ModelConfig::Bert(_));
        let own = read_blocks(&dataset, framed)?;
        match &blocks {
            Some(blocks) if *blocks != own => {
                return Err(Error::Mismatch(format!(
                    "{} would read other tokens than {}: {own:?} against {blocks:?}",
                    entrant.name, entrants[0].name
                )));
            }
            _ => blocks = Some(own),
        }
        if steps.is_none() {
            steps = Some(pipeline.plan(&dataset, vocab)?.length.total_steps);
        }
    }
    let Some(blocks) = blocks else { return stopped(why()) };

    let mut runs = Vec::new();
    for &seed in &options.seeds {
        for entrant in &entrants {
            let shared = Shared { folder: &options.folder, seed, steps };
            let config = adapted(&base, entrant, &shared)?;
            let name = format!("{}, seed {seed}", entrant.name);
            say(Notice::Info(format!("== {name}")));
            let run = run(config, &entrant.name, vocab, options, stop, say)?;
            match run {
                Some(run) => runs.push(run),
                None => return stopped(why()),
            }
        }
    }
    let comparison = Comparison {
        blocks: blocks.count,
        block_tokens: blocks.tokens,
        blocks_blake3: blocks.blake3,
        block_length: base.data.max_sequence_length - 2,
        vocab_size: vocab,
        matched_parameters: options.match_parameters,
        runs,
    };
    comparison.write(&options.folder)?;
    Ok(CompareOutcome::Finished(Box::new(comparison)))
}

/// Refuses what cannot be compared.
fn check(entrants: &[Entrant], options: &CompareOptions) -> Result<(), Error> {
    if entrants.len() < 2 {
        return Err(Error::Usage(
            "a comparison needs two models or more: give several configurations, or --architectures all".into(),
        ));
    }
    if options.seeds.is_empty() {
        return Err(Error::Usage("--seeds: give at least one".into()));
    }
    for (i, entrant) in entrants.iter().enumerate() {
        entrants::refuse_stateful(&entrant.name, &entrant.config)?;
        if entrants[..i].iter().any(|other| other.name == entrant.name) {
            return Err(Error::Usage(format!(
                "two models are called '{}'\n  mend: give their configurations different names (experiment_name)",
                entrant.name
            )));
        }
    }
    let length = entrants[0].config.data.max_sequence_length;
    if length < 4 {
        return Err(Error::Usage(format!(
            "data.max_sequence_length ({length}) must be at least 4 in a comparison: a block is two tokens shorter, for \
             those that a BERT puts around it"
        )));
    }
    Ok(())
}

/// Says what the others' configurations say and the comparison does not follow.
fn differences(entrants: &[Entrant], say: Say<'_>) {
    let Some((first, others)) = entrants.split_first() else { return };
    for other in others {
        for change in other.config.diff(&first.config) {
            let path = change.path.as_str();
            let shared = path.starts_with("data.")
                || path.starts_with("tokenizer.")
                || ["dataset_manipulation", "precision"].contains(&path);
            let length = ["epochs", "train_steps", "train_tokens", "gradient_accumulation_steps"]
                .iter()
                .any(|name| path == format!("training.{name}"));
            // The folder and the mask token are the comparison's own.
            let own = path == "tokenizer.output_dir" || path.ends_with(".mask_token");
            if (shared || length) && !own {
                say(Notice::Warning(format!(
                    "{}: {change} (all are trained as {} says)",
                    other.name, first.name
                )));
            }
        }
        let evaluation = |entrant: &Entrant| format!("{:?}", entrant.config.to_raw().evaluation);
        if evaluation(other) != evaluation(first) {
            say(Notice::Warning(format!(
                "{}: another section 'evaluation' (all are evaluated as {} says)",
                other.name, first.name
            )));
        }
    }
}

/// The training blocks of a dataset, without the two tokens around each if they are framed.
fn read_blocks(dataset: &Dataset, framed: bool) -> Result<Blocks, Error> {
    let mut hasher = blake3::Hasher::new();
    let Some(chunks) = dataset.split(Split::Train) else {
        return Err(Error::Usage("there is no training text".into()));
    };
    let mut tokens = 0;
    for id in 0..chunks.len() {
        let chunk = chunks.chunk(id)?;
        let edge = usize::from(framed);
        let ids = chunk.ids.get(edge..chunk.ids.len().saturating_sub(edge)).unwrap_or(&[]);
        hasher.update(&(ids.len() as u64).to_le_bytes());
        ids.iter().for_each(|id| {
            hasher.update(&id.to_le_bytes());
        });
        tokens += ids.len() as u64;
    }
    Ok(Blocks { count: chunks.len(), tokens, blake3: hasher.finalize().to_hex().to_string() })
}

/// One run, from its beginning, from where it was stopped, or looked up; None if it was stopped.
fn run(
    config: Config,
    name: &str,
    vocab: usize,
    options: &CompareOptions,
    stop: &StopFlag,
    say: Say<'_>,
) -> Result<Option<RunFigures>, Error> {
    let disk = Disk::real();
    let folder = config.training.output_dir.clone();
    let (seed, objective) = (config.random_seed, config.training.objective());
    let kind = Kind::of(&config.model);
    let positions = config.data.max_sequence_length;
    let parameters = memory::parameter_count(&config.model, vocab, positions);
    let cost_path = options.folder.join(format!("cost-{name}-seed{seed}.json"));
    let spent = match options.wish {
        Wish::Overwrite => Cost::default(),
        _ => read_cost(&cost_path).unwrap_or_default(),
    };
    let train_options = TrainOptions::new(options.wish, &options.command);
    machine::forget_peak();
    let outcome = train(&Pipeline::new(config), &train_options, stop, say)?;
    if !matches!(outcome, TrainOutcome::AlreadyFinished(_)) {
        let peak = machine::peak_resident_bytes().unwrap_or(0);
        let cost = Cost { peak_memory_bytes: peak.max(spent.peak_memory_bytes) };
        let text = serde_json::to_vec(&cost).unwrap_or_default();
        disk.replace_file(&cost_path, "cost", &text)?;
    }
    if let TrainOutcome::Stopped { .. } = outcome {
        return Ok(None);
    }
    let path = folder.join(RESULT_FILE);
    let read = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let Some(result): Option<RunResult> = read else {
        return Err(Error::Mismatch(format!("{} cannot be read", path.display())));
    };
    let metrics = read_metrics(&disk, &folder.join(METRICS_FILE))
        .map_err(|e| Error::Mismatch(e.to_string()))?;
    let cost = read_cost(&cost_path).unwrap_or_default();
    let peak = Some(cost.peak_memory_bytes).filter(|bytes| *bytes > 0);
    let parameters = u64::try_from(parameters).unwrap_or(u64::MAX);
    let mut figures = RunFigures::new(&result, &metrics, objective);
    figures.model = name.to_owned();
    (figures.architecture, figures.bidirectional) = (kind.architecture, kind.bidirectional);
    (figures.seed, figures.parameters, figures.peak_memory_bytes) = (seed, parameters, peak);
    Ok(Some(figures))
}

fn read_cost(path: &Path) -> Option<Cost> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
