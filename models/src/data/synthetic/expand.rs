//! Unification, done once and for all: rules with feature variables become plain context-free expansions.
//!
//! Features have finitely many values, so a rule such as `S -> NP[num=?n] VP[num=?n]` stands for one expansion
//! per value of `?n`. A node is a category with, for each of its features, the *set* of values that are asked
//! for: `NP[num={sg}]` and `NP[num={sg, pl}]` are two nodes. Only nodes that something asks for are made, so
//! features that a rule leaves open cost nothing.

use std::collections::HashMap;

use super::error::{GrammarError, Source, Span};
use super::resolution::{Body, Fit, Part, Production, Resolution};

/// What stands in an expansion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Symbol {
    /// A word of the text.
    Word(u32),
    /// A node whose category has words.
    Lexical(u32),
    /// A node whose category has rules.
    Phrase(u32),
}

/// One instance of a production: its parts, and what it weighs among the instances of the same production.
#[derive(Debug)]
pub(super) struct RawExpansion {
    /// Which values of the node's features (a number within the node), and their weight.
    pub(super) valuation: (usize, f64),
    pub(super) production: usize,
    pub(super) share: f64,
    pub(super) parts: Vec<Symbol>,
}

#[derive(Debug)]
pub(super) struct RawPhrase {
    pub(super) category: usize,
    pub(super) sets: Vec<u64>,
    pub(super) expansions: Vec<RawExpansion>,
}

/// A form that a lexical node may be spelt as.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    pub(super) word: u32,
    pub(super) lexeme: usize,
    /// Its probability.
    pub(super) weight: f64,
}

#[derive(Debug)]
pub(super) struct RawLexical {
    pub(super) category: usize,
    pub(super) sets: Vec<u64>,
    pub(super) forms: Vec<Form>,
    /// The columns that the forms come from.
    pub(super) columns: Vec<usize>,
}

/// A pattern of a phenomenon with its variables bound.
#[derive(Debug)]
pub(super) struct RawPattern {
    pub(super) parts: Vec<Symbol>,
    pub(super) slot: usize,
    pub(super) bad: Symbol,
}

#[derive(Debug)]
pub(super) struct Expanded {
    pub(super) phrases: Vec<RawPhrase>,
    pub(super) lexicals: Vec<RawLexical>,
    pub(super) start: Symbol,
    /// Instances by phenomenon and pattern.
    pub(super) patterns: Vec<Vec<Vec<RawPattern>>>,
}

/// How many instances may be looked at: far above any grammar written by hand, well under a second of work.
const MAX_WORK: u64 = 2_000_000;

pub(super) fn expand(source: &Source<'_>, r: &Resolution) -> Result<Expanded, GrammarError> {
    let mut e = Expander {
        source,
        r,
        ids: HashMap::new(),
        phrases: Vec::new(),
        lexicals: Vec::new(),
        work: 0,
    };
    let any = r.categories[r.start].signature.iter().map(|&f| r.features[f].all()).collect();
    let start = e.demand(r.start, any)?;
    let mut patterns = Vec::new();
    for phenomenon in &r.phenomena {
        let instances =
            phenomenon.patterns.iter().map(|p| e.pattern(p)).collect::<Result<_, _>>()?;
        patterns.push(instances);
    }
    let mut next = 0;
    while next < e.phrases.len() {
        let expansions = e.expansions(next)?;
        e.phrases[next].expansions = expansions;
        next += 1;
    }
    Ok(Expanded { phrases: e.phrases, lexicals: e.lexicals, start, patterns })
}

struct Expander<'s, 'a> {
    source: &'s Source<'a>,
    r: &'s Resolution,
    ids: HashMap<(usize, Vec<u64>), Symbol>,
    phrases: Vec<RawPhrase>,
    lexicals: Vec<RawLexical>,
    work: u64,
}

impl<'s> Expander<'s, '_> {
    fn spend(&mut self, amount: usize, at: Span) -> Result<(), GrammarError> {
        self.work += amount as u64;
        if self.work <= MAX_WORK {
            return Ok(());
        }
        let message = format!(
            "the features can be combined in more than {MAX_WORK} ways: name fewer features or variables here, or \
             give them fewer values"
        );
        Err(self.source.error(at, message))
    }

    /// The node for a category and sets of values; its expansions follow later.
    fn demand(&mut self, category: usize, sets: Vec<u64>) -> Result<Symbol, GrammarError> {
        let key = (category, sets);
        if let Some(&symbol) = self.ids.get(&key) {
            return Ok(symbol);
        }
        let at = self.r.categories[category].name.at;
        self.spend(1, at)?;
        let sets = key.1.clone();
        let index = |length: usize| {
            u32::try_from(length).map_err(|_| self.source.error(at, "the grammar is too large"))
        };
        let symbol = if let Body::Words { .. } = self.r.categories[category].body {
            let symbol = Symbol::Lexical(index(self.lexicals.len())?);
            let lexical = self.lexical(category, sets)?;
            self.lexicals.push(lexical);
            symbol
        } else {
            let symbol = Symbol::Phrase(index(self.phrases.len())?);
            self.phrases.push(RawPhrase { category, sets, expansions: Vec::new() });
            symbol
        };
        self.ids.insert(key, symbol);
        Ok(symbol)
    }

    /// The product of the weights of these values of the category's features.
    fn weight(&self, category: usize, valuation: &[u32]) -> f64 {
        let signature = &self.r.categories[category].signature;
        let weights =
            signature.iter().zip(valuation).map(|(&f, &v)| self.r.features[f].weights[v as usize]);
        weights.product()
    }

    /// All forms that fit, with their probabilities: first the values of the features are chosen by their weights,
    /// then a form among those with these values.
    fn lexical(&mut self, category: usize, sets: Vec<u64>) -> Result<RawLexical, GrammarError> {
        let c = &self.r.categories[category];
        let Body::Words { columns, lexemes } = &c.body else {
            return Ok(RawLexical { category, sets, forms: Vec::new(), columns: Vec::new() });
        };
        let (mut forms, mut used, mut total) = (Vec::new(), vec![false; columns.len()], 0.0);
        let mut places: HashMap<(usize, u32), usize> = HashMap::new();
        let mut odometer = Odometer::new(&sets);
        while let Some(valuation) = odometer.next() {
            self.spend(columns.len(), c.name.at)?;
            let fits =
                |bundle: &Vec<u64>| bundle.iter().zip(valuation).all(|(set, v)| set >> v & 1 == 1);
            let fitting: Vec<bool> =
                columns.iter().map(|column| column.bundles.iter().any(fits)).collect();
            if !fitting.contains(&true) {
                continue;
            }
            self.spend(lexemes.len(), c.name.at)?;
            let chosen = || {
                lexemes.iter().enumerate().flat_map(|(i, lexeme)| {
                    let forms = lexeme.forms.iter().filter(|(column, _)| fitting[*column]);
                    forms.map(move |&(column, word)| (i, column, word, lexeme.weight))
                })
            };
            let sum: f64 = chosen().map(|(_, _, _, weight)| weight).sum();
            let share = self.weight(category, valuation);
            for (lexeme, column, word, weight) in chosen() {
                used[column] = true;
                let place = *places.entry((lexeme, word)).or_insert_with(|| {
                    forms.push(Form { word, lexeme, weight: 0.0 });
                    forms.len() - 1
                });
                forms[place].weight += share * weight / sum;
            }
            total += if sum > 0.0 { share } else { 0.0 };
        }
        for form in &mut forms {
            form.weight /= total;
        }
        let columns = (0..columns.len()).filter(|&i| used[i]).collect();
        Ok(RawLexical { category, sets, forms, columns })
    }

    fn expansions(&mut self, phrase: usize) -> Result<Vec<RawExpansion>, GrammarError> {
        let (category, sets) = (self.phrases[phrase].category, self.phrases[phrase].sets.clone());
        let r: &'s Resolution = self.r;
        let Body::Rules(productions) = &r.categories[category].body else { return Ok(Vec::new()) };
        let mut expansions = Vec::new();
        let mut odometer = Odometer::new(&sets);
        let mut number = 0;
        while let Some(valuation) = odometer.next() {
            let weight = self.weight(category, valuation);
            self.spend(1 + productions.len(), r.categories[category].name.at)?;
            for (production, p) in productions.iter().enumerate() {
                let Some(bound) = bind(p, valuation) else { continue };
                for (values, share) in self.assignments(p, &bound)? {
                    let parts = p
                        .parts
                        .iter()
                        .map(|part| self.symbol(part, &values))
                        .collect::<Result<_, _>>()?;
                    expansions.push(RawExpansion {
                        valuation: (number, weight),
                        production,
                        share,
                        parts,
                    });
                }
            }
            number += 1;
        }
        Ok(expansions)
    }

    /// The instances of a pattern: every assignment to its variables is as likely as any other, so that
    /// singular and plural, masculine and feminine are tested equally often.
    fn pattern(&mut self, p: &Production) -> Result<Vec<RawPattern>, GrammarError> {
        let mut instances = Vec::new();
        let Some((slot, bad)) = &p.contrast else { return Ok(instances) };
        for (values, _) in self.assignments(p, &vec![None; p.variables.len()])? {
            let parts =
                p.parts.iter().map(|part| self.symbol(part, &values)).collect::<Result<_, _>>()?;
            instances.push(RawPattern { parts, slot: *slot, bad: self.symbol(bad, &values)? });
        }
        Ok(instances)
    }

    fn symbol(&mut self, part: &Part, values: &[u32]) -> Result<Symbol, GrammarError> {
        match part {
            Part::Word(word) => Ok(Symbol::Word(*word)),
            Part::Symbol { category, fits } => {
                let sets = fits.iter().map(|fit| match fit {
                    Fit::Among(set) => *set,
                    Fit::Variable(i) => 1 << values[*i],
                });
                self.demand(*category, sets.collect())
            }
        }
    }

    /// All values of the variables that are still free, with the product of the values' weights.
    fn assignments(
        &mut self,
        p: &Production,
        bound: &[Option<u32>],
    ) -> Result<Vec<(Vec<u32>, f64)>, GrammarError> {
        let features = &self.r.features;
        let domain = |(i, value): (usize, &Option<u32>)| match value {
            Some(v) => 1 << v,
            None => features[p.variables[i]].all(),
        };
        let domains: Vec<u64> = bound.iter().enumerate().map(domain).collect();
        let mut assignments = Vec::new();
        let mut odometer = Odometer::new(&domains);
        while let Some(values) = odometer.next() {
            self.spend(1, p.at)?;
            if p.different.iter().any(|&(x, y)| values[x] == values[y]) {
                continue;
            }
            let free = (0..bound.len()).filter(|&i| bound[i].is_none());
            let share =
                free.map(|i| features[p.variables[i]].weights[values[i] as usize]).product();
            assignments.push((values.to_vec(), share));
        }
        Ok(assignments)
    }
}

/// The values of a production's variables once its left side has these values; `None` where it does not fit.
fn bind(p: &Production, valuation: &[u32]) -> Option<Vec<Option<u32>>> {
    let mut bound = vec![None; p.variables.len()];
    for (fit, &value) in p.left.iter().zip(valuation) {
        match *fit {
            Fit::Among(set) if set >> value & 1 == 0 => return None,
            Fit::Among(_) => {}
            Fit::Variable(i) if bound[i].is_some_and(|other| other != value) => return None,
            Fit::Variable(i) => bound[i] = Some(value),
        }
    }
    Some(bound)
}

/// Every way to take one value from each set, the last set turning fastest.
struct Odometer {
    sets: Vec<u64>,
    values: Vec<u32>,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Fresh,
    Running,
    Done,
}

impl Odometer {
    fn new(sets: &[u64]) -> Self {
        let state = if sets.contains(&0) { State::Done } else { State::Fresh };
        let values = sets.iter().map(|set| set.trailing_zeros()).collect();
        Self { sets: sets.to_vec(), values, state }
    }

    fn next(&mut self) -> Option<&[u32]> {
        match self.state {
            State::Done => return None,
            State::Fresh => self.state = State::Running,
            State::Running => {
                let turned = (0..self.sets.len()).rev().find(|&i| {
                    let above =
                        self.sets[i] & (u64::MAX << self.values[i]) & !(1 << self.values[i]);
                    let set = if above == 0 { self.sets[i] } else { above };
                    self.values[i] = set.trailing_zeros();
                    above != 0
                });
                if turned.is_none() {
                    self.state = State::Done;
                    return None;
                }
            }
        }
        Some(&self.values)
    }
}
