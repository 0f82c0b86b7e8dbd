//! Non-linear functions: `activation.ptx` and `gelu.ptx`.

use super::launch::{Call, Pointer};
use super::registry::{ACTIVATION, GELU, Source};
use crate::cpu::elementwise::activation::Activation;

/// The text and the entries, forward and backward.
fn entries(function: Activation) -> (&'static Source, [&'static str; 2]) {
    match function {
        Activation::Relu => (&ACTIVATION, ["relu_forward", "relu_backward"]),
        Activation::Silu => (&ACTIVATION, ["silu_forward", "silu_backward"]),
        Activation::Tanh => (&ACTIVATION, ["tanh_forward", "tanh_backward"]),
        Activation::Sigmoid => (&ACTIVATION, ["sigmoid_forward", "sigmoid_backward"]),
        Activation::Gelu => (&GELU, ["gelu_forward", "gelu_backward"]),
        Activation::GeluTanh => (&GELU, ["gelu_tanh_forward", "gelu_tanh_backward"]),
    }
}

/// y = f(x), n elements.
#[must_use]
pub fn forward(function: Activation, x: Pointer, y: Pointer, n: u32) -> Call {
    let (source, [entry, _]) = entries(function);
    Call::new(source, entry, [n.div_ceil(256), 1, 1], 256).pointers([x, y]).u32s([n])
}

/// gx = gy f', where `saved` is y or x as [`Activation::slope_is_of_output`] says.
#[must_use]
pub fn backward(function: Activation, saved: Pointer, gy: Pointer, gx: Pointer, n: u32) -> Call {
    let (source, [_, entry]) = entries(function);
    Call::new(source, entry, [n.div_ceil(256), 1, 1], 256).pointers([saved, gy, gx]).u32s([n])
}
