//! Checkpoints as the BabyLM challenge wants them: one for every so many words, each a branch of the model's repository.

use super::InterchangeError;
use super::export::{new_folder, write};
use crate::config::Config;
use crate::config::choices::CheckpointUnit;
use crate::error::Error;
use crate::pipeline::Trained;
use crate::train::checkpoint_schedule::{Target, listed_targets};
use crate::train::signals::StopFlag;
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

/// Writes a new folder with `main`, the model as it is, and a folder for each number of words at which its run was to be
/// saved: the first checkpoint that had seen them. All of it appears complete or not at all.
///
/// # Errors
/// A run whose checkpoints are not counted in words; a folder that is there already; damaged checkpoints; a stop that was
/// asked for.
pub fn revisions(
    trained: &mut Trained,
    folder: &Path,
    stop: &StopFlag,
) -> Result<Vec<Revision>, Error> {
    let mut revisions: Vec<Revision> =
        targets(trained.config.as_ref())?.into_iter().map(revision).collect();
    let (checkpoints, damaged) = trained.checkpoints()?;
    if let Some(damaged) = damaged.into_iter().next() {
        return Err(Error::Mismatch(damaged.replace("passed over: ", "")));
    }
    new_folder(folder, |disk, temporary| {
        let inside = |trained: &Trained, name: &str| -> Result<(), Error> {
            stop.check().map_err(|stopped| InterchangeError::Stopped { stopped })?;
            let folder = temporary.join(name);
            disk.create_folder(&folder)?;
            write(trained, disk, &folder)?;
            Ok(disk.sync_folder(&folder)?)
        };
        inside(trained, "main")?;
        let mut wanted = revisions.iter_mut().peekable();
        for checkpoint in checkpoints {
            if wanted.peek().is_none() {
                break;
            }
            trained.switch_to(&checkpoint)?;
            let seen = trained.origin.words_seen.unwrap_or(0);
            while let Some(revision) = wanted.next_if(|revision| revision.words <= seen) {
                inside(trained, &revision.name)?;
                let path = folder.join(&revision.name);
                revision.written = Some((path, trained.origin.step.unwrap_or(0)));
            }
        }
        Ok(())
    })?;
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
