//! `foundry.json`: what Foundry knows of a model, for programs. An export of an export says the same.

use crate::arch::LanguageModel;
use crate::config::choices::Unit;
use crate::eval::table::Origin;
use crate::pipeline::Trained;
use crate::storage::Disk;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The file's name.
pub(super) const RECORD_FILE: &str = "foundry.json";
/// The longest that is read, in bytes.
const LARGEST: u64 = 16 << 20;

/// What it says; no path of the machine, no time.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    foundry_version: String,
    architecture: String,
    parameters: usize,
    step: Option<u64>,
    tokens_seen: Option<u64>,
    words_seen: Option<u64>,
    seed: Option<u64>,
    tokenizer_blake3: String,
    /// The whole configuration of the run, if the model comes from one.
    config: Option<Value>,
}

impl Record {
    pub(super) fn of(trained: &Trained) -> Self {
        let of_run = trained.config.as_ref().map(|config| {
            let mut config = json!(config.to_raw());
            hide_folders(&mut config);
            config
        });
        let origin = trained.origin;
        Self {
            foundry_version: env!("CARGO_PKG_VERSION").to_owned(),
            architecture: trained.model.architecture().to_owned(),
            parameters: trained.model.parameter_count(),
            step: origin.step,
            tokens_seen: origin.tokens_seen,
            words_seen: origin.words_seen,
            seed: origin.seed,
            tokenizer_blake3: trained.tokenizer.hash().to_hex().to_string(),
            config: of_run.or_else(|| trained.record.as_ref()?.config.clone()),
        }
    }

    /// Reads that of a folder with `model`; None if there is none.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn read(folder: &Path, model: &dyn LanguageModel) -> Result<Option<Self>, String> {
        let path = folder.join(RECORD_FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let bytes = Disk::real().read(&path, LARGEST).map_err(|e| e.to_string())?;
        let record: Self = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
        let (name, parameters) = (model.architecture(), model.parameter_count());
        if record.architecture == name && record.parameters == parameters {
            return Ok(Some(record));
        }
        Err(format!(
            "it speaks of a {} of {} parameters, and beside it is a {name} of {parameters}",
            record.architecture, record.parameters
        ))
    }

    /// How far the model was trained.
    pub(crate) fn origin(&self) -> Origin {
        let Self { step, tokens_seen, words_seen, seed, .. } = *self;
        Origin { step, tokens_seen, words_seen, seed, ..Origin::default() }
    }

    /// What a text of training was.
    pub(crate) fn unit(&self) -> Option<Unit> {
        Unit::deserialize(self.field("/data/unit")?).ok()
    }

    /// A field of the configuration.
    pub(super) fn field(&self, pointer: &str) -> Option<&Value> {
        self.config.as_ref()?.pointer(pointer)
    }
}

/// Leaves of each absolute path the last part: folders of a machine are nobody's business.
fn hide_folders(value: &mut Value) {
    match value {
        Value::String(text) => {
            let path = PathBuf::from(&*text);
            if path.is_absolute() {
                *text = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            }
        }
        Value::Array(list) => list.iter_mut().for_each(hide_folders),
        Value::Object(map) => map.values_mut().for_each(hide_folders),
        _ => {}
    }
}
