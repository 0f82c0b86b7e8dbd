//! The ledger: where every character and every token of a corpus went.
//!
//! files -> lines -> characters -> tokens -> chunks -> remainder. [`DataLedger::check`] holds the account to its two
//! laws, and a dataset is not handed out unless they hold:
//!
//! 1. characters of the files = characters tokenized + characters skipped (line ends, blank lines), over all splits;
//! 2. tokens of the text + boundary tokens + frame tokens = tokens in chunks + tokens dropped, in each split.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::corpus::Passed;
use super::source::{CorpusFile, SourceKind};
use super::{Boundary, DataError, Packing, Split, Unit};

/// The account of a dataset; saved as `data_ledger.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataLedger {
    /// What a unit of text is.
    pub unit: Unit,
    /// How chunks are filled.
    pub packing: Packing,
    /// Which tokens stand at the edges of units.
    pub boundary_token: Boundary,
    /// Tokens in a full chunk.
    pub max_sequence_length: usize,
    /// The kind of the tokenizer.
    pub tokenizer_type: String,
    /// The hash of the tokenizer.
    pub tokenizer_hash: String,
    /// The size of its vocabulary.
    pub vocab_size: usize,
    /// One account per split.
    pub splits: Vec<SplitLedger>,
    /// What a user should know.
    pub warnings: Vec<String>,
}

/// The account of one split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitLedger {
    /// Which.
    pub split: Split,
    /// The split that shares its files with this one (a validation split that was held out of the training corpus).
    pub held_out_of: Option<Split>,
    /// One account per file.
    pub files: Vec<FileLedger>,
    /// Tokens placed at the edges of units.
    pub boundary_tokens: u64,
    /// Tokens placed at the edges of rows (BERT's `[CLS]` and `[SEP]`).
    pub frame_tokens: u64,
    /// Chunks, shorter ones included.
    pub chunks: u64,
    /// Tokens in chunks.
    pub chunk_tokens: u64,
    /// Tokens dropped: the last partial block of training text (packing: pack).
    pub remainder: u64,
    /// Units dropped since they are too short for a row, and their tokens (packing: sentence, drop_short).
    pub short_units: u64,
    /// See [`short_units`](Self::short_units).
    pub short_tokens: u64,
    /// Units that lost tokens since they are longer than their rows, and these tokens (packing: sentence, drop_short).
    pub cut_units: u64,
    /// See [`cut_units`](Self::cut_units).
    pub cut_tokens: u64,
}

/// The account of one file in one split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileLedger {
    /// The file.
    #[serde(flatten)]
    pub file: CorpusFile,
    /// What of it went into this split.
    pub passed: Passed,
    /// Tokens of its text.
    pub tokens: u64,
    /// Those of them that are `<unk>`.
    pub unknown_tokens: u64,
}

impl SplitLedger {
    /// Tokens of the text, without boundary tokens.
    #[must_use]
    pub fn text_tokens(&self) -> u64 {
        self.files.iter().map(|file| file.tokens).sum()
    }

    /// All tokens: those of the text and those at the edges of units and rows.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.text_tokens() + self.boundary_tokens + self.frame_tokens
    }

    /// Tokens dropped, for whatever reason.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.remainder + self.short_tokens + self.cut_tokens
    }

    /// Tokens of the text that are `<unk>`.
    #[must_use]
    pub fn unknown_tokens(&self) -> u64 {
        self.files.iter().map(|file| file.unknown_tokens).sum()
    }

    /// The sum of a count over the files.
    #[must_use]
    pub fn total(&self, count: impl Fn(&Passed) -> u64) -> u64 {
        self.files.iter().map(|file| count(&file.passed)).sum()
    }
}

impl DataLedger {
    /// The account of a split.
    #[must_use]
    pub fn split(&self, split: Split) -> Option<&SplitLedger> {
        self.splits.iter().find(|ledger| ledger.split == split)
    }

    /// The tokens of a split that a model of all of its text predicts: all but those that only begin or end a row (the
    /// frame, and with packing: sentence the boundary token before each line). The loss of a token times these, shared
    /// among words or bytes, is the loss of a word or a byte.
    #[must_use]
    pub fn tokens_to_predict(&self, split: Split) -> u64 {
        let Some(ledger) = self.split(split) else { return 0 };
        let text_and_edges = ledger.text_tokens() + ledger.boundary_tokens;
        let edges_before = self.packing == Packing::Sentence
            && self.boundary_token != Boundary::None
            && ledger.frame_tokens == 0;
        text_and_edges - if edges_before { ledger.total(|passed| passed.units) } else { 0 }
    }

    /// Holds the account to its laws.
    ///
    /// # Errors
    /// The first law that is broken, with its figures.
    pub fn check(&self) -> Result<(), DataError> {
        for ledger in &self.splits {
            let (given, kept) = (ledger.tokens(), ledger.chunk_tokens + ledger.dropped());
            if given != kept {
                return Err(DataError::Ledger(format!(
                    "the {} text has {given} tokens, but {kept} are in chunks or dropped",
                    ledger.split
                )));
            }
            if ledger.held_out_of.is_some() {
                continue;
            }
            let parts: Vec<&SplitLedger> = self
                .splits
                .iter()
                .filter(|other| {
                    other.split == ledger.split || other.held_out_of == Some(ledger.split)
                })
                .collect();
            for (i, file) in ledger.files.iter().enumerate() {
                let passed: u64 = parts
                    .iter()
                    .filter_map(|part| part.files.get(i))
                    .map(|file| file.passed.characters + file.passed.skipped_characters)
                    .sum();
                if passed != file.file.characters {
                    return Err(DataError::Ledger(format!(
                        "{} has {} characters, but {passed} were read",
                        file.file.name, file.file.characters
                    )));
                }
            }
        }
        Ok(())
    }

    /// Refuses to drop more than the share `allowed` of the tokens of any split.
    ///
    /// # Errors
    /// The split and its figures, and what to set.
    #[expect(clippy::cast_precision_loss, reason = "a share for a message")]
    pub fn check_loss(&self, allowed: f64) -> Result<(), DataError> {
        for ledger in &self.splits {
            let (dropped, tokens) = (ledger.dropped(), ledger.tokens());
            let lost = dropped as f64 / tokens.max(1) as f64;
            if lost > allowed {
                return Err(DataError::Loss {
                    split: ledger.split,
                    packing: self.packing,
                    dropped,
                    tokens,
                    percent: 100.0 * lost,
                    allowed,
                    needed: (lost * 1000.0).ceil() / 1000.0,
                });
            }
        }
        Ok(())
    }
}

impl fmt::Display for DataLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ledger in &self.splits {
            writeln!(f, "{} text", ledger.split)?;
            for file in &ledger.files {
                let Passed { units, lines, blank_lines, characters, .. } = file.passed;
                write!(f, "  {}: {} bytes", file.file.name, file.file.bytes)?;
                if file.file.kind != SourceKind::Text {
                    write!(f, ", {} records", file.file.records)?;
                }
                if file.file.kind == SourceKind::DatasetIds {
                    write!(f, ", of which {lines} here ({blank_lines} empty, skipped)")?;
                    write!(f, ", {characters} ids")?;
                } else if self.unit == Unit::Line {
                    write!(f, ", {lines} lines ({blank_lines} blank, skipped)")?;
                    write!(f, ", {characters} characters")?;
                } else {
                    write!(f, ", {lines} lines, {units} stream")?;
                    f.write_str(if units == 1 { "" } else { "s" })?;
                    write!(f, ", {characters} characters")?;
                }
                write!(f, " -> {} tokens", file.tokens)?;
                if file.unknown_tokens > 0 {
                    write!(f, " ({} <unk>)", file.unknown_tokens)?;
                }
                writeln!(f)?;
            }
            let SplitLedger { short_units, short_tokens, cut_units, cut_tokens, .. } = ledger;
            write!(f, "  {} text tokens", ledger.text_tokens())?;
            write!(f, " + {} boundary tokens", ledger.boundary_tokens)?;
            if ledger.frame_tokens > 0 {
                write!(f, " + {} frame tokens", ledger.frame_tokens)?;
            }
            write!(f, " = {} tokens = {}", ledger.tokens(), ledger.chunk_tokens)?;
            write!(f, " in {} chunks of ", ledger.chunks)?;
            f.write_str(if self.packing == Packing::Sentence { "at most " } else { "" })?;
            write!(f, "{} + {} dropped", self.max_sequence_length, ledger.dropped())?;
            if self.packing != Packing::Pack {
                write!(f, " ({short_tokens} in {short_units} lines too short for a row,")?;
                write!(f, " {cut_tokens} beyond the rows of {cut_units} lines)")?;
            }
            writeln!(f)?;
        }
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}
