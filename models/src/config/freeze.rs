//! A configuration written out in full, its fingerprint, and what changed between two: what a run
//! folder keeps, and what resuming compares.

use serde_json::Value;

use super::raw::RawConfig;
use super::{Config, ConfigError, yaml};

/// Fields that change where or how loudly a run is computed, and never its result; a resumed run
/// may change them. `resume_from_checkpoint` asks for the resumption itself.
const NEUTRAL: [&str; 5] =
    ["threads", "device", "logging", "evaluation", "training.resume_from_checkpoint"];

/// Fields of `evaluation` that steer the training where something in it watches the validation loss.
const WATCHED: [&str; 2] = ["evaluation.every_steps", "evaluation.batch_size"];

/// A field that two configurations disagree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// Its dotted path.
    pub path: String,
    /// Its value in the old configuration; `null` where it is not set.
    pub old: String,
    /// Its value in the new one.
    pub new: String,
}

impl std::fmt::Display for FieldChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} -> {}", self.path, self.old, self.new)
    }
}

impl Config {
    /// The configuration as YAML with every default spelled out. Read again, it gives the same
    /// [`Config`].
    pub fn to_yaml(&self) -> String {
        let head = "# Written by Foundry: the configuration of this run, every default spelled \
                    out.\n";
        match yaml::emit(&self.to_raw()) {
            Ok(text) => format!("{head}{text}"),
            // Structs of numbers, texts and lists have nothing that could not be written.
            Err(e) => format!("{head}# could not be written: {e}\n"),
        }
    }

    /// A configuration that a program has made, checked like one that was typed.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`]; its places are those of the text that the program would have typed.
    pub fn from_raw(raw: &RawConfig, name: &str) -> Result<Self, ConfigError> {
        let text = yaml::emit(raw).unwrap_or_else(|e| format!("# could not be written: {e}"));
        Self::parse(&text, name, &[])
    }

    /// A fingerprint (BLAKE3, hexadecimal) of all fields that shape the result of a run.
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (path, value) in self.result_fields() {
            hasher.update(format!("{path}={value}\n").as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The fields that shape the result and differ in `newer`, in the order of the file.
    pub fn diff(&self, newer: &Self) -> Vec<FieldChange> {
        let (old, new) = (self.result_fields(), newer.result_fields());
        let value = |fields: &[(String, String)], path: &str| {
            let found = fields.iter().find(|(p, _)| p == path);
            found.map_or_else(|| "null".to_owned(), |(_, v)| v.clone())
        };
        let mut paths: Vec<&String> = old.iter().map(|(p, _)| p).collect();
        paths.extend(new.iter().map(|(p, _)| p).filter(|p| !old.iter().any(|(o, _)| o == *p)));
        paths
            .into_iter()
            .map(|p| FieldChange { path: p.clone(), old: value(&old, p), new: value(&new, p) })
            .filter(|change| change.old != change.new)
            .collect()
    }

    /// Path and value (as JSON) of every field that is set and shapes the result.
    fn result_fields(&self) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        // A struct with text keys always becomes JSON; if it ever did not, nothing would match.
        let tree = serde_json::to_value(self.to_raw()).unwrap_or(Value::Null);
        flatten("", &tree, &mut fields);
        let training = &self.training;
        let watches =
            training.lr_scheduler.watches_validation() || training.early_stopping.is_some();
        fields.retain(|(path, _)| {
            watches && WATCHED.contains(&path.as_str())
                || !NEUTRAL.iter().any(|n| {
                    path.strip_prefix(n)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                })
        });
        fields
    }
}

fn flatten(path: &str, value: &Value, fields: &mut Vec<(String, String)>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, fields);
            }
        }
        value => fields.push((path.to_owned(), value.to_string())),
    }
}
