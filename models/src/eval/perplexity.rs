//! Perplexity: how many equally likely continuations a model is left with, on average.

use super::score::{Detail, Scorer, Sequence};
use crate::arch::{Batch, LanguageModel};
use crate::collate::HostBatch;
use crate::train::signals::Stopped;
use foundry_engine::{Ctx, Device};
use serde::Serialize;

/// A summed negative log-likelihood and what it is shared among.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Perplexity {
    /// Summed over the scored tokens.
    pub nll_nats: f64,
    /// Tokens scored.
    pub tokens: u64,
    /// White-space words of the text.
    pub words: u64,
    /// Bytes of the text in UTF-8, newlines included.
    pub bytes: u64,
    /// `<unk>` among the scored tokens.
    pub unknown_tokens: u64,
}

impl Perplexity {
    /// Nats a token.
    #[must_use]
    pub fn nats_per_token(&self) -> f64 {
        self.per(self.tokens)
    }

    /// exp of the mean nll of a token.
    #[must_use]
    pub fn per_token(&self) -> f64 {
        self.per(self.tokens).exp()
    }

    /// exp of the nll a word: comparable between tokenizers.
    #[must_use]
    pub fn per_word(&self) -> f64 {
        self.per(self.words).exp()
    }

    /// exp of the nll a byte.
    #[must_use]
    pub fn per_byte(&self) -> f64 {
        self.per(self.bytes).exp()
    }

    /// Bits a byte.
    #[must_use]
    pub fn bits_per_byte(&self) -> f64 {
        self.per(self.bytes) / std::f64::consts::LN_2
    }

    /// Adds another text's.
    pub fn add(&mut self, other: &Self) {
        self.nll_nats += other.nll_nats;
        self.tokens += other.tokens;
        self.words += other.words;
        self.bytes += other.bytes;
        self.unknown_tokens += other.unknown_tokens;
    }

    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    fn per(&self, n: u64) -> f64 {
        self.nll_nats / n as f64
    }
}

/// The nll summed over batches as the training loop makes them, and the number of targets.
pub fn dataset_nll(
    model: &dyn LanguageModel,
    device: &Device,
    batches: impl IntoIterator<Item = HostBatch>,
) -> (f64, u64) {
    let (mut nll, mut tokens) = (0.0, 0);
    for host in batches {
        nll += batch_nll(model, device, &host).iter().sum::<f64>();
        tokens += host.targets;
    }
    (nll, tokens)
}

/// The nll of every position of a batch, `[B·T]`; 0 where there is no target.
fn batch_nll(model: &dyn LanguageModel, device: &Device, host: &HostBatch) -> Vec<f64> {
    if host.ids.is_empty() {
        return Vec::new();
    }
    let batch = Batch::from_host(device, host);
    model.nll(&Ctx::eval(), &batch, 0.0).to_vec_f64()
}

/// Scores a stream of ids of any length as it comes in; its first id is given and not scored.
///
/// Each window sees `window` ids. The first scores all of its own, a later one its last `stride`, so that each is scored
/// once and (the first window apart) sees at least `window - stride` ids before it.
pub struct StreamScorer<'a> {
    scorer: &'a dyn Scorer,
    window: usize,
    stride: usize,
    /// What is not done with.
    ids: Vec<u32>,
    /// The first of `ids` that has no score yet.
    next: usize,
    begun: bool,
    unknown: Option<u32>,
    sum: Perplexity,
}

impl<'a> StreamScorer<'a> {
    /// `window` is at least 2, `stride` between 1 and `window - 1`; `unknown` ids are counted.
    #[must_use]
    pub fn new(
        scorer: &'a dyn Scorer,
        (window, stride): (usize, usize),
        unknown: Option<u32>,
    ) -> Self {
        let sum = Perplexity::default();
        Self { scorer, window, stride, ids: Vec::new(), next: 1, begun: false, unknown, sum }
    }

    /// Takes in the next ids.
    ///
    /// # Errors
    /// A stop that was asked for.
    pub fn push(&mut self, ids: &[u32]) -> Result<(), Stopped> {
        const WINDOWS: usize = 32;
        // A text that comes in one piece is cut.
        for ids in ids.chunks(self.stride * WINDOWS) {
            self.ids.extend_from_slice(ids);
            if self.ids.len() >= self.window + WINDOWS * self.stride {
                self.score(false)?;
            }
        }
        Ok(())
    }

    /// The sum over all ids. Words and bytes are for the caller to say.
    ///
    /// # Errors
    /// A stop that was asked for.
    pub fn finish(mut self) -> Result<Perplexity, Stopped> {
        self.score(true)?;
        Ok(self.sum)
    }

    fn score(&mut self, to_the_end: bool) -> Result<(), Stopped> {
        let mut windows = Vec::new();
        while self.next < self.ids.len() {
            let mut end = if self.begun { self.next + self.stride } else { self.window };
            if end > self.ids.len() {
                if !to_the_end {
                    break;
                }
                end = self.ids.len();
            }
            let start = end.saturating_sub(self.window);
            let scored = self.next - start..end - start;
            windows.push(Sequence {
                ids: self.ids[start..end].to_vec(),
                scored,
                words: Vec::new(),
            });
            let new = &self.ids[self.next..end];
            self.sum.tokens += new.len() as u64;
            self.sum.unknown_tokens +=
                new.iter().filter(|&&id| Some(id) == self.unknown).count() as u64;
            (self.next, self.begun) = (end, true);
        }
        for scores in self.scorer.score(&windows, Detail::Probability)? {
            self.sum.nll_nats -= scores.iter().map(|t| t.logprob_nats).sum::<f64>();
        }
        let done = (self.next + 1).saturating_sub(self.window).min(self.ids.len());
        self.ids.drain(..done);
        self.next -= done;
        Ok(())
    }
}
