//! Layer normalisation over the last axis: rows with mean 0 and variance 1, then a learned gain and bias.
//!
//! `x [..., n], gain [n], bias [n] -> [..., n]`; for each row x of n numbers (Ba, Kiros, Hinton 2016)
//!
//! ```text
//! y_i = gain_i xhat_i + bias_i,   xhat_i = (x_i - mean) rstd,   rstd = 1 / sqrt(variance + eps)
//! ```
//!
//! with the variance over n, not n - 1. Gradient: with a_i = gy_i gain_i, mean and rstd pass on what is constant in a
//! and what is along xhat, so gx_i = rstd (a_i - mean(a) - xhat_i mean(a xhat)); gain and bias get the sums over rows
//! of gy_i xhat_i and gy_i. Mean and rstd are kept, xhat is formed again.
//!
//! ```
//! use foundry_engine::{Device, Tensor};
//! let of = |x: &[f64]| Tensor::from_f64(&Device::cpu(), [2], x);
//! let y = of(&[3.0, 5.0]).layer_norm(&of(&[1.0, 10.0]), &of(&[0.0, 1.0]), 0.0);
//! assert_eq!(y.to_vec::<f64>(), [-1.0, 11.0]);
//! ```

use crate::case::{Cost, Inputs, OpCase};
use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, DeviceError, Differentiable, InputGrads, Op, Real, Saved,
    Spec, Specs, Tensor, apply, check, list, run,
};
use foundry_kernels::cpu::layer_norm as kernel;
use foundry_kernels::cuda::layer_norm as on_cuda;

#[derive(Debug)]
struct LayerNorm {
    eps: f64,
}

#[derive(Debug)]
struct Backward;

impl Tensor {
    /// Normalises the rows of the last axis, n wide; `gain` and `bias` are `[n]`.
    ///
    /// # Panics
    /// If gain or bias are not `[n]`, or the element types differ.
    #[must_use]
    #[track_caller]
    pub fn layer_norm(&self, gain: &Self, bias: &Self, eps: f64) -> Self {
        let [y, _mean, _rstd] = apply(LayerNorm { eps }, &[self, gain, bias]);
        y
    }
}

impl Op for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    /// y, and mean and rstd of each row.
    fn output(&self, x: &[Spec]) -> Specs {
        let [x, gain, bias] = x else { panic!("layer_norm takes x, gain and bias") };
        check::float(self.name(), x);
        check::same_dtype(self.name(), &[x, gain, bias]);
        if x.shape.rank() == 0 {
            check::fail(self.name(), x, "at least one axis", "");
        }
        check::shape(self.name(), "gain", &gain.shape, [x.shape.last()]);
        check::shape(self.name(), "bias", &bias.shape, [x.shape.last()]);
        let per_row = x.with_shape([x.shape.rows()]);
        list![*x, per_row, per_row]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let sizes = a.sizes([a.shape(0).rows(), a.shape(0).last()])?;
        a.launch([on_cuda::forward(a.inputs()?, a.outputs()?, sizes, f32::from_f64(self.eps))])
    }
}

impl CpuKernel for LayerNorm {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let ([x, gain, bias], [y, mean, rstd]) = (a.inputs(), a.outputs());
        kernel::forward(x, gain, bias, self.eps, y, mean, rstd);
    }
}

impl Differentiable for LayerNorm {
    fn save(&self, x: &[&Tensor], y: &[Tensor]) -> Saved {
        list![x[0].clone(), x[1].clone(), y[1].clone(), y[2].clone()]
    }

    fn vjp(&self, saved: &[Tensor], gy: &[Option<Tensor>], _: &[bool]) -> InputGrads {
        let Some(gy) = &gy[0] else { return list![None, None, None] };
        let [x, gain, mean, rstd] = saved else { unreachable!("four tensors were saved") };
        run::<3>(Backward, &[x, gain, mean, rstd, gy]).into_iter().map(Some).collect()
    }
}

impl Op for Backward {
    fn name(&self) -> &'static str {
        "layer_norm_backward"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        list![x[0], x[1], x[1]]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let sizes = a.sizes([a.shape(0).rows(), a.shape(0).last()])?;
        let ([x, gain, mean, rstd, gy], [gx, gg, gb]) = (a.inputs()?, a.outputs()?);
        a.launch([
            on_cuda::backward([x, gain, mean, rstd, gy], gx, sizes),
            on_cuda::parameters([x, mean, rstd, gy], [gg, gb], sizes),
        ])
    }
}

impl CpuKernel for Backward {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let ([x, gain, mean, rstd, gy], [gx, gg, gb]) = (a.inputs(), a.outputs());
        kernel::backward(x, gain, mean, rstd, gy, gx, gg, gb);
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |name, inputs: fn(u64) -> Vec<Tensor>| OpCase {
        name,
        inputs,
        bench_inputs: None,
        cost: |x| Cost::streaming(x, &x[0]),
        run: |x| vec![x[0].layer_norm(&x[1], &x[2], 1e-5)],
        reference: Some(|x| vec![composed(&x[0], &x[1], &x[2], 1e-5)]),
    };
    vec![
        OpCase {
            bench_inputs: Some(|s| inputs(Inputs::f32(s), &[2048, 256])),
            ..case("rows", |s| inputs(Inputs::f64(s), &[2, 3, 5]))
        },
        case("more rows than a block", |s| inputs(Inputs::f64(s), &[70, 3])),
        case("one row", |s| inputs(Inputs::f64(s), &[4])),
        case("no rows", |s| inputs(Inputs::f64(s), &[0, 4])),
        case("width 0", |s| inputs(Inputs::f64(s), &[3, 0])),
        OpCase {
            run: |x| vec![x[0].layer_norm(&x[0], &x[0], 1e-5)],
            reference: Some(|x| vec![composed(&x[0], &x[0], &x[0], 1e-5)]),
            ..case("x as its own gain and bias", |s| vec![Inputs::f64(s).normal([4])])
        },
    ]
}

/// The definition, out of simple ops.
fn composed(x: &Tensor, gain: &Tensor, bias: &Tensor, eps: f64) -> Tensor {
    let (shape, rows) = (*x.shape(), [x.shape().rows(), 1]);
    let scalar = |value| Tensor::from_f64(&x.device(), [], &[value]);
    let x = x.reshape([shape.rows(), shape.last()]);
    let centred = &x - &x.mean_axis(1).reshape(rows);
    let variance = (&centred * &centred).mean_axis(1).reshape(rows) + scalar(eps);
    // 1 / sqrt(variance) by Newton's method, each step of which has a gradient; below 300 it converges from 0.1.
    let mut rstd = variance.scale(0.0) + scalar(0.1);
    for _ in 0..30 {
        rstd = &rstd * (scalar(1.5) - (&variance * &rstd * &rstd).scale(0.5));
    }
    ((centred * rstd) * gain + bias).reshape(shape)
}

fn inputs(mut random: Inputs, shape: &[usize]) -> Vec<Tensor> {
    let n = shape[shape.len() - 1];
    vec![random.normal(crate::Shape::new(shape)), random.normal([n]), random.normal([n])]
}
