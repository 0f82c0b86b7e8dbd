//! Writing a folder that `transformers` reads.

use super::InterchangeError;
use super::card::card;
use super::files::{beside_weights, pretty, tokenizer_files};
use crate::error::Error;
use crate::pipeline::Trained;
use crate::storage::{Disk, StorageError};
use crate::tensors;
use crate::tokenizer::MODEL_FILE as SENTENCEPIECE_FILE;
use crate::train::checkpoint::MODEL_FILE;
use crate::train::weights::model_file;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What Foundry knows of a model, for programs.
pub(super) const PROVENANCE_FILE: &str = "foundry.json";

/// Writes a model into a new folder, which appears complete or not at all.
///
/// # Errors
/// Something that is there already; a disk that refuses.
pub fn export(trained: &Trained, folder: &Path) -> Result<(), Error> {
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
    let written = write(trained, &disk, &temporary)
        .and_then(|()| Ok(disk.sync_folder(&temporary)?))
        .and_then(|()| Ok(disk.rename(&temporary, &absolute)?));
    if written.is_err() {
        let _ = std::fs::remove_dir_all(&temporary);
    }
    written?;
    Ok(disk.sync_folder(parent)?)
}

fn write(trained: &Trained, disk: &Disk, folder: &Path) -> Result<(), Error> {
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
    add(PROVENANCE_FILE, pretty(&provenance(trained)));
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

/// What Foundry knows of the model; no path of the machine, no time.
fn provenance(trained: &Trained) -> Value {
    let config = trained.config.as_ref().map(|config| {
        let mut config = json!(config.to_raw());
        hide_folders(&mut config);
        config
    });
    json!({
        "foundry_version": env!("CARGO_PKG_VERSION"),
        "architecture": trained.model.architecture(),
        "parameters": trained.model.parameter_count(),
        "step": trained.origin.step,
        "tokens_seen": trained.origin.tokens_seen,
        "words_seen": trained.origin.words_seen,
        "seed": trained.origin.seed,
        "tokenizer_blake3": trained.tokenizer.hash().to_hex().to_string(),
        "config": config,
    })
}

/// Leaves of each absolute path the last part: folders of a machine are nobody's business.
fn hide_folders(value: &mut Value) {
    match value {
        Value::String(text) => {
            let path = PathBuf::from(&*text);
            if path.is_absolute() {
                *text = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            }
        }
        Value::Array(list) => list.iter_mut().for_each(hide_folders),
        Value::Object(map) => map.values_mut().for_each(hide_folders),
        _ => {}
    }
}
