//! A whole GRU layer over a batch of sequences (Cho et al. 2014; the equations of `torch.nn.GRU`).
//!
//! With x `[B, T, D]`, weights W_ih `[3 H, D]` and W_hh `[3 H, H]`, biases b_ih and b_hh `[3 H]`, each stacked in the order
//! reset r, update z, new n; for t = 1 .. T
//!
//! ```text
//! r = sigmoid(W_ir x_t + b_ir + W_hr h_(t-1) + b_hr)
//! z = sigmoid(W_iz x_t + b_iz + W_hz h_(t-1) + b_hz)
//! m = W_hn h_(t-1) + b_hn                              what is remembered
//! n = tanh(W_in x_t + b_in + r m)
//! h_t = (1 - z) n + z h_(t-1)                          y = h_1 .. h_T,  h_n = h_T
//! ```
//!
//! The forward pass keeps `[n r z m]` of each step, `[B, T, 4 H]`: in that order the three that W_hh gives, r, z and m,
//! stand side by side, and a step is one product that is added to what x_t and the biases left there
//! ([`recurrent`](super::recurrent)).
//!
//! Going backwards from t = T with the cotangent dh (of y_t and from step t + 1)
//!
//! ```text
//! da_n = dh (1 - z) (1 - n^2)         da_r = da_n m r (1 - r)         da_z = dh (h_(t-1) - n) z (1 - z)
//! dm = da_n r                         dh <- dh z + W_hh^T [da_r da_z dm]
//! ```
//!
//! and then all steps at once: dW_ih = sum [da_r da_z da_n] x^T, dW_hh = sum [da_r da_z dm] h_(t-1)^T, the biases the
//! same without x and h, dx = W_ih^T [da_r da_z da_n].

use super::gemm::{Epilogue, Mat, MatMut, gemm};
use super::recurrent::{Columns, Recurrent, begin, column_sums, fetch, project, states_before};
use super::vector::{Body, Math, dispatch};
use super::{par, scratch};
use crate::Real;

pub use super::recurrent::{Layer, Weights};

/// What the forward pass gives.
#[derive(Debug)]
pub struct Outputs<'a, R> {
    /// h of all steps, `[B, T, H]`.
    pub y: &'a mut [R],
    /// h of the last step, `[B, H]` (h0 where T is 0).
    pub h_n: &'a mut [R],
    /// n, r, z, m of all steps, `[B, T, 4 H]`, for the backward pass.
    pub gates: &'a mut [R],
}

/// What the forward pass kept.
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a, R> {
    /// `[B, T, D]`.
    pub x: &'a [R],
    /// `[B, H]`.
    pub h0: &'a [R],
    /// `[B, T, H]`.
    pub y: &'a [R],
    /// `[B, T, 4 H]`.
    pub gates: &'a [R],
}

/// The cotangents of the outputs; `None` is zero.
#[derive(Clone, Copy, Debug)]
pub struct Cotangents<'a, R> {
    /// `[B, T, H]`.
    pub y: Option<&'a [R]>,
    /// `[B, H]`.
    pub h_n: Option<&'a [R]>,
}

/// The gradients of everything that went in.
#[derive(Debug)]
pub struct Grads<'a, R> {
    /// `[B, T, D]`.
    pub x: &'a mut [R],
    /// `[3 H, D]`.
    pub w_ih: &'a mut [R],
    /// `[3 H, H]`.
    pub w_hh: &'a mut [R],
    /// `[3 H]`.
    pub b_ih: &'a mut [R],
    /// `[3 H]`.
    pub b_hh: &'a mut [R],
    /// `[B, H]`.
    pub h0: &'a mut [R],
}

/// Elements of scratch that [`backward`] needs: `[da_n da_r da_z dm]`, `[B, T, 4 H]`, and h of the steps before,
/// `[B, T, H]`.
#[must_use]
pub fn backward_scratch(l: &Layer) -> usize {
    5 * l.steps()
}

/// Runs the layer over x `[B, T, D]` from the state h0 `[B, H]`.
///
/// # Panics
/// When a length does not fit the sizes.
pub fn forward<R: Real>(l: &Layer, x: &[R], w: &Weights<'_, R>, h0: &[R], out: Outputs<'_, R>) {
    let (d, t, h) = (l.input, l.time, l.hidden);
    l.check(3, x, w);
    assert_eq!(h0.len(), l.state(), "gru: h0 is not [B, H]");
    assert_eq!(out.h_n.len(), l.state());
    assert_eq!(out.y.len(), l.steps());
    assert_eq!(out.gates.len(), 4 * l.steps());
    out.h_n.copy_from_slice(h0);
    if l.steps() == 0 {
        return;
    }
    let columns = |at| Columns { at, stride: 4 * h };
    let ((w_rz, w_n), (b_rz, b_n)) = (w.w_ih.split_at(2 * h * d), w.b_ih.split_at(2 * h));
    let (b_hrz, b_hn) = w.b_hh.split_at(2 * h);
    project(l, x, w_rz, &[b_rz, b_hrz], out.gates, columns(h));
    project(l, x, w_n, &[b_n], out.gates, columns(0));
    let sequences = l.sequences();
    Recurrent::with(Mat::new(w.w_hh, 3 * h, h).t(), t, |w_hh| {
        let pieces = out
            .y
            .chunks_mut(sequences * t * h)
            .zip(out.gates.chunks_mut(sequences * t * 4 * h))
            .zip(out.h_n.chunks_mut(sequences * h));
        par::each(pieces, |_, ((y, gates), h_now)| {
            let rows = h_now.len() / h;
            gates.chunks_exact_mut(4 * h).for_each(|step| step[3 * h..].copy_from_slice(b_hn));
            for s in 0..t {
                // h_now is the state that goes from step to step
                let step = &mut gates[s * 4 * h + h..];
                let step = MatMut::strided(step, rows, 3 * h, t * 4 * h);
                let state = Mat::new(h_now, rows, h);
                w_hh.multiply(state, R::ONE, step);
                for r in 0..rows {
                    let (at, h_row) = (r * t + s, &mut h_now[r * h..][..h]);
                    dispatch(Cell { gates: &mut gates[at * 4 * h..][..4 * h], h: h_row });
                    y[at * h..][..h].copy_from_slice(h_row);
                    fetch(gates, at + 1, 4 * h);
                    fetch(y, at + 1, h);
                }
            }
        });
    });
}

/// Activates `[n r z m]` of a step in place and moves the state h `[H]` one step on.
struct Cell<'a, R> {
    gates: &'a mut [R],
    h: &'a mut [R],
}

impl<R: Real> Body for Cell<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        let len = self.h.len();
        let (n, rest) = self.gates.split_at_mut(len);
        let (r, rest) = rest.split_at_mut(len);
        let (z, m) = rest.split_at_mut(len);
        let (h, m) = (self.h, &m[..len]);
        for j in 0..len {
            r[j] = M::sigmoid(r[j]);
            z[j] = M::sigmoid(z[j]);
            n[j] = M::tanh(M::mul_add(r[j], m[j], n[j]));
            h[j] = M::mul_add(z[j], h[j] - n[j], n[j]);
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
    let (rows, d, h) = (l.rows(), l.input, l.hidden);
    l.check(3, saved.x, w);
    assert_eq!(saved.y.len(), l.steps());
    assert_eq!(saved.gates.len(), 4 * l.steps());
    assert_eq!(saved.h0.len(), l.state());
    assert_eq!(scratch.len(), backward_scratch(l));
    assert!(gy.y.is_none_or(|g| g.len() == l.steps()), "gru: gradient of y is not [B, T, H]");
    let (da, h_before) = scratch.split_at_mut(4 * l.steps());
    through_time(l, w, saved, gy, grads.h0, da);

    scratch::with(4 * h, |sums: &mut [R]| {
        column_sums(da, 4 * h, sums);
        let (n, rzm) = sums.split_at(h);
        grads.b_ih[..2 * h].copy_from_slice(&rzm[..2 * h]);
        grads.b_ih[2 * h..].copy_from_slice(n);
        grads.b_hh.copy_from_slice(rzm);
    });
    states_before(l, saved.h0, saved.y, h_before);
    let columns = |at: usize, len| Mat::strided(da.get(at..).unwrap_or_default(), rows, len, 4 * h);
    let (n, rz, rzm) = (columns(0, h), columns(h, 2 * h), columns(h, 3 * h));
    let (x, h_before) = (Mat::new(saved.x, rows, d), Mat::new(h_before, rows, h));
    let (w_rz, w_n) = w.w_ih.split_at(2 * h * d);
    let (w_rz, w_n) = (Mat::new(w_rz, 2 * h, d), Mat::new(w_n, h, d));
    let (to_rz, to_n) = grads.w_ih.split_at_mut(2 * h * d);
    let products = [
        (rz.t(), x, MatMut::new(to_rz, 2 * h, d)),
        (n.t(), x, MatMut::new(to_n, h, d)),
        (rzm.t(), h_before, MatMut::new(grads.w_hh, 3 * h, h)),
        (rz, w_rz, MatMut::new(grads.x, rows, d)),
    ];
    for (a, b, c) in products {
        gemm(R::ONE, a, b, R::ZERO, c, Epilogue::None);
    }
    gemm(R::ONE, n, w_n, R::ONE, MatMut::new(grads.x, rows, d), Epilogue::None);
}

/// The recurrent part: `[da_n da_r da_z dm]` of all steps, `[B, T, 4 H]`, and the gradient of h0.
fn through_time<R: Real>(
    l: &Layer,
    w: &Weights<'_, R>,
    saved: &Saved<'_, R>,
    gy: Cotangents<'_, R>,
    gh0: &mut [R],
    da: &mut [R],
) {
    let (t, h) = (l.time, l.hidden);
    // gh0 holds the cotangent of the state that goes from step to step
    begin(gh0, gy.h_n);
    if da.is_empty() {
        return;
    }
    let sequences = l.sequences();
    Recurrent::with(Mat::new(w.w_hh, 3 * h, h), t, |w_hh| {
        let pieces = da.chunks_mut(sequences * t * 4 * h).zip(gh0.chunks_mut(sequences * h));
        par::each(pieces, |piece, (da, dh)| {
            let rows = dh.len() / h;
            for s in (0..t).rev() {
                for r in 0..rows {
                    let row = piece * sequences + r;
                    let at = row * t + s;
                    let h_before = match s {
                        0 => &saved.h0[row * h..][..h],
                        _ => &saved.y[(at - 1) * h..][..h],
                    };
                    dispatch(CellBackward {
                        gates: &saved.gates[at * 4 * h..][..4 * h],
                        h_before,
                        gy: gy.y.map(|gy| &gy[at * h..][..h]),
                        dh: &mut dh[r * h..][..h],
                        da: &mut da[(r * t + s) * 4 * h..][..4 * h],
                    });
                    fetch(saved.gates, at.wrapping_sub(1), 4 * h);
                    fetch(saved.y, at.wrapping_sub(2), h);
                    fetch(gy.y.unwrap_or_default(), at.wrapping_sub(1), h);
                    fetch(da, (r * t + s).wrapping_sub(1), 4 * h);
                }
                let step = Mat::strided(&da[s * 4 * h + h..], rows, 3 * h, t * 4 * h);
                let dh = MatMut::new(dh, rows, h);
                w_hh.multiply(step, R::ONE, dh);
            }
        });
    });
}

/// `[da_n da_r da_z dm]` of a step from dh and gy; dh becomes the part that z carries to the step before.
struct CellBackward<'a, R> {
    gates: &'a [R],
    h_before: &'a [R],
    gy: Option<&'a [R]>,
    dh: &'a mut [R],
    da: &'a mut [R],
}

impl<R: Real> Body for CellBackward<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        let len = self.h_before.len();
        if let Some(gy) = self.gy {
            self.dh.iter_mut().zip(gy).for_each(|(dh, &gy)| *dh += gy);
        }
        let gate = |k: usize| &self.gates[k * len..(k + 1) * len];
        let (n, r, z, m) = (gate(0), gate(1), gate(2), gate(3));
        let (da_n, rest) = self.da.split_at_mut(len);
        let (da_r, rest) = rest.split_at_mut(len);
        let (da_z, dm) = rest.split_at_mut(len);
        let (h_before, dh, dm) = (self.h_before, &mut self.dh[..len], &mut dm[..len]);
        for j in 0..len {
            da_n[j] = dh[j] * (R::ONE - z[j]) * (R::ONE - n[j] * n[j]);
            da_r[j] = da_n[j] * m[j] * r[j] * (R::ONE - r[j]);
            da_z[j] = dh[j] * (h_before[j] - n[j]) * z[j] * (R::ONE - z[j]);
            dm[j] = da_n[j] * r[j];
            dh[j] *= z[j];
        }
    }
}
