//! metrics.jsonl: the learning curves, one JSON object a line.
//!
//! A checkpoint remembers how many lines were written before it ([`MetricsLog::lines`]), and a resumed run cuts the
//! log back to them. So the log of an interrupted run is, line by line, that of an uninterrupted one, but for the
//! fields in [`TIMING_FIELDS`]. For the same to hold after a power cut, call [`MetricsLog::sync`] before a checkpoint
//! is saved: the log must never be behind it.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::storage::{Disk, Operation, StorageError, StorageFile, parent};

/// The name of the log in a run folder.
pub const METRICS_FILE: &str = "metrics.jsonl";

/// Fields that say how fast the machine was, and so differ from run to run; all others are promised to be the same.
/// Whoever measures time or memory in a record uses one of these names.
pub const TIMING_FIELDS: [&str; 6] = [
    "time_unix_seconds",
    "elapsed_seconds",
    "tokens_per_second",
    "step_seconds",
    "data_wait_ms",
    "memory_bytes",
];

/// A record without its timing fields: what two runs of the same configuration have in common.
#[must_use]
pub fn without_timing(mut record: Map<String, Value>) -> Map<String, Value> {
    record.retain(|key, _| !TIMING_FIELDS.contains(&key.as_str()));
    record
}

/// A log that cannot be read back.
#[derive(Debug, Error)]
pub enum MetricsError {
    /// The disk refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A line is not a JSON object.
    #[error("{}, line {line}: {reason}; the log was edited or damaged", path.display())]
    Line {
        /// The log.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// What [`MetricsLog::open`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewound {
    /// Bytes after the last line to be kept, cut off.
    pub cut_bytes: u64,
    /// Lines that should be there and are not: the log was edited or lost, and the curve will have a hole.
    pub missing_lines: u64,
}

/// The log, open for adding records.
pub struct MetricsLog {
    disk: Disk,
    path: PathBuf,
    file: Box<dyn StorageFile>,
    lines: u64,
    named: bool,
}

impl MetricsLog {
    /// Opens (or makes) the log at `path` and cuts it back to its first `keep` lines, in one step: 0 for a fresh start,
    /// `metrics_lines` of the trainer's state on resume. `tag` is the run's id, for the name of the temporary file.
    ///
    /// # Errors
    /// When the disk refuses; the log is then as it was.
    pub fn open(
        disk: &Disk,
        path: &Path,
        keep: u64,
        tag: &str,
    ) -> Result<(Self, Rewound), StorageError> {
        let mut rewound = Rewound::default();
        let mut lines = 0;
        if let Some(entry) = disk.entry(path)? {
            let kept_bytes;
            (lines, kept_bytes) = measure(disk, path, keep)?;
            rewound.cut_bytes = entry.length.saturating_sub(kept_bytes);
            if rewound.cut_bytes > 0 {
                let mut head = disk.open(path)?.take(kept_bytes);
                disk.replace_file_with(path, tag, |out| {
                    std::io::copy(&mut head, out)
                        .map(|_| ())
                        .map_err(|e| StorageError::new(Operation::Write, path, e))
                })?;
            }
        }
        rewound.missing_lines = keep - lines;
        let file = disk.append(path)?;
        Ok((
            Self { disk: disk.clone(), path: path.to_path_buf(), file, lines, named: false },
            rewound,
        ))
    }

    /// Adds a record. Numbers that are not finite are written as `null`.
    ///
    /// # Errors
    /// When the disk refuses. Part of the line may then be there; it is cut off when the run is resumed.
    ///
    /// # Panics
    /// If the record is no JSON object.
    pub fn append(&mut self, record: &impl Serialize) -> Result<(), StorageError> {
        let value = serde_json::to_value(record).unwrap_or_default();
        assert!(value.is_object(), "a record of metrics is a JSON object with named fields");
        let line = format!("{value}\n");
        self.file.write_all(line.as_bytes()).map_err(|source| StorageError {
            wanted: Some(line.len() as u64),
            free: self.disk.free_space(&self.path).ok(),
            ..StorageError::new(Operation::Write, &self.path, source)
        })?;
        self.lines += 1;
        Ok(())
    }

    /// Whole lines so far: what a checkpoint remembers.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Waits until all records, and the log's name, are on the medium.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&mut self) -> Result<(), StorageError> {
        self.file.sync().map_err(|e| StorageError::new(Operation::Sync, &self.path, e))?;
        if !self.named {
            self.disk.sync_folder(parent(&self.path))?;
            self.named = true;
        }
        Ok(())
    }
}

/// Reads a log back. A last line without its line end (a run that is writing, or was cut off) is passed over.
///
/// # Errors
/// [`MetricsError::Line`] with the number of the first line that is no JSON object.
pub fn read_metrics(disk: &Disk, path: &Path) -> Result<Vec<Map<String, Value>>, MetricsError> {
    let mut records = Vec::new();
    each_line(disk, path, u64::MAX, |line| {
        records.push(serde_json::from_slice(line).map_err(|e| MetricsError::Line {
            path: path.to_path_buf(),
            line: records.len() + 1,
            reason: e.to_string(),
        })?);
        Ok::<(), MetricsError>(())
    })?;
    Ok(records)
}

/// How many of the first `limit` lines are there, whole, and how many bytes they are.
fn measure(disk: &Disk, path: &Path, limit: u64) -> Result<(u64, u64), StorageError> {
    let (mut lines, mut bytes) = (0, 0);
    each_line(disk, path, limit, |line| {
        lines += 1;
        bytes += line.len() as u64;
        Ok::<(), StorageError>(())
    })?;
    Ok((lines, bytes))
}

fn each_line<E: From<StorageError>>(
    disk: &Disk,
    path: &Path,
    limit: u64,
    mut visit: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut file = BufReader::new(disk.open(path)?);
    let mut line = Vec::new();
    for _ in 0..limit {
        line.clear();
        file.read_until(b'\n', &mut line)
            .map_err(|e| StorageError::new(Operation::Read, path, e))?;
        if line.last() != Some(&b'\n') {
            break;
        }
        visit(&line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::simulated::{Fault, SimulatedStorage};
    use serde_json::json;

    fn path() -> &'static Path {
        Path::new("/metrics.jsonl")
    }

    fn open(disk: &Disk, keep: u64) -> (MetricsLog, Rewound) {
        MetricsLog::open(disk, path(), keep, "test").expect("readable")
    }

    fn write(log: &mut MetricsLog, steps: std::ops::Range<u64>) {
        for step in steps {
            log.append(&json!({"step": step, "loss": 1.0 / (step as f64 + 1.0)}))
                .expect("room enough");
        }
    }

    fn content(disk: &Disk) -> Vec<u8> {
        disk.read(path(), 1_000_000).expect("there")
    }

    #[test]
    fn test_metrics__interrupted_and_resumed_log_equals_the_uninterrupted_one() {
        let whole = Disk::new(SimulatedStorage::new());
        write(&mut open(&whole, 0).0, 0..20);
        for (saved, reached) in (0..20).flat_map(|s| (s..20).map(move |r| (s, r))) {
            let disk = Disk::new(SimulatedStorage::new());
            write(&mut open(&disk, 0).0, 0..reached);
            let (mut log, rewound) = open(&disk, saved);
            assert_eq!((log.lines(), rewound.missing_lines), (saved, 0));
            write(&mut log, saved..20);
            assert_eq!(content(&disk), content(&whole), "saved at {saved}, reached {reached}");
        }
    }

    #[test]
    fn test_metrics__torn_last_line_is_cut_and_a_lost_log_is_reported() {
        let storage = SimulatedStorage::new();
        let disk = Disk::new(storage.clone());
        write(&mut open(&disk, 0).0, 0..3);
        storage.tamper(path(), |bytes| bytes.truncate(bytes.len() - 2));
        let (log, rewound) = open(&disk, 5);
        assert_eq!((log.lines(), rewound.missing_lines), (2, 3));
        assert!(rewound.cut_bytes > 0 && content(&disk).ends_with(b"\n"));
        assert_eq!(read_metrics(&disk, path()).expect("two whole lines").len(), 2);
    }

    #[test]
    fn test_metrics__cutting_is_all_or_nothing_whatever_call_fails() {
        for fault in
            [Fault::Full, Fault::Medium, Fault::Interrupted, Fault::Short, Fault::PowerLoss]
        {
            for n in 0.. {
                let storage = SimulatedStorage::new();
                let disk = Disk::new(storage.clone());
                let (mut log, _) = open(&disk, 0);
                write(&mut log, 0..9);
                log.sync().expect("room enough");
                let before = content(&disk);
                storage.fail_call(n, fault);
                let outcome = MetricsLog::open(&disk, path(), 4, "test").map(|_| ());
                let fired = storage.clear_fault();
                let lost = fault == Fault::PowerLoss && fired;
                let disk = if lost { Disk::new(storage.power_loss(n)) } else { disk };
                let after = content(&disk);
                assert!(before.starts_with(&after) && after.ends_with(b"\n"));
                assert!(after == before || after.iter().filter(|&&b| b == b'\n').count() == 4);
                assert!(outcome.is_err() || after != before);
                if !fired {
                    break;
                }
            }
        }
    }

    #[test]
    fn test_metrics__synced_lines_survive_a_power_cut() {
        let storage = SimulatedStorage::new();
        let disk = Disk::new(storage.clone());
        let (mut log, _) = open(&disk, 0);
        write(&mut log, 0..5);
        log.sync().expect("room enough");
        for seed in 0..100 {
            let after = Disk::new(storage.power_loss(seed));
            assert_eq!(read_metrics(&after, path()).expect("whole").len(), 5);
        }
    }

    #[test]
    fn test_metrics__full_disk_is_named_and_the_line_is_not_counted() {
        let storage = SimulatedStorage::new();
        let disk = Disk::new(storage.clone());
        let (mut log, _) = open(&disk, 0);
        write(&mut log, 0..2);
        storage.set_capacity(content(&disk).len() as u64 + 5);
        let error = log.append(&json!({"step": 2})).expect_err("no room").to_string();
        assert!(error.contains("metrics.jsonl") && error.contains("free some space"), "{error}");
        assert_eq!(log.lines(), 2);
        storage.set_capacity(1_000_000);
        let (log, _) = open(&disk, log.lines());
        assert_eq!((log.lines(), read_metrics(&disk, path()).expect("whole").len()), (2, 2));
    }

    #[test]
    fn test_metrics__bad_line_is_named_and_timing_is_told_apart() {
        let storage = SimulatedStorage::new();
        let disk = Disk::new(storage.clone());
        disk.replace_file(path(), "t", b"{\"step\":1,\"tokens_per_second\":9.5}\n[2]\n")
            .expect("room enough");
        let error = read_metrics(&disk, path()).expect_err("the second is a list").to_string();
        assert!(error.contains("line 2"), "{error}");
        storage.tamper(path(), |bytes| bytes.truncate(36));
        let record = read_metrics(&disk, path()).expect("one record").remove(0);
        assert_eq!(Value::Object(without_timing(record)), json!({"step": 1}));
    }
}
