//! The configuration as it is meant: every default resolved, every rule checked.
//!
//! Each file here owns one section: its struct, the rules that make it from what was typed, and
//! the way back (`to_raw`), from which the frozen configuration is written.

mod checkpoints;
mod data;
mod model;
mod reports;
mod tokenizer;
mod training;

use std::path::PathBuf;

pub use checkpoints::{Automatic, CheckpointConfig, FirstEpoch, LaterEpochs, Placement};
pub use data::{Corpus, DataConfig, Synthetic, Validation};
pub(in crate::config) use model::missing_architecture;
pub use model::{BertConfig, ModelConfig, RnnConfig, TransformerConfig};
pub use reports::{EvaluationConfig, LoggingConfig};
pub use tokenizer::{TokenizerConfig, TokenizerRules};
pub use training::{EarlyStopping, MaskingConfig, TrainingConfig, UpdateRule, Warmup};

use super::check::Check;
use super::choices::{Manipulation, Packing, Precision};
use super::raw::{RawConfig, RawManipulation};
use crate::data::{DataOptions, Frame};

/// One experiment, checked. Made by [`Config::load`].
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The name that keys output, cache and log folders.
    pub experiment_name: String,
    /// The seed of everything random.
    pub random_seed: u64,
    /// Where to compute.
    pub device: DeviceChoice,
    /// Threads to compute with; `None` means the cores that this process may use.
    pub threads: Option<usize>,
    /// The number format of training.
    pub precision: Precision,
    /// The corpus, and how it becomes sequences.
    pub data: DataConfig,
    /// Steps that change the corpus first, in order.
    pub dataset_manipulation: Vec<ManipulationStep>,
    /// The tokenizer.
    pub tokenizer: TokenizerConfig,
    /// The model.
    pub model: ModelConfig,
    /// Objective, optimizer, length and checkpoints.
    pub training: TrainingConfig,
    /// What is measured.
    pub evaluation: EvaluationConfig,
    /// What is written about the run.
    pub logging: LoggingConfig,
}

/// The device as it was asked for; what is there decides the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// CUDA when a driver and a device are there, otherwise the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of that number.
    Cuda(u32),
}

impl DeviceChoice {
    /// Reads `auto`, `cpu`, `cuda` or `cuda:N`; `None` for anything else.
    pub fn parse(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "auto" => Some(Self::Auto),
            "cpu" => Some(Self::Cpu),
            "cuda" => Some(Self::Cuda(0)),
            other => other.strip_prefix("cuda:")?.parse().ok().map(Self::Cuda),
        }
    }
}

impl std::fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(0) => f.write_str("cuda"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

/// One step of `dataset_manipulation`.
#[derive(Debug, Clone, PartialEq)]
pub struct ManipulationStep {
    /// What the step does.
    pub kind: Manipulation,
    /// What it reads.
    pub input_path: PathBuf,
    /// What it writes.
    pub output_path: PathBuf,
    /// Its settings, by its kind.
    pub parameters: std::collections::BTreeMap<String, serde_json::Value>,
}

impl Config {
    /// Resolves and checks what was typed. The result means something only where `c` is clean.
    pub(crate) fn resolve(raw: RawConfig, c: &mut Check<'_>) -> Self {
        let experiment_name = experiment_name(raw.experiment_name, c);
        let random_seed = c.need("random_seed", raw.random_seed, 0);
        let device = device(raw.device.as_deref(), c);
        let threads = raw.threads.map(|n| c.size("threads", Some(n), None, 1..=4096));
        let precision = raw.precision.unwrap_or(Precision::Fp32);
        if precision != Precision::Fp32 && device == DeviceChoice::Cpu {
            let message = format!("precision: {precision} needs CUDA: the CPU computes in fp32");
            c.conflict("precision", "device", message).help("write precision: fp32");
        }

        let model = ModelConfig::resolve(raw.model.unwrap_or_default(), c);
        let training = TrainingConfig::resolve(raw.training.unwrap_or_default(), &model, c);
        let steps = raw.dataset_manipulation.unwrap_or_default();
        let data = DataConfig::resolve(raw.data.unwrap_or_default(), !steps.is_empty(), c);
        let tokenizer = TokenizerConfig::resolve(
            raw.tokenizer.unwrap_or_default(),
            training.masking.is_some(),
            c,
        );
        let evaluation =
            EvaluationConfig::resolve(raw.evaluation.unwrap_or_default(), data.batch_size, c);
        let config = Self {
            experiment_name,
            random_seed,
            device,
            threads,
            precision,
            data,
            dataset_manipulation: manipulation(steps, c),
            tokenizer,
            model,
            training,
            evaluation,
            logging: LoggingConfig::resolve(raw.logging.unwrap_or_default(), c),
        };
        config.across_sections(c);
        config
    }

    /// The rules that look at more than one section.
    fn across_sections(&self, c: &mut Check<'_>) {
        let validates = self.data.validation.is_some();
        if self.evaluation.every_steps.is_some() && !validates {
            c.problem("evaluation.every_steps", "evaluation.every_steps needs validation data")
                .help("set data.validation_fraction or data.validation_corpus");
        }
        for (field, used) in [
            ("training.early_stopping", self.training.early_stopping.is_some()),
            ("training.lr_scheduler", self.training.lr_scheduler.watches_validation()),
        ] {
            let missing = match (validates, self.evaluation.every_steps.is_some()) {
                (true, true) => continue,
                (true, false) => ["evaluation.every_steps", "evaluation.every_steps"],
                (false, true) => {
                    ["validation data", "data.validation_fraction (or data.validation_corpus)"]
                }
                (false, false) => [
                    "validation data and evaluation.every_steps",
                    "data.validation_fraction (or data.validation_corpus) and evaluation.every_steps",
                ],
            };
            if used {
                let what = field.rsplit('.').next().unwrap_or(field);
                c.problem(field, format!("{what} needs {}", missing[0]))
                    .help(format!("set {}", missing[1]));
            }
        }
        if let Some(source) = &self.data.source_corpus
            && !self.dataset_manipulation.is_empty()
            && !self.dataset_manipulation.iter().any(|step| step.input_path.starts_with(source))
        {
            let message = format!(
                "no step of dataset_manipulation reads data.source_corpus ({})",
                source.display()
            );
            c.problem("data.source_corpus", message)
                .help("give it as the input_path of the first step, or leave it out");
        }
        if self.model.is_stateful() && self.data.packing != Packing::Pack {
            let message = "model.rnn.stateful needs packing: pack (contiguous columns of text)";
            c.conflict("model.rnn.stateful", "data.packing", message).help("write packing: pack");
        }
        let typed = c.typed("data.max_sequence_length");
        if typed && self.training.masking.is_none() && self.data.max_sequence_length < 2 {
            let message = "max_sequence_length must be at least 2 with causal_lm: a sequence of \
                           one token has nothing to predict";
            c.problem("data.max_sequence_length", message);
        }
        if typed && self.frame() == Frame::ClsSep && self.data.max_sequence_length < 3 {
            let message = "max_sequence_length must be at least 3 with bert: two positions are \
                           those of the tokens that begin and end a row";
            c.problem("data.max_sequence_length", message);
        }
    }

    /// What stands at the edges of the model's rows.
    fn frame(&self) -> Frame {
        match self.model {
            ModelConfig::Bert(_) => Frame::ClsSep,
            _ => Frame::None,
        }
    }

    /// What preparing the data is asked for; `training_corpus` as in [`DataConfig::options`].
    pub fn data_options(&self, training_corpus: PathBuf) -> DataOptions {
        DataOptions { frame: self.frame(), ..self.data.options(training_corpus) }
    }

    /// The configuration with everything spelled out, as one would type it.
    pub fn to_raw(&self) -> RawConfig {
        let step = |s: &ManipulationStep| RawManipulation {
            r#type: Some(s.kind),
            input_path: Some(s.input_path.clone()),
            output_path: Some(s.output_path.clone()),
            parameters: (!s.parameters.is_empty()).then(|| s.parameters.clone()),
        };
        RawConfig {
            experiment_name: Some(self.experiment_name.clone()),
            random_seed: Some(self.random_seed),
            device: Some(self.device.to_string()),
            threads: self.threads.map(|n| n as u64),
            precision: Some(self.precision),
            data: Some(self.data.to_raw()),
            dataset_manipulation: (!self.dataset_manipulation.is_empty())
                .then(|| self.dataset_manipulation.iter().map(step).collect()),
            tokenizer: Some(self.tokenizer.to_raw()),
            model: Some(self.model.to_raw()),
            training: Some(self.training.to_raw()),
            evaluation: Some(self.evaluation.to_raw()),
            logging: Some(self.logging.to_raw()),
        }
    }
}

/// Names become folder names on any system, so their alphabet is small.
fn experiment_name(name: Option<String>, c: &mut Check<'_>) -> String {
    let name = c.need("experiment_name", name, "unnamed".to_owned());
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > 100 || !name.bytes().all(allowed) {
        c.problem(
            "experiment_name",
            "experiment_name must be 1 to 100 of the characters A-Z a-z 0-9 . _ -",
        )
        .help("it stands in the names of files");
    } else if name.bytes().all(|b| b == b'.') {
        c.problem("experiment_name", format!("experiment_name must not be '{name}'"))
            .help("dots alone name a folder above, not an experiment");
    } else if is_windows_device(&name) {
        c.problem("experiment_name", format!("experiment_name must not be '{name}'"))
            .help("Windows has a device of that name, so the folder could not be copied there");
    }
    name
}

/// CON, NUL, COM1 and the like, with any ending.
fn is_windows_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().to_ascii_uppercase();
    let numbered = |port: &str| {
        stem.strip_prefix(port)
            .is_some_and(|n| n.len() == 1 && n.bytes().all(|b| b.is_ascii_digit()))
    };
    matches!(&*stem, "CON" | "PRN" | "AUX" | "NUL") || numbered("COM") || numbered("LPT")
}

fn device(word: Option<&str>, c: &mut Check<'_>) -> DeviceChoice {
    let word = word.unwrap_or("auto");
    DeviceChoice::parse(word).unwrap_or_else(|| {
        c.problem("device", format!("Unknown device: '{word}'. Must be auto, cpu, cuda or cuda:N"));
        DeviceChoice::Auto
    })
}

fn manipulation(steps: Vec<RawManipulation>, c: &mut Check<'_>) -> Vec<ManipulationStep> {
    let resolve = |(i, raw): (usize, RawManipulation)| {
        let at = |name: &str| format!("dataset_manipulation.{i}.{name}");
        ManipulationStep {
            kind: c.need(&at("type"), raw.r#type, Manipulation::Command),
            input_path: c.need(&at("input_path"), raw.input_path, PathBuf::new()),
            output_path: c.need(&at("output_path"), raw.output_path, PathBuf::new()),
            parameters: raw.parameters.unwrap_or_default(),
        }
    };
    steps.into_iter().enumerate().map(resolve).collect()
}
