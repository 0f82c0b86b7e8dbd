//! The sigmoid linear unit, also called swish (Elfwing, Uchibe, Doya 2018; Ramachandran, Zoph, Le 2017).
//!
//! `y = x s(x), s(x) = 1 / (1 + exp(-x))`, shapes `[...] -> [...]`.
//! Gradient: s' = s (1 - s), so dy/dx = s + x s (1 - s) and gx = gy (s + x s (1 - s)). The slope is kept.
//!
//! ```
//! use foundry_engine::{Device, Tensor};
//! let x = Tensor::from_f64(&Device::cpu(), [2], &[0.0, 40.0]);
//! assert_eq!(x.silu().to_vec::<f64>(), [0.0, 40.0]);
//! ```
//!
//! # Panics
//! If the tensor holds ids.

use super::activation;
use crate::{OpCase, Tensor};
use foundry_kernels::cpu::elementwise::activation::Activation as Kind;

impl Tensor {
    /// x times its sigmoid.
    ///
    /// # Panics
    /// If the tensor holds ids.
    #[must_use]
    #[track_caller]
    pub fn silu(&self) -> Self {
        activation::smooth(Kind::Silu, self)
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    activation::cases(|x| vec![x[0].silu()], Some(|x| vec![x[0].sigmoid() * &x[0]]))
}
