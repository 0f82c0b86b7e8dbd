//! One token for each Unicode scalar value that occurs in the corpus.
//!
//! The vocabulary is the special tokens and then the characters in the order of their code points; every other
//! character becomes `<unk>`, and is counted. `vocab_size` is an upper bound, so that the memory of a model is known
//! beforehand: an alphabet beyond it is refused. `min_frequency` does not apply. In the file it is a `WordLevel` model behind a `Split` on `[\s\S]` (any one character; both fancy-regex
//! here and Oniguruma in Python take this pattern, while Oniguruma refuses `(?s).`).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::special::added_tokens;
use super::{TextSource, TokenizerError, TokenizerKind, TrainOptions, Trained};

/// The pattern that takes one character, any character.
pub(super) const ANY_CHARACTER: &str = r"[\s\S]";

/// Collects the alphabet of `text`.
pub(super) fn train(
    options: &TrainOptions,
    text: TextSource<'_>,
) -> Result<Trained, TokenizerError> {
    let mut alphabet = BTreeSet::new();
    let mut characters = 0;
    for piece in text {
        let piece = piece.map_err(|error| TokenizerError::Corpus(Box::new(error)))?;
        for c in piece.chars() {
            characters += 1;
            alphabet.insert(c);
        }
    }
    if characters == 0 {
        return Err(TokenizerError::NoText);
    }
    let specials = options.special_tokens.texts();
    let tokens =
        specials.iter().map(|text| (*text).to_owned()).chain(alphabet.iter().map(char::to_string));
    let vocab: Map<String, Value> =
        tokens.enumerate().map(|(id, token)| (token, json!(id))).collect();
    let (requested, least) = (options.vocab_size, vocab.len());
    let parts = format!("{} characters and {} special tokens", alphabet.len(), specials.len());
    if least > requested {
        let kind = TokenizerKind::Character;
        return Err(TokenizerError::VocabularyTooSmall { kind, requested, least, reason: parts });
    }
    let mut notes = Vec::new();
    if least < requested {
        notes.push(format!(
            "the vocabulary has {least} tokens, not the {requested} allowed: {parts}"
        ));
    }
    let json = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added_tokens(&specials),
        "normalizer": null,
        "pre_tokenizer": {
            "type": "Split",
            "pattern": { "Regex": ANY_CHARACTER },
            "behavior": "Isolated",
            "invert": false
        },
        "post_processor": null,
        "decoder": { "type": "Fuse" },
        "model": { "type": "WordLevel", "vocab": vocab, "unk_token": options.special_tokens.unk_token }
    });
    Ok(Trained { json, characters, notes })
}
