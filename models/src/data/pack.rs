//! Packing: units of text to rows ("chunks") of at most T tokens.
//!
//! **The convention.** A row holds at most T tokens. A causal model reads tokens 0 .. T and, at position t < T - 1,
//! predicts token t + 1 of the same row; the last position has no target, and nothing is predicted across rows. (So T
//! tokens give T - 1 targets, as in Hugging Face.) The shift happens in one place, the causal collator; a row on disk is
//! just text.
//!
//! ```text
//! lines       "a b c"  "d"  "e f g h i"                    T = 4, boundary token |
//! pack        a b c |    d | e f    g h i |                all lines one after another, cut into blocks of T
//! sentence    | a b c    | d |      | e f g                a row a line; what is beyond T is dropped
//! drop_short  a b c |               e f g h                each line cut into blocks of T; what is left over is dropped
//! ```
//!
//! - `pack`: training text drops its last partial block. Held-out text drops nothing: its last row is short, unless a
//!   single token is left, which has nothing to predict.
//! - `sentence`: a boundary token stands on both sides of the line, as around a line in the packed stream, so that every
//!   token of the line is a target and the targets are those of `pack`. A line of a single token, which has nothing to
//!   predict, is dropped.
//! - `drop_short`: rows of exactly T tokens that never join two lines. Most corpora of utterances lose most of their
//!   text by it.
//!
//! The ledger counts every token that is dropped, by reason. A [`Frame`] of two tokens around each row is BERT's.

use super::shard::ShardWriter;
use super::{Boundary, DataError, Frame, Packing, Split};
use crate::tokenizer::{Encoded, SpecialIds};

/// How rows are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    packing: Packing,
    /// Tokens of a row between the tokens of its frame.
    room: usize,
    /// The ids at the edges of a unit.
    before: Option<u32>,
    after: Option<u32>,
    /// The ids at the edges of a row.
    frame: Option<(u32, u32)>,
}

impl Layout {
    /// The layout of rows of at most `length` tokens, with the ids of a tokenizer.
    pub(super) fn new(
        packing: Packing,
        length: usize,
        boundary: Boundary,
        frame: Frame,
        ids: SpecialIds,
    ) -> Result<Self, DataError> {
        let need = |id: Option<u32>, field, what: &str, mend: &str| {
            let reason = || {
                format!(
                    "the tokenizer has no {what} token; name one in tokenizer.special_tokens{mend}"
                )
            };
            id.ok_or_else(|| DataError::Option { field, reason: reason() })
        };
        let edge =
            |id, what| need(id, "data.boundary_token", what, ", or set boundary_token: none");
        let frame = match frame {
            Frame::None => None,
            Frame::ClsSep => {
                let of = |id, what| need(id, "tokenizer.special_tokens", what, "");
                let first = of(ids.cls.or(ids.bos), "cls (or bos)")?;
                Some((first, of(ids.sep.or(ids.eos), "sep (or eos)")?))
            }
        };
        let alone = packing == Packing::Sentence;
        let (before, after) = match boundary {
            // The frame of a row is the boundary of the one line in it.
            _ if alone && frame.is_some() => (None, None),
            Boundary::None => (None, None),
            Boundary::Eos => {
                let eos = edge(ids.end(), "eos")?;
                (alone.then_some(eos), Some(eos))
            }
            Boundary::BosEos => (Some(edge(ids.begin(), "bos")?), Some(edge(ids.end(), "eos")?)),
        };
        let room = length.saturating_sub(if frame.is_some() { 2 } else { 0 });
        Ok(Self { packing, room, before, after, frame })
    }

    /// The fewest tokens between the edges of a row that give it something to predict.
    fn least(&self) -> usize {
        if self.frame.is_some() { 1 } else { 2 }
    }
}

/// Fills rows.
#[derive(Debug)]
pub(super) struct Packer {
    split: Split,
    layout: Layout,
    sink: ShardWriter,
    /// Tokens of the row that is being filled.
    ids: Vec<u32>,
    word_starts: Vec<bool>,
    /// Tokens of the current unit: all, and those beyond its row.
    unit: u64,
    beyond: u64,
    longest: u64,
    counts: Packed,
}

/// What became of the tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Packed {
    pub(super) boundary_tokens: u64,
    pub(super) frame_tokens: u64,
    pub(super) chunks: u64,
    pub(super) chunk_tokens: u64,
    pub(super) remainder: u64,
    pub(super) short_units: u64,
    pub(super) short_tokens: u64,
    pub(super) cut_units: u64,
    pub(super) cut_tokens: u64,
}

impl Packer {
    pub(super) fn new(split: Split, layout: Layout, sink: ShardWriter) -> Self {
        Self {
            split,
            layout,
            sink,
            ids: Vec::new(),
            word_starts: Vec::new(),
            unit: 0,
            beyond: 0,
            longest: 0,
            counts: Packed::default(),
        }
    }

    /// Adds a piece of a unit.
    pub(super) fn push(
        &mut self,
        piece: &Encoded,
        begins: bool,
        ends: bool,
    ) -> Result<(), DataError> {
        if begins {
            self.edge(self.layout.before)?;
        }
        self.tokens(piece)?;
        if ends {
            self.edge(self.layout.after)?;
            self.end_unit()?;
        }
        Ok(())
    }

    /// Adds a unit that was tokenized before, which may have its boundary tokens already.
    pub(super) fn push_row(&mut self, row: &Encoded) -> Result<(), DataError> {
        let Layout { before, after, .. } = self.layout;
        self.edge(before.filter(|id| row.ids.first() != Some(id)))?;
        self.tokens(row)?;
        self.edge(after.filter(|id| row.ids.last() != Some(id)))?;
        self.end_unit()
    }

    fn tokens(&mut self, piece: &Encoded) -> Result<(), DataError> {
        let mut tokens = piece.ids.iter().zip(&piece.word_starts);
        tokens.try_for_each(|(id, starts)| self.token(*id, *starts))
    }

    fn edge(&mut self, id: Option<u32>) -> Result<(), DataError> {
        let Some(id) = id else { return Ok(()) };
        self.counts.boundary_tokens += 1;
        self.token(id, false)
    }

    fn token(&mut self, id: u32, starts: bool) -> Result<(), DataError> {
        self.unit += 1;
        let alone = self.layout.packing == Packing::Sentence;
        if alone && self.ids.len() == self.layout.room {
            self.beyond += 1;
            return Ok(());
        }
        self.ids.push(id);
        self.word_starts.push(starts);
        if !alone && self.ids.len() == self.layout.room { self.flush() } else { Ok(()) }
    }

    fn end_unit(&mut self) -> Result<(), DataError> {
        let unit = std::mem::take(&mut self.unit);
        self.longest = self.longest.max(unit);
        match self.layout.packing {
            Packing::Pack => return Ok(()),
            Packing::Sentence if self.ids.len() >= self.layout.least() => self.flush()?,
            Packing::Sentence | Packing::DropShort => {}
        }
        let left = self.ids.len() as u64;
        self.ids.clear();
        self.word_starts.clear();
        if left == unit && unit > 0 {
            self.counts.short_units += 1;
            self.counts.short_tokens += unit;
            return Ok(());
        }
        let cut = left + std::mem::take(&mut self.beyond);
        self.counts.cut_units += u64::from(cut > 0);
        self.counts.cut_tokens += cut;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DataError> {
        if let Some((first, last)) = self.layout.frame {
            self.counts.frame_tokens += 2;
            self.ids.insert(0, first);
            self.ids.push(last);
            self.word_starts.insert(0, false);
            self.word_starts.push(false);
        }
        self.counts.chunks += 1;
        self.counts.chunk_tokens += self.ids.len() as u64;
        self.sink.push(&self.ids, &self.word_starts)?;
        self.ids.clear();
        self.word_starts.clear();
        Ok(())
    }

    /// Ends the split.
    pub(super) fn finish(mut self) -> Result<(Packed, ShardWriter), DataError> {
        if self.split != Split::Train && self.ids.len() >= self.layout.least() {
            self.flush()?;
        }
        self.counts.remainder = self.ids.len() as u64;
        if self.counts.chunks == 0 {
            let (split, length) = (self.split, self.layout.room);
            return Err(match self.layout.packing {
                Packing::Pack => {
                    DataError::TooShort { split, tokens: self.counts.remainder, length }
                }
                packing => DataError::NoRow { split, packing, length, longest: self.longest },
            });
        }
        Ok((self.counts, self.sink))
    }
}
