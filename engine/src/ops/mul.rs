//! Multiplication element by element, with broadcasting: a gate, a mask.
//!
//! `y = a b`, element by element; the shapes of a and b are aligned at the last axis, where extents are equal or one
//! of them is 1 and repeats. Gradient: dy/da = b and dy/db = a, so a gets gy b and b gets gy a, added up over the axes along which it was
//! repeated.
//!
//! ```
//! use foundry_engine::{Device, Tensor};
//! let x = Tensor::from_f64(&Device::cpu(), [2, 2], &[1.0, 2.0, 3.0, 4.0]);
//! let b = Tensor::from_f64(&Device::cpu(), [2], &[10.0, 20.0]);
//! assert_eq!((&x * &b).to_vec::<f64>(), [10.0, 40.0, 30.0, 80.0]);
//! ```
//!
//! # Panics
//! If the shapes do not broadcast, or the element types differ.

use super::broadcast::{self, Binary, operator, sum_to};

use crate::OpCase;
use crate::{
    CpuArgs, CudaArgs, DeviceError, Differentiable, InputGrads, Op, Saved, Spec, Specs, Tensor,
    apply, list,
};
use foundry_kernels::cpu::elementwise::broadcast::Binary as Kind;

#[derive(Debug)]
struct Mul;

#[track_caller]
fn mul(a: &Tensor, b: &Tensor) -> Tensor {
    let [y] = apply(Mul, &[a, b]);
    y
}

operator!(Mul, mul, mul);

impl Op for Mul {
    fn name(&self) -> &'static str {
        "mul"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        Binary(Kind::Mul).output(x)
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        Binary(Kind::Mul).cpu(args);
    }

    fn cuda(&self, args: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        Binary(Kind::Mul).cuda(args)
    }
}

impl Differentiable for Mul {
    fn save(&self, x: &[&Tensor], _: &[Tensor]) -> Saved {
        list![x[0].clone(), x[1].clone()]
    }

    fn vjp(&self, saved: &[Tensor], gy: &[Option<Tensor>], needs: &[bool]) -> InputGrads {
        let Some(gy) = &gy[0] else { return list![None, None] };
        let [a, b] = saved else { unreachable!("two tensors were saved") };
        let times = |other: &Tensor| Binary(Kind::Mul).run(gy, other);
        let ga = needs[0].then(|| sum_to(&times(b), *a.shape()));
        let gb = needs[1].then(|| sum_to(&times(a), *b.shape()));
        list![ga, gb]
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    broadcast::cases(|x| vec![&x[0] * &x[1]], |x| vec![&x[0] * &x[0]])
}
