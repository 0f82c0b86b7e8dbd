//! Line charts as SVG, for reports and as pictures of their own.
//!
//! A chart carries no colour: its parts have classes, and [`style`] gives these their colours, light or dark. So the same
//! drawing follows the page that it stands in. Lines without marks differ in dashes as well as
//! in colour.

use super::axis::{Axis, Tick};
use super::markup::escape;
use std::fmt::Write as _;

/// How a line is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pen {
    /// Thin: many points, or one of many lines.
    Thin,
    /// Thick, without marks: a line among a few others.
    Plain,
    /// Thick, with a mark at every point that shows its figures when pointed at.
    Marked,
}

/// A line of a chart.
#[derive(Clone, PartialEq, Debug)]
pub struct Series {
    /// Its name, for the legend; without one it is not in the legend.
    pub name: String,
    /// x and y; points that are not finite are left out.
    pub points: Vec<(f64, f64)>,
    /// Colour and dashes: 0 to 7, counted around.
    pub colour: usize,
    /// How it is drawn.
    pub pen: Pen,
}

/// A level that means something, such as chance.
#[derive(Clone, PartialEq, Debug)]
pub struct Level {
    /// Where, on the vertical axis.
    pub y: f64,
    /// What it is.
    pub name: String,
}

/// A line chart.
#[derive(Clone, PartialEq, Debug)]
pub struct Chart {
    /// Unique in its page: what names the parts of the drawing.
    pub id: String,
    /// What is shown.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The lines, the most important last: later ones lie above.
    pub series: Vec<Series>,
    /// Levels to compare with.
    pub levels: Vec<Level>,
    /// Width and height, in the drawing's units (CSS pixels at full size).
    pub size: (f64, f64),
}

/// Colours of the lines: at least 4.5 to 1 against the ground, apart from one another for colour-blind eyes (after
/// Okabe and Ito).
const LIGHT: [&str; 8] =
    ["#0067a5", "#b3470e", "#00694b", "#99407f", "#7a5c00", "#3b5b74", "#8a2f2f", "#555555"];
const DARK: [&str; 8] =
    ["#62b6ee", "#f5955c", "#3fc79a", "#e090c8", "#e3c54a", "#a3bccf", "#f09a9a", "#b5b5b5"];
const DASHES: [&str; 8] = ["none", "7 3", "2 3", "9 3 2 3", "5 5", "12 2 2 2", "11 4", "none"];

/// The ground that the drawing stands on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ground {
    /// Paper.
    Light,
    /// A dark screen.
    Dark,
}

/// The style sheet of all charts on a ground.
#[must_use]
pub fn style(ground: Ground) -> String {
    let (ink, faint, colours) = match ground {
        Ground::Light => ("#333333", "#dddddd", LIGHT),
        Ground::Dark => ("#cfcfcf", "#3c3f44", DARK),
    };
    let mut css = format!(
        ".chart text{{fill:{ink};font:12px system-ui,sans-serif}}.chart .title{{font-weight:600;font-size:13px}}\
         .chart .grid{{stroke:{faint}}}.chart .level{{stroke:{ink};stroke-dasharray:1 3}}\
         .chart polyline{{fill:none;stroke-linejoin:round}}.chart .thin{{stroke-width:1.2;opacity:.75}}.chart .plain{{stroke-width:1.8}}.chart .marked{{stroke-width:2.2}}"
    );
    for (i, (colour, dashes)) in colours.iter().zip(DASHES).enumerate() {
        let _ = write!(
            css,
            ".chart .c{i}{{stroke:{colour}}}.chart .thin.c{i},.chart .plain.c{i}{{stroke-dasharray:{dashes}}}.chart .m{i}{{fill:{colour}}}"
        );
    }
    css
}

impl Chart {
    /// A picture of its own, on white.
    #[must_use]
    pub fn picture(&self) -> String {
        let (width, height) = self.size;
        let ground = format!(
            "<style>{}</style><rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n",
            style(Ground::Light)
        );
        self.draw(&ground)
    }

    /// The drawing, for a page that has [`style`].
    #[must_use]
    pub fn inline(&self) -> String {
        self.draw("")
    }

    fn draw(&self, ground: &str) -> String {
        let (id, (width, height)) = (escape(&self.id), self.size);
        let series: Vec<Series> = self.series.iter().map(|s| self.visible(s)).collect();
        let all = || series.iter().flat_map(|s| &s.points);
        let x = self.x.fit(all().map(|p| p.0));
        let levels = self.levels.iter().map(|level| level.y);
        let y = self.y.fit(all().map(|p| p.1).chain(levels));
        let widest = y.ticks.iter().map(|t| t.label.chars().count()).max().unwrap_or(1);
        #[expect(clippy::cast_precision_loss, reason = "a few characters")]
        let (left, right) = (30.0 + 7.0 * widest as f64, width - 16.0);
        let (legend, rows) = legend(&series, &self.levels, left, right);
        let (top, bottom) = (30.0 + 18.0 * rows, height - 40.0);
        let at_x = |v: f64| left + (right - left) * x.place(v);
        let at_y = |v: f64| bottom - (bottom - top) * y.place(v);

        let mut svg = format!(
            "<svg class=\"chart\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
             aria-labelledby=\"{id}-title {id}-desc\">\n<title id=\"{id}-title\">{}</title>\n\
             <desc id=\"{id}-desc\">{}</desc>\n{ground}\
             <text class=\"title\" x=\"{left:.1}\" y=\"16\">{}</text>\n",
            escape(&self.title),
            escape(&self.in_words(&series)),
            escape(&self.title),
        );
        // Writing to a string cannot fail.
        for tick in &y.ticks {
            let ty = at_y(tick.value);
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{left:.1}\" x2=\"{right:.1}\" y1=\"{ty:.1}\" y2=\"{ty:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 6.0,
                ty + 4.0,
                escape(&tick.label)
            );
        }
        for tick in &x.ticks {
            let tx = at_x(tick.value);
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{tx:.1}\" x2=\"{tx:.1}\" y1=\"{bottom:.1}\" y2=\"{:.1}\"/>",
                bottom + 4.0
            );
        }
        for (label, tx) in labelled(&x.ticks, &at_x, width) {
            let _ = writeln!(
                svg,
                "<text x=\"{tx:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 17.0,
                escape(label)
            );
        }
        let (middle, half) = (f64::midpoint(left, right), f64::midpoint(top, bottom));
        let _ = writeln!(
            svg,
            "<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text transform=\"translate(13 {half:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            height - 6.0,
            escape(&self.x.label),
            escape(&self.y.label)
        );
        for level in &self.levels {
            let ly = at_y(level.y);
            let _ = writeln!(
                svg,
                "<line class=\"level\" x1=\"{left:.1}\" x2=\"{right:.1}\" y1=\"{ly:.1}\" y2=\"{ly:.1}\"/>"
            );
        }
        for s in &series {
            line(&mut svg, s, &thinned(&s.points, right - left, &at_x), &at_x, &at_y, self);
        }
        svg.push_str(&legend);
        svg.push_str("</svg>\n");
        svg
    }

    /// The points of a line that have a place on the axes.
    fn visible(&self, series: &Series) -> Series {
        let points = series.points.iter().copied();
        let points = points.filter(|p| self.x.shows(p.0) && self.y.shows(p.1)).collect();
        Series { points, ..series.clone() }
    }

    /// The chart for those who do not see it: where each line begins and ends.
    fn in_words(&self, series: &[Series]) -> String {
        let mut words = format!("{} against {}.", self.y.label, self.x.label);
        for s in series.iter().filter(|s| !s.name.is_empty() || series.len() == 1) {
            let (Some(first), Some(last)) = (s.points.first(), s.points.last()) else { continue };
            let name = if s.name.is_empty() { &self.title } else { &s.name };
            let (from, to) = (self.y.figure(first.1), self.y.figure(last.1));
            let (begin, end) = (self.x.figure(first.0), self.x.figure(last.0));
            let _ = write!(words, " {name}: {from} at {begin}, {to} at {end}.");
        }
        words
    }
}

/// About the width of a text.
#[expect(clippy::cast_precision_loss, reason = "a short text")]
fn width_of(text: &str) -> f64 {
    7.0 * text.chars().count() as f64
}

/// The labels of ticks and their places: those that fit beside each other, powers of ten first.
fn labelled<'t>(ticks: &'t [Tick], at_x: &dyn Fn(f64) -> f64, width: f64) -> Vec<(&'t str, f64)> {
    let is_power = |v: f64| v <= 0.0 || (v.log10() - v.log10().round()).abs() < 1e-9;
    let (powers, others): (Vec<_>, Vec<_>) = ticks.iter().partition(|t| is_power(t.value));
    let mut placed: Vec<(&str, f64)> = Vec::new();
    for tick in powers.into_iter().chain(others) {
        let half = width_of(&tick.label) / 2.0;
        // No label leaves the drawing.
        let x = at_x(tick.value).min(width - half);
        if placed.iter().all(|(text, at)| (x - at).abs() >= half + width_of(text) / 2.0 + 6.0) {
            placed.push((&tick.label, x));
        }
    }
    placed
}

/// The names of the lines and levels, in as many rows as they need, and the number of these. A name stands once.
fn legend(series: &[Series], levels: &[Level], left: f64, right: f64) -> (String, f64) {
    let (mut svg, mut x, mut y, mut shown) = (String::new(), left, 32.0, Vec::new());
    let of = |s: &Series| format!("{} c{}", class(s.pen), s.colour % LIGHT.len());
    let lines = series.iter().map(|s| (&s.name, of(s)));
    let levels = levels.iter().map(|level| (&level.name, "level".to_owned()));
    for (name, class) in lines.chain(levels).filter(|(name, _)| !name.is_empty()) {
        if shown.contains(&name) {
            continue;
        }
        shown.push(name);
        let width = 29.0 + width_of(name);
        if x > left && x + width > right {
            (x, y) = (left, y + 18.0);
        }
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{:.1}\" y1=\"{y}\" y2=\"{y}\"/>\
             <text x=\"{:.1}\" y=\"{}\">{}</text>",
            x + 24.0,
            x + 29.0,
            y + 4.0,
            escape(name)
        );
        x += width + 15.0;
    }
    (svg, if shown.is_empty() { 0.0 } else { (y - 14.0) / 18.0 })
}

fn class(pen: Pen) -> &'static str {
    match pen {
        Pen::Thin => "thin",
        Pen::Plain => "plain",
        Pen::Marked => "marked",
    }
}

fn line(
    svg: &mut String,
    s: &Series,
    points: &[(f64, f64)],
    at_x: &dyn Fn(f64) -> f64,
    at_y: &dyn Fn(f64) -> f64,
    chart: &Chart,
) {
    let (class, c) = (class(s.pen), s.colour % LIGHT.len());
    if points.len() > 1 {
        let path: Vec<_> =
            points.iter().map(|p| format!("{:.1},{:.1}", at_x(p.0), at_y(p.1))).collect();
        let _ = writeln!(svg, "<polyline class=\"{class} c{c}\" points=\"{}\"/>", path.join(" "));
    }
    if s.pen != Pen::Marked && points.len() > 1 {
        return;
    }
    let radius = if points.len() > 16 { 1.8 } else { 2.6 };
    for p in points {
        let name = if s.name.is_empty() { String::new() } else { format!("{}: ", s.name) };
        let words = format!("{name}{} at {}", chart.y.figure(p.1), chart.x.figure(p.0));
        let _ = writeln!(
            svg,
            "<circle class=\"m{c}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\"><title>{}</title></circle>",
            at_x(p.0),
            at_y(p.1),
            escape(&words)
        );
    }
}

/// Of very many points, in every pixel column the first, the lowest, the highest and the last: the line looks the same,
/// and no peak is lost.
fn thinned(points: &[(f64, f64)], width: f64, at_x: &dyn Fn(f64) -> f64) -> Vec<(f64, f64)> {
    #[expect(clippy::cast_precision_loss, reason = "a number of points")]
    if points.len() as f64 <= 4.0 * width {
        return points.to_vec();
    }
    let column = |p: &(f64, f64)| at_x(p.0).floor();
    let mut kept = Vec::new();
    for points in points.chunk_by(|a, b| column(a).total_cmp(&column(b)).is_eq()) {
        let by_height = |i: &usize, j: &usize| points[*i].1.total_cmp(&points[*j].1);
        let lowest = (0..points.len()).min_by(by_height).unwrap_or(0);
        let highest = (0..points.len()).max_by(by_height).unwrap_or(0);
        let mut chosen = [0, lowest, highest, points.len() - 1];
        chosen.sort_unstable();
        for (i, &at) in chosen.iter().enumerate() {
            if i == 0 || chosen[i - 1] != at {
                kept.push(points[at]);
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::axis::Figures;

    fn chart(series: Vec<Series>) -> Chart {
        Chart {
            id: "c".into(),
            title: "Loss <of> \"it\"".into(),
            x: Axis::linear("updates", Figures::Count),
            y: Axis::linear("loss, nats a token", Figures::Decimal),
            series,
            levels: Vec::new(),
            size: (640.0, 350.0),
        }
    }

    fn series(points: Vec<(f64, f64)>, pen: Pen) -> Series {
        Series { name: "a & b".into(), points, colour: 0, pen }
    }

    #[test]
    fn test_chart__names_are_escaped_and_figures_are_told_in_words() {
        let svg = chart(vec![series(vec![(0.0, 4.0), (1000.0, 2.5)], Pen::Marked)]).picture();
        assert!(svg.contains("Loss &lt;of&gt; &quot;it&quot;") && !svg.contains("<of>"), "{svg}");
        assert!(svg.contains("a &amp; b: 4.000 at 0, 2.500 at 1,000."), "{svg}");
        assert!(svg.contains("<title>a &amp; b: 2.500 at 1,000</title>"), "{svg}");
    }

    #[test]
    fn test_chart__many_names_are_put_in_rows_and_each_stands_once() {
        let named = |name: String| Series { name, ..series(vec![(0.0, 1.0)], Pen::Thin) };
        let two = [named("lstm".into()), named("lstm".into())];
        let (svg, rows) = legend(&two, &[], 50.0, 450.0);
        assert_eq!((svg.matches("<text").count(), rows.to_string().as_str()), (1, "1"));
        let many: Vec<_> = (0..8).map(|i| named(format!("a long name {i}"))).collect();
        let (svg, rows) = legend(&many, &[], 50.0, 450.0);
        assert_eq!((svg.matches("<text").count(), rows.to_string().as_str()), (8, "3"));
        assert_eq!(legend(&[named(String::new())], &[], 0.0, 1.0), (String::new(), 0.0));
        let chance = [Level { y: 0.5, name: "chance".into() }];
        let (svg, rows) = legend(&[named(String::new())], &chance, 50.0, 450.0);
        assert!(svg.contains("class=\"level\"") && svg.contains(">chance<"), "{svg}");
        assert_eq!(rows.to_string(), "1");
    }

    #[test]
    fn test_chart__labels_of_ticks_do_not_overlap() {
        let words = Axis::linear("words read", Figures::Count).logarithmic();
        let fitted = words.fit([0.0, 10_000.0, 1_800_000.0].into_iter());
        let at_x = |v: f64| 60.0 + 240.0 * fitted.place(v);
        let mut placed = labelled(&fitted.ticks, &at_x, 316.0);
        placed.sort_by(|a, b| a.1.total_cmp(&b.1));
        let names: Vec<&str> = placed.iter().map(|(label, _)| *label).collect();
        for power in ["0", "10 k", "100 k", "1 M"] {
            assert!(names.contains(&power), "{names:?}");
        }
        for pair in placed.windows(2) {
            let room = pair[1].1 - pair[0].1 - (width_of(pair[0].0) + width_of(pair[1].0)) / 2.0;
            assert!(room >= 6.0, "{names:?}");
        }
        assert!(placed.iter().all(|(label, x)| x + width_of(label) / 2.0 <= 316.0), "{names:?}");
    }

    #[test]
    fn test_chart__what_is_not_finite_is_left_out() {
        let points = vec![(0.0, f64::NAN), (1.0, 2.0), (2.0, f64::INFINITY), (3.0, 1.0)];
        let svg = chart(vec![series(points, Pen::Marked)]).inline();
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn test_chart__nothing_and_one_point_can_be_drawn() {
        for points in [vec![], vec![(0.0, 0.0)], vec![(5.0, 3.0), (5.0, 3.0)]] {
            for pen in [Pen::Thin, Pen::Marked] {
                let mut chart = chart(vec![series(points.clone(), pen)]);
                let linear = chart.inline();
                chart.x = chart.x.logarithmic();
                chart.y = chart.y.logarithmic();
                for svg in [linear, chart.inline()] {
                    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                }
            }
        }
        assert_eq!(
            chart(vec![series(vec![(1.0, 1.0)], Pen::Thin)]).inline().matches("<circle").count(),
            1
        );
    }

    #[test]
    fn test_chart__many_points_keep_their_peaks() {
        let mut points: Vec<_> = (0..100_000).map(|i| (f64::from(i), 1.0)).collect();
        points[54_321].1 = 9.0;
        let kept = thinned(&points, 100.0, &|x| x / 1000.0);
        assert!(kept.len() <= 400 && kept.contains(&(54_321.0, 9.0)), "{}", kept.len());
        assert_eq!((kept[0], kept[kept.len() - 1]), (points[0], points[99_999]));
        assert!(kept.is_sorted_by(|a, b| a.0 < b.0));
    }
}
