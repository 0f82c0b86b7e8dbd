//! Exchange with Hugging Face and torch.
//!
//! ```text
//! folder/ model.safetensors            GPT-2, BERT: names and layouts of transformers; RNNs: those of torch.nn
//!         config.json                  the shape, in the terms of transformers
//!         generation_config.json       where a text begins and ends
//!         tokenizer.json ...           for AutoTokenizer; bos_token as training placed it
//!         modeling_foundry_rnn.py      RNNs: the model for transformers, with trust_remote_code
//!         README.md  foundry.json      what it is, for people and for programs
//! ```
//!
//! [`export()`] writes such a folder, [`revisions()`] one for each checkpoint that the BabyLM challenge asks for, and
//! [`Imported::read`] reads one, also if somebody else wrote it. Pickles are never read.

mod card;
mod description;
mod error;
mod export;
mod fields;
mod files;
mod read;
mod record;
mod revisions;
mod torch_rnn;
mod weights;

#[cfg(test)]
mod tests;

pub use error::InterchangeError;
pub use export::export;
pub use files::{GENERATION_FILE, MODELING_FILE, beside_weights};
pub use read::Imported;
pub use record::Record;
pub use revisions::{Revision, revisions};
