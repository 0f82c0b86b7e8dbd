//! Tokenizers: text to ids and back.
//!
//! | kind | unit | unknown text | decode(encode(x)) |
//! |---|---|---|---|
//! | [`sentencepiece`](TokenizerKind::Sentencepiece) | pieces of marked words | spelled in bytes | NFKC of x, single spaces |
//! | [`wordpiece`](TokenizerKind::Wordpiece) | pieces of words | `[UNK]`, counted | words and punctuation, single spaces |
//! | [`bpe`](TokenizerKind::Bpe) | merged bytes | cannot happen | x |
//! | [`character`](TokenizerKind::Character) | Unicode scalar values | `<unk>`, counted | x over its alphabet |
//!
//! decode(encode(x)) is [`normalise`](Tokenizer::normalise)(x) for all of them, as long as nothing is unknown.
//!
//! Each is trained deterministically (the same bytes for any number of threads), and is kept in Hugging Face's
//! format, so that `AutoTokenizer` reads what Foundry writes. Encoding and decoding are those of the `tokenizers`
//! crate; a trained tokenizer takes the same path as a loaded one (`load`), so both are held to the same checks.
//!
//! **Special tokens are never read out of text.** A corpus that contains the characters `</s>` gets the ids of
//! ordinary text for them; only Foundry itself places special ids.

mod bpe;
mod cache;
mod character;
mod charsmap;
pub mod cut;
mod double_array;
mod engine;
mod error;
mod files;
mod import;
mod load;
mod marked;
mod merges;
mod options;
mod sentencepiece;
mod sentencepiece_model;
mod special;
mod unigram;
mod wordpiece;
mod words;

use std::str::FromStr;

use rayon::prelude::*;
use serde_json::Value;
use tokenizers::{Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

pub use crate::config::choices::{SentencePieceModel, TokenizerKind};
pub use error::TokenizerError;
pub use files::{CONFIG_FILE, MAP_FILE, MODEL_FILE, TOKENIZER_FILE};
pub use options::TrainOptions;
pub use special::{SpecialIds, SpecialTokens};

use crate::data::DataError;
use cache::{Spelling, Spellings};
use engine::{Engine, mark_words};
use load::guarded;

/// The largest vocabulary: ids stay far below any limit of the arithmetic.
pub const MAX_VOCABULARY: usize = 1 << 24;

/// What SentencePiece marks the beginnings of words with.
const WORD_MARK: char = '▁';

/// The pattern of the spaces that a text begins with.
const LEADING_SPACES: &str = r"\A +";

impl TokenizerKind {
    fn trainer(self) -> Trainer {
        match self {
            Self::Sentencepiece => sentencepiece::train,
            Self::Wordpiece => wordpiece::train,
            Self::Bpe => bpe::train,
            Self::Character => character::train,
        }
    }
}

impl FromStr for TokenizerKind {
    type Err = TokenizerError;

    fn from_str(name: &str) -> Result<Self, TokenizerError> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| TokenizerError::UnknownKind(name.into()))
    }
}

/// What training did, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainReport {
    /// Characters read.
    pub characters: u64,
    /// The true size of the vocabulary.
    pub vocab_size: usize,
    /// What a user should know.
    pub notes: Vec<String>,
}

/// The text to train on, in pieces, as [`Corpus::text`](crate::data::Corpus::text) gives it.
pub type TextSource<'a> = &'a mut (dyn Iterator<Item = Result<String, DataError>> + Send);

type Trainer = fn(&TrainOptions, TextSource<'_>) -> Result<Trained, TokenizerError>;

/// What a trainer hands back: a `tokenizer.json` and what it saw.
struct Trained {
    json: Value,
    characters: u64,
    notes: Vec<String>,
}

/// Token ids of a text, and which of them begin a word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids.
    pub ids: Vec<u32>,
    /// For each token, whether the first byte of a word (a stretch without white space) lies in it.
    pub word_starts: Vec<bool>,
}

/// A trained or loaded tokenizer.
///
/// ```
/// use foundry_models::tokenizer::{Tokenizer, TokenizerKind, TrainOptions};
/// let options = TrainOptions::new(TokenizerKind::Character, 5_000);
/// let (tokenizer, _) = Tokenizer::train(&options, &mut ["abc".to_owned()].into_iter().map(Ok))?;
/// assert_eq!(tokenizer.encode("cab")?, [6, 4, 5]); // 0 to 3 are <s>, </s>, <unk> and <pad>
/// assert_eq!(tokenizer.decode(&[6, 4, 5])?, "cab");
/// # Ok::<(), foundry_models::tokenizer::TokenizerError>(())
/// ```
#[derive(Debug)]
pub struct Tokenizer {
    kind: TokenizerKind,
    json: Value,
    hash: blake3::Hash,
    inner: tokenizers::Tokenizer,
    engine: Engine,
    /// Where words can be encoded one by one.
    spellings: Option<Spellings>,
    special_tokens: SpecialTokens,
    special_ids: SpecialIds,
    vocab_size: usize,
}

impl Tokenizer {
    /// Trains a tokenizer on `text`. The result depends on the text alone, not on how it is cut or on threads.
    ///
    /// # Errors
    /// Sizes or special tokens that cannot be, a corpus that cannot be read or is empty.
    pub fn train(
        options: &TrainOptions,
        text: TextSource<'_>,
    ) -> Result<(Self, TrainReport), TokenizerError> {
        let trainer = options.kind.trainer();
        options.special_tokens.check(options.kind)?;
        let Trained { json, characters, notes } = trainer(options, text)?;
        let origin = "the trained tokenizer";
        let checked = load::check(json)
            .map_err(|reason| TokenizerError::Invalid { origin: origin.into(), reason })?;
        let tokenizer = Self::from_checked(checked, options.special_tokens.clone(), origin)?;
        tokenizer.refuse_spelled_specials()?;
        let vocab_size = tokenizer.vocab_size;
        Ok((tokenizer, TrainReport { characters, vocab_size, notes }))
    }

    /// A special token that text can become would not be special.
    fn refuse_spelled_specials(&self) -> Result<(), TokenizerError> {
        for (role, text) in self.special_tokens.roles() {
            let ids = self.encode(text)?;
            let found = |id: &u32| {
                Some(*id) != self.special_ids.unk
                    && self.special_ids.iter().any(|other| other == *id)
            };
            if ids.iter().any(found) {
                return Err(special::spelled(role, text));
            }
        }
        Ok(())
    }

    fn from_checked(
        checked: load::Checked,
        special_tokens: SpecialTokens,
        origin: &str,
    ) -> Result<Self, TokenizerError> {
        let load::Checked { json, inner, kind, vocab_size } = checked;
        let id = |text: &Option<String>| text.as_ref().and_then(|text| inner.token_to_id(text));
        if let Some((role, text)) =
            special_tokens.roles().find(|(_, text)| inner.token_to_id(text).is_none())
        {
            return Err(TokenizerError::Invalid {
                origin: origin.into(),
                reason: format!("{role} is {text:?}, which is not in the vocabulary"),
            });
        }
        let special_ids = SpecialIds {
            bos: id(&special_tokens.bos_token),
            eos: id(&special_tokens.eos_token),
            unk: id(&special_tokens.unk_token),
            pad: id(&special_tokens.pad_token),
            mask: id(&special_tokens.mask_token),
            cls: id(&special_tokens.cls_token),
            sep: id(&special_tokens.sep_token),
        };
        let hash = blake3::hash(json.to_string().as_bytes());
        let engine = Engine::new(kind, &json, &inner, vocab_size);
        let spellings = engine.goes_word_by_word(&json).then(Spellings::default);
        Ok(Self {
            kind,
            json,
            hash,
            inner,
            engine,
            spellings,
            special_tokens,
            special_ids,
            vocab_size,
        })
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> TokenizerKind {
        self.kind
    }

    /// The size of the vocabulary, added tokens included: one more than the largest id.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The blake3 hash of the `tokenizer.json`, white space apart: two tokenizers with one hash encode alike.
    #[must_use]
    pub fn hash(&self) -> blake3::Hash {
        self.hash
    }

    /// The special tokens.
    #[must_use]
    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.special_tokens
    }

    /// The ids of the special tokens.
    #[must_use]
    pub fn special_ids(&self) -> SpecialIds {
        self.special_ids
    }

    /// The text of one token as the vocabulary writes it (`Ġthe`), if the id is in use.
    #[must_use]
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The id of one token as the vocabulary writes it.
    #[must_use]
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    fn json(&self) -> &Value {
        &self.json
    }

    /// Token ids of `text`, without special tokens.
    ///
    /// # Errors
    /// Only for loaded tokenizers whose parts fail on this text; bpe and character never do.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut ids = Vec::with_capacity(text.len() / 3);
        let mut inside = false;
        for segment in cut::segments(text) {
            self.encode_segment(segment, inside, &mut ids, Marks::None)?;
            inside = ends_inside(segment);
        }
        Ok(ids)
    }

    /// Token ids of `text`, and where in it each token ends, in bytes.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_ends(&self, text: &str) -> Result<(Vec<u32>, Vec<usize>), TokenizerError> {
        let (mut ids, mut ends) = (Vec::new(), Vec::new());
        let (mut inside, mut first) = (false, 0);
        for segment in cut::segments(text) {
            self.encode_segment(segment, inside, &mut ids, Marks::Ends(first, &mut ends))?;
            inside = ends_inside(segment);
            first += segment.len();
        }
        Ok((ids, ends))
    }

    /// Token ids of each text, in order, on the threads of the rayon pool that the caller is in.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_batch<S: AsRef<str> + Sync>(
        &self,
        texts: &[S],
    ) -> Result<Vec<Vec<u32>>, TokenizerError> {
        texts.par_iter().map(|text| self.encode(text.as_ref())).collect()
    }

    /// Token ids of `text`, and which of them begin a word.
    ///
    /// `inside_word` says that `text` goes on a word that began before it.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_words(&self, text: &str, inside_word: bool) -> Result<Encoded, TokenizerError> {
        let mut encoded = Encoded::default();
        let mut inside = inside_word;
        for segment in cut::segments(text) {
            let Encoded { ids, word_starts } = &mut encoded;
            self.encode_segment(segment, inside, ids, Marks::Words(word_starts))?;
            inside = ends_inside(segment);
        }
        Ok(encoded)
    }

    fn encode_segment(
        &self,
        text: &str,
        inside: bool,
        ids: &mut Vec<u32>,
        mut marks: Marks<'_>,
    ) -> Result<(), TokenizerError> {
        if let Engine::Character { ids: table, unk } = &self.engine {
            ids.extend(text.chars().map(|c| table.get(&c).copied().unwrap_or(*unk)));
            marks.take(0, text, inside, text.char_indices().map(|(at, c)| at + c.len_utf8()));
            return Ok(());
        }
        let Some(spellings) = &self.spellings else {
            self.spell(text, inside)?.append(0, text, inside, ids, &mut marks);
            return Ok(());
        };
        let mut at = 0;
        for word in cut::words(text) {
            let inside = at > 0 || inside;
            spellings.with(
                word,
                || self.spell(word, inside),
                |spelling| spelling.append(at, word, inside, ids, &mut marks),
            )?;
            at += word.len();
        }
        Ok(())
    }

    /// The tokens of a text, as the library finds them.
    fn spell(&self, text: &str, inside: bool) -> Result<Spelling, TokenizerError> {
        let encode = || match &self.engine {
            Engine::ByteLevel { .. } => self.inner.encode_fast(text, false),
            Engine::Marked(marked) => marked.encode(text, inside, &self.inner),
            Engine::Character { .. } | Engine::Library => self.inner.encode(text, false),
        };
        let encoding = Self::library(encode, text)?;
        let ids = encoding.get_ids();
        Ok(if let Engine::ByteLevel { bytes } = &self.engine {
            let length = |id: &u32| bytes.get(*id as usize).copied().unwrap_or(0);
            Spelling::new(
                ids,
                ids.iter().scan(0, |end, id| {
                    *end += length(id);
                    Some(*end)
                }),
            )
        } else {
            Spelling::new(ids, encoding.get_offsets().iter().map(|(_, end)| *end))
        })
    }

    fn library(
        encode: impl FnOnce() -> tokenizers::Result<tokenizers::Encoding>,
        text: &str,
    ) -> Result<tokenizers::Encoding, TokenizerError> {
        guarded(|| encode().map_err(|error| error.to_string())).map_err(|reason| {
            TokenizerError::Failed { text: text.chars().take(60).collect(), reason }
        })
    }

    /// What the `tokenizers` crate makes of `texts` by itself, thrown away: a yardstick for benchmarks.
    pub(crate) fn encode_batch_by_library(&self, texts: &[String]) -> Result<(), TokenizerError> {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let encode = || self.inner.encode_batch_fast(texts, false).map_err(|e| e.to_string());
        guarded(encode)
            .map(drop)
            .map_err(|reason| TokenizerError::Failed { text: "a batch of lines".into(), reason })
    }

    /// The text of `ids`. Special tokens are left out. Bytes that are not UTF-8 (the half of a character) become
    /// U+FFFD.
    ///
    /// # Errors
    /// An id outside the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.vocab_size) {
            return Err(TokenizerError::IdOutOfRange { id: *id, vocab_size: self.vocab_size });
        }
        guarded(|| self.inner.decode(ids, true).map_err(|error| error.to_string()))
            .map_err(|reason| TokenizerError::Failed { text: format!("{} ids", ids.len()), reason })
    }

    /// `text` as [`decode`](Self::decode) gives it back after [`encode`](Self::encode), if no part of it is unknown:
    /// for bpe and character the text itself, for sentencepiece the normalised text, for wordpiece its words and
    /// punctuation marks, normalised, with one space between them.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn normalise(&self, text: &str) -> Result<String, TokenizerError> {
        let normalised = || {
            let mut words = PreTokenizedString::from(text);
            if let Some(normalizer) = self.inner.get_normalizer() {
                words.normalize(|text| normalizer.normalize(text))?;
            }
            if let Some(pre_tokenizer) =
                self.inner.get_pre_tokenizer().filter(|_| self.kind == TokenizerKind::Wordpiece)
            {
                pre_tokenizer.pre_tokenize(&mut words)?;
            }
            let words = words.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
            let words: Vec<&str> = words.iter().map(|(word, _, _)| *word).collect();
            Ok(words.join(" "))
        };
        let failed =
            |reason| TokenizerError::Failed { text: text.chars().take(60).collect(), reason };
        let normalised = guarded(|| normalised().map_err(|e: tokenizers::Error| e.to_string()))
            .map_err(failed)?;
        Ok(match &self.engine {
            Engine::Marked(marked) => marked.unmark(&normalised),
            _ => normalised,
        })
    }

    /// How many of `ids` stand for text that the vocabulary cannot say.
    #[must_use]
    pub fn count_unknown(&self, ids: &[u32]) -> u64 {
        self.special_ids.unk.map_or(0, |unk| ids.iter().filter(|id| **id == unk).count() as u64)
    }
}

/// What is noted of each token besides its id.
enum Marks<'a> {
    None,
    /// Whether it begins a word.
    Words(&'a mut Vec<bool>),
    /// Where it ends, counted from so many bytes before the text.
    Ends(usize, &'a mut Vec<usize>),
}

impl Marks<'_> {
    /// `ends` are those of the tokens in `text`, in bytes; `text` begins `at` bytes after where the counting begins.
    fn take(&mut self, at: usize, text: &str, inside: bool, ends: impl Iterator<Item = usize>) {
        match self {
            Self::None => {}
            Self::Words(starts) => mark_words(text, inside, ends, starts),
            Self::Ends(first, all) => all.extend(ends.map(|end| *first + at + end)),
        }
    }
}

/// Whether what follows `text` goes on a word, or is the white space behind one.
fn ends_inside(text: &str) -> bool {
    text.chars().next_back().is_some_and(|c| !c.is_whitespace())
}

#[cfg(test)]
mod tests;
