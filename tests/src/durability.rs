//! Checkpoints under kill -9, power cuts, bit flips and failing disks, at any size: `cargo test` runs these small, `soak` in full.

use foundry_models::storage::Disk;
use foundry_models::storage::simulated::{Fault, SimulatedStorage};
use foundry_models::tensors::HostTensor;
use foundry_models::train::checkpoint::{Checkpoint, STATE_FILE};
use foundry_models::train::checkpoint::{
    CheckpointError, CheckpointFile, CheckpointStore, MODEL_FILE, OPTIMIZER_FILE, Retention,
    TrainerState, find_resumable, folder_name,
};
use foundry_models::train::manifest::CheckpointKind::{self, Rolling, Scheduled};
use foundry_models::train::manifest::{MANIFEST_FILE, RunId};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const KEEP: Retention = Retention { resume_state_last_n: 2 };

/// Numbers for drawing cases: SplitMix64.
pub struct Dice(pub u64);

impl Dice {
    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

fn run_id() -> RunId {
    RunId::from_fingerprint("durability")
}

fn state(step: u64) -> TrainerState {
    TrainerState { global_step: step, ..TrainerState::new("config", "data", "tokenizer", "isa") }
}

fn weights(step: u64, n: usize) -> Vec<f32> {
    (0..n).map(|i| (step as f32) + (i as f32) / (n as f32)).collect()
}

/// Saves the checkpoint of `step` with `n` weights, and rotates.
///
/// # Errors
/// As saving and rotating.
pub fn save(
    disk: &Disk,
    root: &Path,
    step: u64,
    kind: CheckpointKind,
    n: usize,
) -> Result<(), CheckpointError> {
    let (store, _) = CheckpointStore::open(disk, root, &run_id())?;
    let weights = weights(step, n);
    let tensors = || vec![HostTensor::f32("w", &[n], &weights)];
    store.save(
        step,
        kind,
        vec![
            CheckpointFile::tensors(MODEL_FILE, tensors(), BTreeMap::new()),
            CheckpointFile::bytes("config.json", &b"{}\n"[..]),
            CheckpointFile::tensors(OPTIMIZER_FILE, tensors(), BTreeMap::new()).for_resume(),
            CheckpointFile::state(&state(step)),
        ],
    )?;
    store.rotate(step, KEEP).map(|_| ())
}

/// The step of the newest resumable checkpoint, whose content is checked.
///
/// # Panics
/// If nothing loads, or what loads is not what was saved.
#[must_use]
pub fn newest(disk: &Disk, root: &Path, n: usize) -> Option<u64> {
    let found = find_resumable(disk, root, &run_id()).expect("one checkpoint is whole")?;
    assert_content(&found.checkpoint, n);
    assert_eq!(found.checkpoint.state().expect("verified"), state(found.checkpoint.global_step()));
    Some(found.checkpoint.global_step())
}

fn assert_content(checkpoint: &Checkpoint, n: usize) {
    let mut tensors = checkpoint.tensors(MODEL_FILE).expect("verified");
    assert_eq!(tensors.take_f32("w", &[n]).expect("there"), weights(checkpoint.global_step(), n));
}

fn simulated() -> (SimulatedStorage, Disk, &'static Path) {
    let storage = SimulatedStorage::new();
    let disk = Disk::new(storage.clone());
    let root = Path::new("/run");
    disk.create_folders(root).expect("an empty disk");
    (storage, disk, root)
}

/// B3: states of the disk after a power cut at a random call of a random save.
///
/// # Panics
/// If one of them has neither the old nor the new checkpoint.
#[must_use]
pub fn power_cuts(states: u64) -> String {
    let mut dice = Dice(3);
    let mut recovered = 0;
    for _ in 0..states / 20 {
        let (storage, disk, root) = simulated();
        for step in 1..4 {
            save(&disk, root, step, if step == 3 { Rolling } else { Scheduled }, 50)
                .expect("no fault yet");
        }
        storage.fail_call(dice.below(110), Fault::PowerLoss);
        let done = save(&disk, root, 4, Scheduled, 50).is_ok();
        for _ in 0..20 {
            let after = Disk::new(storage.power_loss(dice.below(u64::MAX)));
            let step = newest(&after, root, 50).expect("never lost");
            assert!(step == 4 || (step == 3 && !done), "{step}");
            for scheduled in [1, 2] {
                let path = root.join(folder_name(scheduled));
                assert_content(&Checkpoint::open(&after, &path).expect("kept"), 50);
            }
            save(&after, root, 4, Scheduled, 50).expect("the power is back");
            assert_eq!(newest(&after, root, 50), Some(4));
            recovered += 1;
        }
    }
    format!("{recovered} crash states, 0 without a whole checkpoint")
}

/// B4: flipped bits, cuts and deletions in the newest checkpoint.
///
/// # Panics
/// If one goes unseen.
#[must_use]
pub fn damage(flips: u64, cuts: u64) -> String {
    let (storage, disk, root) = simulated();
    save(&disk, root, 1, Scheduled, 500).expect("no fault is planned");
    save(&disk, root, 2, Scheduled, 500).expect("no fault is planned");
    let names = [MODEL_FILE, OPTIMIZER_FILE, STATE_FILE, MANIFEST_FILE, "config.json"];
    let mut dice = Dice(4);
    let mut draw = || {
        let path =
            root.join("checkpoint-2").join(names[usize::try_from(dice.below(5)).expect("small")]);
        let length = disk.read(&path, 1 << 20).expect("there").len();
        let at = usize::try_from(dice.below(length as u64)).expect("small");
        (path, at, dice.below(8))
    };
    for _ in 0..flips {
        let (path, at, bit) = draw();
        let copy = storage.snapshot();
        copy.tamper(&path, |content| content[at] ^= 1 << bit);
        assert_eq!(
            newest(&Disk::new(copy), root, 500),
            Some(1),
            "bit {bit} of byte {at} of {}",
            path.display()
        );
    }
    for _ in 0..cuts {
        let (path, at, _) = draw();
        let copy = storage.snapshot();
        copy.tamper(&path, |content| content.truncate(at));
        assert_eq!(newest(&Disk::new(copy), root, 500), Some(1), "{} cut at {at}", path.display());
    }
    for name in names {
        let copy = Disk::new(storage.snapshot());
        copy.remove_file(&root.join("checkpoint-2").join(name)).expect("there");
        assert_eq!(newest(&copy, root, 500), Some(1), "{name} removed");
    }
    format!("{flips} flipped bits, {cuts} cuts, {} deletions: all seen", names.len())
}

/// B2: every call of a save failed in turn, in each way.
///
/// # Panics
/// If the old checkpoint is lost or the failure is not reported.
#[must_use]
pub fn failing_calls() -> String {
    let mut swept = 0;
    for fault in [Fault::Full, Fault::Medium, Fault::Interrupted, Fault::Short] {
        for n in 0.. {
            let (storage, disk, root) = simulated();
            save(&disk, root, 1, Scheduled, 300_000).expect("no fault yet");
            storage.fail_call(n, fault);
            let outcome = save(&disk, root, 2, Scheduled, 300_000);
            let fired = storage.clear_fault();
            let step = newest(&disk, root, 300_000).expect("never lost");
            assert!(step == 2 || outcome.is_err());
            if matches!(fault, Fault::Interrupted | Fault::Short) {
                outcome.expect("such faults are mended");
            }
            swept += 1;
            if !fired {
                break;
            }
        }
    }
    format!("{swept} failing calls, 0 panics, 0 lost checkpoints")
}

/// B5: random lives of a run: saves, rotations, faults, power cuts, resumptions.
///
/// # Panics
/// If a promised checkpoint is lost.
#[must_use]
pub fn random_lives(lives: u64) -> String {
    let mut dice = Dice(5);
    let mut saves = 0;
    for _ in 0..lives {
        let (mut storage, mut disk, root) = simulated();
        let (mut promised, mut step) = (None, 0u64);
        for _ in 0..8 {
            let fault = match dice.below(5) {
                0 => Some(Fault::PowerLoss),
                1 => Some(Fault::Medium),
                2 => Some(Fault::Full),
                _ => None,
            };
            if let Some(fault) = fault {
                storage.fail_call(dice.below(90), fault);
            }
            let kind = if step.is_multiple_of(3) { Scheduled } else { Rolling };
            if save(&disk, root, step, kind, 20).is_ok() {
                promised = Some(step);
            }
            saves += 1;
            storage.clear_fault();
            if fault == Some(Fault::PowerLoss) || dice.below(4) == 0 {
                storage = storage.power_loss(dice.below(u64::MAX));
                disk = Disk::new(storage.clone());
                step = newest(&disk, root, 20).unwrap_or(0);
            }
            assert!(newest(&disk, root, 20) >= promised, "checkpoint {promised:?} is lost");
            step += 1 + dice.below(2);
        }
    }
    format!("{lives} lives, {saves} saves, 0 promised checkpoints lost")
}

/// What a process does that fails at some system call: goes on from the newest checkpoint, saves the next, and says which.
///
/// # Errors
/// As finding, saving and rotating.
pub fn save_once(root: &Path) -> Result<u64, CheckpointError> {
    let disk = Disk::real();
    let found = find_resumable(&disk, root, &run_id())?;
    let step = found.map_or(0, |found| found.checkpoint.global_step() + 1);
    save(&disk, root, step, if step.is_multiple_of(5) { Scheduled } else { Rolling }, 20_000)?;
    Ok(step)
}

/// B1 and B2 on a real disk: every system call of `soak save-once` killed, and failed, in turn (by strace, if it is there).
///
/// # Panics
/// If a checkpoint is lost, or the program panics.
#[must_use]
pub fn system_calls(soak: &Path) -> String {
    const CALLS: [&str; 10] = [
        "openat",
        "read",
        "write",
        "fsync",
        "rename",
        "mkdir",
        "unlink",
        "rmdir",
        "statx",
        "getdents64",
    ];
    if Command::new("strace").arg("-V").output().is_err() {
        return "skipped: strace not there".to_owned();
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    save_once(folder.path()).expect("no fault yet");
    let (mut step, mut injected) = (Some(0), 0);
    for fault in ["signal=KILL", "error=ENOSPC", "error=EIO", "error=EINTR"] {
        for call in CALLS {
            for n in 1..1000 {
                let output = Command::new("strace")
                    .args([
                        "-qq",
                        "-o",
                        "/dev/null",
                        "-e",
                        &format!("inject={call}:{fault}:when={n}"),
                    ])
                    .arg(soak)
                    .arg("save-once")
                    .arg(folder.path())
                    .output()
                    .expect("strace can be started");
                let after = newest(&Disk::real(), folder.path(), 20_000);
                assert!(after >= step, "{call} {n} {fault}: checkpoint {step:?} is lost");
                assert_ne!(output.status.code(), Some(101), "{call} {n} {fault}: a panic");
                // An unreadable newest checkpoint may be passed over, but what is reported as saved is there.
                let said = String::from_utf8_lossy(&output.stdout).trim().parse().ok();
                assert!(after >= said, "{call} {n} {fault}: checkpoint {said:?} is lost");
                assert!(!output.status.success() || said.is_some(), "{call} {n} {fault}: silence");
                step = after;
                if output.status.success() && fault != "error=EINTR" || n > 60 {
                    break;
                }
                injected += 1;
            }
        }
    }
    format!("{injected} system calls killed or failed, 0 panics, 0 lost checkpoints")
}

/// What a process does that is to be killed: saves one checkpoint after the other, and says so.
///
/// # Panics
/// If the folder cannot be written.
pub fn save_forever(root: &Path) {
    let disk = Disk::real();
    let mut step = newest(&disk, root, 20_000).map_or(0, |step| step + 1);
    let mut out = std::io::stdout();
    loop {
        let kind = if step.is_multiple_of(5) { Scheduled } else { Rolling };
        save(&disk, root, step, kind, 20_000).expect("room enough");
        writeln!(out, "{step}").and_then(|()| out.flush()).expect("somebody listens");
        step += 1;
    }
}

/// B1: `soak save-forever` killed with SIGKILL at random times, each time going on where it was.
///
/// # Panics
/// If a checkpoint that was reported as saved is lost.
#[must_use]
pub fn kills(soak: &Path, kills: u64) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut dice = Dice(1);
    let mut last = None;
    for _ in 0..kills {
        let mut child = Command::new(soak)
            .arg("save-forever")
            .arg(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let mut said = BufReader::new(child.stdout.take().expect("piped")).lines();
        // At least one checkpoint each; then at any moment of the next ones.
        let first = said.next();
        std::thread::sleep(Duration::from_millis(dice.below(100)));
        child.kill().expect("it never ends by itself");
        let reported = first.into_iter().chain(said).map_while(Result::ok);
        last = last.max(reported.filter_map(|line| line.parse::<u64>().ok()).last());
        child.wait().expect("it was killed");
        assert!(
            newest(&Disk::real(), folder.path(), 20_000) >= last,
            "checkpoint {last:?} is lost"
        );
    }
    let saved = last.map_or(0, |step| step + 1);
    assert!(saved > 0, "not one checkpoint was saved between the kills");
    format!("{kills} kills over {saved} checkpoints, 0 lost")
}
