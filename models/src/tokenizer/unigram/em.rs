//! Expectation maximisation and pruning.
//!
//! One round is two steps of EM and one pruning. E: count each piece by its share of all segmentations
//! ([`Lattice::expected_counts`](super::lattice::Lattice::expected_counts)). M: the new score of a piece with expected
//! count c is ψ(c) − ψ(Σ c), the variational Bayes estimate under a sparse prior (Liang and Klein, *Structured Bayesian
//! nonparametric models with variational inference*, ACL 2007 tutorial); ψ is the digamma function. Rare pieces come
//! out below ln c, and pieces with c < ½ are dropped.
//!
//! Pruning asks what a piece is worth: by how much the likelihood of the corpus falls when each of its f occurrences
//! in the best segmentations is spelled with the next best pieces a₁ … a_k instead. With F = f / (number of words) and
//! N = Σ f,
//!
//! ```text
//! loss = F · ( ln f/N − Σᵢ ln (f(aᵢ) + f) / (N + f·(k−1)) )
//! ```
//!
//! Three quarters of the pieces are kept in each round, those with the largest loss. Single characters are never
//! counted out of the alphabet: every word of the corpus can be spelled.

use rayon::prelude::*;

use super::Goal;
use super::lattice::BestPath;
use super::seed::{Seeds, Span, seeds};
use crate::tokenizer::words::Occurrences;

/// What the score of a character without a piece lies below the lowest score.
pub(super) const UNKNOWN_PENALTY: f64 = 10.0;

const EM_STEPS: usize = 2;
const LEAST_EXPECTED: f64 = 0.5;
const PIECES_PER_TASK: usize = 1024;

/// The corpus has more characters than the vocabulary has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tokenizer) struct AlphabetTooLarge {
    /// The characters of the corpus.
    pub(in crate::tokenizer) alphabet: usize,
}

/// A vocabulary under training. The first `alphabet` pieces are single characters; one that is not `alive` has lost
/// its piece, but keeps its place, and spells its character at the price of an unknown one.
struct Model {
    seeds: Seeds,
    alive: Vec<bool>,
}

/// Trains on sorted `words` with their counts, and returns the pieces and their scores (natural logarithms of
/// probabilities), the most probable first. There may be fewer than asked for, if the corpus has no more.
pub(in crate::tokenizer) fn train(
    words: &[(String, Occurrences)],
    goal: Goal,
) -> Result<Vec<(String, f64)>, AlphabetTooLarge> {
    let seeds = seeds(words, goal);
    let room = goal.vocab_size.saturating_sub(goal.reserved);
    if seeds.alphabet > room {
        return Err(AlphabetTooLarge { alphabet: seeds.alphabet });
    }
    let alive = vec![true; seeds.alphabet];
    let mut model = Model { seeds, alive };
    // A tenth more than asked for: the last step keeps the most probable of them.
    let wanted = goal.vocab_size + goal.vocab_size / 10;
    loop {
        for _ in 0..EM_STEPS {
            model.em_step();
        }
        if model.size() <= wanted {
            break;
        }
        model.prune(wanted);
    }
    Ok(model.finish(room))
}

impl Model {
    fn size(&self) -> usize {
        self.seeds.pieces.len() - self.alive.iter().filter(|alive| !**alive).count()
    }

    fn is_alive(&self, piece: usize) -> bool {
        self.alive.get(piece).is_none_or(|alive| *alive)
    }

    fn lowest_score(&self) -> f64 {
        let scores = self.seeds.scores.iter().enumerate();
        scores.filter(|(i, _)| self.is_alive(*i)).map(|(_, s)| *s).fold(f64::INFINITY, f64::min)
    }

    fn em_step(&mut self) {
        let probabilities: Vec<f64> = self.seeds.scores.iter().map(|score| score.exp()).collect();
        let counts = self.seeds.lattice.expected_counts(&probabilities);
        let keep: Vec<bool> = counts
            .iter()
            .enumerate()
            .map(|(i, c)| self.is_alive(i) && *c >= LEAST_EXPECTED)
            .collect();
        let total: f64 = counts.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(c, _)| c).sum();
        let total = digamma(total);
        self.seeds.scores = counts.iter().map(|count| digamma(*count) - total).collect();
        self.retain(&keep);
    }

    /// Drops the pieces that `keep` does not have. Characters stay in the lattice as unknown ones.
    fn retain(&mut self, keep: &[bool]) {
        let seeds = &mut self.seeds;
        let mut new = vec![None; keep.len()];
        let mut kept = 0;
        for i in 0..keep.len() {
            if i < seeds.alphabet {
                self.alive[i] = keep[i];
            }
            if i < seeds.alphabet || keep[i] {
                seeds.pieces[kept] = seeds.pieces[i];
                seeds.scores[kept] = seeds.scores[i];
                new[i] = u32::try_from(kept).ok();
                kept += 1;
            }
        }
        seeds.pieces.truncate(kept);
        seeds.scores.truncate(kept);
        if kept < keep.len() {
            seeds.lattice.renumber(&new);
        }
        let unknown = self.lowest_score() - UNKNOWN_PENALTY;
        for (score, alive) in self.seeds.scores.iter_mut().zip(&self.alive) {
            if !alive {
                *score = unknown;
            }
        }
    }

    /// Keeps three quarters of the pieces, but not fewer than `wanted`.
    fn prune(&mut self, wanted: usize) {
        let Seeds { pieces, alphabet, scores, lattice } = &self.seeds;
        let counts = lattice.best_counts(scores);
        let words = lattice.weights.iter().sum::<u64>() as f64;
        let alive_counts = counts.iter().enumerate().filter(|(i, _)| self.is_alive(*i));
        let total = alive_counts.map(|(_, count)| count).sum::<u64>() as f64;

        // None: no best segmentation has this piece, or it is better spelled with others.
        let mut loss: Vec<Option<f64>> = vec![None; pieces.len()];
        loss.par_chunks_mut(PIECES_PER_TASK).enumerate().for_each(|(task, loss)| {
            let mut path = BestPath::default();
            for (i, loss) in (task * PIECES_PER_TASK..).zip(loss) {
                if counts[i] == 0 || !self.is_alive(i) {
                    continue;
                }
                let Span { at, len } = pieces[i];
                if len == 1 {
                    *loss = Some(f64::INFINITY);
                    continue;
                }
                if path.find(lattice, at..at + len, scores, len - 1) > scores[i] {
                    continue;
                }
                let f = counts[i] as f64;
                let others: Vec<usize> = path.pieces().collect();
                let total_without = (total + f * (others.len() as f64 - 1.0)).ln();
                let spelled: f64 =
                    others.iter().map(|a| (counts[*a] as f64 + f).ln() - total_without).sum();
                *loss = Some(f / words * (f.ln() - total.ln() - spelled));
            }
        });

        let mut ranked: Vec<usize> = (0..pieces.len()).filter(|i| loss[*i].is_some()).collect();
        // A stable sort: equal losses stay in the order of the candidates.
        ranked.sort_by(|a, b| {
            let loss = |i: usize| loss[i].unwrap_or(f64::NEG_INFINITY);
            loss(*b).total_cmp(&loss(*a))
        });
        let size = pieces.len() - self.alive.iter().filter(|alive| !**alive).count();
        ranked.truncate(wanted.max(size * 3 / 4).max(*alphabet));
        let mut keep = vec![false; pieces.len()];
        ranked.iter().for_each(|i| keep[*i] = true);
        self.retain(&keep);
    }

    /// The whole alphabet and the most probable other pieces, `room` in all.
    fn finish(self, room: usize) -> Vec<(String, f64)> {
        let lowest = self.lowest_score();
        let Self { seeds, alive } = self;
        let Seeds { pieces, alphabet, mut scores, lattice } = seeds;
        // Characters that lost their piece get one again, the more frequent the better, all near the lowest score.
        for (penalty, i) in (0..alphabet).filter(|i| !alive[*i]).enumerate() {
            scores[i] = lowest - penalty as f64 * 0.0001;
        }
        let text = |i: usize| -> String {
            let Span { at, len } = pieces[i];
            lattice.text[at..at + len].iter().collect()
        };
        let mut ranked: Vec<(String, f64)> =
            (alphabet..pieces.len()).map(|i| (text(i), scores[i])).collect();
        let by_score =
            |a: &(String, f64), b: &(String, f64)| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0));
        ranked.sort_by(by_score);
        ranked.truncate(room - alphabet);
        ranked.extend((0..alphabet).map(|i| (text(i), scores[i])));
        ranked.sort_by(by_score);
        ranked
    }
}

/// ψ(x), the derivative of ln Γ(x), for x > 0: recurrence up to 7, then the asymptotic series in 1 / (x − ½).
fn digamma(mut x: f64) -> f64 {
    let mut result = 0.0;
    while x < 7.0 {
        result -= 1.0 / x;
        x += 1.0;
    }
    x -= 0.5;
    let xx = 1.0 / x;
    let xx2 = xx * xx;
    let xx4 = xx2 * xx2;
    result + x.ln() + xx2 / 24.0 - 7.0 / 960.0 * xx4 + 31.0 / 8064.0 * xx4 * xx2
        - 127.0 / 30720.0 * xx4 * xx4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_digamma__known_values() {
        // ψ(1) = −γ, ψ(½) = −γ − 2 ln 2, ψ(10) = −γ + H₉.
        let gamma = 0.577_215_664_901_532_9;
        assert!((digamma(1.0) + gamma).abs() < 1e-8);
        assert!((digamma(0.5) + gamma + 2.0 * 2f64.ln()).abs() < 1e-8);
        assert!((digamma(10.0) - (2.828_968_253_968_254 - gamma)).abs() < 1e-8);
    }
}
