//! Learning curves of several models in one picture.

use super::RunFigures;
use crate::config::choices::Objective;
use std::fmt::Write;

/// Colours that differ in hue and in lightness.
const COLOURS: [&str; 8] =
    ["#1b6ca8", "#c0392b", "#2e8b57", "#8e5ea2", "#d98e04", "#3b3b3b", "#17a2b8", "#a0522d"];

/// Where the curves are drawn, in pixels.
const LEFT: f64 = 56.0;
const TOP: f64 = 16.0;
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 280.0;

/// The validation losses of runs (where there are none: the training losses) over updates, a colour for each model and a
/// line for each seed. All runs must have the objective, since losses of different things have no axis in common.
///
/// # Panics
/// If a run has another objective.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a picture")]
pub fn curves_svg(runs: &[&RunFigures], objective: Objective) -> String {
    assert!(runs.iter().all(|r| r.objective == objective), "one picture has one kind of loss");
    let validated =
        |r: &RunFigures| r.curve.iter().filter(|p| p.validation_loss_nats.is_some()).count();
    let validation = !runs.is_empty() && runs.iter().all(|r| validated(r) > 1);
    let points = |r: &RunFigures| -> Vec<(f64, f64)> {
        let loss = |p: &super::Point| match validation {
            true => p.validation_loss_nats,
            false => p.train_loss_nats,
        };
        r.curve.iter().filter_map(|p| Some((p.step as f64, loss(p)?))).collect()
    };
    let of = if validation { "validation" } else { "training" };
    let unit = match objective {
        Objective::CausalLm => format!("{of} loss, nats a token"),
        Objective::MaskedLm => format!("{of} loss, nats a hidden token"),
    };
    let all: Vec<(f64, f64)> = runs.iter().flat_map(|r| points(r)).collect();
    let last = all.iter().map(|p| p.0).fold(1.0, f64::max);
    let low = all.iter().map(|p| p.1).fold(f64::INFINITY, f64::min).min(1e9).floor();
    let high = all.iter().map(|p| p.1).fold(low + 1.0, f64::max).ceil();
    let x = |step: f64| LEFT + WIDTH * step / last;
    let y = |loss: f64| TOP + HEIGHT * (high - loss) / (high - low);
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 350\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"720\" height=\"350\" fill=\"#ffffff\"/>\n",
    );
    // Writing to a String cannot fail.
    for i in 0..=5 {
        let share = f64::from(i) / 5.0;
        let (loss, step) = (low + share * (high - low), share * last);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{0:.1}\" x2=\"{1:.1}\" y2=\"{0:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{2:.1}\" y=\"{3:.1}\" text-anchor=\"end\" fill=\"#333333\">{loss:.1}</text>\
             <text x=\"{4:.1}\" y=\"{5:.1}\" text-anchor=\"middle\" fill=\"#333333\">{step:.0}</text>",
            y(loss),
            LEFT + WIDTH,
            LEFT - 8.0,
            y(loss) + 4.0,
            x(step),
            TOP + HEIGHT + 18.0
        );
    }
    let mut names: Vec<&str> = Vec::new();
    for run in runs {
        let place = names.iter().position(|n| *n == run.model).unwrap_or_else(|| {
            names.push(&run.model);
            names.len() - 1
        });
        let path: Vec<_> =
            points(run).iter().map(|p| format!("{:.1},{:.1}", x(p.0), y(p.1))).collect();
        let colour = COLOURS[place % COLOURS.len()];
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"/>",
            path.join(" ")
        );
    }
    for (i, name) in names.iter().enumerate() {
        let (colour, at) = (COLOURS[i % COLOURS.len()], TOP + 12.0 + 18.0 * i as f64);
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{at:.1}\" fill=\"{colour}\">{}</text>",
            LEFT + WIDTH + 12.0,
            escaped(name)
        );
    }
    let (middle, centre) = (LEFT + WIDTH / 2.0, TOP + HEIGHT / 2.0);
    let _ = writeln!(
        svg,
        "<text x=\"{middle:.1}\" y=\"342\" text-anchor=\"middle\" fill=\"#333333\">updates</text>\
         <text x=\"14\" y=\"{centre:.1}\" transform=\"rotate(-90 14 {centre:.1})\" text-anchor=\"middle\" \
         fill=\"#333333\">{unit}</text>\n</svg>"
    );
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
