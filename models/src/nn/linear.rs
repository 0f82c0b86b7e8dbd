//! A linear map, its weight stored output-first, as torch.nn.Linear has it.

use crate::arch::OutputLayer;
use foundry_engine::ops::linear::WeightLayout;
use foundry_engine::{Ctx, Init, Param, Tensor, module};

/// y = x W^T + b with W `[out, in]`.
pub struct Linear {
    weight: Param,
    bias: Option<Param>,
}
module!(Linear { weight, bias });

/// Whether a linear map has a bias.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bias {
    /// A bias, initially 0.
    Zero,
    /// No bias.
    None,
}

impl Linear {
    /// Weights from N(0, std^2).
    #[must_use]
    pub fn new(init: &Init, inputs: usize, outputs: usize, bias: Bias, std: f64) -> Self {
        let bias = (bias == Bias::Zero).then(|| init.full([outputs], 0.0));
        Self { weight: init.normal("weight", [outputs, inputs], std), bias }
    }

    /// The map as an output layer.
    #[must_use]
    pub fn output_layer(&self, cx: &Ctx) -> OutputLayer {
        OutputLayer {
            weight: cx.param(&self.weight),
            bias: self.bias.as_ref().map(|b| cx.param(b)),
        }
    }

    /// `[.., in] -> [.., out]`
    #[must_use]
    pub fn forward(&self, cx: &Ctx, x: &Tensor) -> Tensor {
        let bias = self.bias.as_ref().map(|b| cx.param(b));
        x.linear(&cx.param(&self.weight), bias.as_ref(), WeightLayout::OutIn)
    }
}
