//! A moving average of the weights (Polyak and Juditsky, *Acceleration of stochastic approximation by averaging*, 1992;
//! here exponential), which often generalises better than the last weights.
//!
//! After update u, with the decay d of the configuration:
//!
//! ```text
//! d_u     = min(d, (1 + u) / (10 + u))           a young average forgets its random beginning quickly
//! average = d_u average + (1 - d_u) weights      from the initial weights
//! ```
//!
//! What is averaged is what the run shows: validation, the scores at its end and `model.safetensors` are the average's.
//! The weights that are trained lie beside it in the resume state. So the files of a checkpoint are what was measured,
//! and a resumed run has both to the last bit.

use crate::arch::LanguageModel;
use foundry_engine::{Tensor, for_each_param, for_each_param_mut};
use std::collections::BTreeMap;

/// The average of a model's weights.
pub struct MovingAverage {
    decay: f64,
    weights: BTreeMap<String, Tensor>,
}

impl MovingAverage {
    /// An average that begins with the weights that `model` has now.
    #[must_use]
    pub fn new(decay: f64, model: &dyn LanguageModel) -> Self {
        let mut weights = BTreeMap::new();
        for_each_param(model, |name, p| {
            weights.insert(name.to_owned(), p.value().clone());
        });
        Self { decay, weights }
    }

    /// The same average, beginning with the weights that `model` has now.
    #[must_use]
    pub fn anew(&self, model: &dyn LanguageModel) -> Self {
        Self::new(self.decay, model)
    }

    /// Takes in the weights after update `update` (from 1).
    pub fn update(&mut self, model: &dyn LanguageModel, update: u64) {
        #[expect(clippy::cast_precision_loss, reason = "updates are far below 2^52")]
        let decay = self.decay.min((1.0 + update as f64) / (10.0 + update as f64));
        for_each_param(model, |name, p| {
            if let Some(average) = self.weights.get_mut(name) {
                *average = average.scale(decay) + p.value().scale(1.0 - decay);
            }
        });
    }

    /// Puts the average into the model and the model's weights here: once to show the average, again to train on.
    pub fn exchange(&mut self, model: &mut dyn LanguageModel) {
        for_each_param_mut(model, |name, p| {
            if let Some(average) = self.weights.get_mut(name) {
                std::mem::swap(p.value_mut(), average);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{GPT2Model, Size, tiny};
    use foundry_engine::{DType, Device, Init};

    fn model() -> GPT2Model {
        let init = Init::new(&Device::cpu(), DType::F64, 1);
        GPT2Model::new(&tiny::transformer(0.0), Size { vocab: 11, positions: 7 }, &init)
    }

    fn first(model: &GPT2Model) -> f64 {
        let mut values = Vec::new();
        for_each_param(model, |_, p| values.push(p.value().to_vec_f64()[0]));
        values[0]
    }

    fn set(model: &mut GPT2Model, value: f64) {
        for_each_param_mut(model, |_, p| {
            p.set(&Tensor::full(&Device::cpu(), p.spec(), value));
        });
    }

    #[test]
    fn test_average__is_the_recursion_by_hand() {
        let mut model = model();
        set(&mut model, 0.0);
        let mut average = MovingAverage::new(0.3, &model);
        let mut by_hand = 0.0;
        for update in 1..=6u32 {
            let weight = f64::from(update * update);
            set(&mut model, weight);
            average.update(&model, u64::from(update));
            let u = f64::from(update);
            let decay = f64::min(0.3, (1.0 + u) / (10.0 + u));
            by_hand = decay * by_hand + (1.0 - decay) * weight;
        }
        average.exchange(&mut model);
        assert!((first(&model) - by_hand).abs() < 1e-12 * by_hand, "{} {by_hand}", first(&model));
        average.exchange(&mut model);
        assert_eq!(first(&model), 36.0, "the weights that are trained are back");
    }

    #[test]
    fn test_average__keeps_its_numbers_when_the_model_moves_on() {
        let mut model = model();
        let before = first(&model);
        let mut average = MovingAverage::new(0.9, &model);
        for_each_param_mut(&mut model, |_, p| {
            let moved = p.value() + &Tensor::full(&Device::cpu(), p.spec(), 1.0);
            p.set(&moved);
        });
        average.exchange(&mut model);
        assert_eq!(first(&model), before);
    }
}
