//! The files of a checkpoint, as the caller hands them over.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use super::{CheckpointError, STATE_FILE, TrainerState};
use crate::storage::{Operation, StorageError};
use crate::tensors::{self, HostTensor};

pub(super) type Fill<'a> = Box<dyn FnOnce(&mut dyn Write) -> Result<(), CheckpointError> + 'a>;

/// One file of a checkpoint: its name, and what writes it.
pub struct CheckpointFile<'a> {
    pub(super) name: String,
    pub(super) resume: bool,
    pub(super) length: Option<u64>,
    pub(super) fill: Fill<'a>,
}

impl<'a> CheckpointFile<'a> {
    /// A file of the model with this content.
    #[must_use]
    pub fn bytes(name: impl Into<String>, content: impl Into<Cow<'a, [u8]>>) -> Self {
        let (name, content) = (name.into(), content.into());
        let label = name.clone();
        Self {
            name,
            resume: false,
            length: Some(content.len() as u64),
            fill: Box::new(move |out| {
                let failed = |e| StorageError::new(Operation::Write, Path::new(&label), e);
                Ok(out.write_all(&content).map_err(failed)?)
            }),
        }
    }

    /// A safetensors file of the model. Numbers that are not finite are refused when it is written.
    #[must_use]
    pub fn tensors(
        name: impl Into<String>,
        tensors: Vec<HostTensor<'a>>,
        metadata: BTreeMap<String, String>,
    ) -> Self {
        Self {
            name: name.into(),
            resume: false,
            length: tensors::file_length(&tensors, &metadata).ok(),
            fill: Box::new(move |out| Ok(tensors::write(out, &tensors, &metadata)?)),
        }
    }

    /// `state.json`: the trainer's state, needed to go on. A state that would not read back the same (a loss that is
    /// not finite) is refused when it is written.
    #[must_use]
    pub fn state(state: &TrainerState) -> Self {
        let (state, content) = (state.clone(), state.to_bytes());
        Self {
            name: STATE_FILE.to_owned(),
            resume: true,
            length: Some(content.len() as u64),
            fill: Box::new(move |out| {
                if TrainerState::from_bytes(&content).as_ref() != Ok(&state) {
                    return Err(CheckpointError::State);
                }
                let failed = |e| StorageError::new(Operation::Write, Path::new(STATE_FILE), e);
                Ok(out.write_all(&content).map_err(failed)?)
            }),
        }
    }

    /// Marks the file as needed only for going on with the training, so that rotation may remove it.
    #[must_use]
    pub fn for_resume(self) -> Self {
        Self { resume: true, ..self }
    }
}
