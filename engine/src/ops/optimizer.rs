//! Update rules: they change parameters in place and have no gradient.
//!
//! AdamW: Loshchilov and Hutter, *Decoupled weight decay regularization* (2019), in the arithmetic of
//! `torch.optim.AdamW`; SGD with momentum in that of `torch.optim.SGD`. The equations stand in
//! `foundry_kernels::cpu::optimizer`.

use crate::{Args, CpuArgs, CpuKernel, Op, Real, Spec, Specs, Tensor, list, run_in_place};

pub use foundry_kernels::cpu::optimizer::{AdamW, Sgd};

#[derive(Debug)]
struct AdamWStep(AdamW);

#[derive(Debug)]
struct SgdStep(Sgd);

/// One AdamW update of `param` and of its two moments from the gradient `g`, all of one shape.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn adamw_step(rule: AdamW, param: &mut Tensor, m: &mut Tensor, v: &mut Tensor, g: &Tensor) {
    run_in_place(&AdamWStep(rule), [param, m, v], &[g]);
}

/// One SGD update of `param` and of its momentum buffer from the gradient `g`, all of one shape.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn sgd_step(rule: Sgd, param: &mut Tensor, buffer: &mut Tensor, g: &Tensor) {
    run_in_place(&SgdStep(rule), [param, buffer], &[g]);
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
}

impl CpuKernel for AdamWStep {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let ([g], [p, m, v]) = (a.inputs(), a.outputs());
        self.0.step(p, g, m, v);
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
}

impl CpuKernel for SgdStep {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let ([g], [p, buffer]) = (a.inputs(), a.outputs());
        self.0.step(p, g, buffer);
    }
}
