//! A device for tests: runs calls on the emulator, and compares.

use foundry_kernels::cuda::launch::{Argument, Call, Pointer};
use foundry_kernels::cuda::registry::Source;
use foundry_kernels::cuda::tensor_cores::Half;
use foundry_kernels::philox::{open_unit_f64, philox};
use foundry_ptx_emu::{Counters, Launch, Memory, Module, Options, Params, launch};
use half::{bf16, f16};
use std::collections::HashMap;

/// What a check returns: the first thing that was wrong.
pub(crate) type Outcome = Result<(), String>;

/// A device with one program text, or a mutant of it.
pub(crate) struct Gpu {
    memory: Memory,
    options: Options,
    modules: HashMap<&'static str, Module>,
    /// What all launches did.
    pub(crate) counters: Counters,
}

impl Gpu {
    fn new(options: Options) -> Self {
        let counters = Counters::default();
        Self { memory: Memory::default(), options, modules: HashMap::new(), counters }
    }

    pub(crate) fn upload(&mut self, x: &[f32]) -> Pointer {
        Pointer(self.memory.upload_f32(x).unwrap().0)
    }

    /// Uploads numbers rounded to single precision.
    pub(crate) fn upload_wide(&mut self, x: &[f64]) -> Pointer {
        self.upload(&narrow(x))
    }

    /// Uploads numbers of 16 bits, which they must be.
    pub(crate) fn upload_half(&mut self, half: Half, x: &[f64]) -> Pointer {
        let bits = |x: &f64| {
            assert_eq!(*x, rounded(half, *x), "is no {half:?}");
            match half {
                Half::Bf16 => bf16::from_f32(*x as f32).to_le_bytes(),
                Half::F16 => f16::from_f32(*x as f32).to_le_bytes(),
            }
        };
        let bytes: Vec<u8> = x.iter().flat_map(bits).collect();
        let at = self.memory.alloc(bytes.len() as u64).unwrap();
        self.memory.write(at, &bytes).unwrap();
        Pointer(at.0)
    }

    /// Memory for so many numbers of 16 bits.
    pub(crate) fn fresh_halves(&mut self, halves: usize) -> Pointer {
        Pointer(self.memory.alloc(2 * halves as u64).unwrap().0)
    }

    /// n numbers of 16 bits, all of which must have been written.
    pub(crate) fn read_half(
        &mut self,
        half: Half,
        at: Pointer,
        n: usize,
    ) -> Result<Vec<f32>, String> {
        let at = foundry_ptx_emu::Pointer(at.0);
        if self.memory.written(at, 2 * n as u64).unwrap().contains(&false) {
            return Err(format!("a {half:?} was not written"));
        }
        let mut bytes = vec![0; 2 * n];
        self.memory.read(at, &mut bytes).unwrap();
        let (halves, _) = bytes.as_chunks::<2>();
        let number = |h: &[u8; 2]| match half {
            Half::Bf16 => bf16::from_le_bytes(*h).to_f32(),
            Half::F16 => f16::from_le_bytes(*h).to_f32(),
        };
        Ok(halves.iter().map(number).collect())
    }

    pub(crate) fn upload_u32(&mut self, x: &[u32]) -> Pointer {
        Pointer(self.memory.upload_u32(x).unwrap().0)
    }

    /// Memory that nobody has written.
    pub(crate) fn fresh(&mut self, words: usize) -> Pointer {
        Pointer(self.memory.alloc(4 * words as u64).unwrap().0)
    }

    pub(crate) fn run(&mut self, call: &Call) -> Outcome {
        if call.is_empty() {
            return Ok(());
        }
        let Source { file, text } = call.source;
        if !self.modules.contains_key(file) {
            let module = Module::parse(text).map_err(|e| format!("{file}: {e}"))?;
            self.modules.insert(file, module);
        }
        let kernel = self.modules[file].kernel(call.entry);
        let kernel = kernel.ok_or(format!("{file} has no {}", call.entry))?;
        let params = call.arguments.iter().fold(Params::new(), |params, a| match *a {
            Argument::Pointer(p) => params.pointer(foundry_ptx_emu::Pointer(p.0)),
            Argument::U32(x) => params.u32(x),
            Argument::F32(x) => params.f32(x),
            Argument::F64(x) => params.bytes(&x.to_le_bytes()),
        });
        let shape = Launch { grid: call.grid, block: [call.threads, 1, 1], dynamic_shared: 0 };
        let counters = launch(&mut self.memory, kernel, &shape, &params, &self.options);
        self.counters.add(&counters.map_err(|fault| fault.to_string())?);
        Ok(())
    }

    /// n numbers, all of which must have been written.
    pub(crate) fn read(&mut self, at: Pointer, n: usize) -> Result<Vec<f32>, String> {
        self.read_u32(at, n).map(|words| words.into_iter().map(f32::from_bits).collect())
    }

    pub(crate) fn read_u32(&mut self, at: Pointer, n: usize) -> Result<Vec<u32>, String> {
        let at = foundry_ptx_emu::Pointer(at.0);
        let written = self.memory.written(at, 4 * n as u64).unwrap();
        if let Some(byte) = written.iter().position(|w| !w) {
            return Err(format!("element {} of {n} was not written", byte / 4));
        }
        Ok(self.memory.download_u32(at, n).unwrap())
    }

    /// Reads as many numbers as are expected and compares: the largest error over the largest number (or 1).
    pub(crate) fn expect(
        &mut self,
        what: &str,
        at: Pointer,
        expected: &[f64],
        most: f64,
    ) -> Outcome {
        let actual = self.read(at, expected.len()).map_err(|e| format!("{what}: {e}"))?;
        let error = error(&actual, expected);
        if error <= most {
            Ok(())
        } else {
            Err(format!("{what}: error {error:e}, at most {most:e}"))
        }
    }
}

/// max |a - b| / max(max |b|, 1); infinite where one is no number and the other is.
pub(crate) fn error(a: &[f32], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let finite = b.iter().filter(|b| b.is_finite());
    let largest = finite.fold(1.0_f64, |m, b| m.max(b.abs()));
    let difference = |(a, b): (&f32, &f64)| match (f64::from(*a) - b).abs() {
        _ if a.is_nan() && b.is_nan() || f64::from(*a) == *b => 0.0,
        e if e.is_nan() => f64::INFINITY,
        e => e,
    };
    a.iter().zip(b).map(difference).fold(0.0, f64::max) / largest
}

/// n numbers in (-2, 2), the same ones for the same seed, representable in single precision.
pub(crate) fn random(n: usize, seed: u32) -> Vec<f64> {
    let number = |i| {
        let [hi, lo, ..] = philox([seed, 0], [i, 0, 0, 0]);
        f64::from((4.0 * open_unit_f64(hi, lo) - 2.0) as f32)
    };
    (0..n as u32).map(number).collect()
}

/// [`random`], rounded to 16 bits.
pub(crate) fn random_half(half: Half, n: usize, seed: u32) -> Vec<f64> {
    random(n, seed).into_iter().map(|x| rounded(half, x)).collect()
}

/// The number of 16 bits nearest to x, a number of single precision.
pub(crate) fn rounded(half: Half, x: f64) -> f64 {
    match half {
        Half::Bf16 => bf16::from_f32(x as f32).to_f64(),
        Half::F16 => f16::from_f32(x as f32).to_f64(),
    }
}

pub(crate) fn narrow(x: &[f64]) -> Vec<f32> {
    x.iter().map(|x| *x as f32).collect()
}

/// Runs a check in the natural order and under three adversarial ones; the counts of the natural one.
pub(crate) fn prove(check: impl Fn(&mut Gpu) -> Outcome) -> Counters {
    let mut gpu = Gpu::new(Options::default());
    check(&mut gpu).unwrap_or_else(|e| panic!("{e}"));
    for seed in 1..=3 {
        let mut gpu = Gpu::new(Options::adversarial(seed));
        check(&mut gpu).unwrap_or_else(|e| panic!("adversarial {seed}: {e}"));
    }
    gpu.counters
}

/// The changes to a text after which it must fail: without a barrier, a wait or the end of a group of copies, without a
/// guarded instruction (the masks), and with an asynchronous copy that reads all its bytes, wherever they lie.
fn removable(text: &str) -> impl Iterator<Item = (usize, String)> {
    let essential = |line: &str| {
        let words = ["bar.sync", "@", "cp.async.wait_group", "cp.async.commit_group"];
        words.iter().any(|w| line.starts_with(w))
    };
    text.lines().enumerate().filter_map(move |(at, line)| {
        let line = line.trim();
        if line.starts_with("cp.async.cg.shared.global") {
            let (all, _) = line.rsplit_once(',')?;
            return Some((at, format!("{all};")));
        }
        essential(line).then(|| (at, String::new()))
    })
}

/// Makes each of these changes in turn: the check must fail.
///
/// `survivors` are lines (trimmed, or what they contain, and `*`) whose loss changes nothing, each with the reason.
pub(crate) fn mutants(
    source: &'static Source,
    survivors: &[(&str, &str)],
    check: fn(&mut Gpu) -> Outcome,
) {
    mutants_of(source, None, survivors, check);
}

/// The text without all entries but one; the lines stay where they are.
fn only(text: &str, entry: &str) -> String {
    let (mut inside, mut seen) = (true, false);
    let keep = |line: &str| {
        if let Some(rest) = line.strip_prefix(".visible .entry ") {
            inside = rest.split('(').next() == Some(entry);
            seen |= inside;
        }
        if inside { line.to_owned() } else { String::new() }
    };
    let lines: Vec<String> = text.lines().map(keep).collect();
    assert!(seen, "no {entry}");
    lines.join("\n")
}

/// [`mutants`] of one entry, if it is named, whose check launches no other.
pub(crate) fn mutants_of(
    source: &'static Source,
    entry: Option<&str>,
    survivors: &[(&str, &str)],
    check: impl Fn(&mut Gpu) -> Outcome,
) {
    let mut whole = Gpu::new(Options::default());
    assert_eq!(check(&mut whole), Ok(()), "with all its lines");
    let max_steps = 2 * whole.counters.instructions.iter().sum::<u64>() + 100_000;
    let text = entry.map_or(source.text.to_owned(), |entry| only(source.text, entry));
    let lines: Vec<&str> = text.lines().collect();
    let mut alive = vec![];
    let mut tried = 0;
    for (at, instead) in removable(&text) {
        let mut mutant = lines.clone();
        mutant[at] = &instead;
        let mut gpu = Gpu::new(Options { max_steps, ..Options::default() });
        let module = Module::parse(&mutant.join("\n")).expect("one instruction less");
        gpu.modules.insert(source.file, module);
        tried += 1;
        let line = lines[at].split("//").next().unwrap().split_whitespace();
        let line = line.collect::<Vec<_>>().join(" ");
        let is = |known: &str| match known.strip_suffix('*') {
            Some(stem) => line.contains(stem),
            None => known == line,
        };
        let explained = survivors.iter().any(|(known, _)| is(known));
        if check(&mut gpu).is_ok() && !explained {
            alive.push(format!("{}:{}: {line}", source.file, at + 1));
        }
    }
    assert!(tried > 0, "{}: nothing to leave out", source.file);
    assert!(alive.is_empty(), "no test needs these lines:\n{}", alive.join("\n"));
}
