//! The real program as a process: signals, exit codes, instruction sets (rows A7 and B6), at any size.

use crate::binary::{Workplace, binary};
use crate::durability::Dice;
use crate::experiment::{Experiment, Extent, after, differences, models};
use foundry_engine::isa::{Isa, VARIABLE};
use foundry_models::train::checkpoint::STATE_FILE;
use foundry_models::train::run_folder::{PROVENANCE_FILE, Wish};
use serde_json::Value;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// `foundry train` of an experiment, in its folder.
fn command(e: &Experiment, resume: bool) -> Command {
    let file = e.folder().join("experiment.yaml");
    std::fs::write(&file, e.config.to_yaml()).expect("room enough");
    let mut command = Command::new(binary());
    command.current_dir(e.folder()).arg("train").arg(file).args(["--threads", "2"]);
    if resume {
        command.arg("--resume");
    }
    command.env_remove(VARIABLE).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn finished(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
}

/// Sends a signal; a process that has just ended is not an error.
fn send(signal: &str, child: &Child) {
    let line = format!("kill -{signal} {} 2>/dev/null || true", child.id());
    Command::new("sh").args(["-c", &line]).status().expect("a shell");
}

/// Waits until the process answers SIGTERM by itself (bit 14 of the signals that it catches).
fn wait_for_handlers(child: &mut Child) {
    let path = format!("/proc/{}/status", child.id());
    while child.try_wait().expect("a child").is_none() {
        let status = std::fs::read_to_string(&path).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let mask = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        if mask.is_none_or(|mask| mask & (1 << 14) != 0) && !status.is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// B6: SIGTERM, SIGUSR1 and SIGINT, each at a random time of a run that starts from the corpus. The exit code is 75
/// (or 0, if the run was over), and the resumed run ends as an uninterrupted one.
///
/// # Panics
/// If not.
#[must_use]
pub fn signals(extent: Extent, count: u64) -> String {
    let mut latencies = Vec::new();
    let (mut before, mut during, mut late) = (0, 0, 0);
    at_random_times(extent, count, |e, child, i| {
        let sent = Instant::now();
        send(["TERM", "USR1", "INT"][usize::try_from(i % 3).unwrap_or(0)], child);
        let status = child.wait().expect("a child");
        match status.code() {
            Some(75) => {
                latencies.push(sent.elapsed());
                if e.run().join(PROVENANCE_FILE).exists() { during += 1 } else { before += 1 }
            }
            Some(0) => late += 1,
            _ => panic!("{}: {status}", e.architecture()),
        }
    });
    latencies.sort_unstable();
    let median = latencies.get(latencies.len() / 2).copied().unwrap_or_default();
    let longest = latencies.last().copied().unwrap_or_default();
    format!(
        "{before} stopped before training, {during} during, {late} came too late; all resumed to the same files; exit \
         after {median:.1?} (median), {longest:.1?} (longest)"
    )
}

/// B1, A1: SIGKILL at random times of a run that starts from the corpus; `--resume` ends as an uninterrupted run.
///
/// # Panics
/// If not.
#[must_use]
pub fn kills(extent: Extent, count: u64) -> String {
    let (mut killed, mut late) = (0, 0);
    at_random_times(extent, count, |_, child, _| {
        // An error means that it has ended.
        let _ = child.kill();
        let code = child.wait().expect("a child").code();
        if code.is_none() { killed += 1 } else { late += 1 }
    });
    format!("{killed} killed, {late} came too late; all resumed to the same files")
}

/// Runs each architecture, does `end` to it at a random time, resumes, and compares with an uninterrupted run.
fn at_random_times(extent: Extent, count: u64, mut end: impl FnMut(&Experiment, &mut Child, u64)) {
    let mut dice = Dice(6);
    for model in models(extent) {
        let e = Experiment::new(&model, extent);
        let start = Instant::now();
        finished(&command(&e, false).stderr(Stdio::piped()).output().expect("it can be started"));
        let milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let whole = e.files();
        for i in 0..count {
            e.clear_all();
            let mut child = command(&e, false).spawn().expect("it can be started");
            wait_for_handlers(&mut child);
            std::thread::sleep(Duration::from_millis(dice.below(milliseconds.max(1))));
            end(&e, &mut child, i);
            let resumed = command(&e, true).stderr(Stdio::piped()).output();
            finished(&resumed.expect("it can be started"));
            let differ = differences(&whole, &e.files()).join(", ");
            assert!(differ.is_empty(), "{}: {differ} differ", e.architecture());
        }
    }
}

/// B6: the second Ctrl-C ends the program at once, with exit code 130.
///
/// # Panics
/// If it does not.
#[must_use]
pub fn second_interrupt() -> String {
    // A model so large that a step takes longer than the pause between the signals.
    let extent = Extent { layers: 4, width: 256, steps: 12, rows: 128 };
    let mut e = Experiment::new(&models(extent)[0], extent);
    (e.config.data.batch_size, e.config.training.gradient_accumulation_steps) = (64, 2);
    for attempt in 1..=20 {
        e.clear_all();
        let mut child = command(&e, false).spawn().expect("it can be started");
        while !e.checkpoint(0).exists() && child.try_wait().expect("a child").is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_millis(30));
        send("INT", &child);
        std::thread::sleep(Duration::from_millis(20));
        send("INT", &child);
        match child.wait().expect("a child").code() {
            Some(130) => return format!("exit code 130 at attempt {attempt}"),
            // It stopped in good order between the two.
            Some(75) => {}
            code => panic!("exit code {code:?}"),
        }
    }
    panic!("in 20 attempts, no second signal came in time")
}

/// `foundry evaluate` while it writes a table: SIGINT and SIGTERM end it with exit code 75, the table that was there
/// before stays as it was, and of the one in the making nothing is left.
///
/// # Panics
/// If not.
pub fn scoring_stops() {
    let place = Workplace::new();
    let _ = place.foundry("train tiny.yaml").ok();
    let (text, old) = (String::from_utf8(place.read("corpus.txt")).expect("text"), b"of before\n");
    place.write("long.txt", text.repeat(500).as_bytes());
    place.write("line.txt", text.repeat(100).replace('\n', " ").as_bytes());
    let pairs = "{\"good\": \"the cat sat on mat\", \"bad\": \"the cat sat mat on\"}\n";
    place.write("pairs.jsonl", pairs.repeat(200_000).as_bytes());
    for (scored, table) in [
        ("--perplexity long.txt", "perplexity.csv"),
        ("--perplexity long.txt --by-line", "perplexity.csv"),
        ("--surprisal long.txt", "surprisal.csv"),
        ("--surprisal line.txt", "surprisal.csv"),
        ("--perplexity line.txt", "perplexity.csv"),
        ("--minimal-pairs pairs.jsonl", "pairs.csv"),
    ] {
        for (signal, words) in [("INT", "SIGINT"), ("TERM", "SIGTERM")] {
            let (name, partial) = (format!("eval/{table}"), format!("eval/{table}.partial"));
            let _ = std::fs::remove_dir_all(place.path("eval"));
            place.write(&name, old);
            let mut command = Command::new(binary());
            command.current_dir(place.folder()).args(["evaluate", "runs/tiny"]);
            command.args(scored.split(' ')).args(["--tables", "eval"]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            let mut child = command.spawn().expect("it can be started");
            while !place.path(&partial).exists() && child.try_wait().expect("a child").is_none() {
                std::thread::sleep(Duration::from_millis(2));
            }
            send(signal, &child);
            let output = child.wait_with_output().expect("a child");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(75), "{scored}: {said}");
            assert!(said.contains(words) && said.contains("again"), "{scored}: {said}");
            assert_eq!(place.read(&name), old, "{scored}");
            assert!(!place.path(&partial).exists(), "{scored}");
        }
    }
}

/// A7: the losses of a run with each instruction set differ by at most 1e-5, relatively; the state says which it was;
/// going on with another is warned about.
///
/// # Panics
/// If not.
#[must_use]
pub fn instruction_sets(extent: Extent) -> String {
    let mut report = Vec::new();
    for model in models(extent) {
        let e = Experiment::new(&model, extent);
        let mut losses = Vec::new();
        for isa in Isa::available() {
            let mut command = command(&e, false);
            let output = command.env(VARIABLE, isa.name()).stderr(Stdio::piped()).output();
            finished(&output.expect("it can be started"));
            let state =
                std::fs::read(e.checkpoint(extent.steps).join(STATE_FILE)).expect("a state");
            let state: Value = serde_json::from_slice(&state).expect("a state");
            assert_eq!(state["isa"], isa.name());
            let name = e.config.training.objective().loss_name();
            let loss = |r: &serde_json::Map<String, Value>| r.get(name)?.as_f64();
            losses.push(e.metrics().iter().rev().find_map(loss).expect("a loss"));
            e.clear();
        }
        let largest = losses.iter().copied().fold(f64::MIN, f64::max);
        let smallest = losses.iter().copied().fold(f64::MAX, f64::min);
        let difference = (largest - smallest) / smallest;
        assert!(difference <= 1e-5, "{}: {losses:?}", e.architecture());
        report.push(format!("{} {difference:.1e}", e.architecture()));

        if Isa::best() != Isa::Portable {
            e.interrupt(Wish::Start, &mut after(4));
            let mut command = command(&e, true);
            let output =
                command.env(VARIABLE, Isa::Portable.name()).stderr(Stdio::piped()).output();
            let output = output.expect("it can be started");
            finished(&output);
            let said = String::from_utf8_lossy(&output.stderr);
            let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
            let warning = format!(
                "computes with portable, the checkpoint was computed with {}",
                Isa::best().name()
            );
            assert!(words.contains(&warning), "no warning: {said}");
        }
    }
    let sets: Vec<_> = Isa::available().map(Isa::name).collect();
    format!("{}: relative difference of the last loss {}", sets.join(", "), report.join(", "))
}

/// B7: two processes begin the same run at once; one trains, the other is told who does.
///
/// # Panics
/// If both do, or none.
#[must_use]
pub fn lock_race(pairs: usize) -> String {
    for _ in 0..pairs {
        let place = Workplace::new();
        let call = "train tiny.yaml --set training.train_steps=1000000 --set training.time_limit=2 \
                    --set training.auto_generate_checkpoints=false";
        let start = std::sync::Barrier::new(2);
        let mut ran = std::thread::scope(|scope| {
            let race = || {
                start.wait();
                place.foundry(call)
            };
            let threads = [scope.spawn(race), scope.spawn(race)];
            threads.map(|thread| thread.join().expect("a call that ends"))
        });
        ran.sort_by_key(|ran| ran.code);
        let [loser, winner] = ran;
        let _ = winner.ended(75).says(&["checkpoint-"]);
        let _ = loser.says(&["is in use by process "]);
    }
    format!("{pairs} pairs: of each exactly one")
}
