//! Embedding: rows of a table by their ids.
//!
//! ```text
//! y[n, :]  = table[id_n, :]
//! gt[v, :] = sum over the n with id_n = v of gy[n, :]
//! ```
//!
//! Both are bound by memory. In the backward pass an id may occur many times, so tasks own ranges of table rows and
//! not of tokens: each reads all ids, which are few, and adds the rows that are its own in the order of the tokens.
//! No two tasks write to the same row and no sum depends on the number of threads.

use super::par;
use crate::Real;

/// Elements worth a task of their own.
const GRAIN: usize = 1 << 14;
/// Tasks of the backward pass: each of them reads all ids.
const RANGES: usize = 32;

/// y `[N, width]` from a table `[vocab, width]` and ids `[N]`.
///
/// # Panics
/// When the lengths do not fit together or an id is not below `vocab`.
pub fn forward<R: Real>(table: &[R], ids: &[u32], width: usize, y: &mut [R]) {
    assert_eq!(y.len(), ids.len() * width);
    if width == 0 {
        return;
    }
    check(ids, table.len() / width);
    let rows = GRAIN.div_ceil(width);
    par::chunks_mut(y, rows * width, |i, y| {
        for (y, &id) in y.chunks_exact_mut(width).zip(&ids[i * rows..]) {
            y.copy_from_slice(&table[id as usize * width..][..width]);
        }
    });
}

/// The gradient `[vocab, width]` of the table from gy `[N, width]`; with `adds`, on top of what `table_grad` holds.
///
/// # Panics
/// When the lengths do not fit together or an id is not below `vocab`.
pub fn backward<R: Real>(ids: &[u32], width: usize, gy: &[R], table_grad: &mut [R], adds: bool) {
    assert_eq!(gy.len(), ids.len() * width);
    if width == 0 {
        return;
    }
    let vocab = table_grad.len() / width;
    check(ids, vocab);
    let rows = vocab.div_ceil(RANGES).max(GRAIN.div_ceil(width));
    par::chunks_mut(table_grad, rows * width, |i, grad| {
        if !adds {
            grad.fill(R::ZERO);
        }
        let (lo, hi) = (i * rows, i * rows + grad.len() / width);
        for (gy, &id) in gy.chunks_exact(width).zip(ids) {
            let id = id as usize;
            if (lo..hi).contains(&id) {
                let row = &mut grad[(id - lo) * width..][..width];
                for (g, &gy) in row.iter_mut().zip(gy) {
                    *g += gy;
                }
            }
        }
    });
}

fn check(ids: &[u32], vocab: usize) {
    for (n, &id) in ids.iter().enumerate() {
        assert!((id as usize) < vocab, "embedding: id {id} at {n}, but the table has {vocab} rows");
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_same_bits_for_any_threads, error, narrow, random};
    use super::*;

    fn ids(n: usize, vocab: usize) -> Vec<u32> {
        (0..n).map(|i| u32::try_from(i * i % vocab).unwrap()).collect()
    }

    #[test]
    fn test_embedding__naive_loops() {
        for (n, vocab, width) in [(0, 3, 2), (1, 1, 1), (5, 3, 0), (50, 7, 3), (300, 5000, 17)] {
            let (table, gy, ids) = (random(vocab * width, 1), random(n * width, 2), ids(n, vocab));
            let mut expected = vec![];
            let mut expected_grad = vec![0.0; vocab * width];
            for (i, &id) in ids.iter().enumerate() {
                for j in 0..width {
                    expected.push(table[id as usize * width + j]);
                    expected_grad[id as usize * width + j] += gy[i * width + j];
                }
            }
            let (mut y, mut grad) = (vec![9.0; n * width], vec![9.0; vocab * width]);

            forward(&table, &ids, width, &mut y);
            backward(&ids, width, &gy, &mut grad, false);
            let mut twice = grad.clone();
            backward(&ids, width, &gy, &mut twice, true);

            assert_eq!(y, expected);
            assert!(error(&grad, &expected_grad) < 1e-14, "{n} of {vocab} x {width}");
            expected_grad.iter_mut().for_each(|g| *g *= 2.0);
            assert!(error(&twice, &expected_grad) < 1e-14, "{n} of {vocab} x {width}, added");
        }
    }

    #[test]
    #[should_panic(expected = "id 3 at 1, but the table has 3 rows")]
    fn test_embedding__id_out_of_range() {
        forward(&[0.0_f32; 6], &[2, 3], 2, &mut [0.0; 4]);
    }

    #[test]
    fn test_embedding__same_bits_for_any_threads() {
        let (n, vocab, width) = (2000, 3000, 65);
        let (gy, ids) = (narrow(&random(n * width, 3)), ids(n, vocab));
        assert_same_bits_for_any_threads(|| {
            let mut grad = vec![0.0; vocab * width];
            backward(&ids, width, &gy, &mut grad, false);
            grad
        });
    }
}
