//! One process at a time in a run folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::storage::{Operation, StorageError};

/// The name of the lock in a run folder. It stays there; what counts is whether a living process holds it.
pub const LOCK_FILE: &str = "lock";

/// Why a run folder cannot be used now.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process works in it.
    #[error(
        "{} is in use by {}; wait until it ends, or stop it, or choose another output_dir",
        folder.display(),
        owner(*pid)
    )]
    Held {
        /// The run folder.
        folder: PathBuf,
        /// The other process, where it could be read.
        pid: Option<u32>,
    },
    /// The lock file cannot be made.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

fn owner(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// The number that the owner of a lock writes into it, for which a moment is given: who loses a race reads at once.
/// On Windows a locked file cannot be read by others; then the number stays unknown.
fn owner_of(file: &mut File) -> Option<u32> {
    for _ in 0..50 {
        let mut text = String::new();
        file.rewind().ok()?;
        file.read_to_string(&mut text).ok()?;
        if let Some(pid) = text.strip_suffix('\n').and_then(|pid| pid.parse().ok()) {
            return Some(pid);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    None
}

/// Held as long as it lives; the system releases it when the process ends, however it ends.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
    enforced: bool,
}

impl RunLock {
    /// Takes the lock of an existing run folder, without waiting.
    ///
    /// # Errors
    /// [`LockError::Held`] with the number of the process that has it.
    pub fn acquire(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join(LOCK_FILE);
        let failed = |operation| move |e: io::Error| StorageError::new(operation, &path, e);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(folder.join(LOCK_FILE))
            .map_err(failed.clone()(Operation::Create))?;
        let enforced = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => {
                let pid = owner_of(&mut file);
                return Err(LockError::Held { folder: folder.to_path_buf(), pid });
            }
            // Some network file systems have no locks; refusing to train there would help nobody.
            Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => false,
            Err(TryLockError::Error(e)) => return Err(failed(Operation::Create)(e).into()),
        };
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(failed(Operation::Write))?;
        Ok(Self { _file: file, enforced })
    }

    /// Whether the file system knows locks. If not, the user is to be told that nothing keeps a second process out.
    #[must_use]
    pub fn is_enforced(&self) -> bool {
        self.enforced
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn test_run_lock__second_holder_is_refused_with_the_number_of_the_first() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let first = RunLock::acquire(folder.path()).expect("free");
        assert!(first.is_enforced());
        let error = RunLock::acquire(folder.path()).expect_err("held").to_string();
        if cfg!(unix) {
            assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        }
        drop(first);
        RunLock::acquire(folder.path()).expect("free again");
    }

    #[test]
    fn test_run_lock__of_fifty_pairs_exactly_one_wins_each() {
        for _ in 0..50 {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let (start, end) = (Barrier::new(2), Barrier::new(2));
            let winners: usize = std::thread::scope(|scope| {
                let race = || {
                    start.wait();
                    let lock = RunLock::acquire(folder.path());
                    end.wait();
                    usize::from(lock.is_ok())
                };
                let threads = [scope.spawn(race), scope.spawn(race)];
                threads.map(|thread| thread.join().expect("no panic")).iter().sum()
            });
            assert_eq!(winners, 1);
        }
    }

    #[test]
    fn test_run_lock__missing_folder_is_an_error() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(matches!(
            RunLock::acquire(&folder.path().join("nowhere")),
            Err(LockError::Storage(_))
        ));
    }
}
