//! What to train.

use super::{MAX_VOCABULARY, SentencePieceModel, SpecialTokens, TokenizerError, TokenizerKind};

/// What to train.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainOptions {
    /// The kind.
    pub kind: TokenizerKind,
    /// The size of the vocabulary, special tokens included. It may stay below; character ignores it.
    pub vocab_size: usize,
    /// How often a pair must occur to be merged, or a substring to become a candidate (sentencepiece unigram).
    pub min_frequency: u64,
    /// The special tokens.
    pub special_tokens: SpecialTokens,
    /// Unigram or bpe (sentencepiece).
    pub model_type: SentencePieceModel,
    /// Whether a character without a piece is spelled in bytes (sentencepiece).
    pub byte_fallback: bool,
    /// Whether text is lower-cased (wordpiece).
    pub lowercase: bool,
    /// Whether accents are removed (wordpiece).
    pub strip_accents: bool,
}

impl TrainOptions {
    /// The defaults of a configuration: what occurs twice may be learned, and the special tokens are those of the kind.
    #[must_use]
    pub fn new(kind: TokenizerKind, vocab_size: usize) -> Self {
        Self {
            kind,
            vocab_size,
            min_frequency: 2,
            special_tokens: SpecialTokens::of(kind),
            model_type: SentencePieceModel::Unigram,
            byte_fallback: true,
            lowercase: true,
            strip_accents: true,
        }
    }

    /// Refuses a vocabulary that cannot hold what must be in it: `least` entries, which `reason` lists.
    pub(super) fn check_size(
        &self,
        least: usize,
        reason: impl FnOnce() -> String,
    ) -> Result<(), TokenizerError> {
        let requested = self.vocab_size;
        if requested > MAX_VOCABULARY {
            return Err(TokenizerError::VocabularyTooLarge { requested, most: MAX_VOCABULARY });
        }
        if requested < least {
            let (kind, reason) = (self.kind, reason());
            return Err(TokenizerError::VocabularyTooSmall { kind, requested, least, reason });
        }
        Ok(())
    }

    /// A note for the log if the vocabulary came out smaller than asked for.
    pub(super) fn smaller_note(&self, size: usize, why: &str) -> Vec<String> {
        if size >= self.vocab_size {
            return Vec::new();
        }
        let asked = self.vocab_size;
        vec![format!("the vocabulary has {size} tokens, not the {asked} asked for: {why}")]
    }
}
