//! The same numbers in another shape.
//!
//! y = x, read in row-major order; shapes `[...] -> [...]` with equal numbers of elements. No memory moves.
//! The gradient is the same change backwards: gx = reshape(gy, shape of x).

use crate::case::{Cost, Function, Inputs, OpCase};
use crate::run::record;
use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, DeviceError, Differentiable, InputGrads, Op, Real, Saved,
    Shape, Spec, Specs, Tensor, check, list,
};
use foundry_kernels::cuda::elementwise::copy;

#[derive(Debug)]
struct Reshape {
    from: Shape,
    to: Shape,
}

impl Tensor {
    /// The same numbers in another shape.
    ///
    /// # Panics
    /// If the number of elements differs.
    #[must_use]
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Self {
        let op = Reshape { from: *self.shape(), to: shape.into() };
        let to = op.to;
        op.output(&[self.spec()]);
        record(op, &[self], |_, x| list![x[0].alias(to)]).remove(0)
    }
}

impl Op for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        if x[0].numel() != self.to.numel() {
            let expected = format!("{} elements for {}", self.to.numel(), self.to);
            check::fail("reshape", x[0], &expected, "");
        }
        list![x[0].with_shape(self.to)]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let n = a.numel(0)?;
        a.launch([copy((a.x(0)?, n), (a.y(0)?, n), [1, n])])
    }
}

impl CpuKernel for Reshape {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let ([x], [y]) = (a.inputs(), a.outputs());
        y.copy_from_slice(x);
    }
}

impl Differentiable for Reshape {
    fn save(&self, _: &[&Tensor], _: &[Tensor]) -> Saved {
        list![]
    }

    fn vjp(&self, _: &[Tensor], gy: &[Option<Tensor>], _: &[bool]) -> InputGrads {
        list![gy[0].as_ref().map(|g| g.alias(self.from))]
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |name, inputs: fn(u64) -> Vec<Tensor>, run: Function| OpCase {
        name,
        inputs,
        bench_inputs: None,
        cost: |_| Cost::default(),
        run,
        reference: None,
    };
    vec![
        case(
            "split an axis",
            |s| vec![Inputs::f64(s).normal([2, 6])],
            |x| vec![x[0].reshape([2, 3, 2])],
        ),
        case("empty", |s| vec![Inputs::f64(s).normal([0, 6])], |x| vec![x[0].reshape([3, 0])]),
        case("scalar", |s| vec![Inputs::f64(s).normal([1])], |x| vec![x[0].reshape([])]),
    ]
}
