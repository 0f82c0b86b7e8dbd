//! `training`: objective, optimizer and length of the run.

use std::path::PathBuf;
use std::time::Duration;

use super::checkpoints::CheckpointConfig;
use super::model::ModelConfig;
use crate::config::check::{
    BELOW_ONE, Check, NOT_NEGATIVE, OPEN_SHARE, POSITIVE, POSITIVE_SHARE, SHARE,
};
use crate::config::choices::{LrScheduler, Masking, Objective, OnNonFinite, Optimizer};
use crate::config::raw::{RawEarlyStopping, RawTraining};
use crate::train::run_length::Limits;

/// Objective, optimizer, length and checkpoints of the run.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingConfig {
    /// The run folder.
    pub output_dir: PathBuf,
    /// How tokens are masked; `None`: the objective is causal_lm.
    pub masking: Option<MaskingConfig>,
    /// The update rule.
    pub update_rule: UpdateRule,
    /// The peak learning rate.
    pub learning_rate: f64,
    /// Decoupled weight decay, on tensors of rank 2 and more.
    pub weight_decay: f64,
    /// The shape of the learning rate.
    pub lr_scheduler: LrScheduler,
    /// The length of the warm-up.
    pub warmup: Warmup,
    /// The floor to which the rate decays.
    pub min_learning_rate: f64,
    /// Passes over the data at which the run ends.
    pub epochs: Option<u64>,
    /// Updates at which the run ends.
    pub train_steps: Option<u64>,
    /// Tokens at which the run ends.
    pub train_tokens: Option<u64>,
    /// Wall-clock time of one process.
    pub time_limit: Option<Duration>,
    /// Micro-batches in an update.
    pub gradient_accumulation_steps: usize,
    /// The norm to which gradients are clipped.
    pub max_grad_norm: Option<f64>,
    /// Label smoothing.
    pub label_smoothing: f64,
    /// Decay of the moving average of the weights.
    pub ema_decay: Option<f64>,
    /// Whether activations are recomputed in the backward pass.
    pub use_gradient_checkpointing: bool,
    /// When the run is stopped for lack of progress.
    pub early_stopping: Option<EarlyStopping>,
    /// What happens when numbers are not finite.
    pub on_non_finite: OnNonFinite,
    /// When the model is saved.
    pub checkpoints: CheckpointConfig,
    /// Whether an unfinished run is continued, as with --resume.
    pub resume_from_checkpoint: bool,
}

/// How tokens are chosen and masked for masked_lm.
#[derive(Debug, Clone, PartialEq)]
pub struct MaskingConfig {
    /// The share of tokens that is chosen.
    pub mlm_probability: f64,
    /// What is masked together.
    pub masking: Masking,
    /// Shares of the chosen: mask token, random token, unchanged; they sum to 1.
    pub mask_split: [f64; 3],
}

/// The update rule, with what only that rule has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum UpdateRule {
    /// Adam with decoupled weight decay.
    AdamW {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// The constant added to the denominator.
        epsilon: f64,
    },
    /// Stochastic gradient descent.
    Sgd {
        /// 0: none.
        momentum: f64,
    },
}

/// The length of the warm-up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Warmup {
    /// No warm-up (lr_scheduler: constant).
    None,
    /// So many updates.
    Steps(u64),
    /// A share of the run's updates, rounded down.
    Ratio(f64),
}

/// When a run is stopped for lack of progress.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EarlyStopping {
    /// Evaluations without progress.
    pub patience: u64,
    /// What counts as progress, in nats.
    pub min_delta: f64,
}

impl LrScheduler {
    /// Whether the rate follows the validation loss.
    pub fn watches_validation(self) -> bool {
        self == Self::Plateau
    }
}

impl TrainingConfig {
    /// Where the run ends; see [`run_length`](crate::train::run_length::run_length).
    pub fn limits(&self) -> Limits {
        let Self { epochs, train_steps, train_tokens, .. } = *self;
        Limits { epochs, train_steps, train_tokens }
    }

    /// What the model is trained to predict.
    pub fn objective(&self) -> Objective {
        if self.masking.is_some() { Objective::MaskedLm } else { Objective::CausalLm }
    }

    pub(super) fn resolve(raw: RawTraining, model: &ModelConfig, c: &mut Check<'_>) -> Self {
        let at = |name: &str| format!("training.{name}");
        let objective = raw.objective.unwrap_or(Objective::CausalLm);
        fits(objective, model, c);
        let learning_rate = c.number(&at("learning_rate"), raw.learning_rate, None, POSITIVE);
        let scheduler = raw.lr_scheduler.unwrap_or(LrScheduler::Linear);
        let constant = matches!(scheduler, LrScheduler::Constant | LrScheduler::ConstantWithWarmup);
        c.only_if(!constant, &at("min_learning_rate"), "with a schedule that decays");
        let min_learning_rate =
            c.number(&at("min_learning_rate"), raw.min_learning_rate, Some(0.0), NOT_NEGATIVE);
        if min_learning_rate > learning_rate {
            let message = format!(
                "min_learning_rate ({min_learning_rate}) must not exceed learning_rate \
                 ({learning_rate})"
            );
            c.conflict(&at("min_learning_rate"), &at("learning_rate"), message);
        }
        if raw.epochs.is_none() && raw.train_steps.is_none() && raw.train_tokens.is_none() {
            c.problem("training", "Missing the length of the run in training config")
                .help("give at least one of training.epochs, train_steps and train_tokens");
        }
        let mut length =
            |name: &str, n: Option<u64>| n.map(|n| c.whole(&at(name), Some(n), None, 1..=MOST));
        let epochs = length("epochs", raw.epochs);
        let train_steps = length("train_steps", raw.train_steps);
        let train_tokens = length("train_tokens", raw.train_tokens);
        Self {
            masking: masking(&raw, objective, c),
            update_rule: update_rule(&raw, c),
            weight_decay: c.number(&at("weight_decay"), raw.weight_decay, Some(0.01), NOT_NEGATIVE),
            warmup: warmup(&raw, scheduler, c),
            time_limit: raw.time_limit.as_deref().and_then(|text| time_limit(text, c)),
            gradient_accumulation_steps: c.size(
                &at("gradient_accumulation_steps"),
                raw.gradient_accumulation_steps,
                Some(1),
                1..=u64::from(u32::MAX),
            ),
            max_grad_norm: raw
                .max_grad_norm
                .map(|x| c.number(&at("max_grad_norm"), Some(x), None, POSITIVE)),
            label_smoothing: c.number(
                &at("label_smoothing"),
                raw.label_smoothing,
                Some(0.0),
                BELOW_ONE,
            ),
            ema_decay: raw.ema_decay.map(|x| c.number(&at("ema_decay"), Some(x), None, OPEN_SHARE)),
            early_stopping: raw.early_stopping.as_ref().map(|e| early_stopping(e, c)),
            checkpoints: CheckpointConfig::resolve(&raw, c),
            output_dir: c.need(&at("output_dir"), raw.output_dir, PathBuf::new()),
            learning_rate,
            lr_scheduler: scheduler,
            min_learning_rate,
            epochs,
            train_steps,
            train_tokens,
            use_gradient_checkpointing: raw.use_gradient_checkpointing.unwrap_or(false),
            on_non_finite: raw.on_non_finite.unwrap_or(OnNonFinite::Stop),
            resume_from_checkpoint: raw.resume_from_checkpoint.unwrap_or(false),
        }
    }

    pub(super) fn to_raw(&self) -> RawTraining {
        let mut raw = RawTraining {
            output_dir: Some(self.output_dir.clone()),
            objective: Some(self.objective()),
            learning_rate: Some(self.learning_rate),
            weight_decay: Some(self.weight_decay),
            lr_scheduler: Some(self.lr_scheduler),
            min_learning_rate: (!matches!(
                self.lr_scheduler,
                LrScheduler::Constant | LrScheduler::ConstantWithWarmup
            ))
            .then_some(self.min_learning_rate),
            epochs: self.epochs,
            train_steps: self.train_steps,
            train_tokens: self.train_tokens,
            time_limit: self.time_limit.map(|t| format!("{}s", t.as_secs())),
            gradient_accumulation_steps: Some(self.gradient_accumulation_steps as u64),
            max_grad_norm: self.max_grad_norm,
            label_smoothing: Some(self.label_smoothing),
            ema_decay: self.ema_decay,
            use_gradient_checkpointing: Some(self.use_gradient_checkpointing),
            early_stopping: self.early_stopping.map(|e| RawEarlyStopping {
                patience: Some(e.patience),
                min_delta: Some(e.min_delta),
            }),
            on_non_finite: Some(self.on_non_finite),
            resume_from_checkpoint: Some(self.resume_from_checkpoint),
            ..RawTraining::default()
        };
        match self.warmup {
            Warmup::None => {}
            Warmup::Steps(n) => raw.warmup_steps = Some(n),
            Warmup::Ratio(x) => raw.warmup_ratio = Some(x),
        }
        match self.update_rule {
            UpdateRule::AdamW { beta1, beta2, epsilon } => {
                raw.optimizer = Some(Optimizer::AdamW);
                (raw.adam_beta1, raw.adam_beta2) = (Some(beta1), Some(beta2));
                raw.adam_epsilon = Some(epsilon);
            }
            UpdateRule::Sgd { momentum } => {
                raw.optimizer = Some(Optimizer::Sgd);
                raw.momentum = Some(momentum);
            }
        }
        if let Some(m) = &self.masking {
            raw.mlm_probability = Some(m.mlm_probability);
            raw.masking = Some(m.masking);
            raw.mask_split = Some(m.mask_split.to_vec());
        }
        self.checkpoints.fill(&mut raw);
        raw
    }
}

/// The largest epochs, steps and tokens: far beyond any run, and safe to multiply in 128 bits.
const MOST: u64 = 1 << 53;

/// A model that sees the whole sequence cannot learn to predict the next token, and a model that
/// sees only the left cannot use what stands right of a mask.
fn fits(objective: Objective, model: &ModelConfig, c: &mut Check<'_>) {
    let field = "training.objective";
    let name = model.architecture();
    let (other, which) = match model.rnn() {
        Some(r) if r.bidirectional => {
            ("model.rnn.bidirectional", format!("a bidirectional '{name}'"))
        }
        _ => ("model.architecture", format!("architecture '{name}'")),
    };
    match (objective, model.is_bidirectional()) {
        (Objective::CausalLm, true) => {
            let message = format!(
                "objective causal_lm does not fit {which}: it reads both ways and sees the answer"
            );
            c.conflict(field, other, message).help("write objective: masked_lm");
        }
        (Objective::MaskedLm, false) if c.typed("model.architecture") => {
            let message = format!(
                "objective masked_lm does not fit {which}: a causal model never sees what stands \
                 right of the mask"
            );
            c.conflict(field, other, message).help(match model.rnn() {
                Some(_) => "write objective: causal_lm, or model.rnn.bidirectional: true",
                None => "write objective: causal_lm, or architecture: bert",
            });
        }
        _ => {}
    }
}

fn masking(raw: &RawTraining, objective: Objective, c: &mut Check<'_>) -> Option<MaskingConfig> {
    let masked = objective == Objective::MaskedLm;
    let names = ["mlm_probability", "masking", "mask_split"];
    c.all_only_if(masked, "training", &names, "with objective: masked_lm");
    if !masked {
        return None;
    }
    let field = "training.mask_split";
    let mut mask_split = [0.8, 0.1, 0.1];
    if let Some(typed) = &raw.mask_split {
        match <[f64; 3]>::try_from(typed.as_slice()) {
            Ok(s) if s.iter().all(|x| *x >= 0.0) && (s.iter().sum::<f64>() - 1.0).abs() < 1e-9 => {
                mask_split = s;
            }
            _ => {
                let message = "mask_split must be three numbers of 0 or more that sum to 1";
                c.problem(field, message).help("write, for example, [0.8, 0.1, 0.1]");
            }
        }
    }
    Some(MaskingConfig {
        mlm_probability: c.number(
            "training.mlm_probability",
            raw.mlm_probability,
            Some(0.15),
            POSITIVE_SHARE,
        ),
        masking: raw.masking.unwrap_or(Masking::Token),
        mask_split,
    })
}

fn update_rule(raw: &RawTraining, c: &mut Check<'_>) -> UpdateRule {
    let rule = raw.optimizer.unwrap_or(Optimizer::AdamW);
    let adam = rule == Optimizer::AdamW;
    let names = ["adam_beta1", "adam_beta2", "adam_epsilon"];
    c.all_only_if(adam, "training", &names, "with optimizer: adamw");
    c.only_if(!adam, "training.momentum", "with optimizer: sgd");
    match rule {
        Optimizer::AdamW => UpdateRule::AdamW {
            beta1: c.number("training.adam_beta1", raw.adam_beta1, Some(0.9), BELOW_ONE),
            beta2: c.number("training.adam_beta2", raw.adam_beta2, Some(0.999), BELOW_ONE),
            epsilon: c.number("training.adam_epsilon", raw.adam_epsilon, Some(1e-8), POSITIVE),
        },
        Optimizer::Sgd => UpdateRule::Sgd {
            momentum: c.number("training.momentum", raw.momentum, Some(0.0), BELOW_ONE),
        },
    }
}

fn warmup(raw: &RawTraining, scheduler: LrScheduler, c: &mut Check<'_>) -> Warmup {
    let used = scheduler != LrScheduler::Constant;
    let names = ["warmup_steps", "warmup_ratio"];
    c.all_only_if(used, "training", &names, "with a schedule that warms up (not constant)");
    let (steps, ratio) = ("training.warmup_steps", "training.warmup_ratio");
    match (raw.warmup_steps, raw.warmup_ratio) {
        _ if !used => Warmup::None,
        (Some(_), Some(_)) => {
            let message = "training has both warmup_steps and warmup_ratio; at most one is allowed";
            c.conflict(steps, ratio, message);
            Warmup::None
        }
        (Some(n), None) => {
            if let Some(end) = raw.train_steps.filter(|end| n > *end) {
                let message = format!(
                    "warmup_steps ({n}) exceeds train_steps ({end}): the rate would never reach \
                     learning_rate"
                );
                c.conflict(steps, "training.train_steps", message);
            }
            Warmup::Steps(n)
        }
        (None, ratio_typed) => Warmup::Ratio(c.number(ratio, ratio_typed, Some(0.1), SHARE)),
    }
}

fn early_stopping(raw: &RawEarlyStopping, c: &mut Check<'_>) -> EarlyStopping {
    let (patience, min_delta) =
        ("training.early_stopping.patience", "training.early_stopping.min_delta");
    EarlyStopping {
        patience: c.whole(patience, raw.patience, None, 1..=u64::MAX),
        min_delta: c.number(min_delta, raw.min_delta, Some(0.0), NOT_NEGATIVE),
    }
}

fn time_limit(text: &str, c: &mut Check<'_>) -> Option<Duration> {
    let limit = duration(text);
    if limit.is_none() {
        let message = format!("time_limit must be a time such as 90m or 1h30m, got '{text}'");
        c.problem("training.time_limit", message)
            .help("units: s, m, h, d; a number alone means seconds");
    }
    limit
}

/// Reads `90`, `90s`, `5m`, `1h30m`, `2d`: at least a second, at most ten years.
fn duration(text: &str) -> Option<Duration> {
    let mut total = 0u64;
    let mut digits = String::new();
    for ch in text.trim().chars() {
        if ch.is_ascii_digit() {
            digits.push(ch);
            continue;
        }
        let unit = match ch {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        total = total.checked_add(digits.parse::<u64>().ok()?.checked_mul(unit)?)?;
        digits.clear();
    }
    if !digits.is_empty() {
        // A number without a unit stands alone.
        total = if total == 0 { digits.parse().ok()? } else { return None };
    }
    (1..=10 * 366 * 86_400).contains(&total).then(|| Duration::from_secs(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_time_limit__readings() {
        let seconds = |text| duration(text).map(|d| d.as_secs());
        assert_eq!(seconds("90"), Some(90));
        assert_eq!(seconds("90m"), Some(5400));
        assert_eq!(seconds("1h30m"), Some(5400));
        assert_eq!(seconds("2d"), Some(172_800));
        for wrong in ["", "0", "0s", "m", "1h30", "-5m", "1.5h", "5 m", "99999999999999999999d"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
