//! Fused attention: `attention.ptx`. A warp has a query, or, for the gradients of keys and values, a key.

use super::launch::{Call, Pointer, warps};
use super::registry::ATTENTION;
use crate::Real;
use crate::cpu::attention::{Attention, Visibility};

/// The widest head that fits the tiles.
pub const MAX_HEAD_DIM: usize = 128;

/// Queries, keys and values, rows `stride` elements apart, and the mask `[batch, keys]` of the keys, which may be null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// `[batch, queries, ..]`.
    pub q: Pointer,
    /// `[batch, keys, ..]`.
    pub k: Pointer,
    /// `[batch, keys, ..]`.
    pub v: Pointer,
    /// Elements from row to row.
    pub stride: u32,
    /// Rows from sample to sample of k and v: the number of keys, or more in a cache, which has no gradients.
    pub key_rows: u32,
    /// 0 at padding.
    pub mask: Pointer,
}

fn size(n: usize) -> u32 {
    u32::try_from(n).expect("sizes below 2^32")
}

fn call(
    a: &Attention,
    entry: &'static str,
    rows: usize,
    pointers: &[Pointer],
    strides: &[u32],
) -> Call {
    assert!(a.head_dim <= MAX_HEAD_DIM, "attention: heads of {} columns", a.head_dim);
    let ([key0, key1], threshold, keep, first) = match &a.dropout {
        Some((dropout, first)) => {
            let (key, threshold, scale) = dropout.parts();
            (key, threshold, scale, *first)
        }
        None => ([0; 2], 0, 1.0, 0),
    };
    let grid = [size(rows).div_ceil(8), size(a.heads), size(a.batch)];
    let mut call = Call::new(&ATTENTION, entry, grid, 256);
    for pointer in pointers {
        call = call.pointers([*pointer]);
    }
    call = call.u32s([a.queries, a.keys, a.heads, a.head_dim].map(size));
    for stride in strides {
        call = call.u32s([*stride]);
    }
    call.u32s([u32::from(a.visibility == Visibility::Causal)])
        .f32s([f32::from_f64(a.scale)])
        .u32s([key0, key1, threshold, first])
        .f32s([f32::from_f64(keep)])
}

/// y `[batch, queries, heads head_dim]` and lse `[batch, heads, queries]`.
///
/// # Panics
/// If a head is wider than [`MAX_HEAD_DIM`].
#[must_use]
pub fn forward(a: &Attention, x: &Inputs, y: Pointer, lse: Pointer) -> Call {
    let pointers = [x.q, x.k, x.v, x.mask, y, lse];
    call(a, "attention_forward", a.queries, &pointers, &[x.stride, x.key_rows])
}

/// Where the gradients of q, k and v go, rows `stride` elements apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grads {
    /// `[batch, queries, ..]`.
    pub q: Pointer,
    /// `[batch, keys, ..]`.
    pub k: Pointer,
    /// `[batch, keys, ..]`.
    pub v: Pointer,
    /// Elements from row to row.
    pub stride: u32,
}

/// D of each query and head: `dot` `[batch, heads, queries]` from y and gy.
#[must_use]
pub fn attention_dot(a: &Attention, [y, gy]: [Pointer; 2], dot: Pointer) -> Call {
    let rows = size(a.batch * a.queries * a.heads);
    Call::new(&ATTENTION, "attention_dot", warps(rows), 128).pointers([y, gy, dot]).u32s([
        rows,
        size(a.queries),
        size(a.heads),
        size(a.head_dim),
    ])
}

/// All gradients from y, lse and gy; `dot` `[batch, heads, queries]` is scratch.
///
/// # Panics
/// If a head is wider than [`MAX_HEAD_DIM`], or keys and values lie in a cache.
#[must_use]
pub fn backward(
    a: &Attention,
    x: &Inputs,
    [y, lse, gy]: [Pointer; 3],
    dot: Pointer,
    grads: &Grads,
) -> [Call; 3] {
    assert_eq!(x.key_rows, size(a.keys), "attention: a cache has no gradients");
    let before = [x.q, x.k, x.v, x.mask, lse, dot, gy];
    let strides = [x.stride, grads.stride];
    let to_q = [&before[..], &[grads.q]].concat();
    let to_kv = [&before[..], &[grads.k, grads.v]].concat();
    [
        attention_dot(a, [y, gy], dot),
        call(a, "attention_backward_q", a.queries, &to_q, &strides),
        call(a, "attention_backward_kv", a.keys, &to_kv, &strides),
    ]
}
