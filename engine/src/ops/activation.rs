//! What the non-linear functions share: one number in, one out, and a slope.

use crate::case::{Cost, Function, Inputs, OpCase};
use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, DeviceError, Differentiable, InputGrads, Op, Real, Saved,
    Spec, Specs, Tensor, apply, check, list, run,
};
use foundry_kernels::cpu::elementwise::activation::Activation as Kind;
use foundry_kernels::cuda::activation as on_cuda;

/// `y = f(x)`, element by element. Its gradient is for a slope that is of the output; for others there is [`smooth`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Activation(pub(super) Kind);

/// `y = f(x)` and the slope `f'(x)`, which is all that the backward needs.
#[derive(Clone, Copy, Debug)]
struct WithSlope(Kind);

/// `gx = gy f'`, from gy and y, or from gy and the slope where that is of the input.
#[derive(Debug)]
struct Backward(Kind);

/// `f(x)` for a function whose slope is of the input. Where a gradient is wanted the slope is made beside the value, for
/// little more, and kept instead of x.
#[track_caller]
pub(super) fn smooth(kind: Kind, x: &Tensor) -> Tensor {
    if x.is_tracked() {
        let [y, _slope] = apply(WithSlope(kind), &[x]);
        return y;
    }
    let [y] = run(Activation(kind), &[x]);
    y
}

impl Op for Activation {
    fn name(&self) -> &'static str {
        match self.0 {
            Kind::Relu => "relu",
            Kind::Silu => "silu",
            Kind::Tanh => "tanh",
            Kind::Sigmoid => "sigmoid",
            Kind::Gelu => "gelu",
            Kind::GeluTanh => "gelu_tanh",
        }
    }

    fn output(&self, x: &[Spec]) -> Specs {
        check::float(self.name(), &x[0]);
        list![x[0]]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let ([x], [y]) = (a.inputs()?, a.outputs()?);
        a.launch([on_cuda::forward(self.0, x, y, a.numel(0)?)])
    }
}

impl CpuKernel for Activation {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let ([x], [y]) = (a.inputs(), a.outputs());
        self.0.forward(x, y);
    }
}

impl Differentiable for Activation {
    fn save(&self, _: &[&Tensor], y: &[Tensor]) -> Saved {
        assert!(self.0.slope_is_of_output(), "{}: the slope is of the input", self.name());
        list![y[0].clone()]
    }

    fn vjp(&self, y: &[Tensor], gy: &[Option<Tensor>], _: &[bool]) -> InputGrads {
        list![gradient(self.0, &y[0], gy)]
    }
}

/// gx, if there is a gy.
fn gradient(kind: Kind, saved: &Tensor, gy: &[Option<Tensor>]) -> Option<Tensor> {
    let gx = |gy| run::<1>(Backward(kind), &[saved, gy]);
    gy[0].as_ref().map(gx).map(|[gx]| gx)
}

impl Op for WithSlope {
    fn name(&self) -> &'static str {
        Activation(self.0).name()
    }

    fn output(&self, x: &[Spec]) -> Specs {
        check::float(self.name(), &x[0]);
        list![x[0], x[0]]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let ([x], [y, slope]) = (a.inputs()?, a.outputs()?);
        a.launch([on_cuda::forward_with_slope(self.0, x, y, slope, a.numel(0)?)])
    }
}

impl CpuKernel for WithSlope {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let ([x], [y, slope]) = (a.inputs(), a.outputs());
        self.0.forward_with_slope(x, y, slope);
    }
}

impl Differentiable for WithSlope {
    fn save(&self, _: &[&Tensor], y: &[Tensor]) -> Saved {
        list![y[1].clone()]
    }

    fn vjp(&self, slope: &[Tensor], gy: &[Option<Tensor>], _: &[bool]) -> InputGrads {
        list![gradient(self.0, &slope[0], gy)]
    }
}

impl Op for Backward {
    fn name(&self) -> &'static str {
        "activation_backward"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        list![x[0]]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let ([saved, gy], [gx]) = (a.inputs()?, a.outputs()?);
        a.launch([on_cuda::backward(self.0, saved, gy, gx, a.numel(0)?)])
    }
}

impl CpuKernel for Backward {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let ([saved, gy], [gx]) = (a.inputs(), a.outputs());
        self.0.backward(saved, gy, gx);
    }
}

/// The cases of an activation.
pub(super) fn cases(run: Function, reference: Option<Function>) -> Vec<OpCase> {
    let case = |name, inputs: fn(u64) -> Vec<Tensor>| OpCase {
        name,
        inputs,
        bench_inputs: None,
        cost: |x| Cost::streaming(x, &x[0]),
        run,
        reference,
    };
    vec![
        OpCase {
            bench_inputs: Some(|s| vec![Inputs::f32(s).normal([2048, 1024])]),
            ..case("matrix", |s| vec![Inputs::f64(s).away_from_zero([3, 7])])
        },
        case("far from zero", |s| vec![Inputs::f64(s).map([9], |x| 4.0 * x + 0.5_f64.copysign(x))]),
        case("scalar", |s| vec![Inputs::f64(s).away_from_zero([])]),
        case("size 0", |s| vec![Inputs::f64(s).normal([2, 0])]),
    ]
}
