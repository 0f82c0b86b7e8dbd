//! The matrix product, of one pair of matrices or of many.
//!
//! `Y[b] = X[b] Z[b]`, `[..., m, k] x [..., k, n] -> [..., m, n]`; each factor may be given transposed, which moves
//! no memory. A factor Z of rank 2 serves every X: then the rows of all X are one tall matrix.
//!
//! Gradient: dL = <gY, dX Z + X dZ> = <gY Z', dX> + <X' gY, dZ>, so gX = gY Z' and gZ = X' gY (' transposes). A factor
//! that was given transposed gets the transpose of that, which is again a product with other flags.
//!
//! ```
//! use foundry_engine::{Device, Tensor};
//! let x = Tensor::from_f64(&Device::cpu(), [1, 2], &[1.0, 2.0]);
//! let z = Tensor::from_f64(&Device::cpu(), [2, 2], &[1.0, 10.0, 100.0, 1000.0]);
//! assert_eq!(x.matmul(&z).to_vec::<f64>(), [201.0, 2010.0]);
//! assert_eq!(x.matmul_transposed(&z).to_vec::<f64>(), [21.0, 2100.0]);
//! ```
//!
//! # Panics
//! If the inner extents or the leading axes differ, a tensor has fewer than two axes, or the element types differ.

use crate::case::{Cost, Function, Inputs, OpCase, TENSOR_CORES};
use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, DeviceError, Differentiable, InputGrads, Op, Real, Saved,
    Shape, Spec, Specs, Tensor, apply, check, list, run,
};
use foundry_kernels::cpu::gemm::{Epilogue, Mat, MatMut, gemm, gemm_batch};
use foundry_kernels::cuda::gemm::{Matrix, gemm as on_cuda};
use foundry_kernels::cuda::launch::NULL;

/// Whether a factor is multiplied as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Factor {
    AsIs,
    Transposed,
}

use Factor::{AsIs, Transposed};

#[derive(Clone, Copy, Debug)]
pub(super) struct Matmul(pub(super) Factor, pub(super) Factor);

impl Tensor {
    /// `X Z`: `[..., m, k] x [..., k, n] -> [..., m, n]`; Z may have two axes only.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[must_use]
    #[track_caller]
    pub fn matmul(&self, z: &Self) -> Self {
        product(self, z, AsIs)
    }

    /// `X Z'`: `[..., m, k] x [..., n, k] -> [..., m, n]`; Z may have two axes only.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[must_use]
    #[track_caller]
    pub fn matmul_transposed(&self, z: &Self) -> Self {
        product(self, z, Transposed)
    }

    /// `X' Z`: `[..., k, m] x [..., k, n] -> [..., m, n]`.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[must_use]
    #[track_caller]
    pub fn transposed_matmul(&self, z: &Self) -> Self {
        let [y] = apply(Matmul(Transposed, AsIs), &[self, z]);
        y
    }
}

#[track_caller]
fn product(x: &Tensor, z: &Tensor, factor: Factor) -> Tensor {
    let op = Matmul(AsIs, factor);
    if z.shape().rank() == 2 && x.shape().rank() > 2 {
        let flat = x.reshape([x.shape().rows(), x.shape().last()]);
        let [y] = apply(op, &[&flat, z]);
        return y.reshape(x.shape().with_last(y.shape().last()));
    }
    let [y] = apply(op, &[x, z]);
    y
}

/// Rows and columns of a factor as it is multiplied, and the axes before them.
fn sizes(factor: Factor, shape: &Shape) -> Option<(&[usize], usize, usize)> {
    match (shape.as_slice(), factor) {
        ([front @ .., rows, cols], AsIs) | ([front @ .., cols, rows], Transposed) => {
            Some((front, *rows, *cols))
        }
        _ => None,
    }
}

impl Op for Matmul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        let [x, z] = x else { panic!("matmul takes two tensors") };
        check::float(self.name(), x);
        check::same_dtype(self.name(), &[x, z]);
        if let (Some((front, m, k)), Some((same, inner, n))) =
            (sizes(self.0, &x.shape), sizes(self.1, &z.shape))
            && front == same
            && k == inner
        {
            let mut shape = [0; Shape::MAX_RANK];
            let rank = front.len() + 2;
            shape[..front.len()].copy_from_slice(front);
            shape[rank - 2..rank].copy_from_slice(&[m, n]);
            return list![x.with_shape(Shape::new(&shape[..rank]))];
        }
        check::fail(
            self.name(),
            format!("{} ({:?}) and {} ({:?})", x.shape, self.0, z.shape, self.1),
            "[..., m, k] and [..., k, n] with equal leading axes",
            "",
        )
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let ([x, z], [y]) = (a.inputs()?, a.outputs()?);
        let one = |at, i: usize, factor| -> Result<_, DeviceError> {
            let [front @ .., rows, cols] = a.shape(i).as_slice() else {
                unreachable!("two axes at least")
            };
            let [batch, rows, cols] = a.sizes([front.iter().product(), *rows, *cols])?;
            let matrix = Matrix::new(at, rows, cols);
            Ok(match factor {
                AsIs => (matrix, batch, [rows, cols]),
                Transposed => (matrix.t(), batch, [cols, rows]),
            })
        };
        let ((x, batch, [m, k]), (z, _, [_, n])) = (one(x, 0, self.0)?, one(z, 1, self.1)?);
        a.launch([on_cuda((1.0, 0.0), x, z, NULL, Matrix::new(y, m, n), [batch, m, n, k])])
    }
}

impl CpuKernel for Matmul {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let ([x, z], [y]) = (a.inputs(), a.outputs());
        let (xs, zs) = (a.shape(0).as_slice(), a.shape(1).as_slice());
        let [.., m, n] = *a.out_shape(0).as_slice() else { unreachable!("two axes at least") };
        let one = |data, shape: &[usize], factor| {
            let [.., rows, cols] = *shape else { unreachable!("two axes at least") };
            let matrix = Mat::new(data, rows, cols);
            if factor == Transposed { matrix.t() } else { matrix }
        };
        if y.len() == m * n {
            let (x, z) = (one(x, xs, self.0), one(z, zs, self.1));
            gemm(R::ONE, x, z, R::ZERO, MatMut::new(y, m, n), Epilogue::None);
        } else if !y.is_empty() {
            let batch = y.len() / (m * n);
            let (step_x, step_z) = (x.len() / batch, z.len() / batch);
            let x = |i: usize| one(&x[i * step_x..][..step_x], xs, self.0);
            let z = |i: usize| one(&z[i * step_z..][..step_z], zs, self.1);
            gemm_batch(R::ONE, x, z, R::ZERO, y, m, n);
        }
    }
}

impl Differentiable for Matmul {
    fn save(&self, x: &[&Tensor], _: &[Tensor]) -> Saved {
        list![x[0].clone(), x[1].clone()]
    }

    fn vjp(&self, saved: &[Tensor], gy: &[Option<Tensor>], needs: &[bool]) -> InputGrads {
        let Some(gy) = &gy[0] else { return list![None, None] };
        let [x, z] = saved else { unreachable!("two tensors were saved") };
        let gx = || match self.0 {
            AsIs => Self(AsIs, self.1.flipped()).run(gy, z),
            Transposed => Self(self.1, Transposed).run(z, gy),
        };
        let gz = || match self.1 {
            AsIs => Self(self.0.flipped(), AsIs).run(x, gy),
            Transposed => Self(Transposed, self.0).run(gy, x),
        };
        list![needs[0].then(gx), needs[1].then(gz)]
    }
}

impl Factor {
    fn flipped(self) -> Self {
        if self == AsIs { Transposed } else { AsIs }
    }
}

impl Matmul {
    /// Without recording: for gradients.
    pub(super) fn run(self, x: &Tensor, z: &Tensor) -> Tensor {
        let [y] = run(self, &[x, z]);
        y
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    fn pair(mut random: Inputs, x: &[usize], z: &[usize]) -> Vec<Tensor> {
        vec![random.normal(x), random.normal(z)]
    }
    let case = |name, inputs: fn(u64) -> Vec<Tensor>, run: Function| OpCase {
        name,
        inputs,
        bench_inputs: None,
        cost: |x| {
            let n = x[1].shape.last();
            let bytes = x.iter().map(Spec::bytes).sum::<usize>() as u64;
            Cost { flops: 2 * (x[0].numel() * n) as u64, bytes }
        },
        run,
        reference: None,
    };
    let plain: Function = |x| vec![x[0].matmul(&x[1])];
    vec![
        OpCase {
            bench_inputs: Some(|s| pair(Inputs::f32(s), &[2048, 256], &[256, 1024])),
            ..case("plain", |s| pair(Inputs::f64(s), &[3, 4], &[4, 2]), plain)
        },
        OpCase {
            bench_inputs: Some(|s| pair(Inputs::f32(s), &[2048, 256], &[1024, 256])),
            ..case(
                "right factor transposed",
                |s| pair(Inputs::f64(s), &[3, 4], &[2, 4]),
                |x| vec![x[0].matmul_transposed(&x[1])],
            )
        },
        OpCase {
            bench_inputs: Some(|s| pair(Inputs::f32(s), &[2048, 256], &[2048, 1024])),
            ..case(
                "left factor transposed",
                |s| pair(Inputs::f64(s), &[4, 3], &[4, 2]),
                |x| vec![x[0].transposed_matmul(&x[1])],
            )
        },
        OpCase {
            bench_inputs: Some(|s| pair(Inputs::f32(s), &[128, 128, 32], &[128, 32, 128])),
            ..case("batch", |s| pair(Inputs::f64(s), &[2, 2, 3, 4], &[2, 2, 4, 2]), plain)
        },
        case(
            "batch, transposed",
            |s| pair(Inputs::f64(s), &[3, 2, 4], &[3, 5, 4]),
            |x| vec![x[0].matmul_transposed(&x[1])],
        ),
        case(TENSOR_CORES, |s| pair(Inputs::f64(s), &[2, 17, 18], &[2, 18, 19]), plain),
        case("one matrix for all", |s| pair(Inputs::f64(s), &[2, 3, 4], &[4, 2]), plain),
        case(
            "the same tensor twice",
            |s| vec![Inputs::f64(s).normal([3, 2])],
            |x| vec![x[0].matmul_transposed(&x[0]), x[0].transposed_matmul(&x[0])],
        ),
        case("size 1", |s| pair(Inputs::f64(s), &[1, 1], &[1, 1]), plain),
        case("no rows", |s| pair(Inputs::f64(s), &[0, 3], &[3, 2]), plain),
        case("nothing to sum", |s| pair(Inputs::f64(s), &[2, 0], &[0, 3]), plain),
        case("no batch", |s| pair(Inputs::f64(s), &[0, 2, 3], &[0, 3, 2]), plain),
    ]
}

#[cfg(test)]
mod tests {
    use crate::{Device, Spec, Tensor};

    #[test]
    #[should_panic(expected = "matmul: got [2, 3] (AsIs) and [2, 3] (AsIs)")]
    fn test_matmul__names_shapes_that_do_not_fit() {
        let x = Tensor::zeros(&Device::cpu(), Spec::new([2, 3], crate::DType::F32));
        let _ = x.matmul(&x);
    }
}
