//! Shared by the tests.

pub mod durability;

use foundry_engine::{Device, Shape, Tensor};
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A file or folder of the data that is kept beside the project, `../shared/data` or where `FOUNDRY_DATA` says;
/// None, and a word about it, where it is not there.
#[must_use]
#[allow(clippy::print_stdout, reason = "a test that is skipped says so")]
pub fn data(path: &str) -> Option<PathBuf> {
    let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data").into();
    let root: PathBuf = std::env::var_os("FOUNDRY_DATA").map_or_else(beside, PathBuf::from);
    let path = root.join(path);
    let there = path.exists();
    if !there {
        println!("skipped: data not there ({})", path.display());
    }
    there.then_some(path)
}

/// The f64 tensors of a safetensors file that is kept beside the project.
///
/// # Panics
/// If the file cannot be read.
#[must_use]
pub fn golden(path: &str) -> Option<BTreeMap<String, Tensor>> {
    let bytes = std::fs::read(data(path)?).expect("golden values can be read");
    let file = SafeTensors::deserialize(&bytes).expect("golden values are a safetensors file");
    let tensor = |view: &safetensors::tensor::TensorView<'_>| {
        let (values, _) = view.data().as_chunks::<8>();
        let values: Vec<f64> = values.iter().map(|b| f64::from_le_bytes(*b)).collect();
        Tensor::from_f64(&Device::cpu(), Shape::new(view.shape()), &values)
    };
    let wide = file.iter().filter(|(_, view)| view.dtype() == safetensors::Dtype::F64);
    Some(wide.map(|(name, view)| (name.to_owned(), tensor(&view))).collect())
}

/// Element i of the first axis.
#[must_use]
pub fn slice(x: &Tensor, i: usize) -> Tensor {
    let shape = Shape::new(&x.shape().as_slice()[1..]);
    let n = shape.numel();
    Tensor::from_f64(&Device::cpu(), shape, &x.to_vec_f64()[i * n..(i + 1) * n])
}
