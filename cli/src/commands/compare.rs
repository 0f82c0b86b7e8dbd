//! `foundry compare`: several models on the same tokens, one report.

use super::train::quoted;
use crate::failure::{Failure, load_config};
use crate::progress::Progress;
use crate::setup;
use crate::terminal::{out, out_json, say};
use foundry_models::config::Config;
use foundry_models::pipeline::compare::{CompareOptions, CompareOutcome, Entrant, Kind, compare};
use foundry_models::train::run_folder::Wish;
use foundry_models::train::signals::{EXIT_STOPPED, StopFlag};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configurations; data, tokenizer and length of the run are those of the first.
    #[arg(required = true, value_name = "CONFIG")]
    configs: Vec<PathBuf>,
    /// Compare architectures at the size of one configuration: all, or a list such as gpt2,lstm,gru_bidirectional.
    #[arg(long, value_name = "LIST")]
    architectures: Option<String>,
    /// Choose widths so that all have as many parameters as the first model.
    #[arg(long)]
    match_parameters: bool,
    /// The seeds to train each model with; by default that of the first configuration.
    #[arg(long, value_delimiter = ',', value_name = "SEED,...")]
    seeds: Vec<u64>,
    /// The folder of the comparison; by default training.output_dir of the first configuration with -compare behind it.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Change a field of every configuration; may be given several times.
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// Go on where a comparison was stopped.
    #[arg(long, conflicts_with = "overwrite")]
    resume: bool,
    /// Begin all its runs anew.
    #[arg(long)]
    overwrite: bool,
    /// auto, cpu, cuda or cuda:N.
    #[arg(long)]
    device: Option<String>,
    /// Threads to compute with; results have the same bits for any number.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=4096))]
    threads: Option<u16>,
    /// Print the comparison as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let stop = StopFlag::on_signals().map_err(Failure::runtime)?;
    let mut configs = Vec::new();
    for path in &args.configs {
        let mut config = load_config(path, &args.set)?;
        setup::device(args.device.as_deref(), &mut config)?;
        configs.push(config);
    }
    let first = &configs[0];
    let pool = setup::threads(args.threads.map(usize::from), Some(first))?;
    let options = CompareOptions {
        folder: args.output.clone().unwrap_or_else(|| beside(&first.training.output_dir)),
        seeds: if args.seeds.is_empty() { vec![first.random_seed] } else { args.seeds.clone() },
        match_parameters: args.match_parameters,
        wish: match (args.resume, args.overwrite) {
            (true, _) => Wish::Resume,
            (_, true) => Wish::Overwrite,
            _ => Wish::Start,
        },
        command: command(args),
    };
    let mut progress = Progress::of(first, args.json);
    let entrants = entrants(args.architectures.as_deref(), configs)?;
    let outcome = pool.install(|| compare(entrants, &options, &stop, &mut |n| progress.show(&n)));
    progress.finish();
    match outcome? {
        CompareOutcome::Finished(comparison) if args.json => out_json(&json!(comparison))?,
        CompareOutcome::Finished(comparison) => {
            out(comparison.table())?;
            out(format_args!("runs, tables and pictures: {}", options.folder.display()))?;
        }
        CompareOutcome::Stopped { reason, resume } => {
            say(format_args!("{reason}\n  resume with: {resume}"));
            return Ok(ExitCode::from(EXIT_STOPPED));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn entrants(architectures: Option<&str>, configs: Vec<Config>) -> Result<Vec<Entrant>, Failure> {
    let Some(list) = architectures else {
        let named = |config: Config| Entrant { name: config.experiment_name.clone(), config };
        return Ok(configs.into_iter().map(named).collect());
    };
    let [config] = configs.as_slice() else {
        return Err(Failure::usage("--architectures takes one configuration"));
    };
    let mut kinds = Kind::list(list)?;
    // The configuration's own model comes first: its data and its size are those of the others.
    kinds.sort_by_key(|kind| *kind != Kind::of(&config.model));
    kinds.into_iter().map(|kind| Ok(Entrant::of_kind(config, kind)?)).collect()
}

fn beside(folder: &Path) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push("-compare");
    folder.with_file_name(name)
}

/// How this was called, without --resume and --overwrite.
fn command(args: &Args) -> String {
    let mut words = vec!["foundry".to_owned(), "compare".to_owned()];
    words.extend(args.configs.iter().map(|path| quoted(&path.display().to_string())));
    let mut option = |name: &str, value: String| words.extend([name.to_owned(), quoted(&value)]);
    if let Some(list) = &args.architectures {
        option("--architectures", list.clone());
    }
    if !args.seeds.is_empty() {
        let seeds: Vec<_> = args.seeds.iter().map(u64::to_string).collect();
        option("--seeds", seeds.join(","));
    }
    if let Some(folder) = &args.output {
        option("--output", folder.display().to_string());
    }
    args.set.iter().for_each(|set| option("--set", set.clone()));
    if args.match_parameters {
        words.push("--match-parameters".to_owned());
    }
    words.join(" ")
}
