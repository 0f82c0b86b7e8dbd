//! Axes: from values to places, and the ticks that people read.

use crate::pipeline::grouped;

/// How figures along an axis are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Figures {
    /// Whole numbers: updates, words.
    Count,
    /// Three decimals, or significant digits where these would not do.
    Decimal,
    /// Shares, as per cent.
    Percent,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scale {
    Linear,
    Logarithmic,
}

/// An axis as it is asked for.
#[derive(Clone, PartialEq, Debug)]
pub struct Axis {
    /// What it measures, with its unit.
    pub label: String,
    figures: Figures,
    scale: Scale,
    range: Option<(f64, f64)>,
}

/// A tick.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Tick {
    pub(super) value: f64,
    pub(super) label: String,
}

/// An axis that fits its values.
#[derive(Debug)]
pub(super) struct Fitted {
    pub(super) ticks: Vec<Tick>,
    scale: Scale,
    from: f64,
    to: f64,
    /// What stands for 0 on a logarithmic axis, left of all else.
    zero: Option<f64>,
}

impl Axis {
    /// Equal steps for equal differences.
    #[must_use]
    pub fn linear(label: &str, figures: Figures) -> Self {
        Self { label: label.to_owned(), figures, scale: Scale::Linear, range: None }
    }

    /// Equal steps for equal ratios. A 0 stands at the beginning, apart; what is below is not shown.
    #[must_use]
    pub fn logarithmic(&self) -> Self {
        Self { scale: Scale::Logarithmic, ..self.clone() }
    }

    /// From here to there, whatever the values.
    #[must_use]
    pub fn between(self, from: f64, to: f64) -> Self {
        Self { range: Some((from, to)), ..self }
    }

    /// A figure of this axis, in full.
    pub(super) fn figure(&self, v: f64) -> String {
        match self.figures {
            Figures::Count => count(v),
            Figures::Decimal => decimal(v),
            Figures::Percent => format!("{:.1} %", 100.0 * v),
        }
    }

    pub(super) fn shows(&self, v: f64) -> bool {
        v.is_finite() && (self.scale == Scale::Linear || v >= 0.0)
    }

    pub(super) fn fit(&self, values: impl Iterator<Item = f64>) -> Fitted {
        let values: Vec<f64> = values.filter(|v| self.shows(*v)).collect();
        match self.scale {
            Scale::Linear => self.fit_linear(&values),
            Scale::Logarithmic => self.fit_logarithmic(&values),
        }
    }

    fn fit_linear(&self, values: &[f64]) -> Fitted {
        let (low, high) = self.range.unwrap_or_else(|| extent(values).unwrap_or((0.0, 1.0)));
        let step = nice((high - low).max(high.abs() * 1e-6).max(1e-12) / 5.0);
        let step = if self.figures == Figures::Count { step.max(1.0) } else { step };
        let (first, mut last) = ((low / step).floor(), (high / step).ceil());
        if last <= first {
            last = first + 1.0;
        }
        let (mut ticks, mut at) = (Vec::new(), first);
        while at <= last && ticks.len() < 20 {
            let value = at * step;
            ticks.push(Tick { value, label: self.tick(value, step) });
            at += 1.0;
        }
        let (from, mut to) = (first * step, last * step);
        // What is counted ends where the counting did.
        if self.figures == Figures::Count && high > from {
            to = high;
            ticks.retain(|tick| tick.value <= high);
        }
        Fitted { ticks, scale: Scale::Linear, from, to, zero: None }
    }

    fn fit_logarithmic(&self, values: &[f64]) -> Fitted {
        let positive: Vec<f64> = values.iter().copied().filter(|v| *v > 0.0).collect();
        let (low, high) = extent(&positive).unwrap_or((1.0, 10.0));
        let decades = (high / low).log10();
        let steps: &[f64] = if decades <= 2.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let marks: Vec<f64> = (-12..=15)
            .flat_map(|e| steps.iter().map(move |s| s * 10_f64.powi(e)))
            .filter(|v| self.figures != Figures::Count || *v >= 1.0)
            .collect();
        let from = marks.iter().rev().find(|m| **m <= low * (1.0 + 1e-9)).copied().unwrap_or(low);
        let to = marks.iter().find(|m| **m >= high * (1.0 - 1e-9)).copied().unwrap_or(high);
        let to = if to > from { to } else { from * 10.0 };
        let label = |v: f64| self.tick(v, v);
        let ticks = marks.iter().filter(|m| **m >= from && **m <= to);
        let mut ticks: Vec<_> = ticks.map(|&value| Tick { value, label: label(value) }).collect();
        let zero = values.len() > positive.len();
        // As far from the rest as an eighth of the axis.
        let zero = zero.then(|| from / (to / from).powf(1.0 / 7.0));
        if zero.is_some() {
            ticks.insert(0, Tick { value: 0.0, label: self.tick(0.0, 1.0) });
        }
        Fitted { ticks, scale: Scale::Logarithmic, from: zero.unwrap_or(from), to, zero }
    }

    /// A figure at a tick, short: `step` is the distance of ticks.
    fn tick(&self, v: f64, step: f64) -> String {
        match self.figures {
            Figures::Percent => format!("{:.0} %", 100.0 * v),
            Figures::Count => short(v),
            Figures::Decimal if step >= 1.0 => short(v),
            Figures::Decimal if v != 0.0 && step < 1e-4 => format!("{v:.1e}"),
            Figures::Decimal => {
                let digits = (1..4).find(|d| step * 10_f64.powi(*d) >= 0.999).unwrap_or(4);
                format!("{v:.*}", usize::try_from(digits).unwrap_or(4))
            }
        }
    }
}

impl Fitted {
    /// The place of a value: 0 at the beginning of the axis, 1 at its end.
    pub(super) fn place(&self, v: f64) -> f64 {
        match self.scale {
            Scale::Linear => (v - self.from) / (self.to - self.from),
            Scale::Logarithmic => {
                let v = if v > 0.0 { v } else { self.zero.unwrap_or(self.from) };
                (v / self.from).ln() / (self.to / self.from).ln()
            }
        }
    }
}

fn extent(values: &[f64]) -> Option<(f64, f64)> {
    let low = values.iter().copied().reduce(f64::min)?;
    Some((low, values.iter().copied().fold(low, f64::max)))
}

/// The next of 1, 2, 5, 10, 20, ...
fn nice(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let nice = [1.0, 2.0, 5.0].into_iter().find(|n| n * power >= step * (1.0 - 1e-9));
    nice.unwrap_or(10.0) * power
}

/// "1,234,567", for whole numbers that are not too large for it.
pub(super) fn count(v: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
    if (0.0..9e15).contains(&v) && v.fract().abs() < 1e-9 { grouped(v as u64) } else { decimal(v) }
}

/// Three decimals, or significant digits where these would not do.
pub(super) fn decimal(v: f64) -> String {
    match v.abs() {
        a if a >= 1e6 || (a < 0.01 && a > 0.0) => format!("{v:.2e}"),
        a if a >= 100.0 => format!("{v:.1}"),
        _ => format!("{v:.3}"),
    }
}

/// "20 k", "1.5 M".
fn short(v: f64) -> String {
    let (v, unit) = match v.abs() {
        a if a >= 1e9 => (v / 1e9, " G"),
        a if a >= 1e6 => (v / 1e6, " M"),
        a if a >= 1e4 => (v / 1e3, " k"),
        _ => (v, ""),
    };
    let figure = format!("{v:.2}");
    let figure = figure.trim_end_matches('0').trim_end_matches('.');
    format!("{figure}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, values: &[f64]) -> Vec<String> {
        axis.fit(values.iter().copied()).ticks.into_iter().map(|t| t.label).collect()
    }

    #[test]
    fn test_axis__ticks_are_round_and_hold_every_value() {
        let updates = Axis::linear("updates", Figures::Count);
        assert_eq!(labels(&updates, &[0.0, 600.0]), ["0", "200", "400", "600"]);
        assert_eq!(labels(&updates, &[0.0, 100_000.0]).last().unwrap(), "100 k");
        assert_eq!(labels(&updates, &[0.0, 120.0]), ["0", "50", "100"]);
        assert!((updates.fit([0.0, 120.0].into_iter()).place(120.0) - 1.0).abs() < 1e-12);
        let loss = Axis::linear("loss", Figures::Decimal);
        assert_eq!(labels(&loss, &[2.6, 6.93]), ["2", "3", "4", "5", "6", "7"]);
        assert_eq!(labels(&loss, &[0.21, 0.29]).first().unwrap(), "0.20");
        let share = Axis::linear("right", Figures::Percent).between(0.0, 1.0);
        assert_eq!(labels(&share, &[0.5]), ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]);
    }

    #[test]
    fn test_axis__a_logarithmic_axis_has_a_place_for_0() {
        let axis = Axis::linear("updates", Figures::Count).logarithmic();
        assert_eq!(labels(&axis, &[1.0, 600.0]), ["1", "10", "100", "1000"]);
        assert_eq!(labels(&axis, &[0.0, 1.0, 8.0]), ["0", "1", "2", "5", "10"]);
        let fitted = axis.fit([0.0, 1.0, 1000.0].into_iter());
        assert!(fitted.place(0.0).abs() < 1e-12 && (fitted.place(1000.0) - 1.0).abs() < 1e-12);
        assert!(fitted.place(1.0) > 0.05 && fitted.place(1.0) < fitted.place(2.0));
        assert!(!axis.shows(-1.0) && !axis.shows(f64::NAN) && axis.shows(0.0));
    }

    #[test]
    fn test_axis__figures_say_enough() {
        let told = [0.0, 4.0, 12.106, 1024.14, 0.0006, 7.25e8].map(decimal);
        assert_eq!(told, ["0.000", "4.000", "12.106", "1024.1", "6.00e-4", "7.25e8"]);
        assert_eq!([count(1_234_567.0), short(1_500_000.0)], ["1,234,567", "1.5 M"]);
    }
}
