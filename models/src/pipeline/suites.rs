//! Minimal pairs scored while a model is trained: at every checkpoint, into tables that grow.

use super::load::{reader, scored_by, scorer, sentence_ids};
use crate::arch::LanguageModel;
use crate::config::choices::Boundary;
use crate::error::Error;
use crate::eval::pairs::{
    PAIR_COLUMNS, Paradigm, ParadigmScore, SUMMARY_COLUMNS, score_pairs, summary_rows,
};
use crate::eval::pseudo::Hiding;
use crate::eval::table::{Origin, Table};
use crate::eval::{EvalError, read_pairs};
use crate::tokenizer::Tokenizer;
use crate::train::checkpoint::TrainerState;
use crate::train::signals::StopFlag;
use foundry_engine::Device;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The pairs of a run, and where their scores go.
pub(super) struct Suites {
    paradigms: Vec<Paradigm>,
    tokenizer: Rc<Tokenizer>,
    boundary: Boundary,
    seed: u64,
    folder: PathBuf,
    /// The step that was scored last, and its scores.
    last: Option<(u64, Vec<ParadigmScore>)>,
}

/// Why scoring ended early.
enum Ended {
    Stopped,
    Failed(EvalError),
}

impl From<EvalError> for Ended {
    fn from(error: EvalError) -> Self {
        match error {
            EvalError::Stopped(_) => Self::Stopped,
            error => Self::Failed(error),
        }
    }
}

impl Suites {
    /// Reads the pairs.
    pub(super) fn open<'p>(
        paths: impl IntoIterator<Item = &'p PathBuf>,
        tokenizer: Rc<Tokenizer>,
        boundary: Boundary,
        seed: u64,
        folder: &Path,
    ) -> Result<Self, EvalError> {
        let mut paradigms = Vec::new();
        for path in paths {
            let mut read = read_pairs(path)?;
            tell_apart(&mut read, &paradigms);
            paradigms.extend(read);
        }
        let folder = folder.to_owned();
        Ok(Self { paradigms, tokenizer, boundary, seed, folder, last: None })
    }

    /// Scores a model, and writes its rows in the place of those of its step and later ones. False if a stop was asked
    /// for meanwhile: then no row of the step counts.
    pub(super) fn score(
        &mut self,
        model: &dyn LanguageModel,
        device: &Device,
        state: &TrainerState,
        stop: &StopFlag,
    ) -> Result<bool, Error> {
        let step = state.global_step;
        if self.paradigms.is_empty() || self.last.as_ref().is_some_and(|(last, _)| *last == step) {
            return Ok(true);
        }
        let origin = Origin {
            step: Some(step),
            tokens_seen: Some(state.tokens_seen),
            words_seen: Some(state.words_seen),
            seed: Some(self.seed),
            scorer: scored_by(model, Hiding::default()),
            first_token_scored: None,
        };
        let scorer = scorer(model, device, &self.tokenizer, (None, Hiding::default()), stop)?;
        let reader = reader(
            model,
            &self.tokenizer,
            sentence_ids(model, self.boundary, self.tokenizer.special_ids()),
        );
        let origin = Origin { first_token_scored: Some(reader.scores_first_token()), ..origin };
        let table = |name: &str, columns| Table::go_on(&self.folder.join(name), columns, step);
        let mut pairs = table("pairs.csv", PAIR_COLUMNS)?;
        let mut summary = table("minimal_pairs.csv", SUMMARY_COLUMNS)?;
        let mut scores = Vec::new();
        for paradigm in &self.paradigms {
            let score = score_pairs(&*scorer, &reader, paradigm, |pair, score| {
                stop.check().map_err(EvalError::from)?;
                Ok(pairs.line(&score.row(&origin, paradigm, pair))?)
            });
            match score {
                Ok(score) => scores.push(score),
                Err(Ended::Stopped) => return Ok(false),
                Err(Ended::Failed(error)) => return Err(error.into()),
            }
        }
        for row in summary_rows(&origin, &scores) {
            summary.line(&row)?;
        }
        pairs.finish()?;
        summary.finish()?;
        self.last = Some((step, scores));
        Ok(true)
    }

    /// The scores of the step that was scored last.
    pub(super) fn last(&self) -> &[ParadigmScore] {
        self.last.as_ref().map_or(&[], |(_, scores)| scores)
    }
}

/// Gives a suite that is called as one before it a number.
fn tell_apart(suite: &mut [Paradigm], before: &[Paradigm]) {
    let taken = |name: &str| before.iter().any(|p| p.suite == name);
    let Some(name) = suite.first().map(|p| p.suite.clone()).filter(|name| taken(name)) else {
        return;
    };
    let numbered = (2..).map(|n| format!("{name}-{n}")).find(|name| !taken(name)).unwrap_or(name);
    suite.iter_mut().for_each(|p| p.suite.clone_from(&numbered));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_suites__of_one_name_get_numbers() {
        let of = |suite: &str| vec![Paradigm { suite: suite.into(), ..Paradigm::default() }];
        let mut all: Vec<Paradigm> = Vec::new();
        for name in ["pairs", "zorro", "pairs", "pairs"] {
            let mut suite = of(name);
            tell_apart(&mut suite, &all);
            all.extend(suite);
        }
        let names: Vec<&str> = all.iter().map(|p| p.suite.as_str()).collect();
        assert_eq!(names, ["pairs", "zorro", "pairs-2", "pairs-3"]);
    }
}
