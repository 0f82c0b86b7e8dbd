//! Attention on tensor cores, against the CPU in f64 on the same numbers of 16 bits.

use crate::support::{Gpu, Outcome, mutants_of, prove, random_half};
use foundry_kernels::cpu::attention::{self as cpu, Attention, Visibility};
use foundry_kernels::cpu::dropout::Dropout;
use foundry_kernels::cuda::attention::{Grads, Inputs};
use foundry_kernels::cuda::launch::{NULL, Pointer};
use foundry_kernels::cuda::tensor_cores::{
    ATTENTION_BF16_BACKWARD, ATTENTION_BF16_FORWARD, ATTENTION_F16_FORWARD, Half,
    attention_backward, attention_forward,
};

/// Sizes are batch, queries, keys, heads, width of a head.
fn setting(sizes: [usize; 5], visibility: Visibility, p: f64) -> Attention {
    let [batch, queries, keys, heads, head_dim] = sizes;
    let dropout = (p > 0.0).then(|| (Dropout::new([7, 8], p), 11));
    let scale = f64::from((1.0 / (head_dim as f64).sqrt()) as f32);
    Attention { batch, queries, keys, heads, head_dim, scale, visibility, dropout }
}

/// Which of the three kernels a check launches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Forward,
    Queries,
    Keys,
}

/// What is rounded on the way (probabilities, their gradients) is wrong by 2^-9 of itself in bf16, by 2^-12 in f16.
fn tolerance(half: Half) -> f64 {
    if half == Half::Bf16 { 5e-3 } else { 8e-4 }
}

fn case(gpu: &mut Gpu, half: Half, a: &Attention, mask: Option<&[u32]>, part: Part) -> Outcome {
    let width = a.width();
    let (nq, nk) = (a.batch * a.queries * width, a.batch * a.keys * width);
    let [q, gy] = [1, 4].map(|seed| random_half(half, nq, seed));
    let [k, v] = [2, 3].map(|seed| random_half(half, nk, seed));
    let stats = a.batch * a.heads * a.queries;
    let (mut y, mut lse) = (vec![0.0; nq], vec![0.0; stats]);
    let x = cpu::Inputs { q: &q, k: &k, v: &v, stride: width, key_rows: a.keys };
    cpu::forward(a, x, mask, &mut y, &mut lse);

    let on_gpu = mask.map_or(NULL, |m| gpu.upload_u32(m));
    let [q_, k_, v_, gy_] = [&q, &k, &v, &gy].map(|x| gpu.upload_half(half, x));
    let inputs =
        Inputs { q: q_, k: k_, v: v_, stride: width as u32, key_rows: a.keys as u32, mask: on_gpu };
    if part == Part::Forward {
        let (y_, lse_) = (gpu.fresh(nq), gpu.fresh(stats));
        gpu.run(&attention_forward(half, a, &inputs, y_, lse_))?;
        gpu.expect("lse", lse_, &lse, 2e-6)?;
        return gpu.expect("y", y_, &y, tolerance(half));
    }
    let (mut gq, mut gk, mut gv) = (vec![0.0; nq], vec![0.0; nk], vec![0.0; nk]);
    let grads = cpu::Grads::Separate { q: &mut gq, k: &mut gk, v: &mut gv };
    cpu::backward(a, x, mask, &y, &lse, &gy, grads);
    let saved = [gpu.upload_wide(&y), gpu.upload_wide(&lse), gpu.upload_wide(&gy), gy_];
    let dot = gpu.fresh(stats);
    let [q, k, v] = [nq, nk, nk].map(|n| gpu.fresh(n));
    let grads = Grads { q, k, v, stride: width as u32 };
    let [dots, of_q, of_kv] = attention_backward(half, a, &inputs, saved, dot, &grads);
    gpu.run(&dots)?;
    if part == Part::Queries {
        gpu.run(&of_q)?;
        return gpu.expect("gradient of q", grads.q, &gq, tolerance(half));
    }
    gpu.run(&of_kv)?;
    gpu.expect("gradient of k", grads.k, &gk, tolerance(half))?;
    gpu.expect("gradient of v", grads.v, &gv, tolerance(half))
}

/// Sample 1 has padding at its end, the others here and there.
fn padding(a: &Attention) -> Vec<u32> {
    let kept = |s: usize, j: usize| s != 1 && j % 7 != 3 || s == 1 && j + 2 < a.keys;
    let all = (0..a.batch).flat_map(|s| (0..a.keys).map(move |j| u32::from(kept(s, j))));
    all.collect()
}

fn check(gpu: &mut Gpu, half: Half, d: usize, part: Part) -> Outcome {
    use Visibility::{Causal, Full};
    for (sizes, visibility, p, masked) in [
        ([1, 70, 90, 1, d], Causal, 0.3, true),
        ([2, 3, 2, 2, d], Full, 0.0, true),
        ([1, 65, 130, 1, d], Full, 0.0, false),
    ] {
        let a = setting(sizes, visibility, p);
        let mask = masked.then(|| padding(&a));
        let what = |e| format!("{sizes:?} {visibility:?} {p} {masked}: {e}");
        case(gpu, half, &a, mask.as_deref(), part).map_err(what)?;
    }
    Ok(())
}

/// Each format, and each width of a head.
const EVERY: [(Half, usize); 6] = [
    (Half::Bf16, 32),
    (Half::Bf16, 64),
    (Half::Bf16, 128),
    (Half::F16, 32),
    (Half::F16, 64),
    (Half::F16, 128),
];

#[test]
fn test_tensor_attention__forward() {
    for (half, d) in EVERY {
        prove(|gpu| check(gpu, half, d, Part::Forward));
    }
}

#[test]
fn test_tensor_attention__gradient_of_queries() {
    for (half, d) in EVERY {
        prove(|gpu| check(gpu, half, d, Part::Queries));
    }
}

#[test]
fn test_tensor_attention__gradients_of_keys_and_values() {
    for (half, d) in EVERY {
        prove(|gpu| check(gpu, half, d, Part::Keys));
    }
}

/// Queries, keys and values side by side; one query against a cache with room for more keys than are there.
#[test]
fn test_tensor_attention__packed_and_cache() {
    prove(|gpu| {
        let half = Half::Bf16;
        let a = setting([2, 6, 6, 2, 32], Visibility::Causal, 0.0);
        let qkv = random_half(half, 12 * 192, 1);
        let (mut y, mut lse) = (vec![0.0; 12 * 64], vec![0.0; 24]);
        cpu::forward(&a, cpu::Inputs::packed(&qkv, 64, 6), None, &mut y, &mut lse);
        let at = |p: Pointer, n: u64| Pointer(p.0 + 2 * 64 * n);
        let qkv = gpu.upload_half(half, &qkv);
        let x =
            Inputs { q: qkv, k: at(qkv, 1), v: at(qkv, 2), stride: 192, key_rows: 6, mask: NULL };
        let (y_, lse_) = (gpu.fresh(y.len()), gpu.fresh(24));
        gpu.run(&attention_forward(half, &a, &x, y_, lse_))?;
        gpu.expect("packed", y_, &y, tolerance(half))?;

        let a = setting([2, 1, 5, 1, 32], Visibility::Causal, 0.0);
        let (q, k, v) =
            (random_half(half, 64, 1), random_half(half, 512, 2), random_half(half, 512, 3));
        let (mut y, mut lse) = (vec![0.0; 64], vec![0.0; 2]);
        let x = cpu::Inputs { q: &q, k: &k, v: &v, stride: 32, key_rows: 8 };
        cpu::forward(&a, x, None, &mut y, &mut lse);
        let [q, k, v] = [&q, &k, &v].map(|x| gpu.upload_half(half, x));
        let x = Inputs { q, k, v, stride: 32, key_rows: 8, mask: NULL };
        let (y_, lse_) = (gpu.fresh(64), gpu.fresh(2));
        gpu.run(&attention_forward(half, &a, &x, y_, lse_))?;
        gpu.expect("cache", y_, &y, tolerance(half))
    });
}

/// What is left out in vain, and why.
const SHORTCUT: &str =
    "without dropout no word is below the threshold 0, and what is kept is kept either way";

fn mutants(d: usize) {
    let half = Half::Bf16;
    let forward = format!("attention_bf16_forward_{d}");
    let shortcut = &[("bra.uni KEPT_*", SHORTCUT)];
    mutants_of(&ATTENTION_BF16_FORWARD, Some(&forward), shortcut, |gpu| {
        check(gpu, half, d, Part::Forward)
    });
    for (name, part) in [("q", Part::Queries), ("kv", Part::Keys)] {
        let entry = format!("attention_bf16_{name}_{d}");
        mutants_of(&ATTENTION_BF16_BACKWARD, Some(&entry), shortcut, |gpu| {
            check(gpu, half, d, part)
        });
    }
}

#[test]
fn test_tensor_attention__mutants_of_heads_of_32() {
    mutants(32);
}

#[test]
fn test_tensor_attention__mutants_of_heads_of_64() {
    mutants(64);
}

#[test]
fn test_tensor_attention__mutants_of_heads_of_128() {
    mutants(128);
}

/// The other entries of f16, like this one, are those of bf16 but for the names of two instructions (`test_generated.rs`).
#[test]
fn test_tensor_attention__mutants_of_f16() {
    let shortcut = &[("bra.uni KEPT_*", SHORTCUT)];
    mutants_of(&ATTENTION_F16_FORWARD, Some("attention_f16_forward_32"), shortcut, |gpu| {
        check(gpu, Half::F16, 32, Part::Forward)
    });
}

#[test]
fn test_tensor_attention__no_bank_conflicts() {
    // Those of f16 have the same addresses.
    let half = Half::Bf16;
    for d in [32, 64, 128] {
        let a = setting([1, 64, 128, 1, d], Visibility::Full, 0.0);
        for part in [Part::Forward, Part::Queries, Part::Keys] {
            let counters = prove(|gpu| case(gpu, half, &a, None, part));
            assert_eq!(counters.shared_wavefronts, counters.shared_ideal, "heads of {d}");
            assert!(counters.load.overfetch() < 1.6, "{}", counters.load.overfetch());
        }
    }
}
