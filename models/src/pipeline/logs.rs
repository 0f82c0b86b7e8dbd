//! Where messages are kept: in the log of the experiment, and those of a training run also in its folder.

use super::{Notice, Say};
use crate::config::Config;
use crate::config::choices::LogLevel;
use crate::error::Error;
use crate::train::log::Log;
use crate::train::run_folder::{LOG_FILE, RunFolder};
use std::path::Path;

/// Writes what is said into both logs, and passes it on.
pub(super) struct Logs<'a> {
    experiment: Log,
    run: Log,
    say: Say<'a>,
}

impl<'a> Logs<'a> {
    /// With the log of the experiment; that of the run waits for its folder.
    pub(super) fn new(config: &Config, say: Say<'a>) -> Self {
        let (experiment, run) = (Log::new(&config.logging), Log::new(&config.logging));
        let mut logs = Self { experiment, run, say };
        let path = config.logging.dir.join(format!("{}.log", config.experiment_name));
        let attached = logs.experiment.attach(&path);
        logs.complain(&path, attached);
        logs
    }

    /// The run has a folder now.
    pub(super) fn enter(&mut self, folder: &RunFolder) {
        let path = folder.path(LOG_FILE);
        let attached = self.run.attach(&path);
        self.complain(&path, attached);
    }

    /// Writes a notice into the logs, and passes it on.
    pub(super) fn say(&mut self, notice: Notice<'_>) {
        if let Some(text) = notice.text() {
            self.write(notice.level(), &text);
        }
        (self.say)(notice);
    }

    /// Writes into the logs alone.
    pub(super) fn write(&mut self, level: LogLevel, text: &str) {
        for (name, result) in [
            ("the log of the experiment", self.experiment.write(level, text)),
            ("the log of the run", self.run.write(level, text)),
        ] {
            self.complain(Path::new(name), result);
        }
    }

    fn complain(&mut self, what: &Path, result: std::io::Result<()>) {
        if let Err(e) = result {
            let what = what.display();
            (self.say)(Notice::Warning(format!(
                "cannot write {what}: {e}; training goes on without it"
            )));
        }
    }
}

/// Runs a stage that is called by itself; what it says is also written to the log of the experiment. `command` is how it
/// was called.
///
/// # Errors
/// Those of the stage.
pub fn logged<T>(
    config: &Config,
    command: &str,
    say: Say<'_>,
    stage: impl FnOnce(Say<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut logs = Logs::new(config, say);
    logs.write(LogLevel::Info, command);
    let outcome = stage(&mut |notice| logs.say(notice));
    if let Err(error) = &outcome {
        logs.write(LogLevel::Error, &format!("error: {error}"));
    }
    outcome
}
