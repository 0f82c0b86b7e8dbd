//! The figures of a comparison, as a table, as CSV, as pictures and as a page.

use crate::config::choices::{Architecture, Objective};
use crate::error::Error;
use crate::report::{comparison_report, losses_of_models};
use crate::storage::Disk;
use crate::train::run_folder::{REPORT_FILE, RunResult};
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt::Write;
use std::path::Path;

/// A place on a learning curve.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Point {
    /// Updates made.
    pub step: u64,
    /// Tokens read.
    pub tokens_seen: u64,
    /// The loss of the update, in nats a target, where it was written down.
    pub train_loss_nats: Option<f64>,
    /// The loss on held-out text, in nats a target, where it was computed.
    pub validation_loss_nats: Option<f64>,
}

/// One model, trained with one seed.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RunFigures {
    /// What it is called.
    pub model: String,
    /// Its family.
    pub architecture: Architecture,
    /// Whether it is a recurrent model that reads from both ends.
    pub bidirectional: bool,
    /// What it was trained to predict.
    pub objective: Objective,
    /// The seed.
    pub seed: u64,
    /// Trainable numbers.
    pub parameters: u64,
    /// Updates made.
    pub steps: u64,
    /// Tokens read in a second of training: the median of the updates that were written down.
    pub tokens_per_second: Option<f64>,
    /// The most memory that the process held while it was trained.
    pub peak_memory_bytes: Option<u64>,
    /// The last loss on held-out text, in nats a target: a token, or a hidden token.
    pub validation_loss_nats: Option<f64>,
    /// e to the loss, of a model that predicts the next token.
    pub validation_perplexity: Option<f64>,
    /// The share of minimal pairs whose good sentence is the more probable.
    pub minimal_pair_accuracy: Option<f64>,
    /// That of each paradigm, as the run reported it.
    pub minimal_pairs: Value,
    /// The learning curve.
    pub curve: Vec<Point>,
}

impl RunFigures {
    pub(super) fn new(
        result: &RunResult,
        metrics: &[Map<String, Value>],
        objective: Objective,
    ) -> Self {
        let number = |name: &str| result.summary.get(name).and_then(Value::as_f64);
        let point = |m: &Map<String, Value>| {
            let f = |name: &str| m.get(name).and_then(Value::as_f64);
            let point = Point {
                step: m.get("step")?.as_u64()?,
                tokens_seen: m.get("tokens_seen").and_then(Value::as_u64).unwrap_or(0),
                train_loss_nats: f(objective.loss_name()),
                validation_loss_nats: f(objective.validation_loss_name()),
            };
            let some = point.train_loss_nats.or(point.validation_loss_nats).is_some();
            some.then_some(point)
        };
        let mut speeds: Vec<f64> =
            metrics.iter().filter_map(|m| m.get("tokens_per_second")?.as_f64()).collect();
        speeds.sort_by(f64::total_cmp);
        let validation_loss_nats = number(objective.validation_loss_name());
        Self {
            model: String::new(),
            architecture: Architecture::Gpt2,
            bidirectional: false,
            objective,
            seed: 0,
            parameters: 0,
            steps: result.final_step,
            tokens_per_second: speeds.get(speeds.len() / 2).copied(),
            peak_memory_bytes: None,
            validation_loss_nats,
            validation_perplexity: match objective {
                Objective::CausalLm => validation_loss_nats.map(f64::exp),
                Objective::MaskedLm => None,
            },
            minimal_pair_accuracy: number("minimal_pair_accuracy"),
            minimal_pairs: result.summary.get("minimal_pairs").cloned().unwrap_or_default(),
            curve: metrics.iter().filter_map(point).collect(),
        }
    }
}

/// A model over all its seeds: mean and sample standard deviation.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Summary {
    /// What it is called.
    pub model: String,
    /// What it was trained to predict.
    pub objective: Objective,
    /// Seeds.
    pub seeds: usize,
    /// Trainable numbers.
    pub parameters: u64,
    /// Loss on held-out text, in nats a target: mean, deviation.
    pub validation_loss_nats: Option<(f64, f64)>,
    /// Perplexity, of a model that predicts the next token: mean, deviation.
    pub validation_perplexity: Option<(f64, f64)>,
    /// Share of minimal pairs: mean, deviation.
    pub minimal_pair_accuracy: Option<(f64, f64)>,
    /// Tokens a second: mean, deviation.
    pub tokens_per_second: Option<(f64, f64)>,
    /// The most of the runs.
    pub peak_memory_bytes: Option<u64>,
}

/// The heads of the columns of [`Comparison::table`].
pub const SUMMARY_HEAD: &str = "model                 parameters  seeds  loss (nats)       perplexity      \
                                pairs right (%)  tokens/s  peak memory";

/// A finished comparison.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Comparison {
    /// Training blocks that every model reads, in the same order for the same seed.
    pub blocks: u64,
    /// Tokens in them.
    pub block_tokens: u64,
    /// Their hash, the same for all.
    pub blocks_blake3: String,
    /// Tokens in a block.
    pub block_length: usize,
    /// Tokens of the one vocabulary, the mask token among them.
    pub vocab_size: usize,
    /// Whether widths were chosen for equal numbers of parameters.
    pub matched_parameters: bool,
    /// A line for each model and seed.
    pub runs: Vec<RunFigures>,
}

impl Comparison {
    /// The models of one objective, in the order in which they were given.
    #[must_use]
    pub fn summaries(&self, objective: Objective) -> Vec<Summary> {
        let of_it =
            |name: &&str| self.runs.iter().any(|r| r.model == **name && r.objective == objective);
        let names = self.models().into_iter().filter(of_it);
        names.map(|name| self.summary(name, objective)).collect()
    }

    fn summary(&self, name: &str, objective: Objective) -> Summary {
        let runs: Vec<&RunFigures> = self.runs.iter().filter(|r| r.model == name).collect();
        let of = |field: fn(&RunFigures) -> Option<f64>| {
            Self::mean(&runs.iter().filter_map(|r| field(r)).collect::<Vec<_>>())
        };
        Summary {
            model: name.to_owned(),
            objective,
            seeds: runs.len(),
            parameters: runs.first().map_or(0, |r| r.parameters),
            validation_loss_nats: of(|r| r.validation_loss_nats),
            validation_perplexity: of(|r| r.validation_perplexity),
            minimal_pair_accuracy: of(|r| r.minimal_pair_accuracy),
            tokens_per_second: of(|r| r.tokens_per_second),
            peak_memory_bytes: runs.iter().filter_map(|r| r.peak_memory_bytes).max(),
        }
    }

    /// The tables, for people: one for each objective that is there.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        for (objective, title) in TITLES {
            let models = self.summaries(objective);
            if models.is_empty() {
                continue;
            }
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{title}\n{SUMMARY_HEAD}");
            for m in models {
                let pair = |value: Option<(f64, f64)>, digits: usize, scale: f64| match value {
                    None => "-".to_owned(),
                    Some((mean, _)) if m.seeds < 2 => format!("{:.digits$}", scale * mean),
                    Some((mean, sd)) => {
                        format!("{:.digits$} ± {:.digits$}", scale * mean, scale * sd)
                    }
                };
                let speed = m.tokens_per_second.map_or("-".to_owned(), |(s, _)| format!("{s:.0}"));
                let memory = m.peak_memory_bytes.map_or("-".to_owned(), |bytes| {
                    crate::config::memory::bytes(u128::from(bytes))
                });
                let _ = writeln!(
                    text,
                    "{:<20} {:>11}  {:>5}  {:<16}  {:<14}  {:<15}  {speed:>8}  {memory:>11}",
                    m.model,
                    super::super::grouped(m.parameters),
                    m.seeds,
                    pair(m.validation_loss_nats, 4, 1.0),
                    pair(m.validation_perplexity, 2, 1.0),
                    pair(m.minimal_pair_accuracy, 1, 100.0),
                );
            }
            text.push('\n');
        }
        let _ = write!(
            text,
            "all read the same {} tokens in {} blocks of {} (vocabulary {})",
            super::super::grouped(self.block_tokens),
            super::super::grouped(self.blocks),
            self.block_length,
            super::super::grouped(self.vocab_size as u64)
        );
        text
    }

    /// A line for each model and seed.
    #[must_use]
    pub fn runs_csv(&self) -> String {
        let mut csv = "model,architecture,bidirectional,objective,seed,parameters,steps,validation_loss_nats,\
                       validation_perplexity,minimal_pair_accuracy,tokens_per_second,peak_memory_bytes\n"
            .to_owned();
        for r in &self.runs {
            let _ = writeln!(
                csv,
                "{},{},{},{},{},{},{},{},{},{},{},{}",
                r.model,
                r.architecture,
                r.bidirectional,
                r.objective,
                r.seed,
                r.parameters,
                r.steps,
                cell(r.validation_loss_nats),
                cell(r.validation_perplexity),
                cell(r.minimal_pair_accuracy),
                cell(r.tokens_per_second),
                r.peak_memory_bytes.map_or_else(String::new, |b| b.to_string()),
            );
        }
        csv
    }

    /// A line for each place on each learning curve.
    #[must_use]
    pub fn curves_csv(&self) -> String {
        let mut csv =
            "model,objective,seed,step,tokens_seen,train_loss_nats,validation_loss_nats\n"
                .to_owned();
        for r in &self.runs {
            for p in &r.curve {
                let (train, validation) = (cell(p.train_loss_nats), cell(p.validation_loss_nats));
                let _ = writeln!(
                    csv,
                    "{},{},{},{},{},{train},{validation}",
                    r.model, r.objective, r.seed, p.step, p.tokens_seen
                );
            }
        }
        csv
    }

    /// A line for each model, seed and paradigm.
    #[must_use]
    pub fn pairs_csv(&self) -> String {
        let mut csv = "model,objective,seed,suite,phenomenon,paradigm,pairs,right,ties,tokens,unknown_tokens\n".to_owned();
        for r in &self.runs {
            for p in r.minimal_pairs.as_array().into_iter().flatten() {
                let text = |name: &str| quoted(p[name].as_str().unwrap_or_default());
                let _ = writeln!(
                    csv,
                    "{},{},{},{},{},{},{},{},{},{},{}",
                    r.model,
                    r.objective,
                    r.seed,
                    text("suite"),
                    text("phenomenon"),
                    text("paradigm"),
                    p["pairs"],
                    p["right"],
                    p["ties"],
                    p["tokens"],
                    p["unknown_tokens"]
                );
            }
        }
        csv
    }

    /// Writes all of it into a folder. A picture holds the models of one objective.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Error> {
        let disk = Disk::real();
        let put = |name: &str, text: &str| {
            disk.replace_file(&folder.join(name), "comparison", text.as_bytes())
        };
        let json = serde_json::to_value(self).unwrap_or_default();
        put("comparison.json", &format!("{json:#}\n"))?;
        put("runs.csv", &self.runs_csv())?;
        put("curves.csv", &self.curves_csv())?;
        put("minimal_pairs.csv", &self.pairs_csv())?;
        for (objective, name) in
            [(Objective::CausalLm, "causal.svg"), (Objective::MaskedLm, "masked.svg")]
        {
            let runs: Vec<_> = self.runs.iter().filter(|r| r.objective == objective).collect();
            if !runs.is_empty() {
                put(name, &losses_of_models(&runs, &self.models(), objective, "runs").picture())?;
            }
        }
        put(REPORT_FILE, &comparison_report(&disk, self, folder))?;
        Ok(())
    }

    /// The names of the models, in the order in which they were given.
    #[must_use]
    pub fn models(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for run in &self.runs {
            if !names.contains(&run.model.as_str()) {
                names.push(&run.model);
            }
        }
        names
    }

    /// Mean and sample standard deviation; None of nothing.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a count of runs")]
    pub fn mean(values: &[f64]) -> Option<(f64, f64)> {
        let n = values.len() as f64;
        if values.is_empty() {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n;
        let squares = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>();
        let sd = if values.len() > 1 { (squares / (n - 1.0)).sqrt() } else { 0.0 };
        Some((mean, sd))
    }
}

const TITLES: [(Objective, &str); 2] = [
    (Objective::CausalLm, "causal language models: loss of the next token"),
    (Objective::MaskedLm, "masked language models: loss of a hidden token"),
];

fn cell(value: Option<f64>) -> String {
    value.map_or_else(String::new, |v| v.to_string())
}

fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_compare__mean_and_deviation_by_hand() {
        assert_eq!(Comparison::mean(&[]), None);
        assert_eq!(Comparison::mean(&[3.0]), Some((3.0, 0.0)));
        let (m, sd) = Comparison::mean(&[1.0, 2.0, 4.0, 5.0]).unwrap();
        assert!((m - 3.0).abs() < 1e-12 && (sd - (10.0_f64 / 3.0).sqrt()).abs() < 1e-12);
    }
}
