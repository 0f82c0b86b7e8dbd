//! Steps of recurrent layers: `lstm_cell.ptx`, `gru_cell.ptx`, `rnn_cell.ptx`.
//!
//! Arrays of a whole sequence, `[batch, time, ...]`, are given by the address of their step and the stride from sequence to
//! sequence; states are `[batch, hidden]`.

use super::launch::{Call, Pointer};
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
