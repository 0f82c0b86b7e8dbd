//! 14 x 32: 28 of the 32 registers hold the tile, two hold a row of B, one an element of A. A tile of 16 columns or fewer, the
//! rest of a matrix, leaves the second half of each row out.
//!
//! The products are assembly: there is one register to spare, and a compiler that keeps anything else in one writes parts
//! of the tile to memory and back with every product.

use super::{LINE, Tile};
use std::arch::asm;
use std::arch::x86_64::{
    __m512, _MM_HINT_T0, _MM_HINT_T1, _mm_prefetch, _mm512_add_ps, _mm512_fmadd_ps,
    _mm512_loadu_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_mul_ps, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_storeu_ps,
};
use std::hint::black_box;

/// How many products before their use the operands are fetched into L1.
const AHEAD: usize = 8;

/// How far apart the columns of a packed strip of A are.
pub(super) const A_STRIDE: usize = 16;
/// Fewer products than these are made in one go, and little is fetched meanwhile: what the processor does before and after the
/// products of a tile it does not hide.
const SHORT: usize = 128;

/// Forms one tile.
///
/// # Safety
/// See [`Kernel::run`](super::Kernel::run); the processor has AVX-512F.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn tile(t: &Tile) {
    macro_rules! rows {
        ($($r:literal)*) => {
            match (t.rows, t.a_row == 1, t.cols <= LINE) {
                $(
                    ($r, true, false) => sized::<$r, true, false>(t),
                    ($r, true, true) => sized::<$r, true, true>(t),
                    ($r, false, false) => sized::<$r, false, false>(t),
                    ($r, false, true) => sized::<$r, false, true>(t),
                )*
                _ => {}
            }
        };
    }
    // SAFETY: `rows` is the number that the call names.
    unsafe {
        rows!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    }
}

/// The two vectors of each row of a tile.
type Sums = [[__m512; 2]; 14];

/// R rows; ALONG: the elements of a column of A follow one another; HALF: no more than 16 columns.
#[target_feature(enable = "avx512f")]
unsafe fn sized<const R: usize, const ALONG: bool, const HALF: bool>(t: &Tile) {
    let mut sums: Sums = [[_mm512_setzero_ps(); 2]; 14];
    // SAFETY: the strip has k columns, the panel k rows, and C R rows; a prefetch may touch anything.
    unsafe {
        if t.k < SHORT {
            // C only where it is read: lines on their way from L3 would keep the operands waiting.
            if t.store.beta != 0.0 {
                (0..R).for_each(|r| fetch_row(t, r));
            }
            if ALONG {
                along::<R, HALF>(&mut sums, t.a, t.a_stride, t.b, t.b_stride, t.k);
            } else {
                across::<R, HALF>(&mut sums, t.a, t.a_row, t.b, t.b_stride, t.k);
            }
        } else {
            in_turns::<R, ALONG, HALF>(&mut sums, t);
        }
    }
    // SAFETY: C has the tile, and the bias its columns.
    unsafe { store_tile::<R, ALONG, HALF>(&sums, t) }
}

/// Many products, [`LINE`] at a time. What comes later is fetched meanwhile, a little with every line: C, what will be packed
/// next, and A where it is not packed.
///
/// # Safety
/// As [`tile`].
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn in_turns<const R: usize, const ALONG: bool, const HALF: bool>(sums: &mut Sums, t: &Tile) {
    let (mut a, mut b, mut left, mut ahead) = (t.a, t.b, t.k, t.ahead.start);
    // Rows of C that have no turn below are fetched at once.
    let mut row = R.saturating_sub(t.k / LINE);
    // SAFETY: the strip has k columns and the panel k rows; a prefetch may touch anything.
    unsafe {
        (0..row).for_each(|r| fetch_row(t, r));
        while left > 0 {
            let steps = left.min(LINE);
            if row < R {
                fetch_row(t, row);
                row += 1;
            }
            _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
            _mm_prefetch::<_MM_HINT_T1>(ahead.wrapping_add(t.ahead.second).cast());
            ahead = ahead.wrapping_add(t.ahead.step);
            if ALONG {
                along::<R, HALF>(sums, a, t.a_stride, b, t.b_stride, steps);
                a = a.wrapping_add(steps * t.a_stride);
            } else {
                for r in 0..R {
                    _mm_prefetch::<_MM_HINT_T0>(a.wrapping_add(r * t.a_row + LINE).cast());
                }
                across::<R, HALF>(sums, a, t.a_row, b, t.b_stride, steps);
                a = a.wrapping_add(steps);
            }
            b = b.wrapping_add(steps * t.b_stride);
            left -= steps;
        }
    }
}

/// Stores the first R rows of a tile. ALONG makes a function for each that calls it, so that it becomes a part of that and the
/// sums stay in registers.
///
/// # Safety
/// C has R rows of `cols` columns; the bias, if there is one, has `cols` numbers.
#[expect(clippy::cognitive_complexity, reason = "the macros write every row; the text is short")]
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store_tile<const R: usize, const ALONG: bool, const HALF: bool>(sums: &Sums, t: &Tile) {
    let s = t.store;
    // Each row by its number, and not in a loop: a sum that is looked up by a variable has to lie in memory.
    macro_rules! each_row {
        (|$low:ident, $high:ident, $c:ident| $store:expr) => {
            each_row!(@ $low, $high, $c, $store, 0 1 2 3 4 5 6 7 8 9 10 11 12 13)
        };
        (@ $low:ident, $high:ident, $c:ident, $store:expr, $($r:literal)*) => {{
            $(
                if $r < R {
                    let ([$low, $high], $c) = (sums[$r], t.c.wrapping_add($r * t.stride));
                    $store;
                }
            )*
        }};
    }
    /// Stores the row at `c` of a whole tile.
    macro_rules! store {
        ($c:ident, $low:expr, $high:expr) => {{
            let (low, high) = ($low, $high);
            // SAFETY: C has the row, and all 32 columns.
            unsafe {
                _mm512_storeu_ps($c, low);
                _mm512_storeu_ps($c.wrapping_add(LINE), high);
            }
        }};
    }
    /// A sum times alpha.
    macro_rules! scaled {
        ($sum:expr) => {
            _mm512_mul_ps(_mm512_set1_ps(s.alpha), $sum)
        };
    }
    /// A sum and what stands in C.
    macro_rules! with_old {
        ($sum:expr, $c:expr) => {
            // SAFETY: as for `store!`.
            _mm512_add_ps($sum, unsafe { _mm512_loadu_ps($c) })
        };
    }
    // The usual cases of a whole tile: no mask, and no operation that changes nothing. The same bits as the last case, but for
    // the sign of a zero.
    let one = 1.0_f32.to_bits();
    let (whole, new) = (!HALF && t.cols == 2 * LINE, s.beta == 0.0);
    let usual = whole && (new || s.beta.to_bits() == one);
    // usual, alpha = 1, beta = 0, no bias
    match (usual, s.alpha.to_bits() == one, new, s.bias.is_null()) {
        (true, true, true, true) => each_row!(|low, high, c| store!(c, low, high)),
        (true, false, true, true) => {
            each_row!(|low, high, c| store!(c, scaled!(low), scaled!(high)));
        }
        (true, true, false, true) => each_row!(|low, high, c| store!(
            c,
            with_old!(low, c),
            with_old!(high, c.wrapping_add(LINE))
        )),
        (true, false, false, true) => each_row!(|low, high, c| store!(
            c,
            with_old!(scaled!(low), c),
            with_old!(scaled!(high), c.wrapping_add(LINE))
        )),
        (true, true, true, false) => {
            // SAFETY: there is a bias for each of the 32 columns.
            let (first, second) =
                unsafe { (_mm512_loadu_ps(s.bias), _mm512_loadu_ps(s.bias.wrapping_add(LINE))) };
            each_row!(|low, high, c| store!(
                c,
                _mm512_add_ps(low, first),
                _mm512_add_ps(high, second)
            ));
        }
        (false, true, true, true) => {
            let masks = [mask(t.cols), mask(t.cols.saturating_sub(LINE))];
            each_row!(|low, high, c| {
                // SAFETY: the masks leave only columns below `cols`.
                unsafe {
                    _mm512_mask_storeu_ps(c, masks[0], low);
                    if !HALF {
                        _mm512_mask_storeu_ps(c.wrapping_add(LINE), masks[1], high);
                    }
                }
            });
        }
        _ => {
            // A mask of nothing reads nothing and gives zeros; but an address where nothing is would cost hundreds of
            // cycles.
            let bias = if s.bias.is_null() { t.c.cast_const() } else { s.bias };
            let masks = [mask(t.cols), mask(t.cols.saturating_sub(LINE))];
            let if_old = 0_u16.wrapping_sub(u16::from(s.beta != 0.0));
            let if_bias = 0_u16.wrapping_sub(u16::from(!s.bias.is_null()));
            macro_rules! finish {
                ($v:literal, $sum:ident, $c:ident) => {{
                    let (mask, c) = (masks[$v], $c.wrapping_add(LINE * $v));
                    let bias = bias.wrapping_add(LINE * $v);
                    // SAFETY: the masks leave only columns below `cols`.
                    unsafe {
                        let old = _mm512_maskz_loadu_ps(mask & if_old, c);
                        let bias = _mm512_maskz_loadu_ps(mask & if_bias, bias);
                        let sum = _mm512_fmadd_ps(_mm512_set1_ps(s.beta), old, scaled!($sum));
                        _mm512_mask_storeu_ps(c, mask, _mm512_add_ps(sum, bias));
                    }
                }};
            }
            each_row!(|low, high, c| {
                finish!(0, low, c);
                if !HALF {
                    finish!(1, high, c);
                }
            });
        }
    }
}

/// The lanes of a vector that `cols` columns take.
#[inline(always)]
fn mask(cols: usize) -> u16 {
    u16::try_from((1_u32 << cols.min(LINE)) - 1).unwrap_or(u16::MAX)
}

/// Fetches row r of the tile of C.
#[inline(always)]
unsafe fn fetch_row(t: &Tile, r: usize) {
    let row = t.c.wrapping_add(r * t.stride);
    // SAFETY: a prefetch may touch anything.
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(row.cast());
        _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(t.cols - 1).cast());
    }
}

/// Assembly that adds `steps` products to the rows of a list, four in a turn of the loop: for each row its two registers, of
/// which `half` leaves the second out, and where its element of A lies; for each product of a turn where its column of A begins,
/// and what of A it fetches.
macro_rules! products {
    (whole, $sums:ident, [$($i:tt $lo:tt $hi:tt $at:tt)*], $($rest:tt)*) => {
        products!(@ whole, [$($lo $hi $at)*], [$(inout($lo) $sums[$i][0], inout($hi) $sums[$i][1],)*], $($rest)*)
    };
    (half, $sums:ident, [$($i:tt $lo:tt $hi:tt $at:tt)*], $($rest:tt)*) => {
        products!(@ half, [$($lo $hi $at)*], [$(inout($lo) $sums[$i][0],)*], $($rest)*)
    };
    (@ $width:ident, [$($lo:tt $hi:tt $at:tt)*], [$($registers:tt)*], [$a0:tt $a1:tt $a2:tt $a3:tt],
        [$f0:tt $f1:tt $f2:tt $f3:tt], $four:tt, $one:tt, $steps:ident, $($operands:tt)*) => {
        asm!(
            "test {fours}, {fours}",
            "jz 3f",
            "2:",
            one_product!($width, [$($lo $hi $at)*], $a0, "", $f0),
            one_product!($width, [$($lo $hi $at)*], $a1, " + {b_step}", $f1),
            one_product!($width, [$($lo $hi $at)*], $a2, " + 2*{b_step}", $f2),
            one_product!($width, [$($lo $hi $at)*], $a3, " + {b_step3}", $f3),
            "lea {b}, [{b} + 4*{b_step}]",
            "lea {b_far}, [{b_far} + 4*{b_step}]",
            $four,
            "dec {fours}",
            "jnz 2b",
            "3:",
            "test {ones}, {ones}",
            "jz 5f",
            "4:",
            one_product!($width, [$($lo $hi $at)*], $a0, "", ""),
            "add {b}, {b_step}",
            "add {b_far}, {b_step}",
            $one,
            "dec {ones}",
            "jnz 4b",
            "5:",
            fours = inout(reg) $steps / 4 => _,
            ones = inout(reg) $steps % 4 => _,
            $($operands)*
            $($registers)*
            out("zmm0") _, out("zmm1") _, out("zmm2") _,
            options(nostack, readonly),
        )
    };
}

/// A row of B, and what it adds to each row of the tile.
macro_rules! one_product {
    (half, [$($lo:tt $hi:tt $at:tt)*], $a:tt, $b:tt, $fetch:tt) => {
        concat!(
            "vmovups zmm0, [{b}", $b, "]\n",
            "prefetcht0 [{b_far}", $b, "]\n",
            $fetch, "\n",
            $(
                "vbroadcastss zmm2, dword ptr [", $at, $a, "]\n",
                "vfmadd231ps ", $lo, ", zmm2, zmm0\n",
            )*
        )
    };
    (whole, [$($lo:tt $hi:tt $at:tt)*], $a:tt, $b:tt, $fetch:tt) => {
        concat!(
            "vmovups zmm0, [{b}", $b, "]\n",
            "vmovups zmm1, [{b}", $b, " + 64]\n",
            "prefetcht0 [{b_far}", $b, "]\n",
            "prefetcht0 [{b_far}", $b, " + 64]\n",
            $fetch, "\n",
            $(
                "vbroadcastss zmm2, dword ptr [", $at, $a, "]\n",
                "vfmadd231ps ", $lo, ", zmm2, zmm0\n",
                "vfmadd231ps ", $hi, ", zmm2, zmm1\n",
            )*
        )
    };
}

/// Calls `products!` with the first R of a list of rows.
macro_rules! first_rows {
    ($width:ident, $r:ident, $sums:ident, [$($n:literal $row:tt)*], $rest:tt) => {
        first_rows!(@ $width, $r, $sums, [] [$($n $row)*], $rest)
    };
    (@ $width:ident, $r:ident, $sums:ident, [$($done:tt)*] [], $rest:tt) => {};
    (@ $width:ident, $r:ident, $sums:ident, [$($done:tt)*] [$n:literal ($($row:tt)*) $($more:tt)*], { $($rest:tt)* }) => {
        if $r == $n {
            products!($width, $sums, [$($done)* $($row)*], $($rest)*);
        }
        first_rows!(@ $width, $r, $sums, [$($done)* $($row)*] [$($more)*], { $($rest)* })
    };
}

/// Adds `steps` products; the elements of a column of A follow one another, the columns are `a_stride` apart, in a line each
/// where they are packed and in one or two where not.
///
/// # Safety
/// The columns of A and the rows of B are there; `steps` is not 0.
#[expect(clippy::cognitive_complexity, reason = "the macros write every row; the text is short")]
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn along<const R: usize, const HALF: bool>(
    s: &mut Sums,
    a: *const f32,
    a_stride: usize,
    b: *const f32,
    b_stride: usize,
    steps: usize,
) {
    macro_rules! columns {
        ($fetch:tt) => {
            if HALF {
                columns!(half, $fetch)
            } else {
                columns!(whole, $fetch)
            }
        };
        ($width:ident, $fetch:tt) => {
            // SAFETY: reads what the caller promises; the registers are declared.
            unsafe {
                first_rows!($width, R, s, [
                    1 (0 "zmm4" "zmm5" "{a}")
                    2 (1 "zmm6" "zmm7" "{a} + 4")
                    3 (2 "zmm8" "zmm9" "{a} + 8")
                    4 (3 "zmm10" "zmm11" "{a} + 12")
                    5 (4 "zmm12" "zmm13" "{a} + 16")
                    6 (5 "zmm14" "zmm15" "{a} + 20")
                    7 (6 "zmm16" "zmm17" "{a} + 24")
                    8 (7 "zmm18" "zmm19" "{a} + 28")
                    9 (8 "zmm20" "zmm21" "{a} + 32")
                    10 (9 "zmm22" "zmm23" "{a} + 36")
                    11 (10 "zmm24" "zmm25" "{a} + 40")
                    12 (11 "zmm26" "zmm27" "{a} + 44")
                    13 (12 "zmm28" "zmm29" "{a} + 48")
                    14 (13 "zmm30" "zmm31" "{a} + 52")
                ], {
                    ["" " + {a_step}" " + 2*{a_step}" " + {a_step3}"], $fetch,
                    "lea {a}, [{a} + 4*{a_step}]\nlea {a_far}, [{a_far} + 4*{a_step}]",
                    "add {a}, {a_step}\nadd {a_far}, {a_step}", steps,
                    a = inout(reg) a => _, a_step = in(reg) 4 * a_stride, a_step3 = in(reg) 12 * a_stride,
                    a_far = inout(reg) a.wrapping_add(AHEAD * a_stride) => _,
                    b = inout(reg) b => _, b_step = in(reg) 4 * b_stride, b_step3 = in(reg) 12 * b_stride,
                    b_far = inout(reg) b.wrapping_add(AHEAD * b_stride) => _,
                });
            }
        };
    }
    if a_stride == A_STRIDE {
        columns!([
            "prefetcht0 [{a_far}]"
            "prefetcht0 [{a_far} + {a_step}]"
            "prefetcht0 [{a_far} + 2*{a_step}]"
            "prefetcht0 [{a_far} + {a_step3}]"
        ]);
    } else {
        columns!([
            "prefetcht0 [{a_far}]\nprefetcht0 [{a_far} + 52]"
            "prefetcht0 [{a_far} + {a_step}]\nprefetcht0 [{a_far} + {a_step} + 52]"
            "prefetcht0 [{a_far} + 2*{a_step}]\nprefetcht0 [{a_far} + 2*{a_step} + 52]"
            "prefetcht0 [{a_far} + {a_step3}]\nprefetcht0 [{a_far} + {a_step3} + 52]"
        ]);
    }
}

/// Adds `steps` products; the elements of a row of A follow one another, the rows are `a_row` apart. Five rows are as
/// many as one address register reaches.
///
/// # Safety
/// As [`along`].
#[expect(clippy::cognitive_complexity, reason = "the macros write every row; the text is short")]
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn across<const R: usize, const HALF: bool>(
    s: &mut Sums,
    a: *const f32,
    a_row: usize,
    b: *const f32,
    b_stride: usize,
    steps: usize,
) {
    macro_rules! columns {
        ($width:ident) => {
            // SAFETY: as `along`. The comment uses the registers that few rows do without.
            unsafe {
                first_rows!($width, R, s, [
                    1 (0 "zmm4" "zmm5" "{a}")
                    2 (1 "zmm6" "zmm7" "{a} + {row}")
                    3 (2 "zmm8" "zmm9" "{a} + 2*{row}")
                    4 (3 "zmm10" "zmm11" "{a} + {row3}")
                    5 (4 "zmm12" "zmm13" "{a} + 4*{row}")
                    6 (5 "zmm14" "zmm15" "{a5}")
                    7 (6 "zmm16" "zmm17" "{a5} + {row}")
                    8 (7 "zmm18" "zmm19" "{a5} + 2*{row}")
                    9 (8 "zmm20" "zmm21" "{a5} + {row3}")
                    10 (9 "zmm22" "zmm23" "{a5} + 4*{row}")
                    11 (10 "zmm24" "zmm25" "{a10}")
                    12 (11 "zmm26" "zmm27" "{a10} + {row}")
                    13 (12 "zmm28" "zmm29" "{a10} + 2*{row}")
                    14 (13 "zmm30" "zmm31" "{a10} + {row3}")
                ], {
                    ["" " + 4" " + 8" " + 12"], ["# {row} {row3}" "" "" ""],
                    "add {a}, 16\nadd {a5}, 16\nadd {a10}, 16", "add {a}, 4\nadd {a5}, 4\nadd {a10}, 4", steps,
                    a = inout(reg) a => _,
                    a5 = inout(reg) a.wrapping_add(5 * a_row) => _,
                    a10 = inout(reg) a.wrapping_add(10 * a_row) => _,
                    row = in(reg) 4 * a_row, row3 = in(reg) 12 * a_row,
                    b = inout(reg) b => _, b_step = in(reg) 4 * b_stride, b_step3 = in(reg) 12 * b_stride,
                    b_far = inout(reg) b.wrapping_add(AHEAD * b_stride) => _,
                });
            }
        };
    }
    if HALF {
        columns!(half);
    } else {
        columns!(whole);
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
