//! A grammar as it was typed: what the parser makes, before any name is looked up.

use super::error::Span;

/// A name and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Name {
    pub(super) text: String,
    pub(super) at: Span,
}

/// What stands to the right of `=` in `[num=...]`.
#[derive(Debug, Clone)]
pub(super) enum Term {
    /// `_`: any value.
    Any,
    /// `?n`: the same value wherever the variable stands in its rule.
    Variable(String),
    /// `sg` or `sg|pl`: one of these.
    Values(Vec<Name>),
}

/// `num=?n`.
#[derive(Debug, Clone)]
pub(super) struct Constraint {
    pub(super) feature: Name,
    pub(super) term: Term,
    pub(super) term_at: Span,
}

/// `NP[num=?n, case=nom]`.
#[derive(Debug, Clone)]
pub(super) struct SymbolRef {
    pub(super) name: Name,
    pub(super) constraints: Vec<Constraint>,
}

/// A part of a right-hand side.
#[derive(Debug, Clone)]
pub(super) enum Item {
    /// `"that"`.
    Literal(Name),
    Symbol(SymbolRef),
}

/// `?m` and where it stands.
pub(super) type Variable = Name;

/// One right-hand side: `Det[num=?n] N[num=?n] : 3 where ?n != ?m`.
#[derive(Debug, Clone)]
pub(super) struct Alternative {
    pub(super) items: Vec<Item>,
    /// In a phenomenon: the part that is contrasted and what the bad sentence has instead.
    pub(super) contrast: Option<(usize, Item)>,
    pub(super) weight: f64,
    pub(super) different: Vec<(Variable, Variable)>,
    pub(super) at: Span,
}

/// `NP[...] -> ... | ...`.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) left: SymbolRef,
    pub(super) alternatives: Vec<Alternative>,
}

/// `feature num = sg : 3, pl : 2`.
#[derive(Debug, Clone)]
pub(super) struct FeatureDecl {
    pub(super) name: Name,
    pub(super) values: Vec<(Name, f64)>,
}

/// A column of a word table: the bundles of features that its forms may stand for.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) bundles: Vec<Vec<Constraint>>,
    pub(super) at: Span,
}

/// A lexeme: one form a column, `None` where there is none.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) forms: Vec<Option<String>>,
    pub(super) weight: f64,
    pub(super) at: Span,
}

/// `words N[gender=masc] forms [num=sg] [num=pl] zipf` and its rows.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) head: SymbolRef,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Row>,
}

/// `phenomenon reflexive_gender field morphology term anaphor_agreement` and its patterns.
#[derive(Debug, Clone)]
pub(super) struct PhenomenonDecl {
    pub(super) name: Name,
    pub(super) field: String,
    pub(super) term: String,
    pub(super) patterns: Vec<Alternative>,
}

/// `spell a as an before a e i o u`.
#[derive(Debug, Clone)]
pub(super) struct Spelling {
    pub(super) word: Name,
    pub(super) variant: String,
    pub(super) before: Vec<String>,
}

/// The whole text.
#[derive(Debug, Clone, Default)]
pub(super) struct Syntax {
    pub(super) features: Vec<FeatureDecl>,
    pub(super) start: Option<Name>,
    pub(super) depth: Option<(u32, Span)>,
    pub(super) spellings: Vec<Spelling>,
    pub(super) rules: Vec<Rule>,
    pub(super) tables: Vec<Table>,
    pub(super) phenomena: Vec<PhenomenonDecl>,
}
