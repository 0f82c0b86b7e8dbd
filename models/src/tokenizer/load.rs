//! Reading a `tokenizer.json` that somebody else may have written.
//!
//! The library behind it panics on some malformed files (measured: 8 of 24 hand-made ones), and asks for 16 GB on
//! others. So the file is bounded, checked here first, stripped of what Foundry never uses (padding, truncation, the
//! post-processor), loaded where a panic is caught, and tried on a few texts before anyone relies on it.

use std::cell::Cell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use serde_json::Value;

use super::character::ANY_CHARACTER;
use super::{MAX_VOCABULARY, TokenizerKind};

/// The largest `tokenizer.json` that is read, in bytes.
pub(super) const MAX_BYTES: u64 = 64 << 20;

/// How deep `Sequence` components may nest.
const MAX_DEPTH: usize = 4;

/// Vocabularies of released models have a few unused ids; a file with more than this is broken.
const MAX_UNUSED_IDS: usize = 4096;

const NORMALIZERS: &[&str] = &[
    "BertNormalizer",
    "ByteLevel",
    "Lowercase",
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
    "Nmt",
    "Precompiled",
    "Prepend",
    "Replace",
    "Sequence",
    "Strip",
    "StripAccents",
];
const PRE_TOKENIZERS: &[&str] = &[
    "BertPreTokenizer",
    "ByteLevel",
    "CharDelimiterSplit",
    "Digits",
    "Metaspace",
    "Punctuation",
    "Sequence",
    "Split",
    "UnicodeScripts",
    "Whitespace",
    "WhitespaceSplit",
];
const DECODERS: &[&str] = &[
    "BPEDecoder",
    "ByteFallback",
    "ByteLevel",
    "Fuse",
    "Metaspace",
    "Replace",
    "Sequence",
    "Strip",
    "WordPiece",
];

/// A checked `tokenizer.json`.
pub(super) struct Checked {
    /// As it is saved and hashed: as given, with padding and truncation null.
    pub(super) json: Value,
    /// What encodes and decodes.
    pub(super) inner: tokenizers::Tokenizer,
    pub(super) kind: TokenizerKind,
    /// One more than the largest id.
    pub(super) vocab_size: usize,
}

/// Checks and loads; the error is the reason alone, for the caller to put the file's name before.
pub(super) fn check(mut json: Value) -> Result<Checked, String> {
    let root = json.as_object_mut().ok_or("the file is not a JSON object")?;
    if let Some(version) = root.get("version").filter(|version| *version != "1.0") {
        return Err(format!("version is {version}, and only \"1.0\" is known"));
    }
    root.insert("padding".into(), Value::Null);
    root.insert("truncation".into(), Value::Null);
    name_model(root.get_mut("model").ok_or("model is missing")?)?;

    component(&json, "normalizer", NORMALIZERS)?;
    component(&json, "pre_tokenizer", PRE_TOKENIZERS)?;
    component(&json, "decoder", DECODERS)?;
    model(&json["model"])?;
    let vocab_size = ids(&json)?;
    let kind = kind_of(&json)?;

    let mut bare = json.clone();
    bare["post_processor"] = Value::Null;
    let bytes = serde_json::to_vec(&bare).map_err(|error| error.to_string())?;
    drop(bare);
    let inner = guarded(|| {
        let mut inner = tokenizers::Tokenizer::from_bytes(&bytes).map_err(|e| e.to_string())?;
        // Text that spells a special token is text.
        inner.set_encode_special_tokens(true);
        Ok(inner)
    })?;
    agree(&json, &inner)?;
    for text in ["", " ", "a", "The cats' 2 é\u{301} 中文 🙂\r\n\t  end. ", "\u{0}\u{10FFFF}"]
    {
        guarded(|| {
            let encoding = inner.encode_fast(text, false).map_err(|e| e.to_string())?;
            inner.decode(encoding.get_ids(), false).map_err(|e| e.to_string())
        })
        .map_err(|reason| format!("encoding the text {text:?} fails: {reason}"))?;
    }
    Ok(Checked { json, inner, kind, vocab_size })
}

/// Files of 2019 do not name the type of their model.
fn name_model(model: &mut Value) -> Result<(), String> {
    let model = model.as_object_mut().ok_or("model is not an object")?;
    if !model.contains_key("type") {
        let name = if model.contains_key("merges") {
            "BPE"
        } else if model.get("vocab").is_some_and(Value::is_array) {
            "Unigram"
        } else if model.contains_key("max_input_chars_per_word") {
            "WordPiece"
        } else {
            "WordLevel"
        };
        model.insert("type".into(), name.into());
    }
    Ok(())
}

fn component(json: &Value, field: &str, known: &[&str]) -> Result<(), String> {
    match json.get(field) {
        None | Some(Value::Null) => Ok(()),
        Some(value) => component_at(value, field, field, known, 0),
    }
}

fn component_at(
    value: &Value,
    field: &str,
    path: &str,
    known: &[&str],
    depth: usize,
) -> Result<(), String> {
    let name =
        value.get("type").and_then(Value::as_str).ok_or(format!("{path}.type is missing"))?;
    if !known.contains(&name) {
        return Err(format!("{path}.type is {name:?}; known are {}", known.join(", ")));
    }
    if depth > MAX_DEPTH {
        return Err(format!("{path} nests deeper than {MAX_DEPTH}"));
    }
    // The library counts from the end of a token without looking at its length.
    if field == "decoder" && name == "Strip" && value.get("stop") != Some(&Value::from(0)) {
        return Err(format!("{path}.stop must be 0"));
    }
    for list in ["normalizers", "pretokenizers", "decoders"] {
        for (i, inner) in
            value.get(list).and_then(Value::as_array).into_iter().flatten().enumerate()
        {
            component_at(inner, field, &format!("{path}.{list}[{i}]"), known, depth + 1)?;
        }
    }
    Ok(())
}

fn model(model: &Value) -> Result<(), String> {
    let name = model["type"].as_str().ok_or("model.type is not a text")?;
    if !["BPE", "WordPiece", "Unigram", "WordLevel"].contains(&name) {
        return Err(format!(
            "model.type is {name:?}; known are BPE, WordPiece, Unigram, WordLevel"
        ));
    }
    if name == "BPE" {
        if model.get("dropout").is_some_and(|p| !p.is_null() && p.as_f64() != Some(0.0)) {
            return Err(
                "model.dropout is set: the same text would get different ids each time".into()
            );
        }
        merges(model)?;
    }
    if name == "Unigram" {
        unigram(model)?;
    }
    Ok(())
}

/// A list of texts and scores, and an unknown piece among them.
fn unigram(model: &Value) -> Result<(), String> {
    let vocab = model["vocab"].as_array().ok_or("model.vocab is not a list")?;
    for (i, entry) in vocab.iter().enumerate() {
        let good = entry.as_array().is_some_and(|entry| entry.len() == 2)
            && entry[0].as_str().is_some_and(|piece| !piece.is_empty())
            && entry[1].as_f64().is_some_and(f64::is_finite);
        if !good {
            return Err(format!("model.vocab[{i}] = {entry} is not a piece and its score"));
        }
    }
    let unk = model["unk_id"].as_u64().and_then(|id| usize::try_from(id).ok());
    if unk.is_none_or(|id| id >= vocab.len()) {
        return Err("model.unk_id is not the place of a piece".into());
    }
    Ok(())
}

/// Both halves of every merge, and what they make, must be tokens.
fn merges(model: &Value) -> Result<(), String> {
    let vocab = model["vocab"].as_object().ok_or("model.vocab is not an object")?;
    let prefix = model.get("continuing_subword_prefix").and_then(Value::as_str).unwrap_or("");
    let merges = model["merges"].as_array().ok_or("model.merges is not a list")?;
    for (i, merge) in merges.iter().enumerate() {
        let bad = |what: &str| format!("model.merges[{i}] = {merge}: {what}");
        let (left, right) = match merge {
            Value::String(pair) => pair.split_once(' '),
            Value::Array(pair) => match pair.as_slice() {
                [left, right] => left.as_str().zip(right.as_str()),
                _ => None,
            },
            _ => None,
        }
        .ok_or_else(|| bad("is not a pair of tokens"))?;
        let rest = right
            .strip_prefix(prefix)
            .ok_or_else(|| bad("its second token lacks the continuing_subword_prefix"))?;
        for token in [left, right, &format!("{left}{rest}")] {
            if !vocab.contains_key(token) {
                return Err(bad(&format!("{token:?} is not in model.vocab")));
            }
        }
    }
    Ok(())
}

/// Checks the ids of the vocabulary and the added tokens, and returns the size.
fn ids(json: &Value) -> Result<usize, String> {
    let vocab = &json["model"]["vocab"];
    let mut used: HashSet<usize> = HashSet::new();
    let mut take = |id: Option<u64>, token: &str| -> Result<bool, String> {
        let id = id
            .and_then(|id| usize::try_from(id).ok())
            .filter(|id| *id < MAX_VOCABULARY)
            .ok_or_else(|| format!("the id of {token:?} is not a number below {MAX_VOCABULARY}"))?;
        Ok(used.insert(id))
    };
    match vocab {
        Value::Object(map) => {
            for (token, id) in map {
                if !take(id.as_u64(), token)? {
                    return Err(format!("two tokens of model.vocab have the id {id} of {token:?}"));
                }
            }
        }
        Value::Array(pieces) => {
            for id in 0..pieces.len() {
                take(u64::try_from(id).ok(), "a piece")?;
            }
        }
        _ => return Err("model.vocab is neither an object nor a list".into()),
    }
    let added = match json.get("added_tokens") {
        None | Some(Value::Null) => &[][..],
        Some(list) => list.as_array().ok_or("added_tokens is not a list")?,
    };
    let mut contents = HashSet::new();
    for (i, token) in added.iter().enumerate() {
        let content = token.get("content").and_then(Value::as_str).unwrap_or("");
        if content.is_empty() || !contents.insert(content) {
            return Err(format!("added_tokens[{i}].content is missing or not unique"));
        }
        take(token.get("id").and_then(Value::as_u64), content)?;
    }
    let size = used.iter().max().ok_or("the vocabulary is empty")? + 1;
    if size - used.len() > MAX_UNUSED_IDS {
        return Err(format!(
            "the largest id is {}, but there are only {} tokens",
            size - 1,
            used.len()
        ));
    }
    Ok(size)
}

fn kind_of(json: &Value) -> Result<TokenizerKind, String> {
    let has = |field: &str, name: &str| {
        let part = &json[field];
        let inner = ["pretokenizers", "normalizers"]
            .iter()
            .filter_map(|list| part.get(list).and_then(Value::as_array))
            .flatten();
        std::iter::once(part).chain(inner).any(|part| part["type"] == name)
    };
    match json["model"]["type"].as_str() {
        Some("BPE") if has("pre_tokenizer", "ByteLevel") || has("normalizer", "ByteLevel") => {
            Ok(TokenizerKind::Bpe)
        }
        Some("BPE" | "Unigram") => Ok(TokenizerKind::Sentencepiece),
        Some("WordPiece") => Ok(TokenizerKind::Wordpiece),
        _ if json["pre_tokenizer"]["pattern"]["Regex"] == ANY_CHARACTER => {
            Ok(TokenizerKind::Character)
        }
        _ => Err("a WordLevel model is used only for characters (pre_tokenizer Split on [\\s\\S])"
            .into()),
    }
}

/// The library may number added tokens its own way; then the file and the library disagree about the text.
fn agree(json: &Value, inner: &tokenizers::Tokenizer) -> Result<(), String> {
    for token in json.get("added_tokens").and_then(Value::as_array).into_iter().flatten() {
        let content = token["content"].as_str().unwrap_or("");
        let id = inner.token_to_id(content).map(u64::from);
        if id != token["id"].as_u64() {
            return Err(format!(
                "added token {content:?} has the id {} in the list, but the vocabulary makes it {id:?}",
                token["id"]
            ));
        }
    }
    Ok(())
}

thread_local!(static QUIET: Cell<bool> = const { Cell::new(false) });
static HOOK: Once = Once::new();

/// Runs library code that may panic on bad files, and turns a panic into a reason, without a word on stderr.
pub(super) fn guarded<T>(f: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    HOOK.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                default(info);
            }
        }));
    });
    let before = QUIET.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(f));
    QUIET.set(before);
    outcome.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("the tokenizers library gave up ({})", text.unwrap_or("no message")))
    })
}
