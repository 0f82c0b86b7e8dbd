use super::*;
use crate::philox::philox;

/// Numbers in (-1, 1), exact in f32.
fn numbers(n: usize, seed: u32) -> Vec<f32> {
    (0..n as u32)
        .map(|i| (philox([seed, 7], [i, 0, 0, 0])[0] >> 8) as f32 / 8_388_608.0 - 1.0)
        .collect()
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().copied().map(f64::from).collect()
}

/// max|a - b| / max|b|
fn error(a: &[f32], b: &[f64]) -> f64 {
    let scale = b.iter().fold(1e-30, |m: f64, x| m.max(x.abs()));
    a.iter().zip(b).fold(0.0, |m: f64, (a, b)| m.max((f64::from(*a) - b).abs())) / scale
}

/// [rows, cols] stored as it is or transposed.
fn view<R: Real>(x: &[R], rows: usize, cols: usize, transposed: bool) -> Mat<'_, R> {
    if transposed { Mat::new(x, cols, rows).t() } else { Mat::new(x, rows, cols) }
}

/// The definition, in f64.
fn naive(a: Mat<'_, f64>, b: Mat<'_, f64>) -> Vec<f64> {
    let mut c = Vec::new();
    for i in 0..a.rows() {
        for j in 0..b.cols() {
            c.push((0..a.cols()).map(|t| a.at(i, t) * b.at(t, j)).sum());
        }
    }
    c
}

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

#[test]
fn test_gemm__f64_is_the_definition() {
    for (m, k, n) in [(1, 1, 1), (3, 5, 2), (65, 70, 130), (1, 33, 9), (9, 33, 1), (70, 0, 3)] {
        for flags in 0..4 {
            let (a, b) = (wide(&numbers(m * k, 1)), wide(&numbers(k * n, 2)));
            let (a, b) = (view(&a, m, k, flags & 1 == 1), view(&b, k, n, flags & 2 == 2));
            let mut c = vec![f64::NAN; m * n];

            gemm(1.0, a, b, 0.0, MatMut::new(&mut c, m, n), Epilogue::None);

            let want = naive(a, b);
            assert!(
                c.iter().zip(&want).all(|(c, w)| (c - w).abs() <= 1e-12),
                "{m} {k} {n} {flags}"
            );
        }
    }
}

/// Every tile edge: rows and columns around the tile sizes of each level, k around the block size.
#[test]
fn test_gemm__f32_matches_f64_at_tile_edges() {
    let rows = [1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 28, 29, 169];
    let cols = [1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 259];
    for isa in Isa::available() {
        for m in rows {
            for n in cols {
                for k in [1, 7, 8, 17, 255, 256, 257, 513] {
                    if m * n * k > 1 << 20 && (m != 169 || n != 259 || k != 257) {
                        continue;
                    }
                    let flags = (m + n + k) % 4;
                    let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
                    let (a64, b64) = (wide(&a), wide(&b));
                    let mut c64 = vec![f64::NAN; m * n];
                    let mut c = vec![f32::NAN; m * n];
                    let (ta, tb) = (flags & 1 == 1, flags & 2 == 2);

                    let out = MatMut::new(&mut c64, m, n);
                    gemm(1.0, view(&a64, m, k, ta), view(&b64, k, n, tb), 0.0, out, Epilogue::None);
                    let out = MatMut::new(&mut c, m, n);
                    gemm_at(
                        isa,
                        1.0,
                        view(&a, m, k, ta),
                        view(&b, k, n, tb),
                        0.0,
                        out,
                        Epilogue::None,
                    );

                    let e = error(&c, &c64);
                    assert!(e <= 1e-5, "{} [{m},{k}]x[{k},{n}] {flags}: {e}", isa.name());
                }
            }
        }
    }
}

/// Products that are formed as C^T = B^T A^T, whatever stands around them.
#[test]
fn test_gemm__turned_products() {
    for (m, k, n, stride, ta) in [
        (12, 48, 24, 24, false),
        (29, 500, 259, 262, false),
        (64, 256, 130, 130, false),
        (70, 300, 145, 145, true),
    ] {
        let tb = !ta;
        let (a, b, bias) = (numbers(m * k, 1), numbers(n * k, 2), numbers(n, 3));
        let (a64, b64) = (wide(&a), wide(&b));
        let product = naive(view(&a64, m, k, ta), view(&b64, k, n, tb));
        let start = numbers(m * stride, 4);
        for isa in Isa::available() {
            for (alpha, beta, bias) in [(1.0, 0.0, None), (0.5, -2.0, Some(&bias[..]))] {
                let run = |threads: usize| {
                    let mut c = start.clone();
                    pool(threads).install(|| {
                        let (a, b) = (view(&a, m, k, ta), view(&b, k, n, tb));
                        let bias = bias.map_or(Epilogue::None, Epilogue::Bias);
                        let out = MatMut::strided(&mut c, m, n, stride);
                        gemm_at(isa, alpha, a, b, beta, out, bias);
                    });
                    c
                };
                let c = run(1);
                for (i, (row, old)) in c.chunks(stride).zip(start.chunks(stride)).enumerate() {
                    for (j, (got, old)) in row.iter().zip(old).enumerate().take(n) {
                        let bias = bias.map_or(0.0, |bias| f64::from(bias[j]));
                        let old = f64::from(beta) * f64::from(*old);
                        let want = f64::from(alpha) * product[i * n + j] + old + bias;
                        assert!(
                            (f64::from(*got) - want).abs() < 1e-4,
                            "{isa:?} {m} {k} {n} {i} {j}"
                        );
                    }
                    assert_eq!(row[n..], old[n..]);
                }
                assert_eq!(c, run(3), "{isa:?}");
            }
        }
    }
}

/// What is done to a sum when it is stored: each that has a path of its own, and those that have none.
const STORES: [(f32, f32, bool); 7] = [
    (1.0, 0.0, false),
    (1.0, 0.0, true),
    (1.0, 1.0, false),
    (1.0, 1.0, true),
    (0.5, 0.0, false),
    (0.5, 1.0, false),
    (0.5, -2.0, true),
];

#[test]
fn test_gemm__alpha_beta_bias_and_strides() {
    let (m, k, n, stride) = (19, 300, 37, 50);
    let shapes = [(m, n), (1, n), (m, 1)];
    let cases = STORES.iter().flat_map(|store| shapes.map(|shape| (*store, shape)));
    for ((alpha, beta, has_bias), (m, n)) in cases {
        let (a, b, bias) = (numbers(m * 310, 1), numbers(k * 60, 2), numbers(n, 3));
        let (am, bm) = (Mat::strided(&a, m, k, 310), Mat::strided(&b, k, n, 60));
        let (a64, b64) = (wide(&a), wide(&b));
        let product = naive(Mat::strided(&a64, m, k, 310), Mat::strided(&b64, k, n, 60));
        // With beta = 0, C is not read.
        let start = if beta == 0.0 { vec![f32::NAN; m * stride] } else { numbers(m * stride, 4) };
        let mut with_fma: Option<Vec<f32>> = None;
        for isa in Isa::available() {
            let mut c = start.clone();
            let epilogue = if has_bias { Epilogue::Bias(&bias) } else { Epilogue::None };
            gemm_at(isa, alpha, am, bm, beta, MatMut::strided(&mut c, m, n, stride), epilogue);

            for (i, (row, old)) in c.chunks(stride).zip(start.chunks(stride)).enumerate() {
                for (j, (got, old)) in row.iter().zip(old).enumerate().take(n) {
                    let old = if beta == 0.0 { 0.0 } else { f64::from(beta) * f64::from(*old) };
                    let bias = if has_bias { f64::from(bias[j]) } else { 0.0 };
                    let want = f64::from(alpha) * product[i * n + j] + old + bias;
                    let case = format!("{isa:?} {alpha} {beta} {has_bias} [{m}, {n}] {i} {j}");
                    assert!((f64::from(*got) - want).abs() < 1e-5, "{case}: {got} {want}");
                }
                let same =
                    row[n..].iter().zip(&old[n..]).all(|(c, old)| c.to_bits() == old.to_bits());
                assert!(same, "what lies between rows is not touched");
            }
            if isa >= Isa::Avx2 {
                let bits = |c: &[f32]| c.iter().map(|c| c.to_bits()).collect::<Vec<_>>();
                let first = with_fma.get_or_insert_with(|| c.clone());
                assert_eq!(bits(first), bits(&c), "{alpha} {beta} {has_bias}");
            }
        }
    }
}

#[test]
fn test_gemm__a_packed_b_gives_the_same_bits() {
    for isa in Isa::available() {
        for (m, k, n) in [(32, 64, 256), (5, 300, 33), (40, 257, 100)] {
            let (a, b, bias) = (numbers(m * k, 1), numbers(k * n, 2), numbers(n, 3));
            let (mut c, mut d) = (vec![0f32; m * n], vec![0f32; m * n]);
            let mut memory = vec![f32::NAN; PackedB::<f32>::len(k, n)];

            let packed = PackedB::pack_at(isa, view(&b, k, n, true), &mut memory);
            let out = MatMut::new(&mut c, m, n);
            gemm_packed(1.0, Mat::new(&a, m, k), &packed, 0.0, out, Epilogue::Bias(&bias));
            let out = MatMut::new(&mut d, m, n);
            let b = view(&b, k, n, true);
            gemm_at(isa, 1.0, Mat::new(&a, m, k), b, 0.0, out, Epilogue::Bias(&bias));

            assert_eq!(c, d);
        }
    }
    let (a, b) = (wide(&numbers(12, 1)), wide(&numbers(20, 2)));
    let (mut c, mut memory) = (vec![0f64; 15], vec![0f64; PackedB::<f64>::len(4, 5)]);
    let packed = PackedB::pack(view(&b, 4, 5, true), &mut memory);
    gemm_packed(1.0, Mat::new(&a, 3, 4), &packed, 0.0, MatMut::new(&mut c, 3, 5), Epilogue::None);
    let want = naive(Mat::new(&a, 3, 4), view(&b, 4, 5, true));
    assert!(c.iter().zip(&want).all(|(c, w)| (c - w).abs() < 1e-14));
}

#[test]
fn test_gemm__the_levels_with_fma_agree_in_every_bit() {
    if Isa::best() < Isa::Avx512 {
        return;
    }
    let (m, k, n) = (45, 600, 77);
    let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
    let run = |isa| {
        let mut c = vec![0f32; m * n];
        let out = MatMut::new(&mut c, m, n);
        gemm_at(isa, 1.0, Mat::new(&a, m, k), Mat::new(&b, k, n), 0.0, out, Epilogue::None);
        c
    };
    assert_eq!(run(Isa::Avx2), run(Isa::Avx512));
}

#[test]
fn test_gemm__same_bits_for_any_number_of_threads() {
    for (m, k, n) in [(400, 130, 200), (32, 256, 1024), (1, 600, 3000), (130, 700, 90)] {
        let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
        let (a64, b64) = (wide(&a), wide(&b));
        let run = |threads| {
            pool(threads).install(|| {
                let (mut c, mut c64) = (vec![0f32; m * n], vec![0f64; m * n]);
                let out = MatMut::new(&mut c, m, n);
                gemm(1.0, Mat::new(&a, m, k), view(&b, k, n, true), 0.0, out, Epilogue::None);
                let out = MatMut::new(&mut c64, m, n);
                gemm(1.0, Mat::new(&a64, m, k), view(&b64, k, n, true), 0.0, out, Epilogue::None);
                (c, c64)
            })
        };
        let one = run(1);
        for threads in [2, 3, 4, 8] {
            assert!(one == run(threads), "{threads} threads, [{m},{k}]x[{k},{n}]");
        }
    }
}

#[test]
fn test_gemm__non_finite_inputs_show_in_their_row_only() {
    for isa in Isa::available() {
        let mut a = vec![1f32; 5 * 40];
        a[2 * 40 + 3] = f32::NAN;
        let b = vec![0f32; 40 * 9];
        let mut c = vec![0f32; 45];
        let out = MatMut::new(&mut c, 5, 9);
        gemm_at(isa, 1.0, Mat::new(&a, 5, 40), Mat::new(&b, 40, 9), 0.0, out, Epilogue::None);
        for (i, x) in c.iter().enumerate() {
            assert_eq!(x.is_nan(), i / 9 == 2);
        }
    }
}

#[test]
fn test_gemm_batch__multiplies_each_pair() {
    let (a, b) = (numbers(3 * 4 * 5, 1), numbers(3 * 5 * 6, 2));
    let mut c = vec![f32::NAN; 3 * 24];
    gemm_batch(
        1.0,
        |i| Mat::new(&a[i * 20..], 4, 5),
        |i| Mat::new(&b[i * 30..], 5, 6),
        0.0,
        &mut c,
        4,
        6,
    );
    for i in 0..3 {
        let (a, b) = (wide(&a[i * 20..][..20]), wide(&b[i * 30..][..30]));
        let want = naive(Mat::new(&a, 4, 5), Mat::new(&b, 5, 6));
        assert!(error(&c[i * 24..][..24], &want) <= 1e-6);
    }
}

#[test]
#[should_panic(expected = "[2, 3] times [2, 2]")]
fn test_gemm__shapes_that_do_not_fit_are_named() {
    let (x, mut y) = ([0f32; 6], [0f32; 4]);
    gemm(
        1.0,
        Mat::new(&x, 2, 3),
        Mat::new(&x, 2, 2),
        0.0,
        MatMut::new(&mut y, 2, 2),
        Epilogue::None,
    );
}
