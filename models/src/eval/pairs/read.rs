//! Files of minimal pairs.
//!
//! | ending | a pair is |
//! |---|---|
//! | `.jsonl` | a line with `sentence_good` and `sentence_bad` (BLiMP), or `good` and `bad` |
//! | `.csv`, `.tsv` | a line under a header with columns of these names |
//! | `.txt` | two lines, the bad sentence first (Zorro) |
//!
//! Where a line says so, `UID` or `paradigm` names its paradigm, `linguistics_term` or `phenomenon` its phenomenon, and
//! `pairID` or `item` the pair and `condition` its condition; else the paradigm is the file's name. Zorro's files are
//! called phenomenon-paradigm. The suite is called as the file or folder that was asked for.

use super::{MinimalPair, Paradigm};
use crate::eval::error::EvalError;
use crate::eval::table::{self, Flaw, Record};
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

const WHAT: &str = "minimal pairs";
const EXPECTED: &str = "sentence_good and sentence_bad (or good and bad), both text";
const ENDINGS: [&str; 4] = ["jsonl", "csv", "tsv", "txt"];

/// The paradigms of a file, or of the files of a folder in the order of their names.
///
/// # Errors
/// A path that cannot be read, a line that is no pair, no pairs at all.
pub fn read_pairs(path: &Path) -> Result<Vec<Paradigm>, EvalError> {
    let read = |source| EvalError::read(WHAT, path, source);
    let mut files = Vec::new();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).map_err(read)? {
            files.push(entry.map_err(read)?.path());
        }
        files.retain(|f| ENDINGS.contains(&ending(f)) && f.is_file());
        files.sort();
    } else {
        files.push(path.to_owned());
    }
    let mut paradigms = Vec::new();
    let suite = suite_of(path);
    for file in &files {
        paradigms.extend(read_file(file, &suite)?);
    }
    if paradigms.is_empty() {
        let expected = "files of pairs that end in .jsonl, .csv, .tsv or .txt";
        return Err(EvalError::Empty { what: WHAT, path: path.to_owned(), expected });
    }
    Ok(paradigms)
}

/// The name of a file or folder; Zorro's own is `zorro/sentences/VOCABULARY`.
fn suite_of(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut name = if path.is_dir() { path.file_name() } else { path.file_stem() };
    if let Some(parent) = path.parent().filter(|p| path.is_dir() && p.ends_with("sentences")) {
        name = parent.parent().and_then(Path::file_name).or(name);
    }
    name.unwrap_or_default().to_string_lossy().into_owned()
}

fn ending(path: &Path) -> &str {
    path.extension().and_then(|e| e.to_str()).unwrap_or_default()
}

fn read_file(path: &Path, suite: &str) -> Result<Vec<Paradigm>, EvalError> {
    let text = std::fs::read_to_string(path).map_err(|e| EvalError::read(WHAT, path, e))?;
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
    let mut file = FileOfPairs::new(path, suite);
    match ending(path) {
        "csv" => file.table(table::parse(text))?,
        "tsv" => file.table(Ok((1..).zip(text.lines()).map(tabbed).collect()))?,
        "txt" => file.alternating(text)?,
        _ => file.json_lines(text)?,
    }
    Ok(file.paradigms)
}

fn tabbed((number, line): (usize, &str)) -> (usize, Vec<String>) {
    (number, line.split('\t').map(str::to_owned).collect())
}

struct FileOfPairs {
    path: PathBuf,
    suite: String,
    stem: String,
    paradigms: Vec<Paradigm>,
    places: HashMap<String, usize>,
}

/// A column, by any of its names.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Names(&'static [&'static str]);

const GOOD: Names = Names(&["sentence_good", "good", "preferred"]);
const BAD: Names = Names(&["sentence_bad", "bad", "dispreferred"]);
const PARADIGM: Names = Names(&["UID", "paradigm"]);
const PHENOMENON: Names = Names(&["linguistics_term", "phenomenon"]);
const ITEM: Names = Names(&["pairID", "item", "id"]);
const CONDITION: Names = Names(&["condition"]);

impl FileOfPairs {
    fn new(path: &Path, suite: &str) -> Self {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (path, suite) = (path.to_owned(), suite.to_owned());
        Self { path, suite, stem, paradigms: Vec::new(), places: HashMap::new() }
    }

    fn wrong(&self, line: usize, reason: impl Into<String>) -> EvalError {
        let reason = format!("not a minimal pair: {}", reason.into());
        EvalError::Row { path: self.path.clone(), line, reason, expected: EXPECTED }
    }

    /// A pair, from what finds a field.
    fn add(
        &mut self,
        line: usize,
        field: impl Fn(Names) -> Result<Option<String>, String>,
    ) -> Result<(), EvalError> {
        let sentence = |names: Names| match field(names)? {
            None => Err(format!("it has no {}", names.0[0])),
            Some(text) if text.trim().is_empty() => Err(format!("{} is empty", names.0[0])),
            Some(text) => Ok(text),
        };
        let read = || -> Result<_, String> {
            let pair = (sentence(GOOD)?, sentence(BAD)?, field(ITEM)?, field(CONDITION)?);
            Ok((pair, field(PARADIGM)?, field(PHENOMENON)?))
        };
        let ((good, bad, item, condition), paradigm, phenomenon) =
            read().map_err(|e| self.wrong(line, e))?;
        let name = paradigm.unwrap_or_else(|| self.stem.clone());
        let place = *self.places.entry(name.clone()).or_insert(self.paradigms.len());
        if place == self.paradigms.len() {
            let phenomenon = phenomenon.map_or_else(|| name.clone(), |p| blimp(&p));
            let suite = self.suite.clone();
            self.paradigms.push(Paradigm { suite, name, phenomenon, pairs: Vec::new() });
        }
        let pairs = &mut self.paradigms[place].pairs;
        let item = item.unwrap_or_else(|| pairs.len().to_string());
        pairs.push(MinimalPair { item, good, bad, condition });
        Ok(())
    }

    fn json_lines(&mut self, text: &str) -> Result<(), EvalError> {
        for (line, json) in (1..).zip(text.lines()).filter(|(_, l)| !l.trim().is_empty()) {
            let row: serde_json::Map<String, Value> =
                serde_json::from_str(json).map_err(|e| self.wrong(line, e.to_string()))?;
            let field = |names: Names| {
                let mut there = names.0.iter().filter_map(|name| Some((name, row.get(*name)?)));
                match there.find(|(_, value)| !value.is_null()) {
                    None => Ok(None),
                    Some((_, Value::String(s))) => Ok(Some(s.clone())),
                    Some((_, Value::Number(n))) if names != GOOD && names != BAD => {
                        Ok(Some(n.to_string()))
                    }
                    Some((name, other)) => Err(format!("{name} is {other}")),
                }
            };
            self.add(line, field)?;
        }
        Ok(())
    }

    fn table(&mut self, records: Result<Vec<Record>, Flaw>) -> Result<(), EvalError> {
        let mut records = records.map_err(|(line, e)| self.wrong(line, e))?.into_iter();
        let Some((_, header)) = records.next() else { return Ok(()) };
        let column = |names: Names| header.iter().position(|h| names.0.contains(&h.trim()));
        for (line, fields) in records {
            if fields.len() != header.len() {
                let (n, m) = (fields.len(), header.len());
                return Err(self.wrong(line, format!("{n} fields under a header of {m}")));
            }
            self.add(line, |names| Ok(column(names).map(|i| fields[i].clone())))?;
        }
        Ok(())
    }

    /// Zorro: a bad sentence, then its good twin.
    fn alternating(&mut self, text: &str) -> Result<(), EvalError> {
        let mut lines: Vec<(usize, &str)> = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            match text.trim().is_empty() {
                false => lines.push((line, text)),
                // Between pairs, white space is only that.
                true if lines.len().is_multiple_of(2) => {}
                true => return Err(self.wrong(line, "sentence_good is empty")),
            }
        }
        let phenomenon = self.stem.rsplit_once('-').map(|(phenomenon, _)| phenomenon.to_owned());
        for pair in lines.chunks(2) {
            let &[(line, bad), (_, good)] = pair else {
                return Err(self.wrong(pair[0].0, "the last sentence has no twin"));
            };
            let field = |names: Names| {
                Ok(match names.0[0] {
                    "sentence_good" => Some(good.to_owned()),
                    "sentence_bad" => Some(bad.to_owned()),
                    "linguistics_term" => phenomenon.clone(),
                    _ => None,
                })
            };
            self.add(line, field)?;
        }
        Ok(())
    }
}

/// BLiMP's paper counts 12 phenomena; its files call two paradigms of argument structure s-selection.
fn blimp(term: &str) -> String {
    if term == "s-selection" { "argument_structure".into() } else { term.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, content: &str) -> Result<Vec<Paradigm>, EvalError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), content).unwrap();
        read_pairs(&folder.path().join(name))
    }

    fn pair(item: &str, good: &str, bad: &str) -> MinimalPair {
        MinimalPair { item: item.into(), good: good.into(), bad: bad.into(), condition: None }
    }

    #[test]
    fn test_read_pairs__every_format() {
        let blimp = r#"{"sentence_good":"A cat sat.","sentence_bad":"A cats sat.","UID":"number","linguistics_term":"s-selection","pairID":"7"}"#;
        let zorro = "a cats sat .\na cat sat .\n";
        let csv =
            "item,good,bad,paradigm,phenomenon\n7,\"A cat, sat.\",A cats sat.,number,agreement\n";
        let tsv = "good\tbad\nA cat sat.\tA cats sat.\n";
        let paradigm = |name: &str, phenomenon: &str, p| {
            let (name, phenomenon) = (name.to_owned(), phenomenon.to_owned());
            vec![Paradigm { name, phenomenon, pairs: vec![p], ..Paradigm::default() }]
        };
        let read = |name: &str, content: &str| {
            let mut read = read(name, content).unwrap();
            assert_eq!(read[0].suite, name.rsplit_once('.').unwrap().0);
            read[0].suite.clear();
            read
        };
        let one = pair("7", "A cat sat.", "A cats sat.");
        let expected = paradigm("number", "argument_structure", one);
        assert_eq!(read("x.jsonl", blimp), expected);
        let expected = paradigm(
            "island-effects-x",
            "island-effects",
            pair("0", "a cat sat .", "a cats sat ."),
        );
        assert_eq!(read("island-effects-x.txt", zorro), expected);
        let expected = paradigm("number", "agreement", pair("7", "A cat, sat.", "A cats sat."));
        assert_eq!(read("x.csv", csv), expected);
        let expected = paradigm("x", "x", pair("0", "A cat sat.", "A cats sat."));
        assert_eq!(read("x.tsv", tsv), expected);
    }

    #[test]
    fn test_read_pairs__errors_name_the_line() {
        let message = |name, content| read(name, content).unwrap_err().to_string();
        let json = "{\"good\":\"a\",\"bad\":\"b\"}\n\n{\"good\":\"a\"}";
        assert!(
            message("x.jsonl", json)
                .contains("x.jsonl:3: not a minimal pair: it has no sentence_bad")
        );
        assert!(message("x.jsonl", "{\"good\":1,\"bad\":\"b\"}").contains(": good is 1"));
        assert!(message("x.csv", "good,bad\na,b\nc\n").contains("x.csv:3"));
        assert!(message("x.csv", "good,worse\na,b\n").contains("x.csv:2"));
        assert!(message("x.txt", "a\nb\nc\n").contains("x.txt:3"));
        assert!(message("x.jsonl", "").contains("no minimal pairs"));
        // An empty sentence is more probable than any other.
        let empty = "{\"good\":\"a\",\"bad\":\"b\"}\n{\"good\":\" \",\"bad\":\"b\"}\n";
        assert!(
            message("x.jsonl", empty)
                .contains("x.jsonl:2: not a minimal pair: sentence_good is empty")
        );
        assert!(
            message("x.csv", "good,bad\na,\n")
                .contains("x.csv:2: not a minimal pair: sentence_bad is empty")
        );
        assert!(
            message("x.txt", "a\nb\nc\n\n")
                .contains("x.txt:4: not a minimal pair: sentence_good is empty")
        );
        assert!(
            message("x.txt", "a\nb\n\nc\nd\ne").contains("x.txt:6"),
            "between pairs lines may be empty"
        );
    }

    #[test]
    fn test_read_pairs__a_name_that_is_null_is_none() {
        let null = r#"{"good":"a","bad":"b","UID":null,"paradigm":"p","linguistics_term":null,"pairID":null,"condition":2}"#;
        let read = read("x.jsonl", &format!("\u{FEFF}{null}")).unwrap();
        assert_eq!((&*read[0].name, &*read[0].phenomenon), ("p", "p"));
        assert_eq!(read[0].pairs[0].item, "0");
        assert_eq!(read[0].pairs[0].condition.as_deref(), Some("2"));
    }

    #[test]
    fn test_read_pairs__a_suite_is_called_as_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let zorro = folder.path().join("zorro/sentences/babyberta");
        let other = folder.path().join("blimp");
        for folder in [&zorro, &other] {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::write(folder.join("case-x.txt"), "a\nb\n").unwrap();
        }
        assert_eq!(read_pairs(&zorro).unwrap()[0].suite, "zorro");
        assert_eq!(read_pairs(&other).unwrap()[0].suite, "blimp");
    }
}
