//! Views of matrices and their product, over `matrixmultiply`.

use super::Real;
use std::any::TypeId;

/// A matrix whose rows are `stride` elements apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mat<'a, R> {
    data: &'a [R],
    rows: usize,
    cols: usize,
    row_stride: isize,
    col_stride: isize,
}

impl<'a, R: Real> Mat<'a, R> {
    /// Element (i, j) is `data[i * stride + j]`.
    pub(crate) fn new(data: &'a [R], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(rows == 0 || cols == 0 || data.len() >= (rows - 1) * stride + cols);
        Self { data, rows, cols, row_stride: stride.cast_signed(), col_stride: 1 }
    }

    /// The transpose.
    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// C = A B, or C += A B, on the calling thread; the rows of C are `stride` apart.
pub(crate) fn gemm<R: Real>(a: Mat<R>, b: Mat<R>, c: &mut [R], stride: usize, add: bool) {
    assert_eq!(a.cols, b.rows);
    let (m, k, n) = (a.rows, a.cols, b.cols);
    if m == 0 || n == 0 {
        return;
    }
    assert!(c.len() >= (m - 1) * stride + n);
    if k == 0 {
        if !add {
            for row in c.chunks_mut(stride).take(m) {
                row[..n].fill(R::ZERO);
            }
        }
        return;
    }
    let beta = if add { 1.0_f32 } else { 0.0 };
    // SAFETY: R is f32 or f64 and the pointers are cast to the type it is; the views lie inside their slices.
    unsafe {
        if TypeId::of::<R>() == TypeId::of::<f32>() {
            matrixmultiply::sgemm(
                m,
                k,
                n,
                1.0,
                a.data.as_ptr().cast(),
                a.row_stride,
                a.col_stride,
                b.data.as_ptr().cast(),
                b.row_stride,
                b.col_stride,
                beta,
                c.as_mut_ptr().cast(),
                stride.cast_signed(),
                1,
            );
        } else {
            matrixmultiply::dgemm(
                m,
                k,
                n,
                1.0,
                a.data.as_ptr().cast(),
                a.row_stride,
                a.col_stride,
                b.data.as_ptr().cast(),
                b.row_stride,
                b.col_stride,
                f64::from(beta),
                c.as_mut_ptr().cast(),
                stride.cast_signed(),
                1,
            );
        }
    }
}
