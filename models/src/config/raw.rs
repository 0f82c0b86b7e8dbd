//! The configuration as it is typed. What it means is [`super::Config`].
//!
//! The comments of this file are the users' reference: `docs/configuration.md` and the JSON schema
//! are made from them (see [`super::fields`]). The first sentence says what the field is, with
//! its unit; the literal is its default.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::choices::{
    Activation, Architecture, Boundary, CheckpointPreset, CheckpointUnit, FirstEpochSpacing,
    LogLevel, LrScheduler, Manipulation, Masking, Nonlinearity, Objective, OnNonFinite, Optimizer,
    Packing, Precision, RnnType, SentencePieceModel, Spacing, TokenizerKind, Unit, ValidationSplit,
};
use super::fields::sections;

sections! {
    /// One experiment: one file.
    RawConfig {
        /// The name of the experiment: 1 to 100 of the characters A-Z a-z 0-9 . _ - . It is in
        /// the name of the log, in the report and in the model card; folders have fields of their own.
        experiment_name: String = "required",
        /// The seed of everything random: initial weights, data order, dropout, masks.
        random_seed: u64 = "required",
        /// Where to compute: auto, cpu, cuda or cuda:N. With auto, CUDA is used when a driver and a
        /// device are there, otherwise the CPU. May change on resume.
        device: String = "auto",
        /// Threads to compute with; null means the cores that this process may use. Results have
        /// the same bits for any number. May change on resume.
        threads: u64 = "null",
        /// The number format: fp32, or mixed precision on CUDA (fp32 master weights; fp16 with
        /// loss scaling).
        precision: Precision = "fp32",
        /// The corpus, and how it becomes sequences.
        data: RawData = "required",
        /// Steps that change the corpus before anything reads it, in order.
        dataset_manipulation: Vec<RawManipulation> = "[]",
        /// The tokenizer: trained here, or loaded when one is already in its folder. One that Foundry trained
        /// from other text or with other settings is refused; `foundry train-tokenizer CONFIG --force`
        /// trains it anew.
        tokenizer: RawTokenizer = "required",
        /// The model.
        model: RawModel = "required",
        /// Objective, optimizer, length and checkpoints of the run.
        training: RawTraining = "required",
        /// What is measured during and after the run. May change on resume.
        evaluation: RawEvaluation = "its defaults",
        /// What is written about the run, and where. May change on resume.
        logging: RawLogging = "its defaults",
    }

    /// The corpus, and how it becomes sequences of tokens.
    RawData {
        /// The corpus that the steps of `dataset_manipulation` start from: the input of one of them must be
        /// it. Nothing else reads it.
        source_corpus: PathBuf = "null",
        /// The training text: a file, UTF-8 text or `.jsonl` with a `text` field; a folder of
        /// `*.train`, `*.txt` and `*.jsonl` files (its top level only); or a Hugging Face dataset
        /// folder (`save_to_disk`) with a column `text`, or else `input_ids`. Exactly one of
        /// training_corpus and synthetic.
        training_corpus: PathBuf = "null",
        /// Training text from the built-in grammar generator. Exactly one of training_corpus and
        /// synthetic.
        synthetic: RawSynthetic = "null",
        /// What a unit of text is. line: one utterance a line, empty lines skipped and counted.
        /// document: a file is one stream, newlines and blank lines kept, the boundary token only
        /// between files.
        unit: Unit = "line",
        /// Held-out text for validation, as a file or folder of its own.
        validation_corpus: PathBuf = "null",
        /// The share of the training corpus that is held out for validation before anything, the
        /// tokenizer included, is trained; 0 or more, below 1.
        validation_fraction: f64 = "0.0",
        /// How the held-out share is cut: blocks spread over the corpus, or tail, the last fraction
        /// of its characters. Only with validation_fraction.
        validation_split: ValidationSplit = "blocks",
        /// Text that is scored at the end of the run and never trained on.
        test_corpus: PathBuf = "null",
        /// Sequences in a micro-batch. An update sees batch_size x
        /// training.gradient_accumulation_steps of them.
        batch_size: u64 = "required",
        /// Tokens in a sequence: the block length, the model's context, and its number of
        /// positions.
        max_sequence_length: u64 = "required",
        /// How units become sequences. pack: joined and cut in blocks, only the last partial block
        /// is dropped. sentence: one unit a sequence, between boundary tokens, padded; what goes
        /// beyond max_sequence_length is dropped. drop_short: each unit cut in blocks of its own;
        /// units shorter than a block, and what is left over, are dropped.
        packing: Packing = "pack",
        /// The token between units: eos after each, bos_eos around each, or none.
        boundary_token: Boundary = "eos",
        /// The share of tokens that may be dropped before it is an error, from 0 to 1.
        max_loss_fraction: f64 = "0.05",
        /// Threads that prepare batches; null means chosen by the machine, 0 means none. Changes
        /// speed and never results.
        num_workers: u64 = "null",
    }

    /// Text from the built-in generator of weighted context-free grammars.
    RawSynthetic {
        /// The grammar: a file, or `english`, which the program carries (a file of that name is `./english`).
        grammar: PathBuf = "required",
        /// Sentences to generate.
        sentences: u64 = "required",
        /// The seed of the generator, apart from random_seed so that runs with several seeds can
        /// share one corpus.
        seed: u64 = "required",
    }

    /// One step of `dataset_manipulation`.
    RawManipulation {
        /// What the step does.
        r#type: Manipulation = "required",
        /// The file or folder that the step reads.
        input_path: PathBuf = "required",
        /// The file or folder that the step writes.
        output_path: PathBuf = "required",
        /// Settings of the step, by its type.
        parameters: BTreeMap<String, serde_json::Value> = "{}",
    }

    /// The tokenizer.
    RawTokenizer {
        /// The folder that the tokenizer is written to, or loaded from.
        output_dir: PathBuf = "required",
        /// The largest number of tokens in the vocabulary, special tokens included. The model's
        /// vocabulary is the tokenizer's true size.
        vocab_size: u64 = "required",
        /// The kind of tokenizer.
        tokenizer_type: TokenizerKind = "sentencepiece",
        /// The model of a sentencepiece tokenizer.
        model_type: SentencePieceModel = "unigram",
        /// Whether a sentencepiece tokenizer spells unknown characters in bytes.
        byte_fallback: bool = "true",
        /// Whether a wordpiece tokenizer lower-cases.
        lowercase: bool = "true",
        /// Whether a wordpiece tokenizer removes accents (set it to false for languages in which
        /// they tell words apart).
        strip_accents: bool = "true",
        /// How often a pair or piece must occur to enter the vocabulary.
        min_frequency: u64 = "2",
        /// Special tokens by role: bos_token, eos_token, cls_token, sep_token, unk_token,
        /// pad_token, mask_token. What is not named keeps its default: `<s> </s> <unk> <pad>` (and
        /// `<mask>` with masked_lm), or `[CLS] [SEP] [UNK] [PAD] [MASK]` for wordpiece.
        special_tokens: BTreeMap<String, String> = "by tokenizer_type",
    }

    /// The model.
    RawModel {
        /// The model family.
        architecture: Architecture = "required",
        /// The shape of a gpt2 or bert.
        transformer: RawTransformer = "required by gpt2 and bert",
        /// What only a bert has.
        bert: RawBert = "its defaults",
        /// The shape of an lstm, gru or rnn.
        rnn: RawRnn = "required by lstm, gru and rnn",
    }

    /// The shape of a transformer.
    RawTransformer {
        /// Transformer blocks.
        layers: u64 = "required",
        /// Width of the token embeddings; must equal hidden_size.
        embedding_size: u64 = "required",
        /// Width of the residual stream; a multiple of attention_heads.
        hidden_size: u64 = "required",
        /// Width inside the feed-forward layers.
        intermediate_hidden_size: u64 = "required",
        /// Attention heads.
        attention_heads: u64 = "required",
        /// The feed-forward non-linearity, in any letter case. gelu is exact, gelu_new the tanh
        /// approximation of the published GPT-2.
        activation_function: Activation = "gelu",
        /// Dropout on the output of each sub-layer: a probability, below 1.
        dropout: f64 = "required",
        /// Dropout on the attention weights: a probability, below 1.
        attention_dropout: f64 = "required",
        /// Dropout on the sum of the embeddings: a probability, below 1.
        embedding_dropout: f64 = "dropout",
        /// The constant added to the variance in layer normalisation.
        layer_norm_epsilon: f64 = "1e-5 (gpt2), 1e-12 (bert)",
        /// Whether the output layer is the token embedding itself.
        tie_weights: bool = "true",
        /// Standard deviation of the initial weights.
        initializer_range: f64 = "0.02",
    }

    /// What only a BERT has.
    RawBert {
        /// Segment embeddings.
        type_vocab_size: u64 = "2",
        /// The pooler. Only first is accepted, which means none here: a masked language model
        /// has no pooler.
        pooler_type: String = "first",
    }

    /// The shape of a recurrent model.
    RawRnn {
        /// Width of the token embeddings.
        embedding_size: u64 = "required",
        /// Width of the state of one layer and direction.
        hidden_size: u64 = "required",
        /// Recurrent layers.
        num_layers: u64 = "required",
        /// Whether each layer also reads from right to left. Such a model needs masked_lm.
        bidirectional: bool = "false",
        /// Dropout between the layers and before the output layer: a probability, below 1.
        dropout: f64 = "0.0",
        /// Dropout on the embeddings: a probability, below 1.
        embedding_dropout: f64 = "0.0",
        /// The cell. May be left out; must agree with model.architecture.
        rnn_type: RnnType = "model.architecture",
        /// The non-linearity of a vanilla rnn.
        nonlinearity: Nonlinearity = "tanh",
        /// Whether the output layer is the token embedding itself; needs embedding_size =
        /// hidden_size x directions.
        tie_weights: bool = "false",
        /// Whether the state is carried from block to block (truncated back-propagation through
        /// time): the corpus is laid out in batch_size contiguous columns, in fixed order.
        stateful: bool = "false",
        /// The initial bias of an lstm's forget gate (put into bias_ih alone).
        forget_bias: f64 = "0.0",
        /// Initial recurrent weights are uniform in [-x, x]; null means 1 / sqrt(hidden_size).
        init_uniform: f64 = "null",
    }

    /// Objective, optimizer, length and checkpoints of the run.
    RawTraining {
        /// The run folder.
        output_dir: PathBuf = "required",
        /// What is predicted: the next token, or masked ones.
        objective: Objective = "causal_lm",
        /// The share of tokens that is chosen for prediction, above 0 and at most 1. Only with
        /// masked_lm.
        mlm_probability: f64 = "0.15",
        /// What is masked together: single tokens, the tokens of a word, or spans of one to ten words,
        /// shorter ones more often (mlm_probability is then the share of words). Only with masked_lm.
        masking: Masking = "token",
        /// Shares of the chosen tokens that are replaced by the mask token, replaced by a random
        /// token, and left as they are; they sum to 1. Only with masked_lm.
        mask_split: Vec<f64> = "[0.8, 0.1, 0.1]",
        /// The update rule.
        optimizer: Optimizer = "adamw",
        /// The peak learning rate.
        learning_rate: f64 = "required",
        /// Decay of adamw's first moment, 0 or more, below 1.
        adam_beta1: f64 = "0.9",
        /// Decay of adamw's second moment, 0 or more, below 1.
        adam_beta2: f64 = "0.999",
        /// The constant added to adamw's denominator.
        adam_epsilon: f64 = "1e-8",
        /// Decoupled weight decay, on tensors of rank 2 and more only (no bias, no norm).
        weight_decay: f64 = "0.01",
        /// Momentum of sgd, 0 or more, below 1.
        momentum: f64 = "0.0",
        /// The shape of the learning rate over the run; its horizon is the end of the run.
        /// docs/training.md has the formulas. plateau needs validation data and
        /// evaluation.every_steps.
        lr_scheduler: LrScheduler = "linear",
        /// Updates of warm-up, during which the rate rises from 0; the first update has rate 0.
        /// One of warmup_steps and warmup_ratio.
        warmup_steps: u64 = "by warmup_ratio",
        /// Warm-up as a share of the run's updates, rounded down; from 0 to 1.
        warmup_ratio: f64 = "0.1",
        /// The floor to which the rate decays.
        min_learning_rate: f64 = "0.0",
        /// Passes over the data. At least one of epochs, train_steps and train_tokens; the run
        /// ends at whichever comes first.
        epochs: u64 = "null",
        /// Optimizer updates.
        train_steps: u64 = "null",
        /// Tokens trained on: the run ends with the update that reaches them.
        train_tokens: u64 = "null",
        /// Wall-clock time of one process, as seconds or as 90m, 12h, 1h30m, 2d. The run then
        /// stops, resumable (exit code 75); the learning rate's horizon does not move.
        time_limit: String = "null",
        /// Micro-batches in an update. The last update of an epoch may have fewer.
        gradient_accumulation_steps: u64 = "1",
        /// The norm to which gradients are clipped; null means no clipping.
        max_grad_norm: f64 = "null",
        /// Label smoothing, 0 or more, below 1.
        label_smoothing: f64 = "0.0",
        /// Decay of an exponential moving average of the weights, between 0 and 1; null means none.
        /// With it, model.safetensors, validation and scores are those of the average.
        ema_decay: f64 = "null",
        /// Whether each layer's activations are computed again in the backward pass instead of being
        /// kept: less memory, more time, the same bits.
        use_gradient_checkpointing: bool = "false",
        /// Ends the run when the validation loss no longer falls, and keeps the checkpoint with the
        /// lowest in best/. Needs validation data and evaluation.every_steps.
        early_stopping: RawEarlyStopping = "null",
        /// What happens when a loss or gradient is not finite. stop: the run ends, and the last finite
        /// state is saved. skip: the update is left out and counted.
        on_non_finite: OnNonFinite = "stop",
        /// The checkpoints, listed in checkpoint_unit. A list given here wins over the automatic
        /// schedule. Step 0 and the end are always saved.
        checkpoint_schedule: Vec<u64> = "[]",
        /// Whether checkpoints are placed automatically when none are listed.
        auto_generate_checkpoints: bool = "true",
        /// How the first epoch is sampled: log (1, 2, 4, 8 ...) or even.
        first_epoch: FirstEpochSpacing = "log",
        /// Checkpoints in the first epoch, its start and end included. Only with first_epoch: even.
        first_epoch_checkpoints: u64 = "20",
        /// How later epochs are sampled: log counts powers of log_base from the epoch's start.
        subsequent_epochs_spacing: Spacing = "log",
        /// The base of log spacing, from 1.01 to 1000.
        log_base: f64 = "2",
        /// Distance of the checkpoints of later epochs, in checkpoint_unit; null means a tenth of an
        /// epoch. Only with subsequent_epochs_spacing: linear.
        linear_interval: u64 = "null",
        /// The least distance of automatic checkpoints, in checkpoint_unit. Ends of epochs go before
        /// what lies inside them; step 0 and the end of the run are always saved.
        min_checkpoint_interval: u64 = "1",
        /// What the numbers of the schedule count: updates, tokens read (padding apart), or words
        /// whose first token has been read. A target is met by the first update that reaches it.
        checkpoint_unit: CheckpointUnit = "steps",
        /// A published schedule in its own unit (words): those of the BabyLM challenge.
        checkpoint_preset: CheckpointPreset = "null",
        /// How many of the newest scheduled checkpoints keep the optimizer's state, from which a
        /// run can resume.
        save_resume_state_last_n: u64 = "2",
        /// Steps between rolling resume states (only the newest is kept); null means none.
        rolling_resume_every_steps: u64 = "null",
        /// Whether an unfinished run in output_dir is continued, as with --resume.
        resume_from_checkpoint: bool = "false",
    }

    /// When a run is stopped for lack of progress.
    RawEarlyStopping {
        /// Evaluations (those of evaluation.every_steps) without progress before the run ends.
        patience: u64 = "required",
        /// What counts as progress, in nats of validation loss.
        min_delta: f64 = "0.0",
    }

    /// What is measured during and after the run.
    RawEvaluation {
        /// Updates between evaluations on the validation data; null means only at checkpoints and
        /// at the end. Needs validation data.
        every_steps: u64 = "null",
        /// Whether each checkpoint is evaluated.
        at_checkpoints: bool = "true",
        /// Whether perplexity on the validation data is reported.
        perplexity: bool = "true",
        /// Minimal-pair suites to score: files or folders.
        suites: Vec<PathBuf> = "[]",
        /// Sequences scored at a time.
        batch_size: u64 = "data.batch_size",
    }

    /// What is written about the run, and where.
    RawLogging {
        /// The folder of `<experiment_name>.log`: the messages of every training run of the experiment,
        /// one after the other. Those of one run are also in log.txt, in its own folder.
        dir: PathBuf = "logs",
        /// What is printed: DEBUG adds a line for each update; errors are always printed.
        console_level: LogLevel = "INFO",
        /// What is written to the log files.
        file_level: LogLevel = "DEBUG",
        /// Whether TensorBoard event files are written.
        tensorboard: bool = "true",
        /// Updates between lines of metrics.jsonl.
        log_metrics_every_n_steps: u64 = "10",
        /// The size at which a log file is put aside (as .1, .2, ...), in megabytes (10^6 bytes).
        max_log_size_mb: u64 = "100",
        /// Log files put aside that are kept.
        max_log_files: u64 = "10",
    }
}
