//! `foundry init`: a commented configuration to start from.

use crate::failure::Failure;
use crate::terminal::{out, say};
use std::path::PathBuf;
use std::process::ExitCode;

/// Name and text of each template: the very files of `configs/`.
const TEMPLATES: [(&str, &str); 17] = [
    ("quickstart", include_str!("../../../configs/quickstart.yaml")),
    ("quickstart_lstm", include_str!("../../../configs/quickstart_lstm.yaml")),
    ("gpt2_tiny", include_str!("../../../configs/gpt2_tiny.yaml")),
    ("bert_tiny", include_str!("../../../configs/bert_tiny.yaml")),
    ("lstm_tiny", include_str!("../../../configs/lstm_tiny.yaml")),
    ("lstm_bidirectional_tiny", include_str!("../../../configs/lstm_bidirectional_tiny.yaml")),
    ("gru_tiny", include_str!("../../../configs/gru_tiny.yaml")),
    ("rnn_tiny", include_str!("../../../configs/rnn_tiny.yaml")),
    ("shakespeare_char_gpt2", include_str!("../../../configs/shakespeare_char_gpt2.yaml")),
    ("shakespeare_char_lstm", include_str!("../../../configs/shakespeare_char_lstm.yaml")),
    ("TEMPLATE", include_str!("../../../configs/TEMPLATE.yaml")),
    ("gpt2_babylm", include_str!("../../../configs/gpt2_babylm.yaml")),
    ("bert_babylm", include_str!("../../../configs/bert_babylm.yaml")),
    ("lstm_babylm", include_str!("../../../configs/lstm_babylm.yaml")),
    ("gru_babylm", include_str!("../../../configs/gru_babylm.yaml")),
    ("rnn_babylm", include_str!("../../../configs/rnn_babylm.yaml")),
    ("text_bpe_gpt2", include_str!("../../../configs/text_bpe_gpt2.yaml")),
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which template to write; `--template list` lists them.
    #[arg(long, default_value = "gpt2_tiny")]
    template: String,
    /// Where to write it; without it, to standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    if args.template == "list" {
        for (name, _) in TEMPLATES {
            out(name)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let Some((_, text)) = TEMPLATES.iter().find(|(name, _)| *name == args.template) else {
        let names: Vec<_> = TEMPLATES.iter().map(|(name, _)| *name).collect();
        let message =
            format!("no template is called '{}'\n  known: {}", args.template, names.join(", "));
        return Err(Failure::usage(message));
    };
    match &args.output {
        None => out(text.trim_end())?,
        Some(path) => {
            let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
            let written = file.and_then(|mut f| std::io::Write::write_all(&mut f, text.as_bytes()));
            written.map_err(|e| Failure::usage(format!("cannot write {}: {e}", path.display())))?;
            say(format_args!("wrote {}; next: foundry validate-config {0}", path.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}
