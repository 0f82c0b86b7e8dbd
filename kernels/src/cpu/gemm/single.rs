//! f32: the blocks around the micro-kernel.

use super::micro::{Kernel, Store, Tile};
use super::view::Shared;
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
    let (stride, c) = (c.stride(), c.shared());
    let panels = n.div_ceil(kernel.nr);
    assert!(b.len() >= panels * kernel.nr * k && bias.is_none_or(|b| b.len() == n));
    let depth = k.div_ceil(k.div_ceil(KC));
    let product = Product { kernel, alpha, a, b, beta, c, stride, n, bias, depth };
    let (row_blocks, col_blocks) = cut(kernel, m, panels);
    let tasks = row_blocks * col_blocks;
    par::ranges(tasks, if m * n * k < SERIAL { tasks } else { 1 }, |lo, hi| {
        for task in lo..hi {
            let rows = part(m, row_blocks, task % row_blocks);
            let panels = part(panels, col_blocks, task / row_blocks);
            // SAFETY: the row blocks are disjoint and so are the panels, so no two tasks write the same tile.
            unsafe { product.block(rows, panels) };
        }
    });
}

/// What all blocks of one product share.
struct Product<'a> {
    kernel: &'a Kernel,
    alpha: f32,
    a: &'a Mat<'a, f32>,
    b: &'a [f32],
    beta: f32,
    c: Shared<f32>,
    stride: usize,
    /// Columns of C.
    n: usize,
    bias: Option<&'a [f32]>,
    /// Products that are added up at a time.
    depth: usize,
}

impl Product<'_> {
    /// The elements of C in the rows `rows.0 .. rows.1` and in the columns of the panels `panels.0 .. panels.1`.
    ///
    /// # Safety
    /// Nothing else reads or writes these elements meanwhile.
    unsafe fn block(&self, rows: (usize, usize), panels: (usize, usize)) {
        let (k, kernel) = (self.a.cols(), self.kernel);
        let height = rows.1 - rows.0;
        let strips = height.div_ceil(kernel.mr);
        let strip_len = kernel.a_stride * self.depth;
        scratch::with(strips * strip_len, |packed: &mut [f32]| {
            for k0 in (0..k).step_by(self.depth) {
                let kc = self.depth.min(k - k0);
                for (s, strip) in packed.chunks_exact_mut(strip_len).enumerate() {
                    let (lo, hi) = part(height, strips, s);
                    pack::pack_a(kernel, self.a, (rows.0 + lo, hi - lo), (k0, kc), strip);
                }
                for panel in panels.0..panels.1 {
                    let j = panel * kernel.nr;
                    let b = &self.b[(panel * k + k0) * kernel.nr..][..kc * kernel.nr];
                    let store = self.store(k0, k0 + kc == k, j);
                    for (s, strip) in packed.chunks_exact(strip_len).enumerate() {
                        let (lo, hi) = part(height, strips, s);
                        let at = (rows.0 + lo) * self.stride + j;
                        // SAFETY: rows lo..hi of the block and the columns from j on lie inside C, and are ours by
                        // the caller's promise. The strip holds kc columns of A, b holds kc rows of a panel, and
                        // a part of `height` has at most mr rows.
                        unsafe {
                            kernel.run(Tile {
                                rows: hi - lo,
                                cols: kernel.nr.min(self.n - j),
                                k: kc,
                                a: strip.as_ptr(),
                                b: b.as_ptr(),
                                c: self.c.at(at),
                                stride: self.stride,
                                store,
                            });
                        }
                    }
                }
            }
        });
    }

    /// The first sum of an element meets the old C, the later ones add to it, the last one brings the bias.
    fn store(&self, k0: usize, last: bool, j: usize) -> Store {
        let bias = self.bias.filter(|_| last);
        Store {
            alpha: self.alpha,
            beta: if k0 == 0 { self.beta } else { 1.0 },
            bias: bias.map_or(std::ptr::null(), |b| b[j..].as_ptr()),
        }
    }
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
