//! Foundry's language models, and everything around them: tokenizers, data, training, scoring.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        non_snake_case,
        clippy::float_cmp,
        clippy::unwrap_used,
        clippy::print_stdout,
        reason = "tests are named test_feature__scenario, stop at the first surprise, and say what they skip"
    )
)]

pub mod arch;
pub mod bench;
pub mod collate;
pub mod config;
pub mod data;
pub mod doctor;
pub mod error;
pub mod eval;
pub mod gradcheck;
pub mod interchange;
pub mod machine;
pub mod nn;
pub mod optim;
pub mod parity;
pub mod pipeline;
pub mod report;
pub mod storage;
pub mod tensors;
#[cfg(test)]
mod test_data;
pub mod tokenizer;
pub mod train;

#[cfg(all(test, unix))]
mod test_child;
