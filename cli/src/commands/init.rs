//! `foundry init`: a commented configuration to start from.

use super::train::quoted;
use crate::failure::Failure;
use crate::terminal::{out, say, write_new};
use std::path::{Path, PathBuf};
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
    /// A new file to write it to, which names the experiment and its folders; without it, to standard output.
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
            let name = experiment(path);
            write_new(path, &named(text, &args.template, &name, path))?;
            let file = quoted(&path.display().to_string());
            say(format_args!("wrote {}: the experiment '{name}'", path.display()));
            say(format_args!(
                "next: foundry train {file} (validate-config and explain look at it)"
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The name of an experiment whose file this is: of its letters, those that a name may have.
fn experiment(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = stem.chars().map(plain).take(100).collect();
    if name.chars().all(|c| c == '.') { "experiment".to_owned() } else { name }
}

/// A template under another name: the experiment, its folders, and the command at the head. Comments keep their columns.
fn named(text: &str, template: &str, name: &str, path: &Path) -> String {
    let old = text.lines().find_map(|line| line.strip_prefix("experiment_name:"));
    let old = old.and_then(|value| value.split_whitespace().next()).unwrap_or(template);
    let file = quoted(&path.display().to_string());
    let mut new = String::new();
    for line in text.lines() {
        let (value, comment) = match line.split_once(" #") {
            Some((value, comment)) => (value, Some(comment)),
            None => (line, None),
        };
        let value = value
            .replace(&format!("configs/{template}.yaml"), &file)
            .replace(&format!("experiment_name: {old}"), &format!("experiment_name: {name}"))
            .replace(&format!("output_dir: runs/{old}"), &format!("output_dir: runs/{name}"));
        match comment {
            Some(comment) => {
                let column = line.len() - comment.len() - 2;
                new.push_str(&format!("{:<column$} #{comment}", value.trim_end()));
            }
            None => new.push_str(&value),
        }
        new.push('\n');
    }
    new
}
