//! Softmax over the last axis, and its logarithm: numbers into probabilities.
//!
//! `[..., n] -> [..., n]`; for each row x of n numbers
//!
//! ```text
//! softmax      y_i = exp(x_i) / sum_j exp(x_j)
//! log_softmax  y_i = x_i - log sum_j exp(x_j)
//! ```
//!
//! (the largest x is taken off first, which changes nothing but the range). Gradient: softmax has
//! dy_i/dx_j = y_i ([i = j] - y_j), so gx_i = y_i (gy_i - sum_j gy_j y_j); log_softmax has
//! dy_i/dx_j = [i = j] - exp(y_j), so gx_i = gy_i - exp(y_i) sum_j gy_j. Both need only the output.
//!
//! ```
//! use foundry_engine::{Device, Tensor};
//! let y = Tensor::from_f64(&Device::cpu(), [1, 2], &[0.0, 3.0_f64.ln()]).softmax();
//! assert!((y.to_vec::<f64>()[1] - 0.75).abs() < 1e-15);
//! ```

use crate::case::{Cost, Function, Inputs, OpCase};
use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, DeviceError, Differentiable, InputGrads, Op, Real, Saved,
    Spec, Specs, Tensor, apply, check, list, run,
};
use foundry_kernels::cpu::softmax as kernel;
use foundry_kernels::cuda::softmax as on_cuda;

#[derive(Clone, Copy, Debug)]
enum Softmax {
    Probability,
    Log,
}

#[derive(Debug)]
struct Backward(Softmax);

impl Tensor {
    /// Probabilities over the last axis. A row of negative infinities gives NaN.
    ///
    /// # Panics
    /// If the tensor is a scalar or holds ids.
    #[must_use]
    #[track_caller]
    pub fn softmax(&self) -> Self {
        let [y] = apply(Softmax::Probability, &[self]);
        y
    }

    /// The logarithms of [`softmax`](Self::softmax), without forming it: exact where a probability underflows.
    ///
    /// # Panics
    /// If the tensor is a scalar or holds ids.
    #[must_use]
    #[track_caller]
    pub fn log_softmax(&self) -> Self {
        let [y] = apply(Softmax::Log, &[self]);
        y
    }
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        match self {
            Self::Probability => "softmax",
            Self::Log => "log_softmax",
        }
    }

    fn output(&self, x: &[Spec]) -> Specs {
        check::float(self.name(), &x[0]);
        if x[0].shape.rank() == 0 {
            check::fail(self.name(), x[0], "at least one axis", "");
        }
        list![x[0]]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let ([x], [y]) = (a.inputs()?, a.outputs()?);
        let [rows, width] = a.sizes([a.shape(0).rows(), a.shape(0).last()])?;
        a.launch([match self {
            Self::Probability => on_cuda::forward(x, y, rows, width),
            Self::Log => on_cuda::log_forward(x, y, rows, width),
        }])
    }
}

impl CpuKernel for Softmax {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let ([x], [y], width) = (a.inputs(), a.outputs(), a.shape(0).last());
        match self {
            Self::Probability => kernel::forward(x, y, width),
            Self::Log => kernel::log_forward(x, y, width),
        }
    }
}

impl Differentiable for Softmax {
    fn save(&self, _: &[&Tensor], y: &[Tensor]) -> Saved {
        list![y[0].clone()]
    }

    fn vjp(&self, saved: &[Tensor], gy: &[Option<Tensor>], _: &[bool]) -> InputGrads {
        let gx = |gy| run::<1>(Backward(*self), &[&saved[0], gy]);
        list![gy[0].as_ref().map(gx).map(|[gx]| gx)]
    }
}

impl Op for Backward {
    fn name(&self) -> &'static str {
        match self.0 {
            Softmax::Probability => "softmax_backward",
            Softmax::Log => "log_softmax_backward",
        }
    }

    fn output(&self, x: &[Spec]) -> Specs {
        list![x[0]]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let ([y, gy], [gx]) = (a.inputs()?, a.outputs()?);
        let [rows, width] = a.sizes([a.shape(0).rows(), a.shape(0).last()])?;
        a.launch([match self.0 {
            Softmax::Probability => on_cuda::backward(y, gy, gx, rows, width),
            Softmax::Log => on_cuda::log_backward(y, gy, gx, rows, width),
        }])
    }
}

impl CpuKernel for Backward {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let ([y, gy], [gx], width) = (a.inputs(), a.outputs(), a.shape(0).last());
        match self.0 {
            Softmax::Probability => kernel::backward(y, gy, gx, width),
            Softmax::Log => kernel::log_backward(y, gy, gx, width),
        }
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    cases_of(|x| vec![x[0].softmax()])
}

pub(crate) fn log_cases() -> Vec<OpCase> {
    cases_of(|x| vec![x[0].log_softmax()])
}

fn cases_of(run: Function) -> Vec<OpCase> {
    let case = |name, inputs: fn(u64) -> Vec<Tensor>| OpCase {
        name,
        inputs,
        bench_inputs: None,
        cost: |x| Cost::streaming(x, &x[0]),
        run,
        reference: None,
    };
    vec![
        OpCase {
            bench_inputs: Some(|s| vec![Inputs::f32(s).normal([1024, 1000])]),
            ..case("rows", |s| vec![Inputs::f64(s).normal([2, 3, 5])])
        },
        case("one row, far from zero", |s| vec![Inputs::f64(s).map([7], |x| 1000.0 + x)]),
        case("width 1", |s| vec![Inputs::f64(s).normal([3, 1])]),
        case("no rows", |s| vec![Inputs::f64(s).normal([0, 4])]),
        case("width 0", |s| vec![Inputs::f64(s).normal([4, 0])]),
    ]
}
