//! GRU: a recurrent network whose state is overwritten as far as a gate lets it.
//!
//! Cho, van Merriënboer, Gulcehre, Bahdanau, Bougares, Schwenk, Bengio: *Learning phrase representations using RNN
//! encoder-decoder for statistical machine translation* (2014). Cells are equal in numbers to `torch.nn.GRU`.
//!
//! B batch, H hidden; x_t is the embedding of token t, or the output of the layer below.
//!
//! ```text
//! r_t    = σ(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)               reset gate
//! z_t    = σ(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)               update gate
//! n_t    = tanh(W_in x_t + b_in + r_t (W_hn h_{t-1} + b_hn))      new state
//! h_t    = (1 - z_t) n_t + z_t h_{t-1}                            [B, H]
//! ```
//!
//! [`recurrent`](super::recurrent) has what is around the cell.
//!
//! # Differences from the paper
//! The reset gate acts on W_hn h + b_hn, the paper's on h before W (its equation 8): torch's form, which needs one product
//! a step instead of two. The paper has no biases; several layers; the initial state is zero for every row.

use super::recurrent::RecurrentModel;
use crate::config::RnnConfig;
use crate::nn::Cell;
use foundry_engine::Tensor;
use foundry_engine::ops::gru::gru_sequence;
use foundry_engine::ops::recurrent::LayerWeights;

/// A GRU with a language-model head.
pub type GRUModel = RecurrentModel<GruCell>;

/// The cell of a GRU.
#[derive(Clone, Copy, Debug)]
pub struct GruCell;

impl Cell for GruCell {
    const NAME: &'static str = "gru";
    /// r, z, n.
    const GATES: usize = 3;
    const STATE: &'static [&'static str] = &["h"];

    fn new(_: &RnnConfig) -> Self {
        Self
    }

    fn sequence(
        &self,
        x: &Tensor,
        w: &LayerWeights<'_>,
        state: &[Tensor],
    ) -> (Tensor, Vec<Tensor>) {
        let out = gru_sequence(x, w, &state[0]);
        (out.y, vec![out.h_n])
    }
}
