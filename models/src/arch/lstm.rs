//! LSTM: a recurrent network with gated memory.
//!
//! Hochreiter, Schmidhuber: *Long short-term memory* (1997), with the forget gate of Gers, Schmidhuber, Cummins
//! (2000). Cells are equal in numbers to `torch.nn.LSTM`.
//!
//! B batch, T time, E embedding, H hidden, V vocabulary.
//!
//! ```text
//! x_t    = dropout(embed[id_t])                                   [B, E]
//! i_t    = σ(W_ii x_t + b_ii + W_hi h_{t-1} + b_hi)               input gate
//! f_t    = σ(W_if x_t + b_if + W_hf h_{t-1} + b_hf)               forget gate
//! g_t    = tanh(W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)            candidate
//! o_t    = σ(W_io x_t + b_io + W_ho h_{t-1} + b_ho)               output gate
//! c_t    = f_t c_{t-1} + i_t g_t
//! h_t    = o_t tanh(c_t)                                          [B, H], dropout before the next layer
//! logits = W dropout(h_t) + b                                     [B, V]
//! ```
//!
//! # Differences from the paper
//! No peephole connections; two bias vectors where one would do (torch's layout); several layers; the initial state
//! is zero for every row.

use super::{Batch, LanguageModel, Size};
use crate::config::RnnConfig;
use crate::nn::{Bias, Embedding, Linear, Lstm};
use crate::tokenizer::SpecialIds;
use foundry_engine::{Ctx, Init, Param, Tensor, module};
use serde_json::{Value, json};

/// Standard deviation of the initial embedding and output weights.
const STD: f64 = 0.02;

/// An LSTM with a language-model head.
pub struct LSTMModel {
    embed: Embedding,
    rnn: Lstm,
    head: Head,
    config: RnnConfig,
    size: Size,
}
module!(LSTMModel { embed, rnn, head as "lm_head" });

/// The output layer: its own weights, or those of the embedding and a bias.
enum Head {
    Own(Linear),
    Tied(TiedHead),
}

struct TiedHead {
    bias: Param,
}
module!(TiedHead { bias });

impl foundry_engine::Module for Head {
    fn visit(&self, path: &mut foundry_engine::Path, f: &mut dyn FnMut(&str, &Param)) {
        match self {
            Self::Own(head) => head.visit(path, f),
            Self::Tied(head) => head.visit(path, f),
        }
    }

    fn visit_mut(&mut self, path: &mut foundry_engine::Path, f: &mut dyn FnMut(&str, &mut Param)) {
        match self {
            Self::Own(head) => head.visit_mut(path, f),
            Self::Tied(head) => head.visit_mut(path, f),
        }
    }
}

impl LSTMModel {
    /// A model with initial weights.
    #[must_use]
    pub fn new(c: &RnnConfig, size: Size, init: &Init) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a hidden size is small")]
        let bound = c.init_uniform.unwrap_or(1.0 / (c.hidden_size as f64).sqrt());
        let sizes = (c.embedding_size, c.hidden_size, c.num_layers);
        let head = init.at("lm_head");
        let head = if c.tie_weights {
            Head::Tied(TiedHead { bias: head.full([size.vocab], 0.0) })
        } else {
            Head::Own(Linear::new(&head, c.hidden_size, size.vocab, Bias::Zero, STD))
        };
        Self {
            embed: Embedding::new(&init.at("embed"), size.vocab, c.embedding_size, STD),
            rnn: Lstm::new(&init.at("rnn"), sizes, c.dropout, bound, c.forget_bias),
            head,
            config: c.clone(),
            size,
        }
    }
}

impl LanguageModel for LSTMModel {
    fn architecture(&self) -> &'static str {
        "lstm"
    }

    fn vocab_size(&self) -> usize {
        self.size.vocab
    }

    fn context_length(&self) -> Option<usize> {
        None
    }

    fn hidden(&self, cx: &Ctx, batch: &Batch) -> Tensor {
        let x = self.embed.forward(cx, &batch.ids); // [B, T, E]
        let x = cx.dropout(self.config.embedding_dropout, &x);
        let (y, _) = self.rnn.forward(cx, &x, None); // [B, T, H]
        cx.dropout(self.config.dropout, &y)
    }

    fn project(&self, cx: &Ctx, hidden: &Tensor) -> Tensor {
        match &self.head {
            Head::Own(head) => head.forward(cx, hidden),
            Head::Tied(head) => self.embed.project(cx, hidden, Some(&cx.param(&head.bias))),
        }
    }

    fn config_json(&self, special: &SpecialIds) -> Value {
        let c = &self.config;
        json!({
            "architectures": ["FoundryRnnForCausalLM"],
            "model_type": "foundry_rnn",
            "rnn_type": "lstm",
            "vocab_size": self.size.vocab,
            "embedding_size": c.embedding_size,
            "hidden_size": c.hidden_size,
            "num_layers": c.num_layers,
            "bidirectional": false,
            "dropout": c.dropout,
            "embedding_dropout": c.embedding_dropout,
            "tie_word_embeddings": c.tie_weights,
            "bos_token_id": special.begin(),
            "eos_token_id": special.end(),
            "pad_token_id": special.pad,
            "dtype": "float32",
            "torch_dtype": "float32",
        })
    }

    fn supports_generation(&self) -> bool {
        true
    }
}
