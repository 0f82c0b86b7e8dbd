//! `dataset_manipulation`: steps that change a corpus before anything reads it.
//!
//! A controlled-rearing experiment trains one model on a corpus and another on the same corpus without, say, its
//! articles. The steps of this module make that second corpus: by word lists and patterns ([`words`](self)), from
//! CoNLL-U parses (five ablations), or by any external program; optionally filled up to the size of the first from a
//! replacement pool. Every step leaves a `provenance.json` with the hashes of what it read and wrote and the count of
//! every change.
//!
//! Rules that hold for every type:
//!
//! - A missing input, parse or pool file is an error, never a file less.
//! - Lines stay lines: as many come out as went in, plus those drawn from the pool. A line that loses all its words
//!   stays, blank.
//! - What is not changed keeps its bytes.
//! - An output that is there already is left alone: the step is done if `provenance.json` shows that the same step made
//!   it from the same files ([`Outcome::UpToDate`]), else it is an error unless [`Mode::Overwrite`] is given.
//! - An output appears under its name when it is complete, and `provenance.json` last.
//!
//! [`run_steps`] is the way in; a [`Step`] is made from the configuration by [`Step::new`].

mod ablate;
mod command;
mod conllu;
mod error;
mod files;
mod parameters;
mod plan;
mod provenance;
mod refill;
mod rewrite;
mod run;
mod step;
mod words;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

pub use error::ManipulationError;
pub use files::FileDigest;
pub use provenance::{FileStatistics, Provenance, RefillStatistics, Totals};
pub use rewrite::Counts;
pub use step::Step;

use plan::describe;

use crate::config::choices::Manipulation;

/// How to run steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Look for every input, write nothing, and say what would be done.
    DryRun,
    /// Do what is missing; an output that another step or other input made is an error.
    #[default]
    Keep,
    /// Do everything, in place of what earlier runs of these steps wrote.
    Overwrite,
}

/// What a caller is told while steps run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A step begins.
    Begins {
        /// The step.
        step: &'a Step,
        /// How many there are.
        of: usize,
    },
    /// A file is being worked on.
    Progress {
        /// Its name.
        file: &'a str,
        /// Bytes read so far.
        bytes: u64,
        /// Bytes that it has.
        of: u64,
    },
    /// An external program printed a line.
    Said {
        /// The line.
        line: &'a str,
    },
    /// A step is done.
    Ends {
        /// What became of it.
        report: &'a StepReport,
    },
}

/// Hears of every [`Event`]; breaks to stop.
pub type Observer<'a> = dyn FnMut(Event<'_>) -> ControlFlow<()> + 'a;

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was done ([`Mode::DryRun`]).
    Planned,
    /// It was done before, from the same files.
    UpToDate,
    /// It was done.
    Done,
}

/// A step, after it ran.
#[derive(Clone, Debug)]
pub struct StepReport {
    /// Its place in `dataset_manipulation`, from 0.
    pub index: usize,
    /// Its type.
    pub kind: Manipulation,
    /// What became of it.
    pub outcome: Outcome,
    /// What it does with which files, in words: the text of `preprocess --dry-run`.
    pub plan: String,
    /// Its record; none when only planned.
    pub provenance: Option<Provenance>,
    /// What a user should look at: a step that changed nothing, a pool that ran short.
    pub warnings: Vec<String>,
}

/// Runs steps in order. A step may read what an earlier one writes.
///
/// # Errors
/// The first [`ManipulationError`]; the outputs of the steps before it are complete, its own are marked incomplete and
/// made again by the next run.
pub fn run_steps(
    steps: &[Step],
    mode: Mode,
    observer: &mut Observer<'_>,
) -> Result<Vec<StepReport>, ManipulationError> {
    check_outputs(steps)?;
    let mut reports = Vec::with_capacity(steps.len());
    for (i, step) in steps.iter().enumerate() {
        tell(observer, Event::Begins { step, of: steps.len() })?;
        let result = run::run_step(step, steps.len(), mode, observer);
        let report = match result {
            // What a step before would make is not missing.
            Err(ManipulationError::Missing { path, .. })
                if mode == Mode::DryRun
                    && steps[..i].iter().any(|before| is_inside(&path, &before.output)) =>
            {
                let plan = describe(step, steps.len(), None, "new");
                let (index, kind, outcome) = (step.index, step.kind, Outcome::Planned);
                StepReport { index, kind, outcome, plan, provenance: None, warnings: Vec::new() }
            }
            other => other?,
        };
        tell(observer, Event::Ends { report: &report })?;
        reports.push(report);
    }
    Ok(reports)
}

/// Two steps never write to one place: the second would take the first's output for a stranger's.
fn check_outputs(steps: &[Step]) -> Result<(), ManipulationError> {
    let mut seen = BTreeSet::new();
    for step in steps {
        let output = std::path::absolute(&step.output).unwrap_or_else(|_| step.output.clone());
        if !seen.insert(output) {
            let message = "is the output_path of a step before, too; give each step its own";
            let (field, message) = ("output_path".to_owned(), message.to_owned());
            return Err(ManipulationError::Setting { step: step.index, field, message });
        }
    }
    Ok(())
}

/// Whether a path is a folder or lies somewhere below it.
pub(crate) fn is_inside(path: &Path, folder: &Path) -> bool {
    let real = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    real(path).starts_with(real(folder))
}

fn tell(observer: &mut Observer<'_>, event: Event<'_>) -> Result<(), ManipulationError> {
    match observer(event) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(ManipulationError::Stopped),
    }
}

/// The folder that holds a path ("." for a bare name).
fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests;
