//! Sequences read from their ends, padding left where it is.

use super::par;
use crate::Real;

/// Elements that a task copies, at least.
const PIECE: usize = 1 << 14;

/// For each sequence b of x `[B, T, D]`, whose first n tokens are real: `y[b, t] = x[b, n - 1 - t]` for t < n and
/// `y[b, t] = x[b, t]` behind them. Twice is once back.
///
/// n is the number of ones with which row b of `mask [B, T]` begins; without a mask it is T.
///
/// # Panics
/// When a length does not fit the sizes.
pub fn reverse_padded<R: Real>(
    x: &[R],
    mask: Option<&[u32]>,
    [batch, time, width]: [usize; 3],
    y: &mut [R],
) {
    let sequence = time * width;
    assert_eq!(x.len(), batch * sequence, "reverse_padded: x is not [B, T, D]");
    assert_eq!(y.len(), x.len(), "reverse_padded: y is not [B, T, D]");
    assert!(mask.is_none_or(|m| m.len() == batch * time), "reverse_padded: mask is not [B, T]");
    if x.is_empty() {
        return;
    }
    let rows = (PIECE / sequence).max(1);
    par::chunks_mut(y, rows * sequence, |piece, y| {
        for (r, y) in y.chunks_exact_mut(sequence).enumerate() {
            let row = piece * rows + r;
            let x = &x[row * sequence..][..sequence];
            let real = mask.map_or(time, |mask| {
                mask[row * time..][..time].iter().take_while(|m| **m != 0).count()
            });
            let (to, padding) = y.split_at_mut(real * width);
            let (from, behind) = x.split_at(real * width);
            padding.copy_from_slice(behind);
            for (to, from) in to.chunks_exact_mut(width).zip(from.chunks_exact(width).rev()) {
                to.copy_from_slice(from);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_same_bits_for_any_threads, narrow, random};
    use super::*;

    #[test]
    fn test_reverse_padded__by_hand() {
        let x: Vec<f64> = (0..16).map(f64::from).collect();
        let mask = [1, 1, 1, 0, 1, 0, 0, 0];
        let mut y = [f64::NAN; 16];

        reverse_padded(&x, Some(&mask), [2, 4, 2], &mut y);
        assert_eq!(
            y,
            [4.0, 5.0, 2.0, 3.0, 0.0, 1.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0]
        );

        reverse_padded(&x, None, [4, 2, 2], &mut y);
        assert_eq!(
            y,
            [2.0, 3.0, 0.0, 1.0, 6.0, 7.0, 4.0, 5.0, 10.0, 11.0, 8.0, 9.0, 14.0, 15.0, 12.0, 13.0]
        );
    }

    #[test]
    fn test_reverse_padded__same_bits_for_any_threads() {
        let sizes = [70, 60, 17];
        let x = narrow(&random(70 * 60 * 17, 1));
        let mask: Vec<u32> = (0..70 * 60).map(|i| u32::from(i % 60 < i / 60)).collect();
        assert_same_bits_for_any_threads(|| {
            let mut y = vec![f32::NAN; x.len()];
            reverse_padded(&x, Some(&mask), sizes, &mut y);
            y
        });
    }
}
