//! The learning rate as a pure function of the update: nothing to save, nothing to restore.
//!
//! With peak `p`, floor `m`, warm-up `w` and horizon `n` (all updates of the run), update
//! `u = 1, 2, ...` is made at the rate of `s = u - 1`:
//!
//! ```text
//! s < w         p * s / max(1, w)
//! linear        m + (p - m) * max(0, (n - s) / max(1, n - w))
//! cosine        m + (p - m) * max(0, (1 + cos(pi * (s - w) / max(1, n - w))) / 2)
//! inverse_sqrt  m + (p - m) * sqrt(k / (s - w + k)),  k = w, or 10,000 without warm-up
//! wsd           p                                     while s < n - d,  d = min(n / 10, n - w)
//!               m + (p - m) * max(0, (n - s) / d)     then
//! constant      p
//! plateau       p, times 0.1 for every plateau of the validation loss, never below m
//! ```
//!
//! These are the closed forms of Hugging Face's `get_linear_schedule_with_warmup`,
//! `get_cosine_schedule_with_warmup` (half a cycle), `get_inverse_sqrt_schedule`, `get_wsd_schedule`
//! (with a linear decay over the last tenth of the run, the share of Hu et al., *MiniCPM*, 2024),
//! `get_constant_schedule` and `get_constant_schedule_with_warmup`; the floor is that of their
//! `cosine_with_min_lr`. As there, the first update of a run with warm-up has rate 0: checkpoint 1
//! equals checkpoint 0.
//!
//! A plateau is what `torch.optim.lr_scheduler.ReduceLROnPlateau` calls one: see [`super::plateau`].
//! How many there were is all that this schedule has to remember.

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
    /// Plateaus so far; 0 but for [`LrShape::Plateau`].
    pub reductions: u32,
}

/// The shape of the learning rate after its warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LrShape {
    /// A straight line to the floor.
    Linear,
    /// Half a cosine to the floor.
    Cosine,
    /// One over the root of the update.
    InverseSqrt,
    /// The peak, then a straight line to the floor over the last tenth of the run.
    Wsd,
    /// The peak.
    Constant,
    /// The peak, cut at every plateau of the validation loss.
    Plateau,
}

/// What is left of the rate after a plateau.
const CUT: f64 = 0.1;

/// A cut by less than this is none.
const LEAST_CUT: f64 = 1e-8;

/// The time scale of the inverse square root where there is no warm-up.
const TIMESCALE: f64 = 10_000.0;

impl LearningRate {
    /// The schedule of a configuration over a run of `total_steps` updates.
    #[must_use]
    pub fn new(training: &TrainingConfig, total_steps: u64) -> Self {
        let shape = match training.lr_scheduler {
            LrScheduler::Linear => LrShape::Linear,
            LrScheduler::Cosine => LrShape::Cosine,
            LrScheduler::InverseSqrt => LrShape::InverseSqrt,
            LrScheduler::Wsd => LrShape::Wsd,
            LrScheduler::Constant | LrScheduler::ConstantWithWarmup => LrShape::Constant,
            LrScheduler::Plateau => LrShape::Plateau,
        };
        Self {
            shape,
            peak: training.learning_rate,
            floor: training.min_learning_rate,
            warmup_steps: warmup_steps(training.warmup, total_steps),
            total_steps,
            reductions: 0,
        }
    }

    /// The rate of update `update`, counted from 1. Beyond the horizon a decaying shape stays at the floor.
    #[must_use]
    pub fn at(&self, update: u64) -> f64 {
        let step = update.saturating_sub(1);
        let peak = if self.shape == LrShape::Plateau { self.after_cuts() } else { self.peak };
        if step < self.warmup_steps {
            return peak * (real(step) / real(self.warmup_steps.max(1)));
        }
        let left = self.total_steps.saturating_sub(step);
        let decay_steps = self.total_steps.saturating_sub(self.warmup_steps).max(1);
        let factor = match self.shape {
            LrShape::Constant | LrShape::Plateau => return peak,
            LrShape::Linear => real(left) / real(decay_steps),
            LrShape::Cosine => {
                let progress = (real(step - self.warmup_steps) / real(decay_steps)).min(1.0);
                (0.5 * (1.0 + libm::cos(PI * progress))).max(0.0)
            }
            LrShape::InverseSqrt => {
                let scale =
                    if self.warmup_steps == 0 { TIMESCALE } else { real(self.warmup_steps) };
                (scale / (real(step - self.warmup_steps) + scale)).sqrt()
            }
            LrShape::Wsd => {
                let decay = (self.total_steps / 10).clamp(1, decay_steps);
                (real(left) / real(decay)).min(1.0)
            }
        };
        self.floor + (self.peak - self.floor) * factor
    }

    /// The peak after the cuts of all plateaus so far.
    fn after_cuts(&self) -> f64 {
        (0..self.reductions).fold(self.peak, |rate, _| {
            let cut = (CUT * rate).max(self.floor);
            if rate - cut > LEAST_CUT { cut } else { rate }
        })
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
        LearningRate { shape, peak, floor, warmup_steps: warmup, total_steps: total, reductions: 0 }
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
            LrShape::InverseSqrt => {
                let timescale = if warmup == 0.0 { 10_000.0 } else { warmup };
                let shift = timescale - warmup;
                1.0 / ((step + shift) / timescale).sqrt()
            }
            LrShape::Wsd => {
                let decay = (total / 10.0).floor().min(total - warmup);
                let stable = total - warmup - decay;
                if step < warmup + stable {
                    return 1.0;
                }
                (1.0 - (step - warmup - stable) / decay.max(1.0)).max(0.0)
            }
            LrShape::Constant | LrShape::Plateau => 1.0,
        }
    }

    #[test]
    fn test_learning_rate__a_thousand_steps_equal_the_closed_forms() {
        use LrShape::{Constant, Cosine, InverseSqrt, Linear, Plateau, Wsd};
        for shape in [Linear, Cosine, InverseSqrt, Wsd, Constant, Plateau] {
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
    fn test_learning_rate__wsd_decays_over_the_last_tenth() {
        let rate = schedule(LrShape::Wsd, 1.0, 0.1, 10, 200);
        assert_eq!((rate.at(1), rate.at(11), rate.at(180)), (0.0, 1.0, 1.0));
        assert!((rate.at(191) - 0.55).abs() < 1e-15, "half-way: {}", rate.at(191));
        assert!((rate.at(201) - 0.1).abs() < 1e-15 && (rate.at(999) - 0.1).abs() < 1e-15);
        // A warm-up that leaves less than a tenth.
        let late = schedule(LrShape::Wsd, 1.0, 0.0, 195, 200);
        assert_eq!((late.at(196), late.at(200)), (1.0, 0.2));
    }

    #[test]
    fn test_learning_rate__inverse_sqrt_halves_at_four_times_the_warmup() {
        let rate = schedule(LrShape::InverseSqrt, 1.0, 0.0, 100, 10_000);
        assert_eq!((rate.at(101), rate.at(401), rate.at(901)), (1.0, 0.5, 1.0 / 3.0));
    }

    #[test]
    fn test_learning_rate__every_plateau_cuts_to_a_tenth_and_not_below_the_floor() {
        let rate = |reductions| LearningRate {
            reductions,
            ..schedule(LrShape::Plateau, 1e-2, 5e-4, 4, 100)
        };
        assert_eq!(rate(0).at(50), 1e-2);
        assert_eq!(rate(1).at(50), 1e-3);
        assert_eq!((rate(2).at(50), rate(9).at(50)), (5e-4, 5e-4));
        assert_eq!(rate(1).at(3), 5e-4, "half of the warm-up");
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
