//! What can go wrong in the world, and with which number the program then exits.

use crate::config::ConfigError;
use crate::data::DataError;
use crate::eval::EvalError;
use crate::storage::StorageError;
use crate::tensors::TensorFileError;
use crate::tokenizer::TokenizerError;
use crate::train::checkpoint::CheckpointError;
use crate::train::run::RunError;
use crate::train::run_folder::RunFolderError;
use crate::train::signals::EXIT_STOPPED;
use crate::train::trainer::StepError;

/// Any error of the library. Messages name the file, the field or the tensor, say what was expected and how to mend
/// it; they are meant to be shown as they are.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// In the configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// In the corpus or its cache.
    #[error(transparent)]
    Data(#[from] DataError),
    /// In a tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// In a step of `dataset_manipulation`.
    #[error(transparent)]
    Manipulation(#[from] crate::data::manipulate::ManipulationError),
    /// In a grammar.
    #[error(transparent)]
    Grammar(#[from] crate::data::synthetic::GrammarError),
    /// In a run folder.
    #[error(transparent)]
    RunFolder(#[from] RunFolderError),
    /// In a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// In a file of tensors.
    #[error(transparent)]
    Tensors(#[from] TensorFileError),
    /// On the disk.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// In what is to be scored.
    #[error(transparent)]
    Evaluation(#[from] EvalError),
    /// In a folder of Hugging Face or torch.
    #[error(transparent)]
    Interchange(#[from] crate::interchange::InterchangeError),
    /// On the device that computes.
    #[error(transparent)]
    Device(#[from] foundry_engine::DeviceError),
    /// While training.
    #[error(transparent)]
    Run(#[from] RunError),
    /// What was asked for cannot be done.
    #[error("{0}")]
    Usage(String),
    /// Files do not belong together, or are not what they should be.
    #[error("{0}")]
    Mismatch(String),
}

impl From<StepError> for Error {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Device(error) => Self::Device(error),
            StepError::NonFinite(problem) => Self::Run(RunError::NonFinite {
                problem,
                rows: Vec::new(),
                saved: "nothing was saved".to_owned(),
            }),
        }
    }
}

impl Error {
    /// 1 runtime failure, 2 usage or configuration, 3 data or checkpoint missing or corrupt, 4 the device is not there or
    /// failed, 5 numbers not finite, 75 stopped.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(e) => e.exit_code(),
            Self::Data(e) => e.exit_code(),
            Self::Tokenizer(e) => e.exit_code(),
            Self::RunFolder(e) => e.exit_code(),
            Self::Checkpoint(e) => e.exit_code(),
            Self::Device(_) | Self::Run(RunError::Device { .. }) => 4,
            Self::Run(RunError::NonFinite { .. }) => 5,
            Self::Run(RunError::Data { source, .. }) => source.exit_code(),
            Self::Run(RunError::Checkpoint(e)) => e.exit_code(),
            Self::Run(RunError::Suites { source, .. }) => source.exit_code(),
            Self::Grammar(e) => e.exit_code(),
            Self::Manipulation(e) => e.exit_code(),
            Self::Interchange(e) => e.exit_code(),
            Self::Run(RunError::Storage(_) | RunError::Log { .. }) | Self::Storage(_) => 1,
            Self::Usage(_) => 2,
            Self::Evaluation(EvalError::Write { .. }) => 1,
            Self::Evaluation(EvalError::Stopped(_)) => EXIT_STOPPED,
            Self::Tensors(_) | Self::Evaluation(_) | Self::Mismatch(_) => 3,
        }
    }
}
