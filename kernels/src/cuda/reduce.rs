//! Sums in a fixed order: `reduce.ptx`.

use super::launch::{Call, Pointer, warps};
use super::registry::REDUCE;

/// Elements of a part of [`sum`].
const PART: u32 = 4096;

/// `y[r]` = scale times the sum of row r of x `[rows, width]`.
#[must_use]
pub fn sum_rows(x: Pointer, y: Pointer, [rows, width]: [u32; 2], scale: f32) -> Call {
    Call::new(&REDUCE, "sum_rows", warps(rows), 128)
        .pointers([x, y])
        .u32s([rows, width])
        .f32s([scale])
}

/// `y[i, k]` = scale times the sum over j of `x[i, j, k]`, x `[before, axis, after]`.
#[must_use]
pub fn sum_columns(x: Pointer, y: Pointer, [before, axis, after]: [u32; 3], scale: f32) -> Call {
    Call::new(&REDUCE, "sum_columns", [after.div_ceil(32), before, 1], 256)
        .pointers([x, y])
        .u32s([axis, after])
        .f32s([scale])
}

/// The most blocks along y.
const MAX_BEFORE: u32 = 65_535;

/// As [`sum_columns`], in as many launches as the sizes need, and by rows where those lie side by side.
#[must_use]
pub fn sum_axis(x: Pointer, y: Pointer, [before, axis, after]: [u32; 3], scale: f32) -> Vec<Call> {
    if after == 1 {
        return vec![sum_rows(x, y, [before, axis], scale)];
    }
    let part = |first: u32| {
        let count = MAX_BEFORE.min(before - first);
        let from = Pointer(x.0 + 4 * u64::from(first) * u64::from(axis * after));
        let to = Pointer(y.0 + 4 * u64::from(first) * u64::from(after));
        sum_columns(from, to, [count, axis, after], scale)
    };
    (0..before).step_by(MAX_BEFORE as usize).map(part).collect()
}

/// What [`sum`] adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terms {
    /// The elements.
    Elements,
    /// Their squares.
    Squares,
}

/// Doubles that `parts` of [`sum`] must hold.
#[must_use]
pub fn parts(n: u32) -> u32 {
    n.div_ceil(PART)
}

/// The sum of n elements as a double, in two launches.
#[must_use]
pub fn sum(terms: Terms, x: Pointer, n: u32, parts: Pointer, total: Pointer) -> [Call; 2] {
    let count = self::parts(n);
    [
        Call::new(&REDUCE, "sum_parts", [count, 1, 1], 256)
            .pointers([x, parts])
            .u32s([n, u32::from(terms == Terms::Squares)]),
        Call::new(&REDUCE, "sum_total", [1, 1, 1], 256).pointers([parts, total]).u32s([count]),
    ]
}

/// control = (factor f32, skip u32, norm f32) from a sum of squares of a gradient that is to be scaled by `scale`.
#[must_use]
pub fn clip(total: Pointer, control: Pointer, scale: f32, max_norm: f32) -> Call {
    Call::new(&REDUCE, "clip", [1, 1, 1], 1).pointers([total, control]).f32s([scale, max_norm])
}
