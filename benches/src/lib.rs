//! How fast are the operations, and how fast could they be?
//!
//! ```sh
//! cargo bench -p foundry-benches                       # everything: a few minutes
//! cargo bench -p foundry-benches -- rate               # what this machine can do
//! cargo bench -p foundry-benches -- linear             # the cases of one op
//! RAYON_NUM_THREADS=1 cargo bench -p foundry-benches   # on one thread
//! cargo bench -p foundry-benches --bench ptx_counts    # GPU kernels: counts of the emulator, no times
//! ```
//!
//! `ops` walks [`foundry_engine::ops::ALL`]: a group a case that has inputs worth timing, with its forward and its
//! backward pass through a tape. Beside the times stand rates, to be read against the groups `rate: ...`, which
//! measure in the same run what the machine reaches with the simplest code: copying memory, and matrix products (our own,
//! and those of the crate matrixmultiply as a yardstick). An op that is bound by memory is good when its GB/s are
//! near those of a copy of its size, one bound by arithmetic when its GFLOP/s are near those of a large product.
//!
//! | | GFLOP/s counts | GB/s counts |
//! |---|---|---|
//! | forward | the operations of the case's [`Cost`] | each input read once, each output written once |
//! | backward | twice those of the forward: a product has two products as its gradient | each cotangent read once, each gradient written once |
//!
//! These are the operations and bytes that the result needs, not those that the implementation spends: attention
//! makes its weights again in the backward, which is not counted, and where a gradient is the cotangent itself (an
//! addition) nothing moves and the GB/s are beyond what memory can do.
#![forbid(unsafe_code)]

pub mod ptx;

use criterion::Throughput;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use foundry_engine::{Cost, Spec};
use std::time::{Duration, Instant};

/// Wall time whose rates are printed in GFLOP/s (criterion calls them elements) and GB/s.
#[derive(Debug, Default)]
pub struct Clock;

/// Operations for each byte from which on a processor is busier with arithmetic than with memory: its peak over its
/// bandwidth, about 100 GFLOP/s over 20 GB/s a core.
const BALANCE: u64 = 5;

/// The rate at which a forward pass of this cost is quoted: operations if they are what takes the time, or else bytes.
#[must_use]
pub fn forward_throughput(cost: Cost) -> Throughput {
    if is_arithmetic(cost) {
        Throughput::Elements(cost.flops)
    } else {
        Throughput::BytesDecimal(cost.bytes)
    }
}

/// As [`forward_throughput`], for the backward pass from `outputs` to the gradients of `inputs`.
#[must_use]
pub fn backward_throughput(cost: Cost, inputs: &[Spec], outputs: &[Spec]) -> Throughput {
    if is_arithmetic(cost) {
        return Throughput::Elements(2 * cost.flops);
    }
    let gradients = inputs.iter().filter(|x| x.dtype.is_float());
    let bytes: usize = gradients.chain(outputs).map(Spec::bytes).sum();
    Throughput::BytesDecimal(bytes as u64)
}

fn is_arithmetic(cost: Cost) -> bool {
    cost.flops > BALANCE * cost.bytes
}

impl Measurement for Clock {
    type Intermediate = Instant;
    type Value = Duration;

    fn start(&self) -> Instant {
        WallTime.start()
    }

    fn end(&self, start: Instant) -> Duration {
        WallTime.end(start)
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        WallTime.add(a, b)
    }

    fn zero(&self) -> Duration {
        WallTime.zero()
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

impl ValueFormatter for Clock {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_values(typical, values)
    }

    /// `values` are nanoseconds, so a number of things over them is a rate in 10^9 a second.
    fn scale_throughputs(
        &self,
        typical: f64,
        throughput: &Throughput,
        values: &mut [f64],
    ) -> &'static str {
        #[expect(clippy::cast_precision_loss, reason = "a rate is printed with four digits")]
        let (amount, unit) = match *throughput {
            Throughput::Elements(flops) => (flops as f64, "GFLOP/s"),
            Throughput::BytesDecimal(bytes) => (bytes as f64, "GB/s"),
            ref other => return WallTime.formatter().scale_throughputs(typical, other, values),
        };
        values.iter_mut().for_each(|ns| *ns = amount / *ns);
        unit
    }

    fn scale_for_machines(&self, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_for_machines(values)
    }
}

#[cfg(test)]
#[allow(non_snake_case, reason = "tests are named test_feature__scenario")]
mod tests {
    use super::*;
    use foundry_engine::DType;

    #[test]
    fn test_throughput__is_printed_in_the_unit_of_what_bounds_the_op() {
        let [x, y] = [[1000, 1000], [1000, 500]].map(|shape| Spec::new(shape, DType::F32));
        let copy = Cost { flops: 0, bytes: 8_000_000 };
        let product = Cost { flops: 4_000_000_000, bytes: 8_000_000 };
        let print = |throughput, ns| Clock.format_throughput(&throughput, ns);
        assert_eq!(print(forward_throughput(copy), 1e6), "8.0000 GB/s");
        assert_eq!(print(backward_throughput(copy, &[x], &[y]), 1e6), "6.0000 GB/s");
        assert_eq!(print(forward_throughput(product), 1e8), "40.000 GFLOP/s");
        assert_eq!(print(backward_throughput(product, &[x], &[y]), 1e8), "80.000 GFLOP/s");
    }
}
