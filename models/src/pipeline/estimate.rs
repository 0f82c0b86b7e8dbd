//! How long a run will take: some of its first updates are made, timed and thrown away.

use super::collator::collator;
use super::train::{new_trainer, training_rows};
use super::{Pipeline, RunPlan, Say, grouped, open_device};
use crate::data::Dataset;
use crate::error::Error;
use crate::tokenizer::Tokenizer;
use crate::train::windows::Windows;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Micro-batches beyond which no more are timed.
const MOST: u64 = 20;
/// Time beyond which no micro-batch begins, once one has been timed.
const LONGEST: Duration = Duration::from_secs(2);

/// What the updates of a run take on this machine, measured.
#[derive(Clone, PartialEq, Debug)]
pub struct Pace {
    /// Seconds that an update takes: the median of a micro-batch, times those of a whole window.
    pub seconds_per_update: f64,
    /// Updates in the run.
    pub updates: u64,
    /// Micro-batches that were timed, after one that was not.
    pub timed: usize,
    /// Where it was computed.
    pub device: String,
}

impl Pace {
    /// Seconds for all updates.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn seconds(&self) -> f64 {
        self.seconds_per_update * self.updates as f64
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds_per_update: each, updates, timed, device } = self;
        let batches = if *timed == 1 { "batch" } else { "batches" };
        write!(
            f,
            "about {} for {} updates ({} each; {timed} {batches} timed here: {device}); validation, scores and saving come \
             on top",
            spoken(self.seconds()),
            grouped(*updates),
            spoken(*each)
        )
    }
}

/// Seconds as people say them: "3 h 20 min", "12 s", "40 ms".
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded to be read; a cast to an integer saturates"
)]
pub fn spoken(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60);
    match whole {
        86_400.. => format!("{days} d {hours} h"),
        3_600.. => format!("{hours} h {minutes} min"),
        60.. => format!("{minutes} min {} s", whole % 60),
        10.. => format!("{whole} s"),
        1.. => format!("{seconds:.1} s"),
        0 => format!("{:.1} ms", 1e3 * seconds),
    }
}

impl Pipeline {
    /// Times the first micro-batches of a run, on its device and in the rayon pool that the caller is in.
    ///
    /// # Errors
    /// What training itself would meet: a device that is not there, numbers that are not finite.
    pub fn pace(
        &self,
        dataset: &Dataset,
        tokenizer: &Tokenizer,
        plan: &RunPlan,
        say: Say<'_>,
    ) -> Result<Pace, Error> {
        let (config, vocab) = (&self.config, tokenizer.vocab_size());
        let device = open_device(config.device, config.precision.into(), say)?;
        let place = format!("{}, {} threads", device.describe(), rayon::current_num_threads());
        let mut trainer = new_trainer(config, vocab, plan.learning_rate, device)?;
        let rows = training_rows(config, dataset, collator(config, tokenizer)?)?;
        // One micro-batch stands for each of its window, so that a large window need not be waited for.
        let windows = Windows::new(Arc::new(rows), None, 1);
        let (began, mut times) = (Instant::now(), Vec::new());
        for step in 1..=MOST {
            let start = Instant::now();
            let window = windows.window(step)?;
            trainer.step(step, &window.batches)?;
            times.push(start.elapsed().as_secs_f64());
            if began.elapsed() >= LONGEST {
                break;
            }
        }
        // The first one also fetches memory that the others find there.
        let mut timed = times.split_off(usize::from(times.len() > 1));
        timed.sort_by(f64::total_cmp);
        let of_window = config.training.gradient_accumulation_steps as u64;
        let of_window = of_window.min(windows.per_epoch().max(1));
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let seconds_per_update = timed[timed.len() / 2] * of_window as f64;
        let updates = plan.length.total_steps;
        Ok(Pace { seconds_per_update, updates, timed: timed.len(), device: place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_pace__durations_are_said_in_two_parts_at_most() {
        let said = [0.0004, 0.25, 1.0, 12.4, 61.0, 3_725.0, 200_000.0].map(spoken);
        assert_eq!(
            said,
            ["0.4 ms", "250.0 ms", "1.0 s", "12 s", "1 min 1 s", "1 h 2 min", "2 d 7 h"]
        );
    }
}
