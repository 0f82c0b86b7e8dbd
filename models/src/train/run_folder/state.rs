//! What a folder that is meant for a run holds already.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::checkpoint::{self, folder_name};
use super::super::lock::LOCK_FILE;
use super::super::manifest::RunId;
use super::{PROVENANCE_FILE, RESULT_FILE, RunFolderError};
use crate::storage::{Disk, StorageError};

/// The largest provenance or result that is read.
const LIMIT: u64 = 16 << 20;

/// Folders that steps before training may have put there, where the configuration points them at the run folder.
const PREPARED: [&str; 5] = ["tokenizer", "data", "cache", "logs", "corpus"];

/// provenance.json: which run this is, and what it was made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of the layout: 1.
    pub format: u32,
    /// The run's id, in manifests and temporary names.
    pub run_id: RunId,
    /// `experiment_name` of the configuration.
    pub experiment_name: String,
    /// Fingerprint of every setting that must not change unnoticed.
    pub config_fingerprint: String,
    /// Versions, hashes and counts; relative paths only, and nothing from the environment.
    #[serde(flatten)]
    pub details: Map<String, Value>,
}

impl Provenance {
    /// The provenance of a run with this configuration. The id follows from the fingerprint, so that equal runs in
    /// different folders write equal bytes.
    #[must_use]
    pub fn new(
        experiment_name: &str,
        config_fingerprint: &str,
        details: Map<String, Value>,
    ) -> Self {
        Self {
            format: 1,
            run_id: RunId::from_fingerprint(config_fingerprint),
            experiment_name: experiment_name.to_owned(),
            config_fingerprint: config_fingerprint.to_owned(),
            details,
        }
    }
}

/// result.json: written when a run has ended as configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Optimizer steps done.
    pub final_step: u64,
    /// The name of the last checkpoint.
    pub checkpoint: String,
    /// What else is worth telling: losses, scores.
    #[serde(flatten)]
    pub summary: Map<String, Value>,
}

/// What a folder holds.
#[derive(Clone, Debug, PartialEq)]
pub enum RunState {
    /// Nothing, or nothing yet.
    Absent,
    /// A run that has not ended.
    Unfinished(Provenance),
    /// A run that has ended as configured.
    Finished(Provenance, RunResult),
    /// Something else, for example a file of this name.
    Foreign(String),
}

/// Looks, and changes nothing.
///
/// # Errors
/// When the folder cannot be read, or one of its files is damaged.
pub fn inspect(disk: &Disk, folder: &Path) -> Result<RunState, RunFolderError> {
    if let Some(provenance) = read_json::<Provenance>(disk, &folder.join(PROVENANCE_FILE))? {
        return Ok(match read_json(disk, &folder.join(RESULT_FILE))? {
            Some(result) => RunState::Finished(provenance, result),
            None => RunState::Unfinished(provenance),
        });
    }
    let names = match disk.list(folder) {
        Err(error) if error.is_not_found() => return Ok(RunState::Absent),
        other => other?,
    };
    let foreign = names.iter().map(|name| name.to_string_lossy()).find(|name| {
        let ours = name == LOCK_FILE || name.starts_with(".tmp-") || PREPARED.contains(&&**name);
        !ours
    });
    Ok(foreign.map_or(RunState::Absent, |name| RunState::Foreign(name.into_owned())))
}

/// How far an unfinished run came, in words.
pub(super) fn progress(disk: &Disk, folder: &Path) -> String {
    match checkpoint::steps(disk, folder).ok().and_then(|steps| steps.last().copied()) {
        Some(step) => format!("newest checkpoint: {}", folder_name(step)),
        None => "no checkpoint yet".to_owned(),
    }
}

fn read_json<T: DeserializeOwned>(disk: &Disk, path: &Path) -> Result<Option<T>, RunFolderError> {
    let missing =
        |e: &StorageError| e.is_not_found() || e.source.kind() == std::io::ErrorKind::NotADirectory;
    let bytes = match disk.read(path, LIMIT) {
        Err(error) if missing(&error) => return Ok(None),
        other => other?,
    };
    let damaged = |e: serde_json::Error| RunFolderError::Damaged {
        path: path.to_path_buf(),
        reason: e.to_string(),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}
