//! A grammar whose names are all known: features, values, categories and words are numbers.

use super::error::Span;
use super::syntax::Name;

/// A feature and its values, with their weights.
#[derive(Debug)]
pub(super) struct Feature {
    pub(super) name: Name,
    pub(super) values: Vec<Name>,
    pub(super) weights: Vec<f64>,
}

impl Feature {
    /// The set of all values, a bit each.
    pub(super) fn all(&self) -> u64 {
        u64::MAX >> (64 - self.values.len())
    }
}

/// What a symbol in a rule demands of one feature of its category.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fit {
    /// Any value of this set, a bit each.
    Among(u64),
    /// The value of the rule's variable of this number.
    Variable(usize),
}

#[derive(Debug)]
pub(super) enum Part {
    Word(u32),
    Symbol { category: usize, fits: Vec<Fit> },
}

/// A right-hand side and what its left-hand side demands.
#[derive(Debug)]
pub(super) struct Production {
    pub(super) left: Vec<Fit>,
    pub(super) parts: Vec<Part>,
    pub(super) contrast: Option<(usize, Part)>,
    pub(super) weight: f64,
    /// The feature that each variable ranges over.
    pub(super) variables: Vec<usize>,
    /// Pairs of variables whose values must differ.
    pub(super) different: Vec<(usize, usize)>,
    pub(super) at: Span,
}

#[derive(Debug)]
pub(super) struct WordColumn {
    /// Bundles of features: for each feature of the category the set of values.
    pub(super) bundles: Vec<Vec<u64>>,
    pub(super) at: Span,
}

/// A lexeme: its forms as (column, word).
#[derive(Debug)]
pub(super) struct Lexeme {
    pub(super) forms: Vec<(usize, u32)>,
    pub(super) weight: f64,
}

#[derive(Debug)]
pub(super) enum Body {
    Rules(Vec<Production>),
    Words { columns: Vec<WordColumn>, lexemes: Vec<Lexeme> },
}

#[derive(Debug)]
pub(super) struct Category {
    pub(super) name: Name,
    /// The features it has, in the order of their first mention.
    pub(super) signature: Vec<usize>,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) struct Phenomenon {
    pub(super) name: String,
    pub(super) field: String,
    pub(super) term: String,
    pub(super) patterns: Vec<Production>,
}

/// A grammar whose names are all known.
#[derive(Debug)]
pub(super) struct Resolution {
    pub(super) features: Vec<Feature>,
    pub(super) categories: Vec<Category>,
    pub(super) start: usize,
    pub(super) words: Vec<String>,
    pub(super) phenomena: Vec<Phenomenon>,
}
