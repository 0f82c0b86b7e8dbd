//! The output layer and its loss, block of rows by block of rows: the logits of a block are all that is ever there of them.
//! The equations stand in `foundry_kernels::cpu::linear_cross_entropy`.

use super::cross_entropy;
use super::elementwise::axpby;
use super::fill::fill;
use super::gemm::{Matrix, gemm};
use super::launch::{Call, NULL, Pointer};
use super::reduce::{sum_columns, sum_rows};

/// Logits of a block, unless a single row has more: 64 MiB.
const LOGITS: u32 = 1 << 24;

/// The layer, its inputs and its targets.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// `[rows, width]`.
    pub x: Pointer,
    /// `[vocab, width]`.
    pub weight: Pointer,
    /// `[vocab]`, or null.
    pub bias: Pointer,
    /// `[rows]` of u32.
    pub targets: Pointer,
    /// Rows.
    pub rows: u32,
    /// Width of x.
    pub width: u32,
    /// Classes.
    pub vocab: u32,
    /// The share of the probability that is spread over the classes.
    pub smoothing: f32,
    /// Factor on the loss.
    pub scale: f32,
}

/// Where the gradients go; that of the bias is null if there is none.
#[derive(Clone, Copy, Debug)]
pub struct Grads {
    /// `[rows, width]`.
    pub x: Pointer,
    /// `[vocab, width]`.
    pub weight: Pointer,
    /// `[vocab]`.
    pub bias: Pointer,
}

impl Head {
    /// Rows of a block.
    fn block(&self) -> u32 {
        (LOGITS / self.vocab.max(1)).clamp(1, self.rows.max(1))
    }

    /// Elements that `scratch` of [`forward`] must hold.
    #[must_use]
    pub fn scratch(&self) -> usize {
        let [rows, block, vocab] = [self.rows, self.block(), self.vocab].map(|n| n as usize);
        block * vocab + vocab + 2 * rows + block
    }
}

/// The loss (one number), and the gradients for a cotangent of 1 if they are wanted.
#[must_use]
pub fn forward(head: &Head, loss: Pointer, grads: Option<&Grads>, scratch: Pointer) -> Vec<Call> {
    let Head { rows, width, vocab, smoothing, .. } = *head;
    let block = head.block();
    let column_sums = Pointer(scratch.0 + 4 * u64::from(block) * u64::from(vocab));
    let nll = column_sums.element(vocab);
    let (lse, gy) = (nll.element(rows), nll.element(2 * rows));
    let weight = Matrix::new(head.weight, vocab, width);
    let mut calls = vec![];
    if grads.is_some() {
        calls.push(fill(gy, block, head.scale));
    }
    let mut first = 0;
    // Without rows there is one empty block, which makes the gradients zero.
    while first < rows || first == 0 {
        let n = block.min(rows - first);
        let logits = Matrix::new(scratch, n, vocab);
        let (x, targets) = (row(head.x, first, width), head.targets.element(first));
        let (nll, lse) = (nll.element(first), lse.element(first));
        let x = Matrix::new(x, n, width);
        calls.push(gemm((1.0, 0.0), x, weight.t(), head.bias, logits, [1, n, vocab, width]));
        let of = [scratch, targets];
        calls.push(cross_entropy::forward(of, [nll, lse], [n, vocab], smoothing));
        if let Some(g) = grads {
            // The gradient of the logits takes their place.
            let of = [scratch, targets, lse, gy];
            calls.push(cross_entropy::backward(of, scratch, [n, vocab], smoothing));
            let gx = Matrix::new(row(g.x, first, width), n, width);
            let beta = if first == 0 { 0.0 } else { 1.0 };
            let gw = Matrix::new(g.weight, vocab, width);
            calls.push(gemm((1.0, 0.0), logits, weight, NULL, gx, [1, n, width, vocab]));
            calls.push(gemm((1.0, beta), logits.t(), x, NULL, gw, [1, vocab, width, n]));
            if g.bias != NULL {
                calls.push(sum_columns(scratch, column_sums, [1, n, vocab], 1.0));
                calls.push(axpby(1.0, column_sums, beta, g.bias, vocab));
            }
        }
        first += block;
    }
    calls.push(sum_rows(nll, loss, [1, rows], head.scale));
    calls
}

/// Row r of a matrix.
fn row(matrix: Pointer, r: u32, width: u32) -> Pointer {
    Pointer(matrix.0 + 4 * u64::from(r) * u64::from(width))
}
