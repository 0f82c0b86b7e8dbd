//! Special tokens: the ones that no text contains.
//!
//! Their ids come first in a trained vocabulary, in the order bos, eos, unk, pad, mask, cls, sep. Text never
//! becomes one of them: `</s>` typed in a corpus is four ordinary characters.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{TokenizerError, TokenizerKind};

/// The texts of the special tokens, by role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpecialTokens {
    /// Begins a sentence.
    pub bos_token: Option<String>,
    /// Ends a sentence; with `boundary_token: eos` also what stands before the next.
    pub eos_token: Option<String>,
    /// Stands for what the vocabulary cannot say.
    pub unk_token: Option<String>,
    /// Fills short rows; never a target.
    pub pad_token: Option<String>,
    /// What a masked language model reads in place of the token it must guess.
    pub mask_token: Option<String>,
    /// Begins a row of BERT.
    pub cls_token: Option<String>,
    /// Ends a row of BERT.
    pub sep_token: Option<String>,
}

impl Default for SpecialTokens {
    /// `<s>`, `</s>`, `<unk>` and `<pad>`.
    fn default() -> Self {
        Self {
            bos_token: Some("<s>".into()),
            eos_token: Some("</s>".into()),
            unk_token: Some("<unk>".into()),
            pad_token: Some("<pad>".into()),
            ..Self::none()
        }
    }
}

impl SpecialTokens {
    /// No special token at all.
    #[must_use]
    pub fn none() -> Self {
        Self {
            bos_token: None,
            eos_token: None,
            unk_token: None,
            pad_token: None,
            mask_token: None,
            cls_token: None,
            sep_token: None,
        }
    }

    /// The defaults of a kind: those of BERT for wordpiece, [`default`](Self::default) for the others.
    #[must_use]
    pub fn of(kind: TokenizerKind) -> Self {
        if kind != TokenizerKind::Wordpiece {
            return Self::default();
        }
        Self {
            unk_token: Some("[UNK]".into()),
            pad_token: Some("[PAD]".into()),
            mask_token: Some("[MASK]".into()),
            cls_token: Some("[CLS]".into()),
            sep_token: Some("[SEP]".into()),
            ..Self::none()
        }
    }

    /// The same with `<mask>`, unless a mask token is named already.
    #[must_use]
    pub fn with_mask(mut self) -> Self {
        self.mask_token.get_or_insert_with(|| "<mask>".into());
        self
    }

    /// Role and text of each token, in the order of their ids.
    pub fn roles(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("bos_token", &self.bos_token),
            ("eos_token", &self.eos_token),
            ("unk_token", &self.unk_token),
            ("pad_token", &self.pad_token),
            ("mask_token", &self.mask_token),
            ("cls_token", &self.cls_token),
            ("sep_token", &self.sep_token),
        ]
        .into_iter()
        .filter_map(|(role, text)| text.as_deref().map(|text| (role, text)))
    }

    /// The place of the token with this role.
    pub(crate) fn role_mut(&mut self, role: &str) -> Option<&mut Option<String>> {
        Some(match role {
            "bos_token" => &mut self.bos_token,
            "eos_token" => &mut self.eos_token,
            "unk_token" => &mut self.unk_token,
            "pad_token" => &mut self.pad_token,
            "mask_token" => &mut self.mask_token,
            "cls_token" => &mut self.cls_token,
            "sep_token" => &mut self.sep_token,
            _ => return None,
        })
    }

    /// The texts without repetition: one token may end one sentence and begin the next.
    #[must_use]
    pub fn texts(&self) -> Vec<&str> {
        let mut texts: Vec<&str> = Vec::new();
        for (_, text) in self.roles() {
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        texts
    }

    /// Refuses tokens that a tokenizer cannot be trained with.
    pub(crate) fn check(&self, kind: TokenizerKind) -> Result<(), TokenizerError> {
        let refuse = |role: &str, content: &str, reason: &str| {
            Err(TokenizerError::SpecialToken {
                role: role.into(),
                content: content.into(),
                reason: reason.into(),
            })
        };
        for (role, text) in self.roles() {
            if text.chars().count() < 2 {
                return refuse(
                    role,
                    text,
                    "a special token needs at least two characters, or text would contain it; write it as <...>",
                );
            }
            let own = matches!(role, "unk_token" | "pad_token" | "mask_token");
            if own && self.roles().any(|(other, content)| other != role && content == text) {
                return refuse(
                    role,
                    text,
                    "this role needs a token of its own, but another role has the same",
                );
            }
        }
        if kind != TokenizerKind::Bpe && self.unk_token.is_none() {
            return refuse(
                "unk_token",
                "",
                "this kind of tokenizer needs one, for what the vocabulary cannot say; add unk_token: \"<unk>\"",
            );
        }
        Ok(())
    }
}

/// The `added_tokens` of a `tokenizer.json` whose first ids are these special tokens.
pub(super) fn added_tokens(specials: &[&str]) -> Vec<Value> {
    let added = |(id, content): (usize, &&str)| {
        json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true
        })
    };
    specials.iter().enumerate().map(added).collect()
}

/// A special token that is learned as an ordinary one would be found in text.
pub(super) fn refuse_learned<'t>(
    specials: &SpecialTokens,
    mut learned: impl Iterator<Item = &'t str>,
) -> Result<(), TokenizerError> {
    let found = learned.find_map(|token| specials.roles().find(|(_, content)| *content == token));
    match found {
        Some((role, content)) => Err(spelled(role, content)),
        None => Ok(()),
    }
}

/// The refusal of a special token that text can spell.
pub(super) fn spelled(role: &str, content: &str) -> TokenizerError {
    TokenizerError::SpecialToken {
        role: role.into(),
        content: content.into(),
        reason: "text spells this as an ordinary word; write it as <...> or [...]".into(),
    }
}

/// The ids of the special tokens, by role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SpecialIds {
    /// Begins a sentence.
    pub bos: Option<u32>,
    /// Ends a sentence.
    pub eos: Option<u32>,
    /// The unknown token.
    pub unk: Option<u32>,
    /// Padding.
    pub pad: Option<u32>,
    /// The mask of a masked language model.
    pub mask: Option<u32>,
    /// `[CLS]`.
    pub cls: Option<u32>,
    /// `[SEP]`.
    pub sep: Option<u32>,
}

impl SpecialIds {
    /// The token that begins a sentence: bos, or cls where a tokenizer has no bos.
    #[must_use]
    pub fn begin(&self) -> Option<u32> {
        self.bos.or(self.cls)
    }

    /// The token that ends a sentence: eos, or sep where a tokenizer has no eos.
    #[must_use]
    pub fn end(&self) -> Option<u32> {
        self.eos.or(self.sep)
    }

    /// All that exist.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        [self.bos, self.eos, self.unk, self.pad, self.mask, self.cls, self.sep]
            .into_iter()
            .flatten()
    }
}
