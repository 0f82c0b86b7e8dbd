//! Long texts are encoded in segments, so that a line of 100 MB needs no more memory than a short one.
//!
//! The cut is a pure function of the text: [`Tokenizer::encode`](super::Tokenizer::encode) cuts by the same rule as
//! the corpus reader, so encoding a text whole and encoding it as it streams by give the same ids. A text of at most
//! [`TARGET`] bytes is never cut. After that the first *safe* place is taken: one where every byte-level (GPT-2)
//! pre-tokenizer has a token boundary anyway, so that no token can differ.
//!
//! - Before white space that follows something else. GPT-2's pattern lets white space only begin a token
//!   (`" ?\p{L}+"`) or fill one, and its one lookahead, `\s+(?!\S)`, looks only past white space.
//! - Between a letter or digit and a character that is neither. Tokens hold one class; Chinese and Japanese text,
//!   which has no spaces, is cut at its punctuation.
//!
//! A stretch of [`MAX`] bytes with no safe place (a wall of one letter) is cut there all the same. Nothing is lost
//! by that: decoding gives the same text; only a token that would have crossed the cut becomes two.

/// Segments are at least this long, in bytes.
pub const TARGET: usize = 32 * 1024;

/// Segments are at most this long, in bytes.
pub const MAX: usize = 2 * TARGET;

/// The end of the first segment of `rest`, or `None` when all of `rest` is one segment so far.
///
/// The answer does not change when more text follows, unless it is `None`; at most `MAX + 4` bytes are needed for
/// an answer.
#[must_use]
pub fn next_cut(rest: &str) -> Option<usize> {
    if rest.len() <= TARGET {
        return None;
    }
    let start = floor_char_boundary(rest, TARGET - 4);
    let mut left: Option<char> = None;
    for (i, right) in rest[start..].char_indices() {
        let at = start + i;
        if at > MAX {
            break;
        }
        if at >= TARGET && left.is_some_and(|left| safe(left, right)) {
            return Some(at);
        }
        left = Some(right);
    }
    (rest.len() > MAX + 4).then(|| floor_char_boundary(rest, MAX))
}

/// The segments of a text, in order; together they are the text. An empty text has none.
pub fn segments(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (segment, tail) = rest.split_at(next_cut(rest).unwrap_or(rest.len()));
        rest = tail;
        Some(segment)
    })
}

/// A text cut before each space that follows anything but white space: words with what stands before them. Together they
/// are the text.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut inside = false;
        let end = rest.char_indices().find_map(|(at, c)| {
            let ends = inside && c == ' ';
            inside = !c.is_whitespace();
            ends.then_some(at)
        });
        let (word, tail) = rest.split_at(end.unwrap_or(rest.len()));
        rest = tail;
        Some(word)
    })
}

fn safe(left: char, right: char) -> bool {
    if right.is_whitespace() {
        !left.is_whitespace()
    } else {
        surely_letter_or_digit(left) && !right.is_alphanumeric()
    }
}

/// Characters of the classes L and N beyond doubt. (`char::is_alphanumeric` also accepts vowel signs, which are
/// marks, and marks may stand in one token with punctuation.)
fn surely_letter_or_digit(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(c, '\u{3041}'..='\u{3096}' | '\u{30A1}'..='\u{30FA}' | '\u{4E00}'..='\u{9FA5}' | '\u{AC00}'..='\u{D7A3}')
}

fn floor_char_boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_cut__segments_join_to_the_text() {
        let words = "two words, ".repeat(20_000);
        let wall = "é".repeat(100_000);
        let chinese = "中文句子，".repeat(30_000);
        for text in ["", "short", &words, &wall, &chinese] {
            let pieces: Vec<&str> = segments(text).collect();
            assert_eq!(pieces.concat(), text);
            assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.len() <= MAX + 4));
        }
    }

    #[test]
    fn test_cut__words_keep_the_white_space_before_them() {
        let of = |text| words(text).collect::<Vec<_>>();
        assert_eq!(of("a  bé\nc d "), ["a", "  bé\nc", " d", " "]);
        assert_eq!(of(" \u{b} a\u{b} b"), [" \u{b} a\u{b} b"]);
        assert_eq!(of(""), [""; 0]);
    }

    #[test]
    fn test_cut__answers_do_not_depend_on_what_follows() {
        let text = format!("{}{}", "x".repeat(TARGET + 10), " then words ".repeat(9_000));
        let whole = next_cut(&text).unwrap();
        for extra in 1..50 {
            assert_eq!(next_cut(&text[..whole + extra]), Some(whole));
        }
        assert_eq!(whole, TARGET + 10);
    }

    #[test]
    fn test_cut__prefers_space_and_punctuation() {
        let chinese = "中文句子，".repeat(30_000);
        assert!(segments(&chinese).skip(1).all(|segment| segment.starts_with('，')));
        let words = "two words, ".repeat(20_000);
        let starts = |segment: &str| segment.starts_with([' ', ',']);
        assert!(segments(&words).skip(1).all(starts));
    }
}
