//! Steps of recurrent layers, `lstm_cell.ptx`, `gru_cell.ptx`, `rnn_cell.ptx`, and what whole layers
//! ([`lstm`](super::lstm), [`gru`](super::gru), [`rnn`](super::rnn)) have in common.
//!
//! Arrays of a whole sequence, `[batch, time, ...]`, are given by the address of their step and the stride from sequence to
//! sequence; states are `[batch, hidden]`.

use super::elementwise::copy;
use super::fill::fill;
use super::gemm::{Matrix, gemm, gemm_exact};
use super::launch::{Call, NULL, Pointer};
use super::registry::{GRU_CELL, LSTM_CELL, RNN_CELL, Source};
use crate::cpu::rnn::Nonlinearity;

/// Where the steps of a layer lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Sequences.
    pub batch: u32,
    /// Width of the state.
    pub hidden: u32,
    /// Elements from sequence to sequence in gates and their gradients.
    pub gates_stride: u32,
    /// Elements from sequence to sequence in outputs, cells and the gradient of the outputs.
    pub y_stride: u32,
}

impl Step {
    fn call(&self, source: &'static Source, entry: &'static str) -> Call {
        Call::new(source, entry, [self.hidden.div_ceil(128), self.batch, 1], 128)
    }
}

/// Activates gates `[i f g o]` and moves the state c, h one step on; cells and y keep it.
#[must_use]
pub fn lstm_forward(
    s: &Step,
    gates: Pointer,
    [c, h]: [Pointer; 2],
    [cells, y]: [Pointer; 2],
) -> Call {
    s.call(&LSTM_CELL, "lstm_forward").pointers([gates, c, h, cells, y]).u32s([
        s.hidden,
        s.gates_stride,
        s.y_stride,
    ])
}

/// da from dh and dc, which is moved one step back; `before` is c of the step before, with its stride; gy may be null.
#[must_use]
pub fn lstm_backward(
    s: &Step,
    [gates, cells]: [Pointer; 2],
    (before, before_stride): (Pointer, u32),
    gy: Pointer,
    [dh, dc]: [Pointer; 2],
    da: Pointer,
) -> Call {
    s.call(&LSTM_CELL, "lstm_backward").pointers([gates, cells, before, gy, dh, dc, da]).u32s([
        s.hidden,
        s.gates_stride,
        s.y_stride,
        before_stride,
    ])
}

/// Activates gates `[n r z m]` and moves the state h one step on; y keeps it.
#[must_use]
pub fn gru_forward(s: &Step, gates: Pointer, h: Pointer, y: Pointer) -> Call {
    s.call(&GRU_CELL, "gru_forward").pointers([gates, h, y]).u32s([
        s.hidden,
        s.gates_stride,
        s.y_stride,
    ])
}

/// `[da_n da_r da_z dm]` from dh, which becomes the part that z carries to the step before; `before` is h of that step.
#[must_use]
pub fn gru_backward(
    s: &Step,
    gates: Pointer,
    (before, before_stride): (Pointer, u32),
    gy: Pointer,
    dh: Pointer,
    da: Pointer,
) -> Call {
    s.call(&GRU_CELL, "gru_backward").pointers([gates, before, gy, dh, da]).u32s([
        s.hidden,
        s.gates_stride,
        s.y_stride,
        before_stride,
    ])
}

/// Activates y and copies it to the state h.
#[must_use]
pub fn rnn_forward(s: &Step, f: Nonlinearity, y: Pointer, h: Pointer) -> Call {
    let relu = u32::from(f == Nonlinearity::Relu);
    s.call(&RNN_CELL, "rnn_forward").pointers([y, h]).u32s([s.hidden, s.y_stride, relu])
}

/// da (with the stride of y) from dh.
#[must_use]
pub fn rnn_backward(s: &Step, f: Nonlinearity, [y, gy, dh, da]: [Pointer; 4]) -> Call {
    let relu = u32::from(f == Nonlinearity::Relu);
    s.call(&RNN_CELL, "rnn_backward").pointers([y, gy, dh, da]).u32s([s.hidden, s.y_stride, relu])
}

/// B, T, D, H: the sizes of a layer over a batch of sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// B, sequences.
    pub batch: u32,
    /// T, steps of each.
    pub time: u32,
    /// D, the width of x.
    pub input: u32,
    /// H, the width of the state.
    pub hidden: u32,
}

/// The parameters of a layer, as torch.nn names and lays them out, or their gradients.
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    /// `[G H, D]`.
    pub w_ih: Pointer,
    /// `[G H, H]`.
    pub w_hh: Pointer,
    /// `[G H]`.
    pub b_ih: Pointer,
    /// `[G H]`.
    pub b_hh: Pointer,
}

impl Sequence {
    /// B T.
    pub(super) fn rows(&self) -> u32 {
        self.batch * self.time
    }

    /// B T H.
    pub(super) fn steps(&self) -> usize {
        self.rows() as usize * self.hidden as usize
    }

    /// The inputs of all steps, projected: x `[B T, D]` times the transpose of `w [n, D]`, plus a bias `[n]`.
    pub(super) fn project(
        &self,
        x: Pointer,
        (w, n): (Pointer, u32),
        bias: Pointer,
        to: Matrix,
    ) -> Call {
        let x = Matrix::new(x, self.rows(), self.input);
        let w = Matrix::new(w, n, self.input).t();
        gemm((1.0, 0.0), x, w, bias, to, [1, self.rows(), n, self.input])
    }

    /// What stands before the non-linearities of a step += state `[B, H]` times the transpose of `w [n, H]`. In single
    /// precision: rounding would add up from step to step, and so few rows leave tensor cores idle.
    pub(super) fn add_recurrent(&self, state: Pointer, (w, n): (Pointer, u32), to: Matrix) -> Call {
        let state = Matrix::new(state, self.batch, self.hidden);
        let w = Matrix::new(w, n, self.hidden).t();
        gemm_exact((1.0, 1.0), state, w, NULL, to, [1, self.batch, n, self.hidden])
    }

    /// dh `[B, H]` = da of a step times `w [n, H]`, plus beta dh.
    pub(super) fn back(&self, da: Matrix, (w, n): (Pointer, u32), dh: Pointer, beta: f32) -> Call {
        let (w, dh) = (Matrix::new(w, n, self.hidden), Matrix::new(dh, self.batch, self.hidden));
        gemm_exact((1.0, beta), da, w, NULL, dh, [1, self.batch, self.hidden, n])
    }

    /// The gradient `[n, width]` of a weight: the transpose of da `[B T, n]` times what it was multiplied with,
    /// `[B T, width]`.
    pub(super) fn of_weight(
        &self,
        da: Matrix,
        n: u32,
        (with, width): (Pointer, u32),
        to: Pointer,
    ) -> Call {
        let with = Matrix::new(with, self.rows(), width);
        let to = Matrix::new(to, n, width);
        gemm((1.0, 0.0), da.t(), with, NULL, to, [1, n, width, self.rows()])
    }

    /// h of the step before each step, `[B, T, H]`: h_0, then all of y `[B, T, H]` but the last step.
    pub(super) fn states_before(&self, h_0: Pointer, y: Pointer, to: Pointer) -> Vec<Call> {
        let (h, sequence) = (self.hidden, self.time * self.hidden);
        if sequence == 0 {
            return vec![];
        }
        vec![
            copy((h_0, h), (to, sequence), [self.batch, h]),
            copy((y, sequence), (to.element(h), sequence), [self.batch, sequence - h]),
        ]
    }
}

/// The state that goes backwards from step to step begins as the gradient of the last state; null is zero.
pub(super) fn begin(state: Pointer, from: Pointer, n: u32) -> Call {
    if from == NULL { fill(state, n, 0.0) } else { copy((from, n), (state, n), [1, n]) }
}
