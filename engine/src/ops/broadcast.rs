//! What add, sub, mul and div share: two tensors whose shapes broadcast against each other, and the way back.

use crate::case::{Cost, Function, Inputs, OpCase};
use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, DeviceError, Op, Real, Shape, Spec, Specs, Tensor, check,
    list, run,
};
use foundry_kernels::cpu::elementwise::broadcast::{Binary as Kind, binary};
use foundry_kernels::cpu::elementwise::reduce::sum_to_shape;
use foundry_kernels::cuda::elementwise::{self as on_cuda, Operation};
use foundry_kernels::cuda::reduce::sum_axis;

/// `y = a op b`, both broadcast to one shape (NumPy's rule).
#[derive(Clone, Copy, Debug)]
pub(super) struct Binary(pub(super) Kind);

impl Op for Binary {
    fn name(&self) -> &'static str {
        match self.0 {
            Kind::Add => "add",
            Kind::Sub => "sub",
            Kind::Mul => "mul",
            Kind::Div => "div",
        }
    }

    fn output(&self, x: &[Spec]) -> Specs {
        let [a, b] = x else { panic!("{} takes two tensors", self.name()) };
        check::float(self.name(), a);
        check::same_dtype(self.name(), &[a, b]);
        match a.shape.broadcast(&b.shape) {
            Some(shape) => list![a.with_shape(shape)],
            None => check::fail(
                self.name(),
                format!("shapes {} and {}", a.shape, b.shape),
                "shapes that broadcast",
                "aligned at the last axis, extents are equal or one of them is 1",
            ),
        }
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let ([x0, x1], [y]) = (a.inputs()?, a.outputs()?);
        let operation = match self.0 {
            Kind::Add => Operation::Add,
            Kind::Sub => Operation::Sub,
            Kind::Mul => Operation::Mul,
            Kind::Div => Operation::Div,
        };
        let (shape, n) = (*a.out_shape(0), a.out_shape(0).rank());
        let mut sizes = [0; Shape::MAX_RANK];
        for (size, &dim) in sizes.iter_mut().zip(shape.as_slice()) {
            *size = a.size(dim)?;
        }
        let [s0, s1] = [0, 1].map(|i| strides(a.shape(i), &shape));
        let call = on_cuda::broadcast(operation, (x0, &s0[..n]), (x1, &s1[..n]), y, &sizes[..n]);
        a.launch([call])
    }
}

impl CpuKernel for Binary {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let ([x0, x1], [y]) = (a.inputs(), a.outputs());
        let [s0, s1, s] = [a.shape(0), a.shape(1), a.out_shape(0)].map(Shape::as_slice);
        binary(self.0, (x0, s0), (x1, s1), (y, s));
    }
}

impl Binary {
    /// Without recording: for gradients.
    pub(super) fn run(self, a: &Tensor, b: &Tensor) -> Tensor {
        let [y] = run(self, &[a, b]);
        y
    }
}

/// The strides of an operand along the axes of the result: 0 where it repeats.
fn strides(of: &Shape, result: &Shape) -> [u32; Shape::MAX_RANK] {
    let (dims, rank) = (of.as_slice(), result.rank());
    let mut strides = [0; Shape::MAX_RANK];
    let mut stride = 1;
    for (i, &n) in dims.iter().enumerate().rev() {
        if n != 1 {
            strides[rank - dims.len() + i] = stride;
        }
        stride *= u32::try_from(n).unwrap_or(u32::MAX);
    }
    strides
}

/// Adds up what broadcasting repeated.
#[derive(Debug)]
struct SumToShape(Shape);

impl Op for SumToShape {
    fn name(&self) -> &'static str {
        "sum_to_shape"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        list![x[0].with_shape(self.0)]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let ([g], [gx]) = (a.inputs()?, a.outputs()?);
        // The axes, outermost first: extent, and whether it is summed; ones are left out, neighbours of a kind are merged.
        let (from, to) = (a.shape(0).as_slice(), self.0.as_slice());
        let mut axes: Vec<(usize, bool)> = vec![];
        for (i, &n) in from.iter().enumerate().filter(|(_, n)| **n != 1) {
            let summed = (i + to.len()).checked_sub(from.len()).is_none_or(|i| to[i] != n);
            match axes.last_mut() {
                Some((extent, kind)) if *kind == summed => *extent *= n,
                _ => axes.push((n, summed)),
            }
        }
        let mut x = g;
        while let Some(at) = axes.iter().position(|(_, summed)| *summed) {
            let product = |axes: &[(usize, bool)]| axes.iter().map(|(n, _)| n).product();
            let (before, after) = (product(&axes[..at]), product(&axes[at + 1..]));
            let sizes = a.sizes([before, axes[at].0, after])?;
            axes.remove(at);
            let last = axes.iter().all(|(_, summed)| !summed);
            let y = if last { gx } else { a.scratch(before * after)? };
            a.launch(sum_axis(x, y, sizes, 1.0))?;
            x = y;
        }
        if x == g {
            let n = a.numel(0)?;
            return a.launch([on_cuda::copy((g, n), (gx, n), [1, n])]);
        }
        Ok(())
    }
}

impl CpuKernel for SumToShape {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let ([g], [gx]) = (a.inputs(), a.outputs());
        sum_to_shape((g, a.shape(0).as_slice()), (gx, self.0.as_slice()));
    }
}

/// The gradient of an operand of shape `shape`, given that of what it was broadcast to.
pub(super) fn sum_to(g: &Tensor, shape: Shape) -> Tensor {
    if *g.shape() == shape {
        return g.clone();
    }
    let [gx] = run(SumToShape(shape), &[g]);
    gx
}

/// The cases of a binary op: every kind of broadcast, sizes 0 and 1, the same tensor twice.
pub(super) fn cases(run: Function, twice: Function) -> Vec<OpCase> {
    // The second operand stays away from zero, for div.
    fn pair(mut random: Inputs, a: &[usize], b: &[usize]) -> Vec<Tensor> {
        vec![random.normal(a), random.map(b, |x| x + 1.0_f64.copysign(x))]
    }
    let case = |name, inputs: fn(u64) -> Vec<Tensor>| OpCase {
        name,
        inputs,
        bench_inputs: None,
        cost: |x| Cost::streaming(x, &x[0]),
        run,
        reference: None,
    };
    vec![
        OpCase {
            bench_inputs: Some(|s| pair(Inputs::f32(s), &[2048, 256], &[2048, 256])),
            ..case("same shape", |s| pair(Inputs::f64(s), &[2, 3], &[2, 3]))
        },
        OpCase {
            bench_inputs: Some(|s| pair(Inputs::f32(s), &[2048, 256], &[256])),
            ..case("bias", |s| pair(Inputs::f64(s), &[2, 3, 4], &[4]))
        },
        case("bias on the left", |s| pair(Inputs::f64(s), &[4], &[3, 4])),
        case("column and row", |s| pair(Inputs::f64(s), &[3, 1], &[1, 4])),
        case("middle axis", |s| pair(Inputs::f64(s), &[2, 3, 4], &[2, 1, 4])),
        case("scalar", |s| pair(Inputs::f64(s), &[2, 3], &[])),
        case("axes in turn", |s| pair(Inputs::f64(s), &[2, 1, 2, 1, 3], &[3, 1, 2, 1])),
        case("size 1", |s| pair(Inputs::f64(s), &[1], &[1])),
        case("size 0", |s| pair(Inputs::f64(s), &[0, 3], &[3])),
        OpCase {
            run: twice,
            ..case("the same tensor twice", |s| vec![Inputs::f64(s).away_from_zero([2, 3])])
        },
    ]
}

/// `&a + &b` and the three ways to own an operand, for an operator that is a method of references.
macro_rules! operator {
    ($trait:ident, $method:ident, $function:ident) => {
        impl std::ops::$trait<&Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                $function(self, other)
            }
        }
        impl std::ops::$trait<Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                $function(self, &other)
            }
        }
        impl std::ops::$trait<&Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                $function(&self, other)
            }
        }
        impl std::ops::$trait<Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                $function(&self, &other)
            }
        }
    };
}
pub(super) use operator;
