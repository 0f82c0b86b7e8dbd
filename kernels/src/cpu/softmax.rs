//! Softmax and its logarithm over the last axis.
//!
//! For a row x of n numbers
//!
//! ```text
//! y_i = exp(x_i - m) / sum_j exp(x_j - m),    m = max_j x_j
//! ```
//!
//! The maximum changes nothing but the range: no exponential overflows and the sum is at least 1.
//! From dy_i/dx_j = y_i ([i = j] - y_j) follows, for a cotangent gy,
//!
//! ```text
//! gx_i = y_i (gy_i - sum_j gy_j y_j)            softmax
//! gx_i = gy_i - exp(y_i) sum_j gy_j             log-softmax, y_i = x_i - log sum_j exp(x_j)
//! ```
//!
//! so the backward pass needs the output and not the input. Memory traffic: forward reads x and writes y once (a row
//! is visited three times, in cache), backward reads two arrays and writes one.
//! A row in which every number is negative infinity has no softmax: it gives NaN, as 0 / 0 does.

use super::vector::{Body, Math, dispatch};
use super::{par, row};
use crate::Real;

/// Elements worth a task of their own.
const GRAIN: usize = 1 << 14;

/// y = softmax(x), both `[rows, width]`.
///
/// # Panics
/// When the slices differ in length.
pub fn forward<R: Real>(x: &[R], y: &mut [R], width: usize) {
    in_pieces(x, x, y, width, |x, _, y| dispatch(Forward { x, y, width }));
}

/// gx of [`forward`] from its output y.
///
/// # Panics
/// When the slices differ in length.
pub fn backward<R: Real>(y: &[R], gy: &[R], gx: &mut [R], width: usize) {
    in_pieces(y, gy, gx, width, |y, gy, gx| dispatch(Backward { y, gy, gx, width }));
}

/// y = log softmax(x), both `[rows, width]`.
///
/// # Panics
/// When the slices differ in length.
pub fn log_forward<R: Real>(x: &[R], y: &mut [R], width: usize) {
    in_pieces(x, x, y, width, |x, _, y| dispatch(LogForward { x, y, width }));
}

/// gx of [`log_forward`] from its output y.
///
/// # Panics
/// When the slices differ in length.
pub fn log_backward<R: Real>(y: &[R], gy: &[R], gx: &mut [R], width: usize) {
    in_pieces(y, gy, gx, width, |y, gy, gx| dispatch(LogBackward { y, gy, gx, width }));
}

/// Calls `f` on pieces of whole rows of two inputs and the output.
fn in_pieces<R: Real>(
    a: &[R],
    b: &[R],
    out: &mut [R],
    width: usize,
    f: impl Fn(&[R], &[R], &mut [R]) + Sync,
) {
    assert!(a.len() == out.len() && b.len() == out.len(), "softmax: the slices differ in length");
    if width == 0 {
        return;
    }
    let chunk = GRAIN.div_ceil(width) * width;
    par::chunks_mut(out, chunk, |i, out| {
        let at = i * chunk..i * chunk + out.len();
        f(&a[at.clone()], &b[at], out);
    });
}

struct Forward<'a, R> {
    x: &'a [R],
    y: &'a mut [R],
    width: usize,
}

impl<R: Real> Body for Forward<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        for (x, y) in self.x.chunks_exact(self.width).zip(self.y.chunks_exact_mut(self.width)) {
            let inverse = R::ONE / row::exp::<M, R>(x, row::max(x), y);
            for y in y {
                *y *= inverse;
            }
        }
    }
}

struct LogForward<'a, R> {
    x: &'a [R],
    y: &'a mut [R],
    width: usize,
}

impl<R: Real> Body for LogForward<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        for (x, y) in self.x.chunks_exact(self.width).zip(self.y.chunks_exact_mut(self.width)) {
            let max = row::max(x);
            let log_total = row::sum_exp::<M, R>(x, max).ln();
            for (y, &x) in y.iter_mut().zip(x) {
                *y = (x - max) - log_total;
            }
        }
    }
}

struct Backward<'a, R> {
    y: &'a [R],
    gy: &'a [R],
    gx: &'a mut [R],
    width: usize,
}

impl<R: Real> Body for Backward<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        let n = self.width;
        let rows = self.y.chunks_exact(n).zip(self.gy.chunks_exact(n));
        for ((y, gy), gx) in rows.zip(self.gx.chunks_exact_mut(n)) {
            let mean = row::dot::<M, R>(y, gy);
            for ((gx, &gy), &y) in gx.iter_mut().zip(gy).zip(y) {
                *gx = y * (gy - mean);
            }
        }
    }
}

struct LogBackward<'a, R> {
    y: &'a [R],
    gy: &'a [R],
    gx: &'a mut [R],
    width: usize,
}

impl<R: Real> Body for LogBackward<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        let n = self.width;
        let rows = self.y.chunks_exact(n).zip(self.gy.chunks_exact(n));
        for ((y, gy), gx) in rows.zip(self.gx.chunks_exact_mut(n)) {
            let total = row::sum(gy);
            for ((gx, &gy), &y) in gx.iter_mut().zip(gy).zip(y) {
                *gx = gy - M::exp(y) * total;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{
        assert_same_bits_for_any_threads, dot, error, narrow, numeric_gradient, random,
    };
    use super::*;

    const SIZES: [(usize, usize); 6] = [(0, 3), (3, 0), (1, 1), (3, 17), (5, 1000), (70, 257)];

    fn naive(x: &[f64], width: usize) -> Vec<f64> {
        let mut y = vec![];
        for x in x.chunks(width.max(1)) {
            let total: f64 = x.iter().map(|x| x.exp()).sum();
            y.extend(x.iter().map(|x| x.exp() / total));
        }
        y
    }

    fn all<R: Real>(x: &[R], gy: &[R], width: usize) -> [Vec<R>; 4] {
        let mut y = [(); 4].map(|()| vec![R::ZERO; x.len()]);
        let [p, gp, l, gl] = &mut y;
        forward(x, p, width);
        backward(p, gy, gp, width);
        log_forward(x, l, width);
        log_backward(l, gy, gl, width);
        y
    }

    #[test]
    fn test_softmax__naive_loops() {
        for (rows, width) in SIZES {
            let x = random(rows * width, 1);
            let gy = random(rows * width, 2);
            let expected = naive(&x, width);
            let log: Vec<f64> = expected.iter().map(|p| p.ln()).collect();

            let wide = all(&x, &gy, width);
            let single = all(&narrow(&x), &narrow(&gy), width);

            assert!(error(&wide[0], &expected) < 1e-14, "[{rows}, {width}]");
            assert!(error(&wide[2], &log) < 1e-14, "[{rows}, {width}]");
            for (single, wide) in single.iter().zip(&wide) {
                assert!(error(single, wide) < 1e-6, "[{rows}, {width}]");
            }
        }
    }

    #[test]
    fn test_softmax__gradient_is_the_slope() {
        let (x, gy) = (random(21, 3), random(21, 4));
        let slope = |i: usize| numeric_gradient(&x, |x| dot(&gy, &all(x, &gy, 7)[i]));

        let [_, gx, _, log_gx] = all(&x, &gy, 7);

        assert!(error(&gx, &slope(0)) < 1e-9);
        assert!(error(&log_gx, &slope(2)) < 1e-9);
    }

    #[test]
    fn test_softmax__masked_and_large_logits() {
        let mut y = [0.0_f32; 4];

        forward(&[f32::NEG_INFINITY, 1e30, 1e30, -1e30], &mut y, 4);

        assert_eq!(y, [0.0, 0.5, 0.5, 0.0]);
        forward(&[f32::NEG_INFINITY; 4], &mut y, 4);
        assert!(y.iter().all(|y| y.is_nan()));
    }

    #[test]
    fn test_softmax__a_nan_stays_visible() {
        let mut x = [0.0_f32; 40];
        x[33] = f32::NAN;

        let y = all(&x, &[1.0; 40], 40);

        assert!(y[0].iter().chain(&y[2]).all(|y| y.is_nan()));
    }

    #[test]
    fn test_softmax__same_bits_for_any_threads() {
        let (x, gy) = (narrow(&random(400 * 129, 5)), narrow(&random(400 * 129, 6)));
        assert_same_bits_for_any_threads(|| all(&x, &gy, 129).concat());
    }
}
