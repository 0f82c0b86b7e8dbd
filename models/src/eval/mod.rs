//! Scoring: what a trained model knows. Sums of log-probabilities are in nats and accumulate in f64.

pub mod align;
mod error;
mod generate;
pub mod ngram;
pub mod oracle;
pub mod pairs;
mod perplexity;
pub mod pseudo;
pub mod score;
pub mod selftest;
pub mod stimuli;
pub mod surprisal;
pub mod syntaxgym;
pub mod table;

pub use error::EvalError;
pub use generate::{GenerateOptions, Sampling, generate};
pub use pairs::{MinimalPair, Paradigm, ParadigmScore, read_pairs, score_pairs};
pub use perplexity::{Perplexity, StreamScorer, dataset_nll};
pub use score::{CausalScorer, Detail, Scorer, Sequence, TokenScore};
