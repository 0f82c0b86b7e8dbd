//! Spans of words that are hidden together.
//!
//! Joshi et al.: *SpanBERT: improving pre-training by representing and predicting spans* (2020). A span has l words with
//! probability proportional to 0.2 · 0.8^(l - 1), l = 1 .. 10 (3.8 on average), and all its tokens share one fate.
//!
//! SpanBERT draws spans one after another until enough is hidden, which makes each depend on all others. Here a span
//! begins at each word with a probability q of its own; a word is hidden if a span that begins at it or up to nine
//! words before reaches it:
//!
//! ```text
//! P(word is hidden) = 1 - product over d = 0 .. 9 of (1 - q P(l > d))
//! ```
//!
//! and q is chosen such that this is `mlm_probability`. So whether a word is hidden depends on its surroundings and on
//! nothing else in the row. (Spans may begin before the row, or its first words would be hidden less often; and a span
//! passes over special tokens without hiding them.)

use super::masked::draws;
use foundry_engine::rng::Stream;

/// The longest span, in words.
const LONGEST: u32 = 10;
/// The probability that a span ends at a word.
const END: f64 = 0.2;

/// How often spans begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spans {
    rate: f64,
}

impl Spans {
    /// Spans that hide a word with probability `share`.
    pub(super) fn new(share: f64) -> Self {
        // The share grows with the rate: bisect until the interval is a rounding error.
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..60 {
            let rate = f64::midpoint(low, high);
            if hidden(rate) < share {
                low = rate;
            } else {
                high = rate;
            }
        }
        Self { rate: high }
    }

    /// For each word, given by the place of its first token: the number from (0, 1) that decides the fate of the span
    /// that covers it. Where spans overlap, the one that begins last counts.
    pub(super) fn cover(self, key: [u32; 2], firsts: &[u32]) -> Vec<Option<f64>> {
        let mut covered = vec![None; firsts.len()];
        let before = (1..LONGEST).rev().map(|n| (0_u32.wrapping_sub(n), 0, n as usize));
        let inside = firsts.iter().enumerate().map(|(word, place)| (*place, word, 0));
        for (place, word, outside) in before.chain(inside) {
            let (begins, fate) = draws(key, place);
            if begins < self.rate {
                let words = length(key, place).saturating_sub(outside);
                covered.iter_mut().skip(word).take(words).for_each(|c| *c = Some(fate));
            }
        }
        covered
    }
}

/// The share of words that spans hide which begin at this rate.
fn hidden(rate: f64) -> f64 {
    let mut open = 1.0;
    let beyond = (1.0 - END).powi(LONGEST.cast_signed());
    let mut longer = 1.0; // 0.8^d
    for _ in 0..LONGEST {
        open *= 1.0 - rate * (longer - beyond) / (1.0 - beyond);
        longer *= 1.0 - END;
    }
    1.0 - open
}

/// The words in the span that begins at `place`.
fn length(key: [u32; 2], place: u32) -> usize {
    let mut stream = Stream::numbered(key, place.wrapping_mul(2));
    let _ = (stream.uniform(), stream.uniform()); // those of `draws`
    loop {
        let mut words = 1;
        while words <= LONGEST && stream.uniform() >= END {
            words += 1;
        }
        if words <= LONGEST {
            return words as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_spans__a_span_has_3_8_words() {
        let lengths: Vec<usize> = (0..100_000).map(|place| length([1, 2], place)).collect();
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        let mean = lengths.iter().sum::<usize>() as f64 / 1e5;
        assert!((mean - 3.797).abs() < 0.03, "{mean}");
        assert_eq!(lengths.iter().max(), Some(&10));
        assert_eq!(lengths.iter().min(), Some(&1));
    }

    #[test]
    fn test_spans__rates() {
        for share in [0.01, 0.15, 0.5, 0.9, 1.0] {
            let spans = Spans::new(share);
            assert!((hidden(spans.rate) - share).abs() < 1e-12, "{share}");
        }
    }
}
