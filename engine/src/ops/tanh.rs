//! The hyperbolic tangent: the non-linearity of recurrent networks.
//!
//! `y = tanh x = (exp(x) - exp(-x)) / (exp(x) + exp(-x))`, shapes `[...] -> [...]`.
//! Gradient: dy/dx = 1 - y^2, so gx = gy (1 - y^2). Only the output is kept.
//!
//! ```
//! use foundry_engine::{Device, Tensor};
//! let x = Tensor::from_f64(&Device::cpu(), [2], &[0.0, 3.0_f64.ln()]);
//! assert!((x.tanh().to_vec::<f64>()[1] - 0.8).abs() < 1e-15);
//! ```
//!
//! # Panics
//! If the tensor holds ids.

use super::activation::{self, Activation};
use crate::{OpCase, Tensor, apply};
use foundry_kernels::cpu::elementwise::activation::Activation as Kind;

impl Tensor {
    /// The hyperbolic tangent.
    ///
    /// # Panics
    /// If the tensor holds ids.
    #[must_use]
    #[track_caller]
    pub fn tanh(&self) -> Self {
        let [y] = apply(Activation(Kind::Tanh), &[self]);
        y
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    activation::cases(
        |x| vec![x[0].tanh()],
        Some(|x| vec![x[0].scale(2.0).sigmoid().scale(2.0) - one()]),
    )
}

/// 1, as a tensor.
fn one() -> Tensor {
    Tensor::from_f64(&crate::Device::cpu(), [], &[1.0])
}
