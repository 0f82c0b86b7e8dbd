//! The operating system's own disk.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use super::{Entry, EntryKind, Storage, StorageFile};

/// Passes every call to the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealStorage;

struct RealFile(File);

impl Write for RealFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl StorageFile for RealFile {
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}

impl Storage for RealStorage {
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(RealFile(File::create(path)?)))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(RealFile(OpenOptions::new().append(true).create(true).open(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(path)?))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        // Windows cannot open a folder as a file; NTFS journals names by itself.
        if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
    }

    fn entry(&self, path: &Path) -> io::Result<Entry> {
        let found = fs::symlink_metadata(path)?;
        let kind = match found.file_type() {
            t if t.is_symlink() => EntryKind::Link,
            t if t.is_file() => EntryKind::File,
            t if t.is_dir() => EntryKind::Folder,
            _ => EntryKind::Other,
        };
        Ok(Entry { kind, length: found.len() })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn free_space(&self, path: &Path) -> io::Result<u64> {
        fs4::available_space(path)
    }
}

/// Turns the fatal signal of `ulimit -f` (SIGXFSZ) into an ordinary write error, which then names the file.
/// To be called once, at the start of the program. Does nothing on Windows.
///
/// # Errors
/// When the signal handler cannot be installed.
pub fn survive_file_size_limit() -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::sync::{Arc, atomic::AtomicBool};
        // Any handler will do: the signal no longer kills, and `write` returns EFBIG.
        let seen = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGXFSZ, seen)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    #[test]
    #[expect(clippy::print_stdout, reason = "a child process answers its parent")]
    fn test_real_storage__file_size_limit_is_an_error_and_not_a_death() {
        use crate::storage::{Disk, StorageError};
        use crate::test_child;

        if test_child::part().is_some() {
            let folder = tempfile::tempdir().expect("a temporary folder");
            super::survive_file_size_limit().expect("a handler can be installed");
            let error: StorageError = Disk::real()
                .replace_file(&folder.path().join("big"), "t", &[7; 100_000])
                .expect_err("the limit is 4 kB");
            println!(
                "{error}; left over: {}",
                Disk::real().list(folder.path()).expect("readable").len()
            );
            return;
        }
        let here =
            "storage::real::tests::test_real_storage__file_size_limit_is_an_error_and_not_a_death";
        let output = test_child::spawn(here, "limited", "ulimit -f 8;");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        for part in ["big", "100.0 kB wanted", "ulimit -f", "left over: 0"] {
            assert!(said.contains(part), "{part:?} is missing from {said:?}");
        }
    }
}
