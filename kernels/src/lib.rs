//! Foundry's arithmetic: slices in, slices out.
//!
//! Nothing here knows a tensor, a gradient tape or a file, and nothing here allocates an output: the caller owns
//! the memory. `cpu` holds the kernels for processors, generic over [`Real`] (f32, f64), so that the code that is
//! gradient-checked in f64 is the code that trains in f32.

#![cfg_attr(test, allow(non_snake_case, reason = "tests are named test_feature__scenario"))]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::float_cmp,
        reason = "a test may fail, and compares exactly"
    )
)]

pub mod cpu;
pub mod philox;

pub use cpu::real::Real;
