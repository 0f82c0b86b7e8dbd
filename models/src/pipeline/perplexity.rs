//! The perplexity of text files, packed into one stream as in training.

use super::Trained;
use crate::config::choices::Boundary;
use crate::data::{Corpus, HeldOut};
use crate::error::Error;
use crate::eval::{Perplexity, text_perplexity};
use std::path::Path;

/// The perplexity of a file or a folder of files: one stream of tokens with boundary tokens as in training, scored in
/// windows of the training length that move by `stride` tokens (half the window by default). The first token is
/// scored after the boundary token, or not at all if the model knows none. Words are those between white space; bytes
/// are those of the files.
///
/// # Errors
/// Files that cannot be read, a stride that leaves gaps, text without a token to score.
pub fn perplexity_of_file(
    trained: &Trained,
    path: &Path,
    stride: Option<usize>,
) -> Result<Perplexity, Error> {
    let data = &trained.config.data;
    let window = data.max_sequence_length;
    let stride = stride.unwrap_or(window / 2);
    if stride == 0 || stride >= window {
        return Err(Error::Usage(format!(
            "--stride {stride}: must be at least 1, and below the context of {window} tokens, or some tokens would be \
             scored blindly"
        )));
    }
    let corpus = Corpus::open("--perplexity", path, data.unit, HeldOut::NOTHING)?;
    let (tokenizer, special) = (&trained.tokenizer, trained.sentence_ids());
    let mut ids: Vec<u32> =
        special.bos.filter(|_| data.boundary == Boundary::Eos).into_iter().collect();
    let (mut words, mut text) = (0, String::new());
    let mut end_unit = |text: &mut String, ids: &mut Vec<u32>| -> Result<(), Error> {
        if data.boundary == Boundary::BosEos {
            ids.extend(special.bos);
        }
        ids.extend(tokenizer.encode(text)?);
        if data.boundary != Boundary::None {
            ids.extend(special.eos);
        }
        words += text.split_whitespace().count() as u64;
        text.clear();
        Ok(())
    };
    let mut pieces = corpus.pieces(false);
    for piece in pieces.by_ref() {
        let piece = piece?;
        if let Some(row) = piece.row {
            text = tokenizer.decode(&row.ids)?;
        }
        text.push_str(&piece.text);
        if piece.ends {
            end_unit(&mut text, &mut ids)?;
        }
    }
    let mut p = text_perplexity(
        &*trained.model,
        &trained.device,
        &ids,
        (window, stride),
        tokenizer.special_ids().unk,
    );
    p.words = words;
    p.bytes = corpus.files().iter().map(|f| f.bytes).sum();
    if p.tokens == 0 {
        return Err(Error::Mismatch(format!("{} has no token to score", path.display())));
    }
    Ok(p)
}
