//! Update rules: `adamw.ptx`, `sgd.ptx`.

use super::launch::{Call, Pointer};
use super::registry::{ADAMW, SGD};
use crate::Real;
use crate::cpu::optimizer::{AdamW, Sgd};

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

/// One step of the rule on n parameters p with gradient g and running gradient m; `control` as for [`adamw`].
#[must_use]
pub fn sgd(rule: &Sgd, [p, g, m]: [Pointer; 3], control: Pointer, n: u32) -> Call {
    Call::new(&SGD, "sgd", [n.div_ceil(256), 1, 1], 256)
        .pointers([p, g, m, control])
        .u32s([n])
        .f32s([rule.lr, rule.momentum, rule.weight_decay].map(f32::from_f64))
        .u32s([u32::from(rule.nesterov)])
}
