//! The models that are timed.

use crate::arch::{self, Size};
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

    /// Whether the registry has no such architecture yet.
    #[must_use]
    pub fn architecture_is_missing(&self) -> bool {
        let name = self.model(0.0).architecture().to_string();
        let bidirectional = self.family == Family::Lstm { bidirectional: true };
        bidirectional || !arch::ARCHITECTURES.iter().any(|a| a.name == name)
    }
}

fn transformer(family: &str) -> bool {
    matches!(family, "gpt2" | "bert")
}
