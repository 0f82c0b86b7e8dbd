//! Single precision (PTX ISA 9.7.3).
//!
//! `add`, `sub`, `mul`, `fma`, `div.rn`, `sqrt.rn` and `rcp.rn` are rounded correctly and have one result. The
//! approximations have a documented error instead; they are computed in double precision and, where a launch asks for
//! it, moved by as much as the document allows.

use super::{Kind, Meaning, Row, w1, w2, w3};
use crate::number::{bits, float, flush};

/// An instruction whose result is only promised to lie near the truth.
#[derive(Clone, Copy)]
pub(crate) struct Approximation {
    /// The true value for two operands (the second is that of `div`).
    pub(crate) exact: fn(f64, f64) -> f64,
    pub(crate) operands: usize,
    pub(crate) flush: bool,
    pub(crate) error: Bound,
}

/// How far from it.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    /// |result - truth| <= bound |truth|.
    Relative(f64),
    /// |result - truth| <= bound max(1, |truth|).
    Absolute(f64),
}

impl Approximation {
    /// The result, with `push` in [-1, 1] of the permitted error.
    pub(crate) fn result(&self, a: u32, b: u32, push: f64) -> u32 {
        let read = |x| if self.flush { flush(float(x)) } else { float(x) };
        let truth = (self.exact)(f64::from(read(a)), f64::from(read(b)));
        let moved = match self.error {
            _ if truth == 0.0 || !truth.is_finite() || push == 0.0 => truth,
            Bound::Relative(e) => truth * (1.0 + e * push),
            Bound::Absolute(e) => truth + e * truth.abs().max(1.0) * push,
        };
        let result = moved as f32;
        bits(if self.flush { flush(result) } else { result })
    }
}

fn f1(f: impl Fn(f32) -> f32 + Send + Sync + 'static) -> Meaning {
    w1(move |a| bits(f(float(a))))
}

fn f2(f: impl Fn(f32, f32) -> f32 + Send + Sync + 'static) -> Meaning {
    w2(move |a, b| bits(f(float(a), float(b))))
}

fn f3(f: impl Fn(f32, f32, f32) -> f32 + Send + Sync + 'static) -> Meaning {
    w3(move |a, b, c| bits(f(float(a), float(b), float(c))))
}

/// "If both inputs are NaN, then the result is canonical NaN. If only one is NaN, then the result is the other";
/// "-0.0 < +0.0".
pub(super) fn max(a: f32, b: f32) -> f32 {
    match () {
        () if a.is_nan() => b,
        () if b.is_nan() => a,
        () if a == b => {
            if a.is_sign_positive() {
                a
            } else {
                b
            }
        }
        () => {
            if a > b {
                a
            } else {
                b
            }
        }
    }
}

fn min(a: f32, b: f32) -> f32 {
    -max(-a, -b)
}

/// "2 ulp" and "1 ulp": an ulp is at most 2^-23 of the number.
const ULP: f64 = 1.0 / 8_388_608.0;
const P22: f64 = 2.0 * ULP;

pub(super) fn rows() -> Vec<Row> {
    let t = |pattern, section, operands, meaning| {
        Row::new(pattern, section, operands, meaning, Kind::Float)
    };
    let z = |f: fn(f32, f32) -> f32| f2(move |a, b| flush(f(flush(a), flush(b))));
    vec![
        t("add{.rn|}.f32", "9.7.3.3", "T T T", f2(|a, b| a + b)).flops(1),
        t("add{.rn|}.ftz.f32", "9.7.3.3", "T T T", z(|a, b| a + b)).flops(1),
        t("sub{.rn|}.f32", "9.7.3.4", "T T T", f2(|a, b| a - b)).flops(1),
        t("sub{.rn|}.ftz.f32", "9.7.3.4", "T T T", z(|a, b| a - b)).flops(1),
        t("mul{.rn|}.f32", "9.7.3.5", "T T T", f2(|a, b| a * b)).flops(1),
        t("mul{.rn|}.ftz.f32", "9.7.3.5", "T T T", z(|a, b| a * b)).flops(1),
        t("fma.rn.f32", "9.7.3.6", "T T T T", f3(f32::mul_add)).flops(2),
        t(
            "fma.rn.ftz.f32",
            "9.7.3.6",
            "T T T T",
            f3(|a, b, c| flush(flush(a).mul_add(flush(b), flush(c)))),
        )
        .flops(2),
        t("div.rn.f32", "9.7.3.8", "T T T", f2(|a, b| a / b)).flops(1),
        t("abs.f32", "9.7.3.9", "T T", f1(f32::abs)),
        t("neg.f32", "9.7.3.10", "T T", f1(|a| -a)),
        t("min.f32", "9.7.3.11", "T T T", f2(min)).flops(1),
        t("max.f32", "9.7.3.12", "T T T", f2(max)).flops(1),
        t(
            "max.NaN.f32",
            "9.7.3.12",
            "T T T",
            f2(|a, b| if a.is_nan() || b.is_nan() { f32::NAN } else { max(a, b) }),
        )
        .target(80)
        .flops(1),
        t("rcp.rn.f32", "9.7.3.13", "T T", f1(|a| 1.0 / a)).flops(1),
        t("sqrt.rn.f32", "9.7.3.15", "T T", f1(f32::sqrt)).flops(1),
    ]
    .into_iter()
    .chain(approximations())
    .collect()
}

fn approximations() -> Vec<Row> {
    let row = |pattern, section, operands, exact, flush, error| {
        let count = if operands == "T T T" { 2 } else { 1 };
        let a = Approximation { exact, operands: count, flush, error };
        Row::new(pattern, section, operands, Meaning::Approximate(a), Kind::Special).flops(1)
    };
    let two = |name: [&'static str; 2], section, operands, exact: fn(f64, f64) -> f64, error| {
        [(name[0], false), (name[1], true)]
            .map(|(name, flush)| row(name, section, operands, exact, flush, error))
    };
    let relative = Bound::Relative;
    let mut rows: Vec<Row> = [
        // "For |b| in [2^-126, 2^126], the maximum ulp error is 2."
        two(
            ["div.approx.f32", "div.approx.ftz.f32"],
            "9.7.3.8",
            "T T T",
            |a, b| a / b,
            relative(2.0 * ULP),
        ),
        two(
            ["div.full.f32", "div.full.ftz.f32"],
            "9.7.3.8",
            "T T T",
            |a, b| a / b,
            relative(2.0 * ULP),
        ),
        // "The maximum ulp error is 1."
        two(
            ["rcp.approx.f32", "rcp.approx.ftz.f32"],
            "9.7.3.13",
            "T T",
            |a, _| 1.0 / a,
            relative(ULP),
        ),
        // "The maximum relative error over the entire positive finite floating-point range is 2^-23."
        two(
            ["sqrt.approx.f32", "sqrt.approx.ftz.f32"],
            "9.7.3.15",
            "T T",
            |a, _| a.sqrt(),
            relative(ULP),
        ),
        // "The maximum relative error ... is 2^-22.9."
        two(
            ["rsqrt.approx.f32", "rsqrt.approx.ftz.f32"],
            "9.7.3.16",
            "T T",
            |a, _| 1.0 / a.sqrt(),
            relative(1.072 * ULP),
        ),
        // "The maximum absolute error is 2^-20.5 in the range [-2pi, 2pi]."
        two(
            ["sin.approx.f32", "sin.approx.ftz.f32"],
            "9.7.3.18",
            "T T",
            |a, _| a.sin(),
            Bound::Absolute(5.66 * ULP),
        ),
        two(
            ["cos.approx.f32", "cos.approx.ftz.f32"],
            "9.7.3.19",
            "T T",
            |a, _| a.cos(),
            Bound::Absolute(5.66 * ULP),
        ),
        // "2^-22 when the input operand is in the range (0.5, 2)" absolute, else relative.
        two(
            ["lg2.approx.f32", "lg2.approx.ftz.f32"],
            "9.7.3.20",
            "T T",
            |a, _| a.log2(),
            Bound::Absolute(P22),
        ),
        // "The maximum ulp error is 2 for denormalized inputs or outputs. ... relative error 2^-22."
        two(
            ["ex2.approx.f32", "ex2.approx.ftz.f32"],
            "9.7.3.21",
            "T T",
            |a, _| a.exp2(),
            relative(P22),
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    // "The maximum relative error is 2^-11."
    rows.push(
        row("tanh.approx.f32", "9.7.3.22", "T T", |a, _| a.tanh(), false, relative(1.0 / 2048.0))
            .target(75),
    );
    rows
}
