//! The output layer of a language model and its loss as one operation, so that the logits never exist as a whole.
//!
//! `x [N, D], weight [V, D], bias [V] (or none), targets [N] of u32 -> []`; with the row loss of
//! [`cross_entropy`](super::cross_entropy) and a factor s, such as 1 / targets,
//!
//! ```text
//! L = s sum_n loss(x_n W' + b, t_n)
//! ```
//!
//! Gradient: with G = s (softmax(z) - target distribution), the gradient of L in the logits, gx = G W, gW = G' x, and
//! gb is the sum of the rows of G. They are formed in the forward pass of a tracked x, block of rows by block of rows,
//! while the logits of the block are there (Hsu et al. 2024, arXiv:2410.10989); the backward pass multiplies them by
//! the cotangent, which is 1 for the loss of a training step.
//!
//! ```
//! use foundry_engine::{Device, Tensor};
//! let of = |shape: [usize; 2], x: &[f64]| Tensor::from_f64(&Device::cpu(), shape, x);
//! let (x, weight) = (of([1, 1], &[1.0]), of([2, 1], &[0.0, 3.0_f64.ln()]));
//! let targets = Tensor::from_u32(&Device::cpu(), [1], &[1]);
//! let loss = x.linear_cross_entropy(&weight, None, &targets, 0.0, 1.0);
//! assert!((loss.item() - (4.0_f64 / 3.0).ln()).abs() < 1e-15);
//! ```

use super::broadcast::Binary;
use super::linear::WeightLayout::OutIn;
use crate::case::{Cost, Function, Inputs, OpCase, TENSOR_CORES};
use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, Device, DeviceError, Differentiable, InputGrads, Op, Real,
    Saved, Spec, Specs, Tensor, apply_n, check, list, run,
};
use foundry_kernels::cpu::elementwise::broadcast::Binary as Kind;
use foundry_kernels::cpu::elementwise::reduce::sum;
use foundry_kernels::cpu::linear_cross_entropy::{self as kernel, Grads, Head};
use foundry_kernels::cuda::launch::NULL;
use foundry_kernels::cuda::linear_cross_entropy as on_cuda;

#[derive(Clone, Copy, Debug)]
struct LinearCrossEntropy {
    smoothing: f64,
    scale: f64,
    /// Whether the gradients are formed too.
    grads: bool,
}

impl Tensor {
    /// `scale` times the sum of the losses, in nats, of the logits `x weight' + bias` for targets `[N]` below V, or
    /// [`IGNORE`](super::cross_entropy::IGNORE).
    ///
    /// # Panics
    /// If the shapes do not fit, a target is out of range, or `smoothing` is not in `[0, 1]`.
    #[must_use]
    #[track_caller]
    pub fn linear_cross_entropy(
        &self,
        weight: &Self,
        bias: Option<&Self>,
        targets: &Self,
        smoothing: f64,
        scale: f64,
    ) -> Self {
        let mut inputs = vec![self, weight, targets];
        inputs.extend(bias);
        let grads = inputs.iter().any(|x| x.is_tracked());
        let op = LinearCrossEntropy { smoothing, scale, grads };
        if grads {
            return apply_n(op, &inputs).swap_remove(0);
        }
        let [loss] = run(op, &inputs);
        loss
    }
}

impl Op for LinearCrossEntropy {
    fn name(&self) -> &'static str {
        "linear_cross_entropy"
    }

    /// The loss, and the gradients of x, weight and bias.
    fn output(&self, inputs: &[Spec]) -> Specs {
        let [x, weight, targets, bias @ ..] = inputs else {
            panic!("linear_cross_entropy takes x, a weight, targets and maybe a bias")
        };
        check::float(self.name(), x);
        check::ids(self.name(), targets);
        check::same_dtype(self.name(), &[x, weight]);
        let (&[n, d], &[v, _]) = (x.shape.as_slice(), weight.shape.as_slice()) else {
            check::fail(self.name(), format!("x {x} and a weight {weight}"), "two axes each", "");
        };
        check::shape(self.name(), "weight", &weight.shape, [v, d]);
        check::shape(self.name(), "targets", &targets.shape, [n]);
        if let [bias] = bias {
            check::same_dtype(self.name(), &[x, bias]);
            check::shape(self.name(), "bias", &bias.shape, [v]);
        }
        let mut outputs = list![x.with_shape([])];
        if self.grads {
            outputs.extend([*x, *weight]);
            outputs.extend(bias.iter().copied());
        }
        outputs
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let [vocab, width] = a.sizes(a.shape(1).dims())?;
        let has_bias = a.len() == 4;
        let head = on_cuda::Head {
            x: a.x(0)?,
            weight: a.x(1)?,
            bias: if has_bias { a.x(3)? } else { NULL },
            targets: a.ids(2)?,
            rows: a.numel(2)?,
            width,
            vocab,
            smoothing: f32::from_f64(self.smoothing),
            scale: f32::from_f64(self.scale),
        };
        let grads = on_cuda::Grads {
            x: if self.grads { a.y(1)? } else { NULL },
            weight: if self.grads { a.y(2)? } else { NULL },
            bias: if self.grads && has_bias { a.y(3)? } else { NULL },
        };
        let scratch = a.scratch(head.scratch())?;
        a.launch(on_cuda::forward(&head, a.y(0)?, self.grads.then_some(&grads), scratch))
    }
}

impl CpuKernel for LinearCrossEntropy {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let [vocab, width] = a.shape(1).dims();
        let head = Head {
            x: a.x(0),
            weight: a.x(1),
            bias: (a.len() == 4).then(|| a.x(3)),
            targets: a.ids(2),
            width,
            vocab,
            smoothing: self.smoothing,
        };
        let mut nll = vec![R::ZERO; head.targets.len()];
        if self.grads {
            let (x, weight) = (a.y(1), a.y(2));
            let bias = head.bias.map(|_| a.y(3));
            kernel::with_grads(&head, self.scale, &mut nll, Grads { x, weight, bias });
        } else {
            kernel::forward(&head, &mut nll);
        }
        a.y(0)[0] = R::from_f64(self.scale * sum(&nll));
    }
}

impl Differentiable for LinearCrossEntropy {
    /// The gradients for a cotangent of 1.
    fn save(&self, _: &[&Tensor], y: &[Tensor]) -> Saved {
        y[1..].iter().cloned().collect()
    }

    fn vjp(&self, saved: &[Tensor], gy: &[Option<Tensor>], needs: &[bool]) -> InputGrads {
        let Some(gy) = &gy[0] else { return needs.iter().map(|_| None).collect() };
        // That of a training step is 1, and known to be: which spares a pass over the gradients, and a look at the device.
        let scaled = |g: &Tensor| match gy.constant() {
            Some(1.0) => g.clone(),
            _ => Binary(Kind::Mul).run(g, gy),
        };
        let [gx, gw, gb @ ..] = saved else { unreachable!("two or three tensors were saved") };
        let of = |i: usize, g: &Tensor| needs[i].then(|| scaled(g));
        let mut grads: InputGrads = list![of(0, gx), of(1, gw), None];
        grads.extend(gb.iter().map(|gb| of(3, gb)));
        grads
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |name, inputs: fn(u64) -> Vec<Tensor>, run: Function, reference: Function| OpCase {
        name,
        inputs,
        bench_inputs: None,
        // z, gx and gW
        cost: |x| Cost {
            flops: 6 * (x[0].shape.rows() * x[1].numel()) as u64,
            bytes: x.iter().map(Spec::bytes).sum::<usize>() as u64,
        },
        run,
        reference: Some(reference),
    };
    vec![
        OpCase {
            bench_inputs: Some(|s| inputs(Inputs::f32(s), 512, 256, 8000)),
            ..case(
                "bias, label smoothing, some rows ignored",
                |s| inputs(Inputs::f64(s), 7, 4, 5),
                |x| vec![x[0].linear_cross_entropy(&x[1], Some(&x[3]), &x[2], 0.1, 0.3)],
                |x| vec![composed(&x[0], &x[1], Some(&x[3]), &x[2], 0.1).scale(0.3)],
            )
        },
        case(
            "no bias",
            |s| inputs(Inputs::f64(s), 3, 4, 5)[..3].to_vec(),
            |x| vec![x[0].linear_cross_entropy(&x[1], None, &x[2], 0.0, 1.0)],
            |x| vec![composed(&x[0], &x[1], None, &x[2], 0.0)],
        ),
        case(
            TENSOR_CORES,
            |s| inputs(Inputs::f64(s), 17, 18, 19),
            |x| vec![x[0].linear_cross_entropy(&x[1], Some(&x[3]), &x[2], 0.1, 1.0)],
            |x| vec![composed(&x[0], &x[1], Some(&x[3]), &x[2], 0.1)],
        ),
        case(
            "sizes 1",
            |s| inputs(Inputs::f64(s), 1, 1, 1),
            |x| vec![x[0].linear_cross_entropy(&x[1], Some(&x[3]), &x[2], 0.0, 1.0)],
            |x| vec![composed(&x[0], &x[1], Some(&x[3]), &x[2], 0.0)],
        ),
        case(
            "no rows",
            |s| inputs(Inputs::f64(s), 0, 4, 5),
            |x| vec![x[0].linear_cross_entropy(&x[1], Some(&x[3]), &x[2], 0.0, 1.0)],
            |x| vec![composed(&x[0], &x[1], Some(&x[3]), &x[2], 0.0)],
        ),
    ]
}

fn composed(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    targets: &Tensor,
    smoothing: f64,
) -> Tensor {
    x.linear(weight, bias, OutIn).cross_entropy(targets, smoothing).sum()
}

/// x, weight, targets of which every third is ignored, bias.
fn inputs(mut random: Inputs, n: usize, d: usize, v: u32) -> Vec<Tensor> {
    let (x, weight) = (random.normal([n, d]), random.normal([v as usize, d]));
    let ids = random.ids([n], v).to_vec_u32();
    let ignored = super::cross_entropy::IGNORE;
    let targets: Vec<u32> =
        ids.iter().enumerate().map(|(i, &id)| if i % 3 == 1 { ignored } else { id }).collect();
    let targets = Tensor::from_u32(&Device::cpu(), [n], &targets);
    vec![x, weight, targets, random.normal([v as usize])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tape;

    #[test]
    fn test_linear_cross_entropy__tracked_or_not_the_loss_has_the_same_bits() {
        let x = inputs(Inputs::f32(1), 20, 8, 30);
        let tape = Tape::new();
        let tracked = tape.leaf(&x[0]);

        let alone = x[0].linear_cross_entropy(&x[1], Some(&x[3]), &x[2], 0.1, 0.5);
        let loss = tracked.linear_cross_entropy(&x[1], Some(&x[3]), &x[2], 0.1, 0.5);

        assert_eq!(alone.to_vec::<f32>(), loss.to_vec::<f32>());
    }
}
