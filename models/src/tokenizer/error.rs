//! What can go wrong between text and token ids.

use std::path::{Path, PathBuf};

use super::TokenizerKind;
use crate::data::DataError;

/// Why a tokenizer could not be trained, read, written or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// A name that is not in the registry.
    #[error(
        "Unknown tokenizer type: '{0}'. Supported types: sentencepiece, wordpiece, bpe, character"
    )]
    UnknownKind(String),

    /// A vocabulary smaller than its smallest possible content.
    #[error(
        "tokenizer.vocab_size is {requested}, but {kind} needs at least {least} ({reason}); \
         set tokenizer.vocab_size to {least} or more"
    )]
    VocabularyTooSmall {
        /// The kind of tokenizer.
        kind: TokenizerKind,
        /// What the configuration asks for.
        requested: usize,
        /// The smallest size that works.
        least: usize,
        /// What fills the smallest vocabulary.
        reason: String,
    },

    /// A vocabulary larger than Foundry handles.
    #[error("tokenizer.vocab_size is {requested}; the largest allowed is {most}")]
    VocabularyTooLarge {
        /// What the configuration asks for.
        requested: usize,
        /// The largest allowed.
        most: usize,
    },

    /// A special token that cannot be one.
    #[error("special token {role} = {content:?}: {reason}")]
    SpecialToken {
        /// `bos_token`, `eos_token`, ...
        role: String,
        /// The text of the token.
        content: String,
        /// What is wrong, and what to write instead.
        reason: String,
    },

    /// The text to train on holds nothing.
    #[error(
        "there is no text to train a tokenizer on; the corpus is empty, or every line of it is blank"
    )]
    NoText,

    /// The corpus could not be read while training.
    #[error(transparent)]
    Corpus(#[from] Box<DataError>),

    /// A file that is missing or cannot be read.
    #[error("cannot read the tokenizer file {path}: {source}", path = absolute(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },

    /// A file that cannot be written.
    #[error("cannot write the tokenizer file {path}: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },

    /// A tokenizer file that is refused.
    #[error("{origin} is not a tokenizer that Foundry can use: {reason}")]
    Invalid {
        /// The file, or "the trained tokenizer".
        origin: String,
        /// What is wrong, with the path inside the file.
        reason: String,
    },

    /// A tokenizer that a SentencePiece `.model` file cannot hold.
    #[error("this {kind} tokenizer cannot be written as a .model file: {reason}")]
    NoModelFile {
        /// The kind of tokenizer.
        kind: TokenizerKind,
        /// What stands in the way.
        reason: String,
    },

    /// An id outside the vocabulary.
    #[error("token id {id} is outside the vocabulary of {vocab_size} tokens (ids 0 to {last})", last = vocab_size - 1)]
    IdOutOfRange {
        /// The id.
        id: u32,
        /// The size of the vocabulary.
        vocab_size: usize,
    },

    /// The library behind the tokenizer failed on a text.
    #[error("the tokenizer failed on {text:?}: {reason}")]
    Failed {
        /// The beginning of the text.
        text: String,
        /// What the library says.
        reason: String,
    },
}

impl TokenizerError {
    /// The exit status of a command that ends with this error.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::UnknownKind(_)
            | Self::VocabularyTooSmall { .. }
            | Self::VocabularyTooLarge { .. }
            | Self::SpecialToken { .. } => 2,
            Self::NoText | Self::Read { .. } | Self::Invalid { .. } | Self::IdOutOfRange { .. } => {
                3
            }
            Self::Corpus(error) => error.exit_code(),
            Self::NoModelFile { .. } | Self::Write { .. } | Self::Failed { .. } => 1,
        }
    }
}

/// The path from the root, as it was tried.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
