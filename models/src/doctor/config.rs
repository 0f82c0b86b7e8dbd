//! Is everything there that a configuration names?

use super::Finding;
use crate::config::Config;
use crate::pipeline::{Input, inputs};
use std::path::Path;

/// Looks at a configuration and at the files that a run of it would read; reads no corpus.
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
    findings.extend(inputs(&config).iter().map(there));
    findings
}

fn there(input: &Input) -> Finding {
    let shown = std::path::absolute(&input.path).unwrap_or_else(|_| input.path.clone());
    match input.check() {
        Ok(()) => Finding::ok(&input.field, shown.display().to_string()),
        Err(e) => Finding::problem(
            &input.field,
            e.to_string(),
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
        let found: Vec<_> = of(good).into_iter().map(|f| (f.what.clone(), f.verdict)).collect();
        assert_eq!(
            found,
            [("configuration".to_owned(), Verdict::Ok)],
            "the program carries the grammar"
        );
        let grammar = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/grammars/english.grammar");
        let here = good.replace("grammar: english ", &format!("grammar: {grammar} "));
        let found: Vec<_> = of(&here).into_iter().map(|f| (f.what.clone(), f.verdict)).collect();
        assert_eq!(found[1], ("data.synthetic.grammar".to_owned(), Verdict::Ok));

        let gone = of(&good.replace("grammar: english ", "grammar: no/such.grammar "));
        assert_eq!((&*gone[1].what, gone[1].verdict), ("data.synthetic.grammar", Verdict::Problem));
        assert!(gone[1].found.contains("no/such.grammar") && gone[1].mend.contains("folder"));

        let wrong = of(&good.replace("batch_size", "batchsize"));
        assert_eq!((wrong.len(), wrong[0].verdict), (1, Verdict::Problem));
        assert!(wrong[0].found.contains("batch_size"), "{wrong:?}");
    }
}
