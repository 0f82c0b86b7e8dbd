//! Products on tensor cores, against products in f64 of the same bf16, f16 or tf32 numbers.

use crate::support::{Gpu, Outcome, mutants, mutants_of, prove, random, random_half, rounded};
use foundry_kernels::cpu::gemm::{Epilogue as CpuEpilogue, Mat, MatMut, gemm as cpu};
use foundry_kernels::cuda::launch::{NULL, Pointer};
use foundry_kernels::cuda::tensor_cores::{
    CAST_BF16, CAST_F16, Epilogue, Format, GEMM_BF16, GEMM_F16, GEMM_TF32, Half, Layout, Product,
    Rows, cast, gemm,
};

/// A product and what is done to it.
#[derive(Clone, Copy)]
struct Case {
    format: Format,
    layout: Layout,
    /// batch, m, n, k
    sizes: [usize; 4],
    bias: bool,
    gelu: bool,
    alpha: f64,
    /// 0: no residual.
    beta: f64,
}

/// The nearest tf32.
fn tf32(x: f64) -> f64 {
    f64::from(f32::from_bits((x as f32).to_bits().wrapping_add(0x1000) & 0xffff_e000))
}

fn gelu(x: f64) -> f64 {
    let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
    0.5 * x * (1.0 + u.tanh())
}

/// A matrix `[rows, columns]` whose rows begin at multiples of 16 bytes; NaN between them.
fn padded(x: &[f64], rows: usize, columns: usize, stride: usize) -> Vec<f64> {
    let mut all = vec![f64::NAN; rows * stride];
    for (to, from) in all.chunks_mut(stride).zip(x.chunks(columns)) {
        to[..columns].copy_from_slice(from);
    }
    all.truncate((rows * stride).saturating_sub(stride - columns));
    all
}

fn run(gpu: &mut Gpu, case: &Case) -> Outcome {
    let Case { format, layout, sizes: [batch, m, n, k], alpha, beta, .. } = *case;
    let numbers = |n, seed| match format {
        Format::Bf16 => random_half(Half::Bf16, n, seed),
        Format::F16 => random_half(Half::F16, n, seed),
        Format::Tf32 => random(n, seed),
    };
    let a_shape = if layout == Layout::Tn { [k, m] } else { [m, k] };
    let b_shape = if layout == Layout::Nt { [n, k] } else { [k, n] };
    let (a, b) = (numbers(batch * m * k, 1), numbers(batch * k * n, 2));
    let (bias, residual) = (random(n, 3), random(batch * m * n, 4));
    let mut expected = vec![0.0; batch * m * n];
    let multiplied = |x: &[f64]| -> Vec<f64> {
        x.iter().map(|x| if format == Format::Tf32 { tf32(*x) } else { *x }).collect()
    };
    for i in 0..batch {
        let (a, b) = (multiplied(&a[i * m * k..][..m * k]), multiplied(&b[i * k * n..][..k * n]));
        let a = Mat::new(&a, a_shape[0], a_shape[1]);
        let b = Mat::new(&b, b_shape[0], b_shape[1]);
        let (a, b) = (
            if layout == Layout::Tn { a.t() } else { a },
            if layout == Layout::Nt { b.t() } else { b },
        );
        let c = MatMut::new(&mut expected[i * m * n..][..m * n], m, n);
        let bias = if case.bias { CpuEpilogue::Bias(&bias) } else { CpuEpilogue::None };
        cpu(alpha, a, b, 0.0, c, bias);
    }
    for (x, r) in expected.iter_mut().zip(&residual) {
        *x = if case.gelu { gelu(*x) } else { *x } + beta * r;
    }

    let place = |gpu: &mut Gpu, x: &[f64], [rows, columns]: [usize; 2]| {
        let stride = columns.next_multiple_of(format.alignment() as usize).max(8);
        // Only the last matrix of a batch ends at its last element.
        let tall = padded(x, batch * rows, columns, stride);
        let finite: Vec<f64> = tall.iter().map(|x| if x.is_nan() { 7.0 } else { *x }).collect();
        let at = match format {
            Format::Bf16 => gpu.upload_half(Half::Bf16, &finite),
            Format::F16 => gpu.upload_half(Half::F16, &finite),
            Format::Tf32 => gpu.upload_wide(&finite),
        };
        Rows { at, stride: stride as u32, batch: (rows * stride) as u32 }
    };
    let (a, b) = (place(gpu, &a, a_shape), place(gpu, &b, b_shape));
    let (c, halves) = (gpu.fresh(expected.len()), gpu.fresh_halves(expected.len()));
    let both = case.bias;
    let product = Product {
        f32: c,
        half: if both { halves } else { NULL },
        stride: n as u32,
        batch: (m * n) as u32,
    };
    let epilogue = Epilogue {
        alpha: alpha as f32,
        bias: if case.bias { gpu.upload_wide(&bias) } else { NULL },
        gelu: case.gelu,
        beta: beta as f32,
        residual: if beta == 0.0 { NULL } else { gpu.upload_wide(&residual) },
    };
    let shape = [batch, m, n, k].map(|x| x as u32);
    gpu.run(&gemm(format, layout, [a, b], &product, &epilogue, shape))?;
    let what = format!("{format:?} {layout:?} {:?}", case.sizes);
    gpu.expect(&what, c, &expected, 6e-7 * (k.max(4) as f64).sqrt())?;
    if both {
        let all = gpu.read(c, expected.len())?;
        let half = if format == Format::F16 { Half::F16 } else { Half::Bf16 };
        let halves = gpu.read_half(half, halves, expected.len())?;
        let near = |(x, h): (&f32, &f32)| (x - h).abs() <= x.abs() / 256.0;
        if !all.iter().zip(&halves).all(near) {
            return Err(format!("{what}: the {half:?} copy is another matrix"));
        }
        // and alone
        let alone = Product { f32: NULL, half: gpu.fresh_halves(expected.len()), ..product };
        gpu.run(&gemm(format, layout, [a, b], &alone, &epilogue, shape))?;
        if gpu.read_half(half, alone.half, expected.len())? != halves {
            return Err(format!("{what}: another {half:?} copy without f32"));
        }
    }
    Ok(())
}

const LAYOUTS: [Layout; 3] = [Layout::Nn, Layout::Nt, Layout::Tn];

/// Small shapes: edges in every direction, more steps than stages, every epilogue.
fn check(gpu: &mut Gpu, format: Format, layout: Layout) -> Outcome {
    let step = 4 * format.alignment() as usize;
    let plain = Case {
        format,
        layout,
        sizes: [1, 3, 5, 1],
        bias: false,
        gelu: false,
        alpha: 1.0,
        beta: 0.0,
    };
    run(gpu, &plain)?;
    run(
        gpu,
        &Case {
            sizes: [1, 70, 129, 4 * step + 3],
            bias: true,
            gelu: true,
            alpha: 0.5,
            beta: 2.0,
            ..plain
        },
    )?;
    run(gpu, &Case { sizes: [2, 5, 9, step + 1], bias: true, ..plain })
}

fn all(gpu: &mut Gpu, format: Format) -> Outcome {
    LAYOUTS.into_iter().try_for_each(|layout| check(gpu, format, layout))
}

fn bf16(gpu: &mut Gpu) -> Outcome {
    all(gpu, Format::Bf16)
}

fn f16(gpu: &mut Gpu) -> Outcome {
    all(gpu, Format::F16)
}

fn tf32_(gpu: &mut Gpu) -> Outcome {
    all(gpu, Format::Tf32)
}

#[test]
fn test_tensor_gemm__emulated() {
    prove(bf16);
    prove(f16);
    prove(tf32_);
}

/// Several tiles each way, sizes that are multiples of everything and none.
#[test]
fn test_tensor_gemm__several_tiles() {
    prove(|gpu| {
        for (i, format) in [Format::Bf16, Format::Tf32].into_iter().enumerate() {
            let layout = LAYOUTS[i];
            let sizes = [[1, 130, 257, 64], [1, 128, 128, 128]][i];
            run(
                gpu,
                &Case { format, layout, sizes, bias: true, gelu: false, alpha: 1.0, beta: 0.0 },
            )?;
        }
        Ok(())
    });
}

#[test]
fn test_tensor_gemm__mutants_of_bf16() {
    mutants_of(&GEMM_BF16, Some("gemm_bf16_nn"), &[], |gpu| check(gpu, Format::Bf16, Layout::Nn));
    mutants_of(&GEMM_BF16, Some("gemm_bf16_nt"), &[], |gpu| check(gpu, Format::Bf16, Layout::Nt));
    mutants_of(&GEMM_BF16, Some("gemm_bf16_tn"), &[], |gpu| check(gpu, Format::Bf16, Layout::Tn));
}

/// The other layouts of f16 are those of bf16 but for the names of two instructions (`test_generated.rs`).
#[test]
fn test_tensor_gemm__mutants_of_f16() {
    mutants_of(&GEMM_F16, Some("gemm_f16_tn"), &[], |gpu| check(gpu, Format::F16, Layout::Tn));
}

#[test]
fn test_tensor_gemm__mutants_of_tf32() {
    mutants_of(&GEMM_TF32, Some("gemm_tf32_nn"), &[], |gpu| check(gpu, Format::Tf32, Layout::Nn));
    mutants_of(&GEMM_TF32, Some("gemm_tf32_nt"), &[], |gpu| check(gpu, Format::Tf32, Layout::Nt));
    mutants_of(&GEMM_TF32, Some("gemm_tf32_tn"), &[], |gpu| check(gpu, Format::Tf32, Layout::Tn));
}

/// No bank conflict in any layout, every sector of the operands used, and all operations are the tensor cores'.
#[test]
fn test_tensor_gemm__counts() {
    for format in [Format::Bf16, Format::F16, Format::Tf32] {
        for layout in LAYOUTS {
            let case = Case {
                format,
                layout,
                sizes: [1, 128, 128, 128],
                bias: false,
                gelu: false,
                alpha: 1.0,
                beta: 0.0,
            };
            let counters = prove(|gpu| run(gpu, &case));
            assert_eq!(counters.matrix_flops, 2 * 128 * 128 * 128, "{format:?} {layout:?}");
            assert_eq!(counters.load.overfetch(), 1.0, "{format:?} {layout:?}");
            let passes = (counters.shared_wavefronts, counters.shared_ideal);
            assert_eq!(passes.0, passes.1, "{format:?} {layout:?}");
        }
    }
}

/// To nearest, ties to even, rows apart; infinities stay, NaN stays NaN.
fn check_cast(gpu: &mut Gpu, half: Half) -> Outcome {
    let (rows, width, stride) = (3, 259, 264);
    let mut x: Vec<f32> = random(rows * width, 1).iter().map(|x| *x as f32).collect();
    // halfway between two numbers, below an odd one and above an even one; just above; what f16 keeps with fewer bits, or
    // does not keep
    let tie = if half == Half::Bf16 { 2.0_f32.powi(-8) } else { 2.0_f32.powi(-11) };
    x[..9].copy_from_slice(&[
        1.0 + tie,
        1.0 + 3.0 * tie,
        (1.0 + tie).next_up(),
        f32::INFINITY,
        f32::NAN,
        65519.0,
        65520.0,
        3e-6,
        -1e-8,
    ]);
    let at = gpu.upload(&x);
    let y = gpu.fresh_halves(rows * stride);
    gpu.run(&cast(half, (at, width as u32), (y, stride as u32), [rows as u32, width as u32]))?;
    for row in 0..rows {
        let start = Pointer(y.0 + 2 * (row * stride) as u64);
        let read = gpu.read_half(half, start, width)?;
        for (x, y) in x[row * width..][..width].iter().zip(read) {
            let nearest = rounded(half, f64::from(*x)) as f32;
            if y.to_bits() != nearest.to_bits() && !(x.is_nan() && y.is_nan()) {
                return Err(format!("{x} became {y}, not {nearest}"));
            }
        }
    }
    Ok(())
}

#[test]
fn test_cast__emulated() {
    prove(|gpu| check_cast(gpu, Half::Bf16));
    prove(|gpu| check_cast(gpu, Half::F16));
}

#[test]
fn test_cast__mutants() {
    mutants(&CAST_BF16, &[], |gpu| check_cast(gpu, Half::Bf16));
    mutants(&CAST_F16, &[], |gpu| check_cast(gpu, Half::F16));
}
