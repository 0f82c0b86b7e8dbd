//! A trained model from a folder: a run (its newest checkpoint) or a checkpoint.

use crate::arch::{LanguageModel, Size, build};
use crate::config::Config;
use crate::config::choices::Boundary;
use crate::error::Error;
use crate::eval::pseudo::{Hiding, MaskedScorer};
use crate::eval::stimuli::Reader;
use crate::eval::table::{Origin, ScoredBy};
use crate::eval::{CausalScorer, Scorer};
use crate::storage::Disk;
use crate::tensors::TensorFile;
use crate::tokenizer::{SpecialIds, Tokenizer};
use crate::train::checkpoint::{Checkpoint, MODEL_FILE, find_newest, folder_name, steps};
use crate::train::run::{PROGRESS_FILE, Progress};
use crate::train::run_folder::CONFIG_FILE;
use crate::train::weights::load_model;
use foundry_engine::{DType, Device, Init};
use std::path::{Path, PathBuf};

/// A model, its tokenizer, and how it was trained.
pub struct Trained {
    /// The model.
    pub model: Box<dyn LanguageModel>,
    /// The tokenizer that it was trained with.
    pub tokenizer: Tokenizer,
    /// The configuration of its run.
    pub config: Config,
    /// Where it is.
    pub device: Device,
    /// The checkpoint folder.
    pub folder: PathBuf,
    /// Which checkpoint it is.
    pub origin: Origin,
    /// What to tell the person: checkpoints that were passed over.
    pub notes: Vec<String>,
}

impl Trained {
    /// Loads the newest checkpoint of a run folder, or a checkpoint folder inside one.
    ///
    /// # Errors
    /// A folder that is neither; damaged files.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let disk = Disk::real();
        let mut notes = Vec::new();
        let is_run = path.join(CONFIG_FILE).exists();
        let (run, checkpoint) = if is_run {
            let Some(found) = find_newest(&disk, path)? else {
                return Err(Error::Mismatch(format!("{} has no checkpoint yet", absolute(path))));
            };
            notes.extend(found.rejected.iter().map(|r| format!("passed over: {r}")));
            (path.to_owned(), found.checkpoint)
        } else if path.is_dir() {
            let run = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            let run = run.parent().unwrap_or(Path::new(".")).to_owned();
            (run, Checkpoint::open(&disk, path)?)
        } else if let Some(ending) = pickle(path) {
            return Err(Error::Mismatch(format!(
                "{} is a .{ending} file, which torch writes with pickle; a pickle can hold a program, and is never read\n  \
                 mend: in Python, safetensors.torch.save_file(torch.load(path, weights_only=True), \"model.safetensors\")",
                absolute(path)
            )));
        } else {
            return Err(Error::Mismatch(format!(
                "{} {}; expected a run folder or a checkpoint folder",
                absolute(path),
                if path.exists() { "is a file" } else { "is not there" }
            )));
        };
        let config_file = run.join(CONFIG_FILE);
        let text = std::fs::read_to_string(&config_file).map_err(|e| {
            Error::Mismatch(format!(
                "cannot read {}: {e}\n  expected: a checkpoint inside its run folder",
                absolute(&config_file)
            ))
        })?;
        let config = Config::parse(&text, &config_file.display().to_string(), &[])?;
        let folder = checkpoint.path().to_owned();
        let tokenizer = Tokenizer::load(&folder)?;
        let device = Device::cpu();
        let size =
            Size { vocab: tokenizer.vocab_size(), positions: config.data.max_sequence_length };
        let init = Init::new(&device, DType::F32, config.random_seed);
        let Some(mut model) = build(&config.model, size, &init) else {
            return Err(Error::Usage(format!(
                "Architecture '{}' is not available yet",
                config.model.architecture()
            )));
        };
        let file: TensorFile = checkpoint.tensors(MODEL_FILE)?;
        load_model(&mut *model, file)?;
        let origin = origin(&checkpoint, config.random_seed);
        Ok(Self { model, tokenizer, config, device, folder, origin, notes })
    }

    /// Takes the weights of another checkpoint of the same run.
    ///
    /// # Errors
    /// A folder that is damaged, or of another model.
    pub fn switch_to(&mut self, folder: &Path) -> Result<(), Error> {
        let checkpoint = Checkpoint::open(&Disk::real(), folder)?;
        load_model(&mut *self.model, checkpoint.tensors(MODEL_FILE)?)?;
        self.origin = origin(&checkpoint, self.config.random_seed);
        self.folder = folder.to_owned();
        Ok(())
    }

    /// The checkpoint folders of the model's run, oldest first.
    ///
    /// # Errors
    /// A run folder that cannot be listed.
    pub fn checkpoints(&self) -> Result<Vec<PathBuf>, Error> {
        let run = self.folder.parent().unwrap_or(Path::new("."));
        let steps = steps(&Disk::real(), run)?;
        Ok(steps.into_iter().map(|step| run.join(folder_name(step))).collect())
    }

    /// How sentences become ids for this model.
    #[must_use]
    pub fn reader(&self, score_end: bool) -> Reader<'_> {
        let reader = reader(&*self.model, &self.tokenizer, self.config.data.boundary);
        Reader { score_end, ..reader }
    }

    /// What gives tokens their probabilities; `stride` is that of the windows on texts longer than the context.
    ///
    /// # Errors
    /// A stride that leaves gaps; a model that sees both sides, and a tokenizer that cannot hide a token from it.
    pub fn scorer(
        &self,
        stride: Option<usize>,
        hiding: Hiding,
    ) -> Result<Box<dyn Scorer + '_>, Error> {
        if let (Some(stride), Some(context)) = (stride, self.model.context_length()) {
            check_stride(stride, context)?;
        }
        scorer(&*self.model, &self.device, &self.tokenizer, stride, hiding)
    }

    /// What the probabilities of this model are called.
    #[must_use]
    pub fn scored_by(&self, hiding: Hiding) -> ScoredBy {
        scored_by(&*self.model, hiding)
    }

    /// The tokens that begin and end a sentence, as training placed them.
    #[must_use]
    pub fn sentence_ids(&self) -> SpecialIds {
        super::train::sentence_ids(self.config.data.boundary, self.tokenizer.special_ids())
    }

    /// Whether the first token of a text can be scored: something stood before it in training.
    #[must_use]
    pub fn scores_first_token(&self) -> bool {
        self.config.data.boundary != Boundary::None
    }
}

/// How sentences become ids for a model: with the tokens around them that stood there in training.
pub(super) fn reader<'a>(
    model: &dyn LanguageModel,
    tokenizer: &'a Tokenizer,
    boundary: Boundary,
) -> Reader<'a> {
    let ids = tokenizer.special_ids();
    let both_ways = !model.supports_generation();
    let special = if both_ways {
        SpecialIds { bos: ids.begin(), cls: None, ..ids }
    } else {
        super::train::sentence_ids(boundary, ids)
    };
    Reader { tokenizer, special, score_end: false, both_ways, unigram: None }
}

/// What gives tokens their probabilities.
pub(super) fn scorer<'a>(
    model: &'a dyn LanguageModel,
    device: &'a Device,
    tokenizer: &Tokenizer,
    stride: Option<usize>,
    hiding: Hiding,
) -> Result<Box<dyn Scorer + 'a>, Error> {
    if model.supports_generation() {
        return Ok(Box::new(CausalScorer::new(model, device, stride)));
    }
    let Some(mask) = tokenizer.special_ids().mask else {
        return Err(Error::Mismatch(format!(
            "the tokenizer has no mask token, so a model that sees both sides ({}) cannot be asked for a token",
            model.architecture()
        )));
    };
    Ok(Box::new(MaskedScorer::new(model, device, mask, hiding)))
}

pub(super) fn scored_by(model: &dyn LanguageModel, hiding: Hiding) -> ScoredBy {
    if model.supports_generation() {
        ScoredBy::Model(model.architecture())
    } else {
        ScoredBy::Pseudo(model.architecture(), hiding)
    }
}

/// A window must see something before the first token that it scores.
pub(super) fn check_stride(stride: usize, window: usize) -> Result<(), Error> {
    if (1..window).contains(&stride) {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "--stride {stride}: must be at least 1, and below the context of {window} tokens, or some tokens would be \
         scored blindly"
    )))
}

/// What a checkpoint says of itself.
fn origin(checkpoint: &Checkpoint, seed: u64) -> Origin {
    let progress = checkpoint.read(PROGRESS_FILE).ok();
    let progress: Option<Progress> = progress.and_then(|p| serde_json::from_slice(&p).ok());
    Origin {
        step: Some(checkpoint.global_step()),
        tokens_seen: progress.map(|p| p.tokens_seen),
        words_seen: progress.map(|p| p.words_seen),
        seed: Some(seed),
        scorer: ScoredBy::Unknown,
    }
}

/// The ending of a file of a kind that torch pickles.
fn pickle(path: &Path) -> Option<&str> {
    let ending = path.extension()?.to_str()?;
    ["pt", "pth", "bin", "pkl", "ckpt"].contains(&ending).then_some(ending)
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
