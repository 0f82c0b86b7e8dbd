//! The scoring path held against models whose every probability is known ([`oracle`](super::oracle)).
//!
//! The numbers on one side come from the code that scores trained models: batches of sequences of many lengths, some equal,
//! some beginning alike, some longer than the context; words; a stream; minimal pairs; pseudo-log-likelihood. Those on the
//! other side are read off the table.

use super::oracle::{Table, oracle};
use super::pairs::{MinimalPair, Paradigm, score_pairs};
use super::pseudo::{Hiding, MaskedScorer};
use super::score::{CausalScorer, Detail, Scorer, Sequence};
use super::stimuli::{Reader, Stimulus};
use super::surprisal::score_stimuli;
use super::{EvalError, StreamScorer};
use crate::arch::{LanguageModel, tiny};
use crate::config::ModelConfig;
use crate::tokenizer::{SpecialIds, Tokenizer, TokenizerError, TokenizerKind, TrainOptions};
use crate::train::signals::Stopped;
use foundry_engine::{DType, Device};
use std::f64::consts::LN_2;

/// Tokens that a model with a bounded context can take.
const POSITIONS: usize = 32;
const SENTENCES: [&str; 6] = [
    "the cat sat on a mat",
    "the cat sat on the mat",
    "a mat",
    "the cat sat on a mat",
    "",
    "tamtam",
];

/// One thing that was looked at.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// The architecture.
    pub architecture: &'static str,
    /// `uniform`, `unigram` or `bigram`.
    pub oracle: &'static str,
    /// `f64` or `f32`.
    pub precision: &'static str,
    /// What was compared.
    pub what: &'static str,
    /// The largest difference a token, in nats (bits for words), or the number of wrong answers.
    pub error: f64,
    /// The largest that is allowed.
    pub tolerance: f64,
}

impl Finding {
    /// Whether it is as it should be.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// Every oracle of every architecture, in f64 and in f32.
///
/// # Errors
/// A tokenizer that cannot be trained.
pub fn selftest() -> Result<Vec<Finding>, EvalError> {
    let tokenizer = alphabet()?;
    let vocab = tokenizer.vocab_size();
    let tables = [
        ("uniform", Table::uniform(vocab)),
        ("unigram", Table::unigram(vocab)),
        ("bigram", Table::bigram(vocab)),
    ];
    let mut findings = Vec::new();
    for config in tiny::configs() {
        for (name, table) in &tables {
            for (precision, dtype, tolerance) in
                [("f64", DType::F64, 1e-9), ("f32", DType::F32, 1e-5)]
            {
                let check = Check { tokenizer: &tokenizer, table, config: &config, dtype };
                let Some((architecture, errors)) = check.run()? else { continue };
                findings.extend(errors.into_iter().map(|(what, error)| Finding {
                    architecture,
                    oracle: name,
                    precision,
                    what,
                    error,
                    tolerance,
                }));
            }
        }
    }
    Ok(findings)
}

/// A character is a token, so that which tokens make a word is plain to see.
fn alphabet() -> Result<Tokenizer, TokenizerError> {
    let mut text = SENTENCES.iter().map(|s| Ok((*s).to_owned()));
    let options = TrainOptions::new(TokenizerKind::Character, 64);
    Tokenizer::train(&options, &mut text).map(|(tokenizer, _)| tokenizer)
}

struct Check<'a> {
    tokenizer: &'a Tokenizer,
    table: &'a Table,
    config: &'a ModelConfig,
    dtype: DType,
}

type Errors = Vec<(&'static str, f64)>;

impl Check<'_> {
    /// What was compared and the largest difference; None if the architecture has no such oracle.
    fn run(&self) -> Result<Option<(&'static str, Errors)>, EvalError> {
        let sizes = (self.tokenizer.vocab_size(), POSITIONS);
        let Some(model) = oracle(self.config, self.table, sizes, self.dtype) else {
            return Ok(None);
        };
        let device = Device::cpu();
        let both_ways = !model.supports_generation();
        let special = self.tokenizer.special_ids();
        let special = SpecialIds { bos: special.end(), cls: None, ..special };
        let reader = Reader {
            tokenizer: self.tokenizer,
            special,
            score_end: false,
            both_ways,
            unigram: None,
        };
        let mut errors;
        if both_ways {
            let mask = special.mask.or(special.unk).unwrap_or(0);
            let scorer = MaskedScorer::new(&*model, &device, mask, Hiding::WithinWord);
            errors = self.tokens(&scorer)?;
            errors.extend(self.sentences(&scorer, &reader)?);
        } else {
            let scorer = CausalScorer::new(&*model, &device, None);
            errors = self.tokens(&scorer)?;
            errors.extend(self.sentences(&scorer, &reader)?);
            errors.push(("stream", self.stream(&*model, &device)?));
        }
        Ok(Some((model.architecture(), errors)))
    }

    /// Log-probability, entropy and rank of every token of sequences of many kinds.
    fn tokens(&self, scorer: &dyn Scorer) -> Result<Errors, Stopped> {
        let vocab = u32::try_from(self.tokenizer.vocab_size()).unwrap_or(u32::MAX);
        let of = |i: u32| -> Vec<u32> {
            (0..2 + i * 7 % 90).map(|t| (i / 3 * 5 + t * t + t / 4 * (i % 3)) % vocab).collect()
        };
        let sequences: Vec<Sequence> =
            (0..40).chain([11, 12]).map(|i| Sequence::after_first(of(i))).collect();
        let (mut logprob, mut entropy, mut rank) = (0.0_f64, 0.0_f64, 0.0);
        let scored = scorer.score(&sequences, Detail::Distribution)?;
        for (s, scores) in sequences.iter().zip(scored) {
            for (t, score) in s.scored.clone().zip(scores) {
                let (this, next) = (s.ids[t - 1], s.ids[t]);
                let Some(found) = score.distribution else { continue };
                logprob =
                    logprob.max((score.logprob_nats - self.table.logprob_nats(this, next)).abs());
                entropy = entropy.max((found.entropy_nats - self.table.entropy_nats(this)).abs());
                let margin = if self.dtype == DType::F64 { 1e-9 } else { 1e-5 };
                let right = self.table.ranks(this, next, 2.0 * margin).contains(&found.rank);
                rank += f64::from(u8::from(!right));
            }
        }
        Ok(vec![("token logprob", logprob), ("entropy", entropy), ("ranks", rank)])
    }

    /// The surprisal of words and the differences of minimal pairs, both a token.
    fn sentences(&self, scorer: &dyn Scorer, reader: &Reader<'_>) -> Result<Errors, EvalError> {
        let known = |text: &str| -> Result<Vec<f64>, EvalError> {
            let ids = self.tokenizer.encode(text)?;
            let before = reader.special.bos.into_iter().chain(ids.iter().copied());
            Ok(before.zip(&ids).map(|(a, b)| self.table.logprob_nats(a, *b)).collect())
        };
        let mut words = 0.0_f64;
        let stimuli =
            SENTENCES.map(|text| Ok(Stimulus { text: text.to_owned(), ..Stimulus::default() }));
        score_stimuli(scorer, reader, stimuli, Detail::Probability, |scored| {
            let known = known(&scored.stimulus.text)?;
            let mut at = 0;
            for (i, word) in scored.stimulus.text.split(' ').filter(|w| !w.is_empty()).enumerate() {
                let letters = word.len() + usize::from(i > 0);
                let bits = -known[at..at + letters].iter().sum::<f64>() / LN_2;
                at += letters;
                let unit = &scored.encoded.words[i];
                let found = scored.surprisal_bits(unit).unwrap_or(f64::INFINITY);
                // A token: errors of single precision add up.
                words = words.max((found - bits).abs() / letters as f64);
            }
            Ok::<_, EvalError>(())
        })?;

        let mut wrong = 0.0;
        let pair = |good: &str, bad: &str| MinimalPair {
            item: String::new(),
            good: good.to_owned(),
            bad: bad.to_owned(),
            condition: None,
        };
        let sentences = || SENTENCES.into_iter().filter(|s| !s.is_empty());
        let all = sentences().flat_map(|good| sentences().map(move |bad| pair(good, bad)));
        let paradigm = Paradigm { pairs: all.collect(), ..Paradigm::default() };
        let mut difference = 0.0_f64;
        score_pairs(scorer, reader, &paradigm, |pair, score| {
            let sum = |text| known(text).map(|k| k.iter().sum::<f64>());
            let expected = sum(&pair.good)? - sum(&pair.bad)?;
            let tokens = u32::try_from(score.good.tokens + score.bad.tokens).unwrap_or(u32::MAX);
            let error = (score.difference_nats() - expected).abs() / f64::from(tokens.max(1));
            difference = difference.max(error);
            wrong += f64::from(u8::from(pair.good == pair.bad && !score.is_tie()));
            Ok::<_, EvalError>(())
        })?;
        Ok(vec![("word surprisal", words), ("pair difference", difference), ("ties", wrong)])
    }

    /// A text of many windows, per token.
    fn stream(&self, model: &dyn LanguageModel, device: &Device) -> Result<f64, Stopped> {
        let vocab = u32::try_from(self.tokenizer.vocab_size()).unwrap_or(u32::MAX);
        let ids: Vec<u32> = (0..3000_u32).map(|t| (t * t + t / 7) % vocab).collect();
        let scorer = CausalScorer::new(model, device, None);
        let mut stream = StreamScorer::new(&scorer, (POSITIONS, POSITIONS / 2), None);
        for ids in ids.chunks(100) {
            stream.push(ids)?;
        }
        let known: f64 = ids.windows(2).map(|w| -self.table.logprob_nats(w[0], w[1])).sum();
        let found = stream.finish()?;
        let wrong = f64::from(u8::from(found.tokens != 2999));
        Ok(((found.nll_nats - known) / 2999.0).abs() + wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C5: exact to 1e-9 with the model in f64, 1e-5 in f32.
    #[test]
    fn test_selftest__every_oracle_is_found() {
        let findings = selftest().unwrap();
        for f in &findings {
            assert!(f.ok(), "{f:?}");
        }
        for name in crate::arch::ARCHITECTURES.iter().map(|a| a.name) {
            assert!(findings.iter().any(|f| f.architecture == name), "{name}");
        }
    }

    /// A scorer that is off by one position is found out.
    #[test]
    fn test_selftest__a_shift_would_be_seen() {
        struct Late<'a>(CausalScorer<'a>);
        impl Scorer for Late<'_> {
            fn score(
                &self,
                sequences: &[Sequence],
                detail: Detail,
            ) -> Result<Vec<Vec<super::super::TokenScore>>, Stopped> {
                let mut scores = self.0.score(sequences, detail)?;
                scores.iter_mut().filter(|s| !s.is_empty()).for_each(|s| s.rotate_left(1));
                Ok(scores)
            }
        }
        let (tokenizer, device) = (alphabet().unwrap(), Device::cpu());
        let table = Table::bigram(tokenizer.vocab_size());
        let config = &tiny::configs()[0];
        let sizes = (tokenizer.vocab_size(), POSITIONS);
        let model = oracle(config, &table, sizes, DType::F64).unwrap();
        let check = Check { tokenizer: &tokenizer, table: &table, config, dtype: DType::F64 };
        let scorer = Late(CausalScorer::new(&*model, &device, None));
        assert!(check.tokens(&scorer).unwrap()[0].1 > 0.1);
    }
}
