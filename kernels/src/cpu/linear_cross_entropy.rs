//! The output layer and its loss as one: the logits of a language model are its largest array, and never needed whole.
//!
//! For rows x `[N, D]`, a weight W `[V, D]`, a bias b `[V]` and targets t `[N]`, with the row loss of
//! [`cross_entropy`](super::cross_entropy),
//!
//! ```text
//! z = x W^T + b,   loss_n = nll(z_n, t_n),   L = s sum_n loss_n
//! G = dL/dz,       dx = G W,   dW = G^T x,   db = sum of the rows of G
//! ```
//!
//! Rows go through this a block at a time, so that of the `[N, V]` logits only `[ROWS, V]` are ever there; and within a
//! block the vocabulary goes through it a chunk at a time, so that what one stage writes the next finds in the cache:
//!
//! ```text
//! for each block of rows
//!   in parallel: for each chunk c of the vocabulary    z = x W^T + b; of each row the largest z, m_c; exp(z - m_c) in the
//!                                                      place of z, and their sum
//!   lse = log sum exp of each row, from the m_c and the sums
//!   in parallel: for each group of chunks
//!     for each chunk of the group                      G in the place of that;  dW += G^T x;  db += sum of the rows of G;
//!                                                      dx_group += G W
//!   dx = sum over the groups, in their order
//! ```
//!
//! So there is one exponential an element: exp(z - lse) of the second pass is that of the first times exp(m_c - lse), a number
//! for each row and chunk. A thread has a chunk to itself: what it writes it reads, and only dx is ever added up between threads.
//!
//! The gradient is formed in the forward pass, where the logits are; that is possible because the loss is the last
//! thing a step computes, its scale s known before (1 / targets).

use super::cross_entropy::{IGNORE, check};
use super::elementwise::{axpy, reduce::sum_axis};
use super::gemm::{Epilogue, Mat, MatMut, PackedB, gemm, gemm_packed};
use super::vector::{Body, Math, dispatch};
use super::{par, row, scratch};
use crate::Real;
use std::ops::Range;

/// The most rows whose logits are there at a time. For each block of rows W is packed, and dW read and written: with fewer rows
/// that takes longer.
const ROWS: usize = 1024;
/// Columns of a chunk: its logits take a MiB at the most.
const CHUNK: usize = 256;
/// Groups of chunks, at the most: each has a gradient of x of its own.
const GROUPS: usize = 4;
/// Rows of a chunk that a task takes, where there are more threads than chunks or groups.
const GRAIN: usize = 64;

/// What goes in.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a, R> {
    /// `[N, D]`.
    pub x: &'a [R],
    /// `[V, D]`.
    pub weight: &'a [R],
    /// `[V]`.
    pub bias: Option<&'a [R]>,
    /// `[N]`, each below V or [`IGNORE`].
    pub targets: &'a [u32],
    /// D.
    pub width: usize,
    /// V.
    pub vocab: usize,
    /// The share of each target's probability that is spread over the vocabulary.
    pub smoothing: f64,
}

/// The gradients of L.
#[derive(Debug)]
pub struct Grads<'a, R> {
    /// `[N, D]`.
    pub x: &'a mut [R],
    /// `[V, D]`.
    pub weight: &'a mut [R],
    /// `[V]`.
    pub bias: Option<&'a mut [R]>,
}

/// The loss of every row `[N]`, in nats; 0 for an ignored one.
///
/// # Panics
/// When the lengths do not fit together, or a target is neither below V nor [`IGNORE`].
pub fn forward<R: Real>(head: &Head<'_, R>, nll: &mut [R]) {
    head.check(nll);
    head.blocks(|block| block.losses(&mut nll[block.rows.clone()]));
}

/// [`forward`], and the gradients of `scale` times the sum of the losses.
///
/// # Panics
/// As [`forward`].
pub fn with_grads<R: Real>(head: &Head<'_, R>, scale: f64, nll: &mut [R], mut grads: Grads<'_, R>) {
    head.check(nll);
    assert_eq!(grads.x.len(), head.x.len(), "gradient of x");
    assert_eq!(grads.weight.len(), head.weight.len(), "gradient of the weight");
    assert!(grads.bias.as_ref().is_none_or(|gb| gb.len() == head.vocab), "gradient of the bias");
    if head.targets.is_empty() || head.vocab == 0 {
        grads.x.fill(R::ZERO);
        grads.weight.fill(R::ZERO);
        grads.bias.iter_mut().for_each(|gb| gb.fill(R::ZERO));
    }
    head.blocks(|block| {
        block.losses(&mut nll[block.rows.clone()]);
        block.grads(R::from_f64(scale), &mut grads);
    });
}

impl<R: Real> Head<'_, R> {
    fn check(&self, nll: &[R]) {
        let n = self.targets.len();
        assert_eq!(self.x.len(), n * self.width, "x is [N, D]");
        assert_eq!(self.weight.len(), self.vocab * self.width, "the weight is [V, D]");
        assert!(self.bias.is_none_or(|b| b.len() == self.vocab), "the bias is [V]");
        assert_eq!(nll.len(), n, "one loss a row");
        check(self.targets, self.vocab, self.smoothing);
    }

    /// Calls `f` with each block of rows, its logits computed.
    fn blocks(&self, mut f: impl FnMut(&mut Block<'_, R>)) {
        let (n, v) = (self.targets.len(), self.vocab);
        // Blocks of one size, as few as there must be.
        let most = n.div_ceil(n.div_ceil(ROWS).max(1));
        let chunks = v.div_ceil(CHUNK);
        scratch::with(most * v, |z: &mut [R]| {
            scratch::with(most * (PLANES * chunks + 2), |numbers: &mut [R]| {
                for lo in (0..n).step_by(most.max(1)) {
                    let rows = lo..(lo + most).min(n);
                    let n = rows.len();
                    let (chunk_stats, others) = numbers.split_at_mut(n * PLANES * chunks);
                    let (lse, totals) = others[..2 * n].split_at_mut(n);
                    let z = &mut z[..n * v];
                    let mut block = Block { head: self, rows, z, chunk_stats, lse };
                    block.logits();
                    block.sum_up(totals);
                    f(&mut block);
                }
            });
        });
    }
}

/// Numbers that a chunk has of each row: the largest logit, the sum of exp(z - largest), the logit of the target if it is in
/// this chunk, and, where labels are smoothed, the sum of the logits. Once lse is known the first is exp(largest - lse).
const PLANES: usize = 4;

/// Some rows, and the exponentials of their logits: chunk after chunk of the vocabulary, each `[rows, its columns]`.
struct Block<'a, R> {
    head: &'a Head<'a, R>,
    rows: Range<usize>,
    z: &'a mut [R],
    /// `[chunks, PLANES, rows]`.
    chunk_stats: &'a mut [R],
    /// `[rows]`: log sum exp of the logits.
    lse: &'a mut [R],
}

/// The columns of the chunks of a vocabulary.
fn chunks(vocab: usize) -> impl Iterator<Item = Range<usize>> {
    (0..vocab).step_by(CHUNK).map(move |lo| lo..(lo + CHUNK).min(vocab))
}

/// The columns of the groups of chunks: as even as whole chunks allow.
fn groups(vocab: usize) -> impl Iterator<Item = Range<usize>> {
    let chunks = vocab.div_ceil(CHUNK);
    let groups = chunks.min(GROUPS);
    let at = move |group: usize| (group * chunks / groups * CHUNK).min(vocab);
    (0..groups).map(move |group| at(group)..at(group + 1))
}

/// Takes the first `len` elements off a slice.
fn take<'a, T>(rest: &mut &'a mut [T], len: usize) -> &'a mut [T] {
    rest.split_off_mut(..len).unwrap_or_default()
}

impl<'a, R: Real> Block<'a, R> {
    /// The rows of x.
    fn x(&self) -> Mat<'a, R> {
        let (d, n) = (self.head.width, self.rows.len());
        Mat::new(&self.head.x[self.rows.start * d..][..n * d], n, d)
    }

    /// The rows of the weight that make some columns of the logits.
    fn weight(&self, columns: &Range<usize>) -> Mat<'a, R> {
        let d = self.head.width;
        Mat::new(&self.head.weight[columns.start * d..columns.end * d], columns.len(), d)
    }

    /// The logits, what the losses need of them, and their exponentials.
    fn logits(&mut self) {
        let (n, x, head) = (self.rows.len(), self.x(), self.head);
        let targets = &head.targets[self.rows.clone()];
        let smoothed = head.smoothing != 0.0;
        let (z, stats) = (std::mem::take(&mut self.z), std::mem::take(&mut self.chunk_stats));
        let pieces = z.chunks_mut(n * CHUNK).zip(stats.chunks_mut(n * PLANES));
        par::each(pieces.zip(chunks(head.vocab)), |_, ((z, stats), columns)| {
            let wide = columns.len();
            let bias = head.bias.map_or(Epilogue::None, |b| Epilogue::Bias(&b[columns.clone()]));
            let out = MatMut::new(&mut *z, n, wide);
            gemm(R::ONE, x, self.weight(&columns).t(), R::ZERO, out, bias);
            let [largest, sums, at_target, plain] = planes(stats, n);
            for (i, (at_target, target)) in at_target.iter_mut().zip(targets).enumerate() {
                let target = *target as usize;
                if columns.contains(&target) {
                    *at_target = z[i * wide + target - columns.start];
                }
            }
            let rows = largest.chunks_mut(GRAIN).zip(sums.chunks_mut(GRAIN));
            let rows = z.chunks_mut(GRAIN * wide).zip(rows.zip(plain.chunks_mut(GRAIN)));
            par::each(rows, |_, (z, ((largest, sums), plain))| {
                dispatch(Exponentials { z, wide, largest, sums, plain, smoothed });
            });
        });
        (self.z, self.chunk_stats) = (z, stats);
    }

    /// Log sum exp of each row, and of each row and chunk exp(largest - lse) in the place of the largest logit.
    fn sum_up(&mut self, totals: &mut [R]) {
        dispatch(SumUp { chunk_stats: self.chunk_stats, lse: self.lse, totals });
    }

    /// The losses of the rows.
    fn losses(&self, nll: &mut [R]) {
        let (smoothing, n) = (self.head.smoothing, self.rows.len());
        let on = R::from_f64(1.0 - smoothing);
        #[allow(clippy::cast_precision_loss, reason = "a vocabulary size, far below 2^53")]
        let everywhere = R::from_f64(smoothing / self.head.vocab as f64);
        let targets = &self.head.targets[self.rows.clone()];
        for (i, (nll, &target)) in nll.iter_mut().zip(targets).enumerate() {
            if target == IGNORE {
                *nll = R::ZERO;
                continue;
            }
            let plane =
                |chunk: usize, plane: usize| self.chunk_stats[(chunk * PLANES + plane) * n..][i];
            let (lse, at_target) = (self.lse[i], plane(target as usize / CHUNK, 2));
            *nll = if smoothing == 0.0 {
                lse - at_target
            } else {
                let chunks = 0..self.head.vocab.div_ceil(CHUNK);
                let sum = chunks.fold(R::ZERO, |sum, chunk| sum + plane(chunk, 3));
                lse - on * at_target - everywhere * sum
            };
        }
    }

    /// Adds what these rows give to the gradients; the first rows write them.
    fn grads(&mut self, scale: R, grads: &mut Grads<'_, R>) {
        let (n, d, head, x) = (self.rows.len(), self.head.width, self.head, self.x());
        let others = groups(head.vocab).count().saturating_sub(1);
        let gx = &mut grads.x[self.rows.start * d..][..n * d];
        let (z, stats) = (std::mem::take(&mut self.z), &*self.chunk_stats);
        scratch::with(PackedB::<R>::len(n, d), |memory: &mut [R]| {
            let packed = PackedB::pack(x, memory);
            scratch::with(others * n * d, |partial: &mut [R]| {
                let (mut z, mut gw) = (&mut *z, &mut *grads.weight);
                let mut gb = grads.bias.as_deref_mut();
                let mut rest = &mut *partial;
                let others = std::iter::repeat_with(|| take(&mut rest, n * d));
                let gxs = std::iter::once(&mut *gx).chain(others);
                let pieces = groups(head.vocab).zip(gxs).map(|(columns, gx)| Piece {
                    z: take(&mut z, columns.len() * n),
                    stats: &stats[columns.start / CHUNK * PLANES * n..],
                    gx,
                    gw: take(&mut gw, columns.len() * d),
                    gb: gb.as_mut().map(|gb| take(gb, columns.len())),
                    columns,
                });
                par::each(pieces, |_, piece| self.group_grads(scale, &packed, piece));
                for part in partial.chunks_exact((n * d).max(1)) {
                    axpy(R::ONE, part, gx);
                }
            });
        });
        self.z = z;
    }

    /// What the chunks of a group give.
    fn group_grads(&self, scale: R, x: &PackedB<'_, R>, piece: Piece<'_, R>) {
        let (n, d, head) = (self.rows.len(), self.head.width, self.head);
        let on = scale * R::from_f64(1.0 - head.smoothing);
        #[allow(clippy::cast_precision_loss, reason = "a vocabulary size, far below 2^53")]
        let everywhere = scale * R::from_f64(head.smoothing / head.vocab as f64);
        let old = if self.rows.start == 0 { R::ZERO } else { R::ONE };
        let Piece { columns: group, mut z, stats, gx, mut gw, mut gb } = piece;
        let each = chunks(group.len()).zip(stats.chunks(n * PLANES)).enumerate();
        for (i, (columns, stats)) in each {
            let columns = group.start + columns.start..group.start + columns.end;
            let wide = columns.len();
            let z = take(&mut z, wide * n);
            let targets = head.targets[self.rows.clone()].chunks(GRAIN);
            let rows = z.chunks_mut(GRAIN * wide).zip(stats[..n].chunks(GRAIN)).zip(targets);
            par::each(rows, |_, ((z, factors), targets)| {
                dispatch(Gradient { z: &mut *z, wide, factors, scale, everywhere });
                for (z, &target) in z.chunks_exact_mut(wide).zip(targets) {
                    if target == IGNORE {
                        z.fill(R::ZERO);
                    } else if columns.contains(&(target as usize)) {
                        z[target as usize - columns.start] -= on;
                    }
                }
            });
            let g = Mat::new(&*z, n, wide);
            let before = if i == 0 { R::ZERO } else { R::ONE };
            let gx = MatMut::new(&mut *gx, n, d);
            gemm(R::ONE, g, self.weight(&columns), before, gx, Epilogue::None);
            let gw = MatMut::new(take(&mut gw, wide * d), wide, d);
            gemm_packed(R::ONE, g.t(), x, old, gw, Epilogue::None);
            if let Some(gb) = &mut gb {
                let gb = take(gb, wide);
                scratch::with(wide, |part: &mut [R]| {
                    sum_axis(z, [1, n, wide], 1.0, part);
                    if self.rows.start == 0 {
                        return gb.copy_from_slice(part);
                    }
                    gb.iter_mut().zip(part).for_each(|(sum, part)| *sum += *part);
                });
            }
        }
    }
}

/// What a group of chunks reads and writes for the gradients.
struct Piece<'a, R> {
    columns: Range<usize>,
    /// The exponentials of its chunks.
    z: &'a mut [R],
    /// `[chunks, PLANES, rows]`, from its first chunk on.
    stats: &'a [R],
    /// `[rows, D]`: its part of the gradient of x.
    gx: &'a mut [R],
    /// Its rows of the gradient of the weight.
    gw: &'a mut [R],
    gb: Option<&'a mut [R]>,
}

/// The planes of a chunk.
fn planes<R>(stats: &mut [R], rows: usize) -> [&mut [R]; PLANES] {
    let mut rest = stats;
    std::array::from_fn(|_| take(&mut rest, rows))
}

/// The largest logit, the sum of exponentials and the sum of each row of a chunk, whose logits become their exponentials.
struct Exponentials<'a, R> {
    z: &'a mut [R],
    wide: usize,
    largest: &'a mut [R],
    sums: &'a mut [R],
    plain: &'a mut [R],
    smoothed: bool,
}

impl<R: Real> Body for Exponentials<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        let Self { z, wide, largest, sums, plain, smoothed } = self;
        let some = largest.chunks_mut(row::TOGETHER).zip(sums.chunks_mut(row::TOGETHER));
        let some = some.zip(plain.chunks_mut(row::TOGETHER));
        for (z, ((largest, sums), plain)) in z.chunks_mut(row::TOGETHER * wide).zip(some) {
            for (z, (largest, plain)) in z.chunks_exact(wide).zip(largest.iter_mut().zip(plain)) {
                if smoothed {
                    *plain = row::sum(z);
                }
                *largest = row::max(z);
            }
            for (z, (largest, sum)) in z.chunks_exact_mut(wide).zip(largest.iter().zip(sums)) {
                // Of logits that are all -inf each exponential is 0.
                let shift = if *largest > R::NEG_INFINITY { *largest } else { R::ZERO };
                *sum = row::exp_in_place::<M, R>(z, shift);
            }
        }
    }
}

/// See [`Block::sum_up`].
struct SumUp<'a, R> {
    chunk_stats: &'a mut [R],
    lse: &'a mut [R],
    totals: &'a mut [R],
}

impl<R: Real> Body for SumUp<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        let Self { chunk_stats, lse, totals } = self;
        let n = lse.len();
        lse.fill(R::NEG_INFINITY);
        for largest in chunk_stats.chunks_exact(PLANES * n) {
            for (lse, &largest) in lse.iter_mut().zip(&largest[..n]) {
                *lse = if largest > *lse { largest } else { *lse };
            }
        }
        totals.fill(R::ZERO);
        for stats in chunk_stats.chunks_exact(PLANES * n) {
            let (largest, sums) = stats[..2 * n].split_at(n);
            for ((total, lse), (&largest, &sum)) in
                totals.iter_mut().zip(&*lse).zip(largest.iter().zip(sums))
            {
                *total = M::mul_add(sum, M::exp(largest - *lse), *total);
            }
        }
        lse.iter_mut().zip(totals).for_each(|(lse, total)| *lse += total.ln());
        for stats in chunk_stats.chunks_exact_mut(PLANES * n) {
            let largest = stats[..n].iter_mut();
            largest.zip(&*lse).for_each(|(largest, lse)| *largest = M::exp(*largest - *lse));
        }
    }
}

/// Exponentials times exp(largest - lse) are the softmax; that times `scale`, less what smoothing puts everywhere.
struct Gradient<'a, R> {
    z: &'a mut [R],
    wide: usize,
    factors: &'a [R],
    scale: R,
    everywhere: R,
}

impl<R: Real> Body for Gradient<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        for (z, &factor) in self.z.chunks_exact_mut(self.wide).zip(self.factors) {
            let factor = self.scale * factor;
            for z in z {
                *z = *z * factor - self.everywhere;
            }
        }
    }
}

#[cfg(test)]
mod tests;
