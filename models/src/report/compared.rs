//! The report of a comparison: its figures and the folders of its runs as one page.
//!
//! Losses of different things (of the next token, of a hidden one) share no axis and no table. What is missing or damaged
//! in the folder of a run is said, and the rest is shown.

use super::axis::{Axis, Figures};
use super::chart::{Chart, Level, Pen, Series};
use super::data;
use super::grammar::Accuracy;
use super::markup::{
    Column, Part, details, escape, facts, notes, paragraph, report, subheading, table, verbatim,
};
use super::run::{Gathered, both_ways, gather};
use crate::config::choices::Objective;
use crate::config::memory;
use crate::pipeline::compare::{Comparison, RunFigures, Summary};
use crate::pipeline::grouped;
use crate::storage::Disk;
use crate::train::run_folder::REPORT_FILE;
use std::fmt::Write as _;
use std::path::Path;

/// A run: its figures, and what its folder holds.
struct Compared<'a> {
    figures: &'a RunFigures,
    folder: Option<Gathered>,
}

/// The page of a comparison; reads the folders of its runs below `folder`, and changes nothing in them.
#[must_use]
pub fn comparison_report(disk: &Disk, comparison: &Comparison, folder: &Path) -> String {
    let mut problems = Vec::new();
    let mut compared = Vec::new();
    for figures in &comparison.runs {
        let place = place(figures);
        let gathered = gather(disk, &folder.join(&place));
        let mut told =
            |reason: &str| problems.push(format!("Could not be shown: {place}: {reason}"));
        match &gathered {
            Err(error) => told(&error.to_string()),
            Ok(run) => run.problems.iter().for_each(|problem| told(problem)),
        }
        compared.push(Compared { figures, folder: gathered.ok() });
    }
    let models = comparison.models();
    let mut parts: Vec<Part<'_>> = vec![("equal", "What is equal", equal(comparison))];
    for (objective, id, heading) in [
        (Objective::CausalLm, "causal", "Predicting the next token"),
        (Objective::MaskedLm, "masked", "Predicting hidden tokens"),
    ] {
        parts.push((id, heading, of_objective(comparison, objective, id)));
    }
    parts.extend([
        ("grammar", "Grammar", grammar(&compared, &models)),
        ("runs", "Runs", runs(&compared)),
        ("data", "Data", ledger(&compared)),
        ("configuration", "Configuration", configurations(&compared, &models)),
        ("provenance", "Provenance", provenance(&compared)),
    ]);
    let name = folder.file_name().map_or_else(|| "comparison".into(), |n| n.to_string_lossy());
    let what = format!("Comparison of {} models", models.len());
    report(&name, &what, &notes(&problems), &parts)
}

/// Where a run is, in the folder of the comparison and in an address.
fn place(run: &RunFigures) -> String {
    format!("{}/seed-{}", run.model, run.seed)
}

fn equal(comparison: &Comparison) -> String {
    let mut seeds: Vec<u64> = comparison.runs.iter().map(|run| run.seed).collect();
    seeds.dedup();
    seeds.sort_unstable();
    seeds.dedup();
    let seeds: Vec<_> = seeds.iter().map(u64::to_string).collect();
    let parameters = if comparison.matched_parameters { "matched" } else { "as configured" };
    let how = "Every model reads the same blocks of tokens in the same order (for the same seed), with one tokenizer. \
               What it predicts is not the same for all: the next token, or hidden ones.";
    paragraph(how)
        + &facts(&[
            ("training blocks", grouped(comparison.blocks)),
            ("tokens in them", grouped(comparison.block_tokens)),
            ("tokens in a block", comparison.block_length.to_string()),
            ("vocabulary", grouped(comparison.vocab_size as u64)),
            ("seeds", seeds.join(", ")),
            ("numbers of parameters", parameters.to_owned()),
            ("blake3 of the blocks", comparison.blocks_blake3.clone()),
        ])
}

/// Mean and, of several seeds, the sample standard deviation.
fn spread(value: Option<(f64, f64)>, seeds: usize, say: impl Fn(f64) -> String) -> String {
    match value {
        None => "–".to_owned(),
        Some((mean, _)) if seeds < 2 => say(mean),
        Some((mean, deviation)) => format!("{} ± {}", say(mean), say(deviation)),
    }
}

fn of_objective(comparison: &Comparison, objective: Objective, id: &str) -> String {
    let models = comparison.summaries(objective);
    if models.is_empty() {
        return String::new();
    }
    let causal = objective == Objective::CausalLm;
    let mut columns = vec![
        ("model", Column::Words),
        ("parameters", Column::Figures),
        ("seeds", Column::Figures),
        ("validation loss, nats a target", Column::Figures),
    ];
    columns.extend(causal.then_some(("perplexity a token", Column::Figures)));
    columns.extend([
        ("minimal pairs right, %", Column::Figures),
        ("tokens/s", Column::Figures),
        ("peak memory", Column::Figures),
    ]);
    let row = |m: &Summary| {
        let mut row = vec![
            m.model.clone(),
            grouped(m.parameters),
            m.seeds.to_string(),
            spread(m.validation_loss_nats, m.seeds, |v| format!("{v:.4}")),
        ];
        row.extend(causal.then(|| spread(m.validation_perplexity, m.seeds, |v| format!("{v:.2}"))));
        row.push(spread(m.minimal_pair_accuracy, m.seeds, |v| format!("{:.1}", 100.0 * v)));
        row.push(m.tokens_per_second.map_or("–".into(), |(v, _)| super::axis::count(v.round())));
        row.push(m.peak_memory_bytes.map_or("–".into(), |b| memory::bytes(b.into())));
        row
    };
    let rows: Vec<_> = models.iter().map(row).collect();
    let many = models.iter().any(|m| m.seeds > 1);
    let caption = if many { "Mean ± sample standard deviation over seeds" } else { "At the end" };
    let runs: Vec<_> = comparison.runs.iter().filter(|r| r.objective == objective).collect();
    let charts = [losses_of_models(&runs, &comparison.models(), objective, id)];
    table(caption, &columns, &rows) + &both_ways(&format!("x-{id}"), false, false, &charts)
}

/// The validation losses of runs (where there are none: the training losses) over updates, a colour for each of `models`
/// and a line for each seed. All runs must have the objective, since losses of different things have no axis in common.
///
/// # Panics
/// If a run has another objective.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "updates far below 2^52")]
pub fn losses_of_models(
    runs: &[&RunFigures],
    models: &[&str],
    objective: Objective,
    id: &str,
) -> Chart {
    assert!(runs.iter().all(|r| r.objective == objective), "one picture has one kind of loss");
    let validated =
        |r: &RunFigures| r.curve.iter().filter(|p| p.validation_loss_nats.is_some()).count();
    let validation = !runs.is_empty() && runs.iter().all(|r| validated(r) > 1);
    let of = if validation { "validation" } else { "training" };
    let unit = match objective {
        Objective::CausalLm => format!("{of} loss, nats a token"),
        Objective::MaskedLm => format!("{of} loss, nats a hidden token"),
    };
    let mut series = Vec::new();
    for run in runs {
        let points = run.curve.iter().filter_map(|p| {
            let loss = if validation { p.validation_loss_nats } else { p.train_loss_nats };
            Some((p.step as f64, loss?))
        });
        let colour = colour(models, &run.model);
        let (name, points) = (run.model.clone(), points.collect());
        series.push(Series { name, points, colour, pen: Pen::Plain });
    }
    Chart {
        id: format!("{id}-loss"),
        title: if validation { "Validation loss".into() } else { "Training loss".into() },
        series,
        x: Axis::linear("updates", Figures::Count),
        y: Axis::linear(&unit, Figures::Decimal),
        levels: Vec::new(),
        size: (520.0, 320.0),
    }
}

/// The colour of a model: the same in every chart.
fn colour(models: &[&str], name: &str) -> usize {
    models.iter().position(|model| *model == name).unwrap_or_default()
}

/// The suites and phenomena of the last scores of all runs, in the order in which they come.
fn phenomena<'a>(compared: &'a [Compared<'_>]) -> Vec<(&'a str, &'a str)> {
    let mut names = Vec::new();
    for run in compared.iter().filter_map(|c| c.folder.as_ref()) {
        for row in run.learned.last().filter(|row| row.level == "phenomenon") {
            let name = (row.suite.as_str(), row.phenomenon.as_str());
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

fn grammar(compared: &[Compared<'_>], models: &[&str]) -> String {
    let phenomena = phenomena(compared);
    if phenomena.is_empty() {
        return String::new();
    }
    let mut html = paragraph(
        "The share of minimal pairs whose grammatical sentence is the more probable one; ties are not right. Models that \
         see both sides are scored by pseudo-log-likelihood: set them beside the others with care.",
    );
    let runs = compared.iter().filter_map(|c| c.folder.as_ref());
    html.extend(runs.filter_map(|run| run.learned.caveat()).next().map(paragraph));
    let rows_of = |suite: &str, level: &str, phenomenon: &str| -> Vec<String> {
        let name = if level == "suite" { "all pairs" } else { phenomenon };
        let of_model = |model: &&str| {
            let runs = compared.iter().filter(|c| c.figures.model == **model);
            let shares: Vec<f64> = runs
                .filter_map(|c| {
                    let mut last = c.folder.as_ref()?.learned.last();
                    let is = |r: &&Accuracy| is(r, suite, level, phenomenon);
                    Some(last.find(is)?.share())
                })
                .collect();
            spread(Comparison::mean(&shares), shares.len(), |v| format!("{:.1}", 100.0 * v))
        };
        std::iter::once(name.to_owned()).chain(models.iter().map(of_model)).collect()
    };
    let mut columns = vec![("phenomenon", Column::Words)];
    columns.extend(models.iter().map(|model| (*model, Column::Figures)));
    for (n, of_suite) in phenomena.chunk_by(|a, b| a.0 == b.0).enumerate() {
        let suite = of_suite[0].0;
        let names = of_suite.iter().map(|(_, name)| ("phenomenon", *name));
        let names: Vec<_> = names.chain([("suite", "")]).collect();
        let rows: Vec<_> = names.iter().map(|(level, name)| rows_of(suite, level, name)).collect();
        html.push_str(&subheading(suite));
        let caption = format!("Minimal pairs of {suite} right at the end, %");
        html.push_str(&table(&caption, &columns, &rows));

        let all_first = names.last().into_iter().chain(&names[..names.len() - 1]).enumerate();
        let chart = |(i, (level, name)): (usize, &(&str, &str))| {
            curve(compared, models, &format!("pairs-{n}-{i}"), (suite, level, name))
        };
        let mut charts: Vec<Chart> = all_first.map(chart).collect();
        charts.retain(|chart| chart.series.iter().any(|s| s.points.len() > 1));
        if !charts.is_empty() {
            html.push_str(&both_ways(&format!("x-grammar-{n}"), true, true, &charts));
        }
    }
    html
}

fn is(row: &Accuracy, suite: &str, level: &str, phenomenon: &str) -> bool {
    row.level == level && row.suite == suite && row.phenomenon == phenomenon
}

/// The learning curve of a phenomenon: a line for each run.
#[expect(clippy::cast_precision_loss, reason = "updates far below 2^52")]
fn curve(
    compared: &[Compared<'_>],
    models: &[&str],
    id: &str,
    (suite, level, phenomenon): (&str, &str, &str),
) -> Chart {
    let mut series = Vec::new();
    for run in compared {
        let colour = colour(models, &run.figures.model);
        let Some(folder) = &run.folder else { continue };
        let rows = folder.learned.rows.iter();
        let rows = rows.filter(|r| is(r, suite, level, phenomenon));
        let mut points: Vec<_> = rows.filter_map(|r| Some((r.step? as f64, r.share()))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        series.push(Series { name: run.figures.model.clone(), points, colour, pen: Pen::Plain });
    }
    Chart {
        id: id.to_owned(),
        title: if level == "suite" { "All pairs".into() } else { phenomenon.to_owned() },
        x: Axis::linear("updates", Figures::Count),
        y: Axis::linear("pairs right", Figures::Percent).between(0.0, 1.0),
        series,
        levels: vec![Level { y: 0.5, name: "chance".into() }],
        size: (340.0, 250.0),
    }
}

fn runs(compared: &[Compared<'_>]) -> String {
    let columns = [
        ("model", Column::Words),
        ("seed", Column::Figures),
        ("updates", Column::Figures),
        ("validation loss, nats a target", Column::Figures),
        ("minimal pairs right, %", Column::Figures),
        ("tokens/s", Column::Figures),
    ];
    let mut rows = Vec::new();
    let mut links = String::from("<p>Each run has a report of its own: ");
    for (i, Compared { figures: run, .. }) in compared.iter().enumerate() {
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "–".into());
        rows.push(vec![
            run.model.clone(),
            run.seed.to_string(),
            grouped(run.steps),
            or_dash(run.validation_loss_nats.map(|v| format!("{v:.4}"))),
            or_dash(run.minimal_pair_accuracy.map(|v| format!("{:.1}", 100.0 * v))),
            or_dash(run.tokens_per_second.map(|v| super::axis::count(v.round()))),
        ]);
        let (place, comma) = (escape(&place(run)), if i == 0 { "" } else { ", " });
        let _ = write!(links, "{comma}<a href=\"{place}/{REPORT_FILE}\">{place}</a>");
    }
    links.push_str(".</p>\n");
    table("Every model and seed", &columns, &rows) + &links
}

fn ledger(compared: &[Compared<'_>]) -> String {
    let with = compared.iter().find_map(|c| Some((c, c.folder.as_ref()?.ledger.as_ref()?)));
    let Some((run, ledger)) = with else { return String::new() };
    let whose = format!("As {} read it, seed {}.", run.figures.model, run.figures.seed);
    paragraph(&whose) + &data::ledger(ledger)
}

fn configurations(compared: &[Compared<'_>], models: &[&str]) -> String {
    let mut html = String::new();
    for model in models {
        let run = compared.iter().find(|c| c.figures.model == **model);
        let Some((run, folder)) = run.and_then(|c| Some((c, c.folder.as_ref()?))) else { continue };
        if let Some(yaml) = &folder.config {
            let heading = format!("{model}, seed {}", run.figures.seed);
            html.push_str(&details(&heading, &verbatim(yaml)));
        }
    }
    html
}

fn provenance(compared: &[Compared<'_>]) -> String {
    let columns = [
        ("run", Column::Words),
        ("run_id", Column::Words),
        ("config_fingerprint", Column::Words),
        ("data_key", Column::Words),
        ("tokenizer_blake3", Column::Words),
        ("version", Column::Words),
        ("isa", Column::Words),
    ];
    let row = |c: &Compared<'_>| {
        let provenance = &c.folder.as_ref()?.provenance;
        let short = |text: &str| text.chars().take(12).collect::<String>();
        let detail = |name: &str| {
            provenance.details.get(name).and_then(|v| v.as_str()).map_or("–".into(), short)
        };
        Some(vec![
            place(c.figures),
            provenance.run_id.to_string(),
            short(&provenance.config_fingerprint),
            detail("data_key"),
            detail("tokenizer_blake3"),
            detail("foundry_version"),
            detail("isa"),
        ])
    };
    let rows: Vec<_> = compared.iter().filter_map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    table("The beginnings of hashes; the reports of the runs have them in full", &columns, &rows)
}
