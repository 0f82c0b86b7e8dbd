use super::*;

/// A configuration as they were shipped with the original.
const OLD: &str = "\
# The baseline.
experiment_name: \"exp0\"

# --- Data ---
data:
  training_corpus: \"data/raw/babylm.txt\" # one file
  batch_size: 4
  max_sequence_length: 128
  pin_memory: true

dataset_manipulation:
  # first of all
  - type: remove_expletives
    input_path: \"data/raw/\"
    output_path: \"data/processed/\"
    spacy_model: en_core_web_sm
    parameters:
      chunk_size: 1000
      replacement_pool_dir: \"data/pool/\"   # the refill
tokenizer:
  output_dir: \"tokenizers/exp0/\"
  vocab_size: 5004 # small

# --- Model ---
model:
  layers: 2 # blocks
  # the width
  embedding_size: 64
  hidden_size: 128
  intermediate_hidden_size: 128
  attention_heads: 2
  activation_function: \"GELU\"
  dropout: 0.2
  attention_dropout: 0.1

training:
  output_dir: \"models/exp0/\"
  learning_rate: 0.0001
  adam_beta1: 0.9
  adam_beta2: 0.999
  adam_epsilon: 1.0e-6
  warmup_steps: 100
  train_steps: 1000
  # from the proposal
  checkpointing_strategy: \"log_steps_first_epoch\"
  epochs: 20
  use_amp: true # fast
  mlm_probability: 0.15
  compile_mode: null
  lucky_number: 7

logging:
  level: \"INFO\"
  use_wandb: true
  wandb_project: \"just-drop-the-subject\"
# the seed
random_seed: 42
# the end
";

#[test]
fn test_migrate__an_original_configuration() {
    let new = migrate(OLD, "old.yaml").unwrap();
    assert!(new.kept_comments && new.invalid.is_none(), "{:#?}\n{}", new.invalid, new.yaml);
    let config = load::valid(&new.yaml, "new.yaml").unwrap();
    let ModelConfig::Gpt2(shape) = &config.model else { panic!("{:?}", config.model) };
    assert_eq!((shape.layers, shape.hidden_size), (2, 64), "the original read embedding_size");
    assert!((shape.embedding_dropout - 0.1).abs() < 1e-12, "it was fixed");
    assert_eq!(config.precision, Precision::Fp16);
    for line in [
        "# The baseline.",
        "# --- Data ---",
        "  training_corpus: \"data/raw/babylm.txt\" # one file",
        "  # first of all",
        "      replacement_pool_dir: \"data/pool/\"   # the refill",
        "# --- Model ---",
        "  architecture: gpt2",
        "    layers: 2 # blocks",
        "    # the width",
        "    hidden_size: 64",
        "    embedding_dropout: 0.1  # the original's was fixed",
        "  # from the proposal",
        "  first_epoch: log",
        "precision: fp16  # was training.use_amp: true",
        "  console_level: \"INFO\"",
        "  file_level: INFO",
        "# the seed",
        "# the end",
    ] {
        assert!(new.yaml.lines().any(|l| l == line), "{line}\n{}", new.yaml);
    }
    // Everything that has no place is said, and stands at the end of the file.
    for gone in [
        "data.pin_memory",
        "dataset_manipulation.0.spacy_model",
        "dataset_manipulation.0.parameters.chunk_size",
        "training.mlm_probability",
        "training.compile_mode",
        "training.lucky_number: 7",
        "logging.use_wandb",
        "logging.wandb_project",
    ] {
        assert!(new.dropped.iter().any(|d| d.starts_with(gone)), "{gone}\n{:#?}", new.dropped);
        assert!(new.yaml.contains(&format!("#   {gone}")), "{gone}");
    }
}

/// No value of the old file is lost without a word.
#[test]
fn test_migrate__what_is_not_dropped_is_in_the_new_file() {
    let new = migrate(OLD, "old.yaml").unwrap();
    let (old, tree) = (load::mapping(OLD, "").unwrap(), load::mapping(&new.yaml, "").unwrap());
    fn leaves(node: &Node, path: &str, found: &mut Vec<(String, String)>) {
        use crate::config::node::Value;
        match &node.value {
            Value::Map(entries) => {
                entries.iter().for_each(|(k, n)| leaves(n, &format!("{path}.{}", k.name), found))
            }
            Value::List(items) => {
                items.iter().enumerate().for_each(|(i, n)| leaves(n, &format!("{path}.{i}"), found))
            }
            value => found.push((path[1..].to_owned(), format!("{value:?}"))),
        }
    }
    let (mut before, mut after) = (Vec::new(), Vec::new());
    leaves(&old, "", &mut before);
    leaves(&tree, "", &mut after);
    for (path, value) in before {
        let there = after.iter().any(|(p, v)| *p == path && *v == value);
        let said = new.changes.iter().chain(&new.dropped).any(|said| said.contains(&path));
        assert!(there || said, "{path}");
    }
}

#[test]
fn test_migrate__a_new_configuration_is_left_alone() {
    for text in [
        include_str!("../../../../configs/gpt2_tiny.yaml"),
        include_str!("../../../../configs/bert_tiny.yaml"),
        include_str!("../../../../configs/experiments/7_all_ablations.yaml"),
        include_str!("../../../../configs/TEMPLATE.yaml"),
    ] {
        let new = migrate(text, "new.yaml").unwrap();
        assert_eq!(new.yaml, text);
        assert!(new.changes.is_empty() && new.dropped.is_empty() && new.invalid.is_none());
        // And what is read from it can be written again.
        let tree = load::mapping(text, "").unwrap();
        let again = Document::read(text, &tree).unwrap().write();
        assert!(same(&load::mapping(&again, "").unwrap(), &tree));
        let comments = |t: &str| t.matches('#').count();
        assert_eq!(comments(&again), comments(text));
    }
}

#[test]
fn test_migrate__recurrent_and_masked_models() {
    let flat = |model: &str, training: &str| {
        format!(
            "experiment_name: a\nrandom_seed: 1\ndata: {{training_corpus: a, batch_size: 2, max_sequence_length: 8}}\n\
             tokenizer: {{output_dir: t, vocab_size: 300}}\nmodel:\n{model}training:\n  output_dir: o\n  \
             learning_rate: 1e-3\n  epochs: 1\n{training}"
        )
    };
    let shape = "  embedding_size: 8\n  hidden_size: 8\n  num_layers: 1\n";
    let cases = [
        (flat(shape, ""), "architecture: lstm", "causal_lm"),
        (flat(&format!("{shape}  rnn_type: gru\n"), ""), "architecture: gru", "causal_lm"),
        (flat(&format!("{shape}  bidirectional: true\n"), ""), "bidirectional: true", "masked_lm"),
    ];
    for (old, says, objective) in cases {
        let new = migrate(&old, "old.yaml").unwrap();
        assert!(new.invalid.is_none(), "{}\n{:?}", new.yaml, new.invalid);
        assert!(new.yaml.contains(says), "{}", new.yaml);
        let config = load::valid(&new.yaml, "").unwrap();
        assert_eq!(config.training.objective().name(), objective);
    }
}

#[test]
fn test_migrate__layouts_that_comments_cannot_follow_keep_their_content() {
    let old = "{experiment_name: a, seed: 3, data: {training_corpus: 'a #1', batch_size: 2, max_sequence_length: 8}, \
               tokenizer: {output_dir: t, vocab_size: 300}, model: {layers: 1, embedding_size: 8, hidden_size: 8, \
               intermediate_hidden_size: 8, attention_heads: 1, dropout: 0.1, attention_dropout: 0}, \
               training: {output_dir: o, learning_rate: 1.0e-3, epochs: 1}}";
    let new = migrate(old, "old.yaml").unwrap();
    assert!(!new.kept_comments && new.invalid.is_none(), "{}\n{:?}", new.yaml, new.invalid);
    let config = load::valid(&new.yaml, "").unwrap();
    assert_eq!(config.random_seed, 3);
    assert_eq!(config.data.corpus, super::super::Corpus::Files("a #1".into()));
}

#[test]
fn test_migrate__what_is_wrong_is_said() {
    let new = migrate("experiment_name: a\nseed: 1\n", "old.yaml").unwrap();
    assert!(new.invalid.unwrap().to_string().contains("Missing"));
    assert!(migrate("- a\n", "old.yaml").is_err());
    assert!(migrate("a: [", "old.yaml").is_err());
}

use super::super::ModelConfig;
use super::super::choices::Precision;
