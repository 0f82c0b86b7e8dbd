//! Collators: rows of token ids to the rectangles that a model reads.
//!
//! A collator is a pure function of its rows and of who they are ([`RowKeys`]): what happens to a row does not depend on
//! the batch it is in, so cutting a batch into micro-batches changes nothing.

mod causal;
mod masked;
mod spans;

pub use causal::CausalLMDataCollator;
pub use masked::MaskedLMDataCollator;

use crate::data::Chunk;

/// The label of a position that has no target. No vocabulary reaches it.
pub const IGNORE: u32 = u32::MAX;

/// Who the rows of a batch are: the key of every random choice about them.
#[derive(Clone, Copy, Debug)]
pub struct RowKeys<'a> {
    /// The seed of the run.
    pub seed: u64,
    /// The epoch, from 0.
    pub epoch: u64,
    /// The id of each row in its dataset.
    pub rows: &'a [u64],
}

/// A batch in the memory of the host: B rows of T positions, row by row, padded on the right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostBatch {
    /// B, the number of rows.
    pub batch: usize,
    /// T, the length of the longest row.
    pub time: usize,
    /// The id of each row in its dataset, (B).
    pub rows: Vec<u64>,
    /// What the model reads, (B, T).
    pub ids: Vec<u32>,
    /// 1 where a position holds a token and 0 where it is padding, (B, T).
    pub mask: Vec<u32>,
    /// Tokens in each row, (B).
    pub lengths: Vec<u32>,
    /// What the model must predict at each position, or [`IGNORE`], (B, T). Already shifted: the loss at t compares the
    /// logits at t with the label at t, and nothing after the collator shifts again.
    pub labels: Vec<u32>,
    /// Where few positions have a target: which, as places in `labels`. The output layer then looks at no others.
    pub predicted: Option<Vec<u32>>,
    /// Tokens read: the ones of the mask.
    pub real_tokens: u64,
    /// Targets: labels that are not [`IGNORE`]. The loss is a mean over these.
    pub targets: u64,
    /// Words whose first token is read.
    pub words: u64,
}

/// Turns rows into a batch.
pub trait Collator: Send + Sync {
    /// The batch of `chunks`, whose identities are `keys`, in the same order.
    ///
    /// # Panics
    /// If there are not as many keys as chunks.
    fn collate(&self, keys: RowKeys<'_>, chunks: &[Chunk]) -> HostBatch;
}
