//! Dropout (Srivastava et al. 2014) whose mask is a function of what is dropped, and is never stored.
//!
//! ```text
//! y_i = m_i x_i,    gx_i = m_i gy_i,    m_i = 1/(1 - p) with probability 1 - p, else 0
//! ```
//!
//! m_i is a pure function of a key (made from seed, purpose, step and site by the caller), of the sample (its index in
//! the batch that one update is made of) and of the position inside the sample. So the backward pass makes the same
//! mask again, a resumed run continues with the same masks, and neither the cut of a batch into micro-batches nor its
//! padding to a longer length changes the mask of any element.
//!
//! The random words are those of Philox: word w of the block with counter `[8 g + l, row, head, sample]` decides on
//! position 32 g + 8 w + l of its row (the order in which eight vector lanes, a block in each, hold them).
//! A tensor has one row a sample; attention probabilities have a row per head and query, with the key as position.
//! An element is dropped where its word is below p 2^32. Memory traffic: x in, y out, and about a nanosecond of
//! arithmetic an element.

use super::par;
use super::vector::{Body, Math, dispatch};
use crate::Real;

/// Positions that one group of eight Philox blocks decides on.
const GROUP: usize = 32;
/// Elements worth a task of their own.
const GRAIN: usize = 1 << 14;

/// A dropout layer in one training step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    key: [u32; 2],
    /// Words below it drop.
    threshold: u32,
    /// 1 / (1 - p).
    scale: f64,
}

/// The row of a mask: which sample it belongs to, and which head and row of the sample (0 where there is but one).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskRow {
    /// Index of the sample in the batch of the update.
    pub sample: u32,
    /// The attention head.
    pub head: u32,
    /// The query position.
    pub row: u32,
}

impl Dropout {
    /// Dropout with probability `p` under a key made of seed, purpose, step and site.
    ///
    /// # Panics
    /// When `p` is not in [0, 1).
    #[must_use]
    pub fn new(key: [u32; 2], p: f64) -> Self {
        assert!((0.0..1.0).contains(&p), "dropout probability {p} is not in [0, 1)");
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "p is in [0, 1)"
        )]
        let threshold = (p * 4_294_967_296.0) as u32;
        Self { key, threshold, scale: 1.0 / (1.0 - p) }
    }

    /// Key, threshold and scale: what a kernel elsewhere needs for the same mask.
    pub(crate) fn parts(&self) -> ([u32; 2], u32, f64) {
        (self.key, self.threshold, self.scale)
    }

    /// The factors m of positions `start..start + m.len()` of a row.
    pub fn factors<R: Real>(&self, at: MaskRow, start: usize, m: &mut [R]) {
        dispatch(Factors { dropout: self, at, start, m });
    }

    /// Calls `f(i, factors)` for the factors of positions `start + i ..`, some at a time.
    #[inline(always)]
    pub(super) fn in_pieces<M: Math, R: Real>(
        &self,
        at: MaskRow,
        start: usize,
        len: usize,
        mut f: impl FnMut(usize, &[R]),
    ) {
        let (scale, mut done) = (R::from_f64(self.scale), 0);
        while done < len {
            let (group, skip) = ((start + done) / GROUP, (start + done) % GROUP);
            let last = u32::try_from(8 * group + 15).expect("a row of fewer than 2^34");
            let words = M::philox(self.key, last - 15, [at.row, at.head, at.sample]);
            let mut factors = [[R::ZERO; GROUP]; 2];
            for (factors, words) in factors.iter_mut().zip(&words) {
                for (m, &word) in factors.iter_mut().zip(words.as_flattened()) {
                    *m = if word < self.threshold { R::ZERO } else { scale };
                }
            }
            let take = (2 * GROUP - skip).min(len - done);
            f(done, &factors.as_flattened()[skip..skip + take]);
            done += take;
        }
    }
}

struct Factors<'a, R> {
    dropout: &'a Dropout,
    at: MaskRow,
    start: usize,
    m: &'a mut [R],
}

impl<R: Real> Body for Factors<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        self.dropout.in_pieces::<M, R>(self.at, self.start, self.m.len(), |lo, factors| {
            self.m[lo..lo + factors.len()].copy_from_slice(factors);
        });
    }
}

/// y = m x for positions from `start` of a row.
struct Scale<'a, R> {
    dropout: &'a Dropout,
    at: MaskRow,
    start: usize,
    x: &'a [R],
    y: &'a mut [R],
}

impl<R: Real> Body for Scale<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        self.dropout.in_pieces::<M, R>(self.at, self.start, self.x.len(), |lo, factors| {
            let part = lo..lo + factors.len();
            let (x, y) = (&self.x[part.clone()], &mut self.y[part]);
            for ((y, &x), &m) in y.iter_mut().zip(x).zip(factors) {
                *y = m * x;
            }
        });
    }
}

/// y = dropout of x, both `[samples, sample_len]`; the first of them is sample `first_sample` of its batch.
///
/// # Panics
/// When the slices differ in length or are not whole samples.
pub fn forward<R: Real>(
    x: &[R],
    dropout: &Dropout,
    first_sample: u32,
    sample_len: usize,
    y: &mut [R],
) {
    assert_eq!(x.len(), y.len());
    assert_eq!(x.len() % sample_len.max(1), 0, "dropout: not whole samples of {sample_len}");
    par::chunks_mut(y, GRAIN, |i, y| {
        let mut done = 0;
        while done < y.len() {
            let at = i * GRAIN + done;
            let (sample, start) = (at / sample_len, at % sample_len);
            let sample = u32::try_from(sample).expect("fewer than 2^32 samples");
            let row = MaskRow { sample: first_sample + sample, head: 0, row: 0 };
            let take = (sample_len - start).min(y.len() - done);
            let (x, y) = (&x[at..at + take], &mut y[done..done + take]);
            dispatch(Scale { dropout, at: row, start, x, y });
            done += take;
        }
    });
}

/// gx of [`forward`]: the map is linear and symmetric, so it is the same map, with the same mask.
///
/// # Panics
/// As [`forward`].
pub fn backward<R: Real>(
    gy: &[R],
    dropout: &Dropout,
    first_sample: u32,
    sample_len: usize,
    gx: &mut [R],
) {
    forward(gy, dropout, first_sample, sample_len, gx);
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_same_bits_for_any_threads, narrow, random};
    use super::*;
    use crate::philox::philox;

    fn dropped(x: &[f64], first_sample: u32, sample_len: usize) -> Vec<f64> {
        let mut y = vec![9.0; x.len()];
        forward(x, &Dropout::new([5, 6], 0.25), first_sample, sample_len, &mut y);
        y
    }

    /// The mask as the module's documentation defines it, one word at a time.
    #[test]
    fn test_dropout__the_documented_words() {
        let (samples, len) = (3, 1001);
        let x = vec![3.0; samples * len];

        let y = dropped(&x, 7, len);

        for (i, &y) in y.iter().enumerate() {
            let index = |n: usize| u32::try_from(n).unwrap();
            let (sample, at) = (7 + index(i / len), i % len);
            let counter = [index(at / 32 * 8 + at % 8), 0, 0, sample];
            let word = philox([5, 6], counter)[at % 32 / 8];
            assert_eq!(y, if f64::from(word) < 0.25 * 4_294_967_296.0 { 0.0 } else { 4.0 });
        }
    }

    #[test]
    fn test_dropout__a_cut_batch_has_the_same_mask() {
        let x = random(4 * 1003, 1);

        let whole = dropped(&x, 0, 1003);
        let halves = [dropped(&x[..2006], 0, 1003), dropped(&x[2006..], 2, 1003)].concat();

        assert_eq!(whole, halves);
    }

    #[test]
    fn test_dropout__a_longer_sample_begins_with_the_same_mask() {
        let (short, long) =
            (dropped(&vec![1.0; 2 * 70], 0, 70), dropped(&vec![1.0; 2 * 99], 0, 99));

        assert_eq!(short[..70], long[..70]);
        assert_eq!(short[70..], long[99..99 + 70]);
    }

    #[test]
    fn test_dropout__factors_from_any_position() {
        let at = MaskRow { sample: 3, head: 2, row: 1 };
        let dropout = Dropout::new([1, 2], 0.5);
        let mut all = vec![0.0_f32; 200];
        dropout.factors(at, 0, &mut all);
        for start in [1, 31, 32, 77] {
            let mut part = vec![9.0_f32; 90];
            dropout.factors(at, start, &mut part);
            assert_eq!(part, all[start..start + 90]);
        }
    }

    #[test]
    fn test_dropout__rates() {
        let n = 100_000;
        for p in [0.0, 0.1, 0.5, 0.999] {
            let mut y = vec![0.0_f64; n];
            forward(&vec![1.0; n], &Dropout::new([3, 4], p), 0, n, &mut y);
            let kept = y.iter().filter(|y| **y != 0.0).count() as f64 / n as f64;
            // five standard deviations of a binomial
            assert!(
                (kept - (1.0 - p)).abs() <= 5.0 * (p * (1.0 - p) / n as f64).sqrt(),
                "{p}: {kept}"
            );
        }
    }

    #[test]
    fn test_dropout__backward_has_the_mask_of_forward() {
        let x = vec![1.0_f32; 3000];
        let dropout = Dropout::new([8, 9], 0.3);
        let (mut y, mut gx) = (vec![0.0; 3000], vec![0.0; 3000]);

        forward(&x, &dropout, 1, 1000, &mut y);
        backward(&x, &dropout, 1, 1000, &mut gx);

        assert_eq!(y, gx);
    }

    #[test]
    fn test_dropout__same_bits_for_any_threads() {
        let x = narrow(&random(100_003, 2));
        assert_same_bits_for_any_threads(|| {
            let mut y = vec![0.0; x.len()];
            forward(&x, &Dropout::new([1, 1], 0.1), 0, x.len(), &mut y);
            y
        });
    }
}
