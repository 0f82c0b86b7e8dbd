//! Checkpoints as the BabyLM challenge wants them: one for every so many words, each a branch of the model's repository.

use super::export::export;
use crate::config::Config;
use crate::config::choices::CheckpointUnit;
use crate::error::Error;
use crate::pipeline::Trained;
use crate::train::checkpoint_schedule::{Target, listed_targets};
use std::path::{Path, PathBuf};

/// A checkpoint that was written, or a number of words that no checkpoint of the run has seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revision {
    /// `chck_1M` for a million words; `chck_` and the number between the millions.
    pub name: String,
    /// Words that had to be seen.
    pub words: u64,
    /// The folder, and the step of the checkpoint; None where the run had not come so far.
    pub written: Option<(PathBuf, u64)>,
}

/// Writes a folder for each number of words at which the run of `trained` was to be saved: the first checkpoint that
/// had seen them.
///
/// # Errors
/// A run whose checkpoints are not counted in words; folders that are there already; damaged checkpoints.
pub fn revisions(trained: &mut Trained, folder: &Path) -> Result<Vec<Revision>, Error> {
    let mut revisions: Vec<Revision> =
        targets(trained.config.as_ref())?.into_iter().map(revision).collect();
    let mut wanted = revisions.iter_mut().peekable();
    for checkpoint in trained.checkpoints()? {
        if wanted.peek().is_none() {
            break;
        }
        trained.switch_to(&checkpoint)?;
        let seen = trained.origin.words_seen.unwrap_or(0);
        while let Some(revision) = wanted.next_if(|revision| revision.words <= seen) {
            let path = folder.join(&revision.name);
            export(trained, &path)?;
            revision.written = Some((path, trained.origin.step.unwrap_or(0)));
        }
    }
    Ok(revisions)
}

fn revision(words: u64) -> Revision {
    let name = Target { count: words, step: 0 }.babylm_name();
    Revision { name: name.unwrap_or_else(|| format!("chck_{words}")), words, written: None }
}

/// The words at which the run was to be saved.
fn targets(config: Option<&Config>) -> Result<Vec<u64>, Error> {
    let mend = "mend: train with training.checkpoint_preset: babylm-strict-small, or with a checkpoint_schedule and \
                checkpoint_unit: words";
    let Some(config) = config else {
        return Err(Error::Usage(format!(
            "--revisions needs a run of Foundry, with its checkpoints\n  {mend}"
        )));
    };
    let checkpoints = &config.training.checkpoints;
    let listed = (checkpoints.unit == CheckpointUnit::Words)
        .then(|| listed_targets(&checkpoints.placement))
        .flatten();
    listed.ok_or_else(|| {
        Error::Usage(format!(
            "--revisions: the checkpoints of this run were not placed at numbers of words\n  {mend}"
        ))
    })
}
