//! What can go wrong in a step of `dataset_manipulation`.

use std::io;
use std::path::{Path, PathBuf};

use crate::storage::{Operation, StorageError};

/// Why a step could not be understood or carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManipulationError {
    /// A setting that cannot be followed.
    #[error("dataset_manipulation.{step}.{field}: {message}")]
    Setting {
        /// The step, counted from 0.
        step: usize,
        /// The field, such as `parameters.words`.
        field: String,
        /// What is wrong, and what to write.
        message: String,
    },

    /// A file or folder that a step needs and that is not there.
    #[error("dataset_manipulation.{step}.{field}: {path} does not exist{hint}", path = absolute(path))]
    Missing {
        /// The step, counted from 0.
        step: usize,
        /// The field that names it.
        field: &'static str,
        /// The path as written; the message shows it from the root.
        path: PathBuf,
        /// How to mend it, beginning with "; " when there is something to say.
        hint: String,
    },

    /// An input folder that holds nothing to work on.
    #[error(
        "dataset_manipulation.{step}.input_path: the folder {path} holds no .train and no .txt file \
         (its subfolders are not searched){hint}",
        path = absolute(path)
    )]
    NoFiles {
        /// The step, counted from 0.
        step: usize,
        /// The folder.
        path: PathBuf,
        /// How to mend it, beginning with "; " when there is something to say.
        hint: &'static str,
    },

    /// JSON Lines where a step changes the words of plain text: it would change the names of fields too, and see no word that is
    /// escaped.
    #[error(
        "dataset_manipulation.{step}.{field}: {path} is JSON Lines, and a step changes lines of plain text\n  mend: write its texts \
         to a .txt file, one a line, or move it elsewhere",
        path = absolute(path)
    )]
    JsonLines {
        /// The step, counted from 0.
        step: usize,
        /// The field that names the file or its folder.
        field: &'static str,
        /// The file.
        path: PathBuf,
    },

    /// A file that the system cannot read.
    #[error("cannot read {path}: {source}", path = absolute(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },

    /// A file or folder that cannot be written.
    #[error(transparent)]
    Write(#[from] StorageError),

    /// Bytes that are no UTF-8.
    #[error("{path} is not UTF-8: bad byte at offset {offset} (the first byte is 0)", path = path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The offset of the first bad byte.
        offset: u64,
    },

    /// A parse that is not CoNLL-U.
    #[error("{path}:{line}: {message}", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        message: String,
    },

    /// A text and its parse that are not about the same words.
    #[error(
        "{text}:{line} and its parse {parse}:{parse_line} differ: {message}; \
         parse this very text, each line by itself and in order",
        text = text.display(), parse = parse.display()
    )]
    Differ {
        /// The text.
        text: PathBuf,
        /// Its line, counted from 1.
        line: u64,
        /// The parses.
        parse: PathBuf,
        /// The line where the sentence begins, counted from 1.
        parse_line: u64,
        /// Where they part.
        message: String,
    },

    /// A replacement pool that does not reach.
    #[error(
        "the replacement pool {pool} is used up: {missing} of {wanted} whitespace tokens are missing \
         in {file}; give a larger pool, or set parameters.allow_short: true",
        pool = pool.display()
    )]
    PoolShort {
        /// The pool file.
        pool: PathBuf,
        /// The file that was to be filled up.
        file: String,
        /// Tokens that it should have.
        wanted: u64,
        /// Tokens that are missing.
        missing: u64,
    },

    /// An output that would be overwritten, or mixed with something else.
    #[error("dataset_manipulation.{step}.output_path: {path} {reason}", path = absolute(path))]
    Occupied {
        /// The step, counted from 0.
        step: usize,
        /// The file or folder.
        path: PathBuf,
        /// What stands there, and what to do.
        reason: String,
    },

    /// A step that leaves no text.
    #[error("dataset_manipulation.{step}: no text is left in {path}: {reason}", path = absolute(path))]
    NothingLeft {
        /// The step, counted from 0.
        step: usize,
        /// The output.
        path: PathBuf,
        /// Why, as far as that is known.
        reason: String,
    },

    /// A program that cannot be started.
    #[error(
        "dataset_manipulation.{step}.parameters.program: cannot start '{program}': {source}{hint}"
    )]
    NotStarted {
        /// The step, counted from 0.
        step: usize,
        /// The program.
        program: String,
        /// What the system says.
        source: io::Error,
        /// How to mend it, beginning with "; " when there is something to say.
        hint: String,
    },

    /// A program that failed.
    #[error(
        "dataset_manipulation.{step}: {program} ended with {status}; its last words:\n{stderr}"
    )]
    ProgramFailed {
        /// The step, counted from 0.
        step: usize,
        /// The program.
        program: String,
        /// `exit status: 1`, or the signal.
        status: String,
        /// The end of what it wrote to its standard error.
        stderr: String,
    },

    /// The caller asked to stop.
    #[error("stopped while manipulating the corpus; the next run starts this step again")]
    Stopped,
}

impl ManipulationError {
    /// The exit status of a command that ends with this error.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Setting { .. } | Self::Occupied { .. } | Self::NotStarted { .. } => 2,
            Self::Missing { .. }
            | Self::NoFiles { .. }
            | Self::JsonLines { .. }
            | Self::Read { .. }
            | Self::NotUtf8 { .. }
            | Self::Parse { .. }
            | Self::Differ { .. }
            | Self::PoolShort { .. }
            | Self::NothingLeft { .. } => 3,
            Self::Write(_) | Self::ProgramFailed { .. } => 1,
            Self::Stopped => 75,
        }
    }

    pub(super) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::Read { path: path.to_owned(), source }
    }

    pub(super) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::Write(StorageError::new(Operation::Write, path, source))
    }
}

/// The path from the root, as it was tried.
pub(super) fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
