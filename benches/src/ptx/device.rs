//! A device that counts: one case's memory and what its launches did.

use foundry_kernels::cuda::launch::{Argument, Call, Pointer};
use foundry_ptx_emu::{Counters, Launch, Memory, Module, Options, Params, launch};

/// The emulator, for kernels that are right: a fault is a panic.
#[derive(Default)]
pub struct Gpu {
    memory: Memory,
    /// What all launches did.
    pub counters: Counters,
    /// Bytes of inputs and outputs.
    pub bytes: u64,
}

/// Numbers in (-1, 1) in an order without pattern: a Weyl sequence.
fn numbers(n: u32) -> impl Iterator<Item = f32> {
    (1..=n).map(|i| i.wrapping_mul(2_654_435_769).cast_signed() as f32 / 2_147_483_648.0)
}

fn pointer(at: Result<foundry_ptx_emu::Pointer, foundry_ptx_emu::MemoryError>) -> Pointer {
    Pointer(at.unwrap_or_else(|e| panic!("{e}")).0)
}

impl Gpu {
    /// n numbers that are read.
    pub fn input(&mut self, n: u32) -> Pointer {
        self.bytes += 4 * u64::from(n);
        pointer(self.memory.upload_f32(&numbers(n).collect::<Vec<_>>()))
    }

    /// n numbers of 16 bits that are read: bf16.
    pub fn input_bf16(&mut self, n: u32) -> Pointer {
        self.bytes += 2 * u64::from(n);
        let half: Vec<u32> = numbers(n).map(|x| x.to_bits() >> 16).collect();
        let words: Vec<u32> =
            half.chunks(2).map(|c| c[0] | c.get(1).map_or(0, |x| x << 16)).collect();
        pointer(self.memory.upload_u32(&words))
    }

    /// n integers below `limit` that are read.
    pub fn input_u32(&mut self, n: u32, limit: u32) -> Pointer {
        self.bytes += 4 * u64::from(n);
        let words: Vec<u32> = (0..n).map(|i| i.wrapping_mul(40_503) % limit).collect();
        pointer(self.memory.upload_u32(&words))
    }

    /// n numbers that are written.
    pub fn output(&mut self, n: u32) -> Pointer {
        self.bytes += 4 * u64::from(n);
        self.scratch(n)
    }

    /// n numbers that are read and written.
    pub fn both(&mut self, n: u32) -> Pointer {
        self.bytes += 4 * u64::from(n);
        self.input(n)
    }

    /// Room for n numbers that the task could do without.
    pub fn scratch(&mut self, n: u32) -> Pointer {
        pointer(self.memory.alloc(4 * u64::from(n)))
    }

    /// Runs a call.
    ///
    /// # Panics
    /// With the emulator's report, if the kernel does anything wrong.
    pub fn run(&mut self, call: &Call) {
        let module = Module::parse(call.source.text).unwrap_or_else(|e| panic!("{e}"));
        let kernel = module.kernel(call.entry);
        let kernel = kernel.unwrap_or_else(|| panic!("{} has no {}", call.source.file, call.entry));
        let params = call.arguments.iter().fold(Params::new(), |params, a| match *a {
            Argument::Pointer(p) => params.pointer(foundry_ptx_emu::Pointer(p.0)),
            Argument::U32(x) => params.u32(x),
            Argument::F32(x) => params.f32(x),
            Argument::F64(x) => params.bytes(&x.to_le_bytes()),
        });
        let shape = Launch { grid: call.grid, block: [call.threads, 1, 1], dynamic_shared: 0 };
        let counters = launch(&mut self.memory, kernel, &shape, &params, &Options::default());
        self.counters.add(&counters.unwrap_or_else(|fault| panic!("{fault}")));
    }
}
