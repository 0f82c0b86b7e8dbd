//! A whole vanilla RNN layer over a batch of sequences, as one op (Elman 1990; numbers as `torch.nn.RNN`).
//!
//! `x [B, T, D], W_ih [H, D], W_hh [H, H], b_ih [H], b_hh [H], h_0 [B, H] -> y [B, T, H], h_n [B, H]`; for t = 1 .. T,
//! with f either tanh or max(., 0)
//!
//! ```text
//! h_t = f(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh)          y = h_1 .. h_T
//! ```
//!
//! Gradient, backwards through time: ga = gh_t f', where f' follows from h_t (1 - h^2 for tanh; 1 where h > 0 for
//! max(., 0), and 0 at the kink, as torch has it); then gh_(t-1) = W_hh^T ga. All steps at once: gW_ih = sum ga x^T,
//! gW_hh = sum ga h_(t-1)^T, gb = sum ga, gx = W_ih^T ga. Nothing but y is kept.
//!
//! ```
//! use foundry_engine::{Device, DType, Shape, Spec, Tensor};
//! use foundry_engine::ops::{recurrent::LayerWeights, rnn::{Nonlinearity, rnn_sequence}};
//! let (zero, one) = (|s: &[usize]| Tensor::zeros(&Device::cpu(), Spec::new(Shape::new(s), DType::F32)),
//!                    Tensor::from_f32(&Device::cpu(), [1, 1], &[1.0]));
//! let (two, b) = (Tensor::from_f32(&Device::cpu(), [1, 1], &[2.0]), zero(&[1]));
//! let w = LayerWeights { w_ih: &one, w_hh: &two, b_ih: &b, b_hh: &b };
//! let x = Tensor::from_f32(&Device::cpu(), [1, 3, 1], &[1.0, 1.0, -9.0]);
//! let out = rnn_sequence(Nonlinearity::Relu, &x, &w, &zero(&[1, 1]));
//! assert_eq!(out.y.to_vec::<f32>(), [1.0, 3.0, 0.0]);
//! ```

use super::linear::WeightLayout;
use super::recurrent::{self, LayerWeights, sizes, weights};
use crate::case::{Function, Inputs, OpCase, TENSOR_CORES};
use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, DeviceError, Differentiable, InputGrads, Op, Real, Saved,
    Spec, Specs, Tensor, apply, list, run,
};
use foundry_kernels::cpu::rnn as kernel;
use foundry_kernels::cuda::recurrent::Weights;
use foundry_kernels::cuda::rnn as on_cuda;

pub use foundry_kernels::cpu::rnn::Nonlinearity;

/// What a layer gives.
#[derive(Clone, Debug)]
pub struct RnnOutput {
    /// h of every step, `[B, T, H]`.
    pub y: Tensor,
    /// h after the last step, `[B, H]`.
    pub h_n: Tensor,
}

#[derive(Debug)]
struct RnnSequence {
    f: Nonlinearity,
}

/// Inputs: x, W_ih, W_hh, b_ih, b_hh, h_0, y, then those of gy, gh_n that are given.
#[derive(Debug)]
struct Backward {
    f: Nonlinearity,
    given: [bool; 2],
}

/// Runs a layer over x `[B, T, D]` from the state h_0 `[B, H]`.
///
/// # Panics
/// If the shapes do not fit.
#[must_use]
#[track_caller]
pub fn rnn_sequence(f: Nonlinearity, x: &Tensor, w: &LayerWeights<'_>, h_0: &Tensor) -> RnnOutput {
    let [y, h_n] = apply(RnnSequence { f }, &w.inputs(x, [h_0]));
    RnnOutput { y, h_n }
}

impl Op for RnnSequence {
    fn name(&self) -> &'static str {
        "rnn_sequence"
    }

    /// y and h_n.
    fn output(&self, x: &[Spec]) -> Specs {
        let l = recurrent::check(self.name(), 1, x, &["h_0"]);
        list![x[0].with_shape([l.batch, l.time, l.hidden]), x[5]]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let l = recurrent::cuda_sizes(a)?;
        let scratch = a.scratch(on_cuda::forward_scratch(&l))?;
        let (x, w) = ([a.x(0)?, a.x(5)?], recurrent::cuda_weights(a)?);
        a.launch(on_cuda::forward(&l, self.f, &w, x, a.outputs()?, scratch))
    }
}

impl CpuKernel for RnnSequence {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let sizes = sizes(a.shape(0), a.shape(5));
        let [y, h_n] = a.outputs();
        let out = kernel::Outputs { y, h_n };
        kernel::forward(&sizes, self.f, a.x(0), &weights(&a), a.x(5), out);
    }
}

impl Differentiable for RnnSequence {
    fn save(&self, x: &[&Tensor], y: &[Tensor]) -> Saved {
        x.iter().copied().chain([&y[0]]).cloned().collect()
    }

    fn vjp(&self, saved: &[Tensor], gy: &[Option<Tensor>], _: &[bool]) -> InputGrads {
        let given = [0, 1].map(|i: usize| gy[i].is_some());
        let x: Vec<&Tensor> = saved.iter().chain(gy.iter().flatten()).collect();
        let [x, w_ih, w_hh, b_ih, b_hh, h_0, _scratch] = run(Backward { f: self.f, given }, &x);
        [x, w_ih, w_hh, b_ih, b_hh, h_0].into_iter().map(Some).collect()
    }
}

impl Op for Backward {
    fn name(&self) -> &'static str {
        "rnn_sequence_backward"
    }

    /// The six gradients, and scratch memory, which thus comes from the pool.
    fn output(&self, x: &[Spec]) -> Specs {
        let scratch = kernel::backward_scratch(&sizes(&x[0].shape, &x[5].shape));
        x[..6].iter().copied().chain([x[0].with_shape([scratch])]).collect()
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let l = recurrent::cuda_sizes(a)?;
        let saved = [a.x(0)?, a.x(5)?, a.x(6)?];
        let cotangents = recurrent::given(a, 7, self.given)?;
        let [x, w_ih, w_hh, b_ih, b_hh, h_0] = a.outputs()?;
        let grads = on_cuda::Grads { x, w: Weights { w_ih, w_hh, b_ih, b_hh }, h_0 };
        let scratch = a.scratch(on_cuda::backward_scratch(&l))?;
        let w = recurrent::cuda_weights(a)?;
        a.launch(on_cuda::backward(&l, self.f, &w, saved, cotangents, &grads, scratch))
    }
}

impl CpuKernel for Backward {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let sizes = sizes(a.shape(0), a.shape(5));
        let saved = kernel::Saved { x: a.x(0), h0: a.x(5), y: a.x(6) };
        let mut next = 7..;
        let [y, h_n] =
            self.given.map(|given| if given { next.next().map(|i| a.x(i)) } else { None });
        let w = weights(&a);
        let [x, w_ih, w_hh, b_ih, b_hh, h0, scratch] = a.outputs();
        let grads = kernel::Grads { x, w_ih, w_hh, b_ih, b_hh, h0 };
        let cotangents = kernel::Cotangents { y, h_n };
        kernel::backward(&sizes, self.f, &w, &saved, cotangents, grads, scratch);
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    use Nonlinearity::{Relu, Tanh};
    let case = |name, inputs: fn(u64) -> Vec<Tensor>, run: Function, reference: Function| OpCase {
        name,
        inputs,
        bench_inputs: None,
        cost: recurrent::cost,
        run,
        reference: Some(reference),
    };
    let (tanh, tanh_composed): (Function, Function) = (|x| layer(Tanh, x), |x| composed(Tanh, x));
    let (relu, relu_composed): (Function, Function) = (|x| layer(Relu, x), |x| composed(Relu, x));
    vec![
        OpCase {
            bench_inputs: Some(|s| inputs(Inputs::f32(s), [32, 64, 256, 256])),
            ..case("tanh", |s| inputs(Inputs::f64(s), [3, 4, 2, 3]), tanh, tanh_composed)
        },
        case("relu", |s| inputs(Inputs::f64(s), [3, 4, 2, 3]), relu, relu_composed),
        case(
            "y only",
            |s| inputs(Inputs::f64(s), [2, 3, 1, 2]),
            |x| layer(Tanh, x).drain(..1).collect(),
            |x| composed(Tanh, x).drain(..1).collect(),
        ),
        case(
            "last state only",
            |s| inputs(Inputs::f64(s), [2, 3, 1, 2]),
            |x| layer(Relu, x).drain(1..).collect(),
            |x| composed(Relu, x).drain(1..).collect(),
        ),
        case(
            "more sequences than a task takes",
            |s| inputs(Inputs::f64(s), [17, 2, 1, 1]),
            tanh,
            tanh_composed,
        ),
        case(TENSOR_CORES, |s| inputs(Inputs::f64(s), [8, 2, 16, 16]), tanh, tanh_composed),
        case("no steps", |s| inputs(Inputs::f64(s), [2, 0, 2, 2]), tanh, tanh_composed),
        case("no sequences", |s| inputs(Inputs::f64(s), [0, 2, 2, 2]), relu, relu_composed),
    ]
}

/// The definition, step by step, out of simple ops.
fn composed(f: Nonlinearity, x: &[Tensor]) -> Vec<Tensor> {
    let [x, w_ih, w_hh, b_ih, b_hh, h] = x else { unreachable!("six inputs") };
    let (y, h_n) = recurrent::unrolled(x, h, |x_t, h| {
        let from_x = x_t.linear(w_ih, Some(b_ih), WeightLayout::OutIn);
        let sum = from_x + h.linear(w_hh, Some(b_hh), WeightLayout::OutIn);
        match f {
            Nonlinearity::Tanh => sum.tanh(),
            Nonlinearity::Relu => sum.relu(),
        }
    });
    vec![y, h_n]
}

fn layer(f: Nonlinearity, x: &[Tensor]) -> Vec<Tensor> {
    let out = rnn_sequence(f, &x[0], &LayerWeights::of(x), &x[5]);
    vec![out.y, out.h_n]
}

fn inputs(random: Inputs, sizes: [usize; 4]) -> Vec<Tensor> {
    recurrent::inputs(random, 1, 1, sizes)
}
