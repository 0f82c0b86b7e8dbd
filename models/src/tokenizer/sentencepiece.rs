//! SentencePiece: pieces of text in which `▁` marks the beginnings of words.
//!
//! Kudo, Richardson: *SentencePiece: a simple and language independent subword tokenizer and detokenizer for neural text
//! processing* (EMNLP 2018). Text is normalised (NFKC; white space becomes single spaces, none at the ends), each space
//! becomes the mark ▁ of the word behind it, and each word is cut into pieces, chosen by probability
//! ([`unigram`](super::unigram)) or by merges (`model_type: bpe`). With byte fallback a character that has no piece is
//! spelled in bytes, `<0xE7> <0x8C> <0xAB>`, and nothing is unknown.
//!
//! The vocabulary is the special tokens, the 256 bytes, and then the pieces, the most probable (or the first merged)
//! first. A piece has at most 16 characters, keeps to one script, and has ▁ only at its beginning.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use super::charsmap::nfkc;
use super::merges::{Tokens, learn};
use super::special::{added_tokens, refuse_learned};
use super::unigram::em::{self, AlphabetTooLarge};
use super::unigram::encode::byte_piece;
use super::unigram::{Goal, MAX_PIECE, one_script};
use super::words::{Occurrences, Words};
use super::{SentencePieceModel, TextSource, TokenizerError, TrainOptions, Trained, WORD_MARK};

/// White space, and the mark itself, as it stands in text.
const BLANKS: &str = r"[\s▁]+";

/// Trains on `text`.
pub(super) fn train(
    options: &TrainOptions,
    text: TextSource<'_>,
) -> Result<Trained, TokenizerError> {
    let words = Words::count(text)?;
    let characters = words.characters;
    let words = words.map(marked_words);
    let specials = options.special_tokens.texts();
    let bytes = if options.byte_fallback { 256 } else { 0 };
    let reserved = specials.len() + bytes;
    let check = |alphabet: usize| {
        options.check_size(reserved + alphabet, || {
            let of_bytes = if options.byte_fallback { "256 bytes, " } else { "" };
            format!(
                "{} special tokens, {of_bytes}{alphabet} characters of the corpus",
                specials.len()
            )
        })
    };
    check(0)?;

    let (pieces, why_smaller) = match options.model_type {
        SentencePieceModel::Unigram => {
            let (vocab_size, min_frequency) = (options.vocab_size, options.min_frequency);
            let pieces = em::train(&words, Goal { vocab_size, reserved, min_frequency });
            let pieces = match pieces {
                Ok(pieces) => pieces,
                Err(AlphabetTooLarge { alphabet }) => {
                    check(alphabet)?;
                    Vec::new()
                }
            };
            (pieces, "the corpus has no more substrings that help".to_owned())
        }
        SentencePieceModel::Bpe => {
            let counts = alphabet(&words);
            check(counts.len())?;
            let limit = options.vocab_size - reserved;
            let times = options.min_frequency.max(1);
            let pieces = merged(&words, counts, limit, times);
            (pieces, format!("no pair of the corpus occurs {times} times any more"))
        }
    };
    refuse_learned(&options.special_tokens, pieces.iter().map(|(piece, _)| piece.as_str()))?;

    // In single precision, as a .model file has them: one set of scores, whichever file is read.
    let mut vocab: Vec<(String, f32)> =
        specials.iter().map(|text| ((*text).to_owned(), 0.0)).collect();
    vocab.extend((0..bytes).filter_map(|byte| Some((byte_piece(u8::try_from(byte).ok()?), 0.0))));
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding to single precision is the point"
    )]
    vocab.extend(pieces.into_iter().map(|(piece, score)| (piece, score as f32)));
    let size = vocab.len();
    let unk = options.special_tokens.unk_token.as_deref();
    let json = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added_tokens(&specials),
        "normalizer": normalizer(),
        "pre_tokenizer": {
            "type": "Metaspace", "replacement": WORD_MARK, "prepend_scheme": "always", "split": true
        },
        "post_processor": null,
        "decoder": decoder(true),
        "model": model(options.model_type, &vocab, unk, options.byte_fallback, reserved)
    });
    Ok(Trained { json, characters, notes: options.smaller_note(size, &why_smaller) })
}

/// NFKC, then single spaces.
pub(super) fn normalizer() -> Value {
    json!({ "type": "Sequence", "normalizers": [
        { "type": "NFKC" },
        { "type": "Replace", "pattern": { "Regex": BLANKS }, "content": " " },
        { "type": "Strip", "strip_left": true, "strip_right": true }
    ]})
}

/// Bytes become characters and marks spaces, without the one that was put before the text.
pub(super) fn decoder(strip: bool) -> Value {
    let mut decoders = vec![
        json!({ "type": "Replace", "pattern": { "String": WORD_MARK }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if strip {
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    json!({ "type": "Sequence", "decoders": decoders })
}

/// The `model` of a `tokenizer.json`. The first `reserved` entries of the vocabulary take no part in merges.
pub(super) fn model(
    model_type: SentencePieceModel,
    vocab: &[(String, f32)],
    unk: Option<&str>,
    byte_fallback: bool,
    reserved: usize,
) -> Value {
    match model_type {
        SentencePieceModel::Unigram => {
            let entries: Vec<Value> =
                vocab.iter().map(|(piece, score)| json!([piece, f64::from(*score)])).collect();
            json!({
                "type": "Unigram",
                "unk_id": unk.and_then(|unk| vocab.iter().position(|(piece, _)| piece == unk)),
                "vocab": entries,
                "byte_fallback": byte_fallback
            })
        }
        SentencePieceModel::Bpe => {
            let ids: Map<String, Value> =
                vocab.iter().zip(0..).map(|((piece, _), id)| (piece.clone(), json!(id))).collect();
            json!({
                "type": "BPE",
                "dropout": null,
                "unk_token": unk,
                "continuing_subword_prefix": null,
                "end_of_word_suffix": null,
                "fuse_unk": true,
                "byte_fallback": byte_fallback,
                "ignore_merges": false,
                "vocab": ids,
                "merges": merges(&vocab[reserved.min(vocab.len())..])
            })
        }
    }
}

/// Every pair of pieces that makes a piece, the best piece first. (SentencePiece joins whichever neighbours make the
/// best piece, and asks for no list of pairs.)
fn merges(pieces: &[(String, f32)]) -> Vec<[&str; 2]> {
    let mut ranked: Vec<&(String, f32)> = pieces.iter().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    let rank: HashMap<&str, usize> =
        ranked.iter().zip(0..).map(|((piece, _), rank)| (piece.as_str(), rank)).collect();
    let mut merges = Vec::new();
    for (piece, _) in ranked {
        let mut splits: Vec<(usize, usize, [&str; 2])> = piece
            .char_indices()
            .skip(1)
            .filter_map(|(at, _)| {
                let (left, right) = piece.split_at(at);
                Some((*rank.get(left)?, *rank.get(right)?, [left, right]))
            })
            .collect();
        splits.sort_unstable();
        merges.extend(splits.into_iter().map(|(_, _, pair)| pair));
    }
    merges
}

/// The words of a stretch without spaces, normalised and marked. NUL, which no trie can hold, is never learned.
fn marked_words(text: &str) -> Vec<String> {
    let normalised = if text.is_ascii() { text.to_owned() } else { nfkc(text) };
    normalised
        .split(|c: char| c.is_whitespace() || c == WORD_MARK)
        .filter(|word| !word.is_empty() && !word.contains('\0'))
        .map(|word| format!("{WORD_MARK}{word}"))
        .collect()
}

fn alphabet(words: &[(String, Occurrences)]) -> BTreeMap<char, u64> {
    let mut counts = BTreeMap::new();
    for (word, occurrences) in words {
        word.chars().for_each(|c| *counts.entry(c).or_default() += occurrences.total);
    }
    counts
}

/// Merged pieces in the order of their merges, and then the characters, the most frequent first; the score is the place
/// in this list, negative.
fn merged(
    words: &[(String, Occurrences)],
    alphabet: BTreeMap<char, u64>,
    limit: usize,
    min_frequency: u64,
) -> Vec<(String, f64)> {
    let mut tokens = Tokens::default();
    alphabet.keys().for_each(|c| _ = tokens.id(&c.to_string()));
    let words = words
        .iter()
        .map(|(word, occurrences)| {
            (word.chars().map(|c| tokens.id(&c.to_string())).collect(), occurrences.total)
        })
        .collect();
    learn(&mut tokens, words, limit, min_frequency, |left, right| {
        let piece: Vec<char> = left.chars().chain(right.chars()).collect();
        (piece.len() <= MAX_PIECE && one_script(&piece)).then(|| piece.into_iter().collect())
    });
    let mut chars: Vec<(char, u64)> = alphabet.into_iter().collect();
    chars.sort_by_key(|(c, count)| (Reverse(*count), *c));
    let merged = tokens.list.into_iter().skip(chars.len());
    let chars = chars.iter().map(|(c, _)| c.to_string());
    merged.chain(chars).zip(0_u32..).map(|(piece, place)| (piece, -f64::from(place))).collect()
}
