//! Errors of checkpoints.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use crate::storage::StorageError;
use crate::tensors::TensorFileError;

/// A checkpoint that was passed over, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

/// Why a checkpoint was not saved or not used.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The disk refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A checkpoint could not be written; the ones before it are as they were.
    #[error(
        "{name} was not saved: {source}. Checkpoints saved before it are untouched{}",
        resume_hint(newest)
    )]
    NotSaved {
        /// Name of the checkpoint.
        name: String,
        /// Name of the newest checkpoint that is there.
        newest: Option<String>,
        /// What went wrong.
        source: Box<CheckpointError>,
    },
    /// A tensor file does not fit.
    #[error(transparent)]
    Tensors(#[from] TensorFileError),
    /// A folder is not a whole checkpoint.
    #[error("{} cannot be used: {reason}", path.display())]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There are checkpoints, and not one can be used.
    #[error(
        "{} has checkpoints, but none of them can be used:{}\nNothing was started, so that nothing is overwritten. \
         Restore one of them from a backup, or begin anew with --overwrite or another output_dir",
        run.display(),
        lines(rejected)
    )]
    NoneLoads {
        /// The run folder.
        run: PathBuf,
        /// All of them, newest first.
        rejected: Vec<Rejected>,
    },
    /// A file or link stands where the checkpoint folder should be.
    #[error("{} is in the way: it is not a folder of Foundry; move it elsewhere", path.display())]
    InTheWay {
        /// What stands there.
        path: PathBuf,
    },
    /// The trainer's state holds a number that is not finite.
    #[error(
        "the trainer's state holds a number that is not finite (a validation loss?), so it was not saved"
    )]
    State,
    /// A file name that could leave the folder, or comes twice: a broken caller.
    #[error("'{name}' cannot be the name of a file in a checkpoint")]
    Name {
        /// The name.
        name: String,
    },
}

impl CheckpointError {
    /// What is wrong, without the path.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Damaged { reason, .. } => reason.clone(),
            other => other.to_string(),
        }
    }

    /// The exit code of the program: 3 for missing or damaged checkpoints, 5 for numbers that are not finite, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Damaged { .. } | Self::NoneLoads { .. } => 3,
            Self::NotSaved { source, .. } => source.exit_code(),
            Self::Tensors(TensorFileError::NotFinite { .. }) | Self::State => 5,
            Self::Tensors(TensorFileError::Storage(_) | TensorFileError::Unwritable { .. }) => 1,
            Self::Tensors(_) => 3,
            Self::Storage(_) | Self::InTheWay { .. } | Self::Name { .. } => 1,
        }
    }
}

fn resume_hint(newest: &Option<String>) -> String {
    newest
        .as_ref()
        .map(|name| format!("; the newest is {name}, and --resume goes on from it"))
        .unwrap_or_default()
}

fn lines(rejected: &[Rejected]) -> String {
    rejected.iter().map(|r| format!("\n  {r}")).collect()
}
