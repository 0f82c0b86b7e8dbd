//! Loads, stores, atomics and asynchronous copies, with all that is checked about them.

use crate::block::Block;
use crate::fault::{Fault, FaultKind};
use crate::kernel::Instruction;
use crate::memory::Miss;
use crate::opcodes::{Atomic, Space};
use crate::shadow::{Cell, Now, Other};
use crate::warp::Warp;

/// The shared memory of a block.
pub(crate) struct Shared {
    pub(crate) data: Vec<u8>,
    cells: Vec<Cell>,
    granule: usize,
    /// For each word, the thread whose `cp.async` has not delivered it yet.
    pending: Vec<Option<u32>>,
}

impl Shared {
    pub(crate) fn new(bytes: u32, granule: usize) -> Self {
        let n = bytes as usize;
        let cells = vec![Cell::default(); n.div_ceil(granule)];
        Self { data: vec![0xff; n], cells, granule, pending: vec![None; n.div_ceil(4)] }
    }

    /// A new block begins: what is there is no longer worth anything.
    pub(crate) fn forget(&mut self) {
        self.data.fill(0xff);
        self.pending.fill(None);
    }

    /// A copy to these bytes, whole words, is under way; or has come, if there is no thread.
    pub(crate) fn set_pending(&mut self, start: usize, size: usize, thread: Option<u32>) {
        self.pending[start / 4..(start + size) / 4].fill(thread);
    }
}

/// What an access does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    /// `ld.global.nc`.
    ReadOnly,
    Write,
    Atomic,
}

/// Where the bytes of an access lie: an allocation, or shared memory, and the first byte.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    region: Option<usize>,
    start: usize,
}

/// Who makes an access: for the report, and for the race detector.
#[derive(Clone, Copy)]
pub(crate) struct Who<'a> {
    pub(crate) i: &'a Instruction,
    pub(crate) warp: u32,
    pub(crate) warp_epoch: u32,
    pub(crate) lane: usize,
}

impl<'a> Who<'a> {
    pub(crate) fn new(i: &'a Instruction, warp: &Warp, lane: usize) -> Self {
        Self { i, warp: warp.number, warp_epoch: warp.epoch, lane }
    }

    fn thread(&self) -> u32 {
        self.warp * 32 + self.lane as u32
    }
}

/// The lanes of a mask.
pub(crate) fn lanes(mask: u32) -> impl Iterator<Item = usize> {
    (0..32).filter(move |lane| mask >> lane & 1 == 1)
}

impl Block<'_> {
    /// The address of each lane: register `arg` plus offset k.
    pub(crate) fn addresses(
        warp: &Warp,
        i: &Instruction,
        space: Space,
        arg: usize,
        k: usize,
    ) -> [u64; 32] {
        let register = usize::from(i.args[arg]);
        let offset = i.offsets[k];
        match space {
            Space::Global => warp.doubles[register].map(|a| a.wrapping_add_signed(offset)),
            Space::Shared => {
                warp.words[register].map(|a| u64::from(a.wrapping_add_signed(offset as i32)))
            }
        }
    }

    /// Counts a warp-wide access.
    pub(crate) fn count(&mut self, space: Space, at: &[u64; 32], m: u32, size: u64, write: bool) {
        match (space, write) {
            (Space::Shared, _) => self.counters.shared(at, m, size),
            (Space::Global, false) => self.counters.load.request(at, m, size),
            (Space::Global, true) => self.counters.store.request(at, m, size),
        }
    }

    /// Finds the bytes and checks all that is to be checked.
    pub(crate) fn place(
        &mut self,
        who: Who<'_>,
        space: Space,
        address: u64,
        size: usize,
        access: Access,
    ) -> Result<Place, Box<Fault>> {
        let place = match space {
            Space::Shared => self.shared_place(who, address, size)?,
            Space::Global => self.global_place(who, address, size)?,
        };
        // PTX ISA 6.4.1: "the address must be naturally aligned to a multiple of the access size. If an address is not
        // properly aligned, the resulting behavior is undefined".
        if !address.is_multiple_of(size as u64) {
            let what = format!("{size} bytes at {address:#x}");
            return Err(self.fault(FaultKind::Misaligned, who.i, who.warp, who.lane, what));
        }
        if self.watch {
            self.observe(who, place, size, access)?;
        } else if let (Some(region), Access::Write) = (place.region, access) {
            // For the launches after this one, and for the host.
            self.memory.region(region).written[place.start..place.start + size].fill(true);
        }
        Ok(place)
    }

    fn shared_place(&self, who: Who<'_>, address: u64, size: usize) -> Result<Place, Box<Fault>> {
        let (start, have) = (address as usize, self.shared.data.len());
        if start + size > have {
            let what = format!("{size} bytes at shared {address:#x}, the block has {have}");
            return Err(self.fault(FaultKind::OutOfBounds, who.i, who.warp, who.lane, what));
        }
        let words = &self.shared.pending[start / 4..(start + size).div_ceil(4)];
        if let Some(thread) = words.iter().find_map(|w| *w) {
            let what =
                format!("shared {address:#x}: the copy of thread {thread} was not waited for");
            return Err(self.fault(FaultKind::PendingCopy, who.i, who.warp, who.lane, what));
        }
        Ok(Place { region: None, start })
    }

    fn global_place(
        &mut self,
        who: Who<'_>,
        address: u64,
        size: usize,
    ) -> Result<Place, Box<Fault>> {
        let recent = self.memory.peek(self.recent);
        let recent = recent.filter(|(base, len)| {
            address >= *base && address - base < *len && *len - (address - base) >= size as u64
        });
        if let Some((base, _)) = recent {
            return Ok(Place { region: Some(self.recent), start: (address - base) as usize });
        }
        match self.memory.find(address, size as u64) {
            Ok(region) => {
                self.recent = region;
                let start = (address - self.memory.region(region).base) as usize;
                Ok(Place { region: Some(region), start })
            }
            Err(why) => {
                let kind = match why {
                    Miss::Freed => FaultKind::UseAfterFree,
                    _ => FaultKind::OutOfBounds,
                };
                let near = self.memory.describe(address);
                let what = format!("{size} bytes at global {address:#x}: {why}{near}");
                Err(self.fault(kind, who.i, who.warp, who.lane, what))
            }
        }
    }

    /// The race detector, and whether what is read was written.
    fn observe(
        &mut self,
        who: Who<'_>,
        place: Place,
        size: usize,
        access: Access,
    ) -> Result<(), Box<Fault>> {
        let epoch = self.memory.epoch;
        let mut now = Now {
            thread: who.thread(),
            epoch,
            warp_epoch: who.warp_epoch,
            block_start: self.block_start,
            launch_start: self.block_start,
        };
        let granule = self.kernel.granule;
        let start = place.start;
        let (cells, granule, race) = match place.region {
            None => {
                let granule = self.shared.granule;
                (&mut self.shared.cells, granule, FaultKind::SharedRace)
            }
            Some(region) => {
                now.launch_start = self.launch_start;
                let region = self.memory.region(region);
                region.watch(granule);
                let written = &mut region.written[start..start + size];
                if access == Access::Write {
                    written.fill(true);
                } else if !written.iter().all(|w| *w) {
                    let what =
                        format!("global, {start} bytes into an allocation of {}", region.len);
                    let kind = FaultKind::UninitialisedMemory;
                    return Err(self.fault(kind, who.i, who.warp, who.lane, what));
                }
                (&mut region.cells, granule, FaultKind::GlobalRace)
            }
        };
        let mut found = None;
        for cell in &mut cells[start / granule..=(start + size - 1) / granule] {
            let old = place.region.is_some() || cell.written_since(now.block_start);
            if access != Access::Write && !old {
                found = Some((FaultKind::UninitialisedMemory, None));
                break;
            }
            if access == Access::ReadOnly && cell.written_since(now.launch_start) {
                found = Some((FaultKind::ReadOnly, None));
                break;
            }
            let other = match access {
                Access::Read | Access::ReadOnly => cell.read(&now),
                Access::Write => cell.write(&now, false),
                Access::Atomic => cell.write(&now, true),
            };
            if other.is_some() {
                found = Some((race, other));
                break;
            }
        }
        let Some((kind, other)) = found else {
            return Ok(());
        };
        let where_ = if place.region.is_some() { "global" } else { "shared" };
        let with = match other {
            None => String::new(),
            Some(Other::Thread(t)) => format!(", with thread {t}"),
            Some(Other::Threads) => ", with several threads".into(),
            Some(Other::Block) => ", with another block".into(),
        };
        let what = format!("{where_} memory at {start:#x}{with} (this is thread {})", now.thread);
        Err(self.fault(kind, who.i, who.warp, who.lane, what))
    }

    /// The bytes of a place.
    pub(crate) fn bytes(&mut self, place: Place, size: usize) -> &mut [u8] {
        let data = match place.region {
            None => &mut self.shared.data,
            Some(region) => &mut self.memory.region(region).data,
        };
        &mut data[place.start..place.start + size]
    }

    pub(crate) fn load(
        &mut self,
        warp: &mut Warp,
        i: &Instruction,
        m: u32,
        space: Space,
        access: Access,
    ) -> Result<(), Box<Fault>> {
        let (bytes, count) = (usize::from(i.bytes), usize::from(i.count));
        let at = Self::addresses(warp, i, space, count, 0);
        self.count(space, &at, m, (bytes * count) as u64, false);
        for lane in lanes(m) {
            let who = Who::new(i, warp, lane);
            let place = self.place(who, space, at[lane], bytes * count, access)?;
            let data = self.bytes(place, bytes * count);
            for (k, data) in data.chunks_exact(bytes).enumerate() {
                let register = usize::from(i.args[k]);
                match *data {
                    [a] => warp.words[register][lane] = u32::from(a),
                    [a, b] => warp.words[register][lane] = u32::from(u16::from_le_bytes([a, b])),
                    [a, b, c, d] => warp.words[register][lane] = u32::from_le_bytes([a, b, c, d]),
                    _ => {
                        let data = data.as_array().copied().unwrap_or_default();
                        warp.doubles[register][lane] = u64::from_le_bytes(data);
                    }
                }
            }
        }
        Ok(())
    }

    pub(crate) fn store(
        &mut self,
        warp: &Warp,
        i: &Instruction,
        m: u32,
        space: Space,
    ) -> Result<(), Box<Fault>> {
        let (bytes, count) = (usize::from(i.bytes), usize::from(i.count));
        let at = Self::addresses(warp, i, space, count, 0);
        self.count(space, &at, m, (bytes * count) as u64, true);
        for lane in lanes(m) {
            let who = Who::new(i, warp, lane);
            let place = self.place(who, space, at[lane], bytes * count, Access::Write)?;
            let data = self.bytes(place, bytes * count);
            for (k, data) in data.chunks_exact_mut(bytes).enumerate() {
                let register = usize::from(i.args[k]);
                if bytes == 8 {
                    data.copy_from_slice(&warp.doubles[register][lane].to_le_bytes());
                } else {
                    data.copy_from_slice(&warp.words[register][lane].to_le_bytes()[..bytes]);
                }
            }
        }
        Ok(())
    }

    /// PTX ISA 9.7.13.5: "atomically loads the original value at location a into destination register d, performs a
    /// reduction operation with operand b and the value in location a, and stores the result". The order of lanes is
    /// not defined.
    pub(crate) fn atomic(
        &mut self,
        warp: &mut Warp,
        i: &Instruction,
        m: u32,
        space: Space,
        operation: Atomic,
        returns: bool,
    ) -> Result<(), Box<Fault>> {
        let first = usize::from(returns);
        let at = Self::addresses(warp, i, space, first, 0);
        self.count(space, &at, m, 4, true);
        let mut order: Vec<usize> = lanes(m).collect();
        if let Some(random) = &mut self.schedule {
            random.shuffle(&mut order);
        }
        for lane in order {
            let who = Who::new(i, warp, lane);
            let place = self.place(who, space, at[lane], 4, Access::Atomic)?;
            let data = self.bytes(place, 4);
            let old = u32::from_le_bytes(data.as_array().copied().unwrap_or_default());
            let value = |k: usize| warp.words[usize::from(i.args[first + k])][lane];
            let new = match operation {
                Atomic::Two(f) => f(old, value(1)),
                Atomic::CompareAndSwap if old == value(1) => value(2),
                Atomic::CompareAndSwap => old,
            };
            data.copy_from_slice(&new.to_le_bytes());
            if returns {
                warp.words[usize::from(i.args[0])][lane] = old;
            }
        }
        Ok(())
    }
}
