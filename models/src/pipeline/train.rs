//! The last stage: the run folder, and the run in it.

use super::collator::collator;
use super::device::open_device;
use super::load::sentence_ids;
use super::logs::Logs;
use super::prepare::Stale;
use super::suites::Suites;
use super::{Notice, Pipeline, Results, RunPlan, Say};
use crate::arch::{LanguageModel, Size, build};
use crate::collate::Collator;
use crate::config::choices::LogLevel;
use crate::config::{Config, TrainingConfig, UpdateRule};
use crate::data::{Dataset, Loader, Rebuild, Split};
use crate::error::Error;
use crate::interchange;
use crate::optim::{Optimizer, Rule};
use crate::report::final_report;
use crate::storage::Disk;
use crate::tokenizer::Tokenizer;
use crate::train::average::MovingAverage;
use crate::train::carried::{CARRIED_FILE, Carried};
use crate::train::checkpoint::{
    CheckpointStore, MODEL_FILE, OPTIMIZER_FILE, RAW_MODEL_FILE, Retention, STATE_FILE,
    TrainerState, find_resumable,
};
use crate::train::learning_rate::{LearningRate, LrShape};
use crate::train::loss_scale::LossScale;
use crate::train::metrics::{METRICS_FILE, MetricsLog};
use crate::train::run::{LOSS_SCALE, OPTIMIZER_UPDATES, Outcome, Plan, Run};
use crate::train::run_folder::{
    CONFIG_FILE, EVAL_FOLDER, Entered, LEDGER_FILE, PROVENANCE_FILE, Provenance, REPORT_FILE,
    RunFolder, RunResult, Wish, check_free_space, enter,
};
use crate::train::signals::{StopFlag, StopReason};
use crate::train::tensorboard::EventLog;
use crate::train::trainer::Trainer;
use crate::train::weights;
use crate::train::windows::{HeldOut, Windows};
use foundry_engine::{DType, Device, Init, isa::Isa};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

/// What the person asked for besides the configuration.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// Start, resume or overwrite.
    pub wish: Wish,
    /// Fields that may differ from those the run began with.
    pub allow_change: Vec<String>,
    /// How the program was called, without `--resume` and `--overwrite`, for messages.
    pub command: String,
    /// Where the run folder lies.
    pub disk: Disk,
}

impl TrainOptions {
    /// Without changes, on the disk of this machine.
    #[must_use]
    pub fn new(wish: Wish, command: &str) -> Self {
        Self { wish, allow_change: Vec::new(), command: command.to_owned(), disk: Disk::real() }
    }
}

/// How training ended, if nothing went wrong.
#[derive(Debug)]
pub enum TrainOutcome {
    /// The same configuration had been run to its end before.
    AlreadyFinished(RunResult),
    /// It ran to its end.
    Finished(Results),
    /// It was stopped, and can be resumed.
    Stopped {
        /// Why.
        reason: StopReason,
        /// Updates made.
        step: u64,
        /// The checkpoint to resume from; None if it was stopped before training began.
        checkpoint: Option<PathBuf>,
        /// The command that goes on.
        resume: String,
    },
}

/// Everything from the corpus to the trained model. Runs in the rayon pool that the caller is in. What it says is also
/// written to the logs.
///
/// # Errors
/// Whatever the stages meet. What was saved before is still there.
pub fn train(
    pipeline: &Pipeline,
    options: &TrainOptions,
    stop: &StopFlag,
    say: Say<'_>,
) -> Result<TrainOutcome, Error> {
    let logs = RefCell::new(Logs::new(&pipeline.config, say));
    logs.borrow_mut().write(LogLevel::Info, &options.command);
    let (threads, isa) = (rayon::current_num_threads(), Isa::current().name());
    logs.borrow_mut().write(LogLevel::Info, &format!("computing on {threads} threads, {isa}"));
    let outcome = train_logged(
        pipeline,
        options,
        stop,
        &mut |notice| logs.borrow_mut().say(notice),
        &|folder| {
            logs.borrow_mut().enter(folder);
        },
    );
    if let Err(error) = &outcome {
        logs.borrow_mut().write(LogLevel::Error, &format!("error: {error}"));
    }
    outcome
}

/// [`train`]; `enter` is called with the run folder once it is there.
fn train_logged(
    pipeline: &Pipeline,
    options: &TrainOptions,
    stop: &StopFlag,
    say: Say<'_>,
    enter_logs: &dyn Fn(&RunFolder),
) -> Result<TrainOutcome, Error> {
    let config = &pipeline.config;
    let folder = &config.training.output_dir;
    let disk = options.disk.clone();
    let fingerprint = config.fingerprint();
    let resume = format!("{} --resume", options.command);
    let wish = match options.wish {
        Wish::Start if config.training.resume_from_checkpoint => Wish::Resume,
        wish => wish,
    };
    let entered = enter(&disk, folder, wish, &fingerprint, &options.command)?;
    if let Entered::Finished(result) = entered {
        return Ok(TrainOutcome::AlreadyFinished(result));
    }
    if let Entered::Resume(run) = &entered {
        check_changes(run, config, &options.allow_change)?;
    }

    let device = open_device(config.device, config.precision.into(), say)?;
    pipeline.check_inputs()?;
    let stopped =
        |reason, resume| TrainOutcome::Stopped { reason, step: 0, checkpoint: None, resume };
    let stale = if wish == Wish::Overwrite { Stale::Retrain } else { Stale::Refuse };
    let corpus = pipeline.corpus(say)?;
    let tokenizer = Rc::new(pipeline.tokenizer(&corpus, stale, say)?);
    let collator = collator(config, &tokenizer)?;
    let dataset = pipeline.dataset(&corpus, &tokenizer, Rebuild::IfMissing, stop, say)?;
    let (Some(dataset), None) = (dataset, stop.reason()) else {
        let reason = stop.reason().unwrap_or(StopReason::Terminate);
        return Ok(stopped(reason, resume));
    };
    let plan = pipeline.plan(&dataset, tokenizer.vocab_size())?;
    say(Notice::Stage("training"));
    say(Notice::Info(plan.to_string()));
    plan.warnings().into_iter().for_each(|warning| say(Notice::Warning(warning)));

    let (run_folder, fresh) = match entered {
        Entered::Resume(run) => {
            not_behind(&run, plan.length.total_steps)?;
            (go_on(run, config, &fingerprint)?, false)
        }
        Entered::Fresh(vacant) => {
            let needed = plan.checkpoint_bytes.saturating_sub(vacant.old_bytes()?);
            check_free_space(&disk, folder, needed)?;
            let details = provenance(&dataset, &tokenizer);
            let provenance = Provenance::new(&config.experiment_name, &fingerprint, details);
            (vacant.create(provenance, &config.to_yaml())?, true)
        }
        Entered::Finished(result) => return Ok(TrainOutcome::AlreadyFinished(result)),
    };
    enter_logs(&run_folder);
    run_folder.write_json(LEDGER_FILE, dataset.ledger())?;

    let source = (&dataset, &*tokenizer, collator);
    let mut run = assemble(pipeline, &run_folder, source, device, plan, fresh, stop, say)?;
    run.resume_command.clone_from(&resume);
    let paths = config.evaluation.suites.iter().chain(&corpus.minimal_pairs);
    let folder = run_folder.path(EVAL_FOLDER);
    let suites =
        Suites::open(paths, tokenizer.clone(), config.data.boundary, config.random_seed, &folder)?;
    let suites = Rc::new(RefCell::new(suites));
    if config.evaluation.at_checkpoints {
        let suites = suites.clone();
        run.suites = Some(Box::new(move |model, device, state, stop| {
            suites.borrow_mut().score(model, device, state, stop)
        }));
    }
    match run.run(&mut |event| say(Notice::Training(event)))? {
        Outcome::Stopped { reason, step, checkpoint } => {
            Ok(TrainOutcome::Stopped { reason, step, checkpoint: Some(checkpoint), resume })
        }
        Outcome::Finished => {
            let results = {
                let suites = &mut suites.borrow_mut();
                Results::gather(pipeline, &run, &run_folder, &tokenizer, suites, say)?
            };
            let result = results.to_run_result();
            report(&run_folder, &result, say);
            run_folder.finish(&result)?;
            Ok(TrainOutcome::Finished(results))
        }
    }
}

/// Writes the page for people. All it says is in the other files, and it can be written anew: no failure of a run.
fn report(run: &RunFolder, result: &RunResult, say: Say<'_>) {
    let written = final_report(run.disk(), run.root(), result)
        .and_then(|report| Ok(run.write(REPORT_FILE, report.html.as_bytes())?));
    if let Err(error) = written {
        let folder = run.root().display();
        say(Notice::Warning(format!(
            "{REPORT_FILE} could not be written: {error}\n  mend: foundry report {folder}"
        )));
    }
}

/// A model of the configuration with its initial weights, in f32.
///
/// # Errors
/// An architecture that is not there yet.
pub fn initial_model(
    config: &Config,
    vocab: usize,
    device: &Device,
) -> Result<Box<dyn LanguageModel>, Error> {
    model(config, vocab, &Init::new(device, DType::F32, config.random_seed))
}

/// A model of the configuration that has the names and shapes of its weights and no matrix in memory: to be looked at.
///
/// # Errors
/// As [`initial_model`].
pub fn outlined_model(config: &Config, vocab: usize) -> Result<Box<dyn LanguageModel>, Error> {
    model(config, vocab, &Init::new(&Device::cpu(), DType::F32, config.random_seed).outline())
}

fn model(config: &Config, vocab: usize, init: &Init) -> Result<Box<dyn LanguageModel>, Error> {
    let size = Size { vocab, positions: config.data.max_sequence_length };
    build(&config.model, size, init).ok_or_else(|| {
        Error::Usage(format!("Architecture '{}' is not available yet", config.model.architecture()))
    })
}

/// Says so where two runs in one folder would not notice each other.
fn warn_without_locks(folder: &RunFolder, say: Say<'_>) {
    if !folder.lock().is_enforced() {
        let folder = folder.root().display();
        say(Notice::Warning(format!(
            "{folder}: this disk has no locks; start no second run in it"
        )));
    }
}

/// A model with its initial weights and what trains it.
pub(super) fn new_trainer(
    config: &Config,
    vocab: usize,
    learning_rate: LearningRate,
    device: Device,
) -> Result<Trainer, Error> {
    let training = &config.training;
    let model = initial_model(config, vocab, &device)?;
    let stateful = config.model.is_stateful();
    Ok(Trainer {
        optimizer: Optimizer::new(rule(training.update_rule), training.weight_decay, &*model),
        learning_rate,
        max_grad_norm: training.max_grad_norm,
        label_smoothing: training.label_smoothing,
        average: training.ema_decay.map(|decay| MovingAverage::new(decay, &*model)),
        recompute: training.use_gradient_checkpointing,
        carried: stateful.then(|| Carried::new(&*model, config.data.batch_size)),
        seed: config.random_seed,
        model,
        device,
    })
}

/// The training text in the order of the configuration.
pub(super) fn training_rows(
    config: &Config,
    dataset: &Dataset,
    collator: Arc<dyn Collator>,
) -> Result<Loader, Error> {
    let Some(chunks) = dataset.split(Split::Train) else {
        return Err(Error::Usage("there is no training text".into()));
    };
    let make = if config.model.is_stateful() { Loader::columns } else { Loader::shuffled };
    Ok(make(chunks.clone(), collator, config.data.batch_size, config.random_seed)?)
}

/// The run, at its beginning or where its newest checkpoint left it.
fn assemble(
    pipeline: &Pipeline,
    folder: &RunFolder,
    (dataset, tokenizer, collator): (&Dataset, &Tokenizer, Arc<dyn Collator>),
    device: Device,
    plan: RunPlan,
    fresh: bool,
    stop: &StopFlag,
    say: Say<'_>,
) -> Result<Run, Error> {
    let (config, training) = (&pipeline.config, &pipeline.config.training);
    let disk = folder.disk();
    let run_id = &folder.provenance().run_id;
    let (store, notes) = CheckpointStore::open(disk, folder.root(), run_id)?;
    notes.into_iter().for_each(|note| say(Notice::Warning(note)));

    warn_without_locks(folder, say);
    let isa = device.arithmetic();
    let mut trainer = new_trainer(config, tokenizer.vocab_size(), plan.learning_rate, device)?;
    let tokenizer_hash = tokenizer.hash().to_hex().to_string();
    let fingerprint = &folder.provenance().config_fingerprint;
    let mut state = TrainerState::new(fingerprint, dataset.key(), &tokenizer_hash, &isa);
    if !fresh {
        restore(folder, &mut trainer, &mut state, say)?;
    }
    let learning_rate = watch(training, plan.learning_rate, &mut state);

    let train = training_rows(config, dataset, collator.clone())?;
    let held_out = |split| -> Result<_, Error> {
        let Some(chunks) = dataset.split(split) else { return Ok(None) };
        let (rows, seed) = (config.evaluation.batch_size, config.random_seed);
        let loader = Loader::sequential(chunks.clone(), collator.clone(), rows, seed)?;
        let tokens = dataset.ledger().tokens_to_predict(split);
        Ok(dataset.ledger().split(split).map(|l| HeldOut {
            loader,
            tokens,
            kept_tokens: tokens.saturating_sub(l.dropped()),
            bytes: l.total(|passed| passed.bytes),
        }))
    };
    let (validation, test) = (held_out(Split::Validation)?, held_out(Split::Test)?);
    let accumulation = training.gradient_accumulation_steps;

    let (metrics, rewound) =
        MetricsLog::open(disk, &folder.path(METRICS_FILE), state.metrics_lines, run_id.as_str())?;
    if rewound.missing_lines > 0 {
        say(Notice::Warning(format!(
            "{METRICS_FILE}: {} lines are missing",
            rewound.missing_lines
        )));
    }
    let resumed_at = (state.global_step > 0).then_some(state.global_step);
    let events =
        config.logging.tensorboard.then(|| EventLog::create(disk, folder.root(), resumed_at));
    let model_files = model_files(config, tokenizer, &*trainer.model);
    let workers = config.data.workers();
    let checkpoints = plan.checkpoints;
    let keep = usize::try_from(training.checkpoints.save_resume_state_last_n);
    Ok(Run {
        trainer: Trainer { learning_rate, ..trainer },
        windows: Windows::new(Arc::new(train), validation, accumulation).ahead_on(workers),
        plan: Plan {
            objective: training.objective(),
            total_steps: plan.length.total_steps,
            checkpoint_at: Box::new(move |step| checkpoints.contains(step)),
            rolling_every: training.checkpoints.rolling_resume_every_steps,
            validate_every: config.evaluation.every_steps,
            validate_checkpoints: config.evaluation.at_checkpoints,
            perplexity: config.evaluation.perplexity,
            log_every: config.logging.log_metrics_every_n_steps,
            early_stopping: training.early_stopping,
            time_limit: training.time_limit,
            on_non_finite: training.on_non_finite,
            retention: Retention { resume_state_last_n: keep.unwrap_or(usize::MAX) },
        },
        test,
        store,
        metrics,
        events: events.transpose()?,
        state,
        model_files,
        suites: None,
        stop: stop.clone(),
        resume_command: String::new(),
        folder: folder.root().to_owned(),
    })
}

/// The files that every checkpoint has beside its tensors: the tokenizer's, and what says how the model is built.
fn model_files(
    config: &Config,
    tokenizer: &Tokenizer,
    model: &dyn LanguageModel,
) -> Vec<(String, Vec<u8>)> {
    let special = sentence_ids(model, config.data.boundary, tokenizer.special_ids());
    let of_tokenizer = tokenizer.files(Some(config.data.max_sequence_length)).into_iter();
    of_tokenizer
        .chain(interchange::beside_weights(model, &special))
        .map(|(name, content)| (name.to_owned(), content.into_bytes()))
        .collect()
}

/// The schedule as far as it has come, and a state that watches what the configuration wants watched: a run that was
/// allowed to change may begin to, or cease.
fn watch(
    training: &TrainingConfig,
    schedule: LearningRate,
    state: &mut TrainerState,
) -> LearningRate {
    let patience = state.early_stopping.unwrap_or_default();
    state.early_stopping = training.early_stopping.map(|_| patience);
    let plateau = state.scheduler.unwrap_or_default();
    state.scheduler = (schedule.shape == LrShape::Plateau).then_some(plateau);
    let reductions = state.scheduler.map_or(0, |plateau| plateau.reductions());
    LearningRate { reductions, ..schedule }
}

/// Puts a trainer and the state back to where the newest checkpoint left them, if there is one yet.
fn restore(
    folder: &RunFolder,
    trainer: &mut Trainer,
    state: &mut TrainerState,
    say: Say<'_>,
) -> Result<(), Error> {
    let Trainer { model, average, optimizer, carried, .. } = trainer;
    let model = &mut **model;
    let run_id = &folder.provenance().run_id;
    let Some(found) = find_resumable(folder.disk(), folder.root(), run_id)? else { return Ok(()) };
    for rejected in &found.rejected {
        say(Notice::Warning(format!("passed over: {rejected}")));
    }
    let saved = found.checkpoint.state()?;
    same("the data", &saved.data_hash, &state.data_hash)?;
    same("the tokenizer", &saved.tokenizer_hash, &state.tokenizer_hash)?;
    if saved.isa != state.isa {
        say(Notice::Warning(format!(
            "this machine computes with {}, the checkpoint was computed with {}: the result will be \
             equal but for the last digits, not to the last bit",
            state.isa, saved.isa
        )));
    }
    weights::load_model(model, found.checkpoint.tensors(MODEL_FILE)?)?;
    if let Some(average) = average {
        *average = average.anew(model);
    }
    if found.checkpoint.manifest().digest(RAW_MODEL_FILE).is_some() {
        weights::load_model(model, found.checkpoint.tensors(RAW_MODEL_FILE)?)?;
    }
    let updates = saved.extra.get(OPTIMIZER_UPDATES).and_then(Value::as_u64).ok_or_else(|| {
        let path = found.checkpoint.path().join(STATE_FILE);
        Error::Mismatch(format!(
            "{} does not say how many updates the optimizer has made (extra.{OPTIMIZER_UPDATES}): it was edited\n  \
             mend: restore the file, or delete {} to go on from the checkpoint before it",
            path.display(),
            found.checkpoint.path().display()
        ))
    })?;
    weights::load_optimizer(optimizer, updates, found.checkpoint.tensors(OPTIMIZER_FILE)?)?;
    if let Some(carried) = carried {
        carried.load(found.checkpoint.tensors(CARRIED_FILE)?)?;
    }
    if let Some((scale, kept)) = optimizer.loss_scale.as_mut().zip(saved.extra.get(LOSS_SCALE)) {
        let read = LossScale::deserialize(kept).ok().and_then(LossScale::checked);
        *scale = read.ok_or_else(|| {
            let path = found.checkpoint.path().join(STATE_FILE);
            Error::Mismatch(format!(
                "{} has a loss scale that cannot be (extra.{LOSS_SCALE}: {kept}): it was edited\n  \
                 mend: restore the file, or delete {} to go on from the checkpoint before it",
                path.display(),
                found.checkpoint.path().display()
            ))
        })?;
    }
    say(Notice::Info(format!("resumed after step {}", saved.global_step)));
    let (isa, config_fingerprint) = (state.isa.clone(), state.config_fingerprint.clone());
    *state = TrainerState { isa, config_fingerprint, ..saved };
    Ok(())
}

fn rule(rule: UpdateRule) -> Rule {
    match rule {
        UpdateRule::AdamW { beta1, beta2, epsilon } => Rule::AdamW { beta1, beta2, epsilon },
        UpdateRule::Sgd { momentum } => Rule::Sgd { momentum },
    }
}

/// Only what may change has changed since the run began.
fn check_changes(run: &RunFolder, config: &Config, allowed: &[String]) -> Result<(), Error> {
    let Some(text) = run.config_yaml()? else { return Ok(()) };
    let name = run.path(CONFIG_FILE).display().to_string();
    let began = Config::parse(&text, &name, &[])?;
    let changes = began.diff(config);
    let refused: Vec<_> = changes.iter().filter(|c| !allowed.contains(&c.path)).collect();
    if refused.is_empty() {
        return Ok(());
    }
    let lines: Vec<_> =
        refused.iter().map(|c| format!("  {}: {} -> {}", c.path, c.old, c.new)).collect();
    let flags: Vec<_> = refused.iter().map(|c| format!("--allow-change {}", c.path)).collect();
    Err(Error::Usage(format!(
        "the configuration is not the one that {} was begun with:\n{}\n  mend: undo the change, or \
         say that it is meant: {}",
        run.root().display(),
        lines.join("\n"),
        flags.join(" ")
    )))
}

/// The end of a run, after so many updates, does not lie before where it stands: it would never be met. Looked at before anything
/// is written.
fn not_behind(run: &RunFolder, end: u64) -> Result<(), Error> {
    let found = find_resumable(run.disk(), run.root(), &run.provenance().run_id)?;
    let at = found.map(|found| found.checkpoint.state()).transpose()?.map_or(0, |s| s.global_step);
    if at <= end {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "the run has made {at} updates already, and is now to end after {end}\n  mend: set training.train_steps, epochs or \
         train_tokens to no less, or begin a new run with another training.output_dir"
    )))
}

/// A resumed run under a configuration that was allowed to change is that of the new configuration. One that was killed
/// before its configuration was written has it from now on.
fn go_on(run: RunFolder, config: &Config, fingerprint: &str) -> Result<RunFolder, Error> {
    if run.path(crate::train::run_folder::RESULT_FILE).exists() {
        run.reopen()?;
    }
    let changed = run.provenance().config_fingerprint != fingerprint;
    if changed || run.config_yaml()?.is_none() {
        run.write(CONFIG_FILE, config.to_yaml().as_bytes())?;
    }
    if changed {
        let config_fingerprint = fingerprint.to_owned();
        let provenance = Provenance { config_fingerprint, ..run.provenance().clone() };
        run.write_json(PROVENANCE_FILE, &provenance)?;
    }
    Ok(run)
}

fn provenance(dataset: &Dataset, tokenizer: &Tokenizer) -> Map<String, Value> {
    let value = json!({
        "foundry_version": env!("CARGO_PKG_VERSION"),
        "isa": Isa::current().name(),
        "data_key": dataset.key(),
        "tokenizer_blake3": tokenizer.hash().to_hex().to_string(),
        "vocab_size": tokenizer.vocab_size(),
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn same(what: &str, saved: &str, now: &str) -> Result<(), Error> {
    if saved == now {
        return Ok(());
    }
    Err(Error::Mismatch(format!(
        "{what} is not what the checkpoint was trained with (then {saved}, now {now})\n  mend: put \
         the files back as they were, or begin a new run with another training.output_dir"
    )))
}
