use crate::support::{Gpu, Outcome, mutants, prove};
use foundry_kernels::cuda::{fill, registry::FILL};

/// Every element is written, and none behind them.
fn check(gpu: &mut Gpu) -> Outcome {
    for n in [1, 255, 600] {
        let (y, ids) = (gpu.fresh(n), gpu.upload_u32(&vec![7; n + 1]));
        gpu.run(&fill::fill(y, n as u32, 0.1))?;
        gpu.run(&fill::fill_bits(ids, n as u32, 3))?;
        if gpu.read(y, n)? != vec![0.1; n] {
            return Err(format!("numbers of {n}"));
        }
        let expected = [vec![3; n], vec![7]].concat();
        if gpu.read_u32(ids, n + 1)? != expected {
            return Err(format!("ids of {n}"));
        }
    }
    Ok(())
}

#[test]
fn test_fill__emulated() {
    prove(check);
}

#[test]
fn test_fill__mutants() {
    mutants(&FILL, &[], check);
}
