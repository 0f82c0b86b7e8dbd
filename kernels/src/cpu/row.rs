//! Reductions of one row, in a fixed order: the parts that softmax, cross-entropy and layer norm are made of.
//!
//! Sixteen running totals, one per lane, let the compiler use vector registers: a single total would have to be
//! added in the order of the elements. The lanes are combined in their order at the end, so a row has one result,
//! whatever computes it.

use super::Real;

const LANES: usize = 16;
/// Elements whose exponentials are held on the stack at a time.
const BLOCK: usize = 256;

/// `f` over pairs of elements, added up.
#[inline]
fn total<R: Real>(x: &[R], y: &[R], f: impl Fn(R, R) -> R) -> R {
    let mut lanes = [R::ZERO; LANES];
    let (xs, x_tail) = x.as_chunks::<LANES>();
    let (ys, y_tail) = y.as_chunks::<LANES>();
    for (x, y) in xs.iter().zip(ys) {
        for l in 0..LANES {
            lanes[l] += f(x[l], y[l]);
        }
    }
    for (l, (&x, &y)) in x_tail.iter().zip(y_tail).enumerate() {
        lanes[l] += f(x, y);
    }
    lanes.into_iter().fold(R::ZERO, |a, b| a + b)
}

/// The sum of x.
#[inline]
pub(crate) fn sum<R: Real>(x: &[R]) -> R {
    total(x, x, |x, _| x)
}

/// The sum of the squares of x - centre.
#[inline]
pub(crate) fn sum_of_squares<R: Real>(x: &[R], centre: R) -> R {
    total(x, x, |x, _| (x - centre) * (x - centre))
}

/// The sum of x y.
#[inline]
pub(crate) fn dot<R: Real>(x: &[R], y: &[R]) -> R {
    debug_assert_eq!(x.len(), y.len());
    total(x, y, |x, y| x * y)
}

/// The sum of x (y - centre).
#[inline]
pub(crate) fn dot_centred<R: Real>(x: &[R], y: &[R], centre: R) -> R {
    debug_assert_eq!(x.len(), y.len());
    total(x, y, |x, y| x * (y - centre))
}

/// The largest element, negative infinity for none; a NaN is passed over (it reaches the result by its exponential).
#[inline]
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
#[inline]
pub(crate) fn exp<R: Real>(x: &[R], shift: R, y: &mut [R]) -> R {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = (x - shift).exp();
    }
    sum(y)
}

/// x = exp(x - shift) in place; returns the sum.
#[inline]
pub(crate) fn exp_in_place<R: Real>(x: &mut [R], shift: R) -> R {
    for x in x.iter_mut() {
        *x = (*x - shift).exp();
    }
    sum(x)
}

/// The sum of exp(x - shift), which is not kept.
#[inline]
pub(crate) fn sum_exp<R: Real>(x: &[R], shift: R) -> R {
    let mut block = [R::ZERO; BLOCK];
    let mut total = 0.0;
    for x in x.chunks(BLOCK) {
        total += exp(x, shift, &mut block[..x.len()]).to_f64();
    }
    R::from_f64(total)
}
