//! Preparing a dataset: read, tokenize, pack, keep.

use std::ops::ControlFlow;
use std::path::Path;

use rayon::prelude::*;

use super::cache::{Dataset, LIST, List};
use super::pack::{Layout, Packer};
use super::shard::{Format, ShardInfo, ShardWriter};
use super::{
    Corpus, DataError, DataLedger, DataOptions, FileLedger, HeldOut, Passed, Piece, Progress,
    Split, SplitLedger, Unit, Watch, rows,
};
use crate::tokenizer::Tokenizer;

/// Part of the key: a change of the format or of how text is cut makes new data.
const FORMAT: &str = "foundry chunks 2";

/// Bytes of text that are tokenized at a time. A constant: nothing depends on the number of threads.
const BATCH_BYTES: usize = 1 << 20;

/// Whether data in the cache are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rebuild {
    /// Only data that are not there are made.
    #[default]
    IfMissing,
    /// Data are made anew.
    Always,
}

/// The corpora of a configuration.
#[derive(Clone, Debug)]
pub struct Corpora {
    train: Corpus,
    validation: Option<Corpus>,
    test: Option<Corpus>,
}

impl Corpora {
    /// Reads all files once, for their sizes and hashes.
    ///
    /// # Errors
    /// Options that cannot be followed, and all of [`Corpus::open`].
    pub fn open(options: &DataOptions) -> Result<Self, DataError> {
        options.check()?;
        let unit = options.unit;
        let held_out =
            HeldOut { fraction: options.validation_fraction, from: options.validation_split };
        let whole = |field, path: &Option<_>| {
            path.as_ref()
                .map(|path: &std::path::PathBuf| Corpus::open(field, path, unit, HeldOut::NOTHING))
                .transpose()
        };
        Ok(Self {
            train: Corpus::open("data.training_corpus", &options.training_corpus, unit, held_out)?,
            validation: whole("data.validation_corpus", &options.validation_corpus)?,
            test: whole("data.test_corpus", &options.test_corpus)?,
        })
    }

    /// The training corpus; its [`text`](Corpus::text) is what a tokenizer may be trained on.
    #[must_use]
    pub fn train(&self) -> &Corpus {
        &self.train
    }

    /// For each split: its corpus, and whether it is the held-out part of it.
    fn splits(&self) -> Vec<(Split, &Corpus, bool)> {
        let mut splits = vec![(Split::Train, &self.train, false)];
        if let Some(corpus) = &self.validation {
            splits.push((Split::Validation, corpus, false));
        } else if self.train.held_out().fraction > 0.0 {
            splits.push((Split::Validation, &self.train, true));
        }
        splits.extend(self.test.iter().map(|corpus| (Split::Test, corpus, false)));
        splits
    }

    /// The hash of everything that decides the content of the chunks.
    fn key(&self, options: &DataOptions, tokenizer: &Tokenizer) -> [u8; 32] {
        let splits: Vec<_> = self
            .splits()
            .into_iter()
            .map(|(split, corpus, held_out)| {
                let files: Vec<_> =
                    corpus.files().iter().map(|file| (&file.name, &file.blake3)).collect();
                (split, held_out, corpus.held_out(), files)
            })
            .collect();
        let what = serde_json::json!([
            FORMAT,
            splits,
            options.unit,
            options.packing,
            options.boundary_token,
            options.frame,
            options.max_sequence_length,
            tokenizer.hash().to_hex().as_str(),
            tokenizer.special_ids(),
        ]);
        blake3::hash(what.to_string().as_bytes()).into()
    }

    /// Files that are trained on and held out at once.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (split, corpus) in [(Split::Validation, &self.validation), (Split::Test, &self.test)] {
            for file in corpus.iter().flat_map(Corpus::files) {
                if self.train.files().iter().any(|other| other.blake3 == file.blake3) {
                    warnings.push(format!(
                        "the {split} file {} is also in the training corpus: its figures say nothing about unseen text",
                        file.name
                    ));
                }
            }
        }
        warnings
    }
}

/// Gives the dataset of `options` and `tokenizer`: from the folder `cache` if it is there, else made and kept there.
///
/// `watch` is told how far it has come; when it answers `Break`, nothing is kept. Tokenizing uses the rayon pool that
/// the caller is in; the result does not depend on it.
///
/// # Errors
/// All of [`Corpora::open`]; a corpus too short for one chunk; more text dropped than allowed; a damaged or unwritable
/// cache; a tokenizer without the boundary token.
pub fn prepare(
    options: &DataOptions,
    tokenizer: &Tokenizer,
    cache: &Path,
    rebuild: Rebuild,
    watch: Watch<'_>,
) -> Result<Dataset, DataError> {
    let corpora = Corpora::open(options)?;
    let key = corpora.key(options, tokenizer);
    let name = &blake3::Hash::from(key).to_hex()[..32];
    let folder = cache.join(name);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| DataError::Write { path, source }
    };
    if !folder.exists() || rebuild == Rebuild::Always {
        std::fs::create_dir_all(cache).map_err(failed(cache))?;
        // Removed when dropped, on errors too.
        let fresh = tempfile::Builder::new()
            .prefix(&format!("{name}.tmp-"))
            .tempdir_in(cache)
            .map_err(failed(cache))?;
        build(&corpora, options, tokenizer, key, fresh.path(), watch)?;
        if rebuild == Rebuild::Always && folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(failed(&folder))?;
        }
        match std::fs::rename(fresh.path(), &folder) {
            Ok(()) => drop(fresh.keep()),
            // Another process was faster with the same data.
            Err(_) if folder.join(LIST).is_file() => {}
            Err(source) => return Err(failed(&folder)(source)),
        }
    }
    let dataset = Dataset::open(&folder, key)?;
    // Not part of the key: another limit needs no other data.
    dataset.ledger().check_loss(options.max_loss_fraction)?;
    Ok(dataset)
}

/// Writes all shards and the list into `folder`.
fn build(
    corpora: &Corpora,
    options: &DataOptions,
    tokenizer: &Tokenizer,
    key: [u8; 32],
    folder: &Path,
    watch: Watch<'_>,
) -> Result<(), DataError> {
    let format = Format {
        vocab_size: tokenizer.vocab_size(),
        length: options.max_sequence_length,
        tokenizer: tokenizer.hash().into(),
        key,
    };
    let DataOptions { packing, boundary_token, frame, .. } = *options;
    let layout =
        Layout::new(packing, format.length, boundary_token, frame, tokenizer.special_ids())?;
    let (mut ledgers, mut shards) = (Vec::new(), Vec::new());
    for (split, corpus, held_out) in corpora.splits() {
        let sink = ShardWriter::new(folder, split, format);
        let packer = Packer::new(split, layout, sink);
        let (ledger, list) = fill(split, corpus, held_out, tokenizer, packer, watch)?;
        ledgers.push(ledger);
        shards.push((split, list));
    }
    let ledger = DataLedger {
        unit: options.unit,
        packing: options.packing,
        boundary_token: options.boundary_token,
        max_sequence_length: options.max_sequence_length,
        tokenizer_type: tokenizer.kind().name().into(),
        tokenizer_hash: tokenizer.hash().to_hex().to_string(),
        vocab_size: tokenizer.vocab_size(),
        splits: ledgers,
        warnings: corpora.warnings(),
    };
    ledger.check()?;
    let path = folder.join(LIST);
    let list = List { key: blake3::Hash::from(key).to_hex().to_string(), ledger, shards };
    let text = list.to_json().map_err(|error| DataError::Ledger(error.to_string()))?;
    let failed = |source| DataError::Write { path: path.clone(), source };
    std::fs::write(&path, text).map_err(failed)?;
    std::fs::File::open(&path).and_then(|file| file.sync_all()).map_err(failed)
}

/// What was counted of a file.
#[derive(Clone, Copy, Default)]
struct Counted {
    tokens: u64,
    unknown: u64,
    /// Bytes of rows that were tokenized before.
    bytes: u64,
}

/// Tokenizes and packs one split.
fn fill(
    split: Split,
    corpus: &Corpus,
    held_out: bool,
    tokenizer: &Tokenizer,
    mut packer: Packer,
    watch: Watch<'_>,
) -> Result<(SplitLedger, Vec<ShardInfo>), DataError> {
    let total = corpus.files().iter().map(|file| file.bytes).sum();
    let mut tokens = vec![Counted::default(); corpus.files().len()];
    let mut pieces = corpus.pieces(held_out);
    let mut more = true;
    while more {
        let mut batch: Vec<Piece> = Vec::new();
        let mut bytes = 0;
        while more && bytes < BATCH_BYTES {
            match pieces.next() {
                Some(piece) => {
                    let piece = piece?;
                    // Short lines cost more than their bytes.
                    bytes += piece.text.len() + 64;
                    bytes += piece.row.as_ref().map_or(0, |row| 4 * row.ids.len());
                    batch.push(piece);
                }
                None => more = false,
            }
        }
        let encoded = batch
            .par_iter()
            .map(|piece| match &piece.row {
                Some(row) => rows::read_back(tokenizer, row, corpus.path()),
                None => Ok((tokenizer.encode_words(&piece.text, piece.inside_word)?, 0)),
            })
            .collect::<Vec<_>>()
            .into_iter()
            // Of several errors, always the first in the corpus is told.
            .collect::<Result<Vec<_>, DataError>>()?;
        for (piece, (encoded, bytes)) in batch.iter().zip(&encoded) {
            if let Some(counted) = tokens.get_mut(piece.file) {
                counted.tokens += encoded.ids.len() as u64;
                counted.unknown += tokenizer.count_unknown(&encoded.ids);
                counted.bytes += bytes;
            }
            match piece.row {
                Some(_) => packer.push_row(encoded)?,
                None => packer.push(encoded, piece.begins, piece.ends)?,
            }
        }
        if watch(Progress { split, done: pieces.bytes(), total }) == ControlFlow::Break(()) {
            return Err(DataError::Stopped);
        }
    }
    if pieces.passed().iter().all(|passed| passed.units == 0) {
        return Err(DataError::Empty {
            split,
            path: corpus.path().to_owned(),
            hint: match (held_out, corpus.unit()) {
                (true, Unit::Document) => {
                    "; its lines are too long to hold some out: set data.validation_split: tail"
                }
                (true, Unit::Line) => "; set a larger data.validation_fraction",
                (false, _) => "",
            },
        });
    }
    let files = corpus
        .files()
        .iter()
        .zip(pieces.passed())
        .zip(&tokens)
        .map(|((file, passed), counted)| FileLedger {
            file: file.clone(),
            passed: Passed { bytes: passed.bytes + counted.bytes, ..*passed },
            tokens: counted.tokens,
            unknown_tokens: counted.unknown,
        })
        .collect();
    let (packed, sink) = packer.finish()?;
    let ledger = SplitLedger {
        split,
        held_out_of: held_out.then_some(Split::Train),
        files,
        boundary_tokens: packed.boundary_tokens,
        frame_tokens: packed.frame_tokens,
        chunks: packed.chunks,
        chunk_tokens: packed.chunk_tokens,
        remainder: packed.remainder,
        short_units: packed.short_units,
        short_tokens: packed.short_tokens,
        cut_units: packed.cut_units,
        cut_tokens: packed.cut_tokens,
    };
    Ok((ledger, sink.finish()?))
}

#[cfg(test)]
mod tests;
