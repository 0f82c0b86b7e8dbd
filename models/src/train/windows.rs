//! Training data in accumulation windows: which rows an update sees.

use crate::collate::HostBatch;
use crate::data::{DataError, Loader, Position, Prefetch};
use std::sync::{Arc, Mutex, PoisonError};

/// The data of a run. An epoch is cut into micro-batches in the order of (seed, epoch), and these into windows of
/// `accumulation`; the last window of an epoch may be shorter, and no window spans two epochs. So every row is seen
/// once an epoch, and where an update's rows lie follows from the number of the update.
pub struct Windows {
    train: Arc<Loader>,
    validation: Option<HeldOut>,
    accumulation: u64,
    workers: usize,
    /// Made ahead, where the last window left off.
    ahead: Mutex<Option<Prefetch>>,
}

/// The epoch of every validation. It keys what a masked model is asked for: the same tokens each time, so that two
/// validation losses can be compared, and others than in any epoch of training.
pub const VALIDATION_EPOCH: u64 = u64::MAX;

/// The held-out text.
pub struct HeldOut {
    /// Its batches.
    pub loader: Loader,
    /// Its tokens, as `DataLedger::tokens_to_predict` counts them: the loss of a token times these, shared among words or bytes, is
    /// the loss of a word or a byte.
    pub tokens: u64,
    /// Those of them that are in its rows: what is shared among the words in the rows.
    pub kept_tokens: u64,
    /// Its bytes in UTF-8, line feeds included.
    pub bytes: u64,
}

/// The micro-batches of one update.
pub struct Window {
    /// The micro-batches, in order.
    pub batches: Vec<HostBatch>,
}

impl Window {
    /// The numbers of the rows, for messages.
    #[must_use]
    pub fn rows(&self) -> Vec<u64> {
        self.batches.iter().flat_map(|b| b.rows.iter().copied()).collect()
    }
}

impl Windows {
    /// Windows of `accumulation` micro-batches (at least 1).
    #[must_use]
    pub fn new(train: Arc<Loader>, validation: Option<HeldOut>, accumulation: usize) -> Self {
        let accumulation = accumulation.max(1) as u64;
        Self { train, validation, accumulation, workers: 0, ahead: Mutex::new(None) }
    }

    /// Makes batches ahead of time on `workers` threads; 0 for none. The batches are the same.
    #[must_use]
    pub fn ahead_on(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Updates in an epoch.
    #[must_use]
    pub fn per_epoch(&self) -> u64 {
        self.train.batches_per_epoch().div_ceil(self.accumulation)
    }

    /// Where update `step + 1` begins.
    #[must_use]
    pub fn place(&self, step: u64) -> Position {
        let per_epoch = self.per_epoch().max(1);
        Position { epoch: step / per_epoch, batch: step % per_epoch * self.accumulation }
    }

    /// The micro-batches of update `step` (from 1).
    ///
    /// # Errors
    /// When the data cannot be read any more.
    pub fn window(&self, step: u64) -> Result<Window, DataError> {
        let Position { epoch, batch: first } = self.place(step.saturating_sub(1));
        let end = (first + self.accumulation).min(self.train.batches_per_epoch());
        let batches = (first..end).map(|batch| self.batch(Position { epoch, batch }));
        Ok(Window { batches: batches.collect::<Result<_, _>>()? })
    }

    /// The micro-batch at `position`: taken from those made ahead, which begin anew where they are not at `position`.
    fn batch(&self, position: Position) -> Result<HostBatch, DataError> {
        if self.workers == 0 {
            return self.train.batch(position);
        }
        let mut kept = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ahead = match kept.take() {
            Some(ahead) if ahead.position() == position => ahead,
            _ => self.train.clone().prefetch(position, self.workers),
        };
        let batch = ahead.take()?;
        *kept = Some(ahead);
        Ok(batch)
    }

    /// The held-out batches, in the order of the text; none if there is no validation text.
    pub fn validation(&self) -> impl Iterator<Item = Result<HostBatch, DataError>> + '_ {
        self.validation.iter().flat_map(|held_out| held_out.loader.epoch(VALIDATION_EPOCH))
    }

    /// What a token's loss is shared among, for `words` words in the rows: tokens a word, and tokens a byte.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub fn validation_rates(&self, words: u64) -> Option<(f64, f64)> {
        let held_out = self.validation.as_ref()?;
        let (all, kept) = (held_out.tokens as f64, held_out.kept_tokens as f64);
        Some((kept / words as f64, all / held_out.bytes as f64))
    }
}
