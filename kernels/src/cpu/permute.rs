//! The elements of a tensor in the order of other axes.

use super::elementwise::PIECE;
use super::elementwise::broadcast::MAX_RANK;
use super::par;
use crate::Real;

/// Rows of y that are written side by side.
const GROUP: usize = 16;

/// Axis k of y is axis `axes[k]` of x, which has shape `shape`; both are row-major.
///
/// y is written in order. Where its last axis is that of x, whole runs are copied; elsewhere sixteen rows of y are
/// written side by side, so that a cache line of x that was read for one serves the others.
///
/// # Panics
/// `axes` are not the axes of x in some order, or a slice has not the elements of `shape`.
pub fn permute<R: Real>(x: &[R], shape: &[usize], axes: &[usize], y: &mut [R]) {
    assert!(shape.len() <= MAX_RANK && axes.len() == shape.len(), "permute: axes");
    assert_eq!(x.len(), shape.iter().product(), "permute: input");
    assert_eq!(y.len(), x.len(), "permute: output");
    if x.is_empty() {
        return;
    }
    // The axes of y, and how far a step along each of them goes in x.
    let (mut dims, mut strides) = ([1; MAX_RANK], [0; MAX_RANK]);
    for (k, &axis) in axes.iter().enumerate() {
        dims[k] = shape[axis];
        strides[k] = shape[axis + 1..].iter().product();
    }
    let rank = axes.len();
    let (run, step) = rank.checked_sub(1).map_or((1, 1), |last| (dims[last], strides[last]));
    let start = |mut row: usize| {
        let mut at = 0;
        for k in (0..rank.saturating_sub(1)).rev() {
            at += row % dims[k] * strides[k];
            row /= dims[k];
        }
        at
    };
    let rows = (PIECE / run).next_multiple_of(GROUP).max(GROUP);
    par::chunks_mut(y, rows * run, |piece, y| {
        for (group, y) in y.chunks_mut(GROUP * run).enumerate() {
            let first = piece * rows + group * GROUP;
            if step == 1 {
                for (row, y) in (first..).zip(y.chunks_mut(run)) {
                    y.copy_from_slice(&x[start(row)..][..run]);
                }
            } else {
                let starts: [usize; GROUP] = std::array::from_fn(|i| start(first + i));
                let count = y.len() / run;
                for j in 0..run {
                    for i in 0..count {
                        y[i * run + j] = x[starts[i] + j * step];
                    }
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::testing::{assert_same_bits_for_any_threads, narrow, random};

    #[test]
    fn test_permute__is_the_definition() {
        let cases: [(&[usize], &[usize]); 6] = [
            (&[37, 50], &[1, 0]),
            (&[2, 3, 4], &[2, 0, 1]),
            (&[2, 3, 4, 5], &[0, 2, 1, 3]),
            (&[3, 1, 2, 4, 2], &[4, 1, 3, 0, 2]),
            (&[5], &[0]),
            (&[], &[]),
        ];
        for (shape, axes) in cases {
            let x = random(shape.iter().product(), 1);
            let mut y = vec![f64::NAN; x.len()];
            permute(&x, shape, axes, &mut y);
            for (flat, x) in x.iter().enumerate() {
                let (mut rest, mut index) = (flat, vec![0; shape.len()]);
                for (i, n) in index.iter_mut().zip(shape).rev() {
                    *i = rest % n;
                    rest /= n;
                }
                let at = axes.iter().fold(0, |at, &axis| at * shape[axis] + index[axis]);
                assert_eq!(y[at], *x, "{shape:?} {axes:?}");
            }
        }
    }

    #[test]
    fn test_permute__same_bits_for_any_number_of_threads() {
        let x = narrow(&random(300 * 400, 1));
        assert_same_bits_for_any_threads(|| {
            let mut y = vec![0f32; x.len()];
            permute(&x, &[300, 400], &[1, 0], &mut y);
            y
        });
    }
}
