//! What can be wrong with what is to be scored.

use crate::tokenizer::TokenizerError;
use crate::train::signals::Stopped;
use std::path::{Path, PathBuf};

/// An error in files of sentences, pairs or suites.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// It cannot be read.
    #[error("cannot read {what}: {}: {source}", absolute(path))]
    Read {
        /// What it should hold.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("{}:{line}: {reason}\n  expected: {expected}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What was found.
        reason: String,
        /// What should be there.
        expected: &'static str,
    },
    /// A file is not what it should be.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was found, and what was expected.
        reason: String,
    },
    /// There is nothing in it.
    #[error("no {what} in {}: expected {expected}", path.display())]
    Empty {
        /// What it should hold.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What should be there.
        expected: &'static str,
    },
    /// A sentence cannot be tokenized.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Of a sentence of a pair nothing is scored: it cannot be compared.
    #[error(
        "pair {item} of {paradigm}: '{text}' has no token that is scored (the first has no score where training had no \
         boundary token)\n  mend: leave the pair out"
    )]
    NothingScored {
        /// The paradigm.
        paradigm: String,
        /// The pair.
        item: String,
        /// The sentence.
        text: String,
    },
    /// A formula has no value.
    #[error("suite {suite}: prediction {prediction} of item {item} {reason}")]
    Prediction {
        /// The suite.
        suite: String,
        /// Which of its predictions, from 1.
        prediction: usize,
        /// The item.
        item: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// A stop was asked for.
    #[error(
        "{0}: scoring has not ended, and no table was replaced\n  mend: run the same command again"
    )]
    Stopped(#[from] Stopped),
    /// The results cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// The path from the root, as it was tried.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

impl EvalError {
    /// Of a file or folder that should hold `what`.
    pub(super) fn read(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Read { what, path: path.to_owned(), source }
    }
}
