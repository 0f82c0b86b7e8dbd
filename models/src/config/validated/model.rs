//! `model`: the shape of the network.

use crate::config::check::{BELOW_ONE, Check, FINITE, POSITIVE};
use crate::config::choices::{Activation, Architecture, Choice, Nonlinearity, RnnType};
use crate::config::raw::{RawBert, RawModel, RawRnn, RawTransformer};

/// The model, by family.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelConfig {
    /// GPT-2.
    Gpt2(TransformerConfig),
    /// BERT.
    Bert(BertConfig),
    /// LSTM.
    Lstm(RnnConfig),
    /// GRU.
    Gru(RnnConfig),
    /// Vanilla RNN.
    Rnn(RnnConfig),
}

/// The shape of a transformer.
#[derive(Debug, Clone, PartialEq)]
pub struct TransformerConfig {
    /// Transformer blocks.
    pub layers: usize,
    /// Width of the residual stream and of the embeddings.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub intermediate_hidden_size: usize,
    /// Attention heads; divides `hidden_size`.
    pub attention_heads: usize,
    /// The feed-forward non-linearity.
    pub activation: Activation,
    /// Dropout on the output of each sub-layer.
    pub dropout: f64,
    /// Dropout on the attention weights.
    pub attention_dropout: f64,
    /// Dropout on the sum of the embeddings.
    pub embedding_dropout: f64,
    /// The constant added to the variance in layer normalisation.
    pub layer_norm_epsilon: f64,
    /// Whether the output layer is the token embedding itself.
    pub tie_weights: bool,
    /// Standard deviation of the initial weights.
    pub initializer_range: f64,
}

/// The shape of a BERT.
#[derive(Debug, Clone, PartialEq)]
pub struct BertConfig {
    /// What it shares with other transformers.
    pub transformer: TransformerConfig,
    /// Segment embeddings.
    pub type_vocab_size: usize,
}

/// The shape of a recurrent model.
#[derive(Debug, Clone, PartialEq)]
pub struct RnnConfig {
    /// Width of the token embeddings.
    pub embedding_size: usize,
    /// Width of the state of one layer and direction.
    pub hidden_size: usize,
    /// Recurrent layers.
    pub num_layers: usize,
    /// Whether each layer also reads from right to left.
    pub bidirectional: bool,
    /// Dropout between the layers and before the output layer.
    pub dropout: f64,
    /// Dropout on the embeddings.
    pub embedding_dropout: f64,
    /// The non-linearity of a vanilla RNN; tanh for the others, which do not read it.
    pub nonlinearity: Nonlinearity,
    /// Whether the output layer is the token embedding itself.
    pub tie_weights: bool,
    /// Whether the state is carried from block to block.
    pub stateful: bool,
    /// The initial bias of an LSTM's forget gate, in `bias_ih` alone; 0 for the others.
    pub forget_bias: f64,
    /// Bound of the uniform initial weights; `None`: 1 / sqrt(hidden_size).
    pub init_uniform: Option<f64>,
}

impl RnnConfig {
    /// Directions that are read: 1 or 2.
    pub fn directions(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }
}

const NAME: &str = "model.architecture";

/// Writes down that the model has no architecture.
pub(in crate::config) fn missing_architecture(c: &mut Check<'_>) {
    let message = format!(
        "Missing required field 'architecture' in model config. Must be one of: {}",
        Architecture::NAMES.join(", ")
    );
    c.problem(NAME, message).help("write, for example, 'architecture: gpt2' under 'model:'");
}

impl ModelConfig {
    /// The family.
    pub fn architecture(&self) -> Architecture {
        match self {
            Self::Gpt2(_) => Architecture::Gpt2,
            Self::Bert(_) => Architecture::Bert,
            Self::Lstm(_) => Architecture::Lstm,
            Self::Gru(_) => Architecture::Gru,
            Self::Rnn(_) => Architecture::Rnn,
        }
    }

    /// The transformer's shape, if it is one.
    pub fn transformer(&self) -> Option<&TransformerConfig> {
        match self {
            Self::Gpt2(t) => Some(t),
            Self::Bert(b) => Some(&b.transformer),
            _ => None,
        }
    }

    /// The recurrent shape, if it is one.
    pub fn rnn(&self) -> Option<&RnnConfig> {
        match self {
            Self::Lstm(r) | Self::Gru(r) | Self::Rnn(r) => Some(r),
            _ => None,
        }
    }

    /// Whether every position sees the whole sequence.
    pub fn is_bidirectional(&self) -> bool {
        matches!(self, Self::Bert(_)) || self.rnn().is_some_and(|r| r.bidirectional)
    }

    /// Whether the state is carried from block to block.
    pub fn is_stateful(&self) -> bool {
        self.rnn().is_some_and(|r| r.stateful)
    }

    pub(super) fn resolve(raw: RawModel, c: &mut Check<'_>) -> Self {
        let Some(architecture) = raw.architecture else {
            missing_architecture(c);
            return Self::Lstm(RnnConfig::resolve(RawRnn::default(), None, c));
        };
        let transformer = architecture.is_transformer();
        c.only_if(transformer, "model.transformer", "by gpt2 and bert");
        c.only_if(!transformer, "model.rnn", "by lstm, gru and rnn");
        c.only_if(architecture == Architecture::Bert, "model.bert", "by bert");
        let (section, missing) = match transformer {
            true => ("transformer", raw.transformer.is_none()),
            false => ("rnn", raw.rnn.is_none()),
        };
        if missing {
            let example = match transformer {
                true => {
                    "transformer: {layers: 2, embedding_size: 128, hidden_size: 128, \
                     intermediate_hidden_size: 512, attention_heads: 4, dropout: 0.1, \
                     attention_dropout: 0.1}"
                }
                false => "rnn: {embedding_size: 128, hidden_size: 128, num_layers: 2}",
            };
            c.problem(
                NAME,
                format!("Architecture '{architecture}' requires '{section}' configuration"),
            )
            .help(format!("add under 'model:', for example, {example}"));
        }
        if transformer {
            let raw_shape = (!missing).then(|| raw.transformer.unwrap_or_default());
            let shape = TransformerConfig::resolve(raw_shape, architecture, c);
            return match architecture {
                Architecture::Bert => Self::Bert(bert(raw.bert.unwrap_or_default(), shape, c)),
                _ => Self::Gpt2(shape),
            };
        }
        let rnn = RnnConfig::resolve(raw.rnn.unwrap_or_default(), Some((architecture, missing)), c);
        match architecture {
            Architecture::Gru => Self::Gru(rnn),
            Architecture::Rnn => Self::Rnn(rnn),
            _ => Self::Lstm(rnn),
        }
    }

    pub(super) fn to_raw(&self) -> RawModel {
        let bert = match self {
            Self::Bert(b) => Some(RawBert {
                type_vocab_size: Some(b.type_vocab_size as u64),
                pooler_type: Some("first".to_owned()),
            }),
            _ => None,
        };
        RawModel {
            architecture: Some(self.architecture()),
            transformer: self.transformer().map(TransformerConfig::to_raw),
            bert,
            rnn: self.rnn().map(|r| r.to_raw(self.architecture())),
        }
    }
}

fn bert(raw: RawBert, transformer: TransformerConfig, c: &mut Check<'_>) -> BertConfig {
    if let Some(pooler) = raw.pooler_type.filter(|p| p != "first") {
        let message =
            format!("Unknown pooler_type: '{pooler}'. A masked language model has no pooler");
        c.problem("model.bert.pooler_type", message).help("remove 'pooler_type'");
    }
    let size =
        c.size("model.bert.type_vocab_size", raw.type_vocab_size, Some(2), 1..=u64::from(u32::MAX));
    BertConfig { transformer, type_vocab_size: size }
}

impl TransformerConfig {
    /// `None`: the section is missing, which has been said already.
    fn resolve(raw: Option<RawTransformer>, model: Architecture, c: &mut Check<'_>) -> Self {
        let at = |name: &str| format!("model.transformer.{name}");
        let Some(raw) = raw else { return Self::placeholder() };
        let embedding = c.size(&at("embedding_size"), raw.embedding_size, None, 1..=u64::MAX);
        let hidden = c.size(&at("hidden_size"), raw.hidden_size, None, 1..=u64::MAX);
        let heads = c.size(&at("attention_heads"), raw.attention_heads, None, 1..=u64::MAX);
        if raw.hidden_size.is_some()
            && raw.attention_heads.is_some()
            && !hidden.is_multiple_of(heads)
        {
            let message =
                format!("hidden_size ({hidden}) must be a multiple of attention_heads ({heads})");
            let below = hidden / heads * heads;
            c.conflict(&at("hidden_size"), &at("attention_heads"), message).help(match below {
                0 => format!("write, for example, hidden_size: {heads}"),
                _ => format!("write, for example, hidden_size: {below} or {}", below + heads),
            });
        }
        if raw.hidden_size.is_some() && raw.embedding_size.is_some() && hidden != embedding {
            let message = format!(
                "embedding_size ({embedding}) must equal hidden_size ({hidden}) in a transformer"
            );
            c.conflict(&at("embedding_size"), &at("hidden_size"), message)
                .help("the embeddings are the start of the residual stream");
        }
        let epsilon = if model == Architecture::Bert { 1e-12 } else { 1e-5 };
        let dropout = c.number(&at("dropout"), raw.dropout, None, BELOW_ONE);
        Self {
            layers: c.size(&at("layers"), raw.layers, None, 1..=u64::MAX),
            hidden_size: hidden,
            intermediate_hidden_size: c.size(
                &at("intermediate_hidden_size"),
                raw.intermediate_hidden_size,
                None,
                1..=u64::MAX,
            ),
            attention_heads: heads,
            activation: raw.activation_function.unwrap_or(Activation::Gelu),
            dropout,
            attention_dropout: c.number(
                &at("attention_dropout"),
                raw.attention_dropout,
                None,
                BELOW_ONE,
            ),
            embedding_dropout: match raw.embedding_dropout {
                None => dropout,
                typed => c.number(&at("embedding_dropout"), typed, None, BELOW_ONE),
            },
            layer_norm_epsilon: c.number(
                &at("layer_norm_epsilon"),
                raw.layer_norm_epsilon,
                Some(epsilon),
                POSITIVE,
            ),
            tie_weights: raw.tie_weights.unwrap_or(true),
            initializer_range: c.number(
                &at("initializer_range"),
                raw.initializer_range,
                Some(0.02),
                POSITIVE,
            ),
        }
    }

    fn placeholder() -> Self {
        Self {
            layers: 1,
            hidden_size: 1,
            intermediate_hidden_size: 1,
            attention_heads: 1,
            activation: Activation::Gelu,
            dropout: 0.0,
            attention_dropout: 0.0,
            embedding_dropout: 0.0,
            layer_norm_epsilon: 1e-5,
            tie_weights: true,
            initializer_range: 0.02,
        }
    }

    fn to_raw(&self) -> RawTransformer {
        RawTransformer {
            layers: Some(self.layers as u64),
            embedding_size: Some(self.hidden_size as u64),
            hidden_size: Some(self.hidden_size as u64),
            intermediate_hidden_size: Some(self.intermediate_hidden_size as u64),
            attention_heads: Some(self.attention_heads as u64),
            activation_function: Some(self.activation),
            dropout: Some(self.dropout),
            attention_dropout: Some(self.attention_dropout),
            embedding_dropout: Some(self.embedding_dropout),
            layer_norm_epsilon: Some(self.layer_norm_epsilon),
            tie_weights: Some(self.tie_weights),
            initializer_range: Some(self.initializer_range),
        }
    }
}

impl RnnConfig {
    /// `model`: the architecture, and whether the section is missing (which has been said
    /// already); `None` where the architecture itself is not known.
    fn resolve(raw: RawRnn, model: Option<(Architecture, bool)>, c: &mut Check<'_>) -> Self {
        let at = |name: &str| format!("model.rnn.{name}");
        // A missing section is one problem, not three.
        let said = model.is_none_or(|(_, missing)| missing).then_some(1);
        let architecture = model.map(|(a, _)| a);
        if let (Some(architecture), Some(cell)) = (architecture, raw.rnn_type)
            && cell.name() != architecture.name()
        {
            let message = format!("rnn_type '{cell}' disagrees with architecture '{architecture}'");
            c.conflict(&at("rnn_type"), NAME, message)
                .help(format!("write architecture: {cell}, or remove 'rnn_type'"));
        }
        let is = |a: Architecture| architecture.is_none_or(|architecture| architecture == a);
        c.only_if(is(Architecture::Rnn), &at("nonlinearity"), "by architecture: rnn");
        c.only_if(is(Architecture::Lstm), &at("forget_bias"), "by architecture: lstm");
        let embedding_size = c.size(&at("embedding_size"), raw.embedding_size, said, 1..=u64::MAX);
        let hidden_size = c.size(&at("hidden_size"), raw.hidden_size, said, 1..=u64::MAX);
        let num_layers = c.size(&at("num_layers"), raw.num_layers, said, 1..=u64::MAX);
        let bidirectional = raw.bidirectional.unwrap_or(false);
        let tie_weights = raw.tie_weights.unwrap_or(false);
        let output = hidden_size.saturating_mul(1 + usize::from(bidirectional));
        if tie_weights && embedding_size != output {
            let message = format!(
                "tie_weights needs embedding_size ({embedding_size}) = hidden_size x directions \
                 ({output})"
            );
            c.conflict(&at("tie_weights"), &at("embedding_size"), message)
                .help(format!("write embedding_size: {output}, or tie_weights: false"));
        }
        let stateful = raw.stateful.unwrap_or(false);
        if stateful && bidirectional {
            let message = "stateful and bidirectional exclude each other: a state from the right \
                           has not been computed yet";
            c.conflict(&at("stateful"), &at("bidirectional"), message);
        }
        Self {
            embedding_size,
            hidden_size,
            num_layers,
            bidirectional,
            dropout: c.number(&at("dropout"), raw.dropout, Some(0.0), BELOW_ONE),
            embedding_dropout: c.number(
                &at("embedding_dropout"),
                raw.embedding_dropout,
                Some(0.0),
                BELOW_ONE,
            ),
            nonlinearity: raw.nonlinearity.unwrap_or(Nonlinearity::Tanh),
            tie_weights,
            stateful,
            forget_bias: c.number(&at("forget_bias"), raw.forget_bias, Some(0.0), FINITE),
            init_uniform: raw
                .init_uniform
                .map(|x| c.number(&at("init_uniform"), Some(x), None, POSITIVE)),
        }
    }

    fn to_raw(&self, architecture: Architecture) -> RawRnn {
        RawRnn {
            embedding_size: Some(self.embedding_size as u64),
            hidden_size: Some(self.hidden_size as u64),
            num_layers: Some(self.num_layers as u64),
            bidirectional: Some(self.bidirectional),
            dropout: Some(self.dropout),
            embedding_dropout: Some(self.embedding_dropout),
            rnn_type: RnnType::parse(architecture.name()).ok(),
            nonlinearity: (architecture == Architecture::Rnn).then_some(self.nonlinearity),
            tie_weights: Some(self.tie_weights),
            stateful: Some(self.stateful),
            forget_bias: (architecture == Architecture::Lstm).then_some(self.forget_bias),
            init_uniform: self.init_uniform,
        }
    }
}
