//! Printing: standard output is data, standard error is for people.

use crate::failure::Failure;
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

/// Writes a line of data. A reader that has gone away ends the program quietly; a full disk is an error.
pub(crate) fn out(line: impl std::fmt::Display) -> Result<(), Failure> {
    match writeln!(anstream::stdout(), "{line}") {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Err(Failure::nobody_reads()),
        Err(e) => Err(Failure::runtime(format!("cannot write to standard output: {e}"))),
        Ok(()) => Ok(()),
    }
}

/// Writes JSON as data.
pub(crate) fn out_json(value: &Value) -> Result<(), Failure> {
    out(format_args!("{value:#}"))
}

/// Writes JSON as data, on one line.
pub(crate) fn out_line(value: &Value) -> Result<(), Failure> {
    out(value)
}

/// Says something to the person. If nobody can hear it, the work goes on.
pub(crate) fn say(line: impl std::fmt::Display) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Writes what was asked for with `-o` into a new file: what is there is somebody's.
pub(crate) fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let shown = path.display();
    let cannot = |e| Failure::runtime(format!("cannot write {shown}: {e}"));
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = file.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => Failure::usage(format!(
            "{shown} is there already, and is left as it is\n  mend: name another file, or move it away"
        )),
        _ => cannot(e),
    })?;
    file.write_all(text.as_bytes()).map_err(|e| {
        // Half a file is worse than none; if it cannot be removed either, the message stands.
        let _ = std::fs::remove_file(path);
        cannot(e)
    })
}

/// What clap has to say of the arguments: help and version are data, the rest is misuse.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}
