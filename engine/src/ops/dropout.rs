//! Dropout: in training, each element is dropped with probability p, and the rest is scaled up to keep the mean.
//!
//! `[samples, ...] -> [samples, ...]` with y_i = m_i x_i, where m_i = 1/(1 - p) with probability 1 - p, else 0
//! (Srivastava et al. 2014). The map is linear and diagonal, so gx_i = m_i gy_i.
//!
//! m_i depends on the [`DropoutSite`], on the index of the sample (first axis) and on the position inside it, and on
//! nothing else: it is made again in the backward pass and never stored, and cutting a batch into micro-batches or
//! padding it to a longer length leaves it as it is.
//!
//! ```
//! use foundry_engine::{Ctx, Device, Tensor};
//! let x = Tensor::from_f32(&Device::cpu(), [1, 4], &[1.0; 4]);
//! let y = Ctx::train(42, 0, 0).dropout(0.5, &x);
//! assert!(y.to_vec::<f32>().iter().all(|&y| y == 0.0 || y == 2.0));
//! assert_eq!(Ctx::eval().dropout(0.5, &x).to_vec::<f32>(), [1.0; 4]);
//! ```

use crate::case::{Cost, Function, Inputs, OpCase};
use crate::{
    Args, CpuArgs, CpuKernel, Ctx, CudaArgs, DeviceError, Differentiable, DropoutSite, InputGrads,
    Op, Real, Saved, Spec, Specs, Tensor, apply, check, list, run,
};
use foundry_kernels::cpu::dropout as kernel;
use foundry_kernels::cuda::dropout as on_cuda;

#[derive(Clone, Copy, Debug)]
struct Dropout {
    p: f64,
    site: DropoutSite,
}

#[derive(Debug)]
struct Backward(Dropout);

impl Ctx {
    /// Dropout with probability `p` at the next site of this pass; x itself in a pass without dropout.
    ///
    /// # Panics
    /// If `p` is not in `[0, 1)` or x is a scalar.
    #[must_use]
    #[track_caller]
    pub fn dropout(&self, p: f64, x: &Tensor) -> Tensor {
        // A site is taken even where p is 0, so that one rate does not move the masks of the others.
        match self.dropout_site() {
            Some(site) if p > 0.0 => x.dropout(p, site),
            _ => x.clone(),
        }
    }
}

impl Tensor {
    /// Dropout with probability `p`, with the mask of `site`; the first axis counts samples.
    ///
    /// # Panics
    /// If `p` is not in `[0, 1)` or x is a scalar.
    #[must_use]
    #[track_caller]
    pub fn dropout(&self, p: f64, site: DropoutSite) -> Self {
        let [y] = apply(Dropout { p, site }, &[self]);
        y
    }
}

impl Op for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        check::float(self.name(), &x[0]);
        if x[0].shape.rank() == 0 {
            check::fail(self.name(), x[0], "a first axis of samples", "");
        }
        list![x[0]]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let ([x], [y]) = (a.inputs()?, a.outputs()?);
        let samples = a.shape(0).as_slice()[0];
        let sizes = a.sizes([samples, a.shape(0).numel() / samples.max(1)])?;
        let dropout = kernel::Dropout::new(self.site.key, self.p);
        a.launch([on_cuda::dropout(x, y, &dropout, self.site.first_sample, sizes)])
    }
}

impl CpuKernel for Dropout {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let ([x], [y]) = (a.inputs(), a.outputs());
        let sample = x.len() / a.shape(0).as_slice()[0].max(1);
        let dropout = kernel::Dropout::new(self.site.key, self.p);
        kernel::forward(x, &dropout, self.site.first_sample, sample, y);
    }
}

impl Differentiable for Dropout {
    fn save(&self, _: &[&Tensor], _: &[Tensor]) -> Saved {
        list![]
    }

    fn vjp(&self, _: &[Tensor], gy: &[Option<Tensor>], _: &[bool]) -> InputGrads {
        let gx = |gy| run::<1>(Backward(*self), &[gy]);
        list![gy[0].as_ref().map(gx).map(|[gx]| gx)]
    }
}

/// The map is its own transpose.
impl Op for Backward {
    fn name(&self) -> &'static str {
        "dropout_backward"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        self.0.output(x)
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        self.0.cpu(args);
    }

    fn cuda(&self, args: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        self.0.cuda(args)
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |name, inputs: fn(u64) -> Vec<Tensor>, run: Function| OpCase {
        name,
        inputs,
        bench_inputs: None,
        cost: |x| Cost::streaming(x, &x[0]),
        run,
        reference: None, // it is a product with a constant already
    };
    vec![
        OpCase {
            bench_inputs: Some(|s| vec![Inputs::f32(s).normal([16, 128, 256])]),
            ..case(
                "p = 0.3",
                |s| vec![Inputs::f64(s).normal([2, 3, 7])],
                |x| vec![x[0].dropout(0.3, SITE)],
            )
        },
        case("p = 0", |s| vec![Inputs::f64(s).normal([3])], |x| vec![x[0].dropout(0.0, SITE)]),
        case("empty", |s| vec![Inputs::f64(s).normal([0, 3])], |x| vec![x[0].dropout(0.3, SITE)]),
    ]
}

/// A site for cases: the mask is a constant of the case.
pub(crate) const SITE: DropoutSite = DropoutSite { key: [3, 4], first_sample: 5 };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    fn kept(x: &Tensor) -> Vec<bool> {
        x.to_vec_f64().iter().map(|&x| x > 0.0).collect()
    }

    #[test]
    fn test_dropout__each_site_and_step_has_its_mask() {
        let x = Tensor::full(&Device::cpu(), Spec::new([2, 64], crate::DType::F32), 1.0);
        let pass = |step| {
            let cx = Ctx::train(1, step, 0);
            [cx.dropout(0.5, &x), cx.dropout(0.5, &x)].map(|y| kept(&y))
        };

        assert_eq!(pass(3), pass(3));
        assert_ne!(pass(3)[0], pass(3)[1]);
        assert_ne!(pass(3)[0], pass(4)[0]);
    }

    #[test]
    fn test_dropout__a_micro_batch_has_the_masks_of_its_samples() {
        let ones = |n| Tensor::full(&Device::cpu(), Spec::new([n, 40], crate::DType::F32), 1.0);

        let whole = kept(&Ctx::train(1, 2, 0).dropout(0.5, &ones(4)));
        let last = kept(&Ctx::train(1, 2, 3).dropout(0.5, &ones(1)));

        assert_eq!(whole[120..], last);
    }
}
