//! A whole vanilla RNN layer over a batch of sequences (Elman 1990; the equations of `torch.nn.RNN`).
//!
//! With x `[B, T, D]`, weights W_ih `[H, D]` and W_hh `[H, H]`, biases b_ih and b_hh `[H]`, and f either tanh or
//! max(., 0); for t = 1 .. T
//!
//! ```text
//! h_t = f(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh)       y = h_1 .. h_T,  h_n = h_T
//! ```
//!
//! W_ih x_t of all steps is written where y will stand, and the steps add to it
//! ([`recurrent`](super::recurrent)). Nothing else is kept: the slope of f follows from h_t, 1 - h^2 for tanh and
//! 1 where h > 0 for max(., 0).
//!
//! Going backwards from t = T with the cotangent dh (of y_t and from step t + 1)
//!
//! ```text
//! da = dh f'                           dh <- W_hh^T da
//! ```
//!
//! and then all steps at once: dW_ih = sum da x^T, dW_hh = sum da h_(t-1)^T, db_ih = db_hh = sum da, dx = W_ih^T da.

use super::gemm::{Epilogue, Mat, MatMut, gemm};
use super::par;
use super::recurrent::{Columns, Recurrent, begin, column_sums, fetch, project, states_before};
use super::vector::math::select;
use super::vector::{Body, Math, dispatch};
use crate::Real;

pub use super::recurrent::{Layer, Weights};

/// f.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonlinearity {
    /// The hyperbolic tangent.
    Tanh,
    /// max(., 0).
    Relu,
}

/// What the forward pass gives.
#[derive(Debug)]
pub struct Outputs<'a, R> {
    /// h of all steps, `[B, T, H]`.
    pub y: &'a mut [R],
    /// h of the last step, `[B, H]` (h0 where T is 0).
    pub h_n: &'a mut [R],
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
    /// `[H, D]`.
    pub w_ih: &'a mut [R],
    /// `[H, H]`.
    pub w_hh: &'a mut [R],
    /// `[H]`.
    pub b_ih: &'a mut [R],
    /// `[H]`, the same numbers as b_ih.
    pub b_hh: &'a mut [R],
    /// `[B, H]`.
    pub h0: &'a mut [R],
}

/// Elements of scratch that [`backward`] needs: da and h of the steps before, `[B, T, H]` each.
#[must_use]
pub fn backward_scratch(l: &Layer) -> usize {
    2 * l.steps()
}

/// Runs the layer over x `[B, T, D]` from the state h0 `[B, H]`.
///
/// # Panics
/// When a length does not fit the sizes.
pub fn forward<R: Real>(
    l: &Layer,
    f: Nonlinearity,
    x: &[R],
    w: &Weights<'_, R>,
    h0: &[R],
    out: Outputs<'_, R>,
) {
    let (t, h) = (l.time, l.hidden);
    l.check(1, x, w);
    assert_eq!(h0.len(), l.state(), "rnn: h0 is not [B, H]");
    assert_eq!(out.h_n.len(), l.state());
    assert_eq!(out.y.len(), l.steps());
    out.h_n.copy_from_slice(h0);
    if l.steps() == 0 {
        return;
    }
    project(l, x, w.w_ih, &[w.b_ih, w.b_hh], out.y, Columns { at: 0, stride: h });
    let sequences = l.sequences();
    Recurrent::with(Mat::new(w.w_hh, h, h).t(), t, |w_hh| {
        let pieces = out.y.chunks_mut(sequences * t * h).zip(out.h_n.chunks_mut(sequences * h));
        par::each(pieces, |_, (y, h_now)| {
            let rows = h_now.len() / h;
            for s in 0..t {
                // h_now is the state that goes from step to step
                let step = MatMut::strided(&mut y[s * h..], rows, h, t * h);
                let state = Mat::new(h_now, rows, h);
                w_hh.multiply(state, R::ONE, step);
                for r in 0..rows {
                    let row = &mut y[(r * t + s) * h..][..h];
                    dispatch(Cell { f, h: row });
                    h_now[r * h..][..h].copy_from_slice(row);
                    fetch(y, r * t + s + 1, h);
                }
            }
        });
    });
}

/// f of each element, in place.
struct Cell<'a, R> {
    f: Nonlinearity,
    h: &'a mut [R],
}

impl<R: Real> Body for Cell<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        match self.f {
            Nonlinearity::Tanh => self.h.iter_mut().for_each(|h| *h = M::tanh(*h)),
            // NaN stays
            Nonlinearity::Relu => {
                self.h.iter_mut().for_each(|h| *h = select(*h < R::ZERO, R::ZERO, *h));
            }
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
    f: Nonlinearity,
    w: &Weights<'_, R>,
    saved: &Saved<'_, R>,
    gy: Cotangents<'_, R>,
    grads: Grads<'_, R>,
    scratch: &mut [R],
) {
    let (rows, d, h) = (l.rows(), l.input, l.hidden);
    l.check(1, saved.x, w);
    assert_eq!(saved.y.len(), l.steps());
    assert_eq!(saved.h0.len(), l.state());
    assert_eq!(scratch.len(), backward_scratch(l));
    assert!(gy.y.is_none_or(|g| g.len() == l.steps()), "rnn: gradient of y is not [B, T, H]");
    let (da, h_before) = scratch.split_at_mut(l.steps());
    through_time(l, f, w, saved, gy, grads.h0, da);

    column_sums(da, h, grads.b_ih);
    grads.b_hh.copy_from_slice(grads.b_ih);
    states_before(l, saved.h0, saved.y, h_before);
    let da = Mat::new(da, rows, h);
    let products = [
        (da.t(), Mat::new(saved.x, rows, d), MatMut::new(grads.w_ih, h, d)),
        (da.t(), Mat::new(h_before, rows, h), MatMut::new(grads.w_hh, h, h)),
        (da, Mat::new(w.w_ih, h, d), MatMut::new(grads.x, rows, d)),
    ];
    for (a, b, c) in products {
        gemm(R::ONE, a, b, R::ZERO, c, Epilogue::None);
    }
}

/// The recurrent part: da `[B, T, H]` and the gradient of h0.
fn through_time<R: Real>(
    l: &Layer,
    f: Nonlinearity,
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
    Recurrent::with(Mat::new(w.w_hh, h, h), t, |w_hh| {
        let pieces = da.chunks_mut(sequences * t * h).zip(gh0.chunks_mut(sequences * h));
        par::each(pieces, |piece, (da, dh)| {
            let rows = dh.len() / h;
            for s in (0..t).rev() {
                for r in 0..rows {
                    let at = (piece * sequences + r) * t + s;
                    dispatch(CellBackward {
                        f,
                        h: &saved.y[at * h..][..h],
                        gy: gy.y.map(|gy| &gy[at * h..][..h]),
                        dh: &mut dh[r * h..][..h],
                        da: &mut da[(r * t + s) * h..][..h],
                    });
                    fetch(saved.y, at.wrapping_sub(1), h);
                    fetch(gy.y.unwrap_or_default(), at.wrapping_sub(1), h);
                    fetch(da, (r * t + s).wrapping_sub(1), h);
                }
                let step = Mat::strided(&da[s * h..], rows, h, t * h);
                let dh = MatMut::new(dh, rows, h);
                w_hh.multiply(step, R::ZERO, dh);
            }
        });
    });
}

/// da `[H]` of a step from dh and gy.
struct CellBackward<'a, R> {
    f: Nonlinearity,
    h: &'a [R],
    gy: Option<&'a [R]>,
    dh: &'a mut [R],
    da: &'a mut [R],
}

impl<R: Real> Body for CellBackward<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        if let Some(gy) = self.gy {
            self.dh.iter_mut().zip(gy).for_each(|(dh, &gy)| *dh += gy);
        }
        let steps = self.da.iter_mut().zip(&*self.dh).zip(self.h);
        match self.f {
            Nonlinearity::Tanh => {
                steps.for_each(|((da, &dh), &h)| *da = dh * (R::ONE - h * h));
            }
            Nonlinearity::Relu => {
                let slope = |h| select(h > R::ZERO, R::ONE, R::ZERO);
                steps.for_each(|((da, &dh), &h)| *da = dh * slope(h));
            }
        }
    }
}
