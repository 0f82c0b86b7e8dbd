//! Arithmetic on two tensors whose shapes need not be equal.
//!
//! Shapes are aligned at their last axes, and an axis of size 1 (or one that is missing) repeats: NumPy's rule. In
//! memory, a repeated axis is one with stride 0. Axes that can be walked as one are merged first, so two tensors of
//! one shape are a single run, a bias is rows of one run each, and a scalar is a run with stride 0; the same loop
//! serves them all.

use super::PIECE;
use crate::Real;
use crate::cpu::par;
use crate::cpu::vector::{self, Body, Math};

/// The most axes of a tensor.
pub const MAX_RANK: usize = 8;

/// What is done with two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// a + b
    Add,
    /// a - b
    Sub,
    /// a b
    Mul,
    /// a / b
    Div,
}

/// `y = a op b`. The shape of y is that of a and b broadcast against each other.
///
/// ```
/// use foundry_kernels::cpu::elementwise::broadcast::{Binary, binary};
///
/// let (column, row, mut y) = ([1.0, 2.0], [10.0, 20.0, 30.0], [0.0; 6]);
/// binary(Binary::Add, (&column, &[2, 1]), (&row, &[3]), (&mut y, &[2, 3]));
/// assert_eq!(y, [11.0, 21.0, 31.0, 12.0, 22.0, 32.0]);
/// ```
///
/// # Panics
/// A shape does not broadcast to that of y, or a slice does not have its shape's number of elements.
pub fn binary<R: Real>(
    op: Binary,
    (a, a_shape): (&[R], &[usize]),
    (b, b_shape): (&[R], &[usize]),
    (y, y_shape): (&mut [R], &[usize]),
) {
    assert_eq!(a.len(), a_shape.iter().product(), "binary: first operand");
    assert_eq!(b.len(), b_shape.iter().product(), "binary: second operand");
    assert_eq!(y.len(), y_shape.iter().product(), "binary: output");
    if y.is_empty() {
        return;
    }
    let walk = Walk::new(y_shape, [a_shape, b_shape]);
    match op {
        Binary::Add => pairs(&walk, Add, a, b, y),
        Binary::Sub => pairs(&walk, Sub, a, b, y),
        Binary::Mul => pairs(&walk, Mul, a, b, y),
        Binary::Div => pairs(&walk, Div, a, b, y),
    }
}

fn pairs<R: Real>(walk: &Walk<2>, pair: impl Pair, a: &[R], b: &[R], y: &mut [R]) {
    let run = walk.dims[0];
    if walk.rank == 1 {
        let [sa, sb] = walk.strides[0];
        par::chunks_mut(y, PIECE, |i, y| {
            let (a, b) = (&a[i * PIECE * sa..], &b[i * PIECE * sb..]);
            vector::dispatch(Rows { walk, first: 0, run: y.len(), a, b, y, pair });
        });
    } else {
        let rows = (PIECE / run).max(1);
        par::chunks_mut(y, rows * run, |i, y| {
            vector::dispatch(Rows { walk, first: i * rows, run, a, b, y, pair });
        });
    }
}

/// Consecutive runs of y, from run `first` on.
struct Rows<'a, R, P> {
    walk: &'a Walk<2>,
    first: usize,
    run: usize,
    a: &'a [R],
    b: &'a [R],
    y: &'a mut [R],
    pair: P,
}

impl<R: Real, P: Pair> Body for Rows<'_, R, P> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        let Self { walk, first, run, a, b, y, pair } = self;
        let strides = walk.strides[0];
        for (row, y) in (first..).zip(y.chunks_mut(run)) {
            let [at_a, at_b] = walk.offsets(row);
            let (a, b) = (&a[at_a..], &b[at_b..]);
            match strides {
                [1, 1] => {
                    for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
                        *y = pair.of(*a, *b);
                    }
                }
                [1, _] => {
                    let b = b[0];
                    for (y, a) in y.iter_mut().zip(a) {
                        *y = pair.of(*a, b);
                    }
                }
                [_, 1] => {
                    let a = a[0];
                    for (y, b) in y.iter_mut().zip(b) {
                        *y = pair.of(a, *b);
                    }
                }
                _ => y.fill(pair.of(a[0], b[0])),
            }
        }
    }
}

trait Pair: Copy + Sync {
    fn of<R: Real>(self, a: R, b: R) -> R;
}
#[derive(Clone, Copy)]
struct Add;
#[derive(Clone, Copy)]
struct Sub;
#[derive(Clone, Copy)]
struct Mul;
#[derive(Clone, Copy)]
struct Div;

impl Pair for Add {
    #[inline(always)]
    fn of<R: Real>(self, a: R, b: R) -> R {
        a + b
    }
}
impl Pair for Sub {
    #[inline(always)]
    fn of<R: Real>(self, a: R, b: R) -> R {
        a - b
    }
}
impl Pair for Mul {
    #[inline(always)]
    fn of<R: Real>(self, a: R, b: R) -> R {
        a * b
    }
}
impl Pair for Div {
    #[inline(always)]
    fn of<R: Real>(self, a: R, b: R) -> R {
        a / b
    }
}

/// How K operands are walked in the order of one output: axes innermost first, merged where every operand allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk<const K: usize> {
    /// Sizes of the merged axes; at least one.
    pub(crate) dims: [usize; MAX_RANK],
    /// For each axis the stride of each operand; 0 where it repeats. That of the innermost axis is 0 or 1.
    pub(crate) strides: [[usize; K]; MAX_RANK],
    /// Axes.
    pub(crate) rank: usize,
}

impl<const K: usize> Walk<K> {
    #[track_caller]
    pub(crate) fn new(output: &[usize], operands: [&[usize]; K]) -> Self {
        assert!(output.len() <= MAX_RANK, "broadcast: more than {MAX_RANK} axes");
        let mut walk = Self { dims: [1; MAX_RANK], strides: [[0; K]; MAX_RANK], rank: 0 };
        let mut next = [1; K]; // the stride of the coming axis where an operand does not repeat
        for (from_last, &dim) in output.iter().rev().enumerate() {
            let mut strides = [0; K];
            for (k, shape) in operands.iter().enumerate() {
                let own = shape.len().checked_sub(from_last + 1).map_or(1, |axis| shape[axis]);
                assert!(
                    (own == dim || own == 1) && shape.len() <= output.len(),
                    "broadcast: {shape:?} does not broadcast to {output:?}"
                );
                if own != 1 {
                    strides[k] = next[k];
                    next[k] *= own;
                }
            }
            if dim != 1 {
                walk.push(dim, strides);
            }
        }
        walk.rank = walk.rank.max(1);
        walk
    }

    fn push(&mut self, dim: usize, strides: [usize; K]) {
        if let Some(last) = self.rank.checked_sub(1) {
            let runs_on = |k: usize| strides[k] == self.strides[last][k] * self.dims[last];
            if (0..K).all(runs_on) {
                self.dims[last] *= dim;
                return;
            }
        }
        self.dims[self.rank] = dim;
        self.strides[self.rank] = strides;
        self.rank += 1;
    }

    /// Where each operand's run number `row` begins; runs go along the innermost axis.
    #[inline(always)]
    pub(crate) fn offsets(&self, mut row: usize) -> [usize; K] {
        let mut at = [0; K];
        for axis in 1..self.rank {
            let i = row % self.dims[axis];
            row /= self.dims[axis];
            for k in 0..K {
                at[k] += i * self.strides[axis][k];
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::testing::{assert_same_bits_for_any_threads, narrow, random};

    /// The definition: one output element at a time.
    fn naive(
        a: &[f64],
        a_shape: &[usize],
        b: &[f64],
        b_shape: &[usize],
        y_shape: &[usize],
    ) -> Vec<f64> {
        let at = |shape: &[usize], index: &[usize]| {
            let skip = index.len() - shape.len();
            shape
                .iter()
                .zip(&index[skip..])
                .fold(0, |o, (n, i)| o * n + if *n == 1 { 0 } else { *i })
        };
        (0..y_shape.iter().product())
            .map(|flat: usize| {
                let (mut rest, mut index) = (flat, vec![0; y_shape.len()]);
                for (i, n) in index.iter_mut().zip(y_shape).rev() {
                    *i = rest % n;
                    rest /= n;
                }
                a[at(a_shape, &index)] / b[at(b_shape, &index)]
            })
            .collect()
    }

    #[test]
    fn test_binary__is_the_definition_for_all_kinds_of_shapes() {
        let cases: [(&[usize], &[usize], &[usize]); 14] = [
            (&[3, 4], &[3, 4], &[3, 4]),
            (&[3, 4], &[4], &[3, 4]),
            (&[4], &[3, 4], &[3, 4]),
            (&[3, 4], &[], &[3, 4]),
            (&[3, 1], &[1, 4], &[3, 4]),
            (&[3, 4], &[3, 1], &[3, 4]),
            (&[2, 3, 4], &[2, 1, 4], &[2, 3, 4]),
            (&[2, 1, 4, 1, 3], &[5, 1, 2, 1], &[2, 5, 4, 2, 3]),
            (&[1, 1], &[1], &[1, 1]),
            (&[], &[], &[]),
            (&[0, 3], &[3], &[0, 3]),
            (&[2, 0], &[2, 1], &[2, 0]),
            (&[70_000], &[1], &[70_000]),
            (&[3, 40_000], &[40_000], &[3, 40_000]),
        ];
        for (a_shape, b_shape, y_shape) in cases {
            let a = random(a_shape.iter().product(), 1);
            let b = random(b_shape.iter().product(), 2);
            let mut y = vec![f64::NAN; y_shape.iter().product()];
            binary(Binary::Div, (&a, a_shape), (&b, b_shape), (&mut y, y_shape));
            assert!(y == naive(&a, a_shape, &b, b_shape, y_shape), "{a_shape:?} {b_shape:?}");
        }
    }

    #[test]
    fn test_binary__each_operation() {
        for (op, want) in
            [(Binary::Add, 8.0), (Binary::Sub, 4.0), (Binary::Mul, 12.0), (Binary::Div, 3.0)]
        {
            let mut y = [0f32];
            binary(op, (&[6.0], &[1]), (&[2.0], &[1]), (&mut y, &[1]));
            assert_eq!(y, [want]);
        }
    }

    #[test]
    fn test_walk__merges_what_runs_on() {
        let same = Walk::new(&[2, 3, 4], [&[2, 3, 4], &[2, 3, 4]]);
        assert_eq!((same.rank, same.dims[0]), (1, 24));
        let bias = Walk::new(&[2, 3, 4], [&[2, 3, 4], &[4]]);
        assert_eq!((bias.rank, bias.dims[0], bias.dims[1]), (2, 4, 6));
    }

    #[test]
    #[should_panic(expected = "[2] does not broadcast to [3]")]
    fn test_binary__a_shape_that_does_not_fit_is_named() {
        binary(Binary::Add, (&[0f32; 2], &[2]), (&[0.0; 3], &[3]), (&mut [0.0; 3], &[3]));
    }

    #[test]
    fn test_binary__same_bits_for_any_number_of_threads() {
        let (a, b) = (narrow(&random(90_000, 1)), narrow(&random(300, 2)));
        assert_same_bits_for_any_threads(|| {
            let mut y = vec![0f32; 90_000];
            binary(Binary::Mul, (&a, &[300, 300]), (&b, &[300, 1]), (&mut y, &[300, 300]));
            y
        });
    }
}
