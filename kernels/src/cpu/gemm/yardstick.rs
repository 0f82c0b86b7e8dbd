//! What [`gemm`](super::gemm) is measured against: the same product by the crate matrixmultiply, and the multiply-adds
//! that this processor can do at all.

use super::{Mat, MatMut, micro::Kernel};
use crate::cpu::isa::Isa;
use std::time::Instant;

/// f32 operations a second that one thread can do at a level, in multiply-adds of registers that wait for nothing (two
/// operations each), measured over about a millisecond.
#[must_use]
pub fn peak_flops(isa: Isa) -> f64 {
    const STEPS: usize = 20_000;
    let kernel = Kernel::of(isa);
    let began = Instant::now();
    let operations = kernel.multiply_adds(STEPS);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let operations = operations as f64;
    operations / began.elapsed().as_secs_f64()
}

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
