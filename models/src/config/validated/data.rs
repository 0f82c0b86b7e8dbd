//! `data`: the corpus, and how it becomes sequences.

use std::path::PathBuf;

use crate::config::check::{BELOW_ONE, Check, SHARE};
use crate::config::choices::{Boundary, Packing, Unit, ValidationSplit};
use crate::config::raw::{RawData, RawSynthetic};
use crate::data::{DataOptions, Frame};

/// The corpus, and how it becomes sequences.
#[derive(Debug, Clone, PartialEq)]
pub struct DataConfig {
    /// Where `dataset_manipulation` starts.
    pub source_corpus: Option<PathBuf>,
    /// Where the training text comes from.
    pub corpus: Corpus,
    /// What a unit of text is.
    pub unit: Unit,
    /// Where the validation text comes from, if there is any.
    pub validation: Option<Validation>,
    /// Text scored at the end.
    pub test_corpus: Option<PathBuf>,
    /// Sequences in a micro-batch.
    pub batch_size: usize,
    /// Tokens in a sequence.
    pub max_sequence_length: usize,
    /// How units become sequences.
    pub packing: Packing,
    /// The token between units.
    pub boundary: Boundary,
    /// The share of tokens that may be dropped.
    pub max_loss_fraction: f64,
    /// Threads that prepare batches; `None`: chosen by the machine.
    pub num_workers: Option<usize>,
}

/// Where the training text comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Corpus {
    /// A file or folder.
    Files(PathBuf),
    /// The built-in grammar generator.
    Synthetic(Synthetic),
}

/// Text from the built-in grammar generator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synthetic {
    /// The grammar: a file, or the name of one that the program carries.
    pub grammar: PathBuf,
    /// Sentences to generate.
    pub sentences: u64,
    /// The generator's seed.
    pub seed: u64,
}

/// Where the validation text comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Validation {
    /// A file or folder of its own.
    Files(PathBuf),
    /// A share of the training corpus, held out before anything is trained.
    HeldOut {
        /// Above 0, below 1.
        fraction: f64,
        /// How it is cut.
        split: ValidationSplit,
    },
}

impl DataConfig {
    /// What preparing the data is asked for. `training_corpus` is the text to read: the file or
    /// folder of [`Corpus::Files`], or where the generated or manipulated text was written.
    pub fn options(&self, training_corpus: PathBuf) -> DataOptions {
        let (validation_corpus, fraction, split) = match &self.validation {
            None => (None, 0.0, ValidationSplit::default()),
            Some(Validation::Files(path)) => (Some(path.clone()), 0.0, ValidationSplit::default()),
            Some(Validation::HeldOut { fraction, split }) => (None, *fraction, *split),
        };
        DataOptions {
            training_corpus,
            validation_corpus,
            test_corpus: self.test_corpus.clone(),
            unit: self.unit,
            validation_fraction: fraction,
            validation_split: split,
            max_sequence_length: self.max_sequence_length,
            packing: self.packing,
            boundary_token: self.boundary,
            frame: Frame::None,
            max_loss_fraction: self.max_loss_fraction,
        }
    }

    pub(super) fn resolve(raw: RawData, manipulated: bool, c: &mut Check<'_>) -> Self {
        let condition = "with dataset_manipulation";
        c.only_if(manipulated, "data.source_corpus", condition);
        let unit = raw.unit.unwrap_or(Unit::Line);
        let packing = raw.packing.unwrap_or(Packing::Pack);
        if unit == Unit::Document && packing != Packing::Pack {
            let message = format!("packing: {packing} needs unit: line: a document is one stream");
            c.conflict("data.packing", "data.unit", message).help("write packing: pack");
        }
        Self {
            source_corpus: raw.source_corpus,
            corpus: corpus(raw.training_corpus, raw.synthetic, c),
            unit,
            validation: validation(
                raw.validation_corpus,
                raw.validation_fraction,
                raw.validation_split,
                c,
            ),
            test_corpus: raw.test_corpus,
            batch_size: c.size("data.batch_size", raw.batch_size, None, 1..=u64::MAX),
            max_sequence_length: c.size(
                "data.max_sequence_length",
                raw.max_sequence_length,
                None,
                1..=u64::MAX,
            ),
            packing,
            boundary: raw.boundary_token.unwrap_or(Boundary::Eos),
            max_loss_fraction: c.number(
                "data.max_loss_fraction",
                raw.max_loss_fraction,
                Some(0.05),
                SHARE,
            ),
            num_workers: raw
                .num_workers
                .map(|n| c.size("data.num_workers", Some(n), None, 0..=1024)),
        }
    }

    pub(super) fn to_raw(&self) -> RawData {
        let (training_corpus, synthetic) = match &self.corpus {
            Corpus::Files(path) => (Some(path.clone()), None),
            Corpus::Synthetic(s) => {
                let synthetic = RawSynthetic {
                    grammar: Some(s.grammar.clone()),
                    sentences: Some(s.sentences),
                    seed: Some(s.seed),
                };
                (None, Some(synthetic))
            }
        };
        let (validation_corpus, held_out) = match &self.validation {
            None => (None, None),
            Some(Validation::Files(path)) => (Some(path.clone()), None),
            Some(Validation::HeldOut { fraction, split }) => (None, Some((*fraction, *split))),
        };
        RawData {
            source_corpus: self.source_corpus.clone(),
            training_corpus,
            synthetic,
            unit: Some(self.unit),
            validation_corpus,
            validation_fraction: held_out.map(|(f, _)| f),
            validation_split: held_out.map(|(_, s)| s),
            test_corpus: self.test_corpus.clone(),
            batch_size: Some(self.batch_size as u64),
            max_sequence_length: Some(self.max_sequence_length as u64),
            packing: Some(self.packing),
            boundary_token: Some(self.boundary),
            max_loss_fraction: Some(self.max_loss_fraction),
            num_workers: self.num_workers.map(|n| n as u64),
        }
    }
}

impl Corpus {
    /// Whether a grammar makes it.
    #[must_use]
    pub fn is_synthetic(&self) -> bool {
        matches!(self, Self::Synthetic(_))
    }
}

impl DataConfig {
    /// Threads that make batches ahead: those of the configuration, or one where another core computes.
    #[must_use]
    pub fn workers(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.num_workers.unwrap_or(usize::from(cores > 1))
    }
}

fn corpus(files: Option<PathBuf>, synthetic: Option<RawSynthetic>, c: &mut Check<'_>) -> Corpus {
    match (files, synthetic) {
        (Some(path), None) => Corpus::Files(path),
        (None, Some(raw)) => Corpus::Synthetic(Synthetic {
            grammar: c.need("data.synthetic.grammar", raw.grammar, PathBuf::new()),
            sentences: c.whole("data.synthetic.sentences", raw.sentences, None, 1..=1_000_000_000),
            seed: c.need("data.synthetic.seed", raw.seed, 0),
        }),
        (Some(path), Some(_)) => {
            let message = "data has both training_corpus and synthetic; exactly one is allowed";
            c.conflict("data.training_corpus", "data.synthetic", message);
            Corpus::Files(path)
        }
        (None, None) => {
            c.problem("data.training_corpus", "Missing training text in data config")
                .help("give data.training_corpus (a file or folder) or data.synthetic");
            Corpus::Files(PathBuf::new())
        }
    }
}

fn validation(
    files: Option<PathBuf>,
    fraction: Option<f64>,
    split: Option<ValidationSplit>,
    c: &mut Check<'_>,
) -> Option<Validation> {
    let fraction = c.number("data.validation_fraction", fraction, Some(0.0), BELOW_ONE);
    let held_out = fraction != 0.0;
    c.only_if(held_out, "data.validation_split", "with data.validation_fraction");
    match (files, held_out) {
        (Some(_), true) => {
            let message = "data has both validation_corpus and validation_fraction; at most one is \
                           allowed";
            c.conflict("data.validation_fraction", "data.validation_corpus", message);
            None
        }
        (Some(path), false) => Some(Validation::Files(path)),
        (None, true) => {
            let split = split.unwrap_or(ValidationSplit::Blocks);
            Some(Validation::HeldOut { fraction, split })
        }
        (None, false) => None,
    }
}
