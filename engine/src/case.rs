//! One list of cases an op, used for everything: gradient checks, fused against composed, benchmarks, docs.

use crate::rng::{Purpose, Stream, key};
use crate::{DType, Device, Shape, Spec, Tensor};

/// The work of one run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cost {
    /// Floating-point operations (a multiply and an add are two).
    pub flops: u64,
    /// Bytes that must move: every input read once, every output written once.
    pub bytes: u64,
}

impl Cost {
    /// The cost of an op that is bound by memory: reads its inputs, writes its output, one operation an element.
    #[must_use]
    pub fn streaming(inputs: &[Spec], output: &Spec) -> Self {
        let bytes: usize = inputs.iter().map(Spec::bytes).sum::<usize>() + output.bytes();
        Self { flops: output.numel() as u64, bytes: bytes as u64 }
    }
}

/// A function of tensors: an op, or a composition of ops.
pub type Function = fn(&[Tensor]) -> Vec<Tensor>;

/// A way to call an op, with inputs.
pub struct OpCase {
    /// What is special about it: "bias", "size 0", "causal, padded".
    pub name: &'static str,
    /// Small f64 inputs of order 1, from a seed (for gradient checks).
    pub inputs: fn(u64) -> Vec<Tensor>,
    /// Inputs of a size that is used, in f32; None if the case is not worth timing.
    pub bench_inputs: Option<fn(u64) -> Vec<Tensor>>,
    /// The work of one forward run on inputs of these specs.
    pub cost: fn(&[Spec]) -> Cost,
    /// Calls the op; every output that has a gradient is returned.
    pub run: Function,
    /// The same out of simpler ops, for an op that is fused.
    pub reference: Option<Function>,
}

/// An op in the registry.
pub struct OpEntry {
    /// As [`crate::Op::name`] gives it.
    pub name: &'static str,
    /// Ways to call it.
    pub cases: fn() -> Vec<OpCase>,
}

/// The name of the case of an op that the tensor cores do in mixed precision: its sizes are those of their tiles or more.
pub const TENSOR_CORES: &str = "sizes for tensor cores";

impl OpEntry {
    /// Whether mixed precision changes it: it has a case for tensor cores.
    #[must_use]
    pub fn is_mixed(&self) -> bool {
        (self.cases)().iter().any(|case| case.name == TENSOR_CORES)
    }
}

/// Makes the inputs of cases.
#[derive(Debug)]
pub struct Inputs {
    stream: Stream,
    dtype: DType,
}

impl Inputs {
    /// f64 inputs, for gradient checks.
    #[must_use]
    pub fn f64(seed: u64) -> Self {
        Self { stream: Stream::new(key(seed, Purpose::Test, 0, 0)), dtype: DType::F64 }
    }

    /// f32 inputs, for benchmarks.
    #[must_use]
    pub fn f32(seed: u64) -> Self {
        Self { dtype: DType::F32, ..Self::f64(seed) }
    }

    /// Numbers from N(0, 1).
    pub fn normal(&mut self, shape: impl Into<Shape>) -> Tensor {
        self.map(shape, |x| x)
    }

    /// `f` of numbers from N(0, 1).
    pub fn map(&mut self, shape: impl Into<Shape>, f: impl Fn(f64) -> f64) -> Tensor {
        let shape = shape.into();
        let values: Vec<f64> = (0..shape.numel()).map(|_| f(self.stream.normal())).collect();
        Tensor::from_f64(&Device::cpu(), shape, &values).to_dtype(self.dtype)
    }

    /// Numbers from N(0, 1) moved away from 0 by 0.1, where relu has no derivative.
    pub fn away_from_zero(&mut self, shape: impl Into<Shape>) -> Tensor {
        self.map(shape, |x| x + 0.1_f64.copysign(x))
    }

    /// Ids below `n`.
    pub fn ids(&mut self, shape: impl Into<Shape>, n: u32) -> Tensor {
        let shape = shape.into();
        let ids: Vec<u32> = (0..shape.numel()).map(|_| self.stream.below(n)).collect();
        Tensor::from_u32(&Device::cpu(), shape, &ids)
    }
}
