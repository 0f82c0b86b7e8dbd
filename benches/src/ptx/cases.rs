//! What is counted: sizes large enough for the inner loops to rule, and small enough for seconds.

use super::{Case, Gpu, Unit};
use foundry_kernels::cpu::attention::{Attention, Visibility};
use foundry_kernels::cpu::dropout::Dropout;
use foundry_kernels::cpu::elementwise::activation::Activation;
use foundry_kernels::cpu::optimizer::AdamW;
use foundry_kernels::cpu::rnn::Nonlinearity;
use foundry_kernels::cuda::attention::{Grads, Inputs};
use foundry_kernels::cuda::gemm::{Matrix, gemm};
use foundry_kernels::cuda::launch::{NULL, Pointer};
use foundry_kernels::cuda::recurrent::Step;
use foundry_kernels::cuda::tensor_cores::{Epilogue, Format, Half, Layout, Product, Rows};
use foundry_kernels::cuda::{
    activation, attention, cross_entropy, dropout, elementwise, embedding, ladder, layer_norm,
    optimizer, recurrent, reduce, softmax, tensor_cores,
};

const ROWS: [u32; 2] = [256, 512];
const N: u32 = 256 * 512;
const MNK: [u32; 3] = [128, 128, 128];
const HEAD: [u32; 2] = [128, 64];
const STATE: [u32; 2] = [128, 256];

fn case(task: &'static str, kernel: &'static str, shape: &'static str, run: fn(&mut Gpu)) -> Case {
    Case { task, kernel, shape, unit: Unit::F32, run }
}

pub(super) fn all() -> Vec<Case> {
    [
        ladder_of_softmax(),
        ladder_of_gemm(),
        ladder_of_attention(),
        ladder_of_lstm(),
        rows(),
        steps(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn ladder_of_softmax() -> Vec<Case> {
    fn run(gpu: &mut Gpu, version: usize) {
        let (x, y) = (gpu.input(N), gpu.output(N));
        gpu.run(&ladder::softmax(version, x, y, ROWS));
    }
    let shape = "[256, 512]";
    vec![
        case("softmax 1", "ladder_softmax_1", shape, |gpu| run(gpu, 1)),
        case("softmax 2", "ladder_softmax_2", shape, |gpu| run(gpu, 2)),
        case("softmax 3", "ladder_softmax_3", shape, |gpu| run(gpu, 3)),
        case("softmax 4, ships", "softmax_forward", shape, |gpu| {
            let (x, y) = (gpu.input(N), gpu.output(N));
            gpu.run(&softmax::forward(x, y, ROWS[0], ROWS[1]));
        }),
    ]
}

fn ladder_of_gemm() -> Vec<Case> {
    fn operands(gpu: &mut Gpu) -> [Pointer; 3] {
        let [m, n, k] = MNK;
        [gpu.input(m * k), gpu.input(k * n), gpu.output(m * n)]
    }
    fn run(gpu: &mut Gpu, version: usize) {
        let abc = operands(gpu);
        gpu.run(&ladder::gemm(version, abc, MNK));
    }
    let shape = "128 x 128 x 128";
    vec![
        case("product 1", "ladder_gemm_1", shape, |gpu| run(gpu, 1)),
        case("product 2", "ladder_gemm_2", shape, |gpu| run(gpu, 2)),
        case("product 3", "ladder_gemm_3", shape, |gpu| run(gpu, 3)),
        case("product 4, ships", "gemm_f32", shape, |gpu| {
            let [a, b, c] = operands(gpu);
            let [m, n, k] = MNK;
            let (a, b, c) = (Matrix::new(a, m, k), Matrix::new(b, k, n), Matrix::new(c, m, n));
            gpu.run(&gemm((1.0, 0.0), a, b, NULL, c, [1, m, n, k]));
        }),
        tensor_gemm("product 5, ships", "gemm_tf32_nn", Unit::Tf32, |gpu| {
            let at = operands(gpu);
            tensor_product(gpu, Format::Tf32, at);
        }),
        tensor_gemm("product 6, ships", "gemm_bf16_nn", Unit::Bf16, |gpu| {
            let [m, n, k] = MNK;
            let at = [gpu.input_bf16(m * k), gpu.input_bf16(k * n), gpu.output(m * n)];
            tensor_product(gpu, Format::Bf16, at);
        }),
    ]
}

fn tensor_gemm(task: &'static str, kernel: &'static str, unit: Unit, run: fn(&mut Gpu)) -> Case {
    Case { task, kernel, shape: "128 x 128 x 128", unit, run }
}

fn tensor_product(gpu: &mut Gpu, format: Format, [a, b, c]: [Pointer; 3]) {
    let [m, n, k] = MNK;
    let a = Rows { at: a, stride: k, batch: 0 };
    let b = Rows { at: b, stride: n, batch: 0 };
    let c = Product { f32: c, half: NULL, stride: n, batch: 0 };
    let plain = Epilogue { alpha: 1.0, bias: NULL, gelu: false, beta: 0.0, residual: NULL };
    gpu.run(&tensor_cores::gemm(format, Layout::Nn, [a, b], &c, &plain, [1, m, n, k]));
}

/// One head, no dropout, no mask.
fn head() -> Attention {
    let [n, d] = HEAD.map(|x| x as usize);
    Attention {
        batch: 1,
        queries: n,
        keys: n,
        heads: 1,
        head_dim: d,
        scale: 0.125,
        visibility: Visibility::Full,
        dropout: None,
    }
}

fn inputs(gpu: &mut Gpu) -> Inputs {
    let [n, d] = HEAD;
    let [q, k, v] = [(); 3].map(|()| gpu.input(n * d));
    Inputs { q, k, v, stride: d, key_rows: n, mask: NULL }
}

fn ladder_of_attention() -> Vec<Case> {
    let shape = "1 head, [128, 64]";
    vec![
        case("attention 1", "ladder_scores, softmax, ladder_values", shape, |gpu| {
            let [n, d] = HEAD;
            let at = [gpu.input(n * d), gpu.input(n * d), gpu.input(n * d), gpu.output(n * d)];
            let scores = gpu.scratch(n * n);
            for call in ladder::attention_1(at, scores, HEAD, 0.125) {
                gpu.run(&call);
            }
        }),
        case("attention 2", "ladder_attention_2", shape, |gpu| {
            let [n, d] = HEAD;
            let at = [gpu.input(n * d), gpu.input(n * d), gpu.input(n * d), gpu.output(n * d)];
            gpu.run(&ladder::attention_2(at, HEAD, 0.125));
        }),
        case("attention 3, ships", "attention_forward", shape, |gpu| {
            let [n, d] = HEAD;
            let x = inputs(gpu);
            let (y, lse) = (gpu.output(n * d), gpu.output(n));
            gpu.run(&attention::forward(&head(), &x, y, lse));
        }),
        Case {
            task: "attention 4, ships",
            kernel: "attention_bf16_forward_64",
            shape,
            unit: Unit::Bf16,
            run: |gpu| {
                let [n, d] = HEAD;
                let x = inputs_bf16(gpu);
                let (y, lse) = (gpu.output(n * d), gpu.output(n));
                gpu.run(&tensor_cores::attention_forward(Half::Bf16, &head(), &x, y, lse));
            },
        },
        Case {
            task: "its gradient, ships",
            kernel: "attention_dot, attention_bf16_q_64, _kv_64",
            shape,
            unit: Unit::Bf16,
            run: |gpu| {
                let [n, d] = HEAD;
                let x = inputs_bf16(gpu);
                let saved =
                    [gpu.input(n * d), gpu.input(n), gpu.input(n * d), gpu.input_bf16(n * d)];
                let dot = gpu.scratch(n);
                let [q, k, v] = [(); 3].map(|()| gpu.output(n * d));
                let grads = Grads { q, k, v, stride: d };
                for call in
                    tensor_cores::attention_backward(Half::Bf16, &head(), &x, saved, dot, &grads)
                {
                    gpu.run(&call);
                }
            },
        },
    ]
}

fn inputs_bf16(gpu: &mut Gpu) -> Inputs {
    let [n, d] = HEAD;
    let [q, k, v] = [(); 3].map(|()| gpu.input_bf16(n * d));
    Inputs { q, k, v, stride: d, key_rows: n, mask: NULL }
}

/// A step of so many sequences and so wide a state, with gates side by side.
fn step(gates: u32) -> Step {
    let [batch, hidden] = STATE;
    Step { batch, hidden, gates_stride: gates * hidden, y_stride: hidden }
}

fn ladder_of_lstm() -> Vec<Case> {
    let shape = "batch 128, state 256";
    vec![
        case("LSTM step 1", "ladder_sigmoid, _tanh, _cell, _output", shape, |gpu| {
            let n = STATE[0] * STATE[1];
            let (gates, state) = (gpu.input(4 * n), [gpu.both(n), gpu.output(n)]);
            for call in ladder::lstm_1(gates, state, STATE) {
                gpu.run(&call);
            }
        }),
        case("LSTM step 2", "ladder_lstm_2", shape, |gpu| {
            let n = STATE[0] * STATE[1];
            let (gates, state) = (gpu.input(4 * n), [gpu.both(n), gpu.output(n)]);
            gpu.run(&ladder::lstm_2(gates, state, STATE));
        }),
        case("LSTM step 3, ships", "lstm_forward", shape, |gpu| {
            let n = STATE[0] * STATE[1];
            let (gates, state) = (gpu.both(4 * n), [gpu.both(n), gpu.output(n)]);
            let kept = [gpu.output(n), gpu.output(n)];
            gpu.run(&recurrent::lstm_forward(&step(4), gates, state, kept));
        }),
    ]
}

fn rows() -> Vec<Case> {
    let rows = "[256, 512]";
    vec![
        case("softmax gradient", "softmax_backward", rows, |gpu| {
            let (y, gy, gx) = (gpu.input(N), gpu.input(N), gpu.output(N));
            gpu.run(&softmax::backward(y, gy, gx, ROWS[0], ROWS[1]));
        }),
        case("attention gradient", "attention_dot, _backward_q, _kv", "1 head, [128, 64]", |gpu| {
            let [n, d] = HEAD;
            let x = inputs(gpu);
            let saved = [gpu.input(n * d), gpu.input(n), gpu.input(n * d)];
            let dot = gpu.scratch(n);
            let [q, k, v] = [(); 3].map(|()| gpu.output(n * d));
            let grads = Grads { q, k, v, stride: d };
            for call in attention::backward(&head(), &x, saved, dot, &grads) {
                gpu.run(&call);
            }
        }),
        case("layer norm", "layer_norm_forward", rows, |gpu| {
            let at = [gpu.input(N), gpu.input(512), gpu.input(512)];
            let out = [gpu.output(N), gpu.output(256), gpu.output(256)];
            gpu.run(&layer_norm::forward(at, out, ROWS, 1e-5));
        }),
        case("layer norm gradient", "layer_norm_backward", rows, |gpu| {
            let at = [N, 512, 256, 256, N].map(|n| gpu.input(n));
            let gx = gpu.output(N);
            gpu.run(&layer_norm::backward(at, gx, ROWS));
        }),
        case("its gain and bias", "layer_norm_parameters", rows, |gpu| {
            let at = [N, 256, 256, N].map(|n| gpu.input(n));
            let out = [gpu.output(512), gpu.output(512)];
            gpu.run(&layer_norm::parameters(at, out, ROWS));
        }),
        case("cross-entropy", "cross_entropy_forward", rows, |gpu| {
            let at = [gpu.input(N), gpu.input_u32(256, 512)];
            let out = [gpu.output(256), gpu.output(256)];
            gpu.run(&cross_entropy::forward(at, out, ROWS, 0.0));
        }),
        case("cross-entropy gradient", "cross_entropy_backward", rows, |gpu| {
            let at = [gpu.input(N), gpu.input_u32(256, 512), gpu.input(256), gpu.input(256)];
            let out = gpu.output(N);
            gpu.run(&cross_entropy::backward(at, out, ROWS, 0.0));
        }),
        case("embedding", "embedding_forward", "256 of [512, 512]", |gpu| {
            let at = [gpu.input(512 * 512), gpu.input_u32(256, 512)];
            gpu.bytes -= 4 * 256 * 512; // rows that nobody asks for
            let y = gpu.output(N);
            gpu.run(&embedding::forward(at, y, [256, 512, 512]));
        }),
        case("embedding gradient", "embedding_backward", "256 of [512, 512]", |gpu| {
            let at = [gpu.input_u32(256, 512), gpu.input(N)];
            let grad = gpu.output(512 * 512);
            gpu.run(&embedding::backward(at, grad, [256, 512, 512]));
        }),
    ]
}

fn steps() -> Vec<Case> {
    let (rows, state) = ("[256, 512]", "batch 128, state 256");
    vec![
        case("dropout", "dropout", rows, |gpu| {
            let (x, y) = (gpu.input(N), gpu.output(N));
            gpu.run(&dropout::dropout(x, y, &Dropout::new([1, 2], 0.1), 0, ROWS));
        }),
        case("GELU", "gelu_tanh_forward", rows, |gpu| {
            let (x, y) = (gpu.input(N), gpu.output(N));
            gpu.run(&activation::forward(Activation::GeluTanh, x, y, N));
        }),
        case("GELU with its slope", "gelu_tanh_with_slope", rows, |gpu| {
            let (x, y, slope) = (gpu.input(N), gpu.output(N), gpu.output(N));
            gpu.run(&activation::forward_with_slope(Activation::GeluTanh, x, y, slope, N));
        }),
        case("GELU gradient", "known_slope_backward", rows, |gpu| {
            let (slope, gy, gx) = (gpu.input(N), gpu.input(N), gpu.output(N));
            gpu.run(&activation::backward(Activation::GeluTanh, slope, gy, gx, N));
        }),
        case("y = a x + b y", "axpby", rows, |gpu| {
            let (x, y) = (gpu.input(N), gpu.both(N));
            gpu.run(&elementwise::axpby(2.0, x, 1.0, y, N));
        }),
        case("transpose", "permute", rows, |gpu| {
            let (x, y) = (gpu.input(N), gpu.output(N));
            gpu.run(&elementwise::permute(x, &[1, 512], y, &[512, 256]));
        }),
        case("sums of columns", "sum_columns", rows, |gpu| {
            let (x, y) = (gpu.input(N), gpu.output(512));
            gpu.run(&reduce::sum_columns(x, y, [1, 256, 512], 1.0));
        }),
        case("sum of squares", "sum_parts, sum_total", rows, |gpu| {
            let (x, parts) = (gpu.input(N), gpu.scratch(2 * reduce::parts(N)));
            let total = gpu.output(2);
            for call in reduce::sum(reduce::Terms::Squares, x, N, parts, total) {
                gpu.run(&call);
            }
        }),
        case("AdamW", "adamw", rows, |gpu| {
            let rule = AdamW {
                lr: 1e-3,
                beta1: 0.9,
                beta2: 0.95,
                eps: 1e-8,
                weight_decay: 0.1,
                correction1: 0.1,
                correction2: 0.05,
                grad_scale: 1.0,
            };
            let (p, g, m, v) = (gpu.both(N), gpu.input(N), gpu.both(N), gpu.output(N));
            gpu.run(&elementwise::axpby(0.0, g, 0.0, v, N));
            gpu.counters = foundry_ptx_emu::Counters::default();
            gpu.bytes += 4 * u64::from(N);
            let control = gpu.input_u32(2, 1);
            gpu.run(&optimizer::adamw(&rule, [p, g, m, v], control, N));
        }),
        case("GRU step", "gru_forward", state, |gpu| {
            let n = STATE[0] * STATE[1];
            let (gates, h, y) = (gpu.both(4 * n), gpu.both(n), gpu.output(n));
            gpu.bytes -= 4 * u64::from(n); // the last part of the gates stays as it is
            gpu.run(&recurrent::gru_forward(&step(4), gates, h, y));
        }),
        case("RNN step", "rnn_forward", state, |gpu| {
            let n = STATE[0] * STATE[1];
            let (y, h) = (gpu.both(n), gpu.output(n));
            gpu.run(&recurrent::rnn_forward(&step(1), Nonlinearity::Tanh, y, h));
        }),
        case("LSTM step gradient", "lstm_backward", state, |gpu| {
            let n = STATE[0] * STATE[1];
            let saved = [gpu.input(4 * n), gpu.input(n)];
            let before = (gpu.input(n), STATE[1]);
            let gy = gpu.input(n);
            let (back, da) = ([gpu.input(n), gpu.both(n)], gpu.output(4 * n));
            gpu.run(&recurrent::lstm_backward(&step(4), saved, before, gy, back, da));
        }),
    ]
}
