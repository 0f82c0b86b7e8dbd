//! Text from a model, one token at a time.

use crate::arch::LanguageModel;
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
/// Nothing is read twice: a recurrent network keeps its state, a transformer its keys and values. Where a bounded
/// context is full, the model goes on from the last half of it.
#[must_use]
pub fn generate(
    model: &dyn LanguageModel,
    device: &Device,
    prompt: &[u32],
    options: &GenerateOptions,
) -> Vec<u32> {
    let Some(reader) = model.left_to_right() else { return Vec::new() };
    let mut random = Stream::new(key(options.seed, Purpose::Generation, 0, 0));
    let mut ids = prompt.to_vec();
    let context = model.context_length().unwrap_or(usize::MAX);
    let room = context.min(prompt.len() + options.max_tokens);
    let mut unread = ids.len().saturating_sub(context);
    let mut memory = reader.memory(1, room);
    for _ in 0..options.max_tokens {
        if memory.read + (ids.len() - unread) > context {
            unread = ids.len() - (context / 2).max(1);
            memory = reader.memory(1, room);
        }
        let new = Tensor::from_u32(device, [1, ids.len() - unread], &ids[unread..]);
        unread = ids.len();
        let hidden = reader.read(&Ctx::eval(), &new, &mut memory);
        let next = choose(&last_logits(model, &hidden), options, &mut random);
        if Some(next) == options.stop {
            break;
        }
        ids.push(next);
    }
    ids.split_off(prompt.len())
}

/// The logits at the last position of `hidden [1, T, D]`.
fn last_logits(model: &dyn LanguageModel, hidden: &Tensor) -> Vec<f64> {
    let [_, t, d] = hidden.dims();
    let last = Tensor::from_u32(&hidden.device(), [1], &[u32::try_from(t - 1).unwrap_or(u32::MAX)]);
    let last = hidden.reshape([t, d]).embedding(&last);
    model.project(&Ctx::eval(), &last).to_vec_f64()
}

#[expect(clippy::cast_possible_truncation, reason = "ids are u32")]
fn choose(logits: &[f64], options: &GenerateOptions, random: &mut Stream) -> u32 {
    let temperature = match options.sampling {
        Sampling::Greedy => return largest(logits) as u32,
        Sampling::Temperature(t) => t,
    };
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
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

/// Where the largest number stands, the first of equals; a NaN counts only at the front.
fn largest(x: &[f64]) -> usize {
    let mut at = 0;
    for (i, x_i) in x.iter().enumerate() {
        if *x_i > x[at] {
            at = i;
        }
    }
    at
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

    /// Greedy text is, token for token, that of a model which reads everything anew for every token.
    #[test]
    fn test_generate__memory_changes_nothing() {
        use crate::arch::{Size, build, tiny};
        let (device, positions) = (Device::cpu(), 12);
        let init = foundry_engine::Init::new(&device, foundry_engine::DType::F32, 3);
        for (name, config) in tiny::variants() {
            let size = Size { vocab: 19, positions };
            let Some(model) = build(&config, size, &init) else { continue };
            let Some(reader) = model.left_to_right() else { continue };
            let greedy =
                GenerateOptions { max_tokens: 40, ..options(Sampling::Greedy, None, None) };
            let prompt = [3, 1, 4];
            let text = generate(&*model, &device, &prompt, &greedy);
            let (mut ids, mut from) = (prompt.to_vec(), 0);
            let context = model.context_length().unwrap_or(usize::MAX);
            for _ in 0..40 {
                if ids.len() - from > context {
                    from = ids.len() - context / 2;
                }
                let seen = Tensor::from_u32(&device, [1, ids.len() - from], &ids[from..]);
                let hidden = reader.read(&Ctx::eval(), &seen, &mut reader.memory(1, ids.len()));
                let mut random = Stream::new([0, 0]);
                ids.push(choose(&last_logits(&*model, &hidden), &greedy, &mut random));
            }
            assert_eq!(text, ids[3..], "{name}");
            let sampled = |seed| {
                let sampling = Sampling::Temperature(1.5);
                let options = GenerateOptions { sampling, seed, ..greedy };
                generate(&*model, &device, &prompt, &options)
            };
            assert_eq!(sampled(1), sampled(1));
            assert_ne!(sampled(1), sampled(2));
        }
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
