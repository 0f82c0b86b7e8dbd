//! Writing so that a crash, a full disk or a power cut never costs more than the work since the last checkpoint.
//!
//! Three layers, thinnest first:
//!
//! - [`Storage`] is the handful of calls that the rest needs from an operating system. [`RealStorage`]
//!   passes them on; [`SimulatedStorage`](simulated::SimulatedStorage) is a disk in memory that fails its N-th
//!   call, or loses power, on demand.
//! - [`Disk`] is a `Storage` used with care: interrupted calls are repeated, short writes are completed,
//!   and an error names the path, the operation, the bytes and what to do.
//! - `train::checkpoint` builds folders from these that are either wholly there or not there.
//!
//! The recipe for a new file is the one that journaling file systems ask for: write under a temporary
//! name, `fsync` the file, rename it, `fsync` the folder. Leave one step out, and after a power cut the
//! name may point at zeros, or the rename may never have happened. A failed `fsync` is never repeated:
//! kernels drop the dirty pages that they could not write, so the second call would succeed without them.

mod disk;
mod error;
mod real;
pub mod simulated;

use std::ffi::OsString;
use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::path::Path;

pub(crate) use disk::parent;
pub use disk::{Disk, FileDigest};
pub(crate) use error::Bytes;
pub use error::{Operation, StorageError};
pub use real::{RealStorage, survive_file_size_limit};

/// What a name in a folder stands for; a link is never looked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, whatever it points at.
    Link,
    /// A device, socket or pipe.
    Other,
}

/// Kind and length of what a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// Bytes, of a regular file.
    pub length: u64,
}

/// A file open for writing.
pub trait StorageFile: Write + Send {
    /// Returns when everything written is on the medium.
    ///
    /// # Errors
    /// Any error means that the file's content is unknown.
    fn sync(&mut self) -> io::Result<()>;
}

/// The calls that durable writing needs from an operating system. Each may fail, be interrupted, or write less than asked.
#[expect(clippy::missing_errors_doc, reason = "every call passes on the system's own error")]
pub trait Storage: Debug + Send + Sync {
    /// Opens an empty file for writing, cutting an existing one to nothing.
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;
    /// Opens a file for writing at its end, making it if needed.
    fn append(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;
    /// Opens a file for reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>>;
    /// Makes one folder, which must not exist.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// Gives `from` the name `to`, in one step; a file called `to` is replaced, a folder must be empty.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Returns when the names in a folder are on the medium.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// Kind and length, without following a link.
    fn entry(&self, path: &Path) -> io::Result<Entry>;
    /// The names in a folder, in any order.
    fn list(&self, path: &Path) -> io::Result<Vec<OsString>>;
    /// Removes a file or a link (never what it points at).
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
    /// Bytes that this user may still write on the disk that holds `path`.
    fn free_space(&self, path: &Path) -> io::Result<u64>;
}
