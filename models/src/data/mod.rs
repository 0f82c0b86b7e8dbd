//! Corpora: reading text, and holding some of it out.

pub mod corpus;
mod error;
mod text;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use corpus::{Corpus, CorpusFile, HeldOut, Passed, Piece, Pieces, ValidationSplit};
pub use error::DataError;

/// The unit of text that a boundary token ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// One utterance a line; blank lines are skipped and counted.
    #[default]
    Line,
    /// A file is one stream; newlines and blank lines are text.
    Document,
}

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
