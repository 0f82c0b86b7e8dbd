//! A tensor cut along an axis.
//!
//! `[..., n_1 + n_2 + ..., ...] -> [..., n_1, ...], [..., n_2, ...], ...`. Gradient: every element is copied once, so
//! gx is the gradients of the parts one after the other, zeros for a part that nothing depends on: split's backward
//! is concat.
//!
//! ```
//! use foundry_engine::{Device, Tensor};
//! let x = Tensor::from_f64(&Device::cpu(), [1, 3], &[1.0, 2.0, 3.0]);
//! let parts = x.split(1, &[1, 2]);
//! assert_eq!(parts[1].to_vec::<f64>(), [2.0, 3.0]);
//! ```
//!
//! # Panics
//! If there is no such axis, the sizes do not add up to its extent, or the tensor holds ids.

use super::concat::Concat;
use crate::case::{Cost, Function, Inputs, OpCase};
use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, DeviceError, Differentiable, InputGrads, Op, Real, Saved,
    Shape, Spec, Specs, Tensor, apply_n, check, list, run,
};
use foundry_kernels::cpu::par;
use foundry_kernels::cuda::elementwise as on_cuda;

#[derive(Clone, Debug)]
pub(super) struct Split {
    pub(super) axis: usize,
    /// The extents of the parts along the axis.
    pub(super) sizes: Vec<usize>,
}

/// One of the parts, for the backward of concat.
#[derive(Debug)]
struct Part {
    axis: usize,
    first: usize,
    size: usize,
}

impl Tensor {
    /// Consecutive parts of these sizes along `axis`.
    ///
    /// # Panics
    /// If the sizes do not add up to the extent.
    #[must_use]
    #[track_caller]
    pub fn split(&self, axis: usize, sizes: &[usize]) -> Vec<Self> {
        apply_n(Split { axis, sizes: sizes.to_vec() }, &[self])
    }
}

impl Split {
    /// The parts, without recording.
    pub(super) fn run(&self, x: &Tensor) -> Vec<Tensor> {
        let mut first = 0;
        let part = |&size: &usize| {
            let [y] = run(Part { axis: self.axis, first, size }, &[x]);
            first += size;
            y
        };
        self.sizes.iter().map(part).collect()
    }
}

fn part_of(x: &Spec, axis: usize, size: usize) -> Spec {
    let mut dims = x.shape.as_slice().to_vec();
    dims[axis] = size;
    x.with_shape(Shape::new(&dims))
}

/// Copies elements `first ..` along the axis.
fn copy<R: Real>(x: &[R], shape: &Shape, axis: usize, first: usize, y: &mut [R], size: usize) {
    let dims = shape.as_slice();
    let after: usize = dims[axis + 1..].iter().product();
    let (from, to) = (dims[axis] * after, size * after);
    if y.is_empty() {
        return;
    }
    let rows = (1_usize << 14).div_ceil(to);
    par::chunks_mut(y, rows * to, |piece, y| {
        for (i, y) in (piece * rows..).zip(y.chunks_mut(to)) {
            y.copy_from_slice(&x[i * from + first * after..][..to]);
        }
    });
}

/// As [`copy`], to output i.
fn copy_on_cuda(
    a: &CudaArgs<'_>,
    axis: usize,
    first: usize,
    i: usize,
    size: usize,
) -> Result<(), DeviceError> {
    let dims = a.shape(0).as_slice();
    let after: usize = dims[axis + 1..].iter().product();
    let rows = a.size(dims[..axis].iter().product())?;
    let [from, to, skipped] = a.sizes([dims[axis] * after, size * after, first * after])?;
    a.launch([on_cuda::copy((a.x(0)?.element(skipped), from), (a.y(i)?, to), [rows, to])])
}

impl Op for Split {
    fn name(&self) -> &'static str {
        "split"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        check::float(self.name(), &x[0]);
        let total: usize = self.sizes.iter().sum();
        if x[0].shape.as_slice().get(self.axis) != Some(&total) {
            let expected = format!("an axis {} of extent {total} = {:?}", self.axis, self.sizes);
            check::fail(self.name(), x[0], &expected, "");
        }
        self.sizes.iter().map(|&n| part_of(&x[0], self.axis, n)).collect()
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let mut first = 0;
        for (i, &size) in self.sizes.iter().enumerate() {
            copy_on_cuda(a, self.axis, first, i, size)?;
            first += size;
        }
        Ok(())
    }
}

impl CpuKernel for Split {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let (shape, mut first) = (*a.shape(0), 0);
        for (i, &size) in self.sizes.iter().enumerate() {
            copy(a.x(0), &shape, self.axis, first, a.y(i), size);
            first += size;
        }
    }
}

impl Op for Part {
    fn name(&self) -> &'static str {
        "part"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        list![part_of(&x[0], self.axis, self.size)]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        copy_on_cuda(a, self.axis, self.first, 0, self.size)
    }
}

impl CpuKernel for Part {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let shape = *a.shape(0);
        copy(a.x(0), &shape, self.axis, self.first, a.y(0), self.size);
    }
}

impl Differentiable for Split {
    fn save(&self, _: &[&Tensor], _: &[Tensor]) -> Saved {
        list![]
    }

    fn vjp(&self, _: &[Tensor], gy: &[Option<Tensor>], _: &[bool]) -> InputGrads {
        let Some(known) = gy.iter().flatten().next() else { return list![None] };
        let parts = gy.iter().zip(&self.sizes).map(|(g, &n)| match g {
            Some(g) => g.clone(),
            None => Tensor::zeros(&known.device(), part_of(&known.spec(), self.axis, n)),
        });
        let parts: Vec<Tensor> = parts.collect();
        let concat = Concat { axis: self.axis, sizes: self.sizes.clone() };
        let [gx] = run(concat, &parts.iter().collect::<Vec<_>>());
        list![Some(gx)]
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |name, inputs: fn(u64) -> Vec<Tensor>, run: Function| OpCase {
        name,
        inputs,
        bench_inputs: None,
        cost: |x| Cost::streaming(x, &x[0]),
        run,
        reference: None,
    };
    vec![
        case("last axis", |s| vec![Inputs::f64(s).normal([2, 6])], |x| x[0].split(1, &[1, 2, 3])),
        case("first axis", |s| vec![Inputs::f64(s).normal([3, 2])], |x| x[0].split(0, &[1, 2])),
        OpCase {
            bench_inputs: Some(|s| vec![Inputs::f32(s).normal([2048, 3, 256])]),
            ..case(
                "middle axis",
                |s| vec![Inputs::f64(s).normal([2, 3, 2])],
                |x| x[0].split(1, &[2, 1]),
            )
        },
        case(
            "a part that is not used",
            |s| vec![Inputs::f64(s).normal([2, 6])],
            |x| vec![x[0].split(1, &[4, 2]).swap_remove(1)],
        ),
        case("size 0", |s| vec![Inputs::f64(s).normal([2, 2])], |x| x[0].split(1, &[0, 2])),
        case("no rows", |s| vec![Inputs::f64(s).normal([0, 2])], |x| x[0].split(1, &[1, 1])),
    ]
}
