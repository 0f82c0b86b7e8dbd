//! A linear map whose weight is stored input-first, as GPT-2's checkpoints have it.

use foundry_engine::ops::linear::WeightLayout;
use foundry_engine::{Ctx, Init, Param, Tensor, module};

/// y = x W + b with W `[in, out]`: what the original GPT-2 code calls a 1-D convolution.
pub struct Conv1D {
    weight: Param,
    bias: Param,
}
module!(Conv1D { weight, bias });

impl Conv1D {
    /// Weights from N(0, std^2), bias 0.
    #[must_use]
    pub fn new(init: &Init, inputs: usize, outputs: usize, std: f64) -> Self {
        Self {
            weight: init.normal("weight", [inputs, outputs], std),
            bias: init.full([outputs], 0.0),
        }
    }

    /// `[.., in] -> [.., out]`
    #[must_use]
    pub fn forward(&self, cx: &Ctx, x: &Tensor) -> Tensor {
        x.linear(&cx.param(&self.weight), Some(&cx.param(&self.bias)), WeightLayout::InOut)
    }
}
