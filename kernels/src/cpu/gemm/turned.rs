//! f32 products that are faster as C^T = B^T A^T, turned where they are stored.
//!
//! * x W^T of few rows: W is read where it is. To pack it for so few rows would cost more than the products.
//! * The gradient x^T dy of a weight with more outputs than inputs: of two factors that must both be packed, the smaller one
//!   becomes the B that is packed whole, and the larger one the A that is packed, and fetched ahead, a block at a time.

use super::micro::Kernel;
use super::{Mat, MatMut, pack, single};
use crate::cpu::vector::{Body, Math, dispatch_at};
use crate::cpu::{isa::Isa, par, scratch};
use std::ops::RangeInclusive;

/// Rows of A that count as few; fewer still would fill no panel.
const FEW: RangeInclusive<usize> = 12..=64;
/// So many products in an element of C, a row of A for each, pay for turning it.
const PRODUCTS: usize = 4;
/// Columns of C that are turned at a time.
const BLOCK: usize = 32;

/// Is it better? By the shape, and by how the matrices lie.
pub(super) fn is_better(isa: Isa, a: &Mat<'_, f32>, b: &Mat<'_, f32>) -> bool {
    let (m, k, n) = (a.rows(), a.cols(), b.cols());
    let few_rows = FEW.contains(&m) && b.row_stride() == 1;
    let both_packed = m > *FEW.end() && a.row_stride() == 1 && b.col_stride() == 1;
    let pays = k >= PRODUCTS * m && n >= 2 * m;
    (few_rows || both_packed) && pays && Kernel::of(isa).in_place > 0
}

/// `C = alpha A B + beta C + bias`; no dimension is 0.
pub(super) fn gemm(
    isa: Isa,
    alpha: f32,
    a: Mat<'_, f32>,
    b: Mat<'_, f32>,
    beta: f32,
    mut c: MatMut<'_, f32>,
    bias: Option<&[f32]>,
) {
    let (m, n) = (a.rows(), b.cols());
    let (stride, c) = (c.stride(), c.shared());
    scratch::with(n * m, |turned: &mut [f32]| {
        single::gemm(isa, 1.0, b.t(), a.t(), 0.0, MatMut::new(turned, n, m), None);
        par::ranges(n.div_ceil(BLOCK), n.div_ceil(8 * BLOCK), |lo, hi| {
            scratch::with(m * BLOCK, |block: &mut [f32]| {
                for j in (lo * BLOCK..n.min(hi * BLOCK)).step_by(BLOCK) {
                    let cols = BLOCK.min(n - j);
                    pack::transpose(isa, &turned[j * m..], m, cols, m, block, BLOCK);
                    let bias = bias.map(|bias| &bias[j..j + cols]);
                    for (i, sums) in block.chunks_exact(BLOCK).enumerate() {
                        // SAFETY: columns j .. j + cols of row i of C; each block of columns is one task's.
                        let c =
                            unsafe { std::slice::from_raw_parts_mut(c.at(i * stride + j), cols) };
                        dispatch_at(isa, Store { sums: &sums[..cols], c, alpha, beta, bias });
                    }
                }
            });
        });
    });
}

/// What the micro-kernels do when they store: `c = alpha sum + beta c + bias`.
struct Store<'a> {
    sums: &'a [f32],
    c: &'a mut [f32],
    alpha: f32,
    beta: f32,
    bias: Option<&'a [f32]>,
}

impl Body for Store<'_> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        let Self { sums, c, alpha, beta, bias } = self;
        if beta == 0.0 {
            c.iter_mut().zip(sums).for_each(|(c, sum)| *c = alpha * sum);
        } else {
            c.iter_mut().zip(sums).for_each(|(c, sum)| *c = M::fma(beta, *c, alpha * sum));
        }
        if let Some(bias) = bias {
            c.iter_mut().zip(bias).for_each(|(c, bias)| *c += bias);
        }
    }
}
