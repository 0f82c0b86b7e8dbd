//! Sums and means: of all elements, or along one axis.
//!
//! `y = scale sum_j x_j`, with scale 1 for a sum and 1 / n for a mean of n. Over all elements the shape becomes `[]`;
//! along axis a, `[..., n, ...] -> [..., ...]`, without that axis. Gradient: dy/dx_j = scale for every j, so each x_j
//! gets scale times the gradient of the y it went into. f32 is added up in f64, in an order that depends on the shape
//! alone.
//!
//! ```
//! use foundry_engine::{Device, Tensor};
//! let x = Tensor::from_f64(&Device::cpu(), [2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
//! assert_eq!(x.sum().item(), 21.0);
//! assert_eq!(x.mean().item(), 3.5);
//! assert_eq!(x.sum_axis(0).to_vec::<f64>(), [5.0, 7.0, 9.0]);
//! assert_eq!(x.mean_axis(1).to_vec::<f64>(), [2.0, 5.0]);
//! ```
//!
//! # Panics
//! If there is no such axis, or the tensor holds ids. The mean of nothing is NaN.

use crate::case::{Cost, Function, Inputs, OpCase};
use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, DeviceError, Differentiable, InputGrads, Op, Real, Saved,
    Shape, Spec, Specs, Tensor, apply, check, list, run,
};
use foundry_kernels::cpu::elementwise::reduce::{repeat_axis, sum_axis};
use foundry_kernels::cuda::elementwise::repeat;
use foundry_kernels::cuda::reduce::sum_axis as on_cuda;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sum,
    Mean,
}

/// Over one axis, or over all.
#[derive(Clone, Copy, Debug)]
struct Reduce {
    kind: Kind,
    axis: Option<usize>,
    /// Of the input.
    shape: Shape,
}

#[derive(Debug)]
struct Backward(Reduce);

impl Tensor {
    /// The sum of all elements, shape `[]`.
    ///
    /// # Panics
    /// If the tensor holds ids; so for the three below.
    #[must_use]
    #[track_caller]
    pub fn sum(&self) -> Self {
        reduce(self, Kind::Sum, None)
    }

    /// The mean of all elements, shape `[]`.
    #[must_use]
    #[track_caller]
    pub fn mean(&self) -> Self {
        reduce(self, Kind::Mean, None)
    }

    /// Sums along an axis, which the result does not have.
    #[must_use]
    #[track_caller]
    pub fn sum_axis(&self, axis: usize) -> Self {
        reduce(self, Kind::Sum, Some(axis))
    }

    /// Means along an axis, which the result does not have.
    #[must_use]
    #[track_caller]
    pub fn mean_axis(&self, axis: usize) -> Self {
        reduce(self, Kind::Mean, Some(axis))
    }
}

#[track_caller]
fn reduce(x: &Tensor, kind: Kind, axis: Option<usize>) -> Tensor {
    let [y] = apply(Reduce { kind, axis, shape: *x.shape() }, &[x]);
    y
}

impl Reduce {
    /// The elements before, along and after the axis.
    fn split(&self) -> [usize; 3] {
        let dims = self.shape.as_slice();
        match self.axis {
            None => [1, self.shape.numel(), 1],
            Some(a) => [dims[..a].iter().product(), dims[a], dims[a + 1..].iter().product()],
        }
    }

    fn scale(&self) -> f64 {
        let [_, n, _] = self.split();
        #[expect(clippy::cast_precision_loss, reason = "no tensor has 2^53 elements")]
        if self.kind == Kind::Mean { 1.0 / n as f64 } else { 1.0 }
    }
}

impl Op for Reduce {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Sum => "sum",
            Kind::Mean => "mean",
        }
    }

    fn output(&self, x: &[Spec]) -> Specs {
        check::float(self.name(), &x[0]);
        let dims = x[0].shape.as_slice();
        match self.axis {
            None => list![x[0].with_shape([])],
            Some(a) if a < dims.len() => {
                list![x[0].with_shape(Shape::new(&[&dims[..a], &dims[a + 1..]].concat()))]
            }
            Some(a) => check::fail(self.name(), x[0], &format!("an axis {a}"), ""),
        }
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let (sizes, scale) = (a.sizes(self.split())?, f32::from_f64(self.scale()));
        a.launch(on_cuda(a.x(0)?, a.y(0)?, sizes, scale))
    }
}

impl CpuKernel for Reduce {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let ([x], [y]) = (a.inputs(), a.outputs());
        // An empty sum is 0 times whatever the scale is: 0 for a sum, NaN for a mean.
        sum_axis(x, self.split(), self.scale(), y);
    }
}

impl Differentiable for Reduce {
    fn save(&self, _: &[&Tensor], _: &[Tensor]) -> Saved {
        list![]
    }

    fn vjp(&self, _: &[Tensor], gy: &[Option<Tensor>], _: &[bool]) -> InputGrads {
        let gx = |gy| run::<1>(Backward(*self), &[gy]);
        list![gy[0].as_ref().map(gx).map(|[gx]| gx)]
    }
}

impl Op for Backward {
    fn name(&self) -> &'static str {
        "reduce_backward"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        list![x[0].with_shape(self.0.shape)]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let (sizes, scale) = (a.sizes(self.0.split())?, f32::from_f64(self.0.scale()));
        a.launch([repeat(a.x(0)?, a.y(0)?, sizes, scale)])
    }
}

impl CpuKernel for Backward {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let ([gy], [gx]) = (a.inputs(), a.outputs());
        repeat_axis(gy, self.0.split(), self.0.scale(), gx);
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    cases_of(|x| vec![x[0].sum()], |x| vec![x[0].sum_axis(0), x[0].sum_axis(1), x[0].sum_axis(2)])
}

pub(crate) fn mean_cases() -> Vec<OpCase> {
    cases_of(
        |x| vec![x[0].mean()],
        |x| vec![x[0].mean_axis(0), x[0].mean_axis(1), x[0].mean_axis(2)],
    )
}

fn cases_of(all: Function, axes: Function) -> Vec<OpCase> {
    let case = |name, inputs: fn(u64) -> Vec<Tensor>, run: Function| OpCase {
        name,
        inputs,
        bench_inputs: None,
        cost: |x| Cost::streaming(x, &x[0].with_shape([])),
        run,
        reference: None,
    };
    vec![
        OpCase {
            bench_inputs: Some(|s| vec![Inputs::f32(s).normal([2048, 256])]),
            ..case("all", |s| vec![Inputs::f64(s).normal([3, 4])], all)
        },
        case("each axis", |s| vec![Inputs::f64(s).normal([2, 3, 4])], axes),
        case("sizes 1", |s| vec![Inputs::f64(s).normal([1, 1, 1])], axes),
        case("scalar", |s| vec![Inputs::f64(s).normal([])], all),
        case("no rows", |s| vec![Inputs::f64(s).normal([2, 3, 0])], |x| vec![x[0].sum_axis(1)]),
        case("nothing to sum", |s| vec![Inputs::f64(s).normal([2, 0])], |x| vec![x[0].sum_axis(1)]),
    ]
}
