//! What the recurrent language models have in common: all but the cell.
//!
//! B batch, T time, E embedding, H hidden, V vocabulary; D = H, or 2 H where every layer reads from both ends.
//!
//! ```text
//! x_t    = dropout(embed[id_t])                                   [B, E]
//! h_t    = the layers' output at t, dropout between them          [B, D]
//! logits = W dropout(h_t) + b                                     [B, V]
//! ```
//!
//! The cell, that is the step from h_{t-1} to h_t, is what a paper is about: [`LSTMModel`](super::LSTMModel),
//! [`GRUModel`](super::GRUModel), [`RNNModel`](super::RNNModel).
//!
//! # Both directions
//! A bidirectional layer (Schuster, Paliwal: *Bidirectional recurrent neural networks*, 1997) has a second set of weights
//! that reads each row from its last token to its first; both outputs are put side by side. Such a model sees the
//! token after each position, so it is trained to fill in masked tokens and cannot generate.

use super::{Batch, LanguageModel, LeftToRight, Memory, OutputLayer, Size};
use crate::config::RnnConfig;
use crate::nn::{Bias, Cell, Embedding, Linear, Recurrent, RnnState};
use crate::tokenizer::SpecialIds;
use foundry_engine::{Ctx, Init, Module, Param, Path, Tensor, module};
use serde_json::{Value, json};

/// Standard deviation of the initial embedding and output weights.
const STD: f64 = 0.02;

/// A recurrent network with a language-model head.
pub struct RecurrentModel<C> {
    embed: Embedding,
    rnn: Recurrent<C>,
    head: Head,
    config: RnnConfig,
    size: Size,
}

/// The output layer: its own weights, or those of the embedding and a bias.
enum Head {
    Own(Linear),
    Tied(TiedHead),
}

struct TiedHead {
    bias: Param,
}
module!(TiedHead { bias });

impl<C: Cell> RecurrentModel<C> {
    /// A model with initial weights.
    #[must_use]
    pub fn new(c: &RnnConfig, size: Size, init: &Init) -> Self {
        let head = init.at("lm_head");
        let head = if c.tie_weights {
            Head::Tied(TiedHead { bias: head.full([size.vocab], 0.0) })
        } else {
            let inputs = c.directions() * c.hidden_size;
            Head::Own(Linear::new(&head, inputs, size.vocab, Bias::Zero, STD))
        };
        Self {
            embed: Embedding::new(&init.at("embed"), size.vocab, c.embedding_size, STD),
            rnn: Recurrent::new(&init.at("rnn"), c),
            head,
            config: c.clone(),
            size,
        }
    }
}

impl<C: Cell> RecurrentModel<C> {
    /// `[B, T, D]`, and the state after the last step.
    fn run(&self, cx: &Ctx, batch: &Batch, state: Option<&RnnState>) -> (Tensor, RnnState) {
        let x = self.embed.forward(cx, &batch.ids); // [B, T, E]
        let x = cx.dropout(self.config.embedding_dropout, &x);
        let (y, last) = self.rnn.forward(cx, &x, batch.mask.as_ref(), state); // [B, T, D]
        (cx.dropout(self.config.dropout, &y), last)
    }
}

impl<C: Cell> LanguageModel for RecurrentModel<C> {
    fn architecture(&self) -> &'static str {
        C::NAME
    }

    fn vocab_size(&self) -> usize {
        self.size.vocab
    }

    fn context_length(&self) -> Option<usize> {
        None
    }

    fn hidden(&self, cx: &Ctx, batch: &Batch) -> Tensor {
        self.run(cx, batch, None).0
    }

    fn initial_state(&self, rows: usize) -> RnnState {
        self.rnn.initial_state(rows)
    }

    fn hidden_from(&self, cx: &Ctx, batch: &Batch, state: &mut RnnState) -> Tensor {
        let [rows, _] = batch.ids.dims();
        for tensor in state.iter_mut().flatten() {
            let [all, _] = tensor.dims();
            if rows < all {
                *tensor = tensor.split(0, &[rows, all - rows]).swap_remove(0);
            }
        }
        let (hidden, last) = self.run(cx, batch, Some(state));
        *state = last.iter().map(|parts| parts.iter().map(Tensor::detach).collect()).collect();
        hidden
    }

    fn output_layer(&self, cx: &Ctx) -> OutputLayer {
        match &self.head {
            Head::Own(head) => head.output_layer(cx),
            Head::Tied(head) => self.embed.output_layer(cx, Some(&head.bias)),
        }
    }

    fn config_json(&self, special: &SpecialIds) -> Value {
        let c = &self.config;
        let class = match c.bidirectional {
            true => "FoundryRnnForMaskedLM",
            false => "FoundryRnnForCausalLM",
        };
        let auto = if c.bidirectional { "AutoModelForMaskedLM" } else { "AutoModelForCausalLM" };
        json!({
            "architectures": [class],
            "auto_map": {
                "AutoConfig": "modeling_foundry_rnn.FoundryRnnConfig",
                auto: format!("modeling_foundry_rnn.{class}"),
            },
            "model_type": "foundry_rnn",
            "rnn_type": C::NAME,
            "vocab_size": self.size.vocab,
            "embedding_size": c.embedding_size,
            "hidden_size": c.hidden_size,
            "num_layers": c.num_layers,
            "bidirectional": c.bidirectional,
            "nonlinearity": c.nonlinearity,
            "dropout": c.dropout,
            "embedding_dropout": c.embedding_dropout,
            "tie_word_embeddings": c.tie_weights,
            "bos_token_id": special.begin(),
            "eos_token_id": special.end(),
            "pad_token_id": special.pad,
            "dtype": "float32",
            "torch_dtype": "float32",
        })
    }

    fn supports_generation(&self) -> bool {
        !self.config.bidirectional
    }

    fn left_to_right(&self) -> Option<&dyn LeftToRight> {
        (!self.config.bidirectional).then_some(self)
    }
}

impl<C: Cell> LeftToRight for RecurrentModel<C> {
    fn memory(&self, rows: usize, _: usize) -> Memory {
        let (device, dtype) = self.embed.place();
        let shape = [rows, self.config.hidden_size];
        Memory::zeros(&device, dtype, &shape, (self.config.num_layers, C::STATE.len()))
    }

    fn read(&self, cx: &Ctx, ids: &Tensor, memory: &mut Memory) -> Tensor {
        let x = self.embed.forward(cx, ids);
        let (y, state) = self.rnn.forward(cx, &x, None, Some(&memory.layers));
        memory.layers = state;
        memory.read += ids.dims::<2>()[1];
        y
    }
}

// Written out, for the macro takes no type parameters.
impl<C> Module for RecurrentModel<C> {
    fn visit(&self, path: &mut Path, f: &mut dyn FnMut(&str, &Param)) {
        path.at("embed", |path| self.embed.visit(path, f));
        path.at("rnn", |path| self.rnn.visit(path, f));
        path.at("lm_head", |path| match &self.head {
            Head::Own(head) => head.visit(path, f),
            Head::Tied(head) => head.visit(path, f),
        });
    }

    fn visit_mut(&mut self, path: &mut Path, f: &mut dyn FnMut(&str, &mut Param)) {
        path.at("embed", |path| self.embed.visit_mut(path, f));
        path.at("rnn", |path| self.rnn.visit_mut(path, f));
        path.at("lm_head", |path| match &mut self.head {
            Head::Own(head) => head.visit_mut(path, f),
            Head::Tied(head) => head.visit_mut(path, f),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{ARCHITECTURES, tiny};
    use crate::collate::IGNORE;
    use crate::config::memory;
    use foundry_engine::{DType, Device, for_each_param};

    const SIZE: Size = Size { vocab: 11, positions: 9 };
    const ROWS: [&[u32]; 4] = [&[1, 2, 3, 4, 5], &[6, 7, 8], &[9], &[10, 1, 9, 2]];

    /// The rows, each predicting its own tokens, padded to `width` with the token `pad`.
    fn batch(rows: &[&[u32]], width: usize, pad: u32) -> Batch {
        let shape = [rows.len(), width];
        let tensor = |of: &dyn Fn(Option<u32>) -> u32| {
            let values: Vec<u32> =
                rows.iter().flat_map(|row| (0..width).map(|t| of(row.get(t).copied()))).collect();
            Tensor::from_u32(&Device::cpu(), shape, &values)
        };
        Batch {
            ids: tensor(&|id| id.unwrap_or(pad)),
            mask: Some(tensor(&|id| u32::from(id.is_some()))),
            targets: tensor(&|id| id.unwrap_or(IGNORE)),
            predicted: None,
        }
    }

    /// The losses of all tokens in their order, and all gradients of their sum.
    fn losses_and_gradients(model: &dyn LanguageModel, batch: &Batch) -> (Vec<f64>, Vec<f64>) {
        let nll = model.nll(&Ctx::grad(), batch, 0.0);
        let mask = batch.mask.as_ref().unwrap().to_vec_u32();
        let losses = nll.to_vec_f64().into_iter().zip(mask).filter(|(_, m)| *m == 1);
        let losses = losses.map(|(loss, _)| loss).collect();
        let grads = nll.sum().backward();
        let mut all = Vec::new();
        for_each_param(model, |_, p| all.extend(grads.param(p).unwrap().to_vec_f64()));
        (losses, all)
    }

    fn difference(a: &[f64], b: &[f64]) -> f64 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    fn models() -> Vec<(&'static str, Box<dyn LanguageModel>)> {
        let init = Init::new(&Device::cpu(), DType::F64, 5);
        let recurrent = tiny::variants().into_iter().filter(|(_, config)| config.rnn().is_some());
        let built = recurrent.map(|(variant, config)| {
            let mut models = ARCHITECTURES.iter().filter_map(|a| (a.build)(&config, SIZE, &init));
            (variant, models.next().expect("an architecture"))
        });
        built.collect()
    }

    #[test]
    fn test_recurrent__as_many_parameters_as_the_configuration_counts() {
        for (variant, config) in tiny::variants() {
            let init = Init::new(&Device::cpu(), DType::F64, 5);
            let model = ARCHITECTURES.iter().find_map(|a| (a.build)(&config, SIZE, &init)).unwrap();
            let counted = memory::parameter_count(&config, SIZE.vocab, SIZE.positions);
            let parameters = model.parameter_count() as u128;
            assert_eq!(parameters, counted, "{} {variant}", model.architecture());
        }
    }

    #[test]
    fn test_recurrent__padding_changes_nothing() {
        for (variant, model) in models() {
            let (losses, gradients) = losses_and_gradients(&*model, &batch(&ROWS, 5, 0));
            for (width, pad) in [(5, 3), (9, 0), (9, 7)] {
                let (l, g) = losses_and_gradients(&*model, &batch(&ROWS, width, pad));
                let off = difference(&losses, &l).max(difference(&gradients, &g));
                assert!(off <= 1e-12, "{} {variant}, {width}: {off}", model.architecture());
            }
            let alone =
                ROWS.iter().map(|r| losses_and_gradients(&*model, &batch(&[r], r.len(), 0)));
            let (mut l, mut g) = (Vec::new(), vec![0.0; gradients.len()]);
            for (row, gradient) in alone {
                l.extend(row);
                g.iter_mut().zip(gradient).for_each(|(sum, x)| *sum += x);
            }
            let off = difference(&losses, &l).max(difference(&gradients, &g));
            assert!(off <= 1e-12, "{} {variant}, one by one: {off}", model.architecture());
        }
    }

    #[test]
    fn test_recurrent__a_bidirectional_model_sees_both_sides_and_no_other_row() {
        for (variant, model) in models() {
            let both = !model.supports_generation();
            assert_eq!(both, variant.starts_with("bidirectional"));
            let hidden = |rows: &[&[u32]]| {
                let x = model.hidden(&Ctx::eval(), &batch(rows, 5, 0));
                let width = x.shape().last();
                x.to_vec_f64().chunks(width).map(<[f64]>::to_vec).collect::<Vec<_>>()
            };
            let before = hidden(&ROWS);
            let after = hidden(&[&[1, 2, 8, 4, 5], ROWS[1], ROWS[2], ROWS[3]]);
            let changed: Vec<usize> = (0..20).filter(|t| before[*t] != after[*t]).collect();
            let expected: &[usize] = if both { &[0, 1, 2, 3, 4] } else { &[2, 3, 4] };
            assert_eq!(changed, expected, "{} {variant}", model.architecture());
        }
    }

    /// Two halves of a text, the state carried over: the losses of the whole, but for the dropout.
    #[test]
    fn test_recurrent__a_carried_state_goes_on_where_it_ended() {
        let text: [&[u32]; 3] = [&[1, 2, 3, 4, 5, 6], &[7, 8, 9, 10, 1, 2], &[3, 3, 5, 5, 7, 7]];
        let part = |from: usize| text.map(|row| &row[from..from + 3]);
        for (variant, model) in models().into_iter().filter(|(_, m)| m.supports_generation()) {
            let hidden = |rows: &[&[u32]], state: &mut RnnState| {
                let x = model.hidden_from(&Ctx::eval(), &batch(rows, rows[0].len(), 0), state);
                x.to_vec_f64()
            };
            let width = 3 * tiny::WIDTH;
            let whole = hidden(&text, &mut model.initial_state(3));
            let second: Vec<f64> =
                whole.chunks(2 * width).flat_map(|row| row[width..].to_vec()).collect();

            // One column more than there are rows.
            let mut state = model.initial_state(4);
            let _ = hidden(&part(0), &mut state);
            assert!(
                state.iter().flatten().all(|t| t.dims() == [3, tiny::WIDTH] && !t.is_tracked())
            );
            let found = hidden(&part(3), &mut state);

            assert!(difference(&second, &found) <= 1e-14, "{} {variant}", model.architecture());
            let forgotten = hidden(&part(3), &mut model.initial_state(3));
            assert!(difference(&second, &forgotten) > 1e-6, "{} {variant}", model.architecture());
        }
    }
}
