//! Reductions of one row, in a fixed order: the parts that softmax, cross-entropy and layer norm are made of.
//!
//! Sixteen running totals, one per lane, let the compiler use vector registers: a single total would have to be
//! added in the order of the elements. The lanes are combined in their order at the end, so a row has one result,
//! whatever computes it. All are inlined into the [`Body`](super::vector::Body) that calls them.

use super::vector::Math;
use crate::Real;

const LANES: usize = 16;
/// Elements whose exponentials are held on the stack at a time.
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
    lanes.into_iter().fold(R::ZERO, |a, b| a + b)
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
    tail.iter().chain(&lanes).fold(R::NEG_INFINITY, |a, &b| larger(a, b))
}

/// y = exp(x - shift); returns the sum of y.
#[inline(always)]
pub(crate) fn exp<M: Math, R: Real>(x: &[R], shift: R, y: &mut [R]) -> R {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = M::exp(x - shift);
    }
    sum(y)
}

/// x = exp(x - shift) in place; returns the sum.
#[inline(always)]
pub(crate) fn exp_in_place<M: Math, R: Real>(x: &mut [R], shift: R) -> R {
    for x in x.iter_mut() {
        *x = M::exp(*x - shift);
    }
    sum(x)
}

/// The sum of exp(x - shift), which is not kept.
#[inline(always)]
pub(crate) fn sum_exp<M: Math, R: Real>(x: &[R], shift: R) -> R {
    let mut block = [R::ZERO; BLOCK];
    let mut total = 0.0;
    for x in x.chunks(BLOCK) {
        total += exp::<M, R>(x, shift, &mut block[..x.len()]).to_f64();
    }
    R::from_f64(total)
}
