use std::fs;
use std::path::Path;

use serde_json::{Map, json};

use super::super::checkpoint::{CheckpointFile, CheckpointStore, find_newest};
use super::super::manifest::CheckpointKind::Scheduled;
use super::super::manifest::RunId;
use super::*;
use crate::storage::simulated::{Fault, SimulatedStorage};

const COMMAND: &str = "foundry train exp.yaml";

fn details() -> Map<String, serde_json::Value> {
    Map::from_iter([("corpus_hash".to_owned(), json!("abc"))])
}

fn result() -> RunResult {
    RunResult { final_step: 9, checkpoint: "checkpoint-9".to_owned(), summary: details() }
}

fn try_enter(folder: &Path, wish: Wish, fingerprint: &str) -> Result<Entered, RunFolderError> {
    enter(&Disk::real(), folder, wish, fingerprint, COMMAND)
}

fn begin(folder: &Path, fingerprint: &str) -> RunFolder {
    match try_enter(folder, Wish::Start, fingerprint).expect("nothing is there") {
        Entered::Fresh(vacant) => vacant
            .create(Provenance::new("exp", fingerprint, details()), "a: 1\n")
            .expect("room enough"),
        other => panic!("{other:?}"),
    }
}

fn save(run: &RunFolder, step: u64) {
    let (store, _) =
        CheckpointStore::open(run.disk(), run.root(), &run.provenance().run_id).expect("readable");
    store
        .save(step, Scheduled, vec![CheckpointFile::bytes("model.safetensors", &b"w"[..])])
        .expect("room enough");
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("readable")
        .map(|e| e.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn test_run_folder__fresh_run_is_created_with_its_configuration() {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let folder = parent.path().join("runs/exp");
    let run = begin(&folder, "f");
    assert_eq!(names(&folder), ["config.yaml", "lock", "provenance.json"]);
    assert_eq!(run.config_yaml().expect("readable").as_deref(), Some("a: 1\n"));
    assert_eq!(
        inspect(&Disk::real(), &folder).expect("readable"),
        RunState::Unfinished(run.provenance().clone())
    );
}

#[test]
fn test_run_folder__unfinished_run_needs_a_flag_and_names_both_commands() {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let run = begin(parent.path(), "f");
    save(&run, 8);
    save(&run, 16);
    drop(run);
    let before = names(parent.path());
    for fingerprint in ["f", "another"] {
        let error =
            try_enter(parent.path(), Wish::Start, fingerprint).expect_err("it is unfinished");
        assert_eq!(error.exit_code(), 2);
        let text = error.to_string();
        for part in [
            "unfinished run",
            "newest checkpoint: checkpoint-16",
            "  foundry train exp.yaml --resume\n",
            "  foundry train exp.yaml --overwrite",
        ] {
            assert!(text.contains(part), "{part:?} is missing from {text:?}");
        }
    }
    assert_eq!(names(parent.path()), before);
    assert!(matches!(try_enter(parent.path(), Wish::Resume, "f"), Ok(Entered::Resume(_))));
}

#[test]
fn test_run_folder__finished_run_of_the_same_configuration_is_reported() {
    let parent = tempfile::tempdir().expect("a temporary folder");
    begin(parent.path(), "f").finish(&result()).expect("room enough");
    for wish in [Wish::Start, Wish::Resume] {
        match try_enter(parent.path(), wish, "f").expect("finished") {
            Entered::Finished(found) => assert_eq!(found, result()),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn test_run_folder__finished_run_of_another_configuration_is_not_touched() {
    let parent = tempfile::tempdir().expect("a temporary folder");
    begin(parent.path(), "f").finish(&result()).expect("room enough");
    let error = try_enter(parent.path(), Wish::Start, "g").expect_err("another configuration");
    assert_eq!(error.exit_code(), 2);
    assert!(
        error.to_string().contains("--overwrite") && error.to_string().contains("output_dir"),
        "{error}"
    );
    let Ok(Entered::Resume(run)) = try_enter(parent.path(), Wish::Resume, "g") else {
        panic!("--resume goes on")
    };
    run.reopen().expect("removable");
    drop(run);
    assert!(matches!(inspect(&Disk::real(), parent.path()), Ok(RunState::Unfinished(_))));
}

#[test]
fn test_run_folder__foreign_folders_and_files_are_never_touched() {
    let parent = tempfile::tempdir().expect("a temporary folder");
    fs::write(parent.path().join("config.yaml"), "mine").expect("room enough");
    fs::write(parent.path().join("a_file"), "mine").expect("room enough");
    for wish in [Wish::Start, Wish::Resume, Wish::Overwrite] {
        let error = try_enter(parent.path(), wish, "f").expect_err("not ours");
        assert!(matches!(&error, RunFolderError::Foreign { .. }), "{error}");
        assert_eq!(error.exit_code(), 2);
        assert!(try_enter(&parent.path().join("a_file"), wish, "f").is_err());
    }
    assert_eq!(names(parent.path()), ["a_file", "config.yaml"]);
}

#[test]
fn test_run_folder__tokenizer_and_leftovers_of_a_start_do_not_make_it_foreign() {
    let parent = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(parent.path().join("tokenizer")).expect("room enough");
    fs::write(parent.path().join("lock"), "1\n").expect("room enough");
    fs::write(parent.path().join(".tmp-0123456789abcdef-provenance.json"), "{")
        .expect("room enough");
    begin(parent.path(), "f");
}

#[test]
fn test_run_folder__second_process_is_refused() {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let _first = begin(parent.path(), "f");
    for wish in [Wish::Resume, Wish::Overwrite] {
        let error = try_enter(parent.path(), wish, "f").expect_err("in use");
        assert!(matches!(error, RunFolderError::Lock(_)), "{error}");
    }
}

#[test]
fn test_overwrite__removes_what_foundry_wrote_and_nothing_else() {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let run = begin(parent.path(), "f");
    for step in [0, 10, 20] {
        save(&run, step);
    }
    for name in [METRICS, LEDGER_FILE, LOG_FILE, REPORT_FILE, "events.out.tfevents.1.0000.foundry"]
    {
        run.write(name, b"x").expect("room enough");
    }
    run.finish(&result()).expect("room enough");
    let other = CheckpointStore::open(run.disk(), run.root(), &RunId::from_fingerprint("other"))
        .expect("readable")
        .0;
    other
        .save(5, Scheduled, vec![CheckpointFile::bytes("model.safetensors", &b"w"[..])])
        .expect("room enough");
    fs::create_dir(parent.path().join(EVAL_FOLDER)).expect("room enough");
    fs::write(parent.path().join("eval/ppl.csv"), "1").expect("room enough");
    for name in
        ["eval/mine.txt", "notes.txt", "checkpoint-20/notes.txt", "events.out.tfevents.9.of.others"]
    {
        fs::write(parent.path().join(name), "mine").expect("room enough");
    }
    drop(run);
    let before = names(parent.path());
    let Ok(Entered::Fresh(mut vacant)) = try_enter(parent.path(), Wish::Overwrite, "g") else {
        panic!("it may be emptied")
    };
    assert_eq!(names(parent.path()), before, "not before the new run begins");
    assert!(vacant.old_bytes().expect("readable") > 0);
    vacant.clear().expect("writable");
    drop(vacant);
    assert_eq!(
        names(parent.path()),
        [
            "eval",
            "events.out.tfevents.9.of.others",
            "lock",
            "notes.txt",
            "set-aside-checkpoint-20-1",
            "set-aside-checkpoint-5-1"
        ]
    );
    assert_eq!(names(&parent.path().join("eval")), ["mine.txt"]);
    assert!(find_newest(&Disk::real(), parent.path()).expect("no checkpoint").is_none());
}

const METRICS: &str = super::super::metrics::METRICS_FILE;

#[test]
#[cfg(unix)]
fn test_overwrite__nothing_is_deleted_through_a_link() {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let (real, link) = (parent.path().join("real"), parent.path().join("link"));
    drop(begin(&real, "f"));
    std::os::unix::fs::symlink(&real, &link).expect("links exist here");
    let error = try_enter(&link, Wish::Overwrite, "f").expect_err("a link");
    assert!(matches!(error, RunFolderError::Link { .. }), "{error}");
    assert_eq!(names(&real), ["config.yaml", "lock", "provenance.json"]);
    // Links inside are left alone, too.
    let outside = parent.path().join("outside");
    fs::create_dir(&outside).expect("room enough");
    fs::write(outside.join("a.csv"), "mine").expect("room enough");
    std::os::unix::fs::symlink(&outside, real.join("eval")).expect("links exist here");
    std::os::unix::fs::symlink(&outside, real.join("checkpoint-3")).expect("links exist here");
    let Ok(Entered::Fresh(mut vacant)) = try_enter(&real, Wish::Overwrite, "f") else {
        panic!("a real folder")
    };
    vacant.clear().expect("writable");
    assert_eq!(names(&outside), ["a.csv"]);
}

#[test]
fn test_run_folder__damaged_files_are_named() {
    for (name, content) in [(PROVENANCE_FILE, "{"), (PROVENANCE_FILE, "{}"), (RESULT_FILE, "[]")] {
        let parent = tempfile::tempdir().expect("a temporary folder");
        drop(begin(parent.path(), "f"));
        fs::write(parent.path().join(name), content).expect("room enough");
        let error = try_enter(parent.path(), Wish::Resume, "f").expect_err("damaged");
        assert!(
            matches!(error, RunFolderError::Damaged { .. }) && error.to_string().contains(name),
            "{error}"
        );
        assert_eq!(error.exit_code(), 3);
    }
}

#[test]
fn test_provenance__run_id_that_could_leave_the_folder_is_refused() {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let run = begin(parent.path(), "f");
    let mut value = serde_json::to_value(run.provenance()).expect("plain");
    value["run_id"] = json!("../../../../etc/");
    run.write_json(PROVENANCE_FILE, &value).expect("room enough");
    drop(run);
    assert!(matches!(
        try_enter(parent.path(), Wish::Overwrite, "f"),
        Err(RunFolderError::Damaged { .. })
    ));
}

#[test]
fn test_free_space__too_little_is_refused_with_both_figures() {
    let storage = SimulatedStorage::new();
    storage.set_capacity(3_000_000_000);
    let disk = Disk::new(storage);
    check_free_space(&disk, Path::new("/runs/exp"), 3_000_000_000).expect("just enough");
    let error =
        check_free_space(&disk, Path::new("/runs/exp"), 12_000_000_000).expect_err("too little");
    let text = error.to_string();
    assert!(text.contains("12.0 GB") && text.contains("3.0 GB"), "{text}");
}

#[test]
fn test_overwrite__a_crash_in_between_leaves_a_run_that_can_be_overwritten_again() {
    for n in 0.. {
        let storage = SimulatedStorage::new();
        let disk = Disk::new(storage.clone());
        let folder = Path::new("/run");
        disk.create_folders(folder).expect("an empty disk");
        let provenance = Provenance::new("exp", "f", details());
        let put = |name: &str, value: serde_json::Value| {
            disk.replace_file(&folder.join(name), "t", value.to_string().as_bytes())
                .expect("room enough");
        };
        put(PROVENANCE_FILE, json!(provenance));
        put(RESULT_FILE, json!(result()));
        for name in [CONFIG_FILE, METRICS, LOG_FILE] {
            put(name, json!(1));
        }
        let (store, _) =
            CheckpointStore::open(&disk, folder, &provenance.run_id).expect("readable");
        for step in [0, 4] {
            let files = vec![CheckpointFile::bytes("model.safetensors", &b"w"[..])];
            store.save(step, Scheduled, files).expect("room enough");
        }
        storage.fail_call(n, Fault::PowerLoss);
        let done = clear::clear(&disk, folder, &provenance).is_ok();
        for seed in 0..20 {
            let after = Disk::new(storage.power_loss(seed));
            match inspect(&after, folder).expect("readable") {
                RunState::Foreign(name) => {
                    panic!("cut at {n}, state {seed}: '{name}' is left without a run")
                }
                RunState::Absent => {}
                RunState::Unfinished(old) | RunState::Finished(old, _) => {
                    assert!(!done);
                    clear::clear(&after, folder, &old).expect("the power is back");
                    assert_eq!(inspect(&after, folder).expect("readable"), RunState::Absent);
                }
            }
        }
        if done {
            break;
        }
    }
}
