use super::*;
use crate::cpu::cross_entropy;
use crate::cpu::testing::{assert_same_bits_for_any_threads, narrow, random};

// two blocks of rows, and ten chunks of the vocabulary in groups of two and three; the last of each shorter
const N: usize = 1031;
const D: usize = 5;
const V: usize = 2401;

fn targets() -> Vec<u32> {
    let target = |i: u32| if i.is_multiple_of(7) { IGNORE } else { i * 5 % 2401 };
    (0..1031).map(target).collect()
}

/// nll, gx, gw, gb.
fn fused<R: Real>(x: &[R], w: &[R], b: &[R], scale: f64) -> [Vec<R>; 4] {
    let targets = targets();
    let head =
        Head { x, weight: w, bias: Some(b), targets: &targets, width: D, vocab: V, smoothing: 0.1 };
    let nan = R::from_f64(f64::NAN);
    let mut out = [vec![nan; N], vec![nan; N * D], vec![nan; V * D], vec![nan; V]];
    let [nll, gx, gw, gb] = &mut out;
    with_grads(&head, scale, nll, Grads { x: gx, weight: gw, bias: Some(gb) });
    let mut alone = vec![nan; N];
    forward(&head, &mut alone);
    assert!(alone.iter().zip(&*nll).all(|(a, b)| a.to_f64() == b.to_f64()));
    out
}

#[test]
fn test_linear_cross_entropy__is_its_parts_one_after_the_other() {
    let [x, w, b] = [random(N * D, 1), random(V * D, 2), random(V, 3)];
    let (targets, scale) = (targets(), 0.25);

    let [nll, gx, gw, gb] = fused(&x, &w, &b, scale);

    let (mut z, mut expected, mut lse) = (vec![0.0; N * V], vec![0.0; N], vec![0.0; N]);
    let (x, w) = (Mat::new(&x, N, D), Mat::new(&w, V, D));
    gemm(1.0, x, w.t(), 0.0, MatMut::new(&mut z, N, V), Epilogue::Bias(&b));
    cross_entropy::forward(&z, &targets, V, 0.1, &mut expected, &mut lse);
    let mut g = vec![0.0; N * V];
    cross_entropy::backward(&z, &targets, V, 0.1, &lse, &vec![scale; N], &mut g);
    let mut eb = vec![0.0; V];
    (0..N * V).for_each(|i| eb[i % V] += g[i]);
    let g = Mat::new(&g, N, V);
    let (mut ex, mut ew) = (vec![0.0; N * D], vec![0.0; V * D]);
    gemm(1.0, g, w, 0.0, MatMut::new(&mut ex, N, D), Epilogue::None);
    gemm(1.0, g.t(), x, 0.0, MatMut::new(&mut ew, V, D), Epilogue::None);
    for (got, expected) in [(nll, expected), (gx, ex), (gw, ew), (gb, eb)] {
        assert!(got.iter().zip(&expected).all(|(a, b): (&f64, &f64)| (a - b).abs() < 1e-12));
    }
}

#[test]
fn test_linear_cross_entropy__same_bits_for_any_threads() {
    let [x, w, b] = [random(N * D, 1), random(V * D, 2), random(V, 3)].map(|x| narrow(&x));
    assert_same_bits_for_any_threads(|| fused(&x, &w, &b, 0.25).concat());
}

#[test]
fn test_linear_cross_entropy__words_of_no_probability_change_nothing() {
    let [x, w] = [random(6 * D, 1), random(V * D, 2)];
    let targets: Vec<u32> = (0..6).map(|i| 300 + 50 * i).collect();
    let of = |first: usize, bias: Option<&[f64]>| {
        let weight = &w[first * D..];
        let vocab = V - first;
        let shift = u32::try_from(first).unwrap();
        let targets: Vec<u32> = targets.iter().map(|t| t - shift).collect();
        let (targets, width, smoothing) = (&targets[..], D, 0.0);
        let head = Head { x: &x, weight, bias, targets, width, vocab, smoothing };
        let (mut nll, mut gx, mut gw) = ([0.0; 6], [0.0; 6 * D], vec![0.0; vocab * D]);
        let grads = Grads { x: &mut gx, weight: &mut gw, bias: None };
        with_grads(&head, 1.0, &mut nll, grads);
        (nll, gx, gw)
    };
    // a chunk of the vocabulary, all of it
    let bias: Vec<f64> = (0..V).map(|v| if v < CHUNK { f64::NEG_INFINITY } else { 0.0 }).collect();

    let (nll, gx, gw) = of(0, Some(&bias));

    let (expected_nll, expected_gx, expected_gw) = of(CHUNK, None);
    let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
    assert!(close(&nll, &expected_nll) && close(&gx, &expected_gx));
    assert!(gw[..CHUNK * D].iter().all(|g| *g == 0.0) && close(&gw[CHUNK * D..], &expected_gw));
}

#[test]
fn test_linear_cross_entropy__without_width_the_loss_is_that_of_the_bias() {
    let bias: Vec<f64> = (0..600).map(|v| f64::from(v % 7)).collect();
    let (targets, nan) = ([597, 0], f64::NAN);
    let (x, weight, width, vocab, smoothing) = (&[][..], &[][..], 0, 600, 0.0);
    let head = Head { x, weight, bias: Some(&bias), targets: &targets, width, vocab, smoothing };
    let (mut nll, mut gb) = ([nan; 2], vec![nan; 600]);
    let grads = Grads { x: &mut [], weight: &mut [], bias: Some(&mut gb) };

    with_grads(&head, 1.0, &mut nll, grads);

    let lse = bias.iter().map(|b| b.exp()).sum::<f64>().ln();
    assert!((nll[0] - (lse - 2.0)).abs() < 1e-12 && (nll[1] - lse).abs() < 1e-12);
    assert!(gb.iter().sum::<f64>().abs() < 1e-12);
}

#[test]
fn test_linear_cross_entropy__without_rows_the_gradients_are_zero() {
    let head = Head {
        x: &[],
        weight: &[1.0_f32; 6],
        bias: None,
        targets: &[],
        width: 2,
        vocab: 3,
        smoothing: 0.0,
    };
    let mut gw = [f32::NAN; 6];
    with_grads(&head, 1.0, &mut [], Grads { x: &mut [], weight: &mut gw, bias: None });
    assert_eq!(gw, [0.0; 6]);
}
