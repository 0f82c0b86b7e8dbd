//! `configs/TEMPLATE.yaml`: every field with its meaning and its default, drawn from the structs of [`super::raw`].
//!
//! Prose stands behind `# `; a field that the template leaves out stands behind a bare `#`, so that taking the `#` away
//! is enough. A test takes all of them away and reads the result, so no field can be missing or misspelt.

use std::fmt::Write;

use super::fields::{Field, Kind, Section, one_line};
use super::raw::RawConfig;

/// Columns that a comment may take.
const WIDTH: usize = 100;

const HEAD: &str = "\
# Every field of a configuration. Lines that begin with a bare '#' are fields that this one does without: they are for
# another architecture, tokenizer or objective, or stand for a choice that is taken otherwise here.
# 'foundry init' lists shorter files to start from; 'foundry explain FILE' shows what a file means.
#   foundry train configs/TEMPLATE.yaml
";

/// What is written where a field has no default, or an example says more than the default.
const EXAMPLES: &[(&str, &str)] = &[
    ("experiment_name", "my_experiment"),
    ("random_seed", "42"),
    ("data.source_corpus", "data/raw"),
    ("data.training_corpus", "data/train"),
    ("data.synthetic.grammar", "english"),
    ("data.synthetic.sentences", "60000"),
    ("data.synthetic.seed", "1"),
    ("data.validation_corpus", "data/validation.txt"),
    ("data.validation_fraction", "0.05"),
    ("data.test_corpus", "data/test.txt"),
    ("data.batch_size", "16"),
    ("data.max_sequence_length", "128"),
    ("data.num_workers", "1"),
    ("threads", "2"),
    ("dataset_manipulation.type", "remove_articles"),
    ("dataset_manipulation.input_path", "data/raw"),
    ("dataset_manipulation.output_path", "data/train"),
    ("tokenizer.output_dir", "runs/my_experiment/tokenizer"),
    ("tokenizer.vocab_size", "8000"),
    ("tokenizer.special_tokens", "{bos_token: <s>, eos_token: </s>}"),
    ("model.architecture", "gpt2"),
    ("model.transformer.layers", "4"),
    ("model.transformer.embedding_size", "256"),
    ("model.transformer.hidden_size", "256"),
    ("model.transformer.intermediate_hidden_size", "1024"),
    ("model.transformer.attention_heads", "4"),
    ("model.transformer.dropout", "0.1"),
    ("model.transformer.attention_dropout", "0.1"),
    ("model.transformer.embedding_dropout", "0.1"),
    ("model.transformer.layer_norm_epsilon", "1e-5"),
    ("model.rnn.embedding_size", "256"),
    ("model.rnn.hidden_size", "256"),
    ("model.rnn.num_layers", "2"),
    ("model.rnn.rnn_type", "lstm"),
    ("model.rnn.init_uniform", "0.05"),
    ("training.output_dir", "runs/my_experiment"),
    ("training.learning_rate", "5e-4"),
    ("training.warmup_steps", "100"),
    ("training.epochs", "10"),
    ("training.train_steps", "10000"),
    ("training.train_tokens", "100000000"),
    ("training.time_limit", "12h"),
    ("training.max_grad_norm", "1.0"),
    ("training.ema_decay", "0.999"),
    ("training.early_stopping.patience", "5"),
    ("training.linear_interval", "100"),
    ("training.checkpoint_preset", "babylm-strict-small"),
    ("training.rolling_resume_every_steps", "500"),
    ("evaluation.every_steps", "200"),
    ("evaluation.batch_size", "16"),
];

/// What a small GPT-2 on a folder of text does without, sections with all that is in them. Fields whose default is
/// nothing are left out too.
const LEFT_OUT: &[&str] = &[
    "data.source_corpus",
    "data.synthetic",
    "data.validation_corpus",
    "data.test_corpus",
    "tokenizer.lowercase",
    "tokenizer.strip_accents",
    "tokenizer.special_tokens",
    "model.bert",
    "model.rnn",
    "model.transformer.embedding_dropout",
    "model.transformer.layer_norm_epsilon",
    "training.mlm_probability",
    "training.masking",
    "training.mask_split",
    "training.momentum",
    "training.warmup_steps",
    "training.train_steps",
    "training.train_tokens",
    "training.early_stopping",
    "training.checkpoint_schedule",
    "training.first_epoch_checkpoints",
    "training.linear_interval",
    "evaluation.batch_size",
];

/// The text of `configs/TEMPLATE.yaml`.
pub fn template() -> String {
    let mut text = HEAD.to_owned();
    fields(&RawConfig::SECTION, "", 0, false, &mut text);
    text
}

fn fields(section: &'static Section, path: &str, depth: usize, left_out: bool, text: &mut String) {
    for field in section.fields {
        let at =
            if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
        let example = EXAMPLES.iter().find(|(path, _)| *path == at).map(|(_, example)| *example);
        let nothing = field.default == "null" && !(example.is_some() && wanted(&at));
        let left_out = left_out || nothing || LEFT_OUT.contains(&at.as_str());
        let mark = if left_out { "#" } else { "" };
        let pad = "  ".repeat(depth);
        let name = field.name;
        // Writing to a String cannot fail.
        match field.kind {
            Kind::Section(inner) => {
                if depth == 0 {
                    text.push('\n');
                }
                comment(&pad, field, text);
                let _ = writeln!(text, "{mark}{pad}{name}:");
                fields(inner, &at, depth + 1, left_out, text);
            }
            Kind::List(Kind::Section(inner)) => {
                comment(&pad, field, text);
                let _ = writeln!(text, "#{pad}{name}:");
                for (i, field) in inner.fields.iter().enumerate() {
                    let at = format!("{at}.{}", field.name);
                    let example = EXAMPLES.iter().find(|(path, _)| *path == at);
                    let example = example.map_or(field.default, |(_, example)| *example);
                    comment(&format!("{pad}    "), field, text);
                    let dash = if i == 0 { "- " } else { "  " };
                    let _ = writeln!(text, "#{pad}  {dash}{}: {example}", field.name);
                }
            }
            _ => {
                comment(&pad, field, text);
                let _ = writeln!(text, "{mark}{pad}{name}: {}", example.unwrap_or(field.default));
            }
        }
    }
}

/// Fields without a default that a run of this kind should have.
fn wanted(path: &str) -> bool {
    ["data.training_corpus", "training.epochs", "training.max_grad_norm", "evaluation.every_steps"]
        .contains(&path)
}

/// The meaning of a field, in lines of comment.
fn comment(pad: &str, field: &Field, text: &mut String) {
    let mut words = one_line(field.doc);
    if let Kind::Choice(choices) = field.kind {
        let _ = write!(words, " One of: {}.", choices.join(", "));
    }
    if field.default == "required" && !matches!(field.kind, Kind::Section(_)) {
        words.push_str(" Required.");
    }
    let mut line = format!("{pad}#");
    for word in words.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            let _ = writeln!(text, "{line}");
            line = format!("{pad}#");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::super::node::Node;
    use super::super::yaml;
    use super::*;
    use serde::Deserialize;

    /// The template with every field in it.
    fn everything(template: &str) -> Node {
        let bare = |line: &str| match line.strip_prefix('#') {
            // Prose is one space away from its '#'; fields have none, or the two of each level.
            Some(rest) if !rest.starts_with(' ') || rest.starts_with("  ") => rest.to_owned(),
            _ => line.to_owned(),
        };
        let text: String = template.lines().map(|line| bare(line) + "\n").collect();
        yaml::parse(&text, 0).unwrap_or_else(|e| panic!("{}\n{text}", e.message))
    }

    #[test]
    fn test_template__has_every_field_and_each_is_readable() {
        let text = template();
        let tree = everything(&text[HEAD.len()..]);
        let raw = RawConfig::deserialize(&tree).unwrap_or_else(|e| panic!("{}: {e}", e.path));
        assert!(raw.model.is_some_and(|m| m.rnn.is_some() && m.bert.is_some()));
        for (path, _) in RawConfig::SECTION.leaves() {
            assert!(tree.find(&path).is_some(), "{path}");
        }
        for field in super::super::raw::RawManipulation::SECTION.fields {
            assert!(tree.find(&format!("dataset_manipulation.0.{}", field.name)).is_some());
        }
    }
}
