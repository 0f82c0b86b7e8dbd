//! Scoring: what a trained model knows. Sums of log-probabilities are in nats and accumulate in f64.

mod generate;
mod minimal_pairs;
mod perplexity;
mod score;

pub use generate::{GenerateOptions, Sampling, generate};
pub use minimal_pairs::{MinimalPair, PairError, ParadigmScore, read_pairs, score_pairs};
pub use perplexity::{Perplexity, dataset_nll, text_perplexity};
pub use score::{row_nll, stream_nll, text_nll};
