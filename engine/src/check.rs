//! Messages of broken contracts: what was given, what was expected, and a hint.
//!
//! These panic, because they are mistakes in a program. What a person types or feeds is checked before a tensor
//! exists and never gets here.

use crate::{DType, Device, Shape, Spec, Tensor};

/// Panics with the anatomy that every message of the engine has.
#[track_caller]
#[cold]
pub(crate) fn fail(op: &str, given: impl std::fmt::Display, expected: &str, hint: &str) -> ! {
    let hint = if hint.is_empty() { String::new() } else { format!("\n  hint: {hint}") };
    panic!("{op}: got {given}\n  expected: {expected}{hint}")
}

/// All inputs of an op are on one device, which it returns.
#[track_caller]
pub(crate) fn same_device(op: &str, x: &[&Tensor]) -> Device {
    let Some(first) = x.first() else { return Device::cpu() };
    let device = first.device();
    for t in &x[1..] {
        if t.device() != device {
            fail(
                op,
                format!("tensors on {device} and {}", t.device()),
                "one device for all inputs",
                "",
            );
        }
    }
    device
}

/// Panics unless `x` is of real numbers.
#[track_caller]
pub(crate) fn float(op: &str, x: &Spec) {
    if !x.dtype.is_float() {
        fail(op, x, "f32 or f64", "token ids and masks have no gradient and no arithmetic");
    }
}

/// Panics unless `x` holds ids.
#[track_caller]
pub(crate) fn ids(op: &str, x: &Spec) {
    if x.dtype != DType::U32 {
        fail(op, x, "u32 ids", "");
    }
}

/// Panics unless all have one element type.
#[track_caller]
pub(crate) fn same_dtype(op: &str, x: &[&Spec]) {
    for s in x {
        if s.dtype != x[0].dtype {
            fail(
                op,
                format!("{} and {}", x[0], s),
                "one element type",
                "Tensor::to_dtype converts",
            );
        }
    }
}

/// Panics unless `given` is `expected`; `what` says what has that shape.
#[track_caller]
pub(crate) fn shape(op: &str, what: &str, given: &Shape, expected: impl Into<Shape>) {
    let expected = expected.into();
    if *given != expected {
        fail(op, format!("{what} of shape {given}"), &format!("shape {expected}"), "");
    }
}
