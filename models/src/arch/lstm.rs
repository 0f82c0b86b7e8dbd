//! LSTM: a recurrent network with gated memory.
//!
//! Hochreiter, Schmidhuber: *Long short-term memory* (1997), with the forget gate of Gers, Schmidhuber, Cummins
//! (2000). Cells are equal in numbers to `torch.nn.LSTM`.
//!
//! B batch, H hidden; x_t is the embedding of token t, or the output of the layer below.
//!
//! ```text
//! i_t    = σ(W_ii x_t + b_ii + W_hi h_{t-1} + b_hi)               input gate
//! f_t    = σ(W_if x_t + b_if + W_hf h_{t-1} + b_hf)               forget gate
//! g_t    = tanh(W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)            candidate
//! o_t    = σ(W_io x_t + b_io + W_ho h_{t-1} + b_ho)               output gate
//! c_t    = f_t c_{t-1} + i_t g_t                                  [B, H]
//! h_t    = o_t tanh(c_t)                                          [B, H]
//! ```
//!
//! [`recurrent`](super::recurrent) has what is around the cell.
//!
//! # Differences from the paper
//! No peephole connections; two bias vectors where one would do (torch's layout); several layers; the initial state
//! is zero for every row.

use super::recurrent::RecurrentModel;
use crate::config::RnnConfig;
use crate::nn::Cell;
use foundry_engine::Tensor;
use foundry_engine::ops::lstm::lstm_sequence;
use foundry_engine::ops::recurrent::LayerWeights;

/// An LSTM with a language-model head.
pub type LSTMModel = RecurrentModel<LstmCell>;

/// The cell of an LSTM.
#[derive(Clone, Copy, Debug)]
pub struct LstmCell {
    forget_bias: f64,
}

impl Cell for LstmCell {
    const NAME: &'static str = "lstm";
    /// i, f, g, o.
    const GATES: usize = 4;
    const STATE: &'static [&'static str] = &["h", "c"];

    fn new(config: &RnnConfig) -> Self {
        Self { forget_bias: config.forget_bias }
    }

    fn sequence(
        &self,
        x: &Tensor,
        w: &LayerWeights<'_>,
        state: &[Tensor],
    ) -> (Tensor, Vec<Tensor>) {
        let out = lstm_sequence(x, w, &state[0], &state[1]);
        (out.y, vec![out.h_n, out.c_n])
    }

    /// Jozefowicz, Zaremba, Sutskever (2015): a forget gate that begins open.
    fn initial_bias(&self, gate: usize) -> f64 {
        if gate == 1 { self.forget_bias } else { 0.0 }
    }
}
