//! The non-linear functions of networks, and their derivatives.
//!
//! | function | y | slope |
//! |---|---|---|
//! | relu | max(x, 0) | 1 where y > 0 |
//! | silu | x s(x) | s + x s (1 - s) |
//! | tanh | tanh x | 1 - y^2 |
//! | sigmoid s | 1 / (1 + exp(-x)) | y (1 - y) |
//! | gelu | x Phi(x), Phi(x) = (1 + erf(x / sqrt 2)) / 2 | Phi(x) + x exp(-x^2 / 2) / sqrt(2 pi) |
//! | gelu (tanh form) | x s(2u), u = sqrt(2 / pi) (x + 0.044715 x^3) | s + x s (1 - s) 2u' |
//!
//! Hendrycks and Gimpel, *Gaussian error linear units* (arXiv:1606.08415). The tanh form is usually written
//! x (1 + tanh u) / 2, which is the same, since 1 + tanh u = 2 s(2u); written with s it keeps its precision where
//! the factor is small.

use super::PIECE;
use crate::Real;
use crate::cpu::par;
use crate::cpu::vector::math::{clamp, select};
use crate::cpu::vector::{self, Body, Math, Sigmoid, Tanh, Unary};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

/// A non-linear function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// x sigmoid(x).
    Silu,
    /// The hyperbolic tangent.
    Tanh,
    /// The logistic function.
    Sigmoid,
    /// x times the normal distribution function.
    Gelu,
    /// Its approximation with tanh, which GPT-2 uses (`gelu_new`).
    GeluTanh,
}

impl Activation {
    /// Every function.
    pub const ALL: [Self; 6] =
        [Self::Relu, Self::Silu, Self::Tanh, Self::Sigmoid, Self::Gelu, Self::GeluTanh];

    /// Whether the slope is a function of the output y; of the input x otherwise.
    #[must_use]
    pub fn slope_is_of_output(self) -> bool {
        matches!(self, Self::Relu | Self::Tanh | Self::Sigmoid)
    }

    /// `y = f(x)`.
    ///
    /// # Panics
    /// The lengths differ.
    pub fn forward<R: Real>(self, x: &[R], y: &mut [R]) {
        match self {
            Self::Relu => super::map(Relu, x, y),
            Self::Silu => super::map(Silu, x, y),
            Self::Tanh => super::map(Tanh, x, y),
            Self::Sigmoid => super::map(Sigmoid, x, y),
            Self::Gelu => super::map(Gelu, x, y),
            Self::GeluTanh => super::map(GeluTanh, x, y),
        }
    }

    /// `y = f(x)` and `slope = f'(x)`, for a slope that is of the input: an exponential serves both.
    ///
    /// # Panics
    /// The lengths differ, or the slope is of the output.
    pub fn forward_with_slope<R: Real>(self, x: &[R], y: &mut [R], slope: &mut [R]) {
        match self {
            Self::Silu => with_slope(Silu, x, y, slope),
            Self::Gelu => with_slope(Gelu, x, y, slope),
            Self::GeluTanh => with_slope(GeluTanh, x, y, slope),
            Self::Relu | Self::Tanh | Self::Sigmoid => {
                panic!("{self:?}: the slope is of the output")
            }
        }
    }

    /// `gx = gy f'`, where `saved` is y, or the slope where that is of the input.
    ///
    /// # Panics
    /// The lengths differ.
    pub fn backward<R: Real>(self, saved: &[R], gy: &[R], gx: &mut [R]) {
        match self {
            Self::Relu => backward(Relu, saved, gy, gx),
            Self::Tanh => backward(Tanh, saved, gy, gx),
            Self::Sigmoid => backward(Sigmoid, saved, gy, gx),
            Self::Silu | Self::Gelu | Self::GeluTanh => backward(Known, saved, gy, gx),
        }
    }
}

/// `gx = gy slope(saved)`.
fn backward<R: Real>(slope: impl Slope, saved: &[R], gy: &[R], gx: &mut [R]) {
    assert!(
        saved.len() == gx.len() && gy.len() == gx.len(),
        "activation: the slices differ in length"
    );
    par::chunks_mut(gx, PIECE, |i, gx| {
        let range = i * PIECE..i * PIECE + gx.len();
        let (saved, gy) = (&saved[range.clone()], &gy[range]);
        vector::dispatch(Backward { saved, gy, gx, slope });
    });
}

struct Backward<'a, R, S> {
    saved: &'a [R],
    gy: &'a [R],
    gx: &'a mut [R],
    slope: S,
}

impl<R: Real, S: Slope> Body for Backward<'_, R, S> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        for ((gx, gy), saved) in self.gx.iter_mut().zip(self.gy).zip(self.saved) {
            *gx = *gy * self.slope.at_saved(*saved);
        }
    }
}

/// `y = f(x)` and its slope.
fn with_slope<R: Real>(function: impl Smooth, x: &[R], y: &mut [R], slope: &mut [R]) {
    assert!(
        x.len() == y.len() && x.len() == slope.len(),
        "activation: the slices differ in length"
    );
    par::each(y.chunks_mut(PIECE).zip(slope.chunks_mut(PIECE)), |i, (y, slope)| {
        let x = &x[i * PIECE..][..y.len()];
        vector::dispatch(WithSlope { x, y, slope, function });
    });
}

struct WithSlope<'a, R, F> {
    x: &'a [R],
    y: &'a mut [R],
    slope: &'a mut [R],
    function: F,
}

impl<R: Real, F: Smooth> Body for WithSlope<'_, R, F> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        for ((y, slope), &x) in self.y.iter_mut().zip(self.slope).zip(self.x) {
            (*y, *slope) = self.function.with_slope::<M, R>(x);
        }
    }
}

/// A derivative, from y or from itself.
trait Slope: Copy + Sync {
    fn at_saved<R: Real>(self, saved: R) -> R;
}

/// A slope that was formed beside the value.
#[derive(Clone, Copy)]
struct Known;

impl Slope for Known {
    #[inline(always)]
    fn at_saved<R: Real>(self, slope: R) -> R {
        slope
    }
}

#[derive(Clone, Copy)]
struct Relu;
#[derive(Clone, Copy)]
struct Silu;
/// The exact form; the loops of other kernels may use it.
#[derive(Clone, Copy, Debug)]
pub struct Gelu;
/// The tanh form; the loops of other kernels may use it.
#[derive(Clone, Copy, Debug)]
pub struct GeluTanh;

impl Unary for Relu {
    #[inline(always)]
    fn at<M: Math, R: Real>(self, x: R) -> R {
        select(x < R::ZERO, R::ZERO, x) // NaN stays
    }
}

impl Slope for Relu {
    #[inline(always)]
    fn at_saved<R: Real>(self, y: R) -> R {
        select(y > R::ZERO, R::ONE, R::ZERO)
    }
}

impl Slope for Tanh {
    #[inline(always)]
    fn at_saved<R: Real>(self, y: R) -> R {
        R::ONE - y * y
    }
}

impl Slope for Sigmoid {
    #[inline(always)]
    fn at_saved<R: Real>(self, y: R) -> R {
        y * (R::ONE - y)
    }
}

/// Keeps an infinite x from meeting a factor of 0, which would give NaN where the limit is 0.
const FAR: f64 = 1e18;

/// A function whose slope is of the input: both at once. In f32 who wants the value alone has no work with the slope.
trait Smooth: Copy + Sync + Send {
    fn with_slope<M: Math, R: Real>(self, x: R) -> (R, R);
}

impl<F: Smooth> Unary for F {
    #[inline(always)]
    fn at<M: Math, R: Real>(self, x: R) -> R {
        self.with_slope::<M, R>(x).0
    }
}

impl Smooth for Silu {
    #[inline(always)]
    fn with_slope<M: Math, R: Real>(self, x: R) -> (R, R) {
        let (s, ds) = M::sigmoid_and_slope(x);
        (finite_below(x) * s, s + clamp(x, -FAR, FAR) * ds)
    }
}

impl Smooth for Gelu {
    #[inline(always)]
    fn with_slope<M: Math, R: Real>(self, x: R) -> (R, R) {
        let half = R::from_f64(0.5);
        let phi = R::ONE + M::erf(x * R::from_f64(FRAC_1_SQRT_2));
        let c = clamp(x, -FAR, FAR);
        let density = R::from_f64(0.5 * FRAC_1_SQRT_2 * FRAC_2_SQRT_PI) * M::exp(-half * c * c);
        (half * finite_below(x) * phi, half * phi + c * density)
    }
}

/// sqrt(2 / pi)
const ROOT: f64 = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
const CUBIC: f64 = 0.044_715;

impl Smooth for GeluTanh {
    #[inline(always)]
    fn with_slope<M: Math, R: Real>(self, x: R) -> (R, R) {
        let c: R = clamp(x, -64.0, 64.0); // beyond, the sigmoid is 0 or 1
        let u = R::from_f64(2.0 * ROOT) * c * (R::ONE + R::from_f64(CUBIC) * c * c);
        let du = R::from_f64(2.0 * ROOT) * (R::ONE + R::from_f64(3.0 * CUBIC) * c * c);
        let (s, ds) = M::sigmoid_and_slope(u);
        (finite_below(x) * s, s + c * ds * du)
    }
}

/// x, but where it is below [`FAR`]: an infinity would meet a factor of 0.
#[inline(always)]
fn finite_below<R: Real>(x: R) -> R {
    select(x < R::from_f64(-FAR), R::from_f64(-FAR), x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::testing::{assert_same_bits_for_any_threads, error, narrow, random};

    /// y and gx.
    fn backward_after_forward<R: Real>(f: Activation, x: &[R], gy: &[R]) -> (Vec<R>, Vec<R>) {
        let (mut y, mut gx) = (vec![R::ZERO; x.len()], vec![R::ZERO; x.len()]);
        if f.slope_is_of_output() {
            f.forward(x, &mut y);
            f.backward(&y, gy, &mut gx);
        } else {
            let mut slope = vec![R::ZERO; x.len()];
            f.forward_with_slope(x, &mut y, &mut slope);
            f.backward(&slope, gy, &mut gx);
            let mut alone = vec![R::ZERO; x.len()];
            f.forward(x, &mut alone);
            let bits = |x: f64| if x.is_nan() { 0 } else { x.to_bits() };
            let same = |(a, b): (&R, &R)| bits(a.to_f64()) == bits(b.to_f64());
            assert!(y.iter().zip(&alone).all(same), "{f:?}: with its slope it is another value");
        }
        (y, gx)
    }

    fn gradient(f: Activation, x: &[f64], gy: &[f64]) -> Vec<f64> {
        backward_after_forward(f, x, gy).1
    }

    #[test]
    fn test_activation__values_by_hand() {
        let at = |f: Activation, x: f64| {
            let mut y = [0.0];
            f.forward(&[x], &mut y);
            y[0]
        };
        let close = |a: f64, b: f64| (a - b).abs() < 1e-15;
        assert!(close(at(Activation::Relu, -3.0), 0.0) && close(at(Activation::Relu, 3.0), 3.0));
        assert!(close(at(Activation::Silu, 1.0), 0.731_058_578_630_004_9));
        assert!(close(at(Activation::Gelu, 1.0), 0.841_344_746_068_542_9));
        assert!(close(at(Activation::GeluTanh, 1.0), 0.841191990608276705));
        let u = (2.0 / std::f64::consts::PI).sqrt() * (0.7 + 0.044715 * 0.7f64.powi(3));
        assert!(close(at(Activation::GeluTanh, 0.7), 0.35 * (1.0 + u.tanh())));
    }

    #[test]
    fn test_activation__slopes_match_differences() {
        let x: Vec<f64> = random(200, 1).iter().map(|x| 3.0 * x + 0.01_f64.copysign(*x)).collect();
        let ones = vec![1.0; x.len()];
        for f in Activation::ALL {
            let h = 1e-5;
            let shifted = |h: f64| {
                let (x, mut y) = (x.iter().map(|x| x + h).collect::<Vec<_>>(), ones.clone());
                f.forward(&x, &mut y);
                y
            };
            let (up, down) = (shifted(h), shifted(-h));
            let want: Vec<f64> = up.iter().zip(&down).map(|(u, d)| (u - d) / (2.0 * h)).collect();
            let e = error(&gradient(f, &x, &ones), &want);
            assert!(e < 1e-9, "{f:?}: {e}");
        }
    }

    #[test]
    fn test_activation__f32_matches_f64() {
        let (x, gy) = (random(1003, 2), random(1003, 3));
        let x: Vec<f64> = x.iter().map(|x| f64::from(*x as f32 * 4.0)).collect();
        let gy: Vec<f64> = narrow(&gy).into_iter().map(f64::from).collect();
        for f in Activation::ALL {
            let (mut y, mut y32) = (vec![0.0; x.len()], vec![0f32; x.len()]);
            f.forward(&x, &mut y);
            f.forward(&narrow(&x), &mut y32);
            assert!(error(&y32, &y) <= 1e-6, "{f:?}");

            let (_, g32) = backward_after_forward(f, &narrow(&x), &narrow(&gy));
            assert!(error(&g32, &gradient(f, &x, &gy)) <= 1e-6, "{f:?}");
        }
    }

    #[test]
    fn test_activation__special_values() {
        let x = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 3e38, -3e38, 0.0];
        for f in Activation::ALL {
            let (y, g) = backward_after_forward(f, &x, &[1.0; 6]);
            let bounded = matches!(f, Activation::Tanh | Activation::Sigmoid);
            assert_eq!(y[0], if bounded { 1.0 } else { f32::INFINITY }, "{f:?}");
            assert_eq!(y[1], if f == Activation::Tanh { -1.0 } else { 0.0 }, "{f:?}");
            assert!(y[2].is_nan(), "{f:?}");
            let far = if bounded { 0.0 } else { 1.0 };
            assert_eq!([g[0], g[1], g[3], g[4]], [far, 0.0, far, 0.0], "{f:?}");
        }
    }

    #[test]
    fn test_activation__same_bits_for_any_number_of_threads() {
        let x = narrow(&random(100_000, 4));
        assert_same_bits_for_any_threads(|| {
            let (y, gx) = backward_after_forward(Activation::Gelu, &x, &x);
            [y, gx].concat()
        });
    }
}
