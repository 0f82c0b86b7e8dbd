//! Pseudo-log-likelihood: how models that see both sides score a sentence.
//!
//! Each token is hidden in turn, and the model says how probable it is in the place (Salazar, Liang, Nguyen, Kirchhoff:
//! *Masked language model scoring*, 2020, equation 1):
//!
//! ```text
//! PLL(w_1 .. w_n) = sum_t log p(w_t | all but w_t)
//! ```
//!
//! Where a word is several tokens, its other tokens give the hidden one away, and rare long words score too well. Within-word
//! left-to-right (Kauf, Ivanova: *A better way to do masked language model scoring*, 2023) also hides the tokens of the word
//! that come after t; so does this by default. The sum is no log-probability of the sentence: perplexities of it compare
//! only with each other.

use super::score::{BATCH_TOKENS, Detail, Scorer, Sequence, TokenScore, at, rectangle};
use crate::arch::LanguageModel;
use crate::train::signals::{StopFlag, Stopped};
use foundry_engine::{Ctx, Device};
use std::collections::HashMap;
use std::ops::Range;

/// What is hidden besides the token that is scored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Hiding {
    /// Nothing (Salazar et al. 2020).
    Token,
    /// The tokens of its word that come after it (Kauf and Ivanova 2023).
    #[default]
    WithinWord,
}

/// A model that sees both sides: each token given all others.
///
/// Of a sequence longer than the context a token sees as many tokens before as after it.
#[derive(Clone)]
pub struct MaskedScorer<'a> {
    model: &'a dyn LanguageModel,
    device: &'a Device,
    stop: StopFlag,
    mask: u32,
    hiding: Hiding,
}

/// One token of one sequence, with what the model sees.
struct Place {
    sequence: usize,
    at: usize,
    seen: Range<usize>,
}

impl<'a> MaskedScorer<'a> {
    /// `mask` is the id that stands for what is hidden.
    #[must_use]
    pub fn new(
        model: &'a dyn LanguageModel,
        device: &'a Device,
        mask: u32,
        hiding: Hiding,
    ) -> Self {
        Self { model, device, stop: StopFlag::new(), mask, hiding }
    }

    /// Asks `stop` after every batch.
    #[must_use]
    pub fn until(self, stop: &StopFlag) -> Self {
        Self { stop: stop.clone(), ..self }
    }

    /// What the model sees of a sequence when the token at `at` is asked for.
    fn hide(&self, s: &Sequence, at: usize, seen: Range<usize>) -> Vec<u32> {
        let mut ids = s.ids.clone();
        ids[at] = self.mask;
        if self.hiding == Hiding::WithinWord
            && let Some(&word) = s.words.get(at).filter(|word| **word != u32::MAX)
        {
            for later in at + 1..ids.len() {
                if s.words.get(later) == Some(&word) {
                    ids[later] = self.mask;
                }
            }
        }
        ids[seen].to_vec()
    }

    fn batch(&self, sequences: &[&Sequence], places: &[Place], detail: Detail) -> Vec<TokenScore> {
        let time = places.iter().map(|p| p.seen.len()).max().unwrap_or(0);
        let (mut ids, mut mask) = (Vec::new(), Vec::new());
        let (mut rows, mut targets) = (Vec::new(), Vec::new());
        for (b, place) in places.iter().enumerate() {
            let s = sequences[place.sequence];
            rows.push(b * time + place.at - place.seen.start);
            targets.push(s.ids[place.at]);
            ids.extend(self.hide(s, place.at, place.seen.clone()));
            mask.resize(ids.len(), 1);
            ids.resize((b + 1) * time, 0);
            mask.resize((b + 1) * time, 0);
        }
        let padded = mask.contains(&0);
        let batch =
            rectangle(self.device, [places.len(), time], &ids, padded.then_some(mask.as_slice()));
        let hidden = self.model.hidden(&Ctx::eval(), &batch);
        at(self.model, &hidden, &rows, &targets, detail)
    }
}

impl Scorer for MaskedScorer<'_> {
    fn score(
        &self,
        sequences: &[Sequence],
        detail: Detail,
    ) -> Result<Vec<Vec<TokenScore>>, Stopped> {
        // Equal sequences are scored once.
        let mut numbers: HashMap<&Sequence, usize> = HashMap::new();
        let mut distinct: Vec<&Sequence> = Vec::new();
        let number = |s| {
            *numbers.entry(s).or_insert_with(|| {
                distinct.push(s);
                distinct.len() - 1
            })
        };
        let number: Vec<usize> = sequences.iter().map(number).collect();
        let mut order: Vec<usize> = (0..distinct.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(distinct[i].ids.len()));

        let context = self.model.context_length().unwrap_or(usize::MAX);
        let mut scores = vec![Vec::new(); distinct.len()];
        let mut waiting: Vec<Place> = Vec::new();
        let mut flush = |waiting: &mut Vec<Place>| {
            for (place, score) in waiting.iter().zip(self.batch(&distinct, waiting, detail)) {
                scores[place.sequence].push(score);
            }
            waiting.clear();
            self.stop.check()
        };
        for sequence in order {
            let s = distinct[sequence];
            for at in s.scored.clone() {
                let seen = around(at, s.ids.len(), context);
                let longest = waiting.first().map_or(seen.len(), |first| first.seen.len());
                if (waiting.len() + 1) * longest.max(seen.len()) > BATCH_TOKENS
                    && !waiting.is_empty()
                {
                    flush(&mut waiting)?;
                }
                waiting.push(Place { sequence, at, seen });
            }
        }
        if !waiting.is_empty() {
            flush(&mut waiting)?;
        }
        Ok(number.into_iter().map(|i| scores[i].clone()).collect())
    }
}

/// The `context` positions of a sequence in whose middle `at` stands, as far as there are some on both sides.
fn around(at: usize, length: usize, context: usize) -> Range<usize> {
    let size = context.min(length);
    let start = at.saturating_sub(size / 2).min(length - size);
    start..start + size
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{Size, build, tiny};
    use crate::train::signals::StopReason;
    use foundry_engine::{DType, Init};

    const VOCAB: usize = 14;
    const MASK: u32 = 13;

    fn models() -> Vec<Box<dyn LanguageModel>> {
        let init = Init::new(&Device::cpu(), DType::F32, 5);
        let size = Size { vocab: VOCAB, positions: 12 };
        let built = tiny::variants().into_iter().filter_map(|(_, c)| build(&c, size, &init));
        built.filter(|m| !m.supports_generation()).collect()
    }

    fn sequences() -> Vec<Sequence> {
        let of = |i: u32| {
            let n = 3 + i * 3 % 10;
            let ids: Vec<u32> = (0..n).map(|t| (i * 5 + t * t) % MASK).collect();
            let end = ids.len() - 1;
            let word = |t| if t == 0 || t == n - 1 { u32::MAX } else { t / 3 };
            Sequence { ids, scored: 1..end, words: (0..n).map(word).collect() }
        };
        let mut all: Vec<Sequence> = (0..15).map(of).collect();
        all.push(all[4].clone());
        all.push(Sequence { ids: vec![2], scored: 0..0, words: vec![u32::MAX] });
        all
    }

    /// M-195: batched = the loop over positions, one row at a time, without padding.
    #[test]
    fn test_masked_scorer__equals_the_naive_loop() {
        let device = Device::cpu();
        assert!(!models().is_empty());
        for model in models() {
            for hiding in [Hiding::Token, Hiding::WithinWord] {
                let scorer = MaskedScorer::new(&*model, &device, MASK, hiding);
                let sequences = sequences();
                let found = scorer.score(&sequences, Detail::Probability).unwrap();
                for (s, found) in sequences.iter().zip(&found) {
                    assert_eq!(found.len(), s.scored.len());
                    for (t, found) in s.scored.clone().zip(found) {
                        let mut ids = s.ids.clone();
                        ids[t] = MASK;
                        for later in t + 1..ids.len() {
                            if hiding == Hiding::WithinWord && s.words[later] == s.words[t] {
                                ids[later] = MASK;
                            }
                        }
                        let seen = around(t, ids.len(), model.context_length().unwrap_or(99));
                        let (ids, row) = (&ids[seen.clone()], t - seen.start);
                        let batch = rectangle(&device, [1, ids.len()], ids, None);
                        let logits = model.logits(&Ctx::eval(), &batch).to_vec_f64();
                        let z = &logits[row * VOCAB..][..VOCAB];
                        let total: f64 = z.iter().map(|z| z.exp()).sum();
                        let expected = z[s.ids[t] as usize] - total.ln();
                        let error = (found.logprob_nats - expected).abs();
                        assert!(error <= 1e-5, "{}: {error}", model.architecture());
                    }
                }
                assert_eq!(found[4], found[15], "equal sequences have equal bits");
            }
        }
    }

    #[test]
    fn test_masked_scorer__stops_inside_a_text() {
        let (device, stop) = (Device::cpu(), StopFlag::new());
        for model in models() {
            let scorer = MaskedScorer::new(&*model, &device, MASK, Hiding::Token).until(&stop);
            assert!(scorer.score(&sequences(), Detail::Probability).is_ok());
            let stop = StopFlag::new();
            stop.request(StopReason::Interrupt);
            let stopped = scorer.until(&stop).score(&sequences(), Detail::Probability);
            assert_eq!(stopped, Err(Stopped(StopReason::Interrupt)));
        }
    }

    #[test]
    fn test_masked_scorer__long_sequences_are_seen_from_the_middle() {
        assert_eq!(around(0, 10, 4), 0..4);
        assert_eq!(around(5, 10, 4), 3..7);
        assert_eq!(around(9, 10, 4), 6..10);
        assert_eq!(around(1, 3, 4), 0..3);
    }
}
