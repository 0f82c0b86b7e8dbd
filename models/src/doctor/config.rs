//! Is everything there that a configuration names?

use super::Finding;
use crate::config::{Config, Corpus, Validation};
use std::path::{Path, PathBuf};

/// Looks at a configuration and at the files that a run of it would read; reads none of them.
#[must_use]
pub fn examine_config(path: &Path) -> Vec<Finding> {
    let config = match Config::load(path, &[]) {
        Ok(config) => config,
        Err(e) => {
            let mend = "change what is named; docs/configuration.md has every field";
            return vec![Finding::problem("configuration", e.to_string().trim_end(), mend)];
        }
    };
    let name = &config.experiment_name;
    let mut findings =
        vec![Finding::ok("configuration", format!("{} ({name}) is valid", path.display()))];
    findings.extend(inputs(&config).into_iter().map(|(field, path)| there(field, &path)));
    findings
}

/// The fields that name what must be there, with what they name.
fn inputs(config: &Config) -> Vec<(&'static str, PathBuf)> {
    let data = &config.data;
    let mut inputs = Vec::new();
    match &data.corpus {
        Corpus::Synthetic(synthetic) => inputs.push(("grammar", synthetic.grammar.clone())),
        // What the steps make need not be there yet.
        Corpus::Files(_) if !config.dataset_manipulation.is_empty() => {
            inputs.extend(data.source_corpus.clone().map(|path| ("source corpus", path)));
        }
        Corpus::Files(path) => inputs.push(("training corpus", path.clone())),
    }
    if let Some(Validation::Files(path)) = &data.validation {
        inputs.push(("validation text", path.clone()));
    }
    inputs.extend(data.test_corpus.clone().map(|path| ("test text", path)));
    inputs.extend(config.evaluation.suites.iter().map(|path| ("suite", path.clone())));
    inputs
}

fn there(what: &'static str, path: &Path) -> Finding {
    let shown = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match std::fs::metadata(path) {
        Ok(_) => Finding::ok(what, shown.display().to_string()),
        Err(e) => Finding::problem(
            what,
            format!("{}: {e}", shown.display()),
            "put it there, or change the configuration; relative paths start at the current folder",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn of(text: &str) -> Vec<Finding> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.yaml");
        std::fs::write(&path, text).unwrap();
        examine_config(&path)
    }

    #[test]
    fn test_doctor__what_a_configuration_names_is_looked_for() {
        let good = include_str!("../../../configs/gpt2_tiny.yaml");
        let grammar = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/grammars/english.grammar");
        let here = good.replace("configs/grammars/english.grammar", grammar);
        let found: Vec<_> = of(&here).into_iter().map(|f| (f.what, f.verdict)).collect();
        assert_eq!(found, [("configuration", Verdict::Ok), ("grammar", Verdict::Ok)]);

        let gone = of(&good.replace("configs/grammars/english.grammar", "no/such.grammar"));
        assert_eq!((gone[1].what, gone[1].verdict), ("grammar", Verdict::Problem));
        assert!(gone[1].found.contains("no/such.grammar") && gone[1].mend.contains("folder"));

        let wrong = of(&good.replace("batch_size", "batchsize"));
        assert_eq!((wrong.len(), wrong[0].verdict), (1, Verdict::Problem));
        assert!(wrong[0].found.contains("batch_size"), "{wrong:?}");
    }
}
