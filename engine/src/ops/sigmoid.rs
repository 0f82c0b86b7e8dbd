//! The logistic function: a gate between 0 and 1.
//!
//! `y = 1 / (1 + exp(-x))`, shapes `[...] -> [...]`.
//! Gradient: dy/dx = y (1 - y), so gx = gy y (1 - y). Only the output is kept.
//!
//! ```
//! use foundry_engine::{Device, Tensor};
//! let x = Tensor::from_f64(&Device::cpu(), [2], &[0.0, 3.0_f64.ln()]);
//! assert_eq!(x.sigmoid().to_vec::<f64>(), [0.5, 0.75]);
//! ```
//!
//! # Panics
//! If the tensor holds ids.

use super::activation::{self, Activation};
use crate::{OpCase, Tensor, apply};
use foundry_kernels::cpu::elementwise::activation::Activation as Kind;

impl Tensor {
    /// The logistic function.
    ///
    /// # Panics
    /// If the tensor holds ids.
    #[must_use]
    #[track_caller]
    pub fn sigmoid(&self) -> Self {
        let [y] = apply(Activation(Kind::Sigmoid), &[self]);
        y
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    activation::cases(|x| vec![x[0].sigmoid()], None)
}
