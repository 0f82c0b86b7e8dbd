//! Integer arithmetic (PTX ISA 9.7.1).

use super::{Kind, Meaning, Row, d1, d2, d3, lanes, w1, w2, w3};
use std::sync::Arc;

fn signed(x: u32) -> i32 {
    x.cast_signed()
}

fn signed64(x: u64) -> i64 {
    x.cast_signed()
}

fn wide(f: impl Fn(u32, u32) -> u64 + Send + Sync + 'static) -> Meaning {
    Meaning::Wide(Arc::new(move |a, b| lanes(|i| f(a[i], b[i]))))
}

fn wide_add(f: impl Fn(u32, u32) -> u64 + Send + Sync + 'static) -> Meaning {
    Meaning::WideAdd(Arc::new(move |a, b, c| lanes(|i| f(a[i], b[i]).wrapping_add(c[i]))))
}

fn product(a: u32, b: u32) -> u64 {
    u64::from(a) * u64::from(b)
}

fn signed_product(a: u32, b: u32) -> u64 {
    (i64::from(signed(a)) * i64::from(signed(b))).cast_unsigned()
}

fn high(a: u32, b: u32) -> u32 {
    (product(a, b) >> 32) as u32
}

fn signed_high(a: u32, b: u32) -> u32 {
    (signed_product(a, b) >> 32) as u32
}

pub(super) fn rows() -> Vec<Row> {
    let t = |pattern, section, operands, meaning| {
        Row::new(pattern, section, operands, meaning, Kind::Integer)
    };
    vec![
        t("add{.u32|.s32}", "9.7.1.1", "T T T", w2(u32::wrapping_add)),
        t("add{.u64|.s64}", "9.7.1.1", "T T T", d2(u64::wrapping_add)),
        t("sub{.u32|.s32}", "9.7.1.2", "T T T", w2(u32::wrapping_sub)),
        t("sub{.u64|.s64}", "9.7.1.2", "T T T", d2(u64::wrapping_sub)),
        t("mul.lo{.u32|.s32}", "9.7.1.3", "T T T", w2(u32::wrapping_mul)),
        t("mul.lo{.u64|.s64}", "9.7.1.3", "T T T", d2(u64::wrapping_mul)),
        t("mul.hi.u32", "9.7.1.3", "T T T", w2(high)),
        t("mul.hi.s32", "9.7.1.3", "T T T", w2(signed_high)),
        t("mul.wide.u32", "9.7.1.3", "W T T", wide(product)),
        t("mul.wide.s32", "9.7.1.3", "W T T", wide(signed_product)),
        t(
            "mad.lo{.u32|.s32}",
            "9.7.1.4",
            "T T T T",
            w3(|a, b, c| a.wrapping_mul(b).wrapping_add(c)),
        ),
        t(
            "mad.lo{.u64|.s64}",
            "9.7.1.4",
            "T T T T",
            d3(|a, b, c| a.wrapping_mul(b).wrapping_add(c)),
        ),
        t("mad.wide.u32", "9.7.1.4", "W T T W", wide_add(product)),
        t("mad.wide.s32", "9.7.1.4", "W T T W", wide_add(signed_product)),
        // A division by zero "yields an unspecified, machine-specific value".
        t("div.u32", "9.7.1.8", "T T T", w2(|a, b| a.checked_div(b).unwrap_or(0xdead_beef))),
        t(
            "div.s32",
            "9.7.1.8",
            "T T T",
            w2(|a, b| match signed(b) {
                0 => 0xdead_beef,
                b => signed(a).wrapping_div(b).cast_unsigned(),
            }),
        ),
        t("div.u64", "9.7.1.8", "T T T", d2(|a, b| a.checked_div(b).unwrap_or(0xdead_beef))),
        t("rem.u32", "9.7.1.9", "T T T", w2(|a, b| a.checked_rem(b).unwrap_or(0xdead_beef))),
        t("rem.u64", "9.7.1.9", "T T T", d2(|a, b| a.checked_rem(b).unwrap_or(0xdead_beef))),
        t("abs.s32", "9.7.1.10", "T T", w1(|a| signed(a).wrapping_abs().cast_unsigned())),
        t("neg.s32", "9.7.1.11", "T T", w1(u32::wrapping_neg)),
        t("neg.s64", "9.7.1.11", "T T", d1(u64::wrapping_neg)),
        t("min.u32", "9.7.1.12", "T T T", w2(u32::min)),
        t("min.s32", "9.7.1.12", "T T T", w2(|a, b| signed(a).min(signed(b)).cast_unsigned())),
        t("min.u64", "9.7.1.12", "T T T", d2(u64::min)),
        t("min.s64", "9.7.1.12", "T T T", d2(|a, b| signed64(a).min(signed64(b)).cast_unsigned())),
        t("max.u32", "9.7.1.13", "T T T", w2(u32::max)),
        t("max.s32", "9.7.1.13", "T T T", w2(|a, b| signed(a).max(signed(b)).cast_unsigned())),
        t("max.u64", "9.7.1.13", "T T T", d2(u64::max)),
        t("max.s64", "9.7.1.13", "T T T", d2(|a, b| signed64(a).max(signed64(b)).cast_unsigned())),
        t("popc.b32", "9.7.1.14", "T T", w1(u32::count_ones)),
        t("clz.b32", "9.7.1.15", "T T", w1(u32::leading_zeros)),
    ]
}
