//! The report of a run: its folder as one page.
//!
//! Only the provenance must be there. What else is missing or damaged is said in its place, so that a run that broke off
//! can be looked at too. Nothing in the page depends on the folder's place, and on the time
//! only the speed and the memory that the log has.

use super::chart::Chart;
use super::curves::Curves;
use super::data;
use super::grammar::Learned;
use super::markup::{
    Column, details, facts, paragraph, report, subheading, table, two_views, verbatim,
};
use crate::config::choices::Objective;
use crate::config::{Config, memory};
use crate::data::DataLedger;
use crate::error::Error;
use crate::pipeline::compare::Kind;
use crate::pipeline::grouped;
use crate::storage::Disk;
use crate::train::checkpoint::{folder_name, steps};
use crate::train::manifest::MANIFEST_FILE;
use crate::train::metrics::{METRICS_FILE, read_metrics};
use crate::train::run_folder::{
    CONFIG_FILE, EVAL_FOLDER, LEDGER_FILE, Provenance, RunResult, RunState, inspect,
};
use serde_json::{Map, Value};
use std::path::Path;

/// The largest file that is read for a report.
const LIMIT: u64 = 256 << 20;

/// A report, and what a program may want to know of it.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// The page.
    pub html: String,
    /// Whether the run has ended as configured.
    pub finished: bool,
    /// Updates, as far as the log goes.
    pub updates: u64,
    /// What could not be shown, and why.
    pub problems: Vec<String>,
}

/// What a run folder holds, as far as it can be read.
pub(super) struct Gathered {
    pub(super) provenance: Provenance,
    result: Option<RunResult>,
    pub(super) config: Option<String>,
    metrics: Vec<Map<String, Value>>,
    pub(super) ledger: Option<DataLedger>,
    pub(super) learned: Learned,
    checkpoints: Vec<u64>,
    pub(super) problems: Vec<String>,
}

/// Reports on a run folder; changes nothing in it.
///
/// # Errors
/// A folder without a run.
pub fn run_report(disk: &Disk, folder: &Path) -> Result<RunReport, Error> {
    Ok(gather(disk, folder)?.report())
}

/// As [`run_report`], of a run that ends with `result`, before `result.json` says so: the mark of the end comes last, so
/// that a run which is killed here is not taken for a finished one without a page.
///
/// # Errors
/// As [`run_report`].
pub fn final_report(disk: &Disk, folder: &Path, result: &RunResult) -> Result<RunReport, Error> {
    let run = gather(disk, folder)?;
    Ok(Gathered { result: Some(result.clone()), ..run }.report())
}

pub(super) fn gather(disk: &Disk, folder: &Path) -> Result<Gathered, Error> {
    let (provenance, result) = match inspect(disk, folder)? {
        RunState::Finished(provenance, result) => (provenance, Some(result)),
        RunState::Unfinished(provenance) => (provenance, None),
        RunState::Absent | RunState::Foreign(_) => {
            let path = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
            return Err(Error::Mismatch(format!(
                "{} holds no run (no provenance.json)\n  expected: the training.output_dir of a run",
                path.display()
            )));
        }
    };
    let mut problems = Vec::new();
    let mut text = |name: &str| match disk.read(&folder.join(name), LIMIT) {
        Ok(bytes) => String::from_utf8(bytes)
            .map_err(|e| problems.push(format!("{name} is no UTF-8: {e}")))
            .ok(),
        Err(e) if e.is_not_found() => None,
        Err(e) => {
            problems.push(format!("{name}: {}", e.source));
            None
        }
    };
    let config = text(CONFIG_FILE);
    let ledger = text(LEDGER_FILE);
    let scores = text(&format!("{EVAL_FOLDER}/minimal_pairs.csv")).unwrap_or_default();
    let mut or_told = |name: &str, reason: String| problems.push(format!("{name}: {reason}"));
    let ledger = ledger.and_then(|json| {
        serde_json::from_str(&json).map_err(|e| or_told(LEDGER_FILE, e.to_string())).ok()
    });
    let learned = Learned::read(&scores)
        .map_err(|reason| or_told("eval/minimal_pairs.csv", reason))
        .unwrap_or_default();
    let metrics = folder.join(METRICS_FILE);
    let metrics = match disk.entry(&metrics)? {
        None => Vec::new(),
        Some(_) => read_metrics(disk, &metrics)
            .map_err(|e| or_told(METRICS_FILE, e.to_string()))
            .unwrap_or_default(),
    };
    // What is only called like a checkpoint has no manifest.
    let mut checkpoints = steps(disk, folder)?;
    checkpoints.retain(|step| {
        let manifest = folder.join(folder_name(*step)).join(MANIFEST_FILE);
        matches!(disk.entry(&manifest), Ok(Some(_)))
    });
    Ok(Gathered { provenance, result, config, metrics, ledger, learned, checkpoints, problems })
}

impl Gathered {
    fn report(self) -> RunReport {
        let updates = self.last("step").and_then(Value::as_u64).unwrap_or(0);
        let (html, finished) = (render(&self, updates), self.result.is_some());
        RunReport { html, finished, updates, problems: self.problems }
    }

    /// The last record of the log that has a field.
    fn last(&self, field: &str) -> Option<&Value> {
        self.metrics.iter().rev().find_map(|m| m.get(field).filter(|v| !v.is_null()))
    }

    fn summary(&self, field: &str) -> Option<&Value> {
        self.result.as_ref().and_then(|r| r.summary.get(field)).filter(|v| !v.is_null())
    }
}

fn render(run: &Gathered, updates: u64) -> String {
    let curves = Curves::of(&run.metrics);
    let parts = [
        ("result", "Result", summary(run, &curves, updates)),
        ("curves", "Loss and perplexity", loss(&curves)),
        ("grammar", "Grammar", grammar(&run.learned)),
        ("sample", "Sample", sample(run)),
        ("data", "Data", run.ledger.as_ref().map_or_else(String::new, data::ledger)),
        ("optimizer", "Optimizer and speed", optimizer(run, &curves)),
        ("configuration", "Configuration", configuration(run)),
        ("provenance", "Provenance", provenance(&run.provenance)),
    ];
    report(
        &run.provenance.experiment_name,
        "Report of a training run",
        &notes(run, updates),
        &parts,
    )
}

/// What a reader must know before anything else.
fn notes(run: &Gathered, updates: u64) -> String {
    let mut lines = Vec::new();
    if run.result.is_none() {
        let saved = run.checkpoints.last().map_or_else(
            || "no checkpoint is saved yet".to_owned(),
            |step| format!("the newest checkpoint is checkpoint-{step}"),
        );
        lines.push(format!(
            "This run has not ended as configured: its log goes to update {}, and {saved}. All figures below are of \
             an unfinished run.",
            grouped(updates)
        ));
    }
    lines.extend(run.problems.iter().map(|p| format!("Could not be shown: {p}")));
    super::markup::notes(&lines)
}

fn summary(run: &Gathered, curves: &Curves, updates: u64) -> String {
    let mut rows = Vec::new();
    let mut put = |name: &str, value: String| rows.push((name.to_owned(), value));
    if let Some((model, seed)) = model(run) {
        put("model", model);
        put("seed", seed);
    }
    put("state", if run.result.is_some() { "finished".into() } else { "unfinished".into() });
    let early = run.summary("stopped_early").and_then(Value::as_bool) == Some(true);
    put("updates", grouped(updates) + if early { " (stopped early)" } else { "" });
    for (field, name) in [("tokens_seen", "target tokens read"), ("words_seen", "words read")] {
        if let Some(n) = run.last(field).and_then(Value::as_u64) {
            put(name, grouped(n));
        }
    }
    put("checkpoints", grouped(run.checkpoints.len() as u64));
    let name = curves.objective.validation_loss_name();
    if let Some(loss) = run.last(name).and_then(Value::as_f64) {
        let unit = match curves.objective {
            Objective::CausalLm => "nats a token",
            Objective::MaskedLm => "nats a hidden token",
        };
        put("validation loss, last", format!("{loss:.4} {unit}"));
        let best = curves.validation.iter().min_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((step, loss)) = best {
            let lowest = format!("{loss:.4} {unit}, after {step} updates");
            put("validation loss, lowest", lowest);
        }
    }
    for unit in ["token", "word", "byte"] {
        let field = format!("validation_perplexity_per_{unit}");
        if let Some(p) = run.last(&field).and_then(Value::as_f64) {
            put(&format!("validation perplexity a {unit}"), super::axis::decimal(p));
        }
    }
    for all in run.learned.last().filter(|row| row.level == "suite") {
        let (share, right, pairs, ties) = (100.0 * all.share(), all.right, all.pairs, all.ties);
        let (right, pairs, ties) = (grouped(right), grouped(pairs), grouped(ties));
        let name = format!("minimal pairs right, {}", all.suite);
        put(&name, format!("{share:.1} % ({right} of {pairs}, {ties} ties)"));
    }
    facts(&rows)
}

/// The model in words, and the seed, as the frozen configuration has them.
fn model(run: &Gathered) -> Option<(String, String)> {
    let config = Config::parse(run.config.as_deref()?, CONFIG_FILE, &[]).ok()?;
    let vocab = run.ledger.as_ref()?.vocab_size;
    let parameters = memory::parameter_count(&config.model, vocab, config.data.max_sequence_length);
    let name = Kind::of(&config.model).name();
    let parameters = grouped(u64::try_from(parameters).ok()?);
    Some((format!("{name}, {parameters} parameters"), config.random_seed.to_string()))
}

/// Charts side by side, with linear and with logarithmic horizontal axes.
pub(super) fn both_ways(
    id: &str,
    logarithmic_first: bool,
    small: bool,
    charts: &[Chart],
) -> String {
    let draw = |logarithmic: bool| -> String {
        let drawn = charts.iter().map(|chart| {
            let suffix = if logarithmic { "log" } else { "lin" };
            let x = if logarithmic { chart.x.logarithmic() } else { chart.x.clone() };
            let chart = Chart { id: format!("{}-{suffix}", chart.id), x, ..chart.clone() };
            format!("<figure>{}</figure>\n", chart.inline())
        });
        let drawn: String = drawn.collect();
        if small { format!("<div class=\"charts small\">\n{drawn}</div>\n") } else { drawn }
    };
    two_views(id, logarithmic_first, &draw(false), &draw(true))
}

fn loss(curves: &Curves) -> String {
    if curves.is_empty() {
        return paragraph("Nothing is logged yet.");
    }
    let charts: Vec<Chart> = [curves.loss()].into_iter().chain(curves.perplexity()).collect();
    let mut html = both_ways("x-loss", false, false, &charts);
    if !curves.validation.is_empty() {
        let causal = curves.objective == Objective::CausalLm;
        let unit = if causal { "loss, nats a token" } else { "masked loss, nats a hidden token" };
        let mut columns = vec![("updates", Column::Figures), (unit, Column::Figures)];
        if causal {
            columns.push(("perplexity a token", Column::Figures));
        }
        let rows: Vec<Vec<String>> = curves
            .validation
            .iter()
            .map(|(step, loss)| {
                let mut row = vec![super::axis::count(*step), format!("{loss:.4}")];
                row.extend(causal.then(|| super::axis::decimal(loss.exp())));
                row
            })
            .collect();
        let table = table("Validation", &columns, &rows);
        html.push_str(&details("The figures of the validation curve", &table));
    }
    html
}

fn grammar(learned: &Learned) -> String {
    if learned.rows.is_empty() {
        return String::new();
    }
    let mut html = paragraph(
        "The share of minimal pairs whose grammatical sentence is the more probable one. Equal probabilities are ties, and \
         not right. Blue: the phenomenon; grey: its paradigms.",
    );
    html.extend(learned.caveat().map(paragraph));
    if learned.steps() == 1 {
        html.push_str(&paragraph(
            "Only one checkpoint was scored; foundry evaluate RUN --all-checkpoints --minimal-pairs PAIRS --tables \
             RUN/eval scores the others.",
        ));
    }
    for (i, suite) in learned.suites().into_iter().enumerate() {
        html.push_str(&subheading(suite));
        let charts = learned.charts(suite);
        if !charts.is_empty() {
            html.push_str(&both_ways(&format!("x-grammar-{i}"), true, true, &charts));
        }
        html.push_str(&learned.last_table(suite));
    }
    html.push_str(&paragraph(
        "The intervals are Wilson's, and take the pairs as independent of each other; pairs made from one template are \
         less informative than that.",
    ));
    html
}

fn sample(run: &Gathered) -> String {
    match run.summary("sample").and_then(Value::as_str) {
        Some(text) if !text.is_empty() => {
            let how = "What the model writes after the end of a sentence, at temperature 0.8.";
            paragraph(how) + &verbatim(text)
        }
        _ => String::new(),
    }
}

fn optimizer(run: &Gathered, curves: &Curves) -> String {
    let charts = curves.of_the_optimizer();
    let mut html = String::new();
    if !charts.is_empty() {
        html.push_str(&both_ways("x-optimizer", false, false, &charts));
    }
    let mut speeds: Vec<f64> =
        run.metrics.iter().filter_map(|m| m.get("tokens_per_second")?.as_f64()).collect();
    speeds.sort_by(f64::total_cmp);
    let most = run.metrics.iter().filter_map(|m| m.get("memory_bytes")?.as_u64()).max();
    let mut rows = Vec::new();
    if let Some(median) = speeds.get(speeds.len() / 2) {
        let median = super::axis::count(median.round());
        rows.push(("training speed, median of the logged updates", format!("{median} tokens/s")));
    }
    if let Some(most) = most {
        rows.push(("memory of the process, largest logged", memory::bytes(most.into())));
    }
    if !rows.is_empty() {
        html.push_str(&facts(&rows));
    }
    html
}

fn configuration(run: &Gathered) -> String {
    let Some(yaml) = &run.config else { return String::new() };
    let how = "Every default is spelled out; this text (config.yaml of the run folder) can be given to foundry train.";
    paragraph(how) + &verbatim(yaml)
}

fn provenance(provenance: &Provenance) -> String {
    let mut rows = vec![
        ("run_id".to_owned(), provenance.run_id.to_string()),
        ("config_fingerprint".to_owned(), provenance.config_fingerprint.clone()),
    ];
    for (name, value) in &provenance.details {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        rows.push((name.clone(), value));
    }
    facts(&rows)
}
