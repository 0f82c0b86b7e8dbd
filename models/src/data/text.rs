//! Strict, streaming reading of one text file.
//!
//! UTF-8 or an error that names the byte; a byte order mark at the beginning is dropped, and a carriage return before
//! a line feed too; nothing else is changed. Memory is one block, however long the lines are.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::DataError;

const BLOCK: usize = 64 * 1024;

/// Reads a file as blocks of text.
#[derive(Debug)]
pub(super) struct TextReader {
    file: File,
    path: PathBuf,
    /// Bytes read and not yet decoded: the beginning of a character.
    raw: Vec<u8>,
    /// Offset of `raw` in the file.
    offset: u64,
    /// A carriage return was read, and what follows it is not known yet.
    held_return: bool,
    hasher: blake3::Hasher,
    /// Whether the file began with a byte order mark.
    pub(super) byte_order_mark: bool,
    /// Carriage returns dropped so far.
    pub(super) carriage_returns: u64,
}

impl TextReader {
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let file =
            File::open(path).map_err(|source| DataError::Read { path: path.to_owned(), source })?;
        Ok(Self {
            file,
            path: path.to_owned(),
            raw: Vec::with_capacity(BLOCK + 4),
            offset: 0,
            held_return: false,
            hasher: blake3::Hasher::new(),
            byte_order_mark: false,
            carriage_returns: 0,
        })
    }

    /// Bytes of the file so far.
    pub(super) fn bytes(&self) -> u64 {
        self.offset
    }

    /// The hash of the file so far.
    pub(super) fn hash(&self) -> blake3::Hash {
        self.hasher.finalize()
    }

    /// Replaces `text` by the next block; false at the end of the file.
    pub(super) fn read(&mut self, text: &mut String) -> Result<bool, DataError> {
        text.clear();
        let begin = self.raw.len();
        let limit = (BLOCK - begin) as u64;
        (&mut self.file)
            .take(limit)
            .read_to_end(&mut self.raw)
            .map_err(|source| DataError::Read { path: self.path.clone(), source })?;
        self.hasher.update(&self.raw[begin..]);
        let at_end = self.raw.len() == begin;

        let decoded = match std::str::from_utf8(&self.raw) {
            Ok(decoded) => decoded,
            Err(error) if error.error_len().is_none() && !at_end => {
                let valid = &self.raw[..error.valid_up_to()];
                std::str::from_utf8(valid).unwrap_or_default()
            }
            Err(error) => {
                let utf16 =
                    self.offset == 0 && matches!(self.raw[..], [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..]);
                return Err(DataError::NotUtf8 {
                    path: self.path.clone(),
                    offset: self.offset + error.valid_up_to() as u64,
                    hint: if utf16 {
                        "; it looks like UTF-16: convert it with `iconv -f UTF-16 -t UTF-8`"
                    } else {
                        "; if it is Latin-1, convert it with `iconv -f ISO-8859-1 -t UTF-8`"
                    },
                });
            }
        };
        let used = decoded.len();
        let mut rest = decoded;
        if let Some(stripped) = rest.strip_prefix('\u{FEFF}').filter(|_| self.offset == 0) {
            self.byte_order_mark = true;
            rest = stripped;
        }
        if self.held_return && (!rest.is_empty() || at_end) {
            self.held_return = false;
            if rest.starts_with('\n') {
                self.carriage_returns += 1;
            } else {
                text.push('\r');
            }
        }
        if let Some(before) = rest.strip_suffix('\r') {
            self.held_return = true;
            rest = before;
        }
        for (i, part) in rest.split("\r\n").enumerate() {
            if i > 0 {
                text.push('\n');
                self.carriage_returns += 1;
            }
            text.push_str(part);
        }
        self.raw.drain(..used);
        self.offset += used as u64;
        Ok(!at_end || !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(bytes: &[u8]) -> Result<(String, TextReader), DataError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let mut reader = TextReader::open(file.path())?;
        let (mut all, mut block) = (String::new(), String::new());
        while reader.read(&mut block)? {
            all.push_str(&block);
        }
        Ok((all, reader))
    }

    #[test]
    fn test_text__drops_byte_order_mark_and_carriage_returns() {
        let (text, reader) = read_all("\u{FEFF}one\r\ntwo\rthree\n\r".as_bytes()).unwrap();
        assert_eq!(text, "one\ntwo\rthree\n\r");
        assert!(reader.byte_order_mark);
        assert_eq!(reader.carriage_returns, 1);
        assert_eq!(reader.bytes(), 19);
    }

    #[test]
    fn test_text__characters_and_line_ends_survive_every_block_edge() {
        for shift in 0..6 {
            let raw = format!("{}é🙂\r\n{}", "x".repeat(BLOCK - shift), "中\r\n".repeat(BLOCK / 4));
            let (text, reader) = read_all(raw.as_bytes()).unwrap();
            assert_eq!(text, raw.replace("\r\n", "\n"));
            assert_eq!(reader.hash(), blake3::hash(raw.as_bytes()));
        }
    }

    #[test]
    fn test_text__bad_bytes_are_named_by_offset() {
        let offset = |bytes: &[u8]| match read_all(bytes) {
            Err(DataError::NotUtf8 { offset, .. }) => offset,
            other => panic!("{other:?}"),
        };
        assert_eq!(offset(b"ab\xFFcd"), 2);
        assert_eq!(offset("caf\u{e9}".as_bytes().split_last().unwrap().1), 3);
        let mut long = vec![b'a'; 3 * BLOCK];
        long[2 * BLOCK + 17] = 0xC3;
        assert_eq!(offset(&long), 2 * BLOCK as u64 + 17);
        let message = read_all(b"\xFF\xFEh\0i\0").unwrap_err().to_string();
        assert!(message.contains("offset 0") && message.contains("UTF-16"), "{message}");
    }
}
