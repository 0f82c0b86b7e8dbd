//! Every opcode that the emulator knows: how it is written, where the PTX ISA (version 8.8) defines it, what it means.
//!
//! A [`Row`] has a pattern, `add{.u32|.s32}`, whose alternatives are expanded into full opcodes. What is not in the
//! table is refused by name and line; `OPCODES.md` is generated from it.

mod compare;
mod control;
mod convert;
mod double;
mod float;
mod integer;
mod logic;
mod matrix;
mod memory;
mod warp;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

pub(crate) use float::Approximation;
pub(crate) use matrix::Shape;

/// A 32-bit register of each lane of a warp.
pub(crate) type Words = [u32; 32];
/// A 64-bit register of each lane of a warp.
pub(crate) type Doubles = [u64; 32];

type Lanes<A, R> = Arc<dyn Fn(&A) -> R + Send + Sync>;
type Lanes2<A, B, R> = Arc<dyn Fn(&A, &B) -> R + Send + Sync>;
type Lanes3<A, B, C, R> = Arc<dyn Fn(&A, &B, &C) -> R + Send + Sync>;

/// What an instruction does. Registers stand in the order of the operands, destination first.
#[derive(Clone)]
pub(crate) enum Meaning {
    /// Word from one, two and three words.
    W1(Lanes<Words, Words>),
    W2(Lanes2<Words, Words, Words>),
    W3(Lanes3<Words, Words, Words, Words>),
    /// Double from one, two and three doubles.
    D1(Lanes<Doubles, Doubles>),
    D2(Lanes2<Doubles, Doubles, Doubles>),
    D3(Lanes3<Doubles, Doubles, Doubles, Doubles>),
    /// Double from a double and a word: shifts.
    Shift(Lanes2<Doubles, Words, Doubles>),
    /// Double from two words, and from two words and a double: wide products.
    Wide(Lanes2<Words, Words, Doubles>),
    WideAdd(Lanes3<Words, Words, Doubles, Doubles>),
    /// Double from a word, word from a double.
    Widen(Lanes<Words, Doubles>),
    Narrow(Lanes<Doubles, Words>),
    /// Predicate from two words and two doubles; the flag says how it is combined with a further predicate.
    CompareW(Lanes2<Words, Words, u32>, Combine),
    CompareD(Lanes2<Doubles, Doubles, u32>, Combine),
    /// Predicate from one or two predicates.
    P1(fn(u32) -> u32),
    P2(fn(u32, u32) -> u32),
    SelectW,
    SelectD,
    /// `mov.b64 {low, high}, double` and back.
    Split,
    Join,
    Approximate(Approximation),
    LoadParameter,
    Load(Space),
    /// `ld.global.nc`.
    LoadReadOnly,
    Store(Space),
    /// Whether the old value is returned.
    Atomic(Space, Atomic, bool),
    Branch {
        uniform: bool,
    },
    Return,
    Trap,
    Barrier,
    WarpBarrier,
    Shuffle(Shuffle),
    Vote(Vote),
    Matrix(Shape),
    LoadMatrix {
        matrices: u8,
        transposed: bool,
    },
    CopyAsync,
    CommitCopies,
    WaitCopies {
        all: bool,
    },
}

/// The boolean operator of `setp.lt.and`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Combine {
    No,
    And,
    Or,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    Global,
    Shared,
}

/// What an atomic operation writes; all are 32 bits wide.
#[derive(Clone, Copy)]
pub(crate) enum Atomic {
    Two(fn(u32, u32) -> u32),
    CompareAndSwap,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shuffle {
    Up,
    Down,
    Butterfly,
    Index,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vote {
    All,
    Any,
    Ballot,
}

/// How an instruction counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Integer arithmetic, logic, shifts.
    Integer,
    /// Single precision.
    Float,
    /// Double precision: a sixty-fourth of the rate on most devices.
    Double,
    /// Approximations of the special-function unit: a quarter of the rate, or less.
    Special,
    /// `cvt`.
    Convert,
    /// `mov`, `selp`.
    Move,
    /// `setp` and logic of predicates.
    Predicate,
    /// Loads, stores, atomics and asynchronous copies.
    Memory,
    /// Shuffles and votes.
    Warp,
    /// Barriers.
    Barrier,
    /// Branches.
    Control,
    /// `mma`.
    Matrix,
}

impl Kind {
    /// All of them, in the order of [`Counters::instructions`](crate::Counters::instructions).
    pub const ALL: [Self; 12] = [
        Self::Integer,
        Self::Float,
        Self::Double,
        Self::Special,
        Self::Convert,
        Self::Move,
        Self::Predicate,
        Self::Memory,
        Self::Warp,
        Self::Barrier,
        Self::Control,
        Self::Matrix,
    ];
}

/// One line of the table.
pub(crate) struct Row {
    /// `{a|b}` are alternatives.
    pattern: &'static str,
    /// The section of the ISA, or its last part: see `Group::section`.
    section: &'static str,
    /// The types of the operands: T the last type of the opcode, D its first, W twice as wide as T; `~` takes wider
    /// registers, `*` is a form of its own.
    pub(crate) operands: &'static str,
    pub(crate) meaning: Meaning,
    pub(crate) kind: Kind,
    /// Floating-point operations of a lane.
    pub(crate) flops: u8,
    /// The first `.target` that has it.
    pub(crate) target: u32,
}

impl Row {
    fn new(
        pattern: &'static str,
        section: &'static str,
        operands: &'static str,
        meaning: Meaning,
        kind: Kind,
    ) -> Self {
        Self { pattern, section, operands, meaning, kind, flops: 0, target: 70 }
    }

    fn flops(self, flops: u8) -> Self {
        Self { flops, ..self }
    }

    fn target(self, target: u32) -> Self {
        Self { target, ..self }
    }
}

/// All rows, by the chapters of the ISA.
struct Table {
    rows: Vec<Row>,
    by_name: HashMap<String, usize>,
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let chapters = [
            integer::rows(),
            float::rows(),
            double::rows(),
            compare::rows(),
            logic::rows(),
            convert::rows(),
            memory::rows(),
            control::rows(),
            warp::rows(),
            matrix::rows(),
        ];
        let rows: Vec<Row> = chapters.into_iter().flatten().collect();
        let mut by_name = HashMap::new();
        for (i, row) in rows.iter().enumerate() {
            for name in expand(row.pattern) {
                let twice = by_name.insert(name, i);
                assert!(twice.is_none(), "{} is in the table twice", row.pattern);
            }
        }
        Table { rows, by_name }
    })
}

/// The row of a full opcode.
pub(crate) fn find(opcode: &str) -> Option<&'static Row> {
    let table = table();
    table.by_name.get(opcode).map(|&i| &table.rows[i])
}

/// `mov.b64 {lo, hi}, a`, which only its operands tell from `mov.b64 d, a`.
pub(crate) fn split() -> &'static Row {
    static ROW: OnceLock<Row> = OnceLock::new();
    ROW.get_or_init(|| Row::new("mov.b64", "9.7.9.4", "*", Meaning::Split, Kind::Move))
}

/// `mov.b64 d, {lo, hi}`.
pub(crate) fn join() -> &'static Row {
    static ROW: OnceLock<Row> = OnceLock::new();
    ROW.get_or_init(|| Row::new("mov.b64", "9.7.9.4", "*", Meaning::Join, Kind::Move))
}

/// The index of supported opcodes, as Markdown.
#[must_use]
pub fn index() -> String {
    let mut text = String::from(
        "# Opcodes that the emulator executes\n\n\
         Generated from the table in `src/opcodes`: `FOUNDRY_BLESS=1 cargo test -p foundry-ptx-emu --lib opcodes`.\n\
         Braces hold alternatives. Sections are those of the PTX ISA 8.8. Everything else is refused, by name and line.\n\n\
         | opcode | PTX ISA | from |\n|---|---|---|\n",
    );
    for row in &table().rows {
        let pattern = row.pattern.replace('|', "\\|");
        let _ = writeln!(text, "| `{pattern}` | {} | sm_{} |", row.section, row.target);
    }
    text
}

/// All opcodes that a pattern stands for.
fn expand(pattern: &str) -> Vec<String> {
    let Some((before, rest)) = pattern.split_once('{') else {
        return vec![pattern.to_owned()];
    };
    let Some((choices, after)) = rest.split_once('}') else {
        return vec![pattern.to_owned()];
    };
    let after = expand(after);
    let with = |choice| after.iter().map(move |after| format!("{before}{choice}{after}"));
    choices.split('|').flat_map(with).collect()
}

/// Lane by lane.
fn w1(f: impl Fn(u32) -> u32 + Send + Sync + 'static) -> Meaning {
    Meaning::W1(Arc::new(move |a| lanes(|i| f(a[i]))))
}

fn w2(f: impl Fn(u32, u32) -> u32 + Send + Sync + 'static) -> Meaning {
    Meaning::W2(Arc::new(move |a, b| lanes(|i| f(a[i], b[i]))))
}

fn w3(f: impl Fn(u32, u32, u32) -> u32 + Send + Sync + 'static) -> Meaning {
    Meaning::W3(Arc::new(move |a, b, c| lanes(|i| f(a[i], b[i], c[i]))))
}

fn d1(f: impl Fn(u64) -> u64 + Send + Sync + 'static) -> Meaning {
    Meaning::D1(Arc::new(move |a| lanes(|i| f(a[i]))))
}

fn d2(f: impl Fn(u64, u64) -> u64 + Send + Sync + 'static) -> Meaning {
    Meaning::D2(Arc::new(move |a, b| lanes(|i| f(a[i], b[i]))))
}

fn d3(f: impl Fn(u64, u64, u64) -> u64 + Send + Sync + 'static) -> Meaning {
    Meaning::D3(Arc::new(move |a, b, c| lanes(|i| f(a[i], b[i], c[i]))))
}

fn widen(f: impl Fn(u32) -> u64 + Send + Sync + 'static) -> Meaning {
    Meaning::Widen(Arc::new(move |a| lanes(|i| f(a[i]))))
}

fn narrow(f: impl Fn(u64) -> u32 + Send + Sync + 'static) -> Meaning {
    Meaning::Narrow(Arc::new(move |a| lanes(|i| f(a[i]))))
}

#[inline(always)]
fn lanes<T: Copy + Default>(f: impl Fn(usize) -> T) -> [T; 32] {
    let mut r = [T::default(); 32];
    for (i, r) in r.iter_mut().enumerate() {
        *r = f(i);
    }
    r
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_opcodes__patterns() {
        assert_eq!(expand("ret"), ["ret"]);
        assert_eq!(expand("a{.x|}.{b|c}"), ["a.x.b", "a.x.c", "a.b", "a.c"]);
    }

    #[test]
    fn test_opcodes__the_index_is_that_of_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/OPCODES.md");
        if std::env::var_os("FOUNDRY_BLESS").is_some() {
            std::fs::write(path, index()).unwrap();
        }
        let checked_in = std::fs::read_to_string(path).unwrap();
        assert_eq!(checked_in, index(), "FOUNDRY_BLESS=1 cargo test -p foundry-ptx-emu --lib");
    }
}
