use crate::support::{Gpu, Outcome, mutants, prove, random};
use foundry_kernels::cpu::elementwise::reduce as cpu;
use foundry_kernels::cuda::reduce::{Terms, clip, parts, sum, sum_columns, sum_rows};
use foundry_kernels::cuda::registry::REDUCE;

fn check(gpu: &mut Gpu) -> Outcome {
    for [before, axis, after] in [[1, 1, 1], [3, 70, 1], [5, 33, 1], [1, 19, 70], [2, 8, 33]] {
        let x = random(before * axis * after, 1);
        let mut y = vec![0.0; before * after];
        cpu::sum_axis(&x, [before, axis, after], 0.5, &mut y);
        let (x_, out) = (gpu.upload_wide(&x), gpu.fresh(y.len()));
        let shape = [before, axis, after].map(|n| n as u32);
        gpu.run(&sum_columns(x_, out, shape, 0.5))?;
        gpu.expect("sum_columns", out, &y, 1e-7)?;
        if after == 1 {
            let out = gpu.fresh(before);
            gpu.run(&sum_rows(x_, out, [shape[0], shape[1]], 0.5))?;
            gpu.expect("sum_rows", out, &y, 1e-7)?;
        }
    }
    totals(gpu)
}

fn totals(gpu: &mut Gpu) -> Outcome {
    for n in [1, 300, 4097, 10_000] {
        let x = random(n, 2);
        let x_ = gpu.upload_wide(&x);
        let all = [
            (Terms::Elements, x.iter().sum::<f64>()),
            (Terms::Squares, x.iter().map(|x| x * x).sum()),
        ];
        for (terms, expected) in all {
            let (part, total) = (gpu.fresh(2 * parts(n as u32) as usize), gpu.fresh(2));
            for call in sum(terms, x_, n as u32, part, total) {
                gpu.run(&call)?;
            }
            let bits = gpu.read_u32(total, 2)?;
            let actual = f64::from_bits(u64::from(bits[1]) << 32 | u64::from(bits[0]));
            if (actual - expected).abs() > 1e-11 * n as f64 {
                return Err(format!("{terms:?} of {n}: {actual}, not {expected}"));
            }
        }
    }
    clipping(gpu, 9.0, (0.5, 1.0), [0.5 / 1.5, 0.0, 1.5])?;
    clipping(gpu, 9.0, (0.5, 2.0), [0.5, 0.0, 1.5])?;
    clipping(gpu, f64::INFINITY, (0.5, 1.0), [0.0, 1.0, f64::INFINITY])?;
    clipping(gpu, f64::NAN, (0.5, 1.0), [0.5, 1.0, f64::NAN])
}

/// The factor, whether to skip, the norm.
fn clipping(gpu: &mut Gpu, squares: f64, (scale, most): (f32, f32), expected: [f64; 3]) -> Outcome {
    let bits = squares.to_bits();
    let total = gpu.upload_u32(&[bits as u32, (bits >> 32) as u32]);
    let control = gpu.fresh(3);
    gpu.run(&clip(total, control, scale, most))?;
    let words = gpu.read_u32(control, 3)?;
    let skip = f32::from_bits(words[1]).to_bits() as f32;
    let actual = [f32::from_bits(words[0]), skip, f32::from_bits(words[2])];
    let error = crate::support::error(&actual, &expected);
    if error < 1e-7 { Ok(()) } else { Err(format!("clip {squares}: {actual:?}, not {expected:?}")) }
}

#[test]
fn test_reduce__emulated() {
    prove(check);
}

#[test]
fn test_reduce__mutants() {
    mutants(&REDUCE, &[], check);
}
