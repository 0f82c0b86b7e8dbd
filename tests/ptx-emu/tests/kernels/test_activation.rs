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
            let (x, mut y) = (inputs(n), vec![0.0; n]);
            function.forward(&x, &mut y);
            let (x_, y_, out) = (gpu.upload_wide(&x), gpu.fresh(n), gpu.fresh(n));
            gpu.run(&activation::forward(function, x_, y_, n as u32))?;
            gpu.expect(&format!("{function:?}"), y_, &y, 1e-6)?;
            let mut expected = vec![0.0; n];
            if function.slope_is_of_output() {
                let y32: Vec<f64> = y.iter().map(|y| f64::from(*y as f32)).collect();
                let gy = random(n, 2);
                function.backward(&y32, &gy, &mut expected);
                let (y_, gy) = (gpu.upload_wide(&y32), gpu.upload_wide(&gy));
                gpu.run(&activation::backward(function, y_, gy, out, n as u32))?;
            } else {
                function.forward_with_slope(&x, &mut y, &mut expected);
                let y_ = gpu.fresh(n);
                gpu.run(&activation::forward_with_slope(function, x_, y_, out, n as u32))?;
                gpu.expect(&format!("{function:?} with its slope"), y_, &y, 1e-6)?;
            }
            gpu.expect(&format!("slope of {function:?}"), out, &expected, 2e-6)?;
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
