//! `foundry train`: the main job.

use crate::failure::{Failure, load_config};
use crate::progress::Progress;
use crate::setup;
use crate::terminal::{out, out_json, say};
use foundry_models::config::choices::Objective;
use foundry_models::config::{check_field, memory};
use foundry_models::pipeline::{Pipeline, Results, TrainOptions, TrainOutcome, train};
use foundry_models::train::run_folder::{RunResult, Wish};
use foundry_models::train::signals::{EXIT_STOPPED, StopFlag};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration.
    config: PathBuf,
    /// Go on where an unfinished run was stopped.
    #[arg(long, conflicts_with = "overwrite")]
    resume: bool,
    /// Delete what an earlier run left in training.output_dir, and begin anew.
    #[arg(long)]
    overwrite: bool,
    /// Change a field of the configuration; may be given several times.
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// A field that may differ from the configuration that the run was begun with.
    #[arg(long, value_name = "FIELD")]
    allow_change: Vec<String>,
    /// auto, cpu, cuda or cuda:N.
    #[arg(long)]
    device: Option<String>,
    /// Threads to compute with; results have the same bits for any number.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=4096))]
    threads: Option<u16>,
    /// Check everything and say what would be done, but do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    // First of all, so that no signal finds the program without an answer.
    let stop = StopFlag::on_signals().map_err(Failure::runtime)?;
    let mut config = load_config(&args.config, &args.set)?;
    for field in &args.allow_change {
        check_field(field)
            .map_err(|why| Failure::usage(format!("--allow-change {field}: {why}")))?;
    }
    setup::device(args.device.as_deref(), &mut config)?;
    let pool = setup::threads(args.threads.map(usize::from), Some(&config))?;
    if args.dry_run {
        return dry_run(&Pipeline::new(config), args.json);
    }
    let wish = match (args.resume, args.overwrite) {
        (true, _) => Wish::Resume,
        (_, true) => Wish::Overwrite,
        _ => Wish::Start,
    };
    let allow_change = args.allow_change.clone();
    let options = TrainOptions { allow_change, ..TrainOptions::new(wish, &command(args)) };
    let pipeline = Pipeline::new(config);
    let mut progress = Progress::new(pipeline.config.logging.console_level);
    let outcome = pool.install(|| train(&pipeline, &options, &stop, &mut |n| progress.show(&n)));
    progress.finish();
    match outcome? {
        TrainOutcome::AlreadyFinished(result) => {
            say("this run is finished; --overwrite would begin it anew");
            show_earlier(&result, args.json)?;
        }
        TrainOutcome::Finished(results) => show(&pipeline, &results, args.json)?,
        TrainOutcome::Stopped { reason, step, checkpoint, resume } => {
            let saved = checkpoint.map_or("nothing to save yet".to_owned(), |path| {
                format!("saved {}", path.display())
            });
            say(format_args!("{reason} after step {step}: {saved}\n  resume with: {resume}"));
            return Ok(ExitCode::from(EXIT_STOPPED));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Looks at everything and says what would be done.
fn dry_run(pipeline: &Pipeline, as_json: bool) -> Result<ExitCode, Failure> {
    let need = memory::estimate(&pipeline.config).total();
    let stages = pipeline.stages()?;
    if as_json {
        out_json(&json!({
            "config": pipeline.config.to_yaml(),
            "memory_bytes": u64::try_from(need).unwrap_or(u64::MAX),
            "stages": stages,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    out(pipeline.config.to_yaml().trim_end())?;
    for stage in stages {
        say(format_args!("{:<20} would {}", stage.command, stage.would));
    }
    say(format_args!("would train with about {} of memory", memory::bytes(need)));
    Ok(ExitCode::SUCCESS)
}

/// How this was called, without --resume and --overwrite.
fn command(args: &Args) -> String {
    let mut words =
        vec!["foundry".to_owned(), "train".to_owned(), quoted(&args.config.display().to_string())];
    for set in &args.set {
        words.extend(["--set".to_owned(), quoted(set)]);
    }
    for field in &args.allow_change {
        words.extend(["--allow-change".to_owned(), quoted(field)]);
    }
    words.join(" ")
}

/// As a shell would need it.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn show(pipeline: &Pipeline, results: &Results, as_json: bool) -> Result<(), Failure> {
    let folder = &pipeline.config.training.output_dir;
    if as_json {
        let mut report = results.summary();
        report.insert("run".into(), json!(folder));
        report.insert("step".into(), json!(results.step));
        return out_json(&report.into());
    }
    out(format_args!("run                   {}", folder.display()))?;
    let early = if results.stopped_early { " (stopped early)" } else { "" };
    out(format_args!("updates               {}{early}", results.step))?;
    match (results.validation_loss, results.objective) {
        (Some(loss), Objective::CausalLm) => {
            out(format_args!("validation loss       {loss:.4} nats a token"))?;
            if pipeline.config.evaluation.perplexity {
                out(format_args!("validation perplexity {:.2} a token", loss.exp()))?;
            }
        }
        (Some(loss), Objective::MaskedLm) => {
            out(format_args!("masked loss           {loss:.4} nats a hidden token, held out"))?;
        }
        (None, _) => {}
    }
    if let Some(loss) = results.test_loss {
        let of = match results.objective {
            Objective::CausalLm => "a token",
            Objective::MaskedLm => "a hidden token",
        };
        out(format_args!("test loss             {loss:.4} nats {of}"))?;
    }
    if let (Some(best), true) = (results.best_validation, results.stopped_early) {
        out(format_args!(
            "lowest                {:.4} nats at step {}, in best/",
            best.loss, best.step
        ))?;
    }
    if let Some(accuracy) = results.pair_accuracy() {
        out("minimal pairs         right / all   ties")?;
        for p in &results.pairs {
            let share = 100.0 * p.accuracy();
            let (right, pairs, ties) = (p.right, p.pairs, p.ties);
            out(format_args!(
                "  {:<38} {right:>4} / {pairs:<4} {ties:>3}   {share:5.1} %",
                p.paradigm
            ))?;
        }
        out(format_args!("  {:<38}                  {:5.1} %", "overall", 100.0 * accuracy))?;
    }
    if !results.sample.is_empty() {
        out("sample")?;
    }
    for line in results.sample.lines() {
        out(format_args!("  {line}"))?;
    }
    Ok(())
}

fn show_earlier(result: &RunResult, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return out_json(&json!(result));
    }
    out(format_args!("updates               {}", result.final_step))?;
    for (name, value) in result.summary.iter().filter(|(_, v)| v.is_number()) {
        out(format_args!("{name:<21} {value}"))?;
    }
    Ok(())
}
