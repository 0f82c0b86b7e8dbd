//! A linear layer: every row of x through one weight matrix, plus a bias.
//!
//! `y = x W' + b`, `x [..., in] -> y [..., out]`, bias `[out]`. The weight is kept in one of two ways: `[out, in]` as
//! `torch.nn.Linear` does, or `[in, out]` as GPT-2's `Conv1D` does; neither is ever transposed in memory, and the bias
//! is added where the product is stored.
//!
//! Gradient, with the rows of x as one matrix X (and gY likewise): gX = gY W, gW = gY' X (or X' gY for `[in, out]`),
//! and gb is the sum of the rows of gY.
//!
//! ```
//! use foundry_engine::{Device, Tensor, ops::linear::WeightLayout};
//! let of = |shape: [usize; 2], x: &[f64]| Tensor::from_f64(&Device::cpu(), shape, x);
//! let (x, w) = (of([1, 2], &[1.0, 2.0]), of([1, 2], &[3.0, 4.0]));
//! assert_eq!(x.linear(&w, None, WeightLayout::OutIn).to_vec::<f64>(), [11.0]);
//! ```
//!
//! # Panics
//! If the weight does not fit x, or the bias the weight, or the element types differ.

use super::broadcast::sum_to;
use super::matmul::Factor::{AsIs, Transposed};
use super::matmul::Matmul;
use crate::case::{Cost, Function, Inputs, OpCase, TENSOR_CORES};
use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, DeviceError, Differentiable, InputGrads, Op, Real, Saved,
    Spec, Specs, Tensor, apply, check, list,
};
use foundry_kernels::cpu::gemm::{Epilogue, Mat, MatMut, gemm};
use foundry_kernels::cuda::gemm::{Matrix, gemm as on_cuda};
use foundry_kernels::cuda::launch::NULL;

/// How a weight lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightLayout {
    /// `[out, in]`, as `torch.nn.Linear` keeps it.
    OutIn,
    /// `[in, out]`, as GPT-2's `Conv1D` keeps it.
    InOut,
}

use WeightLayout::{InOut, OutIn};

#[derive(Debug)]
struct Linear(WeightLayout);

impl Tensor {
    /// `x W' + b`: `[..., in] -> [..., out]`.
    ///
    /// # Panics
    /// If the shapes or element types do not fit.
    #[must_use]
    #[track_caller]
    pub fn linear(&self, weight: &Self, bias: Option<&Self>, layout: WeightLayout) -> Self {
        let [y] = match bias {
            Some(bias) => apply(Linear(layout), &[self, weight, bias]),
            None => apply(Linear(layout), &[self, weight]),
        };
        y
    }
}

impl Linear {
    /// (in, out) of a weight.
    fn sizes(&self, weight: &[usize]) -> Option<(usize, usize)> {
        match (self.0, weight) {
            (OutIn, &[output, input]) | (InOut, &[input, output]) => Some((input, output)),
            _ => None,
        }
    }
}

impl Op for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        let [x, weight, bias @ ..] = x else { panic!("linear takes x, a weight and maybe a bias") };
        check::float(self.name(), x);
        check::same_dtype(self.name(), &[x, weight]);
        let Some((input, output)) = self.sizes(weight.shape.as_slice()) else {
            check::fail(self.name(), format!("a weight of shape {}", weight.shape), "two axes", "");
        };
        if x.shape.rank() == 0 || x.shape.last() != input {
            check::fail(
                self.name(),
                format!("x of shape {} and a weight {} ({:?})", x.shape, weight.shape, self.0),
                &format!("x [..., {input}]"),
                "",
            );
        }
        if let [bias] = bias {
            check::same_dtype(self.name(), &[x, bias]);
            check::shape(self.name(), "bias", &bias.shape, [output]);
        }
        list![x.with_shape(x.shape.with_last(output))]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let ([x, weight], [y]) = (a.inputs()?, a.outputs()?);
        let [w0, w1] = a.sizes(a.shape(1).dims())?;
        let rows = a.size(a.shape(0).rows())?;
        let weight = Matrix::new(weight, w0, w1);
        let (weight, input, output) =
            if self.0 == OutIn { (weight.t(), w1, w0) } else { (weight, w0, w1) };
        let bias = if a.len() == 3 { a.x(2)? } else { NULL };
        let (x, y) = (Matrix::new(x, rows, input), Matrix::new(y, rows, output));
        a.launch([on_cuda((1.0, 0.0), x, weight, bias, y, [1, rows, output, input])])
    }
}

impl CpuKernel for Linear {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let ([x, weight], [y]) = (a.inputs(), a.outputs());
        let [w0, w1] = a.shape(1).dims();
        let weight = Mat::new(weight, w0, w1);
        let weight = if self.0 == OutIn { weight.t() } else { weight };
        let epilogue = if a.len() == 3 { Epilogue::Bias(a.x(2)) } else { Epilogue::None };
        let rows = a.shape(0).rows();
        let x = Mat::new(x, rows, weight.rows());
        gemm(R::ONE, x, weight, R::ZERO, MatMut::new(y, rows, weight.cols()), epilogue);
    }
}

impl Differentiable for Linear {
    fn save(&self, x: &[&Tensor], _: &[Tensor]) -> Saved {
        list![x[0].clone(), x[1].clone()]
    }

    fn vjp(&self, saved: &[Tensor], gy: &[Option<Tensor>], needs: &[bool]) -> InputGrads {
        let Some(gy) = &gy[0] else { return needs.iter().map(|_| None).collect() };
        let [x, weight] = saved else { unreachable!("two tensors were saved") };
        let rows = |t: &Tensor| t.alias([t.shape().rows(), t.shape().last()].into());
        let (x_rows, gy) = (rows(x), rows(gy));
        let gx = || match self.0 {
            OutIn => Matmul(AsIs, AsIs).run(&gy, weight),
            InOut => Matmul(AsIs, Transposed).run(&gy, weight),
        };
        let gw = || match self.0 {
            OutIn => Matmul(Transposed, AsIs).run(&gy, &x_rows),
            InOut => Matmul(Transposed, AsIs).run(&x_rows, &gy),
        };
        let mut grads: InputGrads =
            list![needs[0].then(|| gx().alias(*x.shape())), needs[1].then(gw)];
        if let Some(&bias) = needs.get(2) {
            grads.push(bias.then(|| sum_to(&gy, [gy.shape().last()].into())));
        }
        grads
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    fn inputs(mut random: Inputs, x: &[usize], weight: [usize; 2], bias: usize) -> Vec<Tensor> {
        vec![random.normal(x), random.normal(weight), random.normal([bias])]
    }
    let case = |name, inputs: fn(u64) -> Vec<Tensor>, run: Function, reference: Function| OpCase {
        name,
        inputs,
        bench_inputs: None,
        cost: |x| Cost {
            flops: 2 * (x[0].shape.rows() * x[1].numel()) as u64,
            bytes: x.iter().map(Spec::bytes).sum::<usize>() as u64,
        },
        run,
        reference: Some(reference),
    };
    let out_in: Function = |x| vec![x[0].linear(&x[1], Some(&x[2]), OutIn)];
    let in_out: Function = |x| vec![x[0].linear(&x[1], Some(&x[2]), InOut)];
    let of_out_in: Function = |x| vec![x[0].matmul_transposed(&x[1]) + &x[2]];
    let of_in_out: Function = |x| vec![x[0].matmul(&x[1]) + &x[2]];
    vec![
        OpCase {
            bench_inputs: Some(|s| inputs(Inputs::f32(s), &[2048, 256], [1024, 256], 1024)),
            ..case(
                "[out, in]",
                |s| inputs(Inputs::f64(s), &[2, 3, 4], [5, 4], 5),
                out_in,
                of_out_in,
            )
        },
        OpCase {
            bench_inputs: Some(|s| inputs(Inputs::f32(s), &[2048, 256], [256, 1024], 1024)),
            ..case("[in, out]", |s| inputs(Inputs::f64(s), &[3, 4], [4, 5], 5), in_out, of_in_out)
        },
        OpCase {
            bench_inputs: Some(|s| inputs(Inputs::f32(s), &[512, 256], [8000, 256], 0)),
            ..case(
                "no bias",
                |s| inputs(Inputs::f64(s), &[3, 4], [5, 4], 0),
                |x| vec![x[0].linear(&x[1], None, OutIn)],
                |x| vec![x[0].matmul_transposed(&x[1])],
            )
        },
        OpCase {
            bench_inputs: Some(|s| inputs(Inputs::f32(s), &[1, 256], [1024, 256], 1024)),
            ..case("one row", |s| inputs(Inputs::f64(s), &[1, 4], [5, 4], 5), out_in, of_out_in)
        },
        case(
            TENSOR_CORES,
            |s| inputs(Inputs::f64(s), &[2, 9, 17], [19, 17], 19),
            out_in,
            of_out_in,
        ),
        case("sizes 1", |s| inputs(Inputs::f64(s), &[2, 1], [1, 1], 1), in_out, of_in_out),
        case("no rows", |s| inputs(Inputs::f64(s), &[0, 4], [5, 4], 5), out_in, of_out_in),
        case("no features", |s| inputs(Inputs::f64(s), &[2, 0], [5, 0], 5), out_in, of_out_in),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, Device};

    #[test]
    #[should_panic(expected = "linear: got x of shape [2, 3] and a weight [3, 5] (OutIn)")]
    fn test_linear__names_shapes_that_do_not_fit() {
        let zeros = |shape: [usize; 2]| Tensor::zeros(&Device::cpu(), Spec::new(shape, DType::F32));
        let _ = zeros([2, 3]).linear(&zeros([3, 5]), None, OutIn);
    }
}
