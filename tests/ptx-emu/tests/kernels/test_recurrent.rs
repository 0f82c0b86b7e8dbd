//! Whole layers, step by step, from the cells and the products.

use crate::support::{Gpu, Outcome, mutants, prove, random};
use foundry_kernels::cpu::recurrent::{Layer, Weights};
use foundry_kernels::cpu::{gru, lstm, rnn};
use foundry_kernels::cuda::gemm::{Matrix, gemm};
use foundry_kernels::cuda::launch::{NULL, Pointer};
use foundry_kernels::cuda::recurrent::{self as gpu_cells, Step};
use foundry_kernels::cuda::reduce::sum_columns;
use foundry_kernels::cuda::registry::{GRU_CELL, LSTM_CELL, RNN_CELL};

const B: usize = 3;
const T: usize = 4;
const D: usize = 2;

fn narrow(x: f64) -> f64 {
    f64::from(x as f32)
}

/// A layer with random parameters.
struct Case {
    h: usize,
    gates: usize,
    x: Vec<f64>,
    w: [Vec<f64>; 4],
    h0: Vec<f64>,
    c0: Vec<f64>,
    gy: Vec<f64>,
    gh: Vec<f64>,
    gc: Vec<f64>,
}

impl Case {
    fn new(h: usize, gates: usize) -> Self {
        let half = |n, seed| random(n, seed).into_iter().map(|x| x / 2.0).collect::<Vec<_>>();
        Self {
            h,
            gates,
            x: random(B * T * D, 1),
            w: [
                half(gates * h * D, 2),
                random(gates * h * h, 3)
                    .into_iter()
                    .map(|w| narrow(w / (h as f64).sqrt()))
                    .collect(),
                half(gates * h, 4),
                half(gates * h, 5),
            ],
            h0: half(B * h, 6),
            c0: half(B * h, 7),
            gy: random(B * T * h, 8),
            gh: random(B * h, 9),
            gc: random(B * h, 10),
        }
    }

    fn layer(&self) -> Layer {
        Layer { batch: B, time: T, input: D, hidden: self.h }
    }

    fn weights(&self) -> Weights<'_, f64> {
        let [w_ih, w_hh, b_ih, b_hh] = &self.w;
        Weights { w_ih, w_hh, b_ih, b_hh }
    }

    /// Row r of W_ih x + b_ih, plus b_hh where asked for.
    fn projected(&self, row: usize, gate: usize, with_b_hh: bool) -> f64 {
        let [w_ih, _, b_ih, b_hh] = &self.w;
        let products = (0..D).map(|d| w_ih[gate * D + d] * self.x[row * D + d]);
        products.sum::<f64>() + b_ih[gate] + if with_b_hh { b_hh[gate] } else { 0.0 }
    }

    fn step(&self) -> Step {
        let h = self.h as u32;
        Step { batch: B as u32, hidden: h, gates_stride: 4 * T as u32 * h, y_stride: T as u32 * h }
    }
}

/// Element `at` of an array.
fn element(p: Pointer, at: usize) -> Pointer {
    Pointer(p.0 + 4 * at as u64)
}

/// Gates of a step += state W_hh^T.
fn add_recurrent(gpu: &mut Gpu, c: &Case, state: Pointer, w_hh: Pointer, to: Matrix) -> Outcome {
    let (h, n) = (c.h as u32, (c.gates * c.h) as u32);
    let (state, w) = (Matrix::new(state, B as u32, h), Matrix::new(w_hh, n, h).t());
    gpu.run(&gemm((1.0, 1.0), state, w, NULL, to, [1, B as u32, n, h]))
}

/// dh = da W_hh + beta dh.
fn back(gpu: &mut Gpu, c: &Case, da: Matrix, w_hh: Pointer, dh: Pointer, beta: f32) -> Outcome {
    let (h, n) = (c.h as u32, (c.gates * c.h) as u32);
    let (w, dh) = (Matrix::new(w_hh, n, h), Matrix::new(dh, B as u32, h));
    gpu.run(&gemm((1.0, beta), da, w, NULL, dh, [1, B as u32, h, n]))
}

fn run_lstm(gpu: &mut Gpu, h: usize) -> Outcome {
    let c = Case::new(h, 4);
    let (l, steps) = (c.layer(), B * T * h);
    let zeros = |n| vec![0.0; n];
    let (mut y, mut h_n, mut c_n) = (zeros(steps), zeros(B * h), zeros(B * h));
    let (mut gates, mut cells) = (zeros(4 * steps), zeros(steps));
    let out = lstm::Outputs {
        y: &mut y,
        h_n: &mut h_n,
        c_n: &mut c_n,
        gates: &mut gates,
        cells: &mut cells,
    };
    lstm::forward(&l, &c.x, &c.weights(), &c.h0, &c.c0, out);
    let saved = lstm::Saved { x: &c.x, h0: &c.h0, c0: &c.c0, y: &y, gates: &gates, cells: &cells };
    let gy = lstm::Cotangents { y: Some(&c.gy), h_n: Some(&c.gh), c_n: Some(&c.gc) };
    let (mut gx, mut w_ih, mut w_hh) = (zeros(c.x.len()), zeros(4 * h * D), zeros(4 * h * h));
    let (mut b_ih, mut b_hh, mut gh0, mut gc0) =
        (zeros(4 * h), zeros(4 * h), zeros(B * h), zeros(B * h));
    let grads = lstm::Grads {
        x: &mut gx,
        w_ih: &mut w_ih,
        w_hh: &mut w_hh,
        b_ih: &mut b_ih,
        b_hh: &mut b_hh,
        h0: &mut gh0,
        c0: &mut gc0,
    };
    let mut scratch = zeros(lstm::backward_scratch(&l));
    lstm::backward(&l, &c.weights(), &saved, gy, grads, &mut scratch);

    let before: Vec<f64> =
        (0..4 * steps).map(|i| c.projected(i / (4 * h), i % (4 * h), true)).collect();
    let step = c.step();
    let (on_gates, w) = (gpu.upload_wide(&before), gpu.upload_wide(&c.w[1]));
    let state = [gpu.upload_wide(&c.c0), gpu.upload_wide(&c.h0)];
    let (on_cells, on_y) = (gpu.fresh(steps), gpu.fresh(steps));
    for s in 0..T {
        let at = element(on_gates, s * 4 * h);
        add_recurrent(gpu, &c, state[1], w, Matrix::strided(at, B as u32, step.gates_stride))?;
        let kept = [element(on_cells, s * h), element(on_y, s * h)];
        gpu.run(&gpu_cells::lstm_forward(&step, at, state, kept))?;
    }
    for (what, at, expected) in [
        ("gates", on_gates, &gates),
        ("cells", on_cells, &cells),
        ("y", on_y, &y),
        ("c_n", state[0], &c_n),
        ("h_n", state[1], &h_n),
    ] {
        gpu.expect(what, at, expected, 2e-6)?;
    }

    let (on_gy, dh, dc) = (gpu.upload_wide(&c.gy), gpu.upload_wide(&c.gh), gpu.upload_wide(&c.gc));
    let (da, on_c0) = (gpu.fresh(4 * steps), gpu.upload_wide(&c.c0));
    for s in (0..T).rev() {
        let before = match s {
            0 => (on_c0, h as u32),
            _ => (element(on_cells, (s - 1) * h), step.y_stride),
        };
        let here = [element(on_gates, s * 4 * h), element(on_cells, s * h)];
        let (gy, da) = (element(on_gy, s * h), element(da, s * 4 * h));
        gpu.run(&gpu_cells::lstm_backward(&step, here, before, gy, [dh, dc], da))?;
        back(gpu, &c, Matrix::strided(da, B as u32, step.gates_stride), w, dh, 0.0)?;
    }
    gpu.expect("gradient of h0", dh, &gh0, 2e-6)?;
    gpu.expect("gradient of c0", dc, &gc0, 2e-6)?;
    let sums = gpu.fresh(4 * h);
    gpu.run(&sum_columns(da, sums, [1, (B * T) as u32, 4 * h as u32], 1.0))?;
    gpu.expect("gradient of the bias", sums, &b_ih, 2e-6)
}

fn run_gru(gpu: &mut Gpu, h: usize) -> Outcome {
    let c = Case::new(h, 3);
    let (l, steps) = (c.layer(), B * T * h);
    let zeros = |n| vec![0.0; n];
    let (mut y, mut h_n, mut gates) = (zeros(steps), zeros(B * h), zeros(4 * steps));
    let out = gru::Outputs { y: &mut y, h_n: &mut h_n, gates: &mut gates };
    gru::forward(&l, &c.x, &c.weights(), &c.h0, out);
    let saved = gru::Saved { x: &c.x, h0: &c.h0, y: &y, gates: &gates };
    let gy = gru::Cotangents { y: Some(&c.gy), h_n: Some(&c.gh) };
    let (mut gx, mut w_ih, mut w_hh) = (zeros(c.x.len()), zeros(3 * h * D), zeros(3 * h * h));
    let (mut b_ih, mut b_hh, mut gh0) = (zeros(3 * h), zeros(3 * h), zeros(B * h));
    let grads = gru::Grads {
        x: &mut gx,
        w_ih: &mut w_ih,
        w_hh: &mut w_hh,
        b_ih: &mut b_ih,
        b_hh: &mut b_hh,
        h0: &mut gh0,
    };
    let mut scratch = zeros(gru::backward_scratch(&l));
    gru::backward(&l, &c.weights(), &saved, gy, grads, &mut scratch);

    // [n r z m]: n without b_hn, m that alone, r and z with both biases.
    let before: Vec<f64> = (0..4 * steps)
        .map(|i| match (i / (4 * h), i % (4 * h) / h, i % h) {
            (row, 0, j) => c.projected(row, 2 * h + j, false),
            (_, 3, j) => c.w[3][2 * h + j],
            (row, gate, j) => c.projected(row, (gate - 1) * h + j, true),
        })
        .collect();
    let step = c.step();
    let (on_gates, w) = (gpu.upload_wide(&before), gpu.upload_wide(&c.w[1]));
    let (state, on_y) = (gpu.upload_wide(&c.h0), gpu.fresh(steps));
    for s in 0..T {
        let rzm = element(on_gates, s * 4 * h + h);
        add_recurrent(gpu, &c, state, w, Matrix::strided(rzm, B as u32, step.gates_stride))?;
        let at = element(on_gates, s * 4 * h);
        gpu.run(&gpu_cells::gru_forward(&step, at, state, element(on_y, s * h)))?;
    }
    gpu.expect("gates", on_gates, &gates, 2e-6)?;
    gpu.expect("y", on_y, &y, 2e-6)?;
    gpu.expect("h_n", state, &h_n, 2e-6)?;

    let (on_gy, dh) = (gpu.upload_wide(&c.gy), gpu.upload_wide(&c.gh));
    let (da, on_h0) = (gpu.fresh(4 * steps), gpu.upload_wide(&c.h0));
    for s in (0..T).rev() {
        let before = match s {
            0 => (on_h0, h as u32),
            _ => (element(on_y, (s - 1) * h), step.y_stride),
        };
        let (at, gy) = (element(on_gates, s * 4 * h), element(on_gy, s * h));
        gpu.run(&gpu_cells::gru_backward(&step, at, before, gy, dh, element(da, s * 4 * h)))?;
        let rzm = Matrix::strided(element(da, s * 4 * h + h), B as u32, step.gates_stride);
        back(gpu, &c, rzm, w, dh, 1.0)?;
    }
    gpu.expect("gradient of h0", dh, &gh0, 2e-6)?;
    let sums = gpu.fresh(4 * h);
    gpu.run(&sum_columns(da, sums, [1, (B * T) as u32, 4 * h as u32], 1.0))?;
    gpu.expect("gradient of the biases", sums, &[&b_ih[2 * h..], &b_hh].concat(), 2e-6)
}

fn run_rnn(gpu: &mut Gpu, h: usize, f: rnn::Nonlinearity) -> Outcome {
    let c = Case::new(h, 1);
    let (l, steps) = (c.layer(), B * T * h);
    let zeros = |n| vec![0.0; n];
    let (mut y, mut h_n) = (zeros(steps), zeros(B * h));
    rnn::forward(&l, f, &c.x, &c.weights(), &c.h0, rnn::Outputs { y: &mut y, h_n: &mut h_n });
    let saved = rnn::Saved { x: &c.x, h0: &c.h0, y: &y };
    let gy = rnn::Cotangents { y: None, h_n: Some(&c.gh) };
    let (mut gx, mut w_ih, mut w_hh) = (zeros(c.x.len()), zeros(h * D), zeros(h * h));
    let (mut b_ih, mut b_hh, mut gh0) = (zeros(h), zeros(h), zeros(B * h));
    let grads = rnn::Grads {
        x: &mut gx,
        w_ih: &mut w_ih,
        w_hh: &mut w_hh,
        b_ih: &mut b_ih,
        b_hh: &mut b_hh,
        h0: &mut gh0,
    };
    let mut scratch = zeros(rnn::backward_scratch(&l));
    rnn::backward(&l, f, &c.weights(), &saved, gy, grads, &mut scratch);

    let before: Vec<f64> = (0..steps).map(|i| c.projected(i / h, i % h, true)).collect();
    let step = c.step();
    let (on_y, w, state) =
        (gpu.upload_wide(&before), gpu.upload_wide(&c.w[1]), gpu.upload_wide(&c.h0));
    for s in 0..T {
        let at = element(on_y, s * h);
        add_recurrent(gpu, &c, state, w, Matrix::strided(at, B as u32, step.y_stride))?;
        gpu.run(&gpu_cells::rnn_forward(&step, f, at, state))?;
    }
    gpu.expect("y", on_y, &y, 2e-6)?;
    gpu.expect("h_n", state, &h_n, 2e-6)?;

    // Without a gradient of y: the pointer is null.
    let (dh, da) = (gpu.upload_wide(&c.gh), gpu.fresh(steps));
    for s in (0..T).rev() {
        let (at, da) = (element(on_y, s * h), element(da, s * h));
        gpu.run(&gpu_cells::rnn_backward(&step, f, [at, NULL, dh, da]))?;
        back(gpu, &c, Matrix::strided(da, B as u32, step.y_stride), w, dh, 0.0)?;
    }
    gpu.expect("gradient of h0", dh, &gh0, 2e-6)?;
    let sums = gpu.fresh(h);
    gpu.run(&sum_columns(da, sums, [1, (B * T) as u32, h as u32], 1.0))?;
    gpu.expect("gradient of the bias", sums, &b_ih, 2e-6)
}

fn lstm_check(gpu: &mut Gpu) -> Outcome {
    run_lstm(gpu, 5)?;
    run_lstm(gpu, 130)
}

fn gru_check(gpu: &mut Gpu) -> Outcome {
    run_gru(gpu, 5)?;
    run_gru(gpu, 130)
}

fn rnn_check(gpu: &mut Gpu) -> Outcome {
    for f in [rnn::Nonlinearity::Tanh, rnn::Nonlinearity::Relu] {
        run_rnn(gpu, 5, f)?;
        run_rnn(gpu, 130, f)?;
        one_step_with_gy(gpu, f)?;
    }
    Ok(())
}

/// da = (dh + gy) f'(y).
fn one_step_with_gy(gpu: &mut Gpu, f: rnn::Nonlinearity) -> Outcome {
    let n = 6;
    let (y, gy, dh) = (random(n, 1), random(n, 2), random(n, 3));
    let slope = |y: f64| match f {
        rnn::Nonlinearity::Tanh => 1.0 - y * y,
        rnn::Nonlinearity::Relu => f64::from(u8::from(y > 0.0)),
    };
    let expected: Vec<f64> = (0..n).map(|i| (dh[i] + gy[i]) * slope(y[i])).collect();
    let step = Step { batch: 2, hidden: 3, gates_stride: 3, y_stride: 3 };
    let (y, gy, dh) = (gpu.upload_wide(&y), gpu.upload_wide(&gy), gpu.upload_wide(&dh));
    let da = gpu.fresh(n);
    gpu.run(&gpu_cells::rnn_backward(&step, f, [y, gy, dh, da]))?;
    gpu.expect("da", da, &expected, 1e-6)
}

#[test]
fn test_lstm_cell__emulated_layer() {
    prove(lstm_check);
}

#[test]
fn test_lstm_cell__mutants() {
    mutants(&LSTM_CELL, &[], |gpu| run_lstm(gpu, 5));
}

#[test]
fn test_gru_cell__emulated_layer() {
    prove(gru_check);
}

#[test]
fn test_gru_cell__mutants() {
    mutants(&GRU_CELL, &[], |gpu| run_gru(gpu, 5));
}

#[test]
fn test_rnn_cell__emulated_layer() {
    prove(rnn_check);
}

#[test]
fn test_rnn_cell__mutants() {
    use rnn::Nonlinearity::{Relu, Tanh};
    mutants(&RNN_CELL, &[], |gpu| {
        run_rnn(gpu, 5, Tanh)?;
        run_rnn(gpu, 5, Relu)?;
        one_step_with_gy(gpu, Tanh)
    });
}
