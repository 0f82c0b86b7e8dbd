use crate::support::{Gpu, Outcome, mutants, narrow, prove, random};
use foundry_kernels::cpu::reverse::reverse_padded as cpu;
use foundry_kernels::cuda::launch::NULL;
use foundry_kernels::cuda::{registry::REVERSE, reverse::reverse_padded};

fn check(gpu: &mut Gpu) -> Outcome {
    for (batch, time, width) in [(1, 1, 1), (3, 5, 2), (9, 7, 40), (2, 3, 130)] {
        let n = batch * time * width;
        let x = narrow(&random(n, 1));
        let token = |i: usize| u32::from(i % time < i / time * 2 % (time + 1));
        let mask: Vec<u32> = (0..batch * time).map(token).collect();
        let (on_x, on_mask) = (gpu.upload(&x), gpu.upload_u32(&mask));
        for (mask, on_mask) in [(Some(&mask[..]), on_mask), (None, NULL)] {
            let mut expected = vec![0.0; n];
            cpu(&x, mask, [batch, time, width], &mut expected);
            let y = gpu.fresh(n);
            let sizes = [batch, time, width].map(|n| n as u32);
            gpu.run(&reverse_padded(on_x, on_mask, y, sizes))?;
            if gpu.read(y, n)? != expected {
                return Err(format!("{batch} x {time} x {width}: not the CPU's"));
            }
        }
    }
    Ok(())
}

#[test]
fn test_reverse__emulated() {
    prove(check);
}

#[test]
fn test_reverse__mutants() {
    mutants(&REVERSE, &[], check);
}
