//! A whole LSTM layer: products and steps in order. The equations stand in `foundry_kernels::cpu::lstm` and `lstm_cell.ptx`.
//!
//! Going forward, one product projects the inputs of all steps; each step then adds its product with the state and runs the
//! cell. Going backward, the steps find the gradients da of what stands before the non-linearities, and products over all
//! steps turn them into those of weights and inputs.

use super::elementwise::{axpby, copy};
use super::gemm::{Matrix, gemm};
use super::launch::{Call, NULL, Pointer};
use super::recurrent::{Sequence, Step, Weights, begin, lstm_backward, lstm_forward};
use super::reduce::sum_columns;

/// i, f, g, o.
const GATES: u32 = 4;

/// What [`forward`] writes.
#[derive(Clone, Copy, Debug)]
pub struct Outputs {
    /// `[B, T, H]`.
    pub y: Pointer,
    /// `[B, H]`.
    pub h_n: Pointer,
    /// `[B, H]`.
    pub c_n: Pointer,
    /// `[B, T, 4 H]`.
    pub gates: Pointer,
    /// `[B, T, H]`.
    pub cells: Pointer,
}

/// Elements that `scratch` of [`forward`] must hold.
#[must_use]
pub fn forward_scratch(l: &Sequence) -> usize {
    GATES as usize * l.hidden as usize
}

/// y, h_n, c_n, gates and cells from x, h_0 and c_0.
#[must_use]
pub fn forward(
    l: &Sequence,
    w: &Weights,
    [x, h_0, c_0]: [Pointer; 3],
    out: &Outputs,
    scratch: Pointer,
) -> Vec<Call> {
    let (n, state) = (GATES * l.hidden, l.batch * l.hidden);
    let mut calls = vec![
        copy((h_0, state), (out.h_n, state), [1, state]),
        copy((c_0, state), (out.c_n, state), [1, state]),
        copy((w.b_ih, n), (scratch, n), [1, n]),
        axpby(1.0, w.b_hh, 1.0, scratch, n),
        l.project(x, (w.w_ih, n), scratch, Matrix::new(out.gates, l.rows(), n)),
    ];
    let step = Step {
        batch: l.batch,
        hidden: l.hidden,
        gates_stride: l.time * n,
        y_stride: l.time * l.hidden,
    };
    for t in 0..l.time {
        let at = out.gates.element(t * n);
        let kept = [out.cells.element(t * l.hidden), out.y.element(t * l.hidden)];
        calls.push(l.add_recurrent(
            out.h_n,
            (w.w_hh, n),
            Matrix::strided(at, l.batch, step.gates_stride),
        ));
        calls.push(lstm_forward(&step, at, [out.c_n, out.h_n], kept));
    }
    calls
}

/// What the forward pass was given and kept.
#[derive(Clone, Copy, Debug)]
pub struct Saved {
    /// `[B, T, D]`.
    pub x: Pointer,
    /// `[B, H]`.
    pub h_0: Pointer,
    /// `[B, H]`.
    pub c_0: Pointer,
    /// `[B, T, H]`.
    pub y: Pointer,
    /// `[B, T, 4 H]`.
    pub gates: Pointer,
    /// `[B, T, H]`.
    pub cells: Pointer,
}

/// Where the gradients go, in the shapes of what they are of.
#[derive(Clone, Copy, Debug)]
pub struct Grads {
    /// Of x.
    pub x: Pointer,
    /// Of the parameters.
    pub w: Weights,
    /// Of h_0.
    pub h_0: Pointer,
    /// Of c_0.
    pub c_0: Pointer,
}

/// Elements that `scratch` of [`backward`] must hold.
#[must_use]
pub fn backward_scratch(l: &Sequence) -> usize {
    l.steps() * (GATES as usize + 1)
}

/// All gradients from those of y, h_n and c_n; null is zero.
#[must_use]
pub fn backward(
    l: &Sequence,
    w: &Weights,
    saved: &Saved,
    [gy, gh_n, gc_n]: [Pointer; 3],
    grads: &Grads,
    scratch: Pointer,
) -> Vec<Call> {
    let (n, h) = (GATES * l.hidden, l.hidden);
    let (da, before) = (scratch, scratch.element(l.rows() * n));
    let mut calls = vec![begin(grads.h_0, gh_n, l.batch * h), begin(grads.c_0, gc_n, l.batch * h)];
    let step = Step { batch: l.batch, hidden: h, gates_stride: l.time * n, y_stride: l.time * h };
    for t in (0..l.time).rev() {
        let c_before = match t {
            0 => (saved.c_0, h),
            _ => (saved.cells.element((t - 1) * h), step.y_stride),
        };
        let here = [saved.gates.element(t * n), saved.cells.element(t * h)];
        let gy = if gy == NULL { NULL } else { gy.element(t * h) };
        let da = da.element(t * n);
        calls.push(lstm_backward(&step, here, c_before, gy, [grads.h_0, grads.c_0], da));
        let da = Matrix::strided(da, l.batch, step.gates_stride);
        calls.push(l.back(da, (w.w_hh, n), grads.h_0, 0.0));
    }
    calls.extend(l.states_before(saved.h_0, saved.y, before));
    let (g, all) = (&grads.w, Matrix::new(da, l.rows(), n));
    calls.push(l.of_weight(all, n, (saved.x, l.input), g.w_ih));
    calls.push(l.of_weight(all, n, (before, h), g.w_hh));
    calls.push(gemm(
        (1.0, 0.0),
        all,
        Matrix::new(w.w_ih, n, l.input),
        NULL,
        Matrix::new(grads.x, l.rows(), l.input),
        [1, l.rows(), l.input, n],
    ));
    calls.push(sum_columns(da, g.b_ih, [1, l.rows(), n], 1.0));
    calls.push(copy((g.b_ih, n), (g.b_hh, n), [1, n]));
    calls
}
