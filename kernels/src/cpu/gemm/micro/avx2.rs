//! 6 x 16: 12 of the 16 registers hold the tile, two hold a row of B, one an element of A.
//!
//! The products are assembly, as those of AVX-512 are: a compiler that keeps anything else in a register writes a part of
//! the tile to memory and back with every product.

use super::{LINE, Tile};
use std::arch::asm;
use std::arch::x86_64::{
    __m256, _MM_HINT_T0, _MM_HINT_T1, _mm_prefetch, _mm256_add_ps, _mm256_fmadd_ps,
    _mm256_loadu_si256, _mm256_maskload_ps, _mm256_maskstore_ps, _mm256_mul_ps, _mm256_set1_ps,
    _mm256_setzero_ps, _mm256_storeu_ps,
};
use std::hint::black_box;

/// How many products before their use the operands are fetched into L1.
const AHEAD: usize = 8;
/// Fewer products than these are made in one go.
const SHORT: usize = 128;
/// Numbers of a vector.
const LANES: usize = 8;

/// Eight lanes that are on and eight that are off: a load that begins 8 - n lanes in has n lanes on.
static MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

/// Forms one tile.
///
/// # Safety
/// See [`Kernel::run`](super::Kernel::run); the processor has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn tile(t: &Tile) {
    macro_rules! rows {
        ($($r:literal)*) => {
            match (t.rows, t.a_row == 1) {
                $(
                    ($r, true) => sized::<$r, true>(t),
                    ($r, false) => sized::<$r, false>(t),
                )*
                _ => {}
            }
        };
    }
    // SAFETY: `rows` is the number that the call names.
    unsafe {
        rows!(1 2 3 4 5 6);
    }
}

/// The two vectors of each row of a tile.
type Sums = [[__m256; 2]; 6];

/// R rows; ALONG: the elements of a column of A follow one another.
#[expect(clippy::cognitive_complexity, reason = "the macros write every row; the text is short")]
#[target_feature(enable = "avx2,fma")]
unsafe fn sized<const R: usize, const ALONG: bool>(t: &Tile) {
    let mut sums: Sums = [[_mm256_setzero_ps(); 2]; 6];
    let (mut a, mut b, mut left, mut ahead) = (t.a, t.b, t.k, t.ahead.start);
    let turn = if t.k < SHORT { t.k } else { LINE };
    // SAFETY: the strip has k columns, the panel k rows, and C R rows; a prefetch may touch anything.
    unsafe {
        for r in 0..R {
            let row = t.c.wrapping_add(r * t.stride);
            _mm_prefetch::<_MM_HINT_T0>(row.cast());
            _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(t.cols - 1).cast());
        }
        while left > 0 {
            let steps = left.min(turn);
            // What comes later is fetched meanwhile, a little with every line: what will be packed next, and A where it is
            // not packed.
            _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
            _mm_prefetch::<_MM_HINT_T1>(ahead.wrapping_add(t.ahead.second).cast());
            ahead = ahead.wrapping_add(t.ahead.step);
            if ALONG {
                along::<R>(&mut sums, a, t.a_stride, b, t.b_stride, steps);
                a = a.wrapping_add(steps * t.a_stride);
            } else {
                for r in 0..R {
                    _mm_prefetch::<_MM_HINT_T0>(a.wrapping_add(r * t.a_row + LINE).cast());
                }
                across::<R>(&mut sums, a, t.a_row, b, t.b_stride, steps);
                a = a.wrapping_add(steps);
            }
            b = b.wrapping_add(steps * t.b_stride);
            left -= steps;
        }
    }
    let s = t.store;
    let (alpha, beta) = (_mm256_set1_ps(s.alpha), _mm256_set1_ps(s.beta));
    let plain = s.alpha.to_bits() == 1.0_f32.to_bits() && s.beta == 0.0 && s.bias.is_null();
    // Each row by its number, and not in a loop: a sum that is looked up by a variable has to lie in memory.
    macro_rules! rows {
        (|$sum:ident, $c:ident, $v:literal| $store:expr, $($r:literal)*) => {
            $(
                if $r < R {
                    let ($sum, $c) = (sums[$r][$v], t.c.wrapping_add($r * t.stride + LANES * $v));
                    // SAFETY: C has the row and, with a mask or without, the columns.
                    unsafe { $store };
                }
            )*
        };
    }
    if plain && t.cols == 2 * LANES {
        rows!(|sum, c, 0| _mm256_storeu_ps(c, sum), 0 1 2 3 4 5);
        rows!(|sum, c, 1| _mm256_storeu_ps(c, sum), 0 1 2 3 4 5);
        return;
    }
    macro_rules! store {
        ($v:literal) => {
            let left = t.cols.saturating_sub(LANES * $v).min(LANES);
            // SAFETY: eight numbers from 8 - left on lie inside MASKS.
            let mask = unsafe { _mm256_loadu_si256(MASKS.as_ptr().add(LANES - left).cast()) };
            let bias = if s.bias.is_null() {
                _mm256_setzero_ps()
            } else {
                // SAFETY: the mask leaves only columns below `cols`, for each of which there is a bias.
                unsafe { _mm256_maskload_ps(s.bias.wrapping_add(LANES * $v), mask) }
            };
            rows!(|sum, c, $v| {
                let mut value = _mm256_mul_ps(alpha, sum);
                if s.beta != 0.0 {
                    value = _mm256_fmadd_ps(beta, _mm256_maskload_ps(c, mask), value);
                }
                value = _mm256_add_ps(value, bias);
                // A store with a mask takes a dozen cycles on some processors.
                if left == LANES {
                    _mm256_storeu_ps(c, value);
                } else {
                    _mm256_maskstore_ps(c, mask, value);
                }
            }, 0 1 2 3 4 5);
        };
    }
    store!(0);
    store!(1);
}

/// Assembly that adds `steps` products to the rows of a list, four in a turn of the loop: for each row its two registers, and
/// where its element of A lies; for each product of a turn where its column of A begins.
macro_rules! products {
    ($sums:ident, [$($i:tt $lo:tt $hi:tt $at:tt)*], [$a0:tt $a1:tt $a2:tt $a3:tt], $fetch:tt, $four:tt, $one:tt, $steps:ident,
        $($operands:tt)*) => {
        asm!(
            "test {fours}, {fours}",
            "jz 3f",
            "2:",
            $fetch,
            "prefetcht0 [{b_far}]",
            one_product!([$($lo $hi $at)*], $a0, ""),
            "prefetcht0 [{b_far} + {b_step}]",
            one_product!([$($lo $hi $at)*], $a1, " + {b_step}"),
            "prefetcht0 [{b_far} + 2*{b_step}]",
            one_product!([$($lo $hi $at)*], $a2, " + 2*{b_step}"),
            "prefetcht0 [{b_far} + {b_step3}]",
            one_product!([$($lo $hi $at)*], $a3, " + {b_step3}"),
            "lea {b}, [{b} + 4*{b_step}]",
            "lea {b_far}, [{b_far} + 4*{b_step}]",
            $four,
            "dec {fours}",
            "jnz 2b",
            "3:",
            "test {ones}, {ones}",
            "jz 5f",
            "4:",
            one_product!([$($lo $hi $at)*], $a0, ""),
            "add {b}, {b_step}",
            $one,
            "dec {ones}",
            "jnz 4b",
            "5:",
            fours = inout(reg) $steps / 4 => _,
            ones = inout(reg) $steps % 4 => _,
            $($operands)*
            $(inout($lo) $sums[$i][0], inout($hi) $sums[$i][1],)*
            out("ymm0") _, out("ymm1") _, out("ymm2") _,
            options(nostack, readonly),
        )
    };
}

/// A row of B, and what it adds to each row of the tile.
macro_rules! one_product {
    ([$($lo:tt $hi:tt $at:tt)*], $a:tt, $b:literal) => {
        concat!(
            "vmovups ymm0, [{b}", $b, "]\n",
            "vmovups ymm1, [{b}", $b, " + 32]\n",
            $(
                "vbroadcastss ymm2, dword ptr [", $at, $a, "]\n",
                "vfmadd231ps ", $lo, ", ymm2, ymm0\n",
                "vfmadd231ps ", $hi, ", ymm2, ymm1\n",
            )*
        )
    };
}

/// Calls `products!` with the first R of a list of rows.
macro_rules! first_rows {
    ($r:ident, $sums:ident, [$($n:literal $row:tt)*], $rest:tt) => {
        first_rows!(@ $r, $sums, [] [$($n $row)*], $rest)
    };
    (@ $r:ident, $sums:ident, [$($done:tt)*] [], $rest:tt) => {};
    (@ $r:ident, $sums:ident, [$($done:tt)*] [$n:literal ($($row:tt)*) $($more:tt)*], { $($rest:tt)* }) => {
        if $r == $n {
            products!($sums, [$($done)* $($row)*], $($rest)*);
        }
        first_rows!(@ $r, $sums, [$($done)* $($row)*] [$($more)*], { $($rest)* })
    };
}

/// Adds `steps` products; the elements of a column of A follow one another, the columns are `a_stride` apart.
///
/// # Safety
/// The columns of A and the rows of B are there; `steps` is not 0.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn along<const R: usize>(
    s: &mut Sums,
    a: *const f32,
    a_stride: usize,
    b: *const f32,
    b_stride: usize,
    steps: usize,
) {
    // SAFETY: reads what the caller promises; the registers are declared.
    unsafe {
        first_rows!(R, s, [
            1 (0 "ymm4" "ymm5" "{a}")
            2 (1 "ymm6" "ymm7" "{a} + 4")
            3 (2 "ymm8" "ymm9" "{a} + 8")
            4 (3 "ymm10" "ymm11" "{a} + 12")
            5 (4 "ymm12" "ymm13" "{a} + 16")
            6 (5 "ymm14" "ymm15" "{a} + 20")
        ], {
            ["" " + {a_step}" " + 2*{a_step}" " + {a_step3}"],
            // Columns that are packed take half a line each.
            "prefetcht0 [{a_far}]\nprefetcht0 [{a_far} + 2*{a_step}]\nlea {a_far}, [{a_far} + 4*{a_step}]",
            "lea {a}, [{a} + 4*{a_step}]", "add {a}, {a_step}", steps,
            a = inout(reg) a => _, a_step = in(reg) 4 * a_stride, a_step3 = in(reg) 12 * a_stride,
            a_far = inout(reg) a.wrapping_add(AHEAD * a_stride) => _,
            b = inout(reg) b => _, b_step = in(reg) 4 * b_stride, b_step3 = in(reg) 12 * b_stride,
            b_far = inout(reg) b.wrapping_add(AHEAD * b_stride) => _,
        });
    }
}

/// Adds `steps` products; the elements of a row of A follow one another, the rows are `a_row` apart.
///
/// # Safety
/// As [`along`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn across<const R: usize>(
    s: &mut Sums,
    a: *const f32,
    a_row: usize,
    b: *const f32,
    b_stride: usize,
    steps: usize,
) {
    // SAFETY: as `along`. The comment uses a register that one row does without.
    unsafe {
        first_rows!(R, s, [
            1 (0 "ymm4" "ymm5" "{a}")
            2 (1 "ymm6" "ymm7" "{a} + {row}")
            3 (2 "ymm8" "ymm9" "{a} + 2*{row}")
            4 (3 "ymm10" "ymm11" "{a3}")
            5 (4 "ymm12" "ymm13" "{a3} + {row}")
            6 (5 "ymm14" "ymm15" "{a3} + 2*{row}")
        ], {
            ["" " + 4" " + 8" " + 12"], "# {row}",
            "add {a}, 16\nadd {a3}, 16", "add {a}, 4\nadd {a3}, 4", steps,
            a = inout(reg) a => _, a3 = inout(reg) a.wrapping_add(3 * a_row) => _, row = in(reg) 4 * a_row,
            b = inout(reg) b => _, b_step = in(reg) 4 * b_stride, b_step3 = in(reg) 12 * b_stride,
            b_far = inout(reg) b.wrapping_add(AHEAD * b_stride) => _,
        });
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
