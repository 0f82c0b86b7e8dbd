//! The same product by the crate matrixmultiply in f32, on one thread: what [`gemm`](super::gemm) is measured against.

use super::{Mat, MatMut};

/// `C = A B` by matrixmultiply, on the calling thread.
///
/// # Panics
/// The shapes do not fit one another.
pub fn matrixmultiply_f32(a: Mat<'_, f32>, b: Mat<'_, f32>, mut c: MatMut<'_, f32>) {
    let (m, k, n) = (a.rows(), a.cols(), b.cols());
    assert!(b.rows() == k && c.rows() == m && c.cols() == n, "matrixmultiply: shapes");
    let (ra, ca) = a.strides_signed();
    let (rb, cb) = b.strides_signed();
    let (stride, c) = (c.stride().cast_signed(), c.shared());
    // SAFETY: the views were checked against their slices when they were made, the shapes fit (asserted), and C is
    // borrowed mutably by this call alone.
    unsafe {
        let c = c.at(0);
        matrixmultiply::sgemm(
            m,
            k,
            n,
            1.0,
            a.as_ptr(),
            ra,
            ca,
            b.as_ptr(),
            rb,
            cb,
            0.0,
            c,
            stride,
            1,
        );
    }
}
