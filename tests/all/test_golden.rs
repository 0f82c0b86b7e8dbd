//! Numbers of reference implementations: Hugging Face GPT2LMHeadModel, torch.nn.LSTM, torch.optim.AdamW.

use foundry_engine::gradcheck::tensor_error;
use foundry_engine::ops::cross_entropy::IGNORE;
use foundry_engine::ops::optimizer::{AdamW, adamw_step};
use foundry_engine::{Ctx, DType, Device, Grads, Init, Tensor, for_each_param, for_each_param_mut};
use foundry_models::arch::{Batch, GPT2Model, LanguageModel, Size};
use foundry_models::config::TransformerConfig;
use foundry_models::config::choices::Activation;
use foundry_models::nn::Lstm;

use foundry_models::train::learning_rate::{LearningRate, LrShape};
use foundry_tests::{Golden, data};
use std::path::Path;

fn gpt2_tiny(folder: &Path, dtype: DType) -> GPT2Model {
    let config = TransformerConfig {
        layers: 2,
        hidden_size: 48,
        intermediate_hidden_size: 192,
        attention_heads: 3,
        activation: Activation::GeluNew,
        dropout: 0.0,
        attention_dropout: 0.0,
        embedding_dropout: 0.0,
        layer_norm_epsilon: 1e-5,
        tie_weights: true,
        initializer_range: 0.02,
    };
    let size = Size { vocab: 101, positions: 32 };
    let mut model = GPT2Model::new(&config, size, &Init::new(&Device::cpu(), dtype, 0));
    let weights = Golden::read(&folder.join("model.safetensors"));
    let mut known = 0;
    for_each_param_mut(&mut model, |name, p| {
        assert_eq!(p.spec().shape.as_slice(), weights.shape(name), "{name}");
        p.set(&Tensor::from_f64(&Device::cpu(), p.spec().shape, weights.get(name)).to_dtype(dtype));
        known += 1;
    });
    assert_eq!(known, weights.names().count(), "the file has no other tensors");
    model
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
    };
    (batch, real as f64)
}

fn loss_and_grads(model: &dyn LanguageModel, batch: &Batch, real: f64) -> (f64, Grads) {
    let loss = model.nll(&Ctx::grad(), batch, 0.0).sum().scale(1.0 / real);
    (loss.item(), loss.backward())
}

fn check_gpt2(dtype: DType, expected: &str, suffix: &str, tolerance: f64) {
    let Some(folder) = data("golden/gpt2-tiny") else { return };
    let inputs = Golden::read(&folder.join("expected.safetensors"));
    let golden = Golden::read(&folder.join(expected));
    let model = gpt2_tiny(&folder, dtype);
    let (batch, real) = gpt2_batch(&inputs);

    let logits = model.logits(&Ctx::eval(), &batch).to_vec_f64();
    let mask = inputs.get("attention_mask");
    let at_tokens = |x: &[f64]| {
        let rows = x.chunks_exact(101).zip(mask);
        rows.filter(|(_, m)| **m > 0.0).flat_map(|(row, _)| row.to_vec()).collect::<Vec<f64>>()
    };
    let error =
        tensor_error(&at_tokens(&logits), &at_tokens(golden.get(&format!("logits{suffix}"))), 1e-3);
    assert!(error <= tolerance, "logits: {error:e}");

    let (loss, grads) = loss_and_grads(&model, &batch, real);
    // The f64 loss is stored as f32.
    let stored = golden.get(&format!("loss{suffix}"))[0];
    assert!((loss - stored).abs() <= 1e-6 * stored.abs(), "loss {loss} against {stored}");

    let floor = 1e-3 * golden.largest_norm("grad.");
    for_each_param(&model, |name, p| {
        let g = grads.param(p).unwrap_or_else(|| panic!("no gradient of {name}"));
        let error = tensor_error(&g.to_vec_f64(), golden.get(&format!("grad.{name}")), floor);
        assert!(error <= tolerance, "gradient of {name}: {error:e}");
    });
}

#[test]
fn test_golden__gpt2_in_f64() {
    check_gpt2(DType::F64, "expected_f64.safetensors", "_f64", 1e-10);
}

#[test]
fn test_golden__gpt2_in_f32() {
    check_gpt2(DType::F32, "expected.safetensors", "", 1e-5);
}

#[test]
fn test_golden__lstm_in_f64() {
    check_lstm(DType::F64, 1e-10);
}

#[test]
fn test_golden__lstm_in_f32() {
    check_lstm(DType::F32, 1e-5);
}

fn check_lstm(dtype: DType, tolerance: f64) {
    let Some(path) = data("golden/lstm_f64.safetensors") else { return };
    let golden = Golden::read(&path);
    let cpu = Device::cpu();
    let tensor =
        |name: &str| Tensor::from_f64(&cpu, golden.shape(name), golden.get(name)).to_dtype(dtype);
    // h0 and c0 are [layers, B, H]: one layer's [B, H] each.
    let state_of = |name: &str, k: usize| {
        let &[_, b, h] = golden.shape(name) else { panic!("{name} has three axes") };
        let layer = &golden.get(name)[k * b * h..(k + 1) * b * h];
        Tensor::from_f64(&cpu, [b, h], layer).to_dtype(dtype)
    };
    let mut lstm = Lstm::new(&Init::new(&cpu, dtype, 0), (24, 20, 2), 0.0, 0.1, 0.0);
    for_each_param_mut(&mut lstm, |name, p| p.set(&tensor(&format!("w.{name}"))));

    let cx = Ctx::grad();
    let tape = cx.tape().unwrap();
    let x = tape.leaf(&tensor("x"));
    let state: Vec<_> =
        (0..2).map(|k| (tape.leaf(&state_of("h0", k)), tape.leaf(&state_of("c0", k)))).collect();
    let (y, last) = lstm.forward(&cx, &x, Some(&state));
    let grads = tape.backward(&[(&y, tensor("dy"))]);

    let floor = 1e-3 * golden.largest_norm("dw.");
    let check = |what: &str, got: &Tensor, expected: &[f64], floor: f64| {
        let error = tensor_error(&got.to_vec_f64(), expected, floor);
        assert!(error <= tolerance, "{what}: {error:e}");
    };
    check("y", &y, golden.get("y"), 1e-3);
    check("dx", grads.of(&x).unwrap(), golden.get("dx"), floor);
    for (k, ((h0, c0), (hn, cn))) in state.iter().zip(&last).enumerate() {
        let part = |name: &str| state_of(name, k).to_vec_f64();
        check("hn", hn, &part("hn"), 1e-3);
        check("cn", cn, &part("cn"), 1e-3);
        check("dh0", grads.of(h0).unwrap(), &part("dh0"), floor);
        check("dc0", grads.of(c0).unwrap(), &part("dc0"), floor);
    }
    for_each_param(&lstm, |name, p| {
        check(name, grads.param(p).unwrap(), golden.get(&format!("dw.{name}")), floor);
    });
}

#[test]
fn test_golden__adamw_with_linear_warmup() {
    let Some(path) = data("golden/adamw_linear_warmup_f64.safetensors") else { return };
    let golden = Golden::read(&path);
    let cpu = Device::cpu();
    let schedule = LearningRate {
        shape: LrShape::Linear,
        peak: golden.get("lr").iter().copied().fold(0.0, f64::max),
        floor: 0.0,
        warmup_steps: 5,
        total_steps: 20,
    };
    let mut p = Tensor::from_f64(&cpu, [7, 5], golden.get("p0"));
    let mut m = Tensor::zeros(&cpu, p.spec());
    let mut v = m.clone();
    for (i, lr) in golden.get("lr").iter().enumerate() {
        let update = i as u64 + 1;
        assert!((schedule.at(update) - lr).abs() <= 1e-15, "rate of update {update}");
        let power = |beta: f64| 1.0 - beta.powi(i32::try_from(update).unwrap());
        let rule = AdamW {
            lr: *lr,
            beta1: 0.9,
            beta2: 0.98,
            eps: 1e-8,
            weight_decay: 0.1,
            correction1: power(0.9),
            correction2: power(0.98),
            grad_scale: 1.0,
        };
        let part = i * 35..(i + 1) * 35;
        let g = Tensor::from_f64(&cpu, [7, 5], &golden.get("grads")[part.clone()]);
        adamw_step(rule, &mut p, &mut m, &mut v, &g);
        let worst = p
            .to_vec_f64()
            .iter()
            .zip(&golden.get("params")[part])
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f64::max);
        assert!(worst <= 1e-15, "after update {update}: {worst:e}");
    }
}
