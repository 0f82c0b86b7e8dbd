//! What was learned of grammar, from `eval/minimal_pairs.csv`: for each suite the learning curves by phenomenon, and the
//! last scores.

use super::axis::{Axis, Figures};
use super::chart::{Chart, Level, Pen, Series};
use super::markup::{Column, table};
use crate::eval::table::parse;
use crate::pipeline::grouped;
use std::fmt::Write as _;

/// A row of the table of scores.
#[derive(Clone, PartialEq, Debug)]
pub struct Accuracy {
    /// `paradigm`, `phenomenon`, `suite` or `overall`.
    pub level: String,
    /// The suite; empty for all pairs together.
    pub suite: String,
    /// The phenomenon; empty for whole suites.
    pub phenomenon: String,
    /// The paradigm; empty for whole phenomena.
    pub paradigm: String,
    /// Updates that made the weights; None for what was not trained here.
    pub step: Option<u64>,
    /// Words trained on until then.
    pub words_seen: Option<u64>,
    /// What gave the probabilities.
    pub scorer: String,
    /// Pairs.
    pub pairs: u64,
    /// Pairs whose good sentence is the more probable.
    pub right: u64,
    /// Pairs of equal probability.
    pub ties: u64,
    /// Tokens scored.
    pub tokens: u64,
    /// `<unk>` among them.
    pub unknown_tokens: u64,
    /// Whether the first token of a sentence has a score.
    pub first_token_scored: bool,
}

impl Accuracy {
    /// The share of pairs that are right.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub fn share(&self) -> f64 {
        self.right as f64 / self.pairs.max(1) as f64
    }

    /// The share of `<unk>` among the tokens.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub fn unknown(&self) -> f64 {
        self.unknown_tokens as f64 / self.tokens.max(1) as f64
    }

    /// Wilson's 95 % interval of the share, as if the pairs were drawn independently of each other.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub fn interval(&self) -> (f64, f64) {
        let (n, z) = (self.pairs.max(1) as f64, 1.959_963_985);
        let (p, zz) = (self.share(), z * z / n);
        let middle = (p + zz / 2.0) / (1.0 + zz);
        let half = z * (p * (1.0 - p) / n + zz / (4.0 * n)).sqrt() / (1.0 + zz);
        ((middle - half).max(0.0), (middle + half).min(1.0))
    }
}

/// The scores of a run.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Learned {
    /// All rows, in the order of the table.
    pub rows: Vec<Accuracy>,
}

impl Learned {
    /// Reads the table of scores; what a writer has not finished, at its end, is passed over.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(csv: &str) -> Result<Self, String> {
        let whole = csv.rfind('\n').map_or("", |end| &csv[..=end]);
        let mut records = parse(whole).map_err(|(line, flaw)| format!("line {line}: {flaw}"))?;
        if records.is_empty() {
            return Ok(Self::default());
        }
        let (_, header) = records.remove(0);
        let column = |name: &str| {
            let at = header.iter().position(|h| h == name);
            at.ok_or_else(|| format!("line 1: there is no column {name}"))
        };
        let (level, suite, phenomenon, paradigm) =
            (column("level")?, column("suite")?, column("phenomenon")?, column("paradigm")?);
        let (step, words, scorer) = (column("step")?, column("words_seen")?, column("scorer")?);
        let (pairs, right, ties) = (column("pairs")?, column("right")?, column("ties")?);
        let (tokens, unknown) = (column("tokens")?, column("unknown_tokens")?);
        let first = column("first_token_scored")?;
        let mut rows = Vec::with_capacity(records.len());
        for (line, fields) in records {
            if fields.len() != header.len() {
                return Err(format!(
                    "line {line} has {} fields, the first line {}",
                    fields.len(),
                    header.len()
                ));
            }
            let number = |at: usize| -> Result<Option<u64>, String> {
                match fields[at].as_str() {
                    "NA" => Ok(None),
                    digits => digits
                        .parse()
                        .map(Some)
                        .map_err(|_| format!("line {line}: {digits} is no whole number")),
                }
            };
            let count = |at| number(at)?.ok_or_else(|| format!("line {line}: a count is missing"));
            let name = |at: usize| Some(&fields[at]).filter(|s| *s != "NA").cloned();
            rows.push(Accuracy {
                level: fields[level].clone(),
                suite: name(suite).unwrap_or_default(),
                phenomenon: name(phenomenon).unwrap_or_default(),
                paradigm: name(paradigm).unwrap_or_default(),
                step: number(step)?,
                words_seen: number(words)?,
                scorer: fields[scorer].clone(),
                pairs: count(pairs)?,
                right: count(right)?,
                ties: count(ties)?,
                tokens: count(tokens)?,
                unknown_tokens: count(unknown)?,
                first_token_scored: fields[first] != "0",
            });
        }
        Ok(Self { rows })
    }

    /// The step that was scored last.
    #[must_use]
    pub fn last_step(&self) -> Option<u64> {
        self.rows.iter().filter_map(|row| row.step).max()
    }

    /// The rows of the step that was scored last.
    pub fn last(&self) -> impl Iterator<Item = &Accuracy> {
        let last = self.last_step();
        self.rows.iter().filter(move |row| last.is_some() && row.step == last)
    }

    /// Steps that were scored.
    #[must_use]
    pub fn steps(&self) -> usize {
        let mut steps: Vec<u64> = self.rows.iter().filter_map(|row| row.step).collect();
        steps.sort_unstable();
        steps.dedup();
        steps.len()
    }

    /// The suites of the step that was scored last.
    #[must_use]
    pub fn suites(&self) -> Vec<&str> {
        self.last().filter(|row| row.level == "suite").map(|row| &*row.suite).collect()
    }

    /// What a reader of the scores must know.
    #[must_use]
    pub fn caveat(&self) -> Option<&'static str> {
        self.rows.iter().any(|row| !row.first_token_scored).then_some(
            "The first token of a sentence is not scored: the model was trained without a boundary token, so nothing stands \
             before it.",
        )
    }

    /// Of a suite, a chart for all pairs, then one a phenomenon with its paradigms as thin lines. By words read, or by
    /// updates where words are not known.
    #[must_use]
    pub fn charts(&self, suite: &str) -> Vec<Chart> {
        let by_words = self.rows.iter().any(|row| row.words_seen.is_some_and(|words| words > 0));
        let label = if by_words { "words read" } else { "updates" };
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let point = |row: &&Accuracy| {
            let x = if by_words { row.words_seen } else { row.step };
            Some((x? as f64, row.share())).filter(|_| row.step.is_some())
        };
        let line = |level: &str, phenomenon: &str, paradigm: &str| -> Vec<(f64, f64)> {
            let rows = self.rows.iter().filter(|row| {
                (&*row.level, &*row.suite) == (level, suite)
                    && (&*row.phenomenon, &*row.paradigm) == (phenomenon, paradigm)
            });
            let mut points: Vec<_> = rows.filter_map(|row| point(&row)).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            points
        };
        let chart = |id: String, title: &str, series| Chart {
            id,
            title: title.to_owned(),
            x: Axis::linear(label, Figures::Count),
            y: Axis::linear("pairs right", Figures::Percent).between(0.0, 1.0),
            series,
            levels: vec![Level { y: 0.5, name: "chance".into() }],
            size: (320.0, 220.0),
        };
        let thick = |points| Series { name: String::new(), points, colour: 0, pen: Pen::Marked };
        let number = self.suites().iter().position(|name| *name == suite).unwrap_or(0);
        let id = |n: usize| format!("pairs-{number}-{n}");
        let mut charts = vec![chart(id(0), "All pairs", vec![thick(line("suite", "", ""))])];
        let last: Vec<&Accuracy> = self.last().filter(|row| row.suite == suite).collect();
        for row in last.iter().filter(|row| row.level == "phenomenon") {
            let of_it =
                last.iter().filter(|p| p.level == "paradigm" && p.phenomenon == row.phenomenon);
            let paradigms: Vec<&&Accuracy> = of_it.collect();
            let mut series = Vec::new();
            if paradigms.len() > 1 {
                series.extend(paradigms.iter().map(|p| Series {
                    name: String::new(),
                    points: line("paradigm", &p.phenomenon, &p.paradigm),
                    colour: 7,
                    pen: Pen::Thin,
                }));
            }
            series.push(thick(line("phenomenon", &row.phenomenon, "")));
            charts.push(chart(id(charts.len()), &row.phenomenon, series));
        }
        charts.retain(|chart| chart.series.iter().any(|s| !s.points.is_empty()));
        charts
    }

    /// The last scores of a suite as a table of markup: phenomena, their paradigms, all pairs.
    #[must_use]
    pub fn last_table(&self, suite: &str) -> String {
        let columns = [
            ("phenomenon", Column::Words),
            ("paradigm", Column::Words),
            ("pairs", Column::Figures),
            ("right", Column::Figures),
            ("ties", Column::Figures),
            ("right, %", Column::Figures),
            ("95 % interval, %", Column::Figures),
            ("<unk>, %", Column::Figures),
        ];
        let row = |first: &str, second: &str, a: &Accuracy| {
            let (low, high) = a.interval();
            vec![
                first.to_owned(),
                second.to_owned(),
                grouped(a.pairs),
                grouped(a.right),
                grouped(a.ties),
                format!("{:.1}", 100.0 * a.share()),
                format!("{:.1} to {:.1}", 100.0 * low, 100.0 * high),
                format!("{:.2}", 100.0 * a.unknown()),
            ]
        };
        let last: Vec<&Accuracy> = self.last().filter(|row| row.suite == suite).collect();
        let mut rows = Vec::new();
        for phenomenon in last.iter().filter(|a| a.level == "phenomenon") {
            let of_it = last
                .iter()
                .filter(|p| p.level == "paradigm" && p.phenomenon == phenomenon.phenomenon);
            let paradigms: Vec<_> = of_it.collect();
            let all = match paradigms.as_slice() {
                [one] if one.paradigm == phenomenon.phenomenon => "",
                [one] => &one.paradigm,
                _ => "all of them",
            };
            rows.push(row(&phenomenon.phenomenon, all, phenomenon));
            if paradigms.len() > 1 {
                rows.extend(paradigms.iter().map(|p| row("", &p.paradigm, p)));
            }
        }
        rows.extend(last.iter().filter(|a| a.level == "suite").map(|a| row("all pairs", "", a)));
        let mut caption = format!("Minimal pairs of {suite}");
        if let Some(step) = self.last_step() {
            let _ = write!(caption, " after {} updates", grouped(step));
        }
        if let Some(first) = last.first() {
            let _ = write!(caption, ", scored by {}", first.scorer);
        }
        table(&caption, &columns, &rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::pairs::{ParadigmScore, SUMMARY_COLUMNS, summary_rows};
    use crate::eval::table::{Origin, ScoredBy};

    fn csv(steps: &[u64]) -> String {
        let mut text = format!("{},{SUMMARY_COLUMNS}\n", Origin::COLUMNS);
        for &step in steps {
            let origin = Origin {
                step: Some(step),
                tokens_seen: Some(20 * step),
                words_seen: Some(10 * step),
                seed: Some(1),
                scorer: ScoredBy::Model("gpt2"),
                first_token_scored: Some(false),
            };
            let score = |suite: &str, paradigm: &str, phenomenon: &str, right| ParadigmScore {
                suite: suite.into(),
                paradigm: paradigm.into(),
                phenomenon: phenomenon.into(),
                pairs: 10,
                right,
                ties: 1,
                right_by_slor: None,
                tokens: 100,
                unknown_tokens: 1,
            };
            let scores = [
                score("s", "a, 1", "<b>", 5),
                score("s", "a2", "<b>", 7),
                score("s", "c", "c", 9),
                score("t", "c", "c", 2),
            ];
            for row in summary_rows(&origin, &scores) {
                text += &(row + "\n");
            }
        }
        text
    }

    #[test]
    fn test_grammar__a_table_becomes_a_curve_for_each_phenomenon() {
        let learned = Learned::read(&csv(&[0, 1, 2])).unwrap();
        assert_eq!((learned.steps(), learned.last_step()), (3, Some(2)));
        let charts = learned.charts("s");
        let titles: Vec<&str> = charts.iter().map(|c| c.title.as_str()).collect();
        assert_eq!(titles, ["All pairs", "<b>", "c"]);
        assert_eq!(charts[0].series[0].points, [(0.0, 0.7), (10.0, 0.7), (20.0, 0.7)]);
        assert_eq!(charts[1].series.len(), 3, "two paradigms and the phenomenon");
        assert_eq!(charts[1].series[2].points[2], (20.0, 0.6));
        let table = learned.last_table("s");
        assert!(table.contains("of s after 2 updates, scored by gpt2"), "{table}");
        assert!(table.contains("&lt;b&gt;") && !table.contains("<b>"));
        for cell in
            ["<td class=\"n\">30</td>", "<td class=\"n\">21</td>", "<td class=\"n\">70.0</td>"]
        {
            assert!(table.contains(cell), "{cell}\n{table}");
        }
        assert!(table.contains("<td class=\"n\">1.00</td>"), "the share of <unk>: {table}");
        assert!(learned.caveat().is_some());
    }

    #[test]
    fn test_grammar__phenomena_of_one_name_in_two_suites_stay_apart() {
        let learned = Learned::read(&csv(&[0, 1])).unwrap();
        assert_eq!(learned.suites(), ["s", "t"]);
        let (s, t) = (learned.charts("s"), learned.charts("t"));
        let is = |chart: &Chart, id: &str, title: &str, share: f64| {
            assert_eq!((&*chart.id, &*chart.title), (id, title));
            assert_eq!(chart.series.last().unwrap().points, [(0.0, share), (10.0, share)]);
        };
        is(&s[2], "pairs-0-2", "c", 0.9);
        is(&t[0], "pairs-1-0", "All pairs", 0.2);
        is(&t[1], "pairs-1-1", "c", 0.2);
    }

    #[test]
    fn test_grammar__a_row_in_the_making_is_passed_over_and_a_damaged_one_is_told() {
        let whole = csv(&[0, 1]);
        let torn = whole.clone() + "2,40,\"20";
        assert_eq!(Learned::read(&torn), Learned::read(&whole));
        let error = Learned::read(&(whole.clone() + "2,x\n")).unwrap_err();
        assert!(error.contains("line 22 has 2 fields"), "{error}");
        assert!(Learned::read("a,b\n1,2\n").unwrap_err().contains("no column level"));
        assert_eq!(Learned::read("").unwrap(), Learned::default());
        assert!(Learned::default().charts("").is_empty());
    }

    #[test]
    fn test_grammar__intervals_are_wilsons() {
        let mut row = Learned::read(&csv(&[1])).unwrap().rows[0].clone();
        // Where all are right it is from n / (n + z^2) to 1; where half are, it is symmetric.
        (row.pairs, row.right) = (10, 10);
        let (low, high) = row.interval();
        assert!((low - 10.0 / (10.0 + 1.96_f64.powi(2))).abs() < 1e-5 && (high - 1.0).abs() < 1e-9);
        (row.pairs, row.right) = (200, 100);
        let (low, high) = row.interval();
        assert!((low + high - 1.0).abs() < 1e-12 && (0.43..0.432).contains(&low), "{low} {high}");
    }
}
