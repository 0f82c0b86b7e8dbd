//! Layer normalisation (Ba, Kiros, Hinton 2016).

use foundry_engine::{Ctx, Init, Param, Tensor, module};

/// y = (x - mean) / sqrt(variance + epsilon) * weight + bias, over the last axis.
pub struct LayerNorm {
    weight: Param,
    bias: Param,
    epsilon: f64,
}
module!(LayerNorm { weight, bias });

impl LayerNorm {
    /// Weight 1, bias 0.
    #[must_use]
    pub fn new(init: &Init, width: usize, epsilon: f64) -> Self {
        Self { weight: init.full([width], 1.0), bias: init.full([width], 0.0), epsilon }
    }

    /// `[.., width] -> [.., width]`
    #[must_use]
    pub fn forward(&self, cx: &Ctx, x: &Tensor) -> Tensor {
        x.layer_norm(&cx.param(&self.weight), &cx.param(&self.bias), self.epsilon)
    }
}
