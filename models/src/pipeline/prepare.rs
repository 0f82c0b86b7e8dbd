//! The second and third stage: the tokenizer, and the chunks.

use super::{CorpusPaths, Notice, Pipeline, SPLITS, Say, grouped};
use crate::data::{Corpora, Dataset, Rebuild, prepare};
use crate::error::Error;
use crate::tokenizer::{Tokenizer, TokenizerError};
use crate::train::signals::StopFlag;
use serde_json::json;
use std::ops::ControlFlow;
use std::path::Path;

/// Says of a tokenizer folder what the tokenizer was trained from.
const ORIGIN_FILE: &str = "foundry_tokenizer.json";

/// What to do with a tokenizer that is there but was trained from something else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stale {
    /// It is an error: nothing is overwritten unasked.
    Refuse,
    /// It is trained anew.
    Retrain,
    /// It is trained anew even if nothing has changed.
    Anew,
}

impl Pipeline {
    /// The tokenizer of the configuration: the one in its folder, or a new one, trained on the training text alone.
    ///
    /// # Errors
    /// A folder whose tokenizer was trained by Foundry from other text or settings; what training and files can meet.
    pub fn tokenizer(
        &self,
        corpus: &CorpusPaths,
        stale: Stale,
        say: Say<'_>,
    ) -> Result<Tokenizer, Error> {
        let folder = &self.config.tokenizer.output_dir;
        let options = self.config.tokenizer.train_options();
        let corpora = Corpora::open(&self.config.data_options(corpus.training.clone()))?;
        let train = corpora.train();
        if train.is_tokenized() {
            return self.given_tokenizer(&corpus.training, say);
        }
        let files: Vec<_> = train.files().iter().map(|f| f.blake3.clone()).collect();
        let origin = json!({
            "format": 1,
            "kind": options.kind.to_string(),
            "options": format!("{options:?}"),
            "unit": format!("{:?}", self.config.data.unit),
            "held_out": format!("{:?}", train.held_out()),
            "corpus_blake3": files,
        });
        if Tokenizer::is_at(folder) && stale != Stale::Anew {
            match recorded(folder) {
                Some(recorded) if recorded != origin && stale == Stale::Refuse => {
                    return Err(Error::Usage(format!(
                        "the tokenizer in {} was trained from other text or with other settings\n  \
                         mend: give tokenizer.output_dir a new folder, or train it anew with \
                         foundry train-tokenizer CONFIG --force",
                        folder.display()
                    )));
                }
                Some(recorded) if recorded != origin => {}
                _ => return self.made_tokenizer(say),
            }
        }
        say(Notice::Stage("tokenizer"));
        let (tokenizer, report) =
            Tokenizer::train(&options, &mut train.text()).map_err(|e| match e {
                TokenizerError::NoText => {
                    Error::Mismatch(format!("{}: {e}", corpus.training.display()))
                }
                other => other.into(),
            })?;
        tokenizer.save(folder, Some(self.config.data.max_sequence_length))?;
        let origin = format!("{origin:#}\n");
        let path = folder.join(ORIGIN_FILE);
        crate::storage::Disk::real().replace_file(&path, "tokenizer", origin.as_bytes())?;
        say(Notice::Info(format!(
            "{} tokens from {} characters: {}",
            grouped(report.vocab_size as u64),
            grouped(report.characters),
            folder.display()
        )));
        report.notes.into_iter().for_each(|note| say(Notice::Warning(note)));
        Ok(tokenizer)
    }

    /// The tokenizer in the folder.
    fn made_tokenizer(&self, say: Say<'_>) -> Result<Tokenizer, Error> {
        let folder = &self.config.tokenizer.output_dir;
        let tokenizer = Tokenizer::load(folder)?;
        let (size, most) = (tokenizer.vocab_size(), self.config.tokenizer.vocab_size);
        if size > most {
            return Err(Error::Usage(format!(
                "the tokenizer in {} has {size} tokens, more than tokenizer.vocab_size ({most})\n  mend: set \
                 tokenizer.vocab_size to {size} or more",
                folder.display()
            )));
        }
        say(Notice::Info(format!(
            "tokenizer: {} ({} tokens, made before)",
            folder.display(),
            grouped(tokenizer.vocab_size() as u64)
        )));
        Ok(tokenizer)
    }

    /// The tokenizer of a dataset that holds token ids: it must be there, since ids teach none, and is never trained anew.
    fn given_tokenizer(&self, dataset: &Path, say: Say<'_>) -> Result<Tokenizer, Error> {
        let folder = &self.config.tokenizer.output_dir;
        if Tokenizer::is_at(folder) {
            return self.made_tokenizer(say);
        }
        Err(Error::Mismatch(format!(
            "{} holds token ids and no text, and {} has no tokenizer\n  mend: put the tokenizer that made the ids \
             into tokenizer.output_dir, or give a dataset with a column 'text'",
            dataset.display(),
            folder.display()
        )))
    }

    /// The chunks of the configuration, from the cache or made now; None if `stop` was set meanwhile.
    ///
    /// # Errors
    /// What corpora and caches can meet; more text dropped than allowed.
    pub fn dataset(
        &self,
        corpus: &CorpusPaths,
        tokenizer: &Tokenizer,
        rebuild: Rebuild,
        stop: &StopFlag,
        say: Say<'_>,
    ) -> Result<Option<Dataset>, Error> {
        let options = self.config.data_options(corpus.training.clone());
        say(Notice::Stage("dataset"));
        let prepared = prepare(&options, tokenizer, &self.cache, rebuild, &mut |progress| {
            say(Notice::Preparing(progress));
            if stop.is_set() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let dataset = match prepared {
            Err(_) if stop.is_set() => return Ok(None),
            other => other?,
        };
        for warning in &dataset.ledger().warnings {
            say(Notice::Warning(warning.clone()));
        }
        for split in SPLITS {
            if let Some(chunks) = dataset.split(split) {
                say(Notice::Info(format!(
                    "{split}: {} tokens in {} chunks of {}",
                    grouped(chunks.tokens()),
                    grouped(chunks.len()),
                    chunks.chunk_length()
                )));
            }
        }
        Ok(Some(dataset))
    }
}

fn recorded(folder: &Path) -> Option<serde_json::Value> {
    serde_json::from_slice(&std::fs::read(folder.join(ORIGIN_FILE)).ok()?).ok()
}
