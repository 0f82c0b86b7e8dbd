//! What may go wrong, and where it did.

use std::fmt;

/// A text that is no module which this emulator knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("PTX line {line}: {what}")]
pub struct ParseError {
    /// The line of the text, from 1.
    pub line: u32,
    /// What stands there, and why it is refused.
    pub what: String,
}

/// What a kernel did that it must not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The launch itself breaks a limit of the hardware or does not fit the kernel.
    Launch,
    /// An address outside every allocation, or outside the block's shared memory.
    OutOfBounds,
    /// An address that is no multiple of the size of the access.
    Misaligned,
    /// An address in memory that was given back.
    UseAfterFree,
    /// A register that this lane has not written.
    UninitialisedRegister,
    /// A byte of global or shared memory that nobody has written.
    UninitialisedMemory,
    /// Two threads of a block, one of them writing, on the same shared bytes with no barrier between.
    SharedRace,
    /// Two threads, one of them writing, on the same global bytes with no barrier between; blocks have none.
    GlobalRace,
    /// `ld.global.nc` of bytes that the same kernel writes.
    ReadOnly,
    /// Lanes or warps wait at barriers that the others never reach.
    DivergentBarrier,
    /// `bra.uni` or a warp-wide instruction whose lanes do not agree.
    Diverged,
    /// A shuffle, vote or matrix instruction with lanes that do not take part.
    InactiveLane,
    /// Shared memory used before the `cp.async` that fills it was waited for.
    PendingCopy,
    /// `trap`.
    Trap,
    /// More instructions than [`Options::max_steps`](crate::Options::max_steps): a loop without end.
    StepLimit,
}

/// A kernel stopped, as a debugger would report it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What it did.
    pub kind: FaultKind,
    /// The name of the entry.
    pub kernel: String,
    /// The line of the module's text, 0 for a launch that never began.
    pub line: u32,
    /// The instruction.
    pub text: String,
    /// `%ctaid`.
    pub block: [u32; 3],
    /// The warp within the block.
    pub warp: u32,
    /// The lane within the warp.
    pub lane: u32,
    /// Addresses and sizes.
    pub what: String,
}

impl std::error::Error for Fault {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return write!(f, "{}: {}", self.kernel, self.what);
        }
        let Self { kind, kernel, line, text, block: [x, y, z], warp, lane, what } = self;
        let place = format_args!("block ({x}, {y}, {z}) warp {warp} lane {lane}");
        write!(f, "{kernel}, line {line} `{text}`, {place}: {kind:?}: {what}")
    }
}
