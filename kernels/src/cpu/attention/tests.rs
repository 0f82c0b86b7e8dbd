use super::super::testing::{
    assert_same_bits_for_any_threads, dot, error, narrow, numeric_gradient, random,
};
use super::*;

/// The three nested loops of the definition.
fn naive(a: &Attention, qkv: [&[f64]; 3], mask: Option<&[u32]>) -> Vec<f64> {
    let [q, k, v] = qkv;
    let (d, width) = (a.head_dim, a.width());
    let mut y = vec![0.0; a.batch * a.queries * width];
    for b in 0..a.batch {
        for h in 0..a.heads {
            for i in 0..a.queries {
                let of = |x: &[f64], t: usize, tokens: usize| -> Vec<f64> {
                    x[(b * tokens + t) * width + h * d..][..d].to_vec()
                };
                let sees = |j: usize| {
                    let later = a.visibility == Visibility::Causal && j > a.keys - a.queries + i;
                    !later && mask.is_none_or(|m| m[b * a.keys + j] != 0)
                };
                let mut factors = vec![1.0; a.keys];
                if let Some((dropout, first)) = &a.dropout {
                    let row = u32::try_from(a.keys - a.queries + i).unwrap();
                    let sample = first + u32::try_from(b).unwrap();
                    let head = u32::try_from(h).unwrap();
                    dropout.factors(MaskRow { sample, head, row }, 0, &mut factors);
                }
                let weight = |j: usize| {
                    let score = a.scale * dot(&of(q, i, a.queries), &of(k, j, a.keys));
                    if sees(j) { score.exp() } else { 0.0 }
                };
                let total: f64 = (0..a.keys).map(weight).sum();
                for j in (0..a.keys).filter(|&j| sees(j)) {
                    for (c, v) in of(v, j, a.keys).into_iter().enumerate() {
                        let y = &mut y[(b * a.queries + i) * width + h * d + c];
                        *y += weight(j) / total * factors[j] * v;
                    }
                }
            }
        }
    }
    y
}

/// y, gq, gk, gv.
fn all<R: Real>(a: &Attention, qkv: [&[R]; 3], mask: Option<&[u32]>, gy: &[R]) -> [Vec<R>; 4] {
    let [q, k, v] = qkv;
    // NaN wherever the kernel should write
    let fresh = |n| vec![R::from_f64(f64::NAN); n];
    let x = Inputs { q, k, v, stride: a.width(), key_rows: a.keys };
    let (mut y, mut lse) = (fresh(q.len()), fresh(a.batch * a.heads * a.queries));
    let (mut gq, mut gk, mut gv) = (fresh(q.len()), fresh(k.len()), fresh(k.len()));
    forward(a, x, mask, &mut y, &mut lse);
    let grads = Grads::Separate { q: &mut gq, k: &mut gk, v: &mut gv };
    backward(a, x, mask, &y, &lse, gy, grads);
    [y, gq, gk, gv]
}

fn attention(sizes: [usize; 5], visibility: Visibility) -> Attention {
    let [batch, queries, keys, heads, head_dim] = sizes;
    Attention { batch, queries, keys, heads, head_dim, scale: 0.6, visibility, dropout: None }
}

fn dropout() -> Option<(Dropout, u32)> {
    Some((Dropout::new([1, 2], 0.3), 5))
}

/// Right padding, a hole, and in the last sample nothing that query 0 could see.
fn mask(a: &Attention) -> Vec<u32> {
    let keep = |i: usize| {
        let (b, j) = (i / a.keys, i % a.keys);
        j != 1 && j + b < a.keys.max(2) && !(b + 1 == a.batch && j == 0)
    };
    (0..a.batch * a.keys).map(|i| u32::from(keep(i))).collect()
}

fn data(a: &Attention, seed: u32) -> [Vec<f64>; 4] {
    let (q, k) = (a.batch * a.queries * a.width(), a.batch * a.keys * a.width());
    [random(q, seed), random(k, seed + 1), random(k, seed + 2), random(q, seed + 3)]
}

#[test]
fn test_attention__naive_loops_and_slopes() {
    let sizes = [[1, 1, 1, 1, 1], [2, 5, 5, 2, 3], [3, 4, 7, 1, 2]];
    for (sizes, visibility) in
        sizes.into_iter().flat_map(|s| [(s, Visibility::Causal), (s, Visibility::Full)])
    {
        for (masked, dropped) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut a = attention(sizes, visibility);
            a.dropout = dropout().filter(|_| dropped);
            let mask = masked.then(|| mask(&a));
            let mask = mask.as_deref();
            let [q, k, v, gy] = data(&a, 1);

            let [y, gq, gk, gv] = all(&a, [&q, &k, &v], mask, &gy);

            let loss = |q: &[f64], k: &[f64], v: &[f64]| dot(&gy, &naive(&a, [q, k, v], mask));
            let slopes = [
                numeric_gradient(&q, |q| loss(q, &k, &v)),
                numeric_gradient(&k, |k| loss(&q, k, &v)),
                numeric_gradient(&v, |v| loss(&q, &k, v)),
            ];
            assert!(error(&y, &naive(&a, [&q, &k, &v], mask)) < 1e-13, "{a:?} {masked}");
            for (g, slope) in [gq, gk, gv].iter().zip(&slopes) {
                assert!(error(g, slope) < 1e-8, "{a:?} {masked}");
            }
        }
    }
}

#[test]
fn test_attention__several_blocks() {
    // more keys than a block, an odd number of queries, a cache in front, two blocks in which no key is seen
    for (sizes, visibility, hidden) in [
        ([1, 150, 150, 2, 5], Visibility::Causal, 0),
        ([2, 33, 290, 1, 3], Visibility::Causal, 0),
        ([1, 40, 257, 2, 3], Visibility::Full, 0),
        ([1, 40, 300, 2, 3], Visibility::Full, 260),
    ] {
        let mut a = attention(sizes, visibility);
        a.dropout = dropout();
        let mut mask = mask(&a);
        mask[..hidden].fill(0);
        let [q, k, v, gy] = data(&a, 5);

        let wide = all(&a, [&q, &k, &v], Some(&mask), &gy);
        let [q32, k32, v32, gy32] = [&q, &k, &v, &gy].map(|x| narrow(x));
        let single = all(&a, [&q32, &k32, &v32], Some(&mask), &gy32);

        let expected = naive(&a, [&q, &k, &v], Some(&mask));
        assert!(error(&wide[0], &expected) < 1e-13, "{a:?}");
        for (single, wide) in single.iter().zip(&wide) {
            assert!(error(single, wide) < 1e-5, "{a:?}");
        }
        // the slope along one random direction of all three inputs at once
        let by = [random(q.len(), 9), random(k.len(), 10), random(v.len(), 11)];
        let slope = numeric_gradient(&[0.0], |s| {
            let along = |x: &[f64], by: &[f64]| -> Vec<f64> {
                x.iter().zip(by).map(|(x, by)| x + s[0] * by).collect()
            };
            let [q, k, v] = [along(&q, &by[0]), along(&k, &by[1]), along(&v, &by[2])];
            dot(&gy, &naive(&a, [&q, &k, &v], Some(&mask)))
        });
        let given: f64 = (0..3).map(|i| dot(&wide[i + 1], &by[i])).sum();
        assert!((given - slope[0]).abs() < 1e-6 * slope[0].abs().max(1.0), "{given} {slope:?}");
    }
}

#[test]
fn test_attention__packed_is_separate() {
    let a = attention([2, 37, 37, 3, 4], Visibility::Causal);
    let [q, k, v, gy] = data(&a, 1);
    let w = a.width();
    let packed = |parts: [&[f64]; 3]| -> Vec<f64> {
        (0..a.batch * a.queries)
            .flat_map(|r| parts.map(|p| p[r * w..][..w].to_vec()).concat())
            .collect()
    };
    let [y, gq, gk, gv] = all(&a, [&q, &k, &v], None, &gy);
    let qkv = packed([&q, &k, &v]);
    let (mut y2, mut lse, mut g) =
        (vec![9.0; y.len()], vec![9.0; 2 * 3 * 37], vec![9.0; qkv.len()]);

    let x = Inputs::packed(&qkv, w, a.keys);
    forward(&a, x, None, &mut y2, &mut lse);
    backward(&a, x, None, &y2, &lse, &gy, Grads::Packed(&mut g));

    assert_eq!(y2, y);
    assert_eq!(g, packed([&gq, &gk, &gv]));
}

#[test]
fn test_attention__no_visible_key_gives_zero() {
    let a = attention([1, 3, 3, 1, 2], Visibility::Full);
    let [q, k, v, gy] = data(&a, 1);

    let out = all(&a, [&q, &k, &v], Some(&[0, 0, 0]), &gy);

    assert!(out.iter().flatten().all(|&x| x == 0.0));
    let none = attention([1, 3, 0, 1, 2], Visibility::Full);
    assert_eq!(all(&none, [&q, &[], &[]], None, &gy)[0], [0.0; 6]);
}

#[test]
fn test_attention__later_tokens_change_no_bit() {
    let a = attention([1, 140, 140, 2, 4], Visibility::Causal);
    let [q, k, v, gy] = data(&a, 1);
    let (mut k2, mut v2) = (k.clone(), v.clone());
    for j in 100 * a.width()..k.len() {
        (k2[j], v2[j]) = (1e3, -1e3);
    }

    let y = &all(&a, [&q, &k, &v], None, &gy)[0];
    let y2 = &all(&a, [&q, &k2, &v2], None, &gy)[0];

    assert_eq!(y[..100 * a.width()], y2[..100 * a.width()]);
    assert_ne!(y[100 * a.width()..], y2[100 * a.width()..]);
}

#[test]
fn test_attention__padding_does_not_move_the_dropout_mask() {
    let (mut short, mut long) = (
        attention([2, 5, 5, 2, 3], Visibility::Causal),
        attention([2, 9, 9, 2, 3], Visibility::Causal),
    );
    (short.dropout, long.dropout) = (dropout(), dropout());
    let w = short.width();
    let [q, k, v, gy] = data(&short, 1);
    let pad = |x: &[f64]| -> Vec<f64> {
        x.chunks(5 * w).flat_map(|x| [x, &vec![0.5; 4 * w]].concat()).collect()
    };
    let [lq, lk, lv, lg] = [&q, &k, &v, &gy].map(|x| pad(x));

    let y = &all(&short, [&q, &k, &v], None, &gy)[0];
    let long_y = &all(&long, [&lq, &lk, &lv], None, &lg)[0];

    for (y, long_y) in y.chunks(5 * w).zip(long_y.chunks(9 * w)) {
        assert!(error(&long_y[..5 * w], y) < 1e-14);
    }
}

#[test]
fn test_attention__same_bits_for_any_threads() {
    let mut a = attention([3, 70, 140, 2, 5], Visibility::Causal);
    a.dropout = dropout();
    let [q, k, v, gy] = data(&a, 1).map(|x| narrow(&x));
    let mask = mask(&a);
    assert_same_bits_for_any_threads(|| all(&a, [&q, &k, &v], Some(&mask), &gy).concat());
}

/// A cache has room behind its keys: what lies there changes nothing.
#[test]
fn test_attention__keys_in_a_larger_cache() {
    for queries in [1, 3] {
        let a = attention([2, queries, 5, 2, 4], Visibility::Causal);
        let [q, k, v, _] = data(&a, 3);
        let roomy = |x: &[f64]| -> Vec<f64> {
            let samples = x.chunks(5 * 8);
            samples.flat_map(|s| [s, &[f64::NAN; 3 * 8]].concat()).collect()
        };
        let run = |k: &[f64], v: &[f64], key_rows| {
            let x = Inputs { q: &q, k, v, stride: 8, key_rows };
            let (mut y, mut lse) = (vec![0.0; q.len()], vec![0.0; 2 * 2 * queries]);
            forward(&a, x, None, &mut y, &mut lse);
            y
        };
        assert_eq!(run(&roomy(&k), &roomy(&v), 8), run(&k, &v, 5));
    }
}
