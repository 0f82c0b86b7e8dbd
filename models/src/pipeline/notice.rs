//! What the pipeline has to say: the same words for the terminal and for the log.

use crate::config::choices::LogLevel;
use crate::data::Progress;
use crate::train::run::Event;

/// A message.
pub enum Notice<'a> {
    /// A stage begins.
    Stage(&'static str),
    /// What a stage found or made.
    Info(String),
    /// Something a person should look at.
    Warning(String),
    /// How far tokenizing has come.
    Preparing(Progress),
    /// From the training loop.
    Training(Event<'a>),
}

/// Where notices go.
pub type Say<'a> = &'a mut dyn FnMut(Notice<'_>);

impl Notice<'_> {
    /// How much it matters.
    #[must_use]
    pub fn level(&self) -> LogLevel {
        match self {
            Self::Warning(_) => LogLevel::Warning,
            Self::Preparing(_) | Self::Training(Event::Step { .. } | Event::Validating { .. }) => {
                LogLevel::Debug
            }
            Self::Stage(_) | Self::Info(_) | Self::Training(_) => LogLevel::Info,
        }
    }

    /// In words; None where there is only a bar to be moved.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let event = match self {
            Self::Stage(name) => return Some(format!("== {name}")),
            Self::Info(text) => return Some(text.clone()),
            Self::Warning(text) => return Some(format!("warning: {text}")),
            Self::Preparing(_) => return None,
            Self::Training(event) => event,
        };
        Some(match event {
            Event::Step { step, total, report, tokens_per_second } => format!(
                "step {step}/{total}  loss {:.4} nats  lr {:.2e}  grad {:.2}  {tokens_per_second:.0} tokens/s",
                report.loss, report.learning_rate, report.grad_norm
            ),
            Event::Validating { .. } => return None,
            Event::Validated { step, objective, loss } => {
                format!("step {step}: {}", objective.validation_text(*loss))
            }
            Event::Saved { step, path } => format!("step {step}: saved {}", path.display()),
            Event::Note(text) => text.clone(),
        })
    }
}
