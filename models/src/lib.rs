//! See Cargo.toml.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(non_snake_case, reason = "tests are named test_{feature}__{scenario}"))]

pub mod storage;
pub mod tensors;
pub mod train;
