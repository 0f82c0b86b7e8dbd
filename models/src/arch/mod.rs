//! The architectures: one paper, one file. [`ARCHITECTURES`] lists them; the command line, the configuration and the
//! tests walk that list.

mod bert;
mod gpt2;
mod gru;
mod lstm;
mod memory;
mod recurrent;
mod rnn;
pub mod tiny;

use crate::collate::HostBatch;
use crate::config::ModelConfig;
use crate::nn::RnnState;
use crate::tokenizer::SpecialIds;
use foundry_engine::ops::linear::WeightLayout;
use foundry_engine::{Ctx, Device, Init, Module, Tensor, for_each_param};
use serde_json::Value;

pub use bert::BERTModel;
pub use gpt2::GPT2Model;
pub use gru::{GRUModel, GruCell};
pub use lstm::{LSTMModel, LstmCell};
pub use memory::{LeftToRight, Memory};
pub use recurrent::RecurrentModel;
pub use rnn::{RNNModel, RnnCell};

/// What a language model is given: rows of token ids, padded on the right to one length.
///
/// The mask says how long each row is: ones at its tokens, zeros at the padding behind them. What a model gives at a
/// token may depend on the tokens of its row and never on the padding: attention sees no key whose mask is 0, the second
/// direction of a recurrent layer begins at the last one of the mask, and what reads from left to right meets the
/// padding last.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[B, T]` token ids.
    pub ids: Tensor,
    /// `[B, T]` 1 where there is a token, 0 where there is padding; None if no row is padded.
    pub mask: Option<Tensor>,
    /// `[B, T]` what is to be predicted at each position; [`IGNORE`](crate::collate::IGNORE) where nothing is.
    pub targets: Tensor,
    /// The positions that have a target, where they are few.
    pub predicted: Option<Predicted>,
}

/// The N positions of a batch that have a target.
#[derive(Clone, Debug)]
pub struct Predicted {
    /// `[N]` places in the batch: row · T + t.
    pub places: Tensor,
    /// `[N]` what is to be predicted there.
    pub targets: Tensor,
}

impl Batch {
    /// The hidden states `[N, D]` at which something is to be predicted, and the targets `[N]`; of a batch that does
    /// not list them, all B·T positions.
    fn at_targets(&self, hidden: &Tensor) -> (Tensor, Tensor) {
        let (rows, width) = (hidden.shape().rows(), hidden.shape().last());
        let hidden = hidden.reshape([rows, width]);
        match &self.predicted {
            None => (hidden, self.targets.reshape([rows])),
            // Rows of a table by their numbers are what an embedding is.
            Some(predicted) => (hidden.embedding(&predicted.places), predicted.targets.clone()),
        }
    }

    /// Copies rows that a collator made to a device.
    #[must_use]
    pub fn from_host(device: &Device, rows: &HostBatch) -> Self {
        let shape = [rows.batch, rows.time];
        let tensor = |values: &[u32]| Tensor::from_u32(device, shape, values);
        let padded = rows.mask.contains(&0);
        let list = |values: &[u32]| Tensor::from_u32(device, [values.len()], values);
        let predicted = rows.predicted.as_ref().map(|places| {
            let target = |place: &u32| rows.labels[*place as usize];
            let targets: Vec<u32> = places.iter().map(target).collect();
            Predicted { places: list(places), targets: list(&targets) }
        });
        Self {
            ids: tensor(&rows.ids),
            mask: padded.then(|| tensor(&rows.mask)),
            targets: tensor(&rows.labels),
            predicted,
        }
    }
}

/// The last layer of a model: from a vector to a score for every token.
#[derive(Clone, Debug)]
pub struct OutputLayer {
    /// `[V, E]`.
    pub weight: Tensor,
    /// `[V]`.
    pub bias: Option<Tensor>,
}

/// A language model: from token ids to a score for every token of the vocabulary at every position.
pub trait LanguageModel: Module + Send + Sync {
    /// Its name in the registry.
    fn architecture(&self) -> &'static str;

    /// The number of tokens it knows.
    fn vocab_size(&self) -> usize;

    /// The longest input it can take, in tokens; None for any length.
    fn context_length(&self) -> Option<usize>;

    /// `[B, T] -> [B, T, D]`: what the output layer reads.
    fn hidden(&self, cx: &Ctx, batch: &Batch) -> Tensor;

    /// The state before a row begins, for so many rows: zeros; empty for a model that carries nothing.
    fn initial_state(&self, _rows: usize) -> RnnState {
        RnnState::new()
    }

    /// As [`hidden`](Self::hidden), for rows that go on where those of the batch before ended: it begins from `state`,
    /// which becomes the state after the last step, without a gradient. There may be fewer rows than `state` has; they
    /// are its first. A model that carries nothing does not look at it.
    fn hidden_from(&self, cx: &Ctx, batch: &Batch, _state: &mut RnnState) -> Tensor {
        self.hidden(cx, batch)
    }

    /// The output layer.
    fn output_layer(&self, cx: &Ctx) -> OutputLayer;

    /// `[.., D] -> [.., E]`: what the output layer reads, made of the hidden states; the same in most models.
    fn before_output(&self, _cx: &Ctx, hidden: &Tensor) -> Tensor {
        hidden.clone()
    }

    /// `[.., D] -> [.., V]`: unnormalised log-probabilities.
    fn project(&self, cx: &Ctx, hidden: &Tensor) -> Tensor {
        let OutputLayer { weight, bias } = self.output_layer(cx);
        self.before_output(cx, hidden).linear(&weight, bias.as_ref(), WeightLayout::OutIn)
    }

    /// The model's `config.json`, in the terms of Hugging Face. `special` are the tokenizer's ids.
    fn config_json(&self, special: &SpecialIds) -> Value;

    /// `[B, T, V]`: unnormalised log-probabilities (logits).
    fn logits(&self, cx: &Ctx, batch: &Batch) -> Tensor {
        self.project(cx, &self.hidden(cx, batch))
    }

    /// The negative log-likelihood of each target, in nats: `[B·T]`, 0 where there is none; or `[N]` for a batch that
    /// lists its predicted positions, at which alone the output layer is then computed.
    fn nll(&self, cx: &Ctx, batch: &Batch, label_smoothing: f64) -> Tensor {
        let (hidden, targets) = batch.at_targets(&self.hidden(cx, batch));
        self.project(cx, &hidden).cross_entropy(&targets, label_smoothing)
    }

    /// `scale` times the sum of [`nll`](Self::nll), without the logits ever existing as a whole. With a state, the rows
    /// go on where those of the batch before ended ([`hidden_from`](Self::hidden_from)).
    fn loss(
        &self,
        cx: &Ctx,
        batch: &Batch,
        label_smoothing: f64,
        scale: f64,
        state: Option<&mut RnnState>,
    ) -> Tensor {
        let hidden = match state {
            Some(state) => self.hidden_from(cx, batch, state),
            None => self.hidden(cx, batch),
        }; // [B, T, D]
        let (hidden, targets) = batch.at_targets(&hidden);
        let x = self.before_output(cx, &hidden);
        let OutputLayer { weight, bias } = self.output_layer(cx);
        x.linear_cross_entropy(&weight, bias.as_ref(), &targets, label_smoothing, scale)
    }

    /// The number of trainable numbers; tied weights count once.
    fn parameter_count(&self) -> usize {
        let mut n = 0;
        for_each_param(self, |_, p| n += p.spec().numel());
        n
    }

    /// The memory of the parameters, in bytes.
    fn parameter_bytes(&self) -> usize {
        let mut n = 0;
        for_each_param(self, |_, p| n += p.spec().bytes());
        n
    }

    /// Whether text can be generated left to right.
    fn supports_generation(&self) -> bool;

    /// The model as one that keeps what it has read; None for one that sees both sides.
    fn left_to_right(&self) -> Option<&dyn LeftToRight> {
        None
    }
}

/// What a model's shape takes from the tokenizer and the data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Tokens in the vocabulary.
    pub vocab: usize,
    /// Tokens in the longest input: positions that a transformer has vectors for.
    pub positions: usize,
}

/// An architecture in the registry.
pub struct Architecture {
    /// The name in a configuration.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// A model with initial weights; None if the configuration is another architecture's.
    pub build: fn(&ModelConfig, Size, &Init) -> Option<Box<dyn LanguageModel>>,
}

/// Every architecture.
pub const ARCHITECTURES: &[Architecture] = &[
    Architecture {
        name: "gpt2",
        summary: "transformer that reads left to right (Radford et al. 2019)",
        build: |config, size, init| match config {
            ModelConfig::Gpt2(c) => Some(Box::new(GPT2Model::new(c, size, init))),
            _ => None,
        },
    },
    Architecture {
        name: "bert",
        summary: "transformer that reads both ways and fills gaps (Devlin et al. 2019)",
        build: |config, size, init| match config {
            ModelConfig::Bert(c) => Some(Box::new(BERTModel::new(c, size, init))),
            _ => None,
        },
    },
    Architecture {
        name: "lstm",
        summary: "long short-term memory (Hochreiter and Schmidhuber 1997)",
        build: |config, size, init| match config {
            ModelConfig::Lstm(c) => Some(Box::new(LSTMModel::new(c, size, init))),
            _ => None,
        },
    },
    Architecture {
        name: "gru",
        summary: "gated recurrent unit (Cho et al. 2014)",
        build: |config, size, init| match config {
            ModelConfig::Gru(c) => Some(Box::new(GRUModel::new(c, size, init))),
            _ => None,
        },
    },
    Architecture {
        name: "rnn",
        summary: "vanilla recurrent network (Elman 1990)",
        build: |config, size, init| match config {
            ModelConfig::Rnn(c) => Some(Box::new(RNNModel::new(c, size, init))),
            _ => None,
        },
    },
];

/// A model with initial weights; None if no architecture of the registry builds such a configuration.
#[must_use]
pub fn build(config: &ModelConfig, size: Size, init: &Init) -> Option<Box<dyn LanguageModel>> {
    ARCHITECTURES.iter().find_map(|a| (a.build)(config, size, init))
}
