//! A table of vectors, one a token (or position).

use crate::arch::OutputLayer;
use foundry_engine::{Ctx, DType, Device, Init, Param, Tensor, module};

/// `y = W[ids]`, W `[rows, width]`.
pub struct Embedding {
    weight: Param,
}
module!(Embedding { weight });

impl Embedding {
    /// Rows from N(0, std^2).
    #[must_use]
    pub fn new(init: &Init, rows: usize, width: usize, std: f64) -> Self {
        Self { weight: init.normal("weight", [rows, width], std) }
    }

    /// `[..] ids -> [.., width]`
    #[must_use]
    pub fn forward(&self, cx: &Ctx, ids: &Tensor) -> Tensor {
        cx.param(&self.weight).embedding(ids)
    }

    /// The table used as the output layer (tied weights; Press and Wolf 2017).
    #[must_use]
    pub fn output_layer(&self, cx: &Ctx, bias: Option<&Param>) -> OutputLayer {
        OutputLayer { weight: cx.param(&self.weight), bias: bias.map(|b| cx.param(b)) }
    }

    /// Where the table is, and of what numbers.
    #[must_use]
    pub fn place(&self) -> (Device, DType) {
        (self.weight.value().device(), self.weight.spec().dtype)
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        let [rows, _] = self.weight.spec().shape.dims();
        rows
    }
}
