//! `training`, second half: when the model is saved, and what a save keeps.

use crate::config::check::{Check, Range};
use crate::config::choices::{CheckpointPreset, CheckpointUnit, FirstEpochSpacing, Spacing};
use crate::config::raw::RawTraining;

/// When the model is saved, and what a save keeps.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointConfig {
    /// What the numbers of the schedule count.
    pub unit: CheckpointUnit,
    /// Where checkpoints are placed. Step 0 and the end are always saved.
    pub placement: Placement,
    /// How many of the newest scheduled checkpoints keep the optimizer's state.
    pub save_resume_state_last_n: u64,
    /// Steps between rolling resume states.
    pub rolling_resume_every_steps: Option<u64>,
}

/// Where checkpoints are placed.
#[derive(Debug, Clone, PartialEq)]
pub enum Placement {
    /// Step 0 and the end only.
    Ends,
    /// A list, in ascending order, each once.
    Listed(Vec<u64>),
    /// A published schedule.
    Preset(CheckpointPreset),
    /// By the rules.
    Automatic(Automatic),
}

/// The rules that place checkpoints; see [`crate::train::checkpoint_schedule`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Automatic {
    /// How the first epoch is sampled.
    pub first_epoch: FirstEpoch,
    /// How later epochs are sampled.
    pub later_epochs: LaterEpochs,
    /// The base of log spacing.
    pub log_base: f64,
    /// The least distance between checkpoints.
    pub min_interval: u64,
}

/// How the first epoch is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstEpoch {
    /// Powers of the base, and the epoch's end.
    Log,
    /// So many, evenly spaced, start and end included.
    Even(u64),
}

/// How later epochs are sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaterEpochs {
    /// Powers of the base after the epoch's start, and the epoch's end.
    Log,
    /// Every so many steps (`None`: a tenth of an epoch), and the epoch's end.
    Linear(Option<u64>),
}

/// Smaller bases would place a checkpoint at nearly every step, and take long to say so.
const LOG_BASE: Range = ("from 1.01 to 1000", |x| (1.01..=1000.0).contains(&x));

const RULES: [&str; 6] = [
    "first_epoch",
    "first_epoch_checkpoints",
    "subsequent_epochs_spacing",
    "log_base",
    "linear_interval",
    "min_checkpoint_interval",
];

impl CheckpointConfig {
    pub(super) fn resolve(raw: &RawTraining, c: &mut Check<'_>) -> Self {
        let at = |name: &str| format!("training.{name}");
        let automatic = automatic(raw, c);
        let mut listed = raw.checkpoint_schedule.clone().unwrap_or_default();
        listed.sort_unstable();
        listed.dedup();
        if raw.checkpoint_preset.is_some() && !listed.is_empty() {
            let message = "training has both checkpoint_preset and checkpoint_schedule; at most \
                           one is allowed";
            c.conflict(&at("checkpoint_preset"), &at("checkpoint_schedule"), message);
        }
        let auto = raw.auto_generate_checkpoints.unwrap_or(true);
        let placement = match raw.checkpoint_preset {
            Some(preset) => Placement::Preset(preset),
            None if !listed.is_empty() => Placement::Listed(listed),
            None if auto => Placement::Automatic(automatic),
            None => {
                c.all_only_if(false, "training", &RULES, "with auto_generate_checkpoints: true");
                Placement::Ends
            }
        };
        let unit = match (raw.checkpoint_unit, raw.checkpoint_preset) {
            (Some(unit), None) => unit,
            (None, None) => CheckpointUnit::Steps,
            (typed, Some(preset)) => {
                if typed.is_some_and(|unit| unit != CheckpointUnit::Words) {
                    let message = format!("checkpoint_preset: {preset} counts words");
                    c.conflict(&at("checkpoint_unit"), &at("checkpoint_preset"), message)
                        .help("write checkpoint_unit: words, or remove it");
                }
                CheckpointUnit::Words
            }
        };
        Self {
            unit,
            placement,
            save_resume_state_last_n: raw.save_resume_state_last_n.unwrap_or(2),
            rolling_resume_every_steps: raw
                .rolling_resume_every_steps
                .map(|n| c.whole(&at("rolling_resume_every_steps"), Some(n), None, 1..=u64::MAX)),
        }
    }

    /// Writes these settings into what `training` is typed as.
    pub(super) fn fill(&self, raw: &mut RawTraining) {
        raw.checkpoint_unit = Some(self.unit);
        raw.save_resume_state_last_n = Some(self.save_resume_state_last_n);
        raw.rolling_resume_every_steps = self.rolling_resume_every_steps;
        match &self.placement {
            Placement::Ends => raw.auto_generate_checkpoints = Some(false),
            Placement::Listed(steps) => raw.checkpoint_schedule = Some(steps.clone()),
            Placement::Preset(preset) => raw.checkpoint_preset = Some(*preset),
            Placement::Automatic(a) => {
                raw.auto_generate_checkpoints = Some(true);
                match a.first_epoch {
                    FirstEpoch::Log => raw.first_epoch = Some(FirstEpochSpacing::Log),
                    FirstEpoch::Even(n) => {
                        raw.first_epoch = Some(FirstEpochSpacing::Even);
                        raw.first_epoch_checkpoints = Some(n);
                    }
                }
                match a.later_epochs {
                    LaterEpochs::Log => raw.subsequent_epochs_spacing = Some(Spacing::Log),
                    LaterEpochs::Linear(interval) => {
                        raw.subsequent_epochs_spacing = Some(Spacing::Linear);
                        raw.linear_interval = interval;
                    }
                }
                raw.log_base = a.uses_base().then_some(a.log_base);
                raw.min_checkpoint_interval = Some(a.min_interval);
            }
        }
    }
}

impl Automatic {
    fn uses_base(&self) -> bool {
        self.first_epoch == FirstEpoch::Log || self.later_epochs == LaterEpochs::Log
    }
}

fn automatic(raw: &RawTraining, c: &mut Check<'_>) -> Automatic {
    let at = |name: &str| format!("training.{name}");
    let even = raw.first_epoch == Some(FirstEpochSpacing::Even);
    let linear = raw.subsequent_epochs_spacing == Some(Spacing::Linear);
    c.only_if(even, &at("first_epoch_checkpoints"), "with first_epoch: even");
    c.only_if(linear, &at("linear_interval"), "with subsequent_epochs_spacing: linear");
    let condition = "with first_epoch: log or subsequent_epochs_spacing: log";
    c.only_if(!(even && linear), &at("log_base"), condition);
    let count = c.whole(
        &at("first_epoch_checkpoints"),
        raw.first_epoch_checkpoints,
        Some(20),
        0..=1_000_000,
    );
    let interval =
        raw.linear_interval.map(|n| c.whole(&at("linear_interval"), Some(n), None, 1..=u64::MAX));
    Automatic {
        first_epoch: if even { FirstEpoch::Even(count) } else { FirstEpoch::Log },
        later_epochs: if linear { LaterEpochs::Linear(interval) } else { LaterEpochs::Log },
        log_base: c.number(&at("log_base"), raw.log_base, Some(2.0), LOG_BASE),
        min_interval: c.whole(
            &at("min_checkpoint_interval"),
            raw.min_checkpoint_interval,
            Some(1),
            1..=u64::MAX,
        ),
    }
}
