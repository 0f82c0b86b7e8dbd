//! Which symbols can be finished, how soon, and which parts of the text nothing ever uses.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use super::error::{GrammarError, Source};
use super::expand::{Expanded, RawExpansion, Symbol};
use super::resolution::{Body, Resolution};

/// The smallest derivations of each phrase; `None` where it has none.
#[derive(Debug)]
pub(super) struct Measures {
    /// Rules one inside another, by phrase.
    pub(super) height: Vec<Option<u32>>,
    /// Rules used in all, by phrase.
    pub(super) cost: Vec<Option<u64>>,
}

impl Measures {
    /// The height of an expansion: one more than that of its highest part.
    pub(super) fn expansion_height(&self, parts: &[Symbol]) -> Option<u32> {
        let height = |part: &Symbol| match part {
            Symbol::Phrase(i) => self.height[*i as usize],
            _ => Some(0),
        };
        parts.iter().map(height).try_fold(0, |highest, h| h.map(|h| h.max(highest))).map(|h| h + 1)
    }

    /// The rules that it takes to finish all of these.
    pub(super) fn total_cost(&self, parts: &[Symbol]) -> u64 {
        let cost = |part: &Symbol| match part {
            Symbol::Phrase(i) => self.cost[*i as usize].unwrap_or(u64::MAX),
            _ => 0,
        };
        parts.iter().map(cost).fold(0, u64::saturating_add)
    }
}

/// Can these all be finished?
pub(super) fn is_alive(e: &Expanded, m: &Measures, parts: &[Symbol]) -> bool {
    parts.iter().all(|&part| dead(e, m, part).is_none())
}

/// The symbol, if it cannot be finished.
fn dead(e: &Expanded, m: &Measures, part: Symbol) -> Option<Symbol> {
    let alive = match part {
        Symbol::Word(_) => true,
        Symbol::Lexical(i) => !e.lexicals[i as usize].forms.is_empty(),
        Symbol::Phrase(i) => m.height[i as usize].is_some(),
    };
    (!alive).then_some(part)
}

/// For each phrase the smallest height and the smallest cost, each phrase settled once (Knuth 1977, *A
/// generalization of Dijkstra's algorithm*), so in time linear in the grammar but for the heap.
pub(super) fn measure(e: &Expanded) -> Measures {
    let phrases = e.phrases.len();
    let all: Vec<(usize, &RawExpansion)> = e
        .phrases
        .iter()
        .enumerate()
        .flat_map(|(phrase, p)| p.expansions.iter().map(move |x| (phrase, x)))
        .collect();
    let mut occurrences: Vec<Vec<usize>> = vec![Vec::new(); phrases];
    let mut open = vec![0usize; all.len()];
    for (i, (_, expansion)) in all.iter().enumerate() {
        for part in &expansion.parts {
            match *part {
                Symbol::Phrase(p) => {
                    occurrences[p as usize].push(i);
                    open[i] += 1;
                }
                // A form that does not exist never comes: one part stays open for ever.
                Symbol::Lexical(l) if e.lexicals[l as usize].forms.is_empty() => open[i] += 1,
                _ => {}
            }
        }
    }
    Measures {
        height: settle(phrases, &all, &occurrences, open.clone(), |so_far, part| so_far.max(part))
            .into_iter()
            .map(|h| h.map(|h| u32::try_from(h).unwrap_or(u32::MAX)))
            .collect(),
        cost: settle(phrases, &all, &occurrences, open, u64::saturating_add),
    }
}

fn settle(
    phrases: usize,
    all: &[(usize, &RawExpansion)],
    occurrences: &[Vec<usize>],
    mut open: Vec<usize>,
    combine: impl Fn(u64, u64) -> u64,
) -> Vec<Option<u64>> {
    let mut value = vec![None; phrases];
    let mut so_far = vec![0u64; all.len()];
    let ready = (0..all.len()).filter(|&i| open[i] == 0).map(|i| Reverse((1, all[i].0)));
    let mut heap: BinaryHeap<_> = ready.collect();
    while let Some(Reverse((v, phrase))) = heap.pop() {
        if value[phrase].is_some() {
            continue;
        }
        value[phrase] = Some(v);
        for &i in &occurrences[phrase] {
            so_far[i] = combine(so_far[i], v);
            open[i] -= 1;
            if open[i] == 0 {
                heap.push(Reverse((so_far[i].saturating_add(1), all[i].0)));
            }
        }
    }
    value
}

/// The phrases and lexical nodes that finished sentences and pairs can hold.
struct Reached {
    phrases: Vec<bool>,
    lexicals: Vec<bool>,
}

fn reach(e: &Expanded, m: &Measures) -> Reached {
    let mut reached =
        Reached { phrases: vec![false; e.phrases.len()], lexicals: vec![false; e.lexicals.len()] };
    let mut pending = vec![e.start];
    for pattern in e.patterns.iter().flatten().flatten() {
        if is_alive(e, m, &pattern.parts) {
            pending.extend(&pattern.parts);
            pending.push(pattern.bad);
        }
    }
    while let Some(symbol) = pending.pop() {
        match symbol {
            Symbol::Word(_) => {}
            Symbol::Lexical(i) => reached.lexicals[i as usize] = true,
            Symbol::Phrase(i) => {
                if !std::mem::replace(&mut reached.phrases[i as usize], true) {
                    for x in &e.phrases[i as usize].expansions {
                        if is_alive(e, m, &x.parts) {
                            pending.extend(&x.parts);
                        }
                    }
                }
            }
        }
    }
    reached
}

/// Everything that was typed must be of use: what is not is a slip, and is said with its place.
pub(super) fn check(
    source: &Source<'_>,
    r: &Resolution,
    e: &Expanded,
    m: &Measures,
) -> Result<(), GrammarError> {
    let start = &r.categories[r.start].name.text;
    let mut asked = vec![false; r.categories.len()];
    e.phrases.iter().for_each(|p| asked[p.category] = true);
    e.lexicals.iter().for_each(|l| asked[l.category] = true);
    for (category, asked) in r.categories.iter().zip(&asked) {
        if !asked {
            let message = format!(
                "'{}' is never used: neither '{start}' nor a phenomenon leads to it; take it out or use it",
                category.name.text
            );
            return Err(source.error(category.name.at, message));
        }
    }
    if let Some(endless) = endless_category(r, e, m) {
        let name = &r.categories[endless].name;
        let message = format!(
            "'{}' never ends: each of its rules leads back to symbols that never end; give it a rule that leads to \
             words",
            name.text
        );
        return Err(source.error(name.at, message));
    }
    let reached = reach(e, m);
    check_productions(source, r, e, m, &reached)?;
    check_columns(source, r, e, &reached)?;
    check_patterns(source, r, e, m)
}

/// A category that has no words in any of its instances for no other category's fault: of all endless ones, the
/// one that depends on the fewest others.
fn endless_category(r: &Resolution, e: &Expanded, m: &Measures) -> Option<usize> {
    let mut ends = vec![false; r.categories.len()];
    let mut needs: Vec<HashSet<usize>> = vec![HashSet::new(); r.categories.len()];
    for (phrase, height) in e.phrases.iter().zip(&m.height) {
        ends[phrase.category] |= height.is_some();
        for part in phrase.expansions.iter().flat_map(|x| &x.parts) {
            match *part {
                Symbol::Phrase(i) => {
                    needs[phrase.category].insert(e.phrases[i as usize].category);
                }
                // Missing words are another fault, with a message of its own.
                Symbol::Lexical(i) if e.lexicals[i as usize].forms.is_empty() => {
                    ends[phrase.category] = true;
                }
                _ => {}
            }
        }
    }
    let endless = |c: usize| matches!(r.categories[c].body, Body::Rules(_)) && !ends[c];
    let depends_on = |c: usize| {
        let (mut seen, mut pending) = (HashSet::from([c]), vec![c]);
        while let Some(at) = pending.pop() {
            pending.extend(needs[at].iter().filter(|&&next| endless(next) && seen.insert(next)));
        }
        seen.len()
    };
    // The search is quadratic: in a grammar with very many endless categories any of the first will do.
    (0..r.categories.len()).filter(|&c| endless(c)).take(100).min_by_key(|&c| depends_on(c))
}

fn check_productions(
    source: &Source<'_>,
    r: &Resolution,
    e: &Expanded,
    m: &Measures,
    reached: &Reached,
) -> Result<(), GrammarError> {
    let mut nodes: Vec<Vec<usize>> = vec![Vec::new(); r.categories.len()];
    e.phrases.iter().enumerate().for_each(|(phrase, p)| nodes[p.category].push(phrase));
    for (category, nodes) in r.categories.iter().zip(nodes) {
        let Body::Rules(productions) = &category.body else { continue };
        let mut alive = vec![false; productions.len()];
        let mut lacking = vec![None; productions.len()];
        for phrase in nodes {
            for x in &e.phrases[phrase].expansions {
                alive[x.production] |= reached.phrases[phrase] && is_alive(e, m, &x.parts);
                let lacks = x.parts.iter().find_map(|&part| dead(e, m, part));
                lacking[x.production] = lacking[x.production].or(lacks);
            }
        }
        for (production, (alive, lacking)) in productions.iter().zip(alive.into_iter().zip(lacking))
        {
            if alive {
                continue;
            }
            let message = match lacking {
                Some(symbol) => {
                    format!("this rule can never be finished: {}", nothing_fits(r, e, symbol))
                }
                None => format!(
                    "this rule is never used: nothing asks for '{}' with the features on its left",
                    category.name.text
                ),
            };
            return Err(source.error(production.at, message));
        }
    }
    Ok(())
}

fn check_columns(
    source: &Source<'_>,
    r: &Resolution,
    e: &Expanded,
    reached: &Reached,
) -> Result<(), GrammarError> {
    let mut used: Vec<HashSet<usize>> = vec![HashSet::new(); r.categories.len()];
    for (node, reached) in e.lexicals.iter().zip(&reached.lexicals) {
        if *reached {
            used[node.category].extend(&node.columns);
        }
    }
    for (category, used) in r.categories.iter().zip(used) {
        let Body::Words { columns, .. } = &category.body else { continue };
        if let Some((_, column)) = columns.iter().enumerate().find(|(i, _)| !used.contains(i)) {
            let message = format!(
                "these forms of '{}' are never used: no rule asks for a '{}' with their features",
                category.name.text, category.name.text
            );
            return Err(source.error(column.at, message));
        }
    }
    Ok(())
}

fn check_patterns(
    source: &Source<'_>,
    r: &Resolution,
    e: &Expanded,
    m: &Measures,
) -> Result<(), GrammarError> {
    for (phenomenon, patterns) in r.phenomena.iter().zip(&e.patterns) {
        for (pattern, instances) in phenomenon.patterns.iter().zip(patterns) {
            if instances.iter().any(|i| is_alive(e, m, &i.parts)) {
                continue;
            }
            let parts = instances.iter().flat_map(|i| &i.parts);
            let why = parts.copied().find_map(|part| dead(e, m, part)).map_or_else(
                || "no values of its variables differ as it asks".to_owned(),
                |symbol| nothing_fits(r, e, symbol),
            );
            return Err(
                source.error(pattern.at, format!("this pattern can never be finished: {why}"))
            );
        }
    }
    Ok(())
}

/// `no words of 'Det' fit [num=pl]`.
fn nothing_fits(r: &Resolution, e: &Expanded, symbol: Symbol) -> String {
    let (what, category, sets) = match symbol {
        Symbol::Word(_) => return "a word is missing".to_owned(),
        Symbol::Lexical(i) => {
            let node = &e.lexicals[i as usize];
            ("no words", node.category, &node.sets)
        }
        Symbol::Phrase(i) => {
            let node = &e.phrases[i as usize];
            ("no rules", node.category, &node.sets)
        }
    };
    let category = &r.categories[category];
    let mut features = Vec::new();
    for (&feature, set) in category.signature.iter().zip(sets) {
        let feature = &r.features[feature];
        if *set != feature.all() {
            let values = feature.values.iter().enumerate().filter(|(v, _)| set >> v & 1 == 1);
            let values: Vec<_> = values.map(|(_, value)| value.text.as_str()).collect();
            features.push(format!("{}={}", feature.name.text, values.join("|")));
        }
    }
    format!("{what} of '{}' fit [{}]", category.name.text, features.join(", "))
}
