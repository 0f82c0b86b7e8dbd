//! The perplexity of text files.

use super::Trained;
use super::load::check_stride;
use crate::config::choices::{Boundary, Unit};
use crate::data::{Corpus, HeldOut, Pieces};
use crate::error::Error;
use crate::eval::stimuli::Stimulus;
use crate::eval::surprisal::score_stimuli;
use crate::eval::table::{Origin, Row};
use crate::eval::{Detail, EvalError, Perplexity, Scorer, StreamScorer};
use crate::train::signals::StopFlag;
use std::path::{Path, PathBuf};

/// What stands before a token of the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Context {
    /// The text before it, as in training: one stream of tokens with boundary tokens, scored in windows of the
    /// training length that move by so many tokens (half the window by default). The boundary tokens are scored too.
    Stream(Option<usize>),
    /// Its own line only; `score_end` is whether the token that ends a line is scored.
    Line {
        /// Whether the end of a line is scored.
        score_end: bool,
    },
}

/// The columns of [`perplexity_row`], after those of the origin.
pub const PERPLEXITY_COLUMNS: &str = "file,tokens,unknown_tokens,words,bytes,nll_nats,nats_per_token,\
                                      perplexity_per_token,perplexity_per_word,perplexity_per_byte,bits_per_byte";

/// A line of the table of perplexities.
#[must_use]
pub fn perplexity_row(origin: &Origin, file: &str, p: &Perplexity) -> String {
    let mut row = Row::of(origin);
    row.text(Some(file)).cell(p.tokens).cell(p.unknown_tokens).cell(p.words).cell(p.bytes);
    row.cell(p.nll_nats).cell(p.nats_per_token()).cell(p.per_token()).cell(p.per_word());
    row.cell(p.per_byte()).cell(p.bits_per_byte());
    row.finish()
}

/// The texts of a path: itself, or each file of a folder that is not one text.
///
/// # Errors
/// Files that cannot be read; a context that the model has no use for, or a stride that leaves gaps.
pub fn texts_for_perplexity(
    trained: &Trained,
    path: &Path,
    context: Context,
) -> Result<Vec<PathBuf>, Error> {
    if !trained.model.supports_generation() && context != (Context::Line { score_end: false }) {
        return Err(Error::Usage(format!(
            "a model that sees both sides ({}) gives a stream of text no probability; add --by-line for the \
             pseudo-perplexity of each line",
            trained.model.architecture()
        )));
    }
    if let Context::Stream(stride) = context {
        check_stride(stride.unwrap_or(trained.window / 2), trained.window)?;
    }
    if !path.exists() {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        return Err(Error::Mismatch(format!("--perplexity: {} is not there", path.display())));
    }
    let corpus = Corpus::open("--perplexity", path, trained.unit(), HeldOut::NOTHING)?;
    let of_folder = corpus.files().iter().map(|f| path.join(&f.name));
    let mut files: Vec<PathBuf> = of_folder.filter(|f| f.is_file()).collect();
    if files.is_empty() {
        // A file, or a folder that is one text.
        files.push(path.to_owned());
    }
    Ok(files)
}

/// The perplexity of a text.
///
/// # Errors
/// A file that cannot be read, text without a token to score; a stop that was asked for.
pub fn perplexity_of(
    trained: &Trained,
    scorer: &dyn Scorer,
    text: &Path,
    context: Context,
    stop: &StopFlag,
) -> Result<Perplexity, Error> {
    let p = match context {
        Context::Stream(stride) => of_stream(trained, scorer, text, stride, stop)?,
        Context::Line { score_end } => of_lines(trained, scorer, text, score_end, stop)?,
    };
    if p.tokens == 0 {
        return Err(Error::Mismatch(format!("{} has no token to score", text.display())));
    }
    Ok(p)
}

fn of_stream(
    trained: &Trained,
    scorer: &dyn Scorer,
    path: &Path,
    stride: Option<usize>,
    stop: &StopFlag,
) -> Result<Perplexity, Error> {
    let (boundary, window) = (trained.boundary, trained.window);
    let stride = stride.unwrap_or(window / 2);
    let corpus = Corpus::open("--perplexity", path, trained.unit(), HeldOut::NOTHING)?;
    let (tokenizer, special) = (&trained.tokenizer, trained.sentence_ids());
    let mut stream = StreamScorer::new(scorer, (window, stride), tokenizer.special_ids().unk);
    let mut push = |ids: &[u32]| stream.push(ids).map_err(EvalError::from);
    if boundary == Boundary::Eos {
        push(special.bos.as_slice())?;
    }
    let (mut words, mut bytes) = (0, 0);
    let mut pieces = corpus.pieces(false);
    for piece in pieces.by_ref() {
        let piece = piece?;
        stop.check().map_err(EvalError::from)?;
        let text = match piece.row {
            Some(row) => {
                let text = tokenizer.decode(&row.ids)?;
                bytes += text.len() as u64;
                text
            }
            None => piece.text,
        };
        if piece.begins && boundary == Boundary::BosEos {
            push(special.bos.as_slice())?;
        }
        push(&tokenizer.encode_words(&text, piece.inside_word)?.ids)?;
        if piece.ends && boundary != Boundary::None {
            push(special.end().as_slice())?;
        }
        words += text.split_whitespace().count() as u64;
        // A word that was begun in the piece before is counted there.
        words -= u64::from(piece.inside_word && text.starts_with(|c: char| !c.is_whitespace()));
    }
    bytes += bytes_of_text(&pieces);
    Ok(Perplexity { words, bytes, ..stream.finish().map_err(EvalError::from)? })
}

fn of_lines(
    trained: &Trained,
    scorer: &dyn Scorer,
    path: &Path,
    score_end: bool,
    stop: &StopFlag,
) -> Result<Perplexity, Error> {
    let corpus = Corpus::open("--perplexity", path, Unit::Line, HeldOut::NOTHING)?;
    let reader = trained.reader(score_end);
    let unk = trained.tokenizer.special_ids().unk;
    let mut sum = Perplexity::default();
    let (mut text, mut failed) = (String::new(), None);
    let (mut pieces, mut bytes) = (corpus.pieces(false), 0);
    let units = std::iter::from_fn(|| {
        loop {
            let part = pieces.next()?.map_err(Error::from).and_then(|piece| match &piece.row {
                Some(row) => {
                    let text = trained.tokenizer.decode(&row.ids)?;
                    bytes += text.len() as u64;
                    Ok((text, piece.ends))
                }
                None => Ok((piece.text, piece.ends)),
            });
            match part {
                Err(e) => {
                    failed = Some(e);
                    return None;
                }
                Ok((part, ends)) => {
                    text.push_str(&part);
                    if ends {
                        let text = std::mem::take(&mut text);
                        return Some(Ok(Stimulus { text, ..Stimulus::default() }));
                    }
                }
            }
        }
    });
    score_stimuli(scorer, &reader, units, Detail::Probability, |scored| {
        stop.check().map_err(EvalError::from)?;
        let sequence = &scored.encoded.sequence;
        let ids = &sequence.ids[sequence.scored.clone()];
        sum.nll_nats -= scored.logprob_nats();
        sum.tokens += ids.len() as u64;
        sum.unknown_tokens += ids.iter().filter(|&&id| Some(id) == unk).count() as u64;
        sum.words += scored.stimulus.text.split_whitespace().count() as u64;
        Ok::<_, Error>(())
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    sum.bytes = bytes + bytes_of_text(&pieces);
    Ok(sum)
}

/// Bytes of the text that has passed: of a `.jsonl` file or a dataset those of the texts alone.
fn bytes_of_text(pieces: &Pieces<'_>) -> u64 {
    pieces.passed().iter().map(|passed| passed.bytes).sum()
}
