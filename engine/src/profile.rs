//! Where the time goes: how often each op ran, and for how long.
//!
//! Off, it costs one look at a flag an op. The clock runs around the kernel of an op: what is left of a step is the
//! tape, the allocation of tensors, and what the caller does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

static ON: AtomicBool = AtomicBool::new(false);
static TABLE: Mutex<BTreeMap<&'static str, Total>> = Mutex::new(BTreeMap::new());

/// What an op did since [`start`], in this process.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Total {
    /// How often it ran.
    pub calls: u64,
    /// For how long, all in all.
    pub time: Duration,
}

/// Begins to measure, from zero.
pub fn start() {
    let mut table = table();
    table.clear();
    ON.store(true, Ordering::Relaxed);
}

/// Stops, and gives what was measured, the longest first.
#[must_use]
pub fn stop() -> Vec<(&'static str, Total)> {
    let mut table = table();
    ON.store(false, Ordering::Relaxed);
    let mut totals: Vec<_> = std::mem::take(&mut *table).into_iter().collect();
    totals.sort_by_key(|(_, total)| std::cmp::Reverse(total.time));
    totals
}

/// Whether it measures: then an op on a GPU is waited for.
pub(crate) fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Runs the kernel of an op.
pub(crate) fn measured(op: &'static str, kernel: impl FnOnce()) {
    if !is_on() {
        return kernel();
    }
    let began = Instant::now();
    kernel();
    let time = began.elapsed();
    let mut table = table();
    if !is_on() {
        return; // it was stopped meanwhile
    }
    let total = table.entry(op).or_default();
    total.calls += 1;
    total.time += time;
}

fn table() -> MutexGuard<'static, BTreeMap<&'static str, Total>> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, Tensor};

    #[test]
    fn test_profile__counts_the_calls_of_an_op() {
        let x = Tensor::from_f64(&Device::cpu(), [2], &[1.0, 2.0]);
        let silu = |totals: &[(&str, Total)]| {
            totals.iter().find(|(name, _)| *name == "silu").map_or(0, |(_, t)| t.calls)
        };

        start();
        let _ = (x.silu(), x.silu());
        let counted = stop();
        let _ = x.silu();

        // Other tests of this process may run ops meanwhile.
        assert!(silu(&counted) >= 2);
        assert!(stop().is_empty());
    }
}
