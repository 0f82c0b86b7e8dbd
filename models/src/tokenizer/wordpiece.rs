//! WordPiece, as BERT has it.
//!
//! Schuster, Nakajima: *Japanese and Korean voice search* (2012); Devlin et al.: *BERT* (2019). Text is cleaned,
//! lower-cased and stripped of accents if so configured, and cut at white space and punctuation; a word is then spelled
//! with the longest pieces that fit, from left to right, those inside a word marked `##`. A word that cannot be spelled,
//! or is longer than 100 characters, is `[UNK]`.
//!
//! The vocabulary is learned by merging frequent neighbours ([`merges`](super::merges)), as Hugging Face's trainer does;
//! it holds every character of the corpus, and with `##` every character that occurs inside a word. Words are
//! normalised and cut by the very components that will do so when text is encoded.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
};

use super::merges::{Tokens, learn};
use super::special::{added_tokens, refuse_learned};
use super::words::Words;
use super::{TextSource, TokenizerError, TrainOptions, Trained};

/// What marks a piece inside a word.
const INSIDE: &str = "##";

/// Longer words are `[UNK]`.
const LONGEST_WORD: usize = 100;

/// Trains on `text`.
pub(super) fn train(
    options: &TrainOptions,
    text: TextSource<'_>,
) -> Result<Trained, TokenizerError> {
    let normalizer =
        BertNormalizer::new(true, true, Some(options.strip_accents), options.lowercase);
    let words = Words::count(text)?;
    let characters = words.characters;
    let words = words.map(|word| cut(&normalizer, word));

    let specials = options.special_tokens.texts();
    let mut first: BTreeSet<char> = BTreeSet::new();
    let mut inside: BTreeSet<char> = BTreeSet::new();
    for (word, _) in &words {
        first.extend(word.chars());
        inside.extend(word.chars().skip(1));
    }
    let least = specials.len() + first.len() + inside.len();
    options.check_size(least, || {
        format!(
            "{} special tokens, {} characters, and {} characters inside words",
            specials.len(),
            first.len(),
            inside.len()
        )
    })?;

    let mut tokens = Tokens::default();
    specials.iter().for_each(|text| _ = tokens.id(text));
    first.iter().for_each(|c| _ = tokens.id(&c.to_string()));
    inside.iter().for_each(|c| _ = tokens.id(&format!("{INSIDE}{c}")));
    let words = words
        .iter()
        .map(|(word, occurrences)| {
            let piece = |(i, c): (usize, char)| match i {
                0 => tokens.id(&c.to_string()),
                _ => tokens.id(&format!("{INSIDE}{c}")),
            };
            (word.chars().enumerate().map(piece).collect(), occurrences.total)
        })
        .collect();
    let alphabet = tokens.list.len();
    learn(&mut tokens, words, options.vocab_size, options.min_frequency, |left, right| {
        Some(format!("{left}{}", right.strip_prefix(INSIDE).unwrap_or(right)))
    });
    refuse_learned(&options.special_tokens, tokens.list[alphabet..].iter().map(String::as_str))?;

    let vocab: Map<String, Value> =
        tokens.list.into_iter().zip(0..).map(|(token, id)| (token, Value::from(id))).collect();
    let size = vocab.len();
    let id = |text: &Option<String>| {
        text.as_ref().and_then(|text| Some(json!([text, vocab.get(text.as_str())?])))
    };
    let roles = &options.special_tokens;
    let post_processor = match (id(&roles.sep_token), id(&roles.cls_token)) {
        (Some(sep), Some(cls)) => json!({"type": "BertProcessing", "sep": sep, "cls": cls}),
        _ => Value::Null,
    };
    let json = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added_tokens(&specials),
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": true,
            "handle_chinese_chars": true,
            "strip_accents": options.strip_accents,
            "lowercase": options.lowercase
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": post_processor,
        "decoder": { "type": "WordPiece", "prefix": INSIDE, "cleanup": false },
        "model": {
            "type": "WordPiece",
            "unk_token": roles.unk_token,
            "continuing_subword_prefix": INSIDE,
            "max_input_chars_per_word": LONGEST_WORD,
            "vocab": vocab
        }
    });
    let times = options.min_frequency.max(1);
    let notes =
        options.smaller_note(size, &format!("no pair of the corpus occurs {times} times any more"));
    Ok(Trained { json, characters, notes })
}

/// The words and punctuation marks of a stretch without spaces; without the words that are too long to be spelled.
fn cut(normalizer: &BertNormalizer, text: &str) -> Vec<String> {
    let mut normalised = NormalizedString::from(text);
    // These two never fail: they look at one character at a time.
    if normalizer.normalize(&mut normalised).is_err() {
        return Vec::new();
    }
    let mut words = PreTokenizedString::from(normalised);
    if BertPreTokenizer.pre_tokenize(&mut words).is_err() {
        return Vec::new();
    }
    words
        .get_splits(OffsetReferential::Normalized, OffsetType::Byte)
        .into_iter()
        .map(|(word, _, _)| word)
        .filter(|word| !word.is_empty() && word.chars().count() <= LONGEST_WORD)
        .map(str::to_owned)
        .collect()
}
