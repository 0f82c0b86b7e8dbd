//! Division element by element, with broadcasting.
//!
//! `y = a / b`, element by element; the shapes of a and b are aligned at the last axis, where extents are equal or one
//! of them is 1 and repeats. Gradient: dy/da = 1 / b and dy/db = -a / b^2 = -y / b, so a gets gy / b and b gets -y gy / b, added up over the
//! axes along which it was repeated.
//!
//! ```
//! use foundry_engine::{Device, Tensor};
//! let x = Tensor::from_f64(&Device::cpu(), [2, 2], &[1.0, 2.0, 3.0, 4.0]);
//! let b = Tensor::from_f64(&Device::cpu(), [2], &[10.0, 20.0]);
//! assert_eq!((&b / &x).to_vec::<f64>(), [10.0, 10.0, 10.0 / 3.0, 5.0]);
//! ```
//!
//! # Panics
//! If the shapes do not broadcast, or the element types differ.

use super::broadcast::{self, Binary, operator, sum_to};
use super::scale::scaled;
use crate::OpCase;
use crate::{
    CpuArgs, CudaArgs, DeviceError, Differentiable, InputGrads, Op, Saved, Spec, Specs, Tensor,
    apply, list,
};
use foundry_kernels::cpu::elementwise::broadcast::Binary as Kind;

#[derive(Debug)]
struct Div;

#[track_caller]
fn div(a: &Tensor, b: &Tensor) -> Tensor {
    let [y] = apply(Div, &[a, b]);
    y
}

operator!(Div, div, div);

impl Op for Div {
    fn name(&self) -> &'static str {
        "div"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        Binary(Kind::Div).output(x)
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        Binary(Kind::Div).cpu(args);
    }

    fn cuda(&self, args: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        Binary(Kind::Div).cuda(args)
    }
}

impl Differentiable for Div {
    fn save(&self, x: &[&Tensor], y: &[Tensor]) -> Saved {
        list![x[0].clone(), x[1].clone(), y[0].clone()]
    }

    fn vjp(&self, saved: &[Tensor], gy: &[Option<Tensor>], needs: &[bool]) -> InputGrads {
        let Some(gy) = &gy[0] else { return list![None, None] };
        let [a, b, y] = saved else { unreachable!("three tensors were saved") };
        let share = Binary(Kind::Div).run(gy, b);
        let gb = || scaled(&sum_to(&Binary(Kind::Mul).run(&share, y), *b.shape()), -1.0);
        list![needs[0].then(|| sum_to(&share, *a.shape())), needs[1].then(gb)]
    }
}

pub(crate) fn cases() -> Vec<OpCase> {
    broadcast::cases(|x| vec![&x[0] / &x[1]], |x| vec![div(&x[0], &x[0])])
}
