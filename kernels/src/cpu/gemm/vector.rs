//! Products of a matrix and a vector: bound by memory, so nothing is packed.

use super::{Epilogue, Mat, MatMut};
use crate::Real;
use crate::cpu::vector::{Body, Math, dispatch_at};
use crate::cpu::{isa::Isa, par, scratch};

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
    scratch::with(k + n, |memory: &mut [R]| {
        let (xs, y) = memory.split_at_mut(k);
        xs.iter_mut().enumerate().for_each(|(t, v)| *v = x.at(0, t));
        let piece = if k * n < 1 << 17 { n } else { 512 };
        par::chunks_mut(y, piece, |i, y| {
            let m = matrix.from(0, i * piece);
            if by_rows {
                dispatch_at(isa, AddRows { x: xs, m, stride: matrix.row_stride(), y });
            } else {
                dispatch_at(isa, Dots { x: xs, m, stride: matrix.col_stride(), y });
            }
        });
        let (cols, mut y) = (c.cols(), &*y);
        for i in 0..c.rows() {
            let (row, rest) = y.split_at(cols);
            y = rest;
            for (c, y) in c.row(i).iter_mut().zip(row) {
                let old = if beta == R::ZERO { R::ZERO } else { beta * *c };
                *c = alpha * *y + old;
            }
        }
        if let Epilogue::Bias(_) = epilogue {
            finish(&mut c, R::ONE, epilogue);
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
        let n = y.len();
        y.fill(R::ZERO);
        let row = |t: usize| &m[t * stride..][..n];
        let (fours, rest) = x.as_chunks::<4>();
        for (q, x) in fours.iter().enumerate() {
            let (r0, r1, r2, r3) = (row(4 * q), row(4 * q + 1), row(4 * q + 2), row(4 * q + 3));
            for j in 0..n {
                let sum = M::mul_add(x[0], r0[j], y[j]);
                let sum = M::mul_add(x[1], r1[j], sum);
                let sum = M::mul_add(x[2], r2[j], sum);
                y[j] = M::mul_add(x[3], r3[j], sum);
            }
        }
        for (t, x) in rest.iter().enumerate() {
            for (y, m) in y.iter_mut().zip(row(4 * fours.len() + t)) {
                *y = M::mul_add(*x, *m, *y);
            }
        }
    }
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
        let (fours, rest) = y.as_chunks_mut::<4>();
        for (q, y) in fours.iter_mut().enumerate() {
            *y = dots::<M, R, 4>(x, [row(4 * q), row(4 * q + 1), row(4 * q + 2), row(4 * q + 3)]);
        }
        let done = 4 * fours.len();
        for (j, y) in rest.iter_mut().enumerate() {
            [*y] = dots::<M, R, 1>(x, [row(done + j)]);
        }
    }
}

/// N dot products at once: their sums do not wait for one another. Each has 16 running sums, which are added
/// pairwise at the end, so a product has the same bits whatever N is.
#[inline(always)]
fn dots<M: Math, R: Real, const N: usize>(x: &[R], rows: [&[R]; N]) -> [R; N] {
    const LANES: usize = 16;
    let mut sum = [[R::ZERO; LANES]; N];
    let (xs, x_rest) = x.as_chunks::<LANES>();
    for (t, x) in xs.iter().enumerate() {
        for i in 0..N {
            let row = &rows[i][t * LANES..][..LANES];
            for l in 0..LANES {
                sum[i][l] = M::mul_add(x[l], row[l], sum[i][l]);
            }
        }
    }
    let mut y = [R::ZERO; N];
    for i in 0..N {
        let sum = &mut sum[i];
        for (l, (x, m)) in x_rest.iter().zip(&rows[i][xs.len() * LANES..]).enumerate() {
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
