//! Is the gradient of a whole model the gradient? Central differences in f64, through every parameter.
//!
//! An op that is right alone can be used wrongly: a weight read untracked, a mask of dropout that the backward does
//! not draw again, tied weights of which one use is forgotten. So tiny models of every architecture are checked as they
//! are trained: rows of different lengths, positions without a target, dropout off and on (its masks are a function of
//! the seed, so that a difference of two losses sees the same masks), the output layer at every position and at the
//! predicted ones alone.
//!
//! A loss L has dL/dw = (L(w + h) - L(w - h)) / 2h + O(h^2). Small tensors are checked whole, of large ones a random
//! sample of elements.

use crate::arch::{Architecture, Batch, LanguageModel, Predicted, Size, tiny};
use crate::collate::IGNORE;
use foundry_engine::case::Inputs;
use foundry_engine::gradcheck::{Finding, H, tensor_error};
use foundry_engine::rng::{Purpose, Stream, key};
use foundry_engine::{Ctx, DType, Device, Init, Tensor, for_each_param, for_each_param_mut};
use std::collections::BTreeSet;

/// Elements checked of a tensor that has more.
const SAMPLE: usize = 40;
const SIZE: Size = Size { vocab: 11, positions: 7 };
/// Tokens in each row; the last is the length of the batch.
const LENGTHS: [usize; 3] = [4, 1, 6];

/// A loss of a model, computed with dropout or without.
type Loss<'a> = &'a dyn Fn(&dyn LanguageModel, &Ctx) -> Tensor;

/// Checks every parameter of tiny models of an architecture, without dropout and with; a finding a parameter.
///
/// The error of a tensor is max|a - n| / max(max|n|, 1e-3 of the largest norm among the model's gradients).
#[must_use]
pub fn check_model(architecture: &Architecture, seed: u64) -> Vec<Finding> {
    let name = architecture.name;
    let batch = batch(seed);
    let listed = Batch { predicted: Some(predicted(&batch)), ..batch.clone() };
    let targets = batch.targets.to_vec_u32().iter().filter(|t| **t != IGNORE).count();
    let mut findings = Vec::new();
    for (variant, config) in tiny::variants() {
        let init = Init::new(&Device::cpu(), DType::F64, seed);
        let Some(mut model) = (architecture.build)(&config, SIZE, &init) else { continue };
        spread(&mut *model, seed);
        let mean_nll = |batch: &Batch, smoothing: f64| {
            let batch = batch.clone();
            move |model: &dyn LanguageModel, cx: &Ctx| {
                model.loss(cx, &batch, smoothing, share(targets), None)
            }
        };
        let subject = |what: &str| format!("{name}, {variant}, {what}");
        let train = || Ctx::train(seed, 1, 0);
        findings.extend(check(
            &mut *model,
            &subject("no dropout"),
            seed,
            Ctx::grad,
            &mean_nll(&batch, 0.0),
        ));
        findings.extend(check(
            &mut *model,
            &subject("predicted positions alone"),
            seed,
            Ctx::grad,
            &mean_nll(&listed, 0.0),
        ));
        findings.extend(check(
            &mut *model,
            &subject("dropout, label smoothing"),
            seed,
            train,
            &mean_nll(&batch, 0.1),
        ));
    }
    findings
}

/// Checks every parameter of a model for one loss.
fn check(
    model: &mut dyn LanguageModel,
    subject: &str,
    seed: u64,
    cx: impl Fn() -> Ctx,
    loss: Loss<'_>,
) -> Vec<Finding> {
    let grads = loss(model, &cx()).backward();
    let mut gradients = Vec::new();
    for_each_param(model, |name, p| {
        let g = grads.param(p).map_or_else(|| vec![0.0; p.spec().numel()], Tensor::to_vec_f64);
        gradients.push((name.to_owned(), g));
    });
    let norm = |g: &[f64]| g.iter().map(|x| x * x).sum::<f64>().sqrt();
    let floor = 1e-3 * gradients.iter().map(|(_, g)| norm(g)).fold(0.0, f64::max);

    let mut findings = Vec::new();
    for (input, (name, gradient)) in gradients.iter().enumerate() {
        let values = values_of(model, name);
        let mut loss_at = |j: usize, value: f64| {
            let mut moved = values.clone();
            moved[j] = value;
            set_values(model, name, &moved);
            loss(model, &cx()).item()
        };
        let elements = elements(gradient.len(), seed, input);
        let slope =
            |&j: &usize| (loss_at(j, values[j] + H) - loss_at(j, values[j] - H)) / (2.0 * H);
        let numeric: Vec<f64> = elements.iter().map(slope).collect();
        set_values(model, name, &values);
        let analytic: Vec<f64> = elements.iter().map(|&j| gradient[j]).collect();
        let error = tensor_error(&analytic, &numeric, floor);
        findings.push(Finding { subject: format!("{subject}: {name}"), input, error });
    }
    findings
}

/// What one of `targets` targets weighs in their mean.
#[expect(clippy::cast_precision_loss, reason = "a batch has few targets")]
fn share(targets: usize) -> f64 {
    1.0 / targets as f64
}

/// All elements of a small tensor, else a sample without repetition.
#[expect(clippy::cast_possible_truncation, reason = "a tiny model's sizes")]
fn elements(n: usize, seed: u64, place: usize) -> BTreeSet<usize> {
    if n <= SAMPLE {
        return (0..n).collect();
    }
    let mut stream = Stream::new(key(seed, Purpose::Test, 1, place as u32));
    let mut chosen = BTreeSet::new();
    while chosen.len() < SAMPLE {
        chosen.insert(stream.below(n as u32) as usize);
    }
    chosen
}

/// The elements of the parameter called `name`.
fn values_of(model: &dyn LanguageModel, name: &str) -> Vec<f64> {
    let mut values = Vec::new();
    for_each_param(model, |param_name, p| {
        if param_name == name {
            values = p.value().to_vec_f64();
        }
    });
    values
}

fn set_values(model: &mut dyn LanguageModel, name: &str, values: &[f64]) {
    for_each_param_mut(model, |param_name, p| {
        if param_name == name {
            p.set(&Tensor::from_f64(&Device::cpu(), p.spec().shape, values));
        }
    });
}

/// Moves every parameter off its initial value: a bias of 0 and a gain of 1 would hide a term that is missing.
fn spread(model: &mut dyn LanguageModel, seed: u64) {
    let mut random = Inputs::f64(seed);
    for_each_param_mut(model, |_, p| {
        let noise = random.map(p.spec().shape, |x| 0.2 * x);
        p.set(&(p.value() + &noise));
    });
}

/// Rows of [`LENGTHS`] tokens, padded on the right; the first position of every row but one has no target.
fn batch(seed: u64) -> Batch {
    let time = LENGTHS[LENGTHS.len() - 1];
    let vocab = u32::try_from(SIZE.vocab).unwrap_or(u32::MAX);
    let mut stream = Stream::new(key(seed, Purpose::Test, 2, 0));
    let (mut ids, mut mask, mut targets) = (Vec::new(), Vec::new(), Vec::new());
    for (row, length) in LENGTHS.into_iter().enumerate() {
        for t in 0..time {
            let real = t < length;
            ids.push(if real { stream.below(vocab) } else { 0 });
            mask.push(u32::from(real));
            let target = stream.below(vocab);
            targets.push(if real && (t > 0 || row == 1) { target } else { IGNORE });
        }
    }
    let tensor = |x: &[u32]| Tensor::from_u32(&Device::cpu(), [LENGTHS.len(), time], x);
    Batch {
        ids: tensor(&ids),
        mask: Some(tensor(&mask)),
        targets: tensor(&targets),
        predicted: None,
    }
}

/// The positions of a batch that have a target.
fn predicted(batch: &Batch) -> Predicted {
    let (mut places, mut targets) = (Vec::new(), Vec::new());
    for (place, target) in (0..).zip(batch.targets.to_vec_u32()) {
        if target != IGNORE {
            places.push(place);
            targets.push(target);
        }
    }
    let tensor = |x: &[u32]| Tensor::from_u32(&Device::cpu(), [x.len()], x);
    Predicted { places: tensor(&places), targets: tensor(&targets) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{ARCHITECTURES, BERTModel, GPT2Model};

    /// The mean of `targets` losses.
    fn mean(nll: &Tensor, targets: usize) -> Tensor {
        nll.sum().scale(share(targets))
    }

    fn gpt2(seed: u64) -> GPT2Model {
        let init = Init::new(&Device::cpu(), DType::F64, seed);
        let mut model = GPT2Model::new(&tiny::transformer(0.1), SIZE, &init);
        spread(&mut model, seed);
        model
    }

    fn bert(seed: u64) -> BERTModel {
        let init = Init::new(&Device::cpu(), DType::F64, seed);
        let mut model = BERTModel::new(&tiny::bert(0.1), SIZE, &init);
        spread(&mut model, seed);
        model
    }

    #[test]
    fn test_gradcheck__every_architecture() {
        for architecture in ARCHITECTURES {
            let findings = check_model(architecture, 1);
            assert!(!findings.is_empty(), "{} has no tiny model", architecture.name);
            for finding in findings {
                assert!(finding.ok(), "{finding:?}");
            }
        }
    }

    #[test]
    fn test_gradcheck__sees_a_gradient_that_is_a_little_off() {
        let batch = batch(1);
        // Its value is that of the mean, its gradient larger by 1e-5.
        let loss = |model: &dyn LanguageModel, cx: &Ctx| {
            let right = mean(&model.nll(cx, &batch, 0.0), 9);
            &right + &(&right - &right.detach()).scale(1e-5)
        };
        let findings = check(&mut gpt2(1), "off", 1, Ctx::grad, &loss);
        let large = findings.iter().filter(|f| !f.ok()).count();
        assert!(large * 2 > findings.len(), "{findings:?}");
    }

    #[test]
    fn test_gradcheck__sees_dropout_that_the_backward_does_not_repeat() {
        let batch = batch(1);
        let step = std::cell::Cell::new(0);
        let loss = |model: &dyn LanguageModel, cx: &Ctx| mean(&model.nll(cx, &batch, 0.0), 9);
        let other_masks_each_time = || {
            step.set(step.get() + 1);
            Ctx::train(1, step.get(), 0)
        };
        let findings = check(&mut gpt2(1), "masks", 1, other_masks_each_time, &loss);
        assert!(findings.iter().all(|f| !f.ok()), "{findings:?}");
    }

    /// The output layer at the predicted positions alone: the same loss and the same gradients.
    #[test]
    fn test_gradcheck__the_head_at_predicted_positions_alone() {
        let batch = batch(1);
        let listed = Batch { predicted: Some(predicted(&batch)), ..batch.clone() };
        for (variant, config) in tiny::variants() {
            let init = Init::new(&Device::cpu(), DType::F64, 1);
            let model = crate::arch::build(&config, SIZE, &init).expect("an architecture");
            let run = |batch: &Batch| {
                let loss = model.nll(&Ctx::train(1, 1, 0), batch, 0.1).sum();
                (loss.item(), loss.backward())
            };
            let ((all, all_grads), (some, some_grads)) = (run(&batch), run(&listed));
            assert!((all - some).abs() < 1e-12 * all, "{variant}: {all} {some}");
            for_each_param(&*model, |name, p| {
                let of = |grads: &foundry_engine::Grads| grads.param(p).map(Tensor::to_vec_f64);
                let (a, b) = (of(&all_grads).unwrap(), of(&some_grads).unwrap());
                let error = tensor_error(&a, &b, 1e-3);
                assert!(error < 1e-12, "{variant}: {name}: {error:e}");
            });
        }
    }

    /// A batch in which nothing is to be predicted has no loss and moves nothing.
    #[test]
    fn test_gradcheck__no_predicted_position() {
        let batch = batch(1);
        let none = Tensor::from_u32(&Device::cpu(), [0], &[]);
        let predicted = Some(Predicted { places: none.clone(), targets: none });
        let batch = Batch { predicted, ..batch };
        let model = bert(1);
        let loss = model.nll(&Ctx::train(1, 1, 0), &batch, 0.0).sum();
        assert_eq!(loss.item(), 0.0);
        let grads = loss.backward();
        for_each_param(&model, |name, p| {
            let g = grads.param(p).map(Tensor::to_vec_f64).unwrap_or_default();
            assert!(g.iter().all(|g| *g == 0.0), "{name}");
        });
    }

    /// A constant added to every score of a query changes no weight.
    #[test]
    fn test_gradcheck__the_key_bias_of_attention_has_no_gradient() {
        let batch = batch(1);
        let models: [(Box<dyn LanguageModel>, &str, usize); 2] = [
            (Box::new(gpt2(1)), "c_attn.bias", tiny::WIDTH),
            (Box::new(bert(1)), "self.key.bias", 0),
        ];
        for (model, bias, keys) in models {
            for cx in [Ctx::grad(), Ctx::train(1, 1, 0)] {
                let grads = model.nll(&cx, &batch, 0.0).sum().backward();
                for_each_param(&*model, |name, p| {
                    let g = grads.param(p).expect("a gradient").to_vec_f64();
                    if name.ends_with(bias) {
                        let keys = &g[keys..keys + tiny::WIDTH];
                        assert!(keys.iter().all(|g| g.abs() <= 1e-12), "{name}: {keys:?}");
                    }
                    if name.ends_with(bias) && g.len() > tiny::WIDTH || name.contains("query.bias")
                    {
                        assert!(g[..tiny::WIDTH].iter().any(|g| g.abs() > 1e-6), "{name}");
                    }
                });
            }
        }
    }
}
