//! The versions of the ladder compute what the kernels that ship compute.

use crate::support::{Gpu, Outcome, mutants, prove, random};
use foundry_kernels::cpu::attention::{self as cpu_attention, Attention, Visibility};
use foundry_kernels::cpu::gemm::{Epilogue, Mat, MatMut, gemm as cpu_gemm};
use foundry_kernels::cpu::softmax as cpu_softmax;
use foundry_kernels::cuda::ladder::{self, LADDER};

fn softmax(gpu: &mut Gpu, versions: &[usize]) -> Outcome {
    for (rows, width) in [(1, 1), (3, 17), (130, 3), (2, 300), (1, 128)] {
        let mut x = random(rows * width, 1);
        x[width - 1] = 300.0; // beyond what exp can do without the largest element
        let mut expected = x.clone();
        cpu_softmax::forward(&x, &mut expected, width);
        let x = gpu.upload_wide(&x);
        for &version in versions {
            let y = gpu.fresh(rows * width);
            gpu.run(&ladder::softmax(version, x, y, [rows as u32, width as u32]))?;
            gpu.expect(&format!("softmax {version}: {rows} {width}"), y, &expected, 5e-7)?;
        }
    }
    Ok(())
}

fn gemm(gpu: &mut Gpu, versions: &[usize]) -> Outcome {
    for [m, n, k] in [[1, 1, 1], [33, 9, 5], [17, 50, 33], [32, 16, 16]] {
        let (a, b) = (random(m * k, 1), random(k * n, 2));
        let mut expected = vec![0.0; m * n];
        let c = MatMut::new(&mut expected, m, n);
        cpu_gemm(1.0, Mat::new(&a, m, k), Mat::new(&b, k, n), 0.0, c, Epilogue::None);
        let (a, b) = (gpu.upload_wide(&a), gpu.upload_wide(&b));
        for &version in versions {
            let c = gpu.fresh(m * n);
            gpu.run(&ladder::gemm(version, [a, b, c], [m, n, k].map(|x| x as u32)))?;
            gpu.expect(&format!("gemm {version}: {m} {n} {k}"), c, &expected, 2e-6)?;
        }
    }
    Ok(())
}

fn attention(gpu: &mut Gpu, versions: &[usize]) -> Outcome {
    for [n, d] in [[1, 1], [9, 5], [34, 40], [130, 64], [6, 130]] {
        let [q, k, v] = [1, 2, 3].map(|seed| random(n * d, seed));
        let scale = 0.25;
        let a = Attention {
            batch: 1,
            queries: n,
            keys: n,
            heads: 1,
            head_dim: d,
            scale,
            visibility: Visibility::Full,
            dropout: None,
        };
        let (mut expected, mut lse) = (vec![0.0; n * d], vec![0.0; n]);
        let x = cpu_attention::Inputs { q: &q, k: &k, v: &v, stride: d, key_rows: n };
        cpu_attention::forward(&a, x, None, &mut expected, &mut lse);
        let [q, k, v] = [&q, &k, &v].map(|x| gpu.upload_wide(x));
        for &version in versions {
            let y = gpu.fresh(n * d);
            let (at, sizes, scale) = ([q, k, v, y], [n as u32, d as u32], scale as f32);
            if version == 1 {
                let scores = gpu.fresh(n * n);
                for call in ladder::attention_1(at, scores, sizes, scale) {
                    gpu.run(&call)?;
                }
            } else if d <= 64 {
                gpu.run(&ladder::attention_2(at, sizes, scale))?;
            } else {
                continue;
            }
            gpu.expect(&format!("attention {version}: {n} {d}"), y, &expected, 3e-6)?;
        }
    }
    Ok(())
}

fn lstm(gpu: &mut Gpu, versions: &[usize]) -> Outcome {
    for [batch, hidden] in [[1, 1], [3, 130], [131, 3]] {
        let n = batch * hidden;
        let (gates, mut c) = (random(4 * n, 1), random(n, 2));
        let before = c.clone();
        let mut h = vec![0.0; n];
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        for at in 0..n {
            let gate = |g: usize| gates[at / hidden * 4 * hidden + g * hidden + at % hidden];
            c[at] = sigmoid(gate(1)) * c[at] + sigmoid(gate(0)) * gate(2).tanh();
            h[at] = sigmoid(gate(3)) * c[at].tanh();
        }
        for &version in versions {
            let x = gpu.upload_wide(&gates);
            let state = [gpu.upload_wide(&before), gpu.fresh(n)];
            let sizes = [batch as u32, hidden as u32];
            if version == 1 {
                for call in ladder::lstm_1(x, state, sizes) {
                    gpu.run(&call)?;
                }
            } else {
                gpu.run(&ladder::lstm_2(x, state, sizes))?;
            }
            gpu.expect(&format!("c {version}"), state[0], &c, 1e-6)?;
            gpu.expect(&format!("h {version}"), state[1], &h, 1e-6)?;
        }
    }
    Ok(())
}

#[test]
fn test_ladder__every_version_is_right() {
    prove(|gpu| softmax(gpu, &[1, 2, 3]));
    prove(|gpu| gemm(gpu, &[1, 2, 3]));
    prove(|gpu| attention(gpu, &[1, 2]));
    prove(|gpu| lstm(gpu, &[1, 2]));
}

#[test]
fn test_ladder__mutants() {
    mutants(&ladder::SOFTMAX_1, &[], |gpu| softmax(gpu, &[1]));
    mutants(&ladder::SOFTMAX_2, &[], |gpu| softmax(gpu, &[2]));
    mutants(&ladder::SOFTMAX_3, &[], |gpu| softmax(gpu, &[3]));
    mutants(&ladder::GEMM_1, &[], |gpu| gemm(gpu, &[1]));
    mutants(&ladder::GEMM_2, &[], |gpu| gemm(gpu, &[2]));
    mutants(&ladder::GEMM_3, &[], |gpu| gemm(gpu, &[3]));
    mutants(&ladder::ATTENTION_1, &[], |gpu| attention(gpu, &[1]));
    mutants(&ladder::ATTENTION_2, &[], |gpu| attention(gpu, &[2]));
    mutants(&ladder::LSTM_1, &[], |gpu| lstm(gpu, &[1]));
    mutants(&ladder::LSTM_2, &[], |gpu| lstm(gpu, &[2]));
}

#[test]
fn test_ladder__is_in_order_and_complete() {
    assert!(LADDER.is_sorted_by(|a, b| a.file < b.file));
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../kernels/ladder");
    let files = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name());
    let files = files.filter(|f| f.to_string_lossy().ends_with(".ptx")).count();
    assert_eq!(files, LADDER.len(), "texts that are not in the list");
}
