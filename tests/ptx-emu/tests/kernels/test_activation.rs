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
            let (x, gy, mut y) = (inputs(n), random(n, 2), vec![0.0; n]);
            function.forward(&x, &mut y);
            let (x_, y_) = (gpu.upload_wide(&x), gpu.fresh(n));
            gpu.run(&activation::forward(function, x_, y_, n as u32))?;
            gpu.expect(&format!("{function:?}"), y_, &y, 1e-6)?;
            let mut saved = y.clone();
            if !function.slope_is_of_output() {
                function.forward_with_slope(&x, &mut y, &mut saved);
                let (y_, slope) = (gpu.fresh(n), gpu.fresh(n));
                gpu.run(&activation::forward_with_slope(function, x_, y_, slope, n as u32))?;
                gpu.expect(&format!("{function:?} with its slope"), y_, &y, 1e-6)?;
                gpu.expect(&format!("slope of {function:?}"), slope, &saved, 2e-6)?;
            }
            let saved: Vec<f64> = saved.iter().map(|s| f64::from(*s as f32)).collect();
            let mut gx = vec![0.0; n];
            function.backward(&saved, &gy, &mut gx);
            let (saved, gy, gx_) = (gpu.upload_wide(&saved), gpu.upload_wide(&gy), gpu.fresh(n));
            gpu.run(&activation::backward(function, saved, gy, gx_, n as u32))?;
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
            let (mut y, mut slope, at) = ([0.0; 9], [0.0; 9], gpu.upload_wide(&x));
            let same = |actual: &[f32], expected: &[f64]| {
                for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
                    assert!(error(&[*a], &[*e]) < 1e-6, "{function:?}, {}: {a}, not {e}", x[i]);
                }
            };
            function.forward(&x, &mut y);
            let out = gpu.fresh(9);
            gpu.run(&activation::forward(function, at, out, 9))?;
            same(&gpu.read(out, 9)?, &y);
            if !function.slope_is_of_output() {
                function.forward_with_slope(&x, &mut y, &mut slope);
                let (out, slope_) = (gpu.fresh(9), gpu.fresh(9));
                gpu.run(&activation::forward_with_slope(function, at, out, slope_, 9))?;
                same(&gpu.read(out, 9)?, &y);
                same(&gpu.read(slope_, 9)?, &slope);
            }
        }
        Ok(())
    });
}
