//! The folder of a run: what lies where, and what happens when it is used twice.
//!
//! ```text
//! output_dir/  provenance.json  config.yaml  data_ledger.json  metrics.jsonl  log.txt  lock
//!              events.out.tfevents.*         checkpoint-N/  best/
//!              eval/*.csv  report.html       result.json (once the run has ended as configured)
//! ```
//!
//! [`enter`] decides: a new folder is locked and given to the caller; a finished run of the same configuration is
//! reported and left alone; an unfinished one needs `--resume` or `--overwrite`; a folder of somebody else's is never
//! touched. `--overwrite` deletes file by file what Foundry wrote, and nothing else.

mod clear;
mod error;
mod names;
mod state;

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::lock::RunLock;
use crate::storage::{Disk, EntryKind};

pub use error::RunFolderError;
pub use names::check_experiment_name;
pub use state::{Provenance, RunResult, RunState, inspect};

/// The configuration as it was resolved when the run began; it can be fed back in.
pub const CONFIG_FILE: &str = "config.yaml";
/// Which run this is, and what it was made from. Its presence makes a folder a run folder.
pub const PROVENANCE_FILE: &str = "provenance.json";
/// What became of every token of the corpus.
pub const LEDGER_FILE: &str = "data_ledger.json";
/// The messages of the run.
pub const LOG_FILE: &str = "log.txt";
/// The result; its presence makes a run a finished one.
pub const RESULT_FILE: &str = "result.json";
/// The learning curve, as a picture.
pub const CURVE_FILE: &str = "loss.svg";
/// One page for people.
pub const REPORT_FILE: &str = "report.html";
/// Scores, as tables.
pub const EVAL_FOLDER: &str = "eval";

/// What the user asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Neither flag.
    Start,
    /// `--resume`.
    Resume,
    /// `--overwrite`.
    Overwrite,
}

/// What is to be done in a run folder.
#[derive(Debug)]
pub enum Entered {
    /// Nothing: the same configuration has been run to its end.
    Finished(RunResult),
    /// Begin: see [`Vacant::create`].
    Fresh(Vacant),
    /// Go on from the newest checkpoint. The caller compares the configurations first.
    Resume(RunFolder),
}

/// Decides what to do with `folder`, and locks it. With [`Wish::Overwrite`] the old run stays until [`Vacant::create`],
/// so that nothing is lost where the new one cannot begin.
/// `config_fingerprint`: of the configuration at hand. `command`: how the user called the program (without either flag),
/// for messages.
///
/// # Errors
/// [`RunFolderError::Unfinished`] and the like where the user has to decide; then nothing was changed.
pub fn enter(
    disk: &Disk,
    folder: &Path,
    wish: Wish,
    config_fingerprint: &str,
    command: &str,
) -> Result<Entered, RunFolderError> {
    // Looked at twice: first without touching anything, then again once nobody else can change it.
    if let Plan::Report(result) = plan(disk, folder, wish, config_fingerprint, command)? {
        return Ok(Entered::Finished(result));
    }
    disk.create_folders(folder)?;
    let lock = RunLock::acquire(folder)?;
    let vacant = |lock, old| {
        Entered::Fresh(Vacant { disk: disk.clone(), root: folder.to_path_buf(), lock, old })
    };
    Ok(match plan(disk, folder, wish, config_fingerprint, command)? {
        Plan::Report(result) => Entered::Finished(result),
        Plan::Begin => vacant(lock, None),
        Plan::Clear(old) => vacant(lock, Some(old)),
        Plan::GoOn(provenance) => Entered::Resume(RunFolder {
            disk: disk.clone(),
            root: folder.to_path_buf(),
            provenance,
            lock,
        }),
    })
}

enum Plan {
    Report(RunResult),
    Begin,
    Clear(Provenance),
    GoOn(Provenance),
}

fn plan(
    disk: &Disk,
    folder: &Path,
    wish: Wish,
    config_fingerprint: &str,
    command: &str,
) -> Result<Plan, RunFolderError> {
    let (path, command) = (folder.to_path_buf(), command.to_owned());
    let same = |provenance: &Provenance| provenance.config_fingerprint == config_fingerprint;
    match (inspect(disk, folder)?, wish) {
        (RunState::Absent, _) => Ok(Plan::Begin),
        (RunState::Foreign(found), _) => Err(RunFolderError::Foreign { folder: path, found }),
        (RunState::Unfinished(old) | RunState::Finished(old, _), Wish::Overwrite) => {
            if disk.entry(folder)?.is_some_and(|e| e.kind == EntryKind::Link) {
                return Err(RunFolderError::Link { folder: path });
            }
            Ok(Plan::Clear(old))
        }
        (RunState::Finished(old, result), _) if same(&old) => Ok(Plan::Report(result)),
        (RunState::Unfinished(old) | RunState::Finished(old, _), Wish::Resume) => {
            Ok(Plan::GoOn(old))
        }
        (RunState::Unfinished(_), Wish::Start) => {
            let progress = state::progress(disk, folder);
            Err(RunFolderError::Unfinished { folder: path, progress, command })
        }
        (RunState::Finished(..), Wish::Start) => {
            Err(RunFolderError::OtherConfig { folder: path, command })
        }
    }
}

/// Refuses to begin what the disk cannot hold. `needed`: bytes of all checkpoints still to be written.
///
/// # Errors
/// [`RunFolderError::DiskTooSmall`] with both figures.
pub fn check_free_space(disk: &Disk, folder: &Path, needed: u64) -> Result<(), RunFolderError> {
    let free = disk.free_space(folder)?;
    if needed > free {
        return Err(RunFolderError::DiskTooSmall { folder: folder.to_path_buf(), needed, free });
    }
    Ok(())
}

/// A locked folder that has no run yet, or one that is to be overwritten.
#[derive(Debug)]
pub struct Vacant {
    disk: Disk,
    root: PathBuf,
    lock: RunLock,
    old: Option<Provenance>,
}

impl Vacant {
    /// What the checkpoints of the run that is to be overwritten take on the disk, in bytes.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn old_bytes(&self) -> Result<u64, RunFolderError> {
        let mut bytes = 0;
        if self.old.is_some() {
            for step in super::checkpoint::steps(&self.disk, &self.root)? {
                let folder = self.root.join(super::checkpoint::folder_name(step));
                for name in self.disk.list(&folder).unwrap_or_default() {
                    let entry = self.disk.entry(&folder.join(name))?;
                    bytes += entry.map_or(0, |entry| entry.length);
                }
            }
        }
        Ok(bytes)
    }

    /// Takes the old run out, if there is one.
    ///
    /// # Errors
    /// When the disk refuses; what is left can be overwritten again.
    pub fn clear(&mut self) -> Result<(), RunFolderError> {
        if let Some(old) = &self.old {
            clear::clear(&self.disk, &self.root, old)?;
            self.old = None;
        }
        Ok(())
    }

    /// Takes the old run out, and makes it a run folder.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn create(
        mut self,
        provenance: Provenance,
        config_yaml: &str,
    ) -> Result<RunFolder, RunFolderError> {
        self.clear()?;
        let Self { disk, root, lock, .. } = self;
        let folder = RunFolder { disk, root, provenance, lock };
        // In this order: a config.yaml without provenance would be the user's own, and is never written over.
        folder.write_json(PROVENANCE_FILE, &folder.provenance)?;
        folder.write(CONFIG_FILE, config_yaml.as_bytes())?;
        Ok(folder)
    }
}

/// A run folder that this process has locked.
#[derive(Debug)]
pub struct RunFolder {
    disk: Disk,
    root: PathBuf,
    provenance: Provenance,
    lock: RunLock,
}

impl RunFolder {
    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The disk it lies on.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Which run this is.
    #[must_use]
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The lock, which is released with this value.
    #[must_use]
    pub fn lock(&self) -> &RunLock {
        &self.lock
    }

    /// The path of one of the files named in this module.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The configuration that the run began with; `None` if it ended before that was written.
    ///
    /// # Errors
    /// When it cannot be read, or is no UTF-8.
    pub fn config_yaml(&self) -> Result<Option<String>, RunFolderError> {
        let path = self.path(CONFIG_FILE);
        let bytes = match self.disk.read(&path, 1 << 20) {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|e| RunFolderError::Damaged { path, reason: e.to_string() })
    }

    /// Writes one of the run's files, in one durable step.
    ///
    /// # Errors
    /// When the disk refuses; the file is then as it was.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), RunFolderError> {
        Ok(self.disk.replace_file(&self.path(name), self.provenance.run_id.as_str(), content)?)
    }

    /// [`RunFolder::write`] for a value, as indented JSON.
    ///
    /// # Errors
    /// As [`RunFolder::write`].
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), RunFolderError> {
        let mut content = serde_json::to_vec_pretty(value).map_err(|e| {
            RunFolderError::Damaged { path: self.path(name), reason: e.to_string() }
        })?;
        content.push(b'\n');
        self.write(name, &content)
    }

    /// Marks the run as finished.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(&self, result: &RunResult) -> Result<(), RunFolderError> {
        self.write_json(RESULT_FILE, result)
    }

    /// Marks a finished run as unfinished again: it goes on under a configuration that was allowed to change.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn reopen(&self) -> Result<(), RunFolderError> {
        self.disk.remove_file(&self.path(RESULT_FILE))?;
        Ok(self.disk.sync_folder(&self.root)?)
    }
}

#[cfg(test)]
mod tests;
