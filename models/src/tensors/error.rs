//! What can be wrong with a tensor file.

use thiserror::Error;

use super::ElementType;
use crate::storage::StorageError;

/// Why a tensor file was not written, or is not believed.
#[derive(Debug, Error)]
pub enum TensorFileError {
    /// The disk refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The file cannot be a safetensors file that Foundry reads.
    #[error("{file} is not a usable safetensors file: {reason}")]
    Malformed {
        /// Name of the file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor that the model needs is not there.
    #[error(
        "{file} has no tensor '{}'{hint}; the file belongs to another model, or is incomplete",
        name.escape_debug()
    )]
    Missing {
        /// Name of the file.
        file: String,
        /// The tensor's name.
        name: String,
        /// The most similar name that is there, as a clause.
        hint: String,
    },
    /// A tensor has another shape than the model needs.
    #[error(
        "{file}: tensor '{}' has shape {found:?}, but this model needs {expected:?}; \
         check that the model section of the config is the one it was trained with",
        name.escape_debug()
    )]
    Shape {
        /// Name of the file.
        file: String,
        /// The tensor's name.
        name: String,
        /// The shape that the model needs.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A tensor has another element type than asked for.
    #[error("{file}: tensor '{}' holds {found} elements, but {expected} is needed", name.escape_debug())]
    Type {
        /// Name of the file.
        file: String,
        /// The tensor's name.
        name: String,
        /// The type that is needed.
        expected: ElementType,
        /// The type in the file.
        found: ElementType,
    },
    /// The file has tensors that nothing asked for.
    #[error("{file} has {} that this model does not know: {}; it belongs to another model", plural(names.len()), list(names))]
    Leftover {
        /// Name of the file.
        file: String,
        /// Their names.
        names: Vec<String>,
    },
    /// A number to be written is infinite or not a number.
    #[error(
        "tensor '{name}' holds {value} at element {index}; it is not written, and the last checkpoint stays as it was"
    )]
    NotFinite {
        /// The tensor's name.
        name: String,
        /// The flat index of the first such element.
        index: usize,
        /// The value.
        value: f64,
    },
    /// The list of tensors to be written contradicts itself: a broken caller.
    #[error("tensor '{name}' cannot be written: {reason}")]
    Unwritable {
        /// The tensor's name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

fn plural(n: usize) -> String {
    if n == 1 { "a tensor".to_owned() } else { format!("{n} tensors") }
}

fn list(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = names
        .iter()
        .take(SHOWN)
        .map(|n| format!("'{}'", n.escape_debug()))
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        text += ", ...";
    }
    text
}
