use crate::support::{Gpu, Outcome, mutants, prove, random};
use foundry_kernels::cpu::cross_entropy::{self as cpu, IGNORE};
use foundry_kernels::cuda::{cross_entropy, registry::CROSS_ENTROPY};

fn case(gpu: &mut Gpu, logits: &[f64], targets: &[u32], smoothing: f64) -> Outcome {
    let (rows, vocab) = (targets.len(), logits.len() / targets.len());
    let gy = random(rows, 2);
    let (mut nll, mut lse, mut gz) = (vec![0.0; rows], vec![0.0; rows], vec![0.0; logits.len()]);
    cpu::forward(logits, targets, vocab, smoothing, &mut nll, &mut lse);
    cpu::backward(logits, targets, vocab, smoothing, &lse, &gy, &mut gz);

    let shape = [rows as u32, vocab as u32];
    let (z, t, g) = (gpu.upload_wide(logits), gpu.upload_u32(targets), gpu.upload_wide(&gy));
    let (nll_, lse_, gz_) = (gpu.fresh(rows), gpu.fresh(rows), gpu.fresh(logits.len()));
    let smoothing = smoothing as f32;
    gpu.run(&cross_entropy::forward([z, t], [nll_, lse_], shape, smoothing))?;
    gpu.run(&cross_entropy::backward([z, t, lse_, g], gz_, shape, smoothing))?;

    gpu.expect("nll", nll_, &nll, 1e-6)?;
    gpu.expect("lse", lse_, &lse, 1e-6)?;
    gpu.expect("gz", gz_, &gz, 2e-6)
}

fn check(gpu: &mut Gpu) -> Outcome {
    for (rows, vocab) in [(1, 1), (3, 7), (4, 256), (3, 257), (2, 700)] {
        let targets: Vec<u32> = (0..rows as u32)
            .map(|i| if i % 4 == 2 { IGNORE } else { (i * 37 + 5) % vocab as u32 })
            .collect();
        for smoothing in [0.0, 0.1] {
            case(gpu, &random(rows * vocab, 1), &targets, smoothing)?;
        }
    }
    // Neither negative infinity nor large numbers spoil a row.
    let inf = f64::NEG_INFINITY;
    case(gpu, &[1e30, 0.0, inf, 5.0, 5.0, inf], &[0, 1], 0.0)?;
    stops_at_a_target_that_is_no_class(gpu)
}

fn stops_at_a_target_that_is_no_class(gpu: &mut Gpu) -> Outcome {
    let (z, t) = (gpu.upload_wide(&random(6, 1)), gpu.upload_u32(&[2, 3]));
    let out = [gpu.fresh(2), gpu.fresh(2)];
    match gpu.run(&cross_entropy::forward([z, t], out, [2, 3], 0.0)) {
        Err(fault) if fault.contains("Trap") => Ok(()),
        other => Err(format!("target 3 of 3 classes: {other:?}")),
    }
}

#[test]
fn test_cross_entropy__emulated() {
    prove(check);
}

#[test]
fn test_cross_entropy__mutants() {
    mutants(&CROSS_ENTROPY, &[], check);
}
