//! Small models of each architecture, with dropout on: for checks that walk the registry.

use crate::config::choices::{Activation, Nonlinearity};
use crate::config::{BertConfig, ModelConfig, RnnConfig, TransformerConfig};

/// The width of the hidden states.
pub const WIDTH: usize = 16;

/// A configuration of each architecture.
#[must_use]
pub fn configs() -> Vec<ModelConfig> {
    vec![
        ModelConfig::Gpt2(transformer(0.1)),
        ModelConfig::Bert(bert(0.1)),
        ModelConfig::Lstm(rnn(0.1)),
        ModelConfig::Gru(rnn(0.1)),
        ModelConfig::Rnn(rnn(0.1)),
    ]
}

/// A configuration of each architecture that tensor cores can do: a head of 32 columns, and one layer, for speed.
#[must_use]
pub fn mixed() -> Vec<ModelConfig> {
    let transformer =
        || TransformerConfig { layers: 1, attention_heads: 1, ..sized(2 * WIDTH, 0.1) };
    let rnn = || RnnConfig {
        embedding_size: 2 * WIDTH,
        hidden_size: 2 * WIDTH,
        num_layers: 1,
        dropout: 0.0,
        ..rnn(0.1)
    };
    vec![
        ModelConfig::Gpt2(transformer()),
        ModelConfig::Bert(BertConfig { transformer: transformer(), type_vocab_size: 2 }),
        ModelConfig::Lstm(rnn()),
        ModelConfig::Gru(rnn()),
        ModelConfig::Rnn(rnn()),
    ]
}

/// Every kind of each architecture, with what is special about it.
#[must_use]
pub fn variants() -> Vec<(&'static str, ModelConfig)> {
    let untied =
        TransformerConfig { activation: Activation::Gelu, tie_weights: false, ..transformer(0.1) };
    let untied_bert = BertConfig {
        transformer: TransformerConfig {
            activation: Activation::Gelu,
            tie_weights: false,
            ..transformer(0.1)
        },
        type_vocab_size: 1,
    };
    let tied = RnnConfig { tie_weights: true, ..rnn(0.1) };
    let relu = RnnConfig { nonlinearity: Nonlinearity::Relu, ..tied.clone() };
    let both = bidirectional(0.1);
    let both_tied = RnnConfig { embedding_size: 2 * WIDTH, tie_weights: true, ..both.clone() };
    vec![
        ("tied, gelu_new", ModelConfig::Gpt2(transformer(0.1))),
        ("untied, gelu", ModelConfig::Gpt2(untied)),
        ("tied, gelu_new", ModelConfig::Bert(bert(0.1))),
        ("untied, gelu", ModelConfig::Bert(untied_bert)),
        ("untied", ModelConfig::Lstm(rnn(0.1))),
        ("tied", ModelConfig::Lstm(tied.clone())),
        ("bidirectional", ModelConfig::Lstm(both.clone())),
        ("bidirectional, tied", ModelConfig::Lstm(both_tied)),
        ("untied", ModelConfig::Gru(rnn(0.1))),
        ("tied", ModelConfig::Gru(tied)),
        ("bidirectional", ModelConfig::Gru(both.clone())),
        ("untied, tanh", ModelConfig::Rnn(rnn(0.1))),
        ("tied, relu", ModelConfig::Rnn(relu)),
        ("bidirectional", ModelConfig::Rnn(both)),
    ]
}

/// Two layers that read from both ends.
#[must_use]
pub fn bidirectional(dropout: f64) -> RnnConfig {
    RnnConfig { bidirectional: true, ..rnn(dropout) }
}

/// Two layers, two heads.
#[must_use]
pub fn transformer(dropout: f64) -> TransformerConfig {
    sized(WIDTH, dropout)
}

fn sized(width: usize, dropout: f64) -> TransformerConfig {
    TransformerConfig {
        layers: 2,
        hidden_size: width,
        intermediate_hidden_size: 4 * width,
        attention_heads: 2,
        activation: Activation::GeluNew,
        dropout,
        attention_dropout: dropout,
        embedding_dropout: dropout,
        layer_norm_epsilon: 1e-5,
        tie_weights: true,
        initializer_range: 0.1,
    }
}

/// Two layers, two heads.
#[must_use]
pub fn bert(dropout: f64) -> BertConfig {
    BertConfig { transformer: transformer(dropout), type_vocab_size: 2 }
}

/// Two layers.
#[must_use]
pub fn rnn(dropout: f64) -> RnnConfig {
    RnnConfig {
        embedding_size: WIDTH,
        hidden_size: WIDTH,
        num_layers: 2,
        bidirectional: false,
        dropout,
        embedding_dropout: dropout,
        nonlinearity: Nonlinearity::Tanh,
        tie_weights: false,
        stateful: false,
        forget_bias: 0.0,
        init_uniform: None,
    }
}
