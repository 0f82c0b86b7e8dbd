use crate::support::{Gpu, Outcome, mutants, prove};
use foundry_kernels::cuda::launch::Pointer;
use foundry_kernels::cuda::{judge::judge, registry::JUDGE};

fn doubles(words: &[u32]) -> Vec<f64> {
    let double = |w: &[u32]| f64::from_bits(u64::from(w[1]) << 32 | u64::from(w[0]));
    words.chunks(2).map(double).collect()
}

fn upload(gpu: &mut Gpu, x: &[f64]) -> Pointer {
    let words = x.iter().flat_map(|x| [x.to_bits() as u32, (x.to_bits() >> 32) as u32]);
    gpu.upload_u32(&words.collect::<Vec<u32>>())
}

/// (squares, how many of gradients, the largest norm) and (norm, factor, skip).
type Case = (&'static [f64], u32, f64, (f64, f64, f64));

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

fn check(gpu: &mut Gpu) -> Outcome {
    let cases: [Case; 11] = [
        (&[9.0, 16.0], 2, 1.0, (5.0, 1.0 / (5.0 + 1e-6), 0.0)),
        (&[9.0, 16.0], 2, INF, (5.0, 1.0, 0.0)),
        (&[9.0, 16.0, 100.0], 2, 50.0, (5.0, 1.0, 0.0)),
        (&[0.0], 1, 1.0, (0.0, 1.0, 0.0)),
        (&[], 0, 1.0, (0.0, 1.0, 0.0)),
        (&[9.0, 16.0, INF], 2, 1.0, (5.0, 1.0 / (5.0 + 1e-6), 1.0)),
        (&[9.0, 16.0, 1.0, NAN], 2, 10.0, (5.0, 1.0, 1.0)),
        (&[9.0, NAN, 1.0], 2, 1.0, (NAN, 1.0, 1.0)),
        (&[INF, 1.0], 2, 1.0, (INF, 0.0, 1.0)),
        // Its square has no place in single precision.
        (&[4e38], 1, INF, (2e19, 1.0, 1.0)),
        (&[4e38], 1, 1.0, (2e19, 5e-20, 0.0)),
    ];
    for (squares, gradients, max_norm, (norm, factor, skip)) in cases {
        let squares_ = upload(gpu, squares);
        let (control, report) = (gpu.fresh(2), gpu.fresh(4));
        let count = squares.len() as u32;
        gpu.run(&judge(squares_, [control, report], [gradients, count], [max_norm, 1.0]))?;
        let (control, report) = (gpu.read(control, 2)?, doubles(&gpu.read_u32(report, 4)?));
        let same_norm = report[0] == norm || report[0].is_nan() && norm.is_nan();
        // Where the step is skipped no one reads the factor.
        let same_factor = skip > 0.0 || control[0] == factor as f32;
        if !same_norm || !same_factor || f64::from(control[1]) != skip || report[1] != skip {
            return Err(format!("{squares:?}: {control:?} {report:?}"));
        }
    }
    // Of a loss that was multiplied by 4.
    let squares_ = upload(gpu, &[144.0, 256.0]);
    let (control, report) = (gpu.fresh(2), gpu.fresh(4));
    gpu.run(&judge(squares_, [control, report], [2, 2], [1.0, 0.25]))?;
    let (control, report) = (gpu.read(control, 2)?, doubles(&gpu.read_u32(report, 4)?));
    let factor = (0.25 / (5.0 + 1e-6)) as f32;
    if (control[0], control[1], report[0]) != (factor, 0.0, 5.0) {
        return Err(format!("unscaled: {control:?} {report:?}"));
    }
    Ok(())
}

#[test]
fn test_judge__emulated() {
    prove(check);
}

#[test]
fn test_judge__mutants() {
    mutants(&JUDGE, &[], check);
}
