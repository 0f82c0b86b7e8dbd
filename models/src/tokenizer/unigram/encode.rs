//! The best segmentation of a text under a unigram vocabulary.
//!
//! Viterbi, left to right: the best score of every prefix is the best over the pieces that end it. A character that no
//! piece spells counts as unknown, at 10 below the lowest score; a run of unknown characters is one `<unk>`, or, with
//! byte fallback, its UTF-8 bytes.
//!
//! Only ordinary pieces are looked for in text. Text that spells `</s>` or `<0x41>` is text, not the token of that name.
//!
//! Google's library adds scores in single precision, and Hugging Face's in double. It matters only where two
//! segmentations are worth the same, such as "aa a" and "a aa", but there it decides. So vocabularies whose scores are
//! all single precision (every SentencePiece model, and what Foundry trains) are added as Google does.

use std::collections::HashSet;

use serde_json::Value;
use tokenizers::Token;

use super::em::UNKNOWN_PENALTY;
use crate::tokenizer::double_array::DoubleArray;

/// A unigram vocabulary, ready to encode.
#[derive(Clone, Debug)]
pub(in crate::tokenizer) struct Unigram {
    trie: DoubleArray,
    scores: Vec<f64>,
    unk: u32,
    unk_score: f64,
    /// The ids of the 256 bytes, with byte fallback.
    bytes: Option<Vec<u32>>,
    single: bool,
}

/// The best way to spell a prefix: its score, and its last piece.
#[derive(Clone, Copy)]
struct Best {
    score: f64,
    id: u32,
    from: Option<usize>,
}

/// The name of a byte in the vocabulary.
pub(in crate::tokenizer) fn byte_piece(byte: u8) -> String {
    format!("<0x{byte:02X}>")
}

impl Unigram {
    /// Reads the `model` of a `tokenizer.json` that is checked already; `specials` are never found in text.
    pub(in crate::tokenizer) fn new(model: &Value, specials: &HashSet<&str>) -> Option<Self> {
        let vocab: Vec<(&str, f64)> = model["vocab"]
            .as_array()?
            .iter()
            .map(|entry| Some((entry.get(0)?.as_str()?, entry.get(1)?.as_f64()?)))
            .collect::<Option<_>>()?;
        let unk = u32::try_from(model["unk_id"].as_u64()?).ok()?;
        let ids: std::collections::HashMap<&str, u32> =
            vocab.iter().zip(0..).map(|((piece, _), id)| (*piece, id)).collect();
        let names: Vec<String> = (0..=255).map(byte_piece).collect();
        let bytes: Option<Vec<u32>> = (model["byte_fallback"] == true)
            .then(|| names.iter().map(|name| ids.get(name.as_str()).copied()).collect())
            .flatten();
        let names: HashSet<&str> =
            names.iter().filter(|_| bytes.is_some()).map(String::as_str).collect();

        let mut keys: Vec<(&[u8], u32)> = ids
            .iter()
            .filter(|(piece, id)| {
                **id != unk
                    && !piece.is_empty()
                    && !piece.contains('\0')
                    && !specials.contains(*piece)
                    && !names.contains(*piece)
            })
            .map(|(piece, id)| (piece.as_bytes(), *id))
            .collect();
        keys.sort_unstable();
        let scores: Vec<f64> = vocab.iter().map(|(_, score)| *score).collect();
        let ordinary = || keys.iter().map(|(_, id)| scores[*id as usize]);
        let lowest = ordinary().reduce(f64::min).unwrap_or(0.0);
        let single = ordinary().all(|score| round(score).to_bits() == score.to_bits());
        let unk_score = lowest - UNKNOWN_PENALTY;
        let unk_score = if single { round(unk_score) } else { unk_score };
        Some(Self { trie: DoubleArray::new(&keys), scores, unk, unk_score, bytes, single })
    }

    /// The tokens of a normalised text; offsets are in bytes, and values are left empty.
    pub(in crate::tokenizer) fn tokenize(&self, text: &str) -> Vec<Token> {
        let none = Best { score: f64::NEG_INFINITY, id: self.unk, from: None };
        let mut best = vec![none; text.len() + 1];
        best[0].score = 0.0;
        for (at, c) in text.char_indices() {
            let here = best[at].score;
            let mut reach = |len: usize, id: u32, score: f64| {
                let score = if self.single { round(score + here) } else { score + here };
                let target = &mut best[at + len];
                if target.from.is_none() || score > target.score {
                    *target = Best { score, id, from: Some(at) };
                }
            };
            let mut alone = false;
            for (len, id) in self.trie.prefixes(&text.as_bytes()[at..]) {
                reach(len, id, self.scores[id as usize]);
                alone |= len == c.len_utf8();
            }
            if !alone {
                reach(c.len_utf8(), self.unk, self.unk_score);
            }
        }

        let mut tokens: Vec<Token> = Vec::new();
        let mut end = text.len();
        while let Some(from) = best[end].from {
            let id = best[end].id;
            match (&self.bytes, tokens.last_mut()) {
                (Some(bytes), _) if id == self.unk => tokens.extend(
                    text.as_bytes()[from..end]
                        .iter()
                        .rev()
                        .map(|byte| token(bytes[usize::from(*byte)], from, end)),
                ),
                (None, Some(last)) if id == self.unk && last.id == id => last.offsets.0 = from,
                _ => tokens.push(token(id, from, end)),
            }
            end = from;
        }
        tokens.reverse();
        tokens
    }
}

fn token(id: u32, from: usize, end: usize) -> Token {
    Token::new(id, String::new(), (from, end))
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to single precision is the point")]
fn round(score: f64) -> f64 {
    f64::from(score as f32)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ids(model: &Value, text: &str) -> Vec<u32> {
        let specials = HashSet::from(["<s>"]);
        let tokens = Unigram::new(model, &specials).unwrap().tokenize(text);
        assert!(tokens.windows(2).all(|pair| pair[0].offsets.1 <= pair[1].offsets.1));
        tokens.into_iter().map(|token| token.id).collect()
    }

    #[test]
    fn test_unigram__best_path_unknown_runs_and_specials() {
        let model = json!({"unk_id": 0, "vocab": [["<unk>", 0], ["<s>", 0], ["a", -2.0], ["b", -2.0],
            ["ab", -3.0], ["<", -9.0], ["s", -9.0], [">", -9.0]]});
        assert_eq!(ids(&model, "abba"), [4, 3, 2]);
        assert_eq!(ids(&model, "axyzb"), [2, 0, 3]);
        assert_eq!(ids(&model, "<s>"), [5, 6, 7]);
        assert_eq!(ids(&model, ""), Vec::<u32>::new());
    }

    #[test]
    fn test_unigram__byte_fallback_is_for_characters_not_for_its_spelling() {
        let bytes = (0..=255).map(|byte| json!([byte_piece(byte), 0]));
        let vocab: Vec<Value> =
            std::iter::once(json!(["<unk>", 0])).chain(bytes).chain([json!(["0", -1.5])]).collect();
        let model = json!({"unk_id": 0, "byte_fallback": true, "vocab": vocab});
        assert_eq!(ids(&model, "é0"), [1 + 0xC3, 1 + 0xA9, 257]);
        let spelled: Vec<u32> =
            "<0x41>".bytes().map(|b| if b == b'0' { 257 } else { 1 + u32::from(b) }).collect();
        assert_eq!(ids(&model, "<0x41>"), spelled);
    }
}
