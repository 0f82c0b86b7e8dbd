//! Layer normalisation: `layer_norm.ptx`. A warp has a row; the gradients of gain and bias are column sums.

use super::launch::{Call, Pointer, warps};
use super::registry::LAYER_NORM;

/// y `[rows, width]`, mean and rstd `[rows]` of x, gain and bias `[width]`.
#[must_use]
pub fn forward(
    [x, gain, bias]: [Pointer; 3],
    [y, mean, rstd]: [Pointer; 3],
    [rows, width]: [u32; 2],
    eps: f32,
) -> Call {
    Call::new(&LAYER_NORM, "layer_norm_forward", warps(rows), 128)
        .pointers([x, gain, bias, y, mean, rstd])
        .u32s([rows, width])
        .f32s([eps])
}

/// gx `[rows, width]`.
#[must_use]
pub fn backward(
    [x, gain, mean, rstd, gy]: [Pointer; 5],
    gx: Pointer,
    [rows, width]: [u32; 2],
) -> Call {
    Call::new(&LAYER_NORM, "layer_norm_backward", warps(rows), 128)
        .pointers([x, gain, mean, rstd, gy, gx])
        .u32s([rows, width])
}

/// The gradients of gain and bias, `[width]`.
#[must_use]
pub fn parameters(
    [x, mean, rstd, gy]: [Pointer; 4],
    [gain_grad, bias_grad]: [Pointer; 2],
    [rows, width]: [u32; 2],
) -> Call {
    Call::new(&LAYER_NORM, "layer_norm_parameters", [width.div_ceil(32), 1, 1], 256)
        .pointers([x, mean, rstd, gy, gain_grad, bias_grad])
        .u32s([rows, width])
}
