//! Matrix instructions (PTX ISA 9.7.14): a warp multiplies a tile of 16 x k with one of k x 8.
//!
//! With `group = lane / 4` and `t = lane % 4`, the accumulators of a lane are `(group, 2t)`, `(group, 2t + 1)`,
//! `(group + 8, 2t)` and `(group + 8, 2t + 1)` in every shape.

use super::{Kind, Meaning, Row};
use crate::number::{float, of_bf16, of_f16};
use crate::options::Accumulate;

/// The shapes and formats of `mma.sync`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// m16n8k16, bf16.
    Bf16,
    /// m16n8k16, f16.
    F16,
    /// m16n8k8, tf32.
    Tf32,
}

impl Shape {
    pub(crate) fn k(self) -> usize {
        if self == Self::Tf32 { 8 } else { 16 }
    }

    fn number(self, word: u32, upper: bool) -> f64 {
        let half = if upper { word >> 16 } else { word & 0xffff };
        f64::from(match self {
            Self::Bf16 => of_bf16(half),
            Self::F16 => of_f16(half),
            // "the lower 13 bits are ignored"
            Self::Tf32 => float(word & 0xffff_e000),
        })
    }

    /// Element (row, k) of A, given the four registers of each lane.
    pub(crate) fn a(self, registers: &[super::Words; 4], row: usize, k: usize) -> f64 {
        let lower = usize::from(row >= 8);
        let (lane, register, upper) = match self {
            Self::Tf32 => (row % 8 * 4 + k % 4, lower + 2 * (k / 4), false),
            _ => (row % 8 * 4 + k % 8 / 2, lower + 2 * (k / 8), k % 2 == 1),
        };
        self.number(registers[register][lane], upper)
    }

    /// Element (k, column) of B, given the two registers of each lane.
    pub(crate) fn b(self, registers: &[super::Words; 2], k: usize, column: usize) -> f64 {
        let (lane, register, upper) = match self {
            Self::Tf32 => (column * 4 + k % 4, k / 4, false),
            _ => (column * 4 + k % 8 / 2, k / 8, k % 2 == 1),
        };
        self.number(registers[register][lane], upper)
    }
}

impl Accumulate {
    /// start + the sum of the products.
    pub(crate) fn sum(self, start: f32, products: &[f64]) -> f32 {
        match self {
            Self::Nearest => (f64::from(start) + products.iter().sum::<f64>()) as f32,
            Self::Truncated => products
                .chunks(4)
                .fold(start, |sum, four| truncate(f64::from(sum) + four.iter().sum::<f64>())),
        }
    }
}

/// The f32 next to x on the side of zero.
fn truncate(x: f64) -> f32 {
    let nearest = x as f32;
    if nearest.is_finite() && f64::from(nearest).abs() > x.abs() {
        f32::from_bits(nearest.to_bits() - 1)
    } else {
        nearest
    }
}

pub(super) fn rows() -> Vec<Row> {
    let mma = |pattern, shape| {
        Row::new(pattern, "9.7.14.5", "*", Meaning::Matrix(shape), Kind::Matrix).target(80)
    };
    let load = |pattern, matrices, transposed| {
        let meaning = Meaning::LoadMatrix { matrices, transposed };
        Row::new(pattern, "9.7.14.5.15", "*", meaning, Kind::Memory).target(75)
    };
    vec![
        mma("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", Shape::Bf16),
        mma("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", Shape::F16),
        mma("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", Shape::Tf32),
        load("ldmatrix.sync.aligned.m8n8.x1.shared.b16", 1, false),
        load("ldmatrix.sync.aligned.m8n8.x2.shared.b16", 2, false),
        load("ldmatrix.sync.aligned.m8n8.x4.shared.b16", 4, false),
        load("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16", 1, true),
        load("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16", 2, true),
        load("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16", 4, true),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_truncate__never_away_from_zero() {
        assert_eq!(truncate(1.0 + 1e-9), 1.0);
        assert_eq!(truncate(-1.0 - 1.9e-7), -(1.0 + f32::EPSILON));
        assert_eq!(truncate(1.0 - 1e-9), 1.0 - f32::EPSILON / 2.0);
    }
}
