//! A run that was interrupted ends as one that was not; `soak A1` to `soak A4` do the same at full size.

use foundry_tests::experiment::SMALL;
use foundry_tests::{mortal, resume, stateful};

#[test]
fn test_resume__stopped_anywhere_every_file_is_that_of_the_uninterrupted_run() {
    let report = resume::every_interruption(SMALL);
    assert!(report.ends_with("all as uninterrupted"), "{report}");
}

#[test]
fn test_resume__dead_at_any_change_of_the_disk_every_file_is_that_of_the_uninterrupted_run() {
    let report = mortal::every_death(SMALL, 6);
    assert!(report.ends_with("all as uninterrupted"), "{report}");
}

#[test]
fn test_resume__what_a_run_remembers_of_its_validations_survives_every_interruption() {
    let report = resume::watched(SMALL);
    assert!(report.ends_with("all as uninterrupted"), "{report}");
}

#[test]
fn test_resume__a_state_that_is_carried_from_block_to_block_survives_every_interruption() {
    let report = stateful::every_interruption(SMALL);
    assert!(report.ends_with("a lost state is seen"), "{report}");
}

#[test]
fn test_resume__a_wrong_resume_state_is_seen() {
    let report = resume::wrong_state(SMALL);
    assert!(report.ends_with("missing fields are refused"), "{report}");
}

#[test]
fn test_resume__damaged_optimizer_tensors_are_refused_by_name() {
    let report = resume::wrong_optimizer(SMALL);
    assert!(report.ends_with("all refused by name"), "{report}");
}

#[test]
fn test_resume__every_row_comes_once_an_epoch_wherever_the_run_is_entered() {
    let report = resume::data_order(&[1, 3, 4, 13, 26]);
    assert!(report.ends_with("every row once an epoch"), "{report}");
}

#[test]
fn test_resume__checkpoints_by_words_follow_the_columns_of_a_stateful_model() {
    let report = stateful::checkpoints_by_count(SMALL);
    assert!(report.starts_with("10 checkpoints"), "{report}");
}
