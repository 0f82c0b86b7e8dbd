//! Runs of a second, from corpus to report: what the tests interrupt, damage and compare.

use crate::tiny;
use foundry_models::arch::ARCHITECTURES;
use foundry_models::config::choices::Masking;
use foundry_models::config::{Config, MaskingConfig, ModelConfig};
use foundry_models::error::Error;
use foundry_models::pipeline::{CACHE_FOLDER, Notice, Pipeline, TrainOptions, TrainOutcome, train};
use foundry_models::storage::{Disk, FileDigest};
use foundry_models::train::checkpoint::folder_name;
use foundry_models::train::lock::LOCK_FILE;
use foundry_models::train::manifest::{MANIFEST_FILE, Manifest};
use foundry_models::train::metrics::{METRICS_FILE, read_metrics, without_timing};
use foundry_models::train::run::Event;
use foundry_models::train::run_folder::{LOG_FILE, REPORT_FILE, Wish};
use foundry_models::train::signals::{StopFlag, StopReason};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// How large a model, and how long a run.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Layers of the model.
    pub layers: usize,
    /// Width of its hidden states.
    pub width: usize,
    /// Updates.
    pub steps: u64,
    /// Rows of training data: such that neither the last batch nor the last window of an epoch is full.
    pub rows: usize,
}

/// For `cargo test`: three epochs of four updates.
pub const SMALL: Extent = Extent { layers: 1, width: 16, steps: 12, rows: 26 };
/// For `soak`: three epochs of twelve updates, and the beginning of a fourth.
pub const FULL: Extent = Extent { layers: 2, width: 64, steps: 40, rows: 90 };

/// Tokens in a row.
pub const ROW: usize = 16;
/// The peak of the learning rate.
pub const PEAK: f64 = 3e-3;
/// Updates of warm-up.
pub const WARMUP: u64 = 3;

/// Files by path (with slashes) and content.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A configuration with its corpus, and the place where it runs.
pub struct Experiment {
    folder: tempfile::TempDir,
    /// The configuration.
    pub config: Config,
}

/// A model of each architecture of the registry, and those that read both ways, with dropout.
///
/// # Panics
/// If [`tiny`] lacks one.
#[must_use]
pub fn models(extent: Extent) -> Vec<ModelConfig> {
    let configs = tiny::configs();
    let named = |name| configs.iter().find(move |c| c.architecture().to_string() == name);
    let of = |a: &foundry_models::arch::Architecture| {
        resized(named(a.name).expect("a tiny configuration of each").clone(), extent)
    };
    let both_ways = [ModelConfig::Lstm, ModelConfig::Gru, ModelConfig::Rnn]
        .map(|kind| resized(kind(tiny::bidirectional(0.1)), extent));
    ARCHITECTURES.iter().map(of).chain(both_ways).collect()
}

/// The model at the size of `extent`.
#[must_use]
pub fn resized(mut model: ModelConfig, extent: Extent) -> ModelConfig {
    match &mut model {
        ModelConfig::Gpt2(t)
        | ModelConfig::Bert(foundry_models::config::BertConfig { transformer: t, .. }) => {
            (t.layers, t.hidden_size) = (extent.layers, extent.width);
            t.intermediate_hidden_size = 4 * extent.width;
        }
        ModelConfig::Lstm(r) | ModelConfig::Gru(r) | ModelConfig::Rnn(r) => {
            (r.num_layers, r.hidden_size, r.embedding_size) =
                (extent.layers, extent.width, extent.width);
        }
    }
    model
}

/// Lines of `letters` letters, in words, none like another.
#[must_use]
pub fn lines(n: usize, letters: usize, seed: u64) -> String {
    let mut dice = crate::durability::Dice(seed);
    let mut text = String::new();
    for _ in 0..n {
        let mut line = String::new();
        while line.len() < letters {
            let end = line.ends_with(' ') || line.is_empty() || line.len() + 1 == letters;
            let drawn = dice.below(if end { 12 } else { 15 });
            let letter = u8::try_from(drawn)
                .map_or(' ', |i| if i < 12 { char::from(b'a' + i) } else { ' ' });
            line.push(letter);
        }
        text += &line;
        text.push('\n');
    }
    text
}

impl Experiment {
    /// An experiment in a folder of its own: dropout, two micro-batches a window, validation, resume states between
    /// the checkpoints.
    ///
    /// # Panics
    /// If the folder cannot be written.
    #[must_use]
    pub fn new(model: &ModelConfig, extent: Extent) -> Self {
        // What a disk promises is another subject: here nothing waits for one, where the system keeps files in memory.
        let memory = tempfile::tempdir_in("/dev/shm");
        let folder = memory.or_else(|_| tempfile::tempdir()).expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        // With its end-of-line token, and the two of BERT around it, a line is a row.
        let frame = if matches!(model, ModelConfig::Bert(_)) { 2 } else { 0 };
        let text = lines(extent.rows, ROW - 1 - frame, 1);
        std::fs::write(at("train.txt"), text).expect("room enough");
        std::fs::write(at("held_out.txt"), lines(7, 13, 2)).expect("room enough");
        let yaml = format!(
            "experiment_name: interrupted
random_seed: 7
data: {{training_corpus: {train:?}, validation_corpus: {held_out:?}, batch_size: 4, max_sequence_length: {ROW}}}
tokenizer: {{output_dir: {tokenizer:?}, tokenizer_type: character, vocab_size: 17}}
model: {{architecture: gpt2, transformer: {{layers: 1, embedding_size: 16, hidden_size: 16, intermediate_hidden_size: 64, attention_heads: 2, dropout: 0.1, attention_dropout: 0.1}}}}
training:
  output_dir: {run:?}
  learning_rate: {PEAK}
  lr_scheduler: linear
  warmup_steps: {WARMUP}
  gradient_accumulation_steps: 2
  train_steps: {steps}
  max_grad_norm: 1.0
  checkpoint_schedule: [2, 8]
  rolling_resume_every_steps: 5
evaluation: {{every_steps: 3}}
logging: {{dir: {logs:?}, log_metrics_every_n_steps: 1}}
",
            train = at("train.txt"),
            held_out = at("held_out.txt"),
            tokenizer = at("tokenizer"),
            run = at("run"),
            logs = at("logs"),
            steps = extent.steps,
        );
        let mut config = Config::parse(&yaml, "experiment", &[]).unwrap_or_else(|e| panic!("{e}"));
        config.model = model.clone();
        if model.is_bidirectional() {
            let (masking, mask_split) = (Masking::WholeWord, [0.8, 0.1, 0.1]);
            config.training.masking =
                Some(MaskingConfig { mlm_probability: 0.15, masking, mask_split });
            let tokenizer = &mut config.tokenizer;
            tokenizer.special_tokens = tokenizer.special_tokens.clone().with_mask();
            tokenizer.vocab_size += 1;
        }
        Self { folder, config }
    }

    /// The name of the architecture.
    #[must_use]
    pub fn architecture(&self) -> String {
        self.config.model.architecture().to_string()
    }

    /// Where all of it lies; a program that is run here finds the same cache.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The run folder.
    #[must_use]
    pub fn run(&self) -> &Path {
        &self.config.training.output_dir
    }

    /// The folder of a checkpoint.
    #[must_use]
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        self.run().join(folder_name(step))
    }

    /// The stages.
    #[must_use]
    pub fn pipeline(&self) -> Pipeline {
        Pipeline { config: self.config.clone(), cache: self.folder().join(CACHE_FOLDER) }
    }

    /// Trains; asks for a stop when `stop` says so, of any notice.
    ///
    /// # Errors
    /// As [`train`].
    pub fn train(
        &self,
        wish: Wish,
        stop: &mut dyn FnMut(&Notice<'_>) -> bool,
    ) -> Result<TrainOutcome, Error> {
        self.train_on(Disk::real(), wish, stop)
    }

    /// [`Experiment::train`] with the run folder on another disk.
    ///
    /// # Errors
    /// As [`train`].
    pub fn train_on(
        &self,
        disk: Disk,
        wish: Wish,
        stop: &mut dyn FnMut(&Notice<'_>) -> bool,
    ) -> Result<TrainOutcome, Error> {
        let flag = StopFlag::new();
        let options = TrainOptions { disk, ..TrainOptions::new(wish, "foundry train") };
        train(&self.pipeline(), &options, &flag, &mut |notice| {
            if stop(&notice) {
                flag.request(StopReason::Terminate);
            }
        })
    }

    /// Trains until asked to stop, which must happen; gives the step.
    ///
    /// # Panics
    /// If it fails, or ends.
    pub fn interrupt(&self, wish: Wish, stop: &mut dyn FnMut(&Notice<'_>) -> bool) -> u64 {
        match self.train(wish, stop).unwrap_or_else(|e| panic!("{}: {e}", self.architecture())) {
            TrainOutcome::Stopped { step, checkpoint: Some(_), .. } => step,
            other => panic!("{}: not stopped: {other:?}", self.architecture()),
        }
    }

    /// Trains to the end and gives what the run folder holds.
    ///
    /// # Panics
    /// If it does not get there.
    #[must_use]
    pub fn finish(&self, wish: Wish) -> Files {
        match self
            .train(wish, &mut |_| false)
            .unwrap_or_else(|e| panic!("{}: {e}", self.architecture()))
        {
            TrainOutcome::Finished(_) => self.files(),
            other => panic!("{}: not finished: {other:?}", self.architecture()),
        }
    }

    /// Removes the run folder; corpus, tokenizer and dataset stay.
    ///
    /// # Panics
    /// If it cannot be removed.
    pub fn clear(&self) {
        std::fs::remove_dir_all(self.run()).expect("the run folder can be removed");
    }

    /// Removes all but the corpus.
    pub fn clear_all(&self) {
        for made in [self.run(), &self.config.tokenizer.output_dir, &self.folder().join(".foundry")]
        {
            // What is not there yet need not be removed.
            let _ = std::fs::remove_dir_all(made);
        }
    }

    /// The records of the log.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn metrics(&self) -> Vec<serde_json::Map<String, Value>> {
        read_metrics(&Disk::real(), &self.run().join(METRICS_FILE)).expect("a log")
    }

    /// The files of the run folder: checkpoints, log, results. The log is without the fields that measure time, the
    /// report without the lines that show them, and the lock, the messages and TensorBoard's copy of the log (one more file for each resumption) are left out.
    ///
    /// # Panics
    /// If the folder cannot be read.
    #[must_use]
    pub fn files(&self) -> Files {
        let mut files = read_tree(self.run());
        files.retain(|name, _| {
            let timed = name.starts_with("events.out.tfevents.") || name == LOG_FILE;
            name != LOCK_FILE && !timed
        });
        let log = self.metrics().into_iter().map(|r| Value::Object(without_timing(r)).to_string());
        files.insert(METRICS_FILE.to_owned(), log.collect::<Vec<_>>().join("\n").into_bytes());
        if let Some(page) = files.get_mut(REPORT_FILE) {
            let text = String::from_utf8_lossy(page);
            let measured = ["<dt>training speed", "<dt>memory of the process"];
            let same = text.lines().filter(|line| !measured.iter().any(|m| line.contains(m)));
            *page = same.collect::<Vec<_>>().join("\n").into_bytes();
        }
        files
    }
}

/// For [`Experiment::train`]: after update `step`; before the first update for 0.
pub fn after(step: u64) -> impl FnMut(&Notice<'_>) -> bool {
    move |notice| match notice {
        Notice::Stage(stage) => step == 0 && *stage == "training",
        Notice::Training(Event::Step { step: now, .. }) => *now == step,
        _ => false,
    }
}

/// Every file below `folder`.
///
/// # Panics
/// If one cannot be read.
#[must_use]
pub fn read_tree(folder: &Path) -> Files {
    let mut files = Files::new();
    for entry in std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("a folder entry").path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            let inner = read_tree(&path).into_iter();
            files.extend(inner.map(|(file, content)| (format!("{name}/{file}"), content)));
        } else {
            files.insert(name, std::fs::read(&path).expect("a readable file"));
        }
    }
    files
}

/// The names of the files that differ, or are in one only.
#[must_use]
pub fn differences<'a>(a: &'a Files, b: &'a Files) -> Vec<&'a str> {
    let mut names: Vec<&str> = a.keys().chain(b.keys()).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| a.get(*name) != b.get(*name));
    names
}

/// Changes files of a checkpoint and makes its manifest anew, so that only the content is wrong.
///
/// # Panics
/// If the folder is no checkpoint.
pub fn alter(checkpoint: &Path, file: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let read = |name: &str| std::fs::read(checkpoint.join(name)).expect("a file of a checkpoint");
    let mut manifest = Manifest::from_bytes(&read(MANIFEST_FILE)).expect("a manifest");
    let content = change(read(file));
    let files = if manifest.files.contains_key(file) {
        &mut manifest.files
    } else {
        &mut manifest.resume_files
    };
    files.insert(file.to_owned(), FileDigest::of(&content));
    std::fs::write(checkpoint.join(file), content).expect("room enough");
    let Manifest { run_id, global_step, kind, files, resume_files, .. } = manifest;
    let manifest = Manifest::new(run_id, global_step, kind, files, resume_files);
    std::fs::write(checkpoint.join(MANIFEST_FILE), manifest.to_bytes()).expect("room enough");
}

/// The tensors of a safetensors file: type, shape, bytes.
pub type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// Changes the tensors of a safetensors file; unlike the product, it writes numbers that are not finite.
///
/// # Panics
/// If it is no such file.
#[must_use]
pub fn with_tensors(bytes: &[u8], change: impl FnOnce(&mut Tensors)) -> Vec<u8> {
    let file = SafeTensors::deserialize(bytes).expect("a safetensors file");
    let mut tensors: Tensors = file
        .tensors()
        .into_iter()
        .map(|(name, t)| (name, (t.dtype(), t.shape().to_vec(), t.data().to_vec())))
        .collect();
    change(&mut tensors);
    let views = tensors.iter().map(|(name, (dtype, shape, data))| {
        (name.as_str(), TensorView::new(*dtype, shape.clone(), data).expect("bytes of the shape"))
    });
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views, Some(metadata)).expect("names are apart")
}

/// Changes the numbers of an f32 tensor.
pub fn with_numbers(bytes: &mut [u8], mut change: impl FnMut(usize, f32) -> f32) {
    for (i, number) in bytes.chunks_exact_mut(4).enumerate() {
        if let Ok(old) = <[u8; 4]>::try_from(&*number) {
            number.copy_from_slice(&change(i, f32::from_le_bytes(old)).to_le_bytes());
        }
    }
}
