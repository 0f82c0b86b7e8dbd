//! Broken and hostile files; `soak D3` to `soak D7` do the same at full size.

use foundry_tests::experiment::SMALL;
use foundry_tests::hostile;

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
