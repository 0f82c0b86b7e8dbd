//! Foundry seen from outside: one binary, a module a subject.
#![forbid(unsafe_code)]
#![allow(non_snake_case, reason = "tests are named test_feature__scenario")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod test_cli;
mod test_compare;
mod test_configs;
mod test_data;
mod test_determinism;
mod test_durability;
mod test_errors;
mod test_evaluation;
mod test_fixtures;
mod test_golden;
mod test_golden_bert;
mod test_golden_ops;
mod test_golden_recurrent;
mod test_hostile;
mod test_house;
mod test_interchange;
mod test_leaks;
mod test_live_fields;
mod test_masked_lm;
mod test_numbers;
mod test_program;
mod test_reference;
mod test_regressions;
mod test_report;
mod test_resume;
mod test_tokenizers;
