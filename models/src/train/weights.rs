//! Between parameters and safetensors files.

use crate::arch::LanguageModel;
use crate::optim::Optimizer;
use crate::tensors::{HostTensor, TensorFile, TensorFileError};
use crate::train::checkpoint::CheckpointFile;
use foundry_engine::{DType, Tensor, for_each_param, for_each_param_mut};
use std::collections::BTreeMap;

/// Named tensors, copied from the device, on their way to a file.
#[derive(Debug, Default)]
pub struct HostTensors(Vec<(String, Vec<usize>, Numbers)>);

#[derive(Clone, Debug)]
enum Numbers {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// A model's parameters.
#[must_use]
pub fn model_file(model: &dyn LanguageModel) -> HostTensors {
    let mut tensors = HostTensors(Vec::new());
    for_each_param(model, |name, p| tensors.push(name.to_owned(), p.value()));
    tensors
}

/// An optimiser's memory.
#[must_use]
pub fn optimizer_file(optimizer: &Optimizer) -> HostTensors {
    let mut tensors = HostTensors(Vec::new());
    for (name, tensor) in optimizer.tensors() {
        tensors.push(name, tensor);
    }
    tensors
}

impl HostTensors {
    pub(super) fn push(&mut self, name: String, tensor: &Tensor) {
        let numbers = match tensor.dtype() {
            DType::F64 => Numbers::F64(tensor.to_vec()),
            _ => Numbers::F32(tensor.to_vec()),
        };
        self.0.push((name, tensor.shape().as_slice().to_vec(), numbers));
    }

    /// Adds the tensor `name`, if there is one, once more as `copy`.
    pub fn repeat(&mut self, name: &str, copy: &str) {
        if let Some((_, shape, numbers)) = self.0.iter().find(|(n, ..)| n == name) {
            self.0.push((copy.to_owned(), shape.clone(), numbers.clone()));
        }
    }

    /// They, borrowed.
    #[must_use]
    pub fn to_tensors(&self) -> Vec<HostTensor<'_>> {
        let tensors = self.0.iter().map(|(name, shape, numbers)| match numbers {
            Numbers::F32(x) => HostTensor::f32(name.clone(), shape, x),
            Numbers::F64(x) => HostTensor::f64(name.clone(), shape, x),
        });
        tensors.collect()
    }

    /// The file of a checkpoint that holds them.
    #[must_use]
    pub fn to_file(&self, name: &str) -> CheckpointFile<'_> {
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        CheckpointFile::tensors(name, self.to_tensors(), metadata)
    }
}

/// Reads a model's parameters from a file; every parameter must be there in its shape, and nothing else.
///
/// # Errors
/// The first tensor that is missing, or of another shape or type, or that the model does not know.
pub fn load_model(
    model: &mut dyn LanguageModel,
    mut file: TensorFile,
) -> Result<(), TensorFileError> {
    let mut outcome = Ok(());
    for_each_param_mut(model, |name, p| {
        if outcome.is_ok() {
            outcome = take(&mut file, name, p.value()).map(|t| p.set(&t));
        }
    });
    outcome?;
    file.finish()
}

/// Reads an optimiser's memory from a file.
///
/// # Errors
/// As [`load_model`].
pub fn load_optimizer(
    optimizer: &mut Optimizer,
    updates: u64,
    mut file: TensorFile,
) -> Result<(), TensorFileError> {
    optimizer.restore(updates, |name, like| take(&mut file, name, like))?;
    file.finish()
}

/// A tensor from a file, in the shape and type of `like`.
pub(super) fn take(
    file: &mut TensorFile,
    name: &str,
    like: &Tensor,
) -> Result<Tensor, TensorFileError> {
    let (device, shape) = (like.device(), *like.shape());
    Ok(match like.dtype() {
        DType::F64 => Tensor::from_f64(&device, shape, &file.take_f64(name, shape.as_slice())?),
        _ => Tensor::from_f32(&device, shape, &file.take_f32(name, shape.as_slice())?),
    })
}
