//! Makes `tests/fixtures/configs`: one small configuration of each kind of model, 2 layers, 64 wide, 2 heads.
//!
//! ```text
//! FOUNDRY_BLESS=1 cargo test -p foundry-tests --test all fixtures
//! ```
//!
//! They are trained from the top of the project: `foundry train tests/fixtures/configs/gpt2.yaml`.

/// The name of a file, its architecture, the section of the model, and the objective.
const KINDS: [(&str, &str, &str, &str); 7] = [
    ("gpt2", "gpt2", TRANSFORMER, "causal_lm"),
    ("bert", "bert", TRANSFORMER, "masked_lm"),
    ("lstm", "lstm", RNN, "causal_lm"),
    ("gru", "gru", RNN, "causal_lm"),
    ("rnn", "rnn", RNN, "causal_lm"),
    ("lstm_bidirectional", "lstm", BIDIRECTIONAL, "masked_lm"),
    ("gru_bidirectional", "gru", BIDIRECTIONAL, "masked_lm"),
];

const TRANSFORMER: &str = "  transformer:
    layers: 2
    embedding_size: 64
    hidden_size: 64
    intermediate_hidden_size: 256
    attention_heads: 2
    dropout: 0.1
    attention_dropout: 0.1
";

const RNN: &str = "  rnn:
    embedding_size: 64
    hidden_size: 64
    num_layers: 2
    dropout: 0.1
";

const BIDIRECTIONAL: &str = "  rnn:
    embedding_size: 64
    hidden_size: 64
    num_layers: 2
    bidirectional: true
    dropout: 0.1
";

/// The files: name and content.
#[must_use]
pub fn configs() -> Vec<(String, String)> {
    let file = |(name, architecture, model, objective): (&str, &str, &str, &str)| {
        let (kind, size) = if architecture == "bert" { ("wordpiece", 400) } else { ("bpe", 400) };
        let text = format!(
            "# Made by tests/src/fixtures.rs: {architecture}, {objective}, 2 layers, 64 wide.
experiment_name: fixture_{name}
random_seed: 1
data:
  synthetic:
    grammar: configs/grammars/english.grammar
    sentences: 300
    seed: 1
  validation_fraction: 0.1
  batch_size: 8
  max_sequence_length: 32
tokenizer:
  output_dir: runs/fixture_{name}/tokenizer
  tokenizer_type: {kind}
  vocab_size: {size}
model:
  architecture: {architecture}
{model}training:
  output_dir: runs/fixture_{name}
  objective: {objective}
  learning_rate: 1e-3
  train_steps: 8
logging:
  log_metrics_every_n_steps: 1
"
        );
        (format!("{name}.yaml"), text)
    };
    KINDS.into_iter().map(file).collect()
}
