//! Adding gradients up, in place.

use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, DeviceError, Op, Real, Spec, Specs, Tensor, list,
    run_in_place,
};
use foundry_kernels::cpu::par;
use foundry_kernels::cuda::elementwise::axpby;

/// y <- y + x.
#[derive(Debug)]
struct Accumulate;

impl Op for Accumulate {
    fn name(&self) -> &'static str {
        "accumulate"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        list![x[0]]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let ([x], [y]) = (a.inputs()?, a.outputs()?);
        a.launch([axpby(1.0, x, 1.0, y, a.numel(0)?)])
    }
}

impl CpuKernel for Accumulate {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        const PIECE: usize = 1 << 14;
        let ([x], [y]) = (a.inputs(), a.outputs());
        par::chunks_mut(y, PIECE, |i, y| {
            for (y, &x) in y.iter_mut().zip(&x[i * PIECE..]) {
                *y += x;
            }
        });
    }
}

/// Adds `x` to `sum`, in its own memory unless someone else holds it.
pub(crate) fn accumulate(sum: &mut Tensor, x: &Tensor) {
    run_in_place(&Accumulate, [sum], &[x]);
}
