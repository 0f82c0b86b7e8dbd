//! What a training step asks of the allocator once the first one is over.
//!
//! The memory of tensors and the working memory of kernels are kept and used again: after the first step nothing is asked
//! for. What is left is bookkeeping (the nodes of the tape, the handles of tensors, the lists of what threads are to do):
//! the same in every step, so that nothing grows.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it counted"
)]
#![allow(non_snake_case, reason = "tests are named test_feature__scenario")]

use foundry_engine::rng::{Purpose, Stream, key};
use foundry_kernels::cpu::memory;
use foundry_models::bench::{NAMES, Named, Options, trainer};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

struct Counting;

/// What the allocator was asked for: calls and bytes.
static ASKED: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

fn count(layout: Layout) {
    ASKED[0].fetch_add(1, Relaxed);
    ASKED[1].fetch_add(layout.size(), Relaxed);
}

// SAFETY: every call is the system allocator's, with the same arguments; counting touches no memory of theirs.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout);
        // SAFETY: the caller's promise is the one that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above; the block came from `System`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(Layout::from_size_align(size, layout.align()).unwrap_or(layout));
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Blocks of memory for tensors and kernels that a step asked for; calls and bytes for anything else.
fn asked(step: impl FnOnce()) -> (usize, [usize; 2]) {
    ASKED.iter().for_each(|counter| counter.store(0, Relaxed));
    let before = memory::asked_for();
    step();
    (memory::asked_for() - before, [0, 1].map(|what| ASKED[what].load(Relaxed)))
}

#[test]
fn test_training_step__asks_for_no_memory_after_the_first() {
    let options = Options {
        dropout: 0.1,
        warmup: 0,
        steps: 1,
        least: Duration::ZERO,
        most: Duration::MAX,
        seed: 1,
    };
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let names: Vec<_> = NAMES.iter().filter(|name| name.ends_with("-tiny")).collect();
    assert_eq!(names.len(), 5);
    let mut asked_first = 0;
    for name in names {
        let named = Named::find(name).unwrap();
        let batch = [named.batch(&mut Stream::new(key(1, Purpose::Generation, 0, 0)))];
        let mut trainer = trainer(&named, &options).unwrap();
        let mut update = 0;
        let mut step = || {
            update += 1;
            asked(|| {
                one.install(|| trainer.step(update, &batch)).unwrap();
            })
        };
        let first = step();
        asked_first += first.0;
        let [second, third, fourth] = [step(), step(), step()];
        println!("{name}: {} small calls, {} bytes a step", second.1[0], second.1[1]);
        assert_eq!(second.0, 0, "{name}: memory of tensors or kernels");
        assert_eq!([second, second], [third, fourth], "{name}: it grows");
    }
    assert!(asked_first > 0, "nothing is counted");
}
