//! What the recurrent layers ([`lstm`](super::lstm), [`gru`](super::gru), [`rnn`](super::rnn)) have in common.
//!
//! B batch, T time, D the width of x, H the width of the state, G gates: W_ih is `[G H, D]` and W_hh is `[G H, H]`.
//! Only W_hh h_(t-1) must wait for the step before. So W_ih x_t of all steps is one product over B T rows, W_hh is packed
//! once, and each of the T steps adds one product with it. Sequences do not touch each other: a task takes
//! a few of them through all steps, without a barrier between steps.
//!
//! Going backwards the steps find da, the gradients of what stands before the non-linearities, `[B, T, ..]`; then the
//! gradients of weights and inputs are products over B T rows again.

use super::gemm::{Epilogue, Mat, MatMut, PackedB, gemm, gemm_packed};
use super::{memory, par, scratch};
use crate::Real;

/// The most sequences that a task takes through all steps; the recurrent weights are read once a step and task.
const SEQUENCES: usize = 32;
/// Rows that are added up before they are added to the sum of a column.
const SUM_ROWS: usize = 256;

/// B, T, D, H.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// B, sequences.
    pub batch: usize,
    /// T, steps of each.
    pub time: usize,
    /// D, the width of x.
    pub input: usize,
    /// H, the width of the state.
    pub hidden: usize,
}

/// The parameters of a layer, as torch.nn names and lays them out.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a, R> {
    /// `[G H, D]`.
    pub w_ih: &'a [R],
    /// `[G H, H]`.
    pub w_hh: &'a [R],
    /// `[G H]`.
    pub b_ih: &'a [R],
    /// `[G H]`.
    pub b_hh: &'a [R],
}

impl Layer {
    /// B T.
    pub(super) fn rows(&self) -> usize {
        self.batch * self.time
    }

    /// B H.
    pub(super) fn state(&self) -> usize {
        self.batch * self.hidden
    }

    /// B T H.
    pub(super) fn steps(&self) -> usize {
        self.rows() * self.hidden
    }

    /// How many sequences a task takes through all steps; all where there is one step, whose product finds work for every
    /// thread itself, and by the shape alone: its bits may depend on the number of rows.
    pub(super) fn sequences(&self) -> usize {
        if self.time == 1 { self.batch } else { par::share(self.batch, SEQUENCES) }
    }

    #[track_caller]
    pub(super) fn check<R>(&self, gates: usize, x: &[R], w: &Weights<'_, R>) {
        assert_eq!(x.len(), self.rows() * self.input, "x is not [B, T, D]");
        let rows = gates * self.hidden;
        assert_eq!(w.w_ih.len(), rows * self.input, "W_ih is not [{gates} H, D]");
        assert_eq!(w.w_hh.len(), rows * self.hidden, "W_hh is not [{gates} H, H]");
        assert_eq!(w.b_ih.len(), rows, "b_ih is not [{gates} H]");
        assert_eq!(w.b_hh.len(), rows, "b_hh is not [{gates} H]");
    }
}

/// The columns from `at` on of rows `stride` wide.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    pub(super) at: usize,
    pub(super) stride: usize,
}

/// The columns of `y` = x `[B T, D]` times the transpose of `w [n, D]`, plus the sum of the biases `[n]`.
pub(super) fn project<R: Real>(
    l: &Layer,
    x: &[R],
    w: &[R],
    biases: &[&[R]],
    y: &mut [R],
    columns: Columns,
) {
    let n = biases.first().map_or(0, |b| b.len());
    if l.rows() * n == 0 {
        return;
    }
    scratch::with(n, |sum: &mut [R]| {
        sum.fill(R::ZERO);
        for bias in biases {
            sum.iter_mut().zip(*bias).for_each(|(s, &b)| *s += b);
        }
        let (x, w) = (Mat::new(x, l.rows(), l.input), Mat::new(w, n, l.input).t());
        let y = MatMut::strided(&mut y[columns.at..], l.rows(), n, columns.stride);
        gemm(R::ONE, x, w, R::ZERO, y, Epilogue::Bias(sum));
    });
}

/// The recurrent weight, which every step multiplies with: packed, unless there is but one step to read it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Recurrent<'a, R> {
    Packed(PackedB<'a, R>),
    Once(Mat<'a, R>),
}

impl<R: Real> Recurrent<'_, R> {
    /// Calls `f` with it.
    pub(super) fn with(weight: Mat<'_, R>, steps: usize, f: impl FnOnce(Recurrent<'_, R>)) {
        if steps == 1 {
            return f(Recurrent::Once(weight));
        }
        scratch::with(PackedB::<R>::len(weight.rows(), weight.cols()), |memory| {
            f(Recurrent::Packed(PackedB::pack(weight, memory)));
        });
    }

    /// `C = A W + beta C`.
    pub(super) fn multiply(&self, a: Mat<'_, R>, beta: R, c: MatMut<'_, R>) {
        match self {
            Self::Packed(weight) => gemm_packed(R::ONE, a, weight, beta, c, Epilogue::None),
            Self::Once(weight) => gemm(R::ONE, a, *weight, beta, c, Epilogue::None),
        }
    }
}

/// The longest row, in bytes, that is fetched; in longer ones a processor sees for itself what comes next.
const FETCHED: usize = 4096;

/// Fetches row `row` of an array whose rows are `width` wide; one that is not there is no error.
///
/// The rows of a step, one of each sequence, lie far apart and in more places than a processor watches by itself. So each
/// is asked for a step before it is read or written.
#[inline]
pub(super) fn fetch<R>(array: &[R], row: usize, width: usize) {
    if let Some(start) = row.checked_mul(width)
        && let Some(row) = array.get(start..).and_then(|rows| rows.get(..width))
        && size_of_val(row) <= FETCHED
    {
        memory::fetch(row);
    }
}

/// The state that goes backwards from step to step begins as the cotangent of the last state; `None` is zero.
pub(super) fn begin<R: Real>(state: &mut [R], from: Option<&[R]>) {
    match from {
        Some(g) => state.copy_from_slice(g),
        None => state.fill(R::ZERO),
    }
}

/// h of the step before each step, `[B, T, H]`: h0, then all of y `[B, T, H]` but the last step.
pub(super) fn states_before<R: Real>(l: &Layer, h0: &[R], y: &[R], to: &mut [R]) {
    let (h, sequence) = (l.hidden, l.time * l.hidden);
    if sequence == 0 {
        return;
    }
    par::each(to.chunks_mut(sequence).zip(y.chunks(sequence)), |r, (to, y)| {
        to[..h].copy_from_slice(&h0[r * h..][..h]);
        to[h..].copy_from_slice(&y[..sequence - h]);
    });
}

/// y `[n]` = the sum of the rows of x `[rows, n]`, in blocks that are added in order.
pub(super) fn column_sums<R: Real>(x: &[R], n: usize, y: &mut [R]) {
    y.fill(R::ZERO);
    if n == 0 {
        return;
    }
    scratch::with(x.len().div_ceil(SUM_ROWS * n) * n, |partial: &mut [R]| {
        par::each(partial.chunks_exact_mut(n).zip(x.chunks(SUM_ROWS * n)), |_, (sum, rows)| {
            sum.fill(R::ZERO);
            for row in rows.chunks_exact(n) {
                sum.iter_mut().zip(row).for_each(|(s, &x)| *s += x);
            }
        });
        for sum in partial.chunks_exact(n) {
            y.iter_mut().zip(sum).for_each(|(y, &s)| *y += s);
        }
    });
}

#[cfg(test)]
mod tests;
