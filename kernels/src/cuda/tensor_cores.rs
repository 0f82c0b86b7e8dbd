//! Kernels for tensor cores, sm_80 and later: `kernels/ptx/generated`, which [`super::ptxgen`] writes.

use super::attention::{Grads, Inputs, attention_dot};
use super::gemm::{Factors, Gemm, Matrix};
use super::launch::{Call, NULL, Pointer};
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
    ATTENTION_BF16_BACKWARD = "attention_bf16_backward.ptx";
    /// Attention, bf16.
    ATTENTION_BF16_FORWARD = "attention_bf16_forward.ptx";
    /// The gradients of attention, f16.
    ATTENTION_F16_BACKWARD = "attention_f16_backward.ptx";
    /// Attention, f16.
    ATTENTION_F16_FORWARD = "attention_f16_forward.ptx";
    /// From f32 to bf16.
    CAST_BF16 = "cast_bf16.ptx";
    /// From f32 to f16.
    CAST_F16 = "cast_f16.ptx";
    /// Products of bf16.
    GEMM_BF16 = "gemm_bf16.ptx";
    /// Products of f16.
    GEMM_F16 = "gemm_f16.ptx";
    /// Products of single precision, rounded to tf32.
    GEMM_TF32 = "gemm_tf32.ptx";
}

/// A number of 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The range of f32, eight bits of fraction.
    Bf16,
    /// Eleven bits of fraction; up to 65504, and below 6e-5 with fewer bits.
    F16,
}

impl From<Half> for Format {
    fn from(half: Half) -> Self {
        match half {
            Half::Bf16 => Self::Bf16,
            Half::F16 => Self::F16,
        }
    }
}

/// What the tensor cores multiply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Operands are bf16.
    Bf16,
    /// Operands are f16.
    F16,
    /// Operands are f32 and rounded to ten bits of fraction.
    Tf32,
}

impl Format {
    /// Elements in the 16 bytes at whose multiples rows begin.
    #[must_use]
    pub fn alignment(self) -> u32 {
        if self == Self::Tf32 { 4 } else { 8 }
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
    /// bf16 (f16 where the operands are), or null.
    pub half: Pointer,
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
        (Format::F16, Layout::Nn) => (&GEMM_F16, "gemm_f16_nn"),
        (Format::F16, Layout::Nt) => (&GEMM_F16, "gemm_f16_nt"),
        (Format::F16, Layout::Tn) => (&GEMM_F16, "gemm_f16_tn"),
        (Format::Tf32, Layout::Nn) => (&GEMM_TF32, "gemm_tf32_nn"),
        (Format::Tf32, Layout::Nt) => (&GEMM_TF32, "gemm_tf32_nt"),
        (Format::Tf32, Layout::Tn) => (&GEMM_TF32, "gemm_tf32_tn"),
    };
    Call::new(source, entry, [n.div_ceil(128), m.div_ceil(128), batch], 256)
        .pointers([a.at, b.at, c.f32, c.half, e.bias, e.residual])
        .u32s([m, n, k, a.stride, b.stride, c.stride, a.batch, b.batch, c.batch])
        .u32s([u32::from(e.gelu)])
        .f32s([e.alpha, e.beta])
}

/// y = x, rounded to 16 bits, both `[rows, width]` with rows so many elements apart.
#[must_use]
pub fn cast(
    half: Half,
    (x, x_stride): (Pointer, u32),
    (y, y_stride): (Pointer, u32),
    [rows, width]: [u32; 2],
) -> Call {
    let (source, entry): (&'static Source, _) = match half {
        Half::Bf16 => (&CAST_BF16, "cast_bf16"),
        Half::F16 => (&CAST_F16, "cast_f16"),
    };
    Call::new(source, entry, [rows, width.div_ceil(256), 1], 256)
        .pointers([x, y])
        .u32s([width, x_stride, y_stride])
}

/// Rows, columns and terms of the least product that is worth rounding its factors: the tile of an `mma`.
const LEAST: u32 = 16;

/// A factor as it lies in memory: rows of neighbouring elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stored {
    at: Pointer,
    /// Of each matrix.
    rows: u32,
    columns: u32,
    stride: u32,
    /// The matrices lie one after another, so that their rows are those of one.
    matrices: u32,
    /// Whether it is the transpose that is multiplied.
    transposed: bool,
}

impl Stored {
    fn new(x: &Matrix, [rows, columns]: [u32; 2], matrices: u32) -> Option<Self> {
        let (transposed, rows, columns, stride) = match (x.row, x.column) {
            (stride, 1) => (false, rows, columns, stride),
            (1, stride) => (true, columns, rows, stride),
            _ => return None,
        };
        let follow = matrices == 1 || x.batch == rows.checked_mul(stride)?;
        let whole = rows.checked_mul(columns.checked_next_multiple_of(8)?)?;
        whole.checked_mul(matrices.max(1))?;
        follow.then_some(Self { at: x.at, rows, columns, stride, matrices, transposed })
    }

    /// Elements from row to row once they are rounded: rows begin at multiples of 16 bytes.
    fn rounded_stride(&self) -> u32 {
        self.columns.next_multiple_of(8)
    }

    fn bytes(&self) -> usize {
        2 * [self.rows, self.rounded_stride(), self.matrices]
            .map(|n| n as usize)
            .iter()
            .product::<usize>()
    }

    /// It once it is rounded, as it is multiplied.
    fn matrix(&self, rows: Rows) -> Matrix {
        let matrix = Matrix { at: rows.at, row: rows.stride, column: 1, batch: rows.batch };
        if self.transposed { matrix.t() } else { matrix }
    }

    fn round(&self, half: Half, to: Pointer) -> (Call, Rows) {
        let stride = self.rounded_stride();
        let rows = self.rows * self.matrices;
        let call = cast(half, (self.at, self.stride), (to, stride), [rows, self.columns]);
        (call, Rows { at: to, stride, batch: self.rows * stride })
    }
}

/// A product whose factors are rounded to 16 bits first; sums, C and the rest are f32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixed {
    half: Half,
    layout: Layout,
    factors: [Stored; 2],
    gemm: Gemm,
}

impl Mixed {
    /// How the tensor cores do a product. None if it is not for them: its factors are not to be rounded, or it is smaller than a
    /// tile of theirs in some direction, or both factors are transposes, or matrices of a batch do not follow one another.
    #[must_use]
    pub fn of(gemm: &Gemm, half: Half) -> Option<Self> {
        let [batch, m, n, k] = gemm.sizes;
        let factors = [Stored::new(&gemm.a, [m, k], batch)?, Stored::new(&gemm.b, [k, n], batch)?];
        let layout = match factors.map(|f| f.transposed) {
            [false, false] => Layout::Nn,
            [false, true] => Layout::Nt,
            [true, false] => Layout::Tn,
            [true, true] => return None,
        };
        let large = [m, n, k].into_iter().all(|size| size >= LEAST);
        (large && gemm.factors == Factors::Single).then_some(Self {
            half,
            layout,
            factors,
            gemm: *gemm,
        })
    }

    /// Bytes for the rounded A and B.
    #[must_use]
    pub fn room(&self) -> [usize; 2] {
        self.factors.map(|f| f.bytes())
    }

    /// Rounding A and B, and the product.
    #[must_use]
    pub fn calls(&self, [a, b]: [Pointer; 2]) -> [Call; 3] {
        let Gemm { alpha, beta, bias, c, sizes, .. } = self.gemm;
        let (to_a, a) = self.factors[0].round(self.half, a);
        let (to_b, b) = self.factors[1].round(self.half, b);
        let to = Product { f32: c.at, half: NULL, stride: c.row, batch: c.batch };
        let residual = if beta == 0.0 { NULL } else { c.at };
        let epilogue = Epilogue { alpha, bias, gelu: false, beta, residual };
        let product = Gemm {
            factors: Factors::Rounded(self.half),
            a: self.factors[0].matrix(a),
            b: self.factors[1].matrix(b),
            ..self.gemm
        };
        let call = gemm(self.half.into(), self.layout, [a, b], &to, &epilogue, sizes);
        [to_a, to_b, Call { product: Some(product), ..call }]
    }
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

/// y `[batch, queries, heads head_dim]` and lse `[batch, heads, queries]`, both f32, of inputs of 16 bits.
///
/// # Panics
/// If there is no kernel for such heads ([`has_head`]), or rows do not begin at multiples of 16 bytes.
#[must_use]
pub fn attention_forward(half: Half, a: &Attention, x: &Inputs, y: Pointer, lse: Pointer) -> Call {
    let kernels: (&'static Source, _) = match half {
        Half::Bf16 => (
            &ATTENTION_BF16_FORWARD,
            [
                "attention_bf16_forward_32",
                "attention_bf16_forward_64",
                "attention_bf16_forward_128",
            ],
        ),
        Half::F16 => (
            &ATTENTION_F16_FORWARD,
            ["attention_f16_forward_32", "attention_f16_forward_64", "attention_f16_forward_128"],
        ),
    };
    let pointers = [x.q, x.k, x.v, x.mask, y, lse];
    attention(a, kernels, a.queries, &pointers, [x.stride, x.key_rows])
}

/// All gradients in f32, from inputs of 16 bits, y and lse in f32, and gy in f32 and in 16 bits; `dot` `[batch, heads, queries]` is
/// scratch. The first call is that of [`attention_dot`].
///
/// # Panics
/// As [`attention_forward`], or if keys and values lie in a cache.
#[must_use]
pub fn attention_backward(
    half: Half,
    a: &Attention,
    x: &Inputs,
    [y, lse, gy, gy_half]: [Pointer; 4],
    dot: Pointer,
    grads: &Grads,
) -> [Call; 3] {
    assert_eq!(x.key_rows, size(a.keys), "attention: a cache has no gradients");
    let before = [x.q, x.k, x.v, x.mask, lse, dot, gy_half];
    let strides = [x.stride, grads.stride];
    let (source, to_q, to_kv): (&'static Source, _, _) = match half {
        Half::Bf16 => (
            &ATTENTION_BF16_BACKWARD,
            ["attention_bf16_q_32", "attention_bf16_q_64", "attention_bf16_q_128"],
            ["attention_bf16_kv_32", "attention_bf16_kv_64", "attention_bf16_kv_128"],
        ),
        Half::F16 => (
            &ATTENTION_F16_BACKWARD,
            ["attention_f16_q_32", "attention_f16_q_64", "attention_f16_q_128"],
            ["attention_f16_kv_32", "attention_f16_kv_64", "attention_f16_kv_128"],
        ),
    };
    let q = [&before[..], &[grads.q]].concat();
    let kv = [&before[..], &[grads.k, grads.v]].concat();
    [
        attention_dot(a, [y, gy], dot),
        attention(a, (source, to_q), a.queries, &q, strides),
        attention(a, (source, to_kv), a.keys, &kv, strides),
    ]
}
