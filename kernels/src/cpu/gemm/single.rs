//! f32: the blocks around the micro-kernel.

use super::micro::{self, Ahead, Kernel, LINE, Store, Tile};
use super::view::Shared;
use super::{Mat, MatMut, pack};
use crate::Real;
use crate::cpu::{isa::Isa, par, scratch};

/// The longest run of the inner dimension: a panel of B takes 24 or 48 KiB, which the prefetches bring from L2.
/// The same at every level, so that the levels with fused multiply-add give the same bits.
const KC: usize = 384;
/// Elements of B that are packed at a time (2 MiB).
const B_ELEMENTS: usize = 1 << 19;
/// Strips of A in a block of rows.
const STRIPS: usize = 12;
/// A factor of which each line (a row of B, a column of A) is read for no more tiles than this is read where it is even
/// if its lines lie [`FAR`] apart: to pack it would cost more than the misses.
const FEW_TILES: usize = 4;
/// See [`FEW_TILES`]: less than a page.
const FAR: usize = 1023;
/// With more columns than this in B, rows of A are read so often that packing them pays, where L1 is [narrow](micro::wide_l1).
const IN_PLACE_COLUMNS: usize = 256;
/// Rows of A whose distance is a multiple of this fall on one set of the cache; a narrow one has not room for those of a
/// tile.
const SAME_SET: usize = 1024;
/// With more rows than this in A, a packed panel of B is read so often that it is worth its making.
const IN_PLACE_ROWS: usize = 256;
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
    let stride = c.stride();
    let tiles = m.div_ceil(kernel.mr);
    let in_place =
        reads_in_place(&kernel, b.col_stride(), b.row_stride(), tiles) && m <= IN_PLACE_ROWS;
    let (width, whole) = if in_place {
        (n, n / kernel.nr * kernel.nr)
    } else {
        let most = B_ELEMENTS / depth(k);
        (n.div_ceil(n.div_ceil(most)).next_multiple_of(kernel.nr), 0)
    };
    for j in (0..n).step_by(width) {
        let cols = width.min(n - j);
        let packed = (cols - whole).next_multiple_of(kernel.nr);
        scratch::with(depth(k) * packed, |memory: &mut [f32]| {
            for (k0, kc) in slices(k) {
                let slice = b.rows_from(k0, kc);
                pack::pack_b(&kernel, &slice, j + whole, cols - whole, memory);
                // SAFETY: columns j .. j + cols of C, which is borrowed for the length of the call.
                let c = unsafe { MatMut::from_raw(c.shared().at(j), m, cols, stride) };
                let direct = in_place.then_some(slice);
                let right = Right { packed: memory, rows: kc, direct, whole: whole / kernel.nr };
                let beta = if k0 == 0 { beta } else { 1.0 };
                let bias = bias.filter(|_| k0 + kc == k).map(|b| &b[j..j + cols]);
                compute(&kernel, alpha, &a.cols_from(k0, kc), &right, beta, c, bias);
            }
        });
    }
}

/// The length of the slices in which the products of an element are added up; the last may be shorter.
fn depth(k: usize) -> usize {
    k.div_ceil(k.div_ceil(KC))
}

/// The slices: where each begins, and its length.
fn slices(k: usize) -> impl Iterator<Item = (usize, usize)> {
    let depth = depth(k);
    (0..k).step_by(depth).map(move |k0| (k0, depth.min(k - k0)))
}

/// The product with a packed B.
pub(super) fn compute(
    kernel: &Kernel,
    alpha: f32,
    a: &Mat<'_, f32>,
    b: &Right<'_>,
    beta: f32,
    mut c: MatMut<'_, f32>,
    bias: Option<&[f32]>,
) {
    let (m, k, n) = (a.rows(), a.cols(), c.cols());
    let (stride, c) = (c.stride(), c.shared());
    let panels = n.div_ceil(kernel.nr);
    let packed = match panels - b.whole {
        0 => 0,
        some => ((some - 1) * b.rows + k) * kernel.nr,
    };
    assert!(b.rows >= k && b.packed.len() >= packed && bias.is_none_or(|b| b.len() == n));
    let product = Product { kernel, alpha, a, b, beta, c, stride, n, bias };
    let (row_blocks, col_blocks) = cut(kernel, m, panels);
    let tasks = row_blocks * col_blocks;
    par::ranges(tasks, if m * n * k < SERIAL { tasks } else { 1 }, |lo, hi| {
        for task in lo..hi {
            // Row after row, as the kernels before and after deal out the same array: what a thread wrote it reads.
            let rows = part(m, row_blocks, task / col_blocks);
            let panels = part(panels, col_blocks, task % col_blocks);
            // SAFETY: the row blocks are disjoint and so are the panels, so no two tasks write the same tile.
            unsafe { product.block(rows, panels) };
        }
    });
}

/// The right factor: panels that are read where they are, and then packed ones.
pub(super) struct Right<'a> {
    /// The packed panels.
    pub(super) packed: &'a [f32],
    /// How many rows each of them has.
    pub(super) rows: usize,
    /// B itself, whose rows are contiguous.
    pub(super) direct: Option<Mat<'a, f32>>,
    /// How many panels are read from B itself.
    pub(super) whole: usize,
}

impl Right<'_> {
    /// Rows from k0 on of a panel, and how far apart they are.
    fn panel(&self, kernel: &Kernel, panel: usize, k0: usize) -> (&[f32], usize) {
        match &self.direct {
            Some(b) if panel < self.whole => (b.from(k0, panel * kernel.nr), b.row_stride()),
            _ => (&self.packed[((panel - self.whole) * self.rows + k0) * kernel.nr..], kernel.nr),
        }
    }
}

/// What all blocks of one product share.
struct Product<'a> {
    kernel: &'a Kernel,
    alpha: f32,
    a: &'a Mat<'a, f32>,
    b: &'a Right<'a>,
    beta: f32,
    c: Shared<f32>,
    stride: usize,
    /// Columns of C.
    n: usize,
    bias: Option<&'a [f32]>,
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
        let strip_len = kernel.a_stride * depth(k);
        let direct = self.direct_strides();
        let scratch = if direct.is_some() { 0 } else { strips * strip_len };
        scratch::with(scratch, |packed: &mut [f32]| {
            for (k0, kc) in slices(k) {
                if direct.is_none() {
                    let strips = parts(height, strips).map(|(lo, hi)| (rows.0 + lo, hi - lo));
                    pack::pack_a(kernel, self.a, strips, (k0, kc), strip_len, packed);
                }
                let next = if k0 + kc < k { (rows.0, k0 + kc) } else { (rows.1, 0) };
                let tiles = (panels.1 - panels.0) * strips;
                let mut ahead = self.ahead(next, height, kc, tiles);
                let (a_row, a_stride) = direct.unwrap_or((1, kernel.a_stride));
                // One description, of which each tile changes some numbers: to make and copy one takes as long as to read its
                // operands.
                let mut tile = Tile {
                    rows: 0,
                    cols: 0,
                    k: kc,
                    a: std::ptr::null(),
                    a_row,
                    a_stride,
                    b: std::ptr::null(),
                    b_stride: 0,
                    c: std::ptr::null_mut(),
                    stride: self.stride,
                    store: self.store(k0, false, 0),
                    ahead: self.nothing(),
                };
                for panel in panels.0..panels.1 {
                    let j = panel * kernel.nr;
                    let (b, b_stride) = self.b.panel(kernel, panel, k0);
                    (tile.b, tile.b_stride) = (b.as_ptr(), b_stride);
                    tile.cols = kernel.nr.min(self.n - j);
                    tile.store = self.store(k0, k0 + kc == k, j);
                    for (s, (lo, hi)) in parts(height, strips).enumerate() {
                        let a = match direct {
                            Some(_) => self.a.from(rows.0 + lo, k0),
                            None => &packed[s * strip_len..],
                        };
                        (tile.a, tile.rows) = (a.as_ptr(), hi - lo);
                        tile.ahead = ahead();
                        // SAFETY: rows lo..hi of the block and the columns from j on lie inside C, and are ours by
                        // the caller's promise. The strip holds kc columns of A, b holds kc rows of a panel, and
                        // a part of `height` has at most mr rows.
                        unsafe {
                            tile.c = self.c.at((rows.0 + lo) * self.stride + j);
                            kernel.run(&tile);
                        }
                    }
                }
            }
        });
    }

    /// An address that costs nothing to fetch again.
    fn nothing(&self) -> Ahead {
        Ahead { start: self.a.as_ptr(), step: 0, second: 0 }
    }

    /// What each tile of a block in turn fetches of the next one: `height` rows and `kc` columns of A, from `next` on.
    fn ahead(
        &self,
        next: (usize, usize),
        height: usize,
        kc: usize,
        tiles: usize,
    ) -> impl FnMut() -> Ahead {
        let (row, col) = (self.a.row_stride(), self.a.col_stride());
        let start = self.a.as_ptr().wrapping_add(next.0 * row + next.1 * col);
        let nothing = self.nothing();
        // A tile fetches a line for every LINE products, twice: of two rows, or, where columns lie along memory, LINE
        // rows of as many columns.
        let half = if col == 1 { height.div_ceil(2) } else { height.div_ceil(LINE) * LINE / 2 };
        let half =
            if next.0 < self.a.rows() && self.a.rows() * self.n * kc >= SERIAL { half } else { 0 };
        // The last tiles do it: what came earlier would not stay in L2, through which B passes meanwhile.
        let mut left = tiles;
        move || {
            left -= 1;
            if left >= half {
                return nothing;
            }
            let t = half - 1 - left;
            if col == 1 {
                return Ahead {
                    start: start.wrapping_add(t * row),
                    step: LINE,
                    second: half * row,
                };
            }
            let (across, turns) = (height.div_ceil(LINE), kc.div_ceil(LINE));
            let at = (t / across) * turns * col + (t % across) * LINE;
            Ahead { start: start.wrapping_add(at), step: col, second: LINE / 2 * turns * col }
        }
    }

    /// How far apart the rows and the columns of A lie, if it is read where it is.
    fn direct_strides(&self) -> Option<(usize, usize)> {
        let (row, col) = (self.a.row_stride(), self.a.col_stride());
        let along = reads_in_place(self.kernel, row, col, self.n.div_ceil(self.kernel.nr));
        let narrow = self.n <= IN_PLACE_COLUMNS && !row.is_multiple_of(SAME_SET);
        let across = self.kernel.in_place > 0 && col == 1 && (narrow || micro::wide_l1());
        (along || across).then_some((row, col))
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

/// Whether a factor is read where it is: its lines are contiguous, and not too far apart for a factor that so many tiles
/// read.
fn reads_in_place(kernel: &Kernel, within: usize, between: usize, tiles: usize) -> bool {
    let most = if tiles <= FEW_TILES { kernel.in_place.max(FAR) } else { kernel.in_place };
    kernel.in_place > 0 && within == 1 && between <= most
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

/// All of them, one after the other, without a division for each.
fn parts(n: usize, pieces: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    let (size, longer) = (n / pieces, n % pieces);
    (0..pieces).scan(0, move |hi, i| {
        let lo = *hi;
        *hi += size + usize::from(i < longer);
        Some((lo, *hi))
    })
}
