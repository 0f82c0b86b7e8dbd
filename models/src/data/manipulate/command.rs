//! `command`: an external program does the work.
//!
//! It is started as `PROGRAM ARGUMENTS --input_dir INPUT --output_dir OUTPUT --key value ...`, directly and never through
//! a shell, so no character of a path or value means anything but itself. A parameter `true` is a bare flag, `false` is
//! no flag. What it prints is passed on as it comes; when it fails, the end of its standard error is shown.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Sender, channel};

use serde_json::Value;

use super::parameters::Parameters;
use super::{Event, ManipulationError, Observer};

/// Bytes of standard error that a message shows.
const SHOWN: usize = 4000;

/// A program with its arguments, but for the folders.
#[derive(Debug)]
pub(super) struct Command {
    program: Vec<String>,
    flags: Vec<String>,
}

impl Command {
    /// Parameter `program`; everything else is a flag.
    pub(super) fn new(p: &Parameters<'_>) -> Result<Self, ManipulationError> {
        let program = p.texts("program")?.unwrap_or_default();
        if program.first().is_none_or(String::is_empty) {
            let message = "name the program to run, or a list: [python3, scripts/ablate.py]";
            return Err(p.error("program", message));
        }
        let mut flags = Vec::new();
        for (name, value) in p.rest() {
            let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if name.starts_with('-') || name.is_empty() || !name.chars().all(good) {
                let message = "is no flag: use letters, digits, _ and -, without leading dashes";
                return Err(p.error(name, message));
            }
            if matches!(name, "input_dir" | "output_dir") {
                let message = format!("--{name} is set from {}_path", &name[..name.len() - 4]);
                return Err(p.error(name, message));
            }
            let value = match value {
                Value::Bool(false) => continue,
                Value::Bool(true) => None,
                Value::Number(number) => Some(number.to_string()),
                Value::String(text) => Some(text.clone()),
                other => {
                    let message = format!("must be a text, a number, true or false, not {other}");
                    return Err(p.error(name, message));
                }
            };
            flags.push(format!("--{name}"));
            flags.extend(value);
        }
        Ok(Self { program, flags })
    }

    fn arguments(&self, input: &Path, output: &Path) -> Vec<OsString> {
        let mut all: Vec<OsString> = self.program.iter().map(OsString::from).collect();
        all.extend(["--input_dir".into(), input.into(), "--output_dir".into(), output.into()]);
        all.extend(self.flags.iter().map(OsString::from));
        all
    }

    /// The command as one would type it.
    pub(super) fn shown(&self, input: &Path, output: &Path) -> String {
        let arguments = self.arguments(input, output);
        arguments.iter().map(|a| quoted(&a.to_string_lossy())).collect::<Vec<_>>().join(" ")
    }

    /// Runs it to its end.
    pub(super) fn run(
        &self,
        step: usize,
        input: &Path,
        output: &Path,
        observer: &mut Observer<'_>,
    ) -> Result<(), ManipulationError> {
        let arguments = self.arguments(input, output);
        let mut child = std::process::Command::new(&arguments[0])
            .args(&arguments[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| self.not_started(step, source))?;
        let stderr = self.listen(&mut child, observer);
        let stopped = stderr.is_none();
        if stopped {
            let _ = child.kill();
        }
        let status = child.wait().map_err(|source| self.not_started(step, source))?;
        let Some(stderr) = stderr else { return Err(ManipulationError::Stopped) };
        if status.success() {
            return Ok(());
        }
        let stderr = if stderr.trim().is_empty() { "(nothing)".to_owned() } else { stderr };
        let program = self.program.join(" ");
        Err(ManipulationError::ProgramFailed { step, program, status: status.to_string(), stderr })
    }

    fn not_started(&self, step: usize, source: std::io::Error) -> ManipulationError {
        let program = self.program[0].clone();
        let hint = if program.contains(' ') && self.program.len() == 1 {
            let parts: Vec<_> = program.split_whitespace().collect();
            format!("; no shell takes it apart: write program: [{}]", parts.join(", "))
        } else {
            String::new()
        };
        ManipulationError::NotStarted { step, program, source, hint }
    }

    /// Passes its output on until it ends; returns the end of its standard error, or `None` if asked to stop.
    fn listen(&self, child: &mut Child, observer: &mut Observer<'_>) -> Option<String> {
        let (sender, lines) = channel();
        let streams = [
            child.stdout.take().map(|s| (false, Box::new(s) as Box<dyn Read + Send>)),
            child.stderr.take().map(|s| (true, Box::new(s) as Box<dyn Read + Send>)),
        ];
        for (is_error, stream) in streams.into_iter().flatten() {
            let sender = sender.clone();
            std::thread::spawn(move || pass_on(stream, is_error, &sender));
        }
        drop(sender);
        let mut tail = String::new();
        for (is_error, line) in lines {
            if is_error {
                tail.push_str(&line);
                tail.push('\n');
                if tail.len() > 2 * SHOWN {
                    tail = last(&tail);
                }
            }
            if observer(Event::Said { line: &line }).is_break() {
                return None;
            }
        }
        Some(last(&tail))
    }
}

/// Sends a stream's lines; what is no UTF-8 is shown as replacement characters.
fn pass_on(stream: Box<dyn Read + Send>, is_error: bool, to: &Sender<(bool, String)>) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
        if to.send((is_error, text)).is_err() {
            return;
        }
        line.clear();
    }
}

/// The last characters of a text.
fn last(text: &str) -> String {
    let start = (text.len().saturating_sub(SHOWN)..text.len()).find(|&i| text.is_char_boundary(i));
    text[start.unwrap_or(0)..].to_owned()
}

/// An argument as a shell would need it written; for the eye only.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}
