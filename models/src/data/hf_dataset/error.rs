//! What can be wrong with a dataset folder.

use std::path::PathBuf;

/// Why a Hugging Face dataset could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HfDatasetError {
    /// A folder that is no saved dataset.
    #[error("{folder} is no dataset folder: {reason}", folder = folder.display())]
    NotADataset {
        /// The folder.
        folder: PathBuf,
        /// What is missing, and what to give instead.
        reason: String,
    },

    /// A file that the system cannot read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },

    /// A file that is cut off or damaged.
    #[error(
        "{path} is damaged at byte {offset}: {message}; copy the dataset again, or save it again \
         with save_to_disk",
        path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        message: String,
    },

    /// A file of a kind that is not read.
    #[error("{path}: {message}", path = path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do.
        message: String,
    },

    /// A column that is not there, or holds something else.
    #[error("the dataset {folder} has no column '{column}' of {wanted}; it has {columns}", folder = folder.display())]
    Column {
        /// The folder.
        folder: PathBuf,
        /// The column asked for.
        column: String,
        /// What it should hold.
        wanted: &'static str,
        /// What there is.
        columns: String,
    },

    /// A row that no model can be trained on.
    #[error("{path}, row {row} of the file (the first is 0): {message}", path = path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The row within the file.
        row: u64,
        /// What is wrong.
        message: String,
    },
}

impl HfDatasetError {
    /// The exit status of a command that ends with this error.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        3
    }
}
