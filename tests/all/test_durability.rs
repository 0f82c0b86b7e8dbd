//! Checkpoints under kill -9, power cuts and damage; `soak B1` to `soak B8` run the same at full size.

use foundry_tests::experiment::SMALL;
use foundry_tests::{durability, limits};
use std::path::Path;

#[test]
fn test_durability__killed_processes_lose_no_checkpoint() {
    let report = durability::kills(Path::new(env!("CARGO_BIN_EXE_soak")), 15);
    assert!(report.starts_with("15 kills over "), "{report}");
}

#[test]
fn test_durability__power_cuts_and_random_lives_lose_no_checkpoint() {
    assert_eq!(durability::power_cuts(400), "400 crash states, 0 without a whole checkpoint");
    assert_eq!(durability::random_lives(100), "100 lives, 800 saves, 0 promised checkpoints lost");
}

#[test]
fn test_durability__damage_is_always_seen() {
    assert_eq!(durability::damage(200, 50), "200 flipped bits, 50 cuts, 5 deletions: all seen");
}

#[test]
fn test_durability__a_moved_run_goes_on_and_foreign_files_stay() {
    let report = limits::copies(SMALL);
    assert!(report.starts_with("24 moved runs of 12 saves"), "{report}");
}
