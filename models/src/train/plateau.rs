//! What a run remembers of its validation losses: for the `plateau` schedule, and for early stopping.
//!
//! Both look at every validation of `evaluation.every_steps`, and at no other: where checkpoints lie changes nothing.
//! Both are part of state.json, so a resumed run goes on counting where it was.

use crate::config::EarlyStopping;
use serde::{Deserialize, Serialize};

/// Validations without progress after which the rate is cut: one more than this.
const PATIENCE: u64 = 10;
/// What counts as progress, as a share of the lowest loss.
const THRESHOLD: f64 = 1e-4;

/// The state of the `plateau` schedule, which is `torch.optim.lr_scheduler.ReduceLROnPlateau` with the values that it
/// has by default (mode min, factor 0.1, patience 10, relative threshold 1e-4, no cooldown).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plateau {
    /// The lowest loss.
    #[serde(deserialize_with = "Option::deserialize")]
    best: Option<f64>,
    /// Validations since then, or since the last cut.
    bad_validations: u64,
    /// How often the rate was cut.
    reductions: u32,
}

impl Plateau {
    /// Takes note of a validation loss (nats); whether the rate is cut now.
    pub fn see(&mut self, loss: f64) -> bool {
        if self.best.is_none_or(|best| loss < best * (1.0 - THRESHOLD)) && loss.is_finite() {
            (self.best, self.bad_validations) = (Some(loss), 0);
        } else {
            self.bad_validations += 1;
        }
        let cut = self.bad_validations > PATIENCE;
        if cut {
            self.bad_validations = 0;
            self.reductions = self.reductions.saturating_add(1);
        }
        cut
    }

    /// How often the rate was cut.
    #[must_use]
    pub fn reductions(&self) -> u32 {
        self.reductions
    }
}

/// The state of early stopping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patience {
    /// The loss that has to be beaten.
    #[serde(deserialize_with = "Option::deserialize")]
    best: Option<f64>,
    /// Validations since it was set.
    without_progress: u64,
}

impl Patience {
    /// Takes note of a validation loss (nats).
    pub fn see(&mut self, rule: EarlyStopping, loss: f64) {
        if self.best.is_none_or(|best| loss < best - rule.min_delta) && loss.is_finite() {
            *self = Self { best: Some(loss), without_progress: 0 };
        } else {
            self.without_progress += 1;
        }
    }

    /// Whether the run ends here.
    #[must_use]
    pub fn is_exhausted(&self, rule: EarlyStopping) -> bool {
        self.without_progress >= rule.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rates of torch 2.x, worked out with the same eleven bad validations.
    #[test]
    fn test_plateau__cuts_after_ten_bad_validations_and_one_more() {
        let mut plateau = Plateau::default();
        assert!(!plateau.see(2.0) && !plateau.see(1.0));
        let cuts: Vec<u32> = (1..=25).filter(|_| plateau.see(1.0)).collect();
        assert_eq!(cuts, [11, 22], "each cut begins the count anew");
        assert_eq!(plateau.reductions(), 2);
    }

    #[test]
    fn test_plateau__progress_is_a_relative_gain() {
        let mut plateau = Plateau::default();
        let _ = plateau.see(1.0);
        // Each is lower than the last, and none by a ten-thousandth of the lowest.
        let cut = (1..=11).any(|i| plateau.see(1.0 - 5e-6 * f64::from(i)));
        assert!(cut);
        assert!(!(1..=11).any(|i| plateau.see(1.0 - 1.1e-4 * f64::from(i + 1))));
    }

    #[test]
    fn test_plateau__a_loss_that_is_not_finite_is_no_progress() {
        let mut plateau = Plateau::default();
        let cuts = (0..11).filter(|_| plateau.see(f64::NAN)).count();
        assert_eq!((cuts, plateau.best), (1, None));
        let rule = EarlyStopping { patience: 1, min_delta: 0.0 };
        let mut patience = Patience::default();
        patience.see(rule, f64::NAN);
        assert!(patience.is_exhausted(rule));
    }

    #[test]
    fn test_patience__what_has_to_be_beaten_moves_only_by_progress() {
        let rule = EarlyStopping { patience: 3, min_delta: 0.1 };
        let mut patience = Patience::default();
        for (loss, ended) in [
            (2.0, false),
            (1.95, false),
            (1.91, false),
            (1.89, false),
            (1.85, false),
            (1.8, false),
            (1.79, true),
        ] {
            patience.see(rule, loss);
            assert_eq!(patience.is_exhausted(rule), ended, "{loss}");
        }
    }

    #[test]
    fn test_plateau__states_read_back_the_same_and_whole() {
        let mut plateau = Plateau::default();
        let _ = plateau.see(1.25);
        let text = serde_json::to_string(&plateau).unwrap();
        assert_eq!(serde_json::from_str::<Plateau>(&text).unwrap(), plateau);
        assert!(
            serde_json::from_str::<Plateau>(r#"{"bad_validations": 0, "reductions": 0}"#).is_err()
        );
    }
}
