//! Printing: standard output is data, standard error is for people.

use crate::failure::Failure;
use serde_json::Value;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// Writes a line of data. A reader that has gone away ends the program quietly; a full disk is an error.
pub(crate) fn out(line: impl std::fmt::Display) -> Result<(), Failure> {
    match writeln!(anstream::stdout(), "{line}") {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
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

/// What clap has to say of the arguments: help and version are data, the rest is misuse.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}
