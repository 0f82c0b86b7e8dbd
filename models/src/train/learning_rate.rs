//! The learning rate as a pure function of the update: nothing to save, nothing to restore.
//!
//! With peak `p`, floor `m`, warm-up `w` and horizon `n` (all updates of the run), update
//! `u = 1, 2, ...` is made at the rate of `s = u - 1`:
//!
//! ```text
//! s < w      p * s / max(1, w)
//! linear     m + (p - m) * max(0, (n - s) / max(1, n - w))
//! cosine     m + (p - m) * max(0, (1 + cos(pi * (s - w) / max(1, n - w))) / 2)
//! constant   p
//! ```
//!
//! These are the closed forms of Hugging Face's `get_linear_schedule_with_warmup`,
//! `get_cosine_schedule_with_warmup` (half a cycle), `get_constant_schedule` and
//! `get_constant_schedule_with_warmup`; the floor is that of their `cosine_with_min_lr`. As there,
//! the first update of a run with warm-up has rate 0: checkpoint 1 equals checkpoint 0.

use std::f64::consts::PI;

use crate::config::choices::LrScheduler;
use crate::config::{TrainingConfig, Warmup};

/// A learning-rate schedule with its horizon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearningRate {
    /// The shape after the warm-up.
    pub shape: LrShape,
    /// The peak.
    pub peak: f64,
    /// The floor of a decaying shape.
    pub floor: f64,
    /// Updates of warm-up.
    pub warmup_steps: u64,
    /// Updates of the run.
    pub total_steps: u64,
}

/// The shape of the learning rate after its warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LrShape {
    /// A straight line to the floor.
    Linear,
    /// Half a cosine to the floor.
    Cosine,
    /// The peak.
    Constant,
}

/// A schedule that depends on more than the update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("training.lr_scheduler: {0} is not a function of the update alone")]
pub struct NotAClosedForm(pub LrScheduler);

impl LearningRate {
    /// The schedule of a configuration over a run of `total_steps` updates.
    ///
    /// # Errors
    /// [`NotAClosedForm`] for a schedule that this type does not have.
    pub fn new(training: &TrainingConfig, total_steps: u64) -> Result<Self, NotAClosedForm> {
        let shape = match training.lr_scheduler {
            LrScheduler::Linear => LrShape::Linear,
            LrScheduler::Cosine => LrShape::Cosine,
            LrScheduler::Constant | LrScheduler::ConstantWithWarmup => LrShape::Constant,
            other => return Err(NotAClosedForm(other)),
        };
        Ok(Self {
            shape,
            peak: training.learning_rate,
            floor: training.min_learning_rate,
            warmup_steps: warmup_steps(training.warmup, total_steps),
            total_steps,
        })
    }

    /// The rate of update `update`, counted from 1. Beyond the horizon it stays at the floor.
    pub fn at(&self, update: u64) -> f64 {
        let step = update.saturating_sub(1);
        if step < self.warmup_steps {
            return self.peak * (real(step) / real(self.warmup_steps.max(1)));
        }
        let decay_steps = real(self.total_steps.saturating_sub(self.warmup_steps).max(1));
        let factor = match self.shape {
            LrShape::Constant => return self.peak,
            LrShape::Linear => real(self.total_steps.saturating_sub(step)) / decay_steps,
            LrShape::Cosine => {
                let progress = (real(step - self.warmup_steps) / decay_steps).min(1.0);
                (0.5 * (1.0 + libm::cos(PI * progress))).max(0.0)
            }
        };
        self.floor + (self.peak - self.floor) * factor
    }
}

/// A share of the run is rounded down.
fn warmup_steps(warmup: Warmup, total_steps: u64) -> u64 {
    match warmup {
        Warmup::None => 0,
        Warmup::Steps(n) => n,
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "rounded down on purpose; a share of a u64 fits one"
        )]
        Warmup::Ratio(share) => (real(total_steps) * share) as u64,
    }
}

#[expect(clippy::cast_precision_loss, reason = "no run has 2^53 updates")]
fn real(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(shape: LrShape, peak: f64, floor: f64, warmup: u64, total: u64) -> LearningRate {
        LearningRate { shape, peak, floor, warmup_steps: warmup, total_steps: total }
    }

    /// The lambdas as Hugging Face writes them, `step` from 0.
    fn reference(shape: LrShape, step: f64, warmup: f64, total: f64) -> f64 {
        if step < warmup {
            return step / warmup.max(1.0);
        }
        match shape {
            LrShape::Linear => ((total - step) / (total - warmup).max(1.0)).max(0.0),
            LrShape::Cosine => {
                let progress = (step - warmup) / (total - warmup).max(1.0);
                (0.5 * (1.0 + (PI * 0.5 * 2.0 * progress).cos())).max(0.0)
            }
            LrShape::Constant => 1.0,
        }
    }

    #[test]
    fn test_learning_rate__a_thousand_steps_equal_the_closed_forms() {
        for shape in [LrShape::Linear, LrShape::Cosine, LrShape::Constant] {
            for warmup in [0, 1, 100, 999] {
                let rate = schedule(shape, 3e-4, 0.0, warmup, 1000);
                for step in 0..1000u64 {
                    let want = 3e-4 * reference(shape, step as f64, warmup as f64, 1000.0);
                    let got = rate.at(step + 1);
                    assert!(
                        (got - want).abs() <= 1e-15,
                        "{shape:?} warm-up {warmup} step {step}: {got} {want}"
                    );
                }
            }
        }
    }

    #[test]
    fn test_learning_rate__the_first_update_of_a_warmup_has_rate_zero() {
        assert_eq!(schedule(LrShape::Linear, 1.0, 0.0, 5, 20).at(1), 0.0);
        assert_eq!(schedule(LrShape::Linear, 1.0, 0.0, 0, 20).at(1), 1.0);
    }

    #[test]
    fn test_learning_rate__nanogpt_recipe() {
        let rate = schedule(LrShape::Cosine, 1e-3, 1e-4, 100, 2000);
        assert_eq!(rate.at(1), 0.0);
        assert_eq!(rate.at(101), 1e-3);
        assert!((rate.at(1051) - 5.5e-4).abs() < 1e-15, "half-way: {}", rate.at(1051));
        assert!((rate.at(2001) - 1e-4).abs() < 1e-15);
        assert!((rate.at(9999) - 1e-4).abs() < 1e-15, "the floor holds beyond the horizon");
    }

    #[test]
    fn test_learning_rate__a_share_of_warmup_is_rounded_down() {
        assert_eq!(warmup_steps(Warmup::Ratio(0.1), 333), 33);
        assert_eq!(warmup_steps(Warmup::Ratio(1.0), 333), 333);
        assert_eq!(warmup_steps(Warmup::Ratio(0.1), 9), 0);
    }

    #[test]
    fn test_learning_rate__stored_rates_of_the_golden_run() {
        let name = "golden/adamw_linear_warmup_f64.safetensors";
        let Some(path) = crate::test_data::data(name) else { return };
        let bytes = std::fs::read(path).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let stored: Vec<f64> = file
            .tensor("lr")
            .unwrap()
            .data()
            .chunks_exact(8)
            .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
            .collect();
        assert_eq!(stored.len(), 20);
        let peak = stored.iter().copied().fold(0.0, f64::max);
        let rate = schedule(LrShape::Linear, peak, 0.0, 5, 20);
        for (i, want) in stored.iter().enumerate() {
            assert!((rate.at(i as u64 + 1) - want).abs() <= 1e-15, "update {}", i + 1);
        }
    }
}
