//! A kernel with its arguments and its grid.

use super::gemm::Gemm;
use super::registry::Source;

/// An address on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pointer(pub u64);

impl Pointer {
    /// The address of element `at` of an array of 32-bit elements.
    #[must_use]
    pub fn element(self, at: u32) -> Self {
        Self(self.0 + 4 * u64::from(at))
    }

    /// The address of element `at` of an array of 16-bit elements.
    #[must_use]
    pub fn half(self, at: u32) -> Self {
        Self(self.0 + 2 * u64::from(at))
    }
}

/// No array.
pub const NULL: Pointer = Pointer(0);

/// A parameter, as the kernel declares it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Argument {
    /// `.u64`, an address.
    Pointer(Pointer),
    /// `.u32`.
    U32(u32),
    /// `.f32`.
    F32(f32),
    /// `.f64`.
    F64(f64),
}

/// Threads of a warp, which run together.
pub const WARP: u32 = 32;

/// Everything that `cuLaunchKernel` is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The text with the kernel.
    pub source: &'static Source,
    /// The name of the entry.
    pub entry: &'static str,
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
    /// The parameters, in order.
    pub arguments: Vec<Argument>,
    /// What it computes, if it is a product, which may be done otherwise.
    pub product: Option<Gemm>,
}

impl Call {
    pub(super) fn new(
        source: &'static Source,
        entry: &'static str,
        grid: [u32; 3],
        threads: u32,
    ) -> Self {
        Self { source, entry, grid, threads, arguments: vec![], product: None }
    }

    /// Whether there is nothing to do: a grid may not be empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.grid.contains(&0)
    }

    pub(super) fn pointers<const N: usize>(mut self, pointers: [Pointer; N]) -> Self {
        self.arguments.extend(pointers.map(Argument::Pointer));
        self
    }

    pub(super) fn u32s<const N: usize>(mut self, numbers: [u32; N]) -> Self {
        self.arguments.extend(numbers.map(Argument::U32));
        self
    }

    pub(super) fn f64s<const N: usize>(mut self, numbers: [f64; N]) -> Self {
        self.arguments.extend(numbers.map(Argument::F64));
        self
    }

    pub(super) fn f32s<const N: usize>(mut self, numbers: [f32; N]) -> Self {
        self.arguments.extend(numbers.map(Argument::F32));
        self
    }
}

/// Blocks for `rows` rows when each has a warp and a block has four of them.
pub(super) fn warps(rows: u32) -> [u32; 3] {
    [rows.div_ceil(4), 1, 1]
}
