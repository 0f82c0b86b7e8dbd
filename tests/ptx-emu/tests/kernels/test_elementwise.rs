use crate::support::{Gpu, Outcome, mutants, prove, random};
use foundry_kernels::cpu::elementwise::reduce::repeat_axis;
use foundry_kernels::cpu::permute::permute as cpu_permute;
use foundry_kernels::cuda::elementwise::{Operation, axpby, broadcast, copy, permute, repeat};
use foundry_kernels::cuda::registry::ELEMENTWISE;

fn check(gpu: &mut Gpu) -> Outcome {
    sums(gpu)?;
    operations(gpu)?;
    moves(gpu)
}

fn sums(gpu: &mut Gpu) -> Outcome {
    for n in [1, 255, 600] {
        let (x, y) = (random(n, 1), random(n, 2));
        let (x_, y_, fresh) = (gpu.upload_wide(&x), gpu.upload_wide(&y), gpu.fresh(n));
        gpu.run(&axpby(0.5, x_, 2.0, y_, n as u32))?;
        gpu.run(&axpby(-1.5, x_, 0.0, fresh, n as u32))?;
        let expected: Vec<f64> = x.iter().zip(&y).map(|(x, y)| 0.5 * x + 2.0 * y).collect();
        gpu.expect("axpby", y_, &expected, 1e-7)?;
        let expected: Vec<f64> = x.iter().map(|x| -1.5 * x).collect();
        gpu.expect("scale", fresh, &expected, 1e-7)?;
    }
    Ok(())
}

/// x [2, 1, 4, 1, 3] with y [5, 1, 2, 3].
fn operations(gpu: &mut Gpu) -> Outcome {
    type Function = fn(f64, f64) -> f64;
    let all: [(Operation, Function); 4] = [
        (Operation::Add, |a, b| a + b),
        (Operation::Sub, |a, b| a - b),
        (Operation::Mul, |a, b| a * b),
        (Operation::Div, |a, b| a / b),
    ];
    let (x, y) = (random(24, 1), random(30, 2));
    let y: Vec<f64> = y.iter().map(|y| f64::from((y + 3.0) as f32)).collect();
    let shape = [2, 5, 4, 2, 3];
    let (x_strides, y_strides) = ([12, 0, 3, 0, 1], [0, 6, 0, 3, 1]);
    let (x_, y_) = (gpu.upload_wide(&x), gpu.upload_wide(&y));
    for (operation, function) in all {
        let z = gpu.fresh(240);
        gpu.run(&broadcast(operation, (x_, &x_strides), (y_, &y_strides), z, &shape))?;
        let expected: Vec<f64> = (0..240)
            .map(|flat| {
                let (mut rest, mut a, mut b) = (flat, 0, 0);
                for axis in (0..5).rev() {
                    let index = rest % shape[axis];
                    rest /= shape[axis];
                    a += index * x_strides[axis];
                    b += index * y_strides[axis];
                }
                function(x[a as usize], y[b as usize])
            })
            .collect();
        gpu.expect(&format!("{operation:?}"), z, &expected, 1e-7)?;
    }
    Ok(())
}

fn moves(gpu: &mut Gpu) -> Outcome {
    let x = random(2 * 3 * 5 * 7 * 2, 3);
    let (mut y, x_) = (vec![0.0; x.len()], gpu.upload_wide(&x));
    cpu_permute(&x, &[2, 3, 5, 7, 2], &[3, 0, 4, 2, 1], &mut y);
    let out = gpu.fresh(x.len());
    gpu.run(&permute(x_, &[2, 210, 1, 14, 70], out, &[7, 2, 2, 5, 3]))?;
    gpu.expect("permute", out, &y, 0.0)?;

    let mut y = vec![0.0; 3 * 5 * 20];
    repeat_axis(&x[..60], [3, 5, 20], 0.5, &mut y);
    let out = gpu.fresh(300);
    gpu.run(&repeat(x_, out, [3, 5, 20], 0.5))?;
    gpu.expect("repeat", out, &y, 1e-7)?;

    // Columns 2 to 4 of [30, 7].
    let out = gpu.upload(&[9.0; 120]);
    let from = foundry_kernels::cuda::launch::Pointer(x_.0 + 8);
    gpu.run(&copy((from, 7), (out, 4), [30, 3]))?;
    let expected = (0..120).map(|i| if i % 4 == 3 { 9.0 } else { x[i / 4 * 7 + 2 + i % 4] });
    gpu.expect("copy", out, &expected.collect::<Vec<_>>(), 0.0)
}

#[test]
fn test_elementwise__emulated() {
    prove(check);
}

#[test]
fn test_elementwise__mutants() {
    mutants(&ELEMENTWISE, &[], check);
}
