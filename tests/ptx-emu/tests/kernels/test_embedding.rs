use crate::support::{Gpu, Outcome, mutants, narrow, prove, random};
use foundry_kernels::cpu::embedding as cpu;
use foundry_kernels::cuda::{embedding, registry::EMBEDDING};

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Forward and backward have the bits of the CPU in single precision: tokens are added in their order.
fn check(gpu: &mut Gpu) -> Outcome {
    for (count, vocab, width) in [(1, 1, 1), (50, 7, 3), (33, 40, 130), (100, 5, 32), (70, 9, 257)]
    {
        let ids: Vec<u32> = (0..count).map(|i| i * i % vocab).collect();
        let (n, v, w) = (count as usize, vocab as usize, width as usize);
        let (table, gy) = (narrow(&random(v * w, 1)), narrow(&random(n * w, 2)));
        let (mut y, mut grad) = (vec![0.0; n * w], vec![0.0; v * w]);
        cpu::forward(&table, &ids, w, &mut y);
        cpu::backward(&ids, w, &gy, &mut grad, false);

        let (table, gy, ids) = (gpu.upload(&table), gpu.upload(&gy), gpu.upload_u32(&ids));
        let (y_, grad_) = (gpu.fresh(n * w), gpu.fresh(v * w));
        gpu.run(&embedding::forward([table, ids], y_, [count, vocab, width]))?;
        gpu.run(&embedding::backward([ids, gy], grad_, [count, vocab, width]))?;
        let same = |a: Vec<u32>, b: &[f32]| a == bits(b);
        if !same(gpu.read_u32(y_, n * w)?, &y) || !same(gpu.read_u32(grad_, v * w)?, &grad) {
            return Err(format!("{count} of {vocab} x {width}: other bits than the CPU"));
        }
    }
    let (table, ids, y) = (gpu.upload(&[0.0; 6]), gpu.upload_u32(&[2, 3]), gpu.fresh(4));
    match gpu.run(&embedding::forward([table, ids], y, [2, 3, 2])) {
        Err(fault) if fault.contains("Trap") => Ok(()),
        other => Err(format!("id 3 of 3 rows: {other:?}")),
    }
}

#[test]
fn test_embedding__emulated_bit_for_bit() {
    prove(check);
}

#[test]
fn test_embedding__mutants() {
    mutants(&EMBEDDING, &[], check);
}
