//! Byte-level byte-pair encoding, as GPT-2 has it.
//!
//! Sennrich, Haddow, Birch: *Neural machine translation of rare words with subword units* (ACL 2016); Radford et al.:
//! *Language models are unsupervised multitask learners* (2019). Text is read as bytes, each byte shown by a printable
//! character (space is Ġ); the most frequent neighbouring pair becomes a new token, again and again. All 256 bytes are
//! in the vocabulary, seen in the corpus or not, so every string can be encoded, nothing is ever `<unk>`, and decoding
//! gives back exactly what was encoded.
//!
//! The trainer is that of the `tokenizers` crate. Its ties are broken by ids, so the same text gives the same bytes for
//! any number of threads.

use serde_json::Value;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, TokenizerImpl};
use tokenizers::{DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper};

use super::{TextSource, TokenizerError, TrainOptions, Trained};

type Untrained = TokenizerImpl<
    BPE,
    NormalizerWrapper,
    PreTokenizerWrapper,
    PostProcessorWrapper,
    DecoderWrapper,
>;

/// Trains on `text`. The vocabulary may come out smaller than asked for, and a note then says so.
pub(super) fn train(
    options: &TrainOptions,
    text: TextSource<'_>,
) -> Result<Trained, TokenizerError> {
    let specials = options.special_tokens.texts();
    options.check_size(256 + specials.len(), || {
        format!("256 bytes and {} special tokens", specials.len())
    })?;

    let mut trainer = BpeTrainer::builder()
        .vocab_size(options.vocab_size)
        .min_frequency(options.min_frequency)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(specials.iter().map(|text| AddedToken::from(*text, true)).collect())
        .build();
    let byte_level = ByteLevel::new(false, true, true);
    let mut untrained: Untrained = TokenizerImpl::new(BPE::default());
    untrained.with_pre_tokenizer(Some(byte_level)).with_decoder(Some(byte_level));

    let mut failure = None;
    let mut characters = 0;
    let pieces = text.map_while(|piece| match piece {
        Ok(piece) => {
            characters += piece.chars().count() as u64;
            Some(piece)
        }
        Err(error) => {
            failure = Some(error);
            None
        }
    });
    let failed = |error: tokenizers::Error| TokenizerError::Failed {
        text: "the training corpus".into(),
        reason: error.to_string(),
    };
    untrained.train(&mut trainer, pieces).map_err(failed)?;
    if let Some(error) = failure {
        return Err(TokenizerError::Corpus(Box::new(error)));
    }
    if characters == 0 {
        return Err(TokenizerError::NoText);
    }
    let json = serde_json::to_value(&untrained).map_err(|error| failed(error.into()))?;
    refuse_specials_in_merges(&json, options)?;

    let size = json.pointer("/model/vocab").and_then(Value::as_object).map_or(0, |v| v.len());
    let times = options.min_frequency.max(1);
    let notes =
        options.smaller_note(size, &format!("no pair of the corpus occurs {times} times any more"));
    Ok(Trained { json, characters, notes })
}

/// A special token that text can spell by merges would be produced by text.
fn refuse_specials_in_merges(json: &Value, options: &TrainOptions) -> Result<(), TokenizerError> {
    let merges = json.pointer("/model/merges").and_then(Value::as_array);
    for merge in merges.into_iter().flatten() {
        let product: String =
            merge.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if let Some((role, content)) =
            options.special_tokens.roles().find(|(_, content)| *content == product)
        {
            return Err(TokenizerError::SpecialToken {
                role: role.into(),
                content: content.into(),
                reason: "the corpus spells this as an ordinary word; write it as <...>".into(),
            });
        }
    }
    Ok(())
}
