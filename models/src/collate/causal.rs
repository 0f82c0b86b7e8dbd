//! Batches for models that predict the next token.
//!
//! ```text
//! ids     a b c d        a b c d        label[t] = id[t + 1]   for t < length - 1
//! mask    1 1 1 1        1 1 1 0        label[t] = IGNORE      at the last token of a row and behind it
//! labels  b c d -        b c - -
//! ```
//!
//! This is the one place that shifts. Which labels count is decided by where the row ends and never by an id: a
//! tokenizer may use its eos as padding, and every real eos is still learned.

use super::{Collator, HostBatch, IGNORE, RowKeys};
use crate::data::Chunk;

/// Pads on the right and shifts the labels.
#[derive(Clone, Copy, Debug)]
pub struct CausalLMDataCollator {
    pad: u32,
}

impl CausalLMDataCollator {
    /// A collator that fills with `pad`, any id of the vocabulary; what it is changes no number.
    #[must_use]
    pub fn new(pad: u32) -> Self {
        Self { pad }
    }
}

impl Collator for CausalLMDataCollator {
    fn collate(&self, keys: RowKeys<'_>, chunks: &[Chunk]) -> HostBatch {
        assert_eq!(keys.rows.len(), chunks.len(), "a batch needs one key for each row");
        let (batch, time) =
            (chunks.len(), chunks.iter().map(|chunk| chunk.ids.len()).max().unwrap_or(0));
        let mut out = HostBatch {
            batch,
            time,
            rows: keys.rows.to_vec(),
            ids: Vec::with_capacity(batch * time),
            mask: Vec::with_capacity(batch * time),
            lengths: Vec::with_capacity(batch),
            labels: Vec::with_capacity(batch * time),
            ..HostBatch::default()
        };
        for (row, chunk) in chunks.iter().enumerate() {
            let (length, end) = (chunk.ids.len(), (row + 1) * time);
            out.ids.extend_from_slice(&chunk.ids);
            out.ids.resize(end, self.pad);
            out.mask.resize(row * time + length, 1);
            out.mask.resize(end, 0);
            out.labels.extend_from_slice(chunk.ids.get(1..).unwrap_or(&[]));
            out.labels.resize(end, IGNORE);
            out.lengths.push(u32::try_from(length).unwrap_or(u32::MAX));
            out.real_tokens += length as u64;
            out.targets += length.saturating_sub(1) as u64;
            out.words += chunk.word_starts.iter().filter(|starts| **starts).count() as u64;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAD: u32 = 1;

    fn collate(rows: &[&[u32]]) -> HostBatch {
        let chunks: Vec<Chunk> = rows
            .iter()
            .map(|ids| Chunk { ids: ids.to_vec(), word_starts: vec![true; ids.len()] })
            .collect();
        let ids: Vec<u64> = (0..rows.len() as u64).collect();
        let keys = RowKeys { seed: 0, epoch: 0, rows: &ids };
        CausalLMDataCollator::new(PAD).collate(keys, &chunks)
    }

    /// C4, D-22: five sequences worked out by hand; id 1 is eos and padding at once.
    #[test]
    fn test_causal_collator__five_sequences_by_hand() {
        const X: u32 = IGNORE;
        let batch = collate(&[&[5, 6, 7, 1], &[8, 1], &[9], &[], &[1, 1, 2]]);
        assert_eq!((batch.batch, batch.time), (5, 4));
        let by_hand_ids = [[5, 6, 7, 1], [8, 1, 1, 1], [9, 1, 1, 1], [1, 1, 1, 1], [1, 1, 2, 1]];
        let by_hand_mask = [[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 0]];
        let by_hand_labels = [[6, 7, 1, X], [1, X, X, X], [X, X, X, X], [X, X, X, X], [1, 2, X, X]];
        assert_eq!(batch.ids, by_hand_ids.concat());
        assert_eq!(batch.mask, by_hand_mask.concat());
        assert_eq!(batch.labels, by_hand_labels.concat());
        assert_eq!(batch.lengths, [4, 2, 1, 0, 3]);
        assert_eq!((batch.real_tokens, batch.targets, batch.words), (10, 6, 10));
    }

    /// D-01: the label at t is the token at t + 1 and depends on no other.
    #[test]
    fn test_causal_collator__label_is_the_next_token() {
        let before = collate(&[&[10, 11, 12, 13, 14]]);
        for changed in 0..5 {
            let mut row = [10, 11, 12, 13, 14];
            row[changed] = 99;
            let after = collate(&[&row]);
            let moved: Vec<usize> =
                (0..5).filter(|t| before.labels[*t] != after.labels[*t]).collect();
            assert_eq!(moved, if changed == 0 { vec![] } else { vec![changed - 1] });
        }
    }

    #[test]
    fn test_causal_collator__a_row_does_not_see_its_batch() {
        let rows: [&[u32]; 3] = [&[2, 3, 4, 5], &[6, 7], &[8, 9, 2]];
        let together = collate(&rows);
        for (i, row) in rows.iter().enumerate() {
            let alone = collate(&[row]);
            let from = i * together.time;
            assert_eq!(together.ids[from..from + row.len()], alone.ids);
            assert_eq!(together.labels[from..from + row.len()], alone.labels);
        }
    }

    #[test]
    fn test_causal_collator__empty_batch() {
        assert_eq!(collate(&[]), HostBatch::default());
    }
}
