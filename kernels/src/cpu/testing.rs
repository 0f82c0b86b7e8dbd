//! What the tests of the kernels share.

use crate::Real;
use crate::philox::{open_unit_f64, philox};

/// n numbers in (-2, 2), the same ones for the same seed.
pub(crate) fn random(n: usize, seed: u32) -> Vec<f64> {
    (0..n)
        .map(|i| {
            let [hi, lo, ..] = philox([seed, 0], [u32::try_from(i).unwrap(), 0, 0, 0]);
            4.0 * open_unit_f64(hi, lo) - 2.0
        })
        .collect()
}

/// The nearest f32 of each.
pub(crate) fn narrow(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&x| f32::from_f64(x)).collect()
}

/// max |a - b| / max(max |b|, 1); infinite where a number is missing or is not one.
pub(crate) fn error<A: Real>(a: &[A], b: &[f64]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    let largest = b.iter().fold(1.0_f64, |m, b| m.max(b.abs()));
    let wrong = a.iter().zip(b).map(|(a, b)| (a.to_f64() - b).abs());
    wrong.fold(0.0, |m, e| if e.is_nan() { f64::INFINITY } else { m.max(e) }) / largest
}

/// The gradient of f at x by central differences.
pub(crate) fn numeric_gradient(x: &[f64], mut f: impl FnMut(&[f64]) -> f64) -> Vec<f64> {
    let mut x = x.to_vec();
    let step = 1e-5;
    (0..x.len())
        .map(|i| {
            let at = x[i];
            x[i] = at + step;
            let up = f(&x);
            x[i] = at - step;
            let down = f(&x);
            x[i] = at;
            (up - down) / (2.0 * step)
        })
        .collect()
}

/// The sum of x y.
pub(crate) fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// Asserts that `f` gives the same bits in pools of 1, 2, 3, 4 and 8 threads.
pub(crate) fn assert_same_bits_for_any_threads(f: impl Fn() -> Vec<f32> + Sync) {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(&f).iter().map(|y| y.to_bits()).collect::<Vec<_>>()
    };
    let one = run(1);
    assert!(!one.is_empty());
    for threads in [2, 3, 4, 8] {
        assert!(run(threads) == one, "{threads} threads give other bits than 1");
    }
}
