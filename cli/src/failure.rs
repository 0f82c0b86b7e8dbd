//! A message and an exit code.

use foundry_models::config::ConfigError;
use foundry_models::error::Error;
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// Why the program ends early: shown on standard error, with the exit code of its kind.
pub(crate) struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// Something went wrong while running.
    pub(crate) fn runtime(message: impl Display) -> Self {
        Self { message: message.to_string(), code: 1 }
    }

    /// What was asked for cannot be.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self { message: message.to_string(), code: 2 }
    }

    /// The device is not there.
    pub(crate) fn device(message: impl Display) -> Self {
        Self { message: message.to_string(), code: 4 }
    }

    /// Who read standard output has seen enough: no failure, and nothing to say.
    pub(crate) fn nobody_reads() -> Self {
        Self { message: String::new(), code: 0 }
    }

    pub(crate) fn report(&self) -> ExitCode {
        if self.code != 0 {
            // Nothing can be said about a standard error that is gone.
            let _ = writeln!(anstream::stderr(), "error: {}", self.message);
        }
        ExitCode::from(self.code)
    }
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        Self { message: error.to_string(), code: error.exit_code() }
    }
}

/// A configuration, with `--set` applied.
pub(crate) fn load_config(
    path: &std::path::Path,
    set: &[String],
) -> Result<foundry_models::config::Config, Failure> {
    let set = overrides(set)?;
    foundry_models::config::Config::load(path, &set).map_err(|e: ConfigError| e.into())
}

/// The fields and values of `--set`.
pub(crate) fn overrides(set: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let mut overrides = Vec::new();
    for assignment in set {
        let Some((field, value)) = assignment.split_once('=') else {
            return Err(Failure::usage(format!(
                "--set {assignment}: expected FIELD=VALUE, for example --set training.train_steps=100"
            )));
        };
        overrides.push((field.trim().to_owned(), value.to_owned()));
    }
    Ok(overrides)
}
