//! `evaluation` and `logging`: what is measured and written. Both may change on resume.

use std::path::PathBuf;

use crate::config::check::Check;
use crate::config::choices::LogLevel;
use crate::config::raw::{RawEvaluation, RawLogging};

/// What is measured during and after the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluationConfig {
    /// Updates between evaluations; `None`: only at checkpoints and at the end.
    pub every_steps: Option<u64>,
    /// Whether each checkpoint is evaluated.
    pub at_checkpoints: bool,
    /// Whether perplexity is reported.
    pub perplexity: bool,
    /// Minimal-pair suites.
    pub suites: Vec<PathBuf>,
    /// Sequences scored at a time.
    pub batch_size: usize,
}

impl EvaluationConfig {
    pub(super) fn resolve(raw: RawEvaluation, batch_size: usize, c: &mut Check<'_>) -> Self {
        Self {
            every_steps: raw
                .every_steps
                .map(|n| c.whole("evaluation.every_steps", Some(n), None, 1..=u64::MAX)),
            at_checkpoints: raw.at_checkpoints.unwrap_or(true),
            perplexity: raw.perplexity.unwrap_or(true),
            suites: raw.suites.unwrap_or_default(),
            batch_size: c.size(
                "evaluation.batch_size",
                raw.batch_size,
                Some(batch_size as u64),
                1..=u64::MAX,
            ),
        }
    }

    pub(super) fn to_raw(&self) -> RawEvaluation {
        RawEvaluation {
            every_steps: self.every_steps,
            at_checkpoints: Some(self.at_checkpoints),
            perplexity: Some(self.perplexity),
            suites: (!self.suites.is_empty()).then(|| self.suites.clone()),
            batch_size: Some(self.batch_size as u64),
        }
    }
}

/// What is written about the run, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggingConfig {
    /// The folder of logs.
    pub dir: PathBuf,
    /// What is printed.
    pub console_level: LogLevel,
    /// What is written to the log file.
    pub file_level: LogLevel,
    /// Whether TensorBoard event files are written.
    pub tensorboard: bool,
    /// Updates between lines of metrics.jsonl.
    pub log_metrics_every_n_steps: u64,
    /// The size at which the log file is rotated, in 10^6 bytes.
    pub max_log_size_mb: u64,
    /// Rotated log files to keep.
    pub max_log_files: u64,
}

impl LoggingConfig {
    pub(super) fn resolve(raw: RawLogging, c: &mut Check<'_>) -> Self {
        let mut whole = |name: &str, value, default, max| {
            c.whole(&format!("logging.{name}"), value, Some(default), 1..=max)
        };
        let every = whole("log_metrics_every_n_steps", raw.log_metrics_every_n_steps, 10, u64::MAX);
        let size = whole("max_log_size_mb", raw.max_log_size_mb, 100, 1_000_000);
        let files = whole("max_log_files", raw.max_log_files, 10, 10_000);
        Self {
            dir: raw.dir.unwrap_or_else(|| PathBuf::from("logs")),
            console_level: raw.console_level.unwrap_or(LogLevel::Info),
            file_level: raw.file_level.unwrap_or(LogLevel::Debug),
            tensorboard: raw.tensorboard.unwrap_or(true),
            log_metrics_every_n_steps: every,
            max_log_size_mb: size,
            max_log_files: files,
        }
    }

    pub(super) fn to_raw(&self) -> RawLogging {
        RawLogging {
            dir: Some(self.dir.clone()),
            console_level: Some(self.console_level),
            file_level: Some(self.file_level),
            tensorboard: Some(self.tensorboard),
            log_metrics_every_n_steps: Some(self.log_metrics_every_n_steps),
            max_log_size_mb: Some(self.max_log_size_mb),
            max_log_files: Some(self.max_log_files),
        }
    }
}
