//! The sums of squares of tensors, for the norm of a gradient.
//!
//! s_k = sum_i x_ki^2, accumulated in f64 in an order that depends on the length only; any number of tensors -> `[tensors]` in
//! f64 whatever they are. It has no gradient: clipping does not differentiate through the norm.

use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, DType, DeviceError, Op, Real, Spec, Specs, Tensor, check,
    list, run,
};
use foundry_kernels::cpu::elementwise::reduce;
use foundry_kernels::cuda::launch::Pointer;
use foundry_kernels::cuda::reduce::{Terms, parts, sum};

#[derive(Debug)]
struct SumsOfSquares;

/// The sum of squares of each tensor, `[tensors]`.
pub(super) fn sums_of_squares(x: &[&Tensor]) -> Tensor {
    let [s] = run(SumsOfSquares, x);
    s
}

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
        sums_of_squares(&[self]).item()
    }
}

impl Op for SumsOfSquares {
    fn name(&self) -> &'static str {
        "sums_of_squares"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        x.iter().for_each(|x| check::float(self.name(), x));
        list![Spec::new([x.len()], DType::F64)]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let total = a.y_wide(0)?;
        for i in 0..a.len() {
            let n = a.numel(i)?;
            let scratch = a.scratch(2 * parts(n) as usize)?;
            let to = Pointer(total.0 + 8 * i as u64);
            a.launch(sum(Terms::Squares, a.x(i)?, n, scratch, to))?;
        }
        Ok(())
    }
}

impl CpuKernel for SumsOfSquares {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let sums = a.y_in::<f64>(0);
        for (i, s) in sums.iter_mut().enumerate() {
            *s = reduce::sum_of_squares(a.x(i));
        }
    }
}
