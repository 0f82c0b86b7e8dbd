//! Rows of a table by their ids.
//!
//! `table [v, d], ids [...] of u32 -> [..., d]` with y[n, :] = table[id_n, :]. Gradient: a row of the table moves all
//! the outputs that are copies of it, so gtable[i, :] = sum over n with id_n = i of gy[n, :].
//!
//! ```
//! use foundry_engine::{Device, Tensor};
//! let table = Tensor::from_f32(&Device::cpu(), [2, 2], &[1.0, 2.0, 3.0, 4.0]);
//! let y = table.embedding(&Tensor::from_u32(&Device::cpu(), [3], &[1, 0, 1]));
//! assert_eq!(y.to_vec::<f32>(), [3.0, 4.0, 1.0, 2.0, 3.0, 4.0]);
//! ```

use crate::case::{Cost, Inputs, OpCase};
use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, DeviceError, Differentiable, InputGrads, Op, Real, Saved,
    Shape, Spec, Specs, Tensor, apply, check, list, run, run_in_place,
};
use foundry_kernels::cpu::embedding as kernel;
use foundry_kernels::cuda::elementwise::axpby;
use foundry_kernels::cuda::embedding as on_cuda;

#[derive(Debug)]
struct Embedding {
    table: Spec,
}

#[derive(Debug)]
struct Backward {
    table: Spec,
    /// Whether it adds to what is there, or begins at zero.
    adds: bool,
}

impl Tensor {
    /// The rows of this table `[v, d]` that `ids [...]` name: `[..., d]`.
    ///
    /// # Panics
    /// If the tensor is not a matrix, or an id is not below v.
    #[must_use]
    #[track_caller]
    pub fn embedding(&self, ids: &Self) -> Self {
        let [y] = apply(Embedding { table: self.spec() }, &[self, ids]);
        y
    }
}

impl Op for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        let [table, ids] = x else { panic!("embedding takes a table and ids") };
        check::float(self.name(), table);
        check::ids(self.name(), ids);
        let &[_, width] = table.shape.as_slice() else {
            check::fail(self.name(), table, "a table [rows, width]", "")
        };
        list![table.with_shape(Shape::new(&[ids.shape.as_slice(), &[width]].concat()))]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let [vocab, width] = a.shape(0).dims();
        let sizes = a.sizes([a.shape(1).numel(), vocab, width])?;
        a.launch([on_cuda::forward([a.x(0)?, a.ids(1)?], a.y(0)?, sizes)])
    }
}

impl CpuKernel for Embedding {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let [_, width] = a.shape(0).dims();
        kernel::forward(a.x(0), a.ids(1), width, a.y(0));
    }
}

impl Differentiable for Embedding {
    fn save(&self, x: &[&Tensor], _: &[Tensor]) -> Saved {
        list![x[1].clone()]
    }

    fn vjp(&self, saved: &[Tensor], gy: &[Option<Tensor>], _: &[bool]) -> InputGrads {
        let grad = |gy| run::<1>(Backward { table: self.table, adds: false }, &[&saved[0], gy]);
        list![gy[0].as_ref().map(grad).map(|[g]| g), None]
    }

    /// A table that is also the output layer has a gradient already, as large as itself; a few rows are added to it.
    fn add_vjp(&self, _: usize, sum: &mut Tensor, saved: &[Tensor], gy: &[Option<Tensor>]) -> bool {
        let Some(gy) = &gy[0] else { return false };
        run_in_place(&Backward { table: self.table, adds: true }, [sum], &[&saved[0], gy]);
        true
    }
}

impl Op for Backward {
    fn name(&self) -> &'static str {
        "embedding_backward"
    }

    fn output(&self, _: &[Spec]) -> Specs {
        list![self.table]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let [vocab, width] = self.table.shape.dims();
        let sizes = a.sizes([a.shape(0).numel(), vocab, width])?;
        let (from, sum) = ([a.ids(0)?, a.x(1)?], a.y(0)?);
        if !self.adds {
            return a.launch([on_cuda::backward(from, sum, sizes)]);
        }
        let (n, part) = (a.size(vocab * width)?, a.scratch(vocab * width)?);
        a.launch([on_cuda::backward(from, part, sizes), axpby(1.0, part, 1.0, sum, n)])
    }
}

impl CpuKernel for Backward {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let [_, width] = self.table.shape.dims();
        kernel::backward(a.ids(0), width, a.x(1), a.y(0), self.adds);
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |name, inputs: fn(u64) -> Vec<Tensor>| OpCase {
        name,
        inputs,
        bench_inputs: None,
        cost: |x| {
            let row = x[0].bytes() / x[0].shape.as_slice()[0].max(1);
            Cost { flops: 0, bytes: (x[1].bytes() + 2 * x[1].numel() * row) as u64 }
        },
        run: |x| vec![x[0].embedding(&x[1])],
        reference: Some(|x| vec![one_hot(&x[1], x[0].dims::<2>()[0], &x[0])]),
    };
    vec![
        OpCase {
            bench_inputs: Some(|s| inputs(Inputs::f32(s), [8000, 256], &[16, 128])),
            ..case("ids that repeat", |s| inputs(Inputs::f64(s), [4, 3], &[2, 5]))
        },
        case("one row", |s| inputs(Inputs::f64(s), [1, 1], &[1])),
        case("no ids", |s| inputs(Inputs::f64(s), [4, 3], &[0])),
        case("one id without an axis", |s| inputs(Inputs::f64(s), [4, 3], &[])),
        case("width 0", |s| inputs(Inputs::f64(s), [4, 0], &[2])),
    ]
}

/// The definition in matrices: each id as a row with a single 1, times the table.
fn one_hot(ids: &Tensor, rows: usize, table: &Tensor) -> Tensor {
    let row = |&id: &u32| (0..rows).map(move |r| if r == id as usize { 1.0 } else { 0.0 });
    let ones: Vec<f64> = ids.to_vec_u32().iter().flat_map(row).collect();
    let ones = Tensor::from_f64(&table.device(), [ids.numel(), rows], &ones);
    let shape = [ids.shape().as_slice(), &[table.shape().last()]].concat();
    ones.matmul(table).reshape(Shape::new(&shape))
}

fn inputs(mut random: Inputs, table: [usize; 2], ids: &[usize]) -> Vec<Tensor> {
    let rows = u32::try_from(table[0]).unwrap_or(u32::MAX);
    vec![random.normal(table), random.ids(Shape::new(ids), rows)]
}
