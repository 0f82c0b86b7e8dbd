//! A Hugging Face folder, or the weights of a torch model beside a tokenizer, as a model.

use super::InterchangeError;
use super::description::Description;
use super::fields::Fields;
use super::record::{RECORD_FILE, Record};
use super::torch_rnn;
use super::weights::{self, Renamed};
use crate::arch::{LanguageModel, build};
use crate::config::choices::Boundary;
use crate::config::memory::parameter_count;
use crate::error::Error;
use crate::storage::Disk;
use crate::tensors::TensorFile;
use crate::tokenizer::{CONFIG_FILE, SpecialIds, Tokenizer};
use foundry_engine::{DType, Device, Init};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The longest `config.json` that is read, in bytes.
const LARGEST_CONFIG: u64 = 16 << 20;
/// The window on long texts where neither the model nor the tokenizer names a length, in tokens.
const WINDOW: usize = 512;

/// A model from a folder that Foundry need not have written.
pub struct Imported {
    /// The model.
    pub model: Box<dyn LanguageModel>,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// The tokens that begin and end a text.
    pub special: SpecialIds,
    /// What stands between texts, as far as the tokens say.
    pub boundary: Boundary,
    /// Tokens in the longest input, or in a window where any length will do.
    pub window: usize,
    /// What Foundry knew of it when it was exported.
    pub record: Option<Record>,
    /// What is to be told.
    pub notes: Vec<String>,
}

impl Imported {
    /// Reads a folder.
    ///
    /// # Errors
    /// A file that is missing, malformed or a pickle; a field or a tensor that does not fit, named.
    pub fn read(folder: &Path, device: &Device) -> Result<Self, Error> {
        let disk = Disk::real();
        let weights = weights_of(folder)?;
        let file_name = weights.display().to_string();
        let file = TensorFile::read(&disk, &weights)?;
        let config = folder.join("config.json");
        let (description, renamed, mut notes) = if config.is_file() {
            let bytes = disk.read(&config, LARGEST_CONFIG)?;
            let fields = Fields::parse(config.display().to_string(), &bytes)?;
            (Description::read(&fields)?, Renamed::new(), Vec::new())
        } else {
            torch_rnn::describe(&file, &file_name)?
        };
        let Description { model, size, bos, eos, pad } = description;
        let described = parameter_count(&model, size.vocab, size.positions);
        let held: u128 = file.tensors().map(|(_, _, shape)| numbers(shape)).sum();
        // Far too few numbers are noticed before a model of a size that nobody has is made.
        if described > held.saturating_mul(2) {
            let problem = format!(
                "it holds {held} numbers, but {} describes a model of {described}",
                config.display()
            );
            return Err(InterchangeError::File { file: file_name, problem }.into());
        }
        let init = Init::new(device, DType::F32, 0);
        let Some(mut net) = build(&model, size, &init) else {
            return Err(Error::Usage(format!(
                "Architecture '{}' is not available yet",
                model.architecture()
            )));
        };
        notes.extend(weights::load(&mut *net, file, &file_name, &renamed)?);

        let tokenizer = Tokenizer::load(folder)?;
        if tokenizer.vocab_size() > size.vocab {
            let problem = format!(
                "the tokenizer has {} tokens, but the model knows {}: they do not belong together",
                tokenizer.vocab_size(),
                size.vocab
            );
            return Err(
                InterchangeError::File { file: folder.display().to_string(), problem }.into()
            );
        }
        let ids = tokenizer.special_ids();
        if let (Some(of_model), Some(of_tokenizer)) = (pad, ids.pad)
            && of_model != of_tokenizer
        {
            let problem = format!(
                "pad_token_id is {of_model}, but the tokenizer pads with {of_tokenizer}: the model may have been \
                 trained with another tokenizer, or with an ordinary token in place of padding\n  mend: put the \
                 model's own tokenizer beside it, or write the id that it was trained with into both files"
            );
            let file = config.display().to_string();
            return Err(InterchangeError::File { file, problem }.into());
        }
        let both_ways = !net.supports_generation();
        let end = eos.unwrap_or(ids.end());
        let begin = bos.unwrap_or(if both_ways { ids.begin() } else { ids.bos });
        // A BERT's rows stand between [CLS] and [SEP], whatever its config.json says of other tokens.
        let is_bert = net.architecture() == "bert";
        let special = if is_bert {
            SpecialIds { bos: ids.cls.or(ids.bos), eos: ids.sep.or(ids.eos), ..ids }
        } else {
            SpecialIds { bos: begin, cls: None, eos: end, ..ids }
        };
        let boundary = match (special.bos, special.eos) {
            (None, _) => Boundary::None,
            (begin, end) if begin == end => Boundary::Eos,
            _ => Boundary::BosEos,
        };
        let window = net.context_length().or_else(|| length_of(folder)).unwrap_or(WINDOW);
        let record = Record::read(folder, &*net).unwrap_or_else(|reason| {
            notes.push(format!("{RECORD_FILE} is passed over: {reason}"));
            None
        });
        Ok(Self { model: net, tokenizer, special, boundary, window, record, notes })
    }
}

fn numbers(shape: &[usize]) -> u128 {
    shape.iter().map(|&n| n as u128).product()
}

/// The file with the weights.
fn weights_of(folder: &Path) -> Result<PathBuf, InterchangeError> {
    let path = || std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .map_err(|_| InterchangeError::NotAModel { path: path(), models: Vec::new() })?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    let of = |endings: &[&str]| -> Vec<String> {
        let ends = |n: &&String| endings.iter().any(|e| n.ends_with(e));
        names.iter().filter(ends).cloned().collect()
    };
    let tensors = of(&[".safetensors"]);
    match &tensors[..] {
        _ if tensors.iter().any(|n| n == "model.safetensors") => {
            Ok(folder.join("model.safetensors"))
        }
        [one] => Ok(folder.join(one)),
        [] => match of(&[".bin", ".pt", ".pth", ".pkl", ".ckpt"]).first() {
            Some(pickle) => Err(InterchangeError::Pickle { path: path().join(pickle) }),
            None => {
                names.retain(|name| folder.join(name).join("config.json").is_file());
                Err(InterchangeError::NotAModel { path: path(), models: names })
            }
        },
        several => Err(InterchangeError::Pieces { path: path(), files: several.to_vec() }),
    }
}

/// The length of rows that the tokenizer's files name.
fn length_of(folder: &Path) -> Option<usize> {
    let bytes = Disk::real().read(&folder.join(CONFIG_FILE), LARGEST_CONFIG).ok()?;
    let json: Value = serde_json::from_slice(&bytes).ok()?;
    // A tokenizer without a limit says 10^30.
    let length = json.get("model_max_length")?.as_u64().filter(|n| (2..=1 << 20).contains(n))?;
    usize::try_from(length).ok()
}
