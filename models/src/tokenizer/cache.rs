//! The tokens of words that were encoded before.
//!
//! A corpus of a hundred million words has some hundred thousand different ones. To look one up costs a hundredth of what it
//! costs to cut, normalise and merge it again.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{PoisonError, RwLock};

use super::{Marks, TokenizerError};

/// Longer words are not kept: they hardly come again.
const LONGEST: usize = 64;
/// Words are kept until there are so many in a part.
const MOST: usize = 1 << 14;
/// Parts with a lock each, so that threads seldom meet.
const PARTS: usize = 64;

/// The tokens of a word.
#[derive(Debug)]
pub(super) struct Spelling(Box<[(u32, u32)]>);

impl Spelling {
    /// From the ids, and where each ends in the word, in bytes.
    #[expect(clippy::cast_possible_truncation, reason = "a segment is shorter than 2^32 bytes")]
    pub(super) fn new(ids: &[u32], ends: impl Iterator<Item = usize>) -> Self {
        Self(ids.iter().zip(ends).map(|(id, end)| (*id, end as u32)).collect())
    }

    /// Appends the tokens of `word`, which stands `at` bytes after where the counting of `marks` begins.
    pub(super) fn append(
        &self,
        at: usize,
        word: &str,
        inside: bool,
        ids: &mut Vec<u32>,
        marks: &mut Marks<'_>,
    ) {
        ids.extend(self.0.iter().map(|(id, _)| *id));
        marks.take(at, word, inside, self.0.iter().map(|(_, end)| *end as usize));
    }
}

/// The words of one tokenizer. Nothing depends on which are in here.
#[derive(Debug)]
pub(super) struct Spellings {
    hasher: RandomState,
    parts: Vec<RwLock<HashMap<Box<str>, Spelling>>>,
}

impl Default for Spellings {
    fn default() -> Self {
        let parts = std::iter::repeat_with(RwLock::default).take(PARTS).collect();
        Self { hasher: RandomState::new(), parts }
    }
}

impl Spellings {
    /// Gives `found` the tokens of a word: those that are kept, or what `spell` says.
    pub(super) fn with(
        &self,
        word: &str,
        spell: impl FnOnce() -> Result<Spelling, TokenizerError>,
        mut found: impl FnMut(&Spelling),
    ) -> Result<(), TokenizerError> {
        if word.len() > LONGEST {
            found(&spell()?);
            return Ok(());
        }
        #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
        let part = &self.parts[self.hasher.hash_one(word) as usize % PARTS];
        let kept = part.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(spelling) = kept.get(word) {
            found(spelling);
            return Ok(());
        }
        drop(kept);
        let spelling = spell()?;
        found(&spelling);
        let mut kept = part.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MOST {
            kept.insert(word.into(), spelling);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_spellings__a_word_is_spelled_once() {
        let spellings = Spellings::default();
        let mut spelled = 0;
        for (word, id) in [("a", 1), ("b", 2), ("a", 1), ("b", 2), ("a", 1)] {
            let spell = || {
                spelled += 1;
                Ok(Spelling::new(&[id], [1].into_iter()))
            };
            let mut ids = Vec::new();
            let found = |s: &Spelling| s.append(0, word, true, &mut ids, &mut Marks::None);
            spellings.with(word, spell, found).unwrap();
            assert_eq!(ids, [id]);
        }
        assert_eq!(spelled, 2);
    }

    #[test]
    fn test_spellings__long_words_and_words_without_end_are_not_kept() {
        let spellings = Spellings::default();
        let spell = || Ok(Spelling::new(&[1], [1].into_iter()));
        spellings.with(&"x".repeat(LONGEST + 1), spell, |_| {}).unwrap();
        for i in 0..PARTS * (MOST + MOST / 8) {
            spellings.with(&i.to_string(), spell, |_| {}).unwrap();
        }
        let kept: Vec<usize> = spellings.parts.iter().map(|p| p.read().unwrap().len()).collect();
        assert!(kept.iter().all(|n| (1..=MOST).contains(n)));
        assert!(kept.contains(&MOST));
    }
}
