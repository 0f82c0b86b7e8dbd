//! The micro-kernels: a tile of C, at most MR x NR, held in registers while k products are added to it.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use crate::cpu::isa::Isa;
use std::sync::OnceLock;

/// The largest NR of any level.
pub(super) const WIDEST: usize = 32;

/// One level's micro-kernel and the shape that its packed operands have.
#[derive(Clone, Copy)]
pub(super) struct Kernel {
    pub(super) isa: Isa,
    /// The most rows of a tile.
    pub(super) mr: usize,
    /// The columns of a packed panel of B.
    pub(super) nr: usize,
    /// How far apart the columns of a packed strip of A begin: MR and some padding, so that a pack writes vectors.
    pub(super) a_stride: usize,
    /// How far apart the lines (rows of B, columns of A) of a factor may lie that is read where it is, without being
    /// packed: the lines of farther ones that a tile needs fall on the same few sets of the cache. 0: it reads packed
    /// factors only.
    pub(super) in_place: usize,
    tile: unsafe fn(&Tile),
    multiply_adds: unsafe fn(usize) -> usize,
}

/// The work of one call.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// 1..=mr.
    pub(super) rows: usize,
    /// 1..=nr.
    pub(super) cols: usize,
    /// Products per element.
    pub(super) k: usize,
    /// A strip of A: element (r, t) at `a + r * a_row + t * a_stride`; one of the two is 1.
    pub(super) a: *const f32,
    pub(super) a_row: usize,
    pub(super) a_stride: usize,
    /// A panel of B: element (t, j) at `b + t * b_stride + j`. Up to `nr` columns are read.
    pub(super) b: *const f32,
    pub(super) b_stride: usize,
    /// Element (r, j) of C at `c + r * stride + j`.
    pub(super) c: *mut f32,
    pub(super) stride: usize,
    pub(super) store: Store,
    pub(super) ahead: Ahead,
}

/// What will be packed next, to be fetched into L2 while this tile is formed: a line at `start + i * step` and one
/// `second` after it for the i-th time that [`LINE`] products are done. Nothing is read, so any address will do.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    pub(super) start: *const f32,
    pub(super) step: usize,
    pub(super) second: usize,
}

/// Numbers of a cache line.
pub(super) const LINE: usize = 16;

/// `c = alpha * sum + beta * c + bias`.
#[derive(Clone, Copy)]
pub(super) struct Store {
    pub(super) alpha: f32,
    /// 0: C is not read.
    pub(super) beta: f32,
    /// `cols` numbers, or null.
    pub(super) bias: *const f32,
}

/// Whether a set of the first-level cache has twelve lines or more (48 KiB: Intel's processors since Ice Lake, AMD's since
/// Zen 5): then rows of A are read where they are however many columns read them, and even if all fall on one set.
pub(super) fn wide_l1() -> bool {
    static WIDE: OnceLock<bool> = OnceLock::new();
    *WIDE.get_or_init(|| l1_ways() >= 12)
}

/// Lines in a set of the first-level data cache, 0 where the processor does not say: leaf 4 of CPUID, which AMD's have at
/// 0x8000_001D.
#[cfg(target_arch = "x86_64")]
fn l1_ways() -> u32 {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    let found = [(0, 4), (0x8000_0000, 0x8000_001D)].into_iter().find_map(|(range, leaf)| {
        let cache = (__cpuid(range).eax >= leaf).then(|| __cpuid_count(leaf, 0))?;
        let is_cache = cache.eax & 31 != 0;
        is_cache.then_some((cache.ebx >> 22) + 1)
    });
    found.unwrap_or(0)
}

#[cfg(not(target_arch = "x86_64"))]
fn l1_ways() -> u32 {
    0
}

impl Kernel {
    /// The micro-kernel of a level, or of the best of this machine if that is lower.
    pub(super) fn of(isa: Isa) -> Self {
        #[cfg(target_arch = "x86_64")]
        match isa.min(Isa::best()) {
            Isa::Avx512 => {
                return Self {
                    isa: Isa::Avx512,
                    mr: 14,
                    nr: 32,
                    a_stride: avx512::A_STRIDE,
                    in_place: 256,
                    tile: avx512::tile,
                    multiply_adds: avx512::multiply_adds,
                };
            }
            Isa::Avx2 => {
                return Self {
                    isa: Isa::Avx2,
                    mr: 6,
                    nr: 16,
                    a_stride: 8,
                    in_place: 128,
                    tile: avx2::tile,
                    multiply_adds: avx2::multiply_adds,
                };
            }
            Isa::Portable => {}
        }
        let _ = isa;
        Self {
            isa: Isa::Portable,
            mr: 4,
            nr: 8,
            a_stride: 8,
            in_place: 0,
            tile: portable::tile,
            multiply_adds: portable::multiply_adds,
        }
    }

    /// Multiply-adds that wait for nothing, `steps` rounds of them; returns the operations, two for each.
    pub(super) fn multiply_adds(&self, steps: usize) -> usize {
        // SAFETY: `of` chose a function whose instructions this processor has.
        unsafe { (self.multiply_adds)(steps) }
    }

    /// Forms one tile.
    ///
    /// # Safety
    /// The pointers of `t` are valid for the elements that its fields describe, with this kernel's `a_stride` and
    /// `nr`, and `1 <= rows <= mr`, `1 <= cols <= nr`.
    #[inline]
    pub(super) unsafe fn run(&self, t: &Tile) {
        debug_assert!((1..=self.mr).contains(&t.rows) && (1..=self.nr).contains(&t.cols));
        // SAFETY: the caller's promise; `of` chose a function whose instructions this processor has.
        unsafe { (self.tile)(t) }
    }
}
