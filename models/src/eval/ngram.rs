//! N-gram models: what counting alone can do, in the same reports as the networks.
//!
//! Interpolated modified Kneser-Ney smoothing (Kneser and Ney 1995; Chen and Goodman, *An empirical study of smoothing
//! techniques for language modeling*, 1999, section 3). For a context h of k - 1 tokens, and h' without its first,
//!
//! ```text
//! p_k(w | h) = max(a(hw) - D(a(hw)), 0) / a(h) + gamma(h) p_{k-1}(w | h')        p_0 = 1 / V
//! gamma(h)   = (D1 N1(h) + D2 N2(h) + D3 N3+(h)) / a(h)
//! Y = n1 / (n1 + 2 n2),   D1 = 1 - 2 Y n2 / n1,   D2 = 2 - 3 Y n3 / n2,   D3 = 3 - 4 Y n4 / n3     for each order
//! ```
//!
//! a is the count of an n-gram of the highest order, or of one that begins with the beginning of a sentence; of any other
//! the number of different tokens that come before it. a(h) is the sum over w of a(hw), N_c(h) the number of w with
//! a(hw) = c, n_c the number of n-grams of the order with a = c. A context that never occurred is passed over.
//! Sentences are apart: no context reaches back over the token that begins one.

use super::score::{Detail, Distribution, Scorer, Sequence, TokenScore};
use crate::train::signals::{StopFlag, Stopped};

/// The n-grams of one order, as numbers: ids side by side, the last in the lowest bits.
#[derive(Debug, Default)]
struct Counts {
    /// Ascending.
    grams: Vec<u128>,
    /// a of each.
    counts: Vec<u32>,
    contexts: Vec<Context>,
    /// D1, D2, D3.
    discounts: [f64; 3],
}

/// What followed a context.
#[derive(Clone, Copy, Debug)]
struct Context {
    key: u128,
    /// Its n-grams stand at `first..end`.
    first: usize,
    end: usize,
    /// a(h).
    total: f64,
    gamma: f64,
}

/// An n-gram model over token ids.
#[derive(Debug)]
pub struct Ngram {
    orders: Vec<Counts>,
    vocab: usize,
    bits: u32,
    tokens: u64,
    stop: StopFlag,
}

impl Ngram {
    /// Asks `stop` before every token that it scores.
    #[must_use]
    pub fn until(self, stop: &StopFlag) -> Self {
        Self { stop: stop.clone(), ..self }
    }

    /// The highest order for a vocabulary: an n-gram must fit in 128 bits.
    #[must_use]
    pub fn highest_order(vocab: usize) -> usize {
        (128 / bits(vocab)) as usize
    }

    /// Counts sentences. Each begins with the token that stands before a sentence (or, where there is none, with the id
    /// `vocab`), which is not predicted, and ends with whatever shall be predicted last.
    ///
    /// # Errors
    /// The first of the sentences'.
    ///
    /// # Panics
    /// If the order is 0 or above [`highest_order`](Self::highest_order), or an id above `vocab`.
    pub fn count<E>(
        order: usize,
        vocab: usize,
        sentences: impl IntoIterator<Item = Result<Vec<u32>, E>>,
    ) -> Result<Self, E> {
        assert!(
            (1..=Self::highest_order(vocab)).contains(&order),
            "an order of 1 to {}",
            Self::highest_order(vocab)
        );
        let bits = bits(vocab);
        // The n-grams that are counted as they are: of the highest order, and those that begin a sentence.
        let mut raw: Vec<Vec<u128>> = vec![Vec::new(); order];
        let mut tokens = 0;
        for sentence in sentences {
            let sentence = sentence?;
            for end in 1..sentence.len() {
                let k = order.min(end + 1);
                raw[k - 1].push(pack(&sentence[end + 1 - k..=end], bits, vocab));
                tokens += 1;
            }
        }
        let mut orders = Vec::with_capacity(order);
        let mut longer: Vec<u128> = Vec::new();
        for k in (1..=order).rev() {
            let mut grams = std::mem::take(&mut raw[k - 1]);
            // A distinct longer n-gram is one more token before this one.
            grams.extend(longer.iter().map(|gram| gram & mask(k, bits)));
            let counts = Counts::new(grams, bits);
            longer.clone_from(&counts.grams);
            orders.push(counts);
        }
        orders.reverse();
        Ok(Self { orders, vocab, bits, tokens, stop: StopFlag::new() })
    }

    /// The order.
    #[must_use]
    pub fn order(&self) -> usize {
        self.orders.len()
    }

    /// Tokens that were counted.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The contexts, shortest first, that the model knows before position `at` of `ids`.
    fn contexts<'a>(
        &'a self,
        ids: &'a [u32],
        at: usize,
    ) -> impl Iterator<Item = (&'a Counts, &'a Context)> {
        let known = self.orders.iter().enumerate().take(at + 1);
        known.filter_map(move |(k, counts)| {
            let key = pack(&ids[at - k..at], self.bits, self.vocab);
            Some((counts, counts.context(key)?))
        })
    }

    /// p(id | what stands before `at` in `ids`).
    ///
    /// # Panics
    /// If an id is above the vocabulary.
    #[must_use]
    pub fn probability(&self, ids: &[u32], at: usize, id: u32) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "the size of a vocabulary")]
        let uniform = 1.0 / self.vocab as f64;
        self.contexts(ids, at).fold(uniform, |p, (counts, context)| {
            let gram = (context.key << self.bits) | u128::from(id);
            let grams = &counts.grams[context.first..context.end];
            let found = grams.binary_search(&gram).ok();
            let a = found.map_or(0, |i| counts.counts[context.first + i]);
            counts.discounted(a) / context.total + context.gamma * p
        })
    }

    /// The distribution over the vocabulary at position `at`.
    fn distribution(&self, ids: &[u32], at: usize) -> Vec<f64> {
        #[expect(clippy::cast_precision_loss, reason = "the size of a vocabulary")]
        let mut p = vec![1.0 / self.vocab as f64; self.vocab];
        for (counts, context) in self.contexts(ids, at) {
            p.iter_mut().for_each(|p| *p *= context.gamma);
            for i in context.first..context.end {
                let id =
                    usize::try_from(counts.grams[i] & mask(1, self.bits)).unwrap_or(usize::MAX);
                p[id] += counts.discounted(counts.counts[i]) / context.total;
            }
        }
        p
    }
}

impl Scorer for Ngram {
    fn score(
        &self,
        sequences: &[Sequence],
        detail: Detail,
    ) -> Result<Vec<Vec<TokenScore>>, Stopped> {
        let token = |ids: &[u32], at: usize| -> Result<TokenScore, Stopped> {
            self.stop.check()?;
            let probability = self.probability(ids, at, ids[at]);
            let distribution = (detail == Detail::Distribution).then(|| {
                let p = self.distribution(ids, at);
                let entropy_nats = p.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum();
                let rank = 1 + p.iter().filter(|&&q| q > p[ids[at] as usize]).count();
                Distribution { entropy_nats, rank }
            });
            Ok(TokenScore { logprob_nats: probability.ln(), distribution })
        };
        let scores = |s: &Sequence| s.scored.clone().map(|at| token(&s.ids, at)).collect();
        sequences.iter().map(scores).collect()
    }
}

impl Counts {
    fn new(mut grams: Vec<u128>, bits: u32) -> Self {
        grams.sort_unstable();
        let mut counts: Vec<u32> = Vec::new();
        let mut last = None;
        grams.retain(|&gram| {
            let new = last != Some(gram);
            if new {
                counts.push(0);
                last = Some(gram);
            }
            if let Some(count) = counts.last_mut() {
                *count += 1;
            }
            new
        });
        let discounts = discounts(&counts);
        let mut this = Self { grams, counts, contexts: Vec::new(), discounts };
        let mut first = 0;
        while first < this.grams.len() {
            let key = this.grams[first] >> bits;
            let rest = &this.grams[first..];
            let end = first + rest.partition_point(|gram| gram >> bits == key);
            let counts = &this.counts[first..end];
            let total = counts.iter().map(|&a| f64::from(a)).sum();
            let taken: f64 = counts.iter().map(|&a| f64::from(a) - this.discounted(a)).sum();
            this.contexts.push(Context { key, first, end, total, gamma: taken / total });
            first = end;
        }
        this
    }

    fn context(&self, key: u128) -> Option<&Context> {
        let found = self.contexts.binary_search_by_key(&key, |context| context.key).ok()?;
        self.contexts.get(found)
    }

    /// max(a - D(a), 0).
    fn discounted(&self, a: u32) -> f64 {
        match a {
            0 => 0.0,
            1 => 1.0 - self.discounts[0],
            2 => 2.0 - self.discounts[1],
            _ => f64::from(a) - self.discounts[2],
        }
    }
}

/// D1, D2, D3 from the counts of counts; where there are too few, 0.5, 1 and 1.5.
fn discounts(counts: &[u32]) -> [f64; 3] {
    const FEW: [f64; 3] = [0.5, 1.0, 1.5];
    let mut n = [0.0; 5];
    for &a in counts.iter().filter(|&&a| a <= 4) {
        n[a as usize] += 1.0;
    }
    if n[1..].contains(&0.0) {
        return FEW;
    }
    let y = n[1] / (n[1] + 2.0 * n[2]);
    let d = [1.0 - 2.0 * y * n[2] / n[1], 2.0 - 3.0 * y * n[3] / n[2], 3.0 - 4.0 * y * n[4] / n[3]];
    let sound = d.iter().zip([1.0, 2.0, 3.0]).all(|(d, most)| *d >= 0.0 && *d <= most);
    if sound { d } else { FEW }
}

/// Bits for ids 0 to `vocab`, the last being no token.
fn bits(vocab: usize) -> u32 {
    (usize::BITS - vocab.leading_zeros()).max(1)
}

fn mask(k: usize, bits: u32) -> u128 {
    let low = u32::try_from(k).unwrap_or(u32::MAX).saturating_mul(bits);
    if low >= 128 { u128::MAX } else { (1 << low) - 1 }
}

fn pack(ids: &[u32], bits: u32, vocab: usize) -> u128 {
    ids.iter().fold(0, |key, &id| {
        assert!(id as usize <= vocab, "id {id} is outside a vocabulary of {vocab}");
        (key << bits) | u128::from(id)
    })
}

/// The logarithm of the relative frequency of each token, in nats, every token counted once more than it occurred
/// (Laplace): what SLOR takes away from a sentence's log-probability.
#[derive(Clone, PartialEq, Debug)]
pub struct Unigram(Vec<f64>);

impl Unigram {
    /// From how often each id occurred.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub fn new(counts: &[u64]) -> Self {
        let total = (counts.iter().sum::<u64>() + counts.len() as u64) as f64;
        Self(counts.iter().map(|&c| ((c + 1) as f64 / total).ln()).collect())
    }

    /// log p(id), in nats.
    #[must_use]
    pub fn logprob_nats(&self, id: u32) -> f64 {
        self.0.get(id as usize).copied().unwrap_or(f64::NEG_INFINITY)
    }

    /// The syntactic log-odds ratio of a sentence, in nats a token (Pauls and Klein 2012; Lau, Clark and Lappin,
    /// *Grammaticality, acceptability, and probability*, 2017): (log p(sentence) - sum of the tokens' unigram
    /// log-probabilities) / tokens. None without tokens.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "tokens of a sentence")]
    pub fn slor(&self, logprob_nats: f64, ids: &[u32]) -> Option<f64> {
        let unigram: f64 = ids.iter().map(|&id| self.logprob_nats(id)).sum();
        (!ids.is_empty()).then(|| (logprob_nats - unigram) / ids.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::signals::StopReason;
    use std::collections::{BTreeMap, BTreeSet};
    use std::convert::Infallible;

    const VOCAB: usize = 11;

    fn corpus() -> Vec<Vec<u32>> {
        let word = |i: u32, t: u32| (i * i + t * (1 + i % 3) + t * t / 3) % 10;
        let sentence = |i: u32| {
            let words = (0..3 + i % 7).map(|t| word(i, t));
            [10].into_iter().chain(words).chain([10]).collect()
        };
        (0..40).map(sentence).collect()
    }

    fn model(order: usize) -> Ngram {
        let sentences = corpus().into_iter().map(Ok::<_, Infallible>);
        Ngram::count(order, VOCAB, sentences).unwrap_or_else(|e| match e {})
    }

    /// The definition, by maps of strings of ids.
    fn by_definition(order: usize, context: &[u32], w: u32) -> f64 {
        let mut left: BTreeMap<Vec<u32>, BTreeSet<u32>> = BTreeMap::new();
        let mut raw: BTreeMap<Vec<u32>, u32> = BTreeMap::new();
        for s in corpus() {
            for end in 1..s.len() {
                for k in 1..=order.min(end + 1) {
                    let gram = s[end + 1 - k..=end].to_vec();
                    *raw.entry(gram.clone()).or_default() += 1;
                    if end + 1 > k {
                        left.entry(gram).or_default().insert(s[end - k]);
                    }
                }
            }
        }
        let a = |gram: &[u32]| -> u32 {
            if gram.len() == order || (gram.len() > 1 && gram[0] == 10) {
                raw.get(gram).copied().unwrap_or(0)
            } else {
                left.get(gram).map_or(0, |l| u32::try_from(l.len()).unwrap())
            }
        };
        let mut p = 1.0 / 11.0;
        for k in 0..order.min(context.len() + 1) {
            let h = &context[context.len() - k..];
            let of_order: Vec<u32> =
                raw.keys().filter(|g| g.len() == k + 1).map(|g| a(g)).collect();
            let d = discounts(&of_order);
            let with = |w: u32| a(&[h, &[w]].concat());
            let discount = |c: u32| if c == 0 { 0.0 } else { d[c.min(3) as usize - 1] };
            let total: f64 = (0..11).map(|w| f64::from(with(w))).sum();
            if total > 0.0 {
                let gamma: f64 = (0..11).map(|w| discount(with(w))).sum::<f64>() / total;
                p = (f64::from(with(w)) - discount(with(w))).max(0.0) / total + gamma * p;
            }
        }
        p
    }

    #[test]
    fn test_ngram__equals_its_definition_and_sums_to_one() {
        for order in 1..=4 {
            let model = model(order);
            assert!(
                order > 1 || model.orders[0].discounts != [0.5, 1.0, 1.5] || model.tokens() > 0
            );
            for context in
                [vec![10], vec![10, 0], vec![10, 0, 1, 3], vec![10, 9, 9, 9, 2], vec![4, 4, 4]]
            {
                let mut ids = context.clone();
                ids.push(0);
                let all = model.distribution(&ids, context.len());
                assert!((all.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                for w in 0..11_u32 {
                    let p = model.probability(&ids, context.len(), w);
                    assert!((p - all[w as usize]).abs() < 1e-15);
                    let expected = by_definition(order, &context, w);
                    assert!(
                        (p - expected).abs() < 1e-12,
                        "order {order} {context:?} {w}: {p} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn test_ngram__scores_sequences_of_any_beginning() {
        let model = model(3);
        let sequences = [Sequence::after_first(vec![10, 1, 2, 10]), Sequence::after_first(vec![])];
        let scores = model.score(&sequences, Detail::Distribution).unwrap();
        assert_eq!((scores[0].len(), scores[1].len()), (3, 0));
        for (t, score) in scores[0].iter().enumerate() {
            let expected =
                model.probability(&sequences[0].ids, t + 1, sequences[0].ids[t + 1]).ln();
            assert_eq!(score.logprob_nats, expected);
            assert!(score.distribution.unwrap().entropy_nats <= 11_f64.ln() + 1e-12);
        }
    }

    #[test]
    fn test_ngram__stops_inside_a_text() {
        let stop = StopFlag::new();
        let model = model(3).until(&stop);
        let text = [Sequence::after_first(vec![10, 1, 2, 10])];
        assert!(model.score(&text, Detail::Probability).is_ok());
        stop.request(StopReason::Interrupt);
        let stopped = model.score(&text, Detail::Probability);
        assert_eq!(stopped, Err(Stopped(StopReason::Interrupt)));
    }

    #[test]
    fn test_slor__by_hand() {
        let unigram = Unigram::new(&[1, 0, 4]);
        assert!((unigram.logprob_nats(1) - 0.125_f64.ln()).abs() < 1e-15);
        let slor = unigram.slor(-3.0, &[0, 2]).unwrap();
        assert!((slor - (-3.0 - 0.25_f64.ln() - 0.625_f64.ln()) / 2.0).abs() < 1e-15);
        assert_eq!(unigram.slor(0.0, &[]), None);
    }

    #[test]
    fn test_ngram__large_vocabularies_have_lower_orders() {
        assert_eq!(Ngram::highest_order(65_535), 8);
        assert_eq!(Ngram::highest_order(65_536), 7);
        assert_eq!(Ngram::highest_order(119_547), 7);
    }
}
