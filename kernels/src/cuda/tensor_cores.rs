//! Kernels for tensor cores, sm_80 and later: `kernels/ptx/generated`, which [`super::ptxgen`] writes.

use super::launch::{Call, Pointer};
use super::registry::Source;

macro_rules! generated {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {
        $($(#[$doc])* pub static $name: Source =
            Source { file: $file, text: include_str!(concat!("../../ptx/generated/", $file)) };)*

        /// Every text for tensor cores, in alphabetical order.
        pub static GENERATED: &[&Source] = &[$(&$name),*];
    };
}

generated! {
    /// Products of bf16.
    GEMM_BF16 = "gemm_bf16.ptx";
    /// Products of single precision, rounded to tf32.
    GEMM_TF32 = "gemm_tf32.ptx";
}

/// What the tensor cores multiply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Operands are bf16.
    Bf16,
    /// Operands are f32 and rounded to ten bits of fraction.
    Tf32,
}

impl Format {
    /// Elements in the 16 bytes at whose multiples rows begin.
    #[must_use]
    pub fn alignment(self) -> u32 {
        if self == Self::Bf16 { 8 } else { 4 }
    }
}

/// How the operands of [`gemm`] lie, row after row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A `[m, k]`, B `[k, n]`.
    Nn,
    /// A `[m, k]`, B `[n, k]`: with a matrix that is kept the other way round.
    Nt,
    /// A `[k, m]`, B `[k, n]`: the gradient of a weight.
    Tn,
}

/// A matrix as rows of neighbouring elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Element (0, 0) of the first matrix of the batch.
    pub at: Pointer,
    /// Elements from row to row.
    pub stride: u32,
    /// Elements from matrix to matrix.
    pub batch: u32,
}

impl Rows {
    /// Whether each row begins at a multiple of 16 bytes (if the first does).
    #[must_use]
    pub fn is_aligned(&self, format: Format) -> bool {
        let n = format.alignment();
        let first = self.at.0.is_multiple_of(16);
        first && self.stride.is_multiple_of(n) && self.batch.is_multiple_of(n)
    }
}

/// What happens to a product before it is written: `act(alpha A B + bias) + beta R`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epilogue {
    /// Factor of the product.
    pub alpha: f32,
    /// `[n]` in f32, or null.
    pub bias: Pointer,
    /// Whether act is GELU (tanh form).
    pub gelu: bool,
    /// Factor of R.
    pub beta: f32,
    /// R, f32, which lies like C and may be C, or null.
    pub residual: Pointer,
}

/// Where a product goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// f32, or null.
    pub f32: Pointer,
    /// bf16, or null.
    pub bf16: Pointer,
    /// Elements from row to row of both.
    pub stride: u32,
    /// Elements from matrix to matrix of both.
    pub batch: u32,
}

/// A product on tensor cores, `batch` times `[m, n]` with `k` terms.
///
/// # Panics
/// If a row of A or B does not begin at a multiple of 16 bytes: see [`Rows::is_aligned`].
#[must_use]
pub fn gemm(
    format: Format,
    layout: Layout,
    [a, b]: [Rows; 2],
    c: &Product,
    e: &Epilogue,
    [batch, m, n, k]: [u32; 4],
) -> Call {
    assert!(a.is_aligned(format) && b.is_aligned(format), "gemm: rows of {a:?} or {b:?}");
    let (source, entry) = match (format, layout) {
        (Format::Bf16, Layout::Nn) => (&GEMM_BF16, "gemm_bf16_nn"),
        (Format::Bf16, Layout::Nt) => (&GEMM_BF16, "gemm_bf16_nt"),
        (Format::Bf16, Layout::Tn) => (&GEMM_BF16, "gemm_bf16_tn"),
        (Format::Tf32, Layout::Nn) => (&GEMM_TF32, "gemm_tf32_nn"),
        (Format::Tf32, Layout::Nt) => (&GEMM_TF32, "gemm_tf32_nt"),
        (Format::Tf32, Layout::Tn) => (&GEMM_TF32, "gemm_tf32_tn"),
    };
    Call::new(source, entry, [n.div_ceil(128), m.div_ceil(128), batch], 256)
        .pointers([a.at, b.at, c.f32, c.bf16, e.bias, e.residual])
        .u32s([m, n, k, a.stride, b.stride, c.stride, a.batch, b.batch, c.batch])
        .u32s([u32::from(e.gelu)])
        .f32s([e.alpha, e.beta])
}
