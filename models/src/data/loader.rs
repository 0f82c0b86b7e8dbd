//! Batches, in an order that is known beforehand.
//!
//! Batch `index` of epoch `epoch` is a pure function of (seed, epoch, index, batch size): [`Loader::batch`] makes it
//! from nothing, so a run resumes at a [`Position`] without reading what came before. [`Loader::prefetch`] makes the
//! same batches ahead of time on other threads: worker k of n makes every n-th batch and the reader takes them in turn,
//! so neither their number nor their speed can change the order.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::{ChunkStore, DataError, DataOrder};
use crate::collate::{Collator, HostBatch, RowKeys};

/// Batches that a worker may be ahead.
const AHEAD: usize = 2;

/// Where a run stands in its data: all there is to save for resuming.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// The epoch, from 0.
    pub epoch: u64,
    /// The next batch of it, from 0.
    pub batch: u64,
}

/// The order in which rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Shuffled,
    Sequential,
    Columns,
}

/// Makes batches of a store.
pub struct Loader {
    store: Arc<ChunkStore>,
    collator: Arc<dyn Collator>,
    seed: u64,
    batch_size: usize,
    rows: u32,
    order: Order,
    /// The order of the epoch in use.
    epoch: Mutex<Option<(u64, Arc<DataOrder>)>>,
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader")
            .field("split", &self.store.split())
            .field("rows", &self.rows)
            .field("batch_size", &self.batch_size)
            .field("order", &self.order)
            .finish_non_exhaustive()
    }
}

impl Loader {
    /// Batches for training: shuffled anew in every epoch.
    ///
    /// # Errors
    /// A batch size of 0, and more rows than 32 bits count.
    pub fn shuffled(
        store: Arc<ChunkStore>,
        collator: Arc<dyn Collator>,
        batch_size: usize,
        seed: u64,
    ) -> Result<Self, DataError> {
        Self::new(store, collator, batch_size, seed, Order::Shuffled)
    }

    /// Batches for evaluation: in the order of the corpus.
    ///
    /// # Errors
    /// As [`shuffled`](Self::shuffled).
    pub fn sequential(
        store: Arc<ChunkStore>,
        collator: Arc<dyn Collator>,
        batch_size: usize,
        seed: u64,
    ) -> Result<Self, DataError> {
        Self::new(store, collator, batch_size, seed, Order::Sequential)
    }

    /// Batches for truncated back-propagation through time: the corpus in `batch_size` contiguous columns, of which a
    /// batch has the next row each; the same in every epoch.
    ///
    /// # Errors
    /// As [`shuffled`](Self::shuffled).
    pub fn columns(
        store: Arc<ChunkStore>,
        collator: Arc<dyn Collator>,
        batch_size: usize,
        seed: u64,
    ) -> Result<Self, DataError> {
        Self::new(store, collator, batch_size, seed, Order::Columns)
    }

    fn new(
        store: Arc<ChunkStore>,
        collator: Arc<dyn Collator>,
        batch_size: usize,
        seed: u64,
        order: Order,
    ) -> Result<Self, DataError> {
        let rows = u32::try_from(store.len()).map_err(|_| DataError::Option {
            field: "data.max_sequence_length",
            reason: format!(
                "{} chunks are more than can be counted; make them longer",
                store.len()
            ),
        })?;
        if batch_size == 0 {
            return Err(DataError::Option { field: "data.batch_size", reason: "it is 0".into() });
        }
        Ok(Self { store, collator, seed, batch_size, rows, order, epoch: Mutex::new(None) })
    }

    /// The rows that batches are made of.
    #[must_use]
    pub fn store(&self) -> &Arc<ChunkStore> {
        &self.store
    }

    /// Batches in an epoch, a smaller last one included.
    #[must_use]
    pub fn batches_per_epoch(&self) -> u64 {
        u64::from(self.rows).div_ceil(self.batch_size as u64)
    }

    /// The position behind `position`.
    #[must_use]
    pub fn next(&self, position: Position) -> Position {
        if position.batch + 1 >= self.batches_per_epoch() {
            Position { epoch: position.epoch + 1, batch: 0 }
        } else {
            Position { batch: position.batch + 1, ..position }
        }
    }

    /// Makes the batch at `position`; empty behind the last batch of an epoch.
    ///
    /// # Errors
    /// A damaged file of the cache.
    pub fn batch(&self, position: Position) -> Result<HostBatch, DataError> {
        let order = self.order(position.epoch);
        let rows: Vec<u64> = order
            .batch(position.batch, self.batch_size)
            .iter()
            .map(|row| u64::from(*row))
            .collect();
        let chunks =
            rows.iter().map(|row| self.store.chunk(*row)).collect::<Result<Vec<_>, _>>()?;
        let keys = RowKeys { seed: self.seed, epoch: position.epoch, rows: &rows };
        Ok(self.collator.collate(keys, &chunks))
    }

    fn order(&self, epoch: u64) -> Arc<DataOrder> {
        let mut kept = self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.as_ref() {
            Some((of, order)) if *of == epoch || self.order != Order::Shuffled => order.clone(),
            _ => {
                let order = Arc::new(match self.order {
                    Order::Shuffled => DataOrder::new(self.seed, epoch, self.rows),
                    Order::Sequential => DataOrder::sequential(self.rows),
                    Order::Columns => DataOrder::columns(self.rows, self.batch_size),
                });
                *kept = Some((epoch, order.clone()));
                order
            }
        }
    }

    /// The batches of one epoch in order.
    pub fn epoch(&self, epoch: u64) -> impl Iterator<Item = Result<HostBatch, DataError>> + '_ {
        (0..self.batches_per_epoch()).map(move |batch| self.batch(Position { epoch, batch }))
    }

    /// All batches from `from` on, epoch after epoch without end, made ahead on `workers` threads (0: none).
    #[must_use]
    pub fn prefetch(self: Arc<Self>, from: Position, workers: usize) -> Prefetch {
        let mut queues = Vec::with_capacity(workers);
        let mut threads = Vec::with_capacity(workers);
        let mut start = from;
        for worker in 0..workers {
            let (sender, receiver) = sync_channel(AHEAD);
            let loader = self.clone();
            let position = start;
            let thread = std::thread::Builder::new().name(format!("batches-{worker}"));
            // Where the system has no more threads, its reader is told so (DataError::Thread).
            if let Ok(thread) = thread.spawn(move || work(&loader, position, workers, &sender)) {
                threads.push(thread);
            }
            queues.push(receiver);
            start = self.next(start);
        }
        Prefetch { loader: self, position: from, taken: 0, queues, threads }
    }
}

/// Makes every `stride`-th batch until nobody takes them.
fn work(
    loader: &Loader,
    mut position: Position,
    stride: usize,
    queue: &SyncSender<Result<HostBatch, DataError>>,
) {
    loop {
        let batch = loader.batch(position);
        let last = batch.is_err();
        if queue.send(batch).is_err() || last {
            return;
        }
        for _ in 0..stride {
            position = loader.next(position);
        }
    }
}

/// Batches that are made ahead; see [`Loader::prefetch`].
#[derive(Debug)]
pub struct Prefetch {
    loader: Arc<Loader>,
    position: Position,
    taken: usize,
    queues: Vec<Receiver<Result<HostBatch, DataError>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Prefetch {
    /// The position of the batch that [`take`](Self::take) gives next: what a checkpoint saves.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// The next batch.
    ///
    /// # Errors
    /// A damaged file of the cache, or a thread that died.
    pub fn take(&mut self) -> Result<HostBatch, DataError> {
        let batch = if self.queues.is_empty() {
            self.loader.batch(self.position)?
        } else {
            let queue = &self.queues[self.taken % self.queues.len()];
            queue.recv().map_err(|_| DataError::Thread)??
        };
        self.taken += 1;
        self.position = self.loader.next(self.position);
        Ok(batch)
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        // Closing the queues is what ends the threads.
        self.queues.clear();
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests;
