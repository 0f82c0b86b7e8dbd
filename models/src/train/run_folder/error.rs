//! Errors of run folders.

use std::path::PathBuf;

use thiserror::Error;

use super::super::checkpoint::CheckpointError;
use super::super::lock::LockError;
use crate::storage::{Bytes, StorageError};

/// Why a run folder is not used.
#[derive(Debug, Error)]
pub enum RunFolderError {
    /// The disk refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Another process works there.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Its checkpoints could not be put right.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// It holds an unfinished run, and nobody said what to do with it.
    #[error(
        "{} holds an unfinished run ({progress}). Nothing was changed.\n\
         To go on with it:\n  {command} --resume\nTo delete it and begin anew:\n  {command} --overwrite",
        folder.display()
    )]
    Unfinished {
        /// The run folder.
        folder: PathBuf,
        /// How far it came.
        progress: String,
        /// The command, without either flag.
        command: String,
    },
    /// It holds a finished run of another configuration, and nobody said what to do with it.
    #[error(
        "{} holds a finished run of another configuration (its own is {0}/config.yaml). Nothing was changed.\n\
         To go on with it under the new configuration, where that is possible:\n  {command} --resume\n\
         To delete it and begin anew:\n  {command} --overwrite\nOr choose another training.output_dir",
        folder.display()
    )]
    OtherConfig {
        /// The run folder.
        folder: PathBuf,
        /// The command, without either flag.
        command: String,
    },
    /// It holds something else than a run.
    #[error(
        "{} exists and is not a run folder of Foundry: it holds '{found}'. Nothing was changed; choose another training.output_dir",
        folder.display()
    )]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// One of the names in it.
        found: String,
    },
    /// One of its files says something that Foundry did not write.
    #[error("{} is damaged: {reason}; restore it from a backup, or choose another training.output_dir", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It is a link, and something would have to be deleted behind it.
    #[error(
        "{} is a symbolic link, and nothing is deleted through links; give the folder that it points at as training.output_dir",
        folder.display()
    )]
    Link {
        /// The link.
        folder: PathBuf,
    },
    /// The disk is too small for the run.
    #[error(
        "the checkpoints of this run need about {}, but only {} are free on the disk of {}; free some space, choose another \
         training.output_dir, or save less (checkpoint_schedule, save_resume_state_last_n)",
        Bytes(*needed), Bytes(*free), folder.display()
    )]
    DiskTooSmall {
        /// The run folder.
        folder: PathBuf,
        /// Bytes that all checkpoints will take.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
}

impl RunFolderError {
    /// The exit code of the program: 2 where the user has to decide, 3 for damage, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unfinished { .. }
            | Self::OtherConfig { .. }
            | Self::Foreign { .. }
            | Self::Link { .. } => 2,
            Self::Damaged { .. } => 3,
            Self::Checkpoint(e) => e.exit_code(),
            Self::Storage(_) | Self::Lock(_) | Self::DiskTooSmall { .. } => 1,
        }
    }
}
