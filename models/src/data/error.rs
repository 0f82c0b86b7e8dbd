//! What can go wrong between a corpus and the chunks that a model reads.

use std::path::{Path, PathBuf};

use super::hf_dataset::HfDatasetError;
use super::jsonl::JsonlError;
use super::{Packing, Split};
use crate::tokenizer::TokenizerError;

/// Why data could not be read, cut, kept or loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A corpus path where nothing is.
    #[error("{field}: {path} does not exist", path = absolute(path))]
    Missing {
        /// The configuration field that names it.
        field: String,
        /// The path as written; the message shows it from the root.
        path: PathBuf,
    },

    /// A file that the system cannot read.
    #[error("cannot read {path}: {source}", path = absolute(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },

    /// A file or folder that cannot be written.
    #[error("cannot write {path}: {source}", path = absolute(path))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },

    /// Bytes that are no UTF-8.
    #[error("{path} is not UTF-8: bad byte at offset {offset} (the first byte is 0){hint}", path = path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The offset of the first bad byte in the file.
        offset: u64,
        /// How to mend it, beginning with "; " when there is something to say.
        hint: &'static str,
    },

    /// A file of a kind that is not read.
    #[error("{field}: {path}: {reason}", path = path.display())]
    Unsupported {
        /// The configuration field that names it.
        field: String,
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: &'static str,
    },

    /// A folder without corpus files.
    #[error(
        "{field}: the folder {path} holds no .train, .txt or .jsonl file and no dataset (its subfolders are not searched)",
        path = absolute(path)
    )]
    NoFiles {
        /// The configuration field that names it.
        field: String,
        /// The folder.
        path: PathBuf,
    },

    /// A corpus, or a part of one, without text.
    #[error("the {split} text of {path} is empty{hint}", path = path.display())]
    Empty {
        /// The part.
        split: Split,
        /// The corpus.
        path: PathBuf,
        /// How to mend it, beginning with "; " when there is something to say.
        hint: &'static str,
    },

    /// A file that is another than it was when the run began.
    #[error("{path} changed while it was being read; start again when nothing writes to it", path = path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },

    /// An option that cannot be followed.
    #[error("{field}: {reason}")]
    Option {
        /// The configuration field.
        field: &'static str,
        /// What is wrong, and what to write instead.
        reason: String,
    },

    /// Too little text for one chunk.
    #[error(
        "the {split} text has {tokens} tokens, which do not fill one chunk of {length}; \
         set data.max_sequence_length to {tokens} or less, or give more text"
    )]
    TooShort {
        /// The part.
        split: Split,
        /// Its tokens, boundary tokens included.
        tokens: u64,
        /// The length of a chunk.
        length: usize,
    },

    /// No line of the text can be a row.
    #[error(
        "no line of the {split} text makes a row with data.packing: {packing} and rows of {length} tokens: the longest has \
         {longest}; {mend}",
        mend = match packing {
            Packing::DropShort => "set data.packing: pack, or a smaller data.max_sequence_length",
            _ => "a row needs a token to read and a token to predict",
        }
    )]
    NoRow {
        /// The part.
        split: Split,
        /// How rows are made.
        packing: Packing,
        /// Tokens in a row.
        length: usize,
        /// Tokens in the longest line, boundary tokens included.
        longest: u64,
    },

    /// More text would be dropped than is allowed.
    #[error(
        "{dropped} of {tokens} tokens of the {split} text ({percent:.1} %) would be dropped, and data.max_loss_fraction \
         is {allowed}; set {mend}, or data.max_loss_fraction to {needed:.3}",
        mend = match packing {
            Packing::Pack => "a smaller data.max_sequence_length",
            Packing::Sentence => "a larger data.max_sequence_length (longer lines are cut), or data.packing: pack",
            Packing::DropShort => "data.packing: pack (lines shorter than data.max_sequence_length are dropped)",
        }
    )]
    Loss {
        /// The part.
        split: Split,
        /// How rows are made.
        packing: Packing,
        /// Tokens dropped.
        dropped: u64,
        /// All tokens.
        tokens: u64,
        /// The share in per cent.
        percent: f64,
        /// The configured limit.
        allowed: f64,
        /// A limit that would do.
        needed: f64,
    },

    /// A cache file that is not what was written.
    #[error(
        "the data cache is damaged: {path}: {reason}; delete the folder {folder}, or run `foundry preprocess-data CONFIG --force`, \
         and it is made again from the corpus",
        path = path.display(), folder = folder.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// The folder of the whole entry.
        folder: PathBuf,
    },

    /// A dataset that was made with another tokenizer.
    #[error(
        "the data were made with another tokenizer ({data_vocab} tokens, {data_hash}) than the model uses \
         ({model_vocab} tokens, {model_hash}); run `foundry preprocess-data CONFIG` with the model's tokenizer"
    )]
    OtherTokenizer {
        /// Size of the vocabulary of the data.
        data_vocab: usize,
        /// Hash of the tokenizer of the data.
        data_hash: String,
        /// Size of the vocabulary of the model.
        model_vocab: usize,
        /// Hash of the tokenizer of the model.
        model_hash: String,
    },

    /// The ledger does not add up: a defect of Foundry, found before it could harm.
    #[error("the data ledger does not add up: {0}; please report this")]
    Ledger(String),

    /// A file of JSON Lines that cannot be read.
    #[error(transparent)]
    Jsonl(#[from] JsonlError),

    /// A Hugging Face dataset that cannot be read.
    #[error(transparent)]
    Dataset(#[from] HfDatasetError),

    /// The tokenizer failed.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),

    /// The caller asked to stop.
    #[error("stopped while preparing data; the next run starts this step again")]
    Stopped,

    /// A thread that reads ahead has died.
    #[error("a data loading thread ended unexpectedly")]
    Thread,
}

impl DataError {
    /// The exit status of a command that ends with this error.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Option { .. } | Self::Unsupported { .. } => 2,
            Self::Missing { .. }
            | Self::Read { .. }
            | Self::NotUtf8 { .. }
            | Self::NoFiles { .. }
            | Self::Empty { .. }
            | Self::Changed { .. }
            | Self::TooShort { .. }
            | Self::NoRow { .. }
            | Self::Loss { .. }
            | Self::Damaged { .. }
            | Self::OtherTokenizer { .. } => 3,
            Self::Jsonl(error) => error.exit_code(),
            Self::Dataset(error) => error.exit_code(),
            Self::Tokenizer(error) => error.exit_code(),
            Self::Stopped => 75,
            Self::Write { .. } | Self::Ledger(_) | Self::Thread => 1,
        }
    }
}

/// The path from the root, as it was tried.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
