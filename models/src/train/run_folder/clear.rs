//! `--overwrite`: taking a run out of its folder, and nothing else.

use std::path::Path;

use super::super::checkpoint::{BEST_FOLDER, CheckpointStore, folder_name, steps};
use super::super::log::is_log;
use super::super::metrics::METRICS_FILE;
use super::{
    CONFIG_FILE, CURVE_FILE, EVAL_FOLDER, LEDGER_FILE, LOG_FILE, PROVENANCE_FILE, Provenance,
    REPORT_FILE, RESULT_FILE, RunFolderError,
};
use crate::storage::{Disk, EntryKind};

/// Deletes the run's own files. The result goes first and the provenance last, so that a crash in between leaves an
/// unfinished run, which can be overwritten again.
pub(super) fn clear(disk: &Disk, folder: &Path, old: &Provenance) -> Result<(), RunFolderError> {
    disk.remove_file(&folder.join(RESULT_FILE))?;
    disk.sync_folder(folder)?;
    let (store, _) = CheckpointStore::open(disk, folder, &old.run_id)?;
    for step in steps(disk, folder)? {
        store.remove_or_set_aside(&folder_name(step))?;
    }
    store.remove_or_set_aside(BEST_FOLDER)?;
    remove_tables(disk, &folder.join(EVAL_FOLDER))?;
    for name in disk.list(folder)? {
        let events = name
            .to_str()
            .is_some_and(|n| n.starts_with("events.out.tfevents.") && n.ends_with(".foundry"));
        let log = name.to_str().is_some_and(|n| is_log(n, LOG_FILE));
        if events || log {
            disk.remove_file(&folder.join(name))?;
        }
    }
    for name in [METRICS_FILE, LEDGER_FILE, CURVE_FILE, REPORT_FILE, CONFIG_FILE] {
        disk.remove_file(&folder.join(name))?;
    }
    disk.sync_folder(folder)?;
    disk.remove_file(&folder.join(PROVENANCE_FILE))?;
    Ok(disk.sync_folder(folder)?)
}

/// Removes the tables in `eval/`, and the folder if nothing else is in it.
fn remove_tables(disk: &Disk, folder: &Path) -> Result<(), RunFolderError> {
    if disk.entry(folder)?.map(|e| e.kind) != Some(EntryKind::Folder) {
        return Ok(());
    }
    let mut others = false;
    for name in disk.list(folder)? {
        let path = folder.join(&name);
        let ours = name.to_str().is_some_and(|n| n.ends_with(".csv"))
            && disk.entry(&path)?.is_some_and(|e| e.kind == EntryKind::File);
        if ours {
            disk.remove_file(&path)?;
        } else {
            others = true;
        }
    }
    if !others {
        disk.remove_folder(folder)?;
    }
    Ok(())
}
