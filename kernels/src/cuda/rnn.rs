//! A whole layer of a vanilla RNN: products and steps in order, as in [`lstm`](super::lstm). The equations stand in
//! `foundry_kernels::cpu::rnn` and `rnn_cell.ptx`.

use super::elementwise::{axpby, copy};
use super::gemm::{Matrix, gemm};
use super::launch::{Call, NULL, Pointer};
use super::recurrent::{Sequence, Step, Weights, begin, rnn_backward, rnn_forward};
use super::reduce::sum_columns;
use crate::cpu::rnn::Nonlinearity;

fn step(l: &Sequence) -> Step {
    let stride = l.time * l.hidden;
    Step { batch: l.batch, hidden: l.hidden, gates_stride: stride, y_stride: stride }
}

/// Elements that `scratch` of [`forward`] must hold.
#[must_use]
pub fn forward_scratch(l: &Sequence) -> usize {
    l.hidden as usize
}

/// y `[B, T, H]` and h_n `[B, H]` from x and h_0.
#[must_use]
pub fn forward(
    l: &Sequence,
    f: Nonlinearity,
    w: &Weights,
    [x, h_0]: [Pointer; 2],
    [y, h_n]: [Pointer; 2],
    scratch: Pointer,
) -> Vec<Call> {
    let (h, state, step) = (l.hidden, l.batch * l.hidden, step(l));
    let mut calls = vec![
        copy((h_0, state), (h_n, state), [1, state]),
        copy((w.b_ih, h), (scratch, h), [1, h]),
        axpby(1.0, w.b_hh, 1.0, scratch, h),
        l.project(x, (w.w_ih, h), scratch, Matrix::new(y, l.rows(), h)),
    ];
    for t in 0..l.time {
        let at = y.element(t * h);
        calls.push(l.add_recurrent(h_n, (w.w_hh, h), Matrix::strided(at, l.batch, step.y_stride)));
        calls.push(rnn_forward(&step, f, at, h_n));
    }
    calls
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
}

/// Elements that `scratch` of [`backward`] must hold.
#[must_use]
pub fn backward_scratch(l: &Sequence) -> usize {
    2 * l.steps()
}

/// All gradients from x, h_0, y and the gradients of y and h_n; null is zero.
#[must_use]
pub fn backward(
    l: &Sequence,
    f: Nonlinearity,
    w: &Weights,
    [x, h_0, y]: [Pointer; 3],
    [gy, gh_n]: [Pointer; 2],
    grads: &Grads,
    scratch: Pointer,
) -> Vec<Call> {
    let (h, step) = (l.hidden, step(l));
    let (da, before) = (scratch, scratch.element(l.rows() * h));
    let mut calls = vec![begin(grads.h_0, gh_n, l.batch * h)];
    for t in (0..l.time).rev() {
        let (at, da) = (y.element(t * h), da.element(t * h));
        let gy = if gy == NULL { NULL } else { gy.element(t * h) };
        calls.push(rnn_backward(&step, f, [at, gy, grads.h_0, da]));
        let da = Matrix::strided(da, l.batch, step.y_stride);
        calls.push(l.back(da, (w.w_hh, h), grads.h_0, 0.0));
    }
    calls.extend(l.states_before(h_0, y, before));
    let (g, all) = (&grads.w, Matrix::new(da, l.rows(), h));
    calls.push(l.of_weight(all, h, (x, l.input), g.w_ih));
    calls.push(l.of_weight(all, h, (before, h), g.w_hh));
    calls.push(gemm(
        (1.0, 0.0),
        all,
        Matrix::new(w.w_ih, h, l.input),
        NULL,
        Matrix::new(grads.x, l.rows(), l.input),
        [1, l.rows(), l.input, h],
    ));
    calls.push(sum_columns(da, g.b_ih, [1, l.rows(), h], 1.0));
    calls.push(copy((g.b_ih, h), (g.b_hh, h), [1, h]));
    calls
}
