//! What `foundry train` would do, stage by stage, as far as it can be known without doing it.

use super::{Pipeline, grouped};
use crate::config::Corpus;
use crate::data::manipulate::{Mode, Step, run_steps};
use crate::error::Error;
use crate::tokenizer::Tokenizer;
use crate::train::run_folder::{PROVENANCE_FILE, REPORT_FILE, RESULT_FILE};
use serde::Serialize;
use std::ops::ControlFlow;

/// A stage of a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Stage {
    /// The command that does it alone.
    pub command: &'static str,
    /// What it would do.
    pub would: String,
}

impl Pipeline {
    /// The stages of a run in their order. Nothing is made.
    ///
    /// # Errors
    /// Whatever the configuration names and is not there, or cannot be used.
    pub fn stages(&self) -> Result<Vec<Stage>, Error> {
        let config = &self.config;
        let steps =
            run_steps(&Step::of_config(config)?, Mode::DryRun, &mut |_| ControlFlow::Continue(()))?;
        self.check_inputs()?;

        let stage = |command, would| Stage { command, would };
        let mut stages: Vec<_> = steps
            .iter()
            .map(|step| stage("preprocess", format!("do {}", step.plan.trim_end())))
            .collect();
        stages.push(stage(
            "preprocess",
            match &config.data.corpus {
                Corpus::Files(path) => format!("read {}", path.display()),
                Corpus::Synthetic(s) => {
                    let (folder, _) = self.synthetic_folder(s)?;
                    let count = grouped(s.sentences);
                    match folder.is_dir() {
                        true => format!("keep {} ({count} sentences)", folder.display()),
                        false => format!("write {count} sentences of {}", s.grammar.display()),
                    }
                }
            },
        ));
        let (tokenizer, folder) = (&config.tokenizer, config.tokenizer.output_dir.display());
        stages.push(stage(
            "train-tokenizer",
            match Tokenizer::is_at(&tokenizer.output_dir) {
                true => format!("keep {folder}, if its text and settings are these"),
                false => format!(
                    "train a {} tokenizer of at most {} tokens: {folder}",
                    tokenizer.train_options().kind,
                    grouped(tokenizer.vocab_size as u64)
                ),
            },
        ));
        let length = config.data.max_sequence_length;
        let cache = self.cache.display();
        stages.push(stage("tokenize-dataset", format!("account for every token, in {cache}")));
        stages.push(stage("preprocess-data", format!("cut chunks of {length} tokens, in {cache}")));
        stages.push(stage("generate-checkpoints", "find the steps of checkpoints".to_owned()));
        let run = &config.training.output_dir;
        let shown = run.display();
        stages.push(stage(
            "train",
            match (run.join(RESULT_FILE).exists(), run.join(PROVENANCE_FILE).exists()) {
                (true, _) => format!("nothing, if {shown} holds this very run: it is finished"),
                (_, true) => format!("go on in {shown} with --resume, or anew with --overwrite"),
                _ => format!("train a {} in {shown}", config.model.architecture()),
            },
        ));
        let (given, made) = (config.evaluation.suites.len(), config.data.corpus.is_synthetic());
        let scored = [
            config.data.validation.is_some().then(|| "the validation text".to_owned()),
            (given > 0).then(|| format!("{given} suites of minimal pairs")),
            made.then(|| "the minimal pairs of the grammar".to_owned()),
        ];
        let scored: Vec<_> = scored.into_iter().flatten().collect();
        let when = if config.evaluation.at_checkpoints { "at checkpoints" } else { "at the end" };
        stages.push(stage(
            "evaluate",
            match scored.is_empty() {
                true => "nothing: there is no validation text, and no suite".to_owned(),
                false => format!("score {} {when}", scored.join(", ")),
            },
        ));
        stages.push(stage("report", format!("write {}", run.join(REPORT_FILE).display())));
        Ok(stages)
    }
}
