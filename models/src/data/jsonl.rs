//! Corpora in JSON Lines: one object a line, with the text in a field of it.
//!
//! ```text
//! {"text": "The dog barks.", "source": "childes"}
//! {"text": "Two lines,\nin one record."}
//! ```
//!
//! Reading is as strict as reading text: UTF-8 without exception, an object in every line that is not blank, and a text
//! in its field. A record without text is an error, not an empty record, since a misspelt field would silently empty a
//! corpus. Memory is one record.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

/// The longest line that is read, in bytes.
pub const MAX_RECORD: u64 = 256 << 20;

/// The field that holds the text, unless told otherwise.
pub const TEXT_FIELD: &str = "text";

/// Why a `.jsonl` file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonlError {
    /// A file that the system cannot read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },

    /// Bytes that are no UTF-8.
    #[error("{path} is not UTF-8: bad byte at offset {offset} (the first byte is 0)", path = path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The offset of the first bad byte.
        offset: u64,
    },

    /// A line that is no record with a text.
    #[error("{path}:{line}: {message}", path = path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong, and what to do.
        message: String,
    },
}

impl JsonlError {
    /// The exit status of a command that ends with this error.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        3
    }
}

/// Reads the texts of a file, record by record.
#[derive(Debug)]
pub struct JsonlReader {
    path: PathBuf,
    field: String,
    file: BufReader<File>,
    hasher: blake3::Hasher,
    bytes: u64,
    line: u64,
    blank_lines: u64,
    buffer: Vec<u8>,
}

impl JsonlReader {
    /// Opens a file whose texts are in the field `field` (see [`TEXT_FIELD`]).
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub fn open(path: &Path, field: &str) -> Result<Self, JsonlError> {
        let file = File::open(path)
            .map_err(|source| JsonlError::Read { path: path.to_owned(), source })?;
        Ok(Self {
            path: path.to_owned(),
            field: field.to_owned(),
            file: BufReader::with_capacity(1 << 16, file),
            hasher: blake3::Hasher::new(),
            bytes: 0,
            line: 0,
            blank_lines: 0,
            buffer: Vec::new(),
        })
    }

    /// Bytes of the file read so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The hash of the file so far.
    #[must_use]
    pub fn hash(&self) -> blake3::Hash {
        self.hasher.finalize()
    }

    /// Lines read so far, blank ones included.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.line
    }

    /// Blank lines skipped so far.
    #[must_use]
    pub fn blank_lines(&self) -> u64 {
        self.blank_lines
    }

    /// Replaces `text` by the text of the next record; false at the end of the file.
    ///
    /// # Errors
    /// A line that is not UTF-8, not a JSON object, longer than [`MAX_RECORD`], or has no text in the field; the message
    /// names file and line.
    pub fn read(&mut self, text: &mut String) -> Result<bool, JsonlError> {
        text.clear();
        loop {
            self.buffer.clear();
            let read = (&mut self.file).take(MAX_RECORD + 1).read_until(b'\n', &mut self.buffer);
            let read =
                read.map_err(|source| JsonlError::Read { path: self.path.clone(), source })?;
            if read == 0 {
                return Ok(false);
            }
            let begin = self.bytes;
            self.bytes += read as u64;
            self.line += 1;
            self.hasher.update(&self.buffer);
            if read as u64 > MAX_RECORD {
                let size = MAX_RECORD >> 20;
                return Err(
                    self.record(format!("a line of more than {size} MiB; split the record"))
                );
            }
            let line = std::str::from_utf8(&self.buffer).map_err(|e| JsonlError::NotUtf8 {
                path: self.path.clone(),
                offset: begin + e.valid_up_to() as u64,
            })?;
            let line = if begin == 0 { line.trim_start_matches('\u{FEFF}') } else { line };
            let line = line.trim_end();
            if line.trim_start().is_empty() {
                self.blank_lines += 1;
                continue;
            }
            *text = text_of(line, &self.field).map_err(|message| self.record(message))?;
            return Ok(true);
        }
    }

    fn record(&self, message: String) -> JsonlError {
        JsonlError::Record { path: self.path.clone(), line: self.line, message }
    }
}

/// The text in a field of a JSON object.
fn text_of(line: &str, field: &str) -> Result<String, String> {
    let mut json = serde_json::Deserializer::from_str(line);
    let mut record = Record { field, text: None, others: Vec::new(), problem: None };
    json.deserialize_map(&mut record)
        .and_then(|()| json.end())
        .map_err(|e| format!("column {}: {}", e.column(), without_place(&e.to_string())))?;
    if let Some(problem) = record.problem {
        return Err(problem);
    }
    record.text.ok_or_else(|| {
        let others: Vec<String> = record.others.iter().map(|name| format!("'{name}'")).collect();
        format!("the record has no field '{field}'; it has {}", others.join(", "))
    })
}

/// serde_json counts lines within the record; the place is said once, by us.
fn without_place(message: &str) -> &str {
    message.rfind(" at line ").map_or(message, |at| &message[..at])
}

struct Record<'f> {
    field: &'f str,
    text: Option<String>,
    others: Vec<String>,
    problem: Option<String>,
}

impl<'de> Visitor<'de> for &mut Record<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object, one a line")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key != self.field {
                map.next_value::<IgnoredAny>()?;
                self.others.push(key);
                continue;
            }
            let problem = match (map.next_value::<serde_json::Value>()?, &self.text) {
                (_, Some(_)) => "stands there twice".to_owned(),
                (serde_json::Value::String(text), None) => {
                    self.text = Some(text);
                    continue;
                }
                (other, None) => format!("is no text but {}", kind(&other)),
            };
            self.problem.get_or_insert(format!("the field '{}' {problem}", self.field));
        }
        Ok(())
    }
}

fn kind(value: &serde_json::Value) -> &'static str {
    use serde_json::Value as V;
    match value {
        V::Null => "null",
        V::Bool(_) => "true or false",
        V::Number(_) => "a number",
        V::String(_) => "a text",
        V::Array(_) => "a list",
        V::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(bytes: &[u8]) -> Result<(Vec<String>, JsonlReader), JsonlError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let mut reader = JsonlReader::open(file.path(), TEXT_FIELD)?;
        let (mut texts, mut text) = (Vec::new(), String::new());
        while reader.read(&mut text)? {
            texts.push(text.clone());
        }
        Ok((texts, reader))
    }

    #[test]
    fn test_jsonl__texts_come_out_as_they_are() {
        let file = "\u{FEFF}{\"text\": \"a\\nb\", \"n\": [1, {\"text\": 2}]}\r\n\n  \n{\"id\":1,\"text\":\"\"}\n{\"text\":\"\\ud83d\\ude00 é\"}";
        let (texts, reader) = read_all(file.as_bytes()).unwrap();
        assert_eq!(texts, ["a\nb", "", "😀 é"]);
        assert_eq!((reader.lines(), reader.blank_lines()), (5, 2));
        assert_eq!(
            (reader.bytes(), reader.hash()),
            (file.len() as u64, blake3::hash(file.as_bytes()))
        );
    }

    #[test]
    fn test_jsonl__every_bad_record_is_named_by_its_line() {
        let good = "{\"text\": \"a\"}\n";
        for (bad, words) in [
            ("{\"Text\": \"a\", \"n\": 1}", "no field 'text'; it has 'Text', 'n'"),
            ("{\"text\": null}", "the field 'text' is no text but null"),
            ("{\"text\": [\"a\"]}", "is no text but a list"),
            ("{\"text\": \"a\", \"text\": \"b\"}", "stands there twice"),
            ("{\"text\": \"a\"", "column 12: EOF while parsing an object"),
            ("{\"text\": \"a\"} x", "trailing characters"),
            ("\"a\"", "expected a JSON object, one a line"),
            ("[1]", "expected a JSON object"),
            ("{\"text\": \"\\ud83d\"}", "hex escape"),
        ] {
            let error = read_all(format!("{good}{bad}\n{good}").as_bytes()).map(drop).unwrap_err();
            let JsonlError::Record { line, .. } = &error else { panic!("{error}") };
            let message = error.to_string();
            assert!(*line == 2 && message.contains(words), "{bad}: {message}");
        }
        // However deep a value is nested, it is skipped or refused without a deep call stack.
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let other = read_all(format!("{{\"x\": {deep}, \"text\": \"a\"}}").as_bytes()).unwrap();
        assert_eq!(other.0, ["a"]);
        let error = read_all(format!("{{\"text\": {deep}}}").as_bytes()).map(drop).unwrap_err();
        assert!(error.to_string().contains("recursion limit"), "{error}");
    }

    #[test]
    fn test_jsonl__bad_bytes_are_named_by_offset() {
        let error = read_all(b"{\"text\": \"a\"}\n{\"text\": \"\xFF\"}\n").map(drop).unwrap_err();
        assert!(matches!(error, JsonlError::NotUtf8 { offset: 24, .. }), "{error}");
    }
}
