//! What the emulator counts when a GPU kernel runs once: `cargo bench -p foundry-benches --bench ptx_counts`.
//!
//! **These are counts, not times.** They say how much a kernel does and asks for, not how long a device takes. The table
//! is checked in as `kernels/ptx/COUNTS.md`, and a test compares.
//!
//! The bounds are those of the roofline (Williams, Waterman, Patterson 2009): no device computes faster than its peak, nor
//! faster than its memory can bring the operands, so `min(peak, operations / bytes x bandwidth)`. With the bytes of the
//! arrays, each read or written once, that holds for any program for the task; with the bytes of the sectors that the
//! kernel asks for, it is where the kernel would be if no cache helped. What lies between is for the caches to give.

mod cases;
mod device;

pub use device::Gpu;

use foundry_ptx_emu::{Counters, Traffic};
use std::fmt::Write as _;

/// A kernel, a shape, and how it is run once.
pub struct Case {
    /// The task, which the versions of a ladder share.
    pub task: &'static str,
    /// The kernel or kernels.
    pub kernel: &'static str,
    /// Sizes.
    pub shape: &'static str,
    /// Which unit does the arithmetic.
    pub unit: Unit,
    run: fn(&mut Gpu),
}

/// What computes, and with it the peak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Single precision.
    F32,
    /// Tensor cores, bf16.
    Bf16,
    /// Tensor cores, tf32.
    Tf32,
}

/// A device by its data sheet.
struct Device {
    /// Operations a second by unit: f32, bf16, tf32 (dense).
    peaks: [f64; 3],
    /// Bytes a second.
    bandwidth: f64,
}

/// NVIDIA A100 SXM, 80 GB (data sheet of 2021).
const A100: Device = Device { peaks: [19.5e12, 312e12, 156e12], bandwidth: 2.039e12 };
/// NVIDIA H100 SXM (data sheet of 2023, without sparsity).
const H100: Device = Device { peaks: [67e12, 989e12, 495e12], bandwidth: 3.35e12 };

impl Device {
    /// Operations a second that the roofline allows.
    fn bound(&self, unit: Unit, operations: f64, bytes: f64) -> f64 {
        self.peaks[unit as usize].min(operations / bytes.max(1.0) * self.bandwidth)
    }
}

/// What a case did.
pub struct Count {
    /// What the emulator counted, over all launches.
    pub counters: Counters,
    /// Bytes of the arrays: each input once, each output once.
    pub bytes: u64,
}

impl Case {
    /// Runs the case once.
    #[must_use]
    pub fn count(&self) -> Count {
        let mut gpu = Gpu::default();
        (self.run)(&mut gpu);
        Count { counters: gpu.counters, bytes: gpu.bytes }
    }
}

/// Every case: the ladder first, then the kernels that ship.
#[must_use]
pub fn cases() -> Vec<Case> {
    cases::all()
}

fn ratio(a: u64, b: u64) -> String {
    if b == 0 { "-".into() } else { format!("{:.1}", a as f64 / b as f64) }
}

fn row(case: &Case) -> String {
    let Count { counters: c, bytes } = case.count();
    let operations = c.flops + c.double_flops + c.matrix_flops;
    let sectors = 32 * (c.load.sectors + c.store.sectors);
    let per_request = |t: &Traffic| ratio(t.sectors, t.requests);
    let bounds = |device: &Device| {
        if operations == 0 {
            return "-".to_owned();
        }
        let bound = |bytes: u64| device.bound(case.unit, operations as f64, bytes as f64) / 1e12;
        format!("{:.2} / {:.2}", bound(bytes), bound(sectors))
    };
    format!(
        "| {} | `{}` | {} | {} | {} | {} | {} | {} | {operations} | {bytes} | {sectors} | {} | {} |\n",
        case.task,
        case.kernel,
        case.shape,
        c.instructions.iter().sum::<u64>(),
        per_request(&c.load),
        per_request(&c.store),
        ratio(c.shared_wavefronts, c.shared_ideal),
        c.barriers,
        bounds(&A100),
        bounds(&H100),
    )
}

/// The table, as Markdown.
#[must_use]
pub fn table() -> String {
    let mut text = String::from(
        "# Counts\n\nWhat the emulator counts when each kernel runs once. **Counts, not times: nothing here was measured \
         on a GPU.**\nMade by `FOUNDRY_BLESS=1 cargo test -p foundry-benches --lib ptx`; printed by `cargo bench -p \
         foundry-benches --bench ptx_counts`.\n\n\
         - instructions: of warps. Sectors a request: 32-byte sectors that an instruction of a warp touches in global \
         memory (4 for 32 neighbouring\n  numbers, 16 where a lane takes four at a time, 1 where all lanes want the \
         same), for loads and for stores.\n\
         - shared passes: passes through shared memory over those without bank conflicts. Barriers: counted for each \
         warp.\n\
         - FLOP: operations that were executed, a fused multiply-add is two. Bytes of arrays: each input read once, \
         each output written once.\n  Bytes of sectors: all that is asked for, which caches answer in part.\n\
         - bounds: TFLOP/s that the roofline allows, `min(peak, FLOP / bytes x bandwidth)`, with the bytes of the arrays \
         / with those of the sectors.\n  Data sheets: A100 SXM 80 GB (19.5 TFLOP/s f32, 312 bf16, 156 tf32, 2039 GB/s), \
         H100 SXM (67, 989, 495, 3350 GB/s).\n\n\
         | task | kernel | shape | instructions | loads: sectors a request | stores | shared passes | barriers | FLOP \
         | bytes of arrays | of sectors | A100 bound | H100 bound |\n",
    );
    text += &format!("|---|---|---|{}\n", "---:|".repeat(10));
    for case in cases() {
        let _ = write!(text, "{}", row(&case));
    }
    text
}

#[cfg(test)]
#[allow(
    non_snake_case,
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "tests are named test_feature__scenario, may panic, and know exact ratios"
)]
mod tests {
    use super::*;

    #[test]
    fn test_counts__are_those_that_are_checked_in() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../kernels/ptx/COUNTS.md");
        let counted = table();
        if std::env::var_os("FOUNDRY_BLESS").is_some() {
            std::fs::write(path, &counted).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap();
        for (kept, counted) in kept.lines().zip(counted.lines()) {
            assert_eq!(kept, counted);
        }
        assert_eq!(kept, counted);
    }

    /// Each step of the ladder does better where its lesson says so.
    #[test]
    fn test_ladder__every_lesson_shows_in_the_counts() {
        let all = cases();
        let count = |kernel: &str| {
            let case = all.iter().find(|c| c.kernel == kernel);
            case.unwrap_or_else(|| panic!("no case of {kernel}")).count().counters
        };
        let per_request = |t: &Traffic| t.sectors as f64 / t.requests as f64;
        let conflicts = |c: &Counters| c.shared_wavefronts as f64 / c.shared_ideal as f64;

        let [naive, tree, sequential, ships] =
            ["ladder_softmax_1", "ladder_softmax_2", "ladder_softmax_3", "softmax_forward"]
                .map(count);
        assert_eq!((per_request(&naive.load), per_request(&tree.load)), (32.0, 4.0));
        assert!(conflicts(&tree) > 1.5, "{}", conflicts(&tree));
        assert_eq!(conflicts(&sequential), 1.0);
        assert_eq!(ships.barriers + ships.shared_requests, 0);

        let [naive, coalesced, tiled, ships] =
            ["ladder_gemm_1", "ladder_gemm_2", "ladder_gemm_3", "gemm_f32"].map(count);
        assert!(coalesced.load.sectors * 5 < naive.load.sectors);
        assert!(tiled.load.sectors * 3 < coalesced.load.sectors);
        assert!(ships.load.sectors * 3 < tiled.load.sectors);
        assert!(ships.shared_wavefronts * 2 < tiled.shared_wavefronts);

        let [separate, fused, ships] =
            ["ladder_sigmoid, _tanh, _cell, _output", "ladder_lstm_2", "lstm_forward"].map(count);
        assert!(per_request(&separate.load) <= 4.0 && per_request(&fused.load) > 31.0);
        assert!(ships.load.sectors < separate.load.sectors);
    }
}
