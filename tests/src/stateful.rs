//! Runs whose state goes on from block to block: interrupted and resumed against uninterrupted ones.

use crate::experiment::{
    Experiment, Extent, after, alter, differences, resized, with_numbers, with_tensors,
};
use crate::tiny;
use foundry_models::config::Placement;
use foundry_models::config::choices::CheckpointUnit;
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

/// Checkpoints at numbers of words and tokens are where the run, which reads in columns, has just seen so many.
///
/// # Panics
/// If not.
#[must_use]
pub fn checkpoints_by_count(extent: Extent) -> String {
    let carries = RnnConfig { stateful: true, ..tiny::rnn(0.1) };
    let model = resized(ModelConfig::Lstm(carries), extent);
    let mut found = 0;
    for (unit, field) in
        [(CheckpointUnit::Words, "words_seen"), (CheckpointUnit::Tokens, "tokens_seen")]
    {
        let mut e = Experiment::new(&model, extent);
        // Lines of eight words, then lines of one: what an update sees depends on which rows it reads.
        let line = |i| if i < extent.rows / 3 { "a b c d e f g h\n" } else { "abcdefghijklabc\n" };
        let text: String = (0..extent.rows).map(line).collect();
        std::fs::write(e.folder().join("train.txt"), text).expect("room enough");
        let _ = e.finish(Wish::Start);
        let records = e.metrics();
        let seen: Vec<u64> = records
            .iter()
            .filter(|record| record.contains_key("grad_norm"))
            .map(|record| record[field].as_u64().expect("a count"))
            .collect();
        // One more than after an update: the next one is the first to reach it.
        let steps: Vec<usize> = (2..seen.len()).step_by(2).collect();
        let targets = steps.iter().map(|step| seen[step - 2] + 1).collect();
        e.clear();
        let checkpoints = &mut e.config.training.checkpoints;
        (checkpoints.unit, checkpoints.placement) = (unit, Placement::Listed(targets));
        checkpoints.rolling_resume_every_steps = None;
        let _ = e.finish(Wish::Start);
        for step in 1..seen.len() {
            let there = e.checkpoint(step as u64).exists();
            assert_eq!(there, steps.contains(&step), "{field}: a checkpoint of step {step}");
            found += usize::from(there);
        }
    }
    format!("{found} checkpoints by words and tokens, each of the update that reached them")
}
