//! What a person sees while something runs: a bar on a terminal, else a plain line every 30 seconds.

use crate::terminal::say;
use foundry_models::config::{Config, choices::LogLevel};
use foundry_models::pipeline::Notice;
use foundry_models::train::run::Event;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

const PLAIN_EVERY: Duration = Duration::from_secs(30);

/// Shows notices.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    terminal: bool,
    level: LogLevel,
    began: Instant,
    first_step: Option<u64>,
    last_line: Option<Instant>,
}

impl Progress {
    /// Shows what matters at least as much as `level`.
    pub(crate) fn new(level: LogLevel) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let now = Instant::now();
        Self { bar: None, terminal, level, began: now, first_step: None, last_line: None }
    }

    /// Where JSON is asked for, warnings only.
    pub(crate) fn of(config: &Config, json: bool) -> Self {
        let level = config.logging.console_level;
        let quiet = json && LogLevel::Warning.at_least(level);
        Self::new(if quiet { LogLevel::Warning } else { level })
    }

    /// Shows a notice.
    pub(crate) fn show(&mut self, notice: &Notice<'_>) {
        if matches!(notice, Notice::Stage(_)) {
            self.finish();
        }
        if LogLevel::Info.at_least(self.level) {
            self.follow(notice);
        }
        if notice.level().at_least(self.level)
            && let Some(text) = notice.text()
        {
            self.line(&text);
        }
    }

    /// Moves the bar, or says now and then how far it is.
    fn follow(&mut self, notice: &Notice<'_>) {
        match notice {
            Notice::Preparing(progress) => {
                let unit = "{bytes}/{total_bytes} {bytes_per_sec}";
                self.move_bar(progress.done, progress.total, unit, &progress.split.to_string());
            }
            Notice::Training(Event::Step { step, total, .. }) => {
                if self.first_step.is_none() {
                    (self.first_step, self.began) = (Some(step - 1), Instant::now());
                }
                let text = notice.text().unwrap_or_default();
                self.move_bar(*step, *total, "eta {eta}", &text);
                let told = self.terminal || notice.level().at_least(self.level);
                if !told && self.last_line.is_none_or(|t| t.elapsed() >= PLAIN_EVERY) {
                    self.last_line = Some(Instant::now());
                    let eta = self.eta(*step, *total);
                    self.line(&format!("{text}  ETA {eta}"));
                }
            }
            _ => {}
        }
    }

    fn move_bar(&mut self, done: u64, total: u64, counts: &str, message: &str) {
        if !self.terminal {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let template = format!("{{bar:24}} {counts}  {{msg}}");
            if let Ok(style) = ProgressStyle::with_template(&template) {
                bar.set_style(style);
            }
            bar
        });
        bar.set_length(total);
        bar.set_position(done);
        bar.set_message(message.to_owned());
    }

    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn eta(&self, step: u64, total: u64) -> String {
        let done = step.saturating_sub(self.first_step.unwrap_or(0)).max(1);
        let left = self.began.elapsed().as_secs_f64() / done as f64 * (total - step) as f64;
        let left = Duration::from_secs_f64(left).as_secs();
        format!("{}:{:02}", left / 60, left % 60)
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
