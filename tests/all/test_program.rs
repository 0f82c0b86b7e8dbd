//! The program under signals and with each instruction set; `soak B6`, `soak B6-kill` and `soak A7` do the same at full
//! size.

use foundry_tests::experiment::{Extent, SMALL};
use foundry_tests::program;

#[test]
#[cfg(target_os = "linux")]
fn test_program__a_signal_at_any_time_stops_it_resumably() {
    let report = program::signals(SMALL, 6);
    assert!(report.contains("all resumed to the same files"), "{report}");
}

#[test]
#[cfg(target_os = "linux")]
fn test_program__a_kill_at_any_time_loses_nothing() {
    let report = program::kills(SMALL, 5);
    assert!(report.ends_with("all resumed to the same files"), "{report}");
}

#[test]
#[cfg(target_os = "linux")]
fn test_program__second_ctrl_c_exits_130() {
    let report = program::second_interrupt();
    assert!(report.starts_with("exit code 130"), "{report}");
}

#[test]
fn test_program__instruction_sets_agree_and_a_change_is_warned_about() {
    let report = program::instruction_sets(Extent { width: 32, ..SMALL });
    assert!(report.contains("relative difference"), "{report}");
}

#[test]
fn test_program__scoring_that_is_stopped_leaves_no_table_that_looks_whole() {
    program::scoring_stops();
}
