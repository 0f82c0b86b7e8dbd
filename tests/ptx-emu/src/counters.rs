//! What a launch did: counts, from which work, traffic and bounds follow. No count is a time.

use crate::opcodes::Kind;

/// Counts of one launch, or of several added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Instructions of warps, by [`Kind::ALL`].
    pub instructions: [u64; Kind::ALL.len()],
    /// Instructions times active lanes.
    pub lane_instructions: u64,
    /// Floating-point operations of single precision; a fused multiply-add is two.
    pub flops: u64,
    /// Floating-point operations of double precision.
    pub double_flops: u64,
    /// Floating-point operations of `mma`.
    pub matrix_flops: u64,
    /// Warp-wide loads from global memory, the 32-byte sectors that they touch, and the bytes that lanes asked for.
    pub load: Traffic,
    /// The same of stores and atomics.
    pub store: Traffic,
    /// Warp-wide accesses to shared memory.
    pub shared_requests: u64,
    /// Passes that they take; one more than requests (of 4 bytes a lane) for each bank conflict.
    pub shared_wavefronts: u64,
    /// Passes that they would take without any bank conflict.
    pub shared_ideal: u64,
    /// Barriers of blocks, counted once per warp.
    pub barriers: u64,
    /// Branches at which a warp split.
    pub divergent_branches: u64,
}

/// Warp-wide requests to global memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Instructions.
    pub requests: u64,
    /// 32-byte sectors, each counted once per request.
    pub sectors: u64,
    /// Bytes that the lanes asked for.
    pub bytes: u64,
}

impl Traffic {
    /// Sectors times 32 over bytes: 1 where every byte of every sector is used.
    #[must_use]
    pub fn overfetch(&self) -> f64 {
        self.sectors as f64 * 32.0 / self.bytes.max(1) as f64
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.sectors += other.sectors;
        self.bytes += other.bytes;
    }

    /// Counts one request: active lanes ask for `size` bytes each.
    pub(crate) fn request(&mut self, addresses: &[u64; 32], mask: u32, size: u64) {
        self.requests += 1;
        self.bytes += size * u64::from(mask.count_ones());
        let (mut sectors, mut last) = ([0_u64; 64], None);
        let (mut n, mut sorted) = (0, true);
        for lane in (0..32).filter(|lane| mask >> lane & 1 == 1) {
            let (first, end) = (addresses[lane] / 32, (addresses[lane] + size - 1) / 32);
            for sector in first..=end {
                if last != Some(sector) {
                    sorted &= last.is_none_or(|l| l < sector);
                    sectors[n.min(63)] = sector;
                    n += 1;
                    last = Some(sector);
                }
            }
        }
        if !sorted {
            let list = &mut sectors[..n.min(64)];
            list.sort_unstable();
            n = 1 + list.windows(2).filter(|w| w[0] != w[1]).count();
        }
        self.sectors += n as u64;
    }
}

impl Counters {
    /// Instructions of one kind.
    #[must_use]
    pub fn of(&self, kind: Kind) -> u64 {
        self.instructions[kind as usize]
    }

    /// Adds those of another launch.
    pub fn add(&mut self, other: &Self) {
        for (a, b) in self.instructions.iter_mut().zip(&other.instructions) {
            *a += b;
        }
        self.load.add(&other.load);
        self.store.add(&other.store);
        let fields = [
            (&mut self.lane_instructions, other.lane_instructions),
            (&mut self.flops, other.flops),
            (&mut self.double_flops, other.double_flops),
            (&mut self.matrix_flops, other.matrix_flops),
            (&mut self.shared_requests, other.shared_requests),
            (&mut self.shared_wavefronts, other.shared_wavefronts),
            (&mut self.shared_ideal, other.shared_ideal),
            (&mut self.barriers, other.barriers),
            (&mut self.divergent_branches, other.divergent_branches),
        ];
        for (a, b) in fields {
            *a += b;
        }
    }

    /// Counts one access to shared memory: 32 banks of 4 bytes; 8 bytes a lane go in two halves of the warp, 16 bytes
    /// in four quarters; lanes that ask for the same word are served together.
    pub(crate) fn shared(&mut self, addresses: &[u64; 32], mask: u32, size: u64) {
        self.shared_requests += 1;
        let words = size.div_ceil(4);
        let lanes = 32 / words as usize;
        for part in 0..words as usize {
            let lanes = part * lanes..(part + 1) * lanes;
            let active = || lanes.clone().filter(|lane| mask >> lane & 1 == 1);
            if active().next().is_none() {
                continue;
            }
            let mut banks = [[u64::MAX; 32]; 32];
            let mut depth = [0_usize; 32];
            for word in active().flat_map(|l| (0..words).map(move |w| addresses[l] / 4 + w)) {
                let bank = (word % 32) as usize;
                if !banks[bank][..depth[bank]].contains(&word) {
                    banks[bank][depth[bank]] = word;
                    depth[bank] += 1;
                }
            }
            self.shared_wavefronts += depth.iter().max().map_or(0, |d| *d as u64);
            self.shared_ideal += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(f: impl Fn(u64) -> u64) -> [u64; 32] {
        std::array::from_fn(|i| f(i as u64))
    }

    #[test]
    fn test_counters__sectors_of_a_request() {
        let sectors = |f: fn(u64) -> u64, mask, size| {
            let mut traffic = Traffic::default();
            traffic.request(&addresses(f), mask, size);
            traffic.sectors
        };
        assert_eq!(sectors(|i| 4096 + 4 * i, !0, 4), 4, "coalesced");
        assert_eq!(sectors(|i| 4096 + 4 * (31 - i), !0, 4), 4, "backwards");
        assert_eq!(sectors(|i| 4096 + 128 * i, !0, 4), 32, "a column");
        assert_eq!(sectors(|_| 4096, !0, 4), 1, "one word for all");
        assert_eq!(sectors(|i| 4096 + 16 * i, !0, 16), 16, "four words a lane");
        assert_eq!(sectors(|i| 4112 + 4 * i, !0, 4), 5, "not aligned to a sector");
        assert_eq!(sectors(|i| 4096 + 128 * i, 3, 4), 2, "two lanes");
    }

    #[test]
    fn test_counters__bank_conflicts() {
        let wavefronts = |f: fn(u64) -> u64, size| {
            let mut counters = Counters::default();
            counters.shared(&addresses(f), !0, size);
            (counters.shared_wavefronts, counters.shared_ideal)
        };
        assert_eq!(wavefronts(|i| 4 * i, 4), (1, 1));
        assert_eq!(wavefronts(|_| 0, 4), (1, 1), "a broadcast");
        assert_eq!(wavefronts(|i| 8 * i, 4), (2, 1), "every other bank");
        assert_eq!(wavefronts(|i| 128 * i, 4), (32, 1), "a column of a square");
        assert_eq!(wavefronts(|i| 132 * i, 4), (1, 1), "a column with padding");
        assert_eq!(wavefronts(|i| 16 * i, 16), (4, 4));
    }
}
