//! The memory of tensors and of scratch, in cache lines.
//!
//! A processor looks up the address of every page that it reads, and fetches ahead only within one. Pages of 4 KiB make
//! both a cost: a model that is read whole for every token that it generates waits for its pages a good part of the time.
//! So memory comes from regions that ask for large pages, of 2 MiB on Linux. A large array has a region of its own,
//! smaller ones lie in a region side by side; a region goes back to the system when nothing in it is used any longer.

use bytemuck::{Pod, Zeroable};
use std::alloc::{Layout, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// 64 bytes on a 64-byte boundary: one cache line, so that no vector load of any width crosses two lines.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Block([u8; 64]);

impl Block {
    /// Bytes in a block.
    pub const BYTES: usize = 64;

    /// A block in which every f32 and every f64 is a NaN: debug builds fill fresh memory with it, so that a read
    /// before the first write cannot go unnoticed.
    pub const POISON: Self = Self([0xFF; 64]);
}

/// Blocks from this number on (4 MiB) have a region of their own.
const LARGE: usize = (4 << 20) / Block::BYTES;
/// Blocks of a region that smaller arrays share (16 MiB). What is not touched costs nothing.
const SHARED: usize = (16 << 20) / Block::BYTES;

/// Some blocks, used by no one else.
#[derive(Debug)]
pub struct Memory {
    start: NonNull<Block>,
    len: usize,
    /// What they lie in, kept for as long as they are; none for no blocks.
    _region: Option<Arc<Region>>,
}

/// Memory as the system gave it.
#[derive(Debug)]
struct Region {
    start: NonNull<Block>,
    layout: Layout,
}

/// The region that smaller arrays are taken from, and how many of its blocks are taken. They are taken once: what
/// comes back waits in a pool, for the next tensor of its size.
static SHARED_REGION: Mutex<Option<(Arc<Region>, usize)>> = Mutex::new(None);

/// Blocks that were asked for since the program began.
static ASKED: AtomicUsize = AtomicUsize::new(0);

/// How many blocks [`zeroed`] has been asked for since the program began: none in a step that only uses memory again.
#[must_use]
pub fn asked_for() -> usize {
    ASKED.load(Ordering::Relaxed)
}

/// `blocks` blocks of zeros.
#[must_use]
pub fn zeroed(blocks: usize) -> Memory {
    if blocks == 0 {
        return Memory::default();
    }
    ASKED.fetch_add(blocks, Ordering::Relaxed);
    if blocks >= LARGE {
        return Memory::part(&Arc::new(Region::new(blocks)), 0, blocks);
    }
    let mut shared = SHARED_REGION.lock().unwrap_or_else(PoisonError::into_inner);
    let (region, at) = match shared.take() {
        Some((region, taken)) if taken + blocks <= SHARED => (region, taken),
        _ => (Arc::new(Region::new(SHARED)), 0),
    };
    let memory = Memory::part(&region, at, blocks);
    *shared = Some((region, at + blocks));
    memory
}

/// Asks for what will soon be read or written, to have it in the second-level cache by then; of numbers that begin within a
/// cache line the last may be left out.
#[inline]
pub(super) fn fetch<T>(x: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in x.chunks((Block::BYTES / size_of::<T>()).max(1)) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = x;
}

impl Memory {
    /// Blocks `at .. at + len` of a region, which are in no other `Memory`.
    fn part(region: &Arc<Region>, at: usize, len: usize) -> Self {
        assert!(at + len <= region.layout.size() / Block::BYTES, "blocks of a region");
        // SAFETY: the blocks lie inside the region (asserted).
        let start = unsafe { region.start.add(at) };
        Self { start, len, _region: Some(Arc::clone(region)) }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self { start: NonNull::dangling(), len: 0, _region: None }
    }
}

impl Deref for Memory {
    type Target = [Block];

    fn deref(&self) -> &[Block] {
        // SAFETY: `zeroed` gave these initialised blocks to this value alone, and the region lives as long as it.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [Block] {
        // SAFETY: as for `deref`; and the value is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

// SAFETY: it owns its blocks, as a Vec does.
unsafe impl Send for Memory {}
// SAFETY: as above; a shared reference only reads.
unsafe impl Sync for Memory {}
// SAFETY: a region is only an address to give back; its blocks belong to the `Memory` values.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Zeros.
    fn new(blocks: usize) -> Self {
        let Ok(layout) = Layout::array::<Block>(blocks) else {
            handle_alloc_error(Layout::new::<Block>())
        };
        let Some(start) = system::zeros(layout) else { handle_alloc_error(layout) };
        Self { start, layout }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: `zeros` gave it for this layout, and no `Memory` that lies in it is left.
        unsafe { system::give_back(self.start, self.layout) };
    }
}

#[cfg(target_os = "linux")]
mod system {
    use super::Block;
    use std::alloc::Layout;
    use std::ptr::NonNull;

    /// A large page.
    const PAGE: usize = 2 << 20;

    /// Zeros that begin at a large page; none if there is no such memory left.
    pub(super) fn zeros(layout: Layout) -> Option<NonNull<Block>> {
        let size = layout.size();
        let room = size.checked_add(PAGE)?;
        let (flags, access) =
            (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, libc::PROT_READ | libc::PROT_WRITE);
        // SAFETY: a new mapping of its own, at whatever address.
        let all = unsafe { libc::mmap(std::ptr::null_mut(), room, access, flags, -1, 0) };
        if all == libc::MAP_FAILED {
            return None;
        }
        let before = all.addr().next_multiple_of(PAGE) - all.addr();
        let start = all.wrapping_byte_add(before);
        let (end, after) = (start.wrapping_byte_add(mapped(size)), room - before - mapped(size));
        // SAFETY: the parts before and after lie in the mapping and are used by no one; the advice changes nothing that
        // memory holds, and where the system has no large pages to give, things are as they were.
        unsafe {
            if before > 0 {
                libc::munmap(all, before);
            }
            if after > 0 {
                libc::munmap(end, after);
            }
            libc::madvise(start, mapped(size), libc::MADV_HUGEPAGE);
        }
        NonNull::new(start.cast())
    }

    /// # Safety
    /// [`zeros`] gave it for this layout, and nothing in it is used any longer.
    pub(super) unsafe fn give_back(start: NonNull<Block>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { libc::munmap(start.as_ptr().cast(), mapped(layout.size())) };
    }

    /// Whole pages of the smallest size that a processor of Linux has now, 4 KiB, or the larger ones of others.
    fn mapped(size: usize) -> usize {
        const LARGEST_SMALL_PAGE: usize = 64 << 10;
        size.next_multiple_of(LARGEST_SMALL_PAGE)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::Block;
    use std::alloc::{Layout, alloc_zeroed, dealloc};
    use std::ptr::NonNull;

    /// Zeros; none if there is no memory left.
    pub(super) fn zeros(layout: Layout) -> Option<NonNull<Block>> {
        // SAFETY: no region is of size 0.
        NonNull::new(unsafe { alloc_zeroed(layout) }.cast())
    }

    /// # Safety
    /// [`zeros`] gave it for this layout, and nothing in it is used any longer.
    pub(super) unsafe fn give_back(start: NonNull<Block>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { dealloc(start.as_ptr().cast(), layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_zeroed__memory_of_any_size_is_zero_and_lies_apart() {
        let sizes = [0, 3, 1, 20_000, SHARED / 2, LARGE - 1, LARGE, 3 * LARGE + 1, 7, SHARED - 1];
        let mut all: Vec<Memory> = sizes.iter().map(|&blocks| zeroed(blocks)).collect();
        for (i, memory) in (0_u8..).zip(&mut all) {
            assert!(memory.iter().all(|block| block.0 == [0; 64]), "{} blocks", memory.len());
            memory.fill(Block([i + 1; 64]));
        }
        for ((i, memory), size) in (0_u8..).zip(&all).zip(sizes) {
            assert_eq!(memory.len(), size);
            assert!(memory.iter().all(|block| block.0 == [i + 1; 64]), "{size} blocks");
        }
    }

    #[test]
    fn test_zeroed__what_others_gave_back_is_zero_too() {
        for _ in 0..3 {
            for blocks in [LARGE, 100, SHARED - 50] {
                let mut memory = zeroed(blocks);
                assert!(memory.iter().all(|block| block.0 == [0; 64]), "{blocks} blocks");
                memory.fill(Block::POISON);
            }
        }
    }
}
