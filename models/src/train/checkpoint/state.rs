//! state.json: everything that training needs to go on, besides weights and moments.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::plateau::{Patience, Plateau};

/// The best validation so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BestValidation {
    /// Step at which it was reached.
    pub step: u64,
    /// Mean loss per token, in nats.
    pub loss: f64,
}

/// The trainer's state after `global_step` updates. Random numbers are not in it: they are a function of seed and
/// step. Neither is any time or path: an interrupted and an uninterrupted run write the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerState {
    /// Version of this layout: 1.
    pub format: u32,
    /// Optimizer steps done.
    pub global_step: u64,
    /// The epoch that the next batch belongs to, from 0.
    pub epoch: u64,
    /// Batches (micro-batches) of that epoch already used.
    pub batch_in_epoch: u64,
    /// Tokens read so far, padding apart.
    pub tokens_seen: u64,
    /// Words whose first token has been an input so far.
    pub words_seen: u64,
    /// Lines of metrics.jsonl written before this checkpoint: the log is cut back to them on resume.
    pub metrics_lines: u64,
    /// The last step whose validation result is part of this state.
    #[serde(deserialize_with = "Option::deserialize")]
    pub validated_at: Option<u64>,
    /// The best validation so far.
    #[serde(deserialize_with = "Option::deserialize")]
    pub best_validation: Option<BestValidation>,
    /// What early stopping remembers; else `null`.
    #[serde(deserialize_with = "Option::deserialize")]
    pub early_stopping: Option<Patience>,
    /// What a learning-rate schedule remembers that is no function of the step (`plateau`); else `null`.
    #[serde(deserialize_with = "Option::deserialize")]
    pub scheduler: Option<Plateau>,
    /// Fingerprint of every setting that must not change unnoticed.
    pub config_fingerprint: String,
    /// Hash of the training data.
    pub data_hash: String,
    /// Hash of the tokenizer.
    pub tokenizer_hash: String,
    /// The instruction set that computed the weights: bits are only promised on the same.
    pub isa: String,
    /// What else some optimizers and models need (a loss scale, carried hidden states), by name.
    pub extra: BTreeMap<String, Value>,
}

impl TrainerState {
    /// The version that this program writes.
    pub const FORMAT: u32 = 1;

    /// The state before the first step.
    #[must_use]
    pub fn new(config_fingerprint: &str, data_hash: &str, tokenizer_hash: &str, isa: &str) -> Self {
        Self {
            format: Self::FORMAT,
            global_step: 0,
            epoch: 0,
            batch_in_epoch: 0,
            tokens_seen: 0,
            words_seen: 0,
            metrics_lines: 0,
            validated_at: None,
            best_validation: None,
            early_stopping: None,
            scheduler: None,
            config_fingerprint: config_fingerprint.to_owned(),
            data_hash: data_hash.to_owned(),
            tokenizer_hash: tokenizer_hash.to_owned(),
            isa: isa.to_owned(),
            extra: BTreeMap::new(),
        }
    }

    /// The bytes of the file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads a state; every field must be there.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let state: Self = serde_json::from_slice(bytes)
            .map_err(|e| format!("{} is damaged: {e}", super::STATE_FILE))?;
        if state.format == Self::FORMAT {
            Ok(state)
        } else {
            Err(format!(
                "{} has format {}, and this program reads {}",
                super::STATE_FILE,
                state.format,
                Self::FORMAT
            ))
        }
    }
}
