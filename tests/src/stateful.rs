//! Runs whose state goes on from block to block: interrupted and resumed against uninterrupted ones.

use crate::experiment::{
    Experiment, Extent, after, alter, differences, resized, with_numbers, with_tensors,
};
use crate::tiny;
use foundry_models::config::{ModelConfig, RnnConfig};
use foundry_models::train::carried::CARRIED_FILE;
use foundry_models::train::checkpoint::{MODEL_FILE, folder_name};
use foundry_models::train::run_folder::Wish;

/// Stopped after every step in turn, the files are those of the uninterrupted run; with the carried state set to zeros
/// they are not.
///
/// # Panics
/// If not.
#[must_use]
pub fn every_interruption(extent: Extent) -> String {
    let carries = RnnConfig { stateful: true, ..tiny::rnn(0.1) };
    let mut runs = 0;
    for model in [
        ModelConfig::Lstm(carries.clone()),
        ModelConfig::Gru(carries.clone()),
        ModelConfig::Rnn(carries),
    ] {
        let e = Experiment::new(&resized(model, extent), extent);
        let whole = e.finish(Wish::Start);
        for step in 0..extent.steps {
            e.clear();
            assert_eq!(e.interrupt(Wish::Start, &mut after(step)), step);
            let files = e.finish(Wish::Resume);
            let differ = differences(&whole, &files);
            assert!(differ.is_empty(), "{} after step {step}: {differ:?}", e.architecture());
            runs += 1;
        }

        let half = extent.steps / 2;
        e.clear();
        e.interrupt(Wish::Start, &mut after(half));
        alter(&e.checkpoint(half), CARRIED_FILE, |bytes| {
            with_tensors(&bytes, |all| {
                assert!(!all.is_empty(), "no state is carried");
                all.values_mut().for_each(|tensor| with_numbers(&mut tensor.2, |_, _| 0.0));
            })
        });
        let files = e.finish(Wish::Resume);
        let last = format!("{}/{MODEL_FILE}", folder_name(extent.steps));
        let differ = differences(&whole, &files);
        assert!(differ.contains(&last.as_str()), "{}: a lost state goes unseen", e.architecture());
    }
    format!("{runs} interrupted runs, all as uninterrupted; a lost state is seen")
}
