//! The sum of squares of a tensor, for the norm of a gradient.
//!
//! s = sum_i x_i^2, accumulated in f64 in an order that depends on the length only; `[...] -> []` in f64 whatever x is.
//! It has no gradient: clipping does not differentiate through the norm.

use crate::{Args, CpuArgs, CpuKernel, DType, Op, Real, Spec, Specs, Tensor, check, list, run};
use foundry_kernels::cpu::elementwise::reduce;

#[derive(Debug)]
struct SumOfSquares;

impl Tensor {
    /// The sum of the squares of the elements.
    ///
    /// # Panics
    /// If the tensor is tracked or holds ids.
    ///
    /// ```
    /// use foundry_engine::{Device, Tensor};
    /// let x = Tensor::from_f32(&Device::cpu(), [2], &[3.0, 4.0]);
    /// assert_eq!(x.sum_of_squares(), 25.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn sum_of_squares(&self) -> f64 {
        let [s] = run(SumOfSquares, &[self]);
        s.item()
    }
}

impl Op for SumOfSquares {
    fn name(&self) -> &'static str {
        "sum_of_squares"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        check::float(self.name(), &x[0]);
        list![Spec::new([], DType::F64)]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }
}

impl CpuKernel for SumOfSquares {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        a.y_in::<f64>(0)[0] = reduce::sum_of_squares(a.x(0));
    }
}
