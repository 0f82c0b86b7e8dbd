//! Reductions of one row, in a fixed order: the parts that softmax, cross-entropy and layer norm are made of.
//!
//! Sixteen running totals, one per lane, let the compiler use vector registers: a single total would have to be
//! added in the order of the elements. The lanes are combined in one order at the end, so a row has one result,
//! whatever computes it. All are inlined into the [`Body`](super::vector::Body) that calls them.

use super::vector::Math;
use crate::Real;

const LANES: usize = 16;
/// Rows that go through one stage of a computation before they go through the next. A stage that ends in one number has the
/// processor wait for it; with several rows in a short loop it has others to do meanwhile.
pub(crate) const TOGETHER: usize = 8;
/// Exponentials that are added up before they go into a total in double precision.
const BLOCK: usize = 256;

/// `f` over pairs of elements, added up.
#[inline(always)]
fn total<R: Real>(x: &[R], y: &[R], f: impl Fn(R, R, R) -> R) -> R {
    let mut lanes = [R::ZERO; LANES];
    let (xs, x_tail) = x.as_chunks::<LANES>();
    let (ys, y_tail) = y.as_chunks::<LANES>();
    for (x, y) in xs.iter().zip(ys) {
        for l in 0..LANES {
            lanes[l] = f(x[l], y[l], lanes[l]);
        }
    }
    for ((lane, &x), &y) in lanes.iter_mut().zip(x_tail).zip(y_tail) {
        *lane = f(x, y, *lane);
    }
    halves(lanes, |a, b| a + b)
}

/// The lanes combined: each of the first half with its fellow of the second, until one is left.
#[inline(always)]
fn halves<R: Real>(mut lanes: [R; LANES], f: impl Fn(R, R) -> R) -> R {
    let mut half = LANES / 2;
    while half > 0 {
        for l in 0..half {
            lanes[l] = f(lanes[l], lanes[l + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// The sum of x.
#[inline(always)]
pub(crate) fn sum<R: Real>(x: &[R]) -> R {
    total(x, x, |x, _, sum| sum + x)
}

/// The sum of the squares of x - centre.
#[inline(always)]
pub(crate) fn sum_of_squares<M: Math, R: Real>(x: &[R], centre: R) -> R {
    total(x, x, |x, _, sum| M::mul_add(x - centre, x - centre, sum))
}

/// The sum of x y.
#[inline(always)]
pub(crate) fn dot<M: Math, R: Real>(x: &[R], y: &[R]) -> R {
    debug_assert_eq!(x.len(), y.len());
    total(x, y, |x, y, sum| M::mul_add(x, y, sum))
}

/// The sum of x (y - centre).
#[inline(always)]
pub(crate) fn dot_centred<M: Math, R: Real>(x: &[R], y: &[R], centre: R) -> R {
    debug_assert_eq!(x.len(), y.len());
    total(x, y, |x, y, sum| M::mul_add(x, y - centre, sum))
}

/// The largest element, negative infinity for none; a NaN is passed over (it reaches the result by its exponential).
#[inline(always)]
pub(crate) fn max<R: Real>(x: &[R]) -> R {
    let larger = |a: R, b: R| if b > a { b } else { a };
    let mut lanes = [R::NEG_INFINITY; LANES];
    let (xs, tail) = x.as_chunks::<LANES>();
    for x in xs {
        for l in 0..LANES {
            lanes[l] = larger(lanes[l], x[l]);
        }
    }
    tail.iter().fold(halves(lanes, larger), |a, &b| larger(a, b))
}

/// y = exp(x - shift); returns the sum of y.
#[inline(always)]
pub(crate) fn exp<M: Math, R: Real>(x: &[R], shift: R, y: &mut [R]) -> R {
    y.copy_from_slice(x);
    exp_in_place::<M, R>(y, shift)
}

/// x = exp(x - shift) in place; returns the sum.
#[inline(always)]
pub(crate) fn exp_in_place<M: Math, R: Real>(x: &mut [R], shift: R) -> R {
    let mut lanes = [R::ZERO; LANES];
    let mut exp = |x: &mut [R; LANES]| {
        for l in 0..LANES {
            x[l] = M::exp(x[l] - shift);
            lanes[l] += x[l];
        }
    };
    let (xs, tail) = x.as_chunks_mut::<LANES>();
    xs.iter_mut().for_each(&mut exp);
    if !tail.is_empty() {
        let mut last = padded(tail);
        exp(&mut last);
        tail.copy_from_slice(&last[..tail.len()]);
    }
    halves(lanes, |a, b| a + b)
}

/// Some elements, then negative infinities, whose exponentials add nothing.
#[inline(always)]
fn padded<R: Real>(x: &[R]) -> [R; LANES] {
    let mut all = [R::NEG_INFINITY; LANES];
    all[..x.len()].copy_from_slice(x);
    all
}

/// The sum of exp(x - shift), which is not kept.
#[inline(always)]
pub(crate) fn sum_exp<M: Math, R: Real>(x: &[R], shift: R) -> R {
    let mut total = 0.0;
    for x in x.chunks(BLOCK) {
        let mut lanes = [R::ZERO; LANES];
        let mut add = |x: &[R; LANES]| {
            for l in 0..LANES {
                lanes[l] += M::exp(x[l] - shift);
            }
        };
        let (xs, tail) = x.as_chunks::<LANES>();
        xs.iter().for_each(&mut add);
        if !tail.is_empty() {
            add(&padded(tail));
        }
        total += halves(lanes, |a, b| a + b).to_f64();
    }
    R::from_f64(total)
}
