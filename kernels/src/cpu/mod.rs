//! Kernels for processors: one file per family, forward and backward side by side.

pub mod attention;
pub mod cross_entropy;
pub mod dropout;
pub mod elementwise;
pub mod embedding;
pub mod gemm;
pub mod gru;
pub mod isa;
pub mod layer_norm;
pub mod linear_cross_entropy;
pub mod lstm;
pub mod memory;
pub mod optimizer;
pub mod par;
pub mod permute;
pub mod real;
pub mod recurrent;
pub mod reverse;
pub mod rnn;
mod row;
pub mod scratch;
pub mod softmax;
#[cfg(test)]
mod testing;
pub mod vector;
