//! A whole GRU layer over a batch of sequences, as one op (Cho et al. 2014; numbers as `torch.nn.GRU`).
//!
//! `x [B, T, D], W_ih [3 H, D], W_hh [3 H, H], b_ih [3 H], b_hh [3 H], h_0 [B, H] -> y [B, T, H], h_n [B, H]`;
//! for t = 1 .. T
//!
//! ```text
//! r, z = sigmoid of the first two thirds of W_ih x_t + b_ih + W_hh h_(t-1) + b_hh
//! m    = the last third of W_hh h_(t-1) + b_hh
//! n    = tanh(the last third of W_ih x_t + b_ih, + r m)
//! h_t  = (1 - z) n + z h_(t-1)          y = h_1 .. h_T
//! ```
//!
//! Gradient, backwards through time: with g = gh_t, ga_n = g (1-z) (1-n^2), ga_r = ga_n m r(1-r),
//! ga_z = g (h_(t-1) - n) z(1-z), gm = ga_n r; then gh_(t-1) = g z + W_hh^T [ga_r, ga_z, gm]. All steps at once:
//! gW_ih = sum [ga_r, ga_z, ga_n] x^T, gW_hh = sum [ga_r, ga_z, gm] h_(t-1)^T, gb_ih and gb_hh the sums without x and
//! h, gx = W_ih^T [ga_r, ga_z, ga_n].
//! n, r, z and m of all steps are kept.
//!
//! ```
//! use foundry_engine::{Device, DType, Shape, Spec, Tensor, ops::{gru::gru_sequence, recurrent::LayerWeights}};
//! let zeros = |s: &[usize]| Tensor::zeros(&Device::cpu(), Spec::new(Shape::new(s), DType::F32));
//! let (w_ih, w_hh, b) = (zeros(&[3, 3]), zeros(&[3, 1]), zeros(&[3]));
//! let w = LayerWeights { w_ih: &w_ih, w_hh: &w_hh, b_ih: &b, b_hh: &b };
//! let one = Tensor::from_f32(&Device::cpu(), [1, 1], &[1.0]);
//! let out = gru_sequence(&zeros(&[1, 2, 3]), &w, &one);
//! assert_eq!(out.h_n.to_vec::<f32>(), [0.25]); // two steps with an update gate of one half
//! ```

use super::linear::WeightLayout;
use super::recurrent::{self, LayerWeights, sizes, weights};
use crate::case::{Function, Inputs, OpCase, TENSOR_CORES};
use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, DeviceError, Differentiable, InputGrads, Op, Real, Saved,
    Spec, Specs, Tensor, apply, list, run,
};
use foundry_kernels::cpu::gru as kernel;
use foundry_kernels::cuda::gru as on_cuda;
use foundry_kernels::cuda::recurrent::Weights;

/// r, z, n.
const GATES: usize = 3;

/// What a layer gives.
#[derive(Clone, Debug)]
pub struct GruOutput {
    /// h of every step, `[B, T, H]`.
    pub y: Tensor,
    /// h after the last step, `[B, H]`.
    pub h_n: Tensor,
    /// n, r, z, m of every step, `[B, T, 4 H]`, to look at: not tracked.
    pub gates: Tensor,
}

#[derive(Debug)]
struct GruSequence;

/// Inputs: x, W_ih, W_hh, b_ih, b_hh, h_0, y, gates, then those of gy, gh_n that are given.
#[derive(Debug)]
struct Backward {
    given: [bool; 2],
}

/// Runs a layer over x `[B, T, D]` from the state h_0 `[B, H]`.
///
/// # Panics
/// If the shapes do not fit.
#[must_use]
#[track_caller]
pub fn gru_sequence(x: &Tensor, w: &LayerWeights<'_>, h_0: &Tensor) -> GruOutput {
    let [y, h_n, gates] = apply(GruSequence, &w.inputs(x, [h_0]));
    GruOutput { y, h_n, gates: gates.detach() }
}

impl Op for GruSequence {
    fn name(&self) -> &'static str {
        "gru_sequence"
    }

    /// y, h_n and the gates.
    fn output(&self, x: &[Spec]) -> Specs {
        let l = recurrent::check(self.name(), GATES, x, &["h_0"]);
        let steps = |width| x[0].with_shape([l.batch, l.time, width]);
        list![steps(l.hidden), x[5], steps(4 * l.hidden)]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let l = recurrent::cuda_sizes(a)?;
        let scratch = a.scratch(on_cuda::forward_scratch(&l))?;
        let (x, w) = ([a.x(0)?, a.x(5)?], recurrent::cuda_weights(a)?);
        a.launch(on_cuda::forward(&l, &w, x, a.outputs()?, scratch))
    }
}

impl CpuKernel for GruSequence {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let sizes = sizes(a.shape(0), a.shape(5));
        let [y, h_n, gates] = a.outputs();
        kernel::forward(&sizes, a.x(0), &weights(&a), a.x(5), kernel::Outputs { y, h_n, gates });
    }
}

impl Differentiable for GruSequence {
    fn save(&self, x: &[&Tensor], y: &[Tensor]) -> Saved {
        x.iter().copied().chain([&y[0], &y[2]]).cloned().collect()
    }

    fn vjp(&self, saved: &[Tensor], gy: &[Option<Tensor>], _: &[bool]) -> InputGrads {
        let gy = &gy[..2];
        let given = [0, 1].map(|i: usize| gy[i].is_some());
        let x: Vec<&Tensor> = saved.iter().chain(gy.iter().flatten()).collect();
        let [x, w_ih, w_hh, b_ih, b_hh, h_0, _scratch] = run(Backward { given }, &x);
        [x, w_ih, w_hh, b_ih, b_hh, h_0].into_iter().map(Some).collect()
    }
}

impl Op for Backward {
    fn name(&self) -> &'static str {
        "gru_sequence_backward"
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
        let saved = [a.x(0)?, a.x(5)?, a.x(6)?, a.x(7)?];
        let cotangents = recurrent::given(a, 8, self.given)?;
        let [x, w_ih, w_hh, b_ih, b_hh, h_0] = a.outputs()?;
        let grads = on_cuda::Grads { x, w: Weights { w_ih, w_hh, b_ih, b_hh }, h_0 };
        let scratch = a.scratch(on_cuda::backward_scratch(&l))?;
        let w = recurrent::cuda_weights(a)?;
        a.launch(on_cuda::backward(&l, &w, saved, cotangents, &grads, scratch))
    }
}

impl CpuKernel for Backward {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let sizes = sizes(a.shape(0), a.shape(5));
        let saved = kernel::Saved { x: a.x(0), h0: a.x(5), y: a.x(6), gates: a.x(7) };
        let mut next = 8..;
        let [y, h_n] =
            self.given.map(|given| if given { next.next().map(|i| a.x(i)) } else { None });
        let w = weights(&a);
        let [x, w_ih, w_hh, b_ih, b_hh, h0, scratch] = a.outputs();
        let grads = kernel::Grads { x, w_ih, w_hh, b_ih, b_hh, h0 };
        kernel::backward(&sizes, &w, &saved, kernel::Cotangents { y, h_n }, grads, scratch);
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |name, inputs: fn(u64) -> Vec<Tensor>, run: Function, reference: Function| OpCase {
        name,
        inputs,
        bench_inputs: None,
        cost: recurrent::cost,
        run,
        reference: Some(reference),
    };
    let all: Function = |x| {
        let out = layer(x);
        vec![out.y, out.h_n]
    };
    vec![
        OpCase {
            bench_inputs: Some(|s| inputs(Inputs::f32(s), [32, 64, 256, 256])),
            ..case("all outputs", |s| inputs(Inputs::f64(s), [3, 4, 2, 3]), all, composed)
        },
        case(
            "y only",
            |s| inputs(Inputs::f64(s), [2, 3, 1, 2]),
            |x| vec![layer(x).y],
            |x| composed(x).drain(..1).collect(),
        ),
        case(
            "last state only",
            |s| inputs(Inputs::f64(s), [2, 3, 1, 2]),
            |x| vec![layer(x).h_n],
            |x| composed(x).drain(1..).collect(),
        ),
        case(
            "more sequences than a task takes",
            |s| inputs(Inputs::f64(s), [17, 2, 1, 1]),
            all,
            composed,
        ),
        case(TENSOR_CORES, |s| inputs(Inputs::f64(s), [8, 2, 16, 8]), all, composed),
        case("no steps", |s| inputs(Inputs::f64(s), [2, 0, 2, 2]), all, composed),
        case("no sequences", |s| inputs(Inputs::f64(s), [0, 2, 2, 2]), all, composed),
    ]
}

/// The definition, step by step, out of simple ops.
fn composed(x: &[Tensor]) -> Vec<Tensor> {
    let [x, w_ih, w_hh, b_ih, b_hh, h] = x else { unreachable!("six inputs") };
    let [_, hidden] = h.dims();
    let (y, h_n) = recurrent::unrolled(x, h, |x_t, h| {
        let from_x = x_t.linear(w_ih, Some(b_ih), WeightLayout::OutIn).split(1, &[hidden; GATES]);
        let from_h = h.linear(w_hh, Some(b_hh), WeightLayout::OutIn).split(1, &[hidden; GATES]);
        let r = (&from_x[0] + &from_h[0]).sigmoid();
        let z = (&from_x[1] + &from_h[1]).sigmoid();
        let n = (&from_x[2] + &(r * &from_h[2])).tanh();
        &n + &(z * &(h - &n))
    });
    vec![y, h_n]
}

fn layer(x: &[Tensor]) -> GruOutput {
    gru_sequence(&x[0], &LayerWeights::of(x), &x[5])
}

fn inputs(random: Inputs, sizes: [usize; 4]) -> Vec<Tensor> {
    recurrent::inputs(random, GATES, 1, sizes)
}
