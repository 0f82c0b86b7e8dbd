//! How many tokens or words a run has seen after each update: known before it begins, since the data order is a function
//! of the seed and the epoch.

use super::run_length::RunLength;
use crate::config::choices::CheckpointUnit;
use crate::data::{ChunkStore, DataError, DataOrder};

/// What an epoch holds, and what has been seen after each update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Tokens or words in an epoch.
    pub per_epoch: u64,
    /// After update 1, 2, 3 ...
    pub after: Vec<u64>,
}

/// The order in which rows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOrder {
    /// Shuffled anew in every epoch, with this seed.
    Shuffled(u64),
    /// In columns, for a model that is stateful.
    Columns,
}

impl Counts {
    /// Counts tokens (padding apart) or words (by their first token) in the rows that each update of `run` reads.
    ///
    /// # Errors
    /// A damaged file of the cache.
    pub fn new(
        chunks: &ChunkStore,
        unit: CheckpointUnit,
        run: &RunLength,
        order: RowOrder,
        batch_size: usize,
        accumulation: usize,
    ) -> Result<Self, DataError> {
        let rows: Vec<u64> = (0..chunks.len())
            .map(|id| {
                let chunk = chunks.chunk(id)?;
                Ok(match unit {
                    CheckpointUnit::Words => chunk.word_starts.iter().filter(|w| **w).count(),
                    CheckpointUnit::Tokens | CheckpointUnit::Steps => chunk.ids.len(),
                } as u64)
            })
            .collect::<Result<_, DataError>>()?;
        Ok(Self::of_rows(&rows, run, order, batch_size, accumulation))
    }

    fn of_rows(
        rows: &[u64],
        run: &RunLength,
        order: RowOrder,
        batch_size: usize,
        accumulation: usize,
    ) -> Self {
        let n = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        // No window spans two epochs; the last one of an epoch may be short.
        let window = batch_size.max(1).saturating_mul(accumulation.max(1));
        let (mut after, mut seen) = (Vec::new(), 0u64);
        let mut left = run.total_steps;
        let mut epoch = 0;
        while left > 0 && !rows.is_empty() {
            let order = match order {
                RowOrder::Shuffled(seed) => DataOrder::new(seed, epoch, n),
                RowOrder::Columns => DataOrder::columns(n, batch_size),
            };
            for index in 0..left.min(run.steps_per_epoch) {
                let counts =
                    order.batch(index, window).iter().filter_map(|&row| rows.get(row as usize));
                seen += counts.sum::<u64>();
                after.push(seen);
            }
            left = left.saturating_sub(run.steps_per_epoch);
            epoch += 1;
        }
        Self { per_epoch: rows.iter().sum(), after }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::run_length::EndsBy;

    #[test]
    fn test_counts__follow_the_windows_of_the_run() {
        // Five rows in two columns, so micro-batches [0, 3], [1, 4], [2], two of them in a window.
        let rows = [1, 10, 100, 1000, 10_000];
        let run = RunLength {
            batches_per_epoch: 3,
            steps_per_epoch: 2,
            total_steps: 5,
            ends_by: EndsBy::TrainSteps,
        };
        let counts = Counts::of_rows(&rows, &run, RowOrder::Columns, 2, 2);
        assert_eq!(counts.per_epoch, 11_111);
        assert_eq!(counts.after, [11_011, 11_111, 22_122, 22_222, 33_233]);
        let shuffled = Counts::of_rows(&rows, &run, RowOrder::Shuffled(3), 2, 2).after;
        assert_eq!((shuffled[1], shuffled[3], shuffled.len()), (11_111, 22_222, 5));
        let last: u32 = DataOrder::new(3, 0, 5).batch(1, 4)[0];
        assert_eq!(shuffled[1] - shuffled[0], rows[last as usize]);
    }
}
