//! The `foundry` command as a user calls it, in a folder of its own.
//!
//! Every call is watched: it must end within [`PATIENCE`] with a documented exit code, and may not panic.

use crate::workspace;
use assert_cmd::Command;
use serde_json::Value;
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A call that takes longer hangs.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Up to here a call is looked at closely.
const SHORT: Duration = Duration::from_millis(200);

/// The exit codes that the command documents (130 is the second Ctrl-C).
pub const EXIT_CODES: [i32; 8] = [0, 1, 2, 3, 4, 5, 75, 130];

/// Where cargo put the command: beside the tests, or beside the program that asks.
///
/// # Panics
/// If it was not built (`cargo build -p foundry-tests`).
#[must_use]
pub fn binary() -> PathBuf {
    let this = std::env::current_exe().expect("the path of this program");
    let mut folder = this.parent().expect("a folder").to_owned();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let path = folder.join(format!("foundry-under-test{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "{} is not there: cargo build -p foundry-tests", path.display());
    path
}

/// Where cargo put the stand-in for libcuda: among what the tests were built from.
///
/// # Panics
/// If it was not built.
#[must_use]
pub fn standin() -> PathBuf {
    let name = format!("{DLL_PREFIX}foundry_cuda_standin{DLL_SUFFIX}");
    let path = binary().with_file_name("deps").join(name);
    assert!(path.exists(), "{} is not there: cargo build -p foundry-tests", path.display());
    path
}

/// What a call left behind.
#[derive(Debug)]
pub struct Ran {
    /// The arguments, for messages.
    pub call: String,
    /// The exit code.
    pub code: i32,
    /// Data.
    pub stdout: String,
    /// Words for people.
    pub stderr: String,
}

impl Ran {
    /// Expects success.
    ///
    /// # Panics
    /// If it failed.
    #[must_use]
    pub fn ok(self) -> Self {
        self.ended(0)
    }

    /// Expects an exit code.
    ///
    /// # Panics
    /// If it is another.
    #[must_use]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Expects words on standard error.
    ///
    /// # Panics
    /// If one is missing.
    #[must_use]
    pub fn says(self, words: &[&str]) -> Self {
        for words in words {
            assert!(self.stderr.contains(words), "not said: {words}\n{self:#?}");
        }
        self
    }

    /// Standard output as JSON.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}\n{self:#?}"))
    }
}

/// A temporary folder to call the command in.
pub struct Workplace {
    folder: TempDir,
}

impl Default for Workplace {
    fn default() -> Self {
        Self::new()
    }
}

impl Workplace {
    /// With `tiny.yaml` (a GPT-2 of 7,312 numbers, 4 updates), its corpus `corpus.txt`, and `english.grammar`.
    ///
    /// # Panics
    /// If the disk refuses.
    #[must_use]
    pub fn new() -> Self {
        let place = Self::empty();
        place.write("tiny.yaml", TINY.as_bytes());
        place.write("corpus.txt", corpus().as_bytes());
        let grammar = workspace().join("configs/grammars/english.grammar");
        std::fs::copy(&grammar, place.path("english.grammar")).expect("the grammar");
        place
    }

    /// With nothing in it.
    ///
    /// # Panics
    /// If the disk refuses.
    #[must_use]
    pub fn empty() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// A path in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file, and the folders above it.
    ///
    /// # Panics
    /// If the disk refuses.
    pub fn write(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        std::fs::write(path, content).expect("a file");
    }

    /// Reads a file.
    ///
    /// # Panics
    /// If it is not there.
    #[must_use]
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Every file below a folder, with its content: to see that nothing was lost.
    ///
    /// # Panics
    /// If one cannot be read.
    #[must_use]
    pub fn files(&self, name: &str) -> Vec<(PathBuf, Vec<u8>)> {
        fn walk(folder: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    walk(&path, found);
                } else {
                    let content = std::fs::read(&path).expect("a file");
                    found.push((path, content));
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.path(name), &mut found);
        found.sort();
        found
    }

    /// The command, in this folder, with an environment that does not depend on who tests.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.current_dir(self.folder()).env("HOME", self.folder()).timeout(PATIENCE);
        for variable in [
            "NO_COLOR",
            "CLICOLOR_FORCE",
            "RUST_BACKTRACE",
            "FOUNDRY_ISA",
            "FOUNDRY_CUDA_LIB",
            "FOUNDRY_GEMM",
        ] {
            command.env_remove(variable);
        }
        command
    }

    /// Calls `foundry` with the words of `call` (no quoting: none has a space).
    ///
    /// # Panics
    /// If it panics, hangs, or ends with a code that is not documented.
    #[must_use]
    pub fn foundry(&self, call: &str) -> Ran {
        self.foundry_args(call.split_whitespace())
    }

    /// Calls `foundry` with arguments.
    ///
    /// # Panics
    /// As [`Self::foundry`].
    #[must_use]
    pub fn foundry_args<S: AsRef<std::ffi::OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> Ran {
        let args: Vec<_> = args.into_iter().map(|s| s.as_ref().to_owned()).collect();
        let call =
            args.iter().map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
        watch(&call, self.command().args(&args))
    }

    /// A call with the most memory that it held in bytes, as far as can be seen by looking again and again, and the
    /// time that it took. What it writes to standard output is lost.
    ///
    /// # Panics
    /// If it panics, or the system does not say how much memory a process holds.
    #[must_use]
    pub fn measured(&self, call: &str) -> (Ran, u64, Duration) {
        // A process of a few milliseconds may be over before it could be looked at.
        let mut looks = (0..20).map(|_| self.measured_once(call));
        looks
            .find(|(_, peak, _)| *peak > 0)
            .expect("the system says how much memory a process holds")
    }

    fn measured_once(&self, call: &str) -> (Ran, u64, Duration) {
        let mut command = std::process::Command::new(binary());
        command.current_dir(self.folder()).args(call.split_whitespace());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let began = Instant::now();
        let mut child = command.spawn().expect("it can be started");
        let path = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        let (status, time) = loop {
            let status = std::fs::read_to_string(&path).unwrap_or_default();
            let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
            let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
            peak = kib.map_or(peak, |kib| peak.max(kib * 1024));
            if let Some(status) = child.try_wait().expect("a child") {
                break (status, began.elapsed());
            }
            std::thread::sleep(Duration::from_micros(if began.elapsed() < SHORT {
                100
            } else {
                3000
            }));
        };
        let mut stderr = String::new();
        let pipe = child.stderr.as_mut().expect("a pipe");
        pipe.read_to_string(&mut stderr).expect("words");
        assert!(!stderr.contains("panicked at"), "a panic: {call}\n{stderr}");
        let code = status.code().unwrap_or(-1);
        let ran = Ran { call: call.to_owned(), code, stdout: String::new(), stderr };
        (ran, peak, time)
    }
}

/// Runs a prepared command under the rules of every call.
///
/// # Panics
/// If it panics, hangs, or ends with a code that is not documented.
#[must_use]
pub fn watch(call: &str, command: &mut Command) -> Ran {
    let output = command.output().unwrap_or_else(|e| panic!("{call}: {e}"));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap_or_else(|e| panic!("{call}: {e}"));
    let ran = Ran {
        call: call.to_owned(),
        code: output.status.code().unwrap_or(-1),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    };
    assert!(!ran.stderr.contains("panicked at"), "a panic\n{ran:#?}");
    let status = output.status;
    assert!(EXIT_CODES.contains(&ran.code), "{status} is not documented\n{ran:#?}");
    ran
}

/// 400 lines with a little structure.
fn corpus() -> String {
    (1..=400)
        .map(|i| format!("the cat number {i} sat on mat {} and saw dog {}\n", i * 7 % 13, i % 5))
        .collect()
}

const TINY: &str = "\
experiment_name: tiny
random_seed: 1
data:
  training_corpus: corpus.txt
  validation_fraction: 0.1
  batch_size: 4
  max_sequence_length: 16
tokenizer:
  output_dir: runs/tiny/tokenizer
  tokenizer_type: bpe
  vocab_size: 300
model:
  architecture: gpt2
  transformer:
    layers: 1
    embedding_size: 16
    hidden_size: 16
    intermediate_hidden_size: 32
    attention_heads: 2
    dropout: 0.1
    attention_dropout: 0.1
training:
  output_dir: runs/tiny
  learning_rate: 1e-3
  train_steps: 4
";
