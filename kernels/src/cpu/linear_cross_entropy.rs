//! The output layer and its loss as one: the logits of a language model are its largest array, and never needed whole.
//!
//! For rows x `[N, D]`, a weight W `[V, D]`, a bias b `[V]` and targets t `[N]`, with the row loss of
//! [`cross_entropy`](super::cross_entropy),
//!
//! ```text
//! z = x W^T + b,   loss_n = nll(z_n, t_n),   L = s sum_n loss_n
//! G = dL/dz,       dx = G W,   dW = G^T x,   db = sum of the rows of G
//! ```
//!
//! A block of rows at a time goes through all of this, G in the place of its z: of the `[N, V]` logits only
//! `[ROWS, V]` are ever there, and each is written once by the product, turned into its gradient where it stands, and
//! read by two products. The gradient is formed in the forward pass, where the logits are; that is possible because
//! the loss is the last thing a step computes, its scale s known before (1 / targets).

use super::cross_entropy::{IGNORE, Row, check};
use super::elementwise::reduce::sum_axis;
use super::gemm::{Epilogue, Mat, MatMut, gemm};
use super::vector::{Body, Math, dispatch};
use super::{par, scratch};
use crate::Real;

/// Rows whose logits are there at a time. dW is read and written once a block: with fewer rows that would cost more
/// than the products.
const ROWS: usize = 512;
/// Logits worth a task of their own.
const GRAIN: usize = 1 << 14;

/// What goes in.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a, R> {
    /// `[N, D]`.
    pub x: &'a [R],
    /// `[V, D]`.
    pub weight: &'a [R],
    /// `[V]`.
    pub bias: Option<&'a [R]>,
    /// `[N]`, each below V or [`IGNORE`].
    pub targets: &'a [u32],
    /// D.
    pub width: usize,
    /// V.
    pub vocab: usize,
    /// The share of each target's probability that is spread over the vocabulary.
    pub smoothing: f64,
}

/// The gradients of L.
#[derive(Debug)]
pub struct Grads<'a, R> {
    /// `[N, D]`.
    pub x: &'a mut [R],
    /// `[V, D]`.
    pub weight: &'a mut [R],
    /// `[V]`.
    pub bias: Option<&'a mut [R]>,
}

/// The loss of every row `[N]`, in nats; 0 for an ignored one.
///
/// # Panics
/// When the lengths do not fit together, or a target is neither below V nor [`IGNORE`].
pub fn forward<R: Real>(head: &Head<'_, R>, nll: &mut [R]) {
    head.check(nll);
    blocks(head, |rows, z| head.rows(rows.clone(), z, None, &mut nll[rows]));
}

/// [`forward`], and the gradients of `scale` times the sum of the losses.
///
/// # Panics
/// As [`forward`].
pub fn with_grads<R: Real>(head: &Head<'_, R>, scale: f64, nll: &mut [R], grads: Grads<'_, R>) {
    let (d, v) = (head.width, head.vocab);
    head.check(nll);
    assert_eq!(grads.x.len(), head.x.len(), "gradient of x");
    assert_eq!(grads.weight.len(), head.weight.len(), "gradient of the weight");
    let Grads { x: gx, weight: gw, bias: mut gb } = grads;
    if head.targets.is_empty() {
        gw.fill(R::ZERO);
        gb.iter_mut().for_each(|gb| gb.fill(R::ZERO));
    }
    blocks(head, |rows, z| {
        head.rows(rows.clone(), z, Some(R::from_f64(scale)), &mut nll[rows.clone()]);
        let n = rows.len();
        let beta = if rows.start == 0 { R::ZERO } else { R::ONE };
        let (g, weight) = (Mat::new(z, n, v), Mat::new(head.weight, v, d));
        let x = Mat::new(&head.x[rows.start * d..][..n * d], n, d);
        let gx = MatMut::new(&mut gx[rows.start * d..][..n * d], n, d);
        gemm(R::ONE, g, weight, R::ZERO, gx, Epilogue::None);
        gemm(R::ONE, g.t(), x, beta, MatMut::new(gw, v, d), Epilogue::None);
        if let Some(gb) = &mut gb {
            if rows.start == 0 {
                return sum_axis(z, [1, n, v], 1.0, gb);
            }
            scratch::with(v, |part: &mut [R]| {
                sum_axis(z, [1, n, v], 1.0, part);
                gb.iter_mut().zip(part).for_each(|(sum, part)| *sum += *part);
            });
        }
    });
}

/// Calls `f` with the rows of each block and memory for their logits.
fn blocks<R: Real>(head: &Head<'_, R>, mut f: impl FnMut(std::ops::Range<usize>, &mut [R])) {
    let n = head.targets.len();
    scratch::with(ROWS.min(n) * head.vocab, |z: &mut [R]| {
        for lo in (0..n).step_by(ROWS) {
            let rows = lo..(lo + ROWS).min(n);
            f(rows.clone(), &mut z[..rows.len() * head.vocab]);
        }
    });
}

impl<R: Real> Head<'_, R> {
    fn check(&self, nll: &[R]) {
        let n = self.targets.len();
        assert_eq!(self.x.len(), n * self.width, "x is [N, D]");
        assert_eq!(self.weight.len(), self.vocab * self.width, "the weight is [V, D]");
        assert!(self.bias.is_none_or(|b| b.len() == self.vocab), "the bias is [V]");
        assert_eq!(nll.len(), n, "one loss a row");
        check(self.targets, self.vocab, self.smoothing);
    }

    /// The logits of some rows into z, their losses, and with a scale the gradient in the place of the logits.
    fn rows(&self, rows: std::ops::Range<usize>, z: &mut [R], scale: Option<R>, nll: &mut [R]) {
        let (d, v, n) = (self.width, self.vocab, rows.len());
        if v == 0 {
            return nll.fill(R::ZERO);
        }
        let x = Mat::new(&self.x[rows.start * d..][..n * d], n, d);
        let weight = Mat::new(self.weight, v, d).t();
        let epilogue = self.bias.map_or(Epilogue::None, Epilogue::Bias);
        gemm(R::ONE, x, weight, R::ZERO, MatMut::new(z, n, v), epilogue);
        let group = GRAIN.div_ceil(v);
        let targets = self.targets[rows].chunks(group);
        let pieces = z.chunks_mut(group * v).zip(nll.chunks_mut(group)).zip(targets);
        par::each(pieces, |_, ((z, nll), targets)| {
            for ((z, nll), &target) in z.chunks_exact_mut(v).zip(nll).zip(targets) {
                *nll = self.row(z, target, scale);
            }
        });
    }

    fn row(&self, z: &mut [R], target: u32, scale: Option<R>) -> R {
        if target == IGNORE {
            if scale.is_some() {
                z.fill(R::ZERO);
            }
            return R::ZERO;
        }
        let target = target as usize;
        let Some(scale) = scale else {
            return dispatch(Row { z, target, smoothing: self.smoothing }).0;
        };
        let nll = dispatch(RowGrad { z, target, smoothing: self.smoothing, scale });
        z[target] -= scale * R::from_f64(1.0 - self.smoothing);
        nll
    }
}

/// The loss of a row of logits, which become scale times (their softmax less what smoothing puts everywhere).
struct RowGrad<'a, R> {
    z: &'a mut [R],
    target: usize,
    smoothing: f64,
    scale: R,
}

impl<R: Real> Body for RowGrad<'_, R> {
    type Output = R;
    #[inline(always)]
    fn run<M: Math>(self) -> R {
        let Self { z, target, smoothing, scale } = self;
        let (nll, lse) = Row { z, target, smoothing }.run::<M>();
        #[allow(clippy::cast_precision_loss, reason = "a vocabulary size, far below 2^53")]
        let everywhere = R::from_f64(smoothing / z.len() as f64);
        for z in z.iter_mut() {
            *z = scale * (M::exp(*z - lse) - everywhere);
        }
        nll
    }
}

#[cfg(test)]
mod tests {
    use super::super::cross_entropy;
    use super::super::testing::{assert_same_bits_for_any_threads, narrow, random};
    use super::*;

    const N: usize = 1100;
    const D: usize = 5;
    const V: usize = 37;

    fn targets() -> Vec<u32> {
        let target = |i: u32| if i.is_multiple_of(7) { IGNORE } else { i * 5 % 37 };
        (0..1100).map(target).collect()
    }

    /// nll, gx, gw, gb.
    fn fused<R: Real>(x: &[R], w: &[R], b: &[R], scale: f64) -> [Vec<R>; 4] {
        let targets = targets();
        let head = Head {
            x,
            weight: w,
            bias: Some(b),
            targets: &targets,
            width: D,
            vocab: V,
            smoothing: 0.1,
        };
        let nan = R::from_f64(f64::NAN);
        let mut out = [vec![nan; N], vec![nan; N * D], vec![nan; V * D], vec![nan; V]];
        let [nll, gx, gw, gb] = &mut out;
        with_grads(&head, scale, nll, Grads { x: gx, weight: gw, bias: Some(gb) });
        let mut alone = vec![nan; N];
        forward(&head, &mut alone);
        assert!(alone.iter().zip(&*nll).all(|(a, b)| a.to_f64() == b.to_f64()));
        out
    }

    #[test]
    fn test_linear_cross_entropy__is_its_parts_one_after_the_other() {
        let [x, w, b] = [random(N * D, 1), random(V * D, 2), random(V, 3)];
        let (targets, scale) = (targets(), 0.25);

        let [nll, gx, gw, gb] = fused(&x, &w, &b, scale);

        let (mut z, mut expected, mut lse) = (vec![0.0; N * V], vec![0.0; N], vec![0.0; N]);
        let (x, w) = (Mat::new(&x, N, D), Mat::new(&w, V, D));
        gemm(1.0, x, w.t(), 0.0, MatMut::new(&mut z, N, V), Epilogue::Bias(&b));
        cross_entropy::forward(&z, &targets, V, 0.1, &mut expected, &mut lse);
        let mut g = vec![0.0; N * V];
        cross_entropy::backward(&z, &targets, V, 0.1, &lse, &vec![scale; N], &mut g);
        let mut eb = vec![0.0; V];
        (0..N * V).for_each(|i| eb[i % V] += g[i]);
        let g = Mat::new(&g, N, V);
        let (mut ex, mut ew) = (vec![0.0; N * D], vec![0.0; V * D]);
        gemm(1.0, g, w, 0.0, MatMut::new(&mut ex, N, D), Epilogue::None);
        gemm(1.0, g.t(), x, 0.0, MatMut::new(&mut ew, V, D), Epilogue::None);
        for (got, expected) in [(nll, expected), (gx, ex), (gw, ew), (gb, eb)] {
            assert!(got.iter().zip(&expected).all(|(a, b): (&f64, &f64)| (a - b).abs() < 1e-12));
        }
    }

    #[test]
    fn test_linear_cross_entropy__same_bits_for_any_threads() {
        let [x, w, b] = [random(N * D, 1), random(V * D, 2), random(V, 3)].map(|x| narrow(&x));
        assert_same_bits_for_any_threads(|| fused(&x, &w, &b, 0.25).concat());
    }

    #[test]
    fn test_linear_cross_entropy__without_rows_the_gradients_are_zero() {
        let head = Head {
            x: &[],
            weight: &[1.0_f32; 6],
            bias: None,
            targets: &[],
            width: 2,
            vocab: 3,
            smoothing: 0.0,
        };
        let mut gw = [f32::NAN; 6];
        with_grads(&head, 1.0, &mut [], Grads { x: &mut [], weight: &mut gw, bias: None });
        assert_eq!(gw, [0.0; 6]);
    }
}
