//! Sums, in an order that depends on the shape alone.
//!
//! f32 is added up in f64 (or in short f32 runs that are added up in f64), so a long sum keeps its precision. A
//! contiguous run is added in sixteen lanes, pieces are combined in order.

use super::PIECE;
use super::broadcast::Walk;
use crate::Real;
use crate::cpu::vector::{self, Body, Math};
use crate::cpu::{par, scratch};

const LANES: usize = 16;
/// Columns that are added up at a time.
const COLUMNS: usize = 128;
/// Rows that are added in R before the sum is added to an f64.
const ROWS: usize = 32;

/// The sum of all elements.
#[must_use]
pub fn sum<R: Real>(x: &[R]) -> f64 {
    par::sum(x.len(), PIECE, |lo, hi| vector::dispatch(Total::<R, false> { x: &x[lo..hi] }))
}

/// The sum of the squares of all elements: what the norm of a gradient is made of.
#[must_use]
pub fn sum_of_squares<R: Real>(x: &[R]) -> f64 {
    par::sum(x.len(), PIECE, |lo, hi| vector::dispatch(Total::<R, true> { x: &x[lo..hi] }))
}

/// The sum of a run, or of its squares.
struct Total<'a, R, const SQUARE: bool> {
    x: &'a [R],
}

impl<R: Real, const SQUARE: bool> Body for Total<'_, R, SQUARE> {
    type Output = f64;
    #[inline(always)]
    fn run<M: Math>(self) -> f64 {
        total::<R, SQUARE>(self.x)
    }
}

#[inline(always)]
fn total<R: Real, const SQUARE: bool>(x: &[R]) -> f64 {
    let mut lanes = [0.0; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    let term = |x: R| if SQUARE { x.to_f64() * x.to_f64() } else { x.to_f64() };
    for x in whole {
        for l in 0..LANES {
            lanes[l] += term(x[l]);
        }
    }
    for (l, x) in rest.iter().enumerate() {
        lanes[l] += term(*x);
    }
    lanes.into_iter().fold(0.0, |a, b| a + b)
}

/// `y[i, k] = scale * sum over j of x[i, j, k]` for x of shape [before, axis, after].
///
/// With `after = 1` this sums the last axis, with `before = 1` the first.
///
/// # Panics
/// A slice has not the elements that the shape says.
pub fn sum_axis<R: Real>(x: &[R], [before, axis, after]: [usize; 3], scale: f64, y: &mut [R]) {
    assert_eq!(x.len(), before * axis * after, "sum_axis: input");
    assert_eq!(y.len(), before * after, "sum_axis: output");
    if y.is_empty() {
        return;
    }
    if y.len() == 1 {
        y[0] = R::from_f64(scale * sum(x));
    } else if after == 1 {
        let rows = (PIECE / axis.max(1)).max(1);
        par::chunks_mut(y, rows, |i, y| {
            let x = &x[i * rows * axis..][..y.len() * axis];
            vector::dispatch(RowSums { x, axis, scale, y });
        });
    } else if before == 1 {
        let width = if x.len() < PIECE { after } else { COLUMNS };
        par::chunks_mut(y, width, |i, y| {
            vector::dispatch(ColumnSums { x: &x[i * width..], stride: after, axis, scale, y });
        });
    } else {
        let matrices = (PIECE / (axis * after).max(1)).max(1);
        par::chunks_mut(y, matrices * after, |i, y| {
            for (j, y) in y.chunks_mut(after).enumerate() {
                let x = &x[(i * matrices + j) * axis * after..][..axis * after];
                vector::dispatch(ColumnSums { x, stride: after, axis, scale, y });
            }
        });
    }
}

struct RowSums<'a, R> {
    x: &'a [R],
    axis: usize,
    scale: f64,
    y: &'a mut [R],
}

impl<R: Real> Body for RowSums<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        for (i, y) in self.y.iter_mut().enumerate() {
            let row = &self.x[i * self.axis..][..self.axis];
            *y = R::from_f64(self.scale * total::<R, false>(row));
        }
    }
}

struct ColumnSums<'a, R> {
    x: &'a [R],
    stride: usize,
    axis: usize,
    scale: f64,
    y: &'a mut [R],
}

impl<R: Real> Body for ColumnSums<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        for (i, y) in self.y.chunks_mut(COLUMNS).enumerate() {
            let mut totals = [0.0; COLUMNS];
            for first in (0..self.axis).step_by(ROWS) {
                let mut part = [R::ZERO; COLUMNS];
                let part = &mut part[..y.len()];
                for row in first..(first + ROWS).min(self.axis) {
                    let x = &self.x[row * self.stride + i * COLUMNS..][..y.len()];
                    for (part, x) in part.iter_mut().zip(x) {
                        *part += *x;
                    }
                }
                for (total, part) in totals.iter_mut().zip(part) {
                    *total += part.to_f64();
                }
            }
            for (y, total) in y.iter_mut().zip(totals) {
                *y = R::from_f64(self.scale * total);
            }
        }
    }
}

/// `y[i, j, k] = scale * x[i, k]`: every element of the axis gets its group's number.
///
/// # Panics
/// A slice has not the elements that the shape says.
pub fn repeat_axis<R: Real>(x: &[R], [before, axis, after]: [usize; 3], scale: f64, y: &mut [R]) {
    assert_eq!(x.len(), before * after, "repeat_axis: input");
    assert_eq!(y.len(), before * axis * after, "repeat_axis: output");
    let scale = R::from_f64(scale);
    let rows = (PIECE / after.max(1)).max(1);
    par::chunks_mut(y, rows * after.max(1), |i, y| {
        for (row, y) in (i * rows..).zip(y.chunks_mut(after)) {
            let x = &x[row / axis * after..][..after];
            y.iter_mut().zip(x).for_each(|(y, x)| *y = scale * *x);
        }
    });
}

/// Adds up what broadcasting repeated: the gradient of an operand of shape `x_shape`, given that of the output.
///
/// # Panics
/// `x_shape` does not broadcast to `g_shape`, or a slice has not the elements of its shape.
pub fn sum_to_shape<R: Real>((g, g_shape): (&[R], &[usize]), (gx, x_shape): (&mut [R], &[usize])) {
    assert_eq!(g.len(), g_shape.iter().product(), "sum_to_shape: input");
    assert_eq!(gx.len(), x_shape.iter().product(), "sum_to_shape: output");
    if g.is_empty() {
        return gx.fill(R::ZERO);
    }
    let walk = Walk::new(g_shape, [x_shape]);
    // Merged axes are in turn kept and summed; up to three of them with one sum are a sum over a middle axis.
    let [d0, d1, d2] = [walk.dims[0], walk.dims[1], walk.dims[2]];
    match (walk.rank, walk.strides[0][0] == 0) {
        (1, false) => gx.copy_from_slice(g),
        (1, true) => sum_axis(g, [1, d0, 1], 1.0, gx),
        (2, true) => sum_axis(g, [d1, d0, 1], 1.0, gx),
        (2, false) => sum_axis(g, [1, d1, d0], 1.0, gx),
        (3, false) => sum_axis(g, [d2, d1, d0], 1.0, gx),
        _ => sum_general(&walk, g, gx),
    }
}

/// Several summed axes with kept ones between: rare, so plain.
fn sum_general<R: Real>(walk: &Walk<1>, g: &[R], gx: &mut [R]) {
    let (run, [stride]) = (walk.dims[0], walk.strides[0]);
    scratch::with(gx.len(), |totals: &mut [f64]| {
        totals.fill(0.0);
        for (row, g) in g.chunks(run).enumerate() {
            let [at] = walk.offsets(row);
            if stride == 0 {
                totals[at] += total::<R, false>(g);
            } else {
                totals[at..].iter_mut().zip(g).for_each(|(total, g)| *total += g.to_f64());
            }
        }
        gx.iter_mut().zip(totals).for_each(|(gx, total)| *gx = R::from_f64(*total));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::testing::{assert_same_bits_for_any_threads, error, narrow, random};

    #[test]
    fn test_sum__keeps_its_precision_over_a_million() {
        let x = vec![0.1f32; 1_000_003];
        assert!((sum(&x) - 1_000_003.0 * f64::from(0.1f32)).abs() < 1e-6);
        assert!((sum_of_squares(&x) - 1_000_003.0 * f64::from(0.1f32).powi(2)).abs() < 1e-7);
        assert_eq!(sum::<f32>(&[]), 0.0);
    }

    #[test]
    fn test_sum_axis__is_the_definition() {
        let shapes = [
            [1, 5, 1],
            [3, 4, 1],
            [1, 100, 300],
            [1, 700, 130],
            [4, 33, 200],
            [2, 3, 1],
            [3, 0, 2],
        ];
        for [a, r, b] in shapes {
            let x = random(a * r * b, 1);
            let want: Vec<f64> = (0..a * b)
                .map(|i| 0.5 * (0..r).map(|j| x[(i / b * r + j) * b + i % b]).sum::<f64>())
                .collect();
            let (mut y, mut y32) = (vec![f64::NAN; a * b], vec![f32::NAN; a * b]);
            sum_axis(&x, [a, r, b], 0.5, &mut y);
            sum_axis(&narrow(&x), [a, r, b], 0.5, &mut y32);
            assert!(error(&y, &want) < 1e-13, "{a} {r} {b}");
            assert!(error(&y32, &want) < 1e-6, "{a} {r} {b}");
        }
    }

    #[test]
    fn test_repeat_axis__is_the_definition() {
        let mut y = [0.0; 12];
        repeat_axis(&[1.0, 2.0, 3.0, 4.0], [2, 3, 2], 2.0, &mut y);
        assert_eq!(y, [2.0, 4.0, 2.0, 4.0, 2.0, 4.0, 6.0, 8.0, 6.0, 8.0, 6.0, 8.0]);
    }

    #[test]
    fn test_sum_to_shape__undoes_every_kind_of_broadcast() {
        let shapes: [(&[usize], &[usize]); 10] = [
            (&[3, 4], &[3, 4]),
            (&[3, 4], &[4]),
            (&[3, 4], &[3, 1]),
            (&[3, 4], &[]),
            (&[3, 4], &[1, 1]),
            (&[2, 3, 4], &[2, 1, 4]),
            (&[2, 3, 4], &[1, 3, 1]),
            (&[2, 5, 4, 2, 3], &[2, 1, 4, 1, 3]),
            (&[0, 4], &[4]),
            (&[4, 1], &[1]),
        ];
        for (g_shape, x_shape) in shapes {
            let g = random(g_shape.iter().product(), 1);
            let mut want = vec![0.0; x_shape.iter().product()];
            for (flat, g) in g.iter().enumerate() {
                let (mut rest, mut index) = (flat, vec![0; g_shape.len()]);
                for (i, n) in index.iter_mut().zip(g_shape).rev() {
                    *i = rest % n;
                    rest /= n;
                }
                let tail = &index[g_shape.len() - x_shape.len()..];
                let pick = |o, (n, i): (&usize, &usize)| o * n + if *n == 1 { 0 } else { *i };
                want[x_shape.iter().zip(tail).fold(0, pick)] += g;
            }
            let mut gx = vec![f64::NAN; want.len()];
            sum_to_shape((&g, g_shape), (&mut gx, x_shape));
            assert!(error(&gx, &want) < 1e-14, "{g_shape:?} {x_shape:?}: {gx:?} {want:?}");
        }
    }

    #[test]
    fn test_reduce__same_bits_for_any_number_of_threads() {
        let x = narrow(&random(300_000, 1));
        assert_same_bits_for_any_threads(|| {
            let mut y = vec![0f32; 2 + 300 + 1000];
            y[0] = sum(&x) as f32;
            y[1] = (sum_of_squares(&x) * 1e-3) as f32;
            sum_axis(&x, [1, 1000, 300], 1.0, &mut y[2..302]);
            sum_axis(&x, [1000, 300, 1], 1.0, &mut y[302..]);
            y
        });
    }
}
