//! A whole LSTM layer over a batch of sequences, as one op (Hochreiter, Schmidhuber 1997; numbers as `torch.nn.LSTM`).
//!
//! `x [B, T, D], W_ih [4 H, D], W_hh [4 H, H], b_ih [4 H], b_hh [4 H], h_0 [B, H], c_0 [B, H]
//! -> y [B, T, H], h_n [B, H], c_n [B, H]`; for t = 1 .. T
//!
//! ```text
//! i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of the four quarters of W_ih x_t + b_ih + W_hh h_(t-1) + b_hh
//! c_t = f c_(t-1) + i g
//! h_t = o tanh(c_t)          y = h_1 .. h_T
//! ```
//!
//! Gradient, backwards through time, with a the four quarters before their functions: gc_t gains
//! gh_t o (1 - tanh(c_t)^2); ga = [gc g i(1-i), gc c_(t-1) f(1-f), gc i (1-g^2), gh tanh(c_t) o(1-o)]; then
//! gc_(t-1) = gc f and gh_(t-1) = W_hh^T ga. All steps at once: gW_ih = sum ga x^T, gW_hh = sum ga h_(t-1)^T,
//! gb = sum ga, gx = W_ih^T ga.
//! The activated gates and the cells of all steps are kept.
//!
//! ```
//! use foundry_engine::{Device, DType, Shape, Spec, Tensor, ops::{lstm::lstm_sequence, recurrent::LayerWeights}};
//! let zeros = |s: &[usize]| Tensor::zeros(&Device::cpu(), Spec::new(Shape::new(s), DType::F32));
//! let (w_ih, w_hh, b) = (zeros(&[4, 3]), zeros(&[4, 1]), zeros(&[4]));
//! let w = LayerWeights { w_ih: &w_ih, w_hh: &w_hh, b_ih: &b, b_hh: &b };
//! let one = Tensor::from_f32(&Device::cpu(), [1, 1], &[1.0]);
//! let out = lstm_sequence(&zeros(&[1, 2, 3]), &w, &zeros(&[1, 1]), &one);
//! assert_eq!(out.c_n.to_vec::<f32>(), [0.25]); // two steps with a forget gate of one half
//! ```

use super::linear::WeightLayout;
use super::recurrent::{self, LayerWeights, sizes, weights};
use crate::case::{Function, Inputs, OpCase, TENSOR_CORES};
use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, DeviceError, Differentiable, InputGrads, Op, Real, Saved,
    Spec, Specs, Tensor, apply, list, run,
};
use foundry_kernels::cpu::lstm as kernel;
use foundry_kernels::cuda::lstm as on_cuda;
use foundry_kernels::cuda::recurrent::Weights;

/// i, f, g, o.
const GATES: usize = 4;

/// What a layer gives.
#[derive(Clone, Debug)]
pub struct LstmOutput {
    /// h of every step, `[B, T, H]`.
    pub y: Tensor,
    /// h after the last step, `[B, H]`.
    pub h_n: Tensor,
    /// c after the last step, `[B, H]`.
    pub c_n: Tensor,
    /// The gates i, f, g, o of every step, `[B, T, 4 H]`, to look at: not tracked.
    pub gates: Tensor,
    /// c of every step, `[B, T, H]`, to look at: not tracked.
    pub cells: Tensor,
}

#[derive(Debug)]
struct LstmSequence;

/// Inputs: x, W_ih, W_hh, b_ih, b_hh, h_0, c_0, y, gates, cells, then those of gy, gh_n, gc_n that are given.
#[derive(Debug)]
struct Backward {
    given: [bool; 3],
}

/// Runs a layer over x `[B, T, D]` from the state h_0, c_0 `[B, H]`.
///
/// # Panics
/// If the shapes do not fit.
#[must_use]
#[track_caller]
pub fn lstm_sequence(x: &Tensor, w: &LayerWeights<'_>, h_0: &Tensor, c_0: &Tensor) -> LstmOutput {
    let [y, h_n, c_n, gates, cells] = apply(LstmSequence, &w.inputs(x, [h_0, c_0]));
    LstmOutput { y, h_n, c_n, gates: gates.detach(), cells: cells.detach() }
}

impl Op for LstmSequence {
    fn name(&self) -> &'static str {
        "lstm_sequence"
    }

    /// y, h_n, c_n, the gates and the cells.
    fn output(&self, x: &[Spec]) -> Specs {
        let l = recurrent::check(self.name(), GATES, x, &["h_0", "c_0"]);
        let steps = x[0].with_shape([l.batch, l.time, l.hidden]);
        let gates = x[0].with_shape([l.batch, l.time, GATES * l.hidden]);
        list![steps, x[5], x[6], gates, steps]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let l = recurrent::cuda_sizes(a)?;
        let [y, h_n, c_n, gates, cells] = a.outputs()?;
        let out = on_cuda::Outputs { y, h_n, c_n, gates, cells };
        let scratch = a.scratch(on_cuda::forward_scratch(&l))?;
        let x = [a.x(0)?, a.x(5)?, a.x(6)?];
        a.launch(on_cuda::forward(&l, &recurrent::cuda_weights(a)?, x, &out, scratch))
    }
}

impl CpuKernel for LstmSequence {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let sizes = sizes(a.shape(0), a.shape(5));
        let [y, h_n, c_n, gates, cells] = a.outputs();
        let out = kernel::Outputs { y, h_n, c_n, gates, cells };
        kernel::forward(&sizes, a.x(0), &weights(&a), a.x(5), a.x(6), out);
    }
}

impl Differentiable for LstmSequence {
    fn save(&self, x: &[&Tensor], y: &[Tensor]) -> Saved {
        x.iter().copied().chain([&y[0], &y[3], &y[4]]).cloned().collect()
    }

    fn vjp(&self, saved: &[Tensor], gy: &[Option<Tensor>], _: &[bool]) -> InputGrads {
        let gy = &gy[..3];
        let given = [0, 1, 2].map(|i: usize| gy[i].is_some());
        let x: Vec<&Tensor> = saved.iter().chain(gy.iter().flatten()).collect();
        let [x, w_ih, w_hh, b_ih, b_hh, h_0, c_0, _scratch] = run(Backward { given }, &x);
        [x, w_ih, w_hh, b_ih, b_hh, h_0, c_0].into_iter().map(Some).collect()
    }
}

impl Op for Backward {
    fn name(&self) -> &'static str {
        "lstm_sequence_backward"
    }

    /// The seven gradients, and scratch memory, which thus comes from the pool.
    fn output(&self, x: &[Spec]) -> Specs {
        let scratch = kernel::backward_scratch(&sizes(&x[0].shape, &x[5].shape));
        x[..7].iter().copied().chain([x[0].with_shape([scratch])]).collect()
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let l = recurrent::cuda_sizes(a)?;
        let saved = on_cuda::Saved {
            x: a.x(0)?,
            h_0: a.x(5)?,
            c_0: a.x(6)?,
            y: a.x(7)?,
            gates: a.x(8)?,
            cells: a.x(9)?,
        };
        let cotangents = recurrent::given(a, 10, self.given)?;
        let [x, w_ih, w_hh, b_ih, b_hh, h_0, c_0] = a.outputs()?;
        let w = Weights { w_ih, w_hh, b_ih, b_hh };
        let grads = on_cuda::Grads { x, w, h_0, c_0 };
        let scratch = a.scratch(on_cuda::backward_scratch(&l))?;
        let w = recurrent::cuda_weights(a)?;
        a.launch(on_cuda::backward(&l, &w, &saved, cotangents, &grads, scratch))
    }
}

impl CpuKernel for Backward {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let sizes = sizes(a.shape(0), a.shape(5));
        let (x, h0, c0) = (a.x(0), a.x(5), a.x(6));
        let (y, gates, cells) = (a.x(7), a.x(8), a.x(9));
        let mut next = 10..;
        let [y_grad, h_grad, c_grad] =
            self.given.map(|given| if given { next.next().map(|i| a.x(i)) } else { None });
        let cotangents = kernel::Cotangents { y: y_grad, h_n: h_grad, c_n: c_grad };
        let saved = kernel::Saved { x, h0, c0, y, gates, cells };
        let w = weights(&a);
        let [x, w_ih, w_hh, b_ih, b_hh, h0, c0, scratch] = a.outputs();
        let grads = kernel::Grads { x, w_ih, w_hh, b_ih, b_hh, h0, c0 };
        kernel::backward(&sizes, &w, &saved, cotangents, grads, scratch);
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
        vec![out.y, out.h_n, out.c_n]
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
            |x| vec![layer(x).h_n, layer(x).c_n],
            |x| composed(x).drain(1..).collect(),
        ),
        case(
            "more sequences than a task takes",
            |s| inputs(Inputs::f64(s), [17, 2, 1, 1]),
            all,
            composed,
        ),
        case(TENSOR_CORES, |s| inputs(Inputs::f64(s), [8, 2, 16, 4]), all, composed),
        case("no steps", |s| inputs(Inputs::f64(s), [2, 0, 2, 2]), all, composed),
        case("no sequences", |s| inputs(Inputs::f64(s), [0, 2, 2, 2]), all, composed),
    ]
}

/// The definition, step by step, out of simple ops.
fn composed(x: &[Tensor]) -> Vec<Tensor> {
    let [x, w_ih, w_hh, b_ih, b_hh, h, c] = x else { unreachable!("seven inputs") };
    let [_, hidden] = h.dims();
    let mut c = c.clone();
    let (y, h_n) = recurrent::unrolled(x, h, |x_t, h| {
        let from_x = x_t.linear(w_ih, Some(b_ih), WeightLayout::OutIn);
        let gates = from_x + h.linear(w_hh, Some(b_hh), WeightLayout::OutIn);
        let parts = gates.split(1, &[hidden; GATES]);
        let (i, f, g, o) =
            (parts[0].sigmoid(), parts[1].sigmoid(), parts[2].tanh(), parts[3].sigmoid());
        c = f * &c + i * g;
        o * c.tanh()
    });
    vec![y, h_n, c]
}

fn layer(x: &[Tensor]) -> LstmOutput {
    lstm_sequence(&x[0], &LayerWeights::of(x), &x[5], &x[6])
}

fn inputs(random: Inputs, sizes: [usize; 4]) -> Vec<Tensor> {
    recurrent::inputs(random, GATES, 2, sizes)
}
