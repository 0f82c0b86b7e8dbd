use crate::support::{Gpu, Outcome, mutants, prove, random};
use foundry_kernels::cpu::gemm::{Epilogue, Mat, MatMut, gemm as cpu};
use foundry_kernels::cuda::gemm::{Matrix, gemm};
use foundry_kernels::cuda::launch::NULL;
use foundry_kernels::cuda::registry::GEMM_F32;

fn product(
    gpu: &mut Gpu,
    [batch, m, n, k]: [usize; 4],
    [a_t, b_t]: [bool; 2],
    (alpha, beta): (f64, f64),
    bias: bool,
) -> Outcome {
    let a = random(batch * m * k, 1);
    let b = random(batch * k * n, 2);
    let c = random(batch * m * n, 3);
    let row = random(n, 4);
    let mut expected = c.clone();
    for i in 0..batch {
        let a = &a[i * m * k..][..m * k];
        let b = &b[i * k * n..][..k * n];
        let a = if a_t { Mat::new(a, k, m).t() } else { Mat::new(a, m, k) };
        let b = if b_t { Mat::new(b, n, k).t() } else { Mat::new(b, k, n) };
        let c = MatMut::new(&mut expected[i * m * n..][..m * n], m, n);
        let bias = if bias { Epilogue::Bias(&row) } else { Epilogue::None };
        cpu(alpha, a, b, beta, c, bias);
    }
    let [m_, n_, k_] = [m, n, k].map(|x| x as u32);
    let (a, b) = (gpu.upload_wide(&a), gpu.upload_wide(&b));
    let c = if beta == 0.0 { gpu.fresh(c.len()) } else { gpu.upload_wide(&c) };
    let row = if bias { gpu.upload_wide(&row) } else { NULL };
    let a = if a_t { Matrix::new(a, k_, m_).t() } else { Matrix::new(a, m_, k_) };
    let b = if b_t { Matrix::new(b, n_, k_).t() } else { Matrix::new(b, k_, n_) };
    let shape = [batch as u32, m_, n_, k_];
    gpu.run(&gemm((alpha as f32, beta as f32), a, b, row, Matrix::new(c, m_, n_), shape))?;
    let what = format!("[{batch}, {m}, {n}, {k}] {a_t} {b_t} {alpha} {beta} {bias}");
    gpu.expect(&what, c, &expected, 3e-7 * (k.max(8) as f64).sqrt())
}

fn check(gpu: &mut Gpu) -> Outcome {
    for (i, shape) in [[1, 1, 1, 1], [2, 65, 67, 19], [1, 3, 130, 16], [1, 70, 5, 33], [1, 2, 2, 0]]
        .into_iter()
        .enumerate()
    {
        let (a_t, b_t) = (i % 2 == 0, i % 3 == 1);
        product(gpu, shape, [a_t, b_t], (1.0, 0.0), i % 2 == 1)?;
        product(gpu, shape, [!a_t, b_t], (0.5, 2.0), false)?;
        product(gpu, shape, [a_t, !b_t], (-1.0, 1.0), true)?;
    }
    Ok(())
}

#[test]
fn test_gemm_f32__emulated() {
    prove(check);
}

#[test]
fn test_gemm_f32__mutants() {
    mutants(&GEMM_F32, &[], check);
}

#[test]
fn test_gemm_f32__counts() {
    let counters = prove(|gpu| product(gpu, [1, 128, 128, 64], [false, true], (1.0, 0.0), false));
    // Four tiles, each loading 64 rows of A and 64 columns of B.
    assert_eq!(counters.load.bytes, 4 * 4 * 2 * 64 * 64);
    assert_eq!(counters.load.overfetch(), 1.0, "every byte of every sector is used");
    let conflicts = counters.shared_wavefronts as f64 / counters.shared_ideal as f64;
    assert!(conflicts < 1.1, "{conflicts} passes for one");
}
