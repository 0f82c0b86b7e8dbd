//! Rows of a table by their ids: `embedding.ptx`.

use super::launch::{Call, Pointer, warps};
use super::registry::EMBEDDING;

/// y `[count, width]` from a table `[vocab, width]` and ids `[count]`.
#[must_use]
pub fn forward([table, ids]: [Pointer; 2], y: Pointer, [count, vocab, width]: [u32; 3]) -> Call {
    Call::new(&EMBEDDING, "embedding_forward", warps(count), 128)
        .pointers([table, ids, y])
        .u32s([count, vocab, width])
}

/// The gradient `[vocab, width]` of the table from gy `[count, width]`.
#[must_use]
pub fn backward(
    [ids, gy]: [Pointer; 2],
    table_grad: Pointer,
    [count, vocab, width]: [u32; 3],
) -> Call {
    let grid = [vocab.div_ceil(4), width.div_ceil(128), 1];
    Call::new(&EMBEDDING, "embedding_backward", grid, 128)
        .pointers([ids, gy, table_grad])
        .u32s([count, vocab, width])
}
