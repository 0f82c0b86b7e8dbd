//! The loss scale of fp16 (Micikevicius et al. 2018, *Mixed precision training*).
//!
//! Small gradients round to 0 in f16. So the loss is multiplied by a power of two, and its gradients with it, as far as
//! f16 goes; the optimiser multiplies them back. How far that is shows when a gradient leaves f16: then the step is passed
//! over and the scale halved. After 2000 steps without that it is doubled. The numbers are those of torch.amp.GradScaler.

use serde::{Deserialize, Serialize};

/// The scale of the first step.
const FIRST: f64 = 65_536.0;
/// At this scale an overflow is the gradient's own.
const LEAST: f64 = 1.0;
/// The scale does not grow beyond this.
const MOST: f64 = 16_777_216.0;
/// Steps after which it is doubled.
const GROWS_AFTER: u64 = 2000;

/// What the loss is multiplied by, and since when. Part of state.json, so a resumed run goes on where it was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossScale {
    /// A power of two.
    scale: f64,
    /// Steps since it was last changed.
    good_steps: u64,
}

impl Default for LossScale {
    fn default() -> Self {
        Self { scale: FIRST, good_steps: 0 }
    }
}

impl LossScale {
    /// A scale that was read from a file; None if it cannot have been one.
    #[must_use]
    pub fn checked(self) -> Option<Self> {
        let power = (LEAST..=MOST).contains(&self.scale) && self.scale.log2().fract() == 0.0;
        (power && self.good_steps < GROWS_AFTER).then_some(self)
    }

    /// What the loss is multiplied by.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Whether a smaller one may help.
    #[must_use]
    pub fn can_fall(&self) -> bool {
        self.scale > LEAST
    }

    /// After a step that was taken.
    pub fn taken(&mut self) {
        self.good_steps += 1;
        if self.good_steps == GROWS_AFTER {
            *self = Self { scale: (2.0 * self.scale).min(MOST), good_steps: 0 };
        }
    }

    /// After a gradient that left f16.
    pub fn overflowed(&mut self) {
        *self = Self { scale: (self.scale / 2.0).max(LEAST), good_steps: 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_loss_scale__halves_at_once_and_doubles_after_2000_steps() {
        let mut scale = LossScale::default();
        scale.overflowed();
        assert_eq!(scale.scale(), 32_768.0);
        (0..1999).for_each(|_| scale.taken());
        assert_eq!(scale.scale(), 32_768.0);
        scale.taken();
        assert_eq!(scale, LossScale::default());
    }

    #[test]
    fn test_loss_scale__stays_between_its_ends() {
        let mut scale = LossScale::default();
        (0..40 * GROWS_AFTER).for_each(|_| scale.taken());
        assert_eq!(scale.scale(), MOST);
        (0..40).for_each(|_| scale.overflowed());
        assert_eq!(scale.scale(), LEAST);
        assert!(!scale.can_fall());
    }

    #[test]
    fn test_loss_scale__what_was_edited_is_noticed() {
        let of = |scale, good_steps| LossScale { scale, good_steps }.checked();
        assert!(of(1.0, 0).is_some() && of(MOST, 1999).is_some());
        for (scale, steps) in [(3.0, 0), (0.5, 0), (f64::NAN, 0), (2.0 * MOST, 0), (2.0, 2000)] {
            assert_eq!(of(scale, steps), None, "{scale} {steps}");
        }
    }
}
