//! `tokenizer`: its kind, its size and its special tokens.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::check::Check;
use crate::config::choices::{SentencePieceModel, TokenizerKind};
use crate::config::names::closest;
use crate::config::raw::RawTokenizer;
use crate::tokenizer::{MAX_VOCABULARY, SpecialTokens, TokenizerError, TrainOptions};

/// The tokenizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenizerConfig {
    /// The folder it is written to, or loaded from.
    pub output_dir: PathBuf,
    /// The largest number of tokens, special tokens included.
    pub vocab_size: usize,
    /// The kind, with what only that kind has.
    pub rules: TokenizerRules,
    /// How often a pair or piece must occur to enter the vocabulary.
    pub min_frequency: u64,
    /// The special tokens.
    pub special_tokens: SpecialTokens,
}

/// The kind of tokenizer, with what only that kind has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenizerRules {
    /// SentencePiece.
    SentencePiece {
        /// unigram or bpe.
        model_type: SentencePieceModel,
        /// Whether unknown characters are spelled in bytes.
        byte_fallback: bool,
    },
    /// WordPiece.
    WordPiece {
        /// Whether text is lower-cased.
        lowercase: bool,
        /// Whether accents are removed.
        strip_accents: bool,
    },
    /// Byte-level BPE.
    Bpe,
    /// One token a Unicode scalar value.
    Character,
}

impl TokenizerRules {
    /// The kind alone.
    pub fn kind(self) -> TokenizerKind {
        match self {
            Self::SentencePiece { .. } => TokenizerKind::Sentencepiece,
            Self::WordPiece { .. } => TokenizerKind::Wordpiece,
            Self::Bpe => TokenizerKind::Bpe,
            Self::Character => TokenizerKind::Character,
        }
    }
}

/// The special tokens of a kind, with what the file names in their place.
fn special_tokens(
    typed: Option<BTreeMap<String, String>>,
    kind: TokenizerKind,
    masked: bool,
    c: &mut Check<'_>,
) -> SpecialTokens {
    let mut tokens = SpecialTokens::of(kind);
    if masked {
        tokens = tokens.with_mask();
    }
    let field = |role: &str| format!("tokenizer.special_tokens.{role}");
    for (role, token) in typed.unwrap_or_default() {
        match tokens.role_mut(&role) {
            Some(place) => *place = Some(token),
            None => {
                let close = closest(&role, ROLES.into_iter());
                let message = format!("Unknown special token '{role}'");
                c.problem(&field(&role), message).help(match close {
                    Some(close) => format!("did you mean '{close}'?"),
                    None => format!("known here: {}", ROLES.join(", ")),
                });
            }
        }
    }
    match tokens.check(kind) {
        Ok(()) => {}
        Err(TokenizerError::SpecialToken { role, content, reason }) => {
            c.problem(&field(&role), format!("{role}: '{content}': {reason}"));
        }
        Err(other) => {
            c.problem("tokenizer.special_tokens", other.to_string());
        }
    }
    tokens
}

const ROLES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "pad_token", "mask_token", "cls_token", "sep_token"];

impl TokenizerConfig {
    /// What the tokenizer's trainer is asked for.
    pub fn train_options(&self) -> TrainOptions {
        let mut options = TrainOptions {
            min_frequency: self.min_frequency,
            special_tokens: self.special_tokens.clone(),
            ..TrainOptions::new(self.rules.kind(), self.vocab_size)
        };
        match self.rules {
            TokenizerRules::SentencePiece { model_type, byte_fallback } => {
                options.model_type = model_type;
                options.byte_fallback = byte_fallback;
            }
            TokenizerRules::WordPiece { lowercase, strip_accents } => {
                options.lowercase = lowercase;
                options.strip_accents = strip_accents;
            }
            TokenizerRules::Bpe | TokenizerRules::Character => {}
        }
        options
    }

    /// `masked`: the objective is masked_lm, which needs a mask token.
    pub(super) fn resolve(raw: RawTokenizer, masked: bool, c: &mut Check<'_>) -> Self {
        let kind = raw.tokenizer_type.unwrap_or(TokenizerKind::Sentencepiece);
        let is = |k: TokenizerKind| kind == k;
        c.all_only_if(
            is(TokenizerKind::Sentencepiece),
            "tokenizer",
            &["model_type", "byte_fallback"],
            "with tokenizer_type: sentencepiece",
        );
        c.all_only_if(
            is(TokenizerKind::Wordpiece),
            "tokenizer",
            &["lowercase", "strip_accents"],
            "with tokenizer_type: wordpiece",
        );
        c.only_if(
            !is(TokenizerKind::Character),
            "tokenizer.min_frequency",
            "with a tokenizer that learns pieces (not character)",
        );
        let rules = match kind {
            TokenizerKind::Sentencepiece => TokenizerRules::SentencePiece {
                model_type: raw.model_type.unwrap_or(SentencePieceModel::Unigram),
                byte_fallback: raw.byte_fallback.unwrap_or(true),
            },
            TokenizerKind::Wordpiece => TokenizerRules::WordPiece {
                lowercase: raw.lowercase.unwrap_or(true),
                strip_accents: raw.strip_accents.unwrap_or(true),
            },
            TokenizerKind::Bpe => TokenizerRules::Bpe,
            TokenizerKind::Character => TokenizerRules::Character,
        };
        let special_tokens = special_tokens(raw.special_tokens, kind, masked, c);
        let field = "tokenizer.vocab_size";
        let vocab_size = c.size(field, raw.vocab_size, None, 1..=MAX_VOCABULARY as u64);
        let bytes = match rules {
            TokenizerRules::Bpe | TokenizerRules::SentencePiece { byte_fallback: true, .. } => 256,
            _ => 0,
        };
        let special = special_tokens.texts().len();
        if raw.vocab_size == Some(vocab_size as u64) && vocab_size < bytes + special {
            let of_bytes = if bytes > 0 { "256 byte symbols and " } else { "" };
            let message = format!(
                "vocab_size ({vocab_size}) is too small for a {kind} tokenizer: {of_bytes}\
                 {special} special tokens are always in it"
            );
            c.problem(field, message).help(format!("write at least {}", bytes + special));
        }
        Self {
            output_dir: c.need("tokenizer.output_dir", raw.output_dir, PathBuf::new()),
            vocab_size,
            rules,
            min_frequency: c.whole(
                "tokenizer.min_frequency",
                raw.min_frequency,
                Some(2),
                1..=u64::MAX,
            ),
            special_tokens,
        }
    }

    pub(super) fn to_raw(&self) -> RawTokenizer {
        let tokens = self.special_tokens.roles();
        let mut raw = RawTokenizer {
            output_dir: Some(self.output_dir.clone()),
            vocab_size: Some(self.vocab_size as u64),
            tokenizer_type: Some(self.rules.kind()),
            min_frequency: (self.rules != TokenizerRules::Character).then_some(self.min_frequency),
            special_tokens: Some(tokens.map(|(r, t)| (r.to_owned(), t.to_owned())).collect()),
            ..RawTokenizer::default()
        };
        match self.rules {
            TokenizerRules::SentencePiece { model_type, byte_fallback } => {
                raw.model_type = Some(model_type);
                raw.byte_fallback = Some(byte_fallback);
            }
            TokenizerRules::WordPiece { lowercase, strip_accents } => {
                raw.lowercase = Some(lowercase);
                raw.strip_accents = Some(strip_accents);
            }
            TokenizerRules::Bpe | TokenizerRules::Character => {}
        }
        raw
    }
}
