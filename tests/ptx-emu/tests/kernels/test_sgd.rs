use crate::support::{Gpu, Outcome, mutants, narrow, prove, random};
use foundry_kernels::cpu::optimizer::Sgd;
use foundry_kernels::cuda::{optimizer::sgd, registry::SGD};

/// Parameters and running gradients have the bits of the CPU, step after step; a skipped step changes nothing.
fn check(gpu: &mut Gpu) -> Outcome {
    for (n, nesterov) in [(1, false), (255, true), (600, false)] {
        let numbers = |seed| narrow(&random(n, seed));
        let (mut p, g, mut m) = (numbers(1), numbers(2), vec![0.0_f32; n]);
        let on_gpu = [&p, &g, &m].map(|x| gpu.upload(x));
        let control = gpu.upload(&[0.5, 0.0]);
        let skip = gpu.upload(&[0.5, 1.0]);
        let rule = Sgd { lr: 0.1, momentum: 0.9, weight_decay: 0.01, nesterov, grad_scale: 0.5 };
        for _ in 0..3 {
            rule.step(&mut p, &g, &mut m);
            gpu.run(&sgd(&rule, on_gpu, control, n as u32))?;
            gpu.run(&sgd(&rule, on_gpu, skip, n as u32))?;
        }
        for (what, at, expected) in [("p", 0, &p), ("m", 2, &m)] {
            let expected: Vec<u32> = expected.iter().map(|x| x.to_bits()).collect();
            if gpu.read_u32(on_gpu[at], n)? != expected {
                return Err(format!("{what} of {n}: other bits than the CPU"));
            }
        }
    }
    Ok(())
}

#[test]
fn test_sgd__emulated_bit_for_bit() {
    prove(check);
}

#[test]
fn test_sgd__mutants() {
    mutants(&SGD, &[], check);
}
