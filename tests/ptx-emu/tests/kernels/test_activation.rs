use crate::support::{Gpu, Outcome, error, mutants, prove, random};
use foundry_kernels::cpu::elementwise::activation::Activation;
use foundry_kernels::cuda::activation;
use foundry_kernels::cuda::registry::{ACTIVATION, GELU};

/// Numbers around zero, where formulas cancel, and far from it, where they overflow.
fn inputs(n: usize) -> Vec<f64> {
    let scale = |(i, x): (usize, f64)| x * [1e-6, 0.3, 1.0, 5.0, 60.0][i % 5];
    random(n, 1).into_iter().enumerate().map(scale).map(|x| f64::from(x as f32)).collect()
}

fn run(gpu: &mut Gpu, functions: &[Activation]) -> Outcome {
    for &function in functions {
        for n in [1, 300, 520] {
            let (x, gy) = (inputs(n), random(n, 2));
            let (mut y, mut gx) = (vec![0.0; n], vec![0.0; n]);
            function.forward(&x, &mut y);
            let y32: Vec<f64> = y.iter().map(|y| f64::from(*y as f32)).collect();
            let saved = if function.slope_is_of_output() { &y32 } else { &x };
            function.backward(saved, &gy, &mut gx);

            let (x, gy, saved) =
                (gpu.upload_wide(&x), gpu.upload_wide(&gy), gpu.upload_wide(saved));
            let (y_, gx_) = (gpu.fresh(n), gpu.fresh(n));
            gpu.run(&activation::forward(function, x, y_, n as u32))?;
            gpu.run(&activation::backward(function, saved, gy, gx_, n as u32))?;
            gpu.expect(&format!("{function:?}"), y_, &y, 1e-6)?;
            gpu.expect(&format!("{function:?} gradient"), gx_, &gx, 2e-6)?;
        }
    }
    Ok(())
}

fn plain(gpu: &mut Gpu) -> Outcome {
    use Activation::{Relu, Sigmoid, Silu, Tanh};
    run(gpu, &[Relu, Silu, Tanh, Sigmoid])
}

fn gelu(gpu: &mut Gpu) -> Outcome {
    run(gpu, &[Activation::Gelu, Activation::GeluTanh])
}

#[test]
fn test_activation__emulated() {
    prove(plain);
    prove(gelu);
}

#[test]
fn test_activation__mutants() {
    mutants(&ACTIVATION, &[], plain);
    mutants(&GELU, &[], gelu);
}

/// Infinite and undefined inputs give what the CPU gives.
#[test]
fn test_activation__the_ends_of_the_line() {
    let x = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 0.0, -0.0, 1e30, -1e30, 200.0, -200.0];
    prove(|gpu| {
        for function in Activation::ALL {
            let (mut y, at) = ([0.0; 9], gpu.upload_wide(&x));
            function.forward(&x, &mut y);
            let out = gpu.fresh(9);
            gpu.run(&activation::forward(function, at, out, 9))?;
            let actual = gpu.read(out, 9)?;
            for (i, (a, e)) in actual.iter().zip(&y).enumerate() {
                let same = error(&[*a], &[*e]) < 1e-6;
                assert!(same, "{function:?}({}) = {a}, not {e}", x[i]);
            }
        }
        Ok(())
    });
}
