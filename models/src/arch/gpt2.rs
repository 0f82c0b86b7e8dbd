//! GPT-2: a transformer that reads left to right.
//!
//! Radford, Wu, Child, Luan, Amodei, Sutskever: *Language models are unsupervised multitask learners* (2019), on
//! Vaswani et al.: *Attention is all you need* (2017). Equal in numbers to Hugging Face's `GPT2LMHeadModel`.
//!
//! B batch, T time, D model, H heads, F feed-forward, V vocabulary, L layers.
//!
//! ```text
//! x_0 = dropout(wte[id_t] + wpe[t])                                     [B, T, D]
//! for each layer:
//!   x   = x + dropout(c_proj(attention(c_attn(ln_1(x)))))               attention sees positions <= t
//!   x   = x + dropout(c_proj(act(c_fc(ln_2(x)))))
//! logits_t = ln_f(x_t) wte^T                                            [B, T, V]
//! ```
//!
//! # Differences from the paper
//! None that changes a number. Weights are N(0, 0.02^2), and those that write to the residual stream (both `c_proj`)
//! N(0, 0.02^2 / 2L), as in the released code. The output layer can be untied.

use super::{Batch, LanguageModel, LeftToRight, Memory, OutputLayer, Size};
use crate::config::TransformerConfig;
use crate::config::choices::Activation;
use crate::nn::{Bias, Conv1D, Embedding, LayerNorm, Linear, activate};
use crate::tokenizer::SpecialIds;
use foundry_engine::ops::cache::write_rows;
use foundry_engine::{Ctx, Init, Tensor, module, ops};
use serde_json::{Value, json};

/// GPT-2 with a language-model head.
pub struct GPT2Model {
    transformer: Transformer,
    lm_head: Option<Linear>,
    config: TransformerConfig,
    size: Size,
}
module!(GPT2Model { transformer, lm_head });

struct Transformer {
    wte: Embedding,
    wpe: Embedding,
    h: Vec<Block>,
    ln_f: LayerNorm,
    dropout: f64,
}
module!(Transformer { wte, wpe, h, ln_f });

struct Block {
    ln_1: LayerNorm,
    attn: Attention,
    ln_2: LayerNorm,
    mlp: Mlp,
}
module!(Block { ln_1, attn, ln_2, mlp });

struct Attention {
    c_attn: Conv1D,
    c_proj: Conv1D,
    heads: usize,
    attention_dropout: f64,
    dropout: f64,
}
module!(Attention { c_attn, c_proj });

struct Mlp {
    c_fc: Conv1D,
    c_proj: Conv1D,
    activation: Activation,
    dropout: f64,
}
module!(Mlp { c_fc, c_proj });

impl GPT2Model {
    /// A model with initial weights.
    #[must_use]
    pub fn new(c: &TransformerConfig, size: Size, init: &Init) -> Self {
        let std = c.initializer_range;
        let root = init.at("transformer");
        let transformer = Transformer {
            wte: Embedding::new(&root.at("wte"), size.vocab, c.hidden_size, std),
            wpe: Embedding::new(&root.at("wpe"), size.positions, c.hidden_size, std),
            h: (0..c.layers).map(|i| Block::new(c, &root.at("h").at(i))).collect(),
            ln_f: LayerNorm::new(&root.at("ln_f"), c.hidden_size, c.layer_norm_epsilon),
            dropout: c.embedding_dropout,
        };
        let head = || Linear::new(&init.at("lm_head"), c.hidden_size, size.vocab, Bias::None, std);
        Self { transformer, lm_head: (!c.tie_weights).then(head), config: c.clone(), size }
    }
}

impl LanguageModel for GPT2Model {
    fn architecture(&self) -> &'static str {
        "gpt2"
    }

    fn vocab_size(&self) -> usize {
        self.size.vocab
    }

    fn context_length(&self) -> Option<usize> {
        Some(self.size.positions)
    }

    fn hidden(&self, cx: &Ctx, batch: &Batch) -> Tensor {
        self.transformer.forward(cx, batch)
    }

    fn output_layer(&self, cx: &Ctx) -> OutputLayer {
        match &self.lm_head {
            Some(head) => head.output_layer(cx),
            None => self.transformer.wte.output_layer(cx, None),
        }
    }

    fn config_json(&self, special: &SpecialIds) -> Value {
        let c = &self.config;
        json!({
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            "vocab_size": self.size.vocab,
            "n_positions": self.size.positions,
            "n_ctx": self.size.positions,
            "n_embd": c.hidden_size,
            "n_layer": c.layers,
            "n_head": c.attention_heads,
            "n_inner": c.intermediate_hidden_size,
            "activation_function": c.activation.name(),
            "resid_pdrop": c.dropout,
            "attn_pdrop": c.attention_dropout,
            "embd_pdrop": c.embedding_dropout,
            "layer_norm_epsilon": c.layer_norm_epsilon,
            "initializer_range": c.initializer_range,
            "scale_attn_weights": true,
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

    fn left_to_right(&self) -> Option<&dyn LeftToRight> {
        Some(self)
    }
}

impl LeftToRight for GPT2Model {
    fn memory(&self, rows: usize, room: usize) -> Memory {
        let (device, dtype) = self.transformer.wte.place();
        let shape = [rows, room.min(self.size.positions), self.config.hidden_size];
        Memory::zeros(&device, dtype, &shape, (self.config.layers, 2))
    }

    fn read(&self, cx: &Ctx, ids: &Tensor, memory: &mut Memory) -> Tensor {
        let from = memory.read;
        memory.read += ids.dims::<2>()[1];
        let mut x = self.transformer.embed(cx, ids, from);
        for (block, cache) in self.transformer.h.iter().zip(&mut memory.layers) {
            x = block.forward(cx, &x, |attn, x| attn.read(cx, x, cache, from));
        }
        self.transformer.ln_f.forward(cx, &x)
    }
}

impl Transformer {
    fn forward(&self, cx: &Ctx, batch: &Batch) -> Tensor {
        let mut x = self.embed(cx, &batch.ids, 0);
        for block in &self.h {
            x = cx.checkpoint(|| {
                block.forward(cx, &x, |attn, x| attn.forward(cx, x, batch.mask.as_ref()))
            });
        }
        self.ln_f.forward(cx, &x)
    }

    /// `[B, T] -> [B, T, D]`: tokens at the positions `from ..`.
    fn embed(&self, cx: &Ctx, ids: &Tensor, from: usize) -> Tensor {
        let [_, t] = ids.dims();
        #[expect(clippy::cast_possible_truncation, reason = "positions are far below 2^32")]
        let positions: Vec<u32> = (from as u32..(from + t) as u32).collect();
        let positions = Tensor::from_u32(&ids.device(), [t], &positions);
        let x = self.wte.forward(cx, ids) + self.wpe.forward(cx, &positions);
        cx.dropout(self.dropout, &x)
    }
}

impl Block {
    fn new(c: &TransformerConfig, init: &Init) -> Self {
        let (d, f, std) = (c.hidden_size, c.intermediate_hidden_size, c.initializer_range);
        #[expect(clippy::cast_precision_loss, reason = "a number of layers is small")]
        let residual_std = std / (2.0 * c.layers as f64).sqrt();
        let (attn, mlp) = (init.at("attn"), init.at("mlp"));
        let dropout = c.dropout;
        Self {
            ln_1: LayerNorm::new(&init.at("ln_1"), c.hidden_size, c.layer_norm_epsilon),
            attn: Attention {
                c_attn: Conv1D::new(&attn.at("c_attn"), d, 3 * d, std),
                c_proj: Conv1D::new(&attn.at("c_proj"), d, d, residual_std),
                heads: c.attention_heads,
                attention_dropout: c.attention_dropout,
                dropout,
            },
            ln_2: LayerNorm::new(&init.at("ln_2"), c.hidden_size, c.layer_norm_epsilon),
            mlp: Mlp {
                c_fc: Conv1D::new(&mlp.at("c_fc"), d, f, std),
                c_proj: Conv1D::new(&mlp.at("c_proj"), f, d, residual_std),
                activation: c.activation,
                dropout,
            },
        }
    }

    /// `[B, T, D] -> [B, T, D]`; `attend` says of what the attention sees.
    fn forward(
        &self,
        cx: &Ctx,
        x: &Tensor,
        attend: impl FnOnce(&Attention, &Tensor) -> Tensor,
    ) -> Tensor {
        let x = x + attend(&self.attn, &self.ln_1.forward(cx, x));
        &x + self.mlp.forward(cx, &self.ln_2.forward(cx, &x))
    }
}

impl Attention {
    /// `[B, T, D] -> [B, T, D]`
    fn forward(&self, cx: &Ctx, x: &Tensor, mask: Option<&Tensor>) -> Tensor {
        let qkv = self.c_attn.forward(cx, x); // [B, T, 3D]: queries, keys, values
        let attention = ops::attention::Attention::causal(self.heads);
        let attention = attention.dropout(self.attention_dropout, cx.dropout_site());
        let y = attention.packed(&qkv, mask); // [B, T, D]
        cx.dropout(self.dropout, &self.c_proj.forward(cx, &y))
    }

    /// As `forward`, after the `from` tokens whose keys and values `[B, C, D]` are in the cache.
    fn read(&self, cx: &Ctx, x: &Tensor, cache: &mut [Tensor], from: usize) -> Tensor {
        let [_, t, d] = x.dims();
        let qkv = self.c_attn.forward(cx, x).split(2, &[d, d, d]);
        for (cache, new) in cache.iter_mut().zip(&qkv[1..]) {
            write_rows(cache, new, from);
        }
        let attention = ops::attention::Attention::causal(self.heads);
        let y = attention.cached(&qkv[0], &cache[0], &cache[1], from + t);
        self.c_proj.forward(cx, &y)
    }
}

impl Mlp {
    /// `[B, T, D] -> [B, T, D]`
    fn forward(&self, cx: &Ctx, x: &Tensor) -> Tensor {
        let x = activate(self.activation, &self.c_fc.forward(cx, x)); // [B, T, F]
        cx.dropout(self.dropout, &self.c_proj.forward(cx, &x))
    }
}
