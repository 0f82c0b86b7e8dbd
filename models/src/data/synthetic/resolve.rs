//! Names to numbers: every feature, value, category, variable and word is looked up, or its absence is an error.

use std::collections::HashMap;

use super::error::{GrammarError, Source, Span, did_you_mean};
use super::parse::MAX_FEATURES;
use super::resolution::{
    Body, Category, Feature, Fit, Lexeme, Part, Phenomenon, Production, Resolution, WordColumn,
};
use super::syntax::{Alternative, Constraint, Item, Name, Rule, SymbolRef, Syntax, Table, Term};

type Resolved<T> = Result<T, GrammarError>;

pub(super) fn resolve(source: &Source<'_>, syntax: &Syntax) -> Resolved<Resolution> {
    let mut r = Resolver { source, features: features(source, syntax)?, ..Resolver::new(source) };
    r.mentioned = vec![None; r.features.len()];
    r.declare_rules(&syntax.rules)?;
    r.declare_tables(&syntax.tables)?;
    for rule in &syntax.rules {
        r.rule(rule)?;
    }
    for table in &syntax.tables {
        r.table(table)?;
    }
    let mut phenomena: Vec<Phenomenon> = Vec::new();
    for p in &syntax.phenomena {
        if phenomena.iter().any(|other| other.name == p.name.text) {
            return Err(
                source.error(p.name.at, format!("phenomenon '{}' is there already", p.name.text))
            );
        }
        let patterns = p.patterns.iter().map(|a| r.pattern(a)).collect::<Resolved<_>>()?;
        let (name, field, term) = (p.name.text.clone(), p.field.clone(), p.term.clone());
        phenomena.push(Phenomenon { name, field, term, patterns });
    }
    let Some(start) = &syntax.start else {
        let message = "the grammar names no start symbol: add a line such as   start S";
        return Err(source.error(Span { line: 1, column: 1 }, message));
    };
    let start = r.category(start)?;
    r.check_mentioned()?;
    Ok(Resolution {
        features: r.features,
        categories: r.categories,
        start,
        words: r.words,
        phenomena,
    })
}

fn features(source: &Source<'_>, syntax: &Syntax) -> Resolved<Vec<Feature>> {
    let mut features: Vec<Feature> = Vec::new();
    for decl in &syntax.features {
        let name = &decl.name;
        if let Some(first) = features.iter().find(|f| f.name.text == name.text) {
            let message = format!(
                "feature '{}' is declared on line {} already",
                name.text, first.name.at.line
            );
            return Err(source.error(name.at, message));
        }
        if decl.values.len() > MAX_FEATURES || features.len() == MAX_FEATURES {
            let message =
                format!("there are at most {MAX_FEATURES} features, of at most as many values");
            return Err(source.error(name.at, message));
        }
        let mut values: Vec<Name> = Vec::new();
        for (value, _) in &decl.values {
            if values.iter().any(|other| other.text == value.text) {
                return Err(
                    source.error(value.at, format!("value '{}' is there twice", value.text))
                );
            }
            values.push(value.clone());
        }
        let weights = decl.values.iter().map(|(_, weight)| *weight).collect();
        features.push(Feature { name: name.clone(), values, weights });
    }
    Ok(features)
}

/// The variables of one rule: name, feature, first place, number of uses.
#[derive(Debug, Default)]
struct Scope {
    variables: Vec<(Name, usize, usize)>,
}

struct Resolver<'s, 'a> {
    source: &'s Source<'a>,
    features: Vec<Feature>,
    /// Per feature the values that the text gives by name; `None` where the feature is never mentioned.
    mentioned: Vec<Option<u64>>,
    categories: Vec<Category>,
    by_name: HashMap<String, usize>,
    words: Vec<String>,
    word_ids: HashMap<String, u32>,
}

impl<'s, 'a> Resolver<'s, 'a> {
    fn new(source: &'s Source<'a>) -> Self {
        Self {
            source,
            features: Vec::new(),
            mentioned: Vec::new(),
            categories: Vec::new(),
            by_name: HashMap::new(),
            words: Vec::new(),
            word_ids: HashMap::new(),
        }
    }

    fn error(&self, at: Span, message: impl Into<String>) -> GrammarError {
        self.source.error(at, message)
    }

    /// A phrase category has the features of its first rule's left side; every rule of it names the same ones.
    fn declare_rules(&mut self, rules: &[Rule]) -> Resolved<()> {
        for rule in rules {
            let mut signature = Vec::new();
            for constraint in &rule.left.constraints {
                signature.push(self.feature(&constraint.feature)?);
            }
            let name = &rule.left.name;
            let Some(&known) = self.by_name.get(&name.text) else {
                self.declare(name, signature, Body::Rules(Vec::new()));
                continue;
            };
            let first = &self.categories[known];
            let missing = first.signature.iter().find(|f| !signature.contains(f));
            let extra = signature.iter().find(|f| !first.signature.contains(f));
            if let Some(&feature) = missing.or(extra) {
                return Err(self.error(
                    name.at,
                    format!(
                        "every rule of a symbol names the same features on the left: '{}' has {} on line {}, and \
                         this rule {} '{}' ({}=_ stands for any value)",
                        name.text,
                        self.list(&first.signature),
                        first.name.at.line,
                        if missing.is_some() { "leaves out" } else { "adds" },
                        self.features[feature].name.text,
                        self.features[feature].name.text,
                    ),
                ));
            }
        }
        Ok(())
    }

    /// A word category has all features that a head or a column of its tables names.
    fn declare_tables(&mut self, tables: &[Table]) -> Resolved<()> {
        for table in tables {
            let name = &table.head.name;
            let known = self.by_name.get(&name.text).copied();
            if let Some(phrase) =
                known.filter(|&c| matches!(self.categories[c].body, Body::Rules(_)))
            {
                let message = format!(
                    "'{}' has rules (line {}), so it cannot have words of its own: give the words another name and \
                     let a rule lead to it",
                    name.text, self.categories[phrase].name.at.line
                );
                return Err(self.error(name.at, message));
            }
            let empty = Body::Words { columns: Vec::new(), lexemes: Vec::new() };
            let category = known.unwrap_or_else(|| self.declare(name, Vec::new(), empty));
            let columns = table.columns.iter().flat_map(|column| column.bundles.iter().flatten());
            for constraint in table.head.constraints.iter().chain(columns) {
                let feature = self.feature(&constraint.feature)?;
                let signature = &mut self.categories[category].signature;
                if !signature.contains(&feature) {
                    signature.push(feature);
                }
            }
        }
        Ok(())
    }

    fn declare(&mut self, name: &Name, signature: Vec<usize>, body: Body) -> usize {
        self.categories.push(Category { name: name.clone(), signature, body });
        self.by_name.insert(name.text.clone(), self.categories.len() - 1);
        self.categories.len() - 1
    }

    fn rule(&mut self, rule: &Rule) -> Resolved<()> {
        let category = self.category(&rule.left.name)?;
        let mut head = Scope::default();
        let left = self.fits(category, &rule.left, &mut head)?;
        let mut used = vec![false; head.variables.len()];
        let mut productions = Vec::new();
        for alternative in &rule.alternatives {
            let mut scope = Scope { variables: head.variables.clone() };
            productions.push(self.production(alternative, left.clone(), &mut scope)?);
            for (used, (_, _, uses)) in used.iter_mut().zip(&scope.variables) {
                *used |= *uses > 1;
            }
            self.no_singletons(&scope.variables[head.variables.len()..])?;
        }
        for (variable, used) in head.variables.iter().zip(used) {
            if !used {
                self.no_singletons(std::slice::from_ref(variable))?;
            }
        }
        if let Body::Rules(rules) = &mut self.categories[category].body {
            rules.extend(productions);
        }
        Ok(())
    }

    fn pattern(&mut self, alternative: &Alternative) -> Resolved<Production> {
        let mut scope = Scope::default();
        let pattern = self.production(alternative, Vec::new(), &mut scope)?;
        self.no_singletons(&scope.variables)?;
        if let Some((slot, bad)) = &alternative.contrast {
            for item in [&alternative.items[*slot], bad] {
                if let Item::Symbol(symbol) = item
                    && let Body::Rules(_) = self.categories[self.category(&symbol.name)?].body
                {
                    let message = format!(
                        "good and bad differ in one word, so '/' stands between words or symbols that have words; \
                         '{}' has rules",
                        symbol.name.text
                    );
                    return Err(self.error(symbol.name.at, message));
                }
            }
        }
        Ok(pattern)
    }

    fn no_singletons(&self, variables: &[(Name, usize, usize)]) -> Resolved<()> {
        match variables.iter().find(|(_, _, uses)| *uses < 2) {
            None => Ok(()),
            Some((name, _, _)) => Err(self.error(
                name.at,
                format!(
                    "variable ?{} stands only here, so it binds nothing: write _ for any value",
                    name.text
                ),
            )),
        }
    }

    fn production(
        &mut self,
        a: &Alternative,
        left: Vec<Fit>,
        scope: &mut Scope,
    ) -> Resolved<Production> {
        let parts = a.items.iter().map(|item| self.part(item, scope)).collect::<Resolved<_>>()?;
        let contrast = match &a.contrast {
            Some((slot, bad)) => Some((*slot, self.part(bad, scope)?)),
            None => None,
        };
        let mut different = Vec::new();
        for (one, other) in &a.different {
            let pair = [one, other].map(|variable| {
                let known =
                    scope.variables.iter_mut().position(|(name, _, _)| name.text == variable.text);
                let known = known.ok_or_else(|| {
                    let message =
                        format!("variable ?{} does not occur in this rule", variable.text);
                    self.error(variable.at, message)
                })?;
                scope.variables[known].2 += 1;
                Ok(known)
            });
            let [x, y] = pair;
            let (x, y) = (x?, y?);
            if x == y || scope.variables[x].1 != scope.variables[y].1 {
                let message = "'!=' compares two variables of one feature";
                return Err(self.error(one.at, message));
            }
            different.push((x, y));
        }
        let variables = scope.variables.iter().map(|(_, feature, _)| *feature).collect();
        Ok(Production { left, parts, contrast, weight: a.weight, variables, different, at: a.at })
    }

    fn part(&mut self, item: &Item, scope: &mut Scope) -> Resolved<Part> {
        match item {
            Item::Literal(name) => Ok(Part::Word(self.word(&name.text)?)),
            Item::Symbol(symbol) => {
                let category = self.category(&symbol.name)?;
                Ok(Part::Symbol { category, fits: self.fits(category, symbol, scope)? })
            }
        }
    }

    /// What a symbol demands of each feature of its category; a feature that is left out may have any value.
    fn fits(
        &mut self,
        category: usize,
        symbol: &SymbolRef,
        scope: &mut Scope,
    ) -> Resolved<Vec<Fit>> {
        let signature = self.categories[category].signature.clone();
        let mut fits: Vec<Fit> =
            signature.iter().map(|&f| Fit::Among(self.features[f].all())).collect();
        for constraint in &symbol.constraints {
            let feature = self.feature(&constraint.feature)?;
            let Some(place) = signature.iter().position(|&f| f == feature) else {
                let message = format!(
                    "'{}' has no feature '{}'; it has {}",
                    symbol.name.text,
                    constraint.feature.text,
                    self.list(&signature)
                );
                return Err(self.error(constraint.feature.at, message));
            };
            fits[place] = match &constraint.term {
                Term::Variable(name) => {
                    Fit::Variable(self.variable(scope, name, feature, constraint)?)
                }
                _ => Fit::Among(self.values(feature, constraint)?),
            };
        }
        Ok(fits)
    }

    fn variable(
        &self,
        scope: &mut Scope,
        name: &str,
        feature: usize,
        c: &Constraint,
    ) -> Resolved<usize> {
        let Some(known) = scope.variables.iter().position(|(other, _, _)| other.text == name)
        else {
            if scope.variables.len() == MAX_FEATURES {
                let message = format!("a rule has at most {MAX_FEATURES} variables");
                return Err(self.error(c.term_at, message));
            }
            let name = Name { text: name.to_owned(), at: c.term_at };
            scope.variables.push((name, feature, 1));
            return Ok(scope.variables.len() - 1);
        };
        let (_, first, uses) = &mut scope.variables[known];
        if *first != feature {
            let message = format!(
                "?{name} stands for '{}' earlier in this rule and cannot stand for '{}'",
                self.features[*first].name.text, self.features[feature].name.text
            );
            return Err(self.error(c.term_at, message));
        }
        *uses += 1;
        Ok(known)
    }

    /// The set that a constraint without variables allows.
    fn values(&mut self, feature: usize, constraint: &Constraint) -> Resolved<u64> {
        let known = &self.features[feature];
        match &constraint.term {
            Term::Any => Ok(known.all()),
            Term::Variable(_) => Err(self.error(
                constraint.term_at,
                "a word has a value here: variables stand in rules only",
            )),
            Term::Values(names) => {
                let mut set = 0;
                for name in names {
                    let Some(value) = known.values.iter().position(|v| v.text == name.text) else {
                        let all: Vec<_> = known.values.iter().map(|v| v.text.as_str()).collect();
                        let message = format!(
                            "feature '{}' has no value '{}'; its values are {}",
                            known.name.text,
                            name.text,
                            all.join(", ")
                        );
                        return Err(self.error(name.at, message));
                    };
                    set |= 1 << value;
                }
                *self.mentioned[feature].get_or_insert(0) |= set;
                Ok(set)
            }
        }
    }

    fn table(&mut self, table: &Table) -> Resolved<()> {
        let category = self.category(&table.head.name)?;
        let head = self.bundle(category, &table.head.constraints)?;
        let mut new_columns = Vec::new();
        for column in &table.columns {
            let mut bundles = Vec::new();
            for constraints in &column.bundles {
                let bundle = self.bundle(category, constraints)?;
                bundles.push(bundle.iter().zip(&head).map(|(a, b)| a & b).collect());
            }
            new_columns.push(WordColumn { bundles, at: column.at });
        }
        if table.columns.is_empty() {
            new_columns.push(WordColumn { bundles: vec![head], at: table.head.name.at });
        }
        let mut new_lexemes = Vec::new();
        let mut seen: HashMap<&[Option<String>], Span> = HashMap::new();
        let Body::Words { columns, .. } = &self.categories[category].body else { return Ok(()) };
        let offset = columns.len();
        for row in &table.rows {
            if let Some(first) = seen.insert(&row.forms, row.at) {
                let message = format!("this entry stands on line {} already", first.line);
                return Err(self.error(row.at, message));
            }
            let mut forms = Vec::new();
            for (column, form) in row.forms.iter().enumerate() {
                if let Some(form) = form {
                    forms.push((offset + column, self.word(form)?));
                }
            }
            new_lexemes.push(Lexeme { forms, weight: row.weight });
        }
        if let Body::Words { columns, lexemes } = &mut self.categories[category].body {
            columns.extend(new_columns);
            lexemes.extend(new_lexemes);
        }
        Ok(())
    }

    fn bundle(&mut self, category: usize, constraints: &[Constraint]) -> Resolved<Vec<u64>> {
        let signature = self.categories[category].signature.clone();
        let mut sets: Vec<u64> = signature.iter().map(|&f| self.features[f].all()).collect();
        for constraint in constraints {
            let feature = self.feature(&constraint.feature)?;
            let set = self.values(feature, constraint)?;
            for (place, _) in signature.iter().enumerate().filter(|(_, f)| **f == feature) {
                sets[place] = set;
            }
        }
        Ok(sets)
    }

    fn feature(&mut self, name: &Name) -> Resolved<usize> {
        let Some(id) = self.features.iter().position(|f| f.name.text == name.text) else {
            let near = did_you_mean(&name.text, self.features.iter().map(|f| f.name.text.as_str()));
            let message = format!(
                "feature '{0}' is not declared{near} (to declare it: feature {0} = value, value)",
                name.text
            );
            return Err(self.error(name.at, message));
        };
        self.mentioned[id].get_or_insert(0);
        Ok(id)
    }

    fn category(&self, name: &Name) -> Resolved<usize> {
        self.by_name.get(&name.text).copied().ok_or_else(|| {
            let near =
                did_you_mean(&name.text, self.categories.iter().map(|c| c.name.text.as_str()));
            let message = format!("'{}' has neither a rule nor words{near}", name.text);
            self.error(name.at, message)
        })
    }

    fn word(&mut self, text: &str) -> Resolved<u32> {
        if let Some(&id) = self.word_ids.get(text) {
            return Ok(id);
        }
        let id = u32::try_from(self.words.len())
            .map_err(|_| self.error(Span { line: 1, column: 1 }, "too many words"))?;
        self.words.push(text.to_owned());
        self.word_ids.insert(text.to_owned(), id);
        Ok(id)
    }

    /// `num, gender`.
    fn list(&self, signature: &[usize]) -> String {
        if signature.is_empty() {
            return "none".to_owned();
        }
        let names: Vec<_> =
            signature.iter().map(|&f| self.features[f].name.text.as_str()).collect();
        names.join(", ")
    }

    /// A feature that nothing has and a value that nothing is given are slips of the pen.
    fn check_mentioned(&self) -> Resolved<()> {
        for (feature, mentioned) in self.features.iter().zip(&self.mentioned) {
            let Some(mentioned) = mentioned else {
                let message = format!("feature '{}' is never used: take it out", feature.name.text);
                return Err(self.error(feature.name.at, message));
            };
            for (i, value) in feature.values.iter().enumerate() {
                if mentioned >> i & 1 == 0 {
                    let message = format!(
                        "value '{}' of feature '{}' is never given to a word or a rule: take it out",
                        value.text, feature.name.text
                    );
                    return Err(self.error(value.at, message));
                }
            }
        }
        Ok(())
    }
}
