//! What a run will read, by the fields that name it: is it there, before anything is begun?

use super::Pipeline;
use crate::config::{Config, Corpus, Validation};
use crate::data::manipulate::is_inside;
use crate::data::synthetic::{Grammar, built_in};
use crate::data::{Corpus as CorpusFiles, DataError};
use crate::error::Error;
use crate::eval::read_pairs;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A file or folder that must be there when a run begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Input {
    /// The field that names it, as a dotted path.
    pub field: String,
    /// The path as it was written.
    pub path: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Corpus,
    Grammar,
    Suite,
    Other,
}

/// Parameters of a step of `dataset_manipulation` that name files.
const PATHS: [&str; 3] = ["replacement_pool_dir", "parses", "words_file"];

/// Everything that a run of a configuration reads and does not make itself.
#[must_use]
pub fn inputs(config: &Config) -> Vec<Input> {
    let mut found = Vec::new();
    let steps = &config.dataset_manipulation;
    let made = |path: &Path, by: usize| steps[..by].iter().any(|s| is_inside(path, &s.output_path));
    let mut add = |field: String, path: &Path, kind| {
        found.push(Input { field, path: path.to_owned(), kind });
    };
    for (i, step) in steps.iter().enumerate() {
        let at = format!("dataset_manipulation.{i}");
        if !made(&step.input_path, i) {
            add(format!("{at}.input_path"), &step.input_path, Kind::Other);
        }
        for name in PATHS {
            let Some(Value::String(path)) = step.parameters.get(name) else { continue };
            if !made(Path::new(path), i) {
                add(format!("{at}.parameters.{name}"), Path::new(path), Kind::Other);
            }
        }
    }
    let data = &config.data;
    let (mut training, mut validation) = (None, None);
    match &data.corpus {
        Corpus::Synthetic(synthetic) if built_in(&synthetic.grammar).is_some() => {}
        Corpus::Synthetic(synthetic) => {
            add("data.synthetic.grammar".to_owned(), &synthetic.grammar, Kind::Grammar);
        }
        Corpus::Files(path) => training = Some(path),
    }
    if let Some(Validation::Files(path)) = &data.validation {
        validation = Some(path);
    }
    let corpora = [
        ("data.training_corpus", training),
        ("data.validation_corpus", validation),
        ("data.test_corpus", data.test_corpus.as_ref()),
    ];
    for (field, path) in corpora {
        if let Some(path) = path.filter(|path| !made(path, steps.len())) {
            add(field.to_owned(), path, Kind::Corpus);
        }
    }
    for (i, path) in config.evaluation.suites.iter().enumerate() {
        add(format!("evaluation.suites.{i}"), path, Kind::Suite);
    }
    found
}

impl Input {
    /// Whether it is there, and of a kind that can be read. Corpora are not read: they may be large.
    ///
    /// # Errors
    /// Nothing there, a folder without files of that kind, a grammar or pairs that are malformed.
    pub fn check(&self) -> Result<(), Error> {
        if !self.path.exists() {
            let (field, path) = (self.field.clone(), self.path.clone());
            return Err(DataError::Missing { field, path }.into());
        }
        match self.kind {
            Kind::Corpus => CorpusFiles::look(&self.field, &self.path)?,
            Kind::Grammar => drop(Grammar::load(&self.path)?),
            Kind::Suite => drop(read_pairs(&self.path)?),
            Kind::Other => {}
        }
        Ok(())
    }
}

impl Pipeline {
    /// Looks for everything that the configuration names and a run reads.
    ///
    /// # Errors
    /// The first that is missing or cannot be read, with its field and the path that was tried.
    pub fn check_inputs(&self) -> Result<(), Error> {
        inputs(&self.config).iter().try_for_each(Input::check)
    }
}
