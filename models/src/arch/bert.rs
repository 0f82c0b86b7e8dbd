//! BERT: a transformer that reads both ways and learns to fill gaps.
//!
//! Devlin, Chang, Lee, Toutanova: *BERT: pre-training of deep bidirectional transformers for language understanding*
//! (2019), on Vaswani et al.: *Attention is all you need* (2017). Equal in numbers to Hugging Face's `BertForMaskedLM`.
//!
//! B batch, T time, D model, H heads, F feed-forward, V vocabulary, L layers, N predicted positions.
//!
//! ```text
//! x_0 = dropout(norm(word[id_t] + position[t] + segment[s_t]))             [B, T, D]
//! for each layer:
//!   x = norm(x + dropout(dense(attention(query(x), key(x), value(x)))))    attention sees every token of the row
//!   x = norm(x + dropout(dense(act(dense(x)))))
//! logits_n = norm(act(dense(x_n))) word^T + bias                           [N, V], at the positions to be guessed
//! ```
//!
//! Normalisation stands after each sum (post-LN), where GPT-2 normalises before each layer. The head transforms once more
//! before it compares with the word embeddings, and has a bias of its own for each word.
//!
//! # Differences from the paper
//! No next-sentence prediction and no pooler: the model is trained on masked tokens alone (as RoBERTa; Liu et al. 2019).
//! Rows are one segment, number 0, unless segments are given. The output layer can be untied.

use super::{Batch, LanguageModel, OutputLayer, Size};
use crate::config::choices::Activation;
use crate::config::{BertConfig, TransformerConfig};
use crate::nn::{Bias, Embedding, LayerNorm, Linear, activate};
use crate::tokenizer::SpecialIds;
use foundry_engine::{Ctx, Init, Param, Tensor, module, ops};
use serde_json::{Value, json};

/// BERT with a masked-language-model head.
pub struct BERTModel {
    encoder: Encoder,
    head: Head,
    config: BertConfig,
    size: Size,
}
module!(BERTModel { encoder as "bert", head as "cls" });

struct Encoder {
    embeddings: Embeddings,
    layers: Layers,
}
module!(Encoder { embeddings, layers as "encoder" });

struct Embeddings {
    word: Embedding,
    position: Embedding,
    segment: Embedding,
    norm: LayerNorm,
    dropout: f64,
}
module!(Embeddings {
    word as "word_embeddings",
    position as "position_embeddings",
    segment as "token_type_embeddings",
    norm as "LayerNorm",
});

struct Layers {
    layer: Vec<Layer>,
}
module!(Layers { layer });

struct Layer {
    attention: Attention,
    intermediate: Intermediate,
    output: Output,
}
module!(Layer { attention, intermediate, output });

struct Attention {
    heads: Heads,
    output: Output,
}
module!(Attention { heads as "self", output });

struct Heads {
    query: Linear,
    key: Linear,
    value: Linear,
    heads: usize,
    dropout: f64,
}
module!(Heads { query, key, value });

struct Intermediate {
    dense: Linear,
    activation: Activation,
}
module!(Intermediate { dense });

/// The end of a sub-layer: norm(x + dropout(dense(y))).
struct Output {
    dense: Linear,
    norm: LayerNorm,
    dropout: f64,
}
module!(Output { dense, norm as "LayerNorm" });

struct Head {
    predictions: Predictions,
}
module!(Head { predictions });

/// Tied: a bias, and the weights of the word embeddings. Untied: a decoder with a bias.
struct Predictions {
    transform: Transform,
    bias: Option<Param>,
    decoder: Option<Linear>,
}
module!(Predictions { transform, bias, decoder });

struct Transform {
    dense: Linear,
    norm: LayerNorm,
    activation: Activation,
}
module!(Transform { dense, norm as "LayerNorm" });

impl BERTModel {
    /// A model with initial weights: N(0, `initializer_range`^2), biases 0.
    #[must_use]
    pub fn new(config: &BertConfig, size: Size, init: &Init) -> Self {
        let c = &config.transformer;
        let (bert, head) = (init.at("bert"), init.at("cls").at("predictions"));
        let table = |name: &str, rows| {
            let init = bert.at("embeddings").at(name);
            Embedding::new(&init, rows, c.hidden_size, c.initializer_range)
        };
        let embeddings = Embeddings {
            word: table("word_embeddings", size.vocab),
            position: table("position_embeddings", size.positions),
            segment: table("token_type_embeddings", config.type_vocab_size),
            norm: norm(c, &bert),
            dropout: c.embedding_dropout,
        };
        let layer = |i| Layer::new(c, &bert.at("encoder").at("layer").at(i));
        let layers = Layers { layer: (0..c.layers).map(layer).collect() };
        let decoder = || dense(c, &head.at("decoder"), c.hidden_size, size.vocab);
        let transform = head.at("transform");
        let predictions = Predictions {
            transform: Transform {
                dense: dense(c, &transform.at("dense"), c.hidden_size, c.hidden_size),
                norm: norm(c, &transform),
                activation: c.activation,
            },
            bias: c.tie_weights.then(|| head.full([size.vocab], 0.0)),
            decoder: (!c.tie_weights).then(decoder),
        };
        Self {
            encoder: Encoder { embeddings, layers },
            head: Head { predictions },
            config: config.clone(),
            size,
        }
    }

    /// `[B, T, D]`: the last hidden states, where `segments` `[B, T]` are below `type_vocab_size`; None: all 0.
    #[must_use]
    pub fn encode(&self, cx: &Ctx, batch: &Batch, segments: Option<&Tensor>) -> Tensor {
        let mut x = self.encoder.embeddings.forward(cx, &batch.ids, segments); // [B, T, D]
        for layer in &self.encoder.layers.layer {
            x = cx.checkpoint(|| layer.forward(cx, &x, batch.mask.as_ref()));
        }
        x
    }
}

impl LanguageModel for BERTModel {
    fn architecture(&self) -> &'static str {
        "bert"
    }

    fn vocab_size(&self) -> usize {
        self.size.vocab
    }

    fn context_length(&self) -> Option<usize> {
        Some(self.size.positions)
    }

    fn hidden(&self, cx: &Ctx, batch: &Batch) -> Tensor {
        self.encode(cx, batch, None)
    }

    fn output_layer(&self, cx: &Ctx) -> OutputLayer {
        let head = &self.head.predictions;
        match &head.decoder {
            Some(decoder) => decoder.output_layer(cx),
            None => self.encoder.embeddings.word.output_layer(cx, head.bias.as_ref()),
        }
    }

    fn before_output(&self, cx: &Ctx, hidden: &Tensor) -> Tensor {
        self.head.predictions.transform.forward(cx, hidden)
    }

    fn config_json(&self, special: &SpecialIds) -> Value {
        let c = &self.config.transformer;
        json!({
            "architectures": ["BertForMaskedLM"],
            "model_type": "bert",
            "vocab_size": self.size.vocab,
            "max_position_embeddings": self.size.positions,
            "type_vocab_size": self.config.type_vocab_size,
            "hidden_size": c.hidden_size,
            "num_hidden_layers": c.layers,
            "num_attention_heads": c.attention_heads,
            "intermediate_size": c.intermediate_hidden_size,
            "hidden_act": c.activation.name(),
            "hidden_dropout_prob": c.dropout,
            "attention_probs_dropout_prob": c.attention_dropout,
            "layer_norm_eps": c.layer_norm_epsilon,
            "initializer_range": c.initializer_range,
            "tie_word_embeddings": c.tie_weights,
            "bos_token_id": special.begin(),
            "eos_token_id": special.end(),
            "pad_token_id": special.pad,
            "dtype": "float32",
            "torch_dtype": "float32",
        })
    }

    fn supports_generation(&self) -> bool {
        false
    }
}

fn dense(c: &TransformerConfig, init: &Init, inputs: usize, outputs: usize) -> Linear {
    Linear::new(init, inputs, outputs, Bias::Zero, c.initializer_range)
}

fn norm(c: &TransformerConfig, parent: &Init) -> LayerNorm {
    LayerNorm::new(&parent.at("LayerNorm"), c.hidden_size, c.layer_norm_epsilon)
}

impl Embeddings {
    /// `[B, T] ids -> [B, T, D]`
    fn forward(&self, cx: &Ctx, ids: &Tensor, segments: Option<&Tensor>) -> Tensor {
        let ([_, t], device) = (ids.dims(), ids.device());
        #[expect(clippy::cast_possible_truncation, reason = "positions are far below 2^32")]
        let positions: Vec<u32> = (0..t as u32).collect();
        let positions = Tensor::from_u32(&device, [t], &positions);
        let first = || Tensor::from_u32(&device, [t], &vec![0; t]);
        let segments = segments.map_or_else(first, Tensor::clone);
        let x = self.word.forward(cx, ids)
            + self.position.forward(cx, &positions)
            + self.segment.forward(cx, &segments);
        cx.dropout(self.dropout, &self.norm.forward(cx, &x))
    }
}

impl Layer {
    fn new(c: &TransformerConfig, init: &Init) -> Self {
        let (d, f) = (c.hidden_size, c.intermediate_hidden_size);
        let attention = init.at("attention");
        let of_heads = |name: &str| dense(c, &attention.at("self").at(name), d, d);
        Self {
            attention: Attention {
                heads: Heads {
                    query: of_heads("query"),
                    key: of_heads("key"),
                    value: of_heads("value"),
                    heads: c.attention_heads,
                    dropout: c.attention_dropout,
                },
                output: Output::new(c, &attention.at("output"), d),
            },
            intermediate: Intermediate {
                dense: dense(c, &init.at("intermediate").at("dense"), d, f),
                activation: c.activation,
            },
            output: Output::new(c, &init.at("output"), f),
        }
    }

    /// `[B, T, D] -> [B, T, D]`
    fn forward(&self, cx: &Ctx, x: &Tensor, mask: Option<&Tensor>) -> Tensor {
        let y = self.attention.heads.forward(cx, x, mask);
        let x = self.attention.output.forward(cx, &y, x);
        let y = self.intermediate.forward(cx, &x); // [B, T, F]
        self.output.forward(cx, &y, &x)
    }
}

impl Heads {
    /// `[B, T, D] -> [B, T, D]`
    fn forward(&self, cx: &Ctx, x: &Tensor, mask: Option<&Tensor>) -> Tensor {
        let (q, k, v) =
            (self.query.forward(cx, x), self.key.forward(cx, x), self.value.forward(cx, x));
        let attention = ops::attention::Attention::full(self.heads);
        attention.dropout(self.dropout, cx.dropout_site()).forward(&q, &k, &v, mask)
    }
}

impl Intermediate {
    /// `[B, T, D] -> [B, T, F]`
    fn forward(&self, cx: &Ctx, x: &Tensor) -> Tensor {
        activate(self.activation, &self.dense.forward(cx, x))
    }
}

impl Output {
    fn new(c: &TransformerConfig, init: &Init, inputs: usize) -> Self {
        let dense = dense(c, &init.at("dense"), inputs, c.hidden_size);
        Self { dense, norm: norm(c, init), dropout: c.dropout }
    }

    /// y `[B, T, in]` and the x `[B, T, D]` that it is added to `-> [B, T, D]`
    fn forward(&self, cx: &Ctx, y: &Tensor, x: &Tensor) -> Tensor {
        let y = cx.dropout(self.dropout, &self.dense.forward(cx, y));
        self.norm.forward(cx, &(x + y))
    }
}

impl Transform {
    /// `[.., D] -> [.., D]`
    fn forward(&self, cx: &Ctx, x: &Tensor) -> Tensor {
        let x = activate(self.activation, &self.dense.forward(cx, x));
        self.norm.forward(cx, &x)
    }
}
