//! The operations: one file each.
//!
//! Every file is a page: the equation, the shapes, the gradient derived, a doctest; then the struct, its shape rule,
//! kernel and vjp; then its cases. [`ALL`] lists them; gradient checks, fused-against-composed tests, benchmarks and
//! the docs walk that list.

mod reshape;

use crate::case::OpEntry;

/// Every differentiable op.
pub const ALL: &[OpEntry] = &[OpEntry { name: "reshape", cases: reshape::cases }];
