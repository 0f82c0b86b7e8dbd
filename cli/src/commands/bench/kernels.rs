//! `foundry bench kernels`: the rate of matrix products, beside the most that the processor can do.

use crate::failure::Failure;
use crate::setup;
use crate::terminal::{out, out_json};
use foundry_engine::isa::Isa;
use foundry_engine::yardstick::{PRODUCTS, measure};
use serde_json::json;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(super) struct KernelArgs {
    /// Threads to compute with; the peak is that of one thread times their number.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    /// Rounds; the median counts.
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &KernelArgs) -> Result<ExitCode, Failure> {
    let threads = usize::from(args.threads);
    let pool = setup::threads(Some(threads), None)?;
    let isa = Isa::current();
    if !args.json {
        out(format_args!(
            "matrix products in f32, {threads} threads, {}; GFLOP/s, and the share of the peak",
            isa.name()
        ))?;
    }
    let mut rows = Vec::new();
    let mut shares = Vec::new();
    for shape in PRODUCTS {
        let rates = pool.install(|| measure(shape, isa, threads, args.rounds));
        let share = 100.0 * rates.own / rates.peak;
        if shape.k >= 256 {
            shares.push(share);
        }
        if !args.json {
            out(format_args!(
                "{:<38} {:>4} x {:>4} x {:>4}  {:>6.1} {share:>5.1} %   B packed before {:>6.1} {:>5.1} %   matrixmultiply {:>6.1}",
                shape.name,
                shape.m,
                shape.k,
                shape.n,
                rates.own,
                rates.packed,
                100.0 * rates.packed / rates.peak,
                rates.matrixmultiply,
            ))?;
        }
        rows.push(json!({
            "name": shape.name,
            "m": shape.m,
            "k": shape.k,
            "n": shape.n,
            "gflops": rates.own,
            "gflops_prepacked": rates.packed,
            "gflops_matrixmultiply_one_thread": rates.matrixmultiply,
            "gflops_peak": rates.peak,
            "percent_of_peak": share,
        }));
    }
    shares.sort_by(f64::total_cmp);
    let median = shares[shares.len() / 2];
    if args.json {
        out_json(&json!({
            "threads": threads,
            "isa": isa.name(),
            "products": rows,
            "median_percent_of_peak": median,
        }))?;
    } else {
        out(format_args!("median of the shapes with k >= 256: {median:.1} % of the peak"))?;
    }
    Ok(ExitCode::SUCCESS)
}
