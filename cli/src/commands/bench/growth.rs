//! `foundry bench growth`: how the time of a training step grows with what a user chooses.

use super::{Subject, milliseconds};
use crate::failure::Failure;
use crate::setup;
use crate::terminal::{out, out_json, say};
use foundry_models::bench::{self, Dimension, Mode, Named, Options};
use foundry_models::report::{Axis, Chart, Figures, Pen, Series};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// What a dimension is multiplied by.
const FACTORS: [f64; 4] = [0.5, 1.0, 2.0, 4.0];

#[derive(clap::Args)]
pub(super) struct GrowthArgs {
    #[command(flatten)]
    subject: Subject,
    /// Steps of each size; the median counts.
    #[arg(long, default_value_t = 5)]
    steps: usize,
    /// Also draw it, as a new SVG file.
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &GrowthArgs) -> Result<ExitCode, Failure> {
    let named = args.subject.named()?;
    // Before the work: a name that is taken should not cost it.
    let picture = args.picture.as_ref().map(|path| {
        let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
        file.map_err(|e| Failure::usage(format!("cannot write {}: {e}", path.display())))
    });
    let picture = picture.transpose()?;
    let pool = setup::threads(args.subject.threads, None)?;
    let options = Options {
        dropout: args.subject.dropout,
        warmup: 1,
        steps: args.steps,
        least: Duration::ZERO,
        most: Duration::MAX,
        seed: 1,
    };
    let mut rows = Vec::new();
    let mut lines = Vec::new();
    for (colour, dimension) in Dimension::ALL.into_iter().enumerate() {
        let mut points = Vec::new();
        for factor in FACTORS {
            let (scaled, size) = named.scaled(dimension, factor);
            let Some(timing) = pool.install(|| bench::run(&scaled, Mode::Train, &options)) else {
                return Err(Failure::usage(format!("{} cannot be trained", named.name)));
            };
            let step = milliseconds(timing.median());
            if !args.json {
                out(format_args!("{:<10} {size:>6}  {step:>9.2} ms a step", dimension.name()))?;
            }
            points.push((factor, step));
            rows.push(json!({ "dimension": dimension.name(), "size": size, "step_ms": step }));
        }
        lines.push(Series { name: dimension.name().to_owned(), points, colour, pen: Pen::Marked });
    }
    if let (Some(mut file), Some(path)) = (picture, &args.picture) {
        let drawn = chart(&named, lines).picture();
        std::io::Write::write_all(&mut file, drawn.as_bytes())
            .map_err(|e| Failure::usage(format!("cannot write {}: {e}", path.display())))?;
        say(format_args!("wrote {}", path.display()));
    }
    if args.json {
        out_json(&json!({
            "config": named.name,
            "threads": pool.current_num_threads(),
            "dropout": args.subject.dropout,
            "steps": rows,
        }))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn chart(named: &Named, series: Vec<Series>) -> Chart {
    Chart {
        id: format!("growth-{}", named.name),
        title: format!("A training step of {}, one dimension changed", named.name),
        x: Axis::linear("times the dimension of the model", Figures::Decimal).logarithmic(),
        y: Axis::linear("milliseconds a step", Figures::Decimal).logarithmic(),
        series,
        levels: Vec::new(),
        size: (720.0, 420.0),
    }
}
