//! The order of the training rows: a pure function of (seed, epoch).
//!
//! Nothing is carried from one epoch to the next, so resuming needs no replay, and every architecture that is trained
//! with a seed reads the same rows in the same order.

use foundry_engine::rng::{Purpose, Stream, key};

/// A permutation of the rows `0 .. n`: each row exactly once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataOrder {
    rows: Vec<u32>,
}

impl DataOrder {
    /// The order of `rows` rows in epoch `epoch` (the first is 0) of a run with `seed`: Fisher and Yates' shuffle with
    /// unbiased numbers from the stream (seed, data order, epoch).
    #[must_use]
    pub fn new(seed: u64, epoch: u64, rows: u32) -> Self {
        let mut order: Vec<u32> = (0..rows).collect();
        let mut stream = Stream::new(key(seed, Purpose::DataOrder, epoch, 0));
        for i in (1..rows).rev() {
            let j = stream.below(i + 1);
            order.swap(i as usize, j as usize);
        }
        Self { rows: order }
    }

    /// The order of the corpus.
    #[must_use]
    pub fn sequential(rows: u32) -> Self {
        Self { rows: (0..rows).collect() }
    }

    /// The corpus in `columns` contiguous columns, for truncated back-propagation through time: batch i has the i-th row
    /// of each column, in the order of the columns. The first columns have one row more where rows are left over, and
    /// they are then the last batch.
    #[must_use]
    pub fn columns(rows: u32, columns: usize) -> Self {
        let columns = u32::try_from(columns.max(1)).unwrap_or(u32::MAX);
        let (length, longer) = (rows / columns, rows % columns);
        let start = |column: u32| column * length + column.min(longer);
        let of_batch = |i: u32| {
            let there = if i < length { columns } else { longer };
            (0..there).map(move |column| start(column) + i)
        };
        Self { rows: (0..rows.div_ceil(columns)).flat_map(of_batch).collect() }
    }

    /// The rows of batch `index`; the last batch of an epoch may be smaller, and behind it there is none.
    #[must_use]
    pub fn batch(&self, index: u64, batch_size: usize) -> &[u32] {
        let begin = usize::try_from(index).unwrap_or(usize::MAX).saturating_mul(batch_size);
        let rest = self.rows.get(begin..).unwrap_or(&[]);
        &rest[..batch_size.min(rest.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_order__every_row_once_in_every_epoch() {
        for rows in [0_u32, 1, 2, 7, 1000] {
            for epoch in 0..3 {
                let mut seen = DataOrder::new(42, epoch, rows).rows;
                seen.sort_unstable();
                assert_eq!(seen, (0..rows).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn test_order__depends_on_seed_and_epoch_and_is_frozen() {
        let order = |seed, epoch| DataOrder::new(seed, epoch, 10).rows;
        assert_eq!(order(42, 0), FROZEN);
        assert_ne!(order(42, 0), order(42, 1));
        assert_ne!(order(42, 0), order(43, 0));
        assert_eq!(order(42, 1), order(42, 1));
    }

    /// Changing this changes every run: only with a new format version.
    const FROZEN: [u32; 10] = [2, 8, 6, 3, 5, 9, 1, 0, 4, 7];

    #[test]
    fn test_order__columns_are_contiguous_and_lose_nothing() {
        assert_eq!(DataOrder::columns(8, 3).rows, [0, 3, 6, 1, 4, 7, 2, 5]);
        for (rows, columns) in [(0_u32, 4_usize), (3, 4), (4, 4), (10, 3), (12, 3), (1000, 7)] {
            let order = DataOrder::columns(rows, columns);
            let batches: Vec<&[u32]> =
                (0..).map(|i| order.batch(i, columns)).take_while(|b| !b.is_empty()).collect();
            for pair in batches.windows(2) {
                let goes_on = pair[0].iter().zip(pair[1]).all(|(before, row)| before + 1 == *row);
                assert!(goes_on && pair[0].len() == columns, "{rows}, {columns}");
            }
            let mut all = batches.concat();
            all.sort_unstable();
            assert_eq!(all, (0..rows).collect::<Vec<_>>());
        }
    }

    #[test]
    fn test_order__is_uniform() {
        // Where does row 0 of 4 land, over 40,000 epochs? Each place a quarter of the time.
        let mut counts = [0_u32; 4];
        for epoch in 0..40_000 {
            let order = DataOrder::new(7, epoch, 4);
            counts[order.rows.iter().position(|row| *row == 0).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (9_700..10_300).contains(count)), "{counts:?}");
    }

    #[test]
    fn test_order__batches_cover_the_epoch() {
        let order = DataOrder::new(1, 2, 10);
        let batches: Vec<&[u32]> = (0..4).map(|i| order.batch(i, 3)).collect();
        assert_eq!(batches.iter().map(|b| b.len()).collect::<Vec<_>>(), [3, 3, 3, 1]);
        assert_eq!(batches.concat(), order.rows);
        assert!(order.batch(4, 3).is_empty() && order.batch(u64::MAX, 3).is_empty());
    }
}
