//! Surprisal: how unexpected each token and each word of a sentence is.
//!
//! Hale: *A probabilistic Earley parser as a psycholinguistic model* (2001); Levy: *Expectation-based syntactic
//! comprehension* (2008). Of a token, -log2 p(token | what stands before it), in bits; of a word or a region the sum of
//! its tokens' (chain rule), so the words of a sentence add up to the sentence.

use super::align::Unit;
use super::error::EvalError;
use super::ngram::Unigram;
use super::score::{Detail, Distribution, Scorer, TokenScore};
use super::stimuli::{Encoded, Reader, Stimulus};
use super::table::{Origin, Row};
use serde_json::{Value, json};
use std::f64::consts::LN_2;

/// Sentences that are read before any is scored: enough to sort by length.
const BLOCK_SENTENCES: usize = 256;
/// Or as soon as they have so many tokens.
const BLOCK_TOKENS: usize = 1 << 14;

/// A sentence and its scores.
#[derive(Clone, PartialEq, Debug)]
pub struct Scored {
    /// The sentence.
    pub stimulus: Stimulus,
    /// As the model read it.
    pub encoded: Encoded,
    /// One for each scored position.
    pub tokens: Vec<TokenScore>,
}

/// Scores sentences as they come, in memory that does not grow with their number; `each` gets them in order.
///
/// # Errors
/// Those of the sentences, and of `each`.
pub fn score_stimuli<E: From<EvalError>>(
    scorer: &dyn Scorer,
    reader: &Reader<'_>,
    stimuli: impl IntoIterator<Item = Result<Stimulus, EvalError>>,
    detail: Detail,
    mut each: impl FnMut(Scored) -> Result<(), E>,
) -> Result<u64, E> {
    let mut stimuli = stimuli.into_iter();
    let mut count = 0;
    loop {
        let (mut block, mut sequences, mut tokens) = (Vec::new(), Vec::new(), 0);
        while block.len() < BLOCK_SENTENCES && tokens < BLOCK_TOKENS {
            let Some(stimulus) = stimuli.next() else { break };
            let stimulus = stimulus?;
            let encoded = reader.encode(&stimulus.text, stimulus.regions.as_deref())?;
            tokens += encoded.sequence.ids.len();
            sequences.push(encoded.sequence.clone());
            block.push((stimulus, encoded));
        }
        if block.is_empty() {
            return Ok(count);
        }
        count += block.len() as u64;
        let scores = scorer.score(&sequences, detail).map_err(EvalError::from)?;
        for ((stimulus, encoded), tokens) in block.into_iter().zip(scores) {
            each(Scored { stimulus, encoded, tokens })?;
        }
    }
}

impl Scored {
    /// The log-probability of the sentence (of its scored tokens), in nats.
    #[must_use]
    pub fn logprob_nats(&self) -> f64 {
        self.tokens.iter().map(|t| t.logprob_nats).sum()
    }

    /// The score of the token at a position, if it is scored.
    #[must_use]
    pub fn token(&self, position: usize) -> Option<&TokenScore> {
        let scored = &self.encoded.sequence.scored;
        self.tokens.get(position.checked_sub(scored.start)?)
    }

    /// The surprisal of a word or region; None if one of its tokens is not scored (nothing stands before it).
    #[must_use]
    pub fn surprisal_bits(&self, unit: &Unit) -> Option<f64> {
        let nats = |position| Some(self.token(position)?.logprob_nats);
        Some(-unit.tokens.clone().map(nats).sum::<Option<f64>>()? / LN_2)
    }

    /// One object; numbers of tokens stand in lists that begin at position `first_scored` of the ids.
    #[must_use]
    pub fn to_json(&self, reader: &Reader<'_>, origin: &Origin) -> Value {
        let sequence = &self.encoded.sequence;
        let unit = |u: &Unit, name: &str| {
            json!({
                name: u.text,
                "tokens": [u.tokens.start, u.tokens.end],
                "surprisal_bits": self.surprisal_bits(u),
            })
        };
        let list = |f: &dyn Fn(&TokenScore) -> Option<f64>| -> Vec<Value> {
            self.tokens.iter().filter_map(f).map(Value::from).collect()
        };
        let words = self.encoded.words.iter().map(|w| unit(w, "word"));
        let mut object = json!({
            "text": self.stimulus.text,
            "item": self.stimulus.item,
            "condition": self.stimulus.condition,
            "step": origin.step,
            "ids": sequence.ids,
            "tokens": tokens(reader, &sequence.ids),
            "first_scored": sequence.scored.start,
            "logprobs_nats": list(&|t| Some(t.logprob_nats)),
            "surprisal_bits": list(&|t| Some(bits(t.logprob_nats))),
            "words": words.collect::<Vec<_>>(),
            "logprob_nats": self.logprob_nats(),
            "unknown_tokens": reader.tokenizer.count_unknown(&sequence.ids),
        });
        if self.tokens.iter().all(|t| t.distribution.is_some()) {
            let of = |f: fn(&Distribution) -> Value| -> Vec<Value> {
                self.tokens.iter().filter_map(|t| t.distribution.as_ref().map(f)).collect()
            };
            object["entropy_bits"] = of(|d| json!(d.entropy_nats / LN_2)).into();
            object["rank"] = of(|d| json!(d.rank)).into();
        }
        if let Some(unigram) = reader.unigram {
            let ids = &sequence.ids[sequence.scored.clone()];
            object["slor"] = json!(unigram.slor(self.logprob_nats(), ids));
        }
        if self.stimulus.regions.is_some() {
            object["regions"] =
                self.encoded.regions.iter().map(|r| unit(r, "region")).collect::<Vec<_>>().into();
        }
        object
    }

    /// One line for each token of the sentence, under [`COLUMNS`].
    #[must_use]
    pub fn rows(&self, reader: &Reader<'_>, origin: &Origin) -> Vec<String> {
        let sequence = &self.encoded.sequence;
        let names = tokens(reader, &sequence.ids);
        // Units stand in the order of their tokens.
        let of = |units: &[Unit], position: usize| {
            let i = units.partition_point(|u| u.tokens.end <= position);
            units.get(i).is_some_and(|u| u.tokens.contains(&position)).then_some(i)
        };
        let row = |position: usize| {
            let (word, region) =
                (of(&self.encoded.words, position), of(&self.encoded.regions, position));
            let text = |units: &'_ [Unit], i: Option<usize>| i.map(|i| units[i].text.clone());
            let score = self.token(position);
            let distribution = score.and_then(|s| s.distribution);
            let mut row = Row::of(origin);
            row.text(self.stimulus.item.as_deref()).text(self.stimulus.condition.as_deref());
            row.option(region.map(|i| i + 1)).text(text(&self.encoded.regions, region).as_deref());
            row.option(word.map(|i| i + 1)).text(text(&self.encoded.words, word).as_deref());
            row.cell(position).text(Some(&names[position])).cell(sequence.ids[position]);
            row.option(score.map(|s| s.logprob_nats));
            row.option(score.map(|s| bits(s.logprob_nats)));
            row.option(distribution.map(|d| d.entropy_nats / LN_2));
            row.option(distribution.map(|d| d.rank));
            let unigram = |u: &Unigram| bits(u.logprob_nats(sequence.ids[position]));
            row.option(reader.unigram.map(unigram));
            row.finish()
        };
        // The boundary token before the sentence is no part of it.
        let first = if reader.special.bos.is_some() { 1 } else { 0 };
        let last = sequence.scored.end.max(first);
        (first..last).map(row).collect()
    }
}

/// The columns of [`Scored::rows`], after those of the origin.
pub const COLUMNS: &str = "item,condition,region_index,region,word_index,word,token_index,token,id,logprob_nats,\
                           surprisal_bits,entropy_bits,rank,unigram_surprisal_bits";

/// Minus zero is zero.
fn bits(logprob_nats: f64) -> f64 {
    -logprob_nats / LN_2 + 0.0
}

/// The tokens as the vocabulary writes them.
fn tokens(reader: &Reader<'_>, ids: &[u32]) -> Vec<String> {
    ids.iter().map(|id| reader.tokenizer.token(*id).unwrap_or_default()).collect()
}
