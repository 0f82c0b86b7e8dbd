//! `tokenizer`: its kind, its size and its special tokens.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::check::Check;
use crate::config::choices::{SentencePieceModel, TokenizerKind};
use crate::config::names::closest;
use crate::config::raw::RawTokenizer;

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
            Self::SentencePiece { .. } => TokenizerKind::SentencePiece,
            Self::WordPiece { .. } => TokenizerKind::WordPiece,
            Self::Bpe => TokenizerKind::Bpe,
            Self::Character => TokenizerKind::Character,
        }
    }
}

/// The special tokens by role. Which exist depends on the kind, the objective and the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpecialTokens {
    /// Begins a sentence.
    pub bos: Option<String>,
    /// Ends a sentence.
    pub eos: Option<String>,
    /// Begins a sequence, in BERT's way.
    pub cls: Option<String>,
    /// Ends a sequence, in BERT's way.
    pub sep: Option<String>,
    /// Stands for what the vocabulary lacks.
    pub unk: Option<String>,
    /// Fills up a batch.
    pub pad: Option<String>,
    /// Hides a token that is to be predicted.
    pub mask: Option<String>,
}

const ROLES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "pad_token", "cls_token", "sep_token", "mask_token"];

impl SpecialTokens {
    /// Role (as the configuration names it) and token of each that exists: bos, eos, unk, pad,
    /// cls, sep, mask.
    pub fn roles(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let tokens = [&self.bos, &self.eos, &self.unk, &self.pad, &self.cls, &self.sep, &self.mask];
        ROLES.into_iter().zip(tokens).filter_map(|(r, t)| Some((r, t.as_deref()?)))
    }

    fn slot(&mut self, role: &str) -> Option<&mut Option<String>> {
        Some(match role {
            "bos_token" => &mut self.bos,
            "eos_token" => &mut self.eos,
            "cls_token" => &mut self.cls,
            "sep_token" => &mut self.sep,
            "unk_token" => &mut self.unk,
            "pad_token" => &mut self.pad,
            "mask_token" => &mut self.mask,
            _ => return None,
        })
    }

    fn defaults(kind: TokenizerKind, masked: bool) -> Self {
        let some = |s: &str| Some(s.to_owned());
        match kind {
            TokenizerKind::WordPiece => Self {
                cls: some("[CLS]"),
                sep: some("[SEP]"),
                unk: some("[UNK]"),
                pad: some("[PAD]"),
                mask: some("[MASK]"),
                ..Self::default()
            },
            _ => Self {
                bos: some("<s>"),
                eos: some("</s>"),
                unk: some("<unk>"),
                pad: some("<pad>"),
                mask: masked.then(|| "<mask>".to_owned()),
                ..Self::default()
            },
        }
    }

    fn resolve(
        typed: Option<BTreeMap<String, String>>,
        kind: TokenizerKind,
        masked: bool,
        c: &mut Check<'_>,
    ) -> Self {
        let mut tokens = Self::defaults(kind, masked);
        for (role, token) in typed.unwrap_or_default() {
            let field = format!("tokenizer.special_tokens.{role}");
            if token.is_empty() || token.chars().any(char::is_control) {
                let message = format!(
                    "{role} must be a text of at least one character, without \
                                       control characters"
                );
                c.problem(&field, message);
            }
            match tokens.slot(&role) {
                Some(slot) => *slot = Some(token),
                None => {
                    let close = closest(&role, ROLES.into_iter());
                    c.problem(&field, format!("Unknown special token '{role}'")).help(
                        match close {
                            Some(close) => format!("did you mean '{close}'?"),
                            None => format!("known here: {}", ROLES.join(", ")),
                        },
                    );
                }
            }
        }
        let roles: Vec<_> = tokens.roles().collect();
        for (i, (role, token)) in roles.iter().enumerate() {
            if let Some((other, _)) = roles[..i].iter().find(|(_, t)| t == token) {
                let message = format!(
                    "{role} and {other} are both '{token}': each role needs a token of its own"
                );
                c.conflict(
                    &format!("tokenizer.special_tokens.{role}"),
                    &format!("tokenizer.special_tokens.{other}"),
                    message,
                );
            }
        }
        tokens
    }
}

impl TokenizerConfig {
    /// `masked`: the objective is masked_lm, which needs a mask token.
    pub(super) fn resolve(raw: RawTokenizer, masked: bool, c: &mut Check<'_>) -> Self {
        let kind = raw.tokenizer_type.unwrap_or(TokenizerKind::SentencePiece);
        let is = |k: TokenizerKind| kind == k;
        c.all_only_if(
            is(TokenizerKind::SentencePiece),
            "tokenizer",
            &["model_type", "byte_fallback"],
            "with tokenizer_type: sentencepiece",
        );
        c.all_only_if(
            is(TokenizerKind::WordPiece),
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
            TokenizerKind::SentencePiece => TokenizerRules::SentencePiece {
                model_type: raw.model_type.unwrap_or(SentencePieceModel::Unigram),
                byte_fallback: raw.byte_fallback.unwrap_or(true),
            },
            TokenizerKind::WordPiece => TokenizerRules::WordPiece {
                lowercase: raw.lowercase.unwrap_or(true),
                strip_accents: raw.strip_accents.unwrap_or(true),
            },
            TokenizerKind::Bpe => TokenizerRules::Bpe,
            TokenizerKind::Character => TokenizerRules::Character,
        };
        let special_tokens = SpecialTokens::resolve(raw.special_tokens, kind, masked, c);
        let field = "tokenizer.vocab_size";
        let vocab_size = c.size(field, raw.vocab_size, None, 1..=u64::from(u32::MAX));
        let bytes = match rules {
            TokenizerRules::Bpe | TokenizerRules::SentencePiece { byte_fallback: true, .. } => 256,
            _ => 0,
        };
        let special = special_tokens.roles().count();
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
