//! Numbers that are not finite, and the alarm for leaking labels (rows C1, C3, C4), at any size.

use crate::durability::Dice;
use crate::experiment::{
    Experiment, Extent, ROW, after, alter, differences, models, read_tree, with_numbers,
    with_tensors,
};
use crate::tiny;
use approx::assert_abs_diff_eq;
use foundry_engine::op::list;
use foundry_engine::{
    Args, CpuArgs, CpuKernel, Ctx, CudaArgs, DType, Device, DeviceError, Differentiable, Init,
    InputGrads, Op, Param, Real, Saved, Spec, Specs, Tensor, apply, module, ops,
};
use foundry_engine::{for_each_param, for_each_param_mut};
use foundry_models::arch::{ARCHITECTURES, Batch, LanguageModel, OutputLayer, Size};
use foundry_models::collate::{CausalLMDataCollator, Collator, HostBatch, RowKeys};
use foundry_models::config::ModelConfig;
use foundry_models::data::Chunk;
use foundry_models::nn::{Bias, Conv1D, Embedding, LayerNorm, Linear, RnnState};
use foundry_models::optim::{Optimizer, Rule};
use foundry_models::tokenizer::SpecialIds;
use foundry_models::train::checkpoint::MODEL_FILE;
use foundry_models::train::learning_rate::{LearningRate, LrShape};
use foundry_models::train::run_folder::Wish;
use foundry_models::train::trainer::{StepError, Trainer};
use serde_json::{Value, json};

/// A trainer at a constant rate.
#[must_use]
pub fn trainer(model: Box<dyn LanguageModel>, rate: f64, max_grad_norm: Option<f64>) -> Trainer {
    let rule = Rule::AdamW { beta1: 0.9, beta2: 0.99, epsilon: 1e-8 };
    let optimizer = Optimizer::new(rule, 0.0, &*model);
    let shape = LrShape::Constant;
    let learning_rate = LearningRate {
        shape,
        peak: rate,
        floor: 0.0,
        warmup_steps: 0,
        total_steps: u64::MAX,
        reductions: 0,
    };
    let device = Device::cpu();
    Trainer {
        model,
        optimizer,
        learning_rate,
        max_grad_norm,
        label_smoothing: 0.0,
        average: None,
        recompute: false,
        carried: None,
        seed: 1,
        device,
    }
}

/// A batch of these rows, numbered from 0.
#[must_use]
pub fn batch(rows: &[Vec<u32>]) -> HostBatch {
    let chunks: Vec<Chunk> =
        rows.iter().map(|ids| Chunk { ids: ids.clone(), word_starts: Vec::new() }).collect();
    let numbers: Vec<u64> = (0..rows.len() as u64).collect();
    let keys = RowKeys { seed: 0, epoch: 0, rows: &numbers };
    CausalLMDataCollator::new(0).collate(keys, &chunks)
}

fn parameters(model: &dyn LanguageModel) -> Vec<(String, Vec<f32>)> {
    let mut all = Vec::new();
    for_each_param(model, |name, p| all.push((name.to_owned(), p.value().to_vec())));
    all
}

fn set(model: &mut dyn LanguageModel, name: &str, numbers: &[f32]) {
    for_each_param_mut(model, |n, p| {
        if n == name {
            let shape = p.spec().shape;
            p.set(&Tensor::from_f32(&Device::cpu(), shape, numbers));
        }
    });
}

/// C1: each parameter of each architecture made NaN, infinite, or 1e38 times what it was. The step is refused and
/// the parameter named, or, where the network saturates and stays finite, every number after the step is finite.
///
/// # Panics
/// If a number that is not finite gets through.
#[must_use]
pub fn not_finite(extent: Extent) -> String {
    let (mut refused, mut finite) = (0, 0);
    let size = Size { vocab: 17, positions: ROW };
    // Every token and every position is used, so that every row of every table is.
    let rows: Vec<Vec<u32>> = (0..17).map(|r| (0..16).map(|t| (r + t) % 17).collect()).collect();
    let window = [batch(&rows)];
    for config in models(extent) {
        let build = |_| {
            let init = Init::new(&Device::cpu(), DType::F32, 3);
            ARCHITECTURES.iter().find_map(|a| (a.build)(&config, size, &init)).expect("built")
        };
        for clip in [None, Some(1.0)] {
            for (name, old) in parameters(&*build(())) {
                let mut one = old.clone();
                one[old.len() / 2] = f32::NAN;
                let infinite = vec![f32::INFINITY; old.len()];
                let huge: Vec<f32> = old.iter().map(|x| (x * 1e38).clamp(-3e38, 3e38)).collect();
                for (bad, numbers) in [(true, one), (true, infinite), (false, huge)] {
                    let mut t = trainer(build(()), 1e-3, clip);
                    set(&mut *t.model, &name, &numbers);
                    let bits = |t: &Trainer| {
                        let all = parameters(&*t.model).into_iter().flat_map(|(_, x)| x);
                        all.map(f32::to_bits).collect::<Vec<_>>()
                    };
                    let before = bits(&t);
                    match t.step(1, &window) {
                        Err(StepError::Device(error)) => panic!("{error}"),
                        Err(StepError::NonFinite(problem)) => {
                            assert!(
                                !bad || problem.what == format!("parameter {name}"),
                                "{problem}"
                            );
                            assert_eq!(problem.update, 1);
                            assert_eq!(
                                (t.optimizer.updates(), bits(&t)),
                                (0, before),
                                "{name} moved"
                            );
                            refused += 1;
                        }
                        Ok(report) => {
                            assert!(!bad, "{}: {name} went unseen", t.model.architecture());
                            let moments = t.optimizer.tensors();
                            let after = parameters(&*t.model).into_iter().flat_map(|(_, x)| x);
                            assert!(
                                report.loss.is_finite() && after.into_iter().all(f32::is_finite)
                            );
                            for (moment, tensor) in moments {
                                let numbers = tensor.to_vec::<f32>();
                                assert!(
                                    numbers.iter().all(|x| x.is_finite()),
                                    "{}: {name} times 1e38 made {moment} infinite",
                                    t.model.architecture()
                                );
                            }
                            finite += 1;
                        }
                    }
                }
            }
        }
    }
    format!("{refused} refused in the same step, {finite} large but finite, 0 unseen")
}

/// A model whose numbers go wrong while its parameters are as they should be.
struct Wounded {
    model: Box<dyn LanguageModel>,
    wound: Wound,
}

/// Where.
#[derive(Clone)]
enum Wound {
    /// In the gradient of a parameter.
    Gradient(String),
    /// In what the output layer reads: one number of the hidden states.
    Hidden(f32),
}

/// Its first input as it is; the gradient of its second has a NaN in the middle.
#[derive(Clone, Copy, Debug)]
struct BadGradient;

impl Op for BadGradient {
    fn name(&self) -> &'static str {
        "bad_gradient"
    }

    fn output(&self, x: &[Spec]) -> Specs {
        list![x[0]]
    }

    fn cpu(&self, args: CpuArgs<'_>) {
        args.dispatch(self);
    }

    fn cuda(&self, a: &mut CudaArgs<'_>) -> Result<(), DeviceError> {
        Err(a.unsupported("a wound"))
    }
}

impl CpuKernel for BadGradient {
    fn run<R: Real>(&self, mut a: Args<'_, R>) {
        let y = a.y(0);
        y.copy_from_slice(a.x(0));
    }
}

impl Differentiable for BadGradient {
    fn save(&self, x: &[&Tensor], _: &[Tensor]) -> Saved {
        list![x[1].detach()]
    }

    fn vjp(&self, saved: &[Tensor], gy: &[Option<Tensor>], _: &[bool]) -> InputGrads {
        let mut bad = vec![0.0; saved[0].spec().numel()];
        let middle = bad.len() / 2;
        bad[middle] = f32::NAN;
        let bad = Tensor::from_f32(&Device::cpu(), *saved[0].shape(), &bad);
        list![gy[0].clone(), Some(bad)]
    }
}

impl foundry_engine::Module for Wounded {
    fn visit(&self, path: &mut foundry_engine::Path, f: &mut dyn FnMut(&str, &Param)) {
        self.model.visit(path, f);
    }

    fn visit_mut(&mut self, path: &mut foundry_engine::Path, f: &mut dyn FnMut(&str, &mut Param)) {
        self.model.visit_mut(path, f);
    }
}

impl LanguageModel for Wounded {
    fn architecture(&self) -> &'static str {
        self.model.architecture()
    }

    fn vocab_size(&self) -> usize {
        self.model.vocab_size()
    }

    fn context_length(&self) -> Option<usize> {
        self.model.context_length()
    }

    fn hidden(&self, cx: &Ctx, batch: &Batch) -> Tensor {
        let hidden = self.model.hidden(cx, batch);
        let Wound::Hidden(bad) = self.wound else { return hidden };
        let mut factors = vec![1.0; hidden.spec().numel()];
        let middle = factors.len() / 2;
        factors[middle] = bad;
        &hidden * &Tensor::from_f32(&Device::cpu(), *hidden.shape(), &factors)
    }

    fn loss(
        &self,
        cx: &Ctx,
        batch: &Batch,
        label_smoothing: f64,
        scale: f64,
        state: Option<&mut RnnState>,
    ) -> Tensor {
        let Wound::Gradient(name) = &self.wound else {
            return self.nll(cx, batch, label_smoothing).sum().scale(scale);
        };
        let loss = self.model.loss(cx, batch, label_smoothing, scale, state);
        let mut wounded = None;
        for_each_param(&*self.model, |n, p| {
            if n == name {
                wounded = Some(cx.param(p));
            }
        });
        let [loss] = apply(BadGradient, &[&loss, &wounded.expect("a parameter of this name")]);
        loss
    }

    fn output_layer(&self, cx: &Ctx) -> OutputLayer {
        self.model.output_layer(cx)
    }

    fn before_output(&self, cx: &Ctx, hidden: &Tensor) -> Tensor {
        self.model.before_output(cx, hidden)
    }

    fn config_json(&self, special: &SpecialIds) -> Value {
        self.model.config_json(special)
    }

    fn supports_generation(&self) -> bool {
        self.model.supports_generation()
    }
}

/// C1: numbers that go wrong inside a step, while every parameter is finite: a NaN in the gradient of each parameter, and a
/// NaN or an infinity in the hidden states. The step is refused, the gradient named, and nothing has moved.
///
/// # Panics
/// If one gets through.
#[must_use]
pub fn not_finite_inside(extent: Extent) -> String {
    let mut refused = 0;
    let size = Size { vocab: 17, positions: ROW };
    let rows: Vec<Vec<u32>> = (0..17).map(|r| (0..16).map(|t| (r + t) % 17).collect()).collect();
    let window = [batch(&rows)];
    for config in models(extent) {
        let build = || {
            let init = Init::new(&Device::cpu(), DType::F32, 3);
            ARCHITECTURES.iter().find_map(|a| (a.build)(&config, size, &init)).expect("built")
        };
        let names = parameters(&*build()).into_iter().map(|(name, _)| name);
        let wounds = names.map(Wound::Gradient);
        let hidden = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY].map(Wound::Hidden);
        for wound in wounds.chain(hidden) {
            for clip in [None, Some(1.0)] {
                let wounded = Wounded { model: build(), wound: wound.clone() };
                let mut t = trainer(Box::new(wounded), 1e-3, clip);
                let before = parameters(&*t.model);
                let problem = match t.step(1, &window) {
                    Err(StepError::NonFinite(problem)) => problem,
                    other => panic!("{}: {other:?}", t.model.architecture()),
                };
                match &wound {
                    Wound::Gradient(name) => {
                        assert_eq!(problem.what, format!("gradient of {name}"));
                    }
                    Wound::Hidden(_) => assert_eq!(problem.what, "loss"),
                }
                assert_eq!(parameters(&*t.model), before, "{problem}: something moved");
                assert_eq!(t.optimizer.updates(), 0);
                refused += 1;
            }
        }
    }
    format!("{refused} wounds inside a step, all seen in it")
}

/// C1 through the front door: a resume state with one NaN in one tensor. The run fails with exit code 5, names tensor
/// and rows, saves nothing, and goes on from the checkpoint before.
///
/// # Panics
/// If not.
#[must_use]
pub fn nothing_poisoned(extent: Extent) -> String {
    let mut tensors = 0;
    for model in models(extent) {
        let e = Experiment::new(&model, extent);
        let whole = e.finish(Wish::Start);
        e.clear();
        e.interrupt(Wish::Start, &mut after(4));
        let good = std::fs::read(e.checkpoint(4).join(MODEL_FILE)).expect("a model");
        let mut names = Vec::new();
        let _ = with_tensors(&good, |all| names.extend(all.keys().cloned()));
        for name in &names {
            alter(&e.checkpoint(4), MODEL_FILE, |_| {
                with_tensors(&good, |all| {
                    let tensor = all.get_mut(name).expect("of this name");
                    with_numbers(&mut tensor.2, |_, _| f32::NAN);
                })
            });
            let before = read_tree(e.run());
            let error = e.train(Wish::Resume, &mut |_| false).expect_err(name);
            let message = error.to_string();
            assert_eq!(error.exit_code(), 5, "{message}");
            assert!(
                message.contains("step 5") && message.contains("rows of the window: ["),
                "{message}"
            );
            assert!(message.contains(&format!("parameter {name} ")), "{message}");
            let after = read_tree(e.run());
            let differ = differences(&before, &after);
            assert!(differ.iter().all(|f| !f.starts_with("checkpoint-")), "{differ:?}");
            tensors += 1;
        }
        std::fs::remove_dir_all(e.checkpoint(4)).expect("it can be removed");
        let files = e.finish(Wish::Resume);
        assert!(differences(&whole, &files).is_empty(), "{:?}", differences(&whole, &files));
    }
    format!("{tensors} poisoned tensors: exit code 5, nothing saved, resumed from the one before")
}

/// Tokens of [`stream`]'s alphabet.
const LETTERS: u32 = 16;

/// C3: trains on random tokens, each seen once; gives the mean loss of the last 50 updates less ln V. What cannot be
/// known costs ln V nats: below that, labels leak.
///
/// # Panics
/// If the loss is not finite.
#[must_use]
pub fn stream(model: Box<dyn LanguageModel>, updates: u64) -> f64 {
    let mut t = trainer(model, 1e-2, Some(1.0));
    let mut dice = Dice(11);
    let mut row =
        || (0..12).map(|_| u32::try_from(dice.below(LETTERS.into())).unwrap_or(0)).collect();
    let mut last = Vec::new();
    for update in 1..=updates {
        let rows: Vec<Vec<u32>> = (0..32).map(|_| row()).collect();
        let report = t.step(update, &[batch(&rows)]).unwrap_or_else(|e| panic!("{e}"));
        last.push(report.loss);
    }
    let last = &last[last.len() - 50..];
    last.iter().sum::<f64>() / 50.0 - f64::from(LETTERS).ln()
}

fn init() -> Init {
    Init::new(&Device::cpu(), DType::F32, 5)
}

const SIZE: Size = Size { vocab: LETTERS as usize, positions: 12 };

/// A causal model of each architecture, without dropout.
fn causal_models() -> impl Iterator<Item = (String, Box<dyn LanguageModel>)> {
    let dry = |mut model: ModelConfig| {
        match &mut model {
            ModelConfig::Gpt2(t) => *t = tiny::transformer(0.0),
            ModelConfig::Bert(b) => b.transformer = tiny::transformer(0.0),
            ModelConfig::Lstm(r) | ModelConfig::Gru(r) | ModelConfig::Rnn(r) => *r = tiny::rnn(0.0),
        }
        model
    };
    let configs: Vec<_> = tiny::configs().into_iter().map(dry).collect();
    let built = configs
        .into_iter()
        .filter_map(|c| ARCHITECTURES.iter().find_map(|a| (a.build)(&c, SIZE, &init())));
    built.filter(|m| m.supports_generation()).map(|m| (m.architecture().to_owned(), m))
}

/// C3: every causal architecture on the stream, and, as controls, the same with an input that is one token ahead, and a
/// transformer whose attention has no mask.
///
/// # Panics
/// If an architecture learns what it cannot know, or a control does not ring the alarm.
#[must_use]
pub fn leak_alarm(updates: u64) -> String {
    let mut report = Vec::new();
    for (name, model) in causal_models() {
        let excess = stream(model, updates);
        assert!(excess >= -0.02, "{name}: {excess} nats below ln V: labels leak");
        report.push(format!("{name} {excess:+.4}"));
    }
    let ahead = causal_models().map(|(name, model)| {
        (format!("{name} one token ahead"), Box::new(Ahead(model)) as Box<dyn LanguageModel>)
    });
    let unmasked: Box<dyn LanguageModel> = Box::new(Unmasked::new(&init()));
    for (name, model) in ahead.chain([("no mask".to_owned(), unmasked)]) {
        let excess = stream(model, updates);
        assert!(excess < -0.02, "{name}: the alarm does not ring: {excess}");
        report.push(format!("{name} {excess:+.4}"));
    }
    format!("mean loss of the last 50 of {updates} updates less ln V: {}", report.join(", "))
}

/// A model that is shown the labels.
struct Ahead(Box<dyn LanguageModel>);

impl foundry_engine::Module for Ahead {
    fn visit(&self, path: &mut foundry_engine::Path, f: &mut dyn FnMut(&str, &Param)) {
        self.0.visit(path, f);
    }

    fn visit_mut(&mut self, path: &mut foundry_engine::Path, f: &mut dyn FnMut(&str, &mut Param)) {
        self.0.visit_mut(path, f);
    }
}

impl LanguageModel for Ahead {
    fn architecture(&self) -> &'static str {
        "ahead"
    }

    fn vocab_size(&self) -> usize {
        self.0.vocab_size()
    }

    fn context_length(&self) -> Option<usize> {
        self.0.context_length()
    }

    fn hidden(&self, cx: &Ctx, batch: &Batch) -> Tensor {
        let [_, t] = batch.ids.dims();
        let mut ids = batch.ids.to_vec_u32();
        ids.chunks_mut(t).for_each(|row| row.rotate_left(1));
        let ids = Tensor::from_u32(&batch.ids.device(), *batch.ids.shape(), &ids);
        self.0.hidden(cx, &Batch { ids, ..batch.clone() })
    }

    fn output_layer(&self, cx: &Ctx) -> OutputLayer {
        self.0.output_layer(cx)
    }

    fn before_output(&self, cx: &Ctx, hidden: &Tensor) -> Tensor {
        self.0.before_output(cx, hidden)
    }

    fn config_json(&self, special: &SpecialIds) -> Value {
        self.0.config_json(special)
    }

    fn supports_generation(&self) -> bool {
        true
    }
}

/// One block of GPT-2, but that its attention sees the whole row.
struct Unmasked {
    wte: Embedding,
    wpe: Embedding,
    ln_1: LayerNorm,
    c_attn: Conv1D,
    c_proj: Conv1D,
    ln_f: LayerNorm,
    head: Linear,
}
module!(Unmasked { wte, wpe, ln_1, c_attn, c_proj, ln_f, head });

impl Unmasked {
    fn new(init: &Init) -> Self {
        let (d, std) = (tiny::WIDTH, 0.1);
        Self {
            wte: Embedding::new(&init.at("wte"), SIZE.vocab, d, std),
            wpe: Embedding::new(&init.at("wpe"), SIZE.positions, d, std),
            ln_1: LayerNorm::new(&init.at("ln_1"), d, 1e-5),
            c_attn: Conv1D::new(&init.at("c_attn"), d, 3 * d, std),
            c_proj: Conv1D::new(&init.at("c_proj"), d, d, std),
            ln_f: LayerNorm::new(&init.at("ln_f"), d, 1e-5),
            head: Linear::new(&init.at("head"), d, SIZE.vocab, Bias::None, std),
        }
    }
}

impl LanguageModel for Unmasked {
    fn architecture(&self) -> &'static str {
        "unmasked"
    }

    fn vocab_size(&self) -> usize {
        SIZE.vocab
    }

    fn context_length(&self) -> Option<usize> {
        Some(SIZE.positions)
    }

    fn hidden(&self, cx: &Ctx, batch: &Batch) -> Tensor {
        let positions: Vec<u32> = (0..12).collect();
        let positions = Tensor::from_u32(&Device::cpu(), [positions.len()], &positions);
        let x = self.wte.forward(cx, &batch.ids) + self.wpe.forward(cx, &positions);
        let qkv = self.c_attn.forward(cx, &self.ln_1.forward(cx, &x));
        let y = ops::attention::Attention::full(2).packed(&qkv, None);
        self.ln_f.forward(cx, &(x + self.c_proj.forward(cx, &y)))
    }

    fn output_layer(&self, cx: &Ctx) -> OutputLayer {
        self.head.output_layer(cx)
    }

    fn config_json(&self, _: &SpecialIds) -> Value {
        json!({})
    }

    fn supports_generation(&self) -> bool {
        true
    }
}

/// A model whose logits are a row of a table: the probability of each token after each token is known.
pub struct Bigram {
    table: Embedding,
}
module!(Bigram { table });

impl Bigram {
    /// A model with these logits, `[V * V]`.
    #[must_use]
    pub fn new(vocab: usize, logits: &[f32]) -> Self {
        let mut table = Embedding::new(&init(), vocab, vocab, 0.0);
        for_each_param_mut(&mut table, |_, p| {
            p.set(&Tensor::from_f32(&Device::cpu(), [vocab, vocab], logits));
        });
        Self { table }
    }
}

impl LanguageModel for Bigram {
    fn architecture(&self) -> &'static str {
        "bigram"
    }

    fn vocab_size(&self) -> usize {
        self.table.rows()
    }

    fn context_length(&self) -> Option<usize> {
        None
    }

    fn hidden(&self, cx: &Ctx, batch: &Batch) -> Tensor {
        self.table.forward(cx, &batch.ids)
    }

    /// What the table says, as it is.
    fn output_layer(&self, _: &Ctx) -> OutputLayer {
        let v = self.vocab_size();
        let identity: Vec<f32> =
            (0..v * v).map(|i| if i % (v + 1) == 0 { 1.0 } else { 0.0 }).collect();
        OutputLayer { weight: Tensor::from_f32(&Device::cpu(), [v, v], &identity), bias: None }
    }

    fn config_json(&self, _: &SpecialIds) -> Value {
        json!({})
    }

    fn supports_generation(&self) -> bool {
        true
    }
}

/// C4: the loss of five sequences, worked out by hand, where padding has the id of the end of a sequence. The tokens
/// that are predicted have probability 1/2, 1/4, 1/8 (an end), 1/2 (an end), 1/16 (an end), 1/4: the mean is
/// (1 + 2 + 3 + 1 + 4 + 2) / 6 ln 2. Had padding hidden the ends, it would be (1 + 2 + 2) / 3 ln 2.
///
/// # Panics
/// If the trainer finds another loss, in one batch or in five.
#[must_use]
pub fn loss_by_hand() -> String {
    const END: u32 = 1;
    let rows: [Vec<u32>; 5] =
        [vec![5, 6, 7, END], vec![8, END], vec![9], vec![], vec![END, END, 2]];
    let known: [(usize, usize, f64); 6] = [
        (5, 6, 1.0 / 2.0),
        (6, 7, 1.0 / 4.0),
        (7, 1, 1.0 / 8.0),
        (8, 1, 1.0 / 2.0),
        (1, 1, 1.0 / 16.0),
        (1, 2, 1.0 / 4.0),
    ];
    // What a row leaves over is shared by its other tokens.
    let mut logits = vec![0.0; 100];
    for (after, row) in logits.chunks_mut(10).enumerate() {
        let of_row = || known.iter().filter(|k| k.0 == after);
        let left = 1.0 - of_row().map(|k| k.2).sum::<f64>();
        let others = 10_u32 - u32::try_from(of_row().count()).expect("two at most");
        #[expect(clippy::cast_possible_truncation, reason = "logits are f32")]
        row.fill((left / f64::from(others)).ln() as f32);
        for &(_, token, p) in of_row() {
            #[expect(clippy::cast_possible_truncation, reason = "logits are f32")]
            (row[token] = p.ln() as f32);
        }
    }
    let by_hand = 13.0 / 6.0 * std::f64::consts::LN_2;
    let collate = |rows: &[Vec<u32>]| {
        let chunks: Vec<Chunk> =
            rows.iter().map(|ids| Chunk { ids: ids.clone(), word_starts: Vec::new() }).collect();
        let numbers: Vec<u64> = (0..rows.len() as u64).collect();
        let keys = RowKeys { seed: 0, epoch: 0, rows: &numbers };
        CausalLMDataCollator::new(END).collate(keys, &chunks)
    };
    let single: Vec<HostBatch> =
        rows.iter().filter(|r| !r.is_empty()).map(|r| collate(std::slice::from_ref(r))).collect();
    for window in [vec![collate(&rows)], single] {
        let mut t = trainer(Box::new(Bigram::new(10, &logits)), 0.0, None);
        let report = t.step(1, &window).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(report.targets, 6);
        assert_abs_diff_eq!(report.loss, by_hand, epsilon = 1e-6);
    }
    format!("{by_hand:.6} nats, as by hand, in one batch and in five")
}
