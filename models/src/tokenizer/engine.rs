//! How a text becomes ids, by the fastest way that gives the ids of the file.

use std::collections::HashMap;

use serde_json::Value;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::TokenizerKind;
use super::marked::Marked;

/// How the bytes of a text fall to its tokens.
#[derive(Debug)]
pub(super) enum Engine {
    /// The number of bytes of each token; they add up to the text, byte by byte.
    ByteLevel { bytes: Vec<usize> },
    /// The id of each character; a table instead of the library's regular expression.
    Character { ids: HashMap<char, u32>, unk: u32 },
    /// A SentencePiece vocabulary.
    Marked(Box<Marked>),
    /// Whatever the file says; the library keeps the offsets.
    Library,
}

impl Engine {
    pub(super) fn new(
        kind: TokenizerKind,
        json: &Value,
        inner: &tokenizers::Tokenizer,
        vocab_size: usize,
    ) -> Self {
        let model = &json["model"];
        // Added tokens that are not special are looked for in text, by the library alone.
        let added = json["added_tokens"].as_array().map_or(&[][..], Vec::as_slice);
        let all_special = added.iter().all(|token| token["special"] == true);
        let plain = json.get("normalizer").is_none_or(Value::is_null) && all_special;
        let vocab = model["vocab"].as_object().filter(|_| plain);
        if kind == TokenizerKind::Sentencepiece && all_special {
            let specials = added.iter().filter_map(|token| token["content"].as_str()).collect();
            if let Some(marked) = Marked::new(json, &specials) {
                return Self::Marked(Box::new(marked));
            }
        }
        match (vocab, model["type"].as_str()) {
            (Some(vocab), Some("BPE")) => Self::byte_level(json, vocab, vocab_size),
            (Some(vocab), Some("WordLevel")) => Self::character(json, vocab, inner),
            _ => None,
        }
        .unwrap_or(Self::Library)
    }

    /// Whether the [`words`](super::cut::words) of a text give the tokens of the whole: where the pre-tokenizer begins a
    /// word there anyway, and nothing before it looks beyond a space. (SentencePiece cuts at its marks, which other
    /// characters than a space can become.)
    pub(super) fn goes_word_by_word(&self, json: &Value) -> bool {
        let is = |part: &str, kind: &str| json[part]["type"] == kind;
        let added = json["added_tokens"].as_array().map_or(&[][..], Vec::as_slice);
        match self {
            Self::ByteLevel { .. } => true,
            Self::Character { .. } | Self::Marked(_) => false,
            Self::Library => {
                is("normalizer", "BertNormalizer")
                    && is("pre_tokenizer", "BertPreTokenizer")
                    && added.iter().all(|token| token["special"] == true)
            }
        }
    }

    /// Only where all 256 bytes are tokens and nothing is put before the text.
    fn byte_level(json: &Value, vocab: &Vocab, vocab_size: usize) -> Option<Self> {
        let pre = &json["pre_tokenizer"];
        let same = pre["type"] == "ByteLevel"
            && pre["add_prefix_space"] == false
            && pre.get("use_regex").is_none_or(|regex| *regex == true)
            && ByteLevel::alphabet().iter().all(|c| vocab.contains_key(&c.to_string()));
        let mut bytes = vec![0; vocab_size];
        for (token, id) in vocab {
            // Each byte is one character of the vocabulary.
            *bytes.get_mut(usize::try_from(id.as_u64()?).ok()?)? = token.chars().count();
        }
        same.then_some(Self::ByteLevel { bytes })
    }

    fn character(json: &Value, vocab: &Vocab, inner: &tokenizers::Tokenizer) -> Option<Self> {
        let pre = &json["pre_tokenizer"];
        let unk = inner.token_to_id(json["model"]["unk_token"].as_str()?)?;
        let single = |(token, id): (&String, &Value)| {
            let mut chars = token.chars();
            let c = chars.next().filter(|_| chars.next().is_none())?;
            Some((c, u32::try_from(id.as_u64()?).ok()?))
        };
        (pre["behavior"] == "Isolated" && pre["invert"] != true)
            .then(|| Self::Character { ids: vocab.iter().filter_map(single).collect(), unk })
    }
}

type Vocab = serde_json::Map<String, Value>;

/// Appends, for each token, whether the first byte of a word lies in it; `ends` are the ends of the tokens in bytes.
pub(super) fn mark_words(
    text: &str,
    inside_word: bool,
    ends: impl Iterator<Item = usize>,
    starts: &mut Vec<bool>,
) {
    let mut before = if inside_word { 'x' } else { ' ' };
    let mut words = text
        .char_indices()
        .filter_map(|(at, c)| {
            let begins = before.is_whitespace() && !c.is_whitespace();
            before = c;
            begins.then_some(at)
        })
        .peekable();
    for end in ends {
        let mut begins = false;
        while words.next_if(|at| *at < end).is_some() {
            begins = true;
        }
        starts.push(begins);
    }
}
