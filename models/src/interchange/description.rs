//! From a `config.json` of Hugging Face to a configuration of a model.
//!
//! A field that is absent has the default of `transformers`, which leaves out what equals its defaults.

use super::InterchangeError;
use super::fields::Fields;
use crate::arch::Size;
use crate::config::choices::{Activation, Nonlinearity};
use crate::config::{BertConfig, ModelConfig, RnnConfig, TransformerConfig};
use serde_json::json;

/// A model, as its files describe it.
pub(super) struct Description {
    pub(super) model: ModelConfig,
    pub(super) size: Size,
    /// The tokens that begin and end a text; the outer None where the file does not speak of them.
    pub(super) bos: Option<Option<u32>>,
    pub(super) eos: Option<Option<u32>>,
    /// The token that rows are filled up with, where the file names one.
    pub(super) pad: Option<u32>,
}

impl Description {
    pub(super) fn read(fields: &Fields) -> Result<Self, InterchangeError> {
        let (model, size) = match fields.word("model_type")? {
            Some("gpt2") => gpt2(fields)?,
            Some("bert") => bert(fields)?,
            Some("foundry_rnn") => rnn(fields)?,
            other => {
                let found = other.map_or_else(|| "is missing".to_owned(), |m| format!("is '{m}'"));
                return Err(
                    fields.wrong("model_type", format!("{found}; known: gpt2, bert, foundry_rnn"))
                );
            }
        };
        let id = |field: &str| {
            let id = fields.id(field)?;
            if let Some(id) = id.filter(|id| *id as usize >= size.vocab) {
                let what = match field {
                    "bos_token_id" => "that stands before the first one of a text",
                    "eos_token_id" => "that stands behind the last one of a text",
                    _ => "that rows are filled up with",
                };
                let problem = format!(
                    "is {id}, but there are only {} tokens\n  mend: write the id of the token {what}, or null if \
                     there is none",
                    size.vocab
                );
                return Err(fields.wrong(field, problem));
            }
            Ok(fields.has(field).then_some(id))
        };
        let (bos, eos) = (id("bos_token_id")?, id("eos_token_id")?);
        let pad = id("pad_token_id")?.flatten();
        Ok(Self { model, size, bos, eos, pad })
    }
}

fn gpt2(f: &Fields) -> Result<(ModelConfig, Size), InterchangeError> {
    f.must_be("scale_attn_weights", &json!(true))?;
    f.must_be("scale_attn_by_inverse_layer_idx", &json!(false))?;
    f.must_be("add_cross_attention", &json!(false))?;
    let hidden_size = f.size("n_embd", 768)?;
    let shape = TransformerConfig {
        layers: f.size("n_layer", 12)?,
        hidden_size,
        intermediate_hidden_size: f.size("n_inner", hidden_size.saturating_mul(4))?,
        attention_heads: heads(f, "n_head", ("n_embd", hidden_size))?,
        activation: activation(f, "activation_function", Activation::GeluNew)?,
        dropout: f.dropout("resid_pdrop", 0.1)?,
        attention_dropout: f.dropout("attn_pdrop", 0.1)?,
        embedding_dropout: f.dropout("embd_pdrop", 0.1)?,
        layer_norm_epsilon: f.positive("layer_norm_epsilon", 1e-5)?,
        tie_weights: f.flag("tie_word_embeddings", true)?,
        initializer_range: f.positive("initializer_range", 0.02)?,
    };
    let size =
        Size { vocab: f.size("vocab_size", 50257)?, positions: f.size("n_positions", 1024)? };
    Ok((ModelConfig::Gpt2(shape), size))
}

fn bert(f: &Fields) -> Result<(ModelConfig, Size), InterchangeError> {
    f.must_be("position_embedding_type", &json!("absolute"))?;
    f.must_be("is_decoder", &json!(false))?;
    f.must_be("add_cross_attention", &json!(false))?;
    let hidden_size = f.size("hidden_size", 768)?;
    let dropout = f.dropout("hidden_dropout_prob", 0.1)?;
    let transformer = TransformerConfig {
        layers: f.size("num_hidden_layers", 12)?,
        hidden_size,
        intermediate_hidden_size: f.size("intermediate_size", 3072)?,
        attention_heads: heads(f, "num_attention_heads", ("hidden_size", hidden_size))?,
        activation: activation(f, "hidden_act", Activation::Gelu)?,
        dropout,
        attention_dropout: f.dropout("attention_probs_dropout_prob", 0.1)?,
        embedding_dropout: dropout,
        layer_norm_epsilon: f.positive("layer_norm_eps", 1e-12)?,
        tie_weights: f.flag("tie_word_embeddings", true)?,
        initializer_range: f.positive("initializer_range", 0.02)?,
    };
    let type_vocab_size = f.size("type_vocab_size", 2)?;
    let size = Size {
        vocab: f.size("vocab_size", 30522)?,
        positions: f.size("max_position_embeddings", 512)?,
    };
    Ok((ModelConfig::Bert(BertConfig { transformer, type_vocab_size }), size))
}

fn rnn(f: &Fields) -> Result<(ModelConfig, Size), InterchangeError> {
    let nonlinearity = match f.word("nonlinearity")?.unwrap_or("tanh") {
        "tanh" => Nonlinearity::Tanh,
        "relu" => Nonlinearity::Relu,
        other => {
            return Err(f.wrong("nonlinearity", format!("is '{other}'; expected tanh or relu")));
        }
    };
    let shape = RnnConfig {
        embedding_size: f.size("embedding_size", 64)?,
        hidden_size: f.size("hidden_size", 64)?,
        num_layers: f.size("num_layers", 1)?,
        bidirectional: f.flag("bidirectional", false)?,
        dropout: f.dropout("dropout", 0.0)?,
        embedding_dropout: f.dropout("embedding_dropout", 0.0)?,
        nonlinearity,
        tie_weights: f.flag("tie_word_embeddings", false)?,
        stateful: false,
        forget_bias: 0.0,
        init_uniform: None,
    };
    let width = shape.hidden_size.saturating_mul(shape.directions());
    if shape.tie_weights && shape.embedding_size != width {
        let problem = format!(
            "is true, but embedding_size ({}) is not hidden_size x directions ({width})",
            shape.embedding_size
        );
        return Err(f.wrong("tie_word_embeddings", problem));
    }
    let model = match f.word("rnn_type")? {
        Some("lstm") => ModelConfig::Lstm(shape),
        Some("gru") => ModelConfig::Gru(shape),
        Some("rnn") => ModelConfig::Rnn(shape),
        other => {
            let other = other.unwrap_or("missing");
            return Err(f.wrong("rnn_type", format!("is {other}; expected lstm, gru or rnn")));
        }
    };
    Ok((model, Size { vocab: f.size("vocab_size", 1000)?, positions: 0 }))
}

fn heads(f: &Fields, field: &str, (of, width): (&str, usize)) -> Result<usize, InterchangeError> {
    let heads = f.size(field, 12)?;
    if width.is_multiple_of(heads) {
        return Ok(heads);
    }
    Err(f.wrong(field, format!("is {heads}, which does not divide {of} ({width})")))
}

fn activation(
    f: &Fields,
    field: &str,
    default: Activation,
) -> Result<Activation, InterchangeError> {
    let Some(word) = f.word(field)? else { return Ok(default) };
    Ok(match word {
        "gelu" | "gelu_python" => Activation::Gelu,
        // One formula under three names.
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Activation::GeluNew,
        "relu" => Activation::Relu,
        "silu" | "swish" => Activation::Silu,
        "tanh" => Activation::Tanh,
        other => {
            let problem = format!("is '{other}'; known: gelu, gelu_new, relu, silu, tanh");
            return Err(f.wrong(field, problem));
        }
    })
}
