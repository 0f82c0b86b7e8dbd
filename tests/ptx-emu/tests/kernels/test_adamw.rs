use crate::support::{Gpu, Outcome, mutants, narrow, prove, random};
use foundry_kernels::cpu::optimizer::AdamW;
use foundry_kernels::cuda::{optimizer::adamw, registry::ADAMW};

/// Parameters and moments have the bits of the CPU, step after step; a skipped step changes nothing.
fn check(gpu: &mut Gpu) -> Outcome {
    for n in [1, 255, 600] {
        let numbers = |seed| narrow(&random(n, seed));
        let (mut p, g, mut m) = (numbers(1), numbers(2), vec![0.0_f32; n]);
        let mut v = vec![0.0_f32; n];
        let on_gpu = [&p, &g, &m, &v].map(|x| gpu.upload(x));
        let control = gpu.upload(&[0.5, f32::from_bits(0)]);
        let skip = gpu.upload(&[0.5, f32::from_bits(1)]);
        for t in 1..=3 {
            let rule = AdamW {
                lr: 3e-4,
                beta1: 0.9,
                beta2: 0.95,
                eps: 1e-8,
                weight_decay: 0.1,
                correction1: 1.0 - 0.9_f64.powi(t),
                correction2: 1.0 - 0.95_f64.powi(t),
                grad_scale: 0.5,
            };
            rule.step(&mut p, &g, &mut m, &mut v);
            gpu.run(&adamw(&rule, on_gpu, control, n as u32))?;
            gpu.run(&adamw(&rule, on_gpu, skip, n as u32))?;
        }
        for (what, at, expected) in [("p", 0, &p), ("m", 2, &m), ("v", 3, &v)] {
            let expected: Vec<u32> = expected.iter().map(|x| x.to_bits()).collect();
            if gpu.read_u32(on_gpu[at], n)? != expected {
                return Err(format!("{what} of {n}: other bits than the CPU"));
            }
        }
    }
    Ok(())
}

#[test]
fn test_adamw__emulated_bit_for_bit() {
    prove(check);
}

#[test]
fn test_adamw__mutants() {
    mutants(&ADAMW, &[], check);
}
