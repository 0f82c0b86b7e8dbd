//! `cargo run --release -p foundry-tests --bin soak -- ROW`: a row of the reliability table at its full size.
#![forbid(unsafe_code)]

use foundry_tests::experiment::{Extent, FULL};
use foundry_tests::{
    accumulation, determinism, durability, hostile, limits, mortal, numbers, program, resume,
    scoring, sources,
};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// A row: its name, what it does, and the function that returns what it found (and panics if a promise is broken).
type Row = (&'static str, &'static str, fn() -> String);

const ROWS: &[Row] = &[
    ("A1", "runs stopped after each of 40 steps, and after every step", || {
        resume::every_interruption(FULL)
    }),
    ("A1-calls", "runs that die at each call that changes the disk", || {
        mortal::every_death(FULL, 1)
    }),
    ("A1-watched", "as A1, with early stopping, plateau, moving average", || resume::watched(FULL)),
    ("A1-control", "resume states of which one thing is wrong", || resume::wrong_state(FULL)),
    ("A2", "the order of the rows over three epochs, entered anywhere", || {
        resume::data_order(&[1, 2, 3, 4, 5, 31, 64, 97, 200])
    }),
    ("A4", "every tensor of the optimizer's memory damaged", || resume::wrong_optimizer(FULL)),
    ("A6", "50 updates on 1 to 16 threads, three times each", || {
        determinism::threads(Extent { steps: 50, ..FULL }, &[1, 2, 3, 4, 8, 16], 3)
    }),
    ("A7", "50 updates with each instruction set", || {
        program::instruction_sets(Extent { steps: 50, ..FULL })
    }),
    ("A8", "a window of rows cut into micro-batches in four ways", accumulation::every_cut),
    ("B1", "200 kills -9 of a process that saves checkpoints", kills),
    ("B1-calls", "every system call of a save killed, or failed, in turn", system_calls),
    ("B2", "every call of a save fails in turn", durability::failing_calls),
    ("B3", "10,000 states of the disk after a power cut", || durability::power_cuts(10_000)),
    ("B4", "2,000 flipped bits, 200 cuts, every deletion", || durability::damage(2_000, 200)),
    ("B5", "10,000 random lives of a run", || durability::random_lives(10_000)),
    ("B6", "signals at 100 random times, to each architecture", || program::signals(FULL, 100)),
    ("B6-kill", "kill -9 at 100 random times, to each architecture", || program::kills(FULL, 100)),
    ("B7", "50 pairs of processes that begin one run", || program::lock_race(50)),
    ("B8", "runs of 100 saves copied, packed and renamed", || {
        limits::copies(Extent { steps: 100, ..FULL })
    }),
    ("C1", "every parameter not finite, or 1e38 times too large", || numbers::not_finite(FULL)),
    ("C1-inside", "a NaN in every gradient, and in the hidden states", || {
        numbers::not_finite_inside(FULL)
    }),
    ("C1-run", "every tensor of a resume state poisoned", || numbers::nothing_poisoned(FULL)),
    ("C3", "2,000 updates on random tokens, and models that cheat", || numbers::leak_alarm(2_000)),
    ("C4", "the loss of five sequences by hand", numbers::loss_by_hand),
    ("C5", "models whose every probability is known", scoring::oracles),
    ("C6", "memory of scoring 1 MB and 10 MB", || scoring::memory(1_000_000, 10)),
    ("D1", "pickles under any name", scoring::pickles),
    ("D2", "20 million headers of tensor files", || scoring::hostile_tensors(20_000_000)),
    ("D10", "no file names a place of this machine", scoring::no_places),
    ("D3", "24 tokenizer files by hand, and 20,000 mutations", || hostile::tokenizers(20_000)),
    ("D4", "YAML bombs, and 20,000 mutations", || hostile::configurations(20_000)),
    ("D5", "ids at each boundary", hostile::ids_at_boundaries),
    ("D6", "a text of every token of a vocabulary", || {
        hostile::id_widths(&[65_535, 65_536, 65_537, 119_547])
    }),
    ("D7", "500 cuts and 5,000 flipped bits of a dataset and of a cache", || {
        hostile::damage(500, 5_000)
    }),
    ("D7-run", "a cache that is cut while a run reads it", || hostile::cut_while_training(FULL)),
    ("D8", "hostile names, and links where deletions go", limits::names),
    ("D9", "sizes that no machine has", limits::absurd_sizes),
    ("D9-line", "one line of 100 MB becomes tokens", || limits::one_line(100_000_000)),
    ("markov", "every causal architecture on a Markov chain of order 2", || {
        sources::markov(sources::FULL)
    }),
    ("markov-masked", "every model that reads both ways on a Markov chain with gaps", || {
        sources::masked_markov(sources::FULL)
    }),
    ("counting", "recurrent models on a^n b^n", || sources::counting(sources::FULL)),
    ("brackets", "recurrent models on brackets of two kinds", || sources::brackets(sources::FULL)),
];

fn kills() -> String {
    durability::kills(&std::env::current_exe().expect("a program knows its path"), 200)
}

fn system_calls() -> String {
    durability::system_calls(&std::env::current_exe().expect("a program knows its path"))
}

#[expect(clippy::print_stdout, reason = "this is a program")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["save-forever", folder] => durability::save_forever(Path::new(folder)),
        ["save-once", folder] => match durability::save_once(Path::new(folder)) {
            // `println!` would panic where this very write is the one that fails.
            Ok(step) if writeln!(std::io::stdout(), "{step}").is_err() => return ExitCode::FAILURE,
            Ok(_) => {}
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "{error}");
                return ExitCode::from(error.exit_code());
            }
        },
        [wanted] if ROWS.iter().any(|row| row.0 == wanted) => {
            for (name, _, run) in ROWS.iter().filter(|row| row.0 == wanted) {
                println!("{name}: {}", run());
            }
        }
        _ => {
            println!("soak ROW, where ROW is one of:");
            for (name, what, _) in ROWS {
                println!("  {name}  {what}");
            }
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
