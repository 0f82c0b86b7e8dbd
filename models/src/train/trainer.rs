//! One optimiser step, and nothing else: what happens between two steps is `run.rs`.

use crate::arch::{Batch, LanguageModel};
use crate::collate::HostBatch;
use crate::optim::Optimizer;
use crate::train::average::MovingAverage;
use crate::train::carried::Carried;
use crate::train::learning_rate::LearningRate;
use foundry_engine::ops::judge::Judgement;
use foundry_engine::{Ctx, Device, DeviceError, Grads, Tensor, for_each_param};
use std::fmt;

/// A model in training.
pub struct Trainer {
    /// The model.
    pub model: Box<dyn LanguageModel>,
    /// The optimiser, and its memory.
    pub optimizer: Optimizer,
    /// The learning rate of every update.
    pub learning_rate: LearningRate,
    /// Gradients are scaled down to this norm.
    pub max_grad_norm: Option<f64>,
    /// The share of each target's probability that is spread over the vocabulary.
    pub label_smoothing: f64,
    /// The moving average of the weights, if there is one.
    pub average: Option<MovingAverage>,
    /// Whether activations are computed again in the backward pass instead of being kept.
    pub recompute: bool,
    /// The state that goes on from batch to batch, if the model is stateful.
    pub carried: Option<Carried>,
    /// Seeds dropout.
    pub seed: u64,
    /// Where the model is.
    pub device: Device,
}

/// What one step did.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct StepReport {
    /// Mean over the window's targets, in nats a token.
    pub loss: f64,
    /// The norm of all gradients together, before clipping.
    pub grad_norm: f64,
    /// The learning rate of this update.
    pub learning_rate: f64,
    /// Tokens that were predicted.
    pub targets: u64,
    /// What the loss was multiplied by, in fp16.
    pub loss_scale: Option<f64>,
    /// Whether a gradient left f16: the step was not taken, and the next ones have a smaller scale.
    pub overflowed: bool,
}

/// Numbers that are not finite: the step was not taken, the model is as it was before.
#[derive(Clone, PartialEq, Debug)]
pub struct NonFinite {
    /// "loss", "gradient of transformer.wte.weight", ...
    pub what: String,
    /// The update that was being computed, from 1.
    pub update: u64,
}

/// Why a step was not taken.
#[derive(Clone, PartialEq, Debug)]
pub enum StepError {
    /// Its numbers are not finite.
    NonFinite(NonFinite),
    /// The device failed; nothing more happens on it.
    Device(DeviceError),
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NonFinite(problem) => problem.fmt(f),
            Self::Device(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for NonFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}: the {} is not finite", self.update, self.what)
    }
}

impl Trainer {
    /// Update number `update` (from 1) from the micro-batches of one accumulation window; none if the window has no
    /// target (which a masked window can only have where next to nothing is hidden). The loss is the mean over all real target
    /// tokens of the window, so how the window is cut into micro-batches changes nothing.
    ///
    /// Nothing waits for the device until the whole step is queued: whether numbers are finite is found out there, and the
    /// optimiser passes over the step if they are not. In fp16 a gradient that is not finite is a matter of the loss scale,
    /// until that is 1.
    ///
    /// # Errors
    /// If the loss, a gradient or a parameter is not finite; then nothing was changed. If the device failed.
    pub fn step(&mut self, update: u64, window: &[HostBatch]) -> Result<StepReport, StepError> {
        let targets: u64 = window.iter().map(|b| b.targets).sum();
        if targets == 0 {
            return Ok(self.nothing_learned(update, window));
        }
        #[expect(clippy::cast_precision_loss, reason = "a window has far fewer than 2^52 tokens")]
        let weight = self.optimizer.scale() / targets as f64;

        let mut shares = Vec::with_capacity(window.len());
        let mut grads: Option<Grads> = None;
        let mut first_sample = 0;
        let mut state = self.carried.as_ref().map(|carried| carried.state.clone());
        for micro in window {
            let cx = Ctx::train(self.seed, update, first_sample).recompute(self.recompute);
            let batch = Batch::from_host(&self.device, micro);
            let share = self.model.loss(&cx, &batch, self.label_smoothing, weight, state.as_mut());
            let found = share.backward();
            shares.push(share.detach());
            match &mut grads {
                Some(sum) => sum.accumulate(found),
                None => grads = Some(found),
            }
            first_sample += u32::try_from(micro.batch).unwrap_or(u32::MAX);
        }
        let Some(grads) = grads else {
            return Ok(self.nothing_learned(update, window));
        };

        let judgement = self.judge(&grads, &shares);
        let learning_rate = self.learning_rate.at(update);
        self.optimizer.step(&mut *self.model, &grads, learning_rate, &judgement);

        // Here the device is waited for.
        let verdict = judgement.verdict();
        let loss = shares.iter().map(Tensor::item).sum::<f64>() / self.optimizer.scale();
        self.device.check().map_err(StepError::Device)?;
        let report = StepReport {
            loss,
            grad_norm: verdict.norm,
            learning_rate,
            targets,
            loss_scale: self.optimizer.loss_scale.map(|s| s.scale()),
            overflowed: verdict.skip,
        };
        if verdict.skip {
            let culprit = self.culprit(loss, &grads);
            match &mut self.optimizer.loss_scale {
                Some(scale) if culprit.is_gradient() && scale.can_fall() => scale.overflowed(),
                _ => {
                    let what = culprit.to_string();
                    return Err(StepError::NonFinite(NonFinite { what, update }));
                }
            }
        } else {
            self.optimizer.taken();
            if let Some(average) = &mut self.average {
                average.update(&*self.model, self.optimizer.updates());
            }
        }
        if let Some((carried, state)) = self.carried.as_mut().zip(state) {
            carried.state = state;
        }
        Ok(report)
    }

    /// Looks at all numbers of a step. A bad one need not reach the loss: a gate saturates, a row of a table is not looked
    /// up.
    fn judge(&self, grads: &Grads, shares: &[Tensor]) -> Judgement {
        let (mut gradients, mut others) = (Vec::new(), Vec::new());
        for_each_param(&*self.model, |_, p| {
            gradients.extend(grads.param(p).cloned());
            others.push(p.value().clone());
        });
        others.extend_from_slice(shares);
        let (gradients, others): (Vec<_>, Vec<_>) =
            (gradients.iter().collect(), others.iter().collect());
        Judgement::of(&gradients, &others, self.max_grad_norm, self.optimizer.scale())
    }

    /// Ends an epoch: the rows of the next batch do not go on where those of the last one ended.
    pub fn end_epoch(&mut self) {
        if let Some(carried) = &mut self.carried {
            carried.forget(&*self.model);
        }
    }

    /// What to report of an update that was skipped.
    #[must_use]
    pub fn nothing_learned(&self, update: u64, window: &[HostBatch]) -> StepReport {
        let targets = window.iter().map(|b| b.targets).sum();
        let learning_rate = self.learning_rate.at(update);
        StepReport {
            loss: f64::NAN,
            grad_norm: f64::NAN,
            learning_rate,
            targets,
            loss_scale: self.optimizer.loss_scale.map(|s| s.scale()),
            overflowed: false,
        }
    }

    /// Puts the averaged weights into the model, if there are any, and at the next call the trained ones back.
    pub fn exchange_average(&mut self) {
        if let Some(average) = &mut self.average {
            average.exchange(&mut *self.model);
        }
    }

    /// Where the numbers went wrong: a parameter that was already bad, the loss, or the first bad gradient.
    fn culprit(&self, loss: f64, grads: &Grads) -> Culprit {
        let (mut parameter, mut gradient) = (None, None);
        for_each_param(&*self.model, |name, p| {
            if parameter.is_none() && !is_finite(p.value()) {
                parameter = Some(Culprit::Parameter(name.to_owned()));
            }
            if gradient.is_none() && grads.param(p).is_some_and(|g| !is_finite(g)) {
                gradient = Some(Culprit::Gradient(name.to_owned()));
            }
        });
        let loss = (!loss.is_finite()).then_some(Culprit::Loss);
        parameter.or(loss).or(gradient).unwrap_or(Culprit::Norm)
    }
}

/// What is not finite.
enum Culprit {
    Parameter(String),
    Loss,
    Gradient(String),
    /// Too large to be squared.
    Norm,
}

impl Culprit {
    fn is_gradient(&self) -> bool {
        matches!(self, Self::Gradient(_) | Self::Norm)
    }
}

impl fmt::Display for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter(name) => write!(f, "parameter {name}"),
            Self::Loss => f.write_str("loss"),
            Self::Gradient(name) => write!(f, "gradient of {name}"),
            Self::Norm => f.write_str("square of the gradients' norm"),
        }
    }
}

fn is_finite(x: &Tensor) -> bool {
    x.sum_of_squares().is_finite() || x.to_vec_f64().iter().all(|x| x.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{Size, build, tiny};
    use crate::collate::{CausalLMDataCollator, Collator, RowKeys};
    use crate::config::ModelConfig;
    use crate::data::Chunk;
    use foundry_engine::{CpuDevice, DType, Init};

    /// The loss and all gradients of a model as bits, and the most memory that they took.
    fn gradients(config: &ModelConfig, recompute: bool) -> (u64, Vec<(String, Vec<u64>)>, usize) {
        let cpu = CpuDevice::default();
        let device = Device::from(cpu.clone());
        let init = Init::new(&device, DType::F32, 1);
        let model =
            build(config, Size { vocab: 11, positions: 64 }, &init).expect("an architecture");
        let rows: Vec<Chunk> = (0..8u32)
            .map(|row| (0..64 - row).map(|t| (t * t + row) % 11).collect::<Vec<u32>>())
            .map(|ids| Chunk { word_starts: vec![true; ids.len()], ids })
            .collect();
        let keys = RowKeys { seed: 1, epoch: 0, rows: &[0, 1, 2, 3, 4, 5, 6, 7] };
        let batch = CausalLMDataCollator::new(0).collate(keys, &rows);
        let (mut loss, mut bits) = (0, Vec::new());
        {
            let cx = Ctx::train(1, 1, 0).recompute(recompute);
            let sum = model.loss(&cx, &Batch::from_host(&device, &batch), 0.1, 1.0, None);
            loss += sum.item().to_bits();
            let grads = sum.backward();
            for_each_param(&*model, |name, p| {
                let g = grads.param(p).map(Tensor::to_vec_f64).unwrap_or_default();
                bits.push((name.to_owned(), g.iter().map(|x| x.to_bits()).collect()));
            });
        }
        drop(model);
        (loss, bits, cpu.idle_bytes())
    }

    #[test]
    fn test_gradient_checkpointing__the_same_bits_in_every_architecture() {
        for (variant, config) in tiny::variants() {
            let (loss, bits, _) = gradients(&config, false);
            let (loss_again, bits_again, _) = gradients(&config, true);
            assert_eq!(loss, loss_again, "{} {variant}", config.architecture());
            for (kept, again) in bits.iter().zip(&bits_again) {
                assert_eq!(kept, again, "{} {variant}", config.architecture());
            }
            assert!(bits.iter().any(|(_, g)| g.iter().any(|x| *x != 0)));
        }
    }

    #[test]
    fn test_gradient_checkpointing__takes_less_memory() {
        for mut config in tiny::configs() {
            match &mut config {
                ModelConfig::Gpt2(t) => t.layers = 8,
                ModelConfig::Bert(b) => b.transformer.layers = 8,
                ModelConfig::Lstm(r) | ModelConfig::Gru(r) | ModelConfig::Rnn(r) => {
                    r.num_layers = 8
                }
            }
            let (_, _, all) = gradients(&config, false);
            let (_, _, less) = gradients(&config, true);
            let name = config.architecture();
            assert!(4 * less < 3 * all, "{name}: {less} bytes, {all} without");
        }
    }
}
