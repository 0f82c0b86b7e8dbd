//! A group for each op case, beside what the machine can do; see the documentation of the crate.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "criterion_group! makes a public function")]

use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main,
};
use foundry_benches::{Clock, backward_throughput, forward_throughput};
use foundry_engine::case::Inputs;
use foundry_engine::{OpCase, Spec, Tape, Tensor, ops};
use foundry_kernels::cpu::gemm::{Epilogue, Mat, MatMut, gemm, yardstick};
use foundry_kernels::cpu::par;
use std::hint::black_box;
use std::time::Duration;

const SEED: u64 = 1;

fn quick() -> Criterion<Clock> {
    Criterion::default()
        .with_measurement(Clock)
        .without_plots()
        .sample_size(15)
        .nresamples(10_000)
        .warm_up_time(Duration::from_millis(250))
        .measurement_time(Duration::from_millis(1000))
}

/// Copies, of the size of most cases and larger than any cache; read and written bytes count.
fn memory(c: &mut Criterion<Clock>) {
    const PIECE: usize = 1 << 14;
    let mut group = c.benchmark_group("rate: memcpy");
    for (name, len) in [("2 MiB", 1 << 19), ("64 MiB", 1 << 24)] {
        let from = vec![1.0_f32; len];
        let mut to = vec![0.0_f32; len];
        group.throughput(Throughput::BytesDecimal(2 * 4 * len as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                par::chunks_mut(&mut to, PIECE, |i, piece| {
                    piece.copy_from_slice(&from[i * PIECE..][..piece.len()]);
                });
            });
        });
    }
}

/// Matrix products: our own on the threads of the run and on one, and matrixmultiply's on one.
fn products(c: &mut Criterion<Clock>) {
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("threads");
    let mut counts = vec![1, rayon::current_num_threads()];
    counts.dedup();
    let mut group = c.benchmark_group("rate: gemm");
    for [m, k, n] in [[2048, 256, 1024], [1024, 1024, 1024], [32, 256, 1024]] {
        let mut random = Inputs::f32(SEED);
        let [a, b] = [[m, k], [k, n]].map(|shape| random.normal(shape).to_vec::<f32>());
        let (a, b) = (Mat::new(&a, m, k), Mat::new(&b, k, n));
        let mut c = vec![0.0; m * n];
        let shape = format!("{m} x {k} x {n}");
        group.throughput(Throughput::Elements((2 * m * k * n) as u64));
        for &threads in &counts {
            let pool = pool(threads);
            let mut own = || gemm(1.0, a, b, 0.0, MatMut::new(&mut c, m, n), Epilogue::None);
            group.bench_function(format!("{shape}, threads: {threads}"), |bench| {
                bench.iter(|| pool.install(&mut own));
            });
        }
        group.bench_function(format!("{shape}, matrixmultiply, threads: 1"), |bench| {
            bench.iter(|| yardstick::matrixmultiply_f32(a, b, MatMut::new(&mut c, m, n)));
        });
    }
}

fn op_cases(c: &mut Criterion<Clock>) {
    for op in ops::ALL {
        for case in (op.cases)() {
            let Some(inputs) = case.bench_inputs else { continue };
            let mut group = c.benchmark_group(format!("{}: {}", op.name, case.name));
            forward_and_backward(&mut group, &case, &inputs(SEED));
        }
    }
}

fn forward_and_backward(group: &mut BenchmarkGroup<'_, Clock>, case: &OpCase, inputs: &[Tensor]) {
    let specs = |x: &[Tensor]| x.iter().map(Tensor::spec).collect::<Vec<Spec>>();
    let outputs = (case.run)(inputs);
    let mut random = Inputs::f32(SEED + 1);
    let cotangents: Vec<Tensor> = outputs.iter().map(|y| random.normal(*y.shape())).collect();
    let cost = (case.cost)(&specs(inputs));

    group.throughput(forward_throughput(cost));
    group.bench_function("forward", |b| b.iter(|| black_box((case.run)(inputs))));

    group.throughput(backward_throughput(cost, &specs(inputs), &specs(&outputs)));
    let recorded = || {
        let tape = Tape::new();
        let leaf = |x: &Tensor| if x.dtype().is_float() { tape.leaf(x) } else { x.clone() };
        let leaves: Vec<Tensor> = inputs.iter().map(leaf).collect();
        let outputs = (case.run)(&leaves);
        (tape, leaves, outputs)
    };
    let backward = |(tape, leaves, outputs): (Tape, Vec<Tensor>, Vec<Tensor>)| {
        let pairs: Vec<_> = outputs.iter().zip(cotangents.iter().cloned()).collect();
        (tape.backward(&pairs), leaves)
    };
    group.bench_function("backward", |b| {
        b.iter_batched(recorded, backward, BatchSize::PerIteration);
    });
}

criterion_group! {
    name = benches;
    config = quick();
    targets = memory, products, op_cases
}
criterion_main!(benches);
