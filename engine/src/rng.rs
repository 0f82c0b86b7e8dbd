//! Random streams: every random number of Foundry is a pure function of (seed, purpose, where it is used).
//!
//! A key names a stream; [`philox`] turns (key, counter) into random words. Nothing is
//! carried from one use to the next, so there is no state to save for resuming, and how the work is cut into
//! micro-batches or threads changes nothing.

use foundry_kernels::philox::{open_unit_f64, philox};

/// What a stream is for. The numbers are part of the format of a run: they never change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Purpose {
    /// Initial weights.
    Init = 1,
    /// Dropout masks.
    Dropout = 2,
    /// The order of the training rows.
    DataOrder = 3,
    /// Which tokens a masked language model hides.
    Masking = 4,
    /// Sampling text.
    Generation = 5,
    /// The synthetic corpus.
    Synthetic = 6,
    /// Which part of a corpus is held out.
    Split = 7,
    /// Inputs of tests and benchmarks.
    Test = 8,
}

/// The key of the stream (seed, purpose, time, place): `time` is an epoch or a step, `place` a site or a row.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "splits 64 bits into two words")]
pub fn key(seed: u64, purpose: Purpose, time: u64, place: u32) -> [u32; 2] {
    let counter = [purpose as u32, time as u32, (time >> 32) as u32, place];
    let [a, b, ..] = philox([seed as u32, (seed >> 32) as u32], counter);
    [a, b]
}

/// Random numbers one after another, from the stream of a key.
#[derive(Clone, Debug)]
pub struct Stream {
    key: [u32; 2],
    number: u32,
    block: u64,
    words: [u32; 4],
    used: usize,
}

impl Stream {
    /// The stream of a key, from its beginning.
    #[must_use]
    pub fn new(key: [u32; 2]) -> Self {
        Self::numbered(key, 0)
    }

    /// Stream number `number` of a key: for places that are many and need few numbers each.
    #[must_use]
    pub fn numbered(key: [u32; 2], number: u32) -> Self {
        Self { key, number, block: 0, words: [0; 4], used: 4 }
    }

    /// A random word.
    #[expect(clippy::cast_possible_truncation, reason = "splits 64 bits into two words")]
    pub fn word(&mut self) -> u32 {
        if self.used == 4 {
            let counter = [self.block as u32, (self.block >> 32) as u32, self.number, 0];
            self.words = philox(self.key, counter);
            self.block += 1;
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }

    /// A number in (0, 1).
    pub fn uniform(&mut self) -> f64 {
        open_unit_f64(self.word(), self.word())
    }

    /// A whole number below `n`, each equally likely (Lemire 2019, with rejection).
    ///
    /// # Panics
    /// If `n` is 0.
    #[expect(clippy::cast_possible_truncation, reason = "takes the low half of a product")]
    pub fn below(&mut self, n: u32) -> u32 {
        assert!(n > 0, "no number is below 0");
        let threshold = n.wrapping_neg() % n;
        loop {
            let product = u64::from(self.word()) * u64::from(n);
            if product as u32 >= threshold {
                return (product >> 32) as u32;
            }
        }
    }

    /// A number from the standard normal distribution (Box and Muller 1958; the cosine of each pair).
    pub fn normal(&mut self) -> f64 {
        let (u, v) = (self.uniform(), self.uniform());
        libm::sqrt(-2.0 * libm::log(u)) * libm::cos(std::f64::consts::TAU * v)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_stream__is_frozen() {
        let mut s = Stream::new(key(42, Purpose::DataOrder, 3, 0));
        let words: Vec<u32> = (0..5).map(|_| s.word()).collect();
        assert_eq!(words, GOLDEN);
    }

    /// Every run's data order and dropout masks hang on these: they change only with a new format version.
    const GOLDEN: [u32; 5] = [140_113_350, 282_161_040, 2_614_019_693, 1_593_635_878, 626_174_416];

    #[test]
    fn test_stream__numbers_name_streams_of_their_own() {
        let first = |number| Stream::numbered([1, 2], number).word();
        assert_eq!(first(0), Stream::new([1, 2]).word());
        let mut words: Vec<u32> = (0..1000).map(first).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), 1000);
    }

    #[test]
    fn test_below__is_uniform() {
        let mut s = Stream::new([1, 2]);
        let mut counts = [0_u32; 7];
        for _ in 0..70_000 {
            counts[s.below(7) as usize] += 1;
        }
        assert!(counts.iter().all(|&c| (9_700..10_300).contains(&c)), "{counts:?}");
    }

    #[test]
    fn test_normal__moments() {
        let mut s = Stream::new([3, 4]);
        let x: Vec<f64> = (0..100_000).map(|_| s.normal()).collect();
        let mean = x.iter().sum::<f64>() / 1e5;
        let variance = x.iter().map(|x| x * x).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }
}
