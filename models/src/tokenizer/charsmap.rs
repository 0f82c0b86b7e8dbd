//! How Google's `.model` files say what to do with characters before text is cut.
//!
//! A charsmap is a trie from strings to strings: at each place of the text the longest key that fits is replaced. On
//! disk it is the size of the trie in bytes, the trie ([`DoubleArray`]), and the replacements, each ended by NUL; the
//! trie's values say where in them a replacement begins.
//!
//! NFKC as such a map has a key for every character that NFKC changes, and for every sequence of characters that it
//! puts together into one, as it is commonly spelled. That is NFKC itself on all text but rare sequences of several marks in an unusual order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use unicode_normalization_alignments::UnicodeNormalization;

use super::WORD_MARK;
use super::double_array::DoubleArray;

type Map = BTreeMap<String, String>;

/// NFKC of a text.
pub(super) fn nfkc(text: &str) -> String {
    text.nfkc().map(|(c, _)| c).collect()
}

/// The charsmap of what Foundry's SentencePiece tokenizers do: NFKC, and any white space (and ▁) becomes a space.
pub(super) fn nfkc_and_spaces() -> &'static [u8] {
    static MAP: OnceLock<Vec<u8>> = OnceLock::new();
    MAP.get_or_init(|| compile(&map()))
}

fn map() -> Map {
    let mut all = Map::new();
    // Which characters decompose to one character, and into what sequences the others do.
    let mut origins: BTreeMap<char, Vec<char>> = BTreeMap::new();
    let mut sequences: BTreeSet<String> = BTreeSet::new();
    let mut buffer = [0; 4];
    for c in '\u{1}'..=char::MAX {
        let text: &str = c.encode_utf8(&mut buffer);
        let composed = nfkc(text);
        if composed != text {
            all.insert(text.to_owned(), composed);
        }
        let decomposed: String = text.nfkd().map(|(c, _)| c).collect();
        let mut chars = decomposed.chars();
        match (chars.next(), chars.next()) {
            (Some(only), None) => origins.entry(only).or_default().push(c),
            _ => _ = sequences.insert(decomposed),
        }
    }
    for decomposed in sequences {
        let composed = nfkc(&decomposed);
        if composed == decomposed {
            continue;
        }
        let chars: Vec<char> = decomposed.chars().collect();
        // The beginning put together already, and then the rest: "ẹ" and a circumflex.
        let mut spellings: Vec<String> = (0..chars.len())
            .map(|n| nfkc(&String::from_iter(&chars[..n])) + &String::from_iter(&chars[n..]))
            .collect();
        // Both in other widths or styles: ｶ and ﾞ. (Old Korean letters would be too many, and nobody writes them so.)
        if let [first, second] = chars[..]
            && !('\u{1100}'..='\u{11FF}').contains(&first)
        {
            for a in &origins[&first] {
                spellings.extend(origins[&second].iter().map(|b| String::from_iter([a, b])));
            }
        }
        for spelling in spellings.into_iter().filter(|spelling| *spelling != composed) {
            all.insert(spelling, composed.clone());
        }
    }
    let blank = |c: char| c.is_whitespace() || c == WORD_MARK;
    for value in all.values_mut() {
        *value = value.replace(blank, " ");
    }
    for c in ('\u{1}'..=char::MAX).filter(|c| blank(*c) && *c != ' ') {
        all.insert(c.into(), " ".into());
    }
    without_redundant(all)
}

/// Leaves out the keys that shorter keys take care of.
fn without_redundant(all: Map) -> Map {
    let mut keys: Vec<(usize, String, String)> =
        all.into_iter().map(|(key, value)| (key.chars().count(), key, value)).collect();
    keys.sort();
    let mut kept = Map::new();
    for (len, key, value) in keys {
        if len == 1 || normalise(&kept, &key, len - 1) != value {
            kept.insert(key, value);
        }
    }
    kept
}

/// Replaces the longest key at each place; `longest` is in characters.
fn normalise(map: &Map, text: &str, longest: usize) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let ends = rest.char_indices().map(|(at, c)| at + c.len_utf8()).take(longest);
        let found = ends.filter_map(|end| Some((end, map.get(&rest[..end])?))).last();
        let (end, value) = match found {
            Some((end, value)) => (end, value.as_str()),
            None => (first.len_utf8(), &rest[..first.len_utf8()]),
        };
        out.push_str(value);
        rest = &rest[end..];
    }
    out
}

fn compile(map: &Map) -> Vec<u8> {
    let mut places: BTreeMap<&str, u32> = BTreeMap::new();
    let mut values = Vec::new();
    for value in map.values() {
        places.entry(value).or_insert_with(|| {
            let place = u32::try_from(values.len()).unwrap_or(u32::MAX);
            values.extend(value.as_bytes());
            values.push(0);
            place
        });
    }
    let keys: Vec<(&[u8], u32)> =
        map.iter().map(|(key, value)| (key.as_bytes(), places[value.as_str()])).collect();
    let trie = DoubleArray::new(&keys).to_bytes();
    let size = u32::try_from(trie.len()).unwrap_or(u32::MAX).to_le_bytes();
    [&size[..], &trie, &values].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a compiled map.
    fn read(map: &[u8]) -> (DoubleArray, &[u8]) {
        let size = u32::from_le_bytes(map[..4].try_into().unwrap()) as usize;
        let (trie, values) = map[4..].split_at(size);
        (DoubleArray::from_bytes(trie), values)
    }

    /// Applies a map as SentencePiece does.
    fn apply((trie, values): &(DoubleArray, &[u8]), text: &str) -> String {
        let mut out = Vec::new();
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            let (len, value) = match trie.prefixes(&text.as_bytes()[at..]).last() {
                Some((len, place)) => {
                    let value = values[place as usize..].split(|byte| *byte == 0).next().unwrap();
                    (len, value)
                }
                None => (c.len_utf8(), &text.as_bytes()[at..at + c.len_utf8()]),
            };
            out.extend(value);
            at += len;
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn test_charsmap__is_nfkc_of_every_character_and_of_common_sequences() {
        let map = &read(nfkc_and_spaces());
        let spaces = |text: &str| nfkc(text).replace(|c: char| c.is_whitespace() || c == '▁', " ");
        for c in '\u{1}'..=char::MAX {
            let text = String::from(c);
            assert_eq!(apply(map, &text), spaces(&text), "{c:?}");
            let decomposed: String = text.nfkd().map(|(c, _)| c).collect();
            assert_eq!(apply(map, &decomposed), spaces(&decomposed), "{c:?} decomposed");
        }
        for text in [
            "cafe\u{301} ﬁn ½ ｶﾞ",
            "한국 \u{1112}\u{1161}\u{11ab}",
            "a\u{300}\u{301}",
            "\t x\u{a0}▁y",
        ] {
            assert_eq!(apply(map, text), spaces(text));
        }
    }
}
