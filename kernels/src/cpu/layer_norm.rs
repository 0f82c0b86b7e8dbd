//! Layer normalisation over the last axis (Ba, Kiros, Hinton: *Layer normalization*, 2016).
//!
//! For a row x of n numbers, gain g and bias b
//!
//! ```text
//! xhat_i = (x_i - mean) rstd,   mean = sum_i x_i / n,   rstd = 1 / sqrt(sum_i (x_i - mean)^2 / n + eps)
//! y_i    = g_i xhat_i + b_i
//! ```
//!
//! Mean and variance depend on every x_j. With a_i = gy_i g_i, the cotangent of xhat, working that dependence out gives
//!
//! ```text
//! gx_i = rstd (a_i - sum_j a_j / n - xhat_i sum_j a_j xhat_j / n)
//! gg_i = sum over rows of gy_i xhat_i,      gb_i = sum over rows of gy_i
//! ```
//!
//! The variance is taken around the mean in a second visit of the row, in cache: the one-pass formula
//! E[x^2] - mean^2 cancels. The forward pass keeps mean and rstd, two numbers a row, and the backward pass forms xhat
//! again from them. Sums over rows are formed per block of 64 rows and the blocks added in order.

use super::vector::{Body, Math, dispatch};
use super::{par, row, scratch};
use crate::Real;

/// Rows of a task; also the length of a partial sum of the gradients of gain and bias.
const BLOCK: usize = 64;

/// y = layer norm of x, both `[rows, n]`, with gain and bias `[n]`; mean and rstd `[rows]` are kept for [`backward`].
///
/// # Panics
/// When the lengths do not fit together.
pub fn forward<R: Real>(
    x: &[R],
    gain: &[R],
    bias: &[R],
    eps: f64,
    y: &mut [R],
    mean: &mut [R],
    rstd: &mut [R],
) {
    let n = gain.len();
    assert_eq!(bias.len(), n);
    assert_eq!(x.len(), mean.len() * n);
    assert_eq!(y.len(), x.len());
    assert_eq!(rstd.len(), mean.len());
    if n == 0 {
        return;
    }
    let pieces = y
        .chunks_mut(BLOCK * n)
        .zip(mean.chunks_mut(BLOCK).zip(rstd.chunks_mut(BLOCK)))
        .zip(x.chunks(BLOCK * n));
    par::each(pieces, |_, ((y, (mean, rstd)), x)| {
        dispatch(Forward { x, gain, bias, eps: R::from_f64(eps), y, mean, rstd });
    });
}

struct Forward<'a, R> {
    x: &'a [R],
    gain: &'a [R],
    bias: &'a [R],
    eps: R,
    y: &'a mut [R],
    mean: &'a mut [R],
    rstd: &'a mut [R],
}

impl<R: Real> Body for Forward<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        let n = self.gain.len();
        let count = from_usize::<R>(n);
        let rows = self.x.chunks_exact(n).zip(self.y.chunks_exact_mut(n));
        for ((x, y), (mean, rstd)) in rows.zip(self.mean.iter_mut().zip(self.rstd)) {
            let m = row::sum(x) / count;
            let r = R::ONE / (row::sum_of_squares::<M, R>(x, m) / count + self.eps).sqrt();
            for (((y, &x), &gain), &bias) in y.iter_mut().zip(x).zip(self.gain).zip(self.bias) {
                *y = M::mul_add((x - m) * r, gain, bias);
            }
            (*mean, *rstd) = (m, r);
        }
    }
}

/// gx `[rows, n]`, gg `[n]` and gb `[n]` of [`forward`].
///
/// # Panics
/// When the lengths do not fit together.
pub fn backward<R: Real>(
    x: &[R],
    gain: &[R],
    mean: &[R],
    rstd: &[R],
    gy: &[R],
    gx: &mut [R],
    gg: &mut [R],
    gb: &mut [R],
) {
    let n = gain.len();
    assert_eq!(x.len(), mean.len() * n);
    assert_eq!(rstd.len(), mean.len());
    assert_eq!(gy.len(), x.len());
    assert_eq!(gx.len(), x.len());
    assert_eq!(gg.len(), n);
    assert_eq!(gb.len(), n);
    gg.fill(R::ZERO);
    gb.fill(R::ZERO);
    if n == 0 {
        return;
    }
    scratch::with(mean.len().div_ceil(BLOCK) * 2 * n, |partial: &mut [R]| {
        let pieces = gx
            .chunks_mut(BLOCK * n)
            .zip(partial.chunks_exact_mut(2 * n))
            .zip(x.chunks(BLOCK * n).zip(gy.chunks(BLOCK * n)))
            .zip(mean.chunks(BLOCK).zip(rstd.chunks(BLOCK)));
        par::each(pieces, |_, (((gx, partial), (x, gy)), (mean, rstd))| {
            partial.fill(R::ZERO);
            let (gg, gb) = partial.split_at_mut(n);
            dispatch(Backward { x, gain, mean, rstd, gy, gx, gg, gb });
        });
        for partial in partial.chunks_exact(2 * n) {
            for j in 0..n {
                gg[j] += partial[j];
                gb[j] += partial[n + j];
            }
        }
    });
}

/// Some rows; their part of gg and gb is added.
struct Backward<'a, R> {
    x: &'a [R],
    gain: &'a [R],
    mean: &'a [R],
    rstd: &'a [R],
    gy: &'a [R],
    gx: &'a mut [R],
    gg: &'a mut [R],
    gb: &'a mut [R],
}

impl<R: Real> Body for Backward<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        let n = self.gain.len();
        let count = from_usize::<R>(n);
        let (gain, gg, gb) = (self.gain, &mut self.gg[..n], &mut self.gb[..n]);
        let rows = self.x.chunks_exact(n).zip(self.gy.chunks_exact(n));
        for (((x, gy), gx), (&mean, &rstd)) in
            rows.zip(self.gx.chunks_exact_mut(n)).zip(self.mean.iter().zip(self.rstd))
        {
            // gx holds a = gy g until both of its sums are known
            for j in 0..n {
                gg[j] = M::mul_add(gy[j], (x[j] - mean) * rstd, gg[j]);
                gb[j] += gy[j];
                gx[j] = gy[j] * gain[j];
            }
            let a_mean = row::sum(gx) / count;
            let a_xhat = row::dot_centred::<M, R>(gx, x, mean) * rstd / count;
            for j in 0..n {
                gx[j] = rstd * (gx[j] - a_mean - (x[j] - mean) * rstd * a_xhat);
            }
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a width, far below 2^53")]
fn from_usize<R: Real>(n: usize) -> R {
    R::from_f64(n as f64)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{
        assert_same_bits_for_any_threads, dot, error, narrow, numeric_gradient, random,
    };
    use super::*;

    const EPS: f64 = 1e-5;

    fn naive(x: &[f64], gain: &[f64], bias: &[f64]) -> Vec<f64> {
        let n = gain.len();
        let mut y = vec![];
        for x in x.chunks(n) {
            let mean = x.iter().sum::<f64>() / n as f64;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
            let xhat = |x: f64| (x - mean) / (variance + EPS).sqrt();
            y.extend((0..n).map(|j| xhat(x[j]) * gain[j] + bias[j]));
        }
        y
    }

    /// y, gx, gg, gb.
    fn all<R: Real>(x: &[R], gain: &[R], bias: &[R], gy: &[R]) -> [Vec<R>; 4] {
        let (n, rows) = (gain.len(), x.len() / gain.len());
        let zeros = |n| vec![R::ZERO; n];
        let (mut y, mut mean, mut rstd) = (zeros(x.len()), zeros(rows), zeros(rows));
        let (mut gx, mut gg, mut gb) = (zeros(x.len()), zeros(n), zeros(n));
        forward(x, gain, bias, EPS, &mut y, &mut mean, &mut rstd);
        backward(x, gain, &mean, &rstd, gy, &mut gx, &mut gg, &mut gb);
        [y, gx, gg, gb]
    }

    #[test]
    fn test_layer_norm__naive_loops_and_slopes() {
        for (rows, n) in [(0, 3), (1, 1), (3, 17), (70, 5)] {
            let (x, gy) = (random(rows * n, 1), random(rows * n, 2));
            let (gain, bias) = (random(n, 3), random(n, 4));
            let loss = |x: &[f64], gain: &[f64], bias: &[f64]| dot(&gy, &naive(x, gain, bias));

            let [y, gx, gg, gb] = all(&x, &gain, &bias, &gy);

            assert!(error(&y, &naive(&x, &gain, &bias)) < 1e-13, "[{rows}, {n}]");
            let slopes = [
                numeric_gradient(&x, |x| loss(x, &gain, &bias)),
                numeric_gradient(&gain, |gain| loss(&x, gain, &bias)),
                numeric_gradient(&bias, |bias| loss(&x, &gain, bias)),
            ];
            for (g, slope) in [gx, gg, gb].iter().zip(&slopes) {
                assert!(error(g, slope) < 1e-8, "[{rows}, {n}]");
            }
        }
    }

    #[test]
    fn test_layer_norm__single_precision_far_from_zero() {
        let (rows, n) = (67, 129);
        // a mean of 100 is where the one-pass variance would lose its digits
        let x: Vec<f64> =
            narrow(&random(rows * n, 5)).iter().map(|&x| 100.0 + f64::from(x)).collect();
        let x = narrow(&x);
        let (gy, gain, bias) = (random(rows * n, 6), random(n, 7), random(n, 8));
        let wide_x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();

        let wide = all(&wide_x, &gain, &bias, &gy);
        let single = all(&x, &narrow(&gain), &narrow(&bias), &narrow(&gy));

        for (single, wide) in single.iter().zip(&wide) {
            assert!(error(single, wide) < 1e-5);
        }
    }

    #[test]
    fn test_layer_norm__same_bits_for_any_threads() {
        let (rows, n) = (500, 33);
        let (x, gy) = (narrow(&random(rows * n, 9)), narrow(&random(rows * n, 10)));
        let (gain, bias) = (narrow(&random(n, 11)), narrow(&random(n, 12)));
        assert_same_bits_for_any_threads(|| all(&x, &gain, &bias, &gy).concat());
    }
}
