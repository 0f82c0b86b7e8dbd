//! Errors of the disk, in words that say what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What was being done when the disk refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Opening a new file.
    Create,
    /// Opening a file to add to it.
    Append,
    /// Opening or reading a file.
    Read,
    /// Writing.
    Write,
    /// Waiting until a file or folder is on the medium.
    Sync,
    /// Making a folder.
    CreateFolder,
    /// Renaming.
    Rename,
    /// Listing a folder or asking what a name is.
    List,
    /// Removing a file or folder.
    Remove,
    /// Asking for the free space.
    FreeSpace,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Append => "open for appending",
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "flush to disk",
            Self::CreateFolder => "create the folder",
            Self::Rename => "rename",
            Self::List => "look at",
            Self::Remove => "remove",
            Self::FreeSpace => "ask for the free space of",
        })
    }
}

/// A call that the disk refused: which, on which path, and for a write how much was wanted and how much is free.
#[derive(Debug)]
pub struct StorageError {
    /// What was being done.
    pub operation: Operation,
    /// To which file or folder.
    pub path: PathBuf,
    /// Bytes that the write needed, where known.
    pub wanted: Option<u64>,
    /// Bytes free on that disk at that moment, where known.
    pub free: Option<u64>,
    /// The system's own words.
    pub source: io::Error,
}

impl StorageError {
    pub(crate) fn new(operation: Operation, path: &Path, source: io::Error) -> Self {
        Self { operation, path: path.to_path_buf(), wanted: None, free: None, source }
    }

    /// Whether the path was simply not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    fn advice(&self) -> &'static str {
        use io::ErrorKind as K;
        match self.source.kind() {
            K::StorageFull => "free some space on that disk, or point the output at another one",
            K::QuotaExceeded => "your disk quota is used up: remove something or ask for more",
            K::FileTooLarge => "a file size limit is set (see `ulimit -f`): raise it",
            K::ReadOnlyFilesystem => "that disk is read-only: point the output at another one",
            K::PermissionDenied => "check the owner and permissions of that path",
            K::NotFound => "check that the path exists",
            K::IsADirectory | K::NotADirectory => {
                "a file stands where a folder is wanted, or the reverse"
            }
            _ => "the disk or network share may be failing: look at the system's log",
        }
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.operation, absolute(&self.path).display(), self.source)?;
        match (self.wanted, self.free) {
            (Some(wanted), Some(free)) => {
                write!(f, " ({} wanted, {} free)", Bytes(wanted), Bytes(free))?;
            }
            (Some(wanted), None) => write!(f, " ({} wanted)", Bytes(wanted))?,
            _ => {}
        }
        write!(f, "; {}", self.advice())
    }
}

impl std::error::Error for StorageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The path as the reader of a message would look for it.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// A byte count for people: `512 bytes`, `1.5 MB`.
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
        if self.0 < 1000 {
            return write!(f, "{} bytes", self.0);
        }
        let mut value = self.0 as f64 / 1e3;
        let mut unit = UNITS[0];
        for next in &UNITS[1..] {
            if value < 999.95 {
                break;
            }
            value /= 1e3;
            unit = next;
        }
        write!(f, "{value:.1} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_bytes__reads_well_at_every_size() {
        let shown: Vec<String> = [0, 999, 1000, 1_500_000, 999_960, 2_000_000_000, u64::MAX]
            .map(|n| Bytes(n).to_string())
            .into();
        assert_eq!(
            shown,
            ["0 bytes", "999 bytes", "1.0 kB", "1.5 MB", "1.0 MB", "2.0 GB", "18446.7 PB"]
        );
    }

    #[test]
    fn test_storage_error__names_path_operation_bytes_and_remedy() {
        let error = StorageError {
            operation: Operation::Write,
            path: PathBuf::from("/disk/run/model.safetensors"),
            wanted: Some(12_000_000),
            free: Some(1_048_576),
            source: io::Error::from(io::ErrorKind::StorageFull),
        };
        let text = error.to_string();
        for part in [
            "write",
            "/disk/run/model.safetensors",
            "12.0 MB wanted",
            "1.0 MB free",
            "free some space",
        ] {
            assert!(text.contains(part), "{part:?} is missing from {text:?}");
        }
    }
}
