//! The models that are timed.

use super::MASKED;
use crate::arch::Size;
use crate::config::choices::{Activation, Nonlinearity};
use crate::config::{BertConfig, ModelConfig, RnnConfig, TransformerConfig};

/// A model and the batch that it is timed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Named {
    /// Its name: the family, a hyphen, the size.
    pub name: &'static str,
    /// Whether it predicts hidden tokens, and not the next ones.
    pub masked: bool,
    /// Rows of a batch.
    pub batch: usize,
    /// Tokens of a row.
    pub time: usize,
    family: Family,
    layers: usize,
    width: usize,
    vocab: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Family {
    Gpt2 { heads: usize, inner: usize },
    Bert { heads: usize, inner: usize },
    Lstm { bidirectional: bool },
    Gru,
    Rnn,
}

/// What can be changed of a model or its batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dimension {
    /// Tokens of a row.
    Length,
    /// Numbers that stand for a token; attention has heads of the same width, more or fewer of them.
    Width,
    /// Tokens of the vocabulary.
    Vocabulary,
    /// Rows of a batch.
    Batch,
}

impl Dimension {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Length, Self::Width, Self::Vocabulary, Self::Batch];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Width => "width",
            Self::Vocabulary => "vocabulary",
            Self::Batch => "batch",
        }
    }
}

/// Every name.
pub const NAMES: &[&str] = &[
    "gpt2-tiny",
    "gpt2-small",
    "gpt2-base",
    "bert-tiny",
    "bert-small",
    "bert-base",
    "lstm-tiny",
    "lstm-medium",
    "lstm-large",
    "gru-tiny",
    "gru-medium",
    "gru-large",
    "rnn-tiny",
    "rnn-medium",
    "rnn-large",
    "bilstm-medium",
];

impl Named {
    /// The model of a name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        let name = *NAMES.iter().find(|known| **known == name)?;
        let (family, size) = name.split_once('-')?;
        let [layers, width, heads, inner, vocab, time, batch] = match size {
            "tiny" if transformer(family) => [2, 64, 2, 256, 1000, 64, 16],
            "small" => [6, 256, 8, 1024, 8000, 128, 16],
            "base" => [12, 768, 12, 3072, 16_000, 128, 4],
            "tiny" => [2, 64, 0, 0, 1000, 64, 32],
            "medium" => [2, 256, 0, 0, 8000, 64, 32],
            "large" => [2, 650, 0, 0, 16_000, 35, 32],
            _ => return None,
        };
        let family = match family {
            "gpt2" => Family::Gpt2 { heads, inner },
            "bert" => Family::Bert { heads, inner },
            "lstm" => Family::Lstm { bidirectional: false },
            "bilstm" => Family::Lstm { bidirectional: true },
            "gru" => Family::Gru,
            "rnn" => Family::Rnn,
            _ => return None,
        };
        let masked = matches!(family, Family::Bert { .. } | Family::Lstm { bidirectional: true });
        let vocab = u32::try_from(vocab).ok()?;
        Some(Self { name, masked, batch, time, family, layers, width, vocab })
    }

    /// The model with a dimension times a factor, and what that makes it.
    #[must_use]
    pub fn scaled(&self, dimension: Dimension, factor: f64) -> (Self, usize) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "sizes of models, times a small number"
        )]
        let times = |n: usize| ((n as f64 * factor).round() as usize).max(1);
        let mut scaled = *self;
        let size = match dimension {
            Dimension::Length => {
                scaled.time = times(self.time);
                scaled.time
            }
            Dimension::Batch => {
                scaled.batch = times(self.batch);
                scaled.batch
            }
            Dimension::Vocabulary => {
                scaled.vocab = u32::try_from(times(self.vocab as usize)).unwrap_or(u32::MAX);
                scaled.vocab as usize
            }
            Dimension::Width => {
                scaled.width = times(self.width);
                if let Family::Gpt2 { heads, inner } | Family::Bert { heads, inner } =
                    &mut scaled.family
                {
                    (*heads, *inner) = (times(*heads), times(*inner));
                }
                scaled.width
            }
        };
        (scaled, size)
    }

    /// Tokens in the vocabulary.
    #[must_use]
    pub fn vocab(&self) -> u32 {
        self.vocab
    }

    /// What the model's shape takes from the data.
    #[must_use]
    pub fn size(&self) -> Size {
        Size { vocab: self.vocab as usize, positions: self.time }
    }

    /// Operations, two for each multiply-add, of the products that a training step cannot do without: those of the layers, of
    /// attention and of the output layer, once forwards and twice backwards. Where tokens are hidden, the output layer
    /// reads them alone.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "sizes of models")]
    pub fn operations(&self) -> f64 {
        let [layers, d, time] = [self.layers, self.width, self.time].map(|n| n as f64);
        let gates = |gates: f64| layers * gates * 2.0 * d * d;
        // Multiply-adds for a token, and the width that the output layer reads.
        let (body, read) = match self.family {
            Family::Gpt2 { inner, .. } => {
                // A query sees half of the keys on average.
                (layers * (4.0 * d * d + 2.0 * d * inner as f64 + time * d), d)
            }
            Family::Bert { inner, .. } => {
                let layer = 4.0 * d * d + 2.0 * d * inner as f64 + 2.0 * time * d;
                (layers * layer + self.predicted() * d * d, d)
            }
            Family::Lstm { bidirectional: false } => (gates(4.0), d),
            // The layers above the first read both directions.
            Family::Lstm { bidirectional: true } => {
                (2.0 * 4.0 * d * (2.0 * d + (layers - 1.0) * 3.0 * d), 2.0 * d)
            }
            Family::Gru => (gates(3.0), d),
            Family::Rnn => (gates(1.0), d),
        };
        let head = self.predicted() * read * f64::from(self.vocab);
        2.0 * 3.0 * (self.batch * self.time) as f64 * (body + head)
    }

    /// The share of tokens that are predicted.
    fn predicted(&self) -> f64 {
        if self.masked { MASKED } else { 1.0 }
    }

    /// The shape, with dropout everywhere the architecture has it.
    #[must_use]
    pub fn model(&self, dropout: f64) -> ModelConfig {
        let transformer = |heads, inner, activation, layer_norm_epsilon| TransformerConfig {
            layers: self.layers,
            hidden_size: self.width,
            intermediate_hidden_size: inner,
            attention_heads: heads,
            activation,
            dropout,
            attention_dropout: dropout,
            embedding_dropout: dropout,
            layer_norm_epsilon,
            tie_weights: true,
            initializer_range: 0.02,
        };
        let rnn = |bidirectional| RnnConfig {
            embedding_size: self.width,
            hidden_size: self.width,
            num_layers: self.layers,
            bidirectional,
            dropout,
            embedding_dropout: dropout,
            nonlinearity: Nonlinearity::Tanh,
            tie_weights: !bidirectional,
            stateful: false,
            forget_bias: 0.0,
            init_uniform: None,
        };
        match self.family {
            Family::Gpt2 { heads, inner } => {
                ModelConfig::Gpt2(transformer(heads, inner, Activation::GeluNew, 1e-5))
            }
            Family::Bert { heads, inner } => ModelConfig::Bert(BertConfig {
                transformer: transformer(heads, inner, Activation::Gelu, 1e-12),
                type_vocab_size: 2,
            }),
            Family::Lstm { bidirectional } => ModelConfig::Lstm(rnn(bidirectional)),
            Family::Gru => ModelConfig::Gru(rnn(false)),
            Family::Rnn => ModelConfig::Rnn(rnn(false)),
        }
    }
}

fn transformer(family: &str) -> bool {
    matches!(family, "gpt2" | "bert")
}
