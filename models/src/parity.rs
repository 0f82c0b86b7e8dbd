//! Does a model learn on another device what it learns on the CPU? Tiny models of every architecture, trained on both from the
//! same weights, on the same batches, with the same dropout.

use crate::arch::{Size, build, tiny};
use crate::collate::{CausalLMDataCollator, Collator, HostBatch, MaskedLMDataCollator, RowKeys};
use crate::config::choices::Masking;
use crate::config::{MaskingConfig, ModelConfig};
use crate::data::Chunk;
use crate::optim::{Optimizer, Rule};
use crate::tokenizer::SpecialIds;
use crate::train::learning_rate::{LearningRate, LrShape};
use crate::train::trainer::{StepError, Trainer};
use foundry_engine::rng::{Purpose, Stream, key};
use foundry_engine::{DType, Device, Init};

/// The promise: losses differ by at most this, relative to that of the CPU.
pub const TOLERANCE: f64 = 1e-4;

/// The promise of mixed precision, likewise.
pub const MIXED_TOLERANCE: f64 = 5e-3;

const SIZE: Size = Size { vocab: 23, positions: 8 };
const ROWS: usize = 2;
/// Rows of a batch for tensor cores: most of what is multiplied has as many rows as a tile of theirs.
const MIXED_ROWS: usize = 8;

/// The losses of a training, step by step.
#[derive(Clone, PartialEq, Debug)]
pub struct Comparison {
    /// "gpt2", ...
    pub architecture: String,
    /// On the CPU.
    pub cpu: Vec<f64>,
    /// On the device.
    pub device: Vec<f64>,
}

impl Comparison {
    /// The largest relative difference of a step; infinite if a loss is no number.
    #[must_use]
    pub fn worst(&self) -> f64 {
        let difference = |(a, b): (&f64, &f64)| ((a - b) / a).abs();
        let pairs = self.cpu.iter().zip(&self.device).map(difference);
        pairs.fold(0.0, |m: f64, d| if d.is_nan() { f64::INFINITY } else { m.max(d) })
    }
}

/// Trains a tiny model of every architecture for so many steps, on the CPU and on a device.
///
/// # Errors
/// If the device fails, or numbers are not finite.
pub fn training(device: &Device, steps: u64) -> Result<Vec<Comparison>, StepError> {
    let compare = |config: &ModelConfig| {
        let architecture = config.architecture().to_string();
        let cpu = losses(config, &Device::cpu(), steps)?;
        Ok(Comparison { architecture, cpu, device: losses(config, device, steps)? })
    };
    tiny::configs().iter().map(compare).collect()
}

/// As [`training`], on a device that is set to mixed precision, against the CPU in f32. The models are those of [`tiny::mixed`].
///
/// # Errors
/// If the device fails, or numbers are not finite.
pub fn mixed_training(device: &Device, steps: u64) -> Result<Vec<Comparison>, StepError> {
    let compare = |config: &ModelConfig| {
        let architecture = config.architecture().to_string();
        let cpu = mixed_losses(config, &Device::cpu(), steps)?;
        Ok(Comparison { architecture, cpu, device: mixed_losses(config, device, steps)? })
    };
    tiny::mixed().iter().map(compare).collect()
}

/// As [`losses`], with batches large enough for tensor cores.
///
/// # Errors
/// If the device fails, or numbers are not finite.
pub fn mixed_losses(
    config: &ModelConfig,
    device: &Device,
    steps: u64,
) -> Result<Vec<f64>, StepError> {
    let mut trainer = trainer(config, device);
    let step =
        |update| trainer.step(update, &[mixed_batch(config, update)]).map(|report| report.loss);
    (1..=steps).map(step).collect()
}

/// The losses of a tiny model in training: dropout on, AdamW with decay, clipping.
///
/// # Errors
/// If the device fails, or numbers are not finite.
pub fn losses(config: &ModelConfig, device: &Device, steps: u64) -> Result<Vec<f64>, StepError> {
    let mut trainer = trainer(config, device);
    let step = |update| trainer.step(update, &[batch(config, update)]).map(|report| report.loss);
    (1..=steps).map(step).collect()
}

/// A tiny model at the beginning of its training.
///
/// # Panics
/// Never: every architecture of a configuration is there.
#[must_use]
pub fn trainer(config: &ModelConfig, device: &Device) -> Trainer {
    let init = Init::new(device, DType::F32, 5);
    let model = build(config, SIZE, &init).expect("an architecture");
    let rule = Rule::AdamW { beta1: 0.9, beta2: 0.99, epsilon: 1e-8 };
    Trainer {
        optimizer: Optimizer::new(rule, 0.1, &*model),
        model,
        learning_rate: LearningRate {
            shape: LrShape::Constant,
            peak: 0.01,
            floor: 0.0,
            warmup_steps: 0,
            total_steps: u64::MAX,
            reductions: 0,
        },
        max_grad_norm: Some(1.0),
        label_smoothing: 0.1,
        average: None,
        recompute: false,
        carried: None,
        seed: 7,
        device: device.clone(),
    }
}

/// Rows of random tokens, one of them short.
///
/// # Panics
/// Never: the special tokens are there.
#[must_use]
pub fn batch(config: &ModelConfig, update: u64) -> HostBatch {
    rows(config, update, ROWS)
}

/// As [`batch`], with rows enough for tensor cores.
#[must_use]
pub fn mixed_batch(config: &ModelConfig, update: u64) -> HostBatch {
    rows(config, update, MIXED_ROWS)
}

fn rows(config: &ModelConfig, update: u64, count: usize) -> HostBatch {
    let mut random = Stream::new(key(11, Purpose::Test, update, 0));
    let row = |i: usize| {
        let ids: Vec<u32> =
            (0..SIZE.positions - 3 * (i % 2)).map(|_| 5 + random.below(18)).collect();
        Chunk { word_starts: vec![true; ids.len()], ids }
    };
    let rows: Vec<Chunk> = (0..count).map(row).collect();
    let keys = RowKeys { seed: 1, epoch: update, rows: &(0..count as u64).collect::<Vec<_>>() };
    if !config.is_bidirectional() {
        return CausalLMDataCollator::new(3).collate(keys, &rows);
    }
    let ids = SpecialIds { pad: Some(3), mask: Some(4), ..SpecialIds::default() };
    let options = MaskingConfig {
        mlm_probability: 0.5,
        masking: Masking::ALL[0],
        mask_split: [0.8, 0.1, 0.1],
    };
    let collator = MaskedLMDataCollator::new(&options, ids, SIZE.vocab).expect("a mask token");
    collator.collate(keys, &rows)
}
