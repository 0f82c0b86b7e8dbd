//! Arithmetic, conversions, comparisons.

use super::{number, run, run_with, word};
use crate::{Kind, Launch, Options};

/// 9.7.8.8: "Shift amounts greater than the register width N are clamped to N." 9.7.8.9: "signed shifts fill with the
/// sign bit, unsigned and untyped shifts fill with 0."
#[test]
fn test_shift__amounts_are_clamped() {
    assert_eq!(word("mov.u32 %r2, 7; shl.b32 %r1, %r2, 32;"), 0);
    assert_eq!(word("mov.u32 %r2, 7; shl.b32 %r1, %r2, 30;"), 0xc000_0000);
    assert_eq!(word("mov.s32 %r2, -8; shr.s32 %r1, %r2, 77;"), u32::MAX);
    assert_eq!(word("mov.s32 %r2, -8; shr.u32 %r1, %r2, 28;"), 15);
}

/// 9.7.1.3: mul "hi: d<n..2n-1>, lo: d<0..n-1>, wide: the destination is twice as wide".
#[test]
fn test_multiply__halves_and_wide() {
    let set = "mov.s32 %r2, -3; mov.u32 %r3, 0x10000005;";
    assert_eq!(word(&format!("{set} mul.lo.u32 %r1, %r2, %r3;")), 0xcfff_fff1);
    assert_eq!(word(&format!("{set} mul.hi.u32 %r1, %r2, %r3;")), 0x1000_0004);
    assert_eq!(word(&format!("{set} mul.hi.s32 %r1, %r2, %r3;")), u32::MAX);
    let wide = "mul.wide.s32 %rd2, %r2, %r3; mov.b64 {%r4, %r1}, %rd2;";
    assert_eq!(word(&format!("{set} {wide}")), u32::MAX);
    let wide = "mad.wide.u32 %rd2, %r2, %r3, -1; mov.b64 {%r1, %r4}, %rd2;";
    assert_eq!(word(&format!("{set} {wide}")), 0xcfff_fff0);
}

/// 9.7.8.7: shf.l "shifts the 64-bit value formed by concatenating a and b left; the most-significant 32 bits are
/// written", wrap: "c & 0x1f".
#[test]
fn test_funnel_shift__rotates() {
    let set = "mov.b32 %r2, 0x12345678;";
    assert_eq!(word(&format!("{set} shf.l.wrap.b32 %r1, %r2, %r2, 40;")), 0x3456_7812);
    assert_eq!(word(&format!("{set} shf.r.wrap.b32 %r1, %r2, %r2, 8;")), 0x7812_3456);
}

/// 9.7.3.6: fma "performs a fused multiply-add with no loss of precision in the intermediate product and addition".
#[test]
fn test_fma__rounds_once() {
    let x = 1.0 + f32::EPSILON;
    let (x_bits, square) = (x.to_bits(), (-(x * x)).to_bits());
    let rest =
        number(&format!("mov.f32 %f2, 0f{x_bits:08X}; fma.rn.f32 %f1, %f2, %f2, 0f{square:08X};"));
    assert_eq!(rest, f32::EPSILON * f32::EPSILON, "what the product lost");
}

/// 9.7.3.12: "If one of the inputs is NaN, then the other input is the result"; "+0.0 > -0.0". 9.7.3.3: ".ftz ...
/// flushes subnormal inputs and results to sign-preserving zero."
#[test]
fn test_float__nan_zero_and_subnormals() {
    let nan = "mov.f32 %f2, 0f7fc00000;";
    assert_eq!(number(&format!("{nan} max.f32 %f1, %f2, 0f40000000;")), 2.0);
    assert!(number(&format!("{nan} max.NaN.f32 %f1, %f2, 0f40000000;")).is_nan());
    let zero = number("mov.f32 %f2, 0f80000000; max.f32 %f1, %f2, 0f00000000;");
    assert!(zero.is_sign_positive());
    let small = "mov.f32 %f2, 0f80000001;";
    assert_eq!(number(&format!("{small} add.f32 %f1, %f2, %f2;")).to_bits(), 0x8000_0002);
    assert_eq!(number(&format!("{small} add.ftz.f32 %f1, %f2, %f2;")).to_bits(), 0x8000_0000);
    assert_eq!(number("mov.f32 %f2, 0fff800000; ex2.approx.ftz.f32 %f1, %f2;"), 0.0);
    // "NaN results are ... canonical NaN 0x7fffffff"
    assert_eq!(number(&format!("{nan} mul.f32 %f1, %f2, %f2;")).to_bits(), 0x7fff_ffff);
}

/// 9.7.6.2: the ordered comparisons: "if either operand is NaN, the result is False"; "neu: unordered not-equal".
#[test]
fn test_compare__nan_is_unordered() {
    let select = |comparison: &str, b: &str| {
        word(&format!(
            "mov.f32 %f2, {b}; setp.{comparison}.f32 %p1, %f2, 0f3f800000; selp.u32 %r1, 1, 0, %p1;"
        ))
    };
    for comparison in ["eq", "ne", "lt", "le", "gt", "ge"] {
        assert_eq!(select(comparison, "0f7fc00000"), 0, "{comparison}");
    }
    assert_eq!(select("neu", "0f7fc00000"), 1);
    assert_eq!(select("nan", "0f7fc00000"), 1);
    assert_eq!(select("ne", "2.0"), 1);
    assert_eq!(select("le", "1.0"), 1);
    let both = "mov.u32 %r2, 5; setp.lt.u32 %p2, %r2, 4; setp.lt.or.u32 %p1, %r2, 9, %p2;";
    assert_eq!(word(&format!("{both} selp.u32 %r1, 1, 0, %p1;")), 1);
    let both = "mov.u32 %r2, 5; setp.lt.u32 %p2, %r2, 4; setp.lt.and.u32 %p1, %r2, 9, %p2;";
    assert_eq!(word(&format!("{both} selp.u32 %r1, 1, 0, %p1;")), 0);
    let signed = "mov.s32 %r2, -1; setp.lt.s32 %p1, %r2, 0;";
    assert_eq!(word(&format!("{signed} selp.u32 %r1, 1, 0, %p1;")), 1);
}

/// 9.7.9.21: "When converting to integer, NaN ... 0"; out of range "is clamped"; rni "round to nearest integer, choosing
/// even integer if source is equidistant".
#[test]
fn test_convert__integers() {
    assert_eq!(word("mov.f32 %f2, 2.5; cvt.rni.s32.f32 %r1, %f2;"), 2);
    assert_eq!(word("mov.f32 %f2, -3.7; cvt.rzi.s32.f32 %r1, %f2;"), (-3_i32).cast_unsigned());
    assert_eq!(word("mov.f32 %f2, 0f7fc00000; cvt.rzi.s32.f32 %r1, %f2;"), 0);
    assert_eq!(word("mov.f32 %f2, 0f7f000000; cvt.rzi.s32.f32 %r1, %f2;"), 0x7fff_ffff);
    assert_eq!(number("mov.u32 %r2, 0xffffffff; cvt.rn.f32.u32 %f1, %r2;"), 4_294_967_296.0);
    assert_eq!(
        number(
            "mov.f32 %f2, -1.5; cvt.f64.f32 %fd1, %f2; add.f64 %fd1, %fd1, 0d3ff0000000000000; cvt.rn.f32.f64 %f1, %fd1;"
        ),
        -0.5
    );
}

/// 9.7.9.21: for `.bf16x2`, "the converted value of a is stored in the upper half of d, that of b in the lower half".
#[test]
fn test_convert__pairs_of_halves() {
    let set = "mov.f32 %f2, 1.0; mov.f32 %f3, -2.0;";
    assert_eq!(word(&format!("{set} cvt.rn.bf16x2.f32 %r1, %f2, %f3;")), 0x3f80_c000);
    assert_eq!(word(&format!("{set} cvt.rn.f16x2.f32 %r1, %f2, %f3;")), 0x3c00_c000);
}

/// 9.7.3.21: "ex2.approx.ftz.f32 ... maximum relative error of 2^-22".
#[test]
fn test_approximate__moves_within_the_documented_error() {
    let body = "cvt.rn.f32.u32 %f2, %r0; fma.rn.f32 %f2, %f2, 0f3dcccccd, 0fc0400000; \
                ex2.approx.ftz.f32 %f1, %f2; st.global.f32 [%rd1], %f1;";
    let exact = run(body, 64).unwrap();
    let options = Options::adversarial(7);
    let (moved, counters) = run_with(body, Launch::linear(1, 64), 64, &options).unwrap();
    let mut different = 0;
    for (i, (a, b)) in exact.into_iter().zip(moved).enumerate() {
        let x = (i as f32).mul_add(0.1, -3.0);
        let truth = f64::from(x).exp2();
        let (a, b) = (f64::from(f32::from_bits(a)), f64::from(f32::from_bits(b)));
        assert!((a / truth - 1.0).abs() < 6.0e-8, "exact {a} {truth}");
        assert!((b / truth - 1.0).abs() < 2.4e-7 + 6.0e-8, "moved {b} {truth}");
        different += u32::from(a != b);
    }
    assert!(different > 20, "{different}");
    assert_eq!(counters.of(Kind::Special), 2);
    assert_eq!(counters.flops, 64 * 2 + 64);
}
