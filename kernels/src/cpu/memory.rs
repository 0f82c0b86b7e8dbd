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
