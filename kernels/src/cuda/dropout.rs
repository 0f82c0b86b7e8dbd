//! Dropout with the mask of the CPU: `dropout.ptx`.

use super::launch::{Call, Pointer};
use super::registry::DROPOUT;
use crate::Real;
use crate::cpu::dropout::Dropout;

/// y = dropout of x, both `[samples, sample_len]`; the gradient is the same map.
#[must_use]
pub fn dropout(
    x: Pointer,
    y: Pointer,
    dropout: &Dropout,
    first_sample: u32,
    [samples, sample_len]: [u32; 2],
) -> Call {
    let ([key0, key1], threshold, scale) = dropout.parts();
    Call::new(&DROPOUT, "dropout", [samples, sample_len.div_ceil(512), 1], 128)
        .pointers([x, y])
        .u32s([key0, key1, first_sample, sample_len, threshold])
        .f32s([f32::from_f64(scale)])
}
