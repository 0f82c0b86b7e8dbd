use crate::support::{Gpu, Outcome, mutants, prove, random};
use foundry_kernels::cpu::layer_norm as cpu;
use foundry_kernels::cuda::{layer_norm, registry::LAYER_NORM};

const EPS: f64 = 9.999_999_747_378_752e-6; // 1e-5 in single precision

fn check(gpu: &mut Gpu) -> Outcome {
    for (rows, n) in [(1, 1), (3, 17), (19, 32), (70, 5), (5, 200), (9, 65)] {
        let (x, gy) = (random(rows * n, 1), random(rows * n, 2));
        // Far from zero, where E[x^2] - mean^2 would cancel.
        let x: Vec<f64> = x.iter().map(|x| f64::from((x + 100.0) as f32)).collect();
        let (gain, bias) = (random(n, 3), random(n, 4));
        let zeros = |n| vec![0.0; n];
        let (mut y, mut mean, mut rstd) = (zeros(x.len()), zeros(rows), zeros(rows));
        let (mut gx, mut gg, mut gb) = (zeros(x.len()), zeros(n), zeros(n));
        cpu::forward(&x, &gain, &bias, EPS, &mut y, &mut mean, &mut rstd);
        let [gx_, gg_, gb_] = [&mut gx, &mut gg, &mut gb];
        cpu::backward(&x, &gain, &mean, &rstd, &gy, gx_, gg_, gb_);

        let shape = [rows as u32, n as u32];
        let [x, gain, bias, gy] = [&x, &gain, &bias, &gy].map(|x| gpu.upload_wide(x));
        let [y_, gx_] = [(); 2].map(|()| gpu.fresh(rows * n));
        let [mean_, rstd_] = [(); 2].map(|()| gpu.fresh(rows));
        let [gg_, gb_] = [(); 2].map(|()| gpu.fresh(n));
        gpu.run(&layer_norm::forward([x, gain, bias], [y_, mean_, rstd_], shape, EPS as f32))?;
        gpu.run(&layer_norm::backward([x, gain, mean_, rstd_, gy], gx_, shape))?;
        gpu.run(&layer_norm::parameters([x, mean_, rstd_, gy], [gg_, gb_], shape))?;

        // A mean of 100 leaves 17 bits of the deviations.
        gpu.expect("y", y_, &y, 1e-4)?;
        gpu.expect("mean", mean_, &mean, 1e-6)?;
        gpu.expect("rstd", rstd_, &rstd, 1e-6)?;
        gpu.expect("gx", gx_, &gx, 1e-4)?;
        gpu.expect("gain gradient", gg_, &gg, 1e-4)?;
        gpu.expect("bias gradient", gb_, &gb, 1e-6)?;
    }
    Ok(())
}

#[test]
fn test_layer_norm__emulated() {
    prove(check);
}

#[test]
fn test_layer_norm__mutants() {
    mutants(&LAYER_NORM, &[], check);
}
