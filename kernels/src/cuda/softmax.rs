//! Softmax over rows: `softmax.ptx`. A warp has a row.

use super::launch::{Call, Pointer, warps};
use super::registry::SOFTMAX;

fn call(entry: &'static str, rows: u32) -> Call {
    Call::new(&SOFTMAX, entry, warps(rows), 128)
}

/// y = softmax(x), both `[rows, width]`.
#[must_use]
pub fn forward(x: Pointer, y: Pointer, rows: u32, width: u32) -> Call {
    call("softmax_forward", rows).pointers([x, y]).u32s([rows, width])
}

/// gx of [`forward`] from its output y.
#[must_use]
pub fn backward(y: Pointer, gy: Pointer, gx: Pointer, rows: u32, width: u32) -> Call {
    call("softmax_backward", rows).pointers([y, gy, gx]).u32s([rows, width])
}

/// y = log softmax(x), both `[rows, width]`.
#[must_use]
pub fn log_forward(x: Pointer, y: Pointer, rows: u32, width: u32) -> Call {
    call("log_softmax_forward", rows).pointers([x, y]).u32s([rows, width])
}

/// gx of [`log_forward`] from its output y.
#[must_use]
pub fn log_backward(y: Pointer, gy: Pointer, gx: Pointer, rows: u32, width: u32) -> Call {
    call("log_softmax_backward", rows).pointers([y, gy, gx]).u32s([rows, width])
}
