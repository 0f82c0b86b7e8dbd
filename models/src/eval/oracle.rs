//! Models whose every probability is known: tables written as weights.
//!
//! An oracle has the width of its vocabulary. Its hidden state at each position is made the unit vector of the token that was
//! just read, whatever came before, so the output layer is the table of log p(next | this token) itself:
//!
//! | architecture | how |
//! |---|---|
//! | gpt2 | nothing is added to the embedding, which is the identity; the last layer norm is undone by its weight and bias |
//! | lstm | the input gate is open, the forget gate shut, the output gate open: h = tanh(1) e |
//! | gru | the update gate takes all of the new: h = e |
//! | rnn | nothing comes from the state before: h = e |
//! | bert | the output bias is a table of one row: the same distribution everywhere |
//!
//! So what scoring should find is known without a model.

use crate::arch::{LanguageModel, Size, build};
use crate::config::ModelConfig;
use crate::config::choices::Nonlinearity;
use foundry_engine::{DType, Device, Init, Tensor, for_each_param_mut};

/// Log-probabilities of the next token, in nats: row i after token i. With one row the same after every token.
#[derive(Clone, PartialEq, Debug)]
pub struct Table(Vec<Vec<f64>>);

impl Table {
    /// Every token is as probable as any other.
    #[must_use]
    pub fn uniform(vocab: usize) -> Self {
        Self(vec![vec![1.0; vocab]]).normalised()
    }

    /// Probabilities that do not depend on what came before: proportional to 1, 2, 3 ...
    #[must_use]
    pub fn unigram(vocab: usize) -> Self {
        let weight = |v: usize| f64::from(u32::try_from(v + 1).unwrap_or(u32::MAX));
        Self(vec![(0..vocab).map(weight).collect()]).normalised()
    }

    /// Probabilities that depend on the token before, of very different sizes.
    #[must_use]
    pub fn bigram(vocab: usize) -> Self {
        let power = |i: usize, v: usize| i32::try_from((i * i + 3 * v + i * v) % 13).unwrap_or(0);
        let row = |i: usize| (0..vocab).map(|v| 0.3_f64.powi(power(i, v))).collect();
        Self((0..vocab).map(row).collect()).normalised()
    }

    fn normalised(mut self) -> Self {
        for row in &mut self.0 {
            let total: f64 = row.iter().sum();
            row.iter_mut().for_each(|p| *p = (*p / total).ln());
        }
        self
    }

    /// log p(next | this), in nats.
    #[must_use]
    pub fn logprob_nats(&self, this: u32, next: u32) -> f64 {
        self.row(this)[next as usize]
    }

    /// The entropy after a token, in nats.
    #[must_use]
    pub fn entropy_nats(&self, this: u32) -> f64 {
        self.row(this).iter().map(|l| -l * l.exp()).sum()
    }

    /// One more than the tokens that are more probable than `next`; where some are as probable to within `margin` nats,
    /// they may stand on either side.
    #[must_use]
    pub fn ranks(&self, this: u32, next: u32, margin: f64) -> std::ops::RangeInclusive<usize> {
        let (row, target) = (self.row(this), self.row(this)[next as usize]);
        let above = |least: f64| row.iter().filter(|l| **l > least).count();
        1 + above(target + margin)..=above(target - margin)
    }

    fn row(&self, this: u32) -> &[f64] {
        self.row_of(this as usize)
    }

    fn row_of(&self, this: usize) -> &[f64] {
        &self.0[this % self.0.len()]
    }

    /// Whether what comes before makes a difference.
    #[must_use]
    pub fn depends_on_context(&self) -> bool {
        self.0.len() > 1
    }
}

/// A model of the architecture of `config` (one of [`tiny::configs`](crate::arch::tiny::configs)) that gives the probabilities of a table; None for a
/// bidirectional one where the table depends on the context.
#[must_use]
pub fn oracle(
    config: &ModelConfig,
    table: &Table,
    (vocab, positions): (usize, usize),
    dtype: DType,
) -> Option<Box<dyn LanguageModel>> {
    let config = widened(config, vocab);
    let init = Init::new(&Device::cpu(), dtype, 0);
    let mut model = build(&config, Size { vocab, positions }, &init)?;
    let both_ways = !model.supports_generation();
    if both_ways && table.depends_on_context() {
        return None;
    }
    let epsilon = match &config {
        ModelConfig::Gpt2(c) => c.layer_norm_epsilon,
        _ => 0.0,
    };
    // What one unit of the hidden state is.
    let unit = if model.architecture() == "lstm" { 1.0_f64.tanh() } else { 1.0 };
    for_each_param_mut(&mut *model, |name, param| {
        let spec = param.spec();
        let value = match name {
            "lm_head.weight" if !both_ways => {
                let entry = |n: usize| table.row_of(n % vocab)[n / vocab] / unit;
                (0..spec.numel()).map(entry).collect()
            }
            "lm_head.bias" | "cls.predictions.bias" | "cls.predictions.decoder.bias"
                if both_ways =>
            {
                table.row_of(0).to_vec()
            }
            _ => weights(name, spec.numel(), vocab, epsilon),
        };
        param.set(&Tensor::from_f64(&Device::cpu(), spec.shape, &value).to_dtype(dtype));
    });
    Some(model)
}

/// One layer as wide as the vocabulary, one way, untied.
fn widened(config: &ModelConfig, vocab: usize) -> ModelConfig {
    let mut config = config.clone();
    match &mut config {
        ModelConfig::Gpt2(c) => {
            (c.layers, c.hidden_size, c.attention_heads) = (1, vocab, 1);
            c.tie_weights = false;
        }
        ModelConfig::Bert(c) => {
            let c = &mut c.transformer;
            (c.layers, c.hidden_size, c.attention_heads) = (1, vocab, 1);
        }
        ModelConfig::Lstm(c) | ModelConfig::Gru(c) | ModelConfig::Rnn(c) => {
            (c.num_layers, c.hidden_size, c.embedding_size) = (1, vocab, vocab);
            (c.tie_weights, c.forget_bias) = (false, 0.0);
            c.nonlinearity = Nonlinearity::Tanh;
        }
    }
    config
}

/// An input at which a sigmoid is 1 (or, negative, 0) and a tanh 1, to the last bit of an f64.
const SATURATED: f64 = 40.0;

/// A parameter that is not of the output layer.
fn weights(name: &str, numel: usize, vocab: usize, epsilon: f64) -> Vec<f64> {
    // `x` on the diagonal of the block of rows that begins at `first`, zeros elsewhere.
    let identity = |first: usize, x: f64| {
        let mut values = vec![0.0; numel];
        for i in 0..vocab {
            values[(first + i) * vocab + i] = x;
        }
        values
    };
    #[expect(clippy::cast_precision_loss, reason = "the size of a vocabulary")]
    let width = vocab as f64;
    match name {
        "transformer.wte.weight" | "embed.weight" => identity(0, 1.0),
        // Of a unit vector the layer norm makes (1 - 1/V) / s and (-1/V) / s.
        "transformer.ln_f.weight" => {
            vec![(1.0 / width * (1.0 - 1.0 / width) + epsilon).sqrt(); numel]
        }
        "transformer.ln_f.bias" => vec![1.0 / width; numel],
        // i, f, g, o of an LSTM; r, z, n of a GRU; or the one of an RNN.
        "rnn.weight_ih_l0" => match numel / (vocab * vocab) {
            4 | 3 => identity(2 * vocab, SATURATED),
            _ => identity(0, SATURATED),
        },
        "rnn.bias_ih_l0" => {
            let gates: &[f64] = match numel / vocab {
                4 => &[SATURATED, -SATURATED, 0.0, SATURATED],
                3 => &[0.0, -SATURATED, 0.0],
                _ => &[0.0],
            };
            gates.iter().flat_map(|x| vec![*x; vocab]).collect()
        }
        // A transformer's layers add nothing, a recurrent layer remembers nothing.
        _ => vec![0.0; numel],
    }
}
