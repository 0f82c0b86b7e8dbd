//! The unit in which tensor memory is allocated.

use bytemuck::{Pod, Zeroable};

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

/// Memory from this size on is asked for in large pages, of 2 MiB on Linux: with pages of 4 KiB a large product waits
/// for addresses to be looked up, and a fresh array for its pages to be found one by one.
#[cfg(target_os = "linux")]
const LARGE: usize = 4 << 20;

/// `blocks` blocks of zeros.
#[must_use]
pub fn zeroed(blocks: usize) -> Vec<Block> {
    let memory: Vec<Block> = bytemuck::zeroed_vec(blocks);
    #[cfg(target_os = "linux")]
    if blocks * Block::BYTES >= LARGE {
        advise_large_pages(&memory);
    }
    memory
}

/// Tells the system that large pages are wanted; where it has none to give, nothing changes.
#[cfg(target_os = "linux")]
fn advise_large_pages(memory: &[Block]) {
    const PAGE: usize = 4096;
    let start = (memory.as_ptr() as usize).next_multiple_of(PAGE);
    let end = (memory.as_ptr_range().end as usize) / PAGE * PAGE;
    // SAFETY: the pages lie inside the slice, and this advice never changes what memory holds. A failure (a kernel
    // without large pages) is the state that was there before.
    unsafe {
        libc::madvise(start as *mut libc::c_void, end.saturating_sub(start), libc::MADV_HUGEPAGE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_zeroed__large_and_small_memory_is_zero() {
        for blocks in [0, 3, 100_000] {
            let memory = zeroed(blocks);
            assert_eq!(memory.len(), blocks);
            assert!(memory.iter().all(|block| block.0 == [0; 64]));
        }
    }
}
