//! Update rules of optimisers: one pass over the parameters, bound by memory.
//!
//! [`AdamW`] is Loshchilov and Hutter, *Decoupled weight decay regularization* (ICLR 2019), algorithm 2, in the order
//! of operations of `torch.optim.AdamW`; [`Sgd`] is that of `torch.optim.SGD`. The clipping of gradients is a factor
//! `grad_scale` on the gradient, so that it needs no pass of its own.

use super::elementwise::PIECE;
use super::vector::{self, Body, Math};
use super::{par, real::Real};

/// One step of AdamW: `g` gradient (times `grad_scale`), `m`, `v` moments, `p` parameters.
///
/// ```text
/// p <- p (1 - lr weight_decay)
/// m <- m + (1 - beta1) (g - m)
/// v <- beta2 v + (1 - beta2) g^2
/// p <- p - (lr / correction1) m / (sqrt(v) / sqrt(correction2) + eps)
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// Learning rate of this step.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Keeps the division finite.
    pub eps: f64,
    /// Decoupled weight decay; 0 for parameters that are exempt.
    pub weight_decay: f64,
    /// `1 - beta1^t` at step t = 1, 2, ...
    pub correction1: f64,
    /// `1 - beta2^t`
    pub correction2: f64,
    /// Factor on the gradient.
    pub grad_scale: f64,
}

impl AdamW {
    /// Updates `p`, `m` and `v`.
    ///
    /// # Panics
    /// The lengths differ.
    pub fn step<R: Real>(&self, p: &mut [R], g: &[R], m: &mut [R], v: &mut [R]) {
        assert!(g.len() == p.len() && m.len() == p.len() && v.len() == p.len(), "adamw: lengths");
        let pieces = p.chunks_mut(PIECE).zip(g.chunks(PIECE));
        let pieces = pieces.zip(m.chunks_mut(PIECE).zip(v.chunks_mut(PIECE)));
        par::each(pieces, |_, ((p, g), (m, v))| {
            vector::dispatch(AdamWStep { rule: self, p, g, m, v });
        });
    }
}

struct AdamWStep<'a, R> {
    rule: &'a AdamW,
    p: &'a mut [R],
    g: &'a [R],
    m: &'a mut [R],
    v: &'a mut [R],
}

impl<R: Real> Body for AdamWStep<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        let r = self.rule;
        let real = R::from_f64;
        let (keep, scale) = (real(1.0 - r.lr * r.weight_decay), real(r.grad_scale));
        let (new1, beta2, new2) = (real(1.0 - r.beta1), real(r.beta2), real(1.0 - r.beta2));
        let (step, root, eps) =
            (real(r.lr / r.correction1), real(r.correction2.sqrt()), real(r.eps));
        let moments = self.m.iter_mut().zip(self.v);
        for ((p, g), (m, v)) in self.p.iter_mut().zip(self.g).zip(moments) {
            let g = scale * *g;
            *m += new1 * (g - *m);
            *v = *v * beta2 + new2 * g * g;
            *p = *p * keep - step * (*m / (v.sqrt() / root + eps));
        }
    }
}

/// One step of stochastic gradient descent with momentum.
///
/// ```text
/// g <- g grad_scale + weight_decay p
/// m <- momentum m + g
/// p <- p - lr m              (Nesterov: p - lr (g + momentum m))
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    /// Learning rate of this step.
    pub lr: f64,
    /// Decay of the running gradient; 0 for none.
    pub momentum: f64,
    /// Coupled weight decay.
    pub weight_decay: f64,
    /// Looks one step ahead (Nesterov 1983).
    pub nesterov: bool,
    /// Factor on the gradient.
    pub grad_scale: f64,
}

impl Sgd {
    /// Updates `p` and `m`.
    ///
    /// # Panics
    /// The lengths differ.
    pub fn step<R: Real>(&self, p: &mut [R], g: &[R], m: &mut [R]) {
        assert!(g.len() == p.len() && m.len() == p.len(), "sgd: lengths");
        let pieces = p.chunks_mut(PIECE).zip(g.chunks(PIECE)).zip(m.chunks_mut(PIECE));
        par::each(pieces, |_, ((p, g), m)| vector::dispatch(SgdStep { rule: self, p, g, m }));
    }
}

struct SgdStep<'a, R> {
    rule: &'a Sgd,
    p: &'a mut [R],
    g: &'a [R],
    m: &'a mut [R],
}

impl<R: Real> Body for SgdStep<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        let r = self.rule;
        let real = R::from_f64;
        let (lr, momentum) = (real(r.lr), real(r.momentum));
        let (decay, scale) = (real(r.weight_decay), real(r.grad_scale));
        for ((p, g), m) in self.p.iter_mut().zip(self.g).zip(self.m) {
            let g = scale * *g + decay * *p;
            *m = momentum * *m + g;
            let direction = if r.nesterov { g + momentum * *m } else { *m };
            *p += -lr * direction;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::testing::{assert_same_bits_for_any_threads, error, narrow, random};

    fn adamw(step: i32) -> AdamW {
        AdamW {
            lr: 1e-2,
            beta1: 0.9,
            beta2: 0.98,
            eps: 1e-8,
            weight_decay: 0.1,
            correction1: 1.0 - 0.9f64.powi(step),
            correction2: 1.0 - 0.98f64.powi(step),
            grad_scale: 0.5,
        }
    }

    /// By hand: the first step moves a parameter by lr against the sign of its gradient, after the decay.
    #[test]
    fn test_adamw__first_step_by_hand() {
        let (mut p, mut m, mut v) = ([2.0, 2.0], [0.0; 2], [0.0; 2]);
        adamw(1).step(&mut p, &[3.0, -3.0], &mut m, &mut v);
        assert!((m[0] - 0.15).abs() < 1e-15 && (v[0] - 0.02 * 2.25).abs() < 1e-15);
        assert!((p[0] - (2.0 * 0.999 - 0.01)).abs() < 1e-9, "{p:?}");
        assert!((p[1] - (2.0 * 0.999 + 0.01)).abs() < 1e-9, "{p:?}");
    }

    #[test]
    fn test_adamw__f32_matches_f64_over_ten_steps() {
        let n = 1003;
        let (mut p, mut m, mut v) = (random(n, 1), vec![0.0; n], vec![0.0; n]);
        let (mut p32, mut m32, mut v32) = (narrow(&p), vec![0f32; n], vec![0f32; n]);
        for step in 1..=10 {
            let g = random(n, 10 + step as u32);
            adamw(step).step(&mut p, &g, &mut m, &mut v);
            adamw(step).step(&mut p32, &narrow(&g), &mut m32, &mut v32);
        }
        assert!(error(&p32, &p) <= 1e-6 && error(&m32, &m) <= 1e-6 && error(&v32, &v) <= 1e-6);
    }

    /// Two steps worked out from the rule above.
    #[test]
    fn test_sgd__momentum_and_nesterov_by_hand() {
        let sgd =
            Sgd { lr: 0.1, momentum: 0.5, weight_decay: 0.0, nesterov: false, grad_scale: 2.0 };
        let (mut p, mut m) = ([1.0], [0.0]);
        sgd.step(&mut p, &[1.0], &mut m); // g = 2, m = 2
        sgd.step(&mut p, &[1.0], &mut m); // m = 3
        assert!((p[0] - (1.0 - 0.2 - 0.3)).abs() < 1e-15);

        let (mut p, mut m) = ([1.0], [0.0]);
        let ahead = Sgd { nesterov: true, weight_decay: 0.1, ..sgd };
        ahead.step(&mut p, &[1.0], &mut m); // g = 2.1, m = 2.1, direction = 3.15
        assert!((p[0] - (1.0 - 0.315)).abs() < 1e-15);
    }

    #[test]
    fn test_optimizer__same_bits_for_any_number_of_threads() {
        let (start, g) = (narrow(&random(100_000, 1)), narrow(&random(100_000, 2)));
        assert_same_bits_for_any_threads(|| {
            let (mut p, mut m) = (start.clone(), vec![0.1f32; start.len()]);
            let mut v = vec![0.2f32; start.len()];
            adamw(3).step(&mut p, &g, &mut m, &mut v);
            let sgd =
                Sgd { lr: 0.1, momentum: 0.9, weight_decay: 0.1, nesterov: true, grad_scale: 1.0 };
            sgd.step(&mut p, &g, &mut m);
            p
        });
    }
}
