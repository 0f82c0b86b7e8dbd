//! Who touched each piece of memory last, and whether a barrier came between: the race detector.
//!
//! Two accesses by different threads, one of them a write, must be ordered (PTX ISA 8.10.1, "data race"). What orders
//! them here is a barrier of the block (`bar.sync`), or of the warp (`bar.warp.sync` with every lane that is left) for
//! two lanes of one warp; shuffles and votes order no memory, and nothing orders two blocks of one launch. A kernel
//! free of races gives the same result in every schedule, which is why the emulator may run each warp to its next
//! barrier.
//!
//! Blocks run one after another, so time is one growing number, the epoch, that steps at every block and every barrier
//! of it. A cell keeps the last writer and a summary of the readers since, each with their epoch; older launches and
//! older blocks are recognised by their epoch, and nothing needs to be cleared.

/// Thread numbers are kept plus one; 0 says nobody.
const SEVERAL_LANES: u32 = u32::MAX;
const SEVERAL_WARPS: u32 = u32::MAX - 1;
const SEVERAL_BLOCKS: u32 = u32::MAX - 2;
const SEVERAL_ATOMIC: u32 = u32::MAX - 3;
const ATOMIC: u32 = 1 << 30;

/// The history of one granule of memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cell {
    writer: u32,
    write_epoch: u32,
    write_warp_epoch: u32,
    reader: u32,
    read_epoch: u32,
    read_warp_epoch: u32,
}

/// Who asks, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// The thread within its block.
    pub(crate) thread: u32,
    pub(crate) epoch: u32,
    /// Counts the barriers of the warp.
    pub(crate) warp_epoch: u32,
    /// The epoch at which this block began.
    pub(crate) block_start: u32,
    /// The epoch at which this launch began (for shared memory: this block).
    pub(crate) launch_start: u32,
}

/// The other party of a race.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Other {
    Thread(u32),
    Threads,
    Block,
}

impl Now {
    fn warp(&self) -> u32 {
        self.thread / 32
    }

    /// Whether an access of this epoch is unordered with now, by a thread (plus one) of this block.
    fn races(&self, thread: u32, epoch: u32, warp_epoch: u32) -> bool {
        epoch == self.epoch
            && thread - 1 != self.thread
            && ((thread - 1) / 32 != self.warp() || warp_epoch == self.warp_epoch)
    }
}

impl Cell {
    /// Whether this launch wrote here.
    pub(crate) fn written_since(&self, start: u32) -> bool {
        self.writer != 0 && self.write_epoch >= start
    }

    fn after_write(&self, now: &Now, atomic: bool) -> Option<Other> {
        if self.writer == 0 || self.write_epoch < now.launch_start {
            return None;
        }
        let was_atomic = self.writer & ATOMIC != 0;
        if was_atomic && atomic {
            return None;
        }
        if self.write_epoch < now.block_start {
            return Some(Other::Block);
        }
        if self.writer == SEVERAL_ATOMIC {
            return (self.write_epoch == now.epoch).then_some(Other::Threads);
        }
        let writer = self.writer & !ATOMIC;
        let races = now.races(writer, self.write_epoch, self.write_warp_epoch);
        races.then_some(Other::Thread(writer - 1))
    }

    fn after_read(&self, now: &Now) -> Option<Other> {
        if self.reader == 0 || self.read_epoch < now.launch_start {
            return None;
        }
        if self.reader == SEVERAL_BLOCKS || self.read_epoch < now.block_start {
            return Some(Other::Block);
        }
        if self.read_epoch != now.epoch {
            return None;
        }
        match self.reader {
            SEVERAL_WARPS => Some(Other::Threads),
            // The warp that read is not kept apart from its lanes: `read_warp_epoch` has it in its upper half.
            SEVERAL_LANES => {
                let (warp, warp_epoch) = (self.read_warp_epoch >> 26, self.read_warp_epoch << 6);
                let same_warp = warp == now.warp();
                (!same_warp || warp_epoch == now.warp_epoch << 6).then_some(Other::Threads)
            }
            reader => now
                .races(reader, self.read_epoch, self.read_warp_epoch)
                .then_some(Other::Thread(reader - 1)),
        }
    }

    /// Notes a read; tells what it races with.
    #[inline]
    pub(crate) fn read(&mut self, now: &Now) -> Option<Other> {
        let race = self.after_write(now, false);
        let me = now.thread + 1;
        let fresh = self.reader == 0 || self.read_epoch < now.launch_start;
        let of_older_block = !fresh && self.read_epoch < now.block_start;
        if !fresh && (of_older_block || self.reader == SEVERAL_BLOCKS) {
            self.reader = SEVERAL_BLOCKS;
        } else if fresh || self.read_epoch < now.epoch {
            (self.reader, self.read_warp_epoch) = (me, now.warp_epoch);
        } else if self.reader != me {
            self.add_reader(now, me);
        } else {
            self.read_warp_epoch = now.warp_epoch;
        }
        self.read_epoch = now.epoch;
        race
    }

    /// A second reader in the same epoch.
    fn add_reader(&mut self, now: &Now, me: u32) {
        let lanes = now.warp() << 26 | now.warp_epoch << 6 >> 6;
        match self.reader {
            SEVERAL_WARPS => {}
            SEVERAL_LANES if self.read_warp_epoch == lanes => {}
            SEVERAL_LANES if self.read_warp_epoch >> 26 == now.warp() => {
                (self.reader, self.read_warp_epoch) = (me, now.warp_epoch);
            }
            SEVERAL_LANES => self.reader = SEVERAL_WARPS,
            reader if (reader - 1) / 32 != now.warp() => self.reader = SEVERAL_WARPS,
            _ if self.read_warp_epoch == now.warp_epoch => {
                (self.reader, self.read_warp_epoch) = (SEVERAL_LANES, lanes);
            }
            _ => (self.reader, self.read_warp_epoch) = (me, now.warp_epoch),
        }
    }

    /// Notes a write; tells what it races with.
    #[inline]
    pub(crate) fn write(&mut self, now: &Now, atomic: bool) -> Option<Other> {
        let race = self.after_write(now, atomic).or_else(|| self.after_read(now));
        let me = now.thread + 1;
        let again = self.writer & ATOMIC != 0 && self.write_epoch == now.epoch;
        self.writer = match atomic {
            false => me,
            true if again && self.writer != me | ATOMIC => SEVERAL_ATOMIC,
            true => me | ATOMIC,
        };
        (self.write_epoch, self.write_warp_epoch) = (now.epoch, now.warp_epoch);
        race
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(thread: u32, epoch: u32, warp_epoch: u32) -> Now {
        Now { thread, epoch, warp_epoch, block_start: 10, launch_start: 5 }
    }

    /// PTX ISA 9.7.13.1: bar.sync "guarantees that all memory accesses requested by this thread prior to the barrier
    /// are performed relative to all threads participating".
    #[test]
    fn test_shadow__a_barrier_orders_and_nothing_else_does() {
        let mut cell = Cell::default();
        assert_eq!(cell.write(&at(3, 10, 0), false), None);
        assert_eq!(cell.read(&at(3, 10, 0)), None, "a thread is ordered with itself");
        assert_eq!(cell.read(&at(40, 10, 0)), Some(Other::Thread(3)), "another warp");
        assert_eq!(cell.read(&at(4, 10, 0)), Some(Other::Thread(3)), "another lane");
        assert_eq!(cell.read(&at(4, 10, 1)), None, "after bar.warp.sync");
        assert_eq!(cell.read(&at(40, 11, 0)), None, "after bar.sync");
    }

    #[test]
    fn test_shadow__a_write_after_reads_of_others() {
        let mut cell = Cell::default();
        for thread in [1, 2, 3] {
            assert_eq!(cell.read(&at(thread, 10, 7)), None);
        }
        let mut same = cell;
        assert_eq!(same.write(&at(1, 10, 7), false), Some(Other::Threads), "lanes 2 and 3 read");
        let mut after = cell;
        assert_eq!(after.write(&at(1, 10, 8), false), None, "after bar.warp.sync");
        assert_eq!(cell.read(&at(70, 10, 7)), None);
        assert_eq!(cell.write(&at(1, 10, 8), false), Some(Other::Threads), "warp 2 read too");
    }

    #[test]
    fn test_shadow__blocks_of_one_launch_are_never_ordered() {
        let mut cell = Cell::default();
        assert_eq!(cell.write(&at(1, 4, 0), false), None);
        assert_eq!(cell.read(&at(1, 10, 0)), None, "the launch before");
        let block = |start, epoch| Now { block_start: start, ..at(1, epoch, 0) };
        assert_eq!(cell.read(&block(20, 21)), None, "two blocks may read");
        assert_eq!(cell.write(&block(20, 22), false), Some(Other::Block), "the first one read");
        assert_eq!(cell.read(&block(30, 30)), Some(Other::Block));
    }

    #[test]
    fn test_shadow__atomics_are_ordered_among_themselves() {
        let mut cell = Cell::default();
        assert_eq!(cell.write(&at(1, 10, 0), true), None);
        assert_eq!(cell.write(&at(99, 10, 0), true), None);
        assert_eq!(cell.read(&at(99, 10, 0)), Some(Other::Threads), "a plain read beside them");
        assert_eq!(cell.read(&at(99, 11, 0)), None, "after bar.sync");
    }
}
