//! What counting the training text alone can do: n-gram models and token frequencies.

use super::{Pipeline, Say, Trained};
use crate::config::choices::Boundary;
use crate::data::{ChunkStore, Packing, Rebuild, Split};
use crate::error::Error;
use crate::eval::EvalError;
use crate::eval::ngram::{Ngram, Unigram};
use crate::train::run_folder::{PROVENANCE_FILE, Provenance};
use crate::train::signals::StopFlag;
use std::sync::Arc;

/// The tokens that a model was trained on, from the cache, which is made again if it is gone.
fn training_tokens(
    trained: &Trained,
    stop: &StopFlag,
    say: Say<'_>,
) -> Result<Arc<ChunkStore>, Error> {
    let Some(config) = &trained.config else {
        return Err(Error::Usage(format!(
            "{} does not say which text it was trained on: --slor and --ngram need a run of Foundry",
            trained.folder.display()
        )));
    };
    let pipeline = Pipeline::new(config.clone());
    let corpus = pipeline.corpus(say)?;
    let dataset = pipeline.dataset(&corpus, &trained.tokenizer, Rebuild::IfMissing, stop, say)?;
    stop.check().map_err(EvalError::from)?;
    if let Some(dataset) = &dataset {
        same_text(trained, dataset.key())?;
    }
    let train = dataset.and_then(|d| d.split(Split::Train).cloned());
    train.ok_or_else(|| Error::Mismatch("there is no training text to count".into()))
}

/// The text that the configuration names today is counted only if all data are those of the run.
fn same_text(trained: &Trained, key: &str) -> Result<(), Error> {
    let file = trained.folder.join("..").join(PROVENANCE_FILE);
    let Some(recorded) = std::fs::read(&file).ok().and_then(|bytes| {
        let provenance: Provenance = serde_json::from_slice(&bytes).ok()?;
        provenance.details.get("data_key")?.as_str().map(str::to_owned)
    }) else {
        return Ok(());
    };
    if recorded == key {
        return Ok(());
    }
    Err(Error::Mismatch(format!(
        "the data (training, validation and test text) are not those of {} (then {recorded}, now {key})\n  mend: --slor and --ngram count it: \
         put the files back as they were, and call foundry in the folder in which the run was trained",
        trained.folder.display()
    )))
}

/// How often each token stands in the training text.
///
/// # Errors
/// A training text that is not there any more; a stop that was asked for.
pub fn unigram(trained: &Trained, stop: &StopFlag, say: Say<'_>) -> Result<Unigram, Error> {
    let store = training_tokens(trained, stop, say)?;
    let mut counts = vec![0; trained.tokenizer.vocab_size()];
    for i in 0..store.len() {
        stop.check().map_err(EvalError::from)?;
        for id in store.chunk(i)?.ids {
            if let Some(count) = counts.get_mut(id as usize) {
                *count += 1;
            }
        }
    }
    Ok(Unigram::new(&counts))
}

/// An n-gram model of the training text, in the model's own tokens.
///
/// # Errors
/// An order that is 0 or too high for the vocabulary; a training text that is not there any more; a stop that was asked
/// for.
pub fn ngram(
    trained: &Trained,
    order: usize,
    stop: &StopFlag,
    say: Say<'_>,
) -> Result<Ngram, Error> {
    let vocab = trained.tokenizer.vocab_size();
    let most = Ngram::highest_order(vocab);
    if !(1..=most).contains(&order) {
        return Err(Error::Usage(format!(
            "--ngram {order}: expected 1 to {most} with a vocabulary of {vocab} tokens"
        )));
    }
    let store = training_tokens(trained, stop, say)?;
    let mut sentences = Sentences::new(trained, &store);
    let next = || match stop.check() {
        Ok(()) => sentences.next(),
        Err(stopped) => Some(Err(EvalError::from(stopped).into())),
    };
    Ok(Ngram::count(order, vocab, std::iter::from_fn(next))?.until(stop))
}

/// The sentences of a text that was cut into chunks, each after the token that stands before a sentence when it is scored.
struct Sentences<'a> {
    store: &'a ChunkStore,
    next: u64,
    begin: u32,
    /// What ends a sentence in the chunks, and when it is scored.
    end: Option<u32>,
    scored_end: Option<u32>,
    /// What training placed before each sentence, for which `begin` stands.
    before: Option<u32>,
    /// How many tokens of each chunk are of its frame: at the beginning, and at the end.
    frame: (usize, usize),
    /// Whether a sentence ends with its chunk, or goes on in the next.
    ends_with_chunk: bool,
    /// What is left of a chunk.
    ids: std::vec::IntoIter<u32>,
}

impl<'a> Sentences<'a> {
    fn new(trained: &Trained, store: &'a ChunkStore) -> Self {
        let ids = trained.tokenizer.special_ids();
        let special = trained.sentence_ids();
        let packing = trained.config.as_ref().map_or(Packing::Pack, |config| config.data.packing);
        let (framed, alone) =
            (trained.model.architecture() == "bert", packing == Packing::Sentence);
        // The end of a line that has a chunk of its own is the end of the frame.
        let frame = match (framed, alone) {
            (false, _) => (0, 0),
            (true, true) => (1, 0),
            (true, false) => (1, 1),
        };
        let end = match trained.boundary {
            _ if framed && alone => special.end(),
            Boundary::None => None,
            Boundary::Eos | Boundary::BosEos => ids.end(),
        };
        let nothing = u32::try_from(trained.tokenizer.vocab_size()).unwrap_or(u32::MAX);
        Self {
            store,
            next: 0,
            begin: special.bos.unwrap_or(nothing),
            end,
            scored_end: special.end(),
            before: match trained.boundary {
                Boundary::BosEos => ids.begin(),
                _ => special.bos.filter(|_| alone && !framed),
            },
            frame,
            ends_with_chunk: packing != Packing::Pack,
            ids: Vec::new().into_iter(),
        }
    }

    /// Up to the token that ends a sentence, or the end of the text.
    fn next(&mut self) -> Option<Result<Vec<u32>, Error>> {
        let mut sentence = vec![self.begin];
        loop {
            match self.ids.next() {
                Some(id) if sentence.len() == 1 && Some(id) == self.before => {}
                Some(id) if Some(id) == self.end => {
                    sentence.extend(self.scored_end);
                    return Some(Ok(sentence));
                }
                Some(id) => sentence.push(id),
                None => {
                    let ended = self.ends_with_chunk || self.next == self.store.len();
                    if ended && sentence.len() > 1 {
                        return Some(Ok(sentence));
                    }
                    if let Err(e) = self.read()? {
                        return Some(Err(e));
                    }
                }
            }
        }
    }

    /// Reads the next chunk; None after the last.
    fn read(&mut self) -> Option<Result<(), Error>> {
        if self.next == self.store.len() {
            return None;
        }
        self.next += 1;
        let mut ids = match self.store.chunk(self.next - 1) {
            Ok(chunk) => chunk.ids,
            Err(e) => return Some(Err(e.into())),
        };
        ids.truncate(ids.len().saturating_sub(self.frame.1));
        ids.drain(..self.frame.0.min(ids.len()));
        self.ids = ids.into_iter();
        Some(Ok(()))
    }
}
