//! From naive to final: versions of softmax, product, attention and LSTM step that are there to be read and counted.
//!
//! The texts lie in `kernels/ladder`, each with its lesson in the header; the last versions are the kernels that ship. The
//! engine launches none of these. `cargo bench -p foundry-benches --bench ptx_counts` compares them.

use super::launch::{Call, Pointer, warps};
use super::registry::Source;
use super::softmax;

macro_rules! versions {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {
        $($(#[$doc])* pub static $name: Source =
            Source { file: $file, text: include_str!(concat!("../../ladder/", $file)) };)*

        /// Every version that does not ship, in alphabetical order.
        pub static LADDER: &[&Source] = &[$(&$name),*];
    };
}

versions! {
    /// Three kernels and a matrix of scores.
    ATTENTION_1 = "attention_1_naive.ptx";
    /// Streaming softmax, a warp a query.
    ATTENTION_2 = "attention_2_streaming.ptx";
    /// A thread an element, lanes along a column.
    GEMM_1 = "gemm_1_naive.ptx";
    /// Lanes along a row.
    GEMM_2 = "gemm_2_coalesced.ptx";
    /// Tiles in shared memory.
    GEMM_3 = "gemm_3_tiled.ptx";
    /// A kernel for each operation.
    LSTM_1 = "lstm_1_separate.ptx";
    /// Fused, lanes along the batch.
    LSTM_2 = "lstm_2_fused.ptx";
    /// A thread a row.
    SOFTMAX_1 = "softmax_1_naive.ptx";
    /// A tree in shared memory.
    SOFTMAX_2 = "softmax_2_tree.ptx";
    /// A tree without bank conflicts.
    SOFTMAX_3 = "softmax_3_sequential.ptx";
}

/// Version 1, 2 or 3 of y = softmax(x), both `[rows, width]`.
///
/// # Panics
/// If there is no such version.
#[must_use]
pub fn softmax(version: usize, x: Pointer, y: Pointer, [rows, width]: [u32; 2]) -> Call {
    let call = match version {
        1 => Call::new(&SOFTMAX_1, "ladder_softmax_1", [rows.div_ceil(128), 1, 1], 128),
        2 => Call::new(&SOFTMAX_2, "ladder_softmax_2", [rows, 1, 1], 128),
        3 => Call::new(&SOFTMAX_3, "ladder_softmax_3", [rows, 1, 1], 128),
        _ => panic!("softmax: no version {version}"),
    };
    call.pointers([x, y]).u32s([rows, width])
}

/// Version 1, 2 or 3 of C `[m, n]` = A `[m, k]` B `[k, n]`.
///
/// # Panics
/// If there is no such version.
#[must_use]
pub fn gemm(version: usize, [a, b, c]: [Pointer; 3], [m, n, k]: [u32; 3]) -> Call {
    let (source, entry, grid) = match version {
        1 => (&GEMM_1, "ladder_gemm_1", [m.div_ceil(32), n.div_ceil(8), 1]),
        2 => (&GEMM_2, "ladder_gemm_2", [n.div_ceil(32), m.div_ceil(8), 1]),
        3 => (&GEMM_3, "ladder_gemm_3", [n.div_ceil(16), m.div_ceil(16), 1]),
        _ => panic!("gemm: no version {version}"),
    };
    Call::new(source, entry, grid, 256).pointers([a, b, c]).u32s([m, n, k])
}

/// Version 1 of attention with one head, q, k, v and y `[n, d]`; `scores` `[n, n]` is scratch.
#[must_use]
pub fn attention_1(
    [q, k, v, y]: [Pointer; 4],
    scores: Pointer,
    [n, d]: [u32; 2],
    scale: f32,
) -> [Call; 3] {
    [
        Call::new(&ATTENTION_1, "ladder_scores", [n.div_ceil(128), n, 1], 128)
            .pointers([q, k, scores])
            .u32s([n, d])
            .f32s([scale]),
        softmax::forward(scores, scores, n, n),
        Call::new(&ATTENTION_1, "ladder_values", [d.div_ceil(128), n, 1], 128)
            .pointers([scores, v, y])
            .u32s([n, d]),
    ]
}

/// Version 2 of attention with one head, q, k, v and y `[n, d]`.
///
/// # Panics
/// If d is above 64.
#[must_use]
pub fn attention_2(qkvy: [Pointer; 4], [n, d]: [u32; 2], scale: f32) -> Call {
    assert!(d <= 64, "attention: {d} columns in two registers of a warp");
    Call::new(&ATTENTION_2, "ladder_attention_2", warps(n), 128)
        .pointers(qkvy)
        .u32s([n, d])
        .f32s([scale])
}

/// Version 1 of a step of an LSTM: gates `[batch, i f g o, hidden]` are activated, c and h `[batch, hidden]` move on.
#[must_use]
pub fn lstm_1(gates: Pointer, [c, h]: [Pointer; 2], [batch, hidden]: [u32; 2]) -> [Call; 5] {
    let call =
        |entry, columns: u32| Call::new(&LSTM_1, entry, [columns.div_ceil(128), batch, 1], 128);
    let activate = |entry, gate: u32, count: u32| {
        let at = Pointer(gates.0 + 4 * u64::from(gate * hidden));
        call(entry, count * hidden).pointers([at]).u32s([count * hidden, 4 * hidden])
    };
    let state = |entry| call(entry, hidden).pointers([gates, c, h]).u32s([hidden]);
    [
        activate("ladder_sigmoid", 0, 2),
        activate("ladder_tanh", 2, 1),
        activate("ladder_sigmoid", 3, 1),
        state("ladder_cell"),
        state("ladder_output"),
    ]
}

/// Version 2: as [`lstm_1`], in one launch; the gates stay as they are.
#[must_use]
pub fn lstm_2(gates: Pointer, [c, h]: [Pointer; 2], [batch, hidden]: [u32; 2]) -> Call {
    Call::new(&LSTM_2, "ladder_lstm_2", [batch.div_ceil(128), hidden, 1], 128)
        .pointers([gates, c, h])
        .u32s([batch, hidden])
}
