//! Layers of recurrent cells, in one direction or both, with the parameter names of torch.nn.LSTM, GRU and RNN.

use crate::config::RnnConfig;
use foundry_engine::ops::recurrent::LayerWeights;
use foundry_engine::{Ctx, Init, Module, Param, Path, Tensor};

/// A recurrent cell: how a layer goes from one step to the next.
pub trait Cell: Send + Sync + 'static {
    /// Its name in a configuration.
    const NAME: &'static str;
    /// G: how many `[H, D]` are stacked in W_ih.
    const GATES: usize;
    /// What is carried from step to step: "h", or "h" and "c".
    const STATE: &'static [&'static str];

    /// The cell of a configuration.
    fn new(config: &RnnConfig) -> Self;

    /// All steps of one direction of a layer, from left to right: `x [B, T, D]` and the [`STATE`](Self::STATE) before
    /// the first step, `[B, H]` each, to h of all steps, `[B, T, H]`, and the state after the last.
    fn sequence(&self, x: &Tensor, w: &LayerWeights<'_>, state: &[Tensor])
    -> (Tensor, Vec<Tensor>);

    /// What is added to the initial `bias_ih` of a gate.
    fn initial_bias(&self, _gate: usize) -> f64 {
        0.0
    }
}

/// The state of a stack: for each layer, and within it for each direction (left to right first), the tensors that its
/// cell carries, `[B, H]` each.
pub type RnnState = Vec<Vec<Tensor>>;

/// One direction of one layer.
struct Direction {
    /// `[G H, in]`
    weight_ih: Param,
    /// `[G H, H]`
    weight_hh: Param,
    /// `[G H]`
    bias_ih: Param,
    /// `[G H]`
    bias_hh: Param,
}

/// What torch appends to the names of the second direction.
const SUFFIXES: [&str; 2] = ["", "_reverse"];

/// A stack of layers, with dropout between them. A bidirectional layer reads its input from both ends and gives both
/// outputs side by side, `[B, T, 2 H]`.
pub struct Recurrent<C> {
    cell: C,
    /// One direction each, or two.
    layers: Vec<Vec<Direction>>,
    dropout: f64,
    hidden_size: usize,
}

impl<C: Cell> Recurrent<C> {
    /// The layers of a configuration. All weights are from U(-bound, bound), bound = `init_uniform` or 1 / sqrt(H).
    #[must_use]
    pub fn new(init: &Init, config: &RnnConfig) -> Self {
        let cell = C::new(config);
        let (h, directions) = (config.hidden_size, config.directions());
        #[expect(clippy::cast_precision_loss, reason = "a hidden size is small")]
        let bound = config.init_uniform.unwrap_or(1.0 / (h as f64).sqrt());
        let layer = |k: usize| {
            let inputs = if k == 0 { config.embedding_size } else { directions * h };
            let direction = |suffix: &&str| {
                let rows = C::GATES * h;
                let uniform = |name: &str, shape: &[usize]| {
                    init.uniform(&format!("{name}_l{k}{suffix}"), shape, bound)
                };
                let mut bias_ih = uniform("bias_ih", &[rows]);
                add_to_gates(&mut bias_ih, h, |gate| cell.initial_bias(gate));
                Direction {
                    weight_ih: uniform("weight_ih", &[rows, inputs]),
                    weight_hh: uniform("weight_hh", &[rows, h]),
                    bias_ih,
                    bias_hh: uniform("bias_hh", &[rows]),
                }
            };
            SUFFIXES[..directions].iter().map(direction).collect()
        };
        let layers = (0..config.num_layers).map(layer).collect();
        Self { cell, layers, dropout: config.dropout, hidden_size: h }
    }

    /// Zeros, for so many rows.
    #[must_use]
    pub fn initial_state(&self, rows: usize) -> RnnState {
        let of = |direction: &Direction| {
            let like = direction.weight_hh.value();
            let zero =
                Tensor::zeros(&like.device(), like.spec().with_shape([rows, self.hidden_size]));
            vec![zero; C::STATE.len()]
        };
        self.layers.iter().flatten().map(of).collect()
    }

    /// `[B, T, in] -> [B, T, directions H]`, from `state` (or zeros), and the state after the last step of each direction.
    ///
    /// `mask [B, T]` says where a row ends: ones at its tokens, zeros at the padding behind them. The second direction
    /// begins at the last token of each row, so what a real position gets does not depend on the padding. The state of the
    /// first direction is that after the last step, padding included.
    #[must_use]
    pub fn forward(
        &self,
        cx: &Ctx,
        x: &Tensor,
        mask: Option<&Tensor>,
        state: Option<&RnnState>,
    ) -> (Tensor, RnnState) {
        let [b, _, _] = x.dims();
        let zeros = state.is_none().then(|| self.initial_state(b));
        let state = state.or(zeros.as_ref());
        let mut x = x.clone();
        let mut last = RnnState::new();
        for (k, layer) in self.layers.iter().enumerate() {
            if k > 0 {
                x = cx.dropout(self.dropout, &x);
            }
            let mut run = |direction: &Direction, x: &Tensor| {
                let from = state.map_or(&[][..], |s| s[last.len()].as_slice());
                let (y, to) = cx.checkpoint(|| direction.run(&self.cell, cx, x, from));
                last.push(to);
                y
            };
            x = match layer.as_slice() {
                [forwards, backwards] => {
                    let y = run(forwards, &x);
                    let back = run(backwards, &x.reverse_padded(mask)).reverse_padded(mask);
                    Tensor::concat(&[&y, &back], 2) // [B, T, 2 H]
                }
                [forwards, ..] => run(forwards, &x), // [B, T, H]
                [] => x,
            };
        }
        (x, last)
    }
}

/// Adds numbers to the parts of a bias `[G H]`.
fn add_to_gates(bias: &mut Param, h: usize, of: impl Fn(usize) -> f64) {
    let mut values = bias.value().to_vec_f64();
    for (gate, part) in values.chunks_mut(h.max(1)).enumerate() {
        part.iter_mut().for_each(|b| *b += of(gate));
    }
    let (device, spec) = (bias.value().device(), bias.spec());
    bias.set(&Tensor::from_f64(&device, spec.shape, &values).to_dtype(spec.dtype));
}

impl Direction {
    fn run(
        &self,
        cell: &impl Cell,
        cx: &Ctx,
        x: &Tensor,
        state: &[Tensor],
    ) -> (Tensor, Vec<Tensor>) {
        let weights = LayerWeights {
            w_ih: &cx.param(&self.weight_ih),
            w_hh: &cx.param(&self.weight_hh),
            b_ih: &cx.param(&self.bias_ih),
            b_hh: &cx.param(&self.bias_hh),
        };
        cell.sequence(x, &weights, state)
    }

    fn named(&self) -> [(&'static str, &Param); 4] {
        [
            ("weight_ih", &self.weight_ih),
            ("weight_hh", &self.weight_hh),
            ("bias_ih", &self.bias_ih),
            ("bias_hh", &self.bias_hh),
        ]
    }

    fn named_mut(&mut self) -> [(&'static str, &mut Param); 4] {
        [
            ("weight_ih", &mut self.weight_ih),
            ("weight_hh", &mut self.weight_hh),
            ("bias_ih", &mut self.bias_ih),
            ("bias_hh", &mut self.bias_hh),
        ]
    }
}

// Written out, for torch numbers the layer at the end of each name: weight_ih_l0, weight_ih_l0_reverse.
impl<C> Module for Recurrent<C> {
    fn visit(&self, path: &mut Path, f: &mut dyn FnMut(&str, &Param)) {
        for (k, layer) in self.layers.iter().enumerate() {
            for (direction, suffix) in layer.iter().zip(SUFFIXES) {
                for (name, param) in direction.named() {
                    path.at(&format!("{name}_l{k}{suffix}"), |path| f(path.as_str(), param));
                }
            }
        }
    }

    fn visit_mut(&mut self, path: &mut Path, f: &mut dyn FnMut(&str, &mut Param)) {
        for (k, layer) in self.layers.iter_mut().enumerate() {
            for (direction, suffix) in layer.iter_mut().zip(SUFFIXES) {
                for (name, param) in direction.named_mut() {
                    path.at(&format!("{name}_l{k}{suffix}"), |path| f(path.as_str(), param));
                }
            }
        }
    }
}
