//! A [`Storage`] used with care.

use std::ffi::OsString;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Entry, Operation, RealStorage, Storage, StorageError, StorageFile};

const BUFFER: usize = 1 << 20;

/// Length and BLAKE3 hash (hexadecimal) of a file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDigest {
    /// Bytes.
    pub length: u64,
    /// BLAKE3, 64 hexadecimal digits.
    pub blake3: String,
}

impl FileDigest {
    /// The digest of bytes in memory.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { length: bytes.len() as u64, blake3: blake3::hash(bytes).to_hex().to_string() }
    }
}

/// A disk whose interrupted calls are repeated, whose short writes are completed, and whose errors say what to do.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Disk(Arc<dyn Storage>);

impl Default for Disk {
    fn default() -> Self {
        Self::real()
    }
}

#[expect(
    clippy::missing_errors_doc,
    reason = "all return StorageError, which names path and operation"
)]
impl Disk {
    /// The operating system's disk.
    #[must_use]
    pub fn real() -> Self {
        Self::new(RealStorage)
    }

    /// Any storage.
    #[must_use]
    pub fn new(storage: impl Storage + 'static) -> Self {
        Self(Arc::new(storage))
    }

    /// Writes a whole file through `fill` and waits until it is on the medium. The name is not durable
    /// before [`Disk::sync_folder`]. `fill`'s own error is returned as it is.
    pub fn write_file<E: From<StorageError>>(
        &self,
        path: &Path,
        fill: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<FileDigest, E> {
        let file = self.call(Operation::Create, path, || self.0.create(path))?;
        let mut out =
            Careful { disk: self, path, file, hash: blake3::Hasher::new(), length: 0, error: None };
        let filled = {
            let mut buffer = BufWriter::with_capacity(BUFFER, &mut out);
            let filled = fill(&mut buffer);
            // Only a filled buffer is worth flushing; `into_parts` drops the rest without a write.
            match filled {
                Ok(()) => buffer
                    .flush()
                    .map_err(|source| E::from(StorageError::new(Operation::Write, path, source))),
                Err(error) => {
                    drop(buffer.into_parts());
                    Err(error)
                }
            }
        };
        // What the disk said explains more than what `fill` made of it.
        if let Some(error) = out.error.take() {
            return Err(error.into());
        }
        filled?;
        out.sync()?;
        Ok(FileDigest { length: out.length, blake3: out.hash.finalize().to_hex().to_string() })
    }

    /// Replaces (or makes) a file in one durable step. `tag` keeps temporary names of different owners apart.
    pub fn replace_file(&self, path: &Path, tag: &str, bytes: &[u8]) -> Result<(), StorageError> {
        self.replace_file_with(path, tag, |out| {
            out.write_all(bytes).map_err(|e| StorageError::new(Operation::Write, path, e))
        })
    }

    /// [`Disk::replace_file`] for content that is not in memory as a whole.
    pub fn replace_file_with(
        &self,
        path: &Path,
        tag: &str,
        fill: impl FnOnce(&mut dyn Write) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".tmp-{tag}-{name}"));
        let written = self.write_file(&temporary, fill).and_then(|_| self.rename(&temporary, path));
        if let Err(error) = written {
            let _ = self.remove_file(&temporary);
            return Err(error);
        }
        self.sync_folder(parent(path))
    }

    /// Opens a file for adding to it.
    pub fn append(&self, path: &Path) -> Result<Box<dyn StorageFile>, StorageError> {
        self.call(Operation::Append, path, || self.0.append(path))
    }

    /// Opens a file for reading.
    pub fn open(&self, path: &Path) -> Result<Box<dyn Read + Send>, StorageError> {
        self.call(Operation::Read, path, || self.0.open(path))
    }

    /// The whole content of a file of at most `limit` bytes.
    pub fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, StorageError> {
        let mut bytes = Vec::new();
        let fail = |source| StorageError::new(Operation::Read, path, source);
        // `read_to_end` repeats interrupted reads.
        self.open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(fail)?;
        if bytes.len() as u64 > limit {
            let message = format!("larger than the {limit} bytes that such a file may have");
            return Err(fail(io::Error::new(io::ErrorKind::InvalidData, message)));
        }
        Ok(bytes)
    }

    /// Length and hash of a file, read in pieces.
    pub fn digest(&self, path: &Path) -> Result<FileDigest, StorageError> {
        let mut file = self.open(path)?;
        let mut hash = blake3::Hasher::new();
        let mut length = 0;
        let mut piece = vec![0; BUFFER];
        loop {
            let n = self.call(Operation::Read, path, || file.read(&mut piece))?;
            if n == 0 {
                break;
            }
            hash.update(&piece[..n]);
            length += n as u64;
        }
        Ok(FileDigest { length, blake3: hash.finalize().to_hex().to_string() })
    }

    /// Makes a folder and those above it, durably.
    pub fn create_folders(&self, path: &Path) -> Result<(), StorageError> {
        if path.as_os_str().is_empty() || self.follows_to_folder(path) {
            return Ok(());
        }
        if let Some(above) = path.parent() {
            self.create_folders(above)?;
        }
        match self.create_folder(path) {
            // Somebody else was quicker.
            Err(e)
                if e.source.kind() == io::ErrorKind::AlreadyExists
                    && self.follows_to_folder(path) =>
            {
                Ok(())
            }
            other => other,
        }?;
        self.sync_folder(parent(path))
    }

    /// Whether the path is a folder, or a link to one.
    fn follows_to_folder(&self, path: &Path) -> bool {
        self.0.list(path).is_ok()
    }

    /// Makes one folder, which must not exist.
    pub fn create_folder(&self, path: &Path) -> Result<(), StorageError> {
        self.call(Operation::CreateFolder, path, || self.0.create_folder(path))
    }

    /// Renames in one step.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<(), StorageError> {
        self.call(Operation::Rename, from, || self.0.rename(from, to))
    }

    /// Waits until the names in a folder are on the medium.
    pub fn sync_folder(&self, path: &Path) -> Result<(), StorageError> {
        self.call(Operation::Sync, path, || self.0.sync_folder(path))
    }

    /// What a path names (links are not followed), or `None` where there is nothing.
    pub fn entry(&self, path: &Path) -> Result<Option<Entry>, StorageError> {
        match self.call(Operation::List, path, || self.0.entry(path)) {
            Ok(entry) => Ok(Some(entry)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The names in a folder, sorted.
    pub fn list(&self, path: &Path) -> Result<Vec<OsString>, StorageError> {
        let mut names = self.call(Operation::List, path, || self.0.list(path))?;
        names.sort();
        Ok(names)
    }

    /// Removes a file or a link; one that is not there is no error.
    pub fn remove_file(&self, path: &Path) -> Result<(), StorageError> {
        absent_is_fine(self.call(Operation::Remove, path, || self.0.remove_file(path)))
    }

    /// Removes an empty folder; one that is not there is no error.
    pub fn remove_folder(&self, path: &Path) -> Result<(), StorageError> {
        absent_is_fine(self.call(Operation::Remove, path, || self.0.remove_folder(path)))
    }

    /// Bytes free on the disk that holds `path` or, where it does not exist yet, the nearest folder above it.
    pub fn free_space(&self, path: &Path) -> Result<u64, StorageError> {
        let path = super::error::absolute(path);
        let existing = path.ancestors().find(|p| self.0.entry(p).is_ok()).unwrap_or(&path);
        self.call(Operation::FreeSpace, existing, || self.0.free_space(existing))
    }

    fn call<T>(
        &self,
        operation: Operation,
        path: &Path,
        mut call: impl FnMut() -> io::Result<T>,
    ) -> Result<T, StorageError> {
        loop {
            match call() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map_err(|e| StorageError::new(operation, path, e)),
            }
        }
    }
}

/// The folder that holds a path ("." for a bare name).
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    }
}

fn absent_is_fine(result: Result<(), StorageError>) -> Result<(), StorageError> {
    match result {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}

/// Counts and hashes what reaches the file, and keeps the first real error with all that is known about it.
struct Careful<'a> {
    disk: &'a Disk,
    path: &'a Path,
    file: Box<dyn StorageFile>,
    hash: blake3::Hasher,
    length: u64,
    error: Option<StorageError>,
}

impl Careful<'_> {
    fn sync(&mut self) -> Result<(), StorageError> {
        let file = &mut self.file;
        self.disk.call(Operation::Sync, self.path, || file.sync())
    }
}

impl Write for Careful<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(source) = self.file.write_all(bytes) {
            let kind = source.kind();
            if self.error.is_none() {
                self.error = Some(StorageError {
                    wanted: Some(self.length + bytes.len() as u64),
                    free: self.disk.free_space(self.path).ok(),
                    ..StorageError::new(Operation::Write, self.path, source)
                });
            }
            return Err(kind.into());
        }
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
