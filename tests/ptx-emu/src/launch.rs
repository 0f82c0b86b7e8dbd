//! A launch: its limits, its parameters, its blocks one after another.

use crate::block::Block;
use crate::counters::Counters;
use crate::fault::{Fault, FaultKind};
use crate::kernel::Kernel;
use crate::memory::{Memory, Pointer};
use crate::options::{Options, Order, Random};

/// The shape of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Blocks in x, y, z.
    pub grid: [u32; 3],
    /// Threads of a block in x, y, z.
    pub block: [u32; 3],
    /// Bytes of shared memory besides those that the kernel declares.
    pub dynamic_shared: u32,
}

impl Launch {
    /// `blocks` blocks of `threads` threads.
    #[must_use]
    pub fn linear(blocks: u32, threads: u32) -> Self {
        Self { grid: [blocks, 1, 1], block: [threads, 1, 1], dynamic_shared: 0 }
    }

    /// Threads of a block.
    #[must_use]
    pub fn threads(&self) -> u32 {
        self.block.iter().product()
    }
}

/// The bytes of the parameters of a kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<Vec<u8>>);

impl Params {
    /// No parameters yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pointer.
    #[must_use]
    pub fn pointer(self, x: Pointer) -> Self {
        self.bytes(&x.0.to_le_bytes())
    }

    /// Adds a 32-bit integer.
    #[must_use]
    pub fn u32(self, x: u32) -> Self {
        self.bytes(&x.to_le_bytes())
    }

    /// Adds a single-precision number.
    #[must_use]
    pub fn f32(self, x: f32) -> Self {
        self.bytes(&x.to_le_bytes())
    }

    /// Adds a parameter of these bytes.
    #[must_use]
    pub fn bytes(mut self, x: &[u8]) -> Self {
        self.0.push(x.to_vec());
        self
    }

    /// The parameter space of a kernel.
    fn lay_out(&self, kernel: &Kernel) -> Result<Vec<u8>, String> {
        if self.0.len() != kernel.parameters.len() {
            return Err(format!(
                "{} parameters, the kernel has {}",
                self.0.len(),
                kernel.parameters.len()
            ));
        }
        let mut space = vec![0; kernel.parameter_bytes];
        for (given, p) in self.0.iter().zip(&kernel.parameters) {
            if given.len() != p.bytes {
                return Err(format!(
                    "{} bytes for parameter {}, not {}",
                    given.len(),
                    p.name,
                    p.bytes
                ));
            }
            space[p.offset..p.offset + p.bytes].copy_from_slice(given);
        }
        Ok(space)
    }
}

/// Runs a kernel over a grid.
///
/// # Errors
/// The first thing that the kernel, or the launch, did wrong. What was written until then stays written.
pub fn launch(
    memory: &mut Memory,
    kernel: &Kernel,
    shape: &Launch,
    params: &Params,
    options: &Options,
) -> Result<Counters, Box<Fault>> {
    let refused = |what| {
        Box::new(Fault {
            kind: FaultKind::Launch,
            kernel: kernel.name.clone(),
            line: 0,
            text: String::new(),
            block: [0; 3],
            warp: 0,
            lane: 0,
            what,
        })
    };
    check(kernel, shape, options).map_err(refused)?;
    let params = params.lay_out(kernel).map_err(refused)?;
    memory.epoch += 1;
    let [x, y, z] = shape.grid;
    let blocks = u64::from(x) * u64::from(y) * u64::from(z);
    let mut order = None;
    if let Order::Random(seed) = options.order {
        let mut list: Vec<u64> = (0..blocks).collect();
        Random(seed).shuffle(&mut list);
        order = Some(list);
    }
    let mut block = Block::new(memory, kernel, shape, &params, options);
    for i in 0..blocks {
        let i = order.as_ref().map_or(i, |list| list[i as usize]);
        let (x, y) = (u64::from(x), u64::from(y));
        let at = [i % x, i / x % y, i / x / y];
        block.run(at.map(|c| c as u32))?;
    }
    Ok(block.counters)
}

/// The limits of compute capabilities 7.0 to 12.0 (CUDA C++ Programming Guide, "Technical Specifications").
fn check(kernel: &Kernel, shape: &Launch, options: &Options) -> Result<(), String> {
    let Launch { grid, block, dynamic_shared } = *shape;
    let threads: u64 = block.iter().map(|n| u64::from(*n)).product();
    let most = |what: &str, given: [u32; 3], most: [u32; 3]| {
        let fits = given.iter().zip(most).all(|(g, m)| (1..=m).contains(g));
        if fits { Ok(()) } else { Err(format!("{what} {given:?}, the limits are {most:?}")) }
    };
    most("grid", grid, [i32::MAX.cast_unsigned(), 65535, 65535])?;
    most("block", block, [1024, 1024, 64])?;
    if threads > 1024 {
        return Err(format!("block {block:?} has {threads} threads, at most 1024"));
    }
    if let Some(max) = kernel.max_threads {
        let max: u64 = max.iter().map(|n| u64::from(*n)).product();
        if threads > max {
            return Err(format!("block {block:?}: .maxntid allows {max} threads"));
        }
    }
    if kernel.required_threads.is_some_and(|r| r != block) {
        return Err(format!("block {block:?}: .reqntid is {:?}", kernel.required_threads));
    }
    let total = kernel.static_shared + dynamic_shared;
    if kernel.static_shared > 48 << 10 {
        return Err(format!("{} bytes of static shared memory", kernel.static_shared));
    }
    if total > 48 << 10 && dynamic_shared > options.max_dynamic_shared {
        return Err(format!("{total} bytes of shared memory: more than 48 KB must be asked for"));
    }
    if total > 227 << 10 {
        return Err(format!("{total} bytes of shared memory: no device has them"));
    }
    if dynamic_shared > 0 && !kernel.uses_dynamic_shared {
        return Err("dynamic shared memory for a kernel that uses none".into());
    }
    let registers = u64::from(options.registers.next_multiple_of(8)) * threads.next_multiple_of(32);
    if registers > 65536 {
        return Err(format!("{registers} registers for a block, there are 65,536"));
    }
    Ok(())
}
