//! The nonlinearity between two linear maps.

use crate::config::choices::Activation;
use foundry_engine::Tensor;

/// Applies the nonlinearity that a configuration names.
#[must_use]
pub fn activate(activation: Activation, x: &Tensor) -> Tensor {
    match activation {
        Activation::Gelu => x.gelu(),
        Activation::GeluNew => x.gelu_tanh(),
        Activation::Relu => x.relu(),
        Activation::Silu => x.silu(),
        Activation::Tanh => x.tanh(),
    }
}
