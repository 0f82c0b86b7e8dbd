//! The words of a corpus and how often each occurs: all that the trainers look at.
//!
//! Text is cut at spaces, tabs and line ends, and every distinct stretch between them is kept once, whatever the size
//! of the corpus. Normalising is left to the kind of tokenizer, and costs only as much as there are distinct words.

use std::collections::HashMap;

use super::cut::{MAX, TARGET};
use super::{TextSource, TokenizerError};

/// How often a word occurs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Occurrences {
    /// In all.
    pub(super) total: u64,
    /// As the last word of a line.
    pub(super) last: u64,
}

impl std::ops::AddAssign for Occurrences {
    fn add_assign(&mut self, other: Self) {
        self.total += other.total;
        self.last += other.last;
    }
}

/// The distinct words of a corpus, sorted.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) list: Vec<(String, Occurrences)>,
    /// Characters read, white space included.
    pub(super) characters: u64,
}

impl Words {
    /// Reads a corpus.
    pub(super) fn count(text: TextSource<'_>) -> Result<Self, TokenizerError> {
        let mut counter = Counter::default();
        let mut characters = 0;
        let mut goes_on = false;
        for piece in text {
            let piece = piece.map_err(|error| TokenizerError::Corpus(Box::new(error)))?;
            characters += piece.chars().count() as u64;
            if !goes_on {
                counter.end_line();
            }
            counter.read(&piece);
            // Only a long unit is cut into pieces; a short piece is a unit of its own, or the end of one.
            goes_on = piece.len() >= TARGET;
        }
        counter.end_line();
        if characters == 0 {
            return Err(TokenizerError::NoText);
        }
        let list = sorted(counter.counts);
        Ok(Self { list, characters })
    }

    /// Each word turned into the words that it is normalised to, and counted anew.
    pub(super) fn map(self, normalise: impl Fn(&str) -> Vec<String>) -> Vec<(String, Occurrences)> {
        let mut counts: HashMap<String, Occurrences> = HashMap::with_capacity(self.list.len());
        for (word, occurrences) in self.list {
            let mut parts = normalise(&word);
            // Only the last part can be the last of its line.
            if let Some(last) = parts.pop() {
                *counts.entry(last).or_default() += occurrences;
            }
            for part in parts {
                *counts.entry(part).or_default() += Occurrences { last: 0, ..occurrences };
            }
        }
        sorted(counts)
    }
}

fn sorted(counts: HashMap<String, Occurrences>) -> Vec<(String, Occurrences)> {
    let mut list: Vec<_> = counts.into_iter().collect();
    list.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    list
}

#[derive(Default)]
struct Counter {
    counts: HashMap<String, Occurrences>,
    /// The word that was read last. It is counted when it is known whether another follows on its line.
    open: String,
    /// A space came after `open`.
    complete: bool,
}

impl Counter {
    fn read(&mut self, piece: &str) {
        for (i, line) in piece.split('\n').enumerate() {
            if i > 0 {
                self.end_line();
            }
            for (j, part) in line.split([' ', '\t', '\r']).enumerate() {
                self.complete |= j > 0;
                if !part.is_empty() {
                    if self.complete {
                        self.close(0);
                    }
                    self.open.push_str(part);
                }
            }
        }
    }

    fn end_line(&mut self) {
        self.close(1);
    }

    fn close(&mut self, last: u64) {
        // A wall of text without a space is cut like any other text.
        let mut rest = self.open.as_str();
        while !rest.is_empty() {
            let mut at = rest.len().min(MAX);
            while !rest.is_char_boundary(at) {
                at -= 1;
            }
            let (word, tail) = rest.split_at(at);
            let once = Occurrences { total: 1, last: if tail.is_empty() { last } else { 0 } };
            match self.counts.get_mut(word) {
                Some(occurrences) => *occurrences += once,
                None => {
                    self.counts.insert(word.to_owned(), once);
                }
            }
            rest = tail;
        }
        self.open.clear();
        self.complete = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(pieces: &[&str]) -> Vec<(String, Occurrences)> {
        let mut text = pieces.iter().map(|piece| Ok((*piece).to_owned()));
        Words::count(&mut text).unwrap().list
    }

    fn expect(words: &[(&str, u64, u64)]) -> Vec<(String, Occurrences)> {
        let word = |(word, total, last): &(&str, u64, u64)| {
            ((*word).to_owned(), Occurrences { total: *total, last: *last })
        };
        words.iter().map(word).collect()
    }

    #[test]
    fn test_words__lines_and_documents_count_alike() {
        let words = expect(&[("a", 3, 1), ("b", 1, 1), ("c", 1, 1)]);
        assert_eq!(count(&["a b", " a\ta ", "c"]), words);
        assert_eq!(count(&["a b\r\n a\ta \n\nc\n"]), words);
    }

    #[test]
    fn test_words__however_a_long_text_is_cut() {
        let text = "one two, three\n".repeat(5000);
        let whole = count(&[&text]);
        for at in [TARGET, TARGET + 1, TARGET + 5, TARGET + 7, TARGET + 8] {
            assert_eq!(count(&[&text[..at], &text[at..]]), whole);
        }
        assert_eq!(whole, expect(&[("one", 5000, 0), ("three", 5000, 5000), ("two,", 5000, 0)]));
        let wall = "é".repeat(MAX);
        assert_eq!(count(&[&wall]).len(), 1);
        assert_eq!(count(&[&wall])[0].1, Occurrences { total: 2, last: 1 });
    }
}
