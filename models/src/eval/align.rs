//! Which tokens make a word, or a region.
//!
//! A token belongs to the unit (a word between white space, a region of a stimulus) in which its first character that is
//! not white space stands. So white space belongs to what follows it, as in the vocabularies of GPT-2 (`Ġthe`) and
//! SentencePiece (`▁the`); a token of nothing but white space belongs to the unit after it, or to the last one if none
//! follows. With characters as tokens, the space before a word is part of that word's surprisal. This is the usual
//! convention; what it does to a word's surprisal is discussed by Oh and Schuler, *Leading whitespaces of language models'
//! subword vocabulary pose a confound* (2024), and Pimentel and Meister, *How to compute the probability of a word* (2024).

use std::ops::Range;

/// A stretch of text and the tokens that belong to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unit {
    /// The text.
    pub text: String,
    /// Its tokens, as positions in the list of tokens; empty if its text lies in the token of the unit before.
    pub tokens: Range<usize>,
}

/// The words of `text`, which is cut into tokens that end at `ends` (bytes). Words that share a token are one unit.
#[must_use]
pub fn words(text: &str, ends: &[usize]) -> Vec<Unit> {
    let base = text.as_ptr() as usize;
    let spans: Vec<Range<usize>> = text
        .split_whitespace()
        .map(|word| word.as_ptr() as usize - base)
        .zip(text.split_whitespace().map(str::len))
        .map(|(start, length)| start..start + length)
        .collect();
    let mut units: Vec<(Range<usize>, Range<usize>)> = Vec::with_capacity(spans.len());
    for (span, tokens) in spans.iter().zip(assign(text, ends, &spans)) {
        match units.last_mut() {
            Some((before, _)) if tokens.is_empty() => before.end = span.end,
            _ => units.push((span.clone(), tokens)),
        }
    }
    let unit = |(span, tokens): (Range<usize>, _)| Unit { text: text[span].to_owned(), tokens };
    units.into_iter().map(unit).collect()
}

/// The text of regions, joined by single spaces where they are not empty, and the place of each in it.
#[must_use]
pub fn join(regions: &[String]) -> (String, Vec<Range<usize>>) {
    let (mut text, mut spans) = (String::new(), Vec::with_capacity(regions.len()));
    for region in regions {
        let region = region.trim();
        if !region.is_empty() && !text.is_empty() {
            text.push(' ');
        }
        spans.push(text.len()..text.len() + region.len());
        text.push_str(region);
    }
    (text, spans)
}

/// For each span (in order, of bytes of `text`), the tokens that belong to it.
#[must_use]
pub fn assign(text: &str, ends: &[usize], spans: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut counts = vec![0; spans.len()];
    let (mut start, mut unit) = (0, 0);
    for &end in ends {
        let token = text.get(start..end.max(start)).unwrap_or_default();
        let visible = token.find(|c: char| !c.is_whitespace());
        if !token.is_empty() {
            // White space belongs to what follows it.
            let at = start + visible.unwrap_or(token.len());
            while spans.get(unit).is_some_and(|s| s.end <= at)
                && spans[unit + 1..].iter().any(|s| !s.is_empty())
            {
                unit += 1;
            }
        }
        // A token without text (one byte of several of a character) goes with the one before.
        if let Some(count) = counts.get_mut(unit) {
            *count += 1;
        }
        start = start.max(end);
    }
    let mut first = 0;
    let range = |n: usize| {
        first += n;
        first - n..first
    };
    counts.into_iter().map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, tokens: &[&str]) -> Vec<(String, Range<usize>)> {
        assert_eq!(tokens.concat(), text);
        let ends: Vec<usize> = tokens
            .iter()
            .scan(0, |end, t| {
                *end += t.len();
                Some(*end)
            })
            .collect();
        words(text, &ends).into_iter().map(|w| (w.text, w.tokens)).collect()
    }

    fn units(expected: &[(&str, Range<usize>)]) -> Vec<(String, Range<usize>)> {
        expected.iter().map(|(w, t)| ((*w).to_owned(), t.clone())).collect()
    }

    #[test]
    fn test_words__white_space_belongs_to_what_follows() {
        let expected = units(&[("The", 0..1), ("dogs", 1..3), ("bark.", 3..5)]);
        assert_eq!(found("The dogs bark.", &["The", " dog", "s", " bark", "."]), expected);
        let characters = units(&[("ab", 0..2), ("c", 2..4)]);
        assert_eq!(found("ab c", &["a", "b", " ", "c"]), characters);
        let ends = units(&[("a", 0..3), ("b", 3..6)]);
        assert_eq!(found("  a  b ", &[" ", " ", "a", "  ", "b", " "]), ends);
    }

    #[test]
    fn test_words__words_in_one_token_are_one_unit() {
        assert_eq!(found("in a way", &["in a", " way"]), units(&[("in a", 0..1), ("way", 1..2)]));
    }

    #[test]
    fn test_words__bytes_of_a_character_stay_together() {
        // A space before, then three tokens that all end where the character ends.
        let expected = units(&[("a", 0..1), ("é", 1..4), ("b", 4..5)]);
        let found: Vec<_> =
            words("a é b", &[1, 2, 4, 4, 6]).into_iter().map(|w| (w.text, w.tokens)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn test_regions__empty_ones_have_no_token() {
        let regions = ["The dog", "", "barks", "."].map(str::to_owned);
        let (text, spans) = join(&regions);
        assert_eq!(text, "The dog barks .");
        assert_eq!(assign(&text, &[3, 7, 13, 15], &spans), [0..2, 2..2, 2..3, 3..4]);
    }
}
