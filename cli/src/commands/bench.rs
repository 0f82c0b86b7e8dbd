//! `foundry bench`: how fast this program is on this machine.

mod growth;
mod kernels;
mod tokenize;

use crate::failure::Failure;
use crate::setup;
use crate::terminal::{out, out_json};
use foundry_engine::profile::{self, Total};
use foundry_models::bench::{self, Mode, NAMES, Named, Options, Timing};
use foundry_models::machine;
use growth::GrowthArgs;
use kernels::KernelArgs;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokenize::TokenizeArgs;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// A training step: forward, backward, AdamW, on random tokens.
    Train(ModelArgs),
    /// The loss of a batch of random tokens.
    Infer(ModelArgs),
    /// Greedy continuation of 16 tokens up to the model's length, one sequence.
    Decode(ModelArgs),
    /// A training step with one of length, width, vocabulary and batch changed at a time.
    Growth(GrowthArgs),
    /// Matrix products of the models' shapes, beside what the processor can do at most.
    Kernels(KernelArgs),
    /// A text becoming chunks, beside the batch encoder of the tokenizers crate alone.
    Tokenize(TokenizeArgs),
}

/// What is timed, and with how many threads.
#[derive(clap::Args)]
struct Subject {
    /// The model: its family and size.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(NAMES))]
    config: String,
    /// Threads to compute with; the cores this process may use if it is left out.
    #[arg(long)]
    threads: Option<usize>,
    /// The share of activations that are dropped in training.
    #[arg(long, default_value_t = 0.1, value_parser = share)]
    dropout: f64,
}

impl Subject {
    fn named(&self) -> Result<Named, Failure> {
        let unknown = || Failure::usage(format!("no model is called '{}'", self.config));
        Named::find(&self.config).ok_or_else(unknown)
    }
}

#[derive(clap::Args)]
struct ModelArgs {
    #[command(flatten)]
    subject: Subject,
    /// Steps before the clock starts.
    #[arg(long, default_value_t = 3)]
    warmup: usize,
    /// The fewest steps that are timed.
    #[arg(long, default_value_t = 8)]
    steps: usize,
    /// More steps are timed until so many seconds have passed.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    min_seconds: f64,
    /// No step begins after so many seconds, once three are timed.
    #[arg(long, default_value_t = 40.0, value_parser = seconds)]
    max_seconds: f64,
    /// Also say which operations the time of a step goes to.
    #[arg(long)]
    profile: bool,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

fn share(text: &str) -> Result<f64, String> {
    let ok = |x: &f64| (0.0..1.0).contains(x);
    text.parse().ok().filter(ok).ok_or_else(|| "expected a number from 0 to below 1".into())
}

fn seconds(text: &str) -> Result<f64, String> {
    let ok = |x: &f64| (0.0..=86_400.0).contains(x);
    text.parse().ok().filter(ok).ok_or_else(|| "expected seconds, from 0 to 86400".into())
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    match &args.what {
        What::Train(args) => model(args, Mode::Train),
        What::Infer(args) => model(args, Mode::Infer),
        What::Decode(args) => model(args, Mode::Decode),
        What::Growth(args) => growth::run(args),
        What::Kernels(args) => kernels::run(args),
        What::Tokenize(args) => tokenize::run(args),
    }
}

fn model(args: &ModelArgs, mode: Mode) -> Result<ExitCode, Failure> {
    let mode_name = name(mode);
    let named = args.subject.named()?;
    let pool = setup::threads(args.subject.threads, None)?;
    let options = Options {
        dropout: args.subject.dropout,
        warmup: args.warmup,
        steps: args.steps,
        least: Duration::from_secs_f64(args.min_seconds),
        most: Duration::from_secs_f64(args.max_seconds),
        seed: 1,
    };
    if args.profile {
        profile::start();
    }
    let (began, before) = (Instant::now(), machine::busy());
    let timing = pool.install(|| bench::run(&named, mode, &options)).ok_or_else(|| {
        Failure::usage(format!("{}: this version cannot {mode_name} such a model", named.name))
    })?;
    let others = others(before, machine::busy(), began.elapsed());
    let profile = profile::stop();
    let mut record = record(&named, mode, args, pool.current_num_threads(), &timing, others);
    let per_op = shares(&profile, args.warmup, &timing);
    if args.profile {
        record["profile"] = per_op.iter().map(Share::json).collect();
    }
    if args.json {
        out_json(&record)?;
    } else {
        out(format_args!(
            "{} {mode_name}, {} threads: {:.2} ms a step (median of {}, {:.2} to {:.2}), {:.0} tokens/s, {} parameters",
            named.name,
            pool.current_num_threads(),
            milliseconds(timing.median()),
            timing.steps.len(),
            record["min_ms"].as_f64().unwrap_or(f64::NAN),
            record["max_ms"].as_f64().unwrap_or(f64::NAN),
            record["tokens_per_s"].as_f64().unwrap_or(f64::NAN),
            timing.parameters,
        ))?;
        if let Some(percent) = record["percent_of_peak"].as_f64() {
            out(format_args!(
                "  {percent:.1} % of the peak: {:.2} GFLOP of products a step, at most {:.1} GFLOP/s",
                record["gflop_per_step"].as_f64().unwrap_or(f64::NAN),
                record["gflops_peak"].as_f64().unwrap_or(f64::NAN),
            ))?;
        }
        for share in &per_op {
            out(share)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn name(mode: Mode) -> &'static str {
    match mode {
        Mode::Train => "train",
        Mode::Infer => "infer",
        Mode::Decode => "decode",
    }
}

fn record(
    named: &Named,
    mode: Mode,
    args: &ModelArgs,
    threads: usize,
    timing: &Timing,
    others: Option<f64>,
) -> Value {
    let median = timing.median();
    let extreme = |x: Option<&Duration>| x.map(|d| milliseconds(*d));
    #[expect(clippy::cast_precision_loss, reason = "tokens and bytes are far below 2^52")]
    let per_second = timing.tokens as f64 / median.as_secs_f64();
    let operations = (mode == Mode::Train).then(|| named.operations());
    let of_peak = operations.map(|n| 100.0 * n / median.as_secs_f64() / timing.peak);
    json!({
        "config": named.name,
        "mode": name(mode),
        "threads": threads,
        "dropout": args.subject.dropout,
        "isa": foundry_engine::isa::Isa::current().name(),
        "params": timing.parameters,
        "seq": named.time,
        "batch": named.batch,
        "tokens_per_s": per_second,
        "step_ms": milliseconds(median),
        "min_ms": extreme(timing.steps.iter().min()),
        "max_ms": extreme(timing.steps.iter().max()),
        "steps": timing.steps.len(),
        "loss": timing.loss,
        "gflop_per_step": operations.map(|n| n / 1e9),
        "gflops_peak": timing.peak / 1e9,
        "percent_of_peak": of_peak,
        "others_cpus": others,
        "peak_rss_mb": timing.peak_rss.map(|bytes| bytes / (1 << 20)),
    })
}

/// What an operation takes of a step, on average.
struct Share {
    op: &'static str,
    calls: f64,
    milliseconds: f64,
    percent: f64,
}

impl Share {
    fn json(&self) -> Value {
        json!({
            "op": self.op,
            "calls_per_step": self.calls,
            "ms_per_step": self.milliseconds,
            "percent": self.percent,
        })
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { op, calls, milliseconds, percent } = self;
        write!(f, "  {op:<28} {calls:>7.1} calls {milliseconds:>10.3} ms {percent:>6.1} %")
    }
}

/// The operations of a step (those before the clock started count too), and what is left between them.
#[expect(clippy::cast_precision_loss, reason = "counts of calls are far below 2^52")]
fn shares(profile: &[(&'static str, Total)], warmup: usize, timing: &Timing) -> Vec<Share> {
    let steps = (warmup + timing.steps.len()) as f64;
    let step = milliseconds(timing.steps.iter().sum()) / timing.steps.len() as f64;
    let share = |op, calls, milliseconds| Share {
        op,
        calls,
        milliseconds,
        percent: 100.0 * milliseconds / step,
    };
    let mut shares: Vec<Share> = profile
        .iter()
        .map(|(op, t)| share(*op, t.calls as f64 / steps, milliseconds(t.time) / steps))
        .collect();
    let within: f64 = shares.iter().map(|s| s.milliseconds).sum();
    if !shares.is_empty() {
        shares.push(share("between operations", 1.0, step - within));
    }
    shares
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// How many processors other programs kept busy meanwhile.
fn others(
    before: Option<machine::Busy>,
    after: Option<machine::Busy>,
    elapsed: Duration,
) -> Option<f64> {
    let (before, after) = (before?, after?);
    let all = after.machine - before.machine;
    let own = after.process - before.process;
    Some(((all - own) / elapsed.as_secs_f64()).max(0.0))
}
