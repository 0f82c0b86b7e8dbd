//! Runs that die at a chosen change of the disk (row A1), at any size: kill -9, without waiting for the bad moment.

use crate::experiment::{Experiment, Extent, differences, models};
use foundry_models::pipeline::TrainOutcome;
use foundry_models::storage::{Disk, Entry, RealStorage, Storage, StorageFile};
use foundry_models::train::run_folder::Wish;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many changes a process may still make; 0: it is dead.
#[derive(Clone, Debug)]
struct Life(Arc<AtomicU64>);

impl Life {
    fn spend(&self) -> io::Result<()> {
        let less = |left: u64| left.checked_sub(1);
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less) {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::other("the process is dead")),
        }
    }

    fn left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The real disk, until the life is spent; from then on every change fails, clearing away included.
#[derive(Debug)]
struct Mortal(Life);

struct MortalFile {
    file: Box<dyn StorageFile>,
    life: Life,
}

impl Write for MortalFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.life.spend()?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl StorageFile for MortalFile {
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
}

impl Mortal {
    fn file(&self, file: Box<dyn StorageFile>) -> Box<dyn StorageFile> {
        Box::new(MortalFile { file, life: self.0.clone() })
    }
}

impl Storage for Mortal {
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        self.0.spend()?;
        Ok(self.file(RealStorage.create(path)?))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        self.0.spend()?;
        Ok(self.file(RealStorage.append(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        RealStorage.open(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.0.spend()?;
        RealStorage.create_folder(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.spend()?;
        RealStorage.rename(from, to)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        RealStorage.sync_folder(path)
    }

    fn entry(&self, path: &Path) -> io::Result<Entry> {
        RealStorage.entry(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        RealStorage.list(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.spend()?;
        RealStorage.remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.0.spend()?;
        RealStorage.remove_folder(path)
    }

    fn free_space(&self, path: &Path) -> io::Result<u64> {
        RealStorage.free_space(path)
    }
}

/// A1: a run of one architecture dies at each change of its folder in turn (at every one of the first forty and of the last forty,
/// at each `stride`-th between them); resumed, it ends with the files of the uninterrupted run.
///
/// # Panics
/// If one differs.
#[must_use]
pub fn every_death(extent: Extent, stride: u64) -> String {
    const LONG: u64 = 1 << 40;
    const ENDS: u64 = 40;
    let e = Experiment::new(&models(extent)[0], extent);
    let lives = |changes: u64| {
        let life = Life(Arc::new(AtomicU64::new(changes)));
        let outcome = e.train_on(Disk::new(Mortal(life.clone())), Wish::Start, &mut |_| false);
        (outcome, life.left())
    };
    let (outcome, left) = lives(LONG);
    assert!(matches!(outcome, Ok(TrainOutcome::Finished(_))), "{outcome:?}");
    let (whole, changes) = (e.files(), LONG - left);
    let mut deaths = 0;
    for n in 0..changes {
        if (ENDS..changes - ENDS).contains(&n) && n % stride != 0 {
            continue;
        }
        if e.run().exists() {
            e.clear();
        }
        // At its very end it is only the page or a note that is missing, which is no failure of a run.
        let _ = lives(n);
        let _ =
            e.train(Wish::Resume, &mut |_| false).unwrap_or_else(|error| panic!("{n}: {error}"));
        let files = e.files();
        let differ = differences(&whole, &files);
        assert!(differ.is_empty(), "dead at change {n} of {changes}: these differ: {differ:?}");
        deaths += 1;
    }
    format!("{deaths} deaths at {changes} changes of the disk, all as uninterrupted")
}
