//! Rows that were tokenized before: checked against the tokenizer, and read back for their words and bytes.

use super::DataError;
use super::corpus::IdRow;
use super::hf_dataset::HfDatasetError;
use crate::tokenizer::{Encoded, Tokenizer, TokenizerKind};
use std::path::Path;

/// The ids of a row, the words that begin in it, and the bytes of its text; special tokens have neither.
///
/// That a word begins in a token is known where the ids are those that the tokenizer gives for their text. Where they are
/// not (a row that was cut inside a word), it is told from the spelling of the token.
pub(super) fn read_back(
    tokenizer: &Tokenizer,
    row: &IdRow,
    dataset: &Path,
) -> Result<(Encoded, u64), DataError> {
    let size = tokenizer.vocab_size();
    if let Some(id) = row.ids.iter().find(|id| **id as usize >= size) {
        let message = format!("id {id} is outside the vocabulary of {size} tokens");
        let (path, row) = (dataset.to_owned(), row.number);
        return Err(HfDatasetError::Row { path, row, message }.into());
    }
    let special = |id: &u32| tokenizer.special_ids().iter().any(|other| other == *id);
    let (mut word_starts, mut bytes) = (Vec::with_capacity(row.ids.len()), 0);
    for run in row.ids.chunk_by(|a, b| special(a) == special(b)) {
        if run.first().is_some_and(special) {
            word_starts.resize(word_starts.len() + run.len(), false);
            continue;
        }
        let text = tokenizer.decode(run)?;
        bytes += text.len() as u64;
        let again = tokenizer.encode_words(&text, false)?;
        if again.ids == run {
            word_starts.extend(again.word_starts);
        } else {
            word_starts
                .extend(run.iter().enumerate().map(|(i, id)| i == 0 || begins(tokenizer, *id)));
        }
    }
    Ok((Encoded { ids: row.ids.clone(), word_starts }, bytes))
}

/// Whether the spelling of a token says that a word begins in it.
fn begins(tokenizer: &Tokenizer, id: u32) -> bool {
    let token = tokenizer.token(id).unwrap_or_default();
    match tokenizer.kind() {
        TokenizerKind::Wordpiece => !token.starts_with("##"),
        _ => token.starts_with(['Ġ', '▁']),
    }
}
