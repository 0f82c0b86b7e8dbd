//! Kernels for NVIDIA GPUs, as PTX text, and how each is launched.
//!
//! The texts lie in `kernels/ptx`, one family a file; the head of each is a lesson: the mathematics, the launch, the map of
//! shared memory, the traffic. What stands here makes a [`Call`](launch::Call) of typed arguments, so that the count, the
//! order and the sizes of parameters cannot be wrong. Only [`driver`] and [`cublas`] talk to one.

pub mod activation;
pub mod attention;
pub mod blas;
pub mod cross_entropy;
pub mod cublas;
pub mod driver;
pub mod dropout;
pub mod elementwise;
pub mod embedding;
pub mod error;
pub mod fill;
pub mod gemm;
pub mod gru;
pub mod judge;
pub mod ladder;
pub mod launch;
pub mod layer_norm;
pub mod linear_cross_entropy;
pub mod lstm;
pub mod optimizer;
pub mod ptxgen;
pub mod recurrent;
pub mod reduce;
pub mod registry;
pub mod reverse;
pub mod rnn;
pub mod softmax;
pub mod tensor_cores;
