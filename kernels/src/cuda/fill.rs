//! One value everywhere: `fill.ptx`.

use super::launch::{Call, Pointer};
use super::registry::FILL;

/// Every one of the n elements of y gets the value with these bits.
#[must_use]
pub fn fill_bits(y: Pointer, n: u32, bits: u32) -> Call {
    Call::new(&FILL, "fill", [n.div_ceil(256), 1, 1], 256).pointers([y]).u32s([n, bits])
}

/// Every one of the n elements of y gets this value.
#[must_use]
pub fn fill(y: Pointer, n: u32, value: f32) -> Call {
    fill_bits(y, n, value.to_bits())
}
