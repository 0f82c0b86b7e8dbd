//! Does a device compute what the CPU computes? Every case of every op, values and gradients, against the CPU in f64.
//!
//! Inputs are rounded to f32 first, so that both start from the same numbers, and what differs is arithmetic alone.

use crate::case::OpEntry;
use crate::gradcheck::{Finding, gradients, tensor_error};
use crate::{DType, Device, OpCase, Tensor};

/// The promise: the error of a tensor, beside its largest number or 1, is at most this.
pub const TOLERANCE: f64 = 1e-5;

/// Runs every case of an op on a device, in f32, and on the CPU, in f64.
///
/// In a finding, `input` is the number of the output, or of the input whose gradient it is.
#[must_use]
pub fn check_op(op: &OpEntry, device: &Device, seed: u64) -> Vec<Finding> {
    (op.cases)().iter().flat_map(|case| check_case(op.name, case, device, seed)).collect()
}

/// Runs a case on a device, in f32, and on the CPU, in f64.
#[must_use]
pub fn check_case(op: &str, case: &OpCase, device: &Device, seed: u64) -> Vec<Finding> {
    let single = |x: &Tensor| if x.dtype().is_float() { x.to_dtype(DType::F32) } else { x.clone() };
    let narrow: Vec<Tensor> = (case.inputs)(seed).iter().map(single).collect();
    let double = |x: &Tensor| if x.dtype().is_float() { x.to_dtype(DType::F64) } else { x.clone() };
    let wide: Vec<Tensor> = narrow.iter().map(double).collect();
    let there: Vec<Tensor> = narrow.iter().map(|x| x.to_device(device)).collect();

    let compare = |what: &str, found: Vec<Vec<f64>>, expected: Vec<Vec<f64>>| {
        let subject = format!("{op}: {}: {what}", case.name);
        let pairs = found.into_iter().zip(expected).enumerate();
        let finding = move |(input, (found, expected)): (usize, (Vec<f64>, Vec<f64>))| {
            let error = error(&found, &expected);
            Finding { subject: subject.clone(), input, error }
        };
        pairs.map(finding).collect::<Vec<_>>()
    };
    let numbers = |x: Vec<Tensor>| x.iter().map(Tensor::to_vec_f64).collect();
    let outputs = compare("output", numbers((case.run)(&there)), numbers((case.run)(&wide)));
    let of_device = gradients(case.run, &there, seed);
    let gradients = compare("gradient", of_device, gradients(case.run, &wide, seed));
    outputs.into_iter().chain(gradients).collect()
}

/// As [`tensor_error`], where a NaN that is a NaN in the reference too is right: the mean of nothing.
fn error(found: &[f64], expected: &[f64]) -> f64 {
    let both = |(a, b): (&f64, &f64)| if a.is_nan() && b.is_nan() { (0.0, 0.0) } else { (*a, *b) };
    let (found, expected): (Vec<f64>, Vec<f64>) = found.iter().zip(expected).map(both).unzip();
    tensor_error(&found, &expected, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops;

    /// The CPU in f32 keeps the promise, so that what breaks it is the device.
    #[test]
    fn test_parity__of_the_cpu_with_itself() {
        for op in ops::ALL {
            for finding in check_op(op, &Device::cpu(), 3) {
                assert!(finding.error <= TOLERANCE, "{finding:?}");
            }
        }
    }
}
