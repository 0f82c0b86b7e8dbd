//! Conversions (PTX ISA 9.7.9.21).

use super::{Kind, Row, narrow, w1, w2, widen};
use crate::number::{bf16_of, bits, f16_of, float, of_bf16, of_f16, tf32_of};

/// To an integer: "out-of-range ... is clamped", NaN becomes 0.
pub(super) fn rows() -> Vec<Row> {
    let t = |pattern, operands, meaning| {
        Row::new(pattern, "9.7.9.21", operands, meaning, Kind::Convert)
    };
    vec![
        t("cvt.u64.u32", "D T", widen(u64::from)),
        t("cvt.s64.s32", "D T", widen(|a| i64::from(a.cast_signed()).cast_unsigned())),
        t("cvt{.u32.u64|.s32.s64}", "D T", narrow(|a| a as u32)),
        t("cvt.rn.f32.u32", "D T", w1(|a| bits(a as f32))),
        t("cvt.rn.f32.s32", "D T", w1(|a| bits(a.cast_signed() as f32))),
        t("cvt.rzi.u32.f32", "D T", w1(|a| float(a) as u32)),
        t("cvt.rni.s32.f32", "D T", w1(|a| (float(a).round_ties_even() as i32).cast_unsigned())),
        t("cvt.rzi.s32.f32", "D T", w1(|a| (float(a) as i32).cast_unsigned())),
        t("cvt.rni.f32.f32", "D T", w1(|a| bits(float(a).round_ties_even()))),
        t("cvt.rmi.f32.f32", "D T", w1(|a| bits(float(a).floor()))),
        t("cvt.f64.f32", "D T", widen(|a| f64::from(float(a)).to_bits())),
        t("cvt.rn.f32.f64", "D T", narrow(|a| bits(f64::from_bits(a) as f32))),
        t("cvt.rn.f64.u32", "D T", widen(|a| f64::from(a).to_bits())),
        t("cvt.f32.f16", "D T~", w1(|a| bits(of_f16(a)))),
        t("cvt.rn.f16.f32", "D~ T", w1(|a| f16_of(float(a)))),
        t("cvt.f32.bf16", "D T~", w1(|a| bits(of_bf16(a)))).target(90),
        t("cvt.rn.bf16.f32", "D~ T", w1(|a| bf16_of(float(a)))).target(80),
        // "For .f16x2 and .bf16x2 ... d = {convert(a), convert(b)}", a in the upper half.
        t("cvt.rn.f16x2.f32", "b32 T T", w2(|a, b| f16_of(float(a)) << 16 | f16_of(float(b))))
            .target(80),
        t("cvt.rn.bf16x2.f32", "b32 T T", w2(|a, b| bf16_of(float(a)) << 16 | bf16_of(float(b))))
            .target(80),
        t("cvt.rna.tf32.f32", "b32 T", w1(|a| tf32_of(float(a)))).target(80),
    ]
}
