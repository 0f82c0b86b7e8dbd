//! The loss of a classifier over n classes: minus the log-probability of the right class, in nats.
//!
//! `logits [..., n], targets [...] of u32 -> [...]`; for a row z of logits, target t and label smoothing e
//!
//! ```text
//! y = -(1 - e) log p_t - e/n sum_j log p_j,     log p_j = z_j - log sum_k exp(z_k)
//! ```
//!
//! as `torch.nn.functional.cross_entropy` with `reduction="none"`. A row whose target is [`IGNORE`] has the loss 0.
//! Gradient: d log p_j / dz_k = [j = k] - p_k and the weights 1 - e and e/n (n times) add up to 1, so
//! gz_k = gy (p_k - (1 - e) [k = t] - e/n). Probabilities are never stored: log sum exp is kept, one number a row.
//!
//! ```
//! use foundry_engine::{Device, Tensor};
//! let logits = Tensor::from_f64(&Device::cpu(), [1, 2], &[0.0, 3.0_f64.ln()]);
//! let loss = logits.cross_entropy(&Tensor::from_u32(&Device::cpu(), [1], &[1]), 0.0);
//! assert!((loss.item() - (4.0_f64 / 3.0).ln()).abs() < 1e-15);
//! ```

use crate::case::{Cost, Inputs, OpCase};
use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, Device, DeviceError, Differentiable, InputGrads, Op, Real,
    Saved, Shape, Spec, Specs, Tensor, apply, check, list, run,
};
use foundry_kernels::cpu::cross_entropy as kernel;
pub use foundry_kernels::cpu::cross_entropy::IGNORE;
use foundry_kernels::cuda::cross_entropy as on_cuda;

#[derive(Clone, Copy, Debug)]
struct CrossEntropy {
    smoothing: f64,
}

#[derive(Debug)]
struct Backward(CrossEntropy);

impl Tensor {
    /// The loss of every row, in nats, of logits `[..., n]` for targets `[...]` below n, or [`IGNORE`].
    ///
    /// # Panics
    /// If the shapes do not fit, a target is out of range, or `smoothing` is not in `[0, 1]`.
    #[must_use]
    #[track_caller]
    pub fn cross_entropy(&self, targets: &Self, smoothing: f64) -> Self {
        let [nll, _lse] = apply(CrossEntropy { smoothing }, &[self, targets]);
        nll
    }
}

impl Op for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    /// The loss and the log-sum-exp of every row.
    fn output(&self, x: &[Spec]) -> Specs {
        let [logits, targets] = x else { panic!("cross_entropy takes logits and targets") };
        check::float(self.name(), logits);
        check::ids(self.name(), targets);
        let Some((_, rows)) = logits.shape.as_slice().split_last() else {
            check::fail(self.name(), logits, "logits with a last axis of classes", "")
        };
        check::shape(self.name(), "targets", &targets.shape, Shape::new(rows));
        let per_row = logits.with_shape(targets.shape);
        list![per_row, per_row]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let sizes = a.sizes([a.shape(0).rows(), a.shape(0).last()])?;
        let smoothing = f32::from_f64(self.smoothing);
        a.launch([on_cuda::forward([a.x(0)?, a.ids(1)?], a.outputs()?, sizes, smoothing)])
    }
}

impl CpuKernel for CrossEntropy {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let (logits, targets, classes) = (a.x(0), a.ids(1), a.shape(0).last());
        let [nll, lse] = a.outputs();
        kernel::forward(logits, targets, classes, self.smoothing, nll, lse);
    }
}

impl Differentiable for CrossEntropy {
    fn save(&self, x: &[&Tensor], y: &[Tensor]) -> Saved {
        list![x[0].clone(), x[1].clone(), y[1].clone()]
    }

    fn vjp(&self, saved: &[Tensor], gy: &[Option<Tensor>], _: &[bool]) -> InputGrads {
        let Some(gy) = &gy[0] else { return list![None, None] };
        let [logits, targets, lse] = saved else { unreachable!("three tensors were saved") };
        let [gz] = run(Backward(*self), &[logits, targets, lse, gy]);
        list![Some(gz), None]
    }
}

impl Op for Backward {
    fn name(&self) -> &'static str {
        "cross_entropy_backward"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        list![x[0]]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let sizes = a.sizes([a.shape(0).rows(), a.shape(0).last()])?;
        let x = [a.x(0)?, a.ids(1)?, a.x(2)?, a.x(3)?];
        let smoothing = f32::from_f64(self.0.smoothing);
        a.launch([on_cuda::backward(x, a.y(0)?, sizes, smoothing)])
    }
}

impl CpuKernel for Backward {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let (logits, targets, classes) = (a.x(0), a.ids(1), a.shape(0).last());
        let (lse, gy, [gz]) = (a.x(2), a.x(3), a.outputs());
        kernel::backward(logits, targets, classes, self.0.smoothing, lse, gy, gz);
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |name, inputs: fn(u64) -> Vec<Tensor>| OpCase {
        name,
        inputs,
        bench_inputs: None,
        cost: |x| Cost::streaming(x, &x[1]),
        run: |x| vec![x[0].cross_entropy(&x[1], 0.0)],
        reference: Some(|x| vec![composed(&x[0], &x[1], 0.0)]),
    };
    vec![
        OpCase {
            bench_inputs: Some(|s| inputs(Inputs::f32(s), &[512], 8000)),
            ..case("some rows ignored", |s| inputs(Inputs::f64(s), &[2, 3], 5))
        },
        OpCase {
            run: |x| vec![x[0].cross_entropy(&x[1], 0.1)],
            reference: Some(|x| vec![composed(&x[0], &x[1], 0.1)]),
            ..case("label smoothing", |s| inputs(Inputs::f64(s), &[6], 4))
        },
        case("one class", |s| inputs(Inputs::f64(s), &[2], 1)),
        case("no rows", |s| inputs(Inputs::f64(s), &[0], 4)),
    ]
}

/// The definition: log-probabilities, weighted by minus the target distribution, added up.
fn composed(logits: &Tensor, targets: &Tensor, smoothing: f64) -> Tensor {
    let classes = logits.shape().last();
    #[expect(clippy::cast_precision_loss, reason = "a number of classes")]
    let spread = smoothing / classes as f64;
    let weights = |&target: &u32| {
        let on = move |class: usize| if class == target as usize { 1.0 - smoothing } else { 0.0 };
        let weight = move |class| if target == IGNORE { 0.0 } else { -on(class) - spread };
        (0..classes).map(weight)
    };
    let weights: Vec<f64> = targets.to_vec_u32().iter().flat_map(weights).collect();
    let weights = Tensor::from_f64(&logits.device(), *logits.shape(), &weights);
    (logits.log_softmax() * weights).sum_axis(logits.shape().rank() - 1)
}

/// Logits, and targets of which every third is [`IGNORE`].
fn inputs(mut random: Inputs, rows: &[usize], classes: u32) -> Vec<Tensor> {
    let rows = Shape::new(rows);
    let logits = random.normal([rows.numel(), classes as usize]);
    let ids = random.ids(rows, classes).to_vec_u32();
    let targets: Vec<u32> =
        (0..).zip(ids).map(|(i, id)| if i % 3 == 1 { IGNORE } else { id }).collect();
    let shape = Shape::new(&[rows.as_slice(), &[classes as usize]].concat());
    vec![logits.reshape(shape), Tensor::from_u32(&Device::cpu(), rows, &targets)]
}
