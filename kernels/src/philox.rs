//! Philox 4x32-10: random numbers as a pure function of a key and a counter.
//!
//! Salmon, Moraes, Dror, Shaw: *Parallel random numbers: as easy as 1, 2, 3* (SC 2011). There is no state to carry
//! or to save: the same (key, counter) gives the same four words on every device, for any number of threads, and
//! after any interruption. It is Foundry's only generator.

const M0: u32 = 0xD251_1F53;
const M1: u32 = 0xCD9E_8D57;
const W0: u32 = 0x9E37_79B9;
const W1: u32 = 0xBB67_AE85;

/// The four words of block `counter` of the stream `key`.
#[inline]
#[must_use]
pub fn philox(key: [u32; 2], counter: [u32; 4]) -> [u32; 4] {
    let [mut k0, mut k1] = key;
    let mut c = counter;
    for _ in 0..10 {
        let (h0, l0) = widening_mul(M0, c[0]);
        let (h1, l1) = widening_mul(M1, c[2]);
        c = [h1 ^ c[1] ^ k0, l1, h0 ^ c[3] ^ k1, l0];
        k0 = k0.wrapping_add(W0);
        k1 = k1.wrapping_add(W1);
    }
    c
}

/// Twice eight blocks, each eight as `[word][lane]`: the same words as [`philox`], in the order in which vector registers
/// make them.
pub(crate) type Lanes = [[[u32; 8]; 4]; 2];

/// The blocks of counters `[first + l, c[0], c[1], c[2]]` for sixteen lanes l.
#[inline(always)]
#[must_use]
pub(crate) fn philox_lanes(key: [u32; 2], first: u32, c: [u32; 3]) -> Lanes {
    [first, first.wrapping_add(8)].map(|first| {
        let [mut k0, mut k1] = key;
        let mut w = [[0; 8], [c[0]; 8], [c[1]; 8], [c[2]; 8]];
        for (l, w0) in (0..).zip(&mut w[0]) {
            *w0 = first.wrapping_add(l);
        }
        for _ in 0..10 {
            for l in 0..8 {
                let (h0, l0) = widening_mul(M0, w[0][l]);
                let (h1, l1) = widening_mul(M1, w[2][l]);
                (w[0][l], w[1][l]) = (h1 ^ w[1][l] ^ k0, l1);
                (w[2][l], w[3][l]) = (h0 ^ w[3][l] ^ k1, l0);
            }
            k0 = k0.wrapping_add(W0);
            k1 = k1.wrapping_add(W1);
        }
        w
    })
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{philox_lanes_avx2, philox_lanes_avx512};

/// A word is the lower half of a 64-bit lane. What stands in the upper half does not matter, since a multiplication reads
/// the lower one: so a product is the next word as it is, and nothing is taken apart and put together again. Vectors of
/// counters go through the rounds side by side, since each round of one waits for the round before.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::cast_possible_wrap, reason = "bits")]
mod x86_64 {
    use super::{Lanes, M0, M1, W0, W1};
    use std::arch::x86_64::*;

    /// [`philox_lanes`](super::philox_lanes) with eight lanes in a register.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) fn philox_lanes_avx512(key: [u32; 2], first: u32, c: [u32; 3]) -> Lanes {
        const XOR_OF_THREE: i32 = 0x96;
        let all = |x: u32| _mm512_set1_epi64(i64::from(x));
        let [mut k0, mut k1] = key;
        let count = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
        let (m0, m1) = (all(M0), all(M1));
        let mut w = [[_mm512_setzero_si512(); 4]; 2];
        for (eight, w) in [0, 8].into_iter().zip(&mut w) {
            let w0 = _mm512_add_epi64(all(first.wrapping_add(eight)), count);
            *w = [w0, all(c[0]), all(c[1]), all(c[2])];
        }
        for _ in 0..10 {
            for w in &mut w {
                let (p0, p1) = (_mm512_mul_epu32(w[0], m0), _mm512_mul_epu32(w[2], m1));
                let (h0, h1) = (_mm512_srli_epi64::<32>(p0), _mm512_srli_epi64::<32>(p1));
                let w0 = _mm512_ternarylogic_epi64::<XOR_OF_THREE>(h1, w[1], all(k0));
                let w2 = _mm512_ternarylogic_epi64::<XOR_OF_THREE>(h0, w[3], all(k1));
                *w = [w0, p1, w2, p0];
            }
            k0 = k0.wrapping_add(W0);
            k1 = k1.wrapping_add(W1);
        }
        let mut words: Lanes = [[[0; 8]; 4]; 2];
        for (words, w) in words.iter_mut().zip(w) {
            for (word, w) in words.iter_mut().zip(w) {
                // SAFETY: eight words are written to eight.
                unsafe { _mm256_storeu_si256(word.as_mut_ptr().cast(), _mm512_cvtepi64_epi32(w)) };
            }
        }
        words
    }

    /// The same with four lanes in a register.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(crate) fn philox_lanes_avx2(key: [u32; 2], first: u32, c: [u32; 3]) -> Lanes {
        let all = |x: u32| _mm256_set1_epi64x(i64::from(x));
        let low_first = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
        let (m0, m1) = (all(M0), all(M1));
        let count = _mm256_setr_epi64x(0, 1, 2, 3);
        let mut words: Lanes = [[[0; 8]; 4]; 2];
        for (eight, words) in [0, 8].into_iter().zip(&mut words) {
            let [mut k0, mut k1] = key;
            let mut w = [[_mm256_setzero_si256(); 4]; 2];
            for (half, w) in [0, 4].into_iter().zip(&mut w) {
                let w0 = _mm256_add_epi64(all(first.wrapping_add(eight + half)), count);
                *w = [w0, all(c[0]), all(c[1]), all(c[2])];
            }
            for _ in 0..10 {
                for w in &mut w {
                    let (p0, p1) = (_mm256_mul_epu32(w[0], m0), _mm256_mul_epu32(w[2], m1));
                    let (h0, h1) = (_mm256_srli_epi64::<32>(p0), _mm256_srli_epi64::<32>(p1));
                    let w0 = _mm256_xor_si256(_mm256_xor_si256(h1, w[1]), all(k0));
                    let w2 = _mm256_xor_si256(_mm256_xor_si256(h0, w[3]), all(k1));
                    *w = [w0, p1, w2, p0];
                }
                k0 = k0.wrapping_add(W0);
                k1 = k1.wrapping_add(W1);
            }
            for (half, w) in [0, 4].into_iter().zip(w) {
                for (word, w) in words.iter_mut().zip(w) {
                    let low = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(w, low_first));
                    // SAFETY: four words are written to the four from `half` on.
                    unsafe { _mm_storeu_si128(word[half..].as_mut_ptr().cast(), low) };
                }
            }
        }
        words
    }
}

#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "the two halves of a 64-bit product")]
fn widening_mul(a: u32, b: u32) -> (u32, u32) {
    let p = u64::from(a) * u64::from(b);
    ((p >> 32) as u32, p as u32)
}

/// A random word as a number in [0, 1): the top 24 bits, exact in f32.
#[inline]
#[must_use]
pub fn unit_f32(word: u32) -> f32 {
    #[allow(clippy::cast_precision_loss, reason = "24 bits fit an f32 exactly")]
    let top = (word >> 8) as f32;
    top * (1.0 / 16_777_216.0)
}

/// Two random words as a number in (0, 1): 53 bits and half a step, so never 0 and never 1.
#[inline]
#[must_use]
pub fn open_unit_f64(hi: u32, lo: u32) -> f64 {
    let bits = (u64::from(hi) << 32 | u64::from(lo)) >> 12;
    #[allow(clippy::cast_precision_loss, reason = "52 bits fit an f64 exactly")]
    let top = bits as f64;
    (top + 0.5) * (1.0 / 4_503_599_627_370_496.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::isa::Isa;
    use crate::cpu::vector::{Body, Math, dispatch_at};

    /// The known answers that come with the Random123 library (kat_vectors, philox4x32 10 rounds).
    #[test]
    fn test_philox__known_answers() {
        assert_eq!(
            philox([0, 0], [0, 0, 0, 0]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox([u32::MAX; 2], [u32::MAX; 4]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox(
                [0xa409_3822, 0x299f_31d0],
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    /// Sixteen blocks, in the way of the level it is run at.
    struct Words {
        key: [u32; 2],
        first: u32,
        c: [u32; 3],
    }

    impl Body for Words {
        type Output = Lanes;
        #[inline(always)]
        fn run<M: Math>(self) -> Lanes {
            M::philox(self.key, self.first, self.c)
        }
    }

    #[test]
    fn test_philox_lanes__same_words_at_every_level() {
        let (key, first, c) = ([7, 11], u32::MAX - 3, [3, 1 << 20, u32::MAX]);
        for isa in Isa::available() {
            let words = dispatch_at(isa, Words { key, first, c });
            for l in 0..16_usize {
                let block = philox(key, [first.wrapping_add(l as u32), c[0], c[1], c[2]]);
                assert_eq!([0, 1, 2, 3].map(|w: usize| words[l / 8][w][l % 8]), block, "{isa:?}");
            }
        }
    }

    #[test]
    fn test_unit__stays_inside() {
        assert!(unit_f32(u32::MAX) < 1.0);
        assert!(open_unit_f64(0, 0) > 0.0 && open_unit_f64(u32::MAX, u32::MAX) < 1.0);
    }
}
