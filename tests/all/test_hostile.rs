//! Broken and hostile files; `soak D3` to `soak D9` do the same at full size.

use foundry_tests::experiment::SMALL;
use foundry_tests::{hostile, limits};

#[test]
fn test_d3__a_tokenizer_file_never_panics() {
    let report = hostile::tokenizers(200);
    assert!(report.ends_with("no panic"), "{report}");
}

#[test]
fn test_d4__a_configuration_is_read_or_refused() {
    let report = hostile::configurations(300);
    assert!(report.ends_with("no panic"), "{report}");
}

#[test]
fn test_d5__ids_at_each_boundary() {
    let report = hostile::ids_at_boundaries();
    assert!(report.starts_with("50 ids"), "{report}");
}

#[test]
fn test_d6__every_id_comes_back_at_every_width() {
    let report = hostile::id_widths(&[65_535, 65_536, 65_537]);
    assert!(report.ends_with("every id came back"), "{report}");
}

#[test]
fn test_d7__damage_is_an_error_and_no_signal() {
    let report = hostile::damage(40, 150);
    assert!(report.ends_with("cache: all refused"), "{report}");
}

#[test]
fn test_d7__a_cache_cut_while_training_is_an_error_to_resume_from() {
    let report = hostile::cut_while_training(SMALL);
    assert!(report.ends_with("the same files"), "{report}");
}

#[test]
fn test_d8__names_and_links_reach_nothing_outside() {
    let report = limits::names();
    assert!(report.starts_with("36 hostile names refused"), "{report}");
}

#[test]
fn test_d9__sizes_that_no_machine_has_are_refused_with_little_memory() {
    let report = limits::absurd_sizes();
    assert!(report.starts_with("25 calls refused"), "{report}");
}

#[test]
fn test_d9__a_long_line_takes_little_memory() {
    let report = limits::one_line(2_000_000);
    assert!(report.starts_with("one line of 2 MB"), "{report}");
}
