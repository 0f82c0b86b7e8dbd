//! A module and its kernels, decoded once: every operand is a number of a register.

use crate::opcodes::Row;

/// A module: the kernels of one PTX text.
#[derive(Debug)]
pub struct Module {
    pub(crate) kernels: Vec<Kernel>,
}

/// An `.entry`, ready to run.
pub struct Kernel {
    pub(crate) name: String,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) parameter_bytes: usize,
    /// Bytes that `.shared` declares.
    pub(crate) static_shared: u32,
    pub(crate) uses_dynamic_shared: bool,
    pub(crate) max_threads: Option<[u32; 3]>,
    pub(crate) required_threads: Option<[u32; 3]>,
    pub(crate) code: Vec<Instruction>,
    /// Registers of 32 bits, of 64 bits, and predicates.
    pub(crate) counts: [usize; 3],
    /// Registers that hold constants and special registers.
    pub(crate) word_constants: Vec<(u16, Constant)>,
    pub(crate) double_constants: Vec<(u16, u64)>,
    /// The name of each register that is declared, in the joint numbering of uses and definitions.
    pub(crate) register_names: Vec<String>,
    /// Bytes of the smallest access to memory, at most 4.
    pub(crate) granule: usize,
}

/// A parameter of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in the PTX text.
    pub name: String,
    /// Where it lies in the parameter space.
    pub offset: usize,
    /// Its size.
    pub bytes: usize,
}

/// What a preloaded 32-bit register holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Constant {
    Bits(u32),
    Special(Special, u8),
    Lane,
    /// Where dynamic shared memory begins.
    DynamicShared,
}

/// Special registers with an x, y and z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Special {
    Tid,
    Ntid,
    Ctaid,
    Nctaid,
}

/// Stands for an operand that is not there.
pub(crate) const NONE: u16 = u16::MAX;

/// One instruction.
pub(crate) struct Instruction {
    pub(crate) row: &'static Row,
    pub(crate) line: u32,
    pub(crate) text: String,
    /// The predicate, and the value it must have.
    pub(crate) guard: Option<(u16, bool)>,
    /// Registers in the order of the operands.
    pub(crate) args: Box<[u16]>,
    /// Bytes added to an address, and to the second one of `cp.async`.
    pub(crate) offsets: [i64; 2],
    /// Branch target, barrier, size of a copy, groups to wait for.
    pub(crate) immediate: u32,
    /// Bytes of an element of an access, and how many elements.
    pub(crate) bytes: u8,
    pub(crate) count: u8,
    /// Registers read and written, words then doubles then predicates.
    pub(crate) uses: Box<[u16]>,
    pub(crate) defines: Box<[u16]>,
}

impl Module {
    /// Parses and decodes a PTX text.
    ///
    /// # Errors
    /// With the line, for everything that the emulator does not know or the PTX ISA forbids.
    pub fn parse(text: &str) -> Result<Self, crate::ParseError> {
        crate::parse::module(text)
    }

    /// The kernels, in the order of the text.
    #[must_use]
    pub fn kernels(&self) -> &[Kernel] {
        &self.kernels
    }

    /// The kernel of this name.
    #[must_use]
    pub fn kernel(&self, name: &str) -> Option<&Kernel> {
        self.kernels.iter().find(|k| k.name == name)
    }
}

impl Kernel {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its parameters: what a stand-in for `cuLaunchKernel` needs to copy them.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Bytes of shared memory that it declares.
    #[must_use]
    pub fn static_shared(&self) -> u32 {
        self.static_shared
    }

    /// Lines that hold an instruction of this opcode or of one that it begins, such as `bar.sync`.
    #[must_use]
    pub fn lines_of(&self, opcode: &str) -> Vec<u32> {
        let is = |i: &&Instruction| {
            let text = i.text.trim_start_matches(|c: char| c != ' ' && i.text.starts_with('@'));
            text.trim_start().starts_with(opcode)
        };
        self.code.iter().filter(is).map(|i| i.line).collect()
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kernel({}, {} instructions)", self.name, self.code.len())
    }
}
