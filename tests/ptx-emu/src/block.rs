//! A block: its warps run to the next barrier in turn, and go on when all have come.

use crate::access::Shared;
use crate::counters::Counters;
use crate::fault::{Fault, FaultKind};
use crate::kernel::{Constant, Instruction, Kernel, Special};
use crate::launch::Launch;
use crate::memory::Memory;
use crate::options::{Approximate, Options, Order, Random, Watch};
use crate::warp::{State, Warp};

/// What all instructions of a launch work on.
pub(crate) struct Block<'a> {
    pub(crate) memory: &'a mut Memory,
    pub(crate) kernel: &'a Kernel,
    pub(crate) params: &'a [u8],
    pub(crate) options: &'a Options,
    pub(crate) counters: Counters,
    pub(crate) shared: Shared,
    pub(crate) watch: bool,
    /// The epochs at which the launch and this block began.
    pub(crate) launch_start: u32,
    pub(crate) block_start: u32,
    pub(crate) schedule: Option<Random>,
    pub(crate) perturb: Option<Random>,
    pub(crate) steps: u64,
    /// The allocation that the last access went to.
    pub(crate) recent: usize,
    shape: Launch,
    at: [u32; 3],
    warps: Vec<Warp>,
}

impl<'a> Block<'a> {
    pub(crate) fn new(
        memory: &'a mut Memory,
        kernel: &'a Kernel,
        shape: &Launch,
        params: &'a [u8],
        options: &'a Options,
    ) -> Self {
        let launch_start = memory.epoch;
        let shared = Shared::new(kernel.static_shared + shape.dynamic_shared, kernel.granule);
        let random = |seed: u64| Random(seed ^ 0x5bd1_e995);
        Self {
            memory,
            kernel,
            params,
            options,
            counters: Counters::default(),
            shared,
            watch: options.watch == Watch::Everything,
            launch_start,
            block_start: launch_start,
            schedule: match options.order {
                Order::Natural => None,
                Order::Random(seed) => Some(random(seed)),
            },
            perturb: match options.approximate {
                Approximate::Exact => None,
                Approximate::Perturbed(seed) => Some(random(!seed)),
            },
            steps: 0,
            recent: 0,
            shape: *shape,
            at: [0; 3],
            warps: (0..shape.threads().div_ceil(32)).map(|i| Warp::new(kernel, i)).collect(),
        }
    }

    /// Runs the block with these coordinates.
    pub(crate) fn run(&mut self, at: [u32; 3]) -> Result<(), Box<Fault>> {
        self.at = at;
        self.memory.epoch += 1;
        self.block_start = self.memory.epoch;
        self.shared.forget();
        let mut warps = std::mem::take(&mut self.warps);
        for warp in &mut warps {
            self.begin(warp);
        }
        let mut order: Vec<usize> = (0..warps.len()).collect();
        loop {
            if let Some(random) = &mut self.schedule {
                random.shuffle(&mut order);
            }
            for &i in &order {
                if warps[i].state == State::Running {
                    self.run_warp(&mut warps[i])?;
                }
            }
            if warps.iter().all(|w| w.state == State::Done) {
                break;
            }
            self.pass_barrier(&mut warps)?;
        }
        self.warps = warps;
        Ok(())
    }

    /// Presets the registers that hold constants.
    fn begin(&self, warp: &mut Warp) {
        let kernel = self.kernel;
        let threads = self.shape.threads();
        let first = warp.number * 32;
        let live = (threads - first).min(32);
        warp.reset(if live == 32 { !0 } else { (1 << live) - 1 });
        for &(register, constant) in &kernel.word_constants {
            warp.words[usize::from(register)] = std::array::from_fn(|lane| {
                let thread = first + lane as u32;
                match constant {
                    Constant::Bits(bits) => bits,
                    Constant::Lane => lane as u32,
                    Constant::DynamicShared => kernel.static_shared.next_multiple_of(16),
                    Constant::Special(special, axis) => self.special(special, axis.into(), thread),
                }
            });
        }
        for &(register, bits) in &kernel.double_constants {
            warp.doubles[usize::from(register)] = [bits; 32];
        }
    }

    fn special(&self, special: Special, axis: usize, thread: u32) -> u32 {
        let [x, y, _] = self.shape.block;
        match special {
            Special::Tid => [thread % x, thread / x % y, thread / x / y][axis],
            Special::Ntid => self.shape.block[axis],
            Special::Ctaid => self.at[axis],
            Special::Nctaid => self.shape.grid[axis],
        }
    }

    /// PTX ISA 9.7.13.1: the barrier completes when all threads (that have not exited) have arrived at it.
    fn pass_barrier(&mut self, warps: &mut [Warp]) -> Result<(), Box<Fault>> {
        let waiting = warps.iter().filter_map(|w| match w.state {
            State::AtBarrier { pc } => Some((w.number, pc)),
            _ => None,
        });
        let waiting: Vec<_> = waiting.collect();
        let code = &self.kernel.code;
        let (first, pc) = waiting[0];
        let barrier = code[pc].immediate;
        if let Some(&(other, other_pc)) =
            waiting.iter().find(|(_, p)| code[*p].immediate != barrier)
        {
            let line = code[other_pc].line;
            let what = format!("warp {first} waits here, warp {other} at line {line}");
            return Err(self.fault(FaultKind::DivergentBarrier, &code[pc], first, 0, what));
        }
        self.memory.epoch += 1;
        for warp in warps.iter_mut().filter(|w| w.state != State::Done) {
            warp.state = State::Running;
            warp.step_over_barrier();
        }
        Ok(())
    }

    #[cold]
    pub(crate) fn fault(
        &self,
        kind: FaultKind,
        instruction: &Instruction,
        warp: u32,
        lane: usize,
        what: String,
    ) -> Box<Fault> {
        Box::new(Fault {
            kind,
            kernel: self.kernel.name.clone(),
            line: instruction.line,
            text: instruction.text.clone(),
            block: self.at,
            warp,
            lane: lane as u32,
            what,
        })
    }
}
