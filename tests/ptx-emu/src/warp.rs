//! A warp: 32 lanes that execute one instruction at a time.
//!
//! Lanes that diverge form groups, each with a place in the program. The group that is least far runs; where two meet,
//! they go on together. Instructions with `.sync` wait for the lanes that they name. Registers are vectors of 32 lanes,
//! and an instruction is a function of whole vectors: the compiler makes vector code of it.

use crate::block::Block;
use crate::fault::{Fault, FaultKind};
use crate::kernel::{Instruction, Kernel};
use crate::opcodes::{Combine, Doubles, Meaning, Words};

/// Lanes at the same place of the program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) pc: usize,
    pub(crate) mask: u32,
    /// At a `.sync` instruction, for lanes that have not come.
    waiting: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    AtBarrier { pc: usize },
    Done,
}

/// A copy that `cp.async` began: lane, destination, bytes.
pub(crate) type Copy = (usize, u32, Vec<u8>);

/// Registers and places of 32 lanes.
pub(crate) struct Warp {
    pub(crate) number: u32,
    pub(crate) state: State,
    pub(crate) words: Vec<Words>,
    pub(crate) doubles: Vec<Doubles>,
    pub(crate) predicates: Vec<u32>,
    /// Which lanes wrote each register.
    defined: Vec<u32>,
    groups: Vec<Group>,
    /// Lanes that have not exited.
    pub(crate) live: u32,
    /// Counts `bar.warp.sync`.
    pub(crate) epoch: u32,
    /// Copies on their way: committed groups, oldest first, and those not committed yet.
    pub(crate) committed: Vec<Vec<Copy>>,
    pub(crate) begun: Vec<Copy>,
}

/// What follows an instruction.
pub(crate) enum Flow {
    Next,
    Jump(usize),
    /// These lanes go to the first place, the others on.
    Split {
        taken: u32,
        to: usize,
    },
    /// Wait for other lanes.
    Wait,
    Barrier,
    /// These lanes are through.
    Exit(u32),
}

/// Why a group stops running for now.
enum Pause {
    Regroup,
    Barrier,
}

impl Warp {
    pub(crate) fn new(kernel: &Kernel, number: u32) -> Self {
        let [words, doubles, predicates] = kernel.counts;
        Self {
            number,
            state: State::Done,
            words: vec![[0; 32]; words],
            doubles: vec![[0; 32]; doubles],
            predicates: vec![0; predicates],
            defined: vec![0; words + doubles + predicates],
            groups: vec![],
            live: 0,
            epoch: 0,
            committed: vec![],
            begun: vec![],
        }
    }

    pub(crate) fn reset(&mut self, live: u32) {
        self.defined.fill(0);
        self.state = State::Running;
        self.live = live;
        self.epoch += 1;
        self.groups = vec![Group { pc: 0, mask: live, waiting: false }];
        self.committed.clear();
        self.begun.clear();
    }

    pub(crate) fn step_over_barrier(&mut self) {
        for group in &mut self.groups {
            group.pc += 1;
        }
    }

    /// The first place where a group that runs from `pc` may meet another.
    fn next_meeting(&self, pc: usize) -> usize {
        let others = self.groups.iter().filter(|g| !g.waiting || g.pc >= pc);
        others.map(|g| g.pc).min().unwrap_or(usize::MAX)
    }

    fn join(&mut self, group: Group) {
        match self.groups.iter_mut().find(|g| g.pc == group.pc) {
            Some(other) => {
                other.mask |= group.mask;
                other.waiting = false;
            }
            None => self.groups.push(group),
        }
    }
}

#[inline(always)]
pub(crate) fn blend<T: std::marker::Copy>(to: &mut [T; 32], from: &[T; 32], mask: u32) {
    if mask == !0 {
        *to = *from;
    } else {
        for lane in 0..32 {
            if mask >> lane & 1 == 1 {
                to[lane] = from[lane];
            }
        }
    }
}

impl Block<'_> {
    /// Runs a warp to its next barrier or its end.
    pub(crate) fn run_warp(&mut self, warp: &mut Warp) -> Result<(), Box<Fault>> {
        loop {
            if warp.groups.is_empty() {
                warp.state = State::Done;
                return Ok(());
            }
            let runnable = warp.groups.iter().enumerate().filter(|(_, g)| !g.waiting);
            let chosen = match &mut self.schedule {
                None => runnable.min_by_key(|(_, g)| g.pc).map(|(i, _)| i),
                Some(random) => {
                    let list: Vec<usize> = runnable.map(|(i, _)| i).collect();
                    list.get(random.below(list.len())).copied()
                }
            };
            let Some(chosen) = chosen else {
                return Err(self.stuck(warp));
            };
            let group = warp.groups.swap_remove(chosen);
            if let Pause::Barrier = self.run_group(warp, group)? {
                return Ok(());
            }
        }
    }

    /// All groups wait, each for lanes that are in another.
    fn stuck(&self, warp: &Warp) -> Box<Fault> {
        let group = warp.groups[0];
        let instruction = &self.kernel.code[group.pc];
        let places: Vec<String> = warp
            .groups
            .iter()
            .map(|g| format!("{:#010x} at line {}", g.mask, self.kernel.code[g.pc].line))
            .collect();
        let what = format!("lanes wait for each other: {}", places.join(", "));
        let lane = group.mask.trailing_zeros() as usize;
        self.fault(FaultKind::DivergentBarrier, instruction, warp.number, lane, what)
    }

    fn run_group(&mut self, warp: &mut Warp, group: Group) -> Result<Pause, Box<Fault>> {
        let kernel = self.kernel;
        let Group { mut pc, mut mask, .. } = group;
        let mut meeting = warp.next_meeting(pc);
        loop {
            if pc >= meeting {
                warp.join(Group { pc, mask, waiting: false });
                return Ok(Pause::Regroup);
            }
            let instruction = &kernel.code[pc];
            match self.step(warp, instruction, mask)? {
                Flow::Next => pc += 1,
                Flow::Jump(to) => {
                    pc = to;
                    meeting = warp.next_meeting(pc);
                }
                Flow::Split { taken, to } => {
                    self.counters.divergent_branches += 1;
                    warp.join(Group { pc: to, mask: taken, waiting: false });
                    warp.join(Group { pc: pc + 1, mask: mask & !taken, waiting: false });
                    return Ok(Pause::Regroup);
                }
                Flow::Wait => {
                    warp.groups.push(Group { pc, mask, waiting: true });
                    return Ok(Pause::Regroup);
                }
                Flow::Barrier => {
                    warp.groups.push(Group { pc, mask, waiting: false });
                    warp.state = State::AtBarrier { pc };
                    return Ok(Pause::Barrier);
                }
                Flow::Exit(lanes) => {
                    warp.live &= !lanes;
                    mask &= !lanes;
                    // Who waited for them need not.
                    warp.groups.iter_mut().for_each(|g| g.waiting = false);
                    if mask == 0 {
                        return Ok(Pause::Regroup);
                    }
                    pc += 1;
                    meeting = warp.next_meeting(pc);
                }
            }
        }
    }

    fn step(&mut self, warp: &mut Warp, i: &Instruction, group: u32) -> Result<Flow, Box<Fault>> {
        self.steps += 1;
        if self.steps > self.options.max_steps {
            let what = format!("{} instructions", self.steps);
            return Err(self.fault(FaultKind::StepLimit, i, warp.number, 0, what));
        }
        let mask = match i.guard {
            None => group,
            Some((p, true)) => group & warp.predicates[usize::from(p)],
            Some((p, false)) => group & !warp.predicates[usize::from(p)],
        };
        if self.watch {
            // The guard itself is read by the whole group.
            self.check_defined(warp, i, mask, group)?;
        }
        let row = i.row;
        self.counters.instructions[row.kind as usize] += 1;
        let lanes = u64::from(mask.count_ones());
        self.counters.lane_instructions += lanes;
        if row.flops > 0 {
            let flops = lanes * u64::from(row.flops);
            match row.kind {
                crate::Kind::Double => self.counters.double_flops += flops,
                _ => self.counters.flops += flops,
            }
        }
        let flow = match &row.meaning {
            Meaning::Branch { uniform } => return self.branch(warp, i, mask, group, *uniform),
            Meaning::Return if mask != 0 => return Ok(Flow::Exit(mask)),
            _ if mask == 0 => return Ok(Flow::Next),
            _ => self.execute(warp, i, mask, group)?,
        };
        if matches!(flow, Flow::Next) {
            for &register in &i.defines {
                warp.defined[usize::from(register)] |= mask;
            }
        }
        Ok(flow)
    }

    #[inline]
    fn check_defined(
        &self,
        warp: &Warp,
        i: &Instruction,
        mask: u32,
        group: u32,
    ) -> Result<(), Box<Fault>> {
        for (k, &register) in i.uses.iter().enumerate() {
            let readers = if k == 0 && i.guard.is_some() { group } else { mask };
            let missing = readers & !warp.defined[usize::from(register)];
            if missing != 0 {
                let name = &self.kernel.register_names[usize::from(register)];
                let what = format!("{name} was not written");
                let lane = missing.trailing_zeros() as usize;
                return Err(self.fault(
                    FaultKind::UninitialisedRegister,
                    i,
                    warp.number,
                    lane,
                    what,
                ));
            }
        }
        Ok(())
    }

    fn branch(
        &mut self,
        warp: &Warp,
        i: &Instruction,
        taken: u32,
        group: u32,
        uniform: bool,
    ) -> Result<Flow, Box<Fault>> {
        let to = i.immediate as usize;
        if taken == group {
            return Ok(Flow::Jump(to));
        }
        if taken == 0 {
            return Ok(Flow::Next);
        }
        if uniform {
            // PTX ISA 9.7.12.3: ".uni ... guaranteed to be non-divergent, i.e. all active threads in a warp that are
            // currently executing this instruction have identical values for the guard predicate and branch target".
            let what = format!("lanes {taken:#010x} of {group:#010x} branch");
            let lane = taken.trailing_zeros() as usize;
            return Err(self.fault(FaultKind::Diverged, i, warp.number, lane, what));
        }
        Ok(Flow::Split { taken, to })
    }

    fn execute(
        &mut self,
        warp: &mut Warp,
        i: &Instruction,
        m: u32,
        group: u32,
    ) -> Result<Flow, Box<Fault>> {
        let r = |k: usize| usize::from(i.args[k]);
        let (w, d, p) = (&mut warp.words, &mut warp.doubles, &mut warp.predicates);
        let set = |p: &mut u32, bits: u32| *p = bits & m | *p & !m;
        match &i.row.meaning {
            Meaning::W1(f) => {
                let y = f(&w[r(1)]);
                blend(&mut w[r(0)], &y, m);
            }
            Meaning::W2(f) => {
                let y = f(&w[r(1)], &w[r(2)]);
                blend(&mut w[r(0)], &y, m);
            }
            Meaning::W3(f) => {
                let y = f(&w[r(1)], &w[r(2)], &w[r(3)]);
                blend(&mut w[r(0)], &y, m);
            }
            Meaning::D1(f) => {
                let y = f(&d[r(1)]);
                blend(&mut d[r(0)], &y, m);
            }
            Meaning::D2(f) => {
                let y = f(&d[r(1)], &d[r(2)]);
                blend(&mut d[r(0)], &y, m);
            }
            Meaning::D3(f) => {
                let y = f(&d[r(1)], &d[r(2)], &d[r(3)]);
                blend(&mut d[r(0)], &y, m);
            }
            Meaning::Shift(f) => {
                let y = f(&d[r(1)], &w[r(2)]);
                blend(&mut d[r(0)], &y, m);
            }
            Meaning::Wide(f) => blend(&mut d[r(0)], &f(&w[r(1)], &w[r(2)]), m),
            Meaning::WideAdd(f) => {
                let y = f(&w[r(1)], &w[r(2)], &d[r(3)]);
                blend(&mut d[r(0)], &y, m);
            }
            Meaning::Widen(f) => blend(&mut d[r(0)], &f(&w[r(1)]), m),
            Meaning::Narrow(f) => blend(&mut w[r(0)], &f(&d[r(1)]), m),
            Meaning::CompareW(f, combine) => {
                let bits = combined(f(&w[r(1)], &w[r(2)]), *combine, || p[r(3)]);
                set(&mut p[r(0)], bits);
            }
            Meaning::CompareD(f, combine) => {
                let bits = combined(f(&d[r(1)], &d[r(2)]), *combine, || p[r(3)]);
                set(&mut p[r(0)], bits);
            }
            Meaning::P1(f) => {
                let bits = f(p[r(1)]);
                set(&mut p[r(0)], bits);
            }
            Meaning::P2(f) => {
                let bits = f(p[r(1)], p[r(2)]);
                set(&mut p[r(0)], bits);
            }
            Meaning::SelectW => {
                let (mut y, chosen) = (w[r(2)], p[r(3)]);
                blend(&mut y, &w[r(1)], chosen);
                blend(&mut w[r(0)], &y, m);
            }
            Meaning::SelectD => {
                let (mut y, chosen) = (d[r(2)], p[r(3)]);
                blend(&mut y, &d[r(1)], chosen);
                blend(&mut d[r(0)], &y, m);
            }
            Meaning::Split => {
                let x = d[r(2)];
                blend(&mut w[r(0)], &x.map(|x| x as u32), m);
                blend(&mut w[r(1)], &x.map(|x| (x >> 32) as u32), m);
            }
            Meaning::Join => {
                let (lo, hi) = (&w[r(1)], &w[r(2)]);
                let y = std::array::from_fn(|l| u64::from(hi[l]) << 32 | u64::from(lo[l]));
                blend(&mut d[r(0)], &y, m);
            }
            Meaning::Approximate(a) => {
                let (x, y) = (w[r(1)], w[r(a.operands)]);
                let perturb = &mut self.perturb;
                let mut push = || perturb.as_mut().map_or(0.0, crate::options::Random::push);
                let y = std::array::from_fn(|l| a.result(x[l], y[l], push()));
                blend(&mut w[r(0)], &y, m);
            }
            _ => return self.execute_with_memory(warp, i, m, group),
        }
        Ok(Flow::Next)
    }
}

#[inline]
fn combined(bits: u32, combine: Combine, other: impl Fn() -> u32) -> u32 {
    match combine {
        Combine::No => bits,
        Combine::And => bits & other(),
        Combine::Or => bits | other(),
    }
}
