//! Sequences from their ends: `reverse.ptx`.

use super::launch::{Call, Pointer, warps};
use super::registry::REVERSE;

/// y `[batch, time, width]` from x; `mask [batch, time]` may be null. Its own gradient.
#[must_use]
pub fn reverse_padded(
    x: Pointer,
    mask: Pointer,
    y: Pointer,
    [batch, time, width]: [u32; 3],
) -> Call {
    let rows = batch * time;
    Call::new(&REVERSE, "reverse_padded", warps(rows), 128)
        .pointers([x, mask, y])
        .u32s([rows, time, width])
}
