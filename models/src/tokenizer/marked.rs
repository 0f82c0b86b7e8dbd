//! Encoding with a vocabulary of marked words (`▁the`), so that long and streamed texts come out as if whole.
//!
//! The first word of a text is marked although no space stands before it. That must not happen where a text only goes
//! on, because a long text is encoded in segments. So there are two ways into the vocabulary, one for a text that
//! begins and one for a text that goes on; the second leaves out what is put before a text, or stripped from its
//! beginning.

use std::collections::HashSet;

use serde_json::Value;
use tokenizers::{
    Encoding, Model, NormalizerWrapper, OffsetType, PreTokenizedString, PreTokenizer,
    PreTokenizerWrapper,
};

use super::unigram::encode::Unigram;
use super::{LEADING_SPACES, WORD_MARK};

/// What happens to a text before it is cut into pieces.
#[derive(Debug)]
struct Pipeline {
    normalizer: Option<NormalizerWrapper>,
    pre_tokenizer: Option<PreTokenizerWrapper>,
}

/// A SentencePiece vocabulary.
#[derive(Debug)]
pub(super) struct Marked {
    begins: Pipeline,
    goes_on: Pipeline,
    /// Merges are left to the library.
    unigram: Option<Unigram>,
    /// The normaliser itself puts a mark before the text.
    prepends: bool,
}

impl Marked {
    /// From a checked `tokenizer.json`; `specials` are never found in text.
    pub(super) fn new(json: &Value, specials: &HashSet<&str>) -> Option<Self> {
        let part = |field: &str| json.get(field).cloned().unwrap_or(Value::Null);
        let (normalizer, pre_tokenizer) = (part("normalizer"), part("pre_tokenizer"));
        let unigram = match json["model"]["type"].as_str()? {
            "Unigram" => Some(Unigram::new(&json["model"], specials)?),
            _ => None,
        };
        let parts = normalizer["normalizers"].as_array();
        let prepends = parts.into_iter().flatten().any(|part| part["type"] == "Prepend");
        Some(Self {
            prepends,
            goes_on: Pipeline {
                normalizer: component(going_on(&normalizer))?,
                pre_tokenizer: component(going_on(&pre_tokenizer))?,
            },
            begins: Pipeline {
                normalizer: component(normalizer)?,
                pre_tokenizer: component(pre_tokenizer)?,
            },
            unigram,
        })
    }

    /// Spaces instead of marks, without the mark that was put before the text.
    pub(super) fn unmark(&self, normalised: &str) -> String {
        let text = normalised.replace(WORD_MARK, " ");
        match text.strip_prefix(' ') {
            Some(rest) if self.prepends => rest.to_owned(),
            _ => text,
        }
    }

    /// `goes_on`: the text goes on a word, or is the white space behind one.
    pub(super) fn encode(
        &self,
        text: &str,
        goes_on: bool,
        library: &tokenizers::Tokenizer,
    ) -> tokenizers::Result<Encoding> {
        let Pipeline { normalizer, pre_tokenizer } =
            if goes_on { &self.goes_on } else { &self.begins };
        let mut words = PreTokenizedString::from(text);
        if let Some(normalizer) = normalizer {
            words.normalize(|text| tokenizers::Normalizer::normalize(normalizer, text))?;
        }
        if let Some(pre_tokenizer) = pre_tokenizer {
            pre_tokenizer.pre_tokenize(&mut words)?;
        }
        match &self.unigram {
            Some(unigram) => words.tokenize(|word| Ok(unigram.tokenize(word.get())))?,
            None => words.tokenize(|word| library.get_model().tokenize(word.get()))?,
        }
        words.into_encoding(None, 0, OffsetType::Byte)
    }
}

/// A part of the file as the library has it; nothing for null.
fn component<T: serde::de::DeserializeOwned>(json: Value) -> Option<Option<T>> {
    serde_json::from_value(json).ok()
}

/// The same component for a text that goes on; null when nothing is left of it.
fn going_on(json: &Value) -> Value {
    let mut json = json.clone();
    match json["type"].as_str() {
        Some("Prepend") => return Value::Null,
        Some("Replace") if json["pattern"]["Regex"] == LEADING_SPACES => return Value::Null,
        Some("Strip") => json["strip_left"] = false.into(),
        Some("Metaspace") => {
            json["prepend_scheme"] = "never".into();
            if let Some(old) = json.as_object_mut() {
                old.remove("add_prefix_space");
            }
        }
        Some("Sequence") => {
            for list in ["normalizers", "pretokenizers"] {
                if let Some(parts) = json.get_mut(list).and_then(Value::as_array_mut) {
                    *parts = parts.iter().map(going_on).filter(|part| !part.is_null()).collect();
                }
            }
        }
        _ => {}
    }
    json
}
