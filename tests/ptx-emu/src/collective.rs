//! What the lanes of a warp do together: barriers, shuffles, votes, matrix products, groups of copies.

use crate::access::{Access, Who, lanes};
use crate::block::Block;
use crate::fault::{Fault, FaultKind};
use crate::kernel::{Instruction, NONE};
use crate::opcodes::{Meaning, Shape, Shuffle, Space, Vote, Words};
use crate::warp::{Copy, Flow, Warp, blend};

/// What an asynchronous copy reads at once; the rest of its source byte by byte.
const PIECE: usize = 4;

type Step = Result<Flow, Box<Fault>>;

impl Block<'_> {
    pub(crate) fn execute_with_memory(
        &mut self,
        warp: &mut Warp,
        i: &Instruction,
        m: u32,
        group: u32,
    ) -> Step {
        match &i.row.meaning {
            Meaning::LoadParameter => {
                self.load_parameter(warp, i, m);
                Ok(())
            }
            Meaning::Load(space) => self.load(warp, i, m, *space, Access::Read),
            Meaning::LoadReadOnly => self.load(warp, i, m, Space::Global, Access::ReadOnly),
            Meaning::Store(space) => self.store(warp, i, m, *space),
            Meaning::Atomic(space, operation, returns) => {
                self.atomic(warp, i, m, *space, *operation, *returns)
            }
            Meaning::Trap => {
                let lane = m.trailing_zeros() as usize;
                Err(self.fault(FaultKind::Trap, i, warp.number, lane, "the kernel gave up".into()))
            }
            Meaning::Barrier => return self.barrier(warp, i, m, group),
            Meaning::WarpBarrier => return self.warp_barrier(warp, i, m, group),
            Meaning::Shuffle(how) => return self.shuffle(warp, i, m, group, *how),
            Meaning::Vote(how) => return self.vote(warp, i, m, group, *how),
            Meaning::Matrix(shape) => return self.matrix(warp, i, m, group, *shape),
            Meaning::LoadMatrix { matrices, transposed } => {
                let matrices = usize::from(*matrices);
                return self.load_matrix(warp, i, m, group, matrices, *transposed);
            }
            Meaning::CopyAsync => self.copy_async(warp, i, m),
            Meaning::CommitCopies => self.all_lanes(warp, i, m).map(|()| {
                let begun = std::mem::take(&mut warp.begun);
                warp.committed.push(begun);
            }),
            Meaning::WaitCopies { all } => self.wait_copies(warp, i, m, *all),
            _ => Ok(()),
        }
        .map(|()| Flow::Next)
    }

    fn load_parameter(&self, warp: &mut Warp, i: &Instruction, m: u32) {
        let start = i.offsets[0] as usize;
        let mut bytes = [0; 8];
        let size = usize::from(i.bytes);
        bytes[..size].copy_from_slice(&self.params[start..start + size]);
        let value = u64::from_le_bytes(bytes);
        let register = usize::from(i.args[0]);
        if size == 8 {
            blend(&mut warp.doubles[register], &[value; 32], m);
        } else {
            blend(&mut warp.words[register], &[value as u32; 32], m);
        }
    }

    fn lanes_fault(
        &self,
        kind: FaultKind,
        warp: &Warp,
        i: &Instruction,
        lanes: u32,
        what: &str,
    ) -> Box<Fault> {
        let what = format!("{what}: lanes {lanes:#010x}");
        self.fault(kind, i, warp.number, lanes.trailing_zeros() as usize, what)
    }

    /// PTX ISA 9.7.13.1: "For .aligned ... all threads in the warp must execute the same barrier instruction".
    fn barrier(&mut self, warp: &Warp, i: &Instruction, m: u32, group: u32) -> Step {
        if m != group {
            let what = "some lanes skip the barrier";
            return Err(self.lanes_fault(FaultKind::DivergentBarrier, warp, i, group & !m, what));
        }
        if m != warp.live {
            return Ok(Flow::Wait);
        }
        self.counters.barriers += 1;
        Ok(Flow::Barrier)
    }

    /// The lanes that an instruction with a member mask must wait for; None when all are here.
    ///
    /// PTX ISA 9.7.9.6: it "will cause executing thread to wait until all non-exited threads corresponding to membermask
    /// have executed [it] with the same qualifiers and same membermask value"; "the behavior ... is undefined if the
    /// executing thread is not in the membermask". Here they must be at the same instruction.
    fn members(
        &self,
        warp: &Warp,
        i: &Instruction,
        m: u32,
        group: u32,
        masks: &Words,
    ) -> Result<bool, Box<Fault>> {
        let first = masks[m.trailing_zeros() as usize];
        if let Some(lane) = lanes(m).find(|l| masks[*l] != first) {
            let what = "a member mask of its own";
            return Err(self.lanes_fault(FaultKind::Diverged, warp, i, 1 << lane, what));
        }
        if m & !first != 0 {
            let what = "not in the member mask";
            return Err(self.lanes_fault(FaultKind::InactiveLane, warp, i, m & !first, what));
        }
        let missing = first & warp.live & !m;
        if missing & group != 0 {
            let what = "in the member mask, but they skip the instruction";
            return Err(self.lanes_fault(FaultKind::InactiveLane, warp, i, missing & group, what));
        }
        Ok(missing == 0)
    }

    fn warp_barrier(&mut self, warp: &mut Warp, i: &Instruction, m: u32, group: u32) -> Step {
        let masks = warp.words[usize::from(i.args[0])];
        if !self.members(warp, i, m, group, &masks)? {
            return Ok(Flow::Wait);
        }
        // A barrier of a part of the warp orders that part only; it is not taken for more than it is.
        if m == warp.live {
            warp.epoch += 1;
        }
        Ok(Flow::Next)
    }

    /// PTX ISA 9.7.9.6, the pseudo-code of `shfl.sync`.
    fn shuffle(
        &mut self,
        warp: &mut Warp,
        i: &Instruction,
        m: u32,
        group: u32,
        how: Shuffle,
    ) -> Step {
        let word = |k: usize| warp.words[usize::from(i.args[k])];
        let (a, b, c) = (word(2), word(3), word(4));
        if !self.members(warp, i, m, group, &word(5))? {
            return Ok(Flow::Wait);
        }
        let (mut result, mut inside) = ([0; 32], 0);
        for lane in lanes(m) {
            let (me, by) = (lane as u32, b[lane] & 31);
            let (clamp, segment) = (c[lane] & 31, c[lane] >> 8 & 31);
            let (most, least) = (me & segment | clamp & !segment, me & segment);
            let (from, valid) = match how {
                Shuffle::Up => (me.wrapping_sub(by), me >= by + most),
                Shuffle::Down => (me + by, me + by <= most),
                Shuffle::Butterfly => (me ^ by, me ^ by <= most),
                Shuffle::Index => (least | by & !segment, (least | by & !segment) <= most),
            };
            let from = if valid { from & 31 } else { me };
            if m >> from & 1 == 0 {
                // "if a thread reads from an inactive lane, the value is unpredictable"
                let what = format!("lane {from}, which does not take part");
                return Err(self.fault(FaultKind::InactiveLane, i, warp.number, lane, what));
            }
            inside |= u32::from(valid) << lane;
            result[lane] = a[from as usize];
        }
        blend(&mut warp.words[usize::from(i.args[0])], &result, m);
        if i.args[1] != NONE {
            let p = &mut warp.predicates[usize::from(i.args[1])];
            *p = inside & m | *p & !m;
        }
        Ok(Flow::Next)
    }

    fn vote(&mut self, warp: &mut Warp, i: &Instruction, m: u32, group: u32, how: Vote) -> Step {
        let masks = warp.words[usize::from(i.args[2])];
        if !self.members(warp, i, m, group, &masks)? {
            return Ok(Flow::Wait);
        }
        let votes = warp.predicates[usize::from(i.args[1])] & m;
        let to = usize::from(i.args[0]);
        let outcome = match how {
            Vote::Ballot => {
                blend(&mut warp.words[to], &[votes; 32], m);
                return Ok(Flow::Next);
            }
            Vote::All => votes == m,
            Vote::Any => votes != 0,
        };
        let p = &mut warp.predicates[to];
        *p = if outcome { *p | m } else { *p & !m };
        Ok(Flow::Next)
    }

    /// Whether a `.sync.aligned` instruction has its whole warp; PTX ISA 9.7.14.5: "all threads in the warp must execute
    /// the same mma instruction ... the behavior is undefined if ... any thread in the warp has exited".
    fn whole_warp(
        &self,
        warp: &Warp,
        i: &Instruction,
        m: u32,
        group: u32,
    ) -> Result<bool, Box<Fault>> {
        if warp.live != !0 || m != group {
            let missing = !warp.live | group & !m;
            let what = "they take no part";
            return Err(self.lanes_fault(FaultKind::InactiveLane, warp, i, missing, what));
        }
        Ok(m == !0)
    }

    fn matrix(
        &mut self,
        warp: &mut Warp,
        i: &Instruction,
        m: u32,
        group: u32,
        shape: Shape,
    ) -> Step {
        if !self.whole_warp(warp, i, m, group)? {
            return Ok(Flow::Wait);
        }
        let word = |k: usize| warp.words[usize::from(i.args[k])];
        let a = std::array::from_fn(|k| word(4 + k));
        let b = std::array::from_fn(|k| word(8 + k));
        let c: [Words; 4] = std::array::from_fn(|k| word(10 + k));
        let mut d = [[0; 32]; 4];
        let mut products = [0.0; 16];
        for (register, d) in d.iter_mut().enumerate() {
            for (lane, d) in d.iter_mut().enumerate() {
                let row = lane / 4 + 8 * (register / 2);
                let column = lane % 4 * 2 + register % 2;
                for (k, product) in products[..shape.k()].iter_mut().enumerate() {
                    *product = shape.a(&a, row, k) * shape.b(&b, k, column);
                }
                let start = f32::from_bits(c[register][lane]);
                let sum = self.options.accumulate.sum(start, &products[..shape.k()]);
                *d = sum.to_bits();
            }
        }
        for (k, d) in d.iter().enumerate() {
            warp.words[usize::from(i.args[k])] = *d;
        }
        self.counters.matrix_flops += 2 * 16 * 8 * shape.k() as u64;
        Ok(Flow::Next)
    }

    /// PTX ISA 9.7.14.5.15: lanes 0 to 7 hold the row addresses of the first matrix, 8 to 15 of the second, ...; lane l
    /// receives elements (l / 4, 2 (l % 4)) and the next of each matrix, or of its transpose.
    fn load_matrix(
        &mut self,
        warp: &mut Warp,
        i: &Instruction,
        m: u32,
        group: u32,
        matrices: usize,
        transposed: bool,
    ) -> Step {
        if !self.whole_warp(warp, i, m, group)? {
            return Ok(Flow::Wait);
        }
        let at = Self::addresses(warp, i, Space::Shared, matrices, 0);
        let used = ((1_u64 << (8 * matrices)) - 1) as u32;
        self.count(Space::Shared, &at, used, 16, false);
        for matrix in 0..matrices {
            let mut rows = [[0_u16; 8]; 8];
            for (row, to) in rows.iter_mut().enumerate() {
                let lane = 8 * matrix + row;
                let who = Who::new(i, warp, lane);
                let place = self.place(who, Space::Shared, at[lane], 16, Access::Read)?;
                let (halves, _) = self.bytes(place, 16).as_chunks::<2>();
                for (to, half) in to.iter_mut().zip(halves) {
                    *to = u16::from_le_bytes(*half);
                }
            }
            let register = &mut warp.words[usize::from(i.args[matrix])];
            for (lane, word) in register.iter_mut().enumerate() {
                let (row, column) = (lane / 4, lane % 4 * 2);
                let element = |k: usize| {
                    if transposed { rows[column + k][row] } else { rows[row][column + k] }
                };
                *word = u32::from(element(1)) << 16 | u32::from(element(0));
            }
        }
        Ok(Flow::Next)
    }

    /// The groups of copies are counted for the whole warp, so all its lanes must commit and wait together.
    fn all_lanes(&self, warp: &Warp, i: &Instruction, m: u32) -> Result<(), Box<Fault>> {
        if m == warp.live {
            return Ok(());
        }
        let what = "they commit or wait for copies on their own";
        Err(self.lanes_fault(FaultKind::Diverged, warp, i, m, what))
    }

    /// The source is read at once, the destination written when it is waited for: as late as is allowed.
    fn copy_async(&mut self, warp: &mut Warp, i: &Instruction, m: u32) -> Result<(), Box<Fault>> {
        let size = i.immediate as usize;
        let to = Self::addresses(warp, i, Space::Shared, 0, 0);
        let from = Self::addresses(warp, i, Space::Global, 1, 1);
        self.count(Space::Global, &from, m, size as u64, false);
        self.count(Space::Shared, &to, m, size as u64, true);
        for lane in lanes(m) {
            let who = Who::new(i, warp, lane);
            // "src-size specifies the size in bytes of data to be copied from source to destination ... the remaining
            // bytes in destination are filled with zeros. Specifying src-size larger than cp-size results in undefined
            // behavior"; both addresses are aligned to cp-size.
            let given = i.args.get(2).map_or(size, |r| warp.words[usize::from(*r)][lane] as usize);
            if given > size {
                let what = format!("{given} bytes from the source, the copy is of {size}");
                return Err(self.fault(FaultKind::OutOfBounds, i, warp.number, lane, what));
            }
            let mut bytes = vec![0; size];
            if given > 0 {
                if !from[lane].is_multiple_of(size as u64) {
                    let what = format!("{size} bytes at {:#x}", from[lane]);
                    return Err(self.fault(FaultKind::Misaligned, i, warp.number, lane, what));
                }
                for at in (0..given).step_by(PIECE) {
                    let n = PIECE.min(given - at);
                    let address = from[lane] + at as u64;
                    if n == PIECE {
                        let source = self.place(who, Space::Global, address, n, Access::Read)?;
                        bytes[at..at + n].copy_from_slice(self.bytes(source, n));
                        continue;
                    }
                    for k in 0..n {
                        let source =
                            self.place(who, Space::Global, address + k as u64, 1, Access::Read)?;
                        bytes[at + k..=at + k].copy_from_slice(self.bytes(source, 1));
                    }
                }
            }
            self.place(who, Space::Shared, to[lane], size, Access::Write)?;
            let start = to[lane] as usize;
            let thread = warp.number * 32 + lane as u32;
            self.shared.set_pending(start, size, Some(thread));
            warp.begun.push((lane, to[lane] as u32, bytes));
        }
        Ok(())
    }

    fn wait_copies(
        &mut self,
        warp: &mut Warp,
        i: &Instruction,
        m: u32,
        all: bool,
    ) -> Result<(), Box<Fault>> {
        self.all_lanes(warp, i, m)?;
        let keep = if all { 0 } else { i.immediate as usize };
        let through = warp.committed.len().saturating_sub(keep);
        let mut copies: Vec<Copy> = warp.committed.drain(..through).flatten().collect();
        if all {
            copies.append(&mut warp.begun);
        }
        for (lane, to, bytes) in copies {
            let start = to as usize;
            self.shared.set_pending(start, bytes.len(), None);
            let who = Who::new(i, warp, lane);
            let place =
                self.place(who, Space::Shared, u64::from(to), bytes.len(), Access::Write)?;
            self.bytes(place, bytes.len()).copy_from_slice(&bytes);
        }
        Ok(())
    }
}
