//! Numbers that are not finite are stopped at once; the loss is the one worked out by hand. `soak C1` and `soak C4` do
//! the same at full size.

use foundry_tests::experiment::SMALL;
use foundry_tests::numbers;

#[test]
fn test_numbers__a_parameter_that_is_not_finite_is_found_in_the_same_step() {
    let report = numbers::not_finite(SMALL);
    assert!(report.ends_with("0 unseen"), "{report}");
}

#[test]
fn test_numbers__a_number_that_goes_wrong_inside_a_step_is_found_in_it() {
    let report = numbers::not_finite_inside(SMALL);
    assert!(report.ends_with("all seen in it"), "{report}");
}

#[test]
fn test_numbers__a_poisoned_run_saves_nothing_and_goes_on_from_the_checkpoint_before() {
    let report = numbers::nothing_poisoned(SMALL);
    assert!(report.ends_with("resumed from the one before"), "{report}");
}

#[test]
fn test_numbers__loss_of_five_sequences_by_hand() {
    let report = numbers::loss_by_hand();
    assert!(report.contains("as by hand"), "{report}");
}
