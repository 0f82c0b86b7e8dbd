//! Every kernel of `foundry_kernels::cuda`, run by the emulator against the CPU kernels in f64.
//!
//! Each family has one `check`: launches over ragged shapes, with every check of the emulator on, whose outputs must be
//! fully written and near the reference. It runs in the natural order, under adversarial orders and approximations, and
//! against mutants of the text: [`support::mutants`].

#![forbid(unsafe_code)]
#![allow(
    non_snake_case,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    clippy::unwrap_used,
    reason = "tests are named test_feature__scenario, make small numbers from indices, and may panic"
)]

mod support;

mod test_activation;
mod test_adamw;
mod test_attention;
mod test_budget;
mod test_cross_entropy;
mod test_dropout;
mod test_elementwise;
mod test_embedding;
mod test_fill;
mod test_gemm;
mod test_generated;
mod test_judge;
mod test_ladder;
mod test_layer_norm;
mod test_recurrent;
mod test_reduce;
mod test_reverse;
mod test_sgd;
mod test_softmax;
mod test_tensor_attention;
mod test_tensor_gemm;
