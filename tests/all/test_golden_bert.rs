//! Numbers of Hugging Face's BertForMaskedLM: logits, loss and every gradient.

use crate::test_golden::{check_gradients, set_weights};
use foundry_engine::gradcheck::tensor_error;
use foundry_engine::ops::cross_entropy::IGNORE;
use foundry_engine::{Ctx, DType, Device, Init, Tensor};
use foundry_models::arch::{BERTModel, Batch, LanguageModel, Size, tiny};
use foundry_models::config::choices::Activation;
use foundry_models::config::{BertConfig, TransformerConfig};
use foundry_tests::{Golden, data, golden};

/// What was given and computed.
struct Bert<'a> {
    config: BertConfig,
    size: Size,
    /// The weights, and what their names begin with in that file.
    weights: (&'a Golden, &'static str),
    /// Ids, mask, segments and labels.
    inputs: &'a Golden,
    /// Logits, loss and gradients.
    expected: &'a Golden,
    /// What the names of logits and loss end in.
    suffix: &'static str,
}

impl Bert<'_> {
    /// Logits, loss and every gradient, against those of the file. Hugging Face takes its own loss in f32 whatever the
    /// model is in: a file of the data beside the project (`own_loss`) is held to what that rounding costs, as
    /// `test_golden` says of GPT-2; the files of `tests/golden` are all in f64.
    fn check(&self, dtype: DType, tolerance: f64, own_loss: bool) {
        let mut model =
            BERTModel::new(&self.config, self.size, &Init::new(&Device::cpu(), dtype, 0));
        set_weights(&mut model, self.weights);
        let (batch, segments) = self.batch();
        let v = self.size.vocab;

        let cx = Ctx::grad();
        let logits = model.project(&cx, &model.encode(&cx, &batch, Some(&segments)));
        let mask = batch.mask.as_ref().expect("a mask").to_vec_u32();
        let at_tokens = |x: &[f64]| {
            let rows = x.chunks_exact(v).zip(&mask).filter(|(_, m)| **m > 0);
            rows.flat_map(|(row, _)| row.to_vec()).collect::<Vec<f64>>()
        };
        let expected = self.expected.get(&format!("logits{}", self.suffix));
        let error = tensor_error(&at_tokens(&logits.to_vec_f64()), &at_tokens(expected), 1e-3);
        assert!(error <= tolerance, "logits: {error:e}");

        let rows = mask.len();
        let targets = batch.targets.reshape([rows]);
        let real = targets.to_vec_u32().iter().filter(|t| **t != IGNORE).count();
        #[expect(clippy::cast_precision_loss, reason = "a few targets")]
        let share = 1.0 / real as f64;
        let loss = logits.reshape([rows, v]).cross_entropy(&targets, 0.0).sum().scale(share);
        let stored = self.expected.get(&format!("loss{}", self.suffix))[0];
        let rounded = own_loss && dtype == DType::F64;
        let (of_loss, of_gradients) = if rounded { (1e-6, 1e-7) } else { (tolerance, tolerance) };
        let error = (loss.item() - stored).abs() / stored.abs();
        assert!(error <= of_loss, "loss {} against {stored}", loss.item());
        check_gradients(&model, &loss.backward(), self.expected, of_gradients);
    }

    /// The batch and its segments.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "token ids")]
    fn batch(&self) -> (Batch, Tensor) {
        let shape: [usize; 2] = self.inputs.shape("input_ids").try_into().unwrap();
        let tensor = |name: &str| {
            let id = |x: &f64| if *x < 0.0 { IGNORE } else { *x as u32 };
            let ids: Vec<u32> = self.inputs.get(name).iter().map(id).collect();
            Tensor::from_u32(&Device::cpu(), shape, &ids)
        };
        let mask = Some(tensor("attention_mask"));
        let batch =
            Batch { ids: tensor("input_ids"), mask, targets: tensor("labels"), predicted: None };
        (batch, tensor("token_type_ids"))
    }
}

/// The shapes of `make_golden.py`.
fn check_small(file: &str, activation: Activation, tie_weights: bool) {
    let golden = golden(file);
    let transformer = TransformerConfig {
        hidden_size: 12,
        intermediate_hidden_size: 32,
        attention_heads: 3,
        activation,
        layer_norm_epsilon: 1e-12,
        tie_weights,
        ..tiny::transformer(0.0)
    };
    let bert = Bert {
        config: BertConfig { transformer, type_vocab_size: 2 },
        size: Size { vocab: 23, positions: 8 },
        weights: (&golden, "w."),
        inputs: &golden,
        expected: &golden,
        suffix: "",
    };
    bert.check(DType::F64, 1e-10, false);
    bert.check(DType::F32, 1e-5, false);
}

/// The larger model of the data beside the project.
fn check_tiny(dtype: DType, expected: &str, suffix: &'static str, tolerance: f64) {
    let Some(folder) = data("golden/bert-tiny") else { return };
    let transformer = TransformerConfig {
        hidden_size: 48,
        intermediate_hidden_size: 96,
        attention_heads: 3,
        activation: Activation::Gelu,
        layer_norm_epsilon: 1e-12,
        ..tiny::transformer(0.0)
    };
    let bert = Bert {
        config: BertConfig { transformer, type_vocab_size: 2 },
        size: Size { vocab: 103, positions: 32 },
        weights: (&Golden::read(&folder.join("model.safetensors")), ""),
        inputs: &Golden::read(&folder.join("expected.safetensors")),
        expected: &Golden::read(&folder.join(expected)),
        suffix,
    };
    bert.check(dtype, tolerance, true);
}

#[test]
fn test_golden__bert_tied_with_gelu() {
    check_small("bert_tied_gelu.safetensors", Activation::Gelu, true);
}

#[test]
fn test_golden__bert_untied_with_relu() {
    check_small("bert_untied_relu.safetensors", Activation::Relu, false);
}

#[test]
fn test_golden__bert_tiny_in_f64() {
    check_tiny(DType::F64, "expected_f64.safetensors", "_f64", 1e-10);
}

#[test]
fn test_golden__bert_tiny_in_f32() {
    check_tiny(DType::F32, "expected.safetensors", "", 1e-5);
}
