//! Matrix products in single precision: `gemm_f32.ptx`.

use super::launch::{Call, Pointer};
use super::registry::GEMM_F32;
use super::tensor_cores::Half;

/// A matrix on the device, by strides in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Element (0, 0) of the first matrix of the batch.
    pub at: Pointer,
    /// From row to row.
    pub row: u32,
    /// From column to column.
    pub column: u32,
    /// From matrix to matrix.
    pub batch: u32,
}

impl Matrix {
    /// Row after row, `columns` each; matrices of `rows` rows follow one another.
    #[must_use]
    pub fn new(at: Pointer, rows: u32, columns: u32) -> Self {
        Self { at, row: columns, column: 1, batch: rows * columns }
    }

    /// Rows so many elements apart.
    #[must_use]
    pub fn strided(at: Pointer, rows: u32, stride: u32) -> Self {
        Self { at, row: stride, column: 1, batch: rows * stride }
    }

    /// The transpose.
    #[must_use]
    pub fn t(self) -> Self {
        Self { row: self.column, column: self.row, ..self }
    }
}

/// What the elements of A and B are; those of C and of the bias, and sums, are f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factors {
    /// f32, which a device of mixed precision may round first.
    Single,
    /// f32, never rounded.
    Exact,
    /// Rounded to 16 bits.
    Rounded(Half),
}

/// C = alpha A B + beta C + bias for `batch` matrices: what [`gemm`] computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gemm {
    /// The elements of A and B.
    pub factors: Factors,
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of what C was.
    pub beta: f32,
    /// `[m, k]`.
    pub a: Matrix,
    /// `[k, n]`.
    pub b: Matrix,
    /// `[n]`, or null.
    pub bias: Pointer,
    /// `[m, n]`, its columns side by side.
    pub c: Matrix,
    /// batch, m, n, k.
    pub sizes: [u32; 4],
}

/// C = alpha A B + beta C + bias for `batch` matrices C `[m, n]`; bias `[n]` may be null.
///
/// # Panics
/// If the columns of C do not lie side by side.
#[must_use]
pub fn gemm(
    (alpha, beta): (f32, f32),
    a: Matrix,
    b: Matrix,
    bias: Pointer,
    c: Matrix,
    [batch, m, n, k]: [u32; 4],
) -> Call {
    assert_eq!(c.column, 1, "gemm: C is written row by row");
    let factors = Factors::Single;
    let product = Gemm { factors, alpha, beta, a, b, bias, c, sizes: [batch, m, n, k] };
    let call = Call::new(&GEMM_F32, "gemm_f32", [n.div_ceil(64), m.div_ceil(64), batch], 256)
        .pointers([a.at, b.at, c.at, bias])
        .u32s([m, n, k, a.row, a.column, b.row, b.column])
        .u32s([c.row, a.batch, b.batch, c.batch])
        .f32s([alpha, beta]);
    Call { product: Some(product), ..call }
}

/// As [`gemm`], in single precision whatever the precision of the device is.
pub(super) fn gemm_exact(
    scalars: (f32, f32),
    a: Matrix,
    b: Matrix,
    bias: Pointer,
    c: Matrix,
    sizes: [u32; 4],
) -> Call {
    let call = gemm(scalars, a, b, bias, c, sizes);
    Call { product: call.product.map(|p| Gemm { factors: Factors::Exact, ..p }), ..call }
}
