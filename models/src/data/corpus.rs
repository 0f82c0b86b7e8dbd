//! A corpus: files, units, and what is held out.
//!
//! A **unit** is what a boundary token ends: a line (an utterance a line; blank lines are skipped and counted) or a
//! document (a file is one stream, with its newlines and blank lines; of records, each is a document). A row of a dataset
//! that was tokenized before is a unit. Text comes out as [`Piece`]s: units, cut into
//! segments by the rule of [`tokenizer::cut`](crate::tokenizer::cut) where they are long, so that memory stays bounded.
//!
//! Text is **held out** before anything is trained, the tokenizer included, and by position alone, so that every run on
//! a corpus holds out the same text:
//!
//! - `blocks`: of every file, ten blocks of `fraction / 10` of its characters each, evenly spread. A line goes where its
//!   first character falls, so no line is cut. In a document, the text before and the text behind a held-out block are
//!   two streams: nothing is joined that did not stand together. A record or row goes where it begins.
//! - `tail`: the last `fraction` of the characters of all files together: lines, records and rows by their first
//!   character, documents exactly.
//!
//! Of rows of token ids, every id counts as a character.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::source::{CorpusFile, Found, Source, SourceKind, SourceReader, sources};
use super::{DataError, Split, Unit, ValidationSplit};
use crate::tokenizer::cut;

/// How many blocks a file gives to the held-out text.
const BLOCKS: u64 = 10;

/// How much text is held out, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct HeldOut {
    /// The share of the characters, from 0 (nothing) to below 1.
    pub fraction: f64,
    /// From where.
    pub from: ValidationSplit,
}

impl HeldOut {
    /// Nothing is held out.
    pub const NOTHING: Self = Self { fraction: 0.0, from: ValidationSplit::Blocks };
}

/// A part of a unit, in the order of the corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The index of its file.
    pub file: usize,
    /// The text; empty only when a unit ends without more text, and when there is a row instead.
    pub text: String,
    /// A whole unit that was tokenized before.
    pub row: Option<IdRow>,
    /// The unit begins here.
    pub begins: bool,
    /// The unit ends here.
    pub ends: bool,
    /// The text goes on a word of the piece before.
    pub inside_word: bool,
}

/// A row of token ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdRow {
    /// Its number in the dataset, from 0.
    pub number: u64,
    /// The ids, at least one.
    pub ids: Vec<u32>,
}

/// What a pass over one file found in one split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// Units that hold text.
    pub units: u64,
    /// Line feeds and, at the end of a file or record, a last line without one; blank ones and empty records included.
    /// Of rows of ids, rows.
    pub lines: u64,
    /// Lines of nothing but white space, and empty records and rows, skipped (unit line).
    pub blank_lines: u64,
    /// Characters (or ids) handed on.
    pub characters: u64,
    /// Characters of line ends and blank lines, which units of lines leave out.
    pub skipped_characters: u64,
    /// Bytes of the text in UTF-8, line feeds and blank lines included: what a loss a byte is shared among.
    pub bytes: u64,
}

/// The files of a corpus, read once to know their size and their hash.
#[derive(Clone, Debug)]
pub struct Corpus {
    path: PathBuf,
    unit: Unit,
    held_out: HeldOut,
    sources: Vec<Source>,
    files: Vec<CorpusFile>,
}

impl Corpus {
    /// Reads the file `path`, or every `.train`, `.txt` and `.jsonl` file of the folder `path` by name, or the Hugging
    /// Face dataset in it; `field` is named in messages.
    ///
    /// # Errors
    /// Nothing there, no corpus file, an unreadable file, text that is not UTF-8, a record without text, a damaged
    /// dataset, a fraction outside [0, 1), and a corpus without any text.
    pub fn open(
        field: &str,
        path: &Path,
        unit: Unit,
        held_out: HeldOut,
    ) -> Result<Self, DataError> {
        if !(0.0..1.0).contains(&held_out.fraction) {
            return Err(DataError::Option {
                field: "data.validation_fraction",
                reason: format!("{} is not in [0, 1)", held_out.fraction),
            });
        }
        let sources = sources(field, path)?;
        let files = sources.iter().map(Source::scan).collect::<Result<Vec<_>, _>>()?;
        if files.iter().all(|file| file.characters == 0) {
            return Err(DataError::Empty { split: Split::Train, path: path.to_owned(), hint: "" });
        }
        Ok(Self { path: path.to_owned(), unit, held_out, sources, files })
    }

    /// Looks for the files of [`open`](Self::open) and reads none of them.
    ///
    /// # Errors
    /// Nothing there, no corpus file, a kind of file that is not read, a dataset without text or ids.
    pub fn look(field: &str, path: &Path) -> Result<(), DataError> {
        sources(field, path).map(drop)
    }

    /// The path that was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files.
    #[must_use]
    pub fn files(&self) -> &[CorpusFile] {
        &self.files
    }

    /// The unit.
    #[must_use]
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// What is held out.
    #[must_use]
    pub fn held_out(&self) -> HeldOut {
        self.held_out
    }

    /// Whether it holds token ids and no text.
    #[must_use]
    pub fn is_tokenized(&self) -> bool {
        self.files.iter().any(|file| file.kind == SourceKind::DatasetIds)
    }

    /// The pieces of the text to train on (`held_out` false) or of the held-out text (true).
    #[must_use]
    pub fn pieces(&self, held_out: bool) -> Pieces<'_> {
        Pieces::new(self, held_out)
    }

    /// The text to train a tokenizer on, in pieces; never a character that is held out.
    pub fn text(&self) -> impl Iterator<Item = Result<String, DataError>> + Send + '_ {
        self.pieces(false).map(|piece| piece.map(|piece| piece.text))
    }

    /// Where the held-out tail begins, in characters of the whole corpus.
    fn tail_start(&self) -> u64 {
        let all: u64 = self.files.iter().map(|file| file.characters).sum();
        share(all, 1.0 - self.held_out.fraction)
    }
}

/// The whole part of `n` times `fraction`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a count of characters, below 2^53, times a number in [0, 1]"
)]
fn share(n: u64, fraction: f64) -> u64 {
    (n as f64 * fraction) as u64
}

/// Iterates over the pieces of one split; see [`Corpus::pieces`].
#[derive(Debug)]
pub struct Pieces<'a> {
    corpus: &'a Corpus,
    held_out: bool,
    tail_start: u64,
    file: usize,
    reader: Option<SourceReader<'a>>,
    /// Records of the file read so far, and whether one is being read that is not to be divided between splits.
    records: u64,
    whole: bool,
    /// Characters of the file, and of all files before it, read so far.
    offset: u64,
    before: u64,
    /// Characters of the current line so far, and whether they belong to this split.
    line: u64,
    ours: bool,
    /// Text of the open unit that is not handed on yet, and whether any of it was.
    open: String,
    begun: bool,
    inside_word: bool,
    ready: VecDeque<Piece>,
    passed: Vec<Passed>,
    finished: bool,
}

impl<'a> Pieces<'a> {
    fn new(corpus: &'a Corpus, held_out: bool) -> Self {
        Self {
            corpus,
            held_out,
            tail_start: corpus.tail_start(),
            file: 0,
            reader: None,
            records: 0,
            whole: false,
            offset: 0,
            before: 0,
            line: 0,
            ours: false,
            open: String::new(),
            begun: false,
            inside_word: false,
            ready: VecDeque::new(),
            passed: vec![Passed::default(); corpus.files.len()],
            finished: false,
        }
    }

    /// What has passed, by file.
    #[must_use]
    pub fn passed(&self) -> &[Passed] {
        &self.passed
    }

    /// Bytes of the corpus read so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let whole: u64 = self.corpus.files.iter().take(self.file).map(|file| file.bytes).sum();
        whole + self.reader.as_ref().map_or(0, SourceReader::bytes)
    }

    /// Reads one block; false at the end of the corpus.
    fn advance(&mut self) -> Result<bool, DataError> {
        let corpus = self.corpus;
        let Some(source) = corpus.sources.get(self.file) else { return Ok(false) };
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => SourceReader::open(source)?,
        };
        let mut text = String::new();
        match reader.read(&mut text)? {
            Found::Block => text.split_inclusive('\n').for_each(|part| self.part(part)),
            Found::Record => self.record(&text),
            Found::Ids(ids) => self.row(ids),
            Found::End => {
                let expected = &corpus.files[self.file];
                if reader.bytes() != expected.bytes || reader.hash()? != expected.blake3 {
                    return Err(DataError::Changed { path: source.path().to_owned() });
                }
                self.end_file();
                return Ok(true);
            }
        }
        self.reader = Some(reader);
        Ok(true)
    }

    fn end_file(&mut self) {
        if self.line > 0 {
            self.end_line(false);
        }
        self.end_unit();
        self.before += self.offset;
        (self.offset, self.records) = (0, 0);
        self.file += 1;
    }

    /// Takes the text of a record: lines, or one document.
    fn record(&mut self, text: &str) {
        self.ours = self.is_held_out() == self.held_out;
        self.whole = self.corpus.unit == Unit::Document;
        self.records += 1;
        if text.is_empty() {
            self.empty_record();
        }
        text.split_inclusive('\n').for_each(|part| self.part(part));
        if self.line > 0 {
            self.end_line(false);
        }
        self.end_unit();
        self.whole = false;
    }

    /// Takes a row that was tokenized before.
    fn row(&mut self, ids: Vec<u32>) {
        self.ours = self.is_held_out() == self.held_out;
        let (number, count) = (self.records, ids.len() as u64);
        self.records += 1;
        self.offset += count;
        if count == 0 {
            self.empty_record();
        } else if self.ours {
            let passed = &mut self.passed[self.file];
            (passed.units, passed.lines) = (passed.units + 1, passed.lines + 1);
            passed.characters += count;
            let (file, row) = (self.file, Some(IdRow { number, ids }));
            let text = String::new();
            let piece = Piece { file, text, row, begins: true, ends: true, inside_word: false };
            self.ready.push_back(piece);
        }
    }

    fn empty_record(&mut self) {
        let passed = &mut self.passed[self.file];
        passed.lines += u64::from(self.ours);
        passed.blank_lines += u64::from(self.ours);
    }

    /// Takes a part of a line, perhaps with its line feed.
    fn part(&mut self, part: &str) {
        // Only a document's tail begins inside a line.
        let exact = !self.whole
            && self.corpus.unit == Unit::Document
            && self.corpus.held_out.from == ValidationSplit::Tail;
        if !self.whole && (self.line == 0 || exact) {
            let ours = self.is_held_out() == self.held_out;
            if self.ours && !ours {
                self.end_unit();
            }
            self.ours = ours;
        }
        let characters = part.chars().count() as u64;
        let here = self.before + self.offset;
        let inside = exact && (here + 1..here + characters).contains(&self.tail_start);
        let cut = if inside { self.tail_start - here } else { characters };
        let cut_byte = part.char_indices().nth(usize::try_from(cut).unwrap_or(usize::MAX));
        let (first, second) = part.split_at(cut_byte.map_or(part.len(), |(at, _)| at));
        self.take(first, cut);
        if !second.is_empty() {
            if self.ours {
                self.end_unit();
            }
            self.ours = !self.ours;
            self.take(second, characters - cut);
        }
        if part.ends_with('\n') {
            self.end_line(true);
        }
    }

    fn take(&mut self, text: &str, characters: u64) {
        self.offset += characters;
        self.line += characters;
        if !self.ours {
            return;
        }
        self.passed[self.file].bytes += text.len() as u64;
        let text = match self.corpus.unit {
            Unit::Line => text.strip_suffix('\n').unwrap_or(text),
            Unit::Document => text,
        };
        self.open.push_str(text);
        while let Some(end) = cut::next_cut(&self.open) {
            let rest = self.open.split_off(end);
            let piece = std::mem::replace(&mut self.open, rest);
            self.hand_on(piece, false);
        }
    }

    fn end_line(&mut self, line_feed: bool) {
        self.line = 0;
        if !self.ours {
            return;
        }
        self.passed[self.file].lines += 1;
        if self.corpus.unit == Unit::Document {
            return;
        }
        let passed = &mut self.passed[self.file];
        passed.skipped_characters += u64::from(line_feed);
        if !self.begun && self.open.trim().is_empty() {
            passed.blank_lines += 1;
            passed.skipped_characters += self.open.chars().count() as u64;
            self.open.clear();
        } else {
            self.end_unit();
        }
    }

    fn end_unit(&mut self) {
        if self.begun || !self.open.is_empty() {
            let piece = std::mem::take(&mut self.open);
            self.hand_on(piece, true);
        }
    }

    fn hand_on(&mut self, text: String, ends: bool) {
        let passed = &mut self.passed[self.file];
        passed.characters += text.chars().count() as u64;
        passed.units += u64::from(!self.begun);
        let last = text.chars().next_back();
        let piece = Piece {
            file: self.file,
            text,
            row: None,
            begins: !self.begun,
            ends,
            inside_word: self.begun && self.inside_word,
        };
        self.begun = !ends;
        self.inside_word = last.is_some_and(|c| !c.is_whitespace());
        self.ready.push_back(piece);
    }

    /// Whether the character at the current offset is held out.
    fn is_held_out(&self) -> bool {
        let HeldOut { fraction, from } = self.corpus.held_out;
        if fraction <= 0.0 {
            return false;
        }
        match from {
            ValidationSplit::Tail => self.before + self.offset >= self.tail_start,
            ValidationSplit::Blocks => {
                in_block(self.offset, self.corpus.files[self.file].characters, fraction)
            }
        }
    }
}

/// Whether a character of a file of `n` lies in one of its ten held-out blocks. Block i is centred in the i-th tenth.
fn in_block(offset: u64, n: u64, fraction: f64) -> bool {
    let held = share(n, fraction);
    (0..BLOCKS).any(|i| {
        let centre = n * (2 * i + 1) / (2 * BLOCKS);
        let begin = centre - held / (2 * BLOCKS);
        // The blocks differ by at most one character, and together have exactly `held`.
        let length = held * (i + 1) / BLOCKS - held * i / BLOCKS;
        (begin..begin + length).contains(&offset)
    })
}

impl Iterator for Pieces<'_> {
    type Item = Result<Piece, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Some(Ok(piece));
            }
            if self.finished {
                return None;
            }
            match self.advance() {
                Ok(more) => self.finished = !more,
                Err(error) => {
                    self.finished = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
