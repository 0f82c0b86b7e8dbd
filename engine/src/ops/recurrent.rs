//! What the ops of whole recurrent layers have in common: parameters, shape rule, inputs of cases.
//!
//! B batch, T time, D width of the input, H width of the state, G gates.

use crate::case::{Cost, Inputs};
use crate::{Args, CudaArgs, DeviceError, Real, Shape, Spec, Tensor, check};
use foundry_kernels::cpu::recurrent as kernel;
use foundry_kernels::cuda::launch::{NULL, Pointer};
use foundry_kernels::cuda::recurrent::{Sequence, Weights};

/// The parameters of a layer (of one direction), as torch.nn names and lays them out.
#[derive(Clone, Copy, Debug)]
pub struct LayerWeights<'a> {
    /// `[G H, D]`.
    pub w_ih: &'a Tensor,
    /// `[G H, H]`.
    pub w_hh: &'a Tensor,
    /// `[G H]`.
    pub b_ih: &'a Tensor,
    /// `[G H]`.
    pub b_hh: &'a Tensor,
}

impl<'a> LayerWeights<'a> {
    /// The inputs of an op: x, the weights, and what follows.
    pub(super) fn inputs<const N: usize>(
        &self,
        x: &'a Tensor,
        state: [&'a Tensor; N],
    ) -> Vec<&'a Tensor> {
        [x, self.w_ih, self.w_hh, self.b_ih, self.b_hh].into_iter().chain(state).collect()
    }

    /// The weights among the inputs of a case.
    pub(super) fn of(x: &'a [Tensor]) -> Self {
        Self { w_ih: &x[1], w_hh: &x[2], b_ih: &x[3], b_hh: &x[4] }
    }
}

/// The weights among the inputs x, W_ih, W_hh, b_ih, b_hh.
pub(super) fn weights<'a, R: Real>(a: &Args<'a, R>) -> kernel::Weights<'a, R> {
    kernel::Weights { w_ih: a.x(1), w_hh: a.x(2), b_ih: a.x(3), b_hh: a.x(4) }
}

/// B, T, D, H of x and h_0.
pub(super) fn sizes(x: &Shape, h_0: &Shape) -> kernel::Layer {
    let ([batch, time, input], [_, hidden]) = (x.dims(), h_0.dims());
    kernel::Layer { batch, time, input, hidden }
}

/// B, T, D, H of the inputs x and h_0 on a GPU.
pub(super) fn cuda_sizes(a: &CudaArgs<'_>) -> Result<Sequence, DeviceError> {
    let l = sizes(a.shape(0), a.shape(5));
    let [batch, time, input, hidden] = a.sizes([l.batch, l.time, l.input, l.hidden])?;
    Ok(Sequence { batch, time, input, hidden })
}

/// The weights among the inputs, on a GPU.
pub(super) fn cuda_weights(a: &CudaArgs<'_>) -> Result<Weights, DeviceError> {
    Ok(Weights { w_ih: a.x(1)?, w_hh: a.x(2)?, b_ih: a.x(3)?, b_hh: a.x(4)? })
}

/// The cotangents that are given, the inputs `first ..`; null for the others.
pub(super) fn given<const N: usize>(
    a: &CudaArgs<'_>,
    first: usize,
    given: [bool; N],
) -> Result<[Pointer; N], DeviceError> {
    let mut all = [NULL; N];
    let there = all.iter_mut().zip(given).filter(|(_, given)| *given);
    for (i, (at, _)) in there.enumerate() {
        *at = a.x(first + i)?;
    }
    Ok(all)
}

/// The shape rule of the inputs x, W_ih, W_hh, b_ih, b_hh and the state.
#[track_caller]
pub(super) fn check(op: &str, gates: usize, inputs: &[Spec], state: &[&str]) -> kernel::Layer {
    assert_eq!(inputs.len(), 5 + state.len(), "{op}: the number of inputs");
    let [x, w_ih, w_hh, b_ih, b_hh, state_specs @ ..] = inputs else {
        panic!("{op}: the number of inputs")
    };
    check::float(op, x);
    check::same_dtype(op, &inputs.iter().collect::<Vec<_>>());
    let &[batch, time, input] = x.shape.as_slice() else {
        check::fail(op, x, "[batch, time, width]", "")
    };
    let &[_, hidden] = w_hh.shape.as_slice() else {
        check::fail(op, w_hh, &format!("W_hh [{gates} hidden, hidden]"), "")
    };
    let rows = gates * hidden;
    check::shape(op, "W_ih", &w_ih.shape, [rows, input]);
    check::shape(op, "W_hh", &w_hh.shape, [rows, hidden]);
    check::shape(op, "b_ih", &b_ih.shape, [rows]);
    check::shape(op, "b_hh", &b_hh.shape, [rows]);
    for (name, given) in state.iter().zip(state_specs) {
        check::shape(op, name, &given.shape, [batch, hidden]);
    }
    kernel::Layer { batch, time, input, hidden }
}

/// The products with W_ih and W_hh at every step.
pub(super) fn cost(x: &[Spec]) -> Cost {
    let l = sizes(&x[0].shape, &x[5].shape);
    let [rows, _] = x[1].shape.dims();
    let flops = 2 * l.batch * l.time * rows * (l.input + l.hidden);
    Cost {
        flops: flops as u64,
        ..Cost::streaming(x, &x[0].with_shape([l.batch, l.time, l.hidden]))
    }
}

/// Inputs of a case for sizes B, T, D, H, with so many tensors of state; weights scaled so that what stands
/// before the non-linearities is of order 1.
pub(super) fn inputs(
    mut random: Inputs,
    gates: usize,
    state: usize,
    [b, t, d, h]: [usize; 4],
) -> Vec<Tensor> {
    #[expect(clippy::cast_precision_loss, reason = "a width")]
    let scale = 1.0 / (h.max(1) as f64).sqrt();
    let x = random.normal([b, t, d]);
    let rows = gates * h;
    let [w_ih, w_hh] = [[rows, d], [rows, h]].map(|shape| random.map(shape, |w| scale * w));
    let [b_ih, b_hh] = [[rows], [rows]].map(|shape| random.normal(shape));
    let mut inputs = vec![x, w_ih, w_hh, b_ih, b_hh];
    inputs.extend((0..state).map(|_| random.normal([b, h])));
    inputs
}

/// x `[B, T, D]` step by step: `step` goes from x_t `[B, D]` and h to the next h; y, h_n.
pub(super) fn unrolled(
    x: &Tensor,
    h_0: &Tensor,
    mut step: impl FnMut(&Tensor, &Tensor) -> Tensor,
) -> (Tensor, Tensor) {
    let ([batch, time, input], [_, hidden]) = (x.dims(), h_0.dims());
    let mut h = h_0.clone();
    let mut y = vec![Tensor::zeros(&x.device(), x.spec().with_shape([batch, 0, hidden]))];
    for x_t in x.split(1, &vec![1; time]) {
        h = step(&x_t.reshape([batch, input]), &h);
        y.push(h.reshape([batch, 1, hidden]));
    }
    (Tensor::concat(&y.iter().collect::<Vec<_>>(), 1), h)
}
