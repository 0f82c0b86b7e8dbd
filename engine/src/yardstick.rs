//! The rate of matrix products, beside the most that the processor can do.
//!
//! The peak is measured right before and after each product: a processor's clock moves with its neighbours' load.

use crate::isa::Isa;
use bytemuck::{cast_slice, cast_slice_mut};
use foundry_kernels::cpu::gemm::{Epilogue, Mat, MatMut, PackedB, gemm, gemm_packed, yardstick};
use foundry_kernels::cpu::memory::{self, Block};
use std::time::Instant;

/// A product of a model's training step: `[m, k] [k, n]`, and which factors are stored transposed.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// The model and the layer.
    pub name: &'static str,
    /// Rows of the result.
    pub m: usize,
    /// Products that are added up.
    pub k: usize,
    /// Columns of the result.
    pub n: usize,
    /// Whether the left factor is stored transposed.
    pub a_transposed: bool,
    /// Whether the right one is.
    pub b_transposed: bool,
}

const fn shape(name: &'static str, [m, k, n]: [usize; 3], a: bool, b: bool) -> Product {
    Product { name, m, k, n, a_transposed: a, b_transposed: b }
}

/// Products of the models that `foundry bench` times.
pub const PRODUCTS: &[Product] = &[
    shape("gpt2-small c_attn", [2048, 256, 768], false, false),
    shape("gpt2-small c_proj", [2048, 256, 256], false, false),
    shape("gpt2-small c_fc", [2048, 256, 1024], false, false),
    shape("gpt2-small c_fc, gradient of x", [2048, 1024, 256], false, true),
    shape("gpt2-small c_fc, gradient of W", [256, 2048, 1024], true, false),
    shape("gpt2-small mlp.c_proj", [2048, 1024, 256], false, false),
    shape("gpt2-small mlp.c_proj, gradient of W", [1024, 2048, 256], true, false),
    shape("gpt2-small head, 512 rows", [512, 256, 8000], false, true),
    shape("gpt2-small head, gradient of x", [512, 8000, 256], false, false),
    shape("gpt2-small head, gradient of W", [8000, 512, 256], true, false),
    shape("gpt2-base c_fc", [512, 768, 3072], false, false),
    shape("gpt2-base c_fc, gradient of x", [512, 3072, 768], false, true),
    shape("gpt2-base c_fc, gradient of W", [768, 512, 3072], true, false),
    shape("lstm-medium input projection", [2048, 256, 1024], false, true),
    shape("lstm-medium gradient of W", [1024, 2048, 256], true, false),
    shape("lstm-large input projection", [1120, 650, 2600], false, true),
    shape("lstm-large gradient of W", [2600, 1120, 650], true, false),
    shape("lstm-large recurrent step", [32, 650, 2600], false, true),
    shape("lstm-medium recurrent step", [32, 256, 1024], false, true),
    shape("gpt2-tiny c_fc", [1024, 64, 256], false, false),
    shape("gpt2-tiny c_fc, gradient of W", [64, 1024, 256], true, false),
];

/// Rates in GFLOP/s.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Of [`gemm`].
    pub own: f64,
    /// With the right factor packed before.
    pub packed: f64,
    /// Of the crate matrixmultiply, on one thread.
    pub matrixmultiply: f64,
    /// The most that these threads can do.
    pub peak: f64,
}

/// Operations a second, two for each multiply-add, that so many threads can do at the most at the level in use: so many
/// times the best of some short runs on one.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a number of threads")]
pub fn peak(threads: usize) -> f64 {
    let best = (0..10).map(|_| yardstick::peak_flops(Isa::current())).fold(0.0, f64::max);
    best * threads as f64
}

/// The median rates of `rounds` rounds on the `threads` threads of the rayon pool that the caller is in.
///
/// # Panics
/// If `rounds` is 0.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of operations are below 2^52")]
pub fn measure(shape: &Product, isa: Isa, threads: usize, rounds: u16) -> Rates {
    let &Product { m, k, n, a_transposed, b_transposed, .. } = shape;
    // Memory as tensors have it: whole cache lines, in large pages.
    let array = |len: usize| memory::zeroed((len * size_of::<f32>()).div_ceil(Block::BYTES));
    let numbers = |len: usize, period: usize| {
        let mut array = array(len);
        let numbers = cast_slice_mut(&mut array)[..len].iter_mut().enumerate();
        numbers.for_each(|(i, x)| *x = (i % period) as f32 / period as f32 - 0.5);
        array
    };
    let (a, b) = (numbers(m * k, 17), numbers(k * n, 13));
    let (a, b) = (&cast_slice(&a)[..m * k], &cast_slice(&b)[..k * n]);
    let a = if a_transposed { Mat::new(a, k, m).t() } else { Mat::new(a, m, k) };
    let b = if b_transposed { Mat::new(b, n, k).t() } else { Mat::new(b, k, n) };
    let (mut c, mut packed) = (array(m * n), array(PackedB::<f32>::len(k, n)));
    let c = &mut cast_slice_mut(&mut c)[..m * n];
    let packed = PackedB::pack(b, cast_slice_mut(&mut packed));

    let operations = (2 * m * k * n) as f64;
    let repeats = (200_000_000 / (2 * m * k * n)).max(1);
    let mut median = |product: &mut dyn FnMut(MatMut<'_, f32>), threads: usize| {
        let mut measured: Vec<(f64, f64)> = Vec::new();
        for _ in 0..rounds {
            let before = yardstick::peak_flops(isa);
            let began = Instant::now();
            for _ in 0..repeats {
                product(MatMut::new(&mut *c, m, n));
            }
            let rate = operations * repeats as f64 / began.elapsed().as_secs_f64();
            let peak = (before + yardstick::peak_flops(isa)) / 2.0 * threads as f64;
            measured.push((rate, peak));
        }
        measured.sort_by(|x, y| (x.0 / x.1).total_cmp(&(y.0 / y.1)));
        measured[measured.len() / 2]
    };
    let (own, peak) = median(&mut |c| gemm(1.0, a, b, 0.0, c, Epilogue::None), threads);
    let (packed, packed_peak) =
        median(&mut |c| gemm_packed(1.0, a, &packed, 0.0, c, Epilogue::None), threads);
    let (other, _) = median(&mut |c| yardstick::matrixmultiply_f32(a, b, c), 1);
    Rates {
        own: own / 1e9,
        packed: packed * peak / packed_peak / 1e9,
        matrixmultiply: other / 1e9,
        peak: peak / 1e9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_measure__a_product_has_a_rate_below_any_processors() {
        let product = shape("small", [64, 64, 64], false, true);
        let rates = measure(&product, Isa::current(), 1, 1);
        for rate in [rates.own, rates.packed, rates.matrixmultiply, rates.peak] {
            assert!(rate.is_finite() && rate > 0.0, "{rates:?}");
        }
    }
}
