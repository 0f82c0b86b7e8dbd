//! Non-linear functions: `activation.ptx` and `gelu.ptx`.

use super::launch::{Call, Pointer};
use super::registry::{ACTIVATION, GELU, Source};
use crate::cpu::elementwise::activation::Activation;

/// The text, and the entries: forward and backward of a function whose slope is of the output, forward alone and with the slope
/// of one whose slope is of the input.
fn entries(function: Activation) -> (&'static Source, [&'static str; 2]) {
    match function {
        Activation::Relu => (&ACTIVATION, ["relu_forward", "relu_backward"]),
        Activation::Silu => (&ACTIVATION, ["silu_forward", "silu_with_slope"]),
        Activation::Tanh => (&ACTIVATION, ["tanh_forward", "tanh_backward"]),
        Activation::Sigmoid => (&ACTIVATION, ["sigmoid_forward", "sigmoid_backward"]),
        Activation::Gelu => (&GELU, ["gelu_forward", "gelu_with_slope"]),
        Activation::GeluTanh => (&GELU, ["gelu_tanh_forward", "gelu_tanh_with_slope"]),
    }
}

/// y = f(x), n elements.
#[must_use]
pub fn forward(function: Activation, x: Pointer, y: Pointer, n: u32) -> Call {
    let (source, [entry, _]) = entries(function);
    Call::new(source, entry, [n.div_ceil(256), 1, 1], 256).pointers([x, y]).u32s([n])
}

/// y = f(x) and slope = f'(x).
///
/// # Panics
/// The slope is of the output ([`Activation::slope_is_of_output`]).
#[must_use]
pub fn forward_with_slope(
    function: Activation,
    x: Pointer,
    y: Pointer,
    slope: Pointer,
    n: u32,
) -> Call {
    assert!(!function.slope_is_of_output(), "{function:?}: the slope is of the output");
    let (source, [_, entry]) = entries(function);
    Call::new(source, entry, [n.div_ceil(256), 1, 1], 256).pointers([x, y, slope]).u32s([n])
}

/// gx = gy f', where `saved` is y, or the slope where that is of the input ([`Activation::slope_is_of_output`]).
#[must_use]
pub fn backward(function: Activation, saved: Pointer, gy: Pointer, gx: Pointer, n: u32) -> Call {
    let (source, entry) = match entries(function) {
        (source, [_, entry]) if function.slope_is_of_output() => (source, entry),
        _ => (&ACTIVATION, "known_slope_backward"),
    };
    Call::new(source, entry, [n.div_ceil(256), 1, 1], 256).pointers([saved, gy, gx]).u32s([n])
}
