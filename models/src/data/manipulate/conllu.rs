//! CoNLL-U: one word a line in ten tab-separated columns, a blank line behind each sentence.
//!
//! ```text
//! # text = It's cold.
//! 1-2  It's  _     _      _    _  _  _      _  _
//! 1    It    it    PRON   PRP  _  3  nsubj  _  _
//! 2    's    be    AUX    VBZ  _  3  cop    _  _
//! 3    cold  cold  ADJ    JJ   _  0  root   _  SpaceAfter=No
//! 4    .     .     PUNCT  .    _  3  punct  _  _
//! ```
//!
//! A **word** has a whole number as its id, a **multiword token** a range (what is written as one), an **empty node** a
//! decimal (a word that is not written). What is written, the **surface**, are the multiword tokens and the words in
//! none of them, with a space behind each that does not say `SpaceAfter=No`.
//! Format: <https://universaldependencies.org/format.html>.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::ManipulationError;
use super::files::Lines;

const COLUMNS: usize = 10;

/// A line of a sentence.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) id: Id,
    columns: [String; COLUMNS],
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Id {
    /// A word; words count from 1.
    Word(usize),
    /// A multiword token, from a word to a word.
    Token(usize, usize),
    /// A word that is not written.
    Empty,
}

impl Row {
    pub(super) fn form(&self) -> &str {
        &self.columns[1]
    }
    pub(super) fn lemma(&self) -> &str {
        &self.columns[2]
    }
    pub(super) fn upos(&self) -> &str {
        &self.columns[3]
    }
    pub(super) fn deprel(&self) -> &str {
        &self.columns[7]
    }
    /// The id of the head; 0 for a root, and where there is none.
    pub(super) fn head(&self) -> usize {
        self.columns[6].parse().unwrap_or(0)
    }
    fn space_after(&self) -> bool {
        !self.columns[9].split('|').any(|part| part == "SpaceAfter=No")
    }
    pub(super) fn set_form(&mut self, form: &str) {
        form.clone_into(&mut self.columns[1]);
    }
    /// Where the parse names no head, it goes on naming none.
    pub(super) fn set_head(&mut self, head: usize, deprel: Option<&str>) {
        if self.columns[6] == "_" {
            return;
        }
        self.columns[6] = head.to_string();
        if let Some(deprel) = deprel {
            deprel.clone_into(&mut self.columns[7]);
        }
    }
    /// Enhanced dependencies name words by their old ids: they are dropped.
    pub(super) fn clear_deps(&mut self) {
        "_".clone_into(&mut self.columns[8]);
    }
    pub(super) fn set_space_after(&mut self, space: bool) {
        let others =
            self.columns[9].split('|').filter(|p| !p.starts_with("SpaceAfter=") && *p != "_");
        let mut parts: Vec<&str> = others.collect();
        if !space {
            parts.push("SpaceAfter=No");
        }
        self.columns[9] = if parts.is_empty() { "_".to_owned() } else { parts.join("|") };
    }
    pub(super) fn set_id(&mut self, id: Id) {
        self.id = id;
        match id {
            Id::Word(n) => self.columns[0] = n.to_string(),
            Id::Token(a, b) => self.columns[0] = format!("{a}-{b}"),
            Id::Empty => {}
        }
    }
}

/// A sentence with its comments.
#[derive(Clone, Debug, Default)]
pub(super) struct Sentence {
    pub(super) comments: Vec<String>,
    pub(super) rows: Vec<Row>,
    /// Where it begins in its file, counted from 1.
    pub(super) line: u64,
}

/// What is written as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Surface<'a> {
    pub(super) form: &'a str,
    pub(super) space_after: bool,
    /// The indices of its words among the words of the sentence.
    pub(super) words: Range<usize>,
    /// A multiword token.
    pub(super) multiword: bool,
}

impl Sentence {
    /// The words, without multiword tokens and empty nodes.
    pub(super) fn words(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| matches!(row.id, Id::Word(_)))
    }

    /// The surface tokens, in order.
    pub(super) fn surface(&self) -> Vec<Surface<'_>> {
        let mut tokens: Vec<Surface<'_>> = Vec::new();
        for row in &self.rows {
            let (words, multiword) = match row.id {
                Id::Word(n) => (n - 1..n, false),
                Id::Token(a, b) => (a - 1..b, true),
                Id::Empty => continue,
            };
            let covered = tokens.last().is_some_and(|last| words.start < last.words.end);
            if !covered {
                let space_after = row.space_after();
                tokens.push(Surface { form: row.form(), space_after, words, multiword });
            }
        }
        tokens
    }

    /// The text that the surface tokens and their spaces give.
    pub(super) fn text(&self) -> String {
        let surface = self.surface();
        let last = surface.len().saturating_sub(1);
        let part = |(i, token): (usize, &Surface<'_>)| {
            let space = if token.space_after && i < last { " " } else { "" };
            format!("{}{space}", token.form)
        };
        surface.iter().enumerate().map(part).collect()
    }

    /// What its comment `# text` says.
    #[cfg(test)]
    pub(super) fn stated_text(&self) -> Option<&str> {
        self.comments.iter().find_map(|c| c.strip_prefix("# text = "))
    }

    /// As it stands in a file, blank line included.
    pub(super) fn write(&self, out: &mut String) {
        for comment in &self.comments {
            out.push_str(comment);
            out.push('\n');
        }
        for row in &self.rows {
            out.push_str(&row.columns.join("\t"));
            out.push('\n');
        }
        out.push('\n');
    }
}

/// Reads a file sentence by sentence.
#[derive(Debug)]
pub(super) struct Sentences {
    lines: Lines,
    line: u64,
}

impl Sentences {
    pub(super) fn open(path: &Path) -> Result<Self, ManipulationError> {
        Ok(Self { lines: Lines::open(path)?, line: 0 })
    }

    pub(super) fn path(&self) -> &PathBuf {
        self.lines.path()
    }

    /// The next sentence, if there is one.
    pub(super) fn next(&mut self) -> Result<Option<Sentence>, ManipulationError> {
        let mut sentence = Sentence::default();
        loop {
            let line =
                self.lines.next()?.map(|line| line.trim_end_matches(['\n', '\r']).to_owned());
            let ended = line.is_none();
            let line = line.unwrap_or_default();
            self.line += u64::from(!ended);
            if line.is_empty() {
                if !sentence.rows.is_empty() {
                    self.check(&sentence)?;
                    return Ok(Some(sentence));
                }
                if ended && !sentence.comments.is_empty() {
                    return Err(self.error("comments without a sentence end the file".to_owned()));
                }
                if ended {
                    return Ok(None);
                }
                continue;
            }
            if sentence.line == 0 {
                sentence.line = self.line;
            }
            if line.starts_with('#') && sentence.rows.is_empty() {
                sentence.comments.push(line);
            } else {
                let row = self.row(&line)?;
                sentence.rows.push(row);
            }
        }
    }

    fn error(&self, message: String) -> ManipulationError {
        ManipulationError::Parse { path: self.path().clone(), line: self.line, message }
    }

    fn row(&self, line: &str) -> Result<Row, ManipulationError> {
        let columns: Vec<String> = line.split('\t').map(str::to_owned).collect();
        let n = columns.len();
        let wrong_count = |_| {
            self.error(format!(
                "{n} columns where CoNLL-U has {COLUMNS}, separated by tabs: {line:.60?}"
            ))
        };
        let columns: [String; COLUMNS] = columns.try_into().map_err(wrong_count)?;
        let number = |text: &str| text.parse::<usize>().ok().filter(|&n| n > 0);
        let id = &columns[0];
        let parsed = match (id.split_once('-'), id.split_once('.')) {
            (Some((a, b)), _) => number(a).zip(number(b)).map(|(a, b)| Id::Token(a, b)),
            (_, Some((a, b))) => a.parse::<usize>().ok().zip(number(b)).map(|_| Id::Empty),
            _ => number(id).map(Id::Word),
        };
        let id = parsed.ok_or_else(|| self.error(format!("'{id}' is no id")))?;
        if columns[1].trim().is_empty() {
            return Err(self.error("the form is empty".to_owned()));
        }
        Ok(Row { id, columns })
    }

    /// Ids count up, ranges cover words that follow, heads exist.
    fn check(&self, sentence: &Sentence) -> Result<(), ManipulationError> {
        let count = sentence.words().count();
        let (mut next, mut covered) = (1, 0);
        for row in &sentence.rows {
            let good = match row.id {
                Id::Word(n) => n == next,
                Id::Token(a, b) => a == next && a <= b && a > covered && b <= count,
                Id::Empty => true,
            };
            let head = row.columns[6].as_str();
            let has_head = matches!(row.id, Id::Word(_)) && head != "_";
            let good_head = !has_head || head.parse::<usize>().is_ok_and(|head| head <= count);
            if !good || !good_head {
                let what = if good {
                    format!("head '{head}'")
                } else {
                    format!("id '{}'", row.columns[0])
                };
                let message = format!("{what} does not fit in this sentence of {count} words");
                let path = self.path().clone();
                return Err(ManipulationError::Parse { path, line: sentence.line, message });
            }
            match row.id {
                Id::Word(_) => next += 1,
                Id::Token(_, b) => covered = b,
                Id::Empty => {}
            }
        }
        if count == 0 {
            let (path, line) = (self.path().clone(), sentence.line);
            let message = "a sentence without words".to_owned();
            return Err(ManipulationError::Parse { path, line, message });
        }
        Ok(())
    }
}
