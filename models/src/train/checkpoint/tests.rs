use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;
use crate::storage::simulated::{Fault, SimulatedStorage};
use crate::tensors::{HostTensor, TensorFileError};
use crate::train::manifest::CheckpointKind::{Best, Rolling, Scheduled};
use crate::train::manifest::{CheckpointKind, MANIFEST_FILE, RunId};

const KEEP_TWO: Retention = Retention { resume_state_last_n: 2 };

fn run_id() -> RunId {
    RunId::from_fingerprint("test")
}

fn root() -> &'static Path {
    Path::new("/run")
}

fn weights(step: u64) -> [f32; 6] {
    std::array::from_fn(|i| (step * 10 + i as u64) as f32)
}

fn state(step: u64) -> TrainerState {
    TrainerState {
        global_step: step,
        tokens_seen: step * 100,
        ..TrainerState::new("cfg", "data", "tok", "avx2")
    }
}

fn files(step: u64) -> Vec<CheckpointFile<'static>> {
    let values: &'static [f32] = Vec::leak(weights(step).to_vec());
    let tensors = || vec![HostTensor::f32("w", &[2, 3], values)];
    vec![
        CheckpointFile::tensors(MODEL_FILE, tensors(), BTreeMap::new()),
        CheckpointFile::bytes("config.json", &b"{\"n_layer\": 1}\n"[..]),
        CheckpointFile::tensors(OPTIMIZER_FILE, tensors(), BTreeMap::new()).for_resume(),
        CheckpointFile::state(&state(step)),
    ]
}

fn fresh() -> (SimulatedStorage, Disk) {
    let storage = SimulatedStorage::new();
    let disk = Disk::new(storage.clone());
    disk.create_folders(root()).expect("an empty disk");
    (storage, disk)
}

fn store(disk: &Disk) -> CheckpointStore {
    CheckpointStore::open(disk, root(), &run_id()).expect("a readable folder").0
}

fn save(disk: &Disk, step: u64, kind: CheckpointKind) -> Result<Saved, CheckpointError> {
    store(disk).save(step, kind, files(step))
}

fn resumable(disk: &Disk) -> Option<u64> {
    let found = find_resumable(disk, root(), &run_id()).expect("something loads")?;
    assert_holds(&found.checkpoint);
    assert_eq!(
        found.checkpoint.state().expect("just verified"),
        state(found.checkpoint.global_step())
    );
    Some(found.checkpoint.global_step())
}

fn assert_holds(checkpoint: &Checkpoint) {
    let mut tensors = checkpoint.tensors(MODEL_FILE).expect("verified");
    assert_eq!(tensors.take_f32("w", &[2, 3]).expect("there"), weights(checkpoint.global_step()));
}

fn names(storage: &SimulatedStorage) -> Vec<String> {
    let under =
        |(path, _): (PathBuf, Vec<u8>)| path.strip_prefix(root()).map(|p| p.display().to_string());
    storage.files().into_iter().filter_map(|file| under(file).ok()).collect()
}

#[test]
fn test_checkpoint__comes_back_as_it_was_saved() {
    let (storage, disk) = fresh();
    assert_eq!(save(&disk, 3, Scheduled).expect("room enough"), Saved::New);
    assert_eq!(resumable(&disk), Some(3));
    assert_eq!(
        names(&storage),
        [
            "MANIFEST.json",
            "config.json",
            "model.safetensors",
            "optimizer.safetensors",
            "state.json"
        ]
        .map(|n| format!("checkpoint-3/{n}"))
    );
}

#[test]
fn test_checkpoint__same_content_gives_same_bytes_and_saving_again_changes_nothing() {
    let (storage, disk) = fresh();
    save(&disk, 3, Scheduled).expect("room enough");
    let before = storage.files();
    assert_eq!(save(&disk, 3, Scheduled).expect("room enough"), Saved::AlreadyThere);
    assert_eq!(storage.files(), before);
    let (other, disk) = fresh();
    save(&disk, 3, Scheduled).expect("room enough");
    assert_eq!(other.files(), before);
}

#[test]
fn test_checkpoint__newest_is_by_number_and_not_by_letter() {
    let (_, disk) = fresh();
    for step in [2, 10, 9] {
        save(&disk, step, Scheduled).expect("room enough");
    }
    assert_eq!(resumable(&disk), Some(10));
    assert_eq!(step_of("checkpoint-010"), None);
    assert_eq!(step_of("checkpoint-"), None);
    assert_eq!(step_of("checkpoint-18446744073709551616"), None);
}

#[test]
fn test_checkpoint__empty_run_has_nothing_to_resume() {
    let (_, disk) = fresh();
    assert_eq!(resumable(&disk), None);
    assert!(find_resumable(&disk, Path::new("/nowhere"), &run_id()).expect("no error").is_none());
}

#[test]
fn test_checkpoint__numbers_that_are_not_finite_are_never_saved() {
    let (storage, disk) = fresh();
    save(&disk, 1, Scheduled).expect("room enough");
    let before = storage.files();
    let bad = [f32::NAN];
    let tensors = vec![HostTensor::f32("h.0.w", &[1], &bad)];
    let mut list = files(2);
    list[2] = CheckpointFile::tensors(OPTIMIZER_FILE, tensors, BTreeMap::new()).for_resume();
    let error = store(&disk).save(2, Scheduled, list).expect_err("poisoned");
    assert_eq!(error.exit_code(), 5);
    assert!(
        error.to_string().contains("'h.0.w'") && error.to_string().contains("checkpoint-1"),
        "{error}"
    );
    let mut list = files(2);
    let best = Some(BestValidation { step: 1, loss: f64::NAN });
    list[3] = CheckpointFile::state(&TrainerState { best_validation: best, ..state(2) });
    assert_eq!(store(&disk).save(2, Scheduled, list).expect_err("poisoned").exit_code(), 5);
    assert_eq!(storage.files(), before);
}

#[test]
fn test_checkpoint__file_names_that_leave_the_folder_are_refused() {
    let (storage, disk) = fresh();
    for name in ["../x", "a/b", "", ".", "..", "/etc/x", "a\0b", MANIFEST_FILE, MODEL_FILE] {
        let mut list = files(1);
        list.push(CheckpointFile::bytes(name, &b"x"[..]));
        assert!(store(&disk).save(1, Scheduled, list).is_err(), "{name:?} is accepted");
    }
    assert_eq!(names(&storage), Vec::<String>::new());
}

#[test]
fn test_checkpoint__every_failing_call_leaves_the_old_one_and_no_rubbish() {
    let mut swept = 0;
    for fault in [Fault::Full, Fault::Medium, Fault::Interrupted, Fault::Short] {
        for n in 0.. {
            let (storage, disk) = fresh();
            save(&disk, 1, Scheduled).expect("no fault is planned yet");
            save(&disk, 2, Rolling).expect("no fault is planned yet");
            let store = store(&disk);
            storage.fail_call(n, fault);
            let outcome =
                store.save(3, Scheduled, files(3)).and_then(|_| store.rotate(3, KEEP_TWO));
            let fired = storage.clear_fault();
            if matches!(fault, Fault::Interrupted | Fault::Short) {
                outcome.as_ref().expect("such faults are mended");
            }
            let newest = resumable(&disk).expect("never lost");
            assert!(newest == 3 || (outcome.is_err() && newest == 2), "{fault:?} at {n}: {newest}");
            assert_holds(
                &Checkpoint::open(&disk, &root().join("checkpoint-1")).expect("never touched"),
            );
            // What could not be removed at the time is removed at the next start.
            save(&disk, 3, Scheduled)
                .and_then(|_| store.rotate(3, KEEP_TWO))
                .expect("the fault is gone");
            assert_eq!(resumable(&disk), Some(3));
            let expected = |name: &String| {
                name.starts_with("checkpoint-1/") || name.starts_with("checkpoint-3/")
            };
            assert!(
                names(&storage).iter().all(expected),
                "{fault:?} at {n}: {:?}",
                names(&storage)
            );
            swept += 1;
            if !fired {
                break;
            }
        }
    }
    assert!(swept > 150, "only {swept} faults");
}

#[test]
fn test_checkpoint__a_full_disk_is_reported_with_both_figures() {
    let (storage, disk) = fresh();
    save(&disk, 1, Scheduled).expect("room enough");
    let used: u64 = storage.files().iter().map(|(_, content)| content.len() as u64).sum();
    for room in 0..used {
        let storage = storage.snapshot();
        let disk = Disk::new(storage.clone());
        storage.set_capacity(used + room);
        let before = storage.files();
        let error = save(&disk, 2, Scheduled).expect_err("no room").to_string();
        for part in [
            "checkpoint-2 was not saved",
            "wanted",
            "free",
            "free some space",
            "newest is checkpoint-1",
        ] {
            assert!(error.contains(part), "{part:?} is missing from {error:?}");
        }
        assert_eq!(storage.files(), before);
    }
}

#[test]
fn test_checkpoint__power_cut_at_every_call_leaves_the_old_or_the_new_one() {
    let mut states = 0;
    for n in 0.. {
        let (storage, disk) = fresh();
        for (step, kind) in [(1, Scheduled), (2, Scheduled), (3, Rolling)] {
            save(&disk, step, kind).expect("no fault is planned yet");
        }
        let store = store(&disk);
        storage.fail_call(n, Fault::PowerLoss);
        let saved = store.save(4, Scheduled, files(4));
        let rotated = saved
            .as_ref()
            .is_ok_and(|_| store.rotate(4, Retention { resume_state_last_n: 1 }).is_ok());
        for seed in 0..40 {
            let after = Disk::new(storage.power_loss(seed + n * 1000));
            // Before anything is put right (as `evaluate` would see it) and after.
            for _ in 0..2 {
                let newest = resumable(&after).expect("never lost");
                assert!(
                    newest == 4 || (saved.is_err() && newest == 3),
                    "cut at {n}, state {seed}: {newest}"
                );
                for step in [1, 2] {
                    let path = root().join(folder_name(step));
                    assert_holds(
                        &Checkpoint::open(&after, &path).expect("scheduled weights are kept"),
                    );
                }
                self::store(&after);
                for step in steps(&after, root()).expect("readable") {
                    Checkpoint::open(&after, &root().join(folder_name(step)))
                        .expect("a good name is for whole folders");
                }
            }
            states += 1;
        }
        if rotated {
            break;
        }
    }
    assert!(states > 1500, "only {states} states");
}

#[test]
fn test_checkpoint__failing_call_while_replacing_one_of_the_same_name() {
    for n in 0.. {
        let (storage, disk) = fresh();
        let store = store(&disk);
        store.save(5, Scheduled, files(5)).expect("no fault is planned yet");
        let mut list = files(5);
        list[3] = CheckpointFile::state(&TrainerState { tokens_seen: 7, ..state(5) });
        storage.fail_call(n, Fault::Medium);
        let saved = store.save(5, Scheduled, list);
        let fired = storage.clear_fault();
        let found =
            find_resumable(&disk, root(), &run_id()).expect("one is whole").expect("one is there");
        let tokens = found.checkpoint.state().expect("just verified").tokens_seen;
        assert!(tokens == 7 || (saved.is_err() && tokens == 500), "call {n}");
        if !fired {
            break;
        }
    }
}

#[test]
fn test_checkpoint__power_cut_while_replacing_one_of_the_same_name() {
    for n in 0.. {
        let (storage, disk) = fresh();
        store(&disk).save(5, Scheduled, files(5)).expect("no fault is planned yet");
        let store = store(&disk);
        // Another course of the run reaches step 5 (only the state differs).
        let other = TrainerState { tokens_seen: 7, ..state(5) };
        let mut list = files(5);
        list[3] = CheckpointFile::state(&other);
        storage.fail_call(n, Fault::PowerLoss);
        let saved = store.save(5, Scheduled, list);
        for seed in 0..60 {
            let after = Disk::new(storage.power_loss(seed + n * 1000));
            self::store(&after);
            let found = find_resumable(&after, root(), &run_id())
                .expect("one is whole")
                .expect("one is there");
            let read = found.checkpoint.state().expect("just verified");
            assert!(
                read == other || (saved.is_err() && read == state(5)),
                "cut at {n}, state {seed}"
            );
        }
        if let Ok(saved) = saved {
            assert_eq!(saved, Saved::Replaced);
            break;
        }
    }
}

#[test]
fn test_checkpoint__every_flipped_bit_is_seen_and_the_one_before_is_taken() {
    let (storage, disk) = fresh();
    save(&disk, 1, Scheduled).expect("room enough");
    save(&disk, 2, Scheduled).expect("room enough");
    for name in [MODEL_FILE, OPTIMIZER_FILE, STATE_FILE, MANIFEST_FILE, "config.json"] {
        let path = root().join("checkpoint-2").join(name);
        let length = disk.read(&path, 100_000).expect("just written").len();
        for bit in 0..length * 8 {
            storage.tamper(&path, |content| content[bit / 8] ^= 1 << (bit % 8));
            let found =
                find_resumable(&disk, root(), &run_id()).expect("1 is whole").expect("1 is there");
            assert_eq!(found.checkpoint.global_step(), 1, "bit {bit} of {name}");
            assert_eq!(found.rejected.len(), 1);
            assert!(found.rejected[0].reason.contains(name), "{}", found.rejected[0]);
            storage.tamper(&path, |content| content[bit / 8] ^= 1 << (bit % 8));
        }
        for cut in 0..length {
            let storage = storage.snapshot();
            storage.tamper(&path, |content| content.truncate(cut));
            assert_eq!(resumable(&Disk::new(storage)), Some(1), "{name} cut at {cut}");
        }
        let storage = storage.snapshot();
        let disk = Disk::new(storage);
        disk.remove_file(&path).expect("it was there");
        assert_eq!(resumable(&disk), Some(1), "{name} removed");
    }
    assert_eq!(resumable(&disk), Some(2));
}

#[test]
fn test_checkpoint__where_none_loads_nothing_is_begun_anew() {
    let (storage, disk) = fresh();
    for step in [1, 2] {
        save(&disk, step, Scheduled).expect("room enough");
        let path = root().join(folder_name(step)).join(STATE_FILE);
        storage.tamper(&path, |content| content[0] ^= 1);
    }
    let error = find_resumable(&disk, root(), &run_id()).expect_err("both are damaged");
    assert_eq!(error.exit_code(), 3);
    let text = error.to_string();
    for part in
        ["checkpoint-1", "checkpoint-2", "state.json was changed or damaged", "Nothing was started"]
    {
        assert!(text.contains(part), "{part:?} is missing from {text:?}");
    }
}

#[test]
fn test_checkpoint__damaged_one_of_the_same_name_is_set_aside() {
    let (storage, disk) = fresh();
    save(&disk, 1, Scheduled).expect("room enough");
    save(&disk, 2, Scheduled).expect("room enough");
    storage.tamper(&root().join("checkpoint-2").join(MODEL_FILE), |content| content.truncate(9));
    let aside = root().join("set-aside-checkpoint-2-1");
    assert_eq!(save(&disk, 2, Scheduled).expect("room enough"), Saved::SetAside(aside));
    assert_eq!(resumable(&disk), Some(2));
    assert!(names(&storage).contains(&"set-aside-checkpoint-2-1/model.safetensors".to_owned()));
}

#[test]
fn test_checkpoint__copied_and_renamed_folders_load() {
    let (storage, disk) = fresh();
    save(&disk, 4, Scheduled).expect("room enough");
    disk.create_folders(Path::new("/elsewhere/my model")).expect("room enough");
    for (path, content) in storage.files() {
        let name = path.file_name().expect("a file");
        disk.replace_file(&Path::new("/elsewhere/my model").join(name), "t", &content)
            .expect("room enough");
    }
    let copy = Checkpoint::open(&disk, Path::new("/elsewhere/my model")).expect("self-contained");
    copy.check_resumable().expect("self-contained");
    assert_holds(&copy);
}

#[test]
fn test_checkpoint__of_another_run_or_another_number_is_not_resumed_from() {
    let (_, disk) = fresh();
    let (other, _) =
        CheckpointStore::open(&disk, root(), &RunId::from_fingerprint("other")).expect("readable");
    other.save(9, Scheduled, files(9)).expect("room enough");
    save(&disk, 5, Scheduled).expect("room enough");
    save(&disk, 4, Scheduled).expect("room enough");
    disk.rename(&root().join("checkpoint-5"), &root().join("checkpoint-7")).expect("free");
    let found = find_resumable(&disk, root(), &run_id()).expect("4 is whole").expect("4 is there");
    assert_eq!(found.checkpoint.global_step(), 4);
    assert_eq!(found.rejected.len(), 2);
    assert!(found.rejected[0].reason.contains("belongs to run"), "{}", found.rejected[0]);
    assert!(found.rejected[1].reason.contains("saved as step 5"), "{}", found.rejected[1]);
}

#[test]
fn test_rotation__keeps_weights_of_all_scheduled_and_state_of_the_last() {
    let (storage, disk) = fresh();
    let store = store(&disk);
    for step in 0..6 {
        store.save(step, Scheduled, files(step)).expect("room enough");
        store.rotate(step, KEEP_TWO).expect("whole");
    }
    let with_state: Vec<String> =
        names(&storage).into_iter().filter(|n| n.ends_with(STATE_FILE)).collect();
    assert_eq!(with_state, ["checkpoint-4/state.json", "checkpoint-5/state.json"]);
    for step in 0..6 {
        assert_holds(&Checkpoint::open(&disk, &root().join(folder_name(step))).expect("kept"));
    }
    assert!(
        Checkpoint::open(&disk, &root().join("checkpoint-3"))
            .expect("kept")
            .check_resumable()
            .is_err()
    );
}

#[test]
fn test_rotation__zero_to_keep_still_keeps_the_newest() {
    let (_, disk) = fresh();
    let store = store(&disk);
    for step in 0..3 {
        store.save(step, Scheduled, files(step)).expect("room enough");
        store.rotate(step, Retention { resume_state_last_n: 0 }).expect("whole");
        assert_eq!(resumable(&disk), Some(step));
    }
}

#[test]
fn test_rotation__a_new_one_that_does_not_verify_removes_nothing() {
    let (storage, disk) = fresh();
    let store = store(&disk);
    for step in 0..4 {
        store
            .save(step, if step == 1 { Rolling } else { Scheduled }, files(step))
            .expect("room enough");
    }
    storage.tamper(&root().join("checkpoint-3").join(OPTIMIZER_FILE), |content| content[60] ^= 1);
    let before = storage.files();
    assert!(store.rotate(3, Retention { resume_state_last_n: 1 }).is_err());
    assert_eq!(storage.files(), before);
}

#[test]
fn test_rotation__foreign_files_links_and_later_steps_survive_a_hundred_saves() {
    let (storage, disk) = fresh();
    let store = store(&disk);
    let (other, _) =
        CheckpointStore::open(&disk, root(), &RunId::from_fingerprint("other")).expect("readable");
    other.save(7, Rolling, files(7)).expect("room enough");
    store.save(500, Rolling, files(500)).expect("room enough");
    store.save(3, Rolling, files(3)).expect("room enough");
    for path in
        ["/run/checkpoint-3/notes.txt", "/run/checkpoint-x", "/run/.tmp-mine", "/run/notes.txt"]
    {
        disk.replace_file(Path::new(path), "t", b"mine").expect("room enough");
    }
    disk.create_folders(Path::new("/run/checkpoint-5/sub")).expect("room enough");
    storage.plant_link(Path::new("/run/checkpoint-6"));
    let before = names(&storage);
    for step in 100..200 {
        store.save(step, Rolling, files(step)).expect("room enough");
        store.rotate(step, KEEP_TWO).expect("whole");
    }
    let after = names(&storage);
    assert!(before.iter().all(|name| after.contains(name)), "{before:?} {after:?}");
    assert!(disk.entry(Path::new("/run/checkpoint-6")).expect("readable").is_some());
    let steps = steps(&disk, root()).expect("readable");
    assert_eq!(steps, [3, 5, 6, 7, 199, 500]);
}

#[test]
fn test_best__is_replaced_by_a_better_one_and_is_never_resumed_from() {
    let (_, disk) = fresh();
    let store = store(&disk);
    let model = |step| files(step).into_iter().take(2).collect::<Vec<_>>();
    assert_eq!(store.save(3, Best, model(3)).expect("room enough"), Saved::New);
    assert_eq!(store.save(3, Best, model(3)).expect("room enough"), Saved::AlreadyThere);
    assert_eq!(store.save(5, Best, model(5)).expect("room enough"), Saved::Replaced);
    let best = Checkpoint::open(&disk, &root().join(BEST_FOLDER)).expect("whole");
    assert_eq!(best.global_step(), 5);
    assert_holds(&best);
    assert_eq!(resumable(&disk), None);
}

/// A random life of a run: saves, rotations, power cuts, faults and resumptions.
#[test]
fn test_rotation__random_lives_never_lose_what_was_promised() {
    let mut dice = 1u64;
    let mut roll = |n: u64| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % n
    };
    for _ in 0..400 {
        let (mut storage, mut disk) = fresh();
        let mut promised: Option<u64> = None;
        let mut scheduled = Vec::new();
        let mut step = 0;
        for _ in 0..12 {
            let retention =
                Retention { resume_state_last_n: usize::try_from(roll(3)).expect("small") };
            let mine = store(&disk);
            let fault =
                [None, None, Some(Fault::PowerLoss), Some(Fault::Medium), Some(Fault::Full)];
            let planned = fault[usize::try_from(roll(5)).expect("small")];
            if let Some(fault) = planned {
                storage.fail_call(roll(60), fault);
            }
            // Scheduled or not is a function of the step, as in a real run.
            let kind = if step % 3 == 0 { Scheduled } else { Rolling };
            if mine.save(step, kind, files(step)).is_ok() {
                promised = Some(step);
                if kind == Scheduled && !scheduled.contains(&step) {
                    scheduled.push(step);
                }
                let _ = mine.rotate(step, retention);
            }
            storage.clear_fault();
            if planned == Some(Fault::PowerLoss) || roll(4) == 0 {
                storage = storage.power_loss(roll(1 << 30));
                disk = Disk::new(storage.clone());
                store(&disk);
                step = resumable(&disk).unwrap_or(0);
            }
            if let Some(promised) = promised {
                assert!(resumable(&disk).expect("never lost") >= promised);
            }
            for &step in &scheduled {
                let path = root().join(folder_name(step));
                assert_holds(&Checkpoint::open(&disk, &path).expect("scheduled weights are kept"));
            }
            step += 1 + roll(2);
        }
    }
}

#[test]
fn test_checkpoint__tells_a_missing_or_reshaped_optimizer_tensor_by_name() {
    let (_, disk) = fresh();
    save(&disk, 1, Scheduled).expect("room enough");
    let checkpoint =
        find_resumable(&disk, root(), &run_id()).expect("whole").expect("there").checkpoint;
    let mut tensors = checkpoint.tensors(OPTIMIZER_FILE).expect("verified");
    assert!(
        matches!(tensors.take_f32("m", &[2, 3]), Err(TensorFileError::Missing { name, .. }) if name == "m")
    );
    assert!(
        matches!(tensors.take_f32("w", &[3, 2]), Err(TensorFileError::Shape { name, .. }) if name == "w")
    );
}

#[test]
fn test_checkpoint__holds_no_path_of_this_machine() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let disk = Disk::real();
    let (store, _) = CheckpointStore::open(&disk, folder.path(), &run_id()).expect("readable");
    store.save(1, Scheduled, files(1)).expect("room enough");
    let needles = [
        folder.path().display().to_string(),
        std::env::var("HOME").unwrap_or_else(|_| "/home/".into()),
    ];
    for name in disk.list(&folder.path().join("checkpoint-1")).expect("readable") {
        let content =
            disk.read(&folder.path().join("checkpoint-1").join(&name), 100_000).expect("readable");
        let text = String::from_utf8_lossy(&content).into_owned();
        assert!(needles.iter().all(|n| !text.contains(n.as_str())), "{}", name.display());
    }
}

#[test]
fn test_checkpoint__on_a_real_disk_saves_rotates_and_resumes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let disk = Disk::real();
    let (store, _) = CheckpointStore::open(&disk, folder.path(), &run_id()).expect("readable");
    for step in 0..5 {
        store
            .save(step, if step == 3 { Rolling } else { Scheduled }, files(step))
            .expect("room enough");
        store.rotate(step, KEEP_TWO).expect("whole");
    }
    assert_eq!(store.save(4, Scheduled, files(4)).expect("room enough"), Saved::AlreadyThere);
    assert_eq!(steps(&disk, folder.path()).expect("readable"), [0, 1, 2, 4]);
    let found = find_resumable(&disk, folder.path(), &run_id()).expect("whole").expect("there");
    assert_eq!(found.checkpoint.state().expect("verified"), state(4));
}
