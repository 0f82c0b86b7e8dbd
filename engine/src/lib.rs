//! Foundry's tensors and reverse-mode differentiation.
//!
//! Read in this order: [`Shape`] and [`Tensor`] (data), [`op`] (what an operation is), [`tape`] (how gradients are
//! found), [`Ctx`] (what a forward pass is given), then any file of [`ops`]. The engine never reads a file and knows
//! no model.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(non_snake_case, reason = "tests are named test_feature__scenario"))]

mod accumulate;
mod buffer;
pub mod case;
mod check;
mod ctx;
mod cuda;
mod device;
mod dtype;
pub mod gradcheck;
mod init;
mod module;
pub mod op;
pub mod ops;
mod param;
pub mod parity;
mod pool;
pub mod profile;
pub mod rng;
mod run;
mod shape;
pub mod tape;
mod tensor;
pub mod yardstick;

pub use case::{Cost, OpCase};
pub use ctx::{Ctx, DropoutSite};
pub use cuda::{CudaArgs, CudaDevice, Description, DeviceError, Multiplier, Precision};
pub use device::{CpuDevice, Device};
pub use dtype::{DType, Spec};
pub use foundry_kernels::cpu::isa;
pub use foundry_kernels::cuda::cublas;
pub use foundry_kernels::{Real, philox};
pub use init::Init;
pub use module::{Module, Path, for_each_param, for_each_param_mut};
pub use op::{
    Args, CpuArgs, CpuKernel, Differentiable, InputGrads, Op, Saved, Specs, apply, apply_n, list,
    run, run_in_place,
};
pub use param::{Param, ParamId};
pub use shape::Shape;
pub use tape::{Grads, Tape};
pub use tensor::Tensor;
