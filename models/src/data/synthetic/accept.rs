//! Does the grammar generate this sentence? Earley's algorithm (1970), on the same expansions that generation uses.
//!
//! A state (expansion, dot, origin) says: this expansion may begin at word `origin`, and its parts before the dot
//! have been read. Expansions are predicted only if they can begin with the next word, which keeps the charts of
//! a few hundred rules small. The limit of the depth is a matter of drawing, not of grammar, and is not applied.

use std::collections::{HashMap, HashSet};

use super::expand::Symbol;
use super::grammar::Grammar;

/// Tells sentences of the grammar from others; built once, used for many.
pub struct Recogniser<'g> {
    grammar: &'g Grammar,
    by_text: HashMap<&'g str, u32>,
    /// Punctuation, which is written without a space before it.
    marks: Vec<(&'g str, u32)>,
    /// For each lexical node, then for each phrase, the words that it can begin with, a bit each.
    lexical_first: Vec<Vec<u64>>,
    phrase_first: Vec<Vec<u64>>,
}

/// An expansion of a phrase that is being read.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    phrase: u32,
    expansion: u32,
    dot: u32,
    origin: u32,
}

fn has(set: &[u64], word: u32) -> bool {
    set[word as usize / 64] >> (word % 64) & 1 == 1
}

impl<'g> Recogniser<'g> {
    /// Prepares to read sentences of the grammar.
    #[must_use]
    pub fn new(grammar: &'g Grammar) -> Self {
        let size = grammar.words.len().div_ceil(64);
        let set = |words: &mut dyn Iterator<Item = u32>| {
            let mut set = vec![0u64; size];
            words.for_each(|word| set[word as usize / 64] |= 1 << (word % 64));
            set
        };
        let lexical_first: Vec<_> =
            grammar.lexicals.iter().map(|l| set(&mut l.words.iter().copied())).collect();
        let mut phrase_first = vec![vec![0u64; size]; grammar.phrases.len()];
        // Who begins with whom; words flow along these edges until nothing changes.
        let mut begins: Vec<Vec<usize>> = vec![Vec::new(); grammar.phrases.len()];
        for (i, phrase) in grammar.phrases.iter().enumerate() {
            for expansion in &phrase.expansions {
                match expansion.parts.first() {
                    Some(&Symbol::Word(word)) => {
                        phrase_first[i][word as usize / 64] |= 1 << (word % 64);
                    }
                    Some(&Symbol::Lexical(l)) => {
                        union(&mut phrase_first[i], &lexical_first[l as usize]);
                    }
                    Some(&Symbol::Phrase(p)) => begins[p as usize].push(i),
                    None => {}
                }
            }
        }
        let mut pending: Vec<usize> = (0..grammar.phrases.len()).collect();
        while let Some(part) = pending.pop() {
            let words = phrase_first[part].clone();
            for &whole in &begins[part] {
                if union(&mut phrase_first[whole], &words) {
                    pending.push(whole);
                }
            }
        }
        let words = || (0u32..).zip(&grammar.words);
        let marks =
            words().filter(|(_, w)| w.attaches).map(|(id, w)| (w.text.as_str(), id)).collect();
        let by_text = words().map(|(id, w)| (w.text.as_str(), id)).collect();
        Self { grammar, by_text, marks, lexical_first, phrase_first }
    }

    /// Does the grammar generate this text, letter for letter, as one sentence?
    #[must_use]
    pub fn accepts(&self, sentence: &str) -> bool {
        let Some(words) = self.words(sentence) else { return false };
        let mut spelt = String::new();
        self.grammar.spell(&words, &mut spelt);
        spelt == sentence && self.parses(&words)
    }

    /// The words of a text; `None` if one is unknown.
    fn words(&self, sentence: &str) -> Option<Vec<u32>> {
        let mut words = Vec::new();
        for chunk in sentence.split(' ') {
            let mut chunk = chunk;
            let mut marks = Vec::new();
            let word = loop {
                if let Some(&word) = self.by_text.get(chunk) {
                    break word;
                }
                let variant = self.grammar.spellings.iter().find(|s| s.variant == chunk);
                if let Some(&word) = variant.and_then(|s| self.by_text.get(s.word.text.as_str())) {
                    break word;
                }
                let fitting = self.marks.iter().filter(|(text, _)| chunk.ends_with(text));
                let (text, mark) = fitting.max_by_key(|(text, _)| text.len())?;
                marks.push(*mark);
                chunk = &chunk[..chunk.len() - text.len()];
            };
            words.push(word);
            words.extend(marks.into_iter().rev());
        }
        Some(words)
    }

    fn can_begin(&self, symbol: Symbol, word: u32) -> bool {
        match symbol {
            Symbol::Word(other) => other == word,
            Symbol::Lexical(i) => has(&self.lexical_first[i as usize], word),
            Symbol::Phrase(i) => has(&self.phrase_first[i as usize], word),
        }
    }

    fn parses(&self, words: &[u32]) -> bool {
        let start = match self.grammar.start {
            Symbol::Phrase(start) => start,
            // A start symbol that is a word table: one word is a sentence.
            symbol => return words.len() == 1 && self.can_begin(symbol, words[0]),
        };
        let Ok(end) = u32::try_from(words.len()) else { return false };
        let mut chart: Vec<Vec<State>> = vec![Vec::new(); words.len() + 1];
        let mut seen: HashSet<(u32, State)> = HashSet::new();
        let mut predicted = vec![u32::MAX; self.grammar.phrases.len()];
        let mut complete = false;
        let mut wanted = vec![start];
        for (at, position) in (0..=end).zip(0..) {
            let next = words.get(position).copied();
            let mut i = 0;
            loop {
                // Predict what the states so far wait for.
                while let Some(phrase) = wanted.pop() {
                    if std::mem::replace(&mut predicted[phrase as usize], at) == at {
                        continue;
                    }
                    let Some(word) = next else { continue };
                    let expansions = &self.grammar.phrases[phrase as usize].expansions;
                    for (expansion, x) in (0u32..).zip(expansions) {
                        if x.parts.first().is_some_and(|&part| self.can_begin(part, word)) {
                            let state = State { phrase, expansion, dot: 0, origin: at };
                            if seen.insert((at, state)) {
                                chart[position].push(state);
                            }
                        }
                    }
                }
                let Some(&state) = chart[position].get(i) else { break };
                i += 1;
                let moved = State { dot: state.dot + 1, ..state };
                match self.after_dot(state) {
                    Some(Symbol::Phrase(p)) => wanted.push(p),
                    Some(symbol) => {
                        if next.is_some_and(|word| self.can_begin(symbol, word))
                            && seen.insert((at + 1, moved))
                        {
                            chart[position + 1].push(moved);
                        }
                    }
                    None => {
                        complete |= state.phrase == start && state.origin == 0 && at == end;
                        // No expansion is empty, so the chart at the origin is finished.
                        let done = Symbol::Phrase(state.phrase);
                        let waiting: Vec<State> = chart[state.origin as usize]
                            .iter()
                            .filter(|s| self.after_dot(**s) == Some(done))
                            .map(|s| State { dot: s.dot + 1, ..*s })
                            .collect();
                        for moved in waiting {
                            if seen.insert((at, moved)) {
                                chart[position].push(moved);
                            }
                        }
                    }
                }
            }
        }
        complete
    }

    fn after_dot(&self, state: State) -> Option<Symbol> {
        let phrase = &self.grammar.phrases[state.phrase as usize];
        phrase.expansions[state.expansion as usize].parts.get(state.dot as usize).copied()
    }
}

/// Adds a set to another; says whether that changed it.
fn union(set: &mut [u64], other: &[u64]) -> bool {
    let mut changed = false;
    for (a, b) in set.iter_mut().zip(other) {
        changed |= *b & !*a != 0;
        *a |= b;
    }
    changed
}

impl Grammar {
    /// Does the grammar generate this text, letter for letter, as one sentence? For many sentences build one
    /// [`Recogniser`].
    #[must_use]
    pub fn accepts(&self, sentence: &str) -> bool {
        Recogniser::new(self).accepts(sentence)
    }
}
