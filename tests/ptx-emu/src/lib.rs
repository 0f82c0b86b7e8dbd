//! Executes PTX, the assembly language of NVIDIA GPUs, where there is no GPU: the very text that ships.
//!
//! ```
//! use foundry_ptx_emu::{Launch, Memory, Module, Options, Params, launch};
//!
//! let text = "
//! .version 7.0
//! .target sm_70
//! .visible .entry double_it(.param .u64 x)
//! {
//!     .reg .u32 %i;
//!     .reg .f32 %v;
//!     .reg .u64 %x, %at;
//!     ld.param.u64    %x, [x];
//!     mov.u32         %i, %tid.x;
//!     mad.wide.u32    %at, %i, 4, %x;
//!     ld.global.f32   %v, [%at];
//!     add.f32         %v, %v, %v;
//!     st.global.f32   [%at], %v;
//!     ret;
//! }";
//! let module = Module::parse(text)?;
//! let kernel = module.kernel("double_it").expect("it is there");
//! let mut memory = Memory::default();
//! let x = memory.upload_f32(&[1.0, 2.0, 3.0])?;
//!
//! launch(&mut memory, kernel, &Launch::linear(1, 3), &Params::new().pointer(x), &Options::default())?;
//! assert_eq!(memory.download_f32(x, 3)?, [2.0, 4.0, 6.0]);
//!
//! // A fourth thread would read past the end. A GPU may let that pass.
//! let fault = launch(&mut memory, kernel, &Launch::linear(1, 4), &Params::new().pointer(x), &Options::default());
//! assert!(fault.unwrap_err().to_string().contains("line 12 `ld.global.f32"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is checked
//!
//! Out-of-bounds and misaligned accesses, use after free, reads of registers and of memory that nobody wrote, races in
//! shared and in global memory, barriers that not all threads reach, shuffles from lanes that take no part,
//! asynchronous copies that were not waited for, the limits of the hardware: see [`FaultKind`]. The report names
//! kernel, line, block, warp and lane. What is counted (coalescing, bank conflicts, work) is in [`Counters`].
//!
//! # How it works
//!
//! A text is decoded once ([`Module::parse`]): operands become numbers of registers, constants are preloaded registers.
//! A register is a vector of 32 lanes, an instruction a function of such vectors, from the table in `opcodes`, which is
//! written from the PTX ISA and shares nothing with the kernels. A warp runs to its next barrier before the next warp
//! runs: a kernel without races cannot tell, and one with races is reported. Blocks run one after another, so that a
//! report is the same in every run; [`Options::adversarial`] shuffles all orders.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(non_snake_case, reason = "tests are named test_feature__scenario"))]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests may panic"))]
#![allow(
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "registers of 32 bits hold the lower half of what is computed, indices are small, and `setp.eq` is exact"
)]

mod access;
mod block;
mod collective;
mod counters;
mod decode;
mod fault;
mod forms;
mod kernel;
mod launch;
mod memory;
mod number;
mod opcodes;
mod options;
mod parse;
mod shadow;
mod source;
mod types;
mod warp;

#[cfg(test)]
mod tests;

pub use counters::{Counters, Traffic};
pub use fault::{Fault, FaultKind, ParseError};
pub use kernel::{Kernel, Module, Parameter};
pub use launch::{Launch, Params, launch};
pub use memory::{Memory, MemoryError, Pointer};
pub use opcodes::{Kind, index};
pub use options::{Accumulate, Approximate, Options, Order, Watch};
