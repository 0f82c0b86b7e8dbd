//! Keys that are not known: what was probably meant, and the new spelling of old names.

use super::check::{Check, root};
use super::fields::{Kind, Section};
use super::node::{Node, Value};

/// Old names, and what to write now. The path is matched whole.
pub(super) const RENAMED: &[(&str, &str)] = &[
    ("seed", "random_seed"),
    ("training.use_amp", "precision: bf16 (or fp16), at the top level"),
    ("training.use_fp16", "precision: fp16, at the top level"),
    ("training.fp16", "precision: fp16, at the top level"),
    ("training.bf16", "precision: bf16, at the top level"),
    ("training.use_tf32", "nothing: fp32 is computed in 32 bits; precision sets mixed precision"),
    ("training.compile_mode", "nothing: there is no separate compilation"),
    ("training.checkpointing_strategy", "training.first_epoch: log"),
    ("training.min_checkpoints_per_epoch", "training.first_epoch_checkpoints"),
    ("training.resume_state_steps", "training.rolling_resume_every_steps"),
    ("training.seed", "random_seed, at the top level"),
    ("data.pin_memory", "nothing: host memory needs no setting"),
    ("data.prefetch_factor", "data.num_workers"),
    ("tokenizer.bpe_merges", "tokenizer.vocab_size"),
    ("tokenizer.wordpiece_prefix", "nothing: the prefix is always ##"),
    ("logging.level", "logging.console_level (and logging.file_level)"),
    ("logging.use_wandb", "logging.tensorboard; metrics.jsonl in the run folder is always written"),
    ("logging.wandb_project", "experiment_name; there is no upload to a server"),
    ("logging.wandb_project_sweeps", "experiment_name; there is no upload to a server"),
    ("logging.wandb_entity", "nothing: there is no upload to a server"),
    ("logging.use_structured_logging", "nothing: metrics.jsonl is always written"),
    ("logging.log_detailed_metrics_every_n_steps", "logging.log_metrics_every_n_steps"),
    ("logging.log_memory_every_n_steps", "logging.log_metrics_every_n_steps"),
    ("logging.profile_performance", "nothing: tokens/s and data wait are always measured"),
    ("logging.max_errors_to_track", "nothing: a run stops at its first error"),
    ("evaluation.use_fp16", "precision, at the top level"),
    ("evaluation.run_perplexity", "evaluation.perplexity"),
    ("evaluation.run_blimp", "evaluation.suites"),
    ("evaluation.blimp_dir", "evaluation.suites"),
    ("evaluation.null_subject_dir", "evaluation.suites"),
    ("evaluation.test_corpus", "data.test_corpus"),
    ("model.layers", "model.transformer.layers (or model.rnn.num_layers)"),
    ("model.embedding_size", "model.transformer.embedding_size (or model.rnn.embedding_size)"),
    ("model.hidden_size", "model.transformer.hidden_size (or model.rnn.hidden_size)"),
    ("model.dropout", "model.transformer.dropout (or model.rnn.dropout)"),
];

/// Writes down every key that no struct of [`super::raw`] has.
pub(crate) fn check(tree: &Node, c: &mut Check<'_>) {
    section(tree, root(), "", c);
}

fn section(node: &Node, known: &'static Section, prefix: &str, c: &mut Check<'_>) {
    for (key, value) in node.entries() {
        let path = format!("{prefix}{}", key.name);
        let Some(field) = known.field(&key.name) else {
            let (message, help) = unknown(&path, &key.name, known);
            c.problem_at(&path, Some(key.at), message).help = Some(help);
            continue;
        };
        match (field.kind, &value.value) {
            (Kind::Section(s), _) => section(value, s, &format!("{path}."), c),
            (Kind::List(&Kind::Section(s)), Value::List(items)) => {
                for (i, item) in items.iter().enumerate() {
                    section(item, s, &format!("{path}.{i}."), c);
                }
            }
            _ => {}
        }
    }
}

/// How a whole file of old names is mended.
const MIGRATE: &str = "; 'foundry config migrate' rewrites a whole file";

/// Message and advice for a key that is not known.
fn unknown(path: &str, name: &str, known: &Section) -> (String, String) {
    let plain = without_indices(path);
    if let Some((_, new)) = RENAMED.iter().find(|(old, _)| *old == plain) {
        return (format!("'{path}' is an old name"), format!("write {new}{MIGRATE}"));
    }
    if plain == "dataset_manipulation.spacy_model" {
        let help = "give a CoNLL-U file of parses in 'parameters'".to_owned();
        return (format!("'{path}' is an old name: no parser runs in here"), help);
    }
    let message = format!("Unknown field '{path}'");
    let section = plain.rsplit_once('.').map_or("", |(s, _)| s);
    let elsewhere: Vec<String> = root()
        .leaves()
        .into_iter()
        .map(|(p, _)| p)
        .filter(|p| p.rsplit('.').next() == Some(name))
        .collect();
    let prefix = if section.is_empty() { String::new() } else { format!("{section}.") };
    let close = closest(name, known.fields.iter().map(|f| f.name));
    let help = match (close, elsewhere.as_slice()) {
        (_, [one]) => format!("did you mean '{one}'?"),
        (_, [_, ..]) => format!("did you mean one of {}?", elsewhere.join(", ")),
        (Some(close), _) => format!("did you mean '{prefix}{close}'?"),
        _ => {
            let names: Vec<&str> = known.fields.iter().map(|f| f.name).collect();
            format!("known here: {}", names.join(", "))
        }
    };
    (message, help)
}

/// What to do with a key that is not known, on one line.
pub(super) fn advice(path: &str, name: &str, known: &Section) -> String {
    let (message, help) = unknown(path, name, known);
    let help = help.trim_end_matches(MIGRATE);
    match message.contains("old name") {
        true => match help.strip_prefix("write nothing: ") {
            Some(why) => why.to_owned(),
            None => help.replacen("write ", "now ", 1),
        },
        false => format!("unknown; {help}"),
    }
}

/// Whether a configuration has a field of this dotted path.
///
/// # Errors
/// If not: what was probably meant.
pub fn check_field(path: &str) -> Result<(), String> {
    check_override(path).map_err(|(message, help)| format!("{message}\n  help: {help}"))
}

/// Checks the path of a `--set` before it changes anything.
pub(crate) fn check_override(path: &str) -> Result<(), (String, String)> {
    if root().at(path).is_some() {
        return Ok(());
    }
    let renamed = RENAMED.iter().any(|(old, _)| *old == path);
    let leaves = root().leaves();
    let close = closest(path, leaves.iter().map(|(p, _)| p.as_str()));
    if let (false, Some(close)) = (renamed, close) {
        let help = format!("did you mean '{close}'?");
        return Err((format!("Unknown field '{path}'"), help));
    }
    // The last section on the way that exists knows best what could have been meant.
    let (mut section, mut rest) = (root(), path);
    while let Some((step, after)) = rest.split_once('.') {
        match section.field(step).map(|f| f.kind) {
            Some(Kind::Section(s)) => (section, rest) = (s, after),
            _ => break,
        }
    }
    Err(unknown(path, rest, section))
}

fn without_indices(path: &str) -> String {
    path.split('.').filter(|s| s.parse::<usize>().is_err()).collect::<Vec<_>>().join(".")
}

/// The candidate that is most alike, if it is at most two slips away: letters too many, missing, wrong or exchanged. A
/// short word is not another with two of its letters changed.
pub(crate) fn closest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let far = (word.chars().count() / 3).clamp(1, 2);
    candidates
        .map(|c| (strsim::osa_distance(word, c), c))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}
