//! `foundry man`: manual pages and the reference of the command line, made from the arguments themselves.

use crate::Cli;
use crate::failure::Failure;
use crate::terminal::{out, say};
use clap::{Arg, Command, CommandFactory};
use clap_mangen::Man;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The command whose page is wanted; without it, that of foundry itself.
    command: Option<String>,
    /// Write the pages of all commands into this folder: foundry.1, foundry-train.1, ...
    #[arg(long, value_name = "DIR", conflicts_with_all = ["command", "markdown"])]
    dir: Option<PathBuf>,
    /// Print the reference of all commands as Markdown.
    #[arg(long, conflicts_with = "command")]
    markdown: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut cli = Cli::command();
    cli.build();
    if args.markdown {
        out(markdown(&cli).trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(folder) = &args.dir {
        let failed = |e| Failure::usage(format!("cannot write into {}: {e}", folder.display()));
        std::fs::create_dir_all(folder).map_err(failed)?;
        clap_mangen::generate_to(Cli::command(), folder).map_err(failed)?;
        say(format_args!("wrote the manual pages into {}", folder.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let page = match &args.command {
        None => cli,
        Some(name) => {
            let found = cli.find_subcommand(name).cloned();
            let Some(command) = found else {
                return Err(Failure::usage(format!(
                    "no command is called '{name}'\n  known: {}",
                    commands(&cli).map(Command::get_name).collect::<Vec<_>>().join(", ")
                )));
            };
            let title = format!("foundry-{}", command.get_name());
            command.display_name(title)
        }
    };
    let mut roff = Vec::new();
    Man::new(page).render(&mut roff).map_err(Failure::runtime)?;
    out(String::from_utf8_lossy(&roff).trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// The commands that people are told of.
fn commands(cli: &Command) -> impl Iterator<Item = &Command> {
    cli.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help")
}

const HEAD: &str = "# Command line

This page is what `foundry man --markdown` prints; a test holds the two together.

Standard output is data, standard error is for people. A MODEL is a run folder (its newest checkpoint), a checkpoint
folder, or a folder of Hugging Face's transformers. `foundry man COMMAND` prints a manual page, `foundry completions SHELL` a completion script.

| exit code | |
|---|---|
| 0 | done |
| 1 | failed while running |
| 2 | the call or the configuration is wrong |
| 3 | data or a checkpoint is missing or damaged |
| 4 | the device is not there, or out of memory |
| 5 | numbers are not finite; the last finite state is saved |
| 75 | stopped by a signal or the time limit; `--resume` goes on |
| 130 | second Ctrl-C |
";

fn markdown(cli: &Command) -> String {
    let mut text = HEAD.to_owned();
    text.push_str("\n| command | |\n|---|---|\n");
    // Writing to a string cannot fail.
    for command in commands(cli) {
        let name = command.get_name();
        let _ = writeln!(text, "| [`{name}`](#foundry-{name}) | {} |", about(command));
    }
    for command in commands(cli) {
        describe(command, &format!("foundry {}", command.get_name()), 2, &mut text);
    }
    text
}

fn describe(command: &Command, path: &str, depth: usize, text: &mut String) {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim().trim_start_matches("Usage:").trim();
    let heading = "#".repeat(depth);
    let _ = write!(text, "\n{heading} {path}\n\n{}\n\n```\n{usage}\n```\n", about(command));
    let aliases: Vec<_> = command.get_visible_aliases().map(|a| format!("`{a}`")).collect();
    if !aliases.is_empty() {
        let _ = writeln!(text, "\nAlso called {}.", aliases.join(", "));
    }
    let told = |a: &&Arg| !a.is_hide_set() && !matches!(a.get_id().as_str(), "help" | "version");
    let arguments: Vec<&Arg> = command.get_arguments().filter(told).collect();
    if !arguments.is_empty() {
        text.push_str("\n| argument | default | |\n|---|---|---|\n");
        for argument in arguments {
            row(argument, text);
        }
    }
    for sub in commands(command) {
        describe(sub, &format!("{path} {}", sub.get_name()), depth + 1, text);
    }
}

fn row(argument: &Arg, text: &mut String) {
    let takes_value = argument.get_action().takes_values();
    let names = argument.get_value_names().unwrap_or_default();
    let value: Vec<_> = names.iter().map(|n| format!("<{n}>")).collect();
    let mut name: Vec<String> = Vec::new();
    name.extend(argument.get_short().map(|c| format!("-{c}")));
    name.extend(argument.get_long().map(|l| format!("--{l}")));
    let mut name = name.join(", ");
    if takes_value {
        name = format!("{name} {}", value.join(" ")).trim().to_owned();
    }
    let defaults: Vec<_> =
        argument.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
    let default = match (argument.is_required_set(), takes_value, defaults.as_slice()) {
        (true, ..) => "*required*".to_owned(),
        (_, true, [_, ..]) => format!("`{}`", defaults.join(" ")),
        _ => String::new(),
    };
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let choices: Vec<_> = argument
        .get_possible_values()
        .iter()
        .filter(|v| takes_value && !v.is_hide_set())
        .map(|v| format!("`{}`", v.get_name()))
        .collect();
    let choices =
        if choices.is_empty() { String::new() } else { format!(" One of {}.", choices.join(", ")) };
    let _ =
        writeln!(text, "| `{}` | {default} | {}{choices} |", cell(&name), cell(&one_line(&help)));
}

fn about(command: &Command) -> String {
    let about = command.get_long_about().or(command.get_about());
    one_line(&about.map(ToString::to_string).unwrap_or_default())
}

/// Help as one sentence after another: clap drops the point of a help of one line.
fn one_line(help: &str) -> String {
    let line = help.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() || line.ends_with(['.', '?', '!', ':']) { line } else { line + "." }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
