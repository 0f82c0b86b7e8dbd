//! Scaled dot-product attention with several heads, fused (Vaswani et al. 2017; computed as in Dao et al. 2022).
//!
//! For one sample and head, with queries q `[Tq, d]`, keys k and values v `[Tk, d]`
//!
//! ```text
//! s_ij = scale q_i . k_j            for the keys that query i sees, else -infinity
//! p_ij = exp(s_ij - lse_i),         lse_i = log sum_j exp(s_ij)
//! y_i  = sum_j m_ij p_ij v_j        m: dropout factors (1 without dropout)
//! ```
//!
//! A causal query sees no key after itself; queries may be fewer than keys (a key-value cache), then query i stands at
//! position Tk - Tq + i. A key whose mask entry is 0 is padding and is seen by none. A query that sees no key gives 0.
//!
//! The `[Tq, Tk]` matrix of a head never exists. Keys are visited in blocks; per query a running maximum and a running
//! sum are kept, and what was summed so far is rescaled when the maximum grows (streaming softmax). Key blocks that a
//! causal query block cannot see are skipped. Only lse, one number per query and head, is kept for the backward pass,
//! which makes the probabilities and the dropout mask again. With gp_ij = m_ij gy_i . v_j,
//!
//! ```text
//! gv_j = sum_i m_ij p_ij gy_i
//! gs_ij = p_ij (gp_ij - D_i),       D_i = sum_j p_ij gp_ij = gy_i . y_i
//! gq_i = scale sum_j gs_ij k_j,     gk_j = scale sum_i gs_ij q_i
//! ```
//!
//! Tasks are pairs of sample and head. Memory traffic: q, k, v in, y out; the scores of a block of 32 queries and 128
//! keys stay in cache, and all products run on them as small matrix products.

use super::dropout::{Dropout, MaskRow};
use super::gemm::{Epilogue, Mat, MatMut, PackedB, gemm, gemm_packed};
use super::vector::{Body, Math, dispatch};
use super::{memory, par, row, scratch};
use crate::Real;
use std::ops::Range;

/// Queries that are worked on together.
const QUERIES: usize = 32;
/// Keys of a block; a multiple of the 64 positions for which dropout factors are made at a time.
const KEYS: usize = 128;
/// Bytes of keys and values that are fetched for all heads at once: what second-level caches hold besides.
const FETCHED: usize = 1 << 18;
/// Multiply-adds worth a task of their own: small heads share one.
const GRAIN: usize = 1 << 17;

/// Which keys a query sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Those up to its own position.
    Causal,
    /// All.
    Full,
}

/// Sizes and options of one attention.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// B, samples.
    pub batch: usize,
    /// Tq.
    pub queries: usize,
    /// Tk, at least Tq where attention is causal.
    pub keys: usize,
    /// H.
    pub heads: usize,
    /// d = D / H.
    pub head_dim: usize,
    /// Multiplies the scores, 1 / sqrt(d) as a rule.
    pub scale: f64,
    /// Causal or full.
    pub visibility: Visibility,
    /// Dropout on the probabilities, and the index of the first sample in its batch.
    pub dropout: Option<(Dropout, u32)>,
}

/// Queries, keys and values `[B, T, D]`; consecutive rows (b, t) are `stride` elements apart. The keys and values of a
/// sample begin `key_rows` rows after those of the one before it: in a cache there is room behind the keys that are
/// there.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a, R> {
    /// `[B, Tq, D]`.
    pub q: &'a [R],
    /// `[B, Tk, D]`.
    pub k: &'a [R],
    /// `[B, Tk, D]`.
    pub v: &'a [R],
    /// D, or 3 D where the three are packed.
    pub stride: usize,
    /// At least Tk.
    pub key_rows: usize,
}

impl<'a, R> Inputs<'a, R> {
    /// Views into qkv `[B, T, 3 D]`, as one linear layer makes it: q, k and v side by side in every row.
    #[must_use]
    pub fn packed(qkv: &'a [R], width: usize, key_rows: usize) -> Self {
        let (k, v) = (width.min(qkv.len()), (2 * width).min(qkv.len()));
        Self { q: qkv, k: &qkv[k..], v: &qkv[v..], stride: 3 * width, key_rows }
    }
}

/// Where the gradients of [`Inputs`] go.
#[derive(Debug)]
pub enum Grads<'a, R> {
    /// Into `[B, T, 3 D]`, side by side.
    Packed(&'a mut [R]),
    /// Into three tensors of their own.
    Separate {
        /// `[B, Tq, D]`.
        q: &'a mut [R],
        /// `[B, Tk, D]`.
        k: &'a mut [R],
        /// `[B, Tk, D]`.
        v: &'a mut [R],
    },
}

impl Attention {
    /// D, the width of a row of q, k, v or y.
    #[must_use]
    pub fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Position of query 0 among the keys.
    fn offset(&self) -> usize {
        self.keys.saturating_sub(self.queries)
    }

    /// The number of keys, from the first, that queries before `end` can see.
    fn seen(&self, end: usize) -> usize {
        match self.visibility {
            Visibility::Causal => (self.offset() + end).min(self.keys),
            Visibility::Full => self.keys,
        }
    }

    /// The first query that sees a key at or after `key`.
    fn first_query(&self, key: usize) -> usize {
        match self.visibility {
            Visibility::Causal => key.saturating_sub(self.offset()),
            Visibility::Full => 0,
        }
    }

    /// Calls `f(sample, head)` for all of them, in parallel.
    fn for_heads(&self, f: impl Fn(usize, usize) + Sync) {
        let work = self.queries * self.keys * self.head_dim;
        par::ranges(self.batch * self.heads, GRAIN / work.max(1), |lo, hi| {
            for task in lo..hi {
                f(task / self.heads, task % self.heads);
            }
        });
    }

    fn check<R>(&self, x: &Inputs<'_, R>, mask: Option<&[u32]>) {
        if self.visibility == Visibility::Causal {
            assert!(self.queries <= self.keys, "causal attention: more queries than keys");
        }
        let needed = |tokens: usize, rows: usize| match self.batch * tokens {
            0 => 0,
            _ => ((self.batch - 1) * rows + tokens - 1) * x.stride + self.width(),
        };
        assert!(x.stride >= self.width());
        assert!(x.key_rows >= self.keys, "attention: more keys than rows of a sample");
        assert!(x.q.len() >= needed(self.queries, self.queries), "attention: q is too short");
        assert!(x.k.len() >= needed(self.keys, x.key_rows), "attention: k is too short");
        assert!(x.v.len() >= needed(self.keys, x.key_rows), "attention: v is too short");
        if let Some(mask) = mask {
            assert_eq!(mask.len(), self.batch * self.keys, "attention: mask is not [B, Tk]");
        }
    }
}

/// One head of one sample.
#[derive(Clone, Copy)]
struct Head<'a, R> {
    a: &'a Attention,
    x: &'a Inputs<'a, R>,
    /// The mask of the sample's keys.
    mask: Option<&'a [u32]>,
    sample: usize,
    head: usize,
}

impl<'a, R: Real> Head<'a, R> {
    /// Rows `t` of an array `[B, tokens, ..]` that belong to this sample and head, `[t, d]`.
    fn view(&self, data: &'a [R], stride: usize, tokens: usize, t: Range<usize>) -> Mat<'a, R> {
        let at = (self.sample * tokens + t.start) * stride + self.head * self.a.head_dim;
        Mat::strided(data.get(at..).unwrap_or_default(), t.len(), self.a.head_dim, stride)
    }

    fn queries(&self, i: Range<usize>) -> Mat<'a, R> {
        self.view(self.x.q, self.x.stride, self.a.queries, i)
    }

    fn keys(&self, j: Range<usize>) -> Mat<'a, R> {
        self.view(self.x.k, self.x.stride, self.x.key_rows, j)
    }

    fn values(&self, j: Range<usize>) -> Mat<'a, R> {
        self.view(self.x.v, self.x.stride, self.x.key_rows, j)
    }

    /// Fetches the keys and values of all heads, in the order in which they lie. A single query is done with a head before the
    /// memory could answer, and each head reads a little of every row.
    fn fetch_keys_and_values(&self) {
        let (keys, width) = (self.a.keys, self.a.width());
        if 2 * keys * width * size_of::<R>() > FETCHED {
            return;
        }
        for data in [self.x.k, self.x.v] {
            for t in 0..keys {
                let at = (self.sample * self.x.key_rows + t) * self.x.stride;
                memory::fetch(&data[at..at + width]);
            }
        }
    }

    /// Negative infinity for the keys from `j0` that query i does not see.
    #[inline(always)]
    fn hide(&self, i: usize, j0: usize, s: &mut [R]) {
        let seen = self.a.seen(i + 1).saturating_sub(j0).min(s.len());
        s[seen..].fill(R::NEG_INFINITY);
        if let Some(mask) = self.mask {
            for (s, &m) in s.iter_mut().zip(&mask[j0..]) {
                *s = if m == 0 { R::NEG_INFINITY } else { *s };
            }
        }
    }

    /// Where the dropout factors of query i stand. It is counted from the front of the keys, so that a cache of
    /// earlier keys does not move the mask.
    fn mask_row(&self, first_sample: u32, i: usize) -> MaskRow {
        let index = |n: usize| u32::try_from(n).expect("fewer than 2^32 rows");
        MaskRow {
            sample: first_sample + index(self.sample),
            head: index(self.head),
            row: index(self.a.offset() + i),
        }
    }

    /// Where element 0 of row t of this head lies in an array `[B, tokens, D]`.
    fn start(&self, tokens: usize, t: usize) -> usize {
        (self.sample * tokens + t) * self.a.width() + self.head * self.a.head_dim
    }
}

/// C = alpha A B + beta C.
fn product<R: Real>(alpha: R, a: Mat<'_, R>, b: Mat<'_, R>, beta: R, c: MatMut<'_, R>) {
    gemm(alpha, a, b, beta, c, Epilogue::None);
}

/// C = alpha A B + beta C, with a B that several blocks of queries multiply with.
fn product_packed<R: Real>(alpha: R, a: Mat<'_, R>, b: &PackedB<'_, R>, beta: R, c: MatMut<'_, R>) {
    gemm_packed(alpha, a, b, beta, c, Epilogue::None);
}

/// One step of the streaming softmax of a block of queries: their scores of a block of keys become weights
/// m exp(s - top), `top` and `total` are brought up to date, and `shrink` is what all earlier weights must be
/// multiplied with.
struct Stream<'a, 'b, R> {
    h: Head<'a, R>,
    i0: usize,
    j0: usize,
    p: &'b mut [R],
    n: usize,
    top: &'b mut [R],
    total: &'b mut [R],
    shrink: &'b mut [R],
}

impl<R: Real> Body for Stream<'_, '_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        // Stage by stage for all rows, for the reason that `row::TOGETHER` gives.
        for (r, p) in self.p.chunks_exact_mut(self.n).enumerate() {
            self.h.hide(self.i0 + r, self.j0, p);
            self.shrink[r] = self.top[r];
            self.top[r] = row::max(p).max(self.top[r]);
        }
        for (r, p) in self.p.chunks_exact_mut(self.n).enumerate() {
            let (before, grown) = (self.shrink[r], self.top[r]);
            if grown == R::NEG_INFINITY {
                self.shrink[r] = R::ONE;
                p.fill(R::ZERO);
                continue;
            }
            // The first block has nothing before it to shrink.
            let first = before == R::NEG_INFINITY;
            self.shrink[r] = if first { R::ZERO } else { M::exp(before - grown) };
            self.total[r] = self.total[r] * self.shrink[r] + row::exp_in_place::<M, R>(p, grown);
        }
        if let Some((dropout, first)) = &self.h.a.dropout {
            for (r, p) in self.p.chunks_exact_mut(self.n).enumerate() {
                let at = self.h.mask_row(*first, self.i0 + r);
                dropout.in_pieces::<M, R>(at, self.j0, p.len(), |lo, factors| {
                    p[lo..lo + factors.len()].iter_mut().zip(factors).for_each(|(p, &m)| *p *= m);
                });
            }
        }
    }
}

/// A block of scores p and of gy . v, gs, become m p and gs of the documentation (without its scale).
struct Unstream<'a, 'b, R> {
    h: Head<'a, R>,
    i0: usize,
    j0: usize,
    p: &'b mut [R],
    gs: &'b mut [R],
    n: usize,
    lse: &'b [R],
    mean: &'b [R],
}

impl<R: Real> Body for Unstream<'_, '_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        for ((i, p), &lse) in (self.i0..).zip(self.p.chunks_exact_mut(self.n)).zip(self.lse) {
            self.h.hide(i, self.j0, p);
            for p in p.iter_mut() {
                *p = M::exp(*p - lse);
            }
        }
        let rows = self.p.chunks_exact_mut(self.n).zip(self.gs.chunks_exact_mut(self.n));
        for ((i, (p, gs)), &mean) in (self.i0..).zip(rows).zip(self.mean) {
            let Some((dropout, first)) = &self.h.a.dropout else {
                for (p, gs) in p.iter().zip(gs) {
                    *gs = *p * (*gs - mean);
                }
                continue;
            };
            let at = self.h.mask_row(*first, i);
            dropout.in_pieces::<M, R>(at, self.j0, p.len(), |lo, factors| {
                let part = lo..lo + factors.len();
                let (p, gs) = (&mut p[part.clone()], &mut gs[part]);
                for ((p, gs), &m) in p.iter_mut().zip(gs).zip(factors) {
                    *gs = *p * (m * *gs - mean);
                    *p *= m;
                }
            });
        }
    }
}

/// y `[B, Tq, D]` and lse `[B, H, Tq]` (0 for a query that sees no key).
///
/// `mask` `[B, Tk]` is 0 at padded keys.
///
/// # Panics
/// When the lengths do not fit together.
pub fn forward<R: Real>(
    a: &Attention,
    x: Inputs<'_, R>,
    mask: Option<&[u32]>,
    y: &mut [R],
    lse: &mut [R],
) {
    a.check(&x, mask);
    assert_eq!(y.len(), a.batch * a.queries * a.width());
    assert_eq!(lse.len(), a.batch * a.heads * a.queries);
    let (d, keys, queries) = (a.head_dim, a.keys, a.queries);
    let (y, lse) = (par::Scattered::new(y), par::Scattered::new(lse));
    let columns = KEYS.min(keys);
    let scale = R::from_f64(a.scale);
    // A single query reads keys and values once, where they lie.
    let packs =
        if queries > 1 { [PackedB::<R>::len(d, keys), PackedB::<R>::len(keys, d)] } else { [0; 2] };
    a.for_heads(|sample, head| {
        let mask = mask.map(|m| &m[sample * keys..][..keys]);
        let h = Head { a, x: &x, mask, sample, head };
        if queries == 1 && head == 0 {
            h.fetch_keys_and_values();
        }
        scratch::with(QUERIES * (columns + d) + packs[0] + packs[1], |memory: &mut [R]| {
            let (p, rest) = memory.split_at_mut(QUERIES * columns);
            let (out, rest) = rest.split_at_mut(QUERIES * d);
            let (for_keys, for_values) = rest.split_at_mut(packs[0]);
            let packed = (queries > 1).then(|| {
                let all = 0..keys;
                let keys = PackedB::pack(h.keys(all.clone()).t(), for_keys);
                (keys, PackedB::pack(h.values(all), for_values))
            });
            for i0 in (0..queries).step_by(QUERIES) {
                let i = i0..(i0 + QUERIES).min(queries);
                let m = i.len();
                let out = &mut out[..m * d];
                out.fill(R::ZERO);
                let mut state = [[R::ZERO; QUERIES]; 3];
                let [top, total, shrink] = &mut state;
                top.fill(R::NEG_INFINITY);
                for j0 in (0..a.seen(i.end)).step_by(KEYS) {
                    let j = j0..(j0 + KEYS).min(a.seen(i.end));
                    let n = j.len();
                    let p = &mut p[..m * n];
                    let (q, s) = (h.queries(i.clone()), MatMut::new(&mut *p, m, n));
                    match &packed {
                        Some((keys, _)) => {
                            product_packed(scale, q, &keys.columns(j0, n), R::ZERO, s)
                        }
                        None => product(scale, q, h.keys(j.clone()).t(), R::ZERO, s),
                    }
                    dispatch(Stream { h, i0, j0, p, n, top, total, shrink });
                    if j0 > 0 {
                        dispatch(ScaleRows { factors: shrink, width: d, rows: out });
                    }
                    let (p, out) = (Mat::new(p, m, n), MatMut::new(&mut *out, m, d));
                    match &packed {
                        Some((_, values)) => {
                            product_packed(R::ONE, p, &values.rows(j0, n), R::ONE, out)
                        }
                        None => product(R::ONE, p, h.values(j), R::ONE, out),
                    }
                }
                // SAFETY: lse is [B, H, Tq]: this task alone has (sample, head), and query blocks are disjoint.
                let lse = unsafe { lse.part((sample * a.heads + head) * queries + i0, m) };
                for (r, lse) in lse.iter_mut().enumerate() {
                    let seen = top[r] > R::NEG_INFINITY;
                    *lse = if seen { top[r] + total[r].ln() } else { R::ZERO };
                    shrink[r] = if seen { R::ONE / total[r] } else { R::ZERO };
                }
                dispatch(ScaleRows { factors: shrink, width: d, rows: out });
                for (r, out) in (i0..).zip(out.chunks_exact(d.max(1))) {
                    // SAFETY: the d columns of this head in the row of this query: no other task's, and taken once.
                    unsafe { y.part(h.start(queries, r), d) }.copy_from_slice(out);
                }
            }
        });
    });
}

/// Each row of `width` elements times its factor.
struct ScaleRows<'a, R> {
    factors: &'a [R],
    width: usize,
    rows: &'a mut [R],
}

impl<R: Real> Body for ScaleRows<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        for (row, &factor) in self.rows.chunks_exact_mut(self.width.max(1)).zip(self.factors) {
            row.iter_mut().for_each(|x| *x *= factor);
        }
    }
}

/// The gradients of q, k and v from gy `[B, Tq, D]`, and the outputs y and lse of [`forward`].
///
/// # Panics
/// When the lengths do not fit together.
pub fn backward<R: Real>(
    a: &Attention,
    x: Inputs<'_, R>,
    mask: Option<&[u32]>,
    y: &[R],
    lse: &[R],
    gy: &[R],
    grads: Grads<'_, R>,
) {
    a.check(&x, mask);
    assert_eq!(x.key_rows, a.keys, "attention: a cache has no gradients");
    let width = a.width();
    assert_eq!(y.len(), a.batch * a.queries * width);
    assert_eq!(gy.len(), y.len());
    assert_eq!(lse.len(), a.batch * a.heads * a.queries);
    let scatter = par::Scattered::new;
    match grads {
        Grads::Packed(g) => {
            assert_eq!(a.queries, a.keys, "packed gradients: one row for query, key and value");
            assert_eq!(g.len(), 3 * y.len());
            let g = scatter(g);
            let row = |which, r| (&g, r * 3 * width + which * width);
            heads_backward(
                a,
                &x,
                mask,
                y,
                lse,
                gy,
                &[&|r| row(0, r), &|r| row(1, r), &|r| row(2, r)],
            );
        }
        Grads::Separate { q, k, v } => {
            assert_eq!(q.len(), y.len());
            assert_eq!(k.len(), a.batch * a.keys * width);
            assert_eq!(v.len(), k.len());
            let (q, k, v) = (scatter(q), scatter(k), scatter(v));
            let at: [&Place<'_, R>; 3] =
                [&|r| (&q, r * width), &|r| (&k, r * width), &|r| (&v, r * width)];
            heads_backward(a, &x, mask, y, lse, gy, &at);
        }
    }
}

/// The array that holds a gradient, and where its row r = b T + t begins.
type Place<'a, R> = dyn Fn(usize) -> (&'a par::Scattered<'a, R>, usize) + Sync + 'a;

fn heads_backward<R: Real>(
    a: &Attention,
    x: &Inputs<'_, R>,
    mask: Option<&[u32]>,
    y: &[R],
    lse: &[R],
    gy: &[R],
    places: &[&Place<'_, R>; 3],
) {
    let (d, keys, queries, width) = (a.head_dim, a.keys, a.queries, a.width());
    let scale = R::from_f64(a.scale);
    let columns = KEYS.min(keys);
    a.for_heads(|sample, head| {
        let mask = mask.map(|m| &m[sample * keys..][..keys]);
        let h = Head { a, x, mask, sample, head };
        let lse = &lse[(sample * a.heads + head) * queries..][..queries];
        let store = |which: usize, tokens: usize, t0: usize, rows: &[R]| {
            for (t, from) in (t0..).zip(rows.chunks_exact(d.max(1))) {
                let (to, at) = places[which](sample * tokens + t);
                // SAFETY: the d columns of this head in a row of this sample: no other task's, and taken once.
                unsafe { to.part(at + head * d, d) }.copy_from_slice(from);
            }
        };
        let block = QUERIES * columns;
        let [across, along] = [PackedB::<R>::len(d, columns), PackedB::<R>::len(columns, d)];
        let blocks = 2 * block + 2 * columns * d + queries * (d + 1);
        scratch::with(2 * across + along + blocks, |memory: &mut [R]| {
            let (for_keys, rest) = memory.split_at_mut(across);
            let (for_values, rest) = rest.split_at_mut(across);
            let (for_rows, rest) = rest.split_at_mut(along);
            let (p, rest) = rest.split_at_mut(block);
            let (gs, rest) = rest.split_at_mut(block);
            let (gk, rest) = rest.split_at_mut(columns * d);
            let (gv, rest) = rest.split_at_mut(columns * d);
            let (gq, mean) = rest.split_at_mut(queries * d);
            gq.fill(R::ZERO);
            dispatch(Means { h, y, gy, mean });
            for j0 in (0..keys).step_by(KEYS) {
                let width_j = KEYS.min(keys - j0);
                let (gk, gv) = (&mut gk[..width_j * d], &mut gv[..width_j * d]);
                gk.fill(R::ZERO);
                gv.fill(R::ZERO);
                let all = j0..j0 + width_j;
                let keys_t = PackedB::pack(h.keys(all.clone()).t(), for_keys);
                let values_t = PackedB::pack(h.values(all.clone()).t(), for_values);
                let key_rows = PackedB::pack(h.keys(all), for_rows);
                let first = a.first_query(j0) / QUERIES * QUERIES;
                for i0 in (first..queries).step_by(QUERIES) {
                    let i = i0..(i0 + QUERIES).min(queries);
                    let j = j0..(j0 + KEYS).min(a.seen(i.end));
                    let (m, n) = (i.len(), j.len());
                    let (p, gs) = (&mut p[..m * n], &mut gs[..m * n]);
                    let gy = h.view(gy, width, queries, i.clone());
                    let (q, s) = (h.queries(i.clone()), MatMut::new(&mut *p, m, n));
                    product_packed(scale, q, &keys_t.columns(0, n), R::ZERO, s);
                    let gp = MatMut::new(&mut *gs, m, n);
                    product_packed(R::ONE, gy, &values_t.columns(0, n), R::ZERO, gp);
                    let (lse, mean) = (&lse[i.clone()], &mean[i.clone()]);
                    dispatch(Unstream { h, i0, j0, p, gs, n, lse, mean });
                    let (p, gs) = (Mat::new(p, m, n), Mat::new(gs, m, n));
                    product(R::ONE, p.t(), gy, R::ONE, MatMut::new(gv, n, d));
                    product(scale, gs.t(), q, R::ONE, MatMut::new(gk, n, d));
                    let gq = MatMut::new(&mut gq[i.start * d..i.end * d], m, d);
                    product_packed(scale, gs, &key_rows.rows(0, n), R::ONE, gq);
                }
                store(1, keys, j0, gk);
                store(2, keys, j0, gv);
            }
            store(0, queries, 0, gq);
        });
    });
}

/// D of the documentation, for all queries of a head.
struct Means<'a, 'b, R> {
    h: Head<'a, R>,
    y: &'b [R],
    gy: &'b [R],
    mean: &'b mut [R],
}

impl<R: Real> Body for Means<'_, '_, R> {
    type Output = ();
    #[inline(always)]
    fn run<M: Math>(self) {
        let d = self.h.a.head_dim;
        for (i, mean) in self.mean.iter_mut().enumerate() {
            let at = self.h.start(self.h.a.queries, i);
            *mean = row::dot::<M, R>(&self.y[at..at + d], &self.gy[at..at + d]);
        }
    }
}

#[cfg(test)]
mod tests;
