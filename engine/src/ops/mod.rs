//! The operations: one file each.
//!
//! Every file is a page: the equation, the shapes, the gradient derived, a doctest; then the struct, its shape rule,
//! kernel and vjp; then its cases. [`ALL`] lists them; gradient checks, fused-against-composed tests, benchmarks and
//! the docs walk that list.

pub mod attention;
pub mod cross_entropy;
mod dropout;
mod embedding;
mod layer_norm;
pub mod lstm;
mod reshape;
mod softmax;

use crate::case::OpEntry;

/// Every differentiable op.
pub const ALL: &[OpEntry] = &[
    OpEntry { name: "attention", cases: attention::cases },
    OpEntry { name: "cross_entropy", cases: cross_entropy::cases },
    OpEntry { name: "dropout", cases: dropout::cases },
    OpEntry { name: "embedding", cases: embedding::cases },
    OpEntry { name: "layer_norm", cases: layer_norm::cases },
    OpEntry { name: "log_softmax", cases: softmax::log_cases },
    OpEntry { name: "lstm_sequence", cases: lstm::cases },
    OpEntry { name: "reshape", cases: reshape::cases },
    OpEntry { name: "softmax", cases: softmax::cases },
];
