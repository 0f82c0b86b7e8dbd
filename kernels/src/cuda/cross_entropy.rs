//! Softmax cross-entropy: `cross_entropy.ptx`. A block has a row.

use super::launch::{Call, Pointer};
use super::registry::CROSS_ENTROPY;

/// nll and lse `[rows]` of logits `[rows, vocab]` and targets `[rows]`.
#[must_use]
pub fn forward(
    [logits, targets]: [Pointer; 2],
    [nll, lse]: [Pointer; 2],
    [rows, vocab]: [u32; 2],
    smoothing: f32,
) -> Call {
    Call::new(&CROSS_ENTROPY, "cross_entropy_forward", [rows, 1, 1], 256)
        .pointers([logits, targets, nll, lse])
        .u32s([vocab])
        .f32s([smoothing])
}

/// gz `[rows, vocab]` from lse and gy `[rows]`.
#[must_use]
pub fn backward(
    [logits, targets, lse, gy]: [Pointer; 4],
    gz: Pointer,
    [rows, vocab]: [u32; 2],
    smoothing: f32,
) -> Call {
    Call::new(&CROSS_ENTROPY, "cross_entropy_backward", [rows, 1, 1], 256)
        .pointers([logits, targets, lse, gy, gz])
        .u32s([vocab])
        .f32s([smoothing])
}
