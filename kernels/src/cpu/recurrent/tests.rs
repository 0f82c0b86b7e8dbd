//! The layers whose state is h alone; `lstm` has tests of its own.

use super::super::rnn::Nonlinearity;
use super::super::testing::{
    assert_same_bits_for_any_threads, dot, error, narrow, numeric_gradient, random,
};
use super::super::{gru, rnn};
use super::*;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Gru,
    Rnn(Nonlinearity),
}

const KINDS: [Kind; 3] = [Kind::Gru, Kind::Rnn(Nonlinearity::Tanh), Kind::Rnn(Nonlinearity::Relu)];

impl Kind {
    fn gates(self) -> usize {
        if matches!(self, Self::Gru) { 3 } else { 1 }
    }

    /// x, w_ih, w_hh, b_ih, b_hh, h0.
    fn data(self, l: &Layer, seed: u32) -> [Vec<f64>; 6] {
        let (b, t, d, h, g) = (l.batch, l.time, l.input, l.hidden, self.gates() * l.hidden);
        let mut seeds = seed..;
        [b * t * d, g * d, g * h, g, g, b * h]
            .map(|n| random(n, seeds.next().unwrap()).iter().map(|x| 0.5 * x).collect())
    }

    /// One step by the definition, one number at a time: from the rows of W_ih x + b_ih and of W_hh h + b_hh.
    fn step(
        self,
        from_x: impl Fn(usize) -> f64,
        from_h: impl Fn(usize) -> f64,
        h: &[f64],
    ) -> Vec<f64> {
        let n = h.len();
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let next = |j: usize| match self {
            Self::Gru => {
                let r = sigmoid(from_x(j) + from_h(j));
                let z = sigmoid(from_x(n + j) + from_h(n + j));
                let new = (from_x(2 * n + j) + r * from_h(2 * n + j)).tanh();
                (1.0 - z) * new + z * h[j]
            }
            Self::Rnn(Nonlinearity::Tanh) => (from_x(j) + from_h(j)).tanh(),
            Self::Rnn(Nonlinearity::Relu) => (from_x(j) + from_h(j)).max(0.0),
        };
        (0..n).map(next).collect()
    }

    /// y, h_n by the definition.
    fn naive(self, l: &Layer, x: &[Vec<f64>; 6]) -> [Vec<f64>; 2] {
        let [x, w_ih, w_hh, b_ih, b_hh, h0] = x;
        let (d, n) = (l.input, l.hidden);
        let (mut y, mut h_n) = (vec![], vec![]);
        for b in 0..l.batch {
            let mut h = h0[b * n..][..n].to_vec();
            for t in 0..l.time {
                let x = &x[(b * l.time + t) * d..][..d];
                h = self.step(
                    |row| dot(&w_ih[row * d..][..d], x) + b_ih[row],
                    |row| dot(&w_hh[row * n..][..n], &h) + b_hh[row],
                    &h,
                );
                y.extend(&h);
            }
            h_n.extend(h);
        }
        [y, h_n]
    }

    /// y, h_n and the gradients of the six inputs.
    fn all<R: Real>(self, l: &Layer, x: &[Vec<R>; 6], gy: [Option<&[R]>; 2]) -> Vec<Vec<R>> {
        let [x, w_ih, w_hh, b_ih, b_hh, h0] = x;
        // NaN wherever the kernel should write, and in the scratch
        let fresh = |n| vec![R::from_f64(f64::NAN); n];
        let w = Weights { w_ih, w_hh, b_ih, b_hh };
        let (mut y, mut h_n) = (fresh(l.steps()), fresh(h0.len()));
        let mut g = [x, w_ih, w_hh, b_ih, b_hh, h0].map(|x| fresh(x.len()));
        let [gx, gw_ih, gw_hh, gb_ih, gb_hh, gh0] = &mut g;
        match self {
            Self::Gru => {
                let mut gates = fresh(4 * l.steps());
                let out = gru::Outputs { y: &mut y, h_n: &mut h_n, gates: &mut gates };
                gru::forward(l, x, &w, h0, out);
                let saved = gru::Saved { x, h0, y: &y, gates: &gates };
                let cotangents = gru::Cotangents { y: gy[0], h_n: gy[1] };
                let grads = gru::Grads {
                    x: gx,
                    w_ih: gw_ih,
                    w_hh: gw_hh,
                    b_ih: gb_ih,
                    b_hh: gb_hh,
                    h0: gh0,
                };
                let mut scratch = fresh(gru::backward_scratch(l));
                gru::backward(l, &w, &saved, cotangents, grads, &mut scratch);
            }
            Self::Rnn(f) => {
                let out = rnn::Outputs { y: &mut y, h_n: &mut h_n };
                rnn::forward(l, f, x, &w, h0, out);
                let saved = rnn::Saved { x, h0, y: &y };
                let cotangents = rnn::Cotangents { y: gy[0], h_n: gy[1] };
                let grads = rnn::Grads {
                    x: gx,
                    w_ih: gw_ih,
                    w_hh: gw_hh,
                    b_ih: gb_ih,
                    b_hh: gb_hh,
                    h0: gh0,
                };
                let mut scratch = fresh(rnn::backward_scratch(l));
                rnn::backward(l, f, &w, &saved, cotangents, grads, &mut scratch);
            }
        }
        [y, h_n].into_iter().chain(g).collect()
    }
}

fn sizes([batch, time, input, hidden]: [usize; 4]) -> Layer {
    Layer { batch, time, input, hidden }
}

fn cotangents(l: &Layer) -> [Vec<f64>; 2] {
    [random(l.steps(), 20), random(l.state(), 21)]
}

#[test]
fn test_recurrent__naive_loops_and_slopes() {
    let all_sizes = [[1, 1, 1, 1], [3, 4, 2, 3], [18, 3, 1, 2], [2, 0, 2, 2], [0, 2, 2, 2]];
    for (kind, l) in KINDS.iter().flat_map(|k| all_sizes.map(|l| (*k, sizes(l)))) {
        let (x, gy) = (kind.data(&l, 1), cotangents(&l));
        for given in [[true, false], [false, true], [true, true]] {
            let used = |i: usize| given[i].then_some(&gy[i][..]);

            let found = kind.all(&l, &x, [0, 1].map(used));

            let expected = kind.naive(&l, &x);
            for (found, expected) in found.iter().zip(&expected) {
                assert!(error(found, expected) < 1e-14, "{kind:?} {l:?}");
            }
            for input in 0..6 {
                let slope = numeric_gradient(&x[input], |values| {
                    let mut x = x.clone();
                    x[input] = values.to_vec();
                    let y = kind.naive(&l, &x);
                    (0..2).filter_map(|i| used(i).map(|gy| dot(gy, &y[i]))).sum()
                });
                let off = error(&found[2 + input], &slope);
                assert!(off < 1e-9, "{kind:?} {l:?}, input {input}: {off}");
            }
        }
    }
}

#[test]
fn test_recurrent__single_precision_at_odd_sizes() {
    for (kind, l) in KINDS
        .iter()
        .flat_map(|k| [[5, 7, 33, 17], [19, 11, 8, 65], [13, 1, 9, 70]].map(|l| (*k, sizes(l))))
    {
        let (x, gy) = (kind.data(&l, 1), cotangents(&l));
        // Smaller weights: the state of a relu that grows at every step would drown the small numbers
        let x = x.map(|x| x.iter().map(|x| 0.2 * x).collect::<Vec<f64>>());
        let (x32, gy32) = (x.each_ref().map(|x| narrow(x)), gy.each_ref().map(|g| narrow(g)));

        let wide = kind.all(&l, &x, gy.each_ref().map(|g| Some(&g[..])));
        let single = kind.all(&l, &x32, gy32.each_ref().map(|g| Some(&g[..])));

        for (i, (single, wide)) in single.iter().zip(&wide).enumerate() {
            let off = error(single, wide);
            assert!(off < 1e-5, "{kind:?} {l:?} {i}: {off}");
        }
    }
}

#[test]
fn test_recurrent__state_carries_over_a_cut() {
    for kind in KINDS {
        let whole = sizes([2, 6, 3, 4]);
        let part = Layer { time: 3, ..whole };
        let x = kind.data(&whole, 1);
        let half = |from: usize| -> Vec<f64> {
            x[0].chunks(6 * 3).flat_map(|x| x[from * 3..(from + 3) * 3].to_vec()).collect()
        };
        let (mut first, mut second) = (x.clone(), x.clone());
        (first[0], second[0]) = (half(0), half(3));

        second[5] = kind.all(&part, &first, [None; 2])[1].clone();
        let tail = kind.all(&part, &second, [None; 2]);

        assert_eq!(tail[1], kind.all(&whole, &x, [None; 2])[1], "{kind:?}");
    }
}

#[test]
fn test_recurrent__later_steps_change_no_bit() {
    for kind in KINDS {
        let l = sizes([1, 5, 3, 4]);
        let mut x = kind.data(&l, 1);
        let before = kind.all(&l, &x, [None; 2]);
        x[0][3 * 3..].fill(0.7);

        let after = kind.all(&l, &x, [None; 2]);

        assert_eq!(before[0][..3 * 4], after[0][..3 * 4]);
        assert_ne!(before[0][3 * 4..], after[0][3 * 4..]);
    }
}

#[test]
fn test_recurrent__a_relu_lets_no_nan_pass_as_zero() {
    let (kind, l) = (Kind::Rnn(Nonlinearity::Relu), sizes([1, 2, 1, 1]));
    let mut x = kind.data(&l, 1);
    x[0][0] = f64::NAN;

    assert!(kind.all(&l, &x, [None; 2])[1][0].is_nan());
}

#[test]
fn test_recurrent__same_bits_for_any_threads() {
    // Batches that are cut for some numbers of threads and not for others, and one step, which reads the weight unpacked
    for (kind, l) in
        KINDS.iter().flat_map(|k| [[37, 9, 20, 33], [3, 1, 20, 33]].map(|l| (*k, sizes(l))))
    {
        let x = kind.data(&l, 1).map(|x| narrow(&x));
        let gy = cotangents(&l).map(|g| narrow(&g));
        let given = || gy.each_ref().map(|g| Some(&g[..]));
        assert_same_bits_for_any_threads(|| kind.all(&l, &x, given()).concat());
    }
}
