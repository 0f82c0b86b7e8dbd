//! Text from a model, one token at a time.

use crate::arch::{Batch, LanguageModel};
use crate::collate::IGNORE;
use foundry_engine::rng::{Purpose, Stream, key};
use foundry_engine::{Ctx, Device, Tensor};

/// How the next token is chosen.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Sampling {
    /// The most probable; among equals the smallest id.
    Greedy,
    /// At random, after the logits are divided by the temperature.
    Temperature(f64),
}

/// How text is generated.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct GenerateOptions {
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// Only the k most probable tokens may come.
    pub top_k: Option<usize>,
    /// Only the most probable tokens that together have at least this probability may come (Holtzman et al. 2020).
    pub top_p: Option<f64>,
    /// Seeds the choices.
    pub seed: u64,
    /// The number of new tokens.
    pub max_tokens: usize,
    /// A token that ends the text.
    pub stop: Option<u32>,
}

/// Continues `prompt`, which must not be empty; returns the new tokens (without the stop token).
///
/// A model with a bounded context sees the last tokens that fit.
#[must_use]
pub fn generate(
    model: &dyn LanguageModel,
    device: &Device,
    prompt: &[u32],
    options: &GenerateOptions,
) -> Vec<u32> {
    let mut random = Stream::new(key(options.seed, Purpose::Generation, 0, 0));
    let mut ids = prompt.to_vec();
    for _ in 0..options.max_tokens {
        let context = model.context_length().unwrap_or(usize::MAX);
        let logits = next_logits(model, device, &ids[ids.len().saturating_sub(context)..]);
        let next = choose(&logits, options, &mut random);
        if Some(next) == options.stop {
            break;
        }
        ids.push(next);
    }
    ids.split_off(prompt.len())
}

/// The logits of the token after `ids`.
fn next_logits(model: &dyn LanguageModel, device: &Device, ids: &[u32]) -> Vec<f64> {
    let shape = [1, ids.len()];
    let targets = vec![IGNORE; ids.len()];
    let batch = Batch {
        ids: Tensor::from_u32(device, shape, ids),
        mask: None,
        targets: Tensor::from_u32(device, shape, &targets),
        predicted: None,
    };
    let logits = model.logits(&Ctx::eval(), &batch).to_vec_f64();
    logits[logits.len() - model.vocab_size()..].to_vec()
}

#[expect(clippy::cast_possible_truncation, reason = "ids are u32")]
fn choose(logits: &[f64], options: &GenerateOptions, random: &mut Stream) -> u32 {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    let temperature = match options.sampling {
        Sampling::Greedy => return order[0] as u32,
        Sampling::Temperature(t) => t,
    };
    order.truncate(options.top_k.unwrap_or(usize::MAX).max(1));
    let top = logits[order[0]];
    let weights: Vec<f64> =
        order.iter().map(|&i| ((logits[i] - top) / temperature).exp()).collect();
    let kept = nucleus(&weights, options.top_p);
    let mut at = random.uniform() * weights[..kept].iter().sum::<f64>();
    for (&i, w) in order[..kept].iter().zip(&weights) {
        at -= w;
        if at <= 0.0 {
            return i as u32;
        }
    }
    order[kept - 1] as u32
}

/// How many of the sorted weights make up a share `p` of their sum.
fn nucleus(weights: &[f64], p: Option<f64>) -> usize {
    let goal = p.unwrap_or(1.0) * weights.iter().sum::<f64>();
    let mut sum = 0.0;
    for (n, w) in weights.iter().enumerate() {
        sum += w;
        if sum >= goal {
            return n + 1;
        }
    }
    weights.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(sampling: Sampling, top_k: Option<usize>, top_p: Option<f64>) -> GenerateOptions {
        GenerateOptions { sampling, top_k, top_p, seed: 1, max_tokens: 1, stop: None }
    }

    #[test]
    fn test_choose__greedy_takes_the_first_of_equals() {
        let mut random = Stream::new([0, 0]);
        assert_eq!(
            choose(&[1.0, 3.0, 3.0], &options(Sampling::Greedy, None, None), &mut random),
            1
        );
    }

    #[test]
    fn test_choose__follows_the_probabilities() {
        let mut random = Stream::new([0, 0]);
        let logits = [0.5_f64.ln(), 0.3_f64.ln(), 0.2_f64.ln()];
        let mut draw = |o: &GenerateOptions| {
            let mut counts = [0_u32; 3];
            (0..10_000).for_each(|_| counts[choose(&logits, o, &mut random) as usize] += 1);
            counts
        };
        let all = draw(&options(Sampling::Temperature(1.0), None, None));
        assert!(all[0].abs_diff(5_000) < 200 && all[1].abs_diff(3_000) < 200, "{all:?}");
        assert_eq!(draw(&options(Sampling::Temperature(1.0), Some(2), None))[2], 0);
        assert_eq!(draw(&options(Sampling::Temperature(1.0), None, Some(0.7)))[2], 0);
        assert_eq!(draw(&options(Sampling::Temperature(0.01), None, None))[0], 10_000);
    }
}
