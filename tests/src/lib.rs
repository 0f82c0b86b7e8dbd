//! What the tests share: where data lies, and golden files.
#![forbid(unsafe_code)]

use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The top of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// A file or folder of the data that is kept beside the project (`FOUNDRY_DATA`, or `../shared/data`); None, with a
/// word on standard error, where it is not there.
#[must_use]
pub fn data(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("FOUNDRY_DATA").map(PathBuf::from);
    let path = root.unwrap_or_else(|| workspace().join("../shared/data")).join(path);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: data not there: {}", path.display());
    None
}

/// A golden file of this repository, `tests/golden`; `make_golden.py` beside them made them.
///
/// # Panics
/// If it cannot be read.
#[must_use]
pub fn golden(file: &str) -> Golden {
    Golden::read(&workspace().join("tests/golden").join(file))
}

/// The tensors of a golden file, as f64, with their shapes.
pub struct Golden(BTreeMap<String, (Vec<usize>, Vec<f64>)>);

impl Golden {
    /// Reads a safetensors file of f32, f64 and i64 tensors.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
        let tensors = file.tensors().into_iter().map(|(name, view)| {
            (name, (view.shape().to_vec(), numbers(view.dtype(), view.data())))
        });
        Self(tensors.collect())
    }

    /// The elements of a tensor.
    ///
    /// # Panics
    /// If there is none of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> &[f64] {
        &self.0.get(name).unwrap_or_else(|| panic!("no golden tensor {name}")).1
    }

    /// The shape of a tensor.
    ///
    /// # Panics
    /// If there is none of that name.
    #[must_use]
    pub fn shape(&self, name: &str) -> &[usize] {
        &self.0.get(name).unwrap_or_else(|| panic!("no golden tensor {name}")).0
    }

    /// Every name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The largest Euclidean norm among the tensors whose names begin with `prefix`.
    #[must_use]
    pub fn largest_norm(&self, prefix: &str) -> f64 {
        let of_prefix = self.0.iter().filter(|(name, _)| name.starts_with(prefix));
        let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
        of_prefix.map(|(_, (_, x))| norm(x)).fold(0.0, f64::max)
    }
}

#[expect(clippy::cast_precision_loss, reason = "golden integers are token ids")]
fn numbers(dtype: Dtype, bytes: &[u8]) -> Vec<f64> {
    match dtype {
        Dtype::F32 => map(bytes, |b| f64::from(f32::from_le_bytes(b))),
        Dtype::F64 => map(bytes, f64::from_le_bytes),
        Dtype::I64 => map(bytes, |b| i64::from_le_bytes(b) as f64),
        other => panic!("golden tensors are f32, f64 or i64, not {other:?}"),
    }
}

fn map<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    bytes.chunks_exact(N).map(|b| read(b.try_into().expect("N bytes"))).collect()
}

pub mod accumulation;
pub mod binary;
pub mod determinism;
pub mod durability;
pub mod experiment;
pub mod fixtures;
pub mod hostile;
pub mod limits;
pub mod mortal;
pub mod numbers;
pub mod program;
pub mod resume;
pub mod scoring;
pub mod shakespeare;
pub mod sources;
pub mod stateful;
pub use foundry_models::arch::tiny;
