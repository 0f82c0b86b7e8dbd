//! Scaled dot-product attention with several heads: every query takes a weighted mean of the values.
//!
//! `q [B, Tq, D], k [B, Tk, D], v [B, Tk, D] -> [B, Tq, D]`, or packed `qkv [B, T, 3 D] -> [B, T, D]`. Each of H heads
//! has d = D / H of the columns; in one head (Vaswani et al. 2017)
//!
//! ```text
//! y_i = sum_j m_ij p_ij v_j,    p_i = softmax over the visible j of q_i . k_j / sqrt(d)
//! ```
//!
//! with dropout factors m. Causal queries see keys up to their own position; with Tq < Tk (a cache of earlier keys)
//! query i stands at position Tk - Tq + i. Keys whose `mask [B, Tk]` (u32) is 0 are padding and seen by no one. A query
//! that sees nothing gives 0.
//!
//! Gradient: gv_j = sum_i m_ij p_ij gy_i; through the softmax, gs_ij = p_ij (m_ij gy_i . v_j - gy_i . y_i); then
//! gq_i = sum_j gs_ij k_j / sqrt(d) and gk_j = sum_i gs_ij q_i / sqrt(d). p is never stored: it is made again from the
//! log-sum-exp of each row (Dao et al. 2022).
//!
//! ```
//! use foundry_engine::{Device, Tensor, ops::attention::Attention};
//! let of = |x: &[f64]| Tensor::from_f64(&Device::cpu(), [1, 2, 1], x);
//! let y = Attention::causal(1).forward(&of(&[0.0, 0.0]), &of(&[1.0, 1.0]), &of(&[2.0, 4.0]), None);
//! assert_eq!(y.to_vec::<f64>(), [2.0, 3.0]);
//! ```

use crate::case::{Cost, Function, Inputs, OpCase, TENSOR_CORES};
use crate::{
    Args, CpuArgs, CpuKernel, CudaArgs, Device, DeviceError, Differentiable, DropoutSite,
    InputGrads, Op, Real, Saved, Spec, Specs, Tensor, apply, check, list, run,
};
use foundry_kernels::cpu::attention as kernel;
use foundry_kernels::cpu::dropout::{Dropout, MaskRow};
use foundry_kernels::cuda::attention as on_cuda;
use foundry_kernels::cuda::launch::{Call, NULL};
use foundry_kernels::cuda::tensor_cores::{self, Half};
pub use kernel::Visibility;

/// What kind of attention.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    heads: usize,
    visibility: Visibility,
    dropout: Option<(f64, DropoutSite)>,
}

/// How queries, keys and values come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Layout {
    Packed,
    Separate,
    /// Separate, and only the first `keys` rows of each sample of k and v are there.
    Cached {
        keys: usize,
    },
}

/// The op's inputs are qkv, or q, k and v; then the mask, if there is one.
#[derive(Clone, Copy, Debug)]
struct Forward {
    attention: Attention,
    layout: Layout,
}

/// Inputs: those of the forward pass, then y, lse, gy.
#[derive(Debug)]
struct Backward(Forward);

impl Attention {
    /// Each query sees the keys up to its own position.
    #[must_use]
    pub fn causal(heads: usize) -> Self {
        Self { heads, visibility: Visibility::Causal, dropout: None }
    }

    /// Each query sees all keys.
    #[must_use]
    pub fn full(heads: usize) -> Self {
        Self { heads, visibility: Visibility::Full, dropout: None }
    }

    /// With dropout of probability `p` on the weights, at a site of the pass (`cx.dropout_site()`); none without one.
    #[must_use]
    pub fn dropout(self, p: f64, site: Option<DropoutSite>) -> Self {
        Self { dropout: site.filter(|_| p > 0.0).map(|site| (p, site)), ..self }
    }

    /// y `[B, Tq, D]` of q `[B, Tq, D]`, k and v `[B, Tk, D]`; `mask [B, Tk]` is 0 at padded keys.
    ///
    /// # Panics
    /// If the shapes do not fit, heads do not divide D, or attention is causal and Tq > Tk.
    #[must_use]
    #[track_caller]
    pub fn forward(&self, q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>) -> Tensor {
        self.apply(Layout::Separate, &[q, k, v], mask)
    }

    /// y `[B, T, D]` of qkv `[B, T, 3 D]`, the queries, keys and values of a token side by side.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    #[must_use]
    #[track_caller]
    pub fn packed(&self, qkv: &Tensor, mask: Option<&Tensor>) -> Tensor {
        self.apply(Layout::Packed, &[qkv], mask)
    }

    /// As [`forward`](Self::forward), where k and v `[B, C, D]` have room for C tokens and hold `keys`: a cache that is
    /// gone on with. Without gradients.
    ///
    /// # Panics
    /// As [`forward`](Self::forward); if `keys` is above C, or a tensor is tracked.
    #[must_use]
    #[track_caller]
    pub fn cached(&self, q: &Tensor, k: &Tensor, v: &Tensor, keys: usize) -> Tensor {
        let [y, _lse] =
            run(Forward { attention: *self, layout: Layout::Cached { keys } }, &[q, k, v]);
        y
    }

    #[track_caller]
    fn apply(&self, layout: Layout, x: &[&Tensor], mask: Option<&Tensor>) -> Tensor {
        let inputs: Vec<&Tensor> = x.iter().copied().chain(mask).collect();
        let [y, _lse] = apply(Forward { attention: *self, layout }, &inputs);
        y
    }
}

impl Forward {
    /// The kernel's description, and how many inputs come before the mask.
    fn sizes(&self, x: &[&crate::Shape]) -> (kernel::Attention, usize) {
        let a = self.attention;
        let [batch, queries, width] = x[0].dims();
        let (keys, width, tensors) = match self.layout {
            Layout::Packed => (queries, width / 3, 1),
            Layout::Separate => (x[1].dims::<3>()[1], width, 3),
            Layout::Cached { keys } => (keys, width, 3),
        };
        let head_dim = width / a.heads;
        #[expect(clippy::cast_precision_loss, reason = "the width of a head")]
        let scale = 1.0 / (head_dim.max(1) as f64).sqrt();
        let dropout = a.dropout.map(|(p, site)| (Dropout::new(site.key, p), site.first_sample));
        let (heads, visibility) = (a.heads, a.visibility);
        let sizes =
            kernel::Attention { batch, queries, keys, heads, head_dim, scale, visibility, dropout };
        (sizes, tensors)
    }

    /// The kernel's view of the inputs, of which `extra` follow those of the forward pass.
    fn inputs<'a, R: Real>(
        &self,
        a: &Args<'a, R>,
        extra: usize,
    ) -> (kernel::Attention, kernel::Inputs<'a, R>, Option<&'a [u32]>) {
        let shapes: Vec<_> = (0..a.len()).map(|i| a.shape(i)).collect();
        let (sizes, tensors) = self.sizes(&shapes);
        let x = match self.layout {
            Layout::Packed => kernel::Inputs::packed(a.x(0), sizes.width(), sizes.keys),
            Layout::Separate | Layout::Cached { .. } => {
                let [q, k, v] = a.inputs();
                let [_, key_rows, _] = a.shape(1).dims();
                kernel::Inputs { q, k, v, stride: sizes.width(), key_rows }
            }
        };
        (sizes, x, (a.len() - extra > tensors).then(|| a.ids(tensors)))
    }

    /// As [`inputs`](Self::inputs), on a GPU.
    fn cuda_inputs(
        &self,
        a: &CudaArgs<'_>,
        extra: usize,
    ) -> Result<(kernel::Attention, on_cuda::Inputs), DeviceError> {
        let shapes: Vec<_> = (0..a.len()).map(|i| a.shape(i)).collect();
        let (sizes, tensors) = self.sizes(&shapes);
        if sizes.head_dim > on_cuda::MAX_HEAD_DIM {
            let most = on_cuda::MAX_HEAD_DIM;
            return Err(
                a.unsupported(format!("heads of {} columns (at most {most})", sizes.head_dim))
            );
        }
        let (width, keys) = (a.size(sizes.width())?, a.size(sizes.keys)?);
        let mask = if a.len() - extra > tensors { a.ids(tensors)? } else { NULL };
        let x = match self.layout {
            Layout::Packed => {
                let at = a.x(0)?;
                let [q, k, v] = [0, width, 2 * width].map(|column| at.element(column));
                on_cuda::Inputs { q, k, v, stride: 3 * width, key_rows: keys, mask }
            }
            Layout::Separate | Layout::Cached { .. } => {
                let [q, k, v] = a.inputs()?;
                let [_, key_rows, _] = a.shape(1).dims();
                on_cuda::Inputs { q, k, v, stride: width, key_rows: a.size(key_rows)?, mask }
            }
        };
        Ok((sizes, x))
    }
}

impl Forward {
    /// The inputs rounded for the tensor cores, and what rounds them, where they can do it: heads that there are kernels for,
    /// and no cache, of which all would be rounded for one query.
    fn rounded(
        &self,
        a: &mut CudaArgs<'_>,
        (sizes, x): (&kernel::Attention, &on_cuda::Inputs),
    ) -> Result<Option<(Half, on_cuda::Inputs, Vec<Call>)>, DeviceError> {
        let fit =
            tensor_cores::has_head(sizes.head_dim) && !matches!(self.layout, Layout::Cached { .. });
        let Some(half) = a.half().filter(|_| fit) else { return Ok(None) };
        let stride = x.stride;
        let mut calls = vec![];
        let mut round = |a: &mut CudaArgs<'_>, from, rows: usize| {
            let to = a.scratch_halves(rows * stride as usize)?;
            calls.push(tensor_cores::cast(
                half,
                (from, stride),
                (to, stride),
                [a.size(rows)?, stride],
            ));
            Ok::<_, DeviceError>(to)
        };
        let [queries, keys] = [sizes.queries, sizes.keys].map(|n| sizes.batch * n);
        let q = round(a, x.q, queries)?;
        let [k, v] = match self.layout {
            Layout::Packed => [1, 2].map(|part| q.half(part * (stride / 3))),
            _ => [round(a, x.k, keys)?, round(a, x.v, keys)?],
        };
        Ok(Some((half, on_cuda::Inputs { q, k, v, ..*x }, calls)))
    }
}

impl Op for Forward {
    fn name(&self) -> &'static str {
        "attention"
    }

    /// y, and the log-sum-exp `[B, H, Tq]` of the scores.
    fn output(&self, x: &[Spec]) -> Specs {
        let (op, a) = (self.name(), &self.attention);
        check::float(op, &x[0]);
        let &[batch, queries, width] = x[0].shape.as_slice() else {
            check::fail(op, x[0], "[batch, time, width]", "")
        };
        let (parts, tensors) = if self.layout == Layout::Packed { (3, 1) } else { (1, 3) };
        if a.heads == 0 || width % (parts * a.heads) != 0 {
            let expected = format!("a width that {parts} x {} heads divide", a.heads);
            check::fail(op, x[0], &expected, "");
        }
        let mut keys = queries;
        if self.layout != Layout::Packed {
            let rows = x[1].shape.dims::<3>()[1];
            check::same_dtype(op, &[&x[0], &x[1], &x[2]]);
            check::shape(op, "k", &x[1].shape, [batch, rows, width]);
            check::shape(op, "v", &x[2].shape, [batch, rows, width]);
            keys = if let Layout::Cached { keys } = self.layout { keys } else { rows };
            if keys > rows {
                check::fail(op, x[1], &format!("room for {keys} keys"), "");
            }
        }
        if a.visibility == Visibility::Causal && queries > keys {
            check::fail(op, format!("{queries} queries, {keys} keys"), "a key for each query", "");
        }
        if let Some(mask) = x.get(tensors) {
            check::ids(op, mask);
            check::shape(op, "mask", &mask.shape, [batch, keys]);
        }
        list![
            x[0].with_shape([batch, queries, width / parts]),
            x[0].with_shape([batch, a.heads, queries])
        ]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let (sizes, x) = self.cuda_inputs(a, 0)?;
        let [y, lse] = a.outputs()?;
        match self.rounded(a, (&sizes, &x))? {
            Some((half, x, rounding)) => {
                a.launch(rounding)?;
                a.launch([tensor_cores::attention_forward(half, &sizes, &x, y, lse)])
            }
            None => a.launch([on_cuda::forward(&sizes, &x, y, lse)]),
        }
    }
}

impl CpuKernel for Forward {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let (sizes, x, mask) = self.inputs(&a, 0);
        let [y, lse] = a.outputs();
        kernel::forward(&sizes, x, mask, y, lse);
    }
}

impl Differentiable for Forward {
    fn save(&self, x: &[&Tensor], y: &[Tensor]) -> Saved {
        x.iter().copied().chain(y).cloned().collect()
    }

    fn vjp(&self, saved: &[Tensor], gy: &[Option<Tensor>], needs: &[bool]) -> InputGrads {
        let Some(gy) = &gy[0] else { return needs.iter().map(|_| None).collect() };
        let x: Vec<&Tensor> = saved.iter().chain([gy]).collect();
        let grads: Vec<Tensor> = match self.layout {
            Layout::Packed => run::<1>(Backward(*self), &x).into(),
            Layout::Separate | Layout::Cached { .. } => run::<3>(Backward(*self), &x).into(),
        };
        grads.into_iter().map(Some).chain([None]).take(needs.len()).collect()
    }
}

impl Op for Backward {
    fn name(&self) -> &'static str {
        "attention_backward"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        match self.0.layout {
            Layout::Packed => list![x[0]],
            Layout::Separate | Layout::Cached { .. } => list![x[0], x[1], x[2]],
        }
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        let (sizes, x) = self.0.cuda_inputs(a, 3)?;
        let n = a.len();
        let of_y = [a.x(n - 3)?, a.x(n - 2)?, a.x(n - 1)?];
        let width = a.size(sizes.width())?;
        let grads = match self.0.layout {
            Layout::Packed => {
                let at = a.y(0)?;
                let [q, k, v] = [0, width, 2 * width].map(|column| at.element(column));
                on_cuda::Grads { q, k, v, stride: 3 * width }
            }
            Layout::Separate | Layout::Cached { .. } => {
                let [q, k, v] = a.outputs()?;
                on_cuda::Grads { q, k, v, stride: width }
            }
        };
        let dot = a.scratch(sizes.batch * sizes.heads * sizes.queries)?;
        let Some((half, x, rounding)) = self.0.rounded(a, (&sizes, &x))? else {
            return a.launch(on_cuda::backward(&sizes, &x, of_y, dot, &grads));
        };
        let [y, lse, gy] = of_y;
        let rows = sizes.batch * sizes.queries;
        let gy_half = a.scratch_halves(rows * sizes.width())?;
        a.launch(rounding)?;
        a.launch([tensor_cores::cast(
            half,
            (gy, width),
            (gy_half, width),
            [a.size(rows)?, width],
        )])?;
        let of_y = [y, lse, gy, gy_half];
        a.launch(tensor_cores::attention_backward(half, &sizes, &x, of_y, dot, &grads))
    }
}

impl CpuKernel for Backward {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let (sizes, x, mask) = self.0.inputs(&a, 3);
        let n = a.len();
        let (y, lse, gy) = (a.x(n - 3), a.x(n - 2), a.x(n - 1));
        let grads = match self.0.layout {
            Layout::Packed => kernel::Grads::Packed(a.y(0)),
            Layout::Separate | Layout::Cached { .. } => {
                let [q, k, v] = a.outputs();
                kernel::Grads::Separate { q, k, v }
            }
        };
        kernel::backward(&sizes, x, mask, y, lse, gy, grads);
    }
}

/// Two multiply-adds a head column for each of B Tq Tk pairs.
fn cost(x: &[Spec]) -> Cost {
    let [batch, queries, width] = x[0].shape.dims();
    let (keys, width) =
        if x.len() < 3 { (queries, width / 3) } else { (x[1].shape.dims::<3>()[1], width) };
    let y = x[0].with_shape([batch, queries, width]);
    Cost { flops: (4 * batch * queries * keys * width) as u64, ..Cost::streaming(x, &y) }
}

pub(crate) fn cases() -> Vec<OpCase> {
    let case = |name, inputs: fn(u64) -> Vec<Tensor>, run: Function, reference: Function| OpCase {
        name,
        inputs,
        bench_inputs: None,
        cost,
        run,
        reference: Some(reference),
    };
    vec![
        OpCase {
            bench_inputs: Some(|s| vec![Inputs::f32(s).normal([16, 128, 768])]),
            ..case(
                "causal, packed, eight heads",
                |s| vec![Inputs::f64(s).normal([2, 5, 24])],
                |x| vec![Attention::causal(8).packed(&x[0], None)],
                |x| vec![composed_packed(&Attention::causal(8), &x[0], None)],
            )
        },
        OpCase {
            bench_inputs: Some(|s| vec![Inputs::f32(s).normal([16, 128, 768]), padding([16, 128])]),
            ..case(
                "full, packed, padding, dropout",
                |s| vec![Inputs::f64(s).normal([2, 5, 12]), padding([2, 5])],
                |x| vec![dropped(Attention::full(2)).packed(&x[0], Some(&x[1]))],
                |x| vec![composed_packed(&dropped(Attention::full(2)), &x[0], Some(&x[1]))],
            )
        },
        case(
            "causal, fewer queries than keys, dropout",
            |s| inputs(s, [2, 3, 4], 5),
            |x| vec![dropped(Attention::causal(2)).forward(&x[0], &x[1], &x[2], None)],
            |x| vec![composed(&dropped(Attention::causal(2)), [&x[0], &x[1], &x[2]], None)],
        ),
        case(
            "causal, more keys than a block, padding",
            |s| [inputs(s, [2, 2, 1], 131), vec![padding([2, 131])]].concat(),
            |x| vec![Attention::causal(1).forward(&x[0], &x[1], &x[2], Some(&x[3]))],
            |x| vec![composed(&Attention::causal(1), [&x[0], &x[1], &x[2]], Some(&x[3]))],
        ),
        case(
            "full, padding",
            |s| [inputs(s, [2, 3, 6], 4), vec![padding([2, 4])]].concat(),
            |x| vec![Attention::full(3).forward(&x[0], &x[1], &x[2], Some(&x[3]))],
            |x| vec![composed(&Attention::full(3), [&x[0], &x[1], &x[2]], Some(&x[3]))],
        ),
        case(
            TENSOR_CORES,
            |s| vec![Inputs::f64(s).normal([2, 3, 96]), padding([2, 3])],
            |x| vec![dropped(Attention::causal(1)).packed(&x[0], Some(&x[1]))],
            |x| vec![composed_packed(&dropped(Attention::causal(1)), &x[0], Some(&x[1]))],
        ),
        case(
            "one tensor is queries, keys and values",
            |s| vec![Inputs::f64(s).normal([1, 3, 2])],
            |x| vec![Attention::causal(1).forward(&x[0], &x[0], &x[0], None)],
            |x| vec![composed(&Attention::causal(1), [&x[0]; 3], None)],
        ),
        case(
            "size 1",
            |s| inputs(s, [1, 1, 1], 1),
            |x| vec![Attention::causal(1).forward(&x[0], &x[1], &x[2], None)],
            |x| vec![composed(&Attention::causal(1), [&x[0], &x[1], &x[2]], None)],
        ),
        case(
            "no keys",
            |s| inputs(s, [1, 2, 2], 0),
            |x| vec![Attention::full(1).forward(&x[0], &x[1], &x[2], None)],
            |x| vec![composed(&Attention::full(1), [&x[0], &x[1], &x[2]], None)],
        ),
        case(
            "no batch",
            |s| inputs(s, [0, 2, 2], 2),
            |x| vec![Attention::full(1).forward(&x[0], &x[1], &x[2], None)],
            |x| vec![composed(&Attention::full(1), [&x[0], &x[1], &x[2]], None)],
        ),
    ]
}

fn dropped(a: Attention) -> Attention {
    a.dropout(0.3, Some(super::dropout::SITE))
}

/// The definition, out of simple ops: the whole `[B, H, Tq, Tk]` matrix of weights is formed.
fn composed(a: &Attention, [q, k, v]: [&Tensor; 3], mask: Option<&Tensor>) -> Tensor {
    let ([batch, queries, width], [_, keys, _]) = (q.dims(), k.dims());
    let head = width / a.heads;
    let heads =
        |x: &Tensor, tokens| x.reshape([batch, tokens, a.heads, head]).permute(&[0, 2, 1, 3]);
    let (q, k, v) = (heads(q, queries), heads(k, keys), heads(v, keys));
    #[expect(clippy::cast_precision_loss, reason = "the width of a head")]
    let scores = q.matmul_transposed(&k).scale(1.0 / (head as f64).sqrt());
    let mask = mask.map(Tensor::to_vec_u32);
    let sees = |b: usize, i: usize, j: usize| {
        let later = a.visibility == Visibility::Causal && j + queries > i + keys;
        !later && mask.as_ref().is_none_or(|m| m[b * keys + j] != 0)
    };
    let pairs =
        (0..batch * queries * keys).map(|n| (n / keys / queries, n / keys % queries, n % keys));
    let visible: Vec<bool> = pairs.map(|(b, i, j)| sees(b, i, j)).collect();
    let constant = |yes: f64, no: f64| {
        let values: Vec<f64> = visible.iter().map(|&v| if v { yes } else { no }).collect();
        Tensor::from_f64(&q.device(), [batch, 1, queries, keys], &values)
    };
    // A query that sees nothing has equal weights on everything, which the second factor takes away.
    let weights = (scores + constant(0.0, -1e30)).softmax() * constant(1.0, 0.0);
    let weights = match a.dropout {
        Some((p, site)) => weights * factors(p, site, [batch, a.heads, queries, keys]),
        None => weights,
    };
    weights.matmul(&v).permute(&[0, 2, 1, 3]).reshape([batch, queries, width])
}

fn composed_packed(a: &Attention, qkv: &Tensor, mask: Option<&Tensor>) -> Tensor {
    let parts = qkv.split(2, &[qkv.shape().last() / 3; 3]);
    composed(a, [&parts[0], &parts[1], &parts[2]], mask)
}

/// The dropout factors of all weights.
fn factors(p: f64, site: DropoutSite, shape: [usize; 4]) -> Tensor {
    let [batch, heads, queries, keys] = shape;
    let dropout = Dropout::new(site.key, p);
    let mut values = vec![0.0; batch * heads * queries * keys];
    let word = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    for (n, values) in values.chunks_mut(keys.max(1)).enumerate() {
        let (sample, head, i) = (n / queries / heads, n / queries % heads, n % queries);
        let sample = site.first_sample + word(sample);
        let at = MaskRow { sample, head: word(head), row: word(keys - queries + i) };
        dropout.factors(at, 0, values);
    }
    Tensor::from_f64(&Device::cpu(), shape, &values)
}

fn inputs(seed: u64, [batch, queries, width]: [usize; 3], keys: usize) -> Vec<Tensor> {
    let mut random = Inputs::f64(seed);
    let shapes = [[batch, queries, width], [batch, keys, width], [batch, keys, width]];
    shapes.map(|shape| random.normal(shape)).into()
}

/// A mask whose first sample is padded on the right, and whose last sample is nothing but padding.
fn padding([batch, keys]: [usize; 2]) -> Tensor {
    let keep = |i: usize| i / keys + 1 < batch && i % keys + 1 < keys;
    let mask: Vec<u32> = (0..batch * keys).map(|i| u32::from(keep(i))).collect();
    Tensor::from_u32(&Device::cpu(), [batch, keys], &mask)
}
