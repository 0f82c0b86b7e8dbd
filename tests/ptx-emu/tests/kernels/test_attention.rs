use crate::support::{Gpu, Outcome, mutants, prove, random};
use foundry_kernels::cpu::attention::{self as cpu, Attention, Visibility};
use foundry_kernels::cpu::dropout::Dropout;
use foundry_kernels::cuda::attention::{self, Grads, Inputs};
use foundry_kernels::cuda::launch::{NULL, Pointer};
use foundry_kernels::cuda::registry::ATTENTION;

/// Sizes are batch, queries, keys, heads, width of a head.
fn setting(sizes: [usize; 5], visibility: Visibility, p: f64) -> Attention {
    let [batch, queries, keys, heads, head_dim] = sizes;
    let dropout = (p > 0.0).then(|| (Dropout::new([7, 8], p), 11));
    let scale = f64::from((1.0 / (head_dim as f64).sqrt()) as f32);
    Attention { batch, queries, keys, heads, head_dim, scale, visibility, dropout }
}

fn case(gpu: &mut Gpu, a: &Attention, mask: Option<&[u32]>) -> Outcome {
    let width = a.width();
    let (nq, nk) = (a.batch * a.queries * width, a.batch * a.keys * width);
    let (q, k, v, gy) = (random(nq, 1), random(nk, 2), random(nk, 3), random(nq, 4));
    let stats = a.batch * a.heads * a.queries;
    let (mut y, mut lse) = (vec![0.0; nq], vec![0.0; stats]);
    let (mut gq, mut gk, mut gv) = (vec![0.0; nq], vec![0.0; nk], vec![0.0; nk]);
    let x = cpu::Inputs { q: &q, k: &k, v: &v, stride: width, key_rows: a.keys };
    cpu::forward(a, x, mask, &mut y, &mut lse);
    let grads = cpu::Grads::Separate { q: &mut gq, k: &mut gk, v: &mut gv };
    cpu::backward(a, x, mask, &y, &lse, &gy, grads);

    let mask = mask.map_or(NULL, |m| gpu.upload_u32(m));
    let [q, k, v, gy] = [&q, &k, &v, &gy].map(|x| gpu.upload_wide(x));
    let x = Inputs { q, k, v, stride: width as u32, key_rows: a.keys as u32, mask };
    let (y_, lse_, dot) = (gpu.fresh(nq), gpu.fresh(stats), gpu.fresh(stats));
    let grads =
        Grads { q: gpu.fresh(nq), k: gpu.fresh(nk), v: gpu.fresh(nk), stride: width as u32 };
    gpu.run(&attention::forward(a, &x, y_, lse_))?;
    gpu.expect("y", y_, &y, 3e-6)?;
    gpu.expect("lse", lse_, &lse, 2e-6)?;
    for call in attention::backward(a, &x, [y_, lse_, gy], dot, &grads) {
        gpu.run(&call)?;
    }
    gpu.expect("gradient of q", grads.q, &gq, 1e-5)?;
    gpu.expect("gradient of k", grads.k, &gk, 1e-5)?;
    gpu.expect("gradient of v", grads.v, &gv, 1e-5)
}

/// Padding at the end of sample 1; sample 0 of one key sees nothing at all.
fn padding(a: &Attention) -> Vec<u32> {
    let kept = |s: usize, j: usize| s != 1 && j % 7 != 3 || s == 1 && j + 2 < a.keys;
    let all = (0..a.batch).flat_map(|s| (0..a.keys).map(move |j| u32::from(kept(s, j))));
    all.collect()
}

fn check(gpu: &mut Gpu) -> Outcome {
    use Visibility::{Causal, Full};
    for (sizes, visibility, p, masked) in [
        ([1, 1, 1, 1, 1], Full, 0.0, false),
        ([2, 9, 9, 2, 4], Causal, 0.0, false),
        ([2, 5, 37, 1, 33], Causal, 0.2, false),
        ([2, 40, 40, 1, 3], Causal, 0.3, true),
        ([3, 34, 2, 2, 5], Full, 0.0, true),
        ([1, 3, 70, 1, 100], Full, 0.1, true),
    ] {
        let a = setting(sizes, visibility, p);
        let mask = masked.then(|| padding(&a));
        let what = |e| format!("{sizes:?} {visibility:?} {p} {masked}: {e}");
        case(gpu, &a, mask.as_deref()).map_err(what)?;
    }
    Ok(())
}

#[test]
fn test_attention__emulated() {
    prove(check);
}

#[test]
fn test_attention__mutants() {
    let shortcut =
        "without dropout no word is below the threshold 0, and the factor is 1 either way";
    mutants(&ATTENTION, &[("@%out bra.uni FACTOR_END;", shortcut)], check);
}

/// Queries, keys and values side by side in rows of 3 D, as one product makes them, and their gradients too.
#[test]
fn test_attention__packed() {
    prove(|gpu| {
        let a = setting([2, 6, 6, 2, 4], Visibility::Causal, 0.0);
        let (width, rows) = (8, 12);
        let (qkv, gy) = (random(rows * 24, 1), random(rows * width, 2));
        let (mut y, mut lse) = (vec![0.0; rows * width], vec![0.0; 24]);
        let mut g = vec![0.0; qkv.len()];
        let x = cpu::Inputs::packed(&qkv, width, a.keys);
        cpu::forward(&a, x, None, &mut y, &mut lse);
        cpu::backward(&a, x, None, &y, &lse, &gy, cpu::Grads::Packed(&mut g));

        let at = |p: Pointer, n: u64| Pointer(p.0 + 4 * 8 * n);
        let (qkv, gy) = (gpu.upload_wide(&qkv), gpu.upload_wide(&gy));
        let x =
            Inputs { q: qkv, k: at(qkv, 1), v: at(qkv, 2), stride: 24, key_rows: 6, mask: NULL };
        let (y_, lse_, dot) = (gpu.fresh(y.len()), gpu.fresh(24), gpu.fresh(24));
        let out = gpu.fresh(g.len());
        let grads = Grads { q: out, k: at(out, 1), v: at(out, 2), stride: 24 };
        gpu.run(&attention::forward(&a, &x, y_, lse_))?;
        for call in attention::backward(&a, &x, [y_, lse_, gy], dot, &grads) {
            gpu.run(&call)?;
        }
        gpu.expect("y", y_, &y, 3e-6)?;
        gpu.expect("gradients", out, &g, 1e-5)
    });
}

/// One query against a cache with room for more keys than are there.
#[test]
fn test_attention__cache() {
    prove(|gpu| {
        let a = setting([2, 1, 5, 1, 6], Visibility::Causal, 0.0);
        let (q, k, v) = (random(12, 1), random(2 * 8 * 6, 2), random(2 * 8 * 6, 3));
        let (mut y, mut lse) = (vec![0.0; 12], vec![0.0; 2]);
        let x = cpu::Inputs { q: &q, k: &k, v: &v, stride: 6, key_rows: 8 };
        cpu::forward(&a, x, None, &mut y, &mut lse);

        let [q, k, v] = [&q, &k, &v].map(|x| gpu.upload_wide(x));
        let x = Inputs { q, k, v, stride: 6, key_rows: 8, mask: NULL };
        let (y_, lse_) = (gpu.fresh(12), gpu.fresh(2));
        gpu.run(&attention::forward(&a, &x, y_, lse_))?;
        gpu.expect("y", y_, &y, 3e-6)?;
        gpu.expect("lse", lse_, &lse, 2e-6)
    });
}

/// Rows of 129 words: neither rows nor columns of a tile meet in a bank.
#[test]
fn test_attention__no_bank_conflicts() {
    let counters =
        prove(|gpu| case(gpu, &setting([1, 32, 32, 1, 64], Visibility::Full, 0.0), None));
    assert_eq!(counters.shared_wavefronts, counters.shared_ideal);
    assert!(counters.load.overfetch() < 1.5, "{}", counters.load.overfetch());
}
