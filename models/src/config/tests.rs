//! The configuration as a user meets it: what is read, what is refused and in which words.

use super::choices::*;
use super::fields::{Kind, Section};
use super::raw::RawConfig;
use super::*;

/// A small valid configuration with a causal transformer.
const GPT2: &str = "\
experiment_name: tiny
random_seed: 1
data:
  training_corpus: corpus.txt
  validation_fraction: 0.1
  batch_size: 4
  max_sequence_length: 16
tokenizer:
  output_dir: runs/tiny/tokenizer
  vocab_size: 300
  tokenizer_type: bpe
model:
  architecture: gpt2
  transformer:
    layers: 2
    embedding_size: 64
    hidden_size: 64
    intermediate_hidden_size: 256
    attention_heads: 4
    dropout: 0.1
    attention_dropout: 0.0
training:
  output_dir: runs/tiny
  learning_rate: 1e-3
  train_steps: 100
";

const RNN_MODEL: &str = "\
model:
  architecture: lstm
  rnn:
    embedding_size: 32
    hidden_size: 64
    num_layers: 2
";

/// [`GPT2`] with an LSTM.
fn lstm() -> String {
    let (head, rest) = GPT2.split_once("model:\n").expect("a model section");
    let (_, tail) = rest.split_once("training:\n").expect("a training section");
    format!("{head}{RNN_MODEL}training:\n{tail}")
}

/// A text, what is set in it, and words of the refusal.
type Refused<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

fn set(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// Parses as a build that can do everything would.
fn whole(text: &str, pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::parse(text, "a.yaml", &set(pairs))
}

fn refused(text: &str, pairs: &[(&str, &str)]) -> String {
    whole(text, pairs).expect_err("should be refused").to_string()
}

fn without(text: &str, line: &str) -> String {
    assert!(text.contains(line), "{line:?} is not in the text");
    text.replacen(line, "", 1)
}

#[test]
fn test_config__defaults_are_resolved() {
    let c = Config::parse(GPT2, "a.yaml", &[]).unwrap();
    assert_eq!(c.device, DeviceChoice::Auto);
    assert_eq!(c.precision, Precision::Fp32);
    assert_eq!(c.data.boundary, Boundary::Eos);
    assert_eq!(
        c.data.validation,
        Some(Validation::HeldOut { fraction: 0.1, split: ValidationSplit::Blocks })
    );
    assert_eq!(c.tokenizer.special_tokens.bos_token.as_deref(), Some("<s>"));
    assert_eq!(c.tokenizer.special_tokens.mask_token, None);
    let t = c.model.transformer().unwrap();
    assert_eq!((t.embedding_dropout, t.layer_norm_epsilon), (0.1, 1e-5));
    assert_eq!(
        c.training.update_rule,
        UpdateRule::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    );
    assert_eq!(c.training.warmup, Warmup::Ratio(0.1));
    assert_eq!(c.evaluation.batch_size, 4);
    assert_eq!(c.training.checkpoints.save_resume_state_last_n, 2);
    let lstm = Config::parse(&lstm(), "a.yaml", &[]).unwrap();
    assert!(!lstm.model.rnn().unwrap().tie_weights);
}

#[test]
fn test_config__frozen_text_gives_the_same_config() {
    let masked = "{architecture: bert, transformer: {layers: 1, embedding_size: 8, hidden_size: 8, \
                  intermediate_hidden_size: 9, attention_heads: 2, activation_function: SiLU, \
                  dropout: 0.1, attention_dropout: 0.3, layer_norm_epsilon: 1e-7}}";
    let variants: &[&[(&str, &str)]] = &[
        &[],
        &[("experiment_name", "1.10"), ("random_seed", "18446744073709551615")],
        &[("experiment_name", "no"), ("device", "cuda:3"), ("threads", "2")],
        &[("model", masked), ("training.objective", "masked_lm"), ("precision", "bf16")],
        &[("tokenizer.tokenizer_type", "wordpiece"), ("tokenizer.lowercase", "false")],
        &[("tokenizer.tokenizer_type", "sentencepiece"), ("tokenizer.model_type", "bpe")],
        &[("training.optimizer", "sgd"), ("training.momentum", "0.9"), ("training.epochs", "3")],
        &[("training.lr_scheduler", "constant"), ("training.time_limit", "1h30m")],
        &[("training.lr_scheduler", "cosine"), ("training.warmup_steps", "7")],
        &[("training.checkpoint_schedule", "[30, 10, 10]"), ("training.ema_decay", "0.999")],
        &[("training.checkpoint_preset", "babylm-strict")],
        &[("training.auto_generate_checkpoints", "false"), ("training.train_tokens", "5")],
        &[("training.first_epoch", "even"), ("training.subsequent_epochs_spacing", "linear")],
        &[("evaluation.suites", "[a, b]"), ("logging.console_level", "warning")],
        &[("data.validation_fraction", "0"), ("data.validation_corpus", "v.txt")],
        &[
            ("data.training_corpus", "null"),
            ("data.synthetic", "{grammar: g, sentences: 9, seed: 3}"),
        ],
        &[(
            "dataset_manipulation",
            "[{type: remove_words, input_path: a, output_path: b, parameters: {words: [x, 'y']}}]",
        )],
        &[("tokenizer.special_tokens.bos_token", "'#1: \"x\"'"), ("data.test_corpus", "é ü.txt")],
    ];
    for pairs in variants {
        let config = whole(GPT2, pairs).unwrap_or_else(|e| panic!("{pairs:?}: {e}"));
        let frozen = config.to_yaml();
        let again = whole(&frozen, &[]).unwrap_or_else(|e| panic!("{pairs:?}: {e}\n{frozen}"));
        assert_eq!(config, again, "{frozen}");
        assert_eq!(config.fingerprint(), again.fingerprint());
        assert_eq!(config.diff(&again), []);
    }
}

#[test]
fn test_config__architecture_messages_have_these_words() {
    let text = without(GPT2, "  architecture: gpt2\n");
    let message = refused(&text, &[]);
    assert!(
        message.contains(
            "a.yaml:12:1: Missing required field 'architecture' in model config. Must be one of: \
             gpt2, bert, lstm, gru, rnn"
        ),
        "{message}"
    );
    let text = GPT2.replace("architecture: gpt2", "architecture: mamba");
    let message = refused(&text, &[]);
    assert!(
        message.contains(
            "a.yaml:13:17: Unknown architecture: 'mamba'. Available architectures: gpt2, bert, \
             lstm, gru, rnn"
        ),
        "{message}"
    );
    assert!(
        message.contains("13 |   architecture: mamba\n   |                 ^^^^^"),
        "{message}"
    );
    assert!(message.contains("field: model.architecture"), "{message}");
    let text = lstm().replace("architecture: lstm", "architecture: gpt2");
    assert!(
        refused(&text, &[]).contains("Architecture 'gpt2' requires 'transformer' configuration")
    );
    for rnn in ["lstm", "gru", "rnn"] {
        let text = GPT2.replace("architecture: gpt2", &format!("architecture: {rnn}"));
        let message = refused(&text, &[]);
        let want = format!("Architecture '{rnn}' requires 'rnn' configuration");
        assert!(message.contains(&want), "{message}");
        assert!(message.contains("model.transformer has no effect"), "{message}");
    }
}

#[test]
fn test_config__other_messages_have_these_words() {
    let message = refused(GPT2, &[("training.objective", "seq2seq")]);
    assert!(message.contains("Unknown training objective: 'seq2seq'"), "{message}");
    let message = refused(GPT2, &[("tokenizer.tokenizer_type", "bytes")]);
    assert!(
        message.contains(
            "Unknown tokenizer type: 'bytes'. Supported types: sentencepiece, wordpiece, bpe, \
             character"
        ),
        "{message}"
    );
    let missing = Config::load(std::path::Path::new("no/such.yaml"), &[]).unwrap_err();
    assert!(missing.to_string().contains("Configuration file not found: no/such.yaml"));
    let tried = std::env::current_dir().unwrap().join("no/such.yaml");
    assert!(missing.to_string().contains(&tried.display().to_string()), "{missing}");
    assert_eq!(missing.exit_code(), 2);
}

#[test]
fn test_config__rnn_type_against_architecture_names_both_lines() {
    let text = lstm().replace("    num_layers: 2\n", "    num_layers: 2\n    rnn_type: gru\n");
    let message = refused(&text, &[]);
    assert!(message.contains("rnn_type 'gru' disagrees with architecture 'lstm'"), "{message}");
    assert!(message.contains("a.yaml:18:15") && message.contains("a.yaml:13:17"), "{message}");
    let text = text.replace("rnn_type: gru", "rnn_type: lstm");
    assert!(whole(&text, &[]).is_ok());
}

#[test]
fn test_config__unknown_keys_are_refused_with_what_was_meant() {
    let cases = [
        ("learning_rate: 1e-3", "learnig_rate: 1e-3", "did you mean 'training.learning_rate'?"),
        ("random_seed: 1", "randomseed: 1", "did you mean 'random_seed'?"),
        ("  train_steps: 100", "  train_steps: 100\n  batch_size: 4", "data.batch_size"),
        (
            "    layers: 2",
            "    num_layers: 2\n    layers: 2",
            "did you mean 'model.rnn.num_layers'?",
        ),
        ("    layers: 2", "    layers: 2\n    zzz: 1", "known here: layers, embedding_size"),
        // Two slips may be meant, three are another word.
        ("random_seed: 1", "rando_sed: 1", "did you mean 'random_seed'?"),
        ("random_seed: 1", "rand_sed: 1", "known here: experiment_name, random_seed"),
        ("learning_rate: 1e-3", "learning_decay: 1e-3", "known here: output_dir, objective"),
        ("  train_steps: 100", "  train_steps: 100\n  lr: 4", "known here: output_dir, objective"),
    ];
    for (from, to, want) in cases {
        let message = refused(&GPT2.replace(from, to), &[]);
        assert!(message.contains("Unknown field '"), "{message}");
        assert!(message.contains(want), "{message}");
    }
}

#[test]
fn test_config__all_problems_are_told_at_once_in_the_order_of_the_file() {
    let text = GPT2
        .replace("batch_size: 4", "batch_size: 0")
        .replace("learning_rate: 1e-3", "learning_rate: -1\n  typo: 1")
        .replace("attention_heads: 4", "attention_heads: 7");
    let error = whole(&text, &[]).unwrap_err();
    let fields: Vec<_> = error.problems().iter().map(|p| p.field.as_str()).collect();
    // A typo ends the reading of types, so it is mended first, with all other typos.
    assert_eq!(fields, ["training.typo"]);
    let error = whole(&text.replace("  typo: 1\n", ""), &[]).unwrap_err();
    let fields: Vec<_> = error.problems().iter().map(|p| p.field.as_str()).collect();
    let want = ["data.batch_size", "model.transformer.hidden_size", "training.learning_rate"];
    assert_eq!(fields, want);
    assert!(error.to_string().ends_with("3 problems"));
}

#[test]
fn test_config__old_names_are_refused_with_the_new_spelling() {
    let cases = [
        ("training.use_amp", "true", "precision"),
        ("logging.use_wandb", "true", "logging.tensorboard"),
        ("logging.level", "INFO", "logging.console_level"),
        ("model.layers", "2", "model.transformer.layers"),
        ("model.attention_heads", "2", "model.transformer.attention_heads"),
        ("training.checkpointing_strategy", "log_steps_first_epoch", "first_epoch: log"),
        ("data.pin_memory", "true", "write nothing"),
    ];
    for (path, value, new) in cases {
        let (section, key) = path.split_once('.').unwrap();
        let line = format!("{section}:\n  {key}: {value}\n");
        let text = match GPT2.contains(&format!("{section}:\n")) {
            true => GPT2.replace(&format!("{section}:\n"), &line),
            false => format!("{GPT2}{line}"),
        };
        let message = refused(&text, &[]);
        assert!(message.contains(&format!("'{path}'")) && message.contains(new), "{message}");
        // The same words on the command line.
        assert!(refused(GPT2, &[(path, value)]).contains(new), "{path}");
    }
}

#[test]
fn test_config__overrides_are_typed_placed_and_checked() {
    let c = whole(GPT2, &[("training.learning_rate", "2e-4"), ("logging.dir", "elsewhere")]);
    let c = c.unwrap();
    assert_eq!(c.training.learning_rate, 2e-4);
    assert_eq!(c.logging.dir.to_str(), Some("elsewhere"));
    let message = refused(GPT2, &[("training.learning_rat", "2e-4")]);
    assert!(message.contains("--set training.learning_rat=2e-4: Unknown field"), "{message}");
    assert!(message.contains("did you mean 'training.learning_rate'?"), "{message}");
    let message = refused(GPT2, &[("trainin.learning_rate", "2e-4")]);
    assert!(message.contains("training.learning_rate"), "{message}");
    let message = refused(GPT2, &[("model.transformer.layers", "two")]);
    assert!(
        message.contains("--set model.transformer.layers=two: expected a whole number"),
        "{message}"
    );
    let message = refused(GPT2, &[("model.transformer.layers", "[1")]);
    assert!(message.contains("--set model.transformer.layers=[1"), "{message}");
    for path in ["", ".", "training.", "training..x", "experiment_name.x", "model.transformer.0.1"]
    {
        refused(GPT2, &[(path, "1")]);
    }
}

#[test]
fn test_config__types_are_named_in_words() {
    let cases = [
        ("batch_size: 4", "batch_size: four", "expected a whole number, found the text 'four'"),
        ("batch_size: 4", "batch_size: 4.5", "expected a whole number, found the number 4.5"),
        ("train_steps: 100", "train_steps: 1e2", "write 100"),
        ("batch_size: 4", "batch_size: -4", "from 0 to 2^64 - 1"),
        ("dropout: 0.1", "dropout: high", "expected a number, found the text 'high'"),
        ("  layers: 2", "  tie_weights: 1\n    layers: 2", "expected true or false"),
        ("experiment_name: tiny", "experiment_name: [a]", "expected a text, found a list"),
    ];
    for (from, to, want) in cases {
        let message = refused(&GPT2.replace(from, to), &[]);
        assert!(message.contains(want), "{message}");
    }
    let text = "model: 3\n";
    assert!(refused(text, &[]).contains("expected a section"), "{}", refused(text, &[]));
    for text in ["", "- a\n", "hello\n"] {
        assert!(refused(text, &[]).contains("a configuration is a mapping"), "{text}");
    }
}

#[test]
fn test_config__cross_field_rules() {
    let lstm = lstm();
    let t = |name: &str| format!("model.transformer.{name}");
    let cases: &[Refused<'_>] = &[
        (GPT2, &[(&t("attention_heads"), "5")], "must be a multiple of attention_heads (5)"),
        (
            GPT2,
            &[("training.objective", "masked_lm")],
            "masked_lm does not fit architecture 'gpt2'",
        ),
        (GPT2, &[("model.architecture", "bert")], "sees the answer"),
        (&lstm, &[("model.rnn.bidirectional", "true")], "a bidirectional 'lstm'"),
        (&lstm, &[("training.objective", "masked_lm")], "or model.rnn.bidirectional: true"),
        (&lstm, &[("model.rnn.tie_weights", "true")], "write embedding_size: 64"),
        (GPT2, &[("precision", "bf16"), ("device", "cpu")], "precision: bf16 needs CUDA"),
        (GPT2, &[("data.validation_corpus", "v.txt")], "at most one is allowed"),
        (GPT2, &[("data.training_corpus", "null")], "Missing training text"),
        (GPT2, &[("data.synthetic", "{grammar: g, sentences: 1, seed: 1}")], "exactly one"),
        (GPT2, &[("data.unit", "document"), ("data.packing", "sentence")], "needs unit: line"),
        (GPT2, &[("training.train_steps", "null")], "Missing the length of the run"),
        (GPT2, &[("training.min_learning_rate", "0.1")], "must not exceed learning_rate"),
        (GPT2, &[("training.warmup_steps", "101")], "exceeds train_steps (100)"),
        (
            GPT2,
            &[("training.warmup_steps", "1"), ("training.warmup_ratio", "0.1")],
            "at most one is allowed",
        ),
        (
            GPT2,
            &[("training.early_stopping", "{patience: 3}")],
            "early_stopping needs evaluation.every_steps",
        ),
        (GPT2, &[("training.lr_scheduler", "plateau")], "evaluation.every_steps"),
        (
            GPT2,
            &[("evaluation.every_steps", "5"), ("data.validation_fraction", "0")],
            "evaluation.every_steps needs validation data",
        ),
        (GPT2, &[("tokenizer.vocab_size", "259")], "write at least 260"),
        (
            GPT2,
            &[("tokenizer.special_tokens.pad_token", "</s>")],
            "this role needs a token of its own",
        ),
        (GPT2, &[("tokenizer.special_tokens.pad_tokn", "x")], "did you mean 'pad_token'?"),
        (GPT2, &[("tokenizer.special_tokens.padding", "x")], "known here: bos_token"),
        (GPT2, &[("data.max_sequence_length", "1")], "nothing to predict"),
        (GPT2, &[("training.time_limit", "soon")], "such as 90m"),
        (GPT2, &[("device", "gpu")], "Unknown device: 'gpu'"),
        (GPT2, &[("training.adam_beta2", "1.0")], "at least 0 and below 1, got 1"),
    ];
    for (text, pairs, want) in cases {
        let message = refused(text, pairs);
        assert!(message.contains(want), "{pairs:?}: {message}");
    }
}

#[test]
fn test_config__a_rule_over_two_fields_shows_both_lines() {
    let text = GPT2.replace("attention_heads: 4", "attention_heads: 5");
    let message = refused(&text, &[]);
    assert!(message.contains("17 |     hidden_size: 64"), "{message}");
    assert!(message.contains("19 |     attention_heads: 5"), "{message}");
    assert!(message.contains("write, for example, hidden_size: 60 or 65"), "{message}");
}

#[test]
fn test_d20__embedding_and_hidden_size_must_agree_in_a_transformer() {
    let message = refused(GPT2, &[("model.transformer.embedding_size", "32")]);
    assert!(message.contains("embedding_size (32) must equal hidden_size (64)"), "{message}");
    // What the original fixed can be said.
    let c = whole(
        GPT2,
        &[("model.transformer.embedding_dropout", "0.3"), ("training.weight_decay", "0.2")],
    );
    let c = c.unwrap();
    assert_eq!(c.model.transformer().unwrap().embedding_dropout, 0.3);
    assert_eq!(c.training.weight_decay, 0.2);
}

#[test]
fn test_d18__activation_is_read_in_any_case() {
    for (typed, want) in
        [("GELU", Activation::Gelu), ("gelu_new", Activation::GeluNew), ("ReLU", Activation::Relu)]
    {
        let c = whole(GPT2, &[("model.transformer.activation_function", typed)]).unwrap();
        assert_eq!(c.model.transformer().unwrap().activation, want);
    }
    let message = refused(GPT2, &[("model.transformer.activation_function", "glu")]);
    assert!(message.contains("Must be one of: gelu, gelu_new, relu, silu, tanh"), "{message}");
}

#[test]
fn test_config__fields_without_effect_are_refused() {
    let lstm = lstm();
    let cases: &[(&str, &str, &str)] = &[
        (GPT2, "data.source_corpus", "a"),
        (GPT2, "tokenizer.model_type", "bpe"),
        (GPT2, "tokenizer.byte_fallback", "true"),
        (GPT2, "tokenizer.lowercase", "true"),
        (GPT2, "tokenizer.strip_accents", "true"),
        (GPT2, "model.bert", "{type_vocab_size: 2}"),
        (GPT2, "model.rnn", "{embedding_size: 2, hidden_size: 2, num_layers: 1}"),
        (&lstm, "model.rnn.nonlinearity", "relu"),
        (GPT2, "training.mlm_probability", "0.2"),
        (GPT2, "training.masking", "span"),
        (GPT2, "training.mask_split", "[1, 0, 0]"),
        (GPT2, "training.momentum", "0.9"),
        (GPT2, "training.first_epoch_checkpoints", "5"),
        (GPT2, "training.linear_interval", "5"),
    ];
    for (text, field, value) in cases {
        let message = refused(text, &[(field, value)]);
        assert!(message.contains(&format!("{field} has no effect here")), "{message}");
    }
    for (pairs, field) in [
        (
            [("tokenizer.tokenizer_type", "character"), ("tokenizer.min_frequency", "3")],
            "tokenizer.min_frequency",
        ),
        ([("training.optimizer", "sgd"), ("training.adam_beta1", "0.8")], "training.adam_beta1"),
        (
            [("training.lr_scheduler", "constant"), ("training.warmup_steps", "3")],
            "training.warmup_steps",
        ),
        (
            [("training.auto_generate_checkpoints", "false"), ("training.first_epoch", "log")],
            "training.first_epoch",
        ),
    ] {
        assert!(refused(GPT2, &pairs).contains(&format!("{field} has no effect")));
    }
    let tail = GPT2.replace("validation_fraction: 0.1", "validation_split: tail");
    assert!(refused(&tail, &[]).contains("data.validation_split has no effect"));
}

#[test]
fn test_config__names_that_could_leave_their_folder_are_refused() {
    let long = "x".repeat(101);
    for name in
        [".", "..", "...", "a/b", "../a", "a b", "", "é", "a\\n", &long, "CON:", "nul.txt", "Com1"]
    {
        let text = GPT2.replace("experiment_name: tiny", &format!("experiment_name: \"{name}\""));
        assert!(refused(&text, &[]).contains("experiment_name"), "{name}");
    }
    for name in ["a", "A.b_c-1", ".hidden", "com", "console", &"x".repeat(100)] {
        whole(GPT2, &[("experiment_name", name)]).unwrap();
    }
}

#[test]
fn test_config__absurd_sizes_are_refused_in_words() {
    let cases: &[&[(&str, &str)]] = &[
        &[("model.transformer.layers", "2147483648")],
        &[("tokenizer.vocab_size", "1099511627776")],
        &[("data.max_sequence_length", "1000000000")],
        &[("data.batch_size", "18446744073709551615")],
        &[
            ("model.transformer.hidden_size", "18446744073709551612"),
            ("model.transformer.embedding_size", "18446744073709551612"),
            ("model.transformer.layers", "18446744073709551615"),
            ("model.transformer.intermediate_hidden_size", "18446744073709551615"),
            ("data.max_sequence_length", "18446744073709551615"),
        ],
    ];
    for pairs in cases {
        let message = refused(GPT2, pairs);
        assert!(
            message.contains("training needs at least") || message.contains("from 1 to 16777216"),
            "{message}"
        );
    }
    let rnn: &[(&str, &str)] = &[
        ("model.rnn.hidden_size", "18446744073709551615"),
        ("model.rnn.bidirectional", "true"),
        ("training.objective", "masked_lm"),
        ("model.rnn.num_layers", "18446744073709551615"),
    ];
    assert!(refused(&lstm(), rnn).contains("training needs at least"));
    let message = refused(GPT2, &[("data.batch_size", "99999999999999999999999")]);
    assert!(message.contains("expected a whole number"), "{message}");
}

#[test]
fn test_config__parameter_counts_of_published_models() {
    let gpt2 = "{architecture: gpt2, transformer: {layers: 12, embedding_size: 768, hidden_size: \
                768, intermediate_hidden_size: 3072, attention_heads: 12, dropout: 0, \
                attention_dropout: 0}}";
    let bert = gpt2.replace("gpt2", "bert");
    let config = whole(GPT2, &[("model", gpt2)]).unwrap();
    assert_eq!(memory::parameter_count(&config.model, 50257, 1024), 124_439_808);
    let config = whole(GPT2, &[("model", &bert), ("training.objective", "masked_lm")]).unwrap();
    assert_eq!(memory::parameter_count(&config.model, 30522, 512), 109_514_298);
    // torch: Embedding(100, 32), LSTM(32, 64, 2), Linear(64, 100).
    let config = whole(&lstm(), &[]).unwrap();
    let want = 100 * 32 + 4 * 64 * (32 + 64 + 2) + 4 * 64 * (64 + 64 + 2) + 64 * 100 + 100;
    assert_eq!(memory::parameter_count(&config.model, 100, 16), want);
}

#[test]
fn test_config__diff_names_what_changed_and_leaves_neutral_fields_out() {
    let old = whole(GPT2, &[]).unwrap();
    let neutral = &[
        ("threads", "3"),
        ("device", "cpu"),
        ("logging.dir", "x"),
        ("evaluation.every_steps", "7"),
        ("training.resume_from_checkpoint", "true"),
    ];
    let same = whole(GPT2, neutral).unwrap();
    assert_eq!(old.diff(&same), []);
    assert_eq!(old.fingerprint(), same.fingerprint());
    let new = whole(GPT2, &[("training.learning_rate", "0.002"), ("training.epochs", "2")]);
    let new = new.unwrap();
    let changes: Vec<_> = old.diff(&new).iter().map(ToString::to_string).collect();
    assert_eq!(changes, ["training.learning_rate: 0.001 -> 0.002", "training.epochs: null -> 2"]);
    assert_ne!(old.fingerprint(), new.fingerprint());
}

/// Every field, when it is set to something else, changes the resolved configuration or is
/// refused: no field is read by nothing.
#[test]
fn test_d10__every_field_is_live() {
    fn walk(section: &'static Section, prefix: &str, paths: &mut Vec<(String, Kind)>) {
        for f in section.fields {
            match f.kind {
                Kind::Section(s) => walk(s, &format!("{prefix}{}.", f.name), paths),
                kind => paths.push((format!("{prefix}{}", f.name), kind)),
            }
        }
    }
    let mut paths = Vec::new();
    walk(&RawConfig::SECTION, "", &mut paths);
    assert!(paths.len() > 100, "only {} fields", paths.len());
    let base = whole(GPT2, &[]).unwrap();
    for (path, kind) in paths {
        let values: Vec<String> = match kind {
            Kind::Integer => vec!["3".into(), "77".into(), "128".into()],
            Kind::Number => vec!["0.25".into(), "0.0001".into()],
            Kind::Flag => vec!["true".into(), "false".into()],
            Kind::Text | Kind::Path => vec!["other".into(), "2h".into(), "cpu".into()],
            Kind::Choice(words) => words.iter().map(|w| (*w).to_owned()).collect(),
            Kind::List(Kind::Integer) => vec!["[5, 9]".into()],
            Kind::List(Kind::Number) => vec!["[0.5, 0.25, 0.25]".into()],
            Kind::List(Kind::Path) => vec!["[a]".into()],
            Kind::List(_) => {
                vec!["[{type: remove_articles, input_path: a, output_path: b}]".into()]
            }
            Kind::Map => vec!["{bos_token: <begin>}".into()],
            Kind::Section(_) => continue,
        };
        let live = values.iter().any(|v| match whole(GPT2, &[(&path, v)]) {
            Ok(changed) => changed != base,
            Err(_) => true,
        });
        assert!(live, "{path} changes nothing");
    }
}

#[test]
fn test_config__broken_files_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    std::fs::write(&path, b"a: \xff\xfe").unwrap();
    let message = Config::load(&path, &[]).unwrap_err().to_string();
    assert!(message.contains("not UTF-8 text: byte 3"), "{message}");
    std::fs::write(&path, format!("\u{feff}{}", GPT2.replace('\n', "\r\n"))).unwrap();
    Config::load(&path, &[]).unwrap_or_else(|e| panic!("a byte-order mark and CRLF: {e}"));
    let message = Config::load(folder.path(), &[]).unwrap_err().to_string();
    assert!(message.contains("cannot be read"), "{message}");
    std::fs::write(&path, "a: [1\nb: 2\n").unwrap();
    let message = Config::load(&path, &[]).unwrap_err().to_string();
    assert!(message.contains("a.yaml:"), "{message}");
}

#[test]
fn test_d18__every_shipped_config_loads() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "yaml") {
            let config = Config::load(&path, &[]).unwrap_or_else(|e| panic!("{e}"));
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(name == config.experiment_name || name == "TEMPLATE", "{name}");
            seen += 1;
        }
    }
    assert!(seen >= 6, "{seen} configs");
}

/// nanoGPT's small CPU recipe, as it is shipped.
#[test]
fn test_config__shakespeare_recipe() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs");
    let path = std::path::Path::new(folder).join("shakespeare_char_gpt2.yaml");
    let c = Config::load(&path, &[]).unwrap();
    assert_eq!(memory::parameter_count(&c.model, 65, 64), 809_856);
    let rate = crate::train::learning_rate::LearningRate::new(&c.training, 2000);
    assert_eq!((rate.at(1), rate.at(101)), (0.0, 1e-3));
    assert!((rate.at(2001) - 1e-4).abs() < 1e-15);
    assert_eq!(c.data.unit, Unit::Document);
}

/// Damaged text is refused or read, never a panic, and every message says where.
#[test]
fn test_config__no_damage_panics() {
    let texts = [GPT2.to_owned(), lstm(), whole(GPT2, &[]).unwrap().to_yaml()];
    let alphabet: Vec<char> =
        " \n\t:-[]{}&*!|>'\"#,?%@`~<=.0123456789eEnaifxé\u{0}\u{2028}".chars().collect();
    let mut state = 1u64;
    let mut random = |n: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        usize::try_from(state >> 33).unwrap() % n
    };
    let mut read = 0;
    for round in 0..5_000 {
        let mut text: Vec<char> = texts[round % texts.len()].chars().collect();
        for _ in 0..=random(3) {
            let at = random(text.len());
            if text.len() == 1 {
                break;
            }
            match random(4) {
                0 => text.truncate(at + 1),
                1 => drop(text.remove(at)),
                2 => text[at] = alphabet[random(alphabet.len())],
                _ => text.insert(at, alphabet[random(alphabet.len())]),
            }
        }
        let text: String = text.into_iter().collect();
        match Config::parse(&text, "a.yaml", &[]) {
            Ok(_) => read += 1,
            Err(e) => assert!(e.to_string().starts_with("a.yaml"), "{text}\n{e}"),
        }
    }
    assert!(read > 50 && read < 4_900, "{read} of 5000 read");
}

#[test]
fn test_config__a_flat_model_block_is_told_both_the_architecture_and_the_new_names() {
    let (head, rest) = GPT2.split_once("model:\n").unwrap();
    let (_, tail) = rest.split_once("training:\n").unwrap();
    let text = format!("{head}model:\n  layers: 2\n  attention_heads: 4\ntraining:\n{tail}");
    let message = refused(&text, &[]);
    assert!(message.contains("Missing required field 'architecture' in model config"), "{message}");
    assert!(message.contains("'model.layers' is an old name"), "{message}");
    assert!(message.contains("'foundry config migrate' rewrites a whole file"), "{message}");
    assert!(message.contains("did you mean 'model.transformer.attention_heads'?"), "{message}");
}

#[test]
fn test_overrides__a_number_is_a_place_in_a_list() {
    let text = GPT2.replace(
        "tokenizer:",
        "dataset_manipulation:\n- {type: remove_articles, input_path: a.txt, output_path: b.txt}\ntokenizer:",
    );
    let set = [("dataset_manipulation.0.output_path", "c.txt")];
    let config = whole(&text, &set).unwrap();
    let step = &config.dataset_manipulation[0];
    assert_eq!(step.input_path.to_str(), Some("a.txt"));
    assert_eq!(step.output_path.to_str(), Some("c.txt"));
}

#[test]
fn test_config__what_watches_the_validation_loss_says_which_of_its_two_needs_is_missing() {
    let stopping = ("training.early_stopping", "{patience: 2}");
    let (held_out, every) = (("data.validation_fraction", "0.1"), ("evaluation.every_steps", "5"));
    let neither = refused(GPT2, &[("data.validation_fraction", "0"), stopping]);
    let wanted = "early_stopping needs validation data and evaluation.every_steps";
    assert!(neither.contains(wanted), "{neither}");
    let no_times = refused(GPT2, &[held_out, stopping]);
    assert!(no_times.contains("early_stopping needs evaluation.every_steps\n"), "{no_times}");
    assert!(no_times.contains("help: set evaluation.every_steps"), "{no_times}");
    let no_text = refused(GPT2, &[("data.validation_fraction", "0"), every, stopping]);
    assert!(no_text.contains("early_stopping needs validation data\n"), "{no_text}");
    assert!(whole(GPT2, &[held_out, every, stopping]).is_ok());
}

#[test]
fn test_check_field__knows_every_field_and_no_other() {
    for (path, _) in super::raw::RawConfig::SECTION.leaves() {
        assert_eq!(check_field(&path), Ok(()));
    }
    for path in ["training", "tokenizer.special_tokens.pad_token", "dataset_manipulation.0.type"] {
        assert_eq!(check_field(path), Ok(()), "{path}");
    }
    let slip = check_field("training.learning_rat").unwrap_err();
    assert!(slip.contains("did you mean 'training.learning_rate'?"), "{slip}");
    assert!(check_field("learning_rate").unwrap_err().contains("'training.learning_rate'"));
    assert!(check_field("logging.level").unwrap_err().contains("is an old name"));
    assert!(check_field("").is_err() && check_field("nothing").is_err());
}
