//! Copies, names and sizes that a user may come with (rows B8, D8, D9), at any size: `cargo test` runs these small,
//! `soak` in full.

use crate::binary::Workplace;
use crate::experiment::{Experiment, Extent, after, differences, models};
use foundry_models::storage::Disk;
use foundry_models::train::checkpoint::{Checkpoint, folder_name};
use foundry_models::train::run_folder::Wish;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What a refusal of an absurd size may hold, in bytes.
const LITTLE: u64 = 50_000_000;

/// Calls a program that every system has.
fn system(words: &[&str], paths: &[&Path]) {
    let status = Command::new(words[0]).args(&words[1..]).args(paths).status();
    assert!(status.is_ok_and(|status| status.success()), "{words:?} {paths:?}");
}

/// B8: a run folder that was copied, packed and unpacked, or renamed goes on to the files of a run that nobody touched,
/// with a resume state saved after every update; and what is not of the run survives the deletions between them.
///
/// # Panics
/// If not.
#[must_use]
pub fn copies(extent: Extent) -> String {
    let foreign = [
        "notes.txt",
        "checkpoint-x",
        ".tmp-of-mine",
        "checkpoint-999999/thesis.txt",
        "checkpoint-2/notes.txt",
        "backup/checkpoint-1/model.safetensors",
    ];
    let ways: [fn(&Path, &Path); 3] = [
        |run, copy| {
            system(&["cp", "-r"], &[run, copy]);
            std::fs::remove_dir_all(run).expect("it can be removed");
        },
        |run, copy| {
            let packed = run.with_extension("tar");
            system(&["tar", "-C"], &[run, Path::new("-cf"), &packed, Path::new(".")]);
            std::fs::remove_dir_all(run).expect("it can be removed");
            std::fs::create_dir(copy).expect("room enough");
            system(&["tar", "-C"], &[copy, Path::new("-xf"), &packed]);
        },
        |run, copy| std::fs::rename(run, copy).expect("it can be renamed"),
    ];
    let half = extent.steps / 2;
    let mut runs = 0;
    for model in models(extent) {
        let mut e = Experiment::new(&model, extent);
        e.config.training.checkpoints.rolling_resume_every_steps = Some(1);
        let whole = e.finish(Wish::Start);
        for way in ways {
            e.clear();
            assert_eq!(e.interrupt(Wish::Start, &mut after(half)), half);
            for name in foreign {
                let path = e.run().join(name);
                std::fs::create_dir_all(path.parent().expect("a folder")).expect("room enough");
                std::fs::write(path, name).expect("room enough");
            }
            let copy = e.folder().join("copy");
            way(e.run(), &copy);
            // A checkpoint alone, anywhere, is whole.
            let alone = e.folder().join("alone");
            system(&["cp", "-r"], &[&copy.join(folder_name(half)), &alone]);
            let found = Checkpoint::open(&Disk::real(), &alone).expect("a whole checkpoint");
            assert_eq!(found.global_step(), half);
            std::fs::remove_dir_all(alone).expect("it can be removed");

            std::fs::rename(&copy, e.run()).expect("it can be renamed");
            let mut files = e.finish(Wish::Resume);
            for name in foreign {
                let kept = files.remove(name);
                assert_eq!(kept.as_deref(), Some(name.as_bytes()), "{}", e.architecture());
            }
            let differ = differences(&whole, &files);
            assert!(differ.is_empty(), "{}: {differ:?}", e.architecture());
            runs += 1;
        }
    }
    let (saves, foreign) = (extent.steps, foreign.len());
    format!(
        "{runs} moved runs of {saves} saves, all as unmoved; {foreign} foreign files in each left alone"
    )
}

/// D8: names of experiments that could leave their folder are refused and leave nothing behind; neither a deletion nor
/// a save follows a link.
///
/// # Panics
/// If not.
#[must_use]
pub fn names() -> String {
    let (long, longer) = ("x".repeat(101), "y".repeat(300));
    let names = [
        "",
        ".",
        "..",
        "...",
        "/",
        "//",
        "/etc",
        "a/b",
        "../a",
        "../../../../etc/passwd",
        "a/../../b",
        "./a",
        "~",
        "~/a",
        "a\\b",
        "..\\a",
        "C:",
        "C:\\a",
        "CON",
        "con.txt",
        "NUL",
        "LPT1",
        "a\0b",
        "a\nb",
        "a\tb",
        " a",
        "a b",
        "é",
        "a\u{202e}b",
        "$HOME",
        "`id`",
        "a;b",
        "*",
        "%2e%2e",
        &long,
        &longer,
    ];
    let place = Workplace::new();
    let before = place.files(".");
    for name in names {
        // A JSON text is a YAML scalar.
        let set = format!("experiment_name={}", serde_json::Value::from(name));
        let ran = place.foundry_args(["train", "tiny.yaml", "--set", &set]).ended(2);
        let _ = ran.says(&["experiment_name"]);
    }
    assert_eq!(place.files("."), before, "a refused name left something behind");
    let links = if cfg!(unix) { links() } else { 0 };
    format!("{} hostile names refused; {links} links not followed", names.len())
}

#[cfg(not(unix))]
fn links() -> usize {
    0
}

/// A folder outside, linked to from where checkpoints, results and runs lie.
#[cfg(unix)]
fn links() -> usize {
    use std::os::unix::fs::symlink;
    let place = Workplace::new();
    let keep_one = "train tiny.yaml --set training.save_resume_state_last_n=1";
    let _ = place.foundry(keep_one).ok();
    std::fs::rename(place.path("runs/tiny"), place.path("outside")).expect("it can be renamed");
    let outside = place.files("outside");

    // The run folder itself.
    symlink(place.path("outside"), place.path("runs/tiny")).expect("links exist here");
    let ran = place.foundry(&format!("{keep_one} --overwrite"));
    assert_ne!(ran.code, 0, "{ran:#?}");
    assert_eq!(place.files("outside"), outside, "the folder behind a link");

    // Checkpoints of a run, which rotation would thin and overwriting would delete.
    std::fs::remove_file(place.path("runs/tiny")).expect("a link");
    let _ = place.foundry(keep_one).ok();
    let names = ["checkpoint-1", "checkpoint-2", "eval"];
    let link = |name: &str| {
        let path = place.path(&format!("runs/tiny/{name}"));
        // Not every one is there.
        let _ = std::fs::remove_dir_all(&path);
        symlink(place.path("outside/checkpoint-1"), path).expect("links exist here");
    };
    for how in
        ["--resume --set training.train_steps=8 --allow-change training.train_steps", "--overwrite"]
    {
        names.iter().for_each(|name| link(name));
        let ran = place.foundry(&format!("{keep_one} {how}"));
        assert!([0, 1, 2, 3].contains(&ran.code), "{ran:#?}");
        assert_eq!(place.files("outside"), outside, "{how}: the folder behind a link");
        names.iter().for_each(|name| {
            let path = place.path(&format!("runs/tiny/{name}"));
            if path.is_symlink() {
                std::fs::remove_file(path).expect("a link");
            }
        });
    }
    1 + 2 * names.len()
}

/// D9: sizes that no machine has are refused before anything is allocated, and the report says how fast and with how
/// much memory.
///
/// # Panics
/// If one is not refused, or the refusal holds 50 MB.
#[must_use]
pub fn absurd_sizes() -> String {
    let place = Workplace::new();
    let (mut slowest, mut largest, mut calls) = (Duration::ZERO, 0, 0);
    for set in [
        "model.transformer.layers=2147483648",
        "tokenizer.vocab_size=1099511627776",
        "data.max_sequence_length=1000000000",
        "data.batch_size=18446744073709551615",
        "model.transformer.intermediate_hidden_size=9223372036854775807",
    ] {
        for command in ["validate-config", "explain", "train", "train-tokenizer", "preprocess-data"]
        {
            let (ran, peak, time) = place.measured(&format!("{command} tiny.yaml --set {set}"));
            let ran = ran.ended(2);
            assert!(peak < LITTLE, "{peak} bytes\n{ran:#?}");
            (slowest, largest) = (slowest.max(time), largest.max(peak));
            calls += 1;
        }
    }
    assert!(!place.path("runs").exists());
    let (ms, kib) = (slowest.as_millis(), largest / 1024);
    format!("{calls} calls refused; the slowest took {ms} ms, the largest held {kib} KiB")
}

/// D9: a tokenizer is trained on one line of `bytes`, and the line becomes tokens, in 50 MB and room for
/// the tokens: four bytes each, and a byte may be a token.
///
/// # Panics
/// If it takes more.
#[must_use]
pub fn one_line(bytes: usize) -> String {
    let place = Workplace::new();
    let words = "the cat number 12 sat on mat 7 and saw dog 3 ";
    place.write("corpus.txt", words.repeat(bytes.div_ceil(words.len())).as_bytes());
    let mut report = Vec::new();
    for command in ["train-tokenizer", "tokenize-dataset"] {
        let call = format!("{command} tiny.yaml --set data.validation_fraction=0.0");
        let (ran, peak, _) = place.measured(&call);
        let ran = ran.ok();
        assert!(peak < LITTLE + 4 * bytes as u64, "{peak} bytes\n{ran:#?}");
        report.push(format!("{command} {} KiB", peak / 1024));
    }
    format!("one line of {} MB: {}", bytes / 1_000_000, report.join(", "))
}
