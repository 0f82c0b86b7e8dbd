//! The vanilla recurrent network: one layer of units that also read their own last output.
//!
//! Elman: *Finding structure in time* (1990). Cells are equal in numbers to `torch.nn.RNN`.
//!
//! B batch, H hidden; x_t is the embedding of token t, or the output of the layer below; f is tanh or max(., 0), as
//! `nonlinearity` says.
//!
//! ```text
//! h_t    = f(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)               [B, H]
//! ```
//!
//! [`recurrent`](super::recurrent) has what is around the cell.
//!
//! # Differences from the paper
//! The paper's units are logistic, and its gradient ends at the step before (h_{t-1} is copied into context units and taken
//! as given); here it goes back through all steps of a row. Several layers; the initial state is zero for every row.

use super::recurrent::RecurrentModel;
use crate::config::{RnnConfig, choices};
use crate::nn::Cell;
use foundry_engine::Tensor;
use foundry_engine::ops::recurrent::LayerWeights;
use foundry_engine::ops::rnn::{Nonlinearity, rnn_sequence};

/// A vanilla RNN with a language-model head.
pub type RNNModel = RecurrentModel<RnnCell>;

/// The cell of a vanilla RNN.
#[derive(Clone, Copy, Debug)]
pub struct RnnCell {
    nonlinearity: Nonlinearity,
}

impl Cell for RnnCell {
    const NAME: &'static str = "rnn";
    const GATES: usize = 1;
    const STATE: &'static [&'static str] = &["h"];

    fn new(config: &RnnConfig) -> Self {
        let nonlinearity = match config.nonlinearity {
            choices::Nonlinearity::Tanh => Nonlinearity::Tanh,
            choices::Nonlinearity::Relu => Nonlinearity::Relu,
        };
        Self { nonlinearity }
    }

    fn sequence(
        &self,
        x: &Tensor,
        w: &LayerWeights<'_>,
        state: &[Tensor],
    ) -> (Tensor, Vec<Tensor>) {
        let out = rnn_sequence(self.nonlinearity, x, w, &state[0]);
        (out.y, vec![out.h_n])
    }
}
