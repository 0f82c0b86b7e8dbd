//! Foundry's arithmetic: slices in, slices out.
//!
//! Nothing here knows a tensor, a gradient tape or a file, and nothing here allocates an output: the caller owns
//! the memory. `cpu` holds the kernels for processors, generic over [`Real`] (f32, f64), so that the code that is
//! gradient-checked in f64 is the code that trains in f32.

#![cfg_attr(test, allow(non_snake_case, reason = "tests are named test_feature__scenario"))]
#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::float_cmp,
        clippy::print_stdout,
        clippy::unwrap_used,
        reason = "tests compare bits, make small numbers from indices, and may panic"
    )
)]

pub mod cpu;
pub mod cuda;
pub mod philox;

pub use cpu::real::Real;
