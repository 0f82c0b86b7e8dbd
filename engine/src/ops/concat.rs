//! Tensors one after the other along an axis.
//!
//! `[..., n_1, ...], [..., n_2, ...], ... -> [..., n_1 + n_2 + ..., ...]`; all other extents are equal. Gradient: every
//! element is copied once, so each tensor gets its part of gy: concat's backward is split.
//!
//! ```
//! use foundry_engine::{Device, Tensor};
//! let of = |x: &[f64]| Tensor::from_f64(&Device::cpu(), [1, x.len()], x);
//! let y = Tensor::concat(&[&of(&[1.0]), &of(&[2.0, 3.0])], 1);
//! assert_eq!(y.to_vec::<f64>(), [1.0, 2.0, 3.0]);
//! ```
//!
//! # Panics
//! If there is no tensor, no such axis, or the other extents or the element types differ.

use super::split::Split;
use crate::case::{Cost, Function, Inputs, OpCase};
use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, DeviceError, Differentiable, InputGrads, Op, Real, Saved,
    Shape, Spec, Specs, Tensor, apply, check, list,
};
use foundry_kernels::cpu::par;
use foundry_kernels::cuda::elementwise::copy;

#[derive(Debug)]
pub(super) struct Concat {
    pub(super) axis: usize,
    /// The extents of the parts along the axis.
    pub(super) sizes: Vec<usize>,
}

impl Tensor {
    /// The tensors one after the other along `axis`.
    ///
    /// # Panics
    /// If there are none, or they do not fit together.
    #[must_use]
    #[track_caller]
    pub fn concat(parts: &[&Self], axis: usize) -> Self {
        let extent = |t: &&Self| t.shape().as_slice().get(axis).copied().unwrap_or_default();
        let [y] = apply(Concat { axis, sizes: parts.iter().map(extent).collect() }, parts);
        y
    }
}

impl Op for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        let Some(first) = x.first() else { panic!("concat: got no tensor") };
        check::float(self.name(), first);
        check::same_dtype(self.name(), &x.iter().collect::<Vec<_>>());
        if self.axis >= first.shape.rank() {
            check::fail(self.name(), first, &format!("an axis {}", self.axis), "");
        }
        let with_extent = |x: &Spec, n| {
            let mut dims = x.shape.as_slice().to_vec();
            dims[self.axis] = n;
            Shape::new(&dims)
        };
        for (x, &n) in x.iter().zip(&self.sizes) {
            if x.shape.rank() != first.shape.rank() || x.shape != with_extent(first, n) {
                let expected = format!("equal extents but along axis {}", self.axis);
                check::fail(self.name(), format!("{} and {}", first.shape, x.shape), &expected, "");
            }
        }
        list![first.with_shape(with_extent(first, self.sizes.iter().sum()))]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let dims = a.out_shape(0).as_slice();
        let (before, after) = (&dims[..self.axis], &dims[self.axis + 1..]);
        let [rows, after, row] = a.sizes([
            before.iter().product(),
            after.iter().product(),
            self.sizes.iter().sum::<usize>() * after.iter().product::<usize>(),
        ])?;
        let mut to = a.y(0)?;
        for (i, &n) in self.sizes.iter().enumerate() {
            let width = a.size(n)? * after;
            a.launch([copy((a.x(i)?, width), (to, row), [rows, width])])?;
            to = to.element(width);
        }
        Ok(())
    }
}

impl CpuKernel for Concat {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let parts: Vec<&[R]> = (0..a.len()).map(|i| a.x(i)).collect();
        let [y] = a.outputs();
        let after: usize = a.out_shape(0).as_slice()[self.axis + 1..].iter().product();
        let row = self.sizes.iter().sum::<usize>() * after;
        if y.is_empty() {
            return;
        }
        let rows = (1_usize << 14).div_ceil(row);
        par::chunks_mut(y, rows * row, |piece, y| {
            for (i, y) in (piece * rows..).zip(y.chunks_mut(row)) {
                let mut rest = y;
                for (part, n) in parts.iter().zip(&self.sizes) {
                    let (to, tail) = rest.split_at_mut(n * after);
                    to.copy_from_slice(&part[i * n * after..][..n * after]);
                    rest = tail;
                }
            }
        });
    }
}

impl Differentiable for Concat {
    fn save(&self, _: &[&Tensor], _: &[Tensor]) -> Saved {
        list![]
    }

    fn vjp(&self, _: &[Tensor], gy: &[Option<Tensor>], needs: &[bool]) -> InputGrads {
        let Some(gy) = &gy[0] else { return needs.iter().map(|_| None).collect() };
        let split = Split { axis: self.axis, sizes: self.sizes.clone() };
        split.run(gy).into_iter().zip(needs).map(|(g, needed)| needed.then_some(g)).collect()
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    fn three(mut random: Inputs, a: &[usize], b: &[usize], c: &[usize]) -> Vec<Tensor> {
        vec![random.normal(a), random.normal(b), random.normal(c)]
    }
    let case = |name, inputs: fn(u64) -> Vec<Tensor>, run: Function| OpCase {
        name,
        inputs,
        bench_inputs: None,
        cost: |x| Cost::streaming(x, &x[0]),
        run,
        reference: None,
    };
    vec![
        case(
            "first axis",
            |s| three(Inputs::f64(s), &[2, 3], &[1, 3], &[0, 3]),
            |x| vec![Tensor::concat(&[&x[0], &x[1], &x[2]], 0)],
        ),
        OpCase {
            bench_inputs: Some(|s| three(Inputs::f32(s), &[2048, 256], &[2048, 256], &[2048, 256])),
            ..case(
                "last axis",
                |s| three(Inputs::f64(s), &[2, 3], &[2, 1], &[2, 2]),
                |x| vec![Tensor::concat(&[&x[0], &x[1], &x[2]], 1)],
            )
        },
        case(
            "middle axis",
            |s| three(Inputs::f64(s), &[2, 1, 2], &[2, 2, 2], &[2, 1, 2]),
            |x| vec![Tensor::concat(&[&x[0], &x[1], &x[2]], 1)],
        ),
        case(
            "the same tensor twice",
            |s| vec![Inputs::f64(s).normal([2, 2])],
            |x| vec![Tensor::concat(&[&x[0], &x[0]], 1)],
        ),
        case(
            "one tensor",
            |s| vec![Inputs::f64(s).normal([3])],
            |x| vec![Tensor::concat(&[&x[0]], 0)],
        ),
        case(
            "size 0",
            |s| vec![Inputs::f64(s).normal([0, 2])],
            |x| vec![Tensor::concat(&[&x[0], &x[0]], 1)],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use crate::{DType, Device, Spec, Tensor};

    #[test]
    #[should_panic(expected = "concat: got [2, 3] and [3, 3]")]
    fn test_concat__names_shapes_that_do_not_fit() {
        let zeros = |shape: [usize; 2]| Tensor::zeros(&Device::cpu(), Spec::new(shape, DType::F32));
        let _ = Tensor::concat(&[&zeros([2, 3]), &zeros([3, 3])], 1);
    }
}
