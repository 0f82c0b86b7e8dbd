//! Kernels for tensor cores, sm_80 and later: `kernels/ptx/generated`, which [`super::ptxgen`] writes.

use super::attention::{Grads, Inputs, attention_dot};
use super::launch::{Call, Pointer};
use super::registry::Source;
use crate::Real;
use crate::cpu::attention::{Attention, Visibility};

macro_rules! generated {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {
        $($(#[$doc])* pub static $name: Source =
            Source { file: $file, text: include_str!(concat!("../../ptx/generated/", $file)) };)*

        /// Every text for tensor cores, in alphabetical order.
        pub static GENERATED: &[&Source] = &[$(&$name),*];
    };
}

generated! {
    /// The gradients of attention, bf16.
    ATTENTION_BACKWARD = "attention_bf16_backward.ptx";
    /// Attention, bf16.
    ATTENTION_FORWARD = "attention_bf16_forward.ptx";
    /// From f32 to bf16.
    CAST_BF16 = "cast_bf16.ptx";
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

/// y = x, rounded to bf16, both `[rows, width]` with rows so many elements apart.
#[must_use]
pub fn cast_bf16(
    (x, x_stride): (Pointer, u32),
    (y, y_stride): (Pointer, u32),
    [rows, width]: [u32; 2],
) -> Call {
    Call::new(&CAST_BF16, "cast_bf16", [rows, width.div_ceil(256), 1], 256)
        .pointers([x, y])
        .u32s([width, x_stride, y_stride])
}

/// Whether there are kernels of attention for heads of so many columns.
#[must_use]
pub fn has_head(head_dim: usize) -> bool {
    matches!(head_dim, 32 | 64 | 128)
}

fn size(n: usize) -> u32 {
    u32::try_from(n).expect("sizes below 2^32")
}

/// The parameters that all kernels of attention share, after the pointers.
fn attention(
    a: &Attention,
    (source, entries): (&'static Source, [&'static str; 3]),
    rows: usize,
    pointers: &[Pointer],
    [stride, other]: [u32; 2],
) -> Call {
    let entry = match a.head_dim {
        32 => entries[0],
        64 => entries[1],
        128 => entries[2],
        other => panic!("attention: heads of {other} columns"),
    };
    assert!(stride.is_multiple_of(8), "attention: rows {stride} elements apart");
    let ([key0, key1], threshold, keep, first) = match &a.dropout {
        Some((dropout, first)) => {
            let (key, threshold, scale) = dropout.parts();
            (key, threshold, scale, *first)
        }
        None => ([0; 2], 0, 1.0, 0),
    };
    let grid = [size(rows).div_ceil(64), size(a.heads), size(a.batch)];
    let mut call = Call::new(source, entry, grid, 128);
    for pointer in pointers {
        call = call.pointers([*pointer]);
    }
    call.u32s([a.queries, a.keys, a.heads].map(size))
        .u32s([stride, other, u32::from(a.visibility == Visibility::Causal)])
        .f32s([f32::from_f64(a.scale)])
        .u32s([key0, key1, threshold, first])
        .f32s([f32::from_f64(keep)])
}

/// y `[batch, queries, heads head_dim]` and lse `[batch, heads, queries]`, both f32, of bf16 inputs.
///
/// # Panics
/// If there is no kernel for such heads ([`has_head`]), or rows do not begin at multiples of 16 bytes.
#[must_use]
pub fn attention_forward(a: &Attention, x: &Inputs, y: Pointer, lse: Pointer) -> Call {
    let entries =
        ["attention_bf16_forward_32", "attention_bf16_forward_64", "attention_bf16_forward_128"];
    let pointers = [x.q, x.k, x.v, x.mask, y, lse];
    attention(a, (&ATTENTION_FORWARD, entries), a.queries, &pointers, [x.stride, x.key_rows])
}

/// All gradients in f32, from bf16 inputs, y and lse in f32, and gy in f32 and in bf16; `dot` `[batch, heads, queries]` is
/// scratch. The first call is that of [`attention_dot`].
///
/// # Panics
/// As [`attention_forward`], or if keys and values lie in a cache.
#[must_use]
pub fn attention_backward(
    a: &Attention,
    x: &Inputs,
    [y, lse, gy, gy_bf16]: [Pointer; 4],
    dot: Pointer,
    grads: &Grads,
) -> [Call; 3] {
    assert_eq!(x.key_rows, size(a.keys), "attention: a cache has no gradients");
    let before = [x.q, x.k, x.v, x.mask, lse, dot, gy_bf16];
    let strides = [x.stride, grads.stride];
    let to_q = ["attention_bf16_q_32", "attention_bf16_q_64", "attention_bf16_q_128"];
    let to_kv = ["attention_bf16_kv_32", "attention_bf16_kv_64", "attention_bf16_kv_128"];
    let q = [&before[..], &[grads.q]].concat();
    let kv = [&before[..], &[grads.k, grads.v]].concat();
    [
        attention_dot(a, [y, gy], dot),
        attention(a, (&ATTENTION_BACKWARD, to_q), a.queries, &q, strides),
        attention(a, (&ATTENTION_BACKWARD, to_kv), a.keys, &kv, strides),
    ]
}
