//! The one place that splits work over threads.
//!
//! Work is cut into pieces whose size depends on the problem and never on the number of threads, and partial
//! results are combined in the order of the pieces: so every result has the same bits for any number of threads.
//! The threads are those of the rayon pool that the caller runs in (`ThreadPool::install`).

use rayon::prelude::*;

/// Calls `f(i, piece)` for the pieces of `chunk` elements of `y` (the last may be shorter), i = 0, 1, ...
///
/// `chunk` must be positive. A single piece runs on the calling thread, at no cost.
pub fn chunks_mut<T: Send>(y: &mut [T], chunk: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    if y.len() <= chunk {
        if !y.is_empty() {
            f(0, y);
        }
    } else {
        y.par_chunks_mut(chunk).enumerate().for_each(|(i, piece)| f(i, piece));
    }
}

/// Calls `f(lo, hi)` for consecutive ranges of at most `grain` that cover `0..n`.
pub fn ranges(n: usize, grain: usize, f: impl Fn(usize, usize) + Sync) {
    let grain = grain.max(1);
    if n <= grain {
        if n > 0 {
            f(0, n);
        }
    } else {
        (0..n.div_ceil(grain)).into_par_iter().for_each(|i| f(i * grain, ((i + 1) * grain).min(n)));
    }
}

/// The sum of `f(lo, hi)` over consecutive ranges of `grain` that cover `0..n`, added in the order of the ranges.
pub fn sum(n: usize, grain: usize, f: impl Fn(usize, usize) -> f64 + Sync) -> f64 {
    let grain = grain.max(1);
    let part = |i: usize| f(i * grain, ((i + 1) * grain).min(n));
    let pieces = n.div_ceil(grain);
    if pieces <= 1 {
        return if n == 0 { 0.0 } else { f(0, n) };
    }
    (0..pieces).into_par_iter().map(part).collect::<Vec<_>>().into_iter().fold(0.0, |a, b| a + b)
}
