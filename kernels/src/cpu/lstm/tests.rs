use super::super::testing::{
    assert_same_bits_for_any_threads, dot, error, narrow, numeric_gradient, random,
};
use super::*;

/// x, w_ih, w_hh, b_ih, b_hh, h0, c0.
fn data(l: &Layer, seed: u32) -> [Vec<f64>; 7] {
    let (b, t, d, h) = (l.batch, l.time, l.input, l.hidden);
    let sizes = [b * t * d, 4 * h * d, 4 * h * h, 4 * h, 4 * h, b * h, b * h];
    let mut seeds = seed..;
    sizes.map(|n| random(n, seeds.next().unwrap()).iter().map(|x| 0.5 * x).collect())
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// y, h_n, c_n by the definition, one number at a time.
fn naive(l: &Layer, x: &[Vec<f64>; 7]) -> [Vec<f64>; 3] {
    let [x, w_ih, w_hh, b_ih, b_hh, h0, c0] = x;
    let (d, n) = (l.input, l.hidden);
    let (mut y, mut h_n, mut c_n) = (vec![], vec![], vec![]);
    for b in 0..l.batch {
        let (mut h, mut c) = (h0[b * n..][..n].to_vec(), c0[b * n..][..n].to_vec());
        for t in 0..l.time {
            let x = &x[(b * l.time + t) * d..][..d];
            let gate = |k: usize, j: usize| {
                let r = k * n + j;
                let from_x = dot(&w_ih[r * d..][..d], x);
                from_x + b_ih[r] + dot(&w_hh[r * n..][..n], &h) + b_hh[r]
            };
            let step = |j: usize| {
                let (i, f) = (sigmoid(gate(0, j)), sigmoid(gate(1, j)));
                let (g, o) = (gate(2, j).tanh(), sigmoid(gate(3, j)));
                let cell = f * c[j] + i * g;
                (cell, o * cell.tanh())
            };
            (c, h) = (0..n).map(step).unzip();
            y.extend(&h);
        }
        h_n.extend(h);
        c_n.extend(c);
    }
    [y, h_n, c_n]
}

/// y, h_n, c_n and the gradients of the seven inputs.
fn all<R: Real>(l: &Layer, x: &[Vec<R>; 7], gy: [Option<&[R]>; 3]) -> Vec<Vec<R>> {
    let [x, w_ih, w_hh, b_ih, b_hh, h0, c0] = x;
    // NaN wherever the kernel should write, and in the scratch
    let fresh = |n| vec![R::from_f64(f64::NAN); n];
    let w = Weights { w_ih, w_hh, b_ih, b_hh };
    let steps = l.batch * l.time * l.hidden;
    let (mut y, mut h_n, mut c_n) = (fresh(steps), fresh(h0.len()), fresh(c0.len()));
    let (mut gates, mut cells) = (fresh(4 * steps), fresh(steps));
    let out =
        Outputs { y: &mut y, h_n: &mut h_n, c_n: &mut c_n, gates: &mut gates, cells: &mut cells };
    forward(l, x, &w, h0, c0, out);
    let mut g = [x, w_ih, w_hh, b_ih, b_hh, h0, c0].map(|x| fresh(x.len()));
    let [gx, gw_ih, gw_hh, gb_ih, gb_hh, gh0, gc0] = &mut g;
    let grads =
        Grads { x: gx, w_ih: gw_ih, w_hh: gw_hh, b_ih: gb_ih, b_hh: gb_hh, h0: gh0, c0: gc0 };
    let saved = Saved { x, h0, c0, y: &y, gates: &gates, cells: &cells };
    let cotangents = Cotangents { y: gy[0], h_n: gy[1], c_n: gy[2] };
    backward(l, &w, &saved, cotangents, grads, &mut fresh(backward_scratch(l)));
    [y, h_n, c_n].into_iter().chain(g).collect()
}

fn sizes([batch, time, input, hidden]: [usize; 4]) -> Layer {
    Layer { batch, time, input, hidden }
}

fn cotangents(l: &Layer) -> [Vec<f64>; 3] {
    let (steps, state) = (l.batch * l.time * l.hidden, l.batch * l.hidden);
    [random(steps, 20), random(state, 21), random(state, 22)]
}

#[test]
fn test_lstm__naive_loops_and_slopes() {
    for l in [[1, 1, 1, 1], [3, 4, 2, 3], [9, 3, 1, 2], [2, 0, 2, 2], [0, 2, 2, 2]].map(sizes) {
        let (x, gy) = (data(&l, 1), cotangents(&l));
        for given in [[true, false, false], [false, true, true], [true, true, true]] {
            let used = |i: usize| given[i].then_some(&gy[i][..]);

            let found = all(&l, &x, [0, 1, 2].map(used));

            let expected = naive(&l, &x);
            for (found, expected) in found.iter().zip(&expected) {
                assert!(error(found, expected) < 1e-14, "{l:?}");
            }
            for input in 0..7 {
                let slope = numeric_gradient(&x[input], |values| {
                    let mut x = x.clone();
                    x[input] = values.to_vec();
                    let y = naive(&l, &x);
                    (0..3).filter_map(|i| used(i).map(|gy| dot(gy, &y[i]))).sum()
                });
                assert!(error(&found[3 + input], &slope) < 1e-9, "{l:?}, input {input}");
            }
        }
    }
}

#[test]
fn test_lstm__single_precision_at_odd_sizes() {
    for l in [[5, 7, 33, 17], [19, 11, 8, 65]].map(sizes) {
        let (x, gy) = (data(&l, 1), cotangents(&l));
        let (x32, gy32) = (x.each_ref().map(|x| narrow(x)), gy.each_ref().map(|g| narrow(g)));

        let wide = all(&l, &x, gy.each_ref().map(|g| Some(&g[..])));
        let single = all(&l, &x32, gy32.each_ref().map(|g| Some(&g[..])));

        for (single, wide) in single.iter().zip(&wide) {
            assert!(error(single, wide) < 1e-5, "{l:?}");
        }
    }
}

#[test]
fn test_lstm__state_carries_over_a_cut() {
    let whole = sizes([2, 6, 3, 4]);
    let part = Layer { time: 3, ..whole };
    let x = data(&whole, 1);
    let half = |from: usize| -> Vec<f64> {
        x[0].chunks(6 * 3).flat_map(|x| x[from * 3..(from + 3) * 3].to_vec()).collect()
    };
    let run = |l: &Layer, x: &[Vec<f64>; 7]| all(l, x, [None; 3]);
    let mut first = x.clone();
    first[0] = half(0);
    let mut second = x.clone();
    second[0] = half(3);

    let head = run(&part, &first);
    (second[5], second[6]) = (head[1].clone(), head[2].clone());
    let tail = run(&part, &second);

    assert_eq!(tail[1..3], run(&whole, &x)[1..3]);
}

#[test]
fn test_lstm__later_steps_change_no_bit() {
    let l = sizes([1, 5, 3, 4]);
    let mut x = data(&l, 1);
    let before = all(&l, &x, [None; 3]);
    x[0][3 * 3..].fill(7.0);

    let after = all(&l, &x, [None; 3]);

    assert_eq!(before[0][..3 * 4], after[0][..3 * 4]);
    assert_ne!(before[0][3 * 4..], after[0][3 * 4..]);
}

#[test]
fn test_lstm__same_bits_for_any_threads() {
    let l = sizes([37, 9, 20, 33]);
    let x = data(&l, 1).map(|x| narrow(&x));
    let gy = cotangents(&l).map(|g| narrow(&g));
    assert_same_bits_for_any_threads(|| all(&l, &x, gy.each_ref().map(|g| Some(&g[..]))).concat());
}
