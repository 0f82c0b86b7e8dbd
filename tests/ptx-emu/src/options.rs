//! How a launch is run and watched.

/// In which order blocks, warps and diverged lanes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Blocks and warps by their number, diverged lanes where the program is least far.
    Natural,
    /// At random, from this seed: a correct kernel does not notice.
    Random(u64),
}

/// What approximate instructions return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approximate {
    /// The nearest number to the truth.
    Exact,
    /// Something within the documented error, from this seed.
    Perturbed(u64),
}

/// How products are added up. The ISA leaves it open: "the order of accumulation, rounding and handling of subnormal
/// inputs are unspecified".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accumulate {
    /// As if in one exact sum, rounded once to nearest.
    Nearest,
    /// Four products at a time, and every step rounded towards zero, as tensor cores were observed to.
    Truncated,
}

/// How much is checked besides addresses, alignment, barriers and shuffles, which always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Races, memory and registers that nobody wrote.
    Everything,
    /// Nothing more: for long runs of kernels that were watched elsewhere.
    Addresses,
}

/// How a launch is run and watched.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The schedule.
    pub order: Order,
    /// Approximate instructions.
    pub approximate: Approximate,
    /// Rounding within `mma`.
    pub accumulate: Accumulate,
    /// What is checked.
    pub watch: Watch,
    /// Instructions of warps after which a launch is taken to be endless.
    pub max_steps: u64,
    /// Dynamic shared memory that the kernel was allowed by `cuFuncSetAttribute`; 48 KB with the static memory if not.
    pub max_dynamic_shared: u32,
    /// Registers of a thread, as ptxas counts them: with them, the launch must fit the 65,536 of a block.
    pub registers: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            order: Order::Natural,
            approximate: Approximate::Exact,
            accumulate: Accumulate::Nearest,
            watch: Watch::Everything,
            max_steps: 1 << 32,
            max_dynamic_shared: 0,
            registers: 0,
        }
    }
}

impl Options {
    /// Random order, approximations at the edge of what is documented, products that are truncated.
    #[must_use]
    pub fn adversarial(seed: u64) -> Self {
        Self {
            order: Order::Random(seed),
            approximate: Approximate::Perturbed(seed),
            accumulate: Accumulate::Truncated,
            ..Self::default()
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough to shuffle a schedule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        for i in (1..list.len()).rev() {
            list.swap(i, self.below(i + 1));
        }
    }

    /// In [-1, 1].
    pub(crate) fn push(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}
