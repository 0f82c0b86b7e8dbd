//! From a corpus to chunks of token ids, with an account of everything.
//!
//! ```text
//! files --corpus--> pieces of text --tokenizer--> ids --pack--> chunks of T --cache--> shards --loader--> batches
//!                        \____________________ ledger ____________________/
//! ```
//!
//! [`prepare`] does it all and gives a [`Dataset`]; a [`Loader`] turns that into batches. What a run reads is a pure
//! function of the corpus, the options and the tokenizer (the cache is addressed by their hash), and the order in which
//! it reads is a pure function of (seed, epoch).

mod build;
mod cache;
pub mod corpus;
mod error;
pub mod hf_dataset;
pub mod jsonl;
mod ledger;
mod loader;
pub mod manipulate;
mod order;
mod pack;
mod rows;
mod shard;
mod source;
pub mod synthetic;
mod text;

use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use crate::config::choices::{Boundary, Packing, Unit, ValidationSplit};
pub use build::{Corpora, Rebuild, prepare};
pub use cache::{ChunkStore, Dataset};
pub use corpus::{Corpus, HeldOut, IdRow, Passed, Piece, Pieces};
pub use error::DataError;
pub use ledger::{DataLedger, FileLedger, SplitLedger};
pub use loader::{Loader, Position, Prefetch};
pub use order::DataOrder;
pub use shard::Chunk;
pub use source::{CorpusFile, SourceKind};

/// What a text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// To train on.
    Train,
    /// To watch training with.
    Validation,
    /// To report on.
    Test,
}

impl Split {
    /// The name in file names and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Train { "training" } else { self.name() })
    }
}

/// What stands at the edges of rows, within T.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frame {
    /// Nothing.
    #[default]
    None,
    /// `[CLS]` before and `[SEP]` behind, as BERT reads text; bos and eos where a tokenizer has no such tokens.
    ClsSep,
}

/// Everything about data that a configuration says.
#[derive(Clone, Debug, PartialEq)]
pub struct DataOptions {
    /// A file (text or `.jsonl`), a folder of `.train`, `.txt` and `.jsonl` files, or a Hugging Face dataset folder.
    pub training_corpus: PathBuf,
    /// The same for validation; excludes `validation_fraction`.
    pub validation_corpus: Option<PathBuf>,
    /// The same for testing.
    pub test_corpus: Option<PathBuf>,
    /// What a unit is.
    pub unit: Unit,
    /// The share of the characters of the training corpus that is held out.
    pub validation_fraction: f64,
    /// From where.
    pub validation_split: ValidationSplit,
    /// T, the tokens in a chunk.
    pub max_sequence_length: usize,
    /// How chunks are filled.
    pub packing: Packing,
    /// What stands at the edges of units.
    pub boundary_token: Boundary,
    /// What stands at the edges of chunks.
    pub frame: Frame,
    /// The largest share of the tokens that may be dropped.
    pub max_loss_fraction: f64,
}

impl DataOptions {
    /// The usual options for a corpus: lines, packed, eos after each, nothing held out.
    #[must_use]
    pub fn new(training_corpus: impl Into<PathBuf>, max_sequence_length: usize) -> Self {
        Self {
            training_corpus: training_corpus.into(),
            validation_corpus: None,
            test_corpus: None,
            unit: Unit::default(),
            validation_fraction: 0.0,
            validation_split: ValidationSplit::default(),
            max_sequence_length,
            packing: Packing::default(),
            boundary_token: Boundary::default(),
            frame: Frame::default(),
            max_loss_fraction: 0.05,
        }
    }

    /// Refuses options that cannot be followed.
    ///
    /// # Errors
    /// The field, what is wrong with it, and what to write instead.
    pub fn check(&self) -> Result<(), DataError> {
        let refuse = |field: &'static str, reason: String| Err(DataError::Option { field, reason });
        if self.packing != Packing::Pack && self.unit == Unit::Document {
            let reason = format!("packing: {} needs unit: line; set packing: pack", self.packing);
            return refuse("data.packing", reason);
        }
        let least = if self.frame == Frame::None { 2 } else { 3 };
        if !(least..=shard::MAX_LENGTH).contains(&self.max_sequence_length) {
            let reason = format!(
                "{} is not in {least} to {}: a row needs a token to read and a token to predict",
                self.max_sequence_length,
                shard::MAX_LENGTH
            );
            return refuse("data.max_sequence_length", reason);
        }
        if self.validation_corpus.is_some() && self.validation_fraction > 0.0 {
            return refuse(
                "data.validation_fraction",
                "there is a validation_corpus too; give one of the two".into(),
            );
        }
        if !(0.0..=1.0).contains(&self.max_loss_fraction) {
            let reason = format!("{} is not in [0, 1]", self.max_loss_fraction);
            return refuse("data.max_loss_fraction", reason);
        }
        Ok(())
    }
}

/// How far preparing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being tokenized.
    pub split: Split,
    /// Bytes of its files read.
    pub done: u64,
    /// Bytes of its files.
    pub total: u64,
}

/// Told how far preparing has come; may ask it to stop.
pub type Watch<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;
