//! `provenance.json`: what a step read, what it wrote, and how much it changed.
//!
//! Two runs of the same step on the same files give the same bytes: there is no time in it, nothing of the environment,
//! and no path but names in the folders that the step was given.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::files::{FileDigest, digest};
use super::rewrite::Counts;
use super::step::{Step, Work};
use super::{ManipulationError, files};

/// The version of the format.
const FORMAT: u32 = 1;

/// The largest record that is read back.
const LIMIT: u64 = 256 << 20;

/// The record of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The version of this format.
    pub format: u32,
    /// The type of the step.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its parameters as written (of an absolute path, the last name).
    pub parameters: BTreeMap<String, Value>,
    /// What the draw from the replacement pool was seeded with.
    pub seed: Option<u64>,
    /// The files it read: `text`, `parses`, `pool`, `pool_parses`.
    pub inputs: BTreeMap<String, Vec<FileDigest>>,
    /// The files it wrote: `text`, `parses`, `remainder`, `remainder_parses`; names are relative to the output folder.
    pub outputs: BTreeMap<String, Vec<FileDigest>>,
    /// What happened to each file; nothing is known for `command`.
    pub files: Vec<FileStatistics>,
    /// The sum over files.
    pub totals: Totals,
}

/// What happened to a file. Tokens are what stands between white space.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileStatistics {
    /// Its name.
    pub file_name: String,
    /// Lines before; the ablation keeps them, blank or not.
    pub original_lines: u64,
    /// Tokens before.
    pub original_tokens: u64,
    /// Tokens fewer after the ablation, before the refill (below 0 if it added some).
    pub tokens_removed: i64,
    /// The same as a share of the original tokens.
    pub proportion_removed: f64,
    /// What the ablation did to the file.
    pub counts: Counts,
    /// The refill, where there is a pool.
    pub refill: Option<RefillStatistics>,
    /// Lines written: original plus drawn.
    pub lines: u64,
    /// Tokens written.
    pub tokens: u64,
}

/// What was drawn from the replacement pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefillStatistics {
    /// Lines of the pool: drawn plus remaining.
    pub pool_lines: u64,
    /// Lines drawn.
    pub lines_drawn: u64,
    /// Their tokens, ablated.
    pub tokens_drawn: u64,
    /// Lines that remain.
    pub lines_remaining: u64,
    /// What the ablation did to the lines drawn.
    pub counts: Counts,
}

/// Sums over the files of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Tokens before.
    pub original_tokens: u64,
    /// Tokens fewer after the ablation, before the refill.
    pub tokens_removed: i64,
    /// Tokens written.
    pub tokens: u64,
    /// What the ablation did.
    pub counts: Counts,
}

impl Provenance {
    /// The record before anything is written.
    pub(super) fn of_inputs(
        step: &Step,
        inputs: &BTreeMap<&'static str, Vec<(String, PathBuf)>>,
    ) -> Result<Self, ManipulationError> {
        let mut hashed = BTreeMap::new();
        for (role, files) in inputs {
            let digests: Result<Vec<_>, _> =
                files.iter().map(|(name, path)| digest(path, name.clone())).collect();
            hashed.insert((*role).to_owned(), digests?);
        }
        let seed = match &step.work {
            Work::Edit { pool: Some(pool), .. } => Some(pool.seed),
            _ => None,
        };
        Ok(Self {
            format: FORMAT,
            kind: step.kind.to_string(),
            parameters: step.parameters.iter().map(|(k, v)| (k.clone(), portable(v))).collect(),
            seed,
            inputs: hashed,
            outputs: BTreeMap::new(),
            files: Vec::new(),
            totals: Totals::default(),
        })
    }

    /// Whether `other` is the record of the same step on the same files.
    pub(super) fn same_request(&self, other: &Self) -> bool {
        self.format == other.format
            && self.kind == other.kind
            && self.parameters == other.parameters
            && self.seed == other.seed
            && self.inputs == other.inputs
    }

    pub(super) fn push(&mut self, role: &str, file: FileDigest) {
        self.outputs.entry(role.to_owned()).or_default().push(file);
    }

    pub(super) fn push_statistics(&mut self, file: FileStatistics) {
        self.totals.original_tokens += file.original_tokens;
        self.totals.tokens_removed += file.tokens_removed;
        self.totals.tokens += file.tokens;
        self.totals.counts += file.counts;
        self.files.push(file);
    }

    /// The paths of everything it says was written, below `folder`. A name that leads out of the folder is left out.
    pub(super) fn outputs_in(&self, folder: &Path) -> Vec<(&FileDigest, PathBuf)> {
        let inside = |file: &&FileDigest| {
            let parts = Path::new(&file.name).components();
            parts.into_iter().all(|part| matches!(part, std::path::Component::Normal(_)))
        };
        let outputs = self.outputs.values().flatten().filter(inside);
        outputs.map(|file| (file, folder.join(&file.name))).collect()
    }

    /// Whether everything that was written is still there, unchanged.
    pub(super) fn is_intact(&self, folder: &Path) -> bool {
        let outputs = self.outputs_in(folder);
        !outputs.is_empty()
            && outputs
                .iter()
                .all(|(file, path)| digest(path, file.name.clone()).is_ok_and(|now| now == **file))
    }

    /// Reads a record; `None` where there is none or it is not one of ours.
    pub(super) fn load(path: &Path) -> Option<Self> {
        let length = std::fs::metadata(path).ok()?.len();
        let text = (length <= LIMIT).then(|| std::fs::read_to_string(path).ok()).flatten()?;
        serde_json::from_str(&text).ok()
    }

    pub(super) fn save(&self, path: &Path) -> Result<(), ManipulationError> {
        let json = serde_json::to_string_pretty(self)
            .map_err(|e| ManipulationError::write(path)(e.into()))?;
        let mut out = files::Output::create(path)?;
        out.text(&json)?;
        out.text("\n")?;
        out.finish().map(drop)
    }
}

/// A value without absolute paths: they say where somebody's home is.
fn portable(value: &Value) -> Value {
    match value {
        Value::String(text) if Path::new(text).is_absolute() => {
            Value::String(files::name(Path::new(text)))
        }
        Value::Array(items) => Value::Array(items.iter().map(portable).collect()),
        other => other.clone(),
    }
}
