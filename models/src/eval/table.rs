//! Tidy tables: one observation a row, comma-separated (RFC 4180), as R and pandas read them. What is not known is NA.

use super::error::EvalError;
use super::pseudo::Hiding;
use std::fmt::{Display, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Which model made the numbers of a row; the first columns of every table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Origin {
    /// Updates that made the weights; None for a model that was not trained here.
    pub step: Option<u64>,
    /// Target tokens trained on until then.
    pub tokens_seen: Option<u64>,
    /// Words trained on until then.
    pub words_seen: Option<u64>,
    /// The seed of the run.
    pub seed: Option<u64>,
    /// What gave the probabilities.
    pub scorer: ScoredBy,
    /// Whether the first token of a text has a score: not where training had no token before it.
    pub first_token_scored: Option<bool>,
}

/// What gives tokens their probabilities.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ScoredBy {
    /// Nobody said.
    #[default]
    Unknown,
    /// A model of this architecture, left to right.
    Model(&'static str),
    /// A model of this architecture that sees both sides: pseudo-log-likelihood.
    Pseudo(&'static str, Hiding),
    /// An n-gram model of this order.
    Ngram(usize),
}

impl Display for ScoredBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown => f.write_str("NA"),
            Self::Model(name) => f.write_str(name),
            Self::Pseudo(name, Hiding::Token) => write!(f, "{name}_pll"),
            Self::Pseudo(name, Hiding::WithinWord) => write!(f, "{name}_pll_word_l2r"),
            Self::Ngram(order) => write!(f, "kn{order}"),
        }
    }
}

impl serde::Serialize for ScoredBy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Origin {
    /// The names of its columns.
    pub const COLUMNS: &str = "step,tokens_seen,words_seen,seed,scorer,first_token_scored";

    /// Its columns.
    #[must_use]
    pub fn cells(&self) -> String {
        let mut row = Row::default();
        row.option(self.step).option(self.tokens_seen);
        row.option(self.words_seen).option(self.seed).cell(self.scorer);
        row.option(self.first_token_scored.map(u8::from));
        row.0
    }
}

/// A line of a table in the making.
#[derive(Debug, Default)]
pub struct Row(String);

impl Row {
    /// A row that begins with the columns of an origin.
    #[must_use]
    pub fn of(origin: &Origin) -> Self {
        Self(origin.cells())
    }

    /// A number, or a word that needs no quotes.
    pub fn cell(&mut self, value: impl Display) -> &mut Self {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{value}");
        self
    }

    /// A number, or NA.
    pub fn option(&mut self, value: Option<impl Display>) -> &mut Self {
        match value {
            Some(value) => self.cell(value),
            None => self.cell("NA"),
        }
    }

    /// Any text, quoted where it must be; no text is NA.
    pub fn text(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            None => self.cell("NA"),
            // What would read back as something else: an NA that is a word, a comma, white space at the edge.
            Some(s)
                if s.is_empty()
                    || s == "NA"
                    || s.trim() != s
                    || s.contains([',', '"', '\n', '\r']) =>
            {
                self.cell(format_args!("\"{}\"", s.replace('"', "\"\"")))
            }
            Some(s) => self.cell(s),
        }
    }

    /// The line, without its end.
    #[must_use]
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.0)
    }
}

/// A table on disk. Its first column is the step, and steps only grow: so it can be gone on with.
pub struct Table {
    path: PathBuf,
    file: BufWriter<File>,
    /// What it is called once it is finished, if that is not what it is called now.
    whole: Option<PathBuf>,
}

impl Table {
    /// A new table, in the place of any other; `columns` come after those of the origin.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn create(path: &Path, columns: &str) -> Result<Self, EvalError> {
        let failed = |source| EvalError::Write { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = BufWriter::new(File::create(path).map_err(failed)?);
        let mut table = Self { path: path.to_owned(), file, whole: None };
        table.line(&header(columns))?;
        Ok(table)
    }

    /// A new table that takes the place of any other when it is finished. Until then its name ends in `.partial`; one
    /// that never is is removed.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn create_whole(path: &Path, columns: &str) -> Result<Self, EvalError> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let mut table = Self::create(Path::new(&partial), columns)?;
        table.whole = Some(path.to_owned());
        Ok(table)
    }

    /// The table at `path` without its rows of `step` and later ones, to go on with; a new one if there is none, or
    /// one with other columns.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn go_on(path: &Path, columns: &str, step: u64) -> Result<Self, EvalError> {
        let failed = |source| EvalError::Write { path: path.to_owned(), source };
        let Ok(old) = File::open(path) else { return Self::create(path, columns) };
        let (mut lines, mut line, mut keep) = (BufReader::new(old), Vec::new(), 0);
        while lines.read_until(b'\n', &mut line).map_err(failed)? > 0 {
            // A line without an end was never finished.
            let whole = line.strip_suffix(b"\n").and_then(|l| std::str::from_utf8(l).ok());
            let earlier = |l: &str| {
                let first = l.split(',').next().and_then(|s| s.parse::<u64>().ok());
                first.is_some_and(|s| s < step)
            };
            match whole {
                Some(l) if keep == 0 && l == header(columns) => {}
                Some(l) if keep > 0 && earlier(l) => {}
                _ => break,
            }
            keep += line.len() as u64;
            line.clear();
        }
        if keep == 0 {
            return Self::create(path, columns);
        }
        let file = OpenOptions::new().write(true).open(path).map_err(failed)?;
        file.set_len(keep).map_err(failed)?;
        let mut file = BufWriter::new(file);
        std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file, whole: None })
    }

    /// Appends a row.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn line(&mut self, row: &str) -> Result<(), EvalError> {
        let failed = |source| EvalError::Write { path: self.path.clone(), source };
        writeln!(self.file, "{row}").map_err(failed)
    }

    /// Brings all rows to the disk.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn finish(mut self) -> Result<(), EvalError> {
        let written = self.file.flush().and_then(|()| match &self.whole {
            Some(whole) => std::fs::rename(&self.path, whole),
            None => Ok(()),
        });
        written.map_err(|source| EvalError::Write { path: self.path.clone(), source })?;
        self.whole = None;
        Ok(())
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        if self.whole.is_some() {
            // What is in the way only takes room.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn header(columns: &str) -> String {
    format!("{},{columns}", Origin::COLUMNS)
}

/// The line on which a record begins, from 1, and its fields.
pub type Record = (usize, Vec<String>);

/// The line of what is wrong with a table, and what it is.
pub type Flaw = (usize, &'static str);

/// The records of comma-separated text (RFC 4180): the line on which each begins, and its fields.
///
/// # Errors
/// The line of a quote that is never closed, or that is followed by something else than a comma.
pub fn parse(text: &str) -> Result<Vec<Record>, Flaw> {
    let (mut records, mut fields, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut first) = (1, 1);
    let mut chars = text.strip_prefix('\u{FEFF}').unwrap_or(text).chars().peekable();
    let mut quoted = false;
    let mut any = false;
    while let Some(c) = chars.next() {
        any = true;
        line += usize::from(c == '\n');
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' if quoted => {
                quoted = false;
                if chars.peek().is_some_and(|c| !matches!(c, ',' | '\n' | '\r')) {
                    return Err((line, "a closing quote is followed by more text"));
                }
            }
            _ if quoted => field.push(c),
            '"' if field.is_empty() => quoted = true,
            ',' => fields.push(std::mem::take(&mut field)),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' => {
                fields.push(std::mem::take(&mut field));
                records.push((first, std::mem::take(&mut fields)));
                (first, any) = (line, false);
            }
            _ => field.push(c),
        }
    }
    if quoted {
        return Err((first, "a quote is opened and never closed"));
    }
    if any {
        fields.push(field);
        records.push((first, fields));
    }
    records.retain(|(_, fields)| fields.len() > 1 || !fields[0].trim().is_empty());
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_table__what_is_written_reads_back() {
        let cells = ["plain", "a, b", "say \"so\"", "two\nlines", " edge", "", "NA"];
        let mut row = Row::default();
        for cell in cells {
            row.text(Some(cell));
        }
        let line = row.finish();
        assert_eq!(parse(&line).unwrap(), [(1, cells.map(str::to_owned).to_vec())]);
        assert_eq!(row.text(None).option(None::<u64>).cell(0.5).finish(), "NA,NA,0.5");
    }

    #[test]
    fn test_table__goes_on_where_a_step_begins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("eval/x.csv");
        let mut table = Table::create(&path, "a").unwrap();
        for row in ["0,0,0,1,x,1", "2,9,9,1,x,1", "2,9,9,1,y,1", "10,9,9,1,z,1"] {
            table.line(row).unwrap();
        }
        table.finish().unwrap();
        // A write that was cut off.
        let torn = std::fs::read_to_string(&path).unwrap() + "10,9";
        std::fs::write(&path, torn).unwrap();
        let mut table = Table::go_on(&path, "a", 2).unwrap();
        table.line("2,9,9,1,w,1").unwrap();
        table.finish().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{}\n0,0,0,1,x,1\n2,9,9,1,w,1\n", header("a")));
        Table::go_on(&path, "b", 2).unwrap().finish().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, header("b") + "\n");
    }

    #[test]
    fn test_table__one_that_must_be_whole_replaces_the_old_one_at_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv");
        std::fs::write(&path, "old").unwrap();
        let read = || std::fs::read_to_string(&path).unwrap();
        drop(Table::create_whole(&path, "a").unwrap());
        assert_eq!(read(), "old");
        assert!(!folder.path().join("x.csv.partial").exists());
        Table::create_whole(&path, "a").unwrap().finish().unwrap();
        assert_eq!(read(), header("a") + "\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn test_table__records_know_their_line() {
        let records = parse("a,b\r\n\"x\ny\",2\n\n3,4").unwrap();
        assert_eq!(records.iter().map(|r| r.0).collect::<Vec<_>>(), [1, 2, 5]);
        assert_eq!(parse("a\n\"b").unwrap_err().0, 2);
        assert_eq!(parse("\"a\"b").unwrap_err().0, 1);
    }
}
