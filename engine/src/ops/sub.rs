//! Subtraction, with broadcasting.
//!
//! `y = a - b`, element by element; the shapes of a and b are aligned at the last axis, where extents are equal or one
//! of them is 1 and repeats. Gradient: dy/da = 1 and dy/db = -1, so a gets gy and b gets -gy, added up over the axes along which it was
//! repeated.
//!
//! ```
//! use foundry_engine::{Device, Tensor};
//! let x = Tensor::from_f64(&Device::cpu(), [2, 2], &[1.0, 2.0, 3.0, 4.0]);
//! let b = Tensor::from_f64(&Device::cpu(), [2], &[10.0, 20.0]);
//! assert_eq!((&x - &b).to_vec::<f64>(), [-9.0, -18.0, -7.0, -16.0]);
//! ```
//!
//! # Panics
//! If the shapes do not broadcast, or the element types differ.

use super::broadcast::{self, Binary, operator, sum_to};
use super::scale::scaled;
use crate::OpCase;
use crate::{
    CpuArgs, CudaArgs, DeviceError, Differentiable, InputGrads, Op, Saved, Shape, Spec, Specs,
    Tensor, apply, list,
};
use foundry_kernels::cpu::elementwise::broadcast::Binary as Kind;

#[derive(Debug)]
struct Sub {
    /// Of the operands.
    shapes: [Shape; 2],
}

#[track_caller]
fn sub(a: &Tensor, b: &Tensor) -> Tensor {
    let [y] = apply(Sub { shapes: [*a.shape(), *b.shape()] }, &[a, b]);
    y
}

operator!(Sub, sub, sub);

impl Op for Sub {
    fn name(&self) -> &'static str {
        "sub"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        Binary(Kind::Sub).output(x)
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        Binary(Kind::Sub).cpu(args);
    }

    fn cuda(&self, args: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        Binary(Kind::Sub).cuda(args)
    }
}

impl Differentiable for Sub {
    fn save(&self, _: &[&Tensor], _: &[Tensor]) -> Saved {
        list![]
    }

    fn vjp(&self, _: &[Tensor], gy: &[Option<Tensor>], needs: &[bool]) -> InputGrads {
        let Some(gy) = &gy[0] else { return list![None, None] };
        let ga = needs[0].then(|| sum_to(gy, self.shapes[0]));
        let gb = needs[1].then(|| scaled(&sum_to(gy, self.shapes[1]), -1.0));
        list![ga, gb]
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    broadcast::cases(|x| vec![&x[0] - &x[1]], |x| vec![sub(&x[0], &x[0])])
}
