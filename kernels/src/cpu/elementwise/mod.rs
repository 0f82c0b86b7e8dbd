//! One element at a time, over whole tensors: large slices are split over threads, small ones are not.
//!
//! [`activation`] has the non-linear functions, [`broadcast`] arithmetic on two tensors of different shapes,
//! [`reduce`] sums in a fixed order, and this file what is left.

pub mod activation;
pub mod broadcast;
pub mod reduce;

use super::par;
use super::vector::{self, Body, Math, Unary};
use crate::Real;

/// Elements of a piece: about ten microseconds of work, and it stays within a second-level cache.
pub(crate) const PIECE: usize = 1 << 15;

/// `y[i] = function(x[i])`.
///
/// # Panics
/// The lengths differ.
pub fn map<R: Real>(function: impl Unary, x: &[R], y: &mut [R]) {
    assert_eq!(x.len(), y.len(), "elementwise: input and output differ in length");
    par::chunks_mut(y, PIECE, |i, y| {
        let x = &x[i * PIECE..][..y.len()];
        vector::map(function, x, y);
    });
}

/// `y = alpha x`.
///
/// # Panics
/// The lengths differ.
pub fn scale<R: Real>(alpha: R, x: &[R], y: &mut [R]) {
    map(Scale(alpha.to_f64()), x, y);
}

#[derive(Clone, Copy)]
struct Scale(f64);

impl Unary for Scale {
    #[inline(always)]
    fn at<M: Math, R: Real>(self, x: R) -> R {
        R::from_f64(self.0) * x
    }
}

/// `y = y + alpha x`.
///
/// # Panics
/// The lengths differ.
pub fn axpy<R: Real>(alpha: R, x: &[R], y: &mut [R]) {
    assert_eq!(x.len(), y.len(), "axpy: the slices differ in length");
    par::chunks_mut(y, PIECE, |i, y| {
        let x = &x[i * PIECE..][..y.len()];
        vector::dispatch(Axpy { alpha, x, y });
    });
}

struct Axpy<'a, R> {
    alpha: R,
    x: &'a [R],
    y: &'a mut [R],
}

impl<R: Real> Body for Axpy<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        for (y, x) in self.y.iter_mut().zip(self.x) {
            *y += self.alpha * *x;
        }
    }
}

/// The same numbers in the other precision, rounded to nearest.
///
/// # Panics
/// The lengths differ.
pub fn convert<A: Real, B: Real>(x: &[A], y: &mut [B]) {
    assert_eq!(x.len(), y.len(), "convert: the slices differ in length");
    par::chunks_mut(y, PIECE, |i, y| {
        for (y, x) in y.iter_mut().zip(&x[i * PIECE..]) {
            *y = B::from_f64(x.to_f64());
        }
    });
}

/// Where the first element that is infinite or NaN stands; None if all are finite.
#[must_use]
pub fn first_non_finite<R: Real>(x: &[R]) -> Option<usize> {
    // Counts are whole numbers, so their sum is exact.
    let bad = par::sum(x.len(), PIECE, |lo, hi| vector::dispatch(CountNonFinite { x: &x[lo..hi] }));
    if bad > 0.0 { x.iter().position(|x| !x.is_finite()) } else { None }
}

struct CountNonFinite<'a, R> {
    x: &'a [R],
}

impl<R: Real> Body for CountNonFinite<'_, R> {
    type Output = f64;
    #[inline(always)]
    fn run<M: Math>(self) -> f64 {
        let count: u32 = self.x.iter().map(|x| u32::from(!x.is_finite())).sum();
        f64::from(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_elementwise__scale_axpy_convert() {
        let x: Vec<f32> = (0..70_000).map(|i| i as f32).collect();
        let (mut y, mut z) = (vec![0f32; x.len()], vec![0f64; x.len()]);

        scale(0.5, &x, &mut y);
        axpy(2.0, &x, &mut y);
        convert(&y, &mut z);

        assert!(z.iter().enumerate().all(|(i, z)| *z == 2.5 * i as f64));
    }

    #[test]
    fn test_first_non_finite__names_the_first() {
        let mut x = vec![1f32; 100_000];
        assert_eq!(first_non_finite(&x), None);
        x[70_001] = f32::NAN;
        x[99_999] = f32::INFINITY;
        assert_eq!(first_non_finite(&x), Some(70_001));
        x[3] = f32::NEG_INFINITY;
        assert_eq!(first_non_finite(&x), Some(3));
        assert_eq!(first_non_finite::<f64>(&[]), None);
    }
}
