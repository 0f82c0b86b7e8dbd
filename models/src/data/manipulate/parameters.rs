//! The `parameters` of a step, read by type; what is not asked for is refused.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::ManipulationError;
use crate::config::closest;

/// Settings of the spaCy scripts that Foundry took this over from, and what became of them.
const OLD_NAMES: &[(&str, &str)] = &[
    ("chunk_size", "is not needed: text is read line by line; remove it"),
    ("verbose", "is not needed: provenance.json counts every change; remove it"),
    ("skip_validation", "is not needed: the counts come from the change itself; remove it"),
    ("spacy_model", "is gone: no parser runs in here; give CoNLL-U parses with 'parses'"),
];

/// A map of settings with the index of its step.
#[derive(Debug)]
pub(super) struct Parameters<'a> {
    step: usize,
    map: &'a BTreeMap<String, Value>,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Parameters<'a> {
    pub(super) fn new(step: usize, map: &'a BTreeMap<String, Value>) -> Self {
        Self { step, map, known: RefCell::default() }
    }

    /// An error about one of them.
    pub(super) fn error(&self, name: &str, message: impl Into<String>) -> ManipulationError {
        let field = format!("parameters.{name}");
        ManipulationError::Setting { step: self.step, field, message: message.into() }
    }

    fn get(&self, name: &'static str) -> Option<&'a Value> {
        self.known.borrow_mut().push(name);
        self.map.get(name)
    }

    fn wrong(&self, name: &str, wanted: &str, given: &Value) -> ManipulationError {
        self.error(name, format!("must be {wanted}, not {given}"))
    }

    pub(super) fn text(&self, name: &'static str) -> Result<Option<String>, ManipulationError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(self.wrong(name, "a text", other)),
        }
    }

    pub(super) fn path(&self, name: &'static str) -> Result<Option<PathBuf>, ManipulationError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(path)) if !path.is_empty() => Ok(Some(PathBuf::from(path))),
            Some(other) => Err(self.wrong(name, "a path", other)),
        }
    }

    pub(super) fn flag(
        &self,
        name: &'static str,
        default: bool,
    ) -> Result<bool, ManipulationError> {
        match self.get(name) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(self.wrong(name, "true or false", other)),
        }
    }

    pub(super) fn number(&self, name: &'static str) -> Result<Option<u64>, ManipulationError> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) => Ok(Some(number)),
                None => Err(self.wrong(name, "a whole number of 0 or more", value)),
            },
        }
    }

    /// A list of texts, or one text.
    pub(super) fn texts(
        &self,
        name: &'static str,
    ) -> Result<Option<Vec<String>>, ManipulationError> {
        let wrong = |value| self.wrong(name, "a text or a list of texts", value);
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(vec![text.clone()])),
            Some(value @ Value::Array(items)) => {
                let text = |item: &Value| item.as_str().map(str::to_owned);
                items.iter().map(text).collect::<Option<Vec<_>>>().ok_or(value).map_err(wrong)
            }
            .map(Some),
            Some(other) => Err(wrong(other)),
        }
    }

    /// A map from text to text, in the order it was written.
    pub(super) fn table(
        &self,
        name: &'static str,
    ) -> Result<Option<Vec<(String, String)>>, ManipulationError> {
        let wrong = |value| self.wrong(name, "a map from text to text", value);
        match self.get(name) {
            None => Ok(None),
            Some(value @ Value::Object(map)) => {
                let pair =
                    |(k, v): (&String, &Value)| v.as_str().map(|v| (k.clone(), v.to_owned()));
                map.iter().map(pair).collect::<Option<Vec<_>>>().ok_or(value).map_err(wrong)
            }
            .map(Some),
            Some(other) => Err(wrong(other)),
        }
    }

    /// What nobody has asked for so far.
    pub(super) fn rest(&self) -> impl Iterator<Item = (&'a str, &'a Value)> + '_ {
        let known = self.known.borrow().clone();
        self.map
            .iter()
            .map(|(name, value)| (name.as_str(), value))
            .filter(move |(name, _)| !known.contains(name))
    }

    /// Whether it was given; does not count as asking for it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// Refuses what nobody has asked for.
    pub(super) fn finish(self) -> Result<(), ManipulationError> {
        let Some((name, _)) = self.rest().next() else { return Ok(()) };
        if let Some((_, fate)) = OLD_NAMES.iter().find(|(old, _)| *old == name) {
            return Err(self.error(name, format!("'{name}' {fate}")));
        }
        let known = self.known.borrow().clone();
        let advice = match closest(name, known.iter().copied()) {
            Some(close) => format!("did you mean '{close}'?"),
            None => format!("known here: {}", known.join(", ")),
        };
        Err(self.error(name, format!("Unknown parameter '{name}'; {advice}")))
    }
}
