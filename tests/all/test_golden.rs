//! Numbers of reference implementations: Hugging Face GPT2LMHeadModel, in the small files of
//! `tests/golden` (made by the script there) and in the larger ones of the data kept beside the project.

use foundry_engine::gradcheck::tensor_error;
use foundry_engine::ops::cross_entropy::IGNORE;
use foundry_engine::{Ctx, DType, Device, Grads, Init, Tensor, for_each_param, for_each_param_mut};
use foundry_models::arch::{Batch, GPT2Model, LanguageModel, Size};
use foundry_models::config::TransformerConfig;
use foundry_models::config::choices::Activation;
use foundry_tests::{Golden, data, golden};

/// A GPT-2 of Hugging Face: what it was made with, given, and computed.
struct Gpt2<'a> {
    config: TransformerConfig,
    size: Size,
    /// The weights, and what their names begin with in that file.
    weights: (&'a Golden, &'static str),
    /// Ids, mask and labels.
    inputs: &'a Golden,
    /// Logits, loss and gradients; the names of the first two end in `suffix`.
    expected: &'a Golden,
    suffix: &'static str,
}

fn config(width: usize, intermediate: usize, heads: usize) -> TransformerConfig {
    TransformerConfig {
        layers: 2,
        hidden_size: width,
        intermediate_hidden_size: intermediate,
        attention_heads: heads,
        activation: Activation::GeluNew,
        dropout: 0.0,
        attention_dropout: 0.0,
        embedding_dropout: 0.0,
        layer_norm_epsilon: 1e-5,
        tie_weights: true,
        initializer_range: 0.02,
    }
}

impl Gpt2<'_> {
    fn model(&self, dtype: DType) -> GPT2Model {
        let mut model =
            GPT2Model::new(&self.config, self.size, &Init::new(&Device::cpu(), dtype, 0));
        set_weights(&mut model, self.weights);
        model
    }

    /// Logits, loss and every gradient, against those of the file.
    fn check(&self, dtype: DType, tolerance: f64) {
        let model = self.model(dtype);
        let (batch, real) = gpt2_batch(self.inputs);

        let logits = model.logits(&Ctx::eval(), &batch).to_vec_f64();
        let mask = self.inputs.get("attention_mask");
        let at_tokens = |x: &[f64]| {
            let rows = x.chunks_exact(self.size.vocab).zip(mask);
            rows.filter(|(_, m)| **m > 0.0).flat_map(|(row, _)| row.to_vec()).collect::<Vec<f64>>()
        };
        let expected = self.expected.get(&format!("logits{}", self.suffix));
        let error = tensor_error(&at_tokens(&logits), &at_tokens(expected), 1e-3);
        assert!(error <= tolerance, "logits: {error:e}");

        let (loss, grads) = loss_and_grads(&model, &batch, real);
        let stored = self.expected.get(&format!("loss{}", self.suffix))[0];
        // Hugging Face takes its own loss in f32 whatever the model is in, so the loss of an f64 file is an f32, and its
        // gradients carry the rounding of the f32 gradient of the logits: 4e-8 from those of torch all in f64, to
        // which the files of tests/golden are held (make_golden.py), without allowance.
        let own_loss = self.suffix.is_empty();
        let loss_tolerance = if own_loss { tolerance } else { 1e-6 };
        let gradient_tolerance = if own_loss { tolerance } else { 1e-7 };
        let error = (loss - stored).abs() / stored.abs();
        assert!(error <= loss_tolerance, "loss {loss} against {stored}");

        check_gradients(&model, &grads, self.expected, gradient_tolerance);
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "token ids")]
fn gpt2_batch(inputs: &Golden) -> (Batch, f64) {
    let [b, t] = inputs.shape("input_ids").try_into().unwrap();
    let u32s = |name: &str| inputs.get(name).iter().map(|&x| x as u32).collect::<Vec<_>>();
    let labels = inputs.get("labels");
    // Hugging Face shifts inside the model: position t is scored on label t + 1.
    let target = |i: usize| match i % t {
        last if last == t - 1 => IGNORE,
        _ if labels[i + 1] < 0.0 => IGNORE,
        _ => labels[i + 1] as u32,
    };
    let targets: Vec<u32> = (0..b * t).map(target).collect();
    let real = targets.iter().filter(|&&t| t != IGNORE).count();
    let tensor = |x: &[u32]| Tensor::from_u32(&Device::cpu(), [b, t], x);
    let batch = Batch {
        ids: tensor(&u32s("input_ids")),
        mask: Some(tensor(&u32s("attention_mask"))),
        targets: tensor(&targets),
        predicted: None,
    };
    (batch, real as f64)
}

/// Gives a model the weights of a file, whose names begin with a prefix; the file must have no others.
pub(crate) fn set_weights(model: &mut dyn LanguageModel, (weights, prefix): (&Golden, &str)) {
    let mut known = 0;
    for_each_param_mut(model, |name, p| {
        let name = format!("{prefix}{name}");
        assert_eq!(p.spec().shape.as_slice(), weights.shape(&name), "{name}");
        let value = Tensor::from_f64(&Device::cpu(), p.spec().shape, weights.get(&name));
        p.set(&value.to_dtype(p.spec().dtype));
        known += 1;
    });
    let there = weights.names().filter(|name| name.starts_with(prefix)).count();
    assert_eq!(known, there, "the file has other weights");
}

/// Every gradient against that of a file.
pub(crate) fn check_gradients(
    model: &dyn LanguageModel,
    grads: &Grads,
    expected: &Golden,
    tolerance: f64,
) {
    let floor = 1e-3 * expected.largest_norm("grad.");
    for_each_param(model, |name, p| {
        let g = grads.param(p).unwrap_or_else(|| panic!("no gradient of {name}"));
        let error = tensor_error(&g.to_vec_f64(), expected.get(&format!("grad.{name}")), floor);
        assert!(error <= tolerance, "gradient of {name}: {error:e}");
    });
}

fn loss_and_grads(model: &dyn LanguageModel, batch: &Batch, real: f64) -> (f64, Grads) {
    let loss = model.loss(&Ctx::grad(), batch, 0.0, 1.0 / real, None);
    (loss.item(), loss.backward())
}

/// The larger model of the data beside the project.
fn check_gpt2_tiny(dtype: DType, expected: &str, suffix: &'static str, tolerance: f64) {
    let Some(folder) = data("golden/gpt2-tiny") else { return };
    let weights = Golden::read(&folder.join("model.safetensors"));
    let inputs = Golden::read(&folder.join("expected.safetensors"));
    let gpt2 = Gpt2 {
        config: config(48, 192, 3),
        size: Size { vocab: 101, positions: 32 },
        weights: (&weights, ""),
        inputs: &inputs,
        expected: &Golden::read(&folder.join(expected)),
        suffix,
    };
    gpt2.check(dtype, tolerance);
}

/// The small models of this repository.
fn check_gpt2_small(file: &str, config: TransformerConfig) {
    let golden = golden(file);
    let size = Size { vocab: 23, positions: 8 };
    let weights = (&golden, "w.");
    let gpt2 = Gpt2 { config, size, weights, inputs: &golden, expected: &golden, suffix: "" };
    gpt2.check(DType::F64, 1e-10);
    gpt2.check(DType::F32, 1e-5);
}

#[test]
fn test_golden__gpt2_tied_with_gelu_new() {
    check_gpt2_small("gpt2_tied_gelu_new.safetensors", config(12, 32, 3));
}

#[test]
fn test_golden__gpt2_untied_with_gelu() {
    let config =
        TransformerConfig { activation: Activation::Gelu, tie_weights: false, ..config(12, 32, 3) };
    check_gpt2_small("gpt2_untied_gelu.safetensors", config);
}

#[test]
fn test_golden__gpt2_tiny_in_f64() {
    check_gpt2_tiny(DType::F64, "expected_f64.safetensors", "_f64", 1e-10);
}

#[test]
fn test_golden__gpt2_tiny_in_f32() {
    check_gpt2_tiny(DType::F32, "expected.safetensors", "", 1e-5);
}
