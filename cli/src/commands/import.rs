//! `foundry import`: somebody else's model, checked, as a folder of Foundry's making.

use crate::failure::Failure;
use crate::terminal::{out, say};
use foundry_models::interchange::export;
use foundry_models::pipeline::{Trained, grouped};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A Hugging Face folder (GPT-2, BERT, Foundry's RNNs), or the weights of a torch LSTM, GRU or RNN (safetensors)
    /// beside a tokenizer.json.
    from: PathBuf,
    /// The folder to write; it must not be there yet.
    folder: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let trained = Trained::load(&args.from)?;
    trained.notes.iter().for_each(say);
    if trained.config.is_some() {
        return Err(Failure::usage(format!(
            "{} is Foundry's own already\n  mend: foundry export {} {}",
            args.from.display(),
            args.from.display(),
            args.folder.display()
        )));
    }
    export(&trained, &args.folder)?;
    let parameters = grouped(trained.model.parameter_count() as u64);
    say(format_args!("{} of {parameters} parameters", trained.model.architecture()));
    out(args.folder.display())?;
    Ok(ExitCode::SUCCESS)
}
