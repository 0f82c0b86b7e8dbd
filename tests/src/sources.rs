//! What models learn of sources whose probabilities are known: Markov chains, and languages that need counting or a
//! stack.

use crate::tiny;
use foundry_engine::rng::{Purpose, Stream, key};
use foundry_engine::{Ctx, DType, Device, Init};
use foundry_models::arch::{ARCHITECTURES, Batch, LanguageModel, Size};
use foundry_models::collate::{HostBatch, IGNORE};
use foundry_models::config::{BertConfig, ModelConfig, RnnConfig, TransformerConfig};
use foundry_models::optim::{Optimizer, Rule};
use foundry_models::train::learning_rate::{LearningRate, LrShape};
use foundry_models::train::trainer::Trainer;
use std::fmt::Write;

/// How much is trained and measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Updates.
    pub updates: u64,
    /// Held-out rows.
    pub held_out: usize,
    /// Width of the models.
    pub width: usize,
}

/// The sizes of `soak`.
pub const FULL: Effort = Effort { updates: 3000, held_out: 6400, width: 64 };

/// Tokens of the chains; one more hides a token.
const LETTERS: u32 = 6;
/// Tokens of a row.
const ROW: usize = 34;
/// Rows of a batch.
const BATCH: usize = 32;

/// A Markov chain of order k: the probability of each letter after each k letters.
pub struct Chain {
    order: usize,
    next: Vec<Vec<f64>>,
}

impl Chain {
    /// A chain whose probabilities are drawn at random, uneven enough that there is something to learn.
    #[must_use]
    pub fn new(order: usize, seed: u64) -> Self {
        let mut random = Stream::new(key(seed, Purpose::Test, 0, 0));
        let contexts = (0..order).fold(1, |n, _| n * LETTERS as usize);
        let mut row = || {
            let weights: Vec<f64> = (0..LETTERS).map(|_| (1.5 * random.normal()).exp()).collect();
            let total: f64 = weights.iter().sum();
            weights.into_iter().map(|w| w / total).collect()
        };
        Self { order, next: (0..contexts).map(|_| row()).collect() }
    }

    /// The distribution of the letter after these; the last `order` of them count.
    fn after(&self, letters: &[u32]) -> &[f64] {
        let last = &letters[letters.len() - self.order..];
        &self.next[last.iter().fold(0, |at, l| at * LETTERS as usize + *l as usize)]
    }

    /// A row that begins anywhere in the chain.
    fn row(&self, random: &mut Stream) -> Vec<u32> {
        let mut row: Vec<u32> = (0..self.order).map(|_| random.below(LETTERS)).collect();
        // Far enough for the beginning to be forgotten.
        while row.len() < 50 + ROW + 1 {
            let p = self.after(&row);
            row.push(draw(p, random));
        }
        row.split_off(50)
    }
}

fn draw(p: &[f64], random: &mut Stream) -> u32 {
    let mut at = random.uniform();
    for (letter, p) in (0..).zip(p) {
        at -= p;
        if at < 0.0 {
            return letter;
        }
    }
    LETTERS - 1
}

/// Rows as a batch: what is read, and what is predicted.
fn batch(rows: &[(Vec<u32>, Vec<u32>)]) -> HostBatch {
    let time = rows.iter().map(|(ids, _)| ids.len()).max().unwrap_or(0);
    let pad = |x: &[u32], with: u32| {
        let mut x = x.to_vec();
        x.resize(time, with);
        x
    };
    let labels: Vec<u32> = rows.iter().flat_map(|(_, labels)| pad(labels, IGNORE)).collect();
    let lengths: Vec<u32> =
        rows.iter().map(|(ids, _)| u32::try_from(ids.len()).unwrap_or(u32::MAX)).collect();
    let mask = lengths.iter().flat_map(|&n| (0..time).map(move |t| u32::from(t < n as usize)));
    HostBatch {
        batch: rows.len(),
        time,
        rows: (0..rows.len() as u64).collect(),
        ids: rows.iter().flat_map(|(ids, _)| pad(ids, 0)).collect(),
        mask: mask.collect(),
        real_tokens: lengths.iter().map(|&n| u64::from(n)).sum(),
        targets: labels.iter().filter(|l| **l != IGNORE).count() as u64,
        lengths,
        labels,
        ..HostBatch::default()
    }
}

/// A model of each kind, without dropout.
pub(crate) fn configs(width: usize) -> Vec<(String, ModelConfig)> {
    let transformer = TransformerConfig {
        hidden_size: width,
        intermediate_hidden_size: 4 * width,
        initializer_range: 0.05,
        ..tiny::transformer(0.0)
    };
    let rnn = |bidirectional| RnnConfig {
        embedding_size: width,
        hidden_size: width,
        bidirectional,
        ..tiny::rnn(0.0)
    };
    let both = |name: &str, one: fn(RnnConfig) -> ModelConfig| {
        [(name.to_owned(), one(rnn(false))), (format!("bidirectional {name}"), one(rnn(true)))]
    };
    let mut all = vec![
        ("gpt2".to_owned(), ModelConfig::Gpt2(transformer.clone())),
        ("bert".to_owned(), ModelConfig::Bert(BertConfig { transformer, type_vocab_size: 2 })),
    ];
    all.extend(both("lstm", ModelConfig::Lstm));
    all.extend(both("gru", ModelConfig::Gru));
    all.extend(both("rnn", ModelConfig::Rnn));
    all
}

fn trainer(config: &ModelConfig, size: Size, rate: f64, updates: u64) -> Trainer {
    let init = Init::new(&Device::cpu(), DType::F32, 5);
    let model = ARCHITECTURES.iter().find_map(|a| (a.build)(config, size, &init)).expect("built");
    let rule = Rule::AdamW { beta1: 0.9, beta2: 0.99, epsilon: 1e-8 };
    let optimizer = Optimizer::new(rule, 0.0, &*model);
    let learning_rate = LearningRate {
        shape: LrShape::Cosine,
        peak: rate,
        floor: 0.0,
        warmup_steps: updates / 20,
        total_steps: updates,
        reductions: 0,
    };
    Trainer {
        model,
        optimizer,
        learning_rate,
        max_grad_norm: Some(1.0),
        label_smoothing: 0.0,
        average: None,
        recompute: false,
        carried: None,
        seed: 1,
        device: Device::cpu(),
    }
}

/// Trains on rows that `row` makes, and gives the model.
pub(crate) fn train(
    config: &ModelConfig,
    size: Size,
    rate: f64,
    updates: u64,
    mut row: impl FnMut() -> (Vec<u32>, Vec<u32>),
) -> Box<dyn LanguageModel> {
    let mut t = trainer(config, size, rate, updates);
    for update in 1..=updates {
        let rows: Vec<_> = (0..BATCH).map(|_| row()).collect();
        t.step(update, &[batch(&rows)]).unwrap_or_else(|e| panic!("{e}"));
    }
    t.model
}

/// The mean loss of rows, in nats a target.
pub(crate) fn mean_loss(model: &dyn LanguageModel, rows: &[(Vec<u32>, Vec<u32>)]) -> f64 {
    let (mut sum, mut targets) = (0.0, 0);
    for rows in rows.chunks(BATCH) {
        let host = batch(rows);
        targets += host.targets;
        let nll = model.nll(&Ctx::eval(), &Batch::from_host(&Device::cpu(), &host), 0.0);
        sum += nll.to_vec_f64().iter().sum::<f64>();
    }
    sum / count(targets)
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 tokens")]
fn count(n: u64) -> f64 {
    n as f64
}

/// Every causal architecture on a chain of order 2: what its loss on held-out rows is above that of the chain itself,
/// in nats a token.
///
/// # Panics
/// If a model is better than the source (its labels leak), or more than 0.02 nats worse.
#[must_use]
pub fn markov(effort: Effort) -> String {
    let chain = Chain::new(2, 1);
    let row = |random: &mut Stream| {
        let letters = chain.row(random);
        let mut labels = letters[1..].to_vec();
        labels[0] = IGNORE; // one letter is too few to know the next by
        (letters[..ROW].to_vec(), labels)
    };
    let mut random = Stream::new(key(2, Purpose::Test, 0, 0));
    let held_out: Vec<_> = (0..effort.held_out).map(|_| row(&mut random)).collect();
    let (mut nll, mut targets) = (0.0, 0);
    for (ids, labels) in &held_out {
        for t in 1..ROW {
            nll -= chain.after(&ids[..=t])[labels[t] as usize].ln();
            targets += 1;
        }
    }
    let truth = nll / count(targets);
    let size = Size { vocab: LETTERS as usize, positions: ROW };
    let mut report = format!("source {truth:.4} nats over {targets} tokens");
    for (name, config) in configs(effort.width) {
        if config.is_bidirectional() {
            continue;
        }
        let mut random = Stream::new(key(3, Purpose::Test, 0, 0));
        let model = train(&config, size, 3e-3, effort.updates, || row(&mut random));
        let excess = mean_loss(&*model, &held_out) - truth;
        assert!((-0.002..=0.02).contains(&excess), "{name}: {excess:+.4} nats; {report}");
        let _ = write!(report, ", {name} {excess:+.4}");
    }
    report
}

/// Every model that reads both ways, on a chain of order 1 of which 15 % of the letters are hidden: its loss above that
/// of the best guess, in nats a hidden letter.
///
/// # Panics
/// If a model is better than the best guess, or more than 0.03 nats worse.
#[must_use]
pub fn masked_markov(effort: Effort) -> String {
    let chain = Chain::new(1, 4);
    let row = |random: &mut Stream| {
        let letters = chain.row(random)[..ROW].to_vec();
        let hidden: Vec<bool> = letters.iter().map(|_| random.uniform() < 0.15).collect();
        let choose = |yes: &dyn Fn(u32) -> u32, no: &dyn Fn(u32) -> u32| {
            letters.iter().zip(&hidden).map(|(&l, &h)| if h { yes(l) } else { no(l) }).collect()
        };
        let ids: Vec<u32> = choose(&|_| LETTERS, &|l| l);
        let labels: Vec<u32> = choose(&|l| l, &|_| IGNORE);
        (ids, labels)
    };
    let mut random = Stream::new(key(2, Purpose::Test, 0, 0));
    let held_out: Vec<_> = (0..effort.held_out).map(|_| row(&mut random)).collect();
    let (mut nll, mut targets) = (0.0, 0);
    for (ids, labels) in &held_out {
        let posterior = chain.posterior(ids);
        for (t, &label) in labels.iter().enumerate().filter(|(_, l)| **l != IGNORE) {
            nll -= posterior[t][label as usize].ln();
            targets += 1;
        }
    }
    let best = nll / count(targets);
    let size = Size { vocab: LETTERS as usize + 1, positions: ROW };
    let mut report = format!("best guess {best:.4} nats over {targets} hidden letters");
    for (name, config) in configs(effort.width) {
        if !config.is_bidirectional() {
            continue;
        }
        let mut random = Stream::new(key(3, Purpose::Test, 0, 0));
        let rate = if config.rnn().is_some() { 3e-3 } else { 1e-3 };
        let model = train(&config, size, rate, 2 * effort.updates, || row(&mut random));
        let excess = mean_loss(&*model, &held_out) - best;
        assert!((-0.003..=0.03).contains(&excess), "{name}: {excess:+.4} nats; {report}");
        let _ = write!(report, ", {name} {excess:+.4}");
    }
    report
}

impl Chain {
    /// The probability of each letter at each place of a row of a chain of order 1, given the letters that are not
    /// hidden: forward and backward (Rabiner 1989, section III).
    fn posterior(&self, ids: &[u32]) -> Vec<Vec<f64>> {
        let letters = LETTERS as usize;
        let seen = |id: u32, l: usize| if id == LETTERS || id as usize == l { 1.0 } else { 0.0 };
        let stationary = (0..200).fold(vec![1.0 / f64::from(LETTERS); letters], |p, _| {
            (0..letters).map(|to| (0..letters).map(|l| p[l] * self.next[l][to]).sum()).collect()
        });
        let normal = |x: Vec<f64>| {
            let total: f64 = x.iter().sum();
            x.into_iter().map(|x| x / total).collect::<Vec<f64>>()
        };
        let mut forward =
            vec![normal((0..letters).map(|l| stationary[l] * seen(ids[0], l)).collect())];
        for &id in &ids[1..] {
            let p = &forward[forward.len() - 1];
            let step = |to: usize| (0..letters).map(|l| p[l] * self.next[l][to]).sum::<f64>();
            forward.push(normal((0..letters).map(|to| step(to) * seen(id, to)).collect()));
        }
        let mut after = vec![1.0; letters];
        for t in (0..ids.len()).rev() {
            forward[t] = normal((0..letters).map(|l| forward[t][l] * after[l]).collect());
            let step = |l: usize| {
                let next = |to: usize| self.next[l][to] * seen(ids[t], to) * after[to];
                (0..letters).map(next).sum()
            };
            after = normal((0..letters).map(step).collect());
        }
        forward
    }
}

/// `a^n b^n`: trained on n up to 16, asked of each n up to 32 whether, after n a's and b's up to the last, every next
/// token that is certain (the b's after the first, and the end) is the most probable one.
///
/// # Panics
/// If an LSTM or a GRU does not solve the lengths it was trained on, or a vanilla network does not get worse with length.
#[must_use]
pub fn counting(effort: Effort) -> String {
    const A: u32 = 0;
    const B: u32 = 1;
    const END: u32 = 2;
    let sequence = |n: usize| {
        let mut row = vec![END];
        row.extend(std::iter::repeat_n(A, n).chain(std::iter::repeat_n(B, n)));
        row.push(END);
        (row[..row.len() - 1].to_vec(), row[1..].to_vec())
    };
    let size = Size { vocab: 3, positions: 80 };
    let mut report = String::from("longest n up to which all are right (trained to 16):");
    let mut curves: Vec<(String, Vec<f64>)> = Vec::new();
    for (name, config) in configs(effort.width) {
        if config.is_bidirectional() || config.rnn().is_none() {
            continue;
        }
        let mut random = Stream::new(key(3, Purpose::Test, 0, 0));
        let one = || sequence(1 + random.below(16) as usize);
        let model = train(&config, size, 3e-3, effort.updates, one);
        // Of the tokens that are certain, the share that is foretold, in percent.
        let foretold = |n: usize| {
            let (ids, labels) = sequence(n);
            let host = batch(&[(ids, labels.clone())]);
            let logits = model.logits(&Ctx::eval(), &Batch::from_host(&Device::cpu(), &host));
            let best: Vec<u32> = logits.to_vec_f64().chunks(3).map(largest).collect();
            let right = (n + 1..=2 * n).filter(|t| best[*t] == labels[*t]).count();
            100.0 * count(right as u64) / count(n as u64)
        };
        let shares: Vec<f64> = (1..=32).map(foretold).collect();
        let right = |share: &f64| *share >= 100.0;
        let longest = shares.iter().take_while(|share| right(share)).count();
        let solved: String = shares.iter().map(|s| if right(s) { '+' } else { '.' }).collect();
        if name == "rnn" {
            assert!(!right(&shares[31]), "a vanilla network of this size does not count to 32");
        } else {
            assert!(longest >= 16, "{name} fails at n = {}: {solved}", longest + 1);
        }
        let _ = write!(report, "\n  {name:<5} {longest:>3}  n = 1..32: {solved}");
        curves.push((name, shares));
    }
    let label = |n: u32| if n.is_multiple_of(8) { n.to_string() } else { String::new() };
    let labels: Vec<String> = (1..=32).map(label).collect();
    save_plot(&curves, &labels, "n of a^n b^n: of the tokens that are certain, the share foretold");
    report
}

/// Dyck-2: brackets of two kinds, nested up to depth 8; trained on rows of 64 tokens, three times as long as the other
/// sources, and asked of rows of 256. The share of closing brackets that are of the right kind, by how many tokens ago
/// theirs was opened. The LSTM begins with a forget bias of 1 (Jozefowicz, Zaremba and Sutskever 2015).
///
/// # Panics
/// If an LSTM or a GRU closes fewer than 998 of 1,000 rightly, or fewer than 99 of 100 at any distance that it was trained
/// on; or if a vanilla network does not get worse with the distance, and worse than both.
#[must_use]
pub fn brackets(effort: Effort) -> String {
    const TRAINED: usize = 64;
    const ASKED: usize = 256;
    // Groups of distances begin at 1 and at these; all but the last two are within a row that is trained on.
    const FROM: [usize; 6] = [4, 8, 16, 32, 64, 128];
    let sequence = |tokens: usize, random: &mut Stream| {
        let (mut row, mut open) = (vec![4], Vec::new());
        while row.len() < tokens {
            let close = open.len() >= 8 || (!open.is_empty() && random.uniform() < 0.5);
            if close {
                row.push(2 + open.pop().unwrap_or(0));
            } else {
                let kind = random.below(2);
                open.push(kind);
                row.push(kind);
            }
        }
        (row[..tokens - 1].to_vec(), row[1..].to_vec())
    };
    let size = Size { vocab: 5, positions: ASKED };
    let labels = ["1-3", "4-7", "8-15", "16-31", "32-63", "64-127", "128+"];
    let mut report =
        format!("closing brackets of the right kind, opened {} tokens ago:", labels.join(", "));
    let mut curves: Vec<(String, Vec<f64>)> = Vec::new();
    for (name, mut config) in configs(effort.width) {
        if config.is_bidirectional() || config.rnn().is_none() {
            continue;
        }
        if let ModelConfig::Lstm(lstm) = &mut config {
            lstm.forget_bias = 1.0;
        }
        let mut random = Stream::new(key(3, Purpose::Test, 0, 0));
        let one = || sequence(TRAINED, &mut random);
        let model = train(&config, size, 3e-3, 3 * effort.updates, one);
        let mut random = Stream::new(key(2, Purpose::Test, 0, 0));
        let (mut right, mut all) = ([0_u64; FROM.len() + 1], [0_u64; FROM.len() + 1]);
        for _ in 0..effort.held_out.div_ceil(8 * BATCH) {
            let rows: Vec<_> = (0..BATCH).map(|_| sequence(ASKED, &mut random)).collect();
            let host = batch(&rows);
            let logits = model.logits(&Ctx::eval(), &Batch::from_host(&Device::cpu(), &host));
            let logits = logits.to_vec_f64();
            for (row, logits) in rows.iter().zip(logits.chunks(5 * (ASKED - 1))) {
                let mut open = Vec::new();
                for (t, &label) in row.1.iter().enumerate() {
                    if label < 2 {
                        open.push(t);
                        continue;
                    }
                    let ago = t - open.pop().unwrap_or(t);
                    let group = FROM.iter().take_while(|from| ago >= **from).count();
                    let closing = &logits[5 * t + 2..5 * t + 4];
                    all[group] += 1;
                    right[group] += u64::from(2 + largest(closing) == label);
                }
            }
        }
        let share = |right: u64, all: u64| 100.0 * count(right) / count(all.max(1));
        let overall = share(right.iter().sum(), all.iter().sum());
        let shares: Vec<f64> = right.iter().zip(all).map(|(r, a)| share(*r, a)).collect();
        let trained = &shares[..FROM.len() - 1];
        if name == "rnn" {
            assert!(shares[3] < shares[0], "{name}: {shares:?}");
            assert!(shares[3..].is_sorted_by(|near, far| near > far), "{name}: {shares:?}");
            let worse = |than: &[f64]| (trained.len()..shares.len()).all(|i| shares[i] < than[i]);
            assert!(curves.iter().all(|(_, than)| worse(than)), "{name}: {shares:?}; {curves:?}");
        } else {
            assert!(overall >= 99.8, "{name}: {overall:.2} %");
            assert!(trained.iter().all(|share| *share >= 99.0), "{name}: {shares:?}");
        }
        let words: Vec<String> = shares.iter().map(|share| format!("{share:.2}")).collect();
        let _ = write!(report, "\n  {name:<5} {overall:>6.2} %  by distance: {}", words.join(" "));
        curves.push((name, shares));
    }
    save_plot(&curves, &labels.map(str::to_owned), "tokens since the bracket was opened");
    report
}

fn largest(x: &[f64]) -> u32 {
    let best = (0..).zip(x).max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(i, _)| i)
}

/// Writes the plot to where FOUNDRY_PLOT says, if it says so.
fn save_plot(curves: &[(String, Vec<f64>)], labels: &[String], caption: &str) {
    if let Some(path) = std::env::var_os("FOUNDRY_PLOT") {
        std::fs::write(path, plot(curves, labels, caption)).expect("the plot can be written");
    }
}

/// Shares of what is right, in percent, over what makes it hard, as an SVG; the scale begins where the worst one is.
fn plot(curves: &[(String, Vec<f64>)], labels: &[String], caption: &str) -> String {
    const COLOURS: [&str; 3] = ["#2563eb", "#059669", "#dc2626"];
    let worst = curves.iter().flat_map(|(_, shares)| shares).fold(85.0, |a: f64, b| a.min(*b));
    let step = if worst < 85.0 { 20.0 } else { 5.0 };
    let lowest = (worst / step).floor() * step;
    let last = count(labels.len().max(2) as u64 - 1);
    let x = |i: usize| 70.0 + 400.0 * count(i as u64) / last;
    let y = |percent: f64| 30.0 + (100.0 - percent) * 180.0 / (100.0 - lowest);
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 560 260\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"560\" height=\"260\" fill=\"white\"/>\n",
    );
    let ticks = (0_u32..=20).map(|i| 100.0 - step * f64::from(i));
    for percent in ticks.take_while(|percent| *percent >= lowest) {
        let y = y(percent);
        let _ = writeln!(
            svg,
            "<line x1=\"60\" x2=\"480\" y1=\"{y}\" y2=\"{y}\" stroke=\"#ddd\"/>\
             <text x=\"52\" y=\"{}\" text-anchor=\"end\">{percent} %</text>",
            y + 4.0
        );
    }
    for (i, name) in labels.iter().enumerate() {
        let _ =
            writeln!(svg, "<text x=\"{}\" y=\"232\" text-anchor=\"middle\">{name}</text>", x(i));
    }
    let _ = writeln!(svg, "<text x=\"270\" y=\"252\" text-anchor=\"middle\">{caption}</text>");
    for ((name, shares), colour) in curves.iter().zip(COLOURS) {
        let points: Vec<String> = shares
            .iter()
            .enumerate()
            .map(|(i, share)| format!("{:.0},{:.1}", x(i), y(*share)))
            .collect();
        let end = shares.last().map_or(0.0, |share| y(*share) + 4.0);
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"478\" y=\"{end:.1}\" fill=\"{colour}\">{name}</text>",
            points.join(" ")
        );
    }
    svg + "</svg>\n"
}
