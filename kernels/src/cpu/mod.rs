//! Kernels for processors: one file per family, forward and backward side by side.

pub mod memory;
pub mod par;
pub mod real;
