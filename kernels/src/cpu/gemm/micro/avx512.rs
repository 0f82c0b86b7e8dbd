//! 14 x 32: 28 of the 32 registers hold the tile, two hold a row of B, one an element of A.

use super::Tile;
use std::arch::x86_64::{
    __m512, __mmask16, _MM_HINT_T0, _mm_prefetch, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_mul_ps, _mm512_set1_ps, _mm512_setzero_ps,
};
use std::hint::black_box;

/// How many steps before their use the operands are fetched into L1.
const AHEAD: usize = 8;
/// Numbers of a cache line.
const LINE: usize = 16;

/// Forms one tile.
///
/// # Safety
/// See [`Kernel::run`](super::Kernel::run); the processor has AVX-512F.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn tile(t: Tile) {
    macro_rules! rows {
        ($($r:literal)*) => {
            match (t.rows, t.cols > 16, t.a_row == 1) {
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
    // SAFETY: `rows` is the number that the call names, and up to 16 columns need one vector.
    unsafe {
        rows!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    }
}

/// R rows, V vectors of 16 columns; ALONG: the elements of a column of A follow one another.
#[target_feature(enable = "avx512f")]
unsafe fn sized<const R: usize, const V: usize, const ALONG: bool>(t: Tile) {
    let mut sum = [[_mm512_setzero_ps(); V]; R];
    let (mut a, mut b) = (t.a, t.b);
    // SAFETY: the strip has k columns, the panel k rows, and C R rows; a prefetch may touch anything.
    unsafe {
        for r in 0..R {
            _mm_prefetch::<_MM_HINT_T0>(t.c.add(r * t.stride).cast());
            _mm_prefetch::<_MM_HINT_T0>(t.c.add(r * t.stride + t.cols - 1).cast());
        }
        if ALONG {
            for _ in 0..t.k {
                _mm_prefetch::<_MM_HINT_T0>(a.wrapping_add(AHEAD * t.a_stride).cast());
                _mm_prefetch::<_MM_HINT_T0>(a.wrapping_add(AHEAD * t.a_stride + R - 1).cast());
                step(&mut sum, [a, a.add(R.min(5)), a.add(R.min(10))], 1, b, t.b_stride);
                a = a.add(t.a_stride);
                b = b.add(t.b_stride);
            }
        } else {
            // One line of each row of A lasts for LINE steps: the next ones are fetched meanwhile.
            let (row, mut left) = (t.a_row, t.k);
            let mut rows = [a, a.wrapping_add(5 * row), a.wrapping_add(10 * row)];
            while left > 0 {
                for r in 0..R {
                    _mm_prefetch::<_MM_HINT_T0>(rows[0].wrapping_add(r * row + LINE).cast());
                }
                let steps = left.min(LINE);
                for _ in 0..steps {
                    step(&mut sum, rows, row, b, t.b_stride);
                    rows = rows.map(|a| a.wrapping_add(1));
                    b = b.add(t.b_stride);
                }
                left -= steps;
            }
        }
    }
    let s = t.store;
    let (alpha, beta) = (_mm512_set1_ps(s.alpha), _mm512_set1_ps(s.beta));
    for v in 0..V {
        let left = (t.cols - 16 * v).min(16);
        let mask: __mmask16 = u16::MAX >> (16 - left);
        for r in 0..R {
            // SAFETY: the mask leaves only columns below `cols`.
            unsafe {
                let c = t.c.add(r * t.stride + 16 * v);
                let mut value = _mm512_mul_ps(alpha, sum[r][v]);
                if s.beta != 0.0 {
                    value = _mm512_fmadd_ps(beta, _mm512_maskz_loadu_ps(mask, c), value);
                }
                if !s.bias.is_null() {
                    value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, s.bias.add(16 * v)));
                }
                _mm512_mask_storeu_ps(c, mask, value);
            }
        }
    }
}

/// Adds the products of a column of A and a row of B. `a` points to the rows 0, 5 and 10 of A, which are `a_row` apart:
/// five rows are as many as one address register reaches.
///
/// # Safety
/// R elements of A and V vectors of B are there.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn step<const R: usize, const V: usize>(
    sum: &mut [[__m512; V]; R],
    a: [*const f32; 3],
    a_row: usize,
    b: *const f32,
    b_stride: usize,
) {
    _mm_prefetch::<_MM_HINT_T0>(b.wrapping_add(AHEAD * b_stride).cast());
    _mm_prefetch::<_MM_HINT_T0>(b.wrapping_add(AHEAD * b_stride + 16).cast());
    let mut row = [_mm512_setzero_ps(); V];
    // SAFETY: the caller's promise.
    unsafe {
        for v in 0..V {
            row[v] = _mm512_loadu_ps(b.add(16 * v));
        }
        let mut add = |r: usize, a: *const f32| {
            let x = _mm512_set1_ps(*a);
            for v in 0..V {
                sum[r][v] = _mm512_fmadd_ps(x, row[v], sum[r][v]);
            }
        };
        for r in 0..R.min(5) {
            add(r, a[0].add(r * a_row));
        }
        for r in 5..R.min(10) {
            add(r, a[1].add((r - 5) * a_row));
        }
        for r in 10..R {
            add(r, a[2].add((r - 10) * a_row));
        }
    }
}

/// Multiply-adds in registers, as many at a time as hide their latency; returns the operations, two for each.
///
/// # Safety
/// The processor has AVX-512F.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn multiply_adds(steps: usize) -> usize {
    const CHAINS: usize = 24;
    let mut sums = [_mm512_set1_ps(1.0); CHAINS];
    let (x, y) = (_mm512_set1_ps(black_box(0.999)), _mm512_set1_ps(black_box(1e-3)));
    for _ in 0..steps {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, x, y);
        }
    }
    black_box(sums);
    2 * steps * CHAINS * 16
}
