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

use super::{Real, par, row};

/// Elements worth a task of their own.
const GRAIN: usize = 1 << 14;

/// Rows of `width` per task.
fn rows_per_task(width: usize) -> usize {
    GRAIN.div_ceil(width)
}

/// Calls `f(x, y)` for every row of an input and an output.
fn for_rows<R: Real>(x: &[R], y: &mut [R], width: usize, f: impl Fn(&[R], &mut [R]) + Sync) {
    assert_eq!(x.len(), y.len());
    if width == 0 {
        return;
    }
    let chunk = rows_per_task(width) * width;
    par::chunks_mut(y, chunk, |i, y| {
        let x = &x[i * chunk..][..y.len()];
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
            f(x, y);
        }
    });
}

/// The same for two inputs.
fn for_row_pairs<R: Real>(
    a: &[R],
    b: &[R],
    y: &mut [R],
    width: usize,
    f: impl Fn(&[R], &[R], &mut [R]) + Sync,
) {
    assert_eq!(a.len(), y.len());
    assert_eq!(b.len(), y.len());
    if width == 0 {
        return;
    }
    let chunk = rows_per_task(width) * width;
    par::chunks_mut(y, chunk, |i, y| {
        let at = i * chunk..i * chunk + y.len();
        let rows = a[at.clone()].chunks_exact(width).zip(b[at].chunks_exact(width));
        for ((a, b), y) in rows.zip(y.chunks_exact_mut(width)) {
            f(a, b, y);
        }
    });
}

/// y = softmax(x), both `[rows, width]`.
///
/// # Panics
/// When the slices differ in length.
pub fn forward<R: Real>(x: &[R], y: &mut [R], width: usize) {
    for_rows(x, y, width, |x, y| {
        let total = row::exp(x, row::max(x), y);
        let inverse = R::ONE / total;
        for y in y {
            *y *= inverse;
        }
    });
}

/// gx of [`forward`] from its output y.
///
/// # Panics
/// When the slices differ in length.
pub fn backward<R: Real>(y: &[R], gy: &[R], gx: &mut [R], width: usize) {
    for_row_pairs(y, gy, gx, width, |y, gy, gx| {
        let mean = row::dot(y, gy);
        for ((gx, &gy), &y) in gx.iter_mut().zip(gy).zip(y) {
            *gx = y * (gy - mean);
        }
    });
}

/// y = log softmax(x), both `[rows, width]`.
///
/// # Panics
/// When the slices differ in length.
pub fn log_forward<R: Real>(x: &[R], y: &mut [R], width: usize) {
    for_rows(x, y, width, |x, y| {
        let max = row::max(x);
        let log_total = row::sum_exp(x, max).ln();
        for (y, &x) in y.iter_mut().zip(x) {
            *y = (x - max) - log_total;
        }
    });
}

/// gx of [`log_forward`] from its output y.
///
/// # Panics
/// When the slices differ in length.
pub fn log_backward<R: Real>(y: &[R], gy: &[R], gx: &mut [R], width: usize) {
    for_row_pairs(y, gy, gx, width, |y, gy, gx| {
        let total = row::sum(gy);
        row::exp(y, R::ZERO, gx);
        for (gx, &gy) in gx.iter_mut().zip(gy) {
            *gx = gy - *gx * total;
        }
    });
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
