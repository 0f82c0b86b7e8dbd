//! Addition, with broadcasting: a residual connection, a bias.
//!
//! `y = a + b`, element by element; the shapes of a and b are aligned at the last axis, where extents are equal or one
//! of them is 1 and repeats. Gradient: dy/da = dy/db = 1, so each operand gets gy, added up over the axes along which it was repeated.
//!
//! ```
//! use foundry_engine::{Device, Tensor};
//! let x = Tensor::from_f64(&Device::cpu(), [2, 2], &[1.0, 2.0, 3.0, 4.0]);
//! let b = Tensor::from_f64(&Device::cpu(), [2], &[10.0, 20.0]);
//! assert_eq!((&x + &b).to_vec::<f64>(), [11.0, 22.0, 13.0, 24.0]);
//! ```
//!
//! # Panics
//! If the shapes do not broadcast, or the element types differ.

use super::broadcast::{self, Binary, operator, sum_to};

use crate::OpCase;
use crate::{
    CpuArgs, CudaArgs, DeviceError, Differentiable, InputGrads, Op, Saved, Shape, Spec, Specs,
    Tensor, apply, list,
};
use foundry_kernels::cpu::elementwise::broadcast::Binary as Kind;

#[derive(Debug)]
struct Add {
    /// Of the operands.
    shapes: [Shape; 2],
}

#[track_caller]
fn add(a: &Tensor, b: &Tensor) -> Tensor {
    let [y] = apply(Add { shapes: [*a.shape(), *b.shape()] }, &[a, b]);
    y
}

operator!(Add, add, add);

impl Op for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        Binary(Kind::Add).output(x)
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        Binary(Kind::Add).cpu(args);
    }

    fn cuda(&self, args: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        Binary(Kind::Add).cuda(args)
    }
}

impl Differentiable for Add {
    fn save(&self, _: &[&Tensor], _: &[Tensor]) -> Saved {
        list![]
    }

    fn vjp(&self, _: &[Tensor], gy: &[Option<Tensor>], needs: &[bool]) -> InputGrads {
        let Some(gy) = &gy[0] else { return list![None, None] };
        let of = |i: usize| needs[i].then(|| sum_to(gy, self.shapes[i]));
        list![of(0), of(1)]
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    broadcast::cases(|x| vec![&x[0] + &x[1]], |x| vec![&x[0] + &x[0]])
}
