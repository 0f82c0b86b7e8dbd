//! A whole LSTM layer over a batch of sequences (Hochreiter, Schmidhuber 1997; the equations of `torch.nn.LSTM`).
//!
//! With x `[B, T, D]`, weights W_ih `[4 H, D]` and W_hh `[4 H, H]`, biases b_ih and b_hh `[4 H]`, the four gates
//! stacked in the order input i, forget f, cell g, output o; for t = 1 .. T
//!
//! ```text
//! [i f g o] = [sigmoid sigmoid tanh sigmoid] (W_ih x_t + b_ih + W_hh h_(t-1) + b_hh)
//! c_t = f c_(t-1) + i g
//! h_t = o tanh(c_t)                                  y = h_1 .. h_T,  h_n = h_T,  c_n = c_T
//! ```
//!
//! W_ih x_t of all steps is one product of `[B T, D]` and `[D, 4 H]`, written where the gates will stand, and the T
//! recurrent steps add to it ([`recurrent`](super::recurrent) says how).
//!
//! The forward pass keeps the activated gates `[B, T, 4 H]` and the cells `[B, T, H]`. Going backwards from t = T with the
//! cotangents dh (of y_t and from step t + 1) and dc
//!
//! ```text
//! dc += dh o (1 - tanh(c_t)^2)
//! da_i = dc g i (1 - i),   da_f = dc c_(t-1) f (1 - f),   da_g = dc i (1 - g^2),   da_o = dh tanh(c_t) o (1 - o)
//! dc <- dc f,              dh <- W_hh^T da
//! ```
//!
//! and then all steps at once: dW_ih = sum da x^T, dW_hh = sum da h_(t-1)^T, db_ih = db_hh = sum da, dx = W_ih^T da,
//! each one product over the B T rows. Memory traffic: the gates are written twice and read once going forward, and
//! read once going backward, where da takes as much scratch again.

use super::gemm::{Epilogue, Mat, MatMut, gemm};
use super::par;
use super::recurrent::{Columns, Recurrent, begin, column_sums, fetch, project, states_before};
use super::vector::{Body, Math, dispatch};
use crate::Real;

pub use super::recurrent::{Layer, Weights};

/// What the forward pass gives.
#[derive(Debug)]
pub struct Outputs<'a, R> {
    /// h of all steps, `[B, T, H]`.
    pub y: &'a mut [R],
    /// h of the last step, `[B, H]` (h0 where T is 0).
    pub h_n: &'a mut [R],
    /// c of the last step, `[B, H]`.
    pub c_n: &'a mut [R],
    /// i, f, g, o of all steps, `[B, T, 4 H]`, for the backward pass.
    pub gates: &'a mut [R],
    /// c of all steps, `[B, T, H]`, for the backward pass.
    pub cells: &'a mut [R],
}

/// What the forward pass kept.
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a, R> {
    /// `[B, T, D]`.
    pub x: &'a [R],
    /// `[B, H]`.
    pub h0: &'a [R],
    /// `[B, H]`.
    pub c0: &'a [R],
    /// `[B, T, H]`.
    pub y: &'a [R],
    /// `[B, T, 4 H]`.
    pub gates: &'a [R],
    /// `[B, T, H]`.
    pub cells: &'a [R],
}

/// The cotangents of the outputs; `None` is zero.
#[derive(Clone, Copy, Debug)]
pub struct Cotangents<'a, R> {
    /// `[B, T, H]`.
    pub y: Option<&'a [R]>,
    /// `[B, H]`.
    pub h_n: Option<&'a [R]>,
    /// `[B, H]`.
    pub c_n: Option<&'a [R]>,
}

/// The gradients of everything that went in.
#[derive(Debug)]
pub struct Grads<'a, R> {
    /// `[B, T, D]`.
    pub x: &'a mut [R],
    /// `[4 H, D]`.
    pub w_ih: &'a mut [R],
    /// `[4 H, H]`.
    pub w_hh: &'a mut [R],
    /// `[4 H]`.
    pub b_ih: &'a mut [R],
    /// `[4 H]`, the same numbers as b_ih.
    pub b_hh: &'a mut [R],
    /// `[B, H]`.
    pub h0: &'a mut [R],
    /// `[B, H]`.
    pub c0: &'a mut [R],
}

/// Elements of scratch that [`backward`] needs: da `[B, T, 4 H]` and h of the steps before, `[B, T, H]`.
#[must_use]
pub fn backward_scratch(l: &Layer) -> usize {
    5 * l.steps()
}

/// Runs the layer over x `[B, T, D]` from the state h0, c0 `[B, H]`.
///
/// # Panics
/// When a length does not fit the sizes.
pub fn forward<R: Real>(
    l: &Layer,
    x: &[R],
    w: &Weights<'_, R>,
    h0: &[R],
    c0: &[R],
    out: Outputs<'_, R>,
) {
    let (b, t, h) = (l.batch, l.time, l.hidden);
    l.check(4, x, w);
    for state in [h0, c0, out.h_n, out.c_n] {
        assert_eq!(state.len(), b * h, "lstm: a state is not [B, H]");
    }
    assert_eq!(out.y.len(), b * t * h);
    assert_eq!(out.gates.len(), b * t * 4 * h);
    assert_eq!(out.cells.len(), b * t * h);
    out.h_n.copy_from_slice(h0);
    out.c_n.copy_from_slice(c0);
    if b * t * h == 0 {
        return;
    }
    let all = Columns { at: 0, stride: 4 * h };
    project(l, x, w.w_ih, &[w.b_ih, w.b_hh], out.gates, all);
    let sequences = l.sequences();
    Recurrent::with(Mat::new(w.w_hh, 4 * h, h).t(), t, |w_hh| {
        let pieces = out
            .y
            .chunks_mut(sequences * t * h)
            .zip(out.gates.chunks_mut(sequences * t * 4 * h))
            .zip(out.cells.chunks_mut(sequences * t * h))
            .zip(out.h_n.chunks_mut(sequences * h).zip(out.c_n.chunks_mut(sequences * h)));
        par::each(pieces, |_, (((y, gates), cells), (h_now, c_now))| {
            let rows = h_now.len() / h;
            for s in 0..t {
                // h_now and c_now are the state that goes from step to step
                let step = MatMut::strided(&mut gates[s * 4 * h..], rows, 4 * h, t * 4 * h);
                let state = Mat::new(h_now, rows, h);
                w_hh.multiply(state, R::ONE, step);
                for r in 0..rows {
                    let at = r * t + s;
                    let (c, h_row) = (&mut c_now[r * h..][..h], &mut h_now[r * h..][..h]);
                    dispatch(Cell { gates: &mut gates[at * 4 * h..][..4 * h], c, h: h_row });
                    cells[at * h..][..h].copy_from_slice(c);
                    y[at * h..][..h].copy_from_slice(h_row);
                    fetch(gates, at + 1, 4 * h);
                    fetch(cells, at + 1, h);
                    fetch(y, at + 1, h);
                }
            }
        });
    });
}

/// Activates the gates `[4 H]` of a step in place and moves the state c, h `[H]` one step on.
struct Cell<'a, R> {
    gates: &'a mut [R],
    c: &'a mut [R],
    h: &'a mut [R],
}

impl<R: Real> Body for Cell<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        let n = self.c.len();
        let (i, rest) = self.gates.split_at_mut(n);
        let (f, rest) = rest.split_at_mut(n);
        let (g, o) = rest.split_at_mut(n);
        let (c, h, o) = (self.c, &mut self.h[..n], &mut o[..n]);
        for j in 0..n {
            i[j] = M::sigmoid(i[j]);
            f[j] = M::sigmoid(f[j]);
            g[j] = M::tanh(g[j]);
            o[j] = M::sigmoid(o[j]);
            c[j] = M::mul_add(f[j], c[j], i[j] * g[j]);
            h[j] = o[j] * M::tanh(c[j]);
        }
    }
}

/// All gradients of [`forward`], by back-propagation through time.
///
/// `scratch` has [`backward_scratch`] elements; what they hold does not matter.
///
/// # Panics
/// When a length does not fit the sizes.
pub fn backward<R: Real>(
    l: &Layer,
    w: &Weights<'_, R>,
    saved: &Saved<'_, R>,
    gy: Cotangents<'_, R>,
    grads: Grads<'_, R>,
    scratch: &mut [R],
) {
    let (b, t, d, h) = (l.batch, l.time, l.input, l.hidden);
    l.check(4, saved.x, w);
    assert_eq!(saved.y.len(), b * t * h);
    assert_eq!(saved.cells.len(), b * t * h);
    assert_eq!(saved.gates.len(), b * t * 4 * h);
    assert_eq!(saved.h0.len(), b * h);
    assert_eq!(saved.c0.len(), b * h);
    assert_eq!(scratch.len(), backward_scratch(l));
    assert!(gy.y.is_none_or(|g| g.len() == b * t * h), "lstm: gradient of y is not [B, T, H]");
    let (da, h_before) = scratch.split_at_mut(4 * b * t * h);
    through_time(l, w, saved, gy, grads.h0, grads.c0, da);

    column_sums(da, 4 * h, grads.b_ih);
    states_before(l, saved.h0, saved.y, h_before);
    let rows = b * t;
    let da = Mat::new(da, rows, 4 * h);
    let products = [
        (da.t(), Mat::new(saved.x, rows, d), MatMut::new(grads.w_ih, 4 * h, d)),
        (da.t(), Mat::new(h_before, rows, h), MatMut::new(grads.w_hh, 4 * h, h)),
        (da, Mat::new(w.w_ih, 4 * h, d), MatMut::new(grads.x, rows, d)),
    ];
    for (a, b, c) in products {
        gemm(R::ONE, a, b, R::ZERO, c, Epilogue::None);
    }
    grads.b_hh.copy_from_slice(grads.b_ih);
}

/// The recurrent part: da `[B, T, 4 H]` and the gradients of h0 and c0.
fn through_time<R: Real>(
    l: &Layer,
    w: &Weights<'_, R>,
    saved: &Saved<'_, R>,
    gy: Cotangents<'_, R>,
    gh0: &mut [R],
    gc0: &mut [R],
    da: &mut [R],
) {
    let (t, h) = (l.time, l.hidden);
    // gh0 and gc0 hold the cotangents of the state that goes from step to step
    for (state, from) in [(&mut *gh0, gy.h_n), (&mut *gc0, gy.c_n)] {
        begin(state, from);
    }
    if da.is_empty() {
        return;
    }
    let sequences = l.sequences();
    Recurrent::with(Mat::new(w.w_hh, 4 * h, h), t, |w_hh| {
        let pieces = da
            .chunks_mut(sequences * t * 4 * h)
            .zip(gh0.chunks_mut(sequences * h).zip(gc0.chunks_mut(sequences * h)));
        par::each(pieces, |piece, (da, (dh, dc))| {
            let rows = dh.len() / h;
            for s in (0..t).rev() {
                for r in 0..rows {
                    let row = piece * sequences + r;
                    let (at, state) = (row * t + s, r * h..(r + 1) * h);
                    let c_before = match s {
                        0 => &saved.c0[row * h..][..h],
                        _ => &saved.cells[(at - 1) * h..][..h],
                    };
                    dispatch(CellBackward {
                        gates: &saved.gates[at * 4 * h..][..4 * h],
                        c: &saved.cells[at * h..][..h],
                        c_before,
                        gy: gy.y.map(|gy| &gy[at * h..][..h]),
                        dh: &mut dh[state.clone()],
                        dc: &mut dc[state],
                        da: &mut da[(r * t + s) * 4 * h..][..4 * h],
                    });
                    fetch(saved.gates, at.wrapping_sub(1), 4 * h);
                    fetch(saved.cells, at.wrapping_sub(2), h);
                    fetch(gy.y.unwrap_or_default(), at.wrapping_sub(1), h);
                    fetch(da, (r * t + s).wrapping_sub(1), 4 * h);
                }
                let step = Mat::strided(&da[s * 4 * h..], rows, 4 * h, t * 4 * h);
                let dh = MatMut::new(dh, rows, h);
                w_hh.multiply(step, R::ZERO, dh);
            }
        });
    });
}

/// da `[4 H]` of a step from dh and gy; dc becomes that of the step before.
struct CellBackward<'a, R> {
    gates: &'a [R],
    c: &'a [R],
    c_before: &'a [R],
    gy: Option<&'a [R]>,
    dh: &'a mut [R],
    dc: &'a mut [R],
    da: &'a mut [R],
}

impl<R: Real> Body for CellBackward<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        let n = self.c.len();
        if let Some(gy) = self.gy {
            self.dh.iter_mut().zip(gy).for_each(|(dh, &gy)| *dh += gy);
        }
        let gate = |k: usize| &self.gates[k * n..(k + 1) * n];
        let (i, f, g, o) = (gate(0), gate(1), gate(2), gate(3));
        let (da_i, rest) = self.da.split_at_mut(n);
        let (da_f, rest) = rest.split_at_mut(n);
        let (da_g, da_o) = rest.split_at_mut(n);
        let (c, c_before, da_o) = (self.c, &self.c_before[..n], &mut da_o[..n]);
        let (dh, dc) = (&self.dh[..n], &mut self.dc[..n]);
        for j in 0..n {
            let tanh_c = M::tanh(c[j]);
            let dcell = M::mul_add(dh[j] * o[j], R::ONE - tanh_c * tanh_c, dc[j]);
            da_i[j] = dcell * g[j] * i[j] * (R::ONE - i[j]);
            da_f[j] = dcell * c_before[j] * f[j] * (R::ONE - f[j]);
            da_g[j] = dcell * i[j] * (R::ONE - g[j] * g[j]);
            da_o[j] = dh[j] * tanh_c * o[j] * (R::ONE - o[j]);
            dc[j] = dcell * f[j];
        }
    }
}

#[cfg(test)]
mod tests;
