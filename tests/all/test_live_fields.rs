//! Every field of the configuration changes what a run does, or is refused (D-10); and every field that shapes the
//! result is named when a run is resumed with another value of it (A9).
//!
//! [`FLIPS`] has a line for each field: what it is changed to, on which ground, and what must come of it. The list is
//! held to the fields that the configuration has, so that a new field without a line fails.

use foundry_models::config::fields::{Kind, Section};
use foundry_models::config::raw::RawConfig;
use foundry_models::config::{Config, LoggingConfig};
use foundry_models::pipeline::{CACHE_FOLDER, Notice, Pipeline, TrainOptions, TrainOutcome, train};
use foundry_models::train::log::Log;
use foundry_models::train::metrics::without_timing;
use foundry_models::train::run::Event;
use foundry_models::train::run_folder::{LOG_FILE, Wish};
use foundry_models::train::signals::{StopFlag, StopReason};
use foundry_tests::binary::Workplace;
use foundry_tests::experiment::{Files, lines, read_tree};
use foundry_tests::workspace;
use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

type Set = &'static [(&'static str, &'static str)];

/// What must come of a change.
enum Effect {
    /// The run has another course: other weights, losses, checkpoints, results or messages of refusal.
    Course,
    /// It is refused in these words.
    Refused(&'static str),
    /// What a look at the runs before and after finds is different.
    Seen(fn(&Bench) -> String),
    /// What a call of the command shows is different, with these values of the field.
    Called(fn(&str) -> String),
}
use Effect::{Called, Course, Refused, Seen};

/// A field, the ground on which it is changed, and the change.
struct Flip(&'static str, Set, Set, Effect);

/// Two updates at least in each of two epochs.
const LONG: Set = &[("training.train_steps", "16")];
const GRAMMAR: Set = &[
    ("data.training_corpus", "null"),
    ("data.synthetic", "{grammar: {D}/english.grammar, sentences: 200, seed: 1}"),
];
const FRACTION: Set = &[("data.validation_corpus", "null"), ("data.validation_fraction", "0.1")];
const SHORT: Set = &[("data.packing", "drop_short"), ("data.max_loss_fraction", "1.0")];
const MADE: Set = &[
    ("data.training_corpus", "{D}/made.txt"),
    ("data.source_corpus", "{D}/train.txt"),
    (
        "dataset_manipulation",
        "[{type: remove_words, input_path: {D}/train.txt, output_path: {D}/made.txt, parameters: {words: [the]}}]",
    ),
];
const PIECES: Set =
    &[("tokenizer.tokenizer_type", "sentencepiece"), ("tokenizer.vocab_size", "300")];
const WORDS: Set = &[("tokenizer.tokenizer_type", "wordpiece"), ("tokenizer.vocab_size", "60")];
const LSTM: Set =
    &[("model", "{architecture: lstm, rnn: {embedding_size: 16, hidden_size: 16, num_layers: 2}}")];
const RNN: Set =
    &[("model", "{architecture: rnn, rnn: {embedding_size: 16, hidden_size: 16, num_layers: 1}}")];
const BERT: Set = &[
    (
        "model",
        "{architecture: bert, transformer: {layers: 1, embedding_size: 16, hidden_size: 16, intermediate_hidden_size: 32, attention_heads: 2, dropout: 0.1, attention_dropout: 0.1}}",
    ),
    ("training.objective", "masked_lm"),
    ("tokenizer.tokenizer_type", "wordpiece"),
    ("tokenizer.vocab_size", "60"),
];
const SGD: Set = &[("training.optimizer", "sgd"), ("training.learning_rate", "0.1")];
const EPOCHS: Set = &[("training.train_steps", "null"), ("training.epochs", "1")];
const TOKENS: Set = &[("training.train_steps", "null"), ("training.train_tokens", "100")];
const PATIENCE: Set = &[("training.early_stopping", "{patience: 1, min_delta: 10}")];
const EXPLODES: Set = &[("training.learning_rate", "1e30"), ("training.warmup_steps", "0")];
const EVEN: Set = &[("training.first_epoch", "even"), ("training.first_epoch_checkpoints", "3")];
const LINEAR: Set = &[
    ("training.train_steps", "16"),
    ("training.subsequent_epochs_spacing", "linear"),
    ("training.linear_interval", "2"),
];
const LISTED: Set = &[("training.checkpoint_schedule", "[4]")];
const NOTHING: Set = &[];

const FLIPS: &[Flip] = &[
    Flip("experiment_name", NOTHING, &[("experiment_name", "other")], Seen(|b| b.names("logs"))),
    Flip("random_seed", NOTHING, &[("random_seed", "2")], Course),
    Flip("device", NOTHING, &[("device", "cuda:99")], Refused("cuda")),
    Flip("threads", NOTHING, &[("threads", "1")], Called(threads)),
    Flip("precision", NOTHING, &[("precision", "bf16")], Refused("precision")),
    Flip(
        "data.source_corpus",
        MADE,
        &[("data.source_corpus", "{D}/other.txt")],
        Refused("source_corpus"),
    ),
    Flip("data.training_corpus", NOTHING, &[("data.training_corpus", "{D}/other.txt")], Course),
    Flip(
        "data.synthetic.grammar",
        GRAMMAR,
        &[("data.synthetic.grammar", "{D}/none.grammar")],
        Refused("none.grammar"),
    ),
    Flip("data.synthetic.sentences", GRAMMAR, &[("data.synthetic.sentences", "150")], Course),
    Flip("data.synthetic.seed", GRAMMAR, &[("data.synthetic.seed", "2")], Course),
    Flip("data.unit", NOTHING, &[("data.unit", "document")], Course),
    Flip("data.validation_corpus", NOTHING, &[("data.validation_corpus", "{D}/other.txt")], Course),
    Flip("data.validation_fraction", FRACTION, &[("data.validation_fraction", "0.3")], Course),
    Flip("data.validation_split", FRACTION, &[("data.validation_split", "tail")], Course),
    Flip("data.test_corpus", NOTHING, &[("data.test_corpus", "{D}/other.txt")], Course),
    Flip("data.batch_size", NOTHING, &[("data.batch_size", "3")], Course),
    Flip("data.max_sequence_length", NOTHING, &[("data.max_sequence_length", "12")], Course),
    Flip("data.packing", NOTHING, &[("data.packing", "sentence")], Course),
    Flip("data.boundary_token", NOTHING, &[("data.boundary_token", "none")], Course),
    Flip(
        "data.max_loss_fraction",
        SHORT,
        &[("data.max_loss_fraction", "0.0")],
        Refused("max_loss_fraction"),
    ),
    Flip("data.num_workers", NOTHING, &[("data.num_workers", "7")], Seen(|b| b.workers())),
    Flip(
        "dataset_manipulation[].type",
        MADE,
        &[
            ("dataset_manipulation.0.type", "remove_articles"),
            ("dataset_manipulation.0.parameters", "{}"),
        ],
        Course,
    ),
    Flip(
        "dataset_manipulation[].input_path",
        MADE,
        &[
            ("dataset_manipulation.0.input_path", "{D}/other.txt"),
            ("data.source_corpus", "{D}/other.txt"),
        ],
        Course,
    ),
    Flip(
        "dataset_manipulation[].output_path",
        MADE,
        &[
            ("dataset_manipulation.0.output_path", "{D}/made2.txt"),
            ("data.training_corpus", "{D}/made2.txt"),
        ],
        Seen(|b| b.names(".")),
    ),
    Flip(
        "dataset_manipulation[].parameters",
        MADE,
        &[("dataset_manipulation.0.parameters", "{words: [cat]}")],
        Course,
    ),
    Flip(
        "tokenizer.output_dir",
        NOTHING,
        &[("tokenizer.output_dir", "{D}/tokenizer2")],
        Seen(|b| b.names(".")),
    ),
    Flip("tokenizer.vocab_size", NOTHING, &[("tokenizer.vocab_size", "270")], Course),
    Flip("tokenizer.tokenizer_type", NOTHING, &[("tokenizer.tokenizer_type", "character")], Course),
    Flip("tokenizer.model_type", PIECES, &[("tokenizer.model_type", "bpe")], Course),
    Flip("tokenizer.byte_fallback", PIECES, &[("tokenizer.byte_fallback", "false")], Course),
    Flip("tokenizer.lowercase", WORDS, &[("tokenizer.lowercase", "false")], Course),
    Flip("tokenizer.strip_accents", WORDS, &[("tokenizer.strip_accents", "false")], Course),
    Flip("tokenizer.min_frequency", NOTHING, &[("tokenizer.min_frequency", "60")], Course),
    Flip(
        "tokenizer.special_tokens",
        NOTHING,
        &[("tokenizer.special_tokens", "{eos_token: <end>}")],
        Seen(|b| b.text("tokenizer/tokenizer.json")),
    ),
    Flip("model.architecture", LSTM, &[("model.architecture", "gru")], Course),
    Flip("model.transformer.layers", NOTHING, &[("model.transformer.layers", "2")], Course),
    Flip(
        "model.transformer.embedding_size",
        NOTHING,
        &[("model.transformer.embedding_size", "32")],
        Refused("embedding_size"),
    ),
    Flip(
        "model.transformer.hidden_size",
        NOTHING,
        &[("model.transformer.hidden_size", "32"), ("model.transformer.embedding_size", "32")],
        Course,
    ),
    Flip(
        "model.transformer.intermediate_hidden_size",
        NOTHING,
        &[("model.transformer.intermediate_hidden_size", "48")],
        Course,
    ),
    Flip(
        "model.transformer.attention_heads",
        NOTHING,
        &[("model.transformer.attention_heads", "4")],
        Course,
    ),
    Flip(
        "model.transformer.activation_function",
        NOTHING,
        &[("model.transformer.activation_function", "relu")],
        Course,
    ),
    Flip("model.transformer.dropout", NOTHING, &[("model.transformer.dropout", "0.3")], Course),
    Flip(
        "model.transformer.attention_dropout",
        NOTHING,
        &[("model.transformer.attention_dropout", "0.3")],
        Course,
    ),
    Flip(
        "model.transformer.embedding_dropout",
        NOTHING,
        &[("model.transformer.embedding_dropout", "0.3")],
        Course,
    ),
    Flip(
        "model.transformer.layer_norm_epsilon",
        NOTHING,
        &[("model.transformer.layer_norm_epsilon", "0.1")],
        Course,
    ),
    Flip(
        "model.transformer.tie_weights",
        NOTHING,
        &[("model.transformer.tie_weights", "false")],
        Course,
    ),
    Flip(
        "model.transformer.initializer_range",
        NOTHING,
        &[("model.transformer.initializer_range", "0.1")],
        Course,
    ),
    Flip("model.bert.type_vocab_size", BERT, &[("model.bert.type_vocab_size", "3")], Course),
    Flip("model.bert.pooler_type", BERT, &[("model.bert.pooler_type", "mean")], Refused("pooler")),
    Flip("model.rnn.embedding_size", LSTM, &[("model.rnn.embedding_size", "24")], Course),
    Flip("model.rnn.hidden_size", LSTM, &[("model.rnn.hidden_size", "24")], Course),
    Flip("model.rnn.num_layers", LSTM, &[("model.rnn.num_layers", "1")], Course),
    Flip(
        "model.rnn.bidirectional",
        LSTM,
        &[("model.rnn.bidirectional", "true")],
        Refused("bidirectional"),
    ),
    Flip("model.rnn.dropout", LSTM, &[("model.rnn.dropout", "0.3")], Course),
    Flip("model.rnn.embedding_dropout", LSTM, &[("model.rnn.embedding_dropout", "0.3")], Course),
    Flip("model.rnn.rnn_type", LSTM, &[("model.rnn.rnn_type", "gru")], Refused("rnn_type")),
    Flip("model.rnn.nonlinearity", RNN, &[("model.rnn.nonlinearity", "relu")], Course),
    Flip("model.rnn.tie_weights", LSTM, &[("model.rnn.tie_weights", "true")], Course),
    Flip("model.rnn.stateful", LSTM, &[("model.rnn.stateful", "true")], Course),
    Flip("model.rnn.forget_bias", LSTM, &[("model.rnn.forget_bias", "1.0")], Course),
    Flip("model.rnn.init_uniform", LSTM, &[("model.rnn.init_uniform", "0.5")], Course),
    Flip(
        "training.output_dir",
        NOTHING,
        &[("training.output_dir", "{D}/run2")],
        Seen(|b| b.names(".")),
    ),
    Flip(
        "training.objective",
        NOTHING,
        &[("training.objective", "masked_lm")],
        Refused("masked_lm"),
    ),
    Flip("training.mlm_probability", BERT, &[("training.mlm_probability", "0.5")], Course),
    Flip("training.masking", BERT, &[("training.masking", "whole_word")], Course),
    Flip("training.mask_split", BERT, &[("training.mask_split", "[0.0, 0.0, 1.0]")], Course),
    Flip("training.optimizer", NOTHING, &[("training.optimizer", "sgd")], Course),
    Flip("training.learning_rate", NOTHING, &[("training.learning_rate", "0.002")], Course),
    Flip("training.adam_beta1", NOTHING, &[("training.adam_beta1", "0.5")], Course),
    Flip("training.adam_beta2", NOTHING, &[("training.adam_beta2", "0.9")], Course),
    Flip("training.adam_epsilon", NOTHING, &[("training.adam_epsilon", "0.01")], Course),
    Flip("training.weight_decay", NOTHING, &[("training.weight_decay", "0.5")], Course),
    Flip("training.momentum", SGD, &[("training.momentum", "0.9")], Course),
    Flip("training.lr_scheduler", NOTHING, &[("training.lr_scheduler", "cosine")], Course),
    Flip("training.warmup_steps", NOTHING, &[("training.warmup_steps", "3")], Course),
    Flip("training.warmup_ratio", NOTHING, &[("training.warmup_ratio", "0.5")], Course),
    Flip(
        "training.min_learning_rate",
        NOTHING,
        &[("training.min_learning_rate", "0.0005")],
        Course,
    ),
    Flip("training.epochs", EPOCHS, &[("training.epochs", "2")], Course),
    Flip("training.train_steps", NOTHING, &[("training.train_steps", "7")], Course),
    Flip("training.train_tokens", TOKENS, &[("training.train_tokens", "200")], Course),
    Flip(
        "training.time_limit",
        &[
            ("training.train_steps", "100000"),
            ("training.auto_generate_checkpoints", "false"),
            ("training.time_limit", "1d"),
        ],
        &[("training.time_limit", "1s")],
        Seen(|b| b.time_limit()),
    ),
    Flip(
        "training.gradient_accumulation_steps",
        NOTHING,
        &[("training.gradient_accumulation_steps", "2")],
        Course,
    ),
    Flip("training.max_grad_norm", NOTHING, &[("training.max_grad_norm", "0.01")], Course),
    Flip("training.label_smoothing", NOTHING, &[("training.label_smoothing", "0.2")], Course),
    Flip("training.ema_decay", NOTHING, &[("training.ema_decay", "0.5")], Course),
    Flip(
        "training.use_gradient_checkpointing",
        NOTHING,
        &[("training.use_gradient_checkpointing", "true")],
        Called(memory),
    ),
    Flip(
        "training.early_stopping.patience",
        PATIENCE,
        &[("training.early_stopping.patience", "2")],
        Course,
    ),
    Flip(
        "training.early_stopping.min_delta",
        PATIENCE,
        &[("training.early_stopping.min_delta", "0")],
        Course,
    ),
    Flip("training.on_non_finite", EXPLODES, &[("training.on_non_finite", "skip")], Course),
    Flip(
        "training.checkpoint_schedule",
        NOTHING,
        &[("training.checkpoint_schedule", "[3]")],
        Course,
    ),
    Flip(
        "training.auto_generate_checkpoints",
        NOTHING,
        &[("training.auto_generate_checkpoints", "false")],
        Course,
    ),
    Flip("training.first_epoch", NOTHING, &[("training.first_epoch", "even")], Course),
    Flip(
        "training.first_epoch_checkpoints",
        EVEN,
        &[("training.first_epoch_checkpoints", "5")],
        Course,
    ),
    Flip(
        "training.subsequent_epochs_spacing",
        LONG,
        &[("training.subsequent_epochs_spacing", "linear")],
        Course,
    ),
    Flip("training.log_base", NOTHING, &[("training.log_base", "3")], Course),
    Flip("training.linear_interval", LINEAR, &[("training.linear_interval", "3")], Course),
    Flip(
        "training.min_checkpoint_interval",
        NOTHING,
        &[("training.min_checkpoint_interval", "3")],
        Course,
    ),
    Flip("training.checkpoint_unit", LISTED, &[("training.checkpoint_unit", "words")], Course),
    Flip(
        "training.checkpoint_preset",
        NOTHING,
        &[("training.checkpoint_preset", "babylm-strict-small")],
        Course,
    ),
    Flip(
        "training.save_resume_state_last_n",
        NOTHING,
        &[("training.save_resume_state_last_n", "1")],
        Course,
    ),
    Flip(
        "training.rolling_resume_every_steps",
        NOTHING,
        &[("training.rolling_resume_every_steps", "3")],
        Course,
    ),
    Flip(
        "training.resume_from_checkpoint",
        NOTHING,
        &[("training.resume_from_checkpoint", "true")],
        Seen(|b| b.start_again()),
    ),
    Flip("evaluation.every_steps", NOTHING, &[("evaluation.every_steps", "3")], Course),
    Flip("evaluation.at_checkpoints", NOTHING, &[("evaluation.at_checkpoints", "false")], Course),
    Flip("evaluation.perplexity", NOTHING, &[("evaluation.perplexity", "false")], Course),
    Flip("evaluation.suites", NOTHING, &[("evaluation.suites", "[{D}/pairs]")], Course),
    Flip("evaluation.batch_size", NOTHING, &[("evaluation.batch_size", "1")], Course),
    Flip("logging.dir", NOTHING, &[("logging.dir", "{D}/logs2")], Seen(|b| b.names("."))),
    Flip("logging.console_level", NOTHING, &[("logging.console_level", "DEBUG")], Called(console)),
    Flip("logging.file_level", NOTHING, &[("logging.file_level", "INFO")], Seen(|b| b.log_lines())),
    Flip("logging.tensorboard", NOTHING, &[("logging.tensorboard", "false")], Course),
    Flip(
        "logging.log_metrics_every_n_steps",
        NOTHING,
        &[("logging.log_metrics_every_n_steps", "2")],
        Course,
    ),
    Flip(
        "logging.max_log_size_mb",
        NOTHING,
        &[("logging.max_log_size_mb", "1")],
        Seen(|b| b.rotated()),
    ),
    Flip(
        "logging.max_log_files",
        &[("logging.max_log_size_mb", "1")],
        &[("logging.max_log_files", "2")],
        Seen(|b| b.rotated()),
    ),
];

/// Fields that a resumed run may change: where and how loudly it is computed.
const NEUTRAL: [&str; 5] =
    ["threads", "device", "logging.", "evaluation.", "training.resume_from_checkpoint"];

/// A folder with a corpus, and a configuration in it.
struct Bench {
    folder: tempfile::TempDir,
    set: Vec<(String, String)>,
}

const BASE: &str = "\
experiment_name: live
random_seed: 1
data: {training_corpus: {D}/train.txt, validation_corpus: {D}/held_out.txt, batch_size: 4, max_sequence_length: 16, max_loss_fraction: 1.0}
tokenizer: {output_dir: {D}/tokenizer, tokenizer_type: bpe, vocab_size: 280}
model: {architecture: gpt2, transformer: {layers: 1, embedding_size: 16, hidden_size: 16, intermediate_hidden_size: 32, attention_heads: 2, dropout: 0.1, attention_dropout: 0.1}}
training: {output_dir: {D}/run, learning_rate: 0.001, train_steps: 6}
evaluation: {every_steps: 2}
logging: {dir: {D}/logs, log_metrics_every_n_steps: 1}
";

impl Bench {
    fn new(sets: &[Set]) -> Self {
        let memory = tempfile::tempdir_in("/dev/shm");
        let folder = memory.or_else(|_| tempfile::tempdir()).unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let text = |seed, n| -> String {
            let like = |(i, line): (usize, &str)| format!("the Cat {i} sat café {line}\n");
            lines(n, 15, seed).lines().enumerate().map(like).collect()
        };
        put("train.txt", &text(1, 12));
        put("other.txt", &text(2, 12));
        put("held_out.txt", &text(3, 5));
        std::fs::create_dir(folder.path().join("pairs")).unwrap();
        let pair =
            r#"{"sentence_good": "the Cat sat", "sentence_bad": "sat the Cat", "UID": "order"}"#;
        put("pairs/order.jsonl", pair);
        let grammar = workspace().join("configs/grammars/english.grammar");
        std::fs::copy(grammar, folder.path().join("english.grammar")).unwrap();
        let mut bench = Self { folder, set: Vec::new() };
        sets.iter().for_each(|set| bench.put(set));
        bench
    }

    fn put(&mut self, set: Set) {
        for (field, value) in set {
            let value = self.here(value);
            self.set.push(((*field).to_owned(), value));
        }
    }

    fn here(&self, text: &str) -> String {
        text.replace("{D}", self.path("").to_str().unwrap().trim_end_matches('/'))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self) -> Result<Config, String> {
        Config::parse(&self.here(BASE), "live.yaml", &self.set).map_err(|e| e.to_string())
    }

    /// Trains until `stop` says so, or to the end; what it comes to, in words without the folder's name.
    fn train(
        &self,
        wish: Wish,
        stop: &mut dyn FnMut(&Notice<'_>) -> bool,
    ) -> Result<String, String> {
        let pipeline = Pipeline { config: self.config()?, cache: self.path(CACHE_FOLDER) };
        let flag = StopFlag::new();
        let options = TrainOptions::new(wish, "foundry train");
        let outcome = train(&pipeline, &options, &flag, &mut |notice| {
            if stop(&notice) {
                flag.request(StopReason::Terminate);
            }
        });
        let here = self.path("").display().to_string();
        match outcome {
            Ok(TrainOutcome::Stopped { reason, .. }) => Ok(format!("stopped: {reason:?}")),
            Ok(_) => Ok("finished".to_owned()),
            Err(error) => Err(error.to_string().replace(&here, "")),
        }
    }

    /// What a run does, whatever its configuration says of itself: weights, losses, results, which files there are,
    /// what is saved and scored on the way, how it ends.
    fn course(&self) -> Result<Files, String> {
        let mut on_the_way = Vec::new();
        let end = self.train(Wish::Start, &mut |notice| {
            match notice {
                Notice::Training(Event::Saved { step, .. }) => {
                    on_the_way.push(format!("saved {step}"))
                }
                Notice::Training(Event::Validating { batches }) => {
                    on_the_way.push(format!("scored {batches}"));
                }
                _ => {}
            }
            false
        });
        if !self.path("run").exists() {
            end.clone()?;
        }
        let mut course = Files::new();
        for (name, content) in read_tree(&self.path("run")) {
            let shows = name.ends_with(".safetensors") || name == "result.json";
            let content = match name.as_str() {
                "metrics.jsonl" => untimed(&content),
                _ if shows => content,
                _ => Vec::new(),
            };
            let events = name.starts_with("events.out");
            course.insert(if events { "events".to_owned() } else { name }, content);
        }
        course.insert("on the way".to_owned(), on_the_way.join("\n").into_bytes());
        course.insert("end".to_owned(), format!("{end:?}").into_bytes());
        Ok(course)
    }

    fn finish(&self) -> Config {
        self.train(Wish::Start, &mut |_| false).unwrap_or_else(|e| panic!("{e}"));
        self.config().unwrap()
    }

    /// The names in a folder, after a run.
    fn names(&self, folder: &str) -> String {
        self.finish();
        let mut names: Vec<_> = std::fs::read_dir(self.path(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names.join(" ")
    }

    fn text(&self, file: &str) -> String {
        self.finish();
        std::fs::read_to_string(self.path(file)).unwrap()
    }

    /// Whether the seventh thread that makes batches was there; only Linux tells.
    fn workers(&self) -> String {
        let mut names = Vec::new();
        self.train(Wish::Start, &mut |notice| {
            if matches!(notice, Notice::Training(Event::Step { .. })) {
                let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
                let name = |t: std::fs::DirEntry| std::fs::read_to_string(t.path().join("comm"));
                names.extend(tasks.filter_map(|t| name(t).ok()));
            }
            false
        })
        .unwrap();
        let seventh = names.iter().any(|name| name.trim() == "batches-6");
        if cfg!(target_os = "linux") { seventh.to_string() } else { format!("{:?}", self.config()) }
    }

    /// How a run ends that is stopped after three seconds at the latest.
    fn time_limit(&self) -> String {
        let begin = std::time::Instant::now();
        self.train(Wish::Start, &mut |_| begin.elapsed().as_secs() >= 3).unwrap()
    }

    /// What a second start says of a run that was interrupted.
    fn start_again(&self) -> String {
        self.interrupt();
        self.train(Wish::Start, &mut |_| false).unwrap_or_else(|e| e)
    }

    fn interrupt(&self) {
        let step = |notice: &Notice<'_>| matches!(notice, Notice::Training(Event::Step { .. }));
        let end = self.train(Wish::Start, &mut |notice| step(notice));
        assert_eq!(end.as_deref(), Ok("stopped: Terminate"));
    }

    fn log_lines(&self) -> String {
        self.text(&format!("run/{LOG_FILE}")).lines().count().to_string()
    }

    /// The log files after three and a half megabytes of messages.
    fn rotated(&self) -> String {
        let logging: LoggingConfig = self.config().unwrap().logging;
        let mut log = Log::new(&logging);
        log.attach(&self.path("rotated/log.txt")).unwrap();
        for _ in 0..35 {
            log.write(foundry_models::config::choices::LogLevel::Info, &"x".repeat(100_000))
                .unwrap();
        }
        std::fs::read_dir(self.path("rotated")).unwrap().count().to_string()
    }
}

fn untimed(metrics: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(metrics);
    let record = |line: &str| without_timing(serde_json::from_str(line).unwrap());
    let lines: Vec<_> = text.lines().map(|l| serde_json::to_string(&record(l)).unwrap()).collect();
    lines.join("\n").into_bytes()
}

/// The threads that a run says it computes on.
fn threads(value: &str) -> String {
    let place = Workplace::new();
    let _ = place.foundry(&format!("train tiny.yaml --set threads={value}")).ok();
    let log = String::from_utf8(place.read("runs/tiny/log.txt")).unwrap();
    let line = log.lines().find(|line| line.contains("threads, ")).unwrap();
    line.split_once("INFO").unwrap().1.to_owned()
}

/// What a run says on the console.
fn console(value: &str) -> String {
    let place = Workplace::new();
    let ran = place.foundry(&format!("train tiny.yaml --set logging.console_level={value}")).ok();
    ran.stderr.lines().filter(|line| line.contains("grad ")).count().to_string()
}

/// Whether a run needs much memory.
fn memory(value: &str) -> String {
    let place = Workplace::new();
    let call = "train tiny.yaml --set training.train_steps=2 --set data.batch_size=256 \
                --set model.transformer.layers=32 --set logging.log_metrics_every_n_steps=1 \
                --set data.validation_fraction=0.0 --set tokenizer.vocab_size=262 \
                --set training.use_gradient_checkpointing=";
    let _ = place.foundry(&format!("{call}{value}")).ok();
    let log = String::from_utf8(place.read("runs/tiny/metrics.jsonl")).unwrap();
    let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    let bytes = last["memory_bytes"].as_u64().unwrap();
    if bytes > 90_000_000 { "much".to_owned() } else { "little".to_owned() }
}

fn fields() -> Vec<String> {
    fn walk(section: &'static Section, prefix: &str, paths: &mut Vec<String>) {
        for f in section.fields {
            let path = format!("{prefix}{}", f.name);
            match f.kind {
                Kind::Section(s) => walk(s, &format!("{path}."), paths),
                Kind::List(&Kind::Section(s)) => walk(s, &format!("{path}[]."), paths),
                _ => paths.push(path),
            }
        }
    }
    let mut paths = Vec::new();
    walk(&RawConfig::SECTION, "", &mut paths);
    paths.sort();
    paths
}

#[test]
fn test_d10__every_field_has_a_line() {
    let mut listed: Vec<String> = FLIPS.iter().map(|flip| flip.0.to_owned()).collect();
    listed.sort();
    assert_eq!(listed, fields());
}

/// `f` of each, as many at a time as there are cores. Runs of milliseconds would on several threads mostly wait for each
/// other, so each has one thread.
fn each<T: Sync, R: Send>(all: &[T], f: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let work = || {
        alone(|| {
            let mine = || next.fetch_add(1, Ordering::Relaxed);
            let taken = std::iter::repeat_with(mine).map_while(|i| Some((i, f(all.get(i)?))));
            taken.collect::<Vec<_>>()
        })
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, found)| found).collect()
}

/// On one thread.
fn alone<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(f)
}

/// What runs on a ground come to before anything is changed.
type Grounds = BTreeMap<String, Result<Files, String>>;

/// What one change comes to; the empty text if it is as it should be.
fn fault(flip: &Flip, grounds: &Grounds) -> String {
    let Flip(field, ground, change, effect) = flip;
    let differ = |before: &str, after: &str| match before == after {
        true => format!("{field}: nothing changes: {before}"),
        false => String::new(),
    };
    match effect {
        Course => {
            let before = &grounds[&format!("{ground:?}")];
            let after = Bench::new(&[ground, change]).course();
            match (before, &after) {
                (Err(e), _) | (_, Err(e)) => format!("{field}: {e}"),
                (Ok(before), Ok(after)) if before == after => format!("{field}: nothing changes"),
                (Ok(before), Ok(after)) if *field != "training.on_non_finite" => {
                    let failed = [before, after].into_iter().find(|c| c["end"].starts_with(b"Err"));
                    failed.map_or_else(String::new, |course| {
                        format!("{field}: {}", String::from_utf8_lossy(&course["end"]))
                    })
                }
                _ => String::new(),
            }
        }
        Refused(words) => {
            let bench = Bench::new(&[ground, change]);
            match bench.train(Wish::Start, &mut |_| false) {
                Err(e) if e.to_lowercase().contains(words) => String::new(),
                other => format!("{field}: not refused: {other:?}"),
            }
        }
        Seen(look) => differ(&look(&Bench::new(&[ground])), &look(&Bench::new(&[ground, change]))),
        Called(look) => {
            let base = match *field {
                "threads" => "2",
                "logging.console_level" => "INFO",
                _ => "false",
            };
            differ(&look(base), &look(change[0].1))
        }
    }
}

#[test]
fn test_d10__every_field_changes_a_run_or_is_refused() {
    let first = Bench::new(&[]).course().unwrap();
    assert_eq!(first, Bench::new(&[]).course().unwrap(), "the same configuration is the same run");
    assert!(first.len() > 10);
    let runs = |flip: &&Flip| matches!(flip.3, Course);
    let sets: BTreeMap<String, Set> =
        FLIPS.iter().filter(runs).map(|flip| (format!("{:?}", flip.1), flip.1)).collect();
    let sets: Vec<(String, Set)> = sets.into_iter().collect();
    let courses = each(&sets, |(_, set)| Bench::new(&[*set]).course());
    let grounds: Grounds = sets.into_iter().map(|(name, _)| name).zip(courses).collect();
    let mut faults = each(FLIPS, |flip| fault(flip, &grounds));
    faults.retain(|fault| !fault.is_empty());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A9: the change is named, and needs to be allowed; what shapes no result is let through.
#[test]
fn test_a9__every_change_of_a_field_is_named_on_resume() {
    let mut begun: BTreeMap<String, Bench> = BTreeMap::new();
    let mut named = 0;
    for Flip(field, ground, change, _) in FLIPS {
        let mut bench = Bench::new(&[ground]);
        let Ok(before) = bench.config() else { continue };
        bench.put(change);
        let Ok(after) = bench.config() else { continue };
        let paths: Vec<String> = before.diff(&after).into_iter().map(|c| c.path).collect();
        // What a list of steps has is named as a whole, a section by its fields.
        let field = field.split("[]").next().unwrap();
        if NEUTRAL.iter().any(|n| field.starts_with(n)) {
            assert!(paths.is_empty(), "{field}: {paths:?}");
            assert_eq!(before.fingerprint(), after.fingerprint(), "{field}");
            continue;
        }
        let part = paths.iter().find(|p| {
            p.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        let part = part.unwrap_or_else(|| panic!("{field} is not among {paths:?}"));
        assert_ne!(before.fingerprint(), after.fingerprint(), "{field}");
        named += 1;
        // The whole way, where a run has been begun on the ground that most fields have.
        if ground.is_empty() && field != "training.output_dir" {
            let run = begun.entry(String::new()).or_insert_with(|| {
                let bench = Bench::new(&[]);
                bench.interrupt();
                bench
            });
            let (kept, files) = (run.set.clone(), read_tree(&run.path("run/checkpoint-1")));
            run.put(change);
            let error = run.train(Wish::Resume, &mut |_| false).expect_err(field);
            assert!(error.contains(&format!("--allow-change {part}")), "{field}: {error}");
            assert_eq!(read_tree(&run.path("run/checkpoint-1")), files, "{field}");
            run.set = kept;
        }
    }
    assert!(named > 80, "only {named}");
}

/// With something that watches the validation loss, when it is measured shapes the result.
#[test]
fn test_a9__validations_that_steer_a_run_may_not_change() {
    let set: Set = &[("training.early_stopping", "{patience: 3}")];
    let mut bench = Bench::new(&[set]);
    let before = bench.config().unwrap();
    bench.put(&[("evaluation.every_steps", "3")]);
    let changes = before.diff(&bench.config().unwrap());
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].path, "evaluation.every_steps");
}
