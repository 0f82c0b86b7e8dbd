//! Saving a checkpoint, and putting things right after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::super::manifest::{CheckpointKind, MANIFEST_FILE, Manifest, RunId, is_plain_name};
use super::{BEST_FOLDER, Checkpoint, CheckpointError, CheckpointFile, folder_name, step_of};
use crate::storage::{Disk, EntryKind};

/// The checkpoints of one run, for the one process that may change them (it holds the run's lock).
#[derive(Clone, Debug)]
pub struct CheckpointStore {
    pub(super) disk: Disk,
    pub(super) root: PathBuf,
    pub(super) run_id: RunId,
}

/// What [`CheckpointStore::save`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved {
    /// Written.
    New,
    /// The very same checkpoint was there already and is whole; nothing was changed.
    AlreadyThere,
    /// One of the same name was there: it had lost its resume state, or was of another course of this run.
    Replaced,
    /// One of the same name was there that is damaged or holds files of others; it was kept under this name.
    SetAside(PathBuf),
}

impl CheckpointStore {
    /// Takes over a run folder (which must exist) and clears up what a crash left there: a checkpoint that was complete
    /// but for its name gets it, half-written ones are removed. Returns also what was done, for the log.
    ///
    /// # Errors
    /// When the folder cannot be read or changed.
    pub fn open(
        disk: &Disk,
        root: &Path,
        run_id: &RunId,
    ) -> Result<(Self, Vec<String>), CheckpointError> {
        let store = Self { disk: disk.clone(), root: root.to_path_buf(), run_id: run_id.clone() };
        let notes = store.recover()?;
        Ok((store, notes))
    }

    /// Saves the checkpoint after `step` updates. On an error the half-written folder is removed and everything that
    /// was there before is still there.
    ///
    /// # Errors
    /// [`CheckpointError::NotSaved`] with what went wrong and the newest checkpoint that is there.
    pub fn save(
        &self,
        step: u64,
        kind: CheckpointKind,
        files: Vec<CheckpointFile<'_>>,
    ) -> Result<Saved, CheckpointError> {
        let name =
            if kind == CheckpointKind::Best { BEST_FOLDER.to_owned() } else { folder_name(step) };
        self.save_as(&name, step, kind, files).map_err(|source| {
            let newest = super::steps(&self.disk, &self.root).ok().and_then(|s| s.last().copied());
            CheckpointError::NotSaved {
                name,
                newest: newest.map(folder_name),
                source: Box::new(source),
            }
        })
    }

    fn save_as(
        &self,
        name: &str,
        step: u64,
        kind: CheckpointKind,
        files: Vec<CheckpointFile<'_>>,
    ) -> Result<Saved, CheckpointError> {
        let temporary = self.temporary(name);
        self.discard(&temporary)?;
        let outcome = self
            .write(&temporary, step, kind, files)
            .and_then(|m| self.publish(&temporary, name, &m));
        if outcome.is_err() {
            let _ = self.discard(&temporary);
        }
        outcome
    }

    /// Writes the whole folder under its temporary name and waits until it is on the medium.
    fn write(
        &self,
        folder: &Path,
        step: u64,
        kind: CheckpointKind,
        files: Vec<CheckpointFile<'_>>,
    ) -> Result<Manifest, CheckpointError> {
        let total: u64 = files.iter().filter_map(|f| f.length).sum();
        let mut names = BTreeSet::from([MANIFEST_FILE.to_owned()]);
        self.disk.create_folder(folder)?;
        let (mut model, mut resume) = (BTreeMap::new(), BTreeMap::new());
        for CheckpointFile { name, resume: for_resume, fill, .. } in files {
            if !is_plain_name(&name) || !names.insert(name.clone()) {
                return Err(CheckpointError::Name { name });
            }
            let digest = self
                .disk
                .write_file(&folder.join(&name), fill)
                .map_err(|e| with_total(e, total))?;
            if for_resume { &mut resume } else { &mut model }.insert(name, digest);
        }
        let manifest = Manifest::new(self.run_id.clone(), step, kind, model, resume);
        let content = CheckpointFile::bytes(MANIFEST_FILE, manifest.to_bytes());
        self.disk.write_file(&folder.join(MANIFEST_FILE), content.fill)?;
        self.disk.sync_folder(folder)?;
        Ok(manifest)
    }

    /// Gives a complete folder its name.
    fn publish(
        &self,
        temporary: &Path,
        name: &str,
        manifest: &Manifest,
    ) -> Result<Saved, CheckpointError> {
        let target = self.root.join(name);
        let (outcome, moved) = match self.disk.entry(&target)?.map(|e| e.kind) {
            None => (Saved::New, None),
            Some(EntryKind::Folder) => match Checkpoint::open(&self.disk, &target) {
                Ok(old) if old.manifest == *manifest && old.has_all_files() => {
                    self.discard(temporary)?;
                    return Ok(Saved::AlreadyThere);
                }
                Ok(old) if self.holds_only_ours(&old)? => {
                    let old = self.temporary(&format!("old-{name}"));
                    self.discard(&old)?;
                    (Saved::Replaced, Some(old))
                }
                _ => {
                    let aside = self.free_name(name)?;
                    (Saved::SetAside(aside.clone()), Some(aside))
                }
            },
            Some(_) => return Err(CheckpointError::InTheWay { path: target }),
        };
        if let Some(moved) = &moved {
            self.disk.rename(&target, moved)?;
        }
        // A power cut between these two renames leaves no folder of this name; `recover` gives it to one of the two.
        if let Err(error) = self.disk.rename(temporary, &target) {
            if let Some(moved) = &moved {
                let _ = self.disk.rename(moved, &target);
            }
            return Err(error.into());
        }
        self.disk.sync_folder(&self.root)?;
        if outcome == Saved::Replaced
            && let Some(old) = &moved
        {
            Checkpoint::open(&self.disk, &target)?;
            self.discard(old)?;
        }
        Ok(outcome)
    }

    /// Puts right what a crash left: see [`CheckpointStore::open`].
    fn recover(&self) -> Result<Vec<String>, CheckpointError> {
        let mut notes = Vec::new();
        let prefix =
            self.temporary("").file_name().unwrap_or_default().to_string_lossy().into_owned();
        for name in self.disk.list(&self.root)? {
            // Sorted, so that a new `checkpoint-N` comes before the `old-checkpoint-N` that it replaces.
            let Some(rest) = name.to_str().and_then(|n| n.strip_prefix(&prefix)) else { continue };
            let temporary = self.root.join(&name);
            let meant = rest.strip_prefix("old-").unwrap_or(rest);
            let target = self.root.join(meant);
            let wanted = (step_of(meant).is_some() || meant == BEST_FOLDER)
                && self.disk.entry(&target)?.is_none()
                && Checkpoint::open(&self.disk, &temporary).is_ok_and(|c| {
                    c.manifest.run_id == self.run_id
                        && step_of(meant).is_none_or(|step| step == c.global_step())
                        && (meant != rest || c.has_all_files())
                });
            if wanted {
                self.disk.rename(&temporary, &target)?;
                self.disk.sync_folder(&self.root)?;
                notes.push(format!(
                    "{meant} was complete but for its name when the last run ended, and is kept"
                ));
            } else if meant != rest && Checkpoint::open(&self.disk, &target).is_err() {
                notes.push(format!(
                    "{} is kept: what replaced it is damaged",
                    name.to_string_lossy()
                ));
            } else {
                self.discard(&temporary)?;
                notes.push(format!(
                    "removed {}, left over from the last run",
                    name.to_string_lossy()
                ));
            }
        }
        Ok(notes)
    }

    fn temporary(&self, name: &str) -> PathBuf {
        self.root.join(format!(".tmp-{}-{name}", self.run_id))
    }

    /// The first free name for a folder that is to be kept out of the way.
    fn free_name(&self, name: &str) -> Result<PathBuf, CheckpointError> {
        let mut k = 1;
        loop {
            let path = self.root.join(format!("set-aside-{name}-{k}"));
            if self.disk.entry(&path)?.is_none() {
                return Ok(path);
            }
            k += 1;
        }
    }

    /// Whether a folder holds nothing but regular files that its manifest lists, written by this run.
    pub(super) fn holds_only_ours(&self, checkpoint: &Checkpoint) -> Result<bool, CheckpointError> {
        if checkpoint.manifest.run_id != self.run_id {
            return Ok(false);
        }
        for name in self.disk.list(&checkpoint.path)? {
            let listed = name
                .to_str()
                .is_some_and(|n| n == MANIFEST_FILE || checkpoint.manifest.names().any(|m| m == n));
            let kind = self.disk.entry(&checkpoint.path.join(&name))?.map(|e| e.kind);
            if !listed || kind != Some(EntryKind::File) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes a folder whose name says that it is temporary and ours: the files in it, then itself. Links are
    /// removed, not followed; folders inside are not ours, and stay.
    pub(super) fn discard(&self, temporary: &Path) -> Result<(), CheckpointError> {
        match self.disk.entry(temporary)?.map(|e| e.kind) {
            None => return Ok(()),
            Some(EntryKind::Folder) => {}
            Some(_) => return Ok(self.disk.remove_file(temporary)?),
        }
        let mut foreign = false;
        for name in self.disk.list(temporary)? {
            let inner = temporary.join(name);
            match self.disk.entry(&inner)?.map(|e| e.kind) {
                Some(EntryKind::File | EntryKind::Link) => self.disk.remove_file(&inner)?,
                Some(_) => foreign = true,
                None => {}
            }
        }
        if !foreign {
            self.disk.remove_folder(temporary)?;
        }
        Ok(())
    }

    /// Removes a checkpoint in a way that no crash can leave a half-empty folder under a good name.
    pub(super) fn remove(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let name = checkpoint.path.file_name().unwrap_or_default().to_string_lossy();
        let gone = self.temporary(&format!("gone-{name}"));
        self.discard(&gone)?;
        self.disk.rename(&checkpoint.path, &gone)?;
        self.disk.sync_folder(&self.root)?;
        self.discard(&gone)
    }

    /// Removes a checkpoint that holds nothing but what this run wrote; moves anything else of that name out of the way.
    pub(crate) fn remove_or_set_aside(&self, name: &str) -> Result<(), CheckpointError> {
        let path = self.root.join(name);
        if self.disk.entry(&path)?.map(|e| e.kind) != Some(EntryKind::Folder) {
            return Ok(());
        }
        if let Ok(checkpoint) = Checkpoint::glance(&self.disk, &path)
            && self.holds_only_ours(&checkpoint)?
        {
            return self.remove(&checkpoint);
        }
        Ok(self.disk.rename(&path, &self.free_name(name)?)?)
    }
}

/// What a whole checkpoint needs says more than what the failing write needed.
fn with_total(error: CheckpointError, total: u64) -> CheckpointError {
    match error {
        CheckpointError::Storage(mut e) if e.wanted.is_some() => {
            e.wanted = e.wanted.max(Some(total));
            CheckpointError::Storage(e)
        }
        other => other,
    }
}
