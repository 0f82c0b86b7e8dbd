//! What counting the training text alone can do: n-gram models and token frequencies.

use super::{Pipeline, Say, Trained};
use crate::config::choices::Boundary;
use crate::data::{ChunkStore, Rebuild, Split};
use crate::error::Error;
use crate::eval::EvalError;
use crate::eval::ngram::{Ngram, Unigram};
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
    let train = dataset.and_then(|d| d.split(Split::Train).cloned());
    train.ok_or_else(|| Error::Mismatch("there is no training text to count".into()))
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
    let special = trained.tokenizer.special_ids();
    let (begin, end) = match trained.boundary {
        Boundary::Eos => (special.end(), special.end()),
        Boundary::BosEos => (special.begin(), special.end()),
        Boundary::None => (None, None),
    };
    let mut sentences = Sentences {
        store: &store,
        next: 0,
        begin: begin.unwrap_or_else(|| u32::try_from(vocab).unwrap_or(u32::MAX)),
        end,
        ids: Vec::new().into_iter(),
    };
    let next = || match stop.check() {
        Ok(()) => sentences.next(),
        Err(stopped) => Some(Err(EvalError::from(stopped).into())),
    };
    Ok(Ngram::count(order, vocab, std::iter::from_fn(next))?.until(stop))
}

/// The sentences of a text that was cut into chunks.
struct Sentences<'a> {
    store: &'a ChunkStore,
    next: u64,
    begin: u32,
    end: Option<u32>,
    /// What is left of a chunk.
    ids: std::vec::IntoIter<u32>,
}

impl Sentences<'_> {
    /// Up to the token that ends a sentence, or the end of the text.
    fn next(&mut self) -> Option<Result<Vec<u32>, Error>> {
        let mut sentence = vec![self.begin];
        loop {
            match self.ids.next() {
                // The token that begins a sentence is there already.
                Some(id) if id == self.begin && Some(id) != self.end => {}
                Some(id) => {
                    sentence.push(id);
                    if Some(id) == self.end {
                        return Some(Ok(sentence));
                    }
                }
                None if self.next == self.store.len() => {
                    return (sentence.len() > 1).then_some(Ok(sentence));
                }
                None => {
                    self.next += 1;
                    match self.store.chunk(self.next - 1) {
                        Ok(chunk) => self.ids = chunk.ids.into_iter(),
                        Err(e) => return Some(Err(e.into())),
                    }
                }
            }
        }
    }
}
