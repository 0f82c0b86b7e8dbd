//! The axes of a tensor in another order.
//!
//! `y[i_p(0), i_p(1), ...] = x[i_0, i_1, ...]`: axis k of y is axis p(k) of x. Tensors are contiguous, so the elements
//! move; a product takes transposed factors as they are, and does not need this. Gradient: every element is copied
//! once, so gx is gy permuted by the inverse of p.
//!
//! ```
//! use foundry_engine::{Device, Tensor};
//! let x = Tensor::from_f64(&Device::cpu(), [2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
//! let y = x.permute(&[1, 0]);
//! assert_eq!(y.shape(), &[3, 2].into());
//! assert_eq!(y.to_vec::<f64>(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
//! ```
//!
//! # Panics
//! If the axes are not those of the tensor, each once, or the tensor holds ids.

use crate::case::{Cost, Function, Inputs, OpCase};
use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, DeviceError, Differentiable, InputGrads, Op, Real, Saved,
    Shape, Spec, Specs, Tensor, apply, check, list, run,
};
use foundry_kernels::cpu::permute::permute;
use foundry_kernels::cuda::elementwise::permute as on_cuda;

/// Axis k of the result is axis `axes[k]` of the input. (A list of axes, kept as the shapes are.)
#[derive(Clone, Copy, Debug)]
struct Permute {
    axes: Shape,
}

impl Tensor {
    /// Axis k of the result is axis `axes[k]` of this tensor.
    ///
    /// # Panics
    /// If `axes` are not the axes of this tensor in some order.
    #[must_use]
    #[track_caller]
    pub fn permute(&self, axes: &[usize]) -> Self {
        let [y] = apply(Permute { axes: Shape::new(axes) }, &[self]);
        y
    }
}

impl Permute {
    fn inverse(self) -> Self {
        let mut inverse = [0; Shape::MAX_RANK];
        let axes = self.axes.as_slice();
        for (k, &axis) in axes.iter().enumerate() {
            inverse[axis] = k;
        }
        Self { axes: Shape::new(&inverse[..axes.len()]) }
    }
}

impl Op for Permute {
    fn name(&self) -> &'static str {
        "permute"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        check::float(self.name(), &x[0]);
        let (axes, dims) = (self.axes.as_slice(), x[0].shape.as_slice());
        let each_once = (0..dims.len()).all(|axis| axes.contains(&axis));
        if axes.len() != dims.len() || !each_once {
            let given = format!("axes {axes:?} for shape {}", x[0].shape);
            check::fail(self.name(), given, "every axis once", "");
        }
        let mut permuted = [0; Shape::MAX_RANK];
        for (to, &axis) in permuted.iter_mut().zip(axes) {
            *to = dims[axis];
        }
        list![x[0].with_shape(Shape::new(&permuted[..axes.len()]))]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let rank = self.axes.rank();
        let (mut shape, mut strides) = ([0; Shape::MAX_RANK], [0; Shape::MAX_RANK]);
        for (k, &axis) in self.axes.as_slice().iter().enumerate() {
            let inner = a.shape(0).as_slice()[axis + 1..].iter().product();
            [shape[k], strides[k]] = a.sizes([a.out_shape(0).as_slice()[k], inner])?;
        }
        a.launch([on_cuda(a.x(0)?, &strides[..rank], a.y(0)?, &shape[..rank])])
    }
}

impl CpuKernel for Permute {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let ([x], [y]) = (a.inputs(), a.outputs());
        permute(x, a.shape(0).as_slice(), self.axes.as_slice(), y);
    }
}

impl Differentiable for Permute {
    fn save(&self, _: &[&Tensor], _: &[Tensor]) -> Saved {
        list![]
    }

    fn vjp(&self, _: &[Tensor], gy: &[Option<Tensor>], _: &[bool]) -> InputGrads {
        let gx = |gy| run::<1>(self.inverse(), &[gy]);
        list![gy[0].as_ref().map(gx).map(|[gx]| gx)]
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |name, inputs: fn(u64) -> Vec<Tensor>, run: Function| OpCase {
        name,
        inputs,
        bench_inputs: None,
        cost: |x| Cost { flops: 0, ..Cost::streaming(x, &x[0]) },
        run,
        reference: None,
    };
    vec![
        OpCase {
            bench_inputs: Some(|s| vec![Inputs::f32(s).normal([16, 128, 8, 32])]),
            ..case(
                "heads to the front",
                |s| vec![Inputs::f64(s).normal([2, 3, 2, 4])],
                |x| vec![x[0].permute(&[0, 2, 1, 3])],
            )
        },
        OpCase {
            bench_inputs: Some(|s| vec![Inputs::f32(s).normal([2048, 256])]),
            ..case(
                "transpose",
                |s| vec![Inputs::f64(s).normal([3, 4])],
                |x| vec![x[0].permute(&[1, 0])],
            )
        },
        case(
            "a cycle of axes",
            |s| vec![Inputs::f64(s).normal([2, 3, 4])],
            |x| vec![x[0].permute(&[2, 0, 1])],
        ),
        case("identity", |s| vec![Inputs::f64(s).normal([2, 3])], |x| vec![x[0].permute(&[0, 1])]),
        case("size 1", |s| vec![Inputs::f64(s).normal([1, 3])], |x| vec![x[0].permute(&[1, 0])]),
        case("size 0", |s| vec![Inputs::f64(s).normal([0, 3])], |x| vec![x[0].permute(&[1, 0])]),
        case("scalar", |s| vec![Inputs::f64(s).normal([])], |x| vec![x[0].permute(&[])]),
    ]
}

#[cfg(test)]
mod tests {
    use crate::{DType, Device, Spec, Tensor};

    #[test]
    #[should_panic(expected = "permute: got axes [0, 0] for shape [2, 3]")]
    fn test_permute__names_axes_that_are_not_all() {
        let x = Tensor::zeros(&Device::cpu(), Spec::new([2, 3], DType::F32));
        let _ = x.permute(&[0, 0]);
    }
}
