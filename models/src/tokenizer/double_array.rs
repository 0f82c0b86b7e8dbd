//! A trie of byte strings in one array of 32-bit units, as SentencePiece and Darts lay it out.
//!
//! Aoe: *An efficient digital search algorithm by using a double-array structure* (1989). A node at place `i` has a
//! base; its child for byte `c` is at `base ^ c`, and if the path to the node is a key, its value is at `base ^ 0`.
//! One unit is
//!
//! ```text
//! node   bits 0-7   the byte that leads to it      leaf   bits 0-30  the value
//!        bit  8     whether a key ends here               bit  31    1
//!        bit  9     whether the offset is in 256s
//!        bits 10-30 offset: place ^ base
//! ```
//!
//! No two nodes have the same base, so a unit with the right byte is the right child.

/// A trie from byte strings without NUL to numbers below 2^31.
#[derive(Clone, Debug, Default)]
pub(super) struct DoubleArray {
    units: Vec<u32>,
}

const KEY_ENDS: u32 = 1 << 8;
const IN_256S: u32 = 1 << 9;
const LEAF: u32 = 1 << 31;
const BLOCK: usize = 256;
/// How many of the last units are searched for room.
const SEARCHED: usize = 16 * BLOCK;
/// No UTF-8 text has this byte, so a unit that is not in use matches nothing.
const UNUSED: u32 = 0xFF;

impl DoubleArray {
    /// Builds the trie of `keys`, which must be sorted, unique, not empty and without NUL.
    pub(super) fn new(keys: &[(&[u8], u32)]) -> Self {
        let mut builder = Builder::default();
        builder.grow();
        builder.take(0);
        builder.units[0] = 0;
        // A node, the keys below it, and how many of their bytes lead to it.
        let mut open = vec![(0, keys, 0)];
        while let Some((place, keys, depth)) = open.pop() {
            if keys.is_empty() {
                continue;
            }
            let byte = |key: &[u8]| key.get(depth).copied().unwrap_or(0);
            let children: Vec<&[(&[u8], u32)]> =
                keys.chunk_by(|a, b| byte(a.0) == byte(b.0)).collect();
            let bytes: Vec<u8> = children.iter().map(|keys| byte(keys[0].0)).collect();
            let base = builder.find_base(place, &bytes);
            builder.bases[base] = true;
            let offset = u32::try_from(place ^ base).unwrap_or(u32::MAX);
            builder.units[place] |=
                if offset < 1 << 21 { offset << 10 } else { offset << 2 | IN_256S };
            for (keys, byte) in children.into_iter().zip(bytes) {
                let child = base ^ usize::from(byte);
                builder.take(child);
                if byte == 0 {
                    builder.units[place] |= KEY_ENDS;
                    builder.units[child] = keys[0].1 | LEAF;
                } else {
                    builder.units[child] = byte.into();
                    open.push((child, keys, depth + 1));
                }
            }
        }
        Self { units: builder.units }
    }

    #[cfg(test)]
    /// Reads units in little-endian bytes, which may come from anywhere; whatever they say, searching stays inside.
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let unit = |unit: &[u8]| u32::from_le_bytes([unit[0], unit[1], unit[2], unit[3]]);
        Self { units: bytes.chunks_exact(4).map(unit).collect() }
    }

    /// The units in little-endian bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.units.iter().flat_map(|unit| unit.to_le_bytes()).collect()
    }

    /// Length and value of every key that `text` begins with, the shortest first.
    pub(super) fn prefixes(&self, text: &[u8]) -> impl Iterator<Item = (usize, u32)> {
        let mut base = self.units.first().map(|root| offset(*root));
        let mut at = 0;
        std::iter::from_fn(move || {
            while let (Some(from), Some(byte)) = (base, text.get(at)) {
                let place = from ^ usize::from(*byte);
                let unit = *self.units.get(place)?;
                if unit & (LEAF | 0xFF) != u32::from(*byte) {
                    return None;
                }
                at += 1;
                let from = place ^ offset(unit);
                base = Some(from);
                if unit & KEY_ENDS != 0 {
                    return Some((at, self.units.get(from)? & !LEAF));
                }
            }
            None
        })
    }
}

fn offset(unit: u32) -> usize {
    ((unit & !LEAF) >> 10 << ((unit & IN_256S) >> 6)) as usize
}

#[derive(Default)]
struct Builder {
    units: Vec<u32>,
    used: Vec<bool>,
    bases: Vec<bool>,
    /// No unit before this one is free.
    first_free: usize,
}

impl Builder {
    fn grow(&mut self) {
        let len = self.units.len() + BLOCK;
        self.units.resize(len, UNUSED);
        self.used.resize(len, false);
        self.bases.resize(len, false);
    }

    fn take(&mut self, place: usize) {
        self.used[place] = true;
        while self.used.get(self.first_free) == Some(&true) {
            self.first_free += 1;
        }
    }

    /// A base with room for all of `bytes`, for the node at `place`.
    fn find_base(&mut self, place: usize, bytes: &[u8]) -> usize {
        let mut free = self.first_free.max(self.units.len().saturating_sub(SEARCHED));
        loop {
            if free == self.units.len() {
                self.grow();
            }
            let base = free ^ usize::from(bytes[0]);
            let offset = place ^ base;
            if !self.used[free]
                && !self.bases[base]
                && (offset < 1 << 21 || offset.is_multiple_of(BLOCK))
                && bytes.iter().all(|byte| !self.used[base ^ usize::from(*byte)])
            {
                return base;
            }
            free += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_double_array__finds_all_prefixes_and_nothing_else() {
        let keys = ["a", "ab", "abc", "b", "ba", "é", "éa", "猫", "猫が", "\u{7f}"];
        let mut entries: Vec<(&[u8], u32)> =
            keys.iter().zip(0..).map(|(key, value)| (key.as_bytes(), value)).collect();
        entries.sort();
        let trie = DoubleArray::from_bytes(&DoubleArray::new(&entries).to_bytes());
        let found = |text: &str| trie.prefixes(text.as_bytes()).collect::<Vec<_>>();
        assert_eq!(found("abcd"), [(1, 0), (2, 1), (3, 2)]);
        assert_eq!(found("éab"), [(2, 5), (3, 6)]);
        assert_eq!(found("猫がいる"), [(3, 7), (6, 8)]);
        assert_eq!(found("ca"), []);
        assert_eq!(found(""), []);
        assert_eq!(found("\0\0"), []);
        assert_eq!(DoubleArray::new(&[]).prefixes(b"a").count(), 0);
        assert_eq!(DoubleArray::default().prefixes(b"a").count(), 0);
    }

    #[test]
    fn test_double_array__large_sets() {
        let keys: Vec<String> =
            (0..50_000_u32).map(|i| format!("{:x}", i.wrapping_mul(2_654_435_761))).collect();
        let mut entries: Vec<(&[u8], u32)> =
            keys.iter().zip(0..).map(|(key, value)| (key.as_bytes(), value)).collect();
        entries.sort();
        let trie = DoubleArray::new(&entries);
        for (key, value) in &entries {
            assert!(trie.prefixes(key).any(|found| found == (key.len(), *value)));
        }
    }

    #[test]
    fn test_double_array__garbage_stays_inside() {
        for seed in 0..200_u32 {
            let bytes: Vec<u8> = (0..400_u32)
                .map(|i| i.wrapping_mul(seed.wrapping_mul(747_796_405)).to_le_bytes()[2])
                .collect();
            assert!(DoubleArray::from_bytes(&bytes).prefixes(b"garbage \xF0\x9F").count() < 100);
        }
    }
}
