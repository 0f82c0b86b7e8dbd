//! Which characters may stand together in one piece.
//!
//! A piece keeps to one script, so that "3rd" or "C++" are split where the writing changes. Kana and Han count as one
//! script, and marks (script Inherited) take the script of what they stand on. Digits and punctuation are a script of
//! their own (Common). The mark ▁ of a word's beginning goes with anything.

use unicode_script::{Script, UnicodeScript};

use crate::tokenizer::WORD_MARK;

/// Whether `piece` keeps to one script, and has ▁ at its beginning only.
pub(in crate::tokenizer) fn one_script(piece: &[char]) -> bool {
    let mut before = None;
    for (i, &c) in piece.iter().enumerate() {
        if c == WORD_MARK {
            if i > 0 {
                return false;
            }
            continue;
        }
        let script = match c.script() {
            Script::Hiragana | Script::Katakana => Script::Han,
            _ if c == 'ー' => Script::Han,
            Script::Inherited => match before {
                Some(script) => script,
                None => continue,
            },
            script => script,
        };
        if before.is_some_and(|before| before != script) {
            return false;
        }
        before = Some(script);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_one_script__splits_where_the_writing_changes() {
        let ok = |text: &str| one_script(&text.chars().collect::<Vec<_>>());
        for text in
            ["▁the", "▁", "don", "1990", "...", "東京タワー", "e\u{301}t", "\u{301}e", "▁(1"]
        {
            assert!(ok(text), "{text}");
        }
        for text in ["a▁", "▁▁", "3rd", "don't", "aб", "C++"] {
            assert!(!ok(text), "{text}");
        }
    }
}
