//! Packing: units of text, one after another, cut into chunks of T tokens.
//!
//! **The convention.** A chunk holds T tokens. A causal model reads tokens 0 .. T and, at position t < T - 1, predicts
//! token t + 1 of the same chunk; the last position has no target, and nothing is predicted across chunks. (So T tokens
//! give T - 1 targets, as in Hugging Face.) The shift happens in one place, the causal collator; a chunk on disk is
//! just text.
//!
//! Training text drops its last partial block, and the ledger says how many tokens that was. Held-out text drops
//! nothing: its last chunk is short, unless a single token is left, which has nothing to predict.

use super::shard::ShardWriter;
use super::{Boundary, DataError, Split};
use crate::tokenizer::{Encoded, SpecialIds};

/// The ids at the edges of a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Edges {
    before: Option<u32>,
    after: Option<u32>,
}

impl Edges {
    /// The ids for a policy.
    pub(super) fn new(boundary: Boundary, ids: SpecialIds) -> Result<Self, DataError> {
        let need = |id: Option<u32>, what: &str| {
            id.ok_or_else(|| DataError::Option {
                field: "data.boundary_token",
                reason: format!(
                    "the tokenizer has no {what} token; name one in tokenizer.special_tokens, or set boundary_token: none"
                ),
            })
        };
        Ok(match boundary {
            Boundary::None => Self::default(),
            Boundary::Eos => Self { before: None, after: Some(need(ids.end(), "eos")?) },
            Boundary::BosEos => Self {
                before: Some(need(ids.begin(), "bos")?),
                after: Some(need(ids.end(), "eos")?),
            },
        })
    }
}

/// Fills chunks.
#[derive(Debug)]
pub(super) struct Packer {
    split: Split,
    length: usize,
    edges: Edges,
    sink: ShardWriter,
    /// Tokens of the chunk that is being filled.
    ids: Vec<u32>,
    word_starts: Vec<bool>,
    counts: Packed,
}

/// What became of the tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Packed {
    pub(super) boundary_tokens: u64,
    pub(super) chunks: u64,
    pub(super) chunk_tokens: u64,
    pub(super) remainder: u64,
}

impl Packer {
    pub(super) fn new(split: Split, length: usize, edges: Edges, sink: ShardWriter) -> Self {
        let (ids, word_starts) = (Vec::with_capacity(length), Vec::with_capacity(length));
        Self { split, length, edges, sink, ids, word_starts, counts: Packed::default() }
    }

    /// Adds a piece of a unit.
    pub(super) fn push(
        &mut self,
        piece: &Encoded,
        begins: bool,
        ends: bool,
    ) -> Result<(), DataError> {
        if let Some(id) = self.edges.before.filter(|_| begins) {
            self.counts.boundary_tokens += 1;
            self.token(id, false)?;
        }
        for (id, starts) in piece.ids.iter().zip(&piece.word_starts) {
            self.token(*id, *starts)?;
        }
        if let Some(id) = self.edges.after.filter(|_| ends) {
            self.counts.boundary_tokens += 1;
            self.token(id, false)?;
        }
        Ok(())
    }

    fn token(&mut self, id: u32, starts: bool) -> Result<(), DataError> {
        self.ids.push(id);
        self.word_starts.push(starts);
        if self.ids.len() == self.length { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), DataError> {
        self.counts.chunks += 1;
        self.counts.chunk_tokens += self.ids.len() as u64;
        self.sink.push(&self.ids, &self.word_starts)?;
        self.ids.clear();
        self.word_starts.clear();
        Ok(())
    }

    /// Ends the split.
    pub(super) fn finish(mut self) -> Result<(Packed, ShardWriter), DataError> {
        if self.split != Split::Train && self.ids.len() > 1 {
            self.flush()?;
        }
        self.counts.remainder = self.ids.len() as u64;
        if self.counts.chunks == 0 {
            return Err(DataError::TooShort {
                split: self.split,
                tokens: self.counts.remainder,
                length: self.length,
            });
        }
        Ok((self.counts, self.sink))
    }
}
