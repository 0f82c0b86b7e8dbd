//! Layers of long short-term memory, with the parameter names of torch.nn.LSTM.

use foundry_engine::ops::lstm::{LstmWeights, lstm_sequence};
use foundry_engine::{Ctx, Init, Module, Param, Path, Tensor};

/// One layer's weights; the four gates i, f, g, o are stacked in that order.
struct Layer {
    /// `[4H, in]`
    weight_ih: Param,
    /// `[4H, H]`
    weight_hh: Param,
    /// `[4H]`
    bias_ih: Param,
    /// `[4H]`
    bias_hh: Param,
}

/// A stack of LSTM layers that read left to right, with dropout between them.
pub struct Lstm {
    layers: Vec<Layer>,
    dropout: f64,
    hidden_size: usize,
}

/// The state of every layer: h and c, `[B, H]` each.
pub type LstmState = Vec<(Tensor, Tensor)>;

impl Lstm {
    /// All weights from U(-bound, bound); `forget_bias` is added to the forget gate's part of `bias_ih`.
    #[must_use]
    pub fn new(
        init: &Init,
        (inputs, hidden_size, layers): (usize, usize, usize),
        dropout: f64,
        bound: f64,
        forget_bias: f64,
    ) -> Self {
        let h = hidden_size;
        let layer = |k: usize| {
            let inputs = if k == 0 { inputs } else { h };
            let mut layer = Layer {
                weight_ih: init.uniform(&format!("weight_ih_l{k}"), [4 * h, inputs], bound),
                weight_hh: init.uniform(&format!("weight_hh_l{k}"), [4 * h, h], bound),
                bias_ih: init.uniform(&format!("bias_ih_l{k}"), [4 * h], bound),
                bias_hh: init.uniform(&format!("bias_hh_l{k}"), [4 * h], bound),
            };
            add_to_forget_gate(&mut layer.bias_ih, h, forget_bias);
            layer
        };
        let layers = (0..layers).map(layer).collect();
        Self { layers, dropout, hidden_size }
    }

    /// `[B, T, in] -> [B, T, H]`, from `state` (or zeros), and the state after the last step.
    #[must_use]
    pub fn forward(&self, cx: &Ctx, x: &Tensor, state: Option<&LstmState>) -> (Tensor, LstmState) {
        let [b, _, _] = x.dims();
        let zero = Tensor::zeros(&x.device(), x.spec().with_shape([b, self.hidden_size]));
        let mut x = x.clone();
        let mut last = LstmState::with_capacity(self.layers.len());
        for (k, layer) in self.layers.iter().enumerate() {
            if k > 0 {
                x = cx.dropout(self.dropout, &x);
            }
            let (h, c) = state.map_or((&zero, &zero), |s| (&s[k].0, &s[k].1));
            let weights = LstmWeights {
                w_ih: &cx.param(&layer.weight_ih),
                w_hh: &cx.param(&layer.weight_hh),
                b_ih: &cx.param(&layer.bias_ih),
                b_hh: &cx.param(&layer.bias_hh),
            };
            let out = cx.checkpoint(|| lstm_sequence(&x, &weights, h, c));
            last.push((out.h_n, out.c_n));
            x = out.y;
        }
        (x, last)
    }
}

/// Jozefowicz et al. 2015: a forget gate that begins open.
fn add_to_forget_gate(bias: &mut Param, h: usize, forget_bias: f64) {
    if forget_bias != 0.0 {
        let mut values = bias.value().to_vec_f64();
        values[h..2 * h].iter_mut().for_each(|b| *b += forget_bias);
        let (device, spec) = (bias.value().device(), bias.spec());
        bias.set(&Tensor::from_f64(&device, spec.shape, &values).to_dtype(spec.dtype));
    }
}

impl Layer {
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

// Written out, for torch numbers the layer at the end of each name: weight_ih_l0.
impl Module for Lstm {
    fn visit(&self, path: &mut Path, f: &mut dyn FnMut(&str, &Param)) {
        for (k, layer) in self.layers.iter().enumerate() {
            for (name, param) in layer.named() {
                path.at(&format!("{name}_l{k}"), |path| f(path.as_str(), param));
            }
        }
    }

    fn visit_mut(&mut self, path: &mut Path, f: &mut dyn FnMut(&str, &mut Param)) {
        for (k, layer) in self.layers.iter_mut().enumerate() {
            for (name, param) in layer.named_mut() {
                path.at(&format!("{name}_l{k}"), |path| f(path.as_str(), param));
            }
        }
    }
}
