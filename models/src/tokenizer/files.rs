//! The files of a tokenizer: what Hugging Face's `AutoTokenizer` reads.
//!
//! `tokenizer.json` holds the vocabulary, `tokenizer_config.json` says which class reads it and which token has which
//! role (a bare `tokenizer.json` has no bos, eos or pad in Python), `special_tokens_map.json` repeats the roles for
//! readers before transformers 5. SentencePiece tokenizers also have a `tokenizer.model`, which Google's library reads.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::import;
use super::load::{self, MAX_BYTES};
use super::sentencepiece_model::ModelFile;
use super::{SpecialTokens, Tokenizer, TokenizerError};

/// The name of the file with the vocabulary.
pub const TOKENIZER_FILE: &str = "tokenizer.json";
/// The name of the file with the class, the roles and the longest sequence.
pub const CONFIG_FILE: &str = "tokenizer_config.json";
/// The name of the file with the roles alone.
pub const MAP_FILE: &str = "special_tokens_map.json";
/// The name of the file that Google's SentencePiece library reads.
pub const MODEL_FILE: &str = "tokenizer.model";

/// The names that `.model` files have in a folder without a [`TOKENIZER_FILE`].
const MODEL_FILES: [&str; 4] =
    [MODEL_FILE, "spiece.model", "sentencepiece.model", "sentencepiece.bpe.model"];

impl Tokenizer {
    /// The name and content of each file of this tokenizer; always the same bytes for the same tokenizer.
    ///
    /// `max_length` is the longest sequence of the model that will use it, in tokens.
    #[must_use]
    pub fn files(&self, max_length: Option<usize>) -> Vec<(&'static str, String)> {
        let mut roles = Map::new();
        for (role, text) in self.special_tokens().roles() {
            roles.insert(role.into(), text.into());
        }
        let mut config = Map::new();
        config.insert("tokenizer_class".into(), json!("PreTrainedTokenizerFast"));
        // Without this, older readers delete spaces before punctuation when they decode.
        config.insert("clean_up_tokenization_spaces".into(), json!(false));
        config.insert("padding_side".into(), json!("right"));
        config.insert("tokenizer_type".into(), json!(self.kind()));
        if let Some(length) = max_length {
            config.insert("model_max_length".into(), json!(length));
        }
        config.extend(roles.clone());
        vec![
            (TOKENIZER_FILE, pretty(self.json())),
            (CONFIG_FILE, pretty(&Value::Object(config))),
            (MAP_FILE, pretty(&Value::Object(roles))),
        ]
    }

    /// The content of a `.model` file, which Google's SentencePiece library reads: for tokenizers of kind sentencepiece
    /// that Foundry trained, or that came from such a file.
    ///
    /// Special tokens are control pieces there, and bos, eos, unk and pad have their roles.
    ///
    /// # Errors
    /// A tokenizer that such a file cannot hold.
    pub fn sentencepiece_model(&self) -> Result<Vec<u8>, TokenizerError> {
        import::from_json(self.json(), self.special_tokens())
            .map(|file| file.to_bytes())
            .map_err(|reason| TokenizerError::NoModelFile { kind: self.kind(), reason })
    }

    /// Writes [`files`](Self::files) into `folder`, which is made if need be, and a `.model` file
    /// ([`sentencepiece_model`](Self::sentencepiece_model)) where there can be one. Each file appears complete or not at
    /// all.
    ///
    /// # Errors
    /// A folder or file that cannot be written.
    pub fn save(&self, folder: &Path, max_length: Option<usize>) -> Result<(), TokenizerError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| TokenizerError::Write { path, source }
        };
        std::fs::create_dir_all(folder).map_err(failed(folder))?;
        let files = self.files(max_length).into_iter();
        let files = files.map(|(name, content)| (name, content.into_bytes()));
        let model = self.sentencepiece_model().ok().map(|content| (MODEL_FILE, content));
        for (name, content) in files.chain(model) {
            let path = folder.join(name);
            let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed(&path))?;
            file.write_all(&content).map_err(failed(&path))?;
            file.as_file().sync_all().map_err(failed(&path))?;
            file.persist(&path).map_err(|error| failed(&path)(error.error))?;
        }
        Ok(())
    }

    /// Reads a folder that [`save`](Self::save) or Hugging Face wrote, or a bare `tokenizer.json`, or a SentencePiece
    /// `.model` file, which gives the ids that Google's library gives.
    ///
    /// The roles come from `tokenizer_config.json`, else from `special_tokens_map.json`, else from the names that
    /// special tokens commonly have.
    ///
    /// # Errors
    /// A missing, unreadable, oversized or malformed file, named with the reason.
    pub fn load(path: &Path) -> Result<Self, TokenizerError> {
        let (folder, file) = if path.is_dir() {
            (path, path.join(TOKENIZER_FILE))
        } else {
            (path.parent().unwrap_or(Path::new("")), path.to_owned())
        };
        if let Some(file) = model_file(path, &file) {
            return Self::load_model(&file);
        }
        let origin = file.display().to_string();
        let checked = load::check(read(&file)?)
            .map_err(|reason| TokenizerError::Invalid { origin: origin.clone(), reason })?;
        let config = [CONFIG_FILE, MAP_FILE]
            .iter()
            .map(|name| folder.join(name))
            .find(|path| path.is_file())
            .map(|path| read(&path).map(|json| (path, json)))
            .transpose()?;
        let specials = match &config {
            Some((path, json)) => roles(json).map_err(|reason| TokenizerError::Invalid {
                origin: path.display().to_string(),
                reason,
            })?,
            None => guess(&checked.json),
        };
        let origin = config.map_or(origin, |(path, _)| path.display().to_string());
        Self::from_checked(checked, specials, &origin)
    }

    /// Whether [`load`](Self::load) would find a tokenizer there.
    #[must_use]
    pub fn is_at(path: &Path) -> bool {
        let file = path.join(TOKENIZER_FILE);
        path.is_file() || file.is_file() || model_file(path, &file).is_some()
    }

    /// Reads a SentencePiece `.model` file.
    fn load_model(file: &Path) -> Result<Self, TokenizerError> {
        let origin = file.display().to_string();
        let invalid = |reason| TokenizerError::Invalid { origin: origin.clone(), reason };
        let model = ModelFile::parse(&read_bytes(file)?).map_err(invalid)?;
        let (json, named) = import::to_json(&model).map_err(invalid)?;
        let checked = load::check(json).map_err(invalid)?;
        // Mask, cls and sep have no role in such a file; they go by their usual names.
        let specials = guess(&checked.json);
        let specials = SpecialTokens {
            mask_token: specials.mask_token,
            cls_token: specials.cls_token,
            sep_token: specials.sep_token,
            ..named
        };
        Self::from_checked(checked, specials, &origin)
    }
}

/// The `.model` file that `path` means: itself, or one in a folder that has no `tokenizer.json`.
fn model_file(path: &Path, json: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        let names = MODEL_FILES.iter().filter(|_| !json.is_file());
        return names.map(|name| path.join(name)).find(|path| path.is_file());
    }
    path.extension().is_some_and(|extension| extension == "model").then(|| path.to_owned())
}

fn pretty(json: &Value) -> String {
    format!("{json:#}\n")
}

fn read(path: &Path) -> Result<Value, TokenizerError> {
    serde_json::from_slice(&read_bytes(path)?).map_err(|error| TokenizerError::Invalid {
        origin: path.display().to_string(),
        reason: format!("it is not JSON: {error}"),
    })
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, TokenizerError> {
    let failed = |source| TokenizerError::Read { path: path.to_owned(), source };
    let invalid =
        |reason: String| TokenizerError::Invalid { origin: path.display().to_string(), reason };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(invalid(format!("it is larger than {} MiB", MAX_BYTES >> 20)));
    }
    Ok(bytes)
}

/// Roles as Python writes them: a text, or an object with a text.
fn roles(json: &Value) -> Result<SpecialTokens, String> {
    let mut specials = SpecialTokens::none();
    for (role, value) in json.as_object().ok_or("the file is not a JSON object")? {
        if let Some(place) = specials.role_mut(role) {
            *place = match value {
                Value::Null => None,
                Value::String(text) => Some(text.clone()),
                Value::Object(token) if token.get("content").is_some_and(Value::is_string) => {
                    token["content"].as_str().map(str::to_owned)
                }
                _ => return Err(format!("{role} is neither a text nor an object with content")),
            };
        }
    }
    Ok(specials)
}

/// Roles from the usual names, for a file that stands alone.
fn guess(json: &Value) -> SpecialTokens {
    const NAMES: &[(&str, &[&str])] = &[
        ("bos_token", &["<s>", "<|endoftext|>", "<BOS>"]),
        ("eos_token", &["</s>", "<|endoftext|>", "<EOS>"]),
        ("unk_token", &["<unk>", "[UNK]", "<UNK>"]),
        ("pad_token", &["<pad>", "[PAD]", "<PAD>"]),
        ("mask_token", &["<mask>", "[MASK]", "<MASK>"]),
        ("cls_token", &["[CLS]"]),
        ("sep_token", &["[SEP]"]),
    ];
    let added: Vec<&str> = json["added_tokens"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|token| token["content"].as_str())
        .collect();
    let mut specials = SpecialTokens::none();
    for (role, names) in NAMES {
        let found = names.iter().find(|name| added.contains(name)).map(|name| (*name).to_owned());
        if let Some(place) = specials.role_mut(role) {
            *place = found;
        }
    }
    specials
}
