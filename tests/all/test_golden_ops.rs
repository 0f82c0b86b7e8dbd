//! Numbers of torch for single operations and update rules: attention, cross-entropy, AdamW with a linear rate.

use approx::assert_abs_diff_eq;
use foundry_engine::gradcheck::tensor_error;
use foundry_engine::ops::attention::Attention;
use foundry_engine::ops::cross_entropy::IGNORE;
use foundry_engine::ops::judge::Judgement;
use foundry_engine::ops::optimizer::{AdamW, adamw_step};
use foundry_engine::{Ctx, Device, Shape, Tensor};
use foundry_models::train::learning_rate::{LearningRate, LrShape};
use foundry_tests::{Golden, data, golden};

fn tensor(golden: &Golden, name: &str) -> Tensor {
    Tensor::from_f64(&Device::cpu(), Shape::new(golden.shape(name)), golden.get(name))
}

/// Whole numbers; what is negative is ignored.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
fn ids(golden: &Golden, name: &str) -> Tensor {
    let id = |&x: &f64| if x < 0.0 { IGNORE } else { x as u32 };
    let values: Vec<u32> = golden.get(name).iter().map(id).collect();
    Tensor::from_u32(&Device::cpu(), Shape::new(golden.shape(name)), &values)
}

fn assert_close(what: &str, got: &Tensor, expected: &[f64]) {
    let error = tensor_error(&got.to_vec_f64(), expected, 1e-3);
    assert!(error <= 1e-12, "{what}: {error:e}");
}

#[test]
fn test_golden__attention_with_padding() {
    let golden = golden("attention.safetensors");
    let mask = ids(&golden, "mask");
    for (name, attention) in [("full", Attention::full(2)), ("causal", Attention::causal(2))] {
        let cx = Ctx::grad();
        let tape = cx.tape().unwrap();
        let [q, k, v] = ["q", "k", "v"].map(|x| tape.leaf(&tensor(&golden, x)));
        let y = attention.forward(&q, &k, &v, Some(&mask));
        assert_close(name, &y, golden.get(&format!("{name}.y")));
        let grads = tape.backward(&[(&y, tensor(&golden, "dy"))]);
        for (x, which) in [(&q, "dq"), (&k, "dk"), (&v, "dv")] {
            let name = format!("{name}.{which}");
            assert_close(&name, grads.of(x).unwrap(), golden.get(&name));
        }
    }
}

#[test]
fn test_golden__cross_entropy_with_ignored_rows() {
    let golden = golden("cross_entropy.safetensors");
    let targets = ids(&golden, "targets");
    for (name, smoothing) in [("plain", 0.0), ("smoothed", 0.1)] {
        let cx = Ctx::grad();
        let tape = cx.tape().unwrap();
        let logits = tape.leaf(&tensor(&golden, "logits"));
        let y = logits.cross_entropy(&targets, smoothing);
        assert_close(name, &y, golden.get(&format!("{name}.y")));
        let grads = tape.backward(&[(&y, tensor(&golden, "dy"))]);
        let expected = golden.get(&format!("{name}.dlogits"));
        assert_close(name, grads.of(&logits).unwrap(), expected);
    }
}

/// The constants of an AdamW run with a linear rate.
struct Run {
    peak: f64,
    warmup_steps: u64,
    betas: (f64, f64),
    eps: f64,
    weight_decay: f64,
}

#[test]
fn test_golden__small_adamw_with_linear_warmup() {
    let run =
        Run { peak: 0.03, warmup_steps: 3, betas: (0.85, 0.95), eps: 1e-6, weight_decay: 0.25 };
    check_adamw(&golden("adamw.safetensors"), &run);
}

#[test]
fn test_golden__adamw_with_linear_warmup() {
    let Some(path) = data("golden/adamw_linear_warmup_f64.safetensors") else { return };
    let golden = Golden::read(&path);
    let peak = golden.get("lr").iter().copied().fold(0.0, f64::max);
    let run = Run { peak, warmup_steps: 5, betas: (0.9, 0.98), eps: 1e-8, weight_decay: 0.1 };
    check_adamw(&golden, &run);
}

fn check_adamw(golden: &Golden, run: &Run) {
    let rates = golden.get("lr");
    let schedule = LearningRate {
        shape: LrShape::Linear,
        peak: run.peak,
        floor: 0.0,
        warmup_steps: run.warmup_steps,
        total_steps: rates.len() as u64,
        reductions: 0,
    };
    let mut p = tensor(golden, "p0");
    let shape = *p.shape();
    let mut m = Tensor::zeros(&Device::cpu(), p.spec());
    let mut v = m.clone();
    let n = shape.numel();
    let judgement = Judgement::fixed(&Device::cpu(), p.dtype(), 1.0);
    let of_update = |name: &str, i: usize| &golden.get(name)[i * n..(i + 1) * n];
    for (i, lr) in rates.iter().enumerate() {
        let update = i as u64 + 1;
        assert_abs_diff_eq!(schedule.at(update), *lr, epsilon = 1e-15);
        let power = |beta: f64| 1.0 - beta.powi(i32::try_from(update).unwrap());
        let rule = AdamW {
            lr: *lr,
            beta1: run.betas.0,
            beta2: run.betas.1,
            eps: run.eps,
            weight_decay: run.weight_decay,
            correction1: power(run.betas.0),
            correction2: power(run.betas.1),
            grad_scale: 1.0,
        };
        let g = Tensor::from_f64(&Device::cpu(), shape, of_update("grads", i));
        adamw_step(rule, &mut p, [&mut m, &mut v], &g, &judgement);
        let differences = p.to_vec_f64().into_iter().zip(of_update("params", i));
        let worst = differences.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst <= 1e-15, "after update {update}: {worst:e}");
    }
}
