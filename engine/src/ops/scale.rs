//! A tensor times a number.
//!
//! `y = alpha x`, shapes `[...] -> [...]`. Gradient: dy/dx = alpha, so gx = alpha gy. Alpha is a constant.
//!
//! ```
//! use foundry_engine::{Device, Tensor};
//! let x = Tensor::from_f64(&Device::cpu(), [2], &[1.0, -2.0]);
//! assert_eq!(x.scale(0.5).to_vec::<f64>(), [0.5, -1.0]);
//! ```
//!
//! # Panics
//! If the tensor holds ids.

use crate::case::{Cost, Inputs, OpCase};
use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, DeviceError, Differentiable, InputGrads, Op, Real, Saved,
    Spec, Specs, Tensor, apply, check, list, run,
};
use foundry_kernels::cpu::elementwise;
use foundry_kernels::cuda::elementwise::axpby;

#[derive(Clone, Copy, Debug)]
struct Scale(f64);

impl Tensor {
    /// `alpha x`.
    ///
    /// # Panics
    /// If the tensor holds ids.
    #[must_use]
    #[track_caller]
    pub fn scale(&self, alpha: f64) -> Self {
        let [y] = apply(Scale(alpha), &[self]);
        y
    }
}

/// Without recording: for gradients.
pub(super) fn scaled(x: &Tensor, alpha: f64) -> Tensor {
    let [y] = run(Scale(alpha), &[x]);
    y
}

impl Op for Scale {
    fn name(&self) -> &'static str {
        "scale"
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
        a.launch([axpby(f32::from_f64(self.0), x, 0.0, y, a.numel(0)?)])
    }
}

impl CpuKernel for Scale {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let ([x], [y]) = (a.inputs(), a.outputs());
        elementwise::scale(R::from_f64(self.0), x, y);
    }
}

impl Differentiable for Scale {
    fn save(&self, _: &[&Tensor], _: &[Tensor]) -> Saved {
        list![]
    }

    fn vjp(&self, _: &[Tensor], gy: &[Option<Tensor>], _: &[bool]) -> InputGrads {
        list![gy[0].as_ref().map(|gy| scaled(gy, self.0))]
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |name, inputs: fn(u64) -> Vec<Tensor>| OpCase {
        name,
        inputs,
        bench_inputs: None,
        cost: |x| Cost::streaming(x, &x[0]),
        run: |x| vec![x[0].scale(-0.7)],
        reference: None,
    };
    vec![
        OpCase {
            bench_inputs: Some(|s| vec![Inputs::f32(s).normal([2048, 256])]),
            ..case("matrix", |s| vec![Inputs::f64(s).normal([2, 3])])
        },
        case("scalar", |s| vec![Inputs::f64(s).normal([])]),
        case("size 0", |s| vec![Inputs::f64(s).normal([0])]),
    ]
}
