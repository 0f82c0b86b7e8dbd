//! Sequences read from their ends, padding left where it is: what the backward direction of a bidirectional layer reads.
//!
//! `x [B, T, D] -> [B, T, D]`. Of sequence b the first n tokens are real (the ones with which row b of
//! `mask [B, T]` of u32 begins; all T without a mask):
//!
//! ```text
//! y[b, t] = x[b, n - 1 - t]   for t < n
//! y[b, t] = x[b, t]           behind them
//! ```
//!
//! A recurrent layer that reads y meets the last real token first and the padding last, so that no padding reaches a
//! real position. Every element moves to one place, and twice is once back: so the gradient is the same op on gy.
//!
//! ```
//! use foundry_engine::{Device, Tensor};
//! let x = Tensor::from_f32(&Device::cpu(), [1, 4, 1], &[1.0, 2.0, 3.0, 0.0]);
//! let mask = Tensor::from_u32(&Device::cpu(), [1, 4], &[1, 1, 1, 0]);
//! assert_eq!(x.reverse_padded(Some(&mask)).to_vec::<f32>(), [3.0, 2.0, 1.0, 0.0]);
//! assert_eq!(x.reverse_padded(None).to_vec::<f32>(), [0.0, 3.0, 2.0, 1.0]);
//! ```

use crate::case::{Cost, Function, Inputs, OpCase};
use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, Device, DeviceError, Differentiable, InputGrads, Op, Real,
    Saved, Spec, Specs, Tensor, apply, check, list, run,
};
use foundry_kernels::cpu::reverse as kernel;
use foundry_kernels::cuda::launch::NULL;
use foundry_kernels::cuda::reverse::reverse_padded as on_cuda;

/// Inputs: x, and the mask, if there is one.
#[derive(Debug)]
struct ReversePadded;

impl Tensor {
    /// Each sequence of `[B, T, D]` from its last real token to its first; `mask [B, T]` is 1 at its tokens, which
    /// come first, and 0 at the padding behind them, which stays.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[must_use]
    #[track_caller]
    pub fn reverse_padded(&self, mask: Option<&Self>) -> Self {
        let inputs: Vec<&Self> = std::iter::once(self).chain(mask).collect();
        let [y] = apply(ReversePadded, &inputs);
        y
    }
}

impl Op for ReversePadded {
    fn name(&self) -> &'static str {
        "reverse_padded"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        let (op, sequences) = (self.name(), x[0]);
        check::float(op, &sequences);
        let &[batch, time, _] = sequences.shape.as_slice() else {
            check::fail(op, sequences, "[batch, time, width]", "")
        };
        if let Some(mask) = x.get(1) {
            check::ids(op, mask);
            check::shape(op, "mask", &mask.shape, [batch, time]);
        }
        list![sequences]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let mask = if a.len() > 1 { a.ids(1)? } else { NULL };
        a.launch([on_cuda(a.x(0)?, mask, a.y(0)?, a.sizes(a.shape(0).dims())?)])
    }
}

impl CpuKernel for ReversePadded {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let mask = (a.len() > 1).then(|| a.ids(1));
        kernel::reverse_padded(a.x(0), mask, a.shape(0).dims(), a.y(0));
    }
}

impl Differentiable for ReversePadded {
    fn save(&self, x: &[&Tensor], _: &[Tensor]) -> Saved {
        x[1..].iter().copied().cloned().collect()
    }

    fn vjp(&self, mask: &[Tensor], gy: &[Option<Tensor>], _: &[bool]) -> InputGrads {
        let grad = |gy| run::<1>(Self, &std::iter::once(gy).chain(mask).collect::<Vec<_>>());
        let x = gy[0].as_ref().map(grad).map(|[g]| g);
        std::iter::once(x).chain(mask.iter().map(|_| None)).collect()
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |name, inputs: fn(u64) -> Vec<Tensor>, run: Function| OpCase {
        name,
        inputs,
        bench_inputs: None,
        cost: |x| Cost { flops: 0, ..Cost::streaming(x, &x[0]) },
        run,
        reference: Some(composed),
    };
    let run: Function = |x| vec![x[0].reverse_padded(x.get(1))];
    vec![
        OpCase {
            bench_inputs: Some(|s| inputs(Inputs::f32(s), [32, 64, 256])),
            ..case("padded", |s| inputs(Inputs::f64(s), [4, 3, 2]), run)
        },
        case("no mask", |s| inputs(Inputs::f64(s), [2, 3, 2]).drain(..1).collect(), run),
        case("no steps", |s| inputs(Inputs::f64(s), [2, 0, 2]), run),
        case("no sequences", |s| inputs(Inputs::f64(s), [0, 3, 2]), run),
    ]
}

/// Token by token, out of split and concat.
fn composed(x: &[Tensor]) -> Vec<Tensor> {
    let [batch, time, width] = x[0].dims();
    let mask = x.get(1).map(Tensor::to_vec_u32);
    let tokens = x[0].reshape([batch * time, width]).split(0, &vec![1; batch * time]);
    let mut order = vec![Tensor::zeros(&x[0].device(), x[0].spec().with_shape([0, width]))];
    for b in 0..batch {
        let n = mask
            .as_ref()
            .map_or(time, |m| m[b * time..][..time].iter().map(|m| usize::from(*m != 0)).sum());
        let place = |t: usize| b * time + if t < n { n - 1 - t } else { t };
        order.extend((0..time).map(|t| tokens[place(t)].clone()));
    }
    let y = Tensor::concat(&order.iter().collect::<Vec<_>>(), 0);
    vec![y.reshape([batch, time, width])]
}

/// x of sizes B, T, D, and a mask whose rows have T, T - 1, ... tokens, down to none.
fn inputs(mut random: Inputs, [b, t, d]: [usize; 3]) -> Vec<Tensor> {
    let mask: Vec<u32> = (0..b * t).map(|i| u32::from(i % t + i / t < t)).collect();
    vec![random.normal([b, t, d]), Tensor::from_u32(&Device::cpu(), [b, t], &mask)]
}
