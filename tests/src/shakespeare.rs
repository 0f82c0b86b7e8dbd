//! Real text, letter by letter: between what is too good to be true and what pairs of letters give (defect D-01).

use crate::sources::{Effort, configs, mean_loss, train};
use foundry_engine::rng::{Purpose, Stream, key};
use foundry_models::arch::Size;
use foundry_models::config::ModelConfig;
use std::fmt::Write;

/// Nats a letter that no model of this size and training reaches honestly.
pub const TOO_GOOD: f64 = 1.0;
/// Nats a letter of a model that knows nothing but which letter follows which.
pub const PAIRS: f64 = 2.48;

/// Letters of a row.
const ROW: usize = 48;

/// What a row of letters is to teach.
#[derive(Clone, Copy)]
enum Labels {
    /// At each letter the next one.
    Next,
    /// At each letter itself: the labels of a model that does not shift them.
    Same,
}

/// Trains every causal architecture on nine tenths of `text`, and gives what it comes to on the last tenth; as a
/// control, also models whose labels are not shifted.
///
/// # Panics
/// If a model is not between [`TOO_GOOD`] and [`PAIRS`], or a control is.
#[must_use]
pub fn between_bounds(text: &str, effort: Effort) -> String {
    let (ids, vocab) = letters(text);
    let (learned, held_out) = ids.split_at(ids.len() / 10 * 9);
    let pairs = pairs(learned, held_out, vocab);
    assert!((pairs - PAIRS).abs() < 0.03, "the text is another: pairs of letters give {pairs:.3}");
    let size = Size { vocab, positions: ROW };
    let mut report = format!("pairs of letters {pairs:.3} nats");
    for (name, mut config) in configs(effort.width) {
        if config.is_bidirectional() {
            continue;
        }
        match &mut config {
            ModelConfig::Gpt2(t) => t.layers = 1,
            ModelConfig::Lstm(r) | ModelConfig::Gru(r) | ModelConfig::Rnn(r) => r.num_layers = 1,
            ModelConfig::Bert(_) => {}
        }
        let loss = |labels: Labels| {
            let mut random = Stream::new(key(3, Purpose::Test, 0, 0));
            let any = |text: &[u32], random: &mut Stream| {
                let last = u32::try_from(text.len() - ROW).unwrap_or(u32::MAX);
                row(text, random.below(last) as usize, labels)
            };
            let model = train(&config, size, 1e-2, effort.updates, || any(learned, &mut random));
            let rows: Vec<_> = (0..effort.held_out).map(|_| any(held_out, &mut random)).collect();
            mean_loss(&*model, &rows)
        };
        let honest = loss(Labels::Next);
        assert!(honest > TOO_GOOD, "{name}: {honest:.3} nats a letter: the labels leak");
        assert!(honest < PAIRS, "{name}: {honest:.3} nats a letter: less than pairs of letters");
        let copied = loss(Labels::Same);
        assert!(copied < TOO_GOOD, "{name}: the alarm does not ring: {copied:.3}");
        let _ = write!(report, "; {name} {honest:.3} (copying {copied:.3})");
    }
    report
}

/// The text as numbers of letters, and how many letters there are.
fn letters(text: &str) -> (Vec<u32>, usize) {
    let mut alphabet: Vec<char> = text.chars().collect();
    alphabet.sort_unstable();
    alphabet.dedup();
    let number = |c| alphabet.binary_search(&c).map_or(0, |i| u32::try_from(i).unwrap_or(0));
    (text.chars().map(number).collect(), alphabet.len())
}

/// What is read and what is predicted, from a place in the text.
fn row(text: &[u32], at: usize, labels: Labels) -> (Vec<u32>, Vec<u32>) {
    let read = text[at..at + ROW].to_vec();
    let labels = match labels {
        Labels::Next => text[at + 1..=at + ROW].to_vec(),
        Labels::Same => read.clone(),
    };
    (read, labels)
}

/// Nats a letter of a model that has counted pairs, each once more than it was seen.
fn pairs(learned: &[u32], held_out: &[u32], vocab: usize) -> f64 {
    let mut counts = vec![1.0; vocab * vocab];
    let at = |pair: &[u32]| pair[0] as usize * vocab + pair[1] as usize;
    learned.windows(2).for_each(|pair| counts[at(pair)] += 1.0);
    let total: Vec<f64> = counts.chunks(vocab).map(|row| row.iter().sum()).collect();
    let nats = held_out.windows(2).map(|pair| -(counts[at(pair)] / total[pair[0] as usize]).ln());
    let (mut sum, mut n) = (0.0, 0.0);
    nats.for_each(|nats| (sum, n) = (sum + nats, n + 1.0));
    sum / n
}
