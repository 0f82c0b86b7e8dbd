//! A trained model from a folder: a run (its newest checkpoint), a checkpoint, or a Hugging Face folder.

use super::train::initial_model;
use crate::arch::LanguageModel;
use crate::config::Config;
use crate::config::choices::{Boundary, Unit};
use crate::error::Error;
use crate::eval::pseudo::{Hiding, MaskedScorer};
use crate::eval::stimuli::Reader;
use crate::eval::table::{Origin, ScoredBy};
use crate::eval::{CausalScorer, Scorer};
use crate::interchange::{Imported, InterchangeError, Record};
use crate::storage::Disk;
use crate::tokenizer::{SpecialIds, Tokenizer};
use crate::train::checkpoint::{Checkpoint, MODEL_FILE, find_newest, folder_name, step_of, steps};
use crate::train::manifest::MANIFEST_FILE;
use crate::train::run::{PROGRESS_FILE, Progress};
use crate::train::run_folder::CONFIG_FILE;
use crate::train::signals::StopFlag;
use crate::train::weights::load_model;
use foundry_engine::{Device, for_each_param_mut};
use std::path::{Path, PathBuf};

/// A model, its tokenizer, and how it was trained.
pub struct Trained {
    /// The model.
    pub model: Box<dyn LanguageModel>,
    /// The tokenizer that it was trained with.
    pub tokenizer: Tokenizer,
    /// The configuration of its run; None for a Hugging Face folder.
    pub config: Option<Config>,
    /// What the folder's `foundry.json` says, where an export has one.
    pub record: Option<Record>,
    /// What stood between texts in training.
    pub boundary: Boundary,
    /// The tokens that begin and end a text, as training placed them.
    pub special: SpecialIds,
    /// Tokens in a row of training, or in a window of a text that is longer.
    pub window: usize,
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
    /// Loads the newest checkpoint of a run folder, a checkpoint folder, or a Hugging Face folder.
    ///
    /// # Errors
    /// A folder that is neither; damaged files.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let disk = Disk::real();
        if path.join(CONFIG_FILE).exists() {
            let Some(found) = find_newest(&disk, path)? else {
                return Err(Error::Mismatch(format!("{} has no checkpoint yet", absolute(path))));
            };
            let notes = found.rejected.iter().map(|r| format!("passed over: {r}")).collect();
            return Self::of_run(path, &found.checkpoint, notes);
        }
        if path.is_dir() {
            let inside = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            let run = inside.parent().unwrap_or(Path::new("."));
            let in_run = run.join(CONFIG_FILE).exists();
            let name = inside.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            // One that was never finished is not to be taken for somebody else's.
            if path.join(MANIFEST_FILE).exists() || in_run && step_of(name).is_some() {
                let checkpoint = Checkpoint::open(&disk, path)?;
                if in_run {
                    return Self::of_run(run, &checkpoint, Vec::new());
                }
                // Taken out of its run.
                return Ok(Self { origin: origin(&checkpoint, None), ..Self::imported(path)? });
            }
            return Self::imported(path);
        }
        if is_pickle(path) {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            return Err(InterchangeError::Pickle { path }.into());
        }
        Err(Error::Mismatch(format!(
            "{} {}; expected a run folder, a checkpoint folder, or a Hugging Face folder",
            absolute(path),
            if path.exists() { "is a file" } else { "is not there" }
        )))
    }

    /// The same model on another device; checkpoints that are switched to go there too.
    #[must_use]
    pub fn on(mut self, device: &Device) -> Self {
        for_each_param_mut(&mut *self.model, |_, p| {
            let there = p.value().to_device(device);
            p.set(&there);
        });
        self.device = device.clone();
        self
    }

    /// A checkpoint of a run.
    fn of_run(run: &Path, checkpoint: &Checkpoint, notes: Vec<String>) -> Result<Self, Error> {
        let config_file = run.join(CONFIG_FILE);
        let text = std::fs::read_to_string(&config_file)
            .map_err(|e| Error::Mismatch(format!("cannot read {}: {e}", absolute(&config_file))))?;
        let config = Config::parse(&text, &config_file.display().to_string(), &[])?;
        let folder = checkpoint.path().to_owned();
        let tokenizer = Tokenizer::load(&folder)?;
        let device = Device::cpu();
        let mut model = initial_model(&config, tokenizer.vocab_size(), &device)?;
        load_model(&mut *model, checkpoint.tensors(MODEL_FILE)?)?;
        let boundary = config.data.boundary;
        Ok(Self {
            special: sentence_ids(&*model, boundary, tokenizer.special_ids()),
            window: config.data.max_sequence_length,
            origin: origin(checkpoint, Some(config.random_seed)),
            config: Some(config),
            record: None,
            model,
            tokenizer,
            boundary,
            device,
            folder,
            notes,
        })
    }

    /// A Hugging Face folder.
    fn imported(folder: &Path) -> Result<Self, Error> {
        let device = Device::cpu();
        let Imported { model, tokenizer, special, boundary, window, record, notes } =
            Imported::read(folder, &device)?;
        Ok(Self {
            model,
            tokenizer,
            config: None,
            origin: record.as_ref().map(Record::origin).unwrap_or_default(),
            record,
            boundary,
            special,
            window,
            device,
            folder: folder.to_owned(),
            notes,
        })
    }

    /// Takes the weights of another checkpoint of the same run.
    ///
    /// # Errors
    /// A folder that is damaged, or of another model.
    pub fn switch_to(&mut self, folder: &Path) -> Result<(), Error> {
        let checkpoint = Checkpoint::open(&Disk::real(), folder)?;
        load_model(&mut *self.model, checkpoint.tensors(MODEL_FILE)?)?;
        self.origin = origin(&checkpoint, self.config.as_ref().map(|c| c.random_seed));
        self.folder = folder.to_owned();
        Ok(())
    }

    /// The checkpoint folders of the model's run, oldest first, and what is to be told of those that are damaged, which
    /// are not among them. Every file of a model is read through for it.
    ///
    /// # Errors
    /// A run folder that cannot be listed.
    pub fn checkpoints(&self) -> Result<(Vec<PathBuf>, Vec<String>), Error> {
        if self.config.is_none() {
            return Err(Error::Usage(format!(
                "{} is a model by itself, not a run: it has no checkpoints",
                absolute(&self.folder)
            )));
        }
        let run = self.folder.parent().unwrap_or(Path::new("."));
        let (disk, mut whole, mut notes) = (Disk::real(), Vec::new(), Vec::new());
        for step in steps(&disk, run)? {
            let folder = run.join(folder_name(step));
            match Checkpoint::open(&disk, &folder) {
                Ok(_) => whole.push(folder),
                Err(error) => notes.push(format!("passed over: {error}")),
            }
        }
        Ok((whole, notes))
    }

    /// How sentences become ids for this model.
    #[must_use]
    pub fn reader(&self, score_end: bool) -> Reader<'_> {
        Reader { score_end, ..reader(&*self.model, &self.tokenizer, self.special) }
    }

    /// What gives tokens their probabilities, until a stop is asked for; `stride` is that of the windows on texts longer
    /// than the context.
    ///
    /// # Errors
    /// A stride that leaves gaps; a model that sees both sides, and a tokenizer that cannot hide a token from it.
    pub fn scorer(
        &self,
        stride: Option<usize>,
        hiding: Hiding,
        stop: &StopFlag,
    ) -> Result<Box<dyn Scorer + '_>, Error> {
        if let (Some(stride), Some(context)) = (stride, self.model.context_length()) {
            check_stride(stride, context)?;
        }
        scorer(&*self.model, &self.device, &self.tokenizer, (stride, hiding), stop)
    }

    /// What the probabilities of this model are called.
    #[must_use]
    pub fn scored_by(&self, hiding: Hiding) -> ScoredBy {
        scored_by(&*self.model, hiding)
    }

    /// The tokens that begin and end a sentence, as training placed them.
    #[must_use]
    pub fn sentence_ids(&self) -> SpecialIds {
        self.special
    }

    /// Whether a file is one text, or each of its lines.
    #[must_use]
    pub fn unit(&self) -> Unit {
        let recorded = || self.record.as_ref().and_then(Record::unit);
        let unit = self.config.as_ref().map(|config| config.data.unit);
        unit.or_else(recorded).unwrap_or(Unit::Line)
    }

    /// Whether the first token of a text can be scored: something stood before it in training, or it is seen from behind.
    #[must_use]
    pub fn scores_first_token(&self) -> bool {
        self.reader(false).scores_first_token()
    }
}

/// How sentences become ids for a model: with the tokens around them that stood there in training.
pub(super) fn reader<'a>(
    model: &dyn LanguageModel,
    tokenizer: &'a Tokenizer,
    special: SpecialIds,
) -> Reader<'a> {
    let both_ways = !model.supports_generation();
    Reader { tokenizer, special, score_end: false, both_ways, unigram: None }
}

/// The tokens that begin and end a sentence, as training placed them: rows of BERT stand between two of their own;
/// for the others the boundary token decides, and with eos between sentences, a sentence begins after the eos of the
/// one before.
pub(super) fn sentence_ids(
    model: &dyn LanguageModel,
    boundary: Boundary,
    ids: SpecialIds,
) -> SpecialIds {
    if model.architecture() == "bert" {
        // Those of the frame, where a tokenizer has bos and eos besides.
        let (bos, eos) = (ids.cls.or(ids.bos), ids.sep.or(ids.eos));
        return SpecialIds { bos, eos, cls: None, sep: None, ..ids };
    }
    let bos = match boundary {
        Boundary::Eos => ids.end(),
        Boundary::BosEos => ids.begin(),
        Boundary::None => None,
    };
    SpecialIds { bos, cls: None, ..ids }
}

/// What gives tokens their probabilities, until a stop is asked for.
pub(super) fn scorer<'a>(
    model: &'a dyn LanguageModel,
    device: &'a Device,
    tokenizer: &Tokenizer,
    (stride, hiding): (Option<usize>, Hiding),
    stop: &StopFlag,
) -> Result<Box<dyn Scorer + 'a>, Error> {
    if model.supports_generation() {
        return Ok(Box::new(CausalScorer::new(model, device, stride).until(stop)));
    }
    let Some(mask) = tokenizer.special_ids().mask else {
        return Err(Error::Mismatch(format!(
            "the tokenizer has no mask token, so a model that sees both sides ({}) cannot be asked for a token",
            model.architecture()
        )));
    };
    Ok(Box::new(MaskedScorer::new(model, device, mask, hiding).until(stop)))
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
fn origin(checkpoint: &Checkpoint, seed: Option<u64>) -> Origin {
    let progress = checkpoint.read(PROGRESS_FILE).ok();
    let progress: Option<Progress> = progress.and_then(|p| serde_json::from_slice(&p).ok());
    Origin {
        step: Some(checkpoint.global_step()),
        tokens_seen: progress.map(|p| p.tokens_seen),
        words_seen: progress.map(|p| p.words_seen),
        seed,
        scorer: ScoredBy::Unknown,
        first_token_scored: None,
    }
}

/// Whether a file is of a kind that torch pickles.
fn is_pickle(path: &Path) -> bool {
    let ending = path.extension().and_then(|e| e.to_str());
    ending.is_some_and(|e| ["pt", "pth", "bin", "pkl", "ckpt"].contains(&e))
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
