//! Cross-entropy of a softmax, from the logits: log-softmax and negative log-likelihood in one, in nats.
//!
//! For a row z of V logits, the target t and label smoothing e (the target distribution is 1 - e on t and e spread
//! evenly over all V, as `torch.nn.functional.cross_entropy` has it)
//!
//! ```text
//! nll = lse - (1 - e) z_t - e/V sum_j z_j,      lse = log sum_j exp(z_j)
//! gz_j = gy (exp(z_j - lse) - (1 - e) [j = t] - e/V)
//! ```
//!
//! Probabilities are never stored: the forward pass keeps lse, one number a row, and the backward pass forms them
//! again. Of an `[N, V]` array of logits, the forward pass reads N V numbers, and the backward pass reads and writes as
//! many. A row whose target is [`IGNORE`] costs nothing, has the loss 0 and the gradient 0.

use super::vector::{Body, Math, dispatch};
use super::{par, row};
use crate::Real;

/// The target of a row that does not count: padding, or a token that was not masked.
pub const IGNORE: u32 = u32::MAX;

/// Logits worth a task of their own.
const GRAIN: usize = 1 << 14;

/// Losses nll `[N]`, in nats, and log-sum-exps `[N]` of logits `[N, vocab]` and targets `[N]`; both 0 for an ignored row.
///
/// # Panics
/// When the lengths do not fit together, or a target is neither below `vocab` nor [`IGNORE`].
pub fn forward<R: Real>(
    logits: &[R],
    targets: &[u32],
    vocab: usize,
    smoothing: f64,
    nll: &mut [R],
    lse: &mut [R],
) {
    assert_eq!(logits.len(), targets.len() * vocab, "logits are [{}, {vocab}]", targets.len());
    check(targets, vocab, smoothing);
    assert_eq!(nll.len(), targets.len());
    assert_eq!(lse.len(), targets.len());
    let rows = GRAIN.div_ceil(vocab.max(1));
    let pieces = nll.chunks_mut(rows).zip(lse.chunks_mut(rows)).zip(targets.chunks(rows));
    par::each(pieces, |i, ((nll, lse), targets)| {
        for (r, &target) in targets.iter().enumerate() {
            (nll[r], lse[r]) = if target == IGNORE {
                (R::ZERO, R::ZERO)
            } else {
                let z = &logits[(i * rows + r) * vocab..][..vocab];
                dispatch(Row { z, target: target as usize, smoothing })
            };
        }
    });
}

/// Loss and log-sum-exp of one row. Every term is taken relative to the largest logit, where the digits are.
pub(super) struct Row<'a, R> {
    pub(super) z: &'a [R],
    pub(super) target: usize,
    pub(super) smoothing: f64,
}

impl<R: Real> Body for Row<'_, R> {
    type Output = (R, R);
    #[inline(always)]
    fn run<M: Math>(self) -> (R, R) {
        let Self { z, target, smoothing } = self;
        let max = row::max(z);
        let log_total = row::sum_exp::<M, R>(z, max).ln();
        let nll = if smoothing == 0.0 {
            log_total - (z[target] - max)
        } else {
            let on = R::from_f64(1.0 - smoothing);
            let mean = row::sum(z) / R::from_f64(count(z.len())) - max;
            log_total - on * (z[target] - max) - R::from_f64(smoothing) * mean
        };
        (nll, max + log_total)
    }
}

/// gz = gy (exp(z - lse) - everywhere).
struct RowGrad<'a, R> {
    z: &'a [R],
    lse: R,
    gy: R,
    everywhere: R,
    gz: &'a mut [R],
}

impl<R: Real> Body for RowGrad<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        for (gz, &z) in self.gz.iter_mut().zip(self.z) {
            *gz = self.gy * (M::exp(z - self.lse) - self.everywhere);
        }
    }
}

/// The gradient `[N, vocab]` of the logits from those of the losses, gy `[N]`, and the lse of [`forward`].
///
/// # Panics
/// As [`forward`].
pub fn backward<R: Real>(
    logits: &[R],
    targets: &[u32],
    vocab: usize,
    smoothing: f64,
    lse: &[R],
    gy: &[R],
    gz: &mut [R],
) {
    assert_eq!(logits.len(), targets.len() * vocab, "logits are [{}, {vocab}]", targets.len());
    check(targets, vocab, smoothing);
    assert_eq!(lse.len(), targets.len());
    assert_eq!(gy.len(), targets.len());
    assert_eq!(gz.len(), logits.len());
    if vocab == 0 {
        return;
    }
    let on = R::from_f64(1.0 - smoothing);
    let everywhere = R::from_f64(smoothing / count(vocab));
    let rows = GRAIN.div_ceil(vocab);
    par::chunks_mut(gz, rows * vocab, |i, gz| {
        for (r, gz) in gz.chunks_exact_mut(vocab).enumerate() {
            let n = i * rows + r;
            if targets[n] == IGNORE {
                gz.fill(R::ZERO);
                continue;
            }
            let z = &logits[n * vocab..][..vocab];
            dispatch(RowGrad { z, lse: lse[n], gy: gy[n], everywhere, gz });
            gz[targets[n] as usize] -= gy[n] * on;
        }
    });
}

pub(super) fn check(targets: &[u32], vocab: usize, smoothing: f64) {
    assert!((0.0..=1.0).contains(&smoothing), "label smoothing {smoothing} is not in [0, 1]");
    for (row, &t) in targets.iter().enumerate() {
        assert!(
            t == IGNORE || (t as usize) < vocab,
            "cross-entropy: target {t} of row {row}, but there are {vocab} classes"
        );
    }
}

#[allow(clippy::cast_precision_loss, reason = "a vocabulary size, far below 2^53")]
fn count(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::super::testing::{
        assert_same_bits_for_any_threads, dot, error, narrow, numeric_gradient, random,
    };
    use super::*;

    fn naive(z: &[f64], targets: &[u32], vocab: usize, smoothing: f64) -> Vec<f64> {
        let mut nll = vec![];
        for (z, &t) in z.chunks(vocab).zip(targets) {
            let total: f64 = z.iter().map(|z| z.exp()).sum();
            let log_p = |j: usize| z[j] - total.ln();
            let spread = (0..vocab).map(log_p).sum::<f64>() / vocab as f64;
            nll.push(match t {
                IGNORE => 0.0,
                t => -(1.0 - smoothing) * log_p(t as usize) - smoothing * spread,
            });
        }
        nll
    }

    /// nll, lse, gz.
    fn all<R: Real>(z: &[R], targets: &[u32], smoothing: f64, gy: &[R]) -> [Vec<R>; 3] {
        let (n, vocab) = (targets.len(), z.len() / targets.len().max(1));
        let zeros = |n| vec![R::ZERO; n];
        let (mut nll, mut lse, mut gz) = (zeros(n), zeros(n), zeros(z.len()));
        forward(z, targets, vocab, smoothing, &mut nll, &mut lse);
        backward(z, targets, vocab, smoothing, &lse, gy, &mut gz);
        [nll, lse, gz]
    }

    fn targets(n: usize, vocab: usize) -> Vec<u32> {
        (0..n)
            .map(|i| if i % 4 == 2 { IGNORE } else { u32::try_from(i * 37 % vocab).unwrap() })
            .collect()
    }

    #[test]
    fn test_cross_entropy__naive_loops_and_slopes() {
        for (n, vocab) in [(0, 5), (1, 1), (5, 3), (6, 19)] {
            for smoothing in [0.0, 0.1, 1.0] {
                let (z, gy, t) = (random(n * vocab, 1), random(n, 2), targets(n, vocab));

                let [nll, _, gz] = all(&z, &t, smoothing, &gy);

                let slope = numeric_gradient(&z, |z| dot(&gy, &naive(z, &t, vocab, smoothing)));
                assert!(error(&nll, &naive(&z, &t, vocab, smoothing)) < 1e-14, "[{n}, {vocab}]");
                assert!(error(&gz, &slope) < 1e-9, "[{n}, {vocab}] {smoothing}");
            }
        }
    }

    #[test]
    fn test_cross_entropy__single_precision() {
        let (n, vocab) = (9, 1003);
        let (z, gy, t) = (random(n * vocab, 3), random(n, 4), targets(n, vocab));
        for smoothing in [0.0, 0.1] {
            let wide = all(&z, &t, smoothing, &gy);
            let single = all(&narrow(&z), &t, smoothing, &narrow(&gy));
            for (single, wide) in single.iter().zip(&wide) {
                assert!(error(single, wide) < 1e-6);
            }
        }
    }

    #[test]
    fn test_cross_entropy__large_and_masked_logits() {
        let z = [1e30_f32, 0.0, f32::NEG_INFINITY, 5.0, 5.0, f32::NEG_INFINITY];

        let [nll, lse, gz] = all(&z, &[0, 1], 0.0, &[1.0, 2.0]);

        assert_eq!(nll, [0.0, std::f32::consts::LN_2]);
        assert_eq!(lse, [1e30, 5.0 + std::f32::consts::LN_2]);
        assert!(error(&gz, &[0.0, 0.0, 0.0, 1.0, -1.0, 0.0]) < 1e-6);
    }

    #[test]
    #[should_panic(expected = "target 3 of row 1, but there are 3 classes")]
    fn test_cross_entropy__target_out_of_range() {
        all(&[0.0_f64; 6], &[0, 3], 0.0, &[1.0; 2]);
    }

    #[test]
    fn test_cross_entropy__same_bits_for_any_threads() {
        let (n, vocab) = (90, 1001);
        let (z, gy, t) = (narrow(&random(n * vocab, 5)), narrow(&random(n, 6)), targets(n, vocab));
        assert_same_bits_for_any_threads(|| all(&z, &t, 0.1, &gy).concat());
    }
}
