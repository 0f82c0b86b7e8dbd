//! Batches for models that guess hidden tokens.
//!
//! Devlin et al. 2019. Some tokens are chosen; of these most are replaced by the mask token, some by a random token and
//! some are left as they are (0.8, 0.1, 0.1), so that the model can trust no token it reads. It must guess all that were
//! chosen:
//!
//! ```text
//! tokens  [CLS] a    b    c    d    [SEP]  [PAD]
//! chosen        x         x    x
//! ids     [CLS] mask b    e    d    [SEP]  [PAD]
//! labels  -     a    -    c    d    -      -
//! ```
//!
//! What is chosen together is a token, a word (all its tokens, up to the next white space), or a span of words
//! ([`spans`](super::spans)). Each ordinary token is chosen with probability `mlm_probability`, independently of what is
//! not chosen together with it; a short row may have no chosen token, and then adds nothing to the loss. Special tokens
//! (the unknown token too) are never chosen, and never stand in for another.
//!
//! All of it is a function of (seed, epoch, row id, position): neither the batch of a row nor its padding changes it, and
//! there is nothing to save for resuming.

use super::spans::Spans;
use super::{Collator, HostBatch, IGNORE, RowKeys};
use crate::config::MaskingConfig;
use crate::config::choices::Masking;
use crate::data::Chunk;
use crate::tokenizer::SpecialIds;
use foundry_engine::rng::{Purpose, Stream, key};

/// Pads on the right and hides tokens.
#[derive(Clone, Debug)]
pub struct MaskedLMDataCollator {
    masking: MaskingConfig,
    spans: Spans,
    mask: u32,
    pad: u32,
    special: Vec<u32>,
    /// What a random token is drawn from.
    ordinary: Vec<u32>,
}

/// What becomes of a chosen token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Masked,
    Random,
    Kept,
}

impl MaskedLMDataCollator {
    /// A collator for a tokenizer with these special tokens and `vocab_size` tokens in all; None if it has no mask token.
    #[must_use]
    pub fn new(masking: &MaskingConfig, ids: SpecialIds, vocab_size: usize) -> Option<Self> {
        let special: Vec<u32> = ids.iter().collect();
        let all = 0..u32::try_from(vocab_size).unwrap_or(u32::MAX);
        Some(Self {
            masking: masking.clone(),
            spans: Spans::new(masking.mlm_probability),
            mask: ids.mask?,
            pad: ids.pad.or(ids.end()).unwrap_or(0),
            ordinary: all.filter(|id| !special.contains(id)).collect(),
            special,
        })
    }

    /// What becomes of each token of a row.
    fn fates(&self, key: [u32; 2], chunk: &Chunk) -> Vec<Option<Fate>> {
        let is_ordinary: Vec<bool> =
            chunk.ids.iter().map(|id| !self.special.contains(id)).collect();
        let chosen = |place| draws(key, place).0 < self.masking.mlm_probability;
        let own_fate = |place| self.fate(draws(key, place).1);
        let places = (0_u32..).zip(&is_ordinary);
        match self.masking.masking {
            Masking::Token => {
                places.map(|(t, ordinary)| (*ordinary && chosen(t)).then(|| own_fate(t))).collect()
            }
            Masking::WholeWord => places
                .zip(words(chunk, &is_ordinary))
                .map(|((t, _), word)| word.filter(|first| chosen(*first)).map(|_| own_fate(t)))
                .collect(),
            Masking::Span => {
                let words = words(chunk, &is_ordinary);
                let mut firsts: Vec<u32> = words.iter().flatten().copied().collect();
                firsts.dedup();
                let covered = self.spans.cover(key, &firsts);
                let of = |first: u32| covered[firsts.partition_point(|f| *f < first)];
                words.into_iter().map(|word| of(word?).map(|draw| self.fate(draw))).collect()
            }
        }
    }

    /// The fate for a number drawn from (0, 1).
    fn fate(&self, draw: f64) -> Fate {
        let [masked, random, _] = self.masking.mask_split;
        if draw < masked {
            Fate::Masked
        } else if draw < masked + random {
            Fate::Random
        } else {
            Fate::Kept
        }
    }

    /// The token that stands in for the one at `place`.
    fn random(&self, key: [u32; 2], place: u32) -> u32 {
        let n = u32::try_from(self.ordinary.len()).unwrap_or(u32::MAX);
        self.ordinary[Stream::numbered(key, 2 * place + 1).below(n) as usize]
    }
}

/// The numbers of a place: whether what begins there is chosen, and its fate.
pub(super) fn draws(key: [u32; 2], place: u32) -> (f64, f64) {
    let mut stream = Stream::numbered(key, place.wrapping_mul(2));
    (stream.uniform(), stream.uniform())
}

/// For each token the place of the first token of its word; None for special tokens. What stands before the first
/// beginning of a word is the rest of one.
fn words(chunk: &Chunk, is_ordinary: &[bool]) -> Vec<Option<u32>> {
    let starts = chunk.word_starts.iter().copied().chain(std::iter::repeat(false));
    let mut word = None;
    let place = |((t, ordinary), starts): ((u32, &bool), bool)| {
        word = if !ordinary {
            None
        } else if starts {
            Some(t)
        } else {
            word.or(Some(t))
        };
        word
    };
    (0..).zip(is_ordinary).zip(starts).map(place).collect()
}

impl Collator for MaskedLMDataCollator {
    fn collate(&self, keys: RowKeys<'_>, chunks: &[Chunk]) -> HostBatch {
        assert_eq!(keys.rows.len(), chunks.len(), "a batch needs one key for each row");
        let time = chunks.iter().map(|chunk| chunk.ids.len()).max().unwrap_or(0);
        let mut out = HostBatch {
            batch: chunks.len(),
            time,
            rows: keys.rows.to_vec(),
            ..HostBatch::default()
        };
        let mut predicted = Vec::new();
        for ((row, chunk), id) in chunks.iter().enumerate().zip(keys.rows) {
            let id = u32::try_from(*id).expect("a dataset has fewer than 2^32 rows");
            let key = key(keys.seed, Purpose::Masking, keys.epoch, id);
            let (length, end) = (chunk.ids.len(), (row + 1) * time);
            for ((t, &token), fate) in (0..).zip(&chunk.ids).zip(self.fates(key, chunk)) {
                if fate.is_some() {
                    predicted.push(u32::try_from(out.labels.len()).unwrap_or(u32::MAX));
                }
                out.labels.push(fate.map_or(IGNORE, |_| token));
                out.ids.push(match fate {
                    Some(Fate::Masked) => self.mask,
                    Some(Fate::Random) => self.random(key, t),
                    Some(Fate::Kept) | None => token,
                });
            }
            out.mask.resize(row * time + length, 1);
            out.ids.resize(end, self.pad);
            out.mask.resize(end, 0);
            out.labels.resize(end, IGNORE);
            out.lengths.push(u32::try_from(length).unwrap_or(u32::MAX));
            out.real_tokens += length as u64;
            out.words += chunk.word_starts.iter().filter(|starts| **starts).count() as u64;
        }
        out.targets = predicted.len() as u64;
        out.predicted = Some(predicted);
        out
    }
}

#[cfg(test)]
mod tests;
