//! Arithmetic and copies: `elementwise.ptx`.

use super::launch::{Call, Pointer};
use super::registry::ELEMENTWISE;

/// Axes that a kernel can walk.
pub const MAX_RANK: usize = 5;

/// What [`broadcast`] does with two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// x + y
    Add,
    /// x - y
    Sub,
    /// x y
    Mul,
    /// x / y
    Div,
}

fn call(entry: &'static str, n: u32) -> Call {
    Call::new(&ELEMENTWISE, entry, [n.div_ceil(256), 1, 1], 256)
}

/// The sizes of all axes but the first, innermost first.
fn sizes(shape: &[u32]) -> [u32; MAX_RANK - 1] {
    std::array::from_fn(|k| shape.len().checked_sub(k + 1).map_or(1, |axis| shape[axis]))
}

/// Strides, innermost first.
fn strides(of: &[u32]) -> [u32; MAX_RANK] {
    std::array::from_fn(|k| of.len().checked_sub(k + 1).map_or(0, |axis| of[axis]))
}

/// y = alpha x + beta y; with beta = 0, y is only written.
#[must_use]
pub fn axpby(alpha: f32, x: Pointer, beta: f32, y: Pointer, n: u32) -> Call {
    call("axpby", n).pointers([x, y]).u32s([n]).f32s([alpha, beta])
}

/// z `[shape]` from x and y; their strides in elements, outermost first, are 0 along axes that are repeated.
///
/// # Panics
/// If there are more than [`MAX_RANK`] axes, or strides for others than those of the shape.
#[must_use]
pub fn broadcast(
    operation: Operation,
    (x, x_strides): (Pointer, &[u32]),
    (y, y_strides): (Pointer, &[u32]),
    z: Pointer,
    shape: &[u32],
) -> Call {
    assert!(shape.len() <= MAX_RANK, "broadcast: {} axes", shape.len());
    assert!(x_strides.len() == shape.len() && y_strides.len() == shape.len(), "broadcast: strides");
    let n = shape.iter().product();
    call("broadcast", n)
        .pointers([x, y, z])
        .u32s([n, operation as u32])
        .u32s(sizes(shape))
        .u32s(strides(x_strides))
        .u32s(strides(y_strides))
}

/// y `[shape]`, row-major, from the elements of x at these strides, outermost first.
///
/// # Panics
/// If there are more than [`MAX_RANK`] axes, or strides for others than those of the shape.
#[must_use]
pub fn permute(x: Pointer, x_strides: &[u32], y: Pointer, shape: &[u32]) -> Call {
    assert!(shape.len() <= MAX_RANK && x_strides.len() == shape.len(), "permute: axes");
    let n = shape.iter().product();
    call("permute", n).pointers([x, y]).u32s([n]).u32s(sizes(shape)).u32s(strides(x_strides))
}

/// `y[i, j, k] = scale x[i, k]` for y `[before, axis, after]`.
#[must_use]
pub fn repeat(x: Pointer, y: Pointer, [before, axis, after]: [u32; 3], scale: f32) -> Call {
    let n = before * axis * after;
    call("repeat", n).pointers([x, y]).u32s([n, axis, after]).f32s([scale])
}

/// `y[r, c] = x[r, c]` for rows that begin every so many elements.
#[must_use]
pub fn copy(
    (x, x_stride): (Pointer, u32),
    (y, y_stride): (Pointer, u32),
    [rows, width]: [u32; 2],
) -> Call {
    let n = rows * width;
    call("copy", n).pointers([x, y]).u32s([n, width, x_stride, y_stride])
}
