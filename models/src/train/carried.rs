//! The state that a recurrent model carries from block to block: truncated back-propagation through time.
//!
//! Williams, Peng: *An efficient gradient-based algorithm for on-line training of recurrent network trajectories*
//! (1990). With `stateful: true` the text lies in as many columns as a batch has rows, each contiguous
//! ([`DataOrder::columns`](crate::data::DataOrder::columns)), and a batch takes the next block of each. The state after
//! a block is where the next one begins, so the model remembers more than a block, while gradients end at its edge. An epoch
//! begins from zeros. The state is part of what a run needs to go on.

use super::checkpoint::CheckpointFile;
use super::weights::{HostTensors, take};
use crate::arch::LanguageModel;
use crate::nn::RnnState;
use crate::tensors::{TensorFile, TensorFileError};

/// The file that holds the carried state.
pub const CARRIED_FILE: &str = "carried_state.safetensors";

/// What a cell calls its state, in the order in which it carries it.
const NAMES: [&str; 2] = ["h", "c"];

/// The state between two updates.
#[derive(Debug)]
pub struct Carried {
    /// `[B, H]` tensors, as the model has them.
    pub state: RnnState,
    rows: usize,
}

impl Carried {
    /// Zeros, for batches of `rows`.
    #[must_use]
    pub fn new(model: &dyn LanguageModel, rows: usize) -> Self {
        Self { state: model.initial_state(rows), rows }
    }

    /// Begins anew.
    pub fn forget(&mut self, model: &dyn LanguageModel) {
        self.state = model.initial_state(self.rows);
    }

    /// The tensors, on their way to a file.
    #[must_use]
    pub fn to_host(&self) -> HostTensors {
        let mut tensors = HostTensors::default();
        for (layer, parts) in self.state.iter().enumerate() {
            for (name, tensor) in NAMES.iter().zip(parts) {
                tensors.push(format!("{name}_l{layer}"), tensor);
            }
        }
        tensors
    }

    /// Reads what [`to_host`](Self::to_host) wrote.
    ///
    /// # Errors
    /// A tensor that is missing, of another shape, or unknown.
    pub fn load(&mut self, mut file: TensorFile) -> Result<(), TensorFileError> {
        for (layer, parts) in self.state.iter_mut().enumerate() {
            for (name, tensor) in NAMES.iter().zip(parts) {
                *tensor = take(&mut file, &format!("{name}_l{layer}"), tensor)?;
            }
        }
        file.finish()
    }
}

/// The file of a checkpoint that holds a carried state.
#[must_use]
pub fn file(tensors: &HostTensors) -> CheckpointFile<'_> {
    tensors.to_file(CARRIED_FILE).for_resume()
}
