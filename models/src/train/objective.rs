//! What the loss of each objective is called.
//!
//! The loss of a causal model is a mean over all tokens, each given what stands to its left; that of a masked model is a
//! mean over the hidden tokens alone, each given what is left of both sides. The second says nothing about the
//! probability of a text, and its exponential is no perplexity. So the two never have one name: not in the log, not on
//! a curve, not in a report.

use crate::config::choices::Objective;

impl Objective {
    /// The training loss in `metrics.jsonl`: nats a target.
    #[must_use]
    pub fn loss_name(self) -> &'static str {
        match self {
            Self::CausalLm => "loss_nats",
            Self::MaskedLm => "masked_loss_nats",
        }
    }

    /// The validation loss in `metrics.jsonl`: nats a target.
    #[must_use]
    pub fn validation_loss_name(self) -> &'static str {
        match self {
            Self::CausalLm => "validation_loss_nats",
            Self::MaskedLm => "validation_masked_loss_nats",
        }
    }

    /// The loss on the test text in a run's result: nats a target.
    #[must_use]
    pub fn test_loss_name(self) -> &'static str {
        match self {
            Self::CausalLm => "test_loss_nats",
            Self::MaskedLm => "test_masked_loss_nats",
        }
    }

    /// A validation loss in words.
    #[must_use]
    pub fn validation_text(self, loss: f64) -> String {
        match self {
            Self::CausalLm => {
                format!("validation loss {loss:.4} nats a token, perplexity {:.2}", loss.exp())
            }
            Self::MaskedLm => format!("validation loss {loss:.4} nats a hidden token"),
        }
    }
}
