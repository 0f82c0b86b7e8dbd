//! What is decided before an update, on the device: `judge.ptx`.

use super::launch::{Call, Pointer};
use super::registry::JUDGE;

/// control (two f32: factor, skip) and report (two f64: norm, skip) from `count` sums of squares (f64), of which the first
/// `gradients` are those of the gradients, which come multiplied by 1 / `unscale`.
#[must_use]
pub fn judge(
    squares: Pointer,
    [control, report]: [Pointer; 2],
    [gradients, count]: [u32; 2],
    [max_norm, unscale]: [f64; 2],
) -> Call {
    Call::new(&JUDGE, "judge", [1, 1, 1], 1)
        .pointers([squares, control, report])
        .u32s([gradients, count])
        .f64s([max_norm, unscale])
}
