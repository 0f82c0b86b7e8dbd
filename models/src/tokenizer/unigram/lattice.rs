//! All segmentations of all words, in flat arrays.
//!
//! The positions of a word are its nodes, and each piece that occurs at a position is an edge to the position behind
//! it; a segmentation is a path from the beginning of the word to its end. The edges of all words lie in one array,
//! those of a position together. Removing a piece from the vocabulary removes its edges, so the array shrinks as
//! training goes on, and no piece is ever looked up by its text.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::MAX_PIECE;

const LEN_BITS: u32 = 5;

/// Words are handed to threads in groups of this many.
const GROUP: usize = 1024;

/// Edges whose expected counts are kept in memory at a time.
const BATCH: usize = 1 << 22;

/// Forward sums are multiplied by 2^256 when they become smaller than 2^-256.
const SMALL: f64 = 1.0 / LARGE;
const LARGE: f64 = f64::from_bits((1023 + 256) << 52);

/// A piece at a position: its number and its length, in one word.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Edge(u32);

impl Edge {
    pub(super) fn new(piece: usize, len: usize) -> Self {
        Self(((piece as u64) << LEN_BITS | len as u64).try_into().unwrap_or(u32::MAX))
    }

    pub(super) fn piece(self) -> usize {
        (self.0 >> LEN_BITS) as usize
    }

    pub(super) fn len(self) -> usize {
        (self.0 & ((1 << LEN_BITS) - 1)) as usize
    }
}

/// The lattices of all words.
pub(super) struct Lattice {
    /// The words, one behind the other.
    pub(super) text: Vec<char>,
    /// Where each word begins, and where the last ends.
    pub(super) starts: Vec<usize>,
    /// How often each word occurs.
    pub(super) weights: Vec<u64>,
    /// Where the edges of each position begin; one more entry than positions.
    pub(super) first: Vec<usize>,
    pub(super) edges: Vec<Edge>,
}

impl Lattice {
    fn edges_at(&self, at: usize) -> &[Edge] {
        &self.edges[self.first[at]..self.first[at + 1]]
    }

    fn words(&self) -> usize {
        self.weights.len()
    }

    fn word(&self, word: usize) -> Range<usize> {
        self.starts[word]..self.starts[word + 1]
    }

    /// Renumbers the pieces, and drops the edges of those that have no new number.
    pub(super) fn renumber(&mut self, new: &[Option<u32>]) {
        let mut kept = 0;
        let mut from = 0;
        for at in 0..self.text.len() {
            let to = self.first[at + 1];
            self.first[at] = kept;
            for i in from..to {
                let edge = self.edges[i];
                if let Some(piece) = new[edge.piece()] {
                    self.edges[kept] = Edge::new(piece as usize, edge.len());
                    kept += 1;
                }
            }
            from = to;
        }
        self.first[self.text.len()] = kept;
        self.edges.truncate(kept);
    }

    /// How often each piece is expected to occur, over all segmentations of all words by their probability.
    ///
    /// Threads work out the edges, and one loop in the order of the words adds them up: the same bits for any number
    /// of threads.
    pub(super) fn expected_counts(&self, probabilities: &[f64]) -> Vec<f64> {
        let mut counts = vec![0.0; probabilities.len()];
        let mut scratch: Vec<f64> = Vec::new();
        let mut begin = 0;
        while begin < self.words() {
            // A batch is whole groups of words, as many as fit.
            let offset = self.first[self.starts[begin]];
            let mut end = begin;
            let mut groups = Vec::new();
            while end < self.words()
                && (end == begin || self.first[self.starts[end]] - offset < BATCH)
            {
                let group = end..(end + GROUP).min(self.words());
                end = group.end;
                groups.push(group);
            }
            let until = self.first[self.starts[end]];
            scratch.resize(until - offset, 0.0);
            let mut rest = &mut scratch[..];
            let mut tasks = Vec::with_capacity(groups.len());
            for group in groups {
                let edges =
                    self.first[self.starts[group.end]] - self.first[self.starts[group.start]];
                let (mine, others) = rest.split_at_mut(edges);
                tasks.push((group, mine));
                rest = others;
            }
            tasks
                .into_par_iter()
                .for_each(|(group, out)| self.posteriors(group, probabilities, out));
            for (edge, expected) in self.edges[offset..until].iter().zip(&scratch) {
                counts[edge.piece()] += expected;
            }
            begin = end;
        }
        counts
    }

    /// For each edge of the words, the probability that the segmentation of its word uses it, times the word's count.
    ///
    /// Forward, a(t) is the probability of the first t characters, summed over their segmentations. Backward, b(t) is
    /// the probability that a piece ends at t, given the whole word: an edge from s to t with probability p has its
    /// share a(s) p / a(t) of b(t). Long words would underflow, so a(t) is kept as a number times 2^(-256 n(t)).
    fn posteriors(&self, words: Range<usize>, probabilities: &[f64], out: &mut [f64]) {
        let offset = self.first[self.starts[words.start]];
        let (mut a, mut n, mut b) = (Vec::new(), Vec::new(), Vec::new());
        for word in words {
            let range = self.word(word);
            let weight = self.weights[word] as f64;
            let len = range.len();
            a.clear();
            a.resize(len + 1, 0.0);
            n.clear();
            n.resize(len + 1, 0i32);
            b.clear();
            b.resize(len + 1, 0.0);
            a[0] = 1.0;
            let mut scalings = 0;
            for s in 0..len {
                while a[s] < SMALL {
                    a[s..=(s + MAX_PIECE).min(len)].iter_mut().for_each(|a| *a *= LARGE);
                    scalings += 1;
                }
                n[s] = scalings;
                let here = a[s];
                for edge in self.edges_at(range.start + s) {
                    a[s + edge.len()] += here * probabilities[edge.piece()];
                }
            }
            n[len] = scalings;
            b[len] = 1.0;
            for s in (0..len).rev() {
                let at = range.start + s;
                let mut sum = 0.0;
                for (i, edge) in (self.first[at]..).zip(self.edges_at(at)) {
                    let t = s + edge.len();
                    let mut share = a[s] * probabilities[edge.piece()] / a[t];
                    if n[t] != n[s] {
                        share *= LARGE.powi(n[t] - n[s]);
                    }
                    let posterior = share * b[t];
                    out[i - offset] = posterior * weight;
                    sum += posterior;
                }
                b[s] = sum;
            }
        }
    }

    /// How often each piece occurs in the best segmentations of all words. Whole numbers, so the order of addition
    /// does not matter.
    pub(super) fn best_counts(&self, scores: &[f64]) -> Vec<u64> {
        let counts: Vec<AtomicU64> = scores.iter().map(|_| AtomicU64::new(0)).collect();
        (0..self.words().div_ceil(GROUP)).into_par_iter().for_each(|group| {
            let mut path = BestPath::default();
            for word in group * GROUP..((group + 1) * GROUP).min(self.words()) {
                path.find(self, self.word(word), scores, usize::MAX);
                for piece in path.pieces() {
                    counts[piece].fetch_add(self.weights[word], Ordering::Relaxed);
                }
            }
        });
        counts.into_iter().map(AtomicU64::into_inner).collect()
    }
}

/// The most probable path through a stretch of a word (Viterbi); keeps its buffers between calls.
#[derive(Default)]
pub(super) struct BestPath {
    score: Vec<f64>,
    /// The edge that each position is best reached by.
    by: Vec<Edge>,
}

impl BestPath {
    /// Finds the path over `range` by edges no longer than `longest`, and returns its score.
    pub(super) fn find(
        &mut self,
        lattice: &Lattice,
        range: Range<usize>,
        scores: &[f64],
        longest: usize,
    ) -> f64 {
        let len = range.len();
        self.score.clear();
        self.score.resize(len + 1, f64::NEG_INFINITY);
        self.by.clear();
        self.by.resize(len + 1, Edge::default());
        self.score[0] = 0.0;
        for s in 0..len {
            let here = self.score[s];
            for edge in lattice.edges_at(range.start + s) {
                let t = s + edge.len();
                if t <= len && edge.len() <= longest {
                    let score = here + scores[edge.piece()];
                    if score > self.score[t] {
                        self.score[t] = score;
                        self.by[t] = *edge;
                    }
                }
            }
        }
        self.score[len]
    }

    /// The pieces of the path that was found, the last first.
    pub(super) fn pieces(&self) -> impl Iterator<Item = usize> {
        let mut t = self.by.len() - 1;
        std::iter::from_fn(move || {
            let edge = (t > 0).then(|| self.by[t])?;
            t -= edge.len();
            Some(edge.piece())
        })
    }
}
