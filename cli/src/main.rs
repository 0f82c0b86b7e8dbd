//! The `foundry` command: arguments in, words out. What it does is in the library.
#![forbid(unsafe_code)]

mod commands;
mod failure;
mod progress;
mod setup;
mod terminal;

use clap::{Parser, Subcommand};
use failure::Failure;
use std::process::ExitCode;

/// Rears small language models: a text corpus and one YAML file go in, trained models come out.
#[derive(Parser)]
#[command(
    name = "foundry",
    bin_name = "foundry",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Do whatever is missing, from the corpus to the trained model.
    #[command(visible_alias = "run")]
    Train(commands::train::Args),
    /// Make the corpus: write the synthetic text, or look at the files.
    Preprocess(commands::steps::PreprocessArgs),
    /// Train the tokenizer on the training text.
    TrainTokenizer(commands::steps::TokenizerArgs),
    /// Turn the corpus into token ids and account for every one.
    TokenizeDataset(commands::steps::DataArgs),
    /// Cut the token ids into chunks of max_sequence_length.
    PreprocessData(commands::steps::DataArgs),
    /// Print the steps at which checkpoints will be saved.
    GenerateCheckpoints(commands::steps::CheckpointArgs),
    /// Check a configuration and say what it will do.
    ValidateConfig(commands::validate::Args),
    /// Show a configuration with every default resolved, and what the run will cost.
    Explain(commands::explain::Args),
    /// Score a trained model.
    Evaluate(commands::evaluate::Args),
    /// Train several models on the same tokens in the same order, and compare them.
    Compare(commands::compare::Args),
    /// Write the page that shows a run: curves, scores, data, configuration.
    Report(commands::report::Args),
    /// Continue a text.
    Generate(commands::generate::Args),
    /// Write a model as a folder that Hugging Face's transformers loads.
    Export(commands::export::Args),
    /// Take over a model of Hugging Face or torch.
    Import(commands::import::Args),
    /// Compare a GPU with the CPU: every operation, and the training of every architecture.
    GpuSelftest(commands::gpu_selftest::Args),
    /// Check the gradients of every operation and model against finite differences.
    Gradcheck(commands::gradcheck::Args),
    /// Time training steps, scoring and decoding of fixed models.
    Bench(commands::bench::Args),
    /// Hold the scoring against models whose every probability is known.
    Selftest(commands::selftest::Args),
    /// Say what this program and this machine can do.
    Info(commands::info::Args),
    /// Try out whether this machine is fit to train on.
    Doctor(commands::doctor::Args),
    /// Print a completion script for a shell.
    Completions(commands::completions::Args),
    /// Print a manual page, or the reference of the command line.
    Man(commands::man::Args),
    /// Print the JSON schema of configurations, for editors that complete and check YAML.
    Schema(commands::schema::Args),
    /// Write a commented configuration to start from.
    Init(commands::init::Args),
    /// Rewrite a configuration of the original system.
    Config(commands::config::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::try_parse() {
        Ok(cli) => setup::process().and_then(|()| dispatch(cli.command)),
        Err(e) => return terminal::usage(&e),
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn dispatch(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Train(args) => commands::train::run(&args),
        Command::Preprocess(args) => commands::steps::preprocess(&args),
        Command::TrainTokenizer(args) => commands::steps::train_tokenizer(&args),
        Command::TokenizeDataset(args) => commands::steps::tokenize_dataset(&args),
        Command::PreprocessData(args) => commands::steps::preprocess_data(&args),
        Command::GenerateCheckpoints(args) => commands::steps::generate_checkpoints(&args),
        Command::ValidateConfig(args) => commands::validate::run(&args),
        Command::Explain(args) => commands::explain::run(&args),
        Command::Evaluate(args) => commands::evaluate::run(&args),
        Command::Compare(args) => commands::compare::run(&args),
        Command::Report(args) => commands::report::run(&args),
        Command::Generate(args) => commands::generate::run(&args),
        Command::Export(args) => commands::export::run(&args),
        Command::Import(args) => commands::import::run(&args),
        Command::GpuSelftest(args) => commands::gpu_selftest::run(&args),
        Command::Gradcheck(args) => commands::gradcheck::run(&args),
        Command::Bench(args) => commands::bench::run(&args),
        Command::Selftest(args) => commands::selftest::run(&args),
        Command::Info(args) => commands::info::run(&args),
        Command::Doctor(args) => commands::doctor::run(&args),
        Command::Completions(args) => commands::completions::run(&args),
        Command::Man(args) => commands::man::run(&args),
        Command::Schema(args) => commands::schema::run(&args),
        Command::Init(args) => commands::init::run(&args),
        Command::Config(args) => commands::config::run(&args),
    }
}
