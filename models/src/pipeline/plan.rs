//! The fourth stage: how long the run is, and what it will keep.

use super::{Pipeline, grouped};
use crate::config::choices::CheckpointUnit;
use crate::config::{Placement, memory};
use crate::data::{Dataset, Split};
use crate::error::Error;
use crate::train::checkpoint_schedule::{CheckpointSchedule, Target};
use crate::train::counts::{Counts, RowOrder};
use crate::train::learning_rate::LearningRate;
use crate::train::run_length::{EndsBy, EpochShape, Limits, RunLength, run_length};
use std::fmt;

/// Updates beyond which a number of tokens is reached by the mean of the rows, and not by counting each, and checkpoints are placed
/// by updates alone.
const MOST_COUNTED: u64 = 10_000_000;

/// The course of a run, before it begins.
#[derive(Clone, Debug)]
pub struct RunPlan {
    /// Updates, epochs, and what ends the run.
    pub length: RunLength,
    /// When the model is saved.
    pub checkpoints: CheckpointSchedule,
    /// The learning rate of every update.
    pub learning_rate: LearningRate,
    /// Trainable numbers.
    pub parameters: u64,
    /// What all checkpoints take on the disk, in bytes.
    pub checkpoint_bytes: u64,
}

impl Pipeline {
    /// The course of the run over the training text of `dataset` with a vocabulary of `vocab_size`.
    ///
    /// # Errors
    /// No data, no end, or more checkpoints than can be meant; a damaged cache.
    pub fn plan(&self, dataset: &Dataset, vocab_size: usize) -> Result<RunPlan, Error> {
        let chunks = dataset.split(Split::Train);
        let (data, training) = (&self.config.data, &self.config.training);
        let order = match self.config.model.is_stateful() {
            true => RowOrder::Columns,
            false => RowOrder::Shuffled(self.config.random_seed),
        };
        let usage = |e: &dyn fmt::Display| Error::Usage(e.to_string());
        let shape = EpochShape {
            sequences: chunks.map_or(0, |chunks| chunks.len()),
            tokens: chunks.map_or(0, |chunks| chunks.tokens()),
            batch_size: data.batch_size as u64,
            accumulation: training.gradient_accumulation_steps as u64,
        };
        let mut length = run_length(shape, training.limits()).map_err(|e| usage(&e))?;
        let full = shape.sequences.saturating_mul(data.max_sequence_length as u64);
        let ragged = shape.tokens != full && length.total_steps < MOST_COUNTED;
        if let (true, Some(chunks), Some(wanted)) = (ragged, chunks, training.train_tokens) {
            // Rows of different lengths: the update that reaches the tokens is found by counting, up to the end that the
            // other limits set. By the mean of the rows it may lie an epoch off.
            let others = Limits { train_tokens: None, ..training.limits() };
            let others = run_length(shape, others).ok();
            let most = length.total_steps.saturating_add(length.steps_per_epoch);
            let total_steps = others.map_or(most, |others| others.total_steps.min(most));
            let accumulation = training.gradient_accumulation_steps;
            let (unit, batch) = (CheckpointUnit::Tokens, data.batch_size);
            let counted = RunLength { total_steps, ..length };
            let counts = Counts::new(chunks, unit, &counted, order, batch, accumulation)?;
            let before = counts.after.iter().take_while(|seen| **seen < wanted).count() as u64;
            length = match others {
                Some(others) if others.total_steps <= before => others,
                _ => RunLength { total_steps: before + 1, ends_by: EndsBy::TrainTokens, ..length },
            };
        }
        let placement = &training.checkpoints.placement;
        let checkpoints = match (training.checkpoints.unit, chunks) {
            (CheckpointUnit::Steps, _) | (_, None) => CheckpointSchedule::new(placement, &length),
            _ if length.total_steps > MOST_COUNTED && *placement == Placement::Ends => {
                CheckpointSchedule::new(placement, &length)
            }
            (unit, _) if length.total_steps > MOST_COUNTED => {
                let instead = match placement {
                    Placement::Preset(_) => "remove checkpoint_preset",
                    _ => "checkpoint_unit: steps",
                };
                return Err(Error::Usage(format!(
                    "training.checkpoint_unit: {unit} are counted update by update, and the run has {}: at most {}\n  mend: \
                     set training.train_steps, epochs or train_tokens to less, or {instead}",
                    grouped(length.total_steps),
                    grouped(MOST_COUNTED)
                )));
            }
            (unit, Some(chunks)) => {
                let accumulation = training.gradient_accumulation_steps;
                let counts =
                    Counts::new(chunks, unit, &length, order, data.batch_size, accumulation)?;
                CheckpointSchedule::counted(placement, unit, counts.per_epoch, &counts.after)
            }
        };
        let checkpoints = checkpoints.map_err(|e| usage(&e))?;
        let learning_rate = LearningRate::new(training, length.total_steps);
        let count =
            memory::parameter_count(&self.config.model, vocab_size, data.max_sequence_length);
        let parameters = u64::try_from(count).unwrap_or(u64::MAX);
        // Weights in f32; the newest checkpoints have two moments beside them, and the weights that are averaged.
        let saved = checkpoints.steps.len() as u64;
        let with_state = saved.min(training.checkpoints.save_resume_state_last_n + 1);
        let weights = parameters.saturating_mul(4);
        let checkpoint_bytes = weights
            .saturating_mul(saved + (2 + u64::from(training.ema_decay.is_some())) * with_state);
        Ok(RunPlan { length, checkpoints, learning_rate, parameters, checkpoint_bytes })
    }
}

impl RunPlan {
    /// What a person should know before the run: targets of the schedule that it never meets.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let unit = self.checkpoints.unit;
        let warning = |target| {
            format!(
                "checkpoint_schedule: {target} {unit} are not reached before the end of the run"
            )
        };
        self.checkpoints.unreachable.iter().map(warning).collect()
    }
}

impl fmt::Display for RunPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RunLength { steps_per_epoch, total_steps, ends_by, .. } = self.length;
        let by = match ends_by {
            EndsBy::Epochs => "training.epochs",
            EndsBy::TrainSteps => "training.train_steps",
            EndsBy::TrainTokens => "training.train_tokens",
        };
        writeln!(f, "parameters   {}", grouped(self.parameters))?;
        writeln!(
            f,
            "updates      {} ({} an epoch, {} epochs begun; ended by {by})",
            grouped(total_steps),
            grouped(steps_per_epoch),
            grouped(self.length.epochs())
        )?;
        let steps: Vec<_> = self.checkpoints.steps.iter().map(u64::to_string).collect();
        let shown = if steps.len() > 24 {
            format!("{}, ..., {}", steps[..20].join(", "), steps[steps.len() - 3..].join(", "))
        } else {
            steps.join(", ")
        };
        writeln!(f, "checkpoints  {} at steps {shown}", steps.len())?;
        let unit = self.checkpoints.unit;
        let named = self.checkpoints.targets.iter().map(|target: &Target| {
            let name = target.babylm_name().map_or_else(String::new, |name| format!(" ({name})"));
            format!("{} {unit}{name} at {}", grouped(target.count), target.step)
        });
        let targets: Vec<_> = named.take(30).collect();
        if !targets.is_empty() {
            let more = self.checkpoints.targets.len() - targets.len();
            let more = if more > 0 { format!(", and {more} more") } else { String::new() };
            writeln!(f, "             {}{more}", targets.join(", "))?;
        }
        writeln!(f, "disk         {} for them", memory::bytes(self.checkpoint_bytes.into()))?;
        let rate = &self.learning_rate;
        write!(
            f,
            "rate         peak {}, warm-up {} updates",
            rate.peak,
            grouped(rate.warmup_steps)
        )?;
        if rate.warmup_steps > 0 {
            write!(f, " (the first has rate 0: checkpoint-1 equals checkpoint-0)")?;
        }
        Ok(())
    }
}
