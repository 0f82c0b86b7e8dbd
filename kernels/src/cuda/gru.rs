//! A whole GRU layer: products and steps in order, as in [`lstm`](super::lstm). The equations stand in
//! `foundry_kernels::cpu::gru` and `gru_cell.ptx`.
//!
//! torch keeps r, z, n side by side in the weights; a step keeps n, r, z and m, the recurrent part of n, so that what the
//! state is multiplied with (r, z, m) and what the input is multiplied with (n, r, z) both lie side by side. The rows of
//! W_ih are thus taken in two pieces.

use super::elementwise::{axpby, copy};
use super::gemm::{Matrix, gemm};
use super::launch::{Call, NULL, Pointer};
use super::recurrent::{Sequence, Step, Weights, begin, gru_backward, gru_forward};
use super::reduce::sum_columns;

/// n, r, z, m.
const KEPT: u32 = 4;

fn step(l: &Sequence) -> Step {
    let (gates_stride, y_stride) = (l.time * KEPT * l.hidden, l.time * l.hidden);
    Step { batch: l.batch, hidden: l.hidden, gates_stride, y_stride }
}

/// Columns from `first` on of `[B T, 4 H]`.
fn columns(l: &Sequence, gates: Pointer, first: u32) -> Matrix {
    Matrix::strided(gates.element(first), l.rows(), KEPT * l.hidden)
}

/// Elements that `scratch` of [`forward`] must hold.
#[must_use]
pub fn forward_scratch(l: &Sequence) -> usize {
    2 * l.hidden as usize
}

/// y `[B, T, H]`, h_n `[B, H]` and gates `[B, T, 4 H]` from x and h_0.
#[must_use]
pub fn forward(
    l: &Sequence,
    w: &Weights,
    [x, h_0]: [Pointer; 2],
    [y, h_n, gates]: [Pointer; 3],
    scratch: Pointer,
) -> Vec<Call> {
    let (h, state, step) = (l.hidden, l.batch * l.hidden, step(l));
    let mut calls = vec![
        copy((h_0, state), (h_n, state), [1, state]),
        copy((w.b_ih, 2 * h), (scratch, 2 * h), [1, 2 * h]),
        axpby(1.0, w.b_hh, 1.0, scratch, 2 * h),
        l.project(x, (w.w_ih, 2 * h), scratch, columns(l, gates, h)),
        l.project(
            x,
            (w.w_ih.element(2 * h * l.input), h),
            w.b_ih.element(2 * h),
            columns(l, gates, 0),
        ),
        copy((w.b_hh.element(2 * h), 0), (gates.element(3 * h), KEPT * h), [l.rows(), h]),
    ];
    for t in 0..l.time {
        let at = gates.element(t * KEPT * h);
        let rzm = Matrix::strided(at.element(h), l.batch, step.gates_stride);
        calls.push(l.add_recurrent(h_n, (w.w_hh, 3 * h), rzm));
        calls.push(gru_forward(&step, at, h_n, y.element(t * h)));
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
    l.steps() * (KEPT as usize + 1) + KEPT as usize * l.hidden as usize
}

/// All gradients from x, h_0, y and gates and the gradients of y and h_n; null is zero.
#[must_use]
pub fn backward(
    l: &Sequence,
    w: &Weights,
    [x, h_0, y, gates]: [Pointer; 4],
    [gy, gh_n]: [Pointer; 2],
    grads: &Grads,
    scratch: Pointer,
) -> Vec<Call> {
    let (h, d, step) = (l.hidden, l.input, step(l));
    let da = scratch;
    let before = da.element(l.rows() * KEPT * h);
    let sums = before.element(l.rows() * h);
    let mut calls = vec![begin(grads.h_0, gh_n, l.batch * h)];
    for t in (0..l.time).rev() {
        let h_before = match t {
            0 => (h_0, h),
            _ => (y.element((t - 1) * h), step.y_stride),
        };
        let (at, da) = (gates.element(t * KEPT * h), da.element(t * KEPT * h));
        let gy = if gy == NULL { NULL } else { gy.element(t * h) };
        calls.push(gru_backward(&step, at, h_before, gy, grads.h_0, da));
        let rzm = Matrix::strided(da.element(h), l.batch, step.gates_stride);
        calls.push(l.back(rzm, (w.w_hh, 3 * h), grads.h_0, 1.0));
    }
    calls.extend(l.states_before(h_0, y, before));
    let g = &grads.w;
    let (of_n, of_rz) = (columns(l, da, 0), columns(l, da, h));
    calls.push(l.of_weight(of_rz, 2 * h, (x, d), g.w_ih));
    calls.push(l.of_weight(of_n, h, (x, d), g.w_ih.element(2 * h * d)));
    calls.push(l.of_weight(of_rz, 3 * h, (before, h), g.w_hh));
    let gx = Matrix::new(grads.x, l.rows(), d);
    let rows_rz = Matrix::new(w.w_ih, 2 * h, d);
    let rows_n = Matrix::new(w.w_ih.element(2 * h * d), h, d);
    calls.push(gemm((1.0, 0.0), of_rz, rows_rz, NULL, gx, [1, l.rows(), d, 2 * h]));
    calls.push(gemm((1.0, 1.0), of_n, rows_n, NULL, gx, [1, l.rows(), d, h]));
    // n r z m: the biases of the input are those of r, z, n, and the recurrent ones those of r, z, m.
    calls.push(sum_columns(da, sums, [1, l.rows(), KEPT * h], 1.0));
    calls.push(copy((sums.element(h), 2 * h), (g.b_ih, 2 * h), [1, 2 * h]));
    calls.push(copy((sums, h), (g.b_ih.element(2 * h), h), [1, h]));
    calls.push(copy((sums.element(h), 3 * h), (g.b_hh, 3 * h), [1, 3 * h]));
    calls
}
