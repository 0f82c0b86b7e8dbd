//! The one place that splits work over threads.
//!
//! Work is cut into pieces whose size depends on the problem and never on the number of threads, and partial
//! results are combined in the order of the pieces: so every result has the same bits for any number of threads. Where
//! nothing is combined, each thing having its results to itself, pieces may be larger for fewer threads: [`share`].
//! The threads are those of the rayon pool that the caller runs in (`ThreadPool::install`).

use rayon::prelude::*;
use std::cell::{Cell, OnceCell};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

/// How long the other threads look for more work after the last was begun: 200 microseconds.
const LINGER: u64 = 200_000;
/// The most threads that do: kernels cut most work in no more than eight pieces.
const AWAKE: usize = 8;

/// What a thread that splits work has to do with the others of its pool.
///
/// A thread without work goes to sleep after some microseconds, and to wake it takes tens of them: a training step that
/// splits its work a thousand times would lose a tenth of its time so. So the first piece of work calls some others
/// ([`AWAKE`]) to stay awake, looking for more, until none has come for a while ([`LINGER`]).
struct Others {
    /// How many are awake.
    awake: AtomicUsize,
    /// When work was last split, in nanoseconds since `began`.
    last: AtomicU64,
    began: Instant,
}

impl Others {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// What a thread that was called does.
    fn stay_awake(&self) {
        let mut idle = 0_u32;
        while self.now().saturating_sub(self.last.load(Relaxed)) < LINGER {
            if rayon::yield_now() == Some(rayon::Yield::Executed) {
                idle = 0;
                continue;
            }
            (0..4).for_each(|_| std::hint::spin_loop());
            idle += 1;
            if idle.is_multiple_of(32) {
                std::thread::yield_now(); // where there are more threads than processors
            }
        }
        self.awake.fetch_sub(1, Relaxed);
    }
}

thread_local! {
    static OTHERS: OnceCell<Arc<Others>> = const { OnceCell::new() };
    /// Whether the thread is at a piece of work. If it splits that again it calls nobody: a thread that waits for the whole
    /// would hear the call, and stay on when the whole is done.
    static AT_A_PIECE: Cell<bool> = const { Cell::new(false) };
}

/// Does a piece of work.
fn piece<T>(f: impl FnOnce() -> T) -> T {
    let before = AT_A_PIECE.replace(true);
    let result = f();
    AT_A_PIECE.set(before);
    result
}

/// Before work is split: calls the other threads of the pool, unless they are awake.
fn call_others() {
    if AT_A_PIECE.get() {
        return;
    }
    let Some(me) = rayon::current_thread_index() else { return };
    let threads = rayon::current_num_threads();
    let others = (threads - 1).min(AWAKE);
    if others == 0 {
        return;
    }
    OTHERS.with(|cell| {
        let (awake, last) = (AtomicUsize::new(0), AtomicU64::new(0));
        let team = cell.get_or_init(|| Arc::new(Others { awake, last, began: Instant::now() }));
        team.last.store(team.now(), Relaxed);
        if team.awake.load(Relaxed) == 0 {
            team.awake.store(others, Relaxed);
            let team = Arc::clone(team);
            rayon::spawn_broadcast(move |thread| {
                if (1..=others).contains(&((thread.index() + threads - me) % threads)) {
                    team.stay_awake();
                }
            });
        }
    });
}

/// Calls `f(i, piece)` for the pieces of `chunk` elements of `y` (the last may be shorter), i = 0, 1, ...
///
/// `chunk` must be positive. A single piece runs on the calling thread, at no cost.
pub fn chunks_mut<T: Send>(y: &mut [T], chunk: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    if y.len() <= chunk {
        if !y.is_empty() {
            f(0, y);
        }
    } else {
        call_others();
        y.par_chunks_mut(chunk).enumerate().for_each(|(i, y)| piece(|| f(i, y)));
    }
}

/// Calls `f(lo, hi)` for consecutive ranges of at most `grain` that cover `0..n`.
pub fn ranges(n: usize, grain: usize, f: impl Fn(usize, usize) + Sync) {
    let grain = grain.max(1);
    if n <= grain {
        if n > 0 {
            f(0, n);
        }
    } else {
        call_others();
        let range = |i: usize| piece(|| f(i * grain, ((i + 1) * grain).min(n)));
        (0..n.div_ceil(grain)).into_par_iter().for_each(range);
    }
}

/// Calls `f(i, piece)` for every item of `pieces`, i = 0, 1, ...: for kernels that write several slices at once,
/// cut side by side (`y.chunks_mut(m).zip(mean.chunks_mut(n))`).
pub fn each<P: Send>(pieces: impl Iterator<Item = P>, f: impl Fn(usize, P) + Sync) {
    let mut pieces: Vec<P> = pieces.collect();
    if pieces.len() <= 1 {
        if let Some(piece) = pieces.pop() {
            f(0, piece);
        }
    } else {
        call_others();
        pieces.into_par_iter().enumerate().for_each(|(i, p)| piece(|| f(i, p)));
    }
}

/// How many of `n` things a task takes, at most `most`: as many as leave a task, or as many tasks as another, for every thread.
/// Only for things that do not touch each other, such as the sequences of a batch.
#[must_use]
pub fn share(n: usize, most: usize) -> usize {
    let tasks = n.div_ceil(most).next_multiple_of(rayon::current_num_threads());
    n.div_ceil(tasks.max(1)).max(1)
}

/// A slice that parallel tasks write at places that interleave, such as the columns of one attention head.
///
/// `chunks_mut` and `each` are the safe ways to share an output; this is for what they cannot cut.
#[derive(Debug)]
pub struct Scattered<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a `&mut [T]` whose parts are handed to several threads; `T: Send` lets them go there, and the
// contract of `part` keeps them apart.
unsafe impl<T: Send> Sync for Scattered<'_, T> {}

impl<'a, T> Scattered<'a, T> {
    /// Takes the slice for as long as tasks write to it.
    pub fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// The elements `at..at + len`.
    ///
    /// # Panics
    /// When the range does not lie inside the slice.
    ///
    /// # Safety
    /// While the returned slice lives, no other part that overlaps it may be taken, by this task or another.
    #[allow(clippy::mut_from_ref, reason = "the caller keeps the parts disjoint")]
    #[must_use]
    pub unsafe fn part(&self, at: usize, len: usize) -> &mut [T] {
        assert!(at <= self.len && len <= self.len - at, "{at} + {len} of {} elements", self.len);
        // SAFETY: inside the slice (asserted), which is borrowed mutably for 'a; disjoint by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), len) }
    }
}

/// The sum of `f(lo, hi)` over consecutive ranges of `grain` that cover `0..n`, added in the order of the ranges.
pub fn sum(n: usize, grain: usize, f: impl Fn(usize, usize) -> f64 + Sync) -> f64 {
    let grain = grain.max(1);
    let part = |i: usize| piece(|| f(i * grain, ((i + 1) * grain).min(n)));
    let pieces = n.div_ceil(grain);
    if pieces <= 1 {
        return if n == 0 { 0.0 } else { f(0, n) };
    }
    call_others();
    (0..pieces).into_par_iter().map(part).collect::<Vec<_>>().into_iter().fold(0.0, |a, b| a + b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn awake() -> usize {
        OTHERS.with(|cell| cell.get().map_or(0, |team| team.awake.load(Relaxed)))
    }

    #[test]
    fn test_par__threads_that_were_called_go_back_to_sleep() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        pool.install(|| {
            for _ in 0..2 {
                ranges(8, 1, |_, _| ());
                let called = Instant::now();
                while awake() > 0 && called.elapsed() < Duration::from_secs(60) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                assert_eq!(awake(), 0);
            }
        });
    }

    #[test]
    fn test_par__a_piece_that_is_split_again_calls_nobody() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(|| {
            assert!(!AT_A_PIECE.get());
            ranges(2, 1, |_, _| assert!(AT_A_PIECE.get()));
            assert!(!AT_A_PIECE.get());
        });
    }

    #[test]
    fn test_par__a_share_leaves_work_for_every_thread() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
        pool.install(|| {
            assert_eq!([1, 4, 32, 100, 257].map(|n| share(n, 32)), [1, 1, 8, 25, 22]);
        });
    }
}
