//! Double precision (PTX ISA 9.7.3): rounded correctly, and slow on most devices.

use super::{Kind, Meaning, Row, d1, d2, d3};

fn f1(f: impl Fn(f64) -> f64 + Send + Sync + 'static) -> Meaning {
    d1(move |a| f(f64::from_bits(a)).to_bits())
}

fn f2(f: impl Fn(f64, f64) -> f64 + Send + Sync + 'static) -> Meaning {
    d2(move |a, b| f(f64::from_bits(a), f64::from_bits(b)).to_bits())
}

fn f3(f: impl Fn(f64, f64, f64) -> f64 + Send + Sync + 'static) -> Meaning {
    d3(move |a, b, c| f(f64::from_bits(a), f64::from_bits(b), f64::from_bits(c)).to_bits())
}

pub(super) fn rows() -> Vec<Row> {
    let t = |pattern, section, operands, meaning| {
        Row::new(pattern, section, operands, meaning, Kind::Double)
    };
    vec![
        t("add{.rn|}.f64", "9.7.3.3", "T T T", f2(|a, b| a + b)).flops(1),
        t("sub{.rn|}.f64", "9.7.3.4", "T T T", f2(|a, b| a - b)).flops(1),
        t("mul{.rn|}.f64", "9.7.3.5", "T T T", f2(|a, b| a * b)).flops(1),
        t("fma.rn.f64", "9.7.3.6", "T T T T", f3(f64::mul_add)).flops(2),
        t("div.rn.f64", "9.7.3.8", "T T T", f2(|a, b| a / b)).flops(1),
        t("neg.f64", "9.7.3.10", "T T", f1(|a| -a)),
        t("sqrt.rn.f64", "9.7.3.15", "T T", f1(f64::sqrt)).flops(1),
    ]
}
