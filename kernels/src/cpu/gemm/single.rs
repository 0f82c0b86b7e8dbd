//! f32: the blocks around the micro-kernel.

use super::micro::{Kernel, Store, Tile};
use super::{Mat, MatMut, pack};
use crate::Real;
use crate::cpu::{isa::Isa, par, scratch};

/// The longest run of the inner dimension: a panel of B (KC x 32) takes 32 KiB. The same at every level, so that
/// the levels with fused multiply-add give the same bits.
const KC: usize = 256;
/// Elements of B that are packed at a time (8 MiB).
const B_ELEMENTS: usize = 1 << 21;
/// Strips of A in a block of rows.
const STRIPS: usize = 12;
/// Below this many multiplications a product runs on one thread: to wake another costs more.
const SERIAL: usize = 1 << 20;
/// Pieces to cut into, where there is enough work.
const PIECES: usize = 8;

/// Is R f32?
#[inline(always)]
pub(super) const fn is_f32<R>() -> bool {
    size_of::<R>() == size_of::<f32>()
}

/// A slice of R that is f32, as f32.
pub(super) fn down<R: Real>(x: &[R]) -> &[f32] {
    bytemuck::cast_slice(x)
}

/// The same for writing.
pub(super) fn up<R: Real>(x: &mut [R]) -> &mut [f32] {
    bytemuck::cast_slice_mut(x)
}

/// `C = alpha A B + beta C + bias`; no dimension is 0.
pub(super) fn gemm(
    isa: Isa,
    alpha: f32,
    a: Mat<'_, f32>,
    b: Mat<'_, f32>,
    beta: f32,
    mut c: MatMut<'_, f32>,
    bias: Option<&[f32]>,
) {
    let kernel = Kernel::of(isa);
    let (m, k, n) = (a.rows(), a.cols(), b.cols());
    let most = (B_ELEMENTS / k).max(512);
    let width = n.div_ceil(n.div_ceil(most)).next_multiple_of(kernel.nr);
    for j in (0..n).step_by(width) {
        let cols = width.min(n - j);
        scratch::with(k * cols.next_multiple_of(kernel.nr), |packed: &mut [f32]| {
            pack::pack_b(&kernel, &b, j, cols, packed);
            let stride = c.stride();
            // SAFETY: columns j .. j + cols of C, which is borrowed for the length of the call.
            let c = unsafe { MatMut::from_raw(c.shared().at(j), m, cols, stride) };
            compute(&kernel, alpha, &a, packed, beta, c, bias.map(|b| &b[j..j + cols]));
        });
    }
}

/// The product with a packed B.
pub(super) fn compute(
    kernel: &Kernel,
    alpha: f32,
    a: &Mat<'_, f32>,
    b: &[f32],
    beta: f32,
    mut c: MatMut<'_, f32>,
    bias: Option<&[f32]>,
) {
    let (m, k, n) = (a.rows(), a.cols(), c.cols());
    let (stride, out) = (c.stride(), c.shared());
    let panels = n.div_ceil(kernel.nr);
    assert!(b.len() >= panels * kernel.nr * k && bias.is_none_or(|b| b.len() == n));
    let (row_blocks, col_blocks) = cut(kernel, m, panels);
    let depth = k.div_ceil(k.div_ceil(KC));
    let tasks = row_blocks * col_blocks;
    par::ranges(tasks, if m * n * k < SERIAL { tasks } else { 1 }, |lo, hi| {
        for task in lo..hi {
            let (rows_lo, rows_hi) = part(m, row_blocks, task % row_blocks);
            let (panel_lo, panel_hi) = part(panels, col_blocks, task / row_blocks);
            let rows = rows_hi - rows_lo;
            let strips = rows.div_ceil(kernel.mr);
            let strip_len = kernel.a_stride * depth;
            scratch::with(strips * strip_len, |packed: &mut [f32]| {
                for k0 in (0..k).step_by(depth) {
                    let kc = depth.min(k - k0);
                    for (s, strip) in packed.chunks_exact_mut(strip_len).enumerate() {
                        let (lo, hi) = part(rows, strips, s);
                        pack::pack_a(kernel, a, (rows_lo + lo, hi - lo), (k0, kc), strip);
                    }
                    let last = k0 + kc == k;
                    for panel in panel_lo..panel_hi {
                        let j = panel * kernel.nr;
                        let b = &b[(panel * k + k0) * kernel.nr..][..kc * kernel.nr];
                        let store = Store {
                            alpha,
                            beta: if k0 == 0 { beta } else { 1.0 },
                            bias: bias
                                .filter(|_| last)
                                .map_or(std::ptr::null(), |b| b[j..].as_ptr()),
                        };
                        for (s, strip) in packed.chunks_exact(strip_len).enumerate() {
                            let (lo, hi) = part(rows, strips, s);
                            // SAFETY: rows lo..hi of this block and columns from j on lie inside C, and no other
                            // task has this pair of row block and panel. The strip holds kc columns of A, the
                            // slice of b kc rows of a panel, and a part of `rows` is at most mr rows long.
                            unsafe {
                                kernel.run(Tile {
                                    rows: hi - lo,
                                    cols: kernel.nr.min(n - j),
                                    k: kc,
                                    a: strip.as_ptr(),
                                    b: b.as_ptr(),
                                    c: out.at((rows_lo + lo) * stride + j),
                                    stride,
                                    store,
                                });
                            }
                        }
                    }
                }
            });
        }
    });
}

/// In how many blocks of rows and of panels to cut: by the shape alone.
fn cut(kernel: &Kernel, m: usize, panels: usize) -> (usize, usize) {
    let blocks = m.div_ceil(STRIPS * kernel.mr);
    // A multiple of four divides evenly among the usual numbers of threads.
    let rows = if blocks >= 3 { blocks.next_multiple_of(4) } else { blocks };
    let cols = (PIECES / rows).clamp(1, (panels / 4).max(1));
    (rows, cols)
}

/// Piece i of `n` things cut in `pieces` parts whose sizes differ by at most one.
fn part(n: usize, pieces: usize, i: usize) -> (usize, usize) {
    let (size, longer) = (n / pieces, n % pieces);
    let lo = i * size + i.min(longer);
    (lo, lo + size + usize::from(i < longer))
}
