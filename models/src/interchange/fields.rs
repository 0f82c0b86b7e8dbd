//! The fields of a `config.json`, by type; what is wrong is said with the file's and the field's name.

use super::InterchangeError;
use serde_json::{Map, Value};

/// A `config.json`.
pub(super) struct Fields {
    file: String,
    json: Map<String, Value>,
}

impl Fields {
    pub(super) fn parse(file: String, bytes: &[u8]) -> Result<Self, InterchangeError> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(json)) => Ok(Self { file, json }),
            Ok(_) => Err(InterchangeError::File { file, problem: "expected a JSON object".into() }),
            Err(e) => Err(InterchangeError::File { file, problem: format!("it is not JSON: {e}") }),
        }
    }

    pub(super) fn wrong(&self, field: &str, problem: impl Into<String>) -> InterchangeError {
        InterchangeError::Field {
            file: self.file.clone(),
            field: field.into(),
            problem: problem.into(),
        }
    }

    /// A field that is there and not null.
    fn get(&self, field: &str) -> Option<&Value> {
        self.json.get(field).filter(|v| !v.is_null())
    }

    /// Whether the field is there, null included.
    pub(super) fn has(&self, field: &str) -> bool {
        self.json.contains_key(field)
    }

    fn expected(&self, field: &str, value: &Value, expected: &str) -> InterchangeError {
        let value: String = value.to_string().chars().take(60).collect();
        self.wrong(field, format!("is {value}; expected {expected}"))
    }

    /// A positive size; sizes of models are far below 2^32.
    pub(super) fn size(&self, field: &str, default: usize) -> Result<usize, InterchangeError> {
        let Some(value) = self.get(field) else { return Ok(default) };
        let n = value.as_u64().filter(|n| (1..=u64::from(u32::MAX)).contains(n));
        let n = n.and_then(|n| usize::try_from(n).ok());
        n.ok_or_else(|| self.expected(field, value, "a whole number from 1 to 4294967295"))
    }

    /// A token id; None where there is none.
    pub(super) fn id(&self, field: &str) -> Result<Option<u32>, InterchangeError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let id = value.as_u64().and_then(|n| u32::try_from(n).ok());
        id.map(Some).ok_or_else(|| self.expected(field, value, "a token id, or null"))
    }

    /// A number that `fits`.
    pub(super) fn number(
        &self,
        field: &str,
        default: f64,
        (expected, fits): (&str, fn(f64) -> bool),
    ) -> Result<f64, InterchangeError> {
        let Some(value) = self.get(field) else { return Ok(default) };
        let x = value.as_f64().filter(|x| fits(*x));
        x.ok_or_else(|| self.expected(field, value, expected))
    }

    /// A share of dropped units.
    pub(super) fn dropout(&self, field: &str, default: f64) -> Result<f64, InterchangeError> {
        self.number(field, default, ("a number from 0 to below 1", |x| (0.0..1.0).contains(&x)))
    }

    /// A number above 0.
    pub(super) fn positive(&self, field: &str, default: f64) -> Result<f64, InterchangeError> {
        self.number(field, default, ("a number above 0", |x| x.is_finite() && x > 0.0))
    }

    pub(super) fn flag(&self, field: &str, default: bool) -> Result<bool, InterchangeError> {
        let Some(value) = self.get(field) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.expected(field, value, "true or false"))
    }

    pub(super) fn word(&self, field: &str) -> Result<Option<&str>, InterchangeError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.expected(field, value, "a text"))
    }

    /// A field without which the model would be another one than Foundry has.
    pub(super) fn must_be(&self, field: &str, needed: &Value) -> Result<(), InterchangeError> {
        match self.get(field) {
            Some(value) if value != needed => {
                Err(self.wrong(field, format!("is {value}; Foundry has only {needed}")))
            }
            _ => Ok(()),
        }
    }
}
