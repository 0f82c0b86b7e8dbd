//! When a run is saved: a sorted list of updates, drawn before the run begins.
//!
//! `checkpoint-N` is the model after exactly `N` updates. Step 0 (the initial weights) and the end
//! of the run are always in the list. In between, with `spe` updates an epoch and base `b`:
//!
//! ```text
//! first epoch  log     round(b^i), i = 0, 1, 2 ... below spe, and spe
//!              even n  round(i * spe / (n - 1)), i = 0 .. n - 1     (n = 1: spe; n = 0: none)
//! epoch e >= 2         begins after s = (e - 1) * spe updates and ends at s + spe
//!              log     s + round(b^i), i = 0, 1, 2 ... below its end, and its end
//!              linear  s + k, s + 2k ... below its end, and its end (k: interval, or spe / 10)
//! ```
//!
//! Early checkpoints are dense because that is where a model learns most; the spacing starts anew
//! each epoch because each epoch is a new pass over the same text. Halves are rounded to even.
//!
//! With `checkpoint_unit: tokens` or `words` the same rules are read in that unit: an epoch is as long as the tokens or
//! words in it, and every target is met by the first update whose count reaches it (several may be met by one). Which
//! rows an update reads is known beforehand, and so is the whole list of updates. A token counts when it is read
//! (padding apart), a word when its first token is.
//!
//! The presets are those of the BabyLM challenge, in words: every million up to 10 M, every 10 M up to 100 M, and for
//! `babylm-strict` every 100 M up to 1000 M; its names for them are `chck_1M`, `chck_2M` ...
//!
//! **Minimum interval**: ends of epochs come first, then steps inside them, each in ascending
//! order; a step is taken if it is at least that far from every step taken already. Step 0 and the
//! end of the run stand whatever the interval.

use std::collections::BTreeSet;

use super::run_length::{EndsBy, RunLength};
use crate::config::choices::{CheckpointPreset, CheckpointUnit};
use crate::config::{Automatic, FirstEpoch, LaterEpochs, Placement};

/// The longest list that is drawn. A run with more checkpoints is a mistake.
pub const MOST_CHECKPOINTS: usize = 1_000_000;

/// The updates after which a run is saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointSchedule {
    /// Ascending, each once; begins with 0 and ends with the end of the run.
    pub steps: Vec<u64>,
    /// What the targets count.
    pub unit: CheckpointUnit,
    /// What was to be met and when it is, ascending; none with `steps`, where both are the same.
    pub targets: Vec<Target>,
    /// Targets that were listed and lie beyond the end of the run, in the unit.
    pub unreachable: Vec<u64>,
}

/// A number of tokens or words after which the run is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Target {
    /// Tokens or words.
    pub count: u64,
    /// The first update that reaches them.
    pub step: u64,
}

impl Target {
    /// What the BabyLM challenge calls a checkpoint after so many words: `chck_1M`; None between the millions.
    #[must_use]
    pub fn babylm_name(&self) -> Option<String> {
        let whole = self.count > 0 && self.count.is_multiple_of(1_000_000);
        whole.then(|| format!("chck_{}M", self.count / 1_000_000))
    }
}

/// Why no schedule can be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Too many checkpoints.
    #[error(
        "the checkpoint schedule has more than {MOST_CHECKPOINTS} checkpoints: set \
         training.min_checkpoint_interval, or a larger training.linear_interval"
    )]
    TooMany,
}

impl CheckpointSchedule {
    /// Draws the schedule of a run in updates. A list that is given wins over the rules.
    ///
    /// # Errors
    /// [`ScheduleError`]: too many checkpoints.
    pub fn new(placement: &Placement, run: &RunLength) -> Result<Self, ScheduleError> {
        let (steps, unreachable) = draw(placement, run)?;
        let steps = steps.into_iter().collect();
        Ok(Self { steps, unit: CheckpointUnit::Steps, targets: Vec::new(), unreachable })
    }

    /// Draws the schedule of a run in tokens or words. `per_epoch` of them are in an epoch, and `counts[u]` have been
    /// seen after `u + 1` updates, of which there is at least one.
    ///
    /// # Errors
    /// [`ScheduleError`]: too many checkpoints.
    pub fn counted(
        placement: &Placement,
        unit: CheckpointUnit,
        per_epoch: u64,
        counts: &[u64],
    ) -> Result<Self, ScheduleError> {
        let end = counts.len() as u64;
        let total = counts.last().copied().unwrap_or(0);
        let in_unit = RunLength {
            batches_per_epoch: per_epoch,
            steps_per_epoch: per_epoch.max(1),
            total_steps: total,
            ends_by: EndsBy::TrainSteps,
        };
        let (wanted, unreachable) = draw(placement, &in_unit)?;
        let met = |count: u64| counts.partition_point(|&seen| seen < count) as u64 + 1;
        let targets: Vec<Target> = (wanted.into_iter().filter(|&count| count > 0))
            .map(|count| Target { count, step: met(count).min(end) })
            .collect();
        let mut steps = BTreeSet::from([0, end]);
        steps.extend(targets.iter().map(|target| target.step));
        Ok(Self { steps: steps.into_iter().collect(), unit, targets, unreachable })
    }

    /// Whether the model is saved after `step` updates.
    pub fn contains(&self, step: u64) -> bool {
        self.steps.binary_search(&step).is_ok()
    }

    /// The next checkpoint after `step` updates.
    pub fn next_after(&self, step: u64) -> Option<u64> {
        let i = self.steps.partition_point(|&s| s <= step);
        self.steps.get(i).copied()
    }
}

/// What is to be met, the end included, and what was listed beyond it; all in one unit.
fn draw(
    placement: &Placement,
    run: &RunLength,
) -> Result<(BTreeSet<u64>, Vec<u64>), ScheduleError> {
    let end = run.total_steps;
    let mut wanted = BTreeSet::from([0, end]);
    let mut list = |listed: &[u64]| {
        let (inside, beyond): (Vec<u64>, Vec<u64>) = listed.iter().partition(|&&at| at <= end);
        wanted.extend(inside);
        beyond
    };
    let beyond = match placement {
        Placement::Ends => Vec::new(),
        Placement::Listed(listed) => list(listed),
        Placement::Preset(preset) => {
            list(&words_of(*preset));
            Vec::new()
        }
        Placement::Automatic(rules) => {
            automatic(rules, run, &mut wanted)?;
            Vec::new()
        }
    };
    Ok((wanted, beyond))
}

/// The targets that a placement lists, ascending; None where rules place them.
pub(crate) fn listed_targets(placement: &Placement) -> Option<Vec<u64>> {
    match placement {
        Placement::Listed(list) => Some(list.iter().copied().filter(|&n| n > 0).collect()),
        Placement::Preset(preset) => Some(words_of(*preset)),
        Placement::Ends | Placement::Automatic(_) => None,
    }
}

/// The published schedules, in words.
fn words_of(preset: CheckpointPreset) -> Vec<u64> {
    const MILLION: u64 = 1_000_000;
    let every = |n: u64, from: u64, to: u64| (from..=to).map(move |i| i * n * MILLION);
    let small = every(1, 1, 10).chain(every(10, 2, 10));
    match preset {
        CheckpointPreset::BabylmStrictSmall => small.collect(),
        CheckpointPreset::BabylmStrict => small.chain(every(100, 2, 10)).collect(),
    }
}

fn automatic(
    rules: &Automatic,
    run: &RunLength,
    steps: &mut BTreeSet<u64>,
) -> Result<(), ScheduleError> {
    let (epoch_length, end) = (run.steps_per_epoch, run.total_steps);
    // Steps inside an epoch, as distances from its start; the same for all later epochs.
    let first_ends = rules.first_epoch != FirstEpoch::Even(0);
    let inside_first = match rules.first_epoch {
        FirstEpoch::Log => powers(rules.log_base, epoch_length),
        FirstEpoch::Even(n) => even(n, epoch_length),
    };
    let inside_later = match rules.later_epochs {
        LaterEpochs::Log => powers(rules.log_base, epoch_length),
        LaterEpochs::Linear(interval) => {
            let interval = interval.unwrap_or(epoch_length / 10).max(1);
            if epoch_length / interval > MOST_CHECKPOINTS as u64 {
                return Err(ScheduleError::TooMany);
            }
            (1..).map_while(|i| interval.checked_mul(i).filter(|&s| s < epoch_length)).collect()
        }
    };
    let epochs = run.epochs();
    let per_epoch = inside_later.len() as u64 + 1;
    // Bounds the work below; what a minimum interval then leaves out does not matter.
    if epochs.saturating_mul(per_epoch) > 10 * MOST_CHECKPOINTS as u64 {
        return Err(ScheduleError::TooMany);
    }
    let mut take = |step: u64| {
        let before =
            steps.range(..=step).next_back().is_none_or(|s| step - s >= rules.min_interval);
        let after = steps.range(step..).next().is_none_or(|s| s - step >= rules.min_interval);
        if before && after && step < end {
            steps.insert(step);
        }
    };
    for epoch in 1..=epochs {
        if epoch > 1 || first_ends {
            take(epoch.saturating_mul(epoch_length));
        }
    }
    for epoch in 1..=epochs {
        let start = (epoch - 1) * epoch_length;
        let inside = if epoch == 1 { &inside_first } else { &inside_later };
        for distance in inside {
            take(start + distance);
        }
    }
    if steps.len() > MOST_CHECKPOINTS {
        return Err(ScheduleError::TooMany);
    }
    Ok(())
}

/// round(base^i), i = 0, 1, 2 ..., below `limit`, each once. `base` is at least 1.01 (a rule of
/// the configuration), so the loop is short.
fn powers(base: f64, limit: u64) -> Vec<u64> {
    let mut steps = Vec::new();
    let mut power = 1.0f64;
    while real(limit) > power.round_ties_even() {
        let step = whole(power);
        if steps.last() != Some(&step) {
            steps.push(step);
        }
        power *= base;
    }
    steps
}

/// round(i * length / (n - 1)), i = 0 .. n - 1, without the epoch's own ends.
fn even(n: u64, length: u64) -> Vec<u64> {
    let mut steps: Vec<u64> = (1..n.saturating_sub(1))
        .map(|i| whole((i as f64 * real(length)) / (n - 1) as f64))
        .filter(|&s| 0 < s && s < length)
        .collect();
    steps.dedup();
    steps
}

#[expect(clippy::cast_precision_loss, reason = "no epoch has 2^53 updates")]
fn real(n: u64) -> f64 {
    n as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a distance within an epoch, rounded on purpose"
)]
fn whole(x: f64) -> u64 {
    x.round_ties_even() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Automatic = Automatic {
        first_epoch: FirstEpoch::Log,
        later_epochs: LaterEpochs::Log,
        log_base: 2.0,
        min_interval: 1,
    };

    fn run(steps_per_epoch: u64, total_steps: u64) -> RunLength {
        RunLength {
            batches_per_epoch: steps_per_epoch,
            steps_per_epoch,
            total_steps,
            ends_by: EndsBy::TrainSteps,
        }
    }

    fn steps(rules: Automatic, steps_per_epoch: u64, total: u64) -> Vec<u64> {
        let placement = Placement::Automatic(rules);
        CheckpointSchedule::new(&placement, &run(steps_per_epoch, total)).unwrap().steps
    }

    #[test]
    fn test_d06__log_spacing_starts_anew_in_every_later_epoch() {
        assert_eq!(
            steps(RULES, 333, 666),
            [
                0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 333, 334, 335, 337, 341, 349, 365, 397, 461,
                589, 666
            ]
        );
        assert_eq!(
            steps(RULES, 10, 30),
            [0, 1, 2, 4, 8, 10, 11, 12, 14, 18, 20, 21, 22, 24, 28, 30]
        );
    }

    #[test]
    fn test_d07__first_epoch_log() {
        assert_eq!(steps(RULES, 100, 100), [0, 1, 2, 4, 8, 16, 32, 64, 100]);
        let three = Automatic { log_base: 3.0, ..RULES };
        assert_eq!(steps(three, 100, 100), [0, 1, 3, 9, 27, 81, 100]);
        let slow = Automatic { log_base: 1.5, ..RULES };
        assert_eq!(steps(slow, 10, 10), [0, 1, 2, 3, 5, 8, 10]);
    }

    #[test]
    fn test_d07__first_epoch_even() {
        let even = |n| Automatic { first_epoch: FirstEpoch::Even(n), ..RULES };
        // round(i * 290 / 19), i = 0 .. 19
        let twenty = [
            0, 15, 31, 46, 61, 76, 92, 107, 122, 137, 153, 168, 183, 198, 214, 229, 244, 259, 275,
            290,
        ];
        assert_eq!(steps(even(20), 290, 290), twenty);
        assert_eq!(steps(even(5), 100, 100), [0, 25, 50, 75, 100]);
        assert_eq!(steps(even(3), 5, 5), [0, 2, 5], "halves go to the even step");
        assert_eq!(steps(even(0), 4, 8), [0, 5, 6, 8], "none in the first epoch");
        assert_eq!(steps(even(1), 4, 8), [0, 4, 5, 6, 8], "its end alone");
        assert_eq!(steps(even(2), 4, 8), [0, 4, 5, 6, 8]);
        assert_eq!(steps(even(50), 4, 4), [0, 1, 2, 3, 4], "more than there are steps");
    }

    #[test]
    fn test_d08__step_zero_and_the_end_are_always_there() {
        for placement in [
            Placement::Ends,
            Placement::Listed(vec![7]),
            Placement::Automatic(Automatic { min_interval: u64::MAX, ..RULES }),
        ] {
            for total in [1, 10, 13] {
                let schedule = CheckpointSchedule::new(&placement, &run(10, total)).unwrap();
                assert_eq!(schedule.steps.first(), Some(&0), "{placement:?}");
                assert_eq!(schedule.steps.last(), Some(&total), "{placement:?}");
                assert!(schedule.contains(0) && schedule.contains(total));
            }
        }
    }

    #[test]
    fn test_checkpoint_schedule__linear_spacing() {
        let linear = |k| Automatic { later_epochs: LaterEpochs::Linear(k), ..RULES };
        assert_eq!(steps(linear(Some(40)), 100, 200)[8..], [100, 140, 180, 200]);
        assert_eq!(
            steps(linear(None), 100, 200)[8..],
            [100, 110, 120, 130, 140, 150, 160, 170, 180, 190, 200]
        );
        // A tenth of a short epoch is at least one step.
        assert_eq!(steps(linear(None), 4, 8), [0, 1, 2, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn test_checkpoint_schedule__a_run_cut_short_ends_where_it_ends() {
        assert_eq!(steps(RULES, 100, 50), [0, 1, 2, 4, 8, 16, 32, 50]);
        assert_eq!(
            steps(RULES, 100, 111),
            [0, 1, 2, 4, 8, 16, 32, 64, 100, 101, 102, 104, 108, 111]
        );
    }

    #[test]
    fn test_d10__min_checkpoint_interval_is_obeyed_and_epoch_ends_go_first() {
        let spaced = |min| Automatic { min_interval: min, ..RULES };
        assert_eq!(
            steps(spaced(30), 333, 666),
            [0, 32, 64, 128, 256, 333, 365, 397, 461, 589, 666]
        );
        assert_eq!(steps(spaced(334), 333, 999), [0, 334, 999], "no epoch end fits, one step does");
        assert_eq!(steps(spaced(333), 333, 999), [0, 333, 666, 999]);
        let default = steps(RULES, 333, 666);
        assert_ne!(default, steps(spaced(2), 333, 666));
    }

    #[test]
    fn test_checkpoint_schedule__a_list_wins_and_its_unreachable_steps_are_named() {
        let listed = Placement::Listed(vec![3, 10, 1_000_000]);
        let schedule = CheckpointSchedule::new(&listed, &run(10, 20)).unwrap();
        assert_eq!(schedule.steps, [0, 3, 10, 20]);
        assert_eq!(schedule.unreachable, [1_000_000]);
        assert_eq!(schedule.next_after(3), Some(10));
        assert_eq!(schedule.next_after(20), None);
    }

    /// The numbers of the specification, read off a run of 333 updates an epoch.
    #[test]
    fn test_d06__second_epoch_of_333_updates() {
        let all = steps(RULES, 333, 666);
        let second: Vec<u64> = all.into_iter().filter(|&s| s > 333).collect();
        assert_eq!(second, [334, 335, 337, 341, 349, 365, 397, 461, 589, 666]);
    }

    #[test]
    fn test_checkpoint_unit__a_target_is_met_by_the_first_update_that_reaches_it() {
        // Updates that read 4, 6, 5 | 4, 6, 5 words: 15 an epoch.
        let counts = [4, 10, 15, 19, 25, 30];
        let draw = |placement: &Placement| {
            CheckpointSchedule::counted(placement, CheckpointUnit::Words, 15, &counts).unwrap()
        };
        let listed = draw(&Placement::Listed(vec![4, 5, 10, 11, 26, 31]));
        let met: Vec<_> = listed.targets.iter().map(|t| (t.count, t.step)).collect();
        assert_eq!(met, [(4, 1), (5, 2), (10, 2), (11, 3), (26, 6), (30, 6)]);
        assert_eq!(listed.steps, [0, 1, 2, 3, 6]);
        assert_eq!(listed.unreachable, [31]);
        // 1, 2, 4, 8, 15 words, and the same after 15.
        let rules = draw(&Placement::Automatic(RULES));
        let met: Vec<_> = rules.targets.iter().map(|t| (t.count, t.step)).collect();
        let first = [(1, 1), (2, 1), (4, 1), (8, 2), (15, 3)];
        assert_eq!(met[..5], first);
        assert_eq!(met[5..], [(16, 4), (17, 4), (19, 4), (23, 5), (30, 6)]);
        let spaced = Automatic { min_interval: 10, ..RULES };
        assert_eq!(draw(&Placement::Automatic(spaced)).steps, [0, 3, 6], "an interval in words");
    }

    #[test]
    fn test_checkpoint_preset__babylm_names_and_words() {
        let targets = |preset, updates: u64| {
            // 300,000 words an update.
            let counts: Vec<u64> = (1..=updates).map(|u| u * 300_000).collect();
            let placement = Placement::Preset(preset);
            CheckpointSchedule::counted(&placement, CheckpointUnit::Words, 10_000_000, &counts)
                .unwrap()
        };
        let small = targets(CheckpointPreset::BabylmStrictSmall, 334);
        let named: Vec<String> = small.targets.iter().filter_map(Target::babylm_name).collect();
        let millions = (1..=10).chain((20..=100).step_by(10));
        assert_eq!(named, millions.map(|m| format!("chck_{m}M")).collect::<Vec<_>>());
        assert_eq!(small.targets[0], Target { count: 1_000_000, step: 4 });
        assert_eq!(small.targets[18], Target { count: 100_000_000, step: 334 });
        let strict = targets(CheckpointPreset::BabylmStrict, 3334);
        assert_eq!(strict.targets.iter().filter_map(Target::babylm_name).count(), 28);
        assert_eq!(strict.targets[27], Target { count: 1_000_000_000, step: 3334 });
        // A run that ends before keeps what it reaches.
        let short = targets(CheckpointPreset::BabylmStrict, 8);
        assert_eq!(short.steps, [0, 4, 7, 8]);
        assert!(short.unreachable.is_empty());
    }

    #[test]
    fn test_d11__checkpoints_do_not_reach_beyond_the_end() {
        let all = steps(RULES, 290, 5800);
        assert_eq!(all.last(), Some(&5800));
        assert!(all.windows(2).all(|w| w[0] < w[1] && w[1] - w[0] <= 290));
    }

    #[test]
    fn test_checkpoint_schedule__absurd_lengths_are_refused_quickly() {
        let dense = Automatic { later_epochs: LaterEpochs::Linear(Some(1)), ..RULES };
        for (rules, epoch, total) in
            [(dense, 1 << 40, 1 << 41), (dense, 1000, 1 << 40), (RULES, 1, 1 << 53)]
        {
            let placement = Placement::Automatic(rules);
            let result = CheckpointSchedule::new(&placement, &run(epoch, total));
            assert_eq!(result, Err(ScheduleError::TooMany));
        }
        let slow = Automatic { log_base: 1.01, ..RULES };
        assert!(steps(slow, 1 << 40, 1 << 41).len() < 10_000);
    }
}
