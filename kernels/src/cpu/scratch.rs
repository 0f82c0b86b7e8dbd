//! Working memory that a kernel needs for the length of a call, kept by the thread for the next call.
//!
//! Buffers are taken out of the thread's list while in use: a thread that waits for the other pieces of its work may
//! pick up another piece that also needs scratch, and the two must not share.

use super::memory::{self, Block, Memory};
use bytemuck::Pod;
use std::cell::RefCell;

thread_local! {
    static FREE: RefCell<Vec<Memory>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with `len` elements of scratch that start on a 64-byte boundary. They hold anything: write before
/// reading.
///
/// ```
/// let twice = foundry_kernels::cpu::scratch::with(3, |buffer: &mut [f32]| {
///     buffer.fill(2.0);
///     buffer.iter().sum::<f32>()
/// });
/// assert_eq!(twice, 6.0);
/// ```
pub fn with<T: Pod, R>(len: usize, f: impl FnOnce(&mut [T]) -> R) -> R {
    let blocks = (len * size_of::<T>()).div_ceil(Block::BYTES);
    let mut buffer = take(blocks);
    let result = f(&mut bytemuck::cast_slice_mut(&mut buffer[..blocks])[..len]);
    FREE.with_borrow_mut(|free| free.push(buffer));
    result
}

/// The smallest free buffer that is long enough; where none is, the longest one, made longer.
fn take(blocks: usize) -> Memory {
    let mut buffer = FREE.with_borrow_mut(|free| {
        let fits =
            (0..free.len()).filter(|i| free[*i].len() >= blocks).min_by_key(|i| free[*i].len());
        let pick = fits.or_else(|| (0..free.len()).max_by_key(|i| free[*i].len()));
        pick.map_or_else(Memory::default, |i| free.swap_remove(i))
    });
    if buffer.len() < blocks {
        drop(std::mem::take(&mut buffer)); // nothing to carry over into the longer memory
        buffer = memory::zeroed(blocks);
        if cfg!(debug_assertions) {
            buffer.fill(Block::POISON);
        }
    }
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_scratch__nested_uses_do_not_share() {
        with(10, |outer: &mut [f32]| {
            outer.fill(1.0);
            with(10, |inner: &mut [f32]| inner.fill(2.0));
            assert!(outer.iter().all(|x| *x == 1.0));
        });
    }

    #[test]
    fn test_scratch__memory_is_used_again_and_is_aligned() {
        let first = with(1000, |b: &mut [f64]| b.as_ptr() as usize);
        let second = with(900, |b: &mut [f32]| b.as_ptr() as usize);

        assert_eq!(first, second);
        assert_eq!(first % 64, 0);
        with(0, |b: &mut [f32]| assert!(b.is_empty()));
    }
}
