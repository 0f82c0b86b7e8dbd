//! What can be wrong with a folder of somebody else's.

use crate::train::signals::{EXIT_STOPPED, Stopped};
use std::path::PathBuf;

/// Why a folder is not read as a Hugging Face folder, or not written as one.
#[derive(Debug, thiserror::Error)]
pub enum InterchangeError {
    /// Nothing of a model is there.
    #[error(
        "{} is not a model: expected a run folder, a checkpoint folder, or a Hugging Face folder \
         (config.json, model.safetensors, tokenizer.json){}",
        path.display(),
        inside(models)
    )]
    NotAModel {
        /// The folder, absolute.
        path: PathBuf,
        /// Names of the folders in it that are models.
        models: Vec<String>,
    },
    /// Weights in a form that can run a program when it is read.
    #[error(
        "{} is a file that torch writes with pickle; a pickle can hold a program, and is never read\n  \
         mend: in Python, safetensors.torch.save_file(torch.load(path, weights_only=True), \"model.safetensors\"), \
         or for a Hugging Face folder AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder)",
        path.display()
    )]
    Pickle {
        /// The file, absolute.
        path: PathBuf,
    },
    /// Weights in several files.
    #[error(
        "{}: the weights are in several files ({}); expected one model.safetensors\n  \
         mend: in Python, model.save_pretrained(folder, max_shard_size=\"100GB\")",
        path.display(),
        files.join(", ")
    )]
    Pieces {
        /// The folder.
        path: PathBuf,
        /// The files.
        files: Vec<String>,
    },
    /// A field of config.json.
    #[error("{file}: {field} {problem}")]
    Field {
        /// The file.
        file: String,
        /// The field.
        field: String,
        /// What is wrong with it, and what was expected.
        problem: String,
    },
    /// A tensor.
    #[error("{file}: tensor '{}' {problem}", name.escape_debug())]
    Tensor {
        /// The file.
        file: String,
        /// The tensor's name.
        name: String,
        /// What is wrong with it, and what was expected.
        problem: String,
    },
    /// The file as a whole.
    #[error("{file}: {problem}")]
    File {
        /// The file.
        file: String,
        /// What is wrong with it, and what was expected.
        problem: String,
    },
    /// A stop was asked for.
    #[error("{stopped}: nothing was written\n  mend: run the same command again")]
    Stopped {
        /// Why.
        stopped: Stopped,
    },
    /// There is something where the folder is to be written.
    #[error("{} is there already; nothing is overwritten: name another folder, or remove it", path.display())]
    InTheWay {
        /// The folder.
        path: PathBuf,
    },
}

/// Which of the folders inside may be meant.
fn inside(models: &[String]) -> String {
    match models {
        [] => String::new(),
        [one] => format!("\n  mend: name the folder {one} in it, which is a model"),
        [one, ..] => {
            format!("\n  mend: name one of the {} models in it, such as {one}", models.len())
        }
    }
}

impl InterchangeError {
    /// 2 usage, 3 data that are missing or not what they should be, 75 stopped.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::InTheWay { .. } => 2,
            Self::Stopped { .. } => EXIT_STOPPED,
            _ => 3,
        }
    }
}
