//! Size matching: an ablated file is filled up from a replacement pool, so that corpora of several ablations have the
//! same size.
//!
//! The pool is a folder with a file of the same name for every file of the corpus (or, for a single file, a file). Its
//! lines are ablated as the corpus is. Then lines are drawn from it, each equally likely and none twice, and added
//! behind the file until it has at least as many whitespace tokens as it had before the ablation. The draw is a pure
//! function of (seed, file name).
//!
//! The rest of the pool is saved, **ablated as well**, in `OUTPUT/replacement_pool_remainder/` under the name that it
//! had, in its order: give that folder as the pool of the next step, and what it draws has undergone both ablations.
//!
//! Lines are never glued and never lost: `lines out = lines in + lines drawn`, `lines of the pool = lines drawn + lines
//! of the remainder`. Blank lines of a pool stay in the remainder.

use foundry_engine::rng::Stream;

use super::ablate::Ablated;

/// The folder of the remainder in the output folder.
pub(super) const REMAINDER: &str = "replacement_pool_remainder";

/// A line of a pool: its change, its line end, and how many whitespace tokens it had before.
#[derive(Debug)]
pub(super) struct PoolLine {
    pub(super) ablated: Ablated,
    pub(super) tokens_before: u64,
}

/// Which lines to take: enough to reach `missing` tokens, in the order of the draw; and how many tokens they have.
pub(super) fn draw(lines: &[PoolLine], missing: u64, seed: u64, file: &str) -> (Vec<usize>, u64) {
    let mut left: Vec<usize> = (0..lines.len()).filter(|&i| lines[i].tokens_before > 0).collect();
    let mut stream = Stream::new(key(seed, file));
    let (mut drawn, mut tokens) = (Vec::new(), 0);
    while tokens < missing && !left.is_empty() {
        let pick = stream.below(u32::try_from(left.len()).unwrap_or(u32::MAX)) as usize;
        let line = left.swap_remove(pick);
        tokens += count_tokens(&lines[line].ablated.text);
        drawn.push(line);
    }
    (drawn, tokens)
}

/// Tokens between white space: what the size of a corpus is counted in here.
pub(super) fn count_tokens(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

/// The key of a file's draw.
fn key(seed: u64, file: &str) -> [u32; 2] {
    let mut hasher =
        blake3::Hasher::new_derive_key("foundry dataset_manipulation replacement pool");
    hasher.update(&seed.to_le_bytes());
    hasher.update(file.as_bytes());
    let hash = hasher.finalize();
    let word = |i: usize| {
        hash.as_bytes()[4 * i..4 * i + 4]
            .iter()
            .fold(0, |word, byte| (word << 8) | u32::from(*byte))
    };
    [word(0), word(1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(lines: &[&str]) -> Vec<PoolLine> {
        let line = |text: &&str| PoolLine {
            ablated: Ablated { text: (*text).to_owned(), ..Ablated::default() },
            tokens_before: count_tokens(text),
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn test_refill__draws_until_enough_and_no_line_twice() {
        let pool = pool(&["a b", "", "c", "d e f", "  ", "g"]);
        let (drawn, tokens) = draw(&pool, 4, 7, "x.train");
        assert!(
            tokens >= 4 && tokens - count_tokens(&pool[drawn[drawn.len() - 1]].ablated.text) < 4
        );
        let (all, tokens) = draw(&pool, 1000, 7, "x.train");
        let mut sorted = all.clone();
        sorted.sort_unstable();
        assert_eq!((sorted, tokens), (vec![0, 2, 3, 5], 7));
        assert_eq!(draw(&pool, 0, 7, "x.train"), (vec![], 0));
    }

    #[test]
    fn test_refill__the_draw_follows_from_seed_and_name() {
        let texts: Vec<String> = (0..200).map(|i| format!("line {i}")).collect();
        let pool = pool(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let first = draw(&pool, 100, 1, "x.train");
        assert_eq!(first, draw(&pool, 100, 1, "x.train"));
        assert_ne!(first, draw(&pool, 100, 2, "x.train"));
        assert_ne!(first, draw(&pool, 100, 1, "y.train"));
    }
}
