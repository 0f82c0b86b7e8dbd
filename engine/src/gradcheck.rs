//! Is the gradient the gradient? Central differences in f64 against the tape.
//!
//! For outputs y_k = f(x) and random cotangents c_k, L(x) = sum_k <c_k, y_k(x)> has the gradient that the tape returns
//! and, numerically, dL/dx_i = (L(x + h e_i) - L(x - h e_i)) / 2h + O(h^2). With h = 1e-5 and numbers of order 1 in f64
//! both errors are near 1e-10; in f32 the noise would hide an error of half a percent.

use crate::case::{Function, Inputs, OpEntry};
use crate::{DType, OpCase, Tape, Tensor};

/// The promise: the error of a tensor is at most this.
pub const TOLERANCE: f64 = 1e-6;
/// Fused against composed, in f64: both are exact but for rounding.
pub const REFERENCE_TOLERANCE: f64 = 1e-9;
/// The step of the differences.
pub const H: f64 = 1e-5;

/// What a check found for one input of a case.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Op and case, and for models the parameter.
    pub subject: String,
    /// Which input.
    pub input: usize,
    /// The error of the tensor: max|a - n| / max(max|n|, 1e-3).
    pub error: f64,
}

impl Finding {
    /// Whether the promise is kept (a NaN does not keep it).
    #[must_use]
    pub fn ok(&self) -> bool {
        self.error <= TOLERANCE
    }
}

/// The error of a tensor: max|a - b| / max(max|b|, floor), b being the reference. 0 for empty tensors, NaN if either
/// has one.
///
/// # Panics
/// If the lengths differ.
#[must_use]
pub fn tensor_error(a: &[f64], b: &[f64], floor: f64) -> f64 {
    assert_eq!(a.len(), b.len(), "the tensors compared have one length");
    let scale = b.iter().fold(floor, |m, x| m.max(x.abs()));
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    worst.fold(0.0, |m: f64, d| if d.is_nan() || m.is_nan() { f64::NAN } else { m.max(d) }) / scale
}

/// Checks every input of every case of an op.
#[must_use]
pub fn check_op(op: &OpEntry, seed: u64) -> Vec<Finding> {
    (op.cases)().iter().flat_map(|case| check_case(op.name, case, seed)).collect()
}

/// Checks every real input of a case.
#[must_use]
pub fn check_case(op: &str, case: &OpCase, seed: u64) -> Vec<Finding> {
    let inputs = (case.inputs)(seed);
    let analytic = gradients(case.run, &inputs, seed);
    let real = |i: &usize| inputs[*i].dtype() == DType::F64;
    let finding = |i: usize| {
        let numeric = numeric_gradient(case.run, &inputs, i, seed);
        let subject = format!("{op}: {}", case.name);
        Finding { subject, input: i, error: tensor_error(&analytic[i], &numeric, 1e-3) }
    };
    (0..inputs.len()).filter(real).map(finding).collect()
}

/// Runs a fused case against its reference out of simpler ops: the outputs, then the gradients of every real input.
/// Empty where a case has no reference. The `input` of a finding about an output is the number of that output.
///
/// # Panics
/// If they differ in the number or the shapes of their outputs.
#[must_use]
pub fn check_reference(op: &str, case: &OpCase, seed: u64) -> Vec<Finding> {
    let Some(reference) = case.reference else { return Vec::new() };
    let inputs = (case.inputs)(seed);
    let finding = |what: &str, input: usize, found: &[f64], expected: &[f64]| {
        let subject = format!("{op}: {}: {what} against its reference", case.name);
        Finding { subject, input, error: tensor_error(found, expected, 1e-3) }
    };
    let (fused, composed) = ((case.run)(&inputs), reference(&inputs));
    assert_eq!(fused.len(), composed.len(), "{op}: {}: outputs", case.name);
    let outputs = fused.iter().zip(&composed).enumerate();
    let outputs = outputs.map(|(i, (y, expected))| {
        assert_eq!(y.spec(), expected.spec(), "{op}: {}: output {i}", case.name);
        finding("output", i, &y.to_vec_f64(), &expected.to_vec_f64())
    });
    let (fused, composed) =
        (gradients(case.run, &inputs, seed), gradients(reference, &inputs, seed));
    let gradients = fused.iter().zip(&composed).enumerate();
    let gradients = gradients.map(|(i, (g, expected))| finding("gradient", i, g, expected));
    outputs.chain(gradients).collect()
}

/// The gradients by the tape, of the real inputs, for the cotangents of `seed` (zeros where nothing depends on one).
#[must_use]
pub fn gradients(f: Function, inputs: &[Tensor], seed: u64) -> Vec<Vec<f64>> {
    let tape = Tape::new();
    let leaf = |x: &Tensor| if x.dtype().is_float() { tape.leaf(x) } else { x.clone() };
    let leaves: Vec<Tensor> = inputs.iter().map(leaf).collect();
    let outputs = f(&leaves);
    let cotangents = cotangents(&outputs, seed);
    let tracked = outputs.iter().zip(cotangents).filter(|(y, _)| y.is_tracked());
    let grads = tape.backward(&tracked.collect::<Vec<_>>());
    let of = |x: &Tensor| grads.of(x).map_or_else(|| vec![0.0; x.numel()], Tensor::to_vec_f64);
    leaves.iter().map(of).collect()
}

/// Random numbers in the shape of each output.
fn cotangents(outputs: &[Tensor], seed: u64) -> Vec<Tensor> {
    let mut random = Inputs::f64(seed ^ 0xC07A);
    let like = |y: &Tensor| random.normal(*y.shape()).to_dtype(y.dtype()).to_device(&y.device());
    outputs.iter().map(like).collect()
}

fn numeric_gradient(f: Function, inputs: &[Tensor], i: usize, seed: u64) -> Vec<f64> {
    let mut inputs = inputs.to_vec();
    let x = inputs[i].clone();
    let values = x.to_vec_f64();
    let mut loss_at = |j: usize, value: f64| {
        let mut moved = values.clone();
        moved[j] = value;
        inputs[i] = Tensor::from_f64(&x.device(), *x.shape(), &moved);
        let outputs = f(&inputs);
        let pairs = outputs.iter().zip(cotangents(&outputs, seed));
        pairs.map(|(y, c)| dot(&y.to_vec_f64(), &c.to_vec_f64())).sum::<f64>()
    };
    (0..values.len())
        .map(|j| (loss_at(j, values[j] + H) - loss_at(j, values[j] - H)) / (2.0 * H))
        .collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops;

    #[test]
    fn test_gradcheck__every_op() {
        for op in ops::ALL {
            for seed in [1, 2] {
                for finding in check_op(op, seed) {
                    assert!(finding.ok(), "{finding:?}");
                }
            }
        }
    }

    /// The fast paths of the kernels are f32 only: what they give is within 1e-5 of what the checked f64 code gives.
    #[test]
    fn test_gradcheck__f32_is_f64_to_1e_5() {
        let worst = |found: &[Vec<f64>], expected: &[Vec<f64>]| {
            let errors = found.iter().zip(expected).map(|(a, b)| tensor_error(a, b, 1.0));
            errors.fold(0.0, |m: f64, e| if e.is_nan() { f64::NAN } else { m.max(e) })
        };
        let to =
            |x: &Tensor, dtype| if x.dtype().is_float() { x.to_dtype(dtype) } else { x.clone() };
        let values = |y: Vec<Tensor>| y.iter().map(Tensor::to_vec_f64).collect::<Vec<_>>();
        for op in ops::ALL {
            for case in (op.cases)() {
                let x: Vec<Tensor> = (case.inputs)(3).iter().map(|x| to(x, DType::F32)).collect();
                let wide: Vec<Tensor> = x.iter().map(|x| to(x, DType::F64)).collect();
                let value = worst(&values((case.run)(&x)), &values((case.run)(&wide)));
                let gradient = worst(&gradients(case.run, &x, 3), &gradients(case.run, &wide, 3));
                assert!(value <= 1e-5, "{}, {}: values, {value}", op.name, case.name);
                assert!(gradient <= 1e-5, "{}, {}: gradients, {gradient}", op.name, case.name);
            }
        }
    }

    #[test]
    fn test_gradcheck__fused_ops_are_what_they_are_composed_of() {
        let mut compared = 0;
        for op in ops::ALL {
            for case in (op.cases)() {
                for finding in check_reference(op.name, &case, 3) {
                    assert!(finding.error <= REFERENCE_TOLERANCE, "{finding:?}");
                    compared += 1;
                }
            }
        }
        assert!(compared > 0);
    }

    #[test]
    fn test_gradcheck__sees_a_reference_that_differs() {
        let case = OpCase {
            name: "differs",
            inputs: |s| vec![Inputs::f64(s).normal([3])],
            bench_inputs: None,
            cost: |_| crate::Cost::default(),
            run: |x| vec![x[0].scale(2.0)],
            reference: Some(|x| vec![x[0].scale(2.001)]),
        };
        let findings = check_reference("scale", &case, 1);
        assert_eq!(findings.len(), 2);
        assert!(findings.iter().all(|f| f.error > 1e-4), "{findings:?}");
    }

    #[test]
    fn test_gradcheck__sees_a_wrong_gradient() {
        // A detached factor: the tape sees d(x * const) where the numbers see d(x * x).
        let wrong: Function = |x| vec![x[0].reshape([2]), x[0].detach()];
        let x = Inputs::f64(1).normal([2, 1]);
        let case = OpCase {
            name: "wrong",
            inputs: |_| Vec::new(),
            bench_inputs: None,
            cost: |_| crate::Cost::default(),
            run: wrong,
            reference: None,
        };
        let analytic = gradients(case.run, std::slice::from_ref(&x), 1);
        let numeric = numeric_gradient(case.run, &[x], 0, 1);
        assert!(tensor_error(&analytic[0], &numeric, 1e-3) > 0.1);
    }
}
