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
//!   for each chunk of the vocabulary      z = x W^T + b; of each row the largest z so far, m; exp(z - m) in the place of z
//!   for each chunk of the vocabulary      G in the place of that;  dx += G W;  dW += G^T x;  db += sum of the rows of G
//! ```
//!
//! So there is one exponential an element: exp(z - lse) of the second pass is that of the first times exp(m - lse), a number
//! for each row and chunk.
//!
//! The gradient is formed in the forward pass, where the logits are; that is possible because the loss is the last
//! thing a step computes, its scale s known before (1 / targets).

use super::cross_entropy::{IGNORE, check};
use super::elementwise::reduce::sum_axis;
use super::gemm::{Epilogue, Mat, MatMut, gemm};
use super::vector::{Body, Math, dispatch};
use super::{par, row, scratch};
use crate::Real;
use std::ops::Range;

/// The most rows whose logits are there at a time. For each block of rows W is packed, dW is read and written, and the threads
/// meet a few times for each chunk: with fewer rows that takes longer.
const ROWS: usize = 1024;
/// Columns of a chunk: its logits take a MiB at the most.
const CHUNK: usize = 256;
/// Rows of a chunk that a task takes.
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
        scratch::with(most * v, |z: &mut [R]| {
            scratch::with(most * (4 + v.div_ceil(CHUNK)), |rows: &mut [R]| {
                for lo in (0..n).step_by(most.max(1)) {
                    let range = lo..(lo + most).min(n);
                    let z = &mut z[..range.len() * v];
                    let (stats, peaks) = rows.split_at_mut(range.len() * 4);
                    let (stats, _) = stats.as_chunks_mut();
                    let mut block = Block { head: self, rows: range, z, stats, peaks };
                    block.logits();
                    f(&mut block);
                }
            });
        });
    }
}

/// Some rows, and the exponentials of their logits: chunk after chunk of the vocabulary, each `[rows, its columns]`.
struct Block<'a, R> {
    head: &'a Head<'a, R>,
    rows: Range<usize>,
    z: &'a mut [R],
    /// Of each row: the largest logit so far, the sum of exp(z - largest), the sum of z, and z of the target. After the
    /// last chunk, the first is log sum exp. The third is there only where labels are smoothed.
    stats: &'a mut [[R; 4]],
    /// `[chunks, rows]`: what was taken from the logits of a chunk before their exponentials.
    peaks: &'a mut [R],
}

/// The columns of the chunks of a vocabulary.
fn chunks(vocab: usize) -> impl Iterator<Item = Range<usize>> {
    (0..vocab).step_by(CHUNK).map(move |lo| lo..(lo + CHUNK).min(vocab))
}

impl<R: Real> Block<'_, R> {
    /// The rows of x.
    fn x(&self) -> Mat<'_, R> {
        let (d, n) = (self.head.width, self.rows.len());
        Mat::new(&self.head.x[self.rows.start * d..][..n * d], n, d)
    }

    /// The logits, what the losses need of them, and their exponentials.
    fn logits(&mut self) {
        let (n, d) = (self.rows.len(), self.head.width);
        self.stats.fill([R::from_f64(f64::NEG_INFINITY), R::ZERO, R::ZERO, R::ZERO]);
        for columns in chunks(self.head.vocab) {
            let wide = columns.len();
            let epilogue =
                self.head.bias.map_or(Epilogue::None, |b| Epilogue::Bias(&b[columns.clone()]));
            let mut z = std::mem::take(&mut self.z);
            let chunk = &mut z[columns.start * n..][..wide * n];
            let weight = &self.head.weight[columns.start * d..columns.end * d];
            let (weight, out) = (Mat::new(weight, wide, d).t(), MatMut::new(chunk, n, wide));
            gemm(R::ONE, self.x(), weight, R::ZERO, out, epilogue);
            let targets = self.head.targets[self.rows.clone()].chunks(GRAIN);
            let smoothed = self.head.smoothing != 0.0;
            let peaks = &mut self.peaks[columns.start / CHUNK * n..][..n];
            let rows = self.stats.chunks_mut(GRAIN).zip(peaks.chunks_mut(GRAIN)).zip(targets);
            par::each(
                chunk.chunks_mut(GRAIN * wide).zip(rows),
                |_, (z, ((stats, peaks), targets))| {
                    let rows = z.chunks_exact(wide).zip(&mut *stats).zip(targets);
                    for ((z, stats), &target) in rows {
                        if columns.contains(&(target as usize)) {
                            stats[3] = z[target as usize - columns.start];
                        }
                    }
                    dispatch(GoOn { z, wide, stats, peaks, smoothed });
                },
            );
            self.z = std::mem::take(&mut z);
        }
        for [max, sum, ..] in &mut *self.stats {
            *max += sum.ln();
        }
    }

    /// The losses of the rows.
    fn losses(&self, nll: &mut [R]) {
        let smoothing = self.head.smoothing;
        let on = R::from_f64(1.0 - smoothing);
        #[allow(clippy::cast_precision_loss, reason = "a vocabulary size, far below 2^53")]
        let everywhere = R::from_f64(smoothing / self.head.vocab as f64);
        let targets = &self.head.targets[self.rows.clone()];
        for ((nll, [lse, _, sum, at_target]), target) in
            nll.iter_mut().zip(&*self.stats).zip(targets)
        {
            *nll = match *target {
                IGNORE => R::ZERO,
                _ if smoothing == 0.0 => *lse - *at_target,
                _ => *lse - on * *at_target - everywhere * *sum,
            };
        }
    }

    /// Adds what these rows give to the gradients; the first rows write them.
    fn grads(&mut self, scale: R, grads: &mut Grads<'_, R>) {
        let (n, d, head) = (self.rows.len(), self.head.width, self.head);
        let on = scale * R::from_f64(1.0 - head.smoothing);
        #[allow(clippy::cast_precision_loss, reason = "a vocabulary size, far below 2^53")]
        let everywhere = R::from_f64(head.smoothing / head.vocab as f64);
        let gx = &mut grads.x[self.rows.start * d..][..n * d];
        for columns in chunks(head.vocab) {
            let wide = columns.len();
            let z = &mut self.z[columns.start * n..][..wide * n];
            let targets = head.targets[self.rows.clone()].chunks(GRAIN);
            let peaks = &self.peaks[columns.start / CHUNK * n..][..n];
            let rows = self.stats.chunks(GRAIN).zip(peaks.chunks(GRAIN)).zip(targets);
            par::each(z.chunks_mut(GRAIN * wide).zip(rows), |_, (z, ((stats, peaks), targets))| {
                let everywhere = scale * everywhere;
                dispatch(Gradient { z: &mut *z, wide, stats, peaks, scale, everywhere });
                for (z, &target) in z.chunks_exact_mut(wide).zip(targets) {
                    if target == IGNORE {
                        z.fill(R::ZERO);
                    } else if columns.contains(&(target as usize)) {
                        z[target as usize - columns.start] -= on;
                    }
                }
            });
            let g = Mat::new(&self.z[columns.start * n..][..wide * n], n, wide);
            let weight = Mat::new(&head.weight[columns.start * d..columns.end * d], wide, d);
            let first = |first: bool| if first { R::ZERO } else { R::ONE };
            let gx = MatMut::new(&mut *gx, n, d);
            gemm(R::ONE, g, weight, first(columns.start == 0), gx, Epilogue::None);
            let gw = &mut grads.weight[columns.start * d..columns.end * d];
            let gw = MatMut::new(gw, wide, d);
            gemm(R::ONE, g.t(), self.x(), first(self.rows.start == 0), gw, Epilogue::None);
            if let Some(gb) = &mut grads.bias {
                let (z, gb) = (&self.z[columns.start * n..][..wide * n], &mut gb[columns]);
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

/// The largest logit, the sum of exponentials and the sum of each row, over `wide` more of its logits, which become their
/// exponentials.
struct GoOn<'a, R> {
    z: &'a mut [R],
    wide: usize,
    stats: &'a mut [[R; 4]],
    peaks: &'a mut [R],
    smoothed: bool,
}

impl<R: Real> Body for GoOn<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        let some = self.stats.chunks_mut(row::TOGETHER).zip(self.peaks.chunks_mut(row::TOGETHER));
        for (z, (stats, peaks)) in self.z.chunks_mut(row::TOGETHER * self.wide).zip(some) {
            let rows = z.chunks_exact(self.wide).zip(&mut *stats);
            for ((z, [max, _, sum, _]), peak) in rows.zip(&mut *peaks) {
                if self.smoothed {
                    *sum += row::sum(z);
                }
                let here = row::max(z);
                *peak = if here > *max { here } else { *max };
            }
            for ((z, [max, total, ..]), peak) in z.chunks_exact_mut(self.wide).zip(stats).zip(peaks)
            {
                let before = if *max == *peak { R::ONE } else { M::exp(*max - *peak) };
                *total = *total * before + row::exp_in_place::<M, R>(z, *peak);
                *max = *peak;
            }
        }
    }
}

/// Exponentials times exp(peak - lse) are the softmax; that times `scale`, less what smoothing puts everywhere.
struct Gradient<'a, R> {
    z: &'a mut [R],
    wide: usize,
    stats: &'a [[R; 4]],
    peaks: &'a [R],
    scale: R,
    everywhere: R,
}

impl<R: Real> Body for Gradient<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        let rows = self.z.chunks_exact_mut(self.wide).zip(self.stats).zip(self.peaks);
        for ((z, [lse, ..]), &peak) in rows {
            let factor = self.scale * M::exp(peak - *lse);
            for z in z {
                *z = *z * factor - self.everywhere;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::cross_entropy;
    use super::super::testing::{assert_same_bits_for_any_threads, narrow, random};
    use super::*;

    // three blocks of rows, three chunks of the vocabulary, the last of each shorter
    const N: usize = 2101;
    const D: usize = 5;
    const V: usize = 601;

    fn targets() -> Vec<u32> {
        let target = |i: u32| if i.is_multiple_of(7) { IGNORE } else { i * 5 % 601 };
        (0..2101).map(target).collect()
    }

    /// nll, gx, gw, gb.
    fn fused<R: Real>(x: &[R], w: &[R], b: &[R], scale: f64) -> [Vec<R>; 4] {
        let targets = targets();
        let head = Head {
            x,
            weight: w,
            bias: Some(b),
            targets: &targets,
            width: D,
            vocab: V,
            smoothing: 0.1,
        };
        let nan = R::from_f64(f64::NAN);
        let mut out = [vec![nan; N], vec![nan; N * D], vec![nan; V * D], vec![nan; V]];
        let [nll, gx, gw, gb] = &mut out;
        with_grads(&head, scale, nll, Grads { x: gx, weight: gw, bias: Some(gb) });
        let mut alone = vec![nan; N];
        forward(&head, &mut alone);
        assert!(alone.iter().zip(&*nll).all(|(a, b)| a.to_f64() == b.to_f64()));
        out
    }

    #[test]
    fn test_linear_cross_entropy__is_its_parts_one_after_the_other() {
        let [x, w, b] = [random(N * D, 1), random(V * D, 2), random(V, 3)];
        let (targets, scale) = (targets(), 0.25);

        let [nll, gx, gw, gb] = fused(&x, &w, &b, scale);

        let (mut z, mut expected, mut lse) = (vec![0.0; N * V], vec![0.0; N], vec![0.0; N]);
        let (x, w) = (Mat::new(&x, N, D), Mat::new(&w, V, D));
        gemm(1.0, x, w.t(), 0.0, MatMut::new(&mut z, N, V), Epilogue::Bias(&b));
        cross_entropy::forward(&z, &targets, V, 0.1, &mut expected, &mut lse);
        let mut g = vec![0.0; N * V];
        cross_entropy::backward(&z, &targets, V, 0.1, &lse, &vec![scale; N], &mut g);
        let mut eb = vec![0.0; V];
        (0..N * V).for_each(|i| eb[i % V] += g[i]);
        let g = Mat::new(&g, N, V);
        let (mut ex, mut ew) = (vec![0.0; N * D], vec![0.0; V * D]);
        gemm(1.0, g, w, 0.0, MatMut::new(&mut ex, N, D), Epilogue::None);
        gemm(1.0, g.t(), x, 0.0, MatMut::new(&mut ew, V, D), Epilogue::None);
        for (got, expected) in [(nll, expected), (gx, ex), (gw, ew), (gb, eb)] {
            assert!(got.iter().zip(&expected).all(|(a, b): (&f64, &f64)| (a - b).abs() < 1e-12));
        }
    }

    #[test]
    fn test_linear_cross_entropy__same_bits_for_any_threads() {
        let [x, w, b] = [random(N * D, 1), random(V * D, 2), random(V, 3)].map(|x| narrow(&x));
        assert_same_bits_for_any_threads(|| fused(&x, &w, &b, 0.25).concat());
    }

    #[test]
    fn test_linear_cross_entropy__without_rows_the_gradients_are_zero() {
        let head = Head {
            x: &[],
            weight: &[1.0_f32; 6],
            bias: None,
            targets: &[],
            width: 2,
            vocab: 3,
            smoothing: 0.0,
        };
        let mut gw = [f32::NAN; 6];
        with_grads(&head, 1.0, &mut [], Grads { x: &mut [], weight: &mut gw, bias: None });
        assert_eq!(gw, [0.0; 6]);
    }
}
