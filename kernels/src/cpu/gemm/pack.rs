//! Copies of the operands in the order in which the micro-kernel reads them.

use super::{Mat, micro::Kernel};
use crate::cpu::{isa::Isa, par};

/// Rows of B that are packed at a time.
const RUN: usize = 8;

/// Columns `first .. first + cols` of B, as panels of `nr` columns, each with its k rows one after the other; the
/// last panel is padded.
pub(super) fn pack_b(
    kernel: &Kernel,
    b: &Mat<'_, f32>,
    first: usize,
    cols: usize,
    out: &mut [f32],
) {
    let (k, nr) = (b.rows(), kernel.nr);
    let panels = cols.div_ceil(nr);
    let group = ((1 << 16) / (k * nr).max(1)).max(1);
    par::chunks_mut(&mut out[..panels * k * nr], group * k * nr, |g, out| {
        if b.col_stride() == 1 {
            // A few rows of all panels at a time: memory is read along the rows, and written in runs.
            for t in (0..k).step_by(RUN) {
                let rows = RUN.min(k - t);
                for (p, panel) in out.chunks_exact_mut(k * nr).enumerate() {
                    let j = (g * group + p) * nr;
                    let source = b.from(t, first + j);
                    let panel = &mut panel[t * nr..][..rows * nr];
                    copy_rows(
                        kernel.isa,
                        source,
                        b.row_stride(),
                        rows,
                        nr.min(cols - j),
                        panel,
                        nr,
                    );
                }
            }
            return;
        }
        for (p, panel) in out.chunks_exact_mut(k * nr).enumerate() {
            let j = (g * group + p) * nr;
            let source = b.from(0, first + j);
            transpose(kernel.isa, source, b.col_stride(), nr.min(cols - j), k, panel, nr);
        }
    });
}

/// Columns `t .. t + k` of A as strips, each its columns one after the other; `strips` gives the first row and the
/// number of rows of each, and they lie `strip_len` apart.
pub(super) fn pack_a(
    kernel: &Kernel,
    a: &Mat<'_, f32>,
    strips: impl Iterator<Item = (usize, usize)> + Clone,
    (t, k): (usize, usize),
    strip_len: usize,
    out: &mut [f32],
) {
    let width = kernel.a_stride;
    if a.col_stride() == 1 {
        for ((i, rows), strip) in strips.zip(out.chunks_exact_mut(strip_len)) {
            transpose(kernel.isa, a.from(i, t), a.row_stride(), rows, k, strip, width);
        }
        return;
    }
    // As in `pack_b`: memory is read along the columns of A.
    for t0 in (0..k).step_by(RUN) {
        let cols = RUN.min(k - t0);
        for ((i, rows), strip) in strips.clone().zip(out.chunks_exact_mut(strip_len)) {
            let strip = &mut strip[t0 * width..][..cols * width];
            copy_rows(kernel.isa, a.from(i, t + t0), a.col_stride(), cols, rows, strip, width);
        }
    }
}

/// `out[r * width ..] = source[r * stride ..]`, `used` of `width` numbers for each of `rows` rows; the rest is
/// padding and holds anything.
fn copy_rows(
    isa: Isa,
    source: &[f32],
    stride: usize,
    rows: usize,
    used: usize,
    out: &mut [f32],
    width: usize,
) {
    #[cfg(target_arch = "x86_64")]
    if isa >= Isa::Avx2 && source.len() >= (rows - 1) * stride + width {
        assert!(out.len() >= rows * width);
        // SAFETY: a kernel of this level exists only where the processor has AVX2; every row is followed by numbers
        // enough for the padding, and the lengths were just checked.
        return unsafe {
            match width {
                32 => copy_rows_avx2::<4>(source.as_ptr(), stride, rows, out.as_mut_ptr()),
                16 => copy_rows_avx2::<2>(source.as_ptr(), stride, rows, out.as_mut_ptr()),
                _ => copy_rows_avx2::<1>(source.as_ptr(), stride, rows, out.as_mut_ptr()),
            }
        };
    }
    let _ = isa;
    match width {
        32 => copy_rows_of::<32>(source, stride, rows, used, out),
        16 => copy_rows_of::<16>(source, stride, rows, used, out),
        _ => copy_rows_of::<8>(source, stride, rows, used, out),
    }
}

/// Rows of V vectors of 8 numbers.
///
/// # Safety
/// The processor has AVX2; the vectors can be read at each of `rows` rows from `source` on, and written one after the other
/// from `out` on.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn copy_rows_avx2<const V: usize>(
    source: *const f32,
    stride: usize,
    rows: usize,
    out: *mut f32,
) {
    use std::arch::x86_64::{_mm256_loadu_ps, _mm256_storeu_ps};
    for r in 0..rows {
        for v in 0..V {
            // SAFETY: the caller's promise.
            unsafe {
                let x = _mm256_loadu_ps(source.add(r * stride + 8 * v));
                _mm256_storeu_ps(out.add((r * V + v) * 8), x);
            }
        }
    }
}

fn copy_rows_of<const W: usize>(
    source: &[f32],
    stride: usize,
    rows: usize,
    used: usize,
    out: &mut [f32],
) {
    for (r, out) in out.as_chunks_mut::<W>().0.iter_mut().enumerate().take(rows) {
        let from = &source[r * stride..];
        // A whole vector where the slice goes on that far: the padding then holds neighbours of the row.
        match from.first_chunk::<W>() {
            Some(row) => *out = *row,
            None => {
                out[..used].copy_from_slice(&from[..used]);
                out[used..].fill(0.0);
            }
        }
    }
}

/// `out[t * width + j] = source[j * stride + t]` for j < rows, t < cols; `width` is a multiple of 8, at least
/// `rows`, and the padding holds anything.
pub(super) fn transpose(
    isa: Isa,
    source: &[f32],
    stride: usize,
    rows: usize,
    cols: usize,
    out: &mut [f32],
    width: usize,
) {
    assert!(rows <= width && width.is_multiple_of(8) && out.len() >= cols * width);
    assert!(source.len() >= (rows - 1) * stride + cols);
    #[cfg(target_arch = "x86_64")]
    if isa >= Isa::Avx2 {
        // SAFETY: a kernel of this level exists only where the processor has AVX2; the lengths were just checked.
        return unsafe { transpose_avx2(source, stride, rows, cols, out, width) };
    }
    let _ = isa;
    transpose_columns(source, stride, rows, 0, cols, out, width);
}

fn transpose_columns(
    source: &[f32],
    stride: usize,
    rows: usize,
    first: usize,
    cols: usize,
    out: &mut [f32],
    width: usize,
) {
    for t0 in (first..cols).step_by(16) {
        for j in 0..rows {
            for t in t0..(t0 + 16).min(cols) {
                out[t * width + j] = source[j * stride + t];
            }
        }
    }
}

/// Squares of 8 x 8, two beside each other: 16 numbers, one cache line, are read from a row at a time.
///
/// # Safety
/// The processor has AVX2; `source` and `out` are as long as [`transpose`] checks.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn transpose_avx2(
    source: &[f32],
    stride: usize,
    rows: usize,
    cols: usize,
    out: &mut [f32],
    width: usize,
) {
    let whole = cols / 8 * 8;
    for t0 in (0..whole).step_by(16) {
        for j in (0..rows).step_by(8) {
            for t in (t0..(t0 + 16).min(whole)).step_by(8) {
                // Rows past the last are read as the last: they become padding.
                let at = |r: usize| (j + r).min(rows - 1) * stride + t;
                let rows: [usize; 8] = std::array::from_fn(at);
                // SAFETY: t + 8 <= cols, so each row has 8 numbers from there on, and out has rows t .. t + 8,
                // each with `width >= j + 8` numbers.
                unsafe {
                    square(source.as_ptr(), rows, out.as_mut_ptr().add(t * width + j), width)
                };
            }
        }
    }
    transpose_columns(source, stride, rows, whole, cols, out, width);
}

/// # Safety
/// The processor has AVX2; 8 numbers can be read from each of `rows` on, and written at each of 8 rows of `out`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn square(source: *const f32, rows: [usize; 8], out: *mut f32, width: usize) {
    use std::arch::x86_64::{
        _mm256_loadu_ps, _mm256_permute2f128_ps, _mm256_shuffle_ps, _mm256_storeu_ps,
        _mm256_unpackhi_ps, _mm256_unpacklo_ps,
    };
    // SAFETY: the caller's promise.
    unsafe {
        let load = |i: usize| _mm256_loadu_ps(source.add(rows[i]));
        let (r0, r1, r2, r3) = (load(0), load(1), load(2), load(3));
        let (r4, r5, r6, r7) = (load(4), load(5), load(6), load(7));
        let (a0, a1) = (_mm256_unpacklo_ps(r0, r1), _mm256_unpackhi_ps(r0, r1));
        let (a2, a3) = (_mm256_unpacklo_ps(r2, r3), _mm256_unpackhi_ps(r2, r3));
        let (a4, a5) = (_mm256_unpacklo_ps(r4, r5), _mm256_unpackhi_ps(r4, r5));
        let (a6, a7) = (_mm256_unpacklo_ps(r6, r7), _mm256_unpackhi_ps(r6, r7));
        let (b0, b1) = (_mm256_shuffle_ps::<0x44>(a0, a2), _mm256_shuffle_ps::<0xEE>(a0, a2));
        let (b2, b3) = (_mm256_shuffle_ps::<0x44>(a1, a3), _mm256_shuffle_ps::<0xEE>(a1, a3));
        let (b4, b5) = (_mm256_shuffle_ps::<0x44>(a4, a6), _mm256_shuffle_ps::<0xEE>(a4, a6));
        let (b6, b7) = (_mm256_shuffle_ps::<0x44>(a5, a7), _mm256_shuffle_ps::<0xEE>(a5, a7));
        let store = |i: usize, x| _mm256_storeu_ps(out.add(i * width), x);
        store(0, _mm256_permute2f128_ps::<0x20>(b0, b4));
        store(1, _mm256_permute2f128_ps::<0x20>(b1, b5));
        store(2, _mm256_permute2f128_ps::<0x20>(b2, b6));
        store(3, _mm256_permute2f128_ps::<0x20>(b3, b7));
        store(4, _mm256_permute2f128_ps::<0x31>(b0, b4));
        store(5, _mm256_permute2f128_ps::<0x31>(b1, b5));
        store(6, _mm256_permute2f128_ps::<0x31>(b2, b6));
        store(7, _mm256_permute2f128_ps::<0x31>(b3, b7));
    }
}
