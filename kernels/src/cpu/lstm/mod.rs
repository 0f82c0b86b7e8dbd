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
//! Only W_hh h_(t-1) must wait for the step before: W_ih x_t of all steps is one product of `[B T, D]` and `[D, 4 H]`,
//! written where the gates will stand, and the T recurrent steps add to it. Sequences do not touch each other, so a
//! task takes a few of them through all steps, without a barrier between steps.
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

use super::matrix::{Mat, gemm};
use super::{Real, par};

/// Sequences that a task takes through all steps.
const SEQUENCES: usize = 8;
/// Rows whose gate gradients are added up before they are added to the bias gradient.
const BIAS_ROWS: usize = 256;

/// B, T, D, H.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lstm {
    /// B, sequences.
    pub batch: usize,
    /// T, steps of each.
    pub time: usize,
    /// D, the width of x.
    pub input: usize,
    /// H, the width of h and c.
    pub hidden: usize,
}

/// The parameters of a layer, as `torch.nn.LSTM` names and lays them out.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a, R> {
    /// `[4 H, D]`.
    pub w_ih: &'a [R],
    /// `[4 H, H]`.
    pub w_hh: &'a [R],
    /// `[4 H]`.
    pub b_ih: &'a [R],
    /// `[4 H]`.
    pub b_hh: &'a [R],
}

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

impl Lstm {
    /// Elements of scratch that [`backward`] needs: da `[B, T, 4 H]` and h of the steps before, `[B, T, H]`.
    #[must_use]
    pub fn backward_scratch(&self) -> usize {
        5 * self.batch * self.time * self.hidden
    }

    fn check_weights<R>(&self, w: &Weights<'_, R>) {
        assert_eq!(w.w_ih.len(), 4 * self.hidden * self.input, "lstm: W_ih is not [4 H, D]");
        assert_eq!(w.w_hh.len(), 4 * self.hidden * self.hidden, "lstm: W_hh is not [4 H, H]");
        assert_eq!(w.b_ih.len(), 4 * self.hidden, "lstm: b_ih is not [4 H]");
        assert_eq!(w.b_hh.len(), 4 * self.hidden, "lstm: b_hh is not [4 H]");
    }
}

/// Runs the layer over x `[B, T, D]` from the state h0, c0 `[B, H]`.
///
/// # Panics
/// When a length does not fit the sizes.
pub fn forward<R: Real>(
    l: &Lstm,
    x: &[R],
    w: &Weights<'_, R>,
    h0: &[R],
    c0: &[R],
    out: Outputs<'_, R>,
) {
    let (b, t, h) = (l.batch, l.time, l.hidden);
    l.check_weights(w);
    assert_eq!(x.len(), b * t * l.input, "lstm: x is not [B, T, D]");
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
    input_projection(l, x, w, out.gates);
    let w_hh = Mat::new(w.w_hh, 4 * h, h, h).t();
    let pieces = out
        .y
        .chunks_mut(SEQUENCES * t * h)
        .zip(out.gates.chunks_mut(SEQUENCES * t * 4 * h))
        .zip(out.cells.chunks_mut(SEQUENCES * t * h))
        .zip(out.h_n.chunks_mut(SEQUENCES * h).zip(out.c_n.chunks_mut(SEQUENCES * h)));
    par::each(pieces, |_, (((y, gates), cells), (h_now, c_now))| {
        let rows = h_now.len() / h;
        for s in 0..t {
            // h_now and c_now are the state that goes from step to step
            let step = Mat::new(h_now, rows, h, h);
            gemm(step, w_hh, &mut gates[s * 4 * h..], t * 4 * h, true);
            for r in 0..rows {
                let at = r * t + s;
                let state = r * h..(r + 1) * h;
                cell(
                    &mut gates[at * 4 * h..][..4 * h],
                    &mut c_now[state.clone()],
                    &mut h_now[state.clone()],
                );
                cells[at * h..][..h].copy_from_slice(&c_now[state.clone()]);
                y[at * h..][..h].copy_from_slice(&h_now[state]);
            }
        }
    });
}

/// gates `[B T, 4 H]` = x W_ih^T + b_ih + b_hh.
fn input_projection<R: Real>(l: &Lstm, x: &[R], w: &Weights<'_, R>, gates: &mut [R]) {
    let (d, n) = (l.input, 4 * l.hidden);
    let bias: Vec<R> = w.b_ih.iter().zip(w.b_hh).map(|(&a, &b)| a + b).collect();
    let rows = 64;
    par::chunks_mut(gates, rows * n, |i, gates| {
        for row in gates.chunks_exact_mut(n) {
            row.copy_from_slice(&bias);
        }
        let m = gates.len() / n;
        let x = Mat::new(&x[i * rows * d..], m, d, d);
        gemm(x, Mat::new(w.w_ih, n, d, d).t(), gates, n, true);
    });
}

/// Activates the gates `[4 H]` of a step in place and moves the state c, h `[H]` one step on.
fn cell<R: Real>(gates: &mut [R], c: &mut [R], h: &mut [R]) {
    let n = c.len();
    let (i, rest) = gates.split_at_mut(n);
    let (f, rest) = rest.split_at_mut(n);
    let (g, o) = rest.split_at_mut(n);
    for j in 0..n {
        i[j] = i[j].sigmoid();
        f[j] = f[j].sigmoid();
        g[j] = g[j].tanh();
        o[j] = o[j].sigmoid();
        c[j] = f[j] * c[j] + i[j] * g[j];
        h[j] = o[j] * c[j].tanh();
    }
}

/// All gradients of [`forward`], by back-propagation through time.
///
/// `scratch` has [`Lstm::backward_scratch`] elements; what they are does not matter.
///
/// # Panics
/// When a length does not fit the sizes.
pub fn backward<R: Real>(
    l: &Lstm,
    w: &Weights<'_, R>,
    saved: &Saved<'_, R>,
    gy: Cotangents<'_, R>,
    grads: Grads<'_, R>,
    scratch: &mut [R],
) {
    let (b, t, d, h) = (l.batch, l.time, l.input, l.hidden);
    l.check_weights(w);
    assert_eq!(saved.x.len(), b * t * d);
    assert_eq!(saved.y.len(), b * t * h);
    assert_eq!(saved.cells.len(), b * t * h);
    assert_eq!(saved.gates.len(), b * t * 4 * h);
    assert_eq!(saved.h0.len(), b * h);
    assert_eq!(saved.c0.len(), b * h);
    assert_eq!(scratch.len(), l.backward_scratch());
    assert!(gy.y.is_none_or(|g| g.len() == b * t * h), "lstm: gradient of y is not [B, T, H]");
    let (da, h_before) = scratch.split_at_mut(4 * b * t * h);
    through_time(l, w, saved, gy, grads.h0, grads.c0, da);

    // h of the step before, in the row of each step
    par::each(
        h_before.chunks_mut((t * h).max(1)).zip(saved.y.chunks((t * h).max(1))),
        |r, (to, y)| {
            to[..h].copy_from_slice(&saved.h0[r * h..][..h]);
            to[h..].copy_from_slice(&y[..y.len() - h]);
        },
    );
    let da = &*da;
    weight_gradient(da, 4 * h, saved.x, d, b * t, grads.w_ih);
    weight_gradient(da, 4 * h, h_before, h, b * t, grads.w_hh);
    column_sums(da, 4 * h, grads.b_ih);
    grads.b_hh.copy_from_slice(grads.b_ih);
    let rows = 64;
    par::chunks_mut(grads.x, (rows * d).max(1), |i, gx| {
        let m = gx.len() / d;
        let da = Mat::new(&da[(i * rows * 4 * h).min(da.len())..], m, 4 * h, 4 * h);
        gemm(da, Mat::new(w.w_ih, 4 * h, d, d), gx, d, false);
    });
}

/// The recurrent part: da `[B, T, 4 H]` and the gradients of h0 and c0.
fn through_time<R: Real>(
    l: &Lstm,
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
        assert_eq!(state.len(), l.batch * h);
        match from {
            Some(g) => state.copy_from_slice(g),
            None => state.fill(R::ZERO),
        }
    }
    if da.is_empty() {
        return;
    }
    let w_hh = Mat::new(w.w_hh, 4 * h, h, h);
    let pieces = da
        .chunks_mut(SEQUENCES * t * 4 * h)
        .zip(gh0.chunks_mut(SEQUENCES * h).zip(gc0.chunks_mut(SEQUENCES * h)));
    par::each(pieces, |piece, (da, (dh, dc))| {
        let rows = dh.len() / h;
        for s in (0..t).rev() {
            for r in 0..rows {
                let row = piece * SEQUENCES + r;
                let at = row * t + s;
                let state = r * h..(r + 1) * h;
                let dh = &mut dh[state.clone()];
                if let Some(gy) = gy.y {
                    dh.iter_mut().zip(&gy[at * h..][..h]).for_each(|(dh, &gy)| *dh += gy);
                }
                let c_before = if s == 0 {
                    &saved.c0[row * h..][..h]
                } else {
                    &saved.cells[(at - 1) * h..][..h]
                };
                cell_backward(
                    &saved.gates[at * 4 * h..][..4 * h],
                    &saved.cells[at * h..][..h],
                    c_before,
                    dh,
                    &mut dc[state],
                    &mut da[(r * t + s) * 4 * h..][..4 * h],
                );
            }
            let step = Mat::new(&da[s * 4 * h..], rows, 4 * h, t * 4 * h);
            gemm(step, w_hh, dh, h, false);
        }
    });
}

/// da `[4 H]` of a step from dh; dc becomes that of the step before.
fn cell_backward<R: Real>(
    gates: &[R],
    c: &[R],
    c_before: &[R],
    dh: &[R],
    dc: &mut [R],
    da: &mut [R],
) {
    let n = c.len();
    let gate = |k: usize| &gates[k * n..(k + 1) * n];
    let (i, f, g, o) = (gate(0), gate(1), gate(2), gate(3));
    let (da_i, rest) = da.split_at_mut(n);
    let (da_f, rest) = rest.split_at_mut(n);
    let (da_g, da_o) = rest.split_at_mut(n);
    for j in 0..n {
        let tanh_c = c[j].tanh();
        let dcell = dc[j] + dh[j] * o[j] * (R::ONE - tanh_c * tanh_c);
        da_i[j] = dcell * g[j] * i[j] * (R::ONE - i[j]);
        da_f[j] = dcell * c_before[j] * f[j] * (R::ONE - f[j]);
        da_g[j] = dcell * i[j] * (R::ONE - g[j] * g[j]);
        da_o[j] = dh[j] * tanh_c * o[j] * (R::ONE - o[j]);
        dc[j] = dcell * f[j];
    }
}

/// gw `[m, n]` = da^T x, with da `[rows, m]` and x `[rows, n]`.
fn weight_gradient<R: Real>(da: &[R], m: usize, x: &[R], n: usize, rows: usize, gw: &mut [R]) {
    let block = 64;
    par::chunks_mut(gw, (block * n).max(1), |i, gw| {
        let da = Mat::new(&da[(i * block).min(da.len())..], rows, gw.len() / n, m);
        gemm(da.t(), Mat::new(x, rows, n, n), gw, n, false);
    });
}

/// y `[n]` = the sum of the rows of x `[rows, n]`, in blocks that are added in order.
fn column_sums<R: Real>(x: &[R], n: usize, y: &mut [R]) {
    y.fill(R::ZERO);
    if n == 0 {
        return;
    }
    let mut partial = vec![R::ZERO; x.len().div_ceil(BIAS_ROWS * n) * n];
    par::each(partial.chunks_exact_mut(n).zip(x.chunks(BIAS_ROWS * n)), |_, (sum, rows)| {
        for row in rows.chunks_exact(n) {
            sum.iter_mut().zip(row).for_each(|(s, &x)| *s += x);
        }
    });
    for sum in partial.chunks_exact(n) {
        y.iter_mut().zip(sum).for_each(|(y, &s)| *y += s);
    }
}

#[cfg(test)]
mod tests;
