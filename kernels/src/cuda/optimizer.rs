//! Update rules: `adamw.ptx`.

use super::launch::{Call, Pointer};
use super::registry::ADAMW;
use crate::Real;
use crate::cpu::optimizer::AdamW;

/// One step of the rule on n parameters p with gradient g and moments m and v.
///
/// `control` holds two words on the device: the factor on the gradient (f32; `grad_scale` of the rule is not used), and
/// whether to skip the step (u32).
#[must_use]
pub fn adamw(rule: &AdamW, [p, g, m, v]: [Pointer; 4], control: Pointer, n: u32) -> Call {
    let r = rule;
    let numbers = [
        1.0 - r.lr * r.weight_decay,
        1.0 - r.beta1,
        r.beta2,
        1.0 - r.beta2,
        r.lr / r.correction1,
        r.correction2.sqrt(),
        r.eps,
    ];
    Call::new(&ADAMW, "adamw", [n.div_ceil(256), 1, 1], 256)
        .pointers([p, g, m, v, control])
        .u32s([n])
        .f32s(numbers.map(f32::from_f64))
}
