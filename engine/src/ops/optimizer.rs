//! Update rules: they change parameters in place and have no gradient.
//!
//! AdamW: Loshchilov and Hutter, *Decoupled weight decay regularization* (2019), in the arithmetic of
//! `torch.optim.AdamW`; SGD with momentum in that of `torch.optim.SGD`. The equations stand in
//! `foundry_kernels::cpu::optimizer`.

use super::judge::Judgement;
use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, DeviceError, Op, Real, Spec, Specs, Tensor, list,
    run_in_place,
};
use foundry_kernels::cuda::optimizer as on_cuda;

pub use foundry_kernels::cpu::optimizer::{AdamW, Sgd};

#[derive(Debug)]
struct AdamWStep(AdamW);

#[derive(Debug)]
struct SgdStep(Sgd);

/// One AdamW update of `param` and of its two moments from the gradient `g`, all of one shape, if `judgement` lets it happen,
/// and with its factor (not that of the rule) on the gradient.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn adamw_step(
    rule: AdamW,
    param: &mut Tensor,
    [m, v]: [&mut Tensor; 2],
    g: &Tensor,
    judgement: &Judgement,
) {
    run_in_place(&AdamWStep(rule), [param, m, v], &[g, judgement.control()]);
}

/// One SGD update of `param` and of its momentum buffer from the gradient `g`, all of one shape, as [`adamw_step`].
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn sgd_step(
    rule: Sgd,
    param: &mut Tensor,
    buffer: &mut Tensor,
    g: &Tensor,
    judgement: &Judgement,
) {
    run_in_place(&SgdStep(rule), [param, buffer], &[g, judgement.control()]);
}

/// The factor on the gradient, None if the step is skipped.
fn factor<R: Real>(control: &[R]) -> Option<f64> {
    (control[1] == R::ZERO).then(|| control[0].to_f64())
}

impl Op for AdamWStep {
    fn name(&self) -> &'static str {
        "adamw_step"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        list![x[0]; 3]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let ([g, control], [p, m, v]) = (a.inputs()?, a.outputs()?);
        a.launch([on_cuda::adamw(&self.0, [p, g, m, v], control, a.numel(0)?)])
    }
}

impl CpuKernel for AdamWStep {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let ([g, control], [p, m, v]) = (a.inputs(), a.outputs());
        if let Some(grad_scale) = factor(control) {
            AdamW { grad_scale, ..self.0 }.step(p, g, m, v);
        }
    }
}

impl Op for SgdStep {
    fn name(&self) -> &'static str {
        "sgd_step"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        list![x[0]; 2]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let ([g, control], [p, m]) = (a.inputs()?, a.outputs()?);
        a.launch([on_cuda::sgd(&self.0, [p, g, m], control, a.numel(0)?)])
    }
}

impl CpuKernel for SgdStep {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let ([g, control], [p, buffer]) = (a.inputs(), a.outputs());
        if let Some(grad_scale) = factor(control) {
            Sgd { grad_scale, ..self.0 }.step(p, g, buffer);
        }
    }
}
