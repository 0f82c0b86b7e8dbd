//! The training loop: what happens between two updates.
//!
//! ```text
//! loop:
//!   save a checkpoint, if one is due at this step
//!   validate, if it is due and has not been done
//!   at the end of the run, or without progress for too long: done
//!   if asked to stop: save, done
//!   one update
//! ```
//!
//! Saving comes before validating, so that a fault while scoring loses nothing; a run that is resumed at a step where
//! validation was due does it then. All that an update depends on is the step: so the loop can be left and entered
//! anywhere, and the files come out the same.

use crate::arch::LanguageModel;
use crate::config::EarlyStopping;
use crate::config::choices::{Objective, OnNonFinite};
use crate::data::DataError;
use crate::eval::dataset_nll;
use crate::storage::StorageError;
use crate::train::carried::{self, Carried};
use crate::train::checkpoint::{
    BEST_FOLDER, BestValidation, CheckpointError, CheckpointFile, CheckpointStore, MODEL_FILE,
    OPTIMIZER_FILE, RAW_MODEL_FILE, Retention, TrainerState, folder_name,
};
use crate::train::manifest::CheckpointKind;
use crate::train::metrics::MetricsLog;
use crate::train::signals::{StopFlag, StopReason};
use crate::train::tensorboard::EventLog;
use crate::train::trainer::{NonFinite, StepError, StepReport, Trainer};
use crate::train::weights;
use crate::train::windows::{HeldOut, Windows};
use foundry_engine::{Device, DeviceError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The entry of the state that counts the optimizer's updates: fewer than steps, if windows were skipped.
pub(crate) const OPTIMIZER_UPDATES: &str = "optimizer_updates";

/// The entry of the state that is the loss scale of fp16.
pub(crate) const LOSS_SCALE: &str = "loss_scale";

/// The file of a checkpoint that says how much its model has read. It stays when the resume state is removed.
pub(crate) const PROGRESS_FILE: &str = "progress.json";

/// How much a model has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Updates.
    pub(crate) step: u64,
    /// Target tokens.
    pub(crate) tokens_seen: u64,
    /// Words whose first token has been an input.
    pub(crate) words_seen: u64,
}

/// When things are due.
pub struct Plan {
    /// What is predicted: names the loss.
    pub objective: Objective,
    /// The number of updates.
    pub total_steps: u64,
    /// Whether a checkpoint is due after so many updates.
    pub checkpoint_at: Box<dyn Fn(u64) -> bool>,
    /// Updates between resume states that are not checkpoints.
    pub rolling_every: Option<u64>,
    /// Updates between validations; None for at checkpoints only.
    pub validate_every: Option<u64>,
    /// Whether perplexity is reported beside the loss.
    pub perplexity: bool,
    /// Whether checkpoints are validated.
    pub validate_checkpoints: bool,
    /// Updates between lines in the log.
    pub log_every: u64,
    /// When the run ends for lack of progress; the best checkpoint is then kept.
    pub early_stopping: Option<EarlyStopping>,
    /// The time of this process, counted from its start.
    pub time_limit: Option<Duration>,
    /// What happens when numbers are not finite.
    pub on_non_finite: OnNonFinite,
    /// How much resume state is kept.
    pub retention: Retention,
}

/// What a run has to say while it goes on.
pub enum Event<'a> {
    /// An update was made.
    Step {
        /// Updates so far.
        step: u64,
        /// Updates in the run.
        total: u64,
        /// What it did.
        report: &'a StepReport,
        /// Tokens read a second, of this update.
        tokens_per_second: f64,
    },
    /// Validation is going on.
    Validating {
        /// Batches scored.
        batches: u64,
    },
    /// Held-out text was scored.
    Validated {
        /// Updates so far.
        step: u64,
        /// What is predicted.
        objective: Objective,
        /// Mean over the held-out targets, in nats a token.
        loss: f64,
    },
    /// A checkpoint was saved.
    Saved {
        /// Updates it holds.
        step: u64,
        /// Its folder.
        path: PathBuf,
    },
    /// Something a person should know.
    Note(String),
}

/// How a run ended, if nothing went wrong.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// All updates were made.
    Finished,
    /// It was stopped, and can be resumed.
    Stopped {
        /// Why.
        reason: StopReason,
        /// Updates made.
        step: u64,
        /// The checkpoint to resume from.
        checkpoint: PathBuf,
    },
}

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Numbers are not finite.
    #[error("{problem}; data rows of the window: {rows:?}\n  {saved}")]
    NonFinite {
        /// Which, and when.
        problem: NonFinite,
        /// The rows of the window.
        rows: Vec<u64>,
        /// What was saved, and how to go on.
        saved: String,
    },
    /// The device failed.
    #[error("{source}\n  {saved}")]
    Device {
        /// Why.
        source: DeviceError,
        /// How to go on.
        saved: String,
    },
    /// The data cannot be read any more.
    #[error("{source}\n  {saved}")]
    Data {
        /// Why.
        source: DataError,
        /// What was saved, and how to go on.
        saved: String,
    },
    /// What is scored at checkpoints could not be.
    #[error("{source}\n  {saved}")]
    Suites {
        /// Why.
        source: Box<crate::error::Error>,
        /// What was saved, and how to go on.
        saved: String,
    },
    /// A log could not be written.
    #[error("{source}\n  {saved}")]
    Log {
        /// Why.
        source: StorageError,
        /// What was saved, and how to go on.
        saved: String,
    },
    /// A checkpoint could not be saved.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The logs could not be brought to the disk.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Scores the model of a checkpoint; false if a stop was asked for before it was done.
pub type CheckpointScorer = Box<
    dyn FnMut(
        &dyn LanguageModel,
        &Device,
        &TrainerState,
        &StopFlag,
    ) -> Result<bool, crate::error::Error>,
>;

/// A run in progress.
pub struct Run {
    /// The model and its optimiser.
    pub trainer: Trainer,
    /// The data.
    pub windows: Windows,
    /// When things are due.
    pub plan: Plan,
    /// Text that is scored once, after the run.
    pub test: Option<HeldOut>,
    /// Where checkpoints go.
    pub store: CheckpointStore,
    /// The log.
    pub metrics: MetricsLog,
    /// TensorBoard's log, if wanted.
    pub events: Option<EventLog>,
    /// What a checkpoint remembers.
    pub state: TrainerState,
    /// Files that every checkpoint has: config.json, the tokenizer.
    pub model_files: Vec<(String, Vec<u8>)>,
    /// What is scored at checkpoints besides the held-out text.
    pub suites: Option<CheckpointScorer>,
    /// Set from outside to stop the run.
    pub stop: StopFlag,
    /// How to resume, for messages.
    pub resume_command: String,
    /// The run folder.
    pub folder: PathBuf,
}

impl Run {
    /// Trains to the end, or until asked to stop.
    ///
    /// # Errors
    /// Numbers that are not finite, data or disks that fail. What was saved before is still there, and so is the
    /// state before the failure where it could be saved.
    pub fn run(&mut self, observer: &mut dyn FnMut(Event<'_>)) -> Result<Outcome, RunError> {
        let start = Instant::now();
        loop {
            let step = self.state.global_step;
            if (self.plan.checkpoint_at)(step) {
                self.save(CheckpointKind::Scheduled, observer)?;
            }
            // A stop that comes while the last validation is going on leaves the run unfinished: its result is owed.
            let owed = self.validation_due(step) && !self.validate(observer)?
                || (self.plan.checkpoint_at)(step) && !self.score_suites(observer)?;
            let gave_up = self.stopped_early() && !owed;
            if gave_up && !(self.plan.checkpoint_at)(step) {
                self.save(CheckpointKind::Scheduled, observer)?;
            }
            if gave_up || step == self.plan.total_steps && !owed {
                self.metrics.sync()?;
                // What is scored after the run is what was saved.
                self.trainer.exchange_average();
                self.trainer.average = None;
                return Ok(Outcome::Finished);
            }
            if self.plan.time_limit.is_some_and(|limit| start.elapsed() >= limit) {
                self.stop.request(StopReason::TimeLimit);
            }
            if let Some(reason) = self.stop.reason() {
                self.metrics.sync()?;
                self.save_to_resume(observer)?;
                let checkpoint = self.folder.join(folder_name(step));
                return Ok(Outcome::Stopped { reason, step, checkpoint });
            }
            if self.plan.rolling_every.is_some_and(|n| step > 0 && step.is_multiple_of(n)) {
                self.save_to_resume(observer)?;
            }
            self.update(observer)?;
        }
    }

    /// Scores the model as it is saved. Whether nothing is owed.
    fn score_suites(&mut self, observer: &mut dyn FnMut(Event<'_>)) -> Result<bool, RunError> {
        let Some(score) = &mut self.suites else { return Ok(true) };
        self.trainer.exchange_average();
        let scored = score(&*self.trainer.model, &self.trainer.device, &self.state, &self.stop);
        self.trainer.exchange_average();
        self.check_device()?;
        scored.map_err(|source| {
            let saved = self.save_after_failure(observer);
            RunError::Suites { source: Box::new(source), saved }
        })
    }

    /// Whether early stopping has ended the run at this step.
    #[must_use]
    pub fn stopped_early(&self) -> bool {
        let rule = self.plan.early_stopping.zip(self.state.early_stopping);
        rule.is_some_and(|(rule, patience)| patience.is_exhausted(rule))
    }

    /// One update, and its line in the log.
    fn update(&mut self, observer: &mut dyn FnMut(Event<'_>)) -> Result<(), RunError> {
        let began = Instant::now();
        let step = self.state.global_step + 1;
        let window = match self.windows.window(step) {
            Ok(window) => window,
            Err(source) => {
                let saved = self.save_after_failure(observer);
                return Err(RunError::Data { source, saved });
            }
        };
        let waited = began.elapsed();
        let report = match self.trainer.step(step, &window.batches) {
            Ok(report) => report,
            Err(StepError::Device(source)) => return Err(self.device_failed(source)),
            Err(StepError::NonFinite(problem)) if self.plan.on_non_finite == OnNonFinite::Skip => {
                observer(Event::Note(format!("{problem}; the window was skipped")));
                self.trainer.nothing_learned(step, &window.batches)
            }
            Err(StepError::NonFinite(problem)) => {
                let saved = self.save_after_failure(observer);
                return Err(RunError::NonFinite { problem, rows: window.rows(), saved });
            }
        };
        if let Some(scale) = self.trainer.optimizer.loss_scale.filter(|_| report.overflowed) {
            let now = scale.scale();
            observer(Event::Note(format!(
                "step {step}: a gradient left fp16; the window was skipped, and the loss scale is now {now}"
            )));
        }
        self.state.global_step = step;
        let tokens = window.batches.iter().map(|b| b.real_tokens).sum::<u64>();
        self.state.tokens_seen += tokens;
        self.state.words_seen += window.batches.iter().map(|b| b.words).sum::<u64>();
        let place = self.windows.place(step);
        if place.batch == 0 {
            self.trainer.end_epoch();
        }
        (self.state.epoch, self.state.batch_in_epoch) = (place.epoch, place.batch);

        let seconds = began.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a window has far fewer than 2^52 tokens")]
        let tokens_per_second = tokens as f64 / seconds;
        if step.is_multiple_of(self.plan.log_every) || step == self.plan.total_steps {
            let loss = self.plan.objective.loss_name();
            let mut record = json!({
                "step": step,
                "epoch": self.state.epoch,
                loss: report.loss,
                "learning_rate": report.learning_rate,
                "grad_norm": report.grad_norm,
                "tokens_seen": self.state.tokens_seen,
                "words_seen": self.state.words_seen,
                "tokens_per_second": tokens_per_second,
                "data_wait_ms": waited.as_secs_f64() * 1e3,
                "memory_bytes": crate::machine::resident_bytes(),
            });
            if let Some(scale) = report.loss_scale {
                record["loss_scale"] = json!(scale);
            }
            let points = [
                (&*format!("train/{loss}"), report.loss),
                ("train/learning_rate", report.learning_rate),
                ("train/grad_norm", report.grad_norm),
                ("train/tokens_per_second", tokens_per_second),
            ];
            self.log(step, &record, &points, observer)?;
        }
        self.state.metrics_lines = self.metrics.lines();
        observer(Event::Step {
            step,
            total: self.plan.total_steps,
            report: &report,
            tokens_per_second,
        });
        Ok(())
    }

    /// What is on the device is lost, so nothing is saved.
    fn device_failed(&self, source: DeviceError) -> RunError {
        let saved = format!("go on from the last checkpoint with: {}", self.resume_command);
        RunError::Device { source, saved }
    }

    /// What was read from the device is what it computed, unless it failed.
    fn check_device(&self) -> Result<(), RunError> {
        self.trainer.device.check().map_err(|source| self.device_failed(source))
    }

    /// A line in the log and points in TensorBoard's.
    fn log(
        &mut self,
        step: u64,
        record: &Value,
        points: &[(&str, f64)],
        observer: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), RunError> {
        let written = self.metrics.append(record).and_then(|()| match &mut self.events {
            Some(events) => events.scalars(step, points),
            None => Ok(()),
        });
        written.map_err(|source| {
            let saved = self.save_after_failure(observer);
            RunError::Log { source, saved }
        })
    }

    fn validation_due(&self, step: u64) -> bool {
        let every = self.plan.validate_every.is_some_and(|n| step.is_multiple_of(n));
        let checkpoint = self.plan.validate_checkpoints && (self.plan.checkpoint_at)(step);
        let end = step == self.plan.total_steps;
        (every || checkpoint || end) && self.state.validated_at != Some(step)
    }

    /// Scores the held-out text. A stop that is asked for meanwhile leaves the result out; it is made up for on resume.
    /// Whether nothing is owed: it was scored, or there is nothing to score.
    fn validate(&mut self, observer: &mut dyn FnMut(Event<'_>)) -> Result<bool, RunError> {
        let step = self.state.global_step;
        let (mut nll, mut targets, mut words) = (0.0, 0, 0);
        let mut batches = 0;
        self.trainer.exchange_average();
        let mut score = || {
            for batch in self.windows.validation() {
                if self.stop.is_set() {
                    return Ok(false);
                }
                let batch = batch?;
                words += batch.words;
                let (sum, n) = dataset_nll(&*self.trainer.model, &self.trainer.device, [batch]);
                (nll, targets) = (nll + sum, targets + n);
                batches += 1;
                observer(Event::Validating { batches });
            }
            Ok(true)
        };
        let scored = score();
        self.trainer.exchange_average();
        self.check_device()?;
        match scored {
            Ok(true) if targets > 0 => {}
            Ok(scored) => return Ok(scored),
            Err(source) => {
                let saved = self.save_after_failure(observer);
                return Err(RunError::Data { source, saved });
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let loss = nll / targets as f64;
        let objective = self.plan.objective;
        let mut record = json!({
            "step": step,
            objective.validation_loss_name(): loss,
            "validation_targets": targets,
            "tokens_seen": self.state.tokens_seen,
            "words_seen": self.state.words_seen,
        });
        if objective == Objective::CausalLm && self.plan.perplexity {
            let rates = self.windows.validation_rates(words);
            let (per_word, per_byte) = (rates.map(|r| r.0), rates.map(|r| r.1));
            let perplexity = |tokens: f64| (loss * tokens).exp();
            record["validation_perplexity_per_token"] = json!(loss.exp());
            record["validation_perplexity_per_word"] = json!(per_word.map(perplexity));
            record["validation_perplexity_per_byte"] = json!(per_byte.map(perplexity));
        }
        let curve = format!("validation/{}", objective.loss_name());
        self.log(step, &record, &[(&*curve, loss)], observer)?;
        self.state.validated_at = Some(step);
        self.state.metrics_lines = self.metrics.lines();
        observer(Event::Validated { step, objective, loss });
        if self.plan.validate_every.is_some_and(|n| step.is_multiple_of(n)) {
            self.watch(loss, observer);
        }
        if loss.is_finite() && self.state.best_validation.is_none_or(|best| loss < best.loss) {
            self.state.best_validation = Some(BestValidation { step, loss });
            if self.plan.early_stopping.is_some() {
                self.save_best(observer)?;
            }
        }
        Ok(true)
    }

    /// What the schedule and early stopping make of a validation loss.
    fn watch(&mut self, loss: f64, observer: &mut dyn FnMut(Event<'_>)) {
        let step = self.state.global_step;
        if let Some(plateau) = &mut self.state.scheduler
            && plateau.see(loss)
        {
            self.trainer.learning_rate.reductions = plateau.reductions();
            let rate = self.trainer.learning_rate.at(step + 1);
            observer(Event::Note(format!(
                "step {step}: the validation loss has come to a plateau; the learning rate is now {rate:e}"
            )));
        }
        if let (Some(rule), Some(patience)) =
            (self.plan.early_stopping, &mut self.state.early_stopping)
        {
            patience.see(rule, loss);
            if patience.is_exhausted(rule) {
                let best = self.state.best_validation.map_or(step, |best| best.step);
                observer(Event::Note(format!(
                    "step {step}: no progress in {} validations; the run ends here (lowest validation loss: step {best})",
                    rule.patience
                )));
            }
        }
    }

    /// The model of this step, as the best so far.
    fn save_best(&mut self, observer: &mut dyn FnMut(Event<'_>)) -> Result<(), RunError> {
        let step = self.state.global_step;
        self.trainer.exchange_average();
        let model = weights::model_file(&*self.trainer.model);
        self.trainer.exchange_average();
        self.check_device()?;
        let mut files = vec![model.to_file(MODEL_FILE)];
        files.extend(files_of(&self.model_files));
        self.store.save(step, CheckpointKind::Best, files)?;
        observer(Event::Saved { step, path: self.folder.join(BEST_FOLDER) });
        Ok(())
    }

    /// The loss on the test text, in nats a token, if there is any.
    ///
    /// # Errors
    /// When the data cannot be read any more.
    pub fn test_loss(&self) -> Result<Option<f64>, DataError> {
        let Some(test) = &self.test else { return Ok(None) };
        let (mut nll, mut targets) = (0.0, 0);
        for batch in test.loader.epoch(0) {
            let (sum, n) = dataset_nll(&*self.trainer.model, &self.trainer.device, [batch?]);
            (nll, targets) = (nll + sum, targets + n);
        }
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let loss = nll / targets as f64;
        Ok((targets > 0).then_some(loss))
    }

    /// A resume state at this step, unless there is a checkpoint already.
    fn save_to_resume(&mut self, observer: &mut dyn FnMut(Event<'_>)) -> Result<(), RunError> {
        if (self.plan.checkpoint_at)(self.state.global_step) {
            return Ok(());
        }
        self.save(CheckpointKind::Rolling, observer)
    }

    fn save(
        &mut self,
        kind: CheckpointKind,
        observer: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), RunError> {
        let step = self.state.global_step;
        self.metrics.sync()?;
        self.state.metrics_lines = self.metrics.lines();
        self.state.extra.insert(OPTIMIZER_UPDATES.into(), json!(self.trainer.optimizer.updates()));
        match &self.trainer.optimizer.loss_scale {
            Some(scale) => self.state.extra.insert(LOSS_SCALE.into(), json!(scale)),
            None => self.state.extra.remove(LOSS_SCALE),
        };
        let trained = weights::model_file(&*self.trainer.model);
        let averaged = self.trainer.average.is_some().then(|| {
            self.trainer.exchange_average();
            let averaged = weights::model_file(&*self.trainer.model);
            self.trainer.exchange_average();
            averaged
        });
        let TrainerState { tokens_seen, words_seen, .. } = self.state;
        let progress = json!(Progress { step, tokens_seen, words_seen });
        let progress = format!("{progress:#}\n");
        let optimizer = weights::optimizer_file(&self.trainer.optimizer);
        let carried = self.trainer.carried.as_ref().map(Carried::to_host);
        self.check_device()?;
        let mut files = vec![
            averaged.as_ref().unwrap_or(&trained).to_file(MODEL_FILE),
            optimizer.to_file(OPTIMIZER_FILE).for_resume(),
            CheckpointFile::state(&self.state),
            CheckpointFile::bytes(PROGRESS_FILE, progress.into_bytes()),
        ];
        files.extend(carried.as_ref().map(carried::file));
        if averaged.is_some() {
            files.push(trained.to_file(RAW_MODEL_FILE).for_resume());
        }
        files.extend(files_of(&self.model_files));
        self.store.save(step, kind, files)?;
        for removed in self.store.rotate(step, self.plan.retention)? {
            observer(Event::Note(format!("removed {removed}: a newer one is whole")));
        }
        observer(Event::Saved { step, path: self.folder.join(folder_name(step)) });
        Ok(())
    }

    /// Saves the state before a failure, if it can be saved, and says what a person should do.
    fn save_after_failure(&mut self, observer: &mut dyn FnMut(Event<'_>)) -> String {
        let step = self.state.global_step;
        match self.save_to_resume(observer) {
            Ok(()) => format!(
                "the state after step {step} is in {}; resume with: {}",
                self.folder.join(folder_name(step)).display(),
                self.resume_command
            ),
            Err(e) => format!("the state after step {step} could not be saved: {e}"),
        }
    }
}

/// The files that every checkpoint has.
fn files_of(files: &[(String, Vec<u8>)]) -> impl Iterator<Item = CheckpointFile<'_>> {
    files.iter().map(|(name, content)| CheckpointFile::bytes(name.clone(), content.as_slice()))
}
