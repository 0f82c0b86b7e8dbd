//! Tests that look at Foundry from outside, in one binary.
#![allow(non_snake_case, reason = "tests are named test_feature__scenario")]

mod test_durability;
mod test_lstm_sequence;
