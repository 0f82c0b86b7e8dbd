//! Memory that is kept when a tensor dies, for the next one of its size.
//!
//! A training step asks for the same sizes again and again. Fresh large allocations cost a page fault for every 4 KiB
//! touched; a buffer from the pool costs a lock and a pop.

use foundry_kernels::cpu::memory::{self, Block, Memory};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Free blocks by size class.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    free: Mutex<Free>,
}

#[derive(Debug, Default)]
struct Free {
    classes: BTreeMap<usize, Vec<Memory>>,
    bytes: usize,
}

impl Pool {
    /// Memory for at least `bytes` bytes; its contents are unspecified (NaN in debug builds).
    pub(crate) fn take(&self, bytes: usize) -> Memory {
        let class = size_class(bytes.div_ceil(Block::BYTES));
        if class == 0 {
            return Memory::default();
        }
        let reused = {
            let mut free = self.lock();
            let reused = free.classes.get_mut(&class).and_then(Vec::pop);
            free.bytes -= reused.as_ref().map_or(0, |b| b.len() * Block::BYTES);
            reused
        };
        let mut memory = reused.unwrap_or_else(|| memory::zeroed(class));
        if cfg!(debug_assertions) {
            memory.fill(Block::POISON);
        }
        memory
    }

    /// Takes memory back.
    pub(crate) fn give(&self, memory: Memory) {
        if !memory.is_empty() {
            let mut free = self.lock();
            free.bytes += memory.len() * Block::BYTES;
            free.classes.entry(memory.len()).or_default().push(memory);
        }
    }

    /// Bytes that are held but in no tensor.
    pub(crate) fn idle_bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Returns all idle memory to the system.
    pub(crate) fn trim(&self) {
        *self.lock() = Free::default();
    }

    fn lock(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next size of the form 4·2^k, 5·2^k, 6·2^k or 7·2^k: at most a quarter is wasted, and sizes that vary a little
/// (the last batch of an epoch) share a class.
pub(crate) fn size_class(blocks: usize) -> usize {
    if blocks <= 4 {
        return blocks;
    }
    let step = 1 << (usize::BITS - 3 - (blocks - 1).leading_zeros());
    blocks.div_ceil(step) * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_size_class__wastes_at_most_a_quarter() {
        for n in 0..10_000 {
            let class = size_class(n);
            assert!(class >= n && class <= n + n.div_ceil(4), "{n} -> {class}");
            assert_eq!(size_class(class), class, "a class is its own class");
        }
    }

    #[test]
    fn test_pool__reuses_what_was_given_back() {
        let pool = Pool::default();
        let memory = pool.take(1000);
        let address = memory.as_ptr();
        pool.give(memory);
        assert_eq!(pool.idle_bytes(), 1024);
        let again = pool.take(990);
        assert_eq!(again.as_ptr(), address);
        assert_eq!(pool.idle_bytes(), 0);
    }
}
