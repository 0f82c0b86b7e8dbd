//! What `foundry bench` times: training steps, scoring and decoding of fixed models on random tokens.
//!
//! A training step is [`Trainer::step`], the very function that `foundry train` calls. The shapes are those on which
//! other engines are timed too, so that the times can be divided.

mod named;
mod tokenize;

pub use named::{Dimension, NAMES, Named};
pub use tokenize::{TokenizeOptions, TokenizeTiming, tokenize};

use crate::arch::{self, Batch, LanguageModel};
use crate::collate::{HostBatch, IGNORE};
use crate::eval::{GenerateOptions, Sampling, generate};
use crate::machine;
use crate::optim::{Optimizer, Rule};
use crate::train::learning_rate::{LearningRate, LrShape};
use crate::train::trainer::Trainer;
use foundry_engine::rng::{Purpose, Stream, key};
use foundry_engine::{Ctx, DType, Device, Init, yardstick};
use std::time::{Duration, Instant};

/// What is timed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// An update: forward, backward, AdamW.
    Train,
    /// The loss of a batch, without gradients.
    Infer,
    /// Greedy continuation of 16 tokens up to the full length, one sequence.
    Decode,
}

/// How long.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Options {
    /// The share of activations that are dropped.
    pub dropout: f64,
    /// Steps before the clock starts.
    pub warmup: usize,
    /// The fewest steps that are timed.
    pub steps: usize,
    /// More steps are timed until this much time has passed.
    pub least: Duration,
    /// No step begins after this time, once three are timed.
    pub most: Duration,
    /// Seeds weights, tokens and dropout.
    pub seed: u64,
}

/// What came out.
#[derive(Clone, PartialEq, Debug)]
pub struct Timing {
    /// The time of each step, in the order they were made.
    pub steps: Vec<Duration>,
    /// Tokens that a step reads (decoding: writes).
    pub tokens: usize,
    /// The loss of the last step, in nats a target; 0 for decoding.
    pub loss: f64,
    /// Trainable numbers.
    pub parameters: usize,
    /// Operations a second that the threads can do at the most, the better of before and after.
    pub peak: f64,
    /// The most memory that the process has held, in bytes; None where the system does not say.
    pub peak_rss: Option<u64>,
}

/// Tokens of the prompt that is continued.
const PROMPT: usize = 16;
/// Ids below this are never drawn: they are a tokenizer's special tokens.
const FIRST_ID: u32 = 5;
/// The id that hides a token from a masked language model.
const MASK_ID: u32 = 3;
/// The share of tokens that a masked language model predicts.
const MASKED: f64 = 0.15;

impl Timing {
    /// The median time of a step: of an even number, the later of the two in the middle.
    ///
    /// # Panics
    /// If no step was timed.
    #[must_use]
    pub fn median(&self) -> Duration {
        let mut sorted = self.steps.clone();
        sorted.sort_unstable();
        sorted[sorted.len() / 2]
    }
}

/// Runs a benchmark in the rayon pool that the caller is in. None if the registry does not build the model yet, or if
/// the model cannot do what the mode asks for.
#[must_use]
pub fn run(named: &Named, mode: Mode, options: &Options) -> Option<Timing> {
    let device = Device::cpu();
    let init = Init::new(&device, DType::F32, options.seed);
    let model = arch::build(&named.model(options.dropout), named.size(), &init)?;
    if mode == Mode::Decode && !model.supports_generation() {
        return None;
    }
    let parameters = model.parameter_count();
    let before = yardstick::peak(rayon::current_num_threads());
    let mut random = Stream::new(key(options.seed, Purpose::Generation, 0, 0));
    let (steps, loss) = match mode {
        Mode::Train => train(named, model, &device, options, &mut random),
        Mode::Infer => timed(options, || {
            let host = named.batch(&mut random);
            let batch = Batch::from_host(&device, &host);
            model.loss(&Ctx::eval(), &batch, 0.0, 1.0 / targets(&host), None).item()
        }),
        Mode::Decode => decode(named, &*model, &device, options, &mut random),
    };
    let tokens = if mode == Mode::Decode { named.time - PROMPT } else { named.time * named.batch };
    let peak = before.max(yardstick::peak(rayon::current_num_threads()));
    let peak_rss = machine::peak_resident_bytes();
    Some(Timing { steps, tokens, loss, parameters, peak, peak_rss })
}

/// A model in training as `foundry bench train` times it: AdamW, the learning rate constant. None if the registry does not
/// build the model.
#[must_use]
pub fn trainer(named: &Named, options: &Options) -> Option<Trainer> {
    let device = Device::cpu();
    let init = Init::new(&device, DType::F32, options.seed);
    let model = arch::build(&named.model(options.dropout), named.size(), &init)?;
    Some(training(model, &device, options.seed))
}

fn training(model: Box<dyn LanguageModel>, device: &Device, seed: u64) -> Trainer {
    let rule = Rule::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    Trainer {
        optimizer: Optimizer::new(rule, 0.01, &*model),
        model,
        learning_rate: LearningRate {
            shape: LrShape::Constant,
            peak: 1e-3,
            floor: 0.0,
            warmup_steps: 0,
            total_steps: u64::MAX,
            reductions: 0,
        },
        max_grad_norm: None,
        average: None,
        recompute: false,
        carried: None,
        label_smoothing: 0.0,
        seed,
        device: device.clone(),
    }
}

fn train(
    named: &Named,
    model: Box<dyn LanguageModel>,
    device: &Device,
    options: &Options,
    random: &mut Stream,
) -> (Vec<Duration>, f64) {
    let mut trainer = training(model, device, options.seed);
    let mut update = 0;
    timed(options, || {
        update += 1;
        match trainer.step(update, &[named.batch(random)]) {
            Ok(report) => report.loss,
            Err(_) => f64::NAN,
        }
    })
}

fn decode(
    named: &Named,
    model: &dyn LanguageModel,
    device: &Device,
    options: &Options,
    random: &mut Stream,
) -> (Vec<Duration>, f64) {
    let prompt: Vec<u32> = (0..PROMPT).map(|_| named.token(random)).collect();
    let greedy = GenerateOptions {
        sampling: Sampling::Greedy,
        top_k: None,
        top_p: None,
        seed: options.seed,
        max_tokens: named.time - PROMPT,
        stop: None,
    };
    timed(options, || {
        let new = generate(model, device, &prompt, &greedy);
        assert_eq!(new.len(), named.time - PROMPT);
        0.0
    })
}

/// The times of as many steps as asked for, and what the last one returned.
fn timed(options: &Options, mut step: impl FnMut() -> f64) -> (Vec<Duration>, f64) {
    for _ in 0..options.warmup {
        step();
    }
    let mut times = Vec::new();
    let mut last = 0.0;
    let began = Instant::now();
    while times.len() < options.steps.max(1) || began.elapsed() < options.least {
        let start = Instant::now();
        last = step();
        times.push(start.elapsed());
        if began.elapsed() >= options.most && times.len() >= 3 {
            break;
        }
    }
    (times, last)
}

#[expect(clippy::cast_precision_loss, reason = "a batch has far fewer than 2^52 tokens")]
fn targets(batch: &HostBatch) -> f64 {
    batch.targets.max(1) as f64
}

impl Named {
    fn token(&self, random: &mut Stream) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "below the size of the vocabulary"
        )]
        let id = (random.uniform() * f64::from(self.vocab() - FIRST_ID)) as u32;
        FIRST_ID + id
    }

    /// Random tokens, and the next one as target; or, for a masked model, some of them hidden and asked for.
    #[must_use]
    pub fn batch(&self, random: &mut Stream) -> HostBatch {
        let (b, t) = (self.batch, self.time);
        let (mut ids, mut labels) = (Vec::with_capacity(b * t), Vec::with_capacity(b * t));
        for _ in 0..b {
            let row: Vec<u32> = (0..=t).map(|_| self.token(random)).collect();
            for i in 0..t {
                let hidden = self.masked && random.uniform() < MASKED;
                ids.push(if hidden { MASK_ID } else { row[i] });
                labels.push(match (self.masked, hidden) {
                    (false, _) => row[i + 1],
                    (true, true) => row[i],
                    (true, false) => IGNORE,
                });
            }
        }
        let length = u32::try_from(t).unwrap_or(u32::MAX);
        let predicted = (0..).zip(&labels).filter(|(_, label)| **label != IGNORE).map(|(i, _)| i);
        HostBatch {
            batch: b,
            time: t,
            rows: (0..b as u64).collect(),
            mask: vec![1; b * t],
            lengths: vec![length; b],
            real_tokens: (b * t) as u64,
            targets: labels.iter().filter(|l| **l != IGNORE).count() as u64,
            words: 0,
            predicted: self.masked.then(|| predicted.collect()),
            ids,
            labels,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Options = Options {
        dropout: 0.1,
        warmup: 0,
        steps: 2,
        least: Duration::ZERO,
        most: Duration::from_secs(60),
        seed: 1,
    };

    #[test]
    fn test_bench__tiny_models_of_every_architecture_are_timed() {
        for name in NAMES.iter().filter(|n| n.ends_with("-tiny")) {
            let named = Named::find(name).unwrap();
            for mode in [Mode::Train, Mode::Infer] {
                let timing = run(&named, mode, &ONE).unwrap();
                assert_eq!((timing.steps.len(), timing.tokens), (2, named.time * named.batch));
                assert!((timing.loss - 1000_f64.ln()).abs() < 0.5, "{name} {}", timing.loss);
            }
        }
    }

    #[test]
    fn test_bench__parameters_are_those_of_the_peers() {
        let mut counts = [("gpt2-tiny", 168_192), ("lstm-tiny", 131_560)].into_iter();
        assert!(counts.all(|(name, count)| {
            run(&Named::find(name).unwrap(), Mode::Infer, &ONE).unwrap().parameters == count
        }));
    }

    /// By hand: 6 for each weight of a layer and for each of the output layer that a token reads, and attention.
    #[test]
    fn test_bench__operations_of_a_step() {
        for (name, expected) in [
            ("gpt2-small", 85.56),
            ("bert-small", 66.71),
            ("lstm-tiny", 1.592),
            ("bilstm-medium", 39.76),
            ("gru-large", 103.96),
            ("rnn-medium", 28.39),
        ] {
            let found = Named::find(name).unwrap().operations() / 1e9;
            assert!((found / expected - 1.0).abs() < 1e-3, "{name}: {found}, not {expected}");
        }
    }

    #[test]
    fn test_bench__one_dimension_is_scaled_at_a_time() {
        let tiny = Named::find("bert-tiny").unwrap();

        let found = Dimension::ALL.map(|dimension| {
            let (scaled, size) = tiny.scaled(dimension, 2.0);
            let timing = run(&scaled, Mode::Train, &ONE).unwrap();
            (size, scaled.time, scaled.batch, timing.parameters)
        });

        let parameters = run(&tiny, Mode::Infer, &ONE).unwrap().parameters;
        let wider = found[1].3;
        // each of the longer rows has places to learn, each of the further tokens a row and a bias
        assert_eq!(found[0], (128, 128, 16, parameters + 64 * 64));
        assert_eq!((found[1].0, found[1].1, found[1].2), (128, 64, 16));
        assert!(wider > 3 * parameters && wider < 4 * parameters, "{parameters} {wider}");
        assert_eq!(found[2], (2000, 64, 16, parameters + 1000 * 65));
        assert_eq!(found[3], (32, 64, 32, parameters));
    }

    #[test]
    fn test_bench__a_masked_model_predicts_some_tokens_and_a_causal_one_all() {
        let mut random = Stream::new(key(1, Purpose::Generation, 0, 0));

        let masked = Named::find("bert-small").unwrap().batch(&mut random);
        let causal = Named::find("gpt2-small").unwrap().batch(&mut random);

        assert_eq!(causal.targets, 16 * 128);
        assert!((200..420).contains(&masked.targets), "{}", masked.targets);
        let hidden = masked.ids.iter().filter(|id| **id == MASK_ID).count() as u64;
        assert_eq!(hidden, masked.targets);
    }
}
