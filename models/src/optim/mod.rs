//! Optimisers: from gradients to better parameters.

use crate::arch::LanguageModel;
use crate::train::loss_scale::LossScale;
use foundry_engine::ops::judge::Judgement;
use foundry_engine::ops::optimizer::{AdamW, Sgd, adamw_step, sgd_step};
use foundry_engine::{Grads, Param, Precision, Tensor, for_each_param, for_each_param_mut};
use std::collections::BTreeMap;

/// Which rule, with its constants.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Rule {
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019), in the arithmetic of torch.optim.AdamW.
    AdamW {
        /// Decay of the mean of gradients.
        beta1: f64,
        /// Decay of the mean of squared gradients.
        beta2: f64,
        /// Added to the root of the latter.
        epsilon: f64,
    },
    /// Stochastic gradient descent with momentum, in the arithmetic of torch.optim.SGD.
    Sgd {
        /// 0 for none.
        momentum: f64,
    },
}

/// An optimiser and what it remembers of every parameter.
#[derive(Debug)]
pub struct Optimizer {
    rule: Rule,
    weight_decay: f64,
    /// Updates made so far.
    updates: u64,
    moments: BTreeMap<String, Vec<Tensor>>,
    /// What the loss is multiplied by: in fp16.
    pub loss_scale: Option<LossScale>,
}

impl Rule {
    /// The names of the tensors kept for each parameter.
    #[must_use]
    pub fn moments(self) -> &'static [&'static str] {
        match self {
            Self::AdamW { .. } => &["exp_avg", "exp_avg_sq"],
            Self::Sgd { .. } => &["momentum_buffer"],
        }
    }
}

impl Optimizer {
    /// An optimiser for the parameters of `model`, its memory zero. Weight decay applies to tensors of rank 2 and
    /// more only: biases and normalisation weights are left alone.
    #[must_use]
    pub fn new(rule: Rule, weight_decay: f64, model: &dyn LanguageModel) -> Self {
        let (mut moments, mut precision) = (BTreeMap::new(), Precision::Fp32);
        for_each_param(model, |name, p| {
            precision = p.value().device().precision();
            let zeros = rule.moments().iter().map(|_| Tensor::zeros(&p.value().device(), p.spec()));
            moments.insert(name.to_owned(), zeros.collect());
        });
        let loss_scale = (precision == Precision::Fp16).then(LossScale::default);
        Self { rule, weight_decay, updates: 0, moments, loss_scale }
    }

    /// One update with learning rate `lr`, of gradients that were judged: scaled, or not done at all. It is counted when
    /// [`Optimizer::taken`] says that it was done, which may be known only later.
    ///
    /// # Panics
    /// If `model` is not the one the optimiser was made for.
    pub fn step(
        &mut self,
        model: &mut dyn LanguageModel,
        grads: &Grads,
        lr: f64,
        judgement: &Judgement,
    ) {
        for_each_param_mut(model, |name, param| {
            let Some(g) = grads.param(param) else { return };
            let Some(moments) = self.moments.get_mut(name) else {
                panic!("the optimiser was made for a model without {name}")
            };
            let weight_decay = if param.spec().shape.rank() >= 2 { self.weight_decay } else { 0.0 };
            let update = Update { number: self.updates + 1, lr, weight_decay, judgement };
            update.of(self.rule, param, g, moments);
        });
    }

    /// Counts the last step.
    pub fn taken(&mut self) {
        self.updates += 1;
        self.loss_scale.iter_mut().for_each(LossScale::taken);
    }

    /// What the loss, and so every gradient, is multiplied by.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.loss_scale.map_or(1.0, |s| s.scale())
    }

    /// Updates made so far.
    #[must_use]
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// What is remembered, by name (`exp_avg.transformer.wte.weight`), for a checkpoint.
    pub fn tensors(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.moments.iter().flat_map(|(param, tensors)| {
            let names = self.rule.moments().iter();
            names.zip(tensors).map(move |(moment, t)| (format!("{moment}.{param}"), t))
        })
    }

    /// Puts back what [`Optimizer::tensors`] gave. `read` returns the tensor of a name in the spec of its second
    /// argument, or fails.
    ///
    /// # Errors
    /// What `read` returns; the optimiser is then of no use.
    pub fn restore<E>(
        &mut self,
        updates: u64,
        mut read: impl FnMut(&str, &Tensor) -> Result<Tensor, E>,
    ) -> Result<(), E> {
        self.updates = updates;
        for (param, tensors) in &mut self.moments {
            for (moment, tensor) in self.rule.moments().iter().zip(tensors) {
                *tensor = read(&format!("{moment}.{param}"), tensor)?;
            }
        }
        Ok(())
    }
}

/// What all parameters share in an update, but for the decay.
struct Update<'a> {
    /// From 1.
    number: u64,
    lr: f64,
    weight_decay: f64,
    judgement: &'a Judgement,
}

impl Update<'_> {
    fn of(&self, rule: Rule, param: &mut Param, g: &Tensor, moments: &mut [Tensor]) {
        let Self { lr, weight_decay, judgement, .. } = *self;
        // The factor on the gradient is the judgement's.
        let grad_scale = 1.0;
        match (rule, moments) {
            (Rule::AdamW { beta1, beta2, epsilon }, [m, v]) => {
                #[expect(clippy::cast_precision_loss, reason = "updates are far below 2^52")]
                let correction = |beta: f64| 1.0 - libm::pow(beta, self.number as f64);
                let rule = AdamW {
                    lr,
                    beta1,
                    beta2,
                    eps: epsilon,
                    weight_decay,
                    correction1: correction(beta1),
                    correction2: correction(beta2),
                    grad_scale,
                };
                adamw_step(rule, param.value_mut(), [m, v], g, judgement);
            }
            (Rule::Sgd { momentum }, [buffer]) => {
                let rule = Sgd { lr, momentum, weight_decay, nesterov: false, grad_scale };
                sgd_step(rule, param.value_mut(), buffer, g, judgement);
            }
            (_, moments) => unreachable!("{} moments for {rule:?}", moments.len()),
        }
    }
}
