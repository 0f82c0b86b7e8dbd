//! The Gaussian error linear unit, exact and as GPT-2 approximates it (Hendrycks and Gimpel 2016, arXiv:1606.08415).
//!
//! Shapes `[...] -> [...]`; Phi is the distribution function of the standard normal:
//!
//! ```text
//! gelu       y = x Phi(x) = x (1 + erf(x / sqrt 2)) / 2
//! gelu_tanh  y = x (1 + tanh u) / 2,   u = sqrt(2 / pi) (x + 0.044715 x^3)
//! ```
//!
//! Gradient: Phi' is the normal density, so dy/dx = Phi(x) + x exp(-x^2 / 2) / sqrt(2 pi); in the tanh form
//! (1 + tanh u) / 2 = s(2u) with the logistic s, so dy/dx = s + x s (1 - s) 2u'. The slope is kept.
//!
//! ```
//! use foundry_engine::{Device, Tensor};
//! let x = Tensor::from_f64(&Device::cpu(), [1], &[1.0]);
//! assert!((x.gelu().item() - 0.841_345).abs() < 1e-6);
//! assert!((x.gelu_tanh().item() - 0.841_192).abs() < 1e-6);
//! ```
//!
//! # Panics
//! If the tensor holds ids.

use super::activation;
use crate::{OpCase, Tensor};
use foundry_kernels::cpu::elementwise::activation::Activation as Kind;

impl Tensor {
    /// x times the normal distribution function of x.
    ///
    /// # Panics
    /// If the tensor holds ids.
    #[must_use]
    #[track_caller]
    pub fn gelu(&self) -> Self {
        activation::smooth(Kind::Gelu, self)
    }

    /// The approximation with tanh that GPT-2 was trained with (`gelu_new`).
    ///
    /// # Panics
    /// If the tensor holds ids.
    #[must_use]
    #[track_caller]
    pub fn gelu_tanh(&self) -> Self {
        activation::smooth(Kind::GeluTanh, self)
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    activation::cases(|x| vec![x[0].gelu()], None)
}

pub(crate) fn tanh_cases() -> Vec<OpCase> {
    activation::cases(|x| vec![x[0].gelu_tanh()], Some(composed))
}

/// As the paper writes it.
fn composed(x: &[Tensor]) -> Vec<Tensor> {
    let x = &x[0];
    let u = (x + (x * x * x).scale(0.044_715)).scale((2.0 / std::f64::consts::PI).sqrt());
    vec![(x + x * u.tanh()).scale(0.5)]
}
