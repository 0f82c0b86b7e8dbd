//! Rotation: which resume state is kept.

use super::super::manifest::CheckpointKind;
use super::{Checkpoint, CheckpointError, CheckpointStore, folder_name};
use crate::storage::EntryKind;

/// How much resume state is kept. Scheduled weights always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Scheduled checkpoints that keep optimizer and trainer state (`save_resume_state_last_n`). The newest
    /// checkpoint always keeps its own, whatever this says.
    pub resume_state_last_n: usize,
}

impl CheckpointStore {
    /// Removes what is no longer needed after `step` was saved: resume state of all but the last scheduled
    /// checkpoints, and older rolling ones. First the checkpoint of `step` is read back whole; if it cannot be,
    /// nothing is removed. Later steps (left by an abandoned course of the run) are not looked at. Returns what was
    /// removed, for the log.
    ///
    /// # Errors
    /// When the checkpoint of `step` is damaged, or the disk refuses; what is left is valid in any case.
    pub fn rotate(&self, step: u64, retention: Retention) -> Result<Vec<String>, CheckpointError> {
        let mut scheduled = Vec::new();
        let mut rolling = Vec::new();
        for older in super::steps(&self.disk, &self.root)?.into_iter().rev().filter(|&s| s <= step)
        {
            if let Some(checkpoint) = self.own(older)? {
                match checkpoint.manifest.kind {
                    CheckpointKind::Scheduled => scheduled.push(checkpoint),
                    CheckpointKind::Rolling => rolling.push(checkpoint),
                    CheckpointKind::Best => {}
                }
            }
        }
        scheduled.retain(|c| self.resume_file_is_there(c));
        scheduled.drain(..retention.resume_state_last_n.min(scheduled.len()));
        scheduled.retain(|c| c.global_step() != step);
        rolling.retain(|c| c.global_step() != step);
        if scheduled.is_empty() && rolling.is_empty() {
            return Ok(Vec::new());
        }
        // Reading the newest back costs a pass over it, so it is done only before something is removed.
        Checkpoint::open(&self.disk, &self.root.join(folder_name(step)))?.check_resumable()?;
        let mut removed = Vec::new();
        for checkpoint in &scheduled {
            for name in checkpoint.manifest.resume_files.keys() {
                self.disk.remove_file(&checkpoint.path.join(name))?;
            }
            removed.push(format!("resume state of {}", folder_name(checkpoint.global_step())));
        }
        for checkpoint in &rolling {
            if self.holds_only_ours(checkpoint)? {
                self.remove(checkpoint)?;
                removed.push(folder_name(checkpoint.global_step()));
            }
        }
        Ok(removed)
    }

    /// The checkpoint of a step, if it is a real folder (no link) with a valid manifest of this run. Its files are not read.
    fn own(&self, step: u64) -> Result<Option<Checkpoint>, CheckpointError> {
        let path = self.root.join(folder_name(step));
        if self.disk.entry(&path)?.map(|e| e.kind) != Some(EntryKind::Folder) {
            return Ok(None);
        }
        let ours = Checkpoint::glance(&self.disk, &path).ok();
        Ok(ours.filter(|c| c.manifest.run_id == self.run_id && c.manifest.global_step == step))
    }

    fn resume_file_is_there(&self, checkpoint: &Checkpoint) -> bool {
        let there = |name: &String| {
            self.disk
                .entry(&checkpoint.path.join(name))
                .is_ok_and(|e| e.is_some_and(|e| e.kind == EntryKind::File))
        };
        checkpoint.manifest.resume_files.keys().any(there)
    }
}
