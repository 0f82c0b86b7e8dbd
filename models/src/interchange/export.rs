//! Writing a folder that `transformers` reads.

use super::InterchangeError;
use super::card::card;
use super::files::{beside_weights, pretty, tokenizer_files};
use super::record::{RECORD_FILE, Record};
use crate::error::Error;
use crate::pipeline::Trained;
use crate::storage::{Disk, StorageError};
use crate::tensors;
use crate::tokenizer::MODEL_FILE as SENTENCEPIECE_FILE;
use crate::train::checkpoint::MODEL_FILE;
use crate::train::weights::model_file;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// Writes a model into a new folder, which appears complete or not at all.
///
/// # Errors
/// Something that is there already; a disk that refuses.
pub fn export(trained: &Trained, folder: &Path) -> Result<(), Error> {
    new_folder(folder, |disk, temporary| write(trained, disk, temporary))
}

/// Makes a folder under another name, and gives it its own once `fill` has filled it.
pub(super) fn new_folder(
    folder: &Path,
    fill: impl FnOnce(&Disk, &Path) -> Result<(), Error>,
) -> Result<(), Error> {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    if absolute.symlink_metadata().is_ok() {
        return Err(InterchangeError::InTheWay { path: absolute }.into());
    }
    let disk = Disk::real();
    let name = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let parent = absolute.parent().unwrap_or(Path::new("."));
    disk.create_folders(parent)?;
    let temporary = parent.join(format!(".tmp-export-{name}"));
    // What an export that was cut off has left.
    let _ = std::fs::remove_dir_all(&temporary);
    disk.create_folder(&temporary)?;
    let written = fill(&disk, &temporary)
        .and_then(|()| Ok(disk.sync_folder(&temporary)?))
        .and_then(|()| Ok(disk.rename(&temporary, &absolute)?));
    if written.is_err() {
        let _ = std::fs::remove_dir_all(&temporary);
    }
    written?;
    Ok(disk.sync_folder(parent)?)
}

pub(super) fn write(trained: &Trained, disk: &Disk, folder: &Path) -> Result<(), Error> {
    let model = &*trained.model;
    let mut weights = model_file(model);
    // transformers makes this bias for untied models too, and misses it in the file.
    weights.repeat("cls.predictions.decoder.bias", "cls.predictions.bias");
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    disk.write_file::<Error>(&folder.join(MODEL_FILE), |out| {
        Ok(tensors::write(out, &weights.to_tensors(), &metadata)?)
    })?;

    let special = trained.special;
    let both_ways = !model.supports_generation();
    let mut files: Vec<(&str, Vec<u8>)> = Vec::new();
    let mut add = |name, content: String| files.push((name, content.into_bytes()));
    beside_weights(model, &special).into_iter().for_each(|(name, content)| add(name, content));
    tokenizer_files(&trained.tokenizer, &special, both_ways, trained.window)
        .into_iter()
        .for_each(|(name, content)| add(name, content));
    add("README.md", card(trained));
    add(RECORD_FILE, pretty(&json!(Record::of(trained))));
    files.extend(trained.tokenizer.sentencepiece_model().ok().map(|f| (SENTENCEPIECE_FILE, f)));
    for (name, content) in files {
        let path = folder.join(name);
        disk.write_file::<StorageError>(&path, |out| {
            std::io::Write::write_all(out, &content)
                .map_err(|e| StorageError::new(crate::storage::Operation::Write, &path, e))
        })?;
    }
    Ok(())
}
