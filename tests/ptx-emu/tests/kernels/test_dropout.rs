use crate::support::{Gpu, Outcome, mutants, narrow, prove, random};
use foundry_kernels::cpu::dropout::{self as cpu, Dropout};
use foundry_kernels::cuda::{dropout::dropout, registry::DROPOUT};

/// The mask, and the products with it, have the bits of the CPU.
fn check(gpu: &mut Gpu) -> Outcome {
    for (samples, len, p) in
        [(1, 1, 0.5), (3, 77, 0.25), (2, 512, 0.1), (2, 1043, 0.9), (1, 40, 0.0)]
    {
        let rule = Dropout::new([0x1234_5678, 0x9abc_def0], p);
        let x = narrow(&random(samples * len, 1));
        let mut y = vec![0.0; x.len()];
        cpu::forward(&x, &rule, 1_000_000, len, &mut y);

        let (x_, y_) = (gpu.upload(&x), gpu.fresh(x.len()));
        gpu.run(&dropout(x_, y_, &rule, 1_000_000, [samples as u32, len as u32]))?;
        let actual = gpu.read_u32(y_, x.len())?;
        let expected: Vec<u32> = y.iter().map(|y| y.to_bits()).collect();
        if actual != expected {
            return Err(format!("[{samples}, {len}], {p}: other bits than the CPU"));
        }
    }
    Ok(())
}

#[test]
fn test_dropout__emulated_bit_for_bit() {
    let counters = prove(check);
    assert_eq!(counters.barriers, 0);
}

#[test]
fn test_dropout__mutants() {
    mutants(&DROPOUT, &[], check);
}
