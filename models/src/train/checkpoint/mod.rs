//! Checkpoints: folders that are wholly there or not there.
//!
//! ```text
//! run/checkpoint-12/   model.safetensors  config.json  tokenizer files ...     the model
//!                      optimizer.safetensors  state.json                       what training needs to go on
//!                      MANIFEST.json                                           written last: lengths and hashes
//! ```
//!
//! [`CheckpointStore::save`] writes everything into `.tmp-<run id>-checkpoint-12`, waits until each file and the
//! folder are on the medium, and only then gives it its name. [`find_resumable`] takes the newest checkpoint whose
//! every byte agrees with its manifest, and says which ones it passed over and why; where checkpoints exist but none
//! can be used it is an error, because starting again at step 0 would overwrite them.
//! [`CheckpointStore::rotate`] removes resume state that is no longer needed, once a newer checkpoint has been read
//! back. Whatever Foundry did not write is never removed or renamed.

mod content;
mod error;
mod retention;
mod save;
mod state;

use std::path::{Path, PathBuf};

pub use content::CheckpointFile;
pub use error::{CheckpointError, Rejected};
pub use retention::Retention;
pub use save::{CheckpointStore, Saved};
pub use state::{BestValidation, TrainerState};

use super::manifest::{MANIFEST_FILE, Manifest, RunId};
use crate::storage::{Disk, EntryKind};
use crate::tensors::TensorFile;

/// The file that holds the weights.
pub const MODEL_FILE: &str = "model.safetensors";
/// The file that holds the weights that are trained, where [`MODEL_FILE`] holds their moving average.
pub const RAW_MODEL_FILE: &str = "raw_model.safetensors";
/// The file that holds the optimizer's moments.
pub const OPTIMIZER_FILE: &str = "optimizer.safetensors";
/// The file that holds the trainer's state.
pub const STATE_FILE: &str = "state.json";
/// The folder of the best checkpoint.
pub const BEST_FOLDER: &str = "best";

const MANIFEST_LIMIT: u64 = 4 << 20;

/// The name of the checkpoint after `step` updates.
#[must_use]
pub fn folder_name(step: u64) -> String {
    format!("checkpoint-{step}")
}

/// The step of a folder called as [`folder_name`] would; numbers are compared as numbers, and `checkpoint-007` is not ours.
#[must_use]
pub fn step_of(name: &str) -> Option<u64> {
    let step = name.strip_prefix("checkpoint-")?.parse().ok()?;
    (folder_name(step) == name).then_some(step)
}

/// A checkpoint folder whose model files all agree with its manifest.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    disk: Disk,
    path: PathBuf,
    manifest: Manifest,
}

impl Checkpoint {
    /// Opens a checkpoint folder, wherever it lies and whatever it is called, and reads every model file through once.
    ///
    /// # Errors
    /// [`CheckpointError::Damaged`] with the file and what is wrong with it.
    pub fn open(disk: &Disk, path: &Path) -> Result<Self, CheckpointError> {
        let checkpoint = Self::glance(disk, path)?;
        checkpoint.verify(checkpoint.manifest.files.keys())?;
        Ok(checkpoint)
    }

    /// Reads the manifest only.
    fn glance(disk: &Disk, path: &Path) -> Result<Self, CheckpointError> {
        let damaged = |reason| CheckpointError::Damaged { path: path.to_path_buf(), reason };
        let bytes = disk.read(&path.join(MANIFEST_FILE), MANIFEST_LIMIT).map_err(|e| {
            let absent =
                format!("it has no {MANIFEST_FILE}, so it was never finished, or was emptied");
            damaged(if e.is_not_found() { absent } else { e.to_string() })
        })?;
        let manifest = Manifest::from_bytes(&bytes).map_err(damaged)?;
        Ok(Self { disk: disk.clone(), path: path.to_path_buf(), manifest })
    }

    /// Checks that training can go on from here: the resume files are there and intact.
    ///
    /// # Errors
    /// [`CheckpointError::Damaged`], also when the resume state was rotated away.
    pub fn check_resumable(&self) -> Result<(), CheckpointError> {
        if self.manifest.resume_files.is_empty() {
            return Err(self.damaged("it was saved without resume state".to_owned()));
        }
        self.verify(self.manifest.resume_files.keys())
    }

    /// Whether nothing is missing or damaged, resume files included.
    fn has_all_files(&self) -> bool {
        self.verify(self.manifest.resume_files.keys()).is_ok()
    }

    fn verify<'a>(&self, names: impl Iterator<Item = &'a String>) -> Result<(), CheckpointError> {
        for name in names {
            let path = self.path.join(name);
            let Some(expected) = self.manifest.digest(name) else { continue };
            match self.disk.entry(&path) {
                Ok(None) if self.manifest.resume_files.contains_key(name) => {
                    return Err(
                        self.damaged(format!("its resume state was removed ({name} is not there)"))
                    );
                }
                Ok(None) => return Err(self.damaged(format!("{name} is not there"))),
                // The cheap question first; a link's length is not its file's.
                Ok(Some(e)) if e.kind == EntryKind::File && e.length != expected.length => {
                    let reason =
                        format!("{name} has {} bytes instead of {}", e.length, expected.length);
                    return Err(self.damaged(reason));
                }
                Ok(Some(_)) => {}
                Err(e) => return Err(self.damaged(e.to_string())),
            }
            let found = self.disk.digest(&path).map_err(|e| self.damaged(e.to_string()))?;
            if found != *expected {
                return Err(
                    self.damaged(format!("{name} was changed or damaged after it was saved"))
                );
            }
        }
        Ok(())
    }

    fn damaged(&self, reason: String) -> CheckpointError {
        CheckpointError::Damaged { path: self.path.clone(), reason }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it holds.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Optimizer steps that made these weights.
    #[must_use]
    pub fn global_step(&self) -> u64 {
        self.manifest.global_step
    }

    /// The content of a listed file. What is returned is what was checked: the hash is taken of these very bytes.
    ///
    /// # Errors
    /// [`CheckpointError::Damaged`] when it is not listed, not there, or not what the manifest says.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, CheckpointError> {
        let Some(expected) = self.manifest.digest(name) else {
            return Err(self.damaged(format!("it was saved without {name}")));
        };
        let bytes = self
            .disk
            .read(&self.path.join(name), expected.length)
            .map_err(|e| self.damaged(e.to_string()))?;
        if crate::storage::FileDigest::of(&bytes) != *expected {
            return Err(self.damaged(format!("{name} was changed or damaged after it was saved")));
        }
        Ok(bytes)
    }

    /// The tensors of a listed safetensors file.
    ///
    /// # Errors
    /// As [`Checkpoint::read`], or [`CheckpointError::Tensors`].
    pub fn tensors(&self, name: &str) -> Result<TensorFile, CheckpointError> {
        let label = self.path.join(name).display().to_string();
        Ok(TensorFile::from_bytes(self.read(name)?, &label)?)
    }

    /// The trainer's state.
    ///
    /// # Errors
    /// As [`Checkpoint::read`]; also when the state is of another step than the weights.
    pub fn state(&self) -> Result<TrainerState, CheckpointError> {
        let state =
            TrainerState::from_bytes(&self.read(STATE_FILE)?).map_err(|e| self.damaged(e))?;
        if state.global_step != self.manifest.global_step {
            let steps = (state.global_step, self.manifest.global_step);
            return Err(self.damaged(format!(
                "{STATE_FILE} is of step {}, the weights are of step {}",
                steps.0, steps.1
            )));
        }
        Ok(state)
    }
}

/// Where training can go on, and what was passed over to get there.
#[derive(Debug)]
pub struct Resumable {
    /// The newest checkpoint that is whole.
    pub checkpoint: Checkpoint,
    /// Newer ones that are not, newest first: to be shown to the user.
    pub rejected: Vec<Rejected>,
}

/// The newest checkpoint of a run folder from which training can go on; `None` if the folder has no checkpoint at all.
/// `run_id`: checkpoints of other runs are passed over.
///
/// # Errors
/// [`CheckpointError::NoneLoads`] when there are checkpoints and not one can be used; never a fresh start.
pub fn find_resumable(
    disk: &Disk,
    run: &Path,
    run_id: &RunId,
) -> Result<Option<Resumable>, CheckpointError> {
    find(disk, run, |checkpoint| {
        if checkpoint.manifest.run_id != *run_id {
            return Err(checkpoint.damaged(format!(
                "it belongs to run {}, not {run_id}",
                checkpoint.manifest.run_id
            )));
        }
        checkpoint.check_resumable()?;
        checkpoint.state().map(|_| ())
    })
}

/// The newest checkpoint of a run folder whose model is whole, for evaluation and generation; else as [`find_resumable`].
///
/// # Errors
/// [`CheckpointError::NoneLoads`] when there are checkpoints and not one can be used.
pub fn find_newest(disk: &Disk, run: &Path) -> Result<Option<Resumable>, CheckpointError> {
    find(disk, run, |_| Ok(()))
}

fn find(
    disk: &Disk,
    run: &Path,
    accept: impl Fn(&Checkpoint) -> Result<(), CheckpointError>,
) -> Result<Option<Resumable>, CheckpointError> {
    let mut rejected = Vec::new();
    for step in steps(disk, run)?.into_iter().rev() {
        let path = run.join(folder_name(step));
        let opened = Checkpoint::open(disk, &path).and_then(|checkpoint| {
            if checkpoint.global_step() != step {
                return Err(checkpoint
                    .damaged(format!("it was saved as step {}", checkpoint.global_step())));
            }
            accept(&checkpoint).map(|()| checkpoint)
        });
        match opened {
            Ok(checkpoint) => return Ok(Some(Resumable { checkpoint, rejected })),
            Err(error) => rejected.push(Rejected { path, reason: error.reason() }),
        }
    }
    if rejected.is_empty() {
        return Ok(None);
    }
    Err(CheckpointError::NoneLoads { run: run.to_path_buf(), rejected })
}

/// The steps of everything in a run folder that is called like a checkpoint, ascending; none if there is no such folder.
///
/// # Errors
/// [`CheckpointError::Storage`] when the folder cannot be listed.
pub fn steps(disk: &Disk, run: &Path) -> Result<Vec<u64>, CheckpointError> {
    let names = match disk.list(run) {
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        other => other?,
    };
    let mut steps: Vec<u64> = names.iter().filter_map(|name| step_of(name.to_str()?)).collect();
    steps.sort_unstable();
    Ok(steps)
}

#[cfg(test)]
mod tests;
