//! `foundry export`: a folder that Hugging Face's transformers loads.

use crate::failure::Failure;
use crate::terminal::{out, say};
use foundry_models::interchange::{export, revisions};
use foundry_models::pipeline::Trained;
use foundry_models::train::signals::StopFlag;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A run folder (its newest checkpoint), a checkpoint folder, or a Hugging Face folder.
    model: PathBuf,
    /// The folder to write; it must not be there yet.
    folder: PathBuf,
    /// What is written.
    #[arg(long, value_enum, default_value_t = Format::Hf)]
    format: Format,
    /// A folder inside FOLDER for each number of words at which the run was saved: chck_1M, chck_2M ... (BabyLM), and
    /// main, the end of the run.
    #[arg(long)]
    revisions: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    /// A folder for Hugging Face's transformers.
    Hf,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let Format::Hf = args.format;
    let mut trained = Trained::load(&args.model)?;
    trained.notes.iter().for_each(say);
    if !args.revisions {
        export(&trained, &args.folder)?;
        out(args.folder.display())?;
        return Ok(ExitCode::SUCCESS);
    }
    let stop = StopFlag::on_signals().map_err(Failure::runtime)?;
    let revisions = revisions(&mut trained, &args.folder, &stop)?;
    out(args.folder.join("main").display())?;
    for revision in revisions {
        match revision.written {
            Some((path, step)) => out(format_args!("{} (checkpoint-{step})", path.display()))?,
            None => say(format_args!(
                "{}: the run had not seen {} words",
                revision.name, revision.words
            )),
        }
    }
    Ok(ExitCode::SUCCESS)
}
