//! 6 x 16: 12 of the 16 registers hold the tile, two hold a row of B, one an element of A.

use super::Tile;
use std::arch::x86_64::{
    __m256i, _MM_HINT_T0, _mm_prefetch, _mm256_add_ps, _mm256_broadcast_ss, _mm256_fmadd_ps,
    _mm256_loadu_ps, _mm256_loadu_si256, _mm256_maskload_ps, _mm256_maskstore_ps, _mm256_mul_ps,
    _mm256_set1_ps, _mm256_setzero_ps,
};
use std::hint::black_box;

/// How many steps before their use the operands are fetched into L1.
const AHEAD: usize = 8;
/// Numbers of a cache line.
const LINE: usize = 16;

/// Eight lanes that are on and eight that are off: a load that begins 8 - n lanes in has n lanes on.
static LANES: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

/// Forms one tile.
///
/// # Safety
/// See [`Kernel::run`](super::Kernel::run); the processor has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn tile(t: Tile) {
    macro_rules! rows {
        ($($r:literal)*) => {
            match (t.rows, t.cols > 8, t.a_row == 1) {
                $(
                    ($r, false, true) => sized::<$r, 1, true>(t),
                    ($r, true, true) => sized::<$r, 2, true>(t),
                    ($r, false, false) => sized::<$r, 1, false>(t),
                    ($r, true, false) => sized::<$r, 2, false>(t),
                )*
                _ => {}
            }
        };
    }
    // SAFETY: `rows` is the number that the call names, and up to 8 columns need one vector.
    unsafe {
        rows!(1 2 3 4 5 6);
    }
}

/// R rows, V vectors of 8 columns; ALONG: the elements of a column of A follow one another.
#[target_feature(enable = "avx2,fma")]
unsafe fn sized<const R: usize, const V: usize, const ALONG: bool>(t: Tile) {
    let mut sum = [[_mm256_setzero_ps(); V]; R];
    let (mut a, mut b) = (t.a, t.b);
    let row = if ALONG { 1 } else { t.a_row };
    // SAFETY: the strip has k columns, the panel k rows, and C R rows; a prefetch may touch anything.
    unsafe {
        for r in 0..R {
            _mm_prefetch::<_MM_HINT_T0>(t.c.add(r * t.stride).cast());
            _mm_prefetch::<_MM_HINT_T0>(t.c.add(r * t.stride + t.cols - 1).cast());
        }
        for step in 0..t.k {
            if ALONG {
                _mm_prefetch::<_MM_HINT_T0>(a.wrapping_add(AHEAD * t.a_stride).cast());
            } else if step % LINE == 0 {
                // One line of each row of A lasts for LINE steps: the next ones are fetched meanwhile.
                for r in 0..R {
                    _mm_prefetch::<_MM_HINT_T0>(a.wrapping_add(r * row + LINE).cast());
                }
            }
            _mm_prefetch::<_MM_HINT_T0>(b.wrapping_add(AHEAD * t.b_stride).cast());
            let mut columns = [_mm256_setzero_ps(); V];
            for v in 0..V {
                columns[v] = _mm256_loadu_ps(b.add(8 * v));
            }
            for r in 0..R {
                let x = _mm256_broadcast_ss(&*a.add(r * row));
                for v in 0..V {
                    sum[r][v] = _mm256_fmadd_ps(x, columns[v], sum[r][v]);
                }
            }
            a = a.add(if ALONG { t.a_stride } else { 1 });
            b = b.add(t.b_stride);
        }
    }
    let s = t.store;
    let (alpha, beta) = (_mm256_set1_ps(s.alpha), _mm256_set1_ps(s.beta));
    for v in 0..V {
        let left = (t.cols - 8 * v).min(8);
        // SAFETY: eight numbers from 8 - left on lie inside LANES.
        let mask: __m256i = unsafe { _mm256_loadu_si256(LANES.as_ptr().add(8 - left).cast()) };
        for r in 0..R {
            // SAFETY: the mask leaves only columns below `cols`.
            unsafe {
                let c = t.c.add(r * t.stride + 8 * v);
                let mut value = _mm256_mul_ps(alpha, sum[r][v]);
                if s.beta != 0.0 {
                    value = _mm256_fmadd_ps(beta, _mm256_maskload_ps(c, mask), value);
                }
                if !s.bias.is_null() {
                    value = _mm256_add_ps(value, _mm256_maskload_ps(s.bias.add(8 * v), mask));
                }
                _mm256_maskstore_ps(c, mask, value);
            }
        }
    }
}

/// Multiply-adds in registers, as many at a time as hide their latency; returns the operations, two for each.
///
/// # Safety
/// The processor has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn multiply_adds(steps: usize) -> usize {
    const CHAINS: usize = 12;
    let mut sums = [_mm256_set1_ps(1.0); CHAINS];
    let (x, y) = (_mm256_set1_ps(black_box(0.999)), _mm256_set1_ps(black_box(1e-3)));
    for _ in 0..steps {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, x, y);
        }
    }
    black_box(sums);
    2 * steps * CHAINS * 8
}
