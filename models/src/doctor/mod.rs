//! What this machine offers, tried out rather than believed: each finding says what was found and, where something is
//! amiss, how to mend it.

mod config;

pub use config::examine_config;

use crate::config::memory::{self, bytes};
use crate::machine::available_memory;
use crate::storage::Disk;
use crate::train::lock::{LockError, RunLock};
use foundry_engine::isa::Isa;
use foundry_engine::{Description, Device};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// How good a finding is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Foundry works, with less than it could have.
    Note,
    /// Training would fail.
    Problem,
}

/// Something that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub what: String,
    /// How good it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// How to mend it; empty where nothing is amiss.
    pub mend: String,
}

impl Finding {
    fn ok(what: &str, found: impl Into<String>) -> Self {
        Self {
            what: what.to_owned(),
            verdict: Verdict::Ok,
            found: found.into(),
            mend: String::new(),
        }
    }

    fn note(what: &str, found: impl Into<String>, mend: &str) -> Self {
        Self {
            what: what.to_owned(),
            verdict: Verdict::Note,
            found: found.into(),
            mend: mend.to_owned(),
        }
    }

    fn problem(what: &str, found: impl Into<String>, mend: &str) -> Self {
        Self {
            what: what.to_owned(),
            verdict: Verdict::Problem,
            found: found.into(),
            mend: mend.to_owned(),
        }
    }
}

/// Memory below which even small models are cramped, in bytes.
const LITTLE_MEMORY: u64 = 1 << 30;
/// Disk space below which a few checkpoints of a small model do not fit, in bytes.
const LITTLE_DISK: u64 = 1 << 30;

/// Looks at the machine, and at the disk that `folder` (where runs are to be written) is on. What it writes there it
/// removes.
#[must_use]
pub fn examine(folder: &Path, cache: &Path) -> Vec<Finding> {
    let mut findings = vec![threads(), instruction_set(), memory()];
    findings.extend(disk(folder));
    findings.push(cache_folder(folder, cache));
    match gpus() {
        Some(gpus) => findings.extend([gpus, products()]),
        None => findings.push(cuda(&library_folders(), Path::new("/dev"))),
    }
    findings
}

fn threads() -> Finding {
    match std::thread::available_parallelism() {
        Ok(n) => Finding::ok("threads", format!("{n} (the cores this process may use)")),
        Err(e) => Finding::note("threads", format!("not known: {e}"), "give --threads N"),
    }
}

fn instruction_set() -> Finding {
    let name = Isa::current().name();
    match std::env::var("FOUNDRY_ISA") {
        Ok(wanted) => Finding::note(
            "instruction set",
            format!("{name} (FOUNDRY_ISA={wanted})"),
            "unset FOUNDRY_ISA for the fastest that this machine has",
        ),
        Err(_) => Finding::ok("instruction set", name),
    }
}

fn memory() -> Finding {
    let (Some(all), Some(free)) = (memory::machine_memory(), available_memory()) else {
        return Finding::note(
            "memory",
            "this system does not say how much there is",
            "foundry explain CONFIG --data says how much a run needs; compare it yourself",
        );
    };
    let found = format!("{} available of {}", bytes(free.into()), bytes(all.into()));
    if free < LITTLE_MEMORY {
        return Finding::note("memory", found, "end other programs, or choose a small model");
    }
    Finding::ok("memory", found)
}

/// Free space, durable writing and locks, in a folder that is made for it.
fn disk(folder: &Path) -> Vec<Finding> {
    let shown = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let disk = Disk::real();
    let mut findings = Vec::new();
    findings.push(match disk.free_space(folder) {
        Ok(free) if free < LITTLE_DISK => Finding::note(
            "free disk",
            format!("{} at {}", bytes(free.into()), shown.display()),
            "make room, or give --dir (and training.output_dir) another disk",
        ),
        Ok(free) => {
            Finding::ok("free disk", format!("{} at {}", bytes(free.into()), shown.display()))
        }
        Err(e) => Finding::note("free disk", e.to_string(), "give --dir another folder"),
    });
    let trial = folder.join(format!(".foundry-doctor-{}", std::process::id()));
    match disk.create_folder(&trial) {
        Err(e) => {
            let mend = "give --dir (and training.output_dir) a folder that you may write to";
            findings.push(Finding::problem("writing", e.to_string(), mend));
        }
        Ok(()) => {
            findings.push(durable_writing(&disk, &trial));
            findings.push(locks(&trial));
            // What is left behind is named like what it is, and does no harm.
            let _ = std::fs::remove_dir_all(&trial);
        }
    }
    findings
}

fn durable_writing(disk: &Disk, trial: &Path) -> Finding {
    let file = trial.join("checkpoint");
    let write = |text: &[u8]| disk.replace_file(&file, "doctor", text);
    let written =
        write(b"old").and_then(|()| write(b"new")).and_then(|()| disk.read(&file, 1 << 10));
    match written {
        Ok(read) if read == b"new" => {
            Finding::ok("writing", "files are replaced in one step and synced to the medium")
        }
        Ok(_) => Finding::problem(
            "writing",
            "a file that was replaced still reads as it was",
            "this disk cannot keep checkpoints; use another",
        ),
        Err(e) => Finding::problem("writing", e.to_string(), "use another disk"),
    }
}

fn locks(trial: &Path) -> Finding {
    let without = || {
        Finding::note(
            "locks",
            "this disk has no locks: nothing keeps two runs out of one folder",
            "start no second run in a folder, or use a local disk",
        )
    };
    match RunLock::acquire(trial) {
        Err(e) => Finding::problem("locks", e.to_string(), "use another disk"),
        Ok(first) if !first.is_enforced() => without(),
        Ok(_first) => match RunLock::acquire(trial) {
            Err(LockError::Held { .. }) => Finding::ok("locks", "a second run is kept out"),
            Ok(_) => without(),
            Err(e) => Finding::problem("locks", e.to_string(), "use another disk"),
        },
    }
}

fn cache_folder(folder: &Path, cache: &Path) -> Finding {
    let path = folder.join(cache);
    let datasets = std::fs::read_dir(&path).map(|entries| entries.flatten().count());
    let shown = std::path::absolute(&path).unwrap_or(path);
    Finding::ok(
        "cache",
        match datasets {
            Ok(n) => format!("{} with {n} entries", shown.display()),
            Err(_) => format!("{}, which is made when a corpus is prepared", shown.display()),
        },
    )
}

/// Where the library of the CUDA driver is looked for.
fn library_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::var_os("LD_LIBRARY_PATH")
        .map(|paths| std::env::split_paths(&paths).collect())
        .unwrap_or_default();
    folders.extend(
        [
            "/usr/lib/x86_64-linux-gnu",
            "/usr/lib/aarch64-linux-gnu",
            "/usr/lib64",
            "/usr/lib",
            "/usr/lib/wsl/lib",
            "/run/opengl-driver/lib",
        ]
        .map(PathBuf::from),
    );
    if let Some(windows) = std::env::var_os("SystemRoot") {
        folders.push(Path::new(&windows).join("System32"));
    }
    folders
}

/// The GPUs, when the driver answers and has some.
fn gpus() -> Option<Finding> {
    let gpus = Device::cuda_status().ok().filter(|gpus| !gpus.is_empty())?;
    let name = |(i, gpu): (usize, &Description)| {
        let (major, minor) = gpu.capability;
        format!("cuda:{i} is {} (sm_{major}{minor}, {} MiB)", gpu.name, gpu.memory >> 20)
    };
    let found: Vec<_> = gpus.iter().enumerate().map(name).collect();
    Some(Finding::ok("CUDA driver", found.join("; ")))
}

/// Who multiplies matrices on the GPUs, and why.
fn products() -> Finding {
    let what = "products on GPUs";
    match Device::cuda_multiplier() {
        Ok(multiplier) => Finding::ok(what, multiplier.explain()),
        Err(e) => {
            let error = e.to_string();
            let (found, mend) = error.split_once("\n  mend: ").unwrap_or((&error, ""));
            Finding::problem(what, found, mend)
        }
    }
}

/// Why there is none: looks for files, loads nothing.
fn cuda(libraries: &[PathBuf], devices: &Path) -> Finding {
    let names = ["libcuda.so.1", "nvcuda.dll"];
    let library =
        libraries.iter().flat_map(|f| names.map(|n| f.join(n))).find(|path| path.is_file());
    let is_device = |name: &str| {
        name.strip_prefix("nvidia")
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let devices = std::fs::read_dir(devices).map_or(0, |entries| {
        entries.flatten().filter(|e| e.file_name().to_str().is_some_and(is_device)).count()
    });
    match (library, devices) {
        (Some(path), 1..) => Finding::ok(
            "CUDA driver",
            format!("{}, and device files of {devices} GPUs", path.display()),
        ),
        (Some(path), 0) => Finding::note(
            "CUDA driver",
            format!("{}, but no device file of a GPU", path.display()),
            "in a container, pass the GPUs through; without one, device: cpu",
        ),
        (None, 1..) => Finding::note(
            "CUDA driver",
            format!("device files of {devices} GPUs, but no library of the driver (libcuda.so.1)"),
            "install the driver's user-space library, or name its folder in LD_LIBRARY_PATH",
        ),
        (None, 0) => Finding::ok("CUDA driver", "none: device auto is the CPU"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_doctor__a_usual_folder_is_well_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let findings = examine(folder.path(), Path::new(".foundry/cache"));
        let verdict = |what| findings.iter().find(|f| f.what == what).unwrap().verdict;
        assert_eq!(verdict("writing"), Verdict::Ok);
        assert_eq!(verdict("locks"), Verdict::Ok);
        assert!(findings.iter().all(|f| (f.verdict == Verdict::Ok) == f.mend.is_empty()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn test_doctor__a_folder_that_cannot_be_written_is_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let findings = examine(&file, Path::new("cache"));
        let writing = findings.iter().find(|f| f.what == "writing").unwrap();
        assert_eq!(writing.verdict, Verdict::Problem);
        assert!(writing.mend.contains("--dir"), "{writing:?}");
    }

    #[test]
    fn test_doctor__the_driver_and_its_devices_are_both_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let (lib, dev) = (folder.path().join("lib"), folder.path().join("dev"));
        std::fs::create_dir(&lib).unwrap();
        std::fs::create_dir(&dev).unwrap();
        let look = || cuda(std::slice::from_ref(&lib), &dev);
        assert_eq!((look().verdict, look().found.contains("none")), (Verdict::Ok, true));
        for name in ["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"] {
            std::fs::write(dev.join(name), "").unwrap();
        }
        assert_eq!(look().verdict, Verdict::Note);
        assert!(look().found.contains("2 GPUs"), "{:?}", look());
        std::fs::write(lib.join("libcuda.so.1"), "").unwrap();
        assert_eq!(look().verdict, Verdict::Ok);
        std::fs::remove_dir_all(&dev).unwrap();
        assert_eq!(look().verdict, Verdict::Note);
    }
}
