//! exp, tanh, sigmoid and erf of one number, without a branch, so that a loop over a slice becomes vector code.
//!
//! f64 goes through libm. f32 uses short polynomials, within 2 units in the last place of the true value. Their
//! coefficients are minimax fits (Remez exchange in 40 digits, smallest largest relative error):
//!
//! * exp: `x = k ln 2 + r`, `|r| <= ln 2 / 2`, `exp(r) = 1 + r + r^2 P(r)`, and `2^k` is put together from bits. Below the
//!   smallest normal number it is 0.
//! * tanh: `x + x^3 P(x^2)` below 0.625 and `1 - 2 / (exp(2x) + 1)` above.
//! * erf: `x + x P(x^2)` below 0.925 and `1 - exp(-x - x P(x))` above, where P fits `-ln(erfc x) / x - 1`.
//!
//! Both sides of such a choice are computed and one is selected: cheaper than a branch in every lane.

use crate::Real;
use crate::philox::philox_lanes;

/// The elementary functions of one instruction-set level; see [`dispatch`](super::dispatch).
pub trait Math: Copy + 'static {
    /// a * b + c for f32: fused where the level has the instruction, two roundings elsewhere.
    fn fma(a: f32, b: f32, c: f32) -> f32;

    /// a * b + c; always two roundings for f64, whose results are the same at every level.
    #[inline(always)]
    fn mul_add<R: Real>(a: R, b: R, c: R) -> R {
        if is_f32::<R>() { up(Self::fma(down(a), down(b), down(c))) } else { a * b + c }
    }

    /// e to the power of x.
    #[inline(always)]
    fn exp<R: Real>(x: R) -> R {
        if is_f32::<R>() { up(exp::<Self>(down(x))) } else { x.exp() }
    }

    /// The hyperbolic tangent.
    #[inline(always)]
    fn tanh<R: Real>(x: R) -> R {
        if is_f32::<R>() { up(tanh::<Self>(down(x))) } else { x.tanh() }
    }

    /// The error function.
    #[inline(always)]
    fn erf<R: Real>(x: R) -> R {
        if is_f32::<R>() { up(erf::<Self>(down(x))) } else { x.erf() }
    }

    /// The logistic function 1 / (1 + exp(-x)), without overflow on either side; for f32, 0 where it would be subnormal.
    #[inline(always)]
    fn sigmoid<R: Real>(x: R) -> R {
        if is_f32::<R>() { up(sigmoid::<Self>(down(x)).0) } else { x.sigmoid() }
    }

    /// The Philox blocks of counters `[first + l, c[0], c[1], c[2]]` for sixteen lanes l, each eight as
    /// `[word][lane]`.
    #[inline(always)]
    fn philox(key: [u32; 2], first: u32, c: [u32; 3]) -> [[[u32; 8]; 4]; 2] {
        philox_lanes(key, first, c)
    }

    /// The logistic function and its derivative, s (1 - s), which is formed without the cancellation of 1 - s.
    #[inline(always)]
    fn sigmoid_and_slope<R: Real>(x: R) -> (R, R) {
        if is_f32::<R>() {
            let (s, slope) = sigmoid::<Self>(down(x));
            return (up(s), up(slope));
        }
        let e = (-x.abs()).exp();
        let r = R::ONE / (R::ONE + e);
        (select(x < R::ZERO, e * r, r), e * r * r)
    }
}

/// The level without a fused multiply-add instruction: `f32::mul_add` would be a slow call there.
#[derive(Clone, Copy, Debug)]
pub struct Separate;

impl Math for Separate {
    #[inline(always)]
    fn fma(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

#[inline(always)]
const fn is_f32<R>() -> bool {
    size_of::<R>() == size_of::<f32>()
}

#[inline(always)]
fn down<R: Real>(x: R) -> f32 {
    bytemuck::cast(x)
}

#[inline(always)]
fn up<R: Real>(x: f32) -> R {
    bytemuck::cast(x)
}

/// `condition ? yes : no`, both computed.
#[inline(always)]
pub fn select<T>(condition: bool, yes: T, no: T) -> T {
    if condition { yes } else { no }
}

/// x held between `low` and `high`; NaN stays NaN (`f32::clamp` too, but it may panic, which stops vectorisation).
#[inline(always)]
pub fn clamp<R: Real>(x: R, low: f64, high: f64) -> R {
    let (low, high) = (R::from_f64(low), R::from_f64(high));
    let x = select(x < low, low, x);
    select(x > high, high, x)
}

/// Adding it leaves the nearest integer in the low bits of the sum: 1.5 * 2^23.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts; the first has trailing zeros, so that its product with an exponent is exact.
const LN2_HIGH: f32 = 0.693_359_375;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// Where exp becomes 0, a little above the smallest normal number: subnormal numbers are slow, and no use of exp here
/// tells them from 0.
pub(super) const EXP_LEAST: f32 = -87.33;
/// ln of the largest number.
const EXP_LARGEST: f32 = 88.722_84;

#[inline(always)]
fn exp<M: Math>(x: f32) -> f32 {
    let (rounded, r, p) = exp_reduced::<M>(x);
    let y = M::fma(p, r * r, r) + 1.0;
    // 2^k times y: k, the low bits of `rounded`, is added to the exponent. Where that would not fit, or x is NaN, the
    // result is another.
    let y = f32::from_bits(y.to_bits().wrapping_add(rounded.to_bits() << 23));
    let y = select(x <= EXP_LARGEST, y, x + f32::INFINITY);
    select(x < EXP_LEAST, 0.0, y)
}

/// k = x / ln 2 rounded, with ROUND added; r = x - k ln 2; P(r).
#[inline(always)]
fn exp_reduced<M: Math>(x: f32) -> (f32, f32, f32) {
    let rounded = M::fma(x, std::f32::consts::LOG2_E, ROUND);
    let k = rounded - ROUND;
    let r = M::fma(k, -LN2_LOW, M::fma(k, -LN2_HIGH, x));
    let mut p = 1.381_446_3e-3;
    p = M::fma(p, r, 8.368_780_5e-3);
    p = M::fma(p, r, 4.166_839_4e-2);
    p = M::fma(p, r, 1.666_652_0e-1);
    (rounded, r, M::fma(p, r, 4.999_999_3e-1))
}

/// 2^k, where k is what `rounded` holds; from -126 to 127.
#[inline(always)]
fn power(rounded: f32) -> f32 {
    f32::from_bits((rounded.to_bits() << 23).wrapping_add(1.0_f32.to_bits()))
}

/// The logistic function s and its slope s (1 - s), which is never quite 0 far above.
///
/// With e = exp(-|x|), s is e / (1 + e) below 0 and 1 / (1 + e) above. Below 0 the quotient would take over the error of e at up
/// to twice its size, so it is corrected by what the roundings of e and of d = 1 + e lost; there 1 / d = 1 - e / d.
#[inline(always)]
fn sigmoid<M: Math>(x: f32) -> (f32, f32) {
    let t = -x.abs();
    let t = select(t < EXP_LEAST, EXP_LEAST, t);
    let (rounded, r, p) = exp_reduced::<M>(t);
    let tail = M::fma(p, r * r, r);
    let y = 1.0 + tail;
    let scale = power(rounded);
    let (e, low) = (y * scale, (tail - (y - 1.0)) * scale);
    let d = 1.0 + e;
    let q = select(x < 0.0, e, 1.0) / d;
    let rest = 1.0 - q;
    let lost = e - (d - 1.0);
    let below = M::fma(M::fma(low, rest, -(q * lost)), rest, q);
    let below = select(x < EXP_LEAST, 0.0, below);
    // 1 - s would lose its digits above 0, where it is e / d
    (select(x < 0.0, below, q), select(x < 0.0, below * rest, q * q * e))
}

#[inline(always)]
fn tanh<M: Math>(x: f32) -> f32 {
    let t = x.abs();
    let s = t * t;
    let mut p = -5.697_374_5e-3;
    p = M::fma(p, s, 2.063_253_7e-2);
    p = M::fma(p, s, -5.373_779_5e-2);
    p = M::fma(p, s, 1.333_142_0e-1);
    p = M::fma(p, s, -3.333_328_1e-1);
    let small = M::fma(p * s, t, t);
    let e = exp::<M>(2.0 * select(t > 10.0, 10.0, t));
    let large = 1.0 - 2.0 / (e + 1.0);
    select(t > 0.625, large, small).copysign(x)
}

#[inline(always)]
fn erf<M: Math>(x: f32) -> f32 {
    let t: f32 = clamp(x.abs(), 0.0, 4.0); // erf(4) rounds to 1
    let s = t * t;
    let mut p = -5.957_372_0e-4;
    p = M::fma(p, s, 4.986_811_3e-3);
    p = M::fma(p, s, -2.676_248_1e-2);
    p = M::fma(p, s, 1.128_171_2e-1);
    p = M::fma(p, s, -3.761_248_6e-1);
    p = M::fma(p, s, 1.283_791_5e-1);
    let small = M::fma(p, t, t);
    let mut q = 1.142_342_8e-5;
    q = M::fma(q, t, -3.247_273_1e-4);
    q = M::fma(q, t, 3.650_281_9e-3);
    q = M::fma(q, t, -2.377_861_3e-2);
    q = M::fma(q, t, 1.062_561_0e-1);
    q = M::fma(q, t, 6.351_396_9e-1);
    q = M::fma(q, t, 1.286_513_5e-1);
    let large = 1.0 - exp::<M>(-M::fma(q, t, t));
    select(t > 0.925, large, small).copysign(x)
}
