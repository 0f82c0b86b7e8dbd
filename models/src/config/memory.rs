//! How large a model is, and how much memory its training takes: counted from the configuration,
//! before anything is allocated, so that a size beyond the machine is refused in words.
//!
//! All sizes are counted in 128 bits and saturate, so no product of typed numbers can wrap.

use super::Config;
use super::check::Check;
use super::validated::{ModelConfig, RnnConfig, TransformerConfig, UpdateRule};

/// What training a configuration takes, in bytes: a lower bound, counted without allocating.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryEstimate {
    /// Trainable numbers, tied weights once.
    pub parameters: u128,
    /// The weights.
    pub weights: u128,
    /// Their gradients.
    pub gradients: u128,
    /// The optimizer's moments, and the moving average of the weights.
    pub optimizer: u128,
    /// What the forward pass of one micro-batch keeps for the backward pass, logits apart.
    pub activations: u128,
    /// Logits of one micro-batch and their gradient.
    pub logits: u128,
}

impl MemoryEstimate {
    /// The sum of all parts, in bytes.
    pub fn total(&self) -> u128 {
        [self.weights, self.gradients, self.optimizer, self.activations, self.logits]
            .into_iter()
            .fold(0, u128::saturating_add)
    }
}

/// The number of trainable parameters of a model with `vocabulary` tokens and `positions`
/// positions; tied weights count once.
pub fn parameter_count(model: &ModelConfig, vocabulary: usize, positions: usize) -> u128 {
    let (v, p) = (vocabulary as u128, positions as u128);
    match model {
        ModelConfig::Gpt2(t) => {
            let d = t.hidden_size as u128;
            // Embeddings, blocks, final LayerNorm, and the head where it is not tied.
            sum([mul(v, d), mul(p, d), mul(t.layers as u128, block(t)), 2 * d, untied(t, v)])
        }
        ModelConfig::Bert(b) => {
            let t = &b.transformer;
            let d = t.hidden_size as u128;
            let embeddings = mul(sum([v, p, b.type_vocab_size as u128, 2]), d);
            // Dense, LayerNorm and the decoder's bias.
            let head = sum([mul(d, d), d, 2 * d, v]);
            sum([embeddings, mul(t.layers as u128, block(t)), head, untied(t, v)])
        }
        ModelConfig::Lstm(r) => recurrent(r, 4, v),
        ModelConfig::Gru(r) => recurrent(r, 3, v),
        ModelConfig::Rnn(r) => recurrent(r, 1, v),
    }
}

/// One transformer block: attention (4 matrices), feed-forward (2), their biases, 2 LayerNorms.
fn block(t: &TransformerConfig) -> u128 {
    let (d, i) = (t.hidden_size as u128, t.intermediate_hidden_size as u128);
    sum([mul(4, mul(d, d)), 4 * d, mul(2, mul(d, i)), i, d, 4 * d])
}

fn untied(t: &TransformerConfig, v: u128) -> u128 {
    if t.tie_weights { 0 } else { mul(v, t.hidden_size as u128) }
}

/// Embedding, layers with two biases a gate (torch's layout), and a linear head with bias.
fn recurrent(r: &RnnConfig, gates: u128, v: u128) -> u128 {
    let (e, h, dirs) = (r.embedding_size as u128, r.hidden_size as u128, r.directions() as u128);
    let layer = |input: u128| mul(mul(dirs, gates), mul(h, sum([input, h, 2])));
    let later = mul((r.num_layers as u128).saturating_sub(1), layer(mul(h, dirs)));
    let head = if r.tie_weights { v } else { mul(v, mul(h, dirs).saturating_add(1)) };
    sum([mul(v, e), layer(e), later, head])
}

/// What training takes, with a vocabulary of the size that was asked for.
pub fn estimate(config: &Config) -> MemoryEstimate {
    let (v, t) = (config.tokenizer.vocab_size, config.data.max_sequence_length);
    let parameters = parameter_count(&config.model, v, t);
    let tokens = mul(config.data.batch_size as u128, t as u128);
    let kept = match config.model.transformer() {
        Some(m) => {
            let (d, i) = (m.hidden_size as u128, m.intermediate_hidden_size as u128);
            // Per block: two LayerNorm inputs and outputs, q, k, v, attention's output, and the
            // feed-forward layer before and after its non-linearity.
            mul(m.layers as u128, sum([mul(8, d), mul(2, i)]))
        }
        None => config.model.rnn().map_or(0, |r| {
            let width = mul(r.directions() as u128, r.hidden_size as u128);
            let of_a_cell = match config.model {
                ModelConfig::Lstm(_) => 6, // i, f, g, o, cell, output
                ModelConfig::Gru(_) => 5,  // n, r, z, what is remembered, output
                _ => 1,                    // output
            };
            // Both directions' outputs side by side are another tensor.
            let joined = u128::from(r.bidirectional);
            mul(r.num_layers as u128, mul(of_a_cell + joined, width))
        }),
    };
    let kept = match config.training.use_gradient_checkpointing {
        true => 0,
        false => kept,
    };
    // A masked model computes them where it predicts.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a share of a count"
    )]
    let predicted = match &config.training.masking {
        Some(masking) => (tokens as f64 * masking.mlm_probability) as u128,
        None => tokens,
    };
    let moments = match config.training.update_rule {
        UpdateRule::AdamW { .. } => 2,
        UpdateRule::Sgd { momentum } => u128::from(momentum != 0.0),
    };
    let averages = u128::from(config.training.ema_decay.is_some());
    let weights = mul(4, parameters);
    MemoryEstimate {
        parameters,
        weights,
        gradients: weights,
        optimizer: mul(moments + averages, weights),
        activations: mul(4, mul(tokens, kept)),
        logits: mul(8, mul(predicted, v as u128)),
    }
}

/// Refuses a configuration whose training cannot fit into `available` bytes.
pub(crate) fn check(config: &Config, available: Option<u64>, c: &mut Check<'_>) {
    let need = estimate(config);
    // Where the machine cannot be asked, no machine of today has more.
    let available = available.map_or(1 << 44, u128::from);
    if need.total() <= available {
        return;
    }
    let message = format!(
        "training needs at least {}, and this machine has {}: {} parameters with their gradients \
         and moments {}, activations {}, logits {}",
        bytes(need.total()),
        bytes(available),
        need.parameters,
        bytes(sum([need.weights, need.gradients, need.optimizer])),
        bytes(need.activations),
        bytes(need.logits),
    );
    let per_batch = sum([need.activations, need.logits]);
    if per_batch > need.total() / 2 {
        c.problem("data.batch_size", message).help(
            "lower data.batch_size (and raise training.gradient_accumulation_steps), \
             data.max_sequence_length or tokenizer.vocab_size",
        );
    } else {
        let field = match config.model.transformer() {
            Some(_) => "model.transformer",
            None => "model.rnn",
        };
        c.problem(field, message).help("make the model or tokenizer.vocab_size smaller");
    }
}

/// The memory of this machine in bytes, where the system tells it.
pub fn machine_memory() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let text = std::fs::read_to_string("/proc/meminfo").ok()?;
        let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    }
    #[cfg(not(target_os = "linux"))]
    {
        None
    }
}

/// A size in words: `1.5 GiB`.
pub fn bytes(n: u128) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let mut x = n as f64;
    let mut unit = 0;
    while x >= 1024.0 && unit + 1 < UNITS.len() {
        x /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{n} B"),
        _ if x >= 1e6 => format!("{x:.1e} {}", UNITS[unit]),
        _ => format!("{x:.1} {}", UNITS[unit]),
    }
}

fn mul(a: u128, b: u128) -> u128 {
    a.saturating_mul(b)
}

fn sum<const N: usize>(terms: [u128; N]) -> u128 {
    terms.into_iter().fold(0, u128::saturating_add)
}
