//! The small floating-point formats, by hand: f16, bf16, tf32, and what `.ftz` does to f32.

/// An f32 whose subnormals became zeros of the same sign.
#[inline(always)]
pub(crate) fn flush(x: f32) -> f32 {
    if x.is_subnormal() { f32::from_bits(x.to_bits() & 0x8000_0000) } else { x }
}

/// The bits of x; ISA 9.7.3: "single-precision instructions ... NaN results are the canonical NaN 0x7fffffff".
#[inline(always)]
pub(crate) fn bits(x: f32) -> u32 {
    if x.is_nan() { 0x7fff_ffff } else { x.to_bits() }
}

#[inline(always)]
pub(crate) fn float(x: u32) -> f32 {
    f32::from_bits(x)
}

/// f32 bits to the nearest number with `drop` fewer bits of fraction, ties to even; the low bits are 0.
fn round_even(x: u32, drop: u32) -> u32 {
    let odd = x >> drop & 1;
    let half = (1 << (drop - 1)) - 1;
    (x.wrapping_add(half + odd)) & !((1 << drop) - 1)
}

/// The nearest bf16 of an f32, ties to even.
pub(crate) fn bf16_of(x: f32) -> u32 {
    if x.is_nan() { 0x7fff } else { round_even(x.to_bits(), 16) >> 16 }
}

/// The f32 that a bf16 is.
pub(crate) fn of_bf16(x: u32) -> f32 {
    f32::from_bits(x << 16)
}

/// `cvt.rna.tf32`: ten bits of fraction, ties away from zero.
pub(crate) fn tf32_of(x: f32) -> u32 {
    if x.is_finite() { x.to_bits().wrapping_add(0x1000) & 0xffff_e000 } else { bits(x) }
}

/// The nearest f16 of an f32, ties to even.
pub(crate) fn f16_of(x: f32) -> u32 {
    let sign = x.to_bits() >> 16 & 0x8000;
    let a = x.abs();
    if x.is_nan() {
        return 0x7fff;
    }
    if a >= 65520.0 {
        return sign | 0x7c00;
    }
    if a < f32::from_bits(0x3880_0000) {
        // Below 2^-14 the unit is 2^-24: adding 2^-1 * 2^24 makes f32 round there.
        let unit = f64::from(a) * 16_777_216.0;
        return sign | unit.round_ties_even() as u32;
    }
    sign | ((round_even(a.to_bits(), 13) >> 13) - (112 << 10))
}

/// The f32 that an f16 is.
pub(crate) fn of_f16(x: u32) -> f32 {
    let sign = (x & 0x8000) << 16;
    let (exponent, fraction) = (x >> 10 & 31, x & 0x3ff);
    let magnitude = match exponent {
        0 => (fraction as f32 / 16_777_216.0).to_bits(),
        31 => 0x7f80_0000 | fraction << 13,
        _ => (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_f16__every_number_survives_the_way_there_and_back() {
        for bits in 0..=0xffff_u32 {
            let x = of_f16(bits);
            if !x.is_nan() {
                assert_eq!(f16_of(x), bits, "{x}");
            }
        }
    }

    #[test]
    fn test_f16__ties_go_to_even_and_the_large_to_infinity() {
        let cases = [
            (1.0 + 1.0 / 2048.0, 0x3c00),
            (1.0 + 3.0 / 2048.0, 0x3c02),
            (65519.9, 0x7bff),
            (65520.0, 0x7c00),
            (-2.0_f32.powi(-25), 0x8000),
            (2.0_f32.powi(-25) * 1.5, 0x0001),
        ];
        for (x, bits) in cases {
            assert_eq!(f16_of(x), bits, "{x}");
        }
    }

    #[test]
    fn test_bf16_and_tf32__rounding() {
        assert_eq!(bf16_of(1.0 + 1.0 / 256.0), 0x3f80, "a tie goes to even");
        assert_eq!(bf16_of(1.0 + 3.0 / 256.0), 0x3f82);
        assert_eq!(bf16_of(f32::MAX), 0x7f80);
        assert_eq!(f32::from_bits(tf32_of(1.0 + 1.0 / 2048.0)), 1.0 + 1.0 / 1024.0, "away from 0");
    }
}
