//! 4 x 8, plain Rust.

use super::Tile;
use std::hint::black_box;

const MR: usize = 4;
const NR: usize = 8;
const A: usize = 8;

/// Forms one tile.
///
/// # Safety
/// See [`Kernel::run`](super::Kernel::run).
pub(super) unsafe fn tile(t: &Tile) {
    debug_assert_eq!(
        (t.a_row, t.a_stride, t.b_stride),
        (1, A, NR),
        "this kernel reads packed operands"
    );
    // SAFETY: a strip of A has k columns A apart and a panel of B k rows of NR (both are padded to that).
    let (a, b) = unsafe {
        (std::slice::from_raw_parts(t.a, t.k * A), std::slice::from_raw_parts(t.b, t.k * NR))
    };
    let mut sum = [[0f32; NR]; MR];
    for (a, b) in a.as_chunks::<A>().0.iter().zip(b.as_chunks::<NR>().0) {
        for r in 0..MR {
            for j in 0..NR {
                sum[r][j] += a[r] * b[j];
            }
        }
    }
    let s = t.store;
    for (r, sum) in sum.iter().enumerate().take(t.rows) {
        for (j, sum) in sum.iter().enumerate().take(t.cols) {
            // SAFETY: r < rows and j < cols, so the element is one of C's, and of the bias's.
            unsafe {
                let c = t.c.add(r * t.stride + j);
                let mut value = s.alpha * sum;
                if s.beta != 0.0 {
                    value += s.beta * *c;
                }
                if !s.bias.is_null() {
                    value += *s.bias.add(j);
                }
                *c = value;
            }
        }
    }
}

/// Products and sums in registers, as many at a time as hide their latency; returns the operations.
pub(super) unsafe fn multiply_adds(steps: usize) -> usize {
    const LANES: usize = 32;
    let mut sums = [1.0_f32; LANES];
    let (x, y) = (black_box(0.999_f32), black_box(1e-3_f32));
    for _ in 0..steps {
        sums.iter_mut().for_each(|sum| *sum = *sum * x + y);
    }
    black_box(sums);
    2 * steps * LANES
}
