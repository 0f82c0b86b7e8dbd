//! Minimal pairs: does the model find the grammatical sentence more probable than its twin?
//!
//! Warstadt et al.: *BLiMP: the benchmark of linguistic minimal pairs for English* (2020). A pair is right if the
//! log-probability of the whole good sentence is the larger; equal ones are ties, reported and not counted right.

use super::score::text_nll;
use crate::arch::LanguageModel;
use crate::tokenizer::{Tokenizer, TokenizerError};
use foundry_engine::Device;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A pair as BLiMP writes it; other fields of the row are ignored.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct MinimalPair {
    /// The grammatical sentence.
    pub sentence_good: String,
    /// The ungrammatical one.
    pub sentence_bad: String,
}

/// The score of one paradigm (one file).
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ParadigmScore {
    /// The file's name without its ending.
    pub paradigm: String,
    /// Pairs.
    pub pairs: usize,
    /// Pairs whose good sentence is the more probable.
    pub right: usize,
    /// Pairs of equal probability.
    pub ties: usize,
}

impl ParadigmScore {
    /// The share of pairs that are right.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.pairs as f64
    }
}

/// What can be wrong with a file of pairs.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// It cannot be read.
    #[error("cannot read minimal pairs: {}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A line is not a pair.
    #[error(
        "{}:{line}: not a minimal pair: {reason}\n  expected: a JSON object with sentence_good and sentence_bad",
        path.display()
    )]
    Row {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What the parser found.
        reason: String,
    },
    /// There is none.
    #[error("no minimal pairs in {}: expected a .jsonl file, or a folder of them", path.display())]
    Empty {
        /// The file or folder.
        path: PathBuf,
    },
    /// A sentence cannot be tokenized.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

/// The paradigms of a `.jsonl` file or of a folder of them, by name.
///
/// # Errors
/// A path that cannot be read, a line that is no pair, no pairs at all.
pub fn read_pairs(path: &Path) -> Result<Vec<(String, Vec<MinimalPair>)>, PairError> {
    let read = |source| PairError::Read { path: path.to_owned(), source };
    let mut files = Vec::new();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).map_err(read)? {
            let file = entry.map_err(read)?.path();
            if file.extension().is_some_and(|e| e == "jsonl") {
                files.push(file);
            }
        }
        files.sort();
    } else {
        files.push(path.to_owned());
    }
    let paradigms: Vec<_> = files.iter().map(|f| read_file(f)).collect::<Result<_, _>>()?;
    if paradigms.iter().all(|(_, pairs)| pairs.is_empty()) {
        return Err(PairError::Empty { path: path.to_owned() });
    }
    Ok(paradigms)
}

fn read_file(path: &Path) -> Result<(String, Vec<MinimalPair>), PairError> {
    let read = |source| PairError::Read { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(read)?;
    let mut pairs = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let row = |e: serde_json::Error| PairError::Row {
            path: path.to_owned(),
            line: i + 1,
            reason: e.to_string(),
        };
        pairs.push(serde_json::from_str(line).map_err(row)?);
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok((name, pairs))
}

/// Scores one paradigm. `begin` is the token before a sentence in training; without one the first token of a sentence
/// is not scored.
///
/// # Errors
/// A sentence that cannot be tokenized.
pub fn score_pairs(
    model: &dyn LanguageModel,
    device: &Device,
    tokenizer: &Tokenizer,
    begin: Option<u32>,
    (paradigm, pairs): (&str, &[MinimalPair]),
) -> Result<ParadigmScore, PairError> {
    const BATCH: usize = 32;
    let mut score =
        ParadigmScore { paradigm: paradigm.to_owned(), pairs: pairs.len(), right: 0, ties: 0 };
    for group in pairs.chunks(BATCH) {
        let mut rows = Vec::with_capacity(2 * group.len());
        for pair in group {
            for sentence in [&pair.sentence_good, &pair.sentence_bad] {
                let mut row: Vec<u32> = begin.into_iter().collect();
                row.extend(tokenizer.encode(sentence)?);
                rows.push(row);
            }
        }
        let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
        let nll = text_nll(model, device, &rows);
        for pair in nll.chunks_exact(2) {
            score.right += usize::from(pair[0] < pair[1]);
            score.ties += usize::from(pair[0].total_cmp(&pair[1]).is_eq());
        }
    }
    Ok(score)
}
