//! Files in and out: read by lines, written under a temporary name, hashed on the way.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::ManipulationError;

/// What a file was or became.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDigest {
    /// Its name in its folder.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// BLAKE3, 64 hexadecimal digits.
    pub blake3: String,
    /// SHA-256, 64 hexadecimal digits.
    pub sha256: String,
}

/// Both hashes of bytes as they come by.
#[derive(Clone, Debug, Default)]
struct Hashes {
    bytes: u64,
    blake3: blake3::Hasher,
    sha256: Sha256,
}

impl Hashes {
    fn update(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.blake3.update(bytes);
        self.sha256.update(bytes);
    }

    fn digest(&self, name: String) -> FileDigest {
        let sha256 = self.sha256.clone().finalize();
        FileDigest {
            name,
            bytes: self.bytes,
            blake3: self.blake3.finalize().to_hex().to_string(),
            sha256: sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

/// The digest of a file; `name` is how the record calls it.
pub(super) fn digest(path: &Path, name: String) -> Result<FileDigest, ManipulationError> {
    let mut file = File::open(path).map_err(ManipulationError::read(path))?;
    let mut hashes = Hashes::default();
    let mut piece = vec![0; 1 << 18];
    loop {
        let n = file.read(&mut piece).map_err(ManipulationError::read(path))?;
        if n == 0 {
            return Ok(hashes.digest(name));
        }
        hashes.update(&piece[..n]);
    }
}

/// The name of a file, as the record and messages call it.
pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Reads a file line by line; strict about UTF-8.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    file: BufReader<File>,
    bytes: u64,
    buffer: Vec<u8>,
    pub(super) byte_order_mark: bool,
}

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Self, ManipulationError> {
        let file = File::open(path).map_err(ManipulationError::read(path))?;
        let file = BufReader::with_capacity(1 << 18, file);
        let path = path.to_owned();
        Ok(Self { path, file, bytes: 0, buffer: Vec::new(), byte_order_mark: false })
    }

    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next line with its line end, without a byte order mark.
    pub(super) fn next(&mut self) -> Result<Option<&str>, ManipulationError> {
        self.buffer.clear();
        let read = self.file.read_until(b'\n', &mut self.buffer);
        if read.map_err(ManipulationError::read(&self.path))? == 0 {
            return Ok(None);
        }
        let begin = self.bytes;
        self.bytes += self.buffer.len() as u64;
        let text = std::str::from_utf8(&self.buffer).map_err(|e| ManipulationError::NotUtf8 {
            path: self.path.clone(),
            offset: begin + e.valid_up_to() as u64,
        })?;
        match text.strip_prefix('\u{FEFF}') {
            Some(rest) if begin == 0 => {
                self.byte_order_mark = true;
                Ok(Some(rest))
            }
            _ => Ok(Some(text)),
        }
    }
}

/// A line and its line end.
pub(super) fn split_end(line: &str) -> (&str, &str) {
    let text = line.strip_suffix('\n').unwrap_or(line);
    let text = text.strip_suffix('\r').filter(|_| text.len() < line.len()).unwrap_or(text);
    line.split_at(text.len())
}

/// A file that gets its name when it is complete.
#[derive(Debug)]
pub(super) struct Output {
    path: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
    hashes: Hashes,
    complete: bool,
}

impl Output {
    pub(super) fn create(path: &Path) -> Result<Self, ManipulationError> {
        let temporary = path.with_file_name(format!(".{}.tmp-manipulate", name(path)));
        let file = File::create(&temporary).map_err(ManipulationError::write(path))?;
        let file = BufWriter::with_capacity(1 << 18, file);
        let path = path.to_owned();
        Ok(Self { path, temporary, file, hashes: Hashes::default(), complete: false })
    }

    pub(super) fn finish(mut self) -> Result<FileDigest, ManipulationError> {
        let done = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        done.and_then(|()| std::fs::rename(&self.temporary, &self.path))
            .map_err(ManipulationError::write(&self.path))?;
        self.complete = true;
        Ok(self.hashes.digest(name(&self.path)))
    }

    pub(super) fn text(&mut self, text: &str) -> Result<(), ManipulationError> {
        self.write_all(text.as_bytes()).map_err(ManipulationError::write(&self.path))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write_all(bytes)?;
        self.hashes.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.complete {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

/// Whether the file is part of a corpus of plain text.
pub(super) fn is_corpus_file(path: &Path) -> bool {
    has_extension(path, &["train", "txt"])
}

/// Whether the file is part of a corpus as JSON Lines.
pub(super) fn is_json_lines(path: &Path) -> bool {
    has_extension(path, &["jsonl"])
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_lowercase);
    let hidden = name(path).starts_with('.');
    extension.is_some_and(|e| extensions.contains(&e.as_str())) && !hidden && path.is_file()
}

/// The paths in a folder, sorted.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, ManipulationError> {
    let read = |e| ManipulationError::Read { path: folder.to_owned(), source: e };
    let entries = std::fs::read_dir(folder).map_err(read)?;
    let mut paths =
        entries.map(|e| e.map(|e| e.path())).collect::<Result<Vec<_>, _>>().map_err(read)?;
    paths.sort();
    Ok(paths)
}

/// All regular files below a folder by their relative name, links left out.
pub(super) fn tree(folder: &Path) -> Result<BTreeMap<String, PathBuf>, ManipulationError> {
    let mut files = BTreeMap::new();
    let mut folders = vec![(String::new(), folder.to_owned())];
    while let Some((prefix, folder)) = folders.pop() {
        for path in entries(&folder)? {
            let kind = std::fs::symlink_metadata(&path).map_err(ManipulationError::read(&path))?;
            let relative = format!("{prefix}{}", name(&path));
            if kind.is_dir() {
                folders.push((format!("{relative}/"), path));
            } else if kind.is_file() {
                files.insert(relative, path);
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_files__line_ends_are_split_off_whole() {
        let cases = [
            ("a\n", ("a", "\n")),
            ("a\r\n", ("a", "\r\n")),
            ("a\r", ("a\r", "")),
            ("\n", ("", "\n")),
            ("", ("", "")),
        ];
        for (line, expected) in cases {
            assert_eq!(split_end(line), expected);
        }
    }

    #[test]
    fn test_files__hashes_are_those_of_the_standards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc.txt");
        let mut out = Output::create(&path).unwrap();
        assert!(!path.exists());
        out.text("abc").unwrap();
        let written = out.finish().unwrap();
        // FIPS 180-2, appendix B.1; BLAKE3's own test vector for "abc" is that of the crate.
        assert_eq!(
            written.sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(written.blake3, blake3::hash(b"abc").to_hex().to_string());
        assert_eq!(digest(&path, "abc.txt".into()).unwrap(), written);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn test_files__bad_bytes_are_named_by_offset() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.txt");
        std::fs::write(&path, b"\xEF\xBB\xBFone\ntw\xFF\n").unwrap();
        let mut lines = Lines::open(&path).unwrap();
        assert_eq!(lines.next().unwrap(), Some("one\n"));
        assert!(lines.byte_order_mark);
        assert!(matches!(lines.next(), Err(ManipulationError::NotUtf8 { offset: 9, .. })));
    }
}
