//! The first candidates: every substring of a word that occurs often, found with a suffix array.
//!
//! All suffixes of all words are sorted. Suffixes that begin alike then stand side by side, and each interval of
//! suffixes with a common prefix is one substring with all its occurrences. (Of substrings that occur in the same
//! places only the longest is kept: "▁th" is no candidate when an "e" always follows, and neither is a word that
//! nothing but a space ever follows; a line's end counts as another follower.) The interval also says
//! *where* the substring occurs, and so which pieces can begin at each position of each word: the lattice of
//! segmentations is written down right here, once, and training only ever removes from it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use rayon::prelude::*;

use super::lattice::{Edge, Lattice};
use super::script::one_script;
use super::{Goal, MAX_PIECE};
use crate::tokenizer::words::Occurrences;

/// The most candidates to begin with.
const MAX_SEEDS: usize = 1_000_000;

/// A substring of a word: text[at..at + len].
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) at: usize,
    pub(super) len: usize,
}

/// Candidates: first the alphabet, one piece per character, then longer pieces.
pub(super) struct Seeds {
    pub(super) pieces: Vec<Span>,
    /// How many of the pieces are single characters.
    pub(super) alphabet: usize,
    /// The logarithm of the first estimate of each probability: occurrences times length, normalised.
    pub(super) scores: Vec<f64>,
    pub(super) lattice: Lattice,
}

struct Candidate {
    weight: u64,
    left: usize,
    right: usize,
    len: usize,
}

/// Finds the candidates of `words`, which are sorted and unlike each other.
pub(super) fn seeds(words: &[(String, Occurrences)], goal: Goal) -> Seeds {
    let mut text: Vec<char> = Vec::new();
    let mut starts = vec![0];
    for (word, _) in words {
        text.extend(word.chars());
        starts.push(text.len());
    }
    let weights: Vec<u64> = words.iter().map(|(_, o)| o.total).collect();

    // The end of the word that each position belongs to, and how often that word occurs.
    let mut end = vec![0u32; text.len()];
    let mut count = vec![Occurrences::default(); text.len()];
    for ((_, occurrences), bounds) in words.iter().zip(starts.windows(2)) {
        end[bounds[0]..bounds[1]].fill(u32::try_from(bounds[1]).unwrap_or(u32::MAX));
        count[bounds[0]..bounds[1]].fill(*occurrences);
    }

    let (alphabet, char_id) = alphabet(&text, &count);
    let suffix = |at: usize| &text[at..(at + MAX_PIECE + 1).min(end[at] as usize)];
    let mut order: Vec<u32> = (0..u32::try_from(text.len()).unwrap_or(u32::MAX)).collect();
    order.par_sort_unstable_by(|&a, &b| suffix(a as usize).cmp(suffix(b as usize)).then(a.cmp(&b)));
    let candidates = candidates(&order, suffix, &count, goal.min_frequency.max(2));

    let mut pieces: Vec<Span> = alphabet.iter().map(|(at, _)| Span { at: *at, len: 1 }).collect();
    let mut mass: Vec<f64> = alphabet.iter().map(|(_, weight)| *weight as f64).collect();
    for c in &candidates {
        pieces.push(Span { at: order[c.left] as usize, len: c.len });
        mass.push((c.weight * c.len as u64) as f64);
    }
    let total = mass.iter().sum::<f64>().ln();
    let scores = mass.iter().map(|mass| mass.ln() - total).collect();

    // Every occurrence of every piece is an edge of the lattice; those of one position stand together.
    let mut first = vec![1usize; text.len() + 1];
    first[text.len()] = 0;
    for c in &candidates {
        order[c.left..c.right].iter().for_each(|at| first[*at as usize] += 1);
    }
    let mut sum = 0;
    for f in &mut first {
        sum += std::mem::replace(f, sum);
    }
    let mut next = first.clone();
    let mut edges = vec![Edge::default(); sum];
    let mut put = |at: usize, edge| {
        edges[next[at]] = edge;
        next[at] += 1;
    };
    for (at, c) in text.iter().enumerate() {
        put(at, Edge::new(char_id[c], 1));
    }
    for (id, c) in candidates.iter().enumerate() {
        for at in &order[c.left..c.right] {
            put(*at as usize, Edge::new(alphabet.len() + id, c.len));
        }
    }
    let lattice = Lattice { text, starts, weights, first, edges };
    Seeds { pieces, alphabet: alphabet.len(), scores, lattice }
}

/// A position and the number of occurrences of each character, the most frequent first; and the place of each in that
/// list.
fn alphabet(text: &[char], count: &[Occurrences]) -> (Vec<(usize, u64)>, BTreeMap<char, usize>) {
    let mut seen: BTreeMap<char, (usize, u64)> = BTreeMap::new();
    for (at, c) in text.iter().enumerate() {
        seen.entry(*c).or_insert((at, 0)).1 += count[at].total;
    }
    let mut list: Vec<(char, (usize, u64))> = seen.into_iter().collect();
    list.sort_by_key(|(c, (_, weight))| (Reverse(*weight), *c));
    let ids = list.iter().enumerate().map(|(id, (c, _))| (*c, id)).collect();
    (list.into_iter().map(|(_, entry)| entry).collect(), ids)
}

/// The intervals of the suffix array, the heaviest (occurrences times length) first.
fn candidates<'t>(
    order: &[u32],
    suffix: impl Fn(usize) -> &'t [char],
    count: &[Occurrences],
    min_frequency: u64,
) -> Vec<Candidate> {
    // Occurrences before each place of the array.
    let mut before = vec![Occurrences::default()];
    before.extend(order.iter().scan(Occurrences::default(), |sum, at| {
        *sum += count[*at as usize];
        Some(*sum)
    }));

    let mut found: Vec<Candidate> = Vec::new();
    let mut report = |left: usize, right: usize, len: usize| {
        let weight = before[right].total - before[left].total;
        let last = before[right].last - before[left].last;
        // The longest of the interval is its last: where nothing goes on, every occurrence ends its word.
        let followers =
            suffix(order[right - 1] as usize).len() > len || (last > 0 && last < weight);
        if (2..=MAX_PIECE).contains(&len)
            && weight >= min_frequency
            && followers
            && one_script(&suffix(order[left] as usize)[..len])
        {
            found.push(Candidate { weight, left, right, len });
        }
    };
    // Open intervals: where each begins, and how long its common prefix is.
    let mut open: Vec<(usize, usize)> = Vec::new();
    for i in 0..order.len() {
        let this = suffix(order[i] as usize);
        let common = order.get(i + 1).map_or(0, |next| {
            let next = suffix(*next as usize);
            this.iter().zip(next).take_while(|(a, b)| a == b).count()
        });
        if open.last().is_none_or(|(_, len)| *len < this.len()) {
            open.push((i, this.len()));
        }
        let mut left = i;
        while let Some(&(start, len)) = open.last().filter(|(_, len)| *len > common) {
            open.pop();
            report(start, i + 1, len);
            left = start;
        }
        if common > 0 && open.last().is_none_or(|(_, len)| *len < common) {
            open.push((left, common));
        }
    }
    // Equal weights stay in the order of the array, which is that of the text of the pieces.
    found.sort_by_key(|c| (Reverse(c.weight * c.len as u64), c.left, c.len));
    found.truncate(MAX_SEEDS);
    found
}
