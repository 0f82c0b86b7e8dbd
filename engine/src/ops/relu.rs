//! The rectifier: what is negative becomes zero.
//!
//! `y = max(x, 0)`, shapes `[...] -> [...]`.
//! Gradient: dy/dx = 1 where x > 0 and 0 elsewhere (at 0, where there is none, 0 is taken), so gx = gy [y > 0]. Only the
//! output is kept.
//!
//! ```
//! use foundry_engine::{Device, Tensor};
//! let x = Tensor::from_f64(&Device::cpu(), [2], &[-1.0, 2.0]);
//! assert_eq!(x.relu().to_vec::<f64>(), [0.0, 2.0]);
//! ```
//!
//! # Panics
//! If the tensor holds ids.

use super::activation::{self, Activation};
use crate::{OpCase, Tensor, apply};
use foundry_kernels::cpu::elementwise::activation::Activation as Kind;

impl Tensor {
    /// max(x, 0); a NaN stays.
    ///
    /// # Panics
    /// If the tensor holds ids.
    #[must_use]
    #[track_caller]
    pub fn relu(&self) -> Self {
        let [y] = apply(Activation(Kind::Relu), &[self]);
        y
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    activation::cases(|x| vec![x[0].relu()], None)
}
