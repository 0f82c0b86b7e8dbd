//! The messages of a run, to be read later: one line each, with the time (UTC) and a level.
//!
//! ```text
//! 2025-03-01T09:30:00Z INFO     step 100: saved runs/quickstart/checkpoint-100
//! ```
//!
//! A log waits until it is told where its file is, and then has what came before as well. A file that grows beyond the
//! limit becomes `log.txt.1`, what was `.1` becomes `.2`, and the oldest goes. A log that cannot be written is told
//! once and then left alone: no training run ends for want of a log.

use crate::config::LoggingConfig;
use crate::config::choices::LogLevel;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A log that may be written to a file.
#[derive(Debug)]
pub struct Log {
    level: LogLevel,
    /// Bytes.
    limit: u64,
    /// Files besides the newest.
    keep: u64,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Waiting(String),
    Open { path: PathBuf, file: File, size: u64 },
    Broken,
}

impl Log {
    /// Without a file yet.
    #[must_use]
    pub fn new(config: &LoggingConfig) -> Self {
        Self {
            level: config.file_level,
            limit: config.max_log_size_mb.saturating_mul(1_000_000),
            keep: config.max_log_files,
            sink: Sink::Waiting(String::new()),
        }
    }

    /// Appends to the file at `path` from now on, beginning with what has waited; makes the folder above it.
    ///
    /// # Errors
    /// When the disk refuses; the log is then silent.
    pub fn attach(&mut self, path: &Path) -> io::Result<()> {
        let waiting = match std::mem::replace(&mut self.sink, Sink::Broken) {
            Sink::Waiting(lines) => lines,
            _ => String::new(),
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let size = file.metadata()?.len();
        self.sink = Sink::Open { path: path.to_owned(), file, size };
        self.append(&waiting)
    }

    /// A message; each of its lines becomes one of the log.
    ///
    /// # Errors
    /// When the disk refuses; the log is then silent.
    pub fn write(&mut self, level: LogLevel, text: &str) -> io::Result<()> {
        if !level.at_least(self.level) {
            return Ok(());
        }
        let time = utc(SystemTime::now());
        let lines: String =
            text.lines().map(|line| format!("{time} {:<8} {line}\n", level.name())).collect();
        self.append(&lines)
    }

    fn append(&mut self, lines: &str) -> io::Result<()> {
        let result = match &mut self.sink {
            Sink::Waiting(waiting) => {
                waiting.push_str(lines);
                Ok(())
            }
            Sink::Open { path, file, size } => {
                append(path, file, size, lines, self.limit, self.keep)
            }
            Sink::Broken => Ok(()),
        };
        if result.is_err() {
            self.sink = Sink::Broken;
        }
        result
    }
}

fn append(
    path: &Path,
    file: &mut File,
    size: &mut u64,
    lines: &str,
    limit: u64,
    keep: u64,
) -> io::Result<()> {
    if *size > 0 && *size + lines.len() as u64 > limit {
        rotate(path, keep)?;
        *file = OpenOptions::new().append(true).create(true).open(path)?;
        *size = 0;
    }
    file.write_all(lines.as_bytes())?;
    *size += lines.len() as u64;
    Ok(())
}

/// Renames each file to the next number; the one with number `keep` is replaced.
fn rotate(path: &Path, keep: u64) -> io::Result<()> {
    for i in (0..keep).rev() {
        match std::fs::rename(rotated(path, i), rotated(path, i + 1)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

/// `log.txt`, `log.txt.1`, `log.txt.2` ...
fn rotated(path: &Path, i: u64) -> PathBuf {
    if i == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{i}"));
    name.into()
}

/// Whether a file in the folder of `log` is the log or was rotated away from it.
#[must_use]
pub fn is_log(name: &str, log: &str) -> bool {
    name.strip_prefix(log).is_some_and(|rest| {
        let number = rest.strip_prefix('.');
        rest.is_empty()
            || number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// As ISO 8601 has it. The calendar is that of Hinnant's `civil_from_days`: years begin in March, so that the leap day
/// is the last one.
fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn log(limit: u64, keep: u64) -> Log {
        let sink = Sink::Waiting(String::new());
        Log { level: LogLevel::Info, limit, keep, sink }
    }

    #[test]
    fn test_log__times_are_those_of_the_calendar() {
        // date -u -d @SECONDS +%FT%TZ
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn test_log__what_came_before_the_file_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/log.txt");
        let mut log = log(1_000, 2);
        log.write(LogLevel::Info, "first\nof two lines").unwrap();
        log.write(LogLevel::Debug, "too quiet").unwrap();
        log.attach(&path).unwrap();
        log.write(LogLevel::Warning, "last").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let said: Vec<_> = text.lines().map(|l| l.split_once(' ').unwrap().1).collect();
        assert_eq!(said, ["INFO     first", "INFO     of two lines", "WARNING  last"]);
    }

    #[test]
    fn test_log__a_large_file_is_put_aside_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.txt");
        let mut log = log(100, 2);
        log.attach(&path).unwrap();
        for i in 0..8 {
            log.write(LogLevel::Info, &format!("message {i} {}", "x".repeat(40))).unwrap();
        }
        let mut names: Vec<_> =
            folder.path().read_dir().unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["log.txt", "log.txt.1", "log.txt.2"]);
        assert!(std::fs::read_to_string(&path).unwrap().contains("message 7"));
        assert!(std::fs::read_to_string(rotated(&path, 2)).unwrap().contains("message 5"));
        assert!(names.iter().all(|n| is_log(n.to_str().unwrap(), "log.txt")));
        assert!(!is_log("log.txt.", "log.txt") && !is_log("log.txt.old", "log.txt"));
    }

    #[test]
    fn test_log__a_refusal_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log(100, 2);
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(log.attach(&folder.path().join("file/log.txt")).is_err());
        assert!(log.write(LogLevel::Error, "nobody hears").is_ok());
    }
}
