//! From a configuration to a trained model: each stage makes what is missing and keeps what is there.
//!
//! ```text
//! corpus     files, or sentences of a grammar      <cache>/synthetic-<hash>/
//! tokenizer  trained on the training text only     tokenizer.output_dir
//! dataset    chunks of token ids, and the ledger   <cache>/<hash>/
//! plan       updates, epochs, checkpoints
//! train      the run folder                        training.output_dir
//! ```

mod baseline;
mod collator;
pub mod compare;
mod corpus;
mod device;
mod estimate;
mod inputs;
mod load;
mod logs;
mod notice;
mod perplexity;
mod plan;
mod prepare;
mod results;
mod stages;
mod suites;
mod train;

pub use baseline::{ngram, unigram};
pub use corpus::CorpusPaths;
pub use device::open_device;
pub use estimate::{Pace, spoken};
pub use inputs::{Input, inputs};
pub use load::Trained;
pub use logs::logged;
pub use notice::{Notice, Say};
pub use perplexity::{
    Context, PERPLEXITY_COLUMNS, perplexity_of, perplexity_row, texts_for_perplexity,
};
pub use plan::RunPlan;
pub use prepare::Stale;
pub use results::Results;
pub use stages::Stage;
pub use train::{TrainOptions, TrainOutcome, initial_model, outlined_model, train};

use crate::config::Config;
use crate::data::Split;
use std::path::PathBuf;

/// Where the cache lies, under the current folder.
pub const CACHE_FOLDER: &str = ".foundry/cache";

/// An experiment: a configuration and the folder of its cache.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// What is to be done.
    pub config: Config,
    /// Where prepared data are kept.
    pub cache: PathBuf,
}

impl Pipeline {
    /// With the cache under the current folder.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, cache: PathBuf::from(CACHE_FOLDER) }
    }
}

/// "1234567" as "1,234,567".
#[must_use]
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// The splits of a dataset, in the order in which people are told of them.
const SPLITS: [Split; 3] = [Split::Train, Split::Validation, Split::Test];
