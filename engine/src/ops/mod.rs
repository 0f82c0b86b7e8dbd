//! The operations: one file each.
//!
//! Every file is a page: the equation, the shapes, the gradient derived, a doctest; then the struct, its shape rule,
//! kernel and vjp; then its cases. [`ALL`] lists them; gradient checks, fused-against-composed tests, benchmarks and
//! the docs walk that list.

mod activation;
mod add;
pub mod attention;
mod broadcast;
pub mod cache;
mod concat;
pub mod cross_entropy;
mod div;
mod dropout;
mod embedding;
mod gelu;
pub mod gru;
pub mod judge;
mod layer_norm;
pub mod linear;
mod linear_cross_entropy;
pub mod lstm;
mod matmul;
mod mul;
mod norm;
pub mod optimizer;
mod permute;
pub mod recurrent;
mod reduce;
mod relu;
mod reshape;
mod reverse;
pub mod rnn;
mod scale;
mod sigmoid;
mod silu;
mod softmax;
mod split;
mod sub;
mod tanh;

pub use crate::case::OpEntry;

/// Every differentiable op.
pub const ALL: &[OpEntry] = &[
    OpEntry { name: "add", cases: add::cases },
    OpEntry { name: "attention", cases: attention::cases },
    OpEntry { name: "concat", cases: concat::cases },
    OpEntry { name: "cross_entropy", cases: cross_entropy::cases },
    OpEntry { name: "div", cases: div::cases },
    OpEntry { name: "dropout", cases: dropout::cases },
    OpEntry { name: "embedding", cases: embedding::cases },
    OpEntry { name: "gelu", cases: gelu::cases },
    OpEntry { name: "gelu_tanh", cases: gelu::tanh_cases },
    OpEntry { name: "gru_sequence", cases: gru::cases },
    OpEntry { name: "layer_norm", cases: layer_norm::cases },
    OpEntry { name: "linear", cases: linear::cases },
    OpEntry { name: "linear_cross_entropy", cases: linear_cross_entropy::cases },
    OpEntry { name: "log_softmax", cases: softmax::log_cases },
    OpEntry { name: "lstm_sequence", cases: lstm::cases },
    OpEntry { name: "matmul", cases: matmul::cases },
    OpEntry { name: "mean", cases: reduce::mean_cases },
    OpEntry { name: "mul", cases: mul::cases },
    OpEntry { name: "permute", cases: permute::cases },
    OpEntry { name: "relu", cases: relu::cases },
    OpEntry { name: "reshape", cases: reshape::cases },
    OpEntry { name: "reverse_padded", cases: reverse::cases },
    OpEntry { name: "rnn_sequence", cases: rnn::cases },
    OpEntry { name: "scale", cases: scale::cases },
    OpEntry { name: "sigmoid", cases: sigmoid::cases },
    OpEntry { name: "silu", cases: silu::cases },
    OpEntry { name: "softmax", cases: softmax::cases },
    OpEntry { name: "split", cases: split::cases },
    OpEntry { name: "sub", cases: sub::cases },
    OpEntry { name: "sum", cases: reduce::cases },
    OpEntry { name: "tanh", cases: tanh::cases },
];
