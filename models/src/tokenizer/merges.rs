//! Learning merges: the most frequent pair of neighbours becomes one token, again and again.
//!
//! Sennrich, Haddow, Birch: *Neural machine translation of rare words with subword units* (ACL 2016). WordPiece
//! vocabularies and SentencePiece's bpe are both learned this way; they differ in the tokens they begin with and in
//! which neighbours may be joined. Of pairs that occur equally often, the one with the smaller ids is merged first, and
//! ids are given in the order of the (sorted) words: there is one result, whatever the number of threads.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

type Pair = (u32, u32);

/// A pair of neighbours: how often it occurs, and the words that it occurs in.
#[derive(Default)]
struct Places {
    count: i64,
    words: Vec<u32>,
}

/// Tokens with their ids, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    pub(super) list: Vec<String>,
    ids: HashMap<String, u32>,
}

impl Tokens {
    /// The id of `token`, which is added if it is new.
    pub(super) fn id(&mut self, token: &str) -> u32 {
        if let Some(id) = self.ids.get(token) {
            return *id;
        }
        let id = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.list.push(token.to_owned());
        self.ids.insert(token.to_owned(), id);
        id
    }
}

/// Adds merged tokens to `tokens` until there are `limit`, or until no pair occurs `min_frequency` times.
///
/// `words` are tokens with the number of times that the word occurs; `join` gives the token that two make, or nothing
/// if they must stay apart.
pub(super) fn learn(
    tokens: &mut Tokens,
    mut words: Vec<(Vec<u32>, u64)>,
    limit: usize,
    min_frequency: u64,
    join: impl Fn(&str, &str) -> Option<String>,
) {
    let mut pairs: HashMap<Pair, Places> = HashMap::new();
    for (i, (word, count)) in (0..).zip(&words) {
        add(&mut pairs, word, i64::try_from(*count).unwrap_or(i64::MAX), i);
    }
    let mut queue: BinaryHeap<(i64, Reverse<Pair>)> =
        pairs.iter().map(|(pair, places)| (places.count, Reverse(*pair))).collect();
    let least = i64::try_from(min_frequency.max(1)).unwrap_or(i64::MAX);

    while tokens.list.len() < limit {
        let Some((count, Reverse(pair))) = queue.pop() else { break };
        // Counts fall while a pair waits; it is put back where it belongs now.
        let now = pairs.get(&pair).map_or(0, |places| places.count);
        if now < count {
            if now >= least {
                queue.push((now, Reverse(pair)));
            }
            continue;
        }
        if count < least {
            break;
        }
        let Some(places) = pairs.remove(&pair) else { continue };
        let [left, right] = [pair.0, pair.1].map(|id| tokens.list[id as usize].as_str());
        let Some(token) = join(left, right) else { continue };
        let merged = tokens.id(&token);
        let mut touched: BTreeSet<Pair> = BTreeSet::new();
        for i in places.words {
            let (word, count) = &mut words[i as usize];
            if !word.windows(2).any(|two| (two[0], two[1]) == pair) {
                continue;
            }
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            add(&mut pairs, word, -count, i);
            merge(word, pair, merged);
            add(&mut pairs, word, count, i);
            let new = word.windows(2).filter(|two| two.contains(&merged));
            touched.extend(new.map(|two| (two[0], two[1])));
        }
        pairs.remove(&pair);
        for pair in touched {
            if let Some(places) = pairs.get(&pair) {
                queue.push((places.count, Reverse(pair)));
            }
        }
    }
}

/// Adds `count` for every pair of `word`, the word with number `i`.
fn add(pairs: &mut HashMap<Pair, Places>, word: &[u32], count: i64, i: u32) {
    for two in word.windows(2) {
        let places = pairs.entry((two[0], two[1])).or_default();
        places.count += count;
        if count > 0 && places.words.last() != Some(&i) {
            places.words.push(i);
        }
    }
}

/// Replaces every `pair` in `word`, from left to right, by `merged`.
fn merge(word: &mut Vec<u32>, pair: Pair, merged: u32) {
    let (mut read, mut write) = (0, 0);
    while read < word.len() {
        let found = word[read] == pair.0 && word.get(read + 1) == Some(&pair.1);
        word[write] = if found { merged } else { word[read] };
        read += if found { 2 } else { 1 };
        write += 1;
    }
    word.truncate(write);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(words: &[(&str, u64)], limit: usize, min_frequency: u64) -> Vec<String> {
        let mut tokens = Tokens::default();
        let words = words
            .iter()
            .map(|(word, count)| {
                (word.chars().map(|c| tokens.id(&c.to_string())).collect(), *count)
            })
            .collect();
        learn(&mut tokens, words, limit, min_frequency, |a, b| {
            (!(a.contains('!') || b.contains('!'))).then(|| format!("{a}{b}"))
        });
        tokens.list
    }

    #[test]
    fn test_merges__by_hand() {
        // l-o 7, o-w 7, w-e 8: we first; then lo and l-o-we ...
        let words = [("low", 5), ("lower", 2), ("newest", 6)];
        let all = learned(&words, 100, 1);
        let merged: Vec<&str> = all.iter().skip(8).map(String::as_str).collect();
        // w-e 8; then l-o 7; n-e, e-we, we-s, s-t 6 each, the smallest ids (e 3 before n 5) first.
        assert_eq!(merged[..3], ["we", "lo", "ewe"]);
        assert!(all.contains(&"newest".to_owned()) && all.contains(&"lower".to_owned()));
        assert_eq!(learned(&words, 10, 1).len(), 10);
        assert!(!learned(&words, 100, 3).contains(&"lower".to_owned()));
    }

    #[test]
    fn test_merges__runs_and_forbidden_pairs() {
        assert_eq!(learned(&[("aaaaa", 3)], 100, 1), ["a", "aa", "aaa", "aaaaa"]);
        assert_eq!(learned(&[("a!b", 9), ("ab", 2)], 100, 1), ["a", "!", "b", "ab"]);
    }
}
