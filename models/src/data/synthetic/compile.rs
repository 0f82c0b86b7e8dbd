//! From expansions to probabilities: what generation, recognition and minimal pairs run on.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::analyse::{Measures, is_alive};
use super::error::{GrammarError, Source, did_you_mean};
use super::expand::{Expanded, Form, RawExpansion, RawPattern, RawPhrase, Symbol};
use super::grammar::{
    Choice, Contrast, Expansion, Grammar, Lexical, MAX_RULES_PER_SENTENCE, Pattern, Phenomenon,
    Phrase, Word,
};
use super::parse::MAX_FEATURES;
use super::resolution::{Body, Resolution};
use super::syntax::{Spelling, Syntax};

/// Rules that may stand one inside another, where the grammar does not say.
const DEFAULT_DEPTH: u32 = 20;

/// Pairs of words that the phenomena may contrast, one by one kept in memory.
const MAX_CONTRASTS: usize = 1_000_000;

pub(super) fn compile(
    source: &Source<'_>,
    syntax: &Syntax,
    r: &Resolution,
    e: &Expanded,
    m: &Measures,
) -> Result<Grammar, GrammarError> {
    let lexicals = e.lexicals.iter().map(|l| Lexical {
        words: l.forms.iter().map(|f| f.word).collect(),
        choice: Choice::new(l.forms.iter().map(|f| f.weight)),
    });
    let lexemes = r.categories.iter().map(|c| match &c.body {
        Body::Words { lexemes, .. } => lexemes.len(),
        Body::Rules(_) => 0,
    });
    let grammar = Grammar {
        name: source.name.to_owned(),
        words: words(source, &syntax.spellings, &r.words)?,
        spellings: syntax.spellings.clone(),
        lexicals: lexicals.collect(),
        phrases: e.phrases.iter().map(|p| phrase(r, e, m, p)).collect(),
        start: e.start,
        depth: syntax.depth.map_or(DEFAULT_DEPTH, |(depth, _)| depth),
        phenomena: phenomena(source, r, e, m)?,
        lexemes: lexemes.sum(),
        hash: blake3::hash(source.text.as_bytes()).to_hex().to_string(),
    };
    check_limits(source, syntax, r, m, &grammar)?;
    Ok(grammar)
}

/// The shortest sentence must be within both limits.
fn check_limits(
    source: &Source<'_>,
    syntax: &Syntax,
    r: &Resolution,
    m: &Measures,
    grammar: &Grammar,
) -> Result<(), GrammarError> {
    let Some(start) = &syntax.start else { return Ok(()) };
    let needed = m.expansion_height(&[grammar.start]).unwrap_or(1) - 1;
    if needed > grammar.depth {
        let at = syntax.depth.map_or(start.at, |(_, at)| at);
        let message = format!(
            "the shallowest sentence is {needed} rules deep, and the limit is {}: write   limit depth {needed}   or \
             more",
            grammar.depth
        );
        return Err(source.error(at, message));
    }
    let patterns = r.phenomena.iter().zip(&grammar.phenomena);
    let deepest = patterns.flat_map(|(typed, p)| {
        p.patterns.iter().map(|pattern| {
            let line = typed.patterns.iter().find(|t| t.at.line == pattern.line);
            (line.map_or(start.at, |t| t.at), m.total_cost(&pattern.parts))
        })
    });
    let all = std::iter::once((start.at, m.total_cost(&[grammar.start]))).chain(deepest);
    for (at, cost) in all {
        if cost > MAX_RULES_PER_SENTENCE {
            let message = format!(
                "even the shortest sentence needs more than {MAX_RULES_PER_SENTENCE} rules"
            );
            return Err(source.error(at, message));
        }
    }
    Ok(())
}

fn words(
    source: &Source<'_>,
    spellings: &[Spelling],
    words: &[String],
) -> Result<Vec<Word>, GrammarError> {
    for (i, spelling) in spellings.iter().enumerate() {
        let word = &spelling.word;
        if i >= MAX_FEATURES {
            return Err(
                source.error(word.at, format!("there are at most {MAX_FEATURES} spelling rules"))
            );
        }
        if spellings[..i].iter().any(|other| other.word.text == word.text) {
            let message = format!("'{}' has a spelling rule already", word.text);
            return Err(source.error(word.at, message));
        }
        if !words.contains(&word.text) {
            let near = did_you_mean(&word.text, words.iter().map(String::as_str));
            let message = format!("no rule and no table has the word '{}'{near}", word.text);
            return Err(source.error(word.at, message));
        }
        if words.contains(&spelling.variant) {
            let message = format!(
                "'{}' is a word of its own, so a sentence that has it could be read in two ways: take it out of the \
                 tables, the spelling rule puts it where it belongs",
                spelling.variant
            );
            return Err(source.error(word.at, message));
        }
    }
    let called = |text: &str| {
        let fits = |s: &Spelling| s.before.iter().any(|prefix| text.starts_with(prefix.as_str()));
        let bits = spellings.iter().enumerate().filter(|(_, s)| fits(s)).map(|(i, _)| 1u64 << i);
        bits.fold(0, |all, bit| all | bit)
    };
    let word = |text: &String| Word {
        text: text.clone(),
        attaches: text.chars().all(|c| matches!(c, '.' | ',' | ';' | ':' | '!' | '?')),
        spelling: spellings.iter().position(|s| s.word.text == *text),
        calls_for: called(text),
    };
    Ok(words.iter().map(word).collect())
}

/// Probabilities. The values of the node's features are chosen by their weights among those that can be finished,
/// then a rule by its weight, then the values of the rule's own variables by theirs.
fn phrase(r: &Resolution, e: &Expanded, m: &Measures, raw: &RawPhrase) -> Phrase {
    let Body::Rules(productions) = &r.categories[raw.category].body else {
        return Phrase {
            expansions: Vec::new(),
            choice: Choice::new(std::iter::empty()),
            cheapest: 0,
            cost: u64::MAX,
        };
    };
    let alive: Vec<&RawExpansion> =
        raw.expansions.iter().filter(|x| is_alive(e, m, &x.parts)).collect();
    let runs = |of: &[&RawExpansion], same: fn(&RawExpansion, &RawExpansion) -> bool| {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for i in 0..of.len() {
            match runs.last_mut() {
                Some(run) if same(of[run.start], of[i]) => run.end = i + 1,
                _ => runs.push(i..i + 1),
            }
        }
        runs
    };
    let valuations = runs(&alive, |a, b| a.valuation.0 == b.valuation.0);
    let total: f64 = valuations.iter().map(|run| alive[run.start].valuation.1).sum();
    let mut weighted = Vec::new();
    for run in valuations {
        let within = &alive[run];
        let choices = runs(within, |a, b| a.production == b.production);
        let weight = |run: &Range<usize>| productions[within[run.start].production].weight;
        let weights: f64 = choices.iter().map(weight).sum();
        for choice in choices {
            let p = within[choice.start].valuation.1 / total * weight(&choice) / weights;
            let instances = &within[choice];
            let shares: f64 = instances.iter().map(|x| x.share).sum();
            weighted.extend(instances.iter().map(|x| (p * x.share / shares, *x)));
        }
    }
    let height = |x: &RawExpansion| m.expansion_height(&x.parts).unwrap_or(u32::MAX);
    weighted.sort_by_key(|(_, x)| height(x));
    let expansions: Vec<Expansion> = weighted
        .iter()
        .map(|(_, x)| Expansion {
            parts: x.parts.clone(),
            height: height(x),
            parts_cost: m.total_cost(&x.parts),
        })
        .collect();
    let costs = expansions.iter().map(|x| x.parts_cost).enumerate();
    let (cheapest, cost) = costs.min_by_key(|(_, cost)| *cost).unwrap_or((0, u64::MAX));
    let choice = Choice::new(weighted.iter().map(|(p, _)| *p));
    Phrase { expansions, choice, cheapest, cost: cost.saturating_add(1) }
}

fn phenomena(
    source: &Source<'_>,
    r: &Resolution,
    e: &Expanded,
    m: &Measures,
) -> Result<Vec<Phenomenon>, GrammarError> {
    let (mut phenomena, mut size) = (Vec::new(), 0);
    for (typed, raw) in r.phenomena.iter().zip(&e.patterns) {
        let (mut patterns, mut weights) = (Vec::new(), Vec::new());
        for (production, instances) in typed.patterns.iter().zip(raw) {
            let line = production.at.line;
            let alive = instances.iter().filter(|i| is_alive(e, m, &i.parts));
            let mut bound = Vec::new();
            for instance in alive {
                bound.extend(pattern(e, line, instance));
                size += bound.last().map_or(0, |p: &Pattern| p.contrasts.len());
                if size >= MAX_CONTRASTS {
                    let message = format!(
                        "the words on both sides of '/' make more than {MAX_CONTRASTS} contrasts"
                    );
                    return Err(source.error(production.at, message));
                }
            }
            if bound.is_empty() {
                let message =
                    "good and bad never differ here: the words on both sides of '/' are the same";
                return Err(source.error(production.at, message));
            }
            #[expect(clippy::cast_precision_loss, reason = "a count of instances")]
            let share = production.weight / bound.len() as f64;
            weights.extend(bound.iter().map(|_| share));
            patterns.extend(bound);
        }
        phenomena.push(Phenomenon {
            name: typed.name.clone(),
            field: typed.field.clone(),
            term: typed.term.clone(),
            choice: Choice::new(weights.into_iter()),
            patterns,
        });
    }
    Ok(phenomena)
}

/// The words that may be contrasted in the slot: two forms of one lexeme where there is a lexeme that has both, any
/// two words otherwise; never a bad word that would be good as well.
fn pattern(e: &Expanded, line: usize, raw: &RawPattern) -> Option<Pattern> {
    let forms = |symbol: Symbol| match symbol {
        Symbol::Word(word) => vec![Form { word, lexeme: usize::MAX, weight: 1.0 }],
        Symbol::Lexical(i) => e.lexicals[i as usize].forms.clone(),
        Symbol::Phrase(_) => Vec::new(),
    };
    let good = forms(raw.parts[raw.slot]);
    let good_words: HashSet<u32> = good.iter().map(|form| form.word).collect();
    let mut bad = forms(raw.bad);
    bad.retain(|form| !good_words.contains(&form.word));
    let mut by_lexeme: HashMap<usize, Vec<Form>> = HashMap::new();
    bad.iter().for_each(|form| by_lexeme.entry(form.lexeme).or_default().push(*form));
    // Lexemes are numbered within a category, so they are compared within one only.
    let category = |symbol: Symbol| match symbol {
        Symbol::Lexical(i) => Some(e.lexicals[i as usize].category),
        _ => None,
    };
    let one_category = category(raw.bad).is_some_and(|c| category(raw.parts[raw.slot]) == Some(c));
    let one_lexeme = one_category && good.iter().any(|form| by_lexeme.contains_key(&form.lexeme));
    let none = Vec::new();
    let (mut contrasts, mut weights) = (Vec::new(), Vec::new());
    for form in &good {
        let of_lexeme = by_lexeme.get(&form.lexeme).unwrap_or(&none);
        let partners = if one_lexeme { of_lexeme } else { &bad };
        let total: f64 = partners.iter().map(|p| p.weight).sum();
        for partner in partners.iter().take(MAX_CONTRASTS.saturating_sub(contrasts.len())) {
            contrasts.push(Contrast { good: form.word, bad: partner.word, one_lexeme });
            weights.push(form.weight * partner.weight / total);
        }
    }
    (!contrasts.is_empty()).then(|| Pattern {
        line,
        parts: raw.parts.clone(),
        slot: raw.slot,
        contrasts,
        choice: Choice::new(weights.into_iter()),
    })
}
