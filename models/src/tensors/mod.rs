//! Named tensors in files: the safetensors format.
//!
//! ```text
//! 8 bytes      N, the length of the header, little-endian
//! N bytes      JSON: {"__metadata__": {..}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ..}
//! the rest     the tensors' elements, little-endian, row-major, end to end
//! ```
//!
//! The format holds no code (unlike pickle), so a file from a stranger can at worst be refused.
//! [`write()`] makes the same bytes from the same tensors: wider types first, then by name, header padded with spaces
//! to a multiple of 8 so that every element is aligned. [`TensorFile`] bounds the header before it is parsed, and
//! hands tensors out only by name, type and shape, so that a file that does not fit a model is an error with a name.

mod error;
mod header;
mod read;
mod write;

use std::borrow::Cow;

pub use error::TensorFileError;
pub use read::TensorFile;
pub use safetensors::Dtype as ElementType;
pub use write::{file_length, write};

#[cfg(target_endian = "big")]
compile_error!(
    "safetensors files are little-endian, and tensors are written as they lie in memory"
);

/// A tensor in host memory, or the promise of one.
pub struct HostTensor<'a> {
    /// Its dotted name.
    pub name: String,
    /// The type of its elements.
    pub dtype: ElementType,
    /// Its extents; empty for a scalar.
    pub shape: Vec<usize>,
    /// Its elements, little-endian, row-major.
    pub data: TensorData<'a>,
}

/// Where the bytes of a [`HostTensor`] come from.
pub enum TensorData<'a> {
    /// Already here.
    Bytes(Cow<'a, [u8]>),
    /// Fetched when its turn to be written comes (from a graphics card, say), so that only one copy is held at a time.
    /// May be called more than once.
    Fetch(Box<dyn Fn() -> Vec<u8> + 'a>),
}

impl<'a> HostTensor<'a> {
    /// Single-precision elements.
    #[must_use]
    pub fn f32(name: impl Into<String>, shape: &[usize], elements: &'a [f32]) -> Self {
        Self::borrowed(name, ElementType::F32, shape, bytemuck::must_cast_slice(elements))
    }

    /// Double-precision elements.
    #[must_use]
    pub fn f64(name: impl Into<String>, shape: &[usize], elements: &'a [f64]) -> Self {
        Self::borrowed(name, ElementType::F64, shape, bytemuck::must_cast_slice(elements))
    }

    /// Whole numbers.
    #[must_use]
    pub fn u32(name: impl Into<String>, shape: &[usize], elements: &'a [u32]) -> Self {
        Self::borrowed(name, ElementType::U32, shape, bytemuck::must_cast_slice(elements))
    }

    /// Elements of any type, as bytes.
    #[must_use]
    pub fn borrowed(
        name: impl Into<String>,
        dtype: ElementType,
        shape: &[usize],
        bytes: &'a [u8],
    ) -> Self {
        Self {
            name: name.into(),
            dtype,
            shape: shape.to_vec(),
            data: TensorData::Bytes(bytes.into()),
        }
    }
}
