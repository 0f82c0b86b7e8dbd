//! Logic and shifts (PTX ISA 9.7.8), moves and selections (9.7.7.2, 9.7.9).

use super::{Kind, Meaning, Row, d1, d2, lanes, w1, w2, w3};
use std::sync::Arc;

fn shift(f: impl Fn(u64, u32) -> u64 + Send + Sync + 'static) -> Meaning {
    Meaning::Shift(Arc::new(move |a, b| lanes(|i| f(a[i], b[i]))))
}

/// "Shift amounts greater than the register width N are clamped to N."
pub(super) fn rows() -> Vec<Row> {
    let t = |pattern, section, operands, meaning| {
        Row::new(pattern, section, operands, meaning, Kind::Integer)
    };
    let p = |pattern, section, operands, meaning| {
        Row::new(pattern, section, operands, meaning, Kind::Predicate)
    };
    let m = |pattern, section, operands, meaning| {
        Row::new(pattern, section, operands, meaning, Kind::Move)
    };
    vec![
        t("and.b32", "9.7.8.1", "T T T", w2(|a, b| a & b)),
        t("and.b64", "9.7.8.1", "T T T", d2(|a, b| a & b)),
        p("and.pred", "9.7.8.1", "T T T", Meaning::P2(|a, b| a & b)),
        t("or.b32", "9.7.8.2", "T T T", w2(|a, b| a | b)),
        t("or.b64", "9.7.8.2", "T T T", d2(|a, b| a | b)),
        p("or.pred", "9.7.8.2", "T T T", Meaning::P2(|a, b| a | b)),
        t("xor.b32", "9.7.8.3", "T T T", w2(|a, b| a ^ b)),
        t("xor.b64", "9.7.8.3", "T T T", d2(|a, b| a ^ b)),
        p("xor.pred", "9.7.8.3", "T T T", Meaning::P2(|a, b| a ^ b)),
        t("not.b32", "9.7.8.4", "T T", w1(|a| !a)),
        t("not.b64", "9.7.8.4", "T T", d1(|a| !a)),
        p("not.pred", "9.7.8.4", "T T", Meaning::P1(|a| !a)),
        t(
            "shf.l.wrap.b32",
            "9.7.8.7",
            "T T T u32",
            w3(|lo, hi, n| ((u64::from(hi) << 32 | u64::from(lo)) << (n & 31) >> 32) as u32),
        ),
        t(
            "shf.r.wrap.b32",
            "9.7.8.7",
            "T T T u32",
            w3(|lo, hi, n| ((u64::from(hi) << 32 | u64::from(lo)) >> (n & 31)) as u32),
        ),
        t("shl.b32", "9.7.8.8", "T T u32", w2(|a, n| a.checked_shl(n).unwrap_or(0))),
        t("shl.b64", "9.7.8.8", "T T u32", shift(|a, n| a.checked_shl(n).unwrap_or(0))),
        t("shr{.b32|.u32}", "9.7.8.9", "T T u32", w2(|a, n| a.checked_shr(n).unwrap_or(0))),
        t(
            "shr.s32",
            "9.7.8.9",
            "T T u32",
            w2(|a, n| (a.cast_signed() >> n.min(31)).cast_unsigned()),
        ),
        t("shr{.b64|.u64}", "9.7.8.9", "T T u32", shift(|a, n| a.checked_shr(n).unwrap_or(0))),
        m("mov{.b32|.u32|.s32|.f32}", "9.7.9.3", "T T", w1(|a| a)),
        m("mov{.u64|.s64|.f64}", "9.7.9.3", "T T", d1(|a| a)),
        // `mov.b64 d, {lo, hi}` and `mov.b64 {lo, hi}, a` are told apart by their operands.
        m("mov.b64", "9.7.9.3-4", "T T", d1(|a| a)),
        p("mov.pred", "9.7.9.3", "T T", Meaning::P1(|a| a)),
        m("selp{.b32|.u32|.s32|.f32}", "9.7.6.3", "T T T pred", Meaning::SelectW),
        m("selp{.b64|.u64|.s64|.f64}", "9.7.6.3", "T T T pred", Meaning::SelectD),
        m("cvta.to.global.u64", "9.7.9.20", "T T", d1(|a| a)),
    ]
}
