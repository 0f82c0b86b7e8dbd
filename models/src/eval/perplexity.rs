//! Perplexity: how many equally likely continuations a model is left with, on average.

use super::score::{batch_nll, stream_nll};
use crate::arch::LanguageModel;
use crate::collate::HostBatch;
use foundry_engine::Device;
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

/// The perplexity of a stream of ids whose first token is given and not scored.
#[must_use]
pub fn text_perplexity(
    model: &dyn LanguageModel,
    device: &Device,
    ids: &[u32],
    window: (usize, usize),
    unknown: Option<u32>,
) -> Perplexity {
    let mut p = Perplexity::default();
    stream_nll(model, device, ids, window, 8, |nll| {
        p.nll_nats += nll.iter().sum::<f64>();
        p.tokens += nll.len() as u64;
    });
    p.unknown_tokens = ids.iter().skip(1).filter(|&&id| Some(id) == unknown).count() as u64;
    p
}
