//! The notebook of validation: every rule that fails is written down with its place, so that a
//! user sees all problems at once.

use std::ops::RangeInclusive;

use super::fields::Section;
use super::node::{At, Node};
use super::problem::{Place, Problem, Source};
use super::raw::RawConfig;

/// Collects problems while a configuration is checked.
pub(crate) struct Check<'a> {
    tree: &'a Node,
    sources: &'a [Source],
    problems: Vec<Problem>,
}

impl<'a> Check<'a> {
    pub(crate) fn new(tree: &'a Node, sources: &'a [Source]) -> Self {
        Self { tree, sources, problems: Vec::new() }
    }

    /// What was written down, in the order of the text.
    pub(crate) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|p| {
            let place = p.places.first();
            place.map(|p| (p.position.is_none(), p.position))
        });
        self.problems
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Whether the field was typed, and not as null.
    pub(crate) fn typed(&self, field: &str) -> bool {
        self.tree.find(field).is_some_and(|n| !matches!(n.value, super::node::Value::Null))
    }

    /// The place of a field's value; where it was not typed, of the section it belongs to.
    fn locate(&self, field: &str) -> Option<At> {
        if let Some(node) = self.tree.find(field) {
            // A section's value begins on the next line: its key says more.
            return Some(match self.tree.entry(field) {
                Some((key, n)) if !n.entries().is_empty() => key.at,
                _ => node.at,
            });
        }
        self.locate(field.rsplit_once('.')?.0)
    }

    /// Writes down a problem with a field.
    pub(crate) fn problem(&mut self, field: &str, message: impl Into<String>) -> &mut Problem {
        let at = self.locate(field);
        self.problem_at(field, at, message)
    }

    /// Writes down a problem at a place of its own.
    pub(crate) fn problem_at(
        &mut self,
        field: &str,
        at: Option<At>,
        message: impl Into<String>,
    ) -> &mut Problem {
        let place = at.and_then(|at| Place::new(at, self.sources));
        let places = place.or_else(|| Place::whole(self.sources)).into_iter().collect();
        let message = message.into();
        self.problems.push(Problem { field: field.to_owned(), message, places, help: None });
        let last = self.problems.len() - 1;
        &mut self.problems[last]
    }

    /// Writes down that two fields disagree, and shows both lines where both were typed.
    pub(crate) fn conflict(
        &mut self,
        field: &str,
        other: &str,
        message: impl Into<String>,
    ) -> &mut Problem {
        let second = self.tree.find(other).and_then(|n| Place::new(n.at, self.sources));
        let problem = self.problem(field, message);
        problem.places.extend(second);
        problem
    }

    /// The value of a required field; `placeholder` lets validation go on where it is missing.
    pub(crate) fn need<T>(&mut self, field: &str, value: Option<T>, placeholder: T) -> T {
        value.unwrap_or_else(|| {
            let (section, name) = field.rsplit_once('.').unwrap_or(("", field));
            let section = match section {
                "" => "the config".to_owned(),
                s => format!("{s} config"),
            };
            let meaning = RawConfig::SECTION.at(field).map(super::fields::Field::text);
            let problem =
                self.problem(field, format!("Missing required field '{name}' in {section}"));
            problem.help = meaning.map(|m| format!("{name}: {m}"));
            placeholder
        })
    }

    /// A whole number within a range; `default` where it was not typed (`None`: required).
    pub(crate) fn whole(
        &mut self,
        field: &str,
        value: Option<u64>,
        default: Option<u64>,
        range: RangeInclusive<u64>,
    ) -> u64 {
        let placeholder = *range.start();
        let value = match value.or(default) {
            Some(v) => v,
            None => return self.need(field, None, placeholder),
        };
        if range.contains(&value) {
            return value;
        }
        let (low, high) = (*range.start(), *range.end());
        let allowed = match high {
            u64::MAX => format!("at least {low}"),
            _ => format!("from {low} to {high}"),
        };
        self.problem(field, format!("{field} must be {allowed}, got {value}"));
        placeholder
    }

    /// [`Self::whole`] as a size in memory.
    pub(crate) fn size(
        &mut self,
        field: &str,
        value: Option<u64>,
        default: Option<u64>,
        range: RangeInclusive<u64>,
    ) -> usize {
        let value = self.whole(field, value, default, range);
        usize::try_from(value).unwrap_or_else(|_| {
            self.problem(field, format!("{field}: {value} is more than this machine can count"));
            1
        })
    }

    /// A number that satisfies `allowed`, which `words` describes.
    pub(crate) fn number(
        &mut self,
        field: &str,
        value: Option<f64>,
        default: Option<f64>,
        (words, allowed): Range,
    ) -> f64 {
        let value = match value.or(default) {
            Some(v) => v,
            None => return self.need(field, None, f64::NAN),
        };
        if !allowed(value) {
            self.problem(field, format!("{field} must be {words}, got {value}"));
            return f64::NAN;
        }
        value
    }

    /// Refuses a typed field that the rest of the configuration leaves without effect.
    pub(crate) fn only_if(&mut self, used: bool, field: &str, condition: &str) {
        if !used && self.typed(field) {
            self.problem(field, format!("{field} has no effect here: it is used only {condition}"))
                .help(format!("remove '{}'", field.rsplit('.').next().unwrap_or(field)));
        }
    }

    /// [`Self::only_if`] for every field of `names` in a section.
    pub(crate) fn all_only_if(
        &mut self,
        used: bool,
        section: &str,
        names: &[&str],
        condition: &str,
    ) {
        for name in names {
            self.only_if(used, &format!("{section}.{name}"), condition);
        }
    }
}

/// A range of numbers: its words, and whether a number is in it (NaN is in none).
pub(crate) type Range = (&'static str, fn(f64) -> bool);

/// Above zero.
pub(crate) const POSITIVE: Range = ("above 0", |x| x > 0.0 && x.is_finite());
/// Zero or more.
pub(crate) const NOT_NEGATIVE: Range = ("0 or more", |x| x >= 0.0 && x.is_finite());
/// Any finite number.
pub(crate) const FINITE: Range = ("a finite number", f64::is_finite);
/// A probability below one.
pub(crate) const BELOW_ONE: Range = ("at least 0 and below 1", |x| (0.0..1.0).contains(&x));
/// From zero to one.
pub(crate) const SHARE: Range = ("from 0 to 1", |x| (0.0..=1.0).contains(&x));
/// Above zero, up to one.
pub(crate) const POSITIVE_SHARE: Range = ("above 0 and at most 1", |x| x > 0.0 && x <= 1.0);
/// Strictly between zero and one.
pub(crate) const OPEN_SHARE: Range = ("above 0 and below 1", |x| x > 0.0 && x < 1.0);

/// The whole configuration as its documentation lists it.
pub(crate) fn root() -> &'static Section {
    &RawConfig::SECTION
}
