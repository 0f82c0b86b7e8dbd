//! Learning curves for TensorBoard, written without TensorFlow.
//!
//! An event file is a row of records, each
//!
//! ```text
//! u64 length | u32 masked crc32c of the length | length bytes | u32 masked crc32c of the bytes      (little-endian)
//! ```
//!
//! where the bytes are a protocol buffer `Event { 1: double wall_time, 2: int64 step, 3: string file_version,
//! 5: Summary, 7: SessionLog }`, `Summary { 1: repeated Value { 1: string tag, 2: float simple_value } }` and
//! `SessionLog { 1: START = 1 }`. Each start of a run writes a file of its own; after a resume it opens with a START
//! mark, which tells TensorBoard to forget the points from that step on that an earlier file may hold.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::storage::{Disk, Operation, StorageError, StorageFile};

/// An event file, open for adding points.
pub struct EventLog {
    path: PathBuf,
    file: Box<dyn StorageFile>,
}

impl EventLog {
    /// Makes a new event file in `folder` that sorts after those there. `resumed_at`: the step from which training goes
    /// on, if it does.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn create(
        disk: &Disk,
        folder: &Path,
        resumed_at: Option<u64>,
    ) -> Result<Self, StorageError> {
        let time = now();
        let mut number = 0;
        let path = loop {
            let path = folder
                .join(format!("events.out.tfevents.{:010}.{number:04}.foundry", time.trunc()));
            if disk.entry(&path)?.is_none() {
                break path;
            }
            number += 1;
        };
        let mut log = Self { file: disk.append(&path)?, path };
        log.record(&event(time, 0, 3, b"brain.Event:2"))?;
        if let Some(step) = resumed_at {
            // Points of step `resumed_at` itself were written before its checkpoint, and stay.
            log.record(&event(time, step + 1, 7, &[0x08, 1]))?;
        }
        Ok(log)
    }

    /// Adds one point to each of the named curves, all at `step`.
    ///
    /// # Errors
    /// When the disk refuses.
    #[expect(clippy::cast_possible_truncation, reason = "the format has single precision")]
    pub fn scalars(&mut self, step: u64, points: &[(&str, f64)]) -> Result<(), StorageError> {
        let mut summary = Vec::new();
        for (tag, value) in points {
            let mut point = Vec::new();
            field(&mut point, 1, tag.as_bytes());
            point.push(0x15); // field 2, four bytes
            point.extend_from_slice(&(*value as f32).to_le_bytes());
            field(&mut summary, 1, &point);
        }
        self.record(&event(now(), step, 5, &summary))
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn record(&mut self, event: &[u8]) -> Result<(), StorageError> {
        let length = (event.len() as u64).to_le_bytes();
        let mut bytes = length.to_vec();
        bytes.extend_from_slice(&masked_crc(&length).to_le_bytes());
        bytes.extend_from_slice(event);
        bytes.extend_from_slice(&masked_crc(event).to_le_bytes());
        self.file.write_all(&bytes).map_err(|e| StorageError::new(Operation::Write, &self.path, e))
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// A checksum of data that holds checksums of its own is weak; the format rotates it and adds a constant.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// An `Event` with one of its `oneof` fields.
fn event(time: f64, step: u64, number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![0x09]; // field 1, eight bytes
    out.extend_from_slice(&time.to_le_bytes());
    out.push(0x10); // field 2, variable length
    varint(&mut out, step);
    field(&mut out, number, content);
    out
}

/// A field of bytes: key, length, content.
fn field(out: &mut Vec<u8>, number: u8, content: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// Seven bits a byte, the lowest first; the top bit says that more follow.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::simulated::SimulatedStorage;

    /// What a reader of the format makes of a message: (field number, varint or fixed bits, bytes).
    fn decode(mut bytes: &[u8]) -> Vec<(u64, u64, Vec<u8>)> {
        fn number(bytes: &mut &[u8]) -> u64 {
            let (mut value, mut shift) = (0, 0);
            loop {
                let byte = bytes[0];
                *bytes = &bytes[1..];
                value |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    return value;
                }
            }
        }
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = number(&mut bytes);
            let (bits, content) = match key & 7 {
                0 => (number(&mut bytes), &[][..]),
                1 => (0, bytes.split_off(..8).expect("eight bytes")),
                5 => (0, bytes.split_off(..4).expect("four bytes")),
                _ => {
                    let n = usize::try_from(number(&mut bytes)).expect("short");
                    (0, bytes.split_off(..n).expect("as many as it says"))
                }
            };
            fields.push((key >> 3, bits, content.to_vec()));
        }
        fields
    }

    /// The events of a file, every checksum checked: (step, field number, content).
    fn events(disk: &Disk, path: &Path) -> Vec<(u64, u64, Vec<u8>)> {
        let bytes = disk.read(path, 1_000_000).expect("there");
        let mut rest = &bytes[..];
        let mut found = Vec::new();
        while !rest.is_empty() {
            let length = rest.split_off(..8).expect("a length");
            let crc = rest.split_off(..4).expect("a checksum");
            assert_eq!(crc, masked_crc(length).to_le_bytes());
            let n = u64::from_le_bytes(length.try_into().expect("eight bytes"));
            let event =
                rest.split_off(..usize::try_from(n).expect("short")).expect("as long as it says");
            assert_eq!(rest.split_off(..4).expect("a checksum"), masked_crc(event).to_le_bytes());
            let fields = decode(event);
            let step = fields.iter().find(|f| f.0 == 2).map_or(0, |f| f.1);
            let (number, _, content) = fields.last().expect("a content").clone();
            found.push((step, number, content));
        }
        found
    }

    #[test]
    fn test_tensorboard__points_read_back_as_written() {
        let disk = Disk::new(SimulatedStorage::new());
        let mut log = EventLog::create(&disk, Path::new("/"), None).expect("room enough");
        log.scalars(300, &[("train/loss", 2.5), ("train/lr", 1e-3)]).expect("room enough");
        let events = events(&disk, log.path());
        assert_eq!(events[0], (0, 3, b"brain.Event:2".to_vec()));
        let (step, number, summary) = &events[1];
        assert_eq!((*step, *number), (300, 5));
        let points: Vec<(String, f32)> = decode(summary)
            .into_iter()
            .map(|(_, _, value)| {
                let fields = decode(&value);
                let bits = fields[1].2.clone().try_into().expect("four bytes");
                (String::from_utf8(fields[0].2.clone()).expect("a tag"), f32::from_le_bytes(bits))
            })
            .collect();
        assert_eq!(points, [("train/loss".to_owned(), 2.5), ("train/lr".to_owned(), 1e-3)]);
    }

    #[test]
    fn test_tensorboard__a_resumed_run_opens_a_file_of_its_own_with_a_start_mark() {
        let disk = Disk::new(SimulatedStorage::new());
        let first = EventLog::create(&disk, Path::new("/"), None).expect("room enough");
        let second = EventLog::create(&disk, Path::new("/"), Some(300)).expect("room enough");
        assert!(second.path() > first.path());
        assert_eq!(events(&disk, second.path())[1], (301, 7, vec![0x08, 1]));
    }

    #[test]
    fn test_tensorboard__checksum_is_that_of_the_format() {
        // crc32c of "123456789" is the check value of the Castagnoli polynomial.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(masked_crc(b"123456789"), 0x2507_c60d_u32.wrapping_add(0xa282_ead8));
    }

    #[test]
    fn test_tensorboard__numbers_of_any_size_are_encoded() {
        for value in [0, 1, 127, 128, 300, 1 << 35, u64::MAX] {
            let mut bytes = vec![0x10];
            varint(&mut bytes, value);
            assert_eq!(decode(&bytes), [(2, value, vec![])]);
        }
    }
}
