use crate::support::{Gpu, Outcome, mutants, prove, random};
use foundry_kernels::cpu::softmax as cpu;
use foundry_kernels::cuda::{registry::SOFTMAX, softmax};

const SHAPES: [(usize, usize); 6] = [(1, 1), (3, 17), (4, 32), (5, 33), (2, 300), (9, 64)];

fn check(gpu: &mut Gpu) -> Outcome {
    for (rows, width) in SHAPES {
        let mut x = random(rows * width, 1);
        x[0] = f64::NEG_INFINITY.max(if width > 1 { f64::NEG_INFINITY } else { x[0] });
        let gy = random(rows * width, 2);
        let (mut y, mut log_y, mut gx) = (x.clone(), x.clone(), x.clone());
        cpu::forward(&x, &mut y, width);
        cpu::log_forward(&x, &mut log_y, width);
        let n = x.len();
        let (r, w) = (rows as u32, width as u32);
        let x = gpu.upload_wide(&x);
        let out = [(); 4].map(|()| gpu.fresh(n));

        gpu.run(&softmax::forward(x, out[0], r, w))?;
        gpu.run(&softmax::log_forward(x, out[1], r, w))?;
        gpu.expect("softmax", out[0], &y, 5e-7)?;
        gpu.expect("log softmax", out[1], &log_y, 1e-6)?;

        let on_gpu = gpu.upload_wide(&gy);
        let y = y.iter().map(|y| f64::from(*y as f32)).collect::<Vec<_>>();
        let saved = gpu.upload_wide(&y);
        cpu::backward(&y, &gy, &mut gx, width);
        gpu.run(&softmax::backward(saved, on_gpu, out[2], r, w))?;
        gpu.expect("softmax gradient", out[2], &gx, 1e-6)?;

        let saved = gpu.upload_wide(&log_y);
        cpu::log_backward(&log_y, &gy, &mut gx, width);
        gpu.run(&softmax::log_backward(saved, on_gpu, out[3], r, w))?;
        gpu.expect("log softmax gradient", out[3], &gx, 3e-6)?;
    }
    Ok(())
}

#[test]
fn test_softmax__emulated() {
    prove(check);
}

#[test]
fn test_softmax__mutants() {
    mutants(&SOFTMAX, &[], check);
}

#[test]
fn test_softmax__masked_large_and_undefined_logits() {
    prove(|gpu| {
        let (inf, nan) = (f32::NEG_INFINITY, f32::NAN);
        let x = gpu.upload(&[inf, 1e30, 1e30, -1e30, inf, inf, inf, inf, 1.0, nan, 2.0, 3.0]);
        let y = gpu.fresh(12);
        gpu.run(&softmax::forward(x, y, 3, 4))?;
        let mut expected = [f64::NAN; 12];
        expected[..4].copy_from_slice(&[0.0, 0.5, 0.5, 0.0]);
        gpu.expect("softmax", y, &expected, 3e-7)
    });
}

#[test]
fn test_softmax__every_sector_is_used() {
    let counters = prove(|gpu| {
        let x = gpu.upload_wide(&random(8 * 256, 5));
        let y = gpu.fresh(8 * 256);
        gpu.run(&softmax::forward(x, y, 8, 256))
    });
    assert_eq!((counters.load.overfetch(), counters.store.overfetch()), (1.0, 1.0));
    assert_eq!(counters.load.bytes, 3 * 4 * 8 * 256, "three visits");
    assert_eq!(counters.barriers + counters.shared_requests, 0);
}
