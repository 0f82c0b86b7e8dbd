//! Products of a matrix and a vector: bound by memory, so nothing is packed.

use super::{Epilogue, Mat, MatMut};
use crate::Real;
use crate::cpu::vector::{Body, Math, dispatch_at};
use crate::cpu::{isa::Isa, par, scratch};

/// Numbers of a matrix that one task reads, at the least: to wake another costs more.
const PIECE: usize = 1 << 15;
/// Sums of rows that are formed side by side, at the most.
const PIECES: usize = 8;

/// Is one of the operands a vector?
pub(super) fn is_better<R: Real>(a: &Mat<'_, R>, b: &Mat<'_, R>) -> bool {
    a.rows() == 1 || b.cols() == 1
}

/// The product, where A is a row or B is a column.
pub(super) fn gemm<R: Real>(
    isa: Isa,
    alpha: R,
    a: Mat<'_, R>,
    b: Mat<'_, R>,
    beta: R,
    mut c: MatMut<'_, R>,
    epilogue: Epilogue<'_, R>,
) {
    // A column is the transposed problem: y' = x' A'.
    let (x, matrix) = if a.rows() == 1 { (a, b) } else { (b.t(), a.t()) };
    let (k, n) = (matrix.rows(), matrix.cols());
    let by_rows = matrix.col_stride() == 1;
    // The rows that are added up go to a few tasks, each with a sum of its own; dot products are dealt out.
    let rows = if by_rows { k.div_ceil(PIECES).max(PIECE / n) } else { k };
    let sums = k.div_ceil(rows);
    let dense = x.col_stride() == 1;
    scratch::with(if dense { 0 } else { k } + sums * n, |memory: &mut [R]| {
        let (copy, y) = memory.split_at_mut(memory.len() - sums * n);
        let xs = if dense {
            &x.from(0, 0)[..k]
        } else {
            copy.iter_mut().enumerate().for_each(|(t, v)| *v = x.at(0, t));
            &*copy
        };
        if by_rows {
            par::chunks_mut(y, n, |i, y| {
                let x = &xs[i * rows..][..rows.min(k - i * rows)];
                let m = matrix.from(i * rows, 0);
                dispatch_at(isa, AddRows { x, m, stride: matrix.row_stride(), y });
            });
            let (y, others) = y.split_at_mut(n);
            for other in others.chunks_exact(n) {
                y.iter_mut().zip(other).for_each(|(y, other)| *y += *other);
            }
        } else {
            let cols = (PIECE / k).max(1);
            par::chunks_mut(y, cols, |i, y| {
                let m = matrix.from(0, i * cols);
                dispatch_at(isa, Dots { x: xs, m, stride: matrix.col_stride(), y });
            });
        }
        let (cols, mut y) = (c.cols(), &y[..n]);
        for i in 0..c.rows() {
            let (row, rest) = y.split_at(cols);
            y = rest;
            let (c, bias) = (c.row(i), epilogue.bias().unwrap_or_default());
            if beta == R::ZERO && bias.len() == cols {
                let c = c.iter_mut().zip(row).zip(bias);
                c.for_each(|((c, y), bias)| *c = alpha * *y + *bias);
                continue;
            }
            for (c, y) in c.iter_mut().zip(row) {
                let old = if beta == R::ZERO { R::ZERO } else { beta * *c };
                *c = alpha * *y + old;
            }
            c.iter_mut().zip(bias).for_each(|(c, bias)| *c += *bias);
        }
    });
}

/// `C = beta C`, then the epilogue: a product without terms.
pub(super) fn finish<R: Real>(c: &mut MatMut<'_, R>, beta: R, epilogue: Epilogue<'_, R>) {
    for i in 0..c.rows() {
        let row = c.row(i);
        if beta == R::ZERO {
            row.fill(R::ZERO);
        } else if beta != R::ONE {
            row.iter_mut().for_each(|c| *c *= beta);
        }
        if let Epilogue::Bias(bias) = epilogue {
            row.iter_mut().zip(bias).for_each(|(c, b)| *c += *b);
        }
    }
}

/// Numbers that a vector of the widest level holds.
const LANES: usize = 16;
/// Places of the matrix that are read side by side, each from its beginning to its end: the processor fetches ahead of
/// each, and one alone does not keep the memory busy.
const STREAMS: usize = 4;

/// `y[j] = sum over t of x[t] m[t * stride + j]`: rows of the matrix are added up.
struct AddRows<'a, R> {
    x: &'a [R],
    m: &'a [R],
    stride: usize,
    y: &'a mut [R],
}

impl<R: Real> Body for AddRows<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        let Self { x, m, stride, y } = self;
        y.fill(R::ZERO);
        let (apart, n) = (x.len() / STREAMS, y.len());
        let row = |t: usize| &m[t * stride..][..n];
        for t in 0..apart {
            let at: [usize; STREAMS] = std::array::from_fn(|i| t + i * apart);
            add_rows::<M, R, STREAMS>(at.map(|t| x[t]), at.map(row), y);
        }
        for t in STREAMS * apart..x.len() {
            add_rows::<M, R, 1>([x[t]], [row(t)], y);
        }
    }
}

/// `y[j] += x[0] rows[0][j] + x[1] rows[1][j] + ...`, in this order.
#[inline(always)]
fn add_rows<M: Math, R: Real, const N: usize>(x: [R; N], rows: [&[R]; N], y: &mut [R]) {
    let rows = rows.map(|row| &row[..y.len()]);
    for j in 0..y.len() {
        let mut sum = y[j];
        for i in 0..N {
            sum = M::mul_add(x[i], rows[i][j], sum);
        }
        y[j] = sum;
    }
}

/// `sum + x m`, lane by lane.
#[inline(always)]
fn add_line<M: Math, R: Real>(x: [R; LANES], m: &[R; LANES], mut sum: [R; LANES]) -> [R; LANES] {
    for l in 0..LANES {
        sum[l] = M::mul_add(x[l], m[l], sum[l]);
    }
    sum
}

/// `y[j] = sum over t of x[t] m[j * stride + t]`: dot products.
struct Dots<'a, R> {
    x: &'a [R],
    m: &'a [R],
    stride: usize,
    y: &'a mut [R],
}

impl<R: Real> Body for Dots<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        let Self { x, m, stride, y } = self;
        let row = |j: usize| &m[j * stride..][..x.len()];
        let apart = y.len() / STREAMS;
        for j in 0..apart {
            let at: [usize; STREAMS] = std::array::from_fn(|i| j + i * apart);
            let sums = dots::<M, R, STREAMS>(x, at.map(row));
            at.into_iter().zip(sums).for_each(|(j, sum)| y[j] = sum);
        }
        for (j, y) in y.iter_mut().enumerate().skip(STREAMS * apart) {
            [*y] = dots::<M, R, 1>(x, [row(j)]);
        }
    }
}

/// N dot products at once: their sums do not wait for one another. Each has 16 running sums, which are added
/// pairwise at the end, so a product has the same bits whatever N is.
#[inline(always)]
fn dots<M: Math, R: Real, const N: usize>(x: &[R], rows: [&[R]; N]) -> [R; N] {
    let mut sum = [[R::ZERO; LANES]; N];
    let (xs, x_rest) = x.as_chunks::<LANES>();
    let rows = rows.map(|row| row.as_chunks::<LANES>());
    for (t, x) in xs.iter().enumerate() {
        for i in 0..N {
            sum[i] = add_line::<M, R>(*x, &rows[i].0[t], sum[i]);
        }
    }
    let mut y = [R::ZERO; N];
    for i in 0..N {
        let sum = &mut sum[i];
        for (l, (x, m)) in x_rest.iter().zip(rows[i].1).enumerate() {
            sum[l] = M::mul_add(*x, *m, sum[l]);
        }
        let mut width = LANES / 2;
        while width > 0 {
            for l in 0..width {
                sum[l] += sum[l + width];
            }
            width /= 2;
        }
        y[i] = sum[0];
    }
    y
}
