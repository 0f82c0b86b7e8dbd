//! The curves of a run's log: loss, perplexity, learning rate, size of the gradient.

use super::axis::{Axis, Figures};
use super::chart::{Chart, Pen, Series};
use crate::config::choices::Objective;
use serde_json::{Map, Value};

/// What a log of metrics has to show.
#[derive(Clone, Debug)]
pub struct Curves {
    /// What was predicted: the two losses never share an axis.
    pub objective: Objective,
    /// Training loss by update: of the windows that were logged.
    pub training: Vec<(f64, f64)>,
    /// Validation loss by update.
    pub validation: Vec<(f64, f64)>,
    learning_rate: Vec<(f64, f64)>,
    gradient_norm: Vec<(f64, f64)>,
}

impl Curves {
    /// Of the records of a log.
    #[must_use]
    pub fn of(metrics: &[Map<String, Value>]) -> Self {
        let series = |field: &str| -> Vec<(f64, f64)> {
            let point =
                |m: &Map<String, Value>| Some((m.get("step")?.as_f64()?, m.get(field)?.as_f64()?));
            metrics.iter().filter_map(point).collect()
        };
        // A run has one objective, and with it one pair of names.
        let has = |name| metrics.iter().any(|m| m.contains_key(name));
        let masked = Objective::MaskedLm;
        let objective = if has(masked.loss_name()) || has(masked.validation_loss_name()) {
            masked
        } else {
            Objective::CausalLm
        };
        Self {
            objective,
            training: series(objective.loss_name()),
            validation: series(objective.validation_loss_name()),
            learning_rate: series("learning_rate"),
            gradient_norm: series("grad_norm"),
        }
    }

    /// Whether there is nothing to draw.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.training.is_empty() && self.validation.is_empty()
    }

    /// The loss of training and validation by update.
    #[must_use]
    pub fn loss(&self) -> Chart {
        let label = match self.objective {
            Objective::CausalLm => "loss, nats a token",
            Objective::MaskedLm => "masked loss, nats a hidden token",
        };
        let lines = self.lines(|loss| loss);
        chart("loss", "Loss", &Axis::linear(label, Figures::Decimal), lines)
    }

    /// The perplexity of training and validation by update, on an axis of ratios. A masked model has none.
    #[must_use]
    pub fn perplexity(&self) -> Option<Chart> {
        let y = Axis::linear("perplexity a token", Figures::Decimal).logarithmic();
        (self.objective == Objective::CausalLm)
            .then(|| chart("perplexity", "Perplexity", &y, self.lines(f64::exp)))
    }

    /// Learning rate and norm of the gradient by update, where they were logged.
    #[must_use]
    pub fn of_the_optimizer(&self) -> Vec<Chart> {
        let one = |id, title, label, points: &Vec<(f64, f64)>| {
            let line =
                Series { name: String::new(), points: points.clone(), colour: 0, pen: Pen::Thin };
            let y = Axis::linear(label, Figures::Decimal);
            (!points.is_empty()).then(|| chart(id, title, &y, vec![line]))
        };
        let rate = one("rate", "Learning rate", "learning rate an update", &self.learning_rate);
        let norm = "norm of the gradient, before clipping";
        let norm = one("norm", "Gradient", norm, &self.gradient_norm);
        rate.into_iter().chain(norm).collect()
    }

    fn lines(&self, map: fn(f64) -> f64) -> Vec<Series> {
        let line = |name: &str, points: &[(f64, f64)], colour, pen| Series {
            name: name.to_owned(),
            points: points.iter().map(|p| (p.0, map(p.1))).collect(),
            colour,
            pen,
        };
        let training = line("training", &self.training, 0, Pen::Thin);
        let validation = line("validation", &self.validation, 1, Pen::Marked);
        [training, validation].into_iter().filter(|s| !s.points.is_empty()).collect()
    }
}

fn chart(id: &str, title: &str, y: &Axis, series: Vec<Series>) -> Chart {
    let x = Axis::linear("updates", Figures::Count);
    let (id, title, levels) = (id.to_owned(), title.to_owned(), Vec::new());
    Chart { id, title, x, y: y.clone(), series, levels, size: (460.0, 280.0) }
}

/// The learning curve of a run as a picture of its own: training and validation loss over updates.
#[must_use]
pub fn loss_curve_svg(metrics: &[Map<String, Value>]) -> String {
    Chart { size: (640.0, 350.0), ..Curves::of(metrics).loss() }.picture()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn records(lines: &[Value]) -> Vec<Map<String, Value>> {
        lines.iter().map(|l| l.as_object().unwrap().clone()).collect()
    }

    #[test]
    fn test_curves__causal_runs_have_perplexities_and_masked_ones_do_not() {
        let causal = Curves::of(&records(&[
            json!({"step": 0, "validation_loss_nats": 3.0}),
            json!({"step": 10, "loss_nats": 2.0, "learning_rate": 1e-3, "grad_norm": 0.5}),
            json!({"step": 20, "loss_nats": null}),
        ]));
        assert_eq!((causal.training.len(), causal.validation.len()), (1, 1));
        assert_eq!(causal.loss().series.len(), 2);
        let perplexity = causal.perplexity().unwrap().series;
        assert!((perplexity[1].points[0].1 - 3_f64.exp()).abs() < 1e-12);
        assert_eq!(causal.of_the_optimizer().len(), 2);

        let name = Objective::MaskedLm.validation_loss_name();
        let masked = Curves::of(&records(&[json!({"step": 0, name: 3.0})]));
        assert!(masked.perplexity().is_none());
        assert!(masked.loss().y.label.contains("hidden token"));
        assert!(Curves::of(&[]).is_empty());
    }

    #[test]
    fn test_curves__the_picture_stands_alone() {
        let svg = loss_curve_svg(&records(&[json!({"step": 10, "loss_nats": 2.0})]));
        assert!(svg.starts_with("<svg ") && svg.contains("<style>") && svg.contains("#ffffff"));
        assert!(!svg.contains("var("), "not every program that shows SVG knows variables");
    }
}
