//! One optimiser step, and nothing else: what happens between two steps is `run.rs`.

use crate::arch::{Batch, LanguageModel};
use crate::collate::HostBatch;
use crate::optim::Optimizer;
use crate::train::learning_rate::LearningRate;
use foundry_engine::{Ctx, Device, Grads, Tensor, for_each_param};
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
}

/// Numbers that are not finite: the step was not taken, the model is as it was before.
#[derive(Clone, PartialEq, Debug)]
pub struct NonFinite {
    /// "loss", "gradient of transformer.wte.weight", ...
    pub what: String,
    /// The update that was being computed, from 1.
    pub update: u64,
}

impl fmt::Display for NonFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}: the {} is not finite", self.update, self.what)
    }
}

impl Trainer {
    /// Update number `update` (from 1) from the micro-batches of one accumulation window. The loss is the mean over all real target
    /// tokens of the window, so how the window is cut into micro-batches changes nothing.
    ///
    /// # Errors
    /// If the loss, a gradient or a parameter is not finite; then nothing was changed.
    pub fn step(&mut self, update: u64, window: &[HostBatch]) -> Result<StepReport, NonFinite> {
        let targets: u64 = window.iter().map(|b| b.targets).sum();
        #[expect(clippy::cast_precision_loss, reason = "a window has far fewer than 2^52 tokens")]
        let weight = 1.0 / targets.max(1) as f64;

        let mut loss = 0.0;
        let mut grads: Option<Grads> = None;
        let mut first_sample = 0;
        for micro in window {
            let cx = Ctx::train(self.seed, update, first_sample);
            let batch = Batch::from_host(&self.device, micro);
            let nll = self.model.nll(&cx, &batch, self.label_smoothing); // [B·T]
            let share = nll.sum().scale(weight);
            loss += share.item();
            let found = share.backward();
            match &mut grads {
                Some(sum) => sum.accumulate(found),
                None => grads = Some(found),
            }
            first_sample += u32::try_from(micro.batch).unwrap_or(u32::MAX);
        }
        let Some(grads) = grads else {
            return Ok(StepReport { loss, grad_norm: 0.0, learning_rate: 0.0, targets });
        };

        let grad_norm = gradient_norm(&*self.model, &grads);
        // torch.nn.utils.clip_grad_norm_
        let scale = self.max_grad_norm.map_or(1.0, |max| (max / (grad_norm + 1e-6)).min(1.0));
        // A bad number need not reach the loss: a gate saturates, a row of a table is not looked up.
        let finite = loss.is_finite() && grad_norm * scale <= LARGEST_NORM;
        if !finite || !all_finite(&*self.model) {
            return Err(NonFinite { what: self.culprit(loss, &grads), update });
        }
        let learning_rate = self.learning_rate.at(update);
        self.optimizer.step(&mut *self.model, &grads, learning_rate, scale);
        Ok(StepReport { loss, grad_norm, learning_rate, targets })
    }

    /// What to report of an update that was skipped.
    #[must_use]
    pub fn nothing_learned(&self, update: u64, window: &[HostBatch]) -> StepReport {
        let targets = window.iter().map(|b| b.targets).sum();
        let learning_rate = self.learning_rate.at(update);
        StepReport { loss: f64::NAN, grad_norm: f64::NAN, learning_rate, targets }
    }

    /// Where the numbers went wrong: a parameter that was already bad, the loss, or the first bad gradient.
    fn culprit(&self, loss: f64, grads: &Grads) -> String {
        let (mut parameter, mut gradient) = (None, None);
        for_each_param(&*self.model, |name, p| {
            if parameter.is_none() && !is_finite(p.value()) {
                parameter = Some(format!("parameter {name}"));
            }
            if gradient.is_none() && grads.param(p).is_some_and(|g| !is_finite(g)) {
                gradient = Some(format!("gradient of {name}"));
            }
        });
        let loss = (!loss.is_finite()).then(|| "loss".to_owned());
        let square = || "square of the gradients' norm".to_owned();
        parameter.or(loss).or(gradient).unwrap_or_else(square)
    }
}

/// The largest norm whose square, of which Adam keeps means, is finite in f32.
const LARGEST_NORM: f64 = 1.8e19;

/// Whether every parameter is.
fn all_finite(model: &dyn LanguageModel) -> bool {
    let mut all = true;
    for_each_param(model, |_, p| all = all && is_finite(p.value()));
    all
}

/// The Euclidean norm of all gradients together, accumulated in f64 in the order of the parameters.
fn gradient_norm(model: &dyn LanguageModel, grads: &Grads) -> f64 {
    let mut sum = 0.0;
    for_each_param(model, |_, p| sum += grads.param(p).map_or(0.0, Tensor::sum_of_squares));
    sum.sqrt()
}

fn is_finite(x: &Tensor) -> bool {
    x.sum_of_squares().is_finite() || x.to_vec_f64().iter().all(|x| x.is_finite())
}
