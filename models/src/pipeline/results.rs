//! What a finished run has to show.

use super::load::sentence_ids;
use super::suites::Suites;
use super::{Notice, Pipeline, Say};
use crate::config::choices::Objective;
use crate::error::Error;
use crate::eval::pairs::overall;
use crate::eval::{GenerateOptions, ParadigmScore, Sampling, generate};
use crate::report::loss_curve_svg;
use crate::tokenizer::Tokenizer;
use crate::train::checkpoint::{BestValidation, folder_name};
use crate::train::metrics::{METRICS_FILE, read_metrics};
use crate::train::run::Run;
use crate::train::run_folder::{CURVE_FILE, RunFolder, RunResult};
use crate::train::signals::StopFlag;
use serde_json::{Map, Value, json};

/// The figures of a finished run.
#[derive(Clone, PartialEq, Debug)]
pub struct Results {
    /// Updates made.
    pub step: u64,
    /// What was predicted.
    pub objective: Objective,
    /// The last validation loss, in nats a target, if there is held-out text.
    pub validation_loss: Option<f64>,
    /// The lowest validation loss of the run, and its step.
    pub best_validation: Option<BestValidation>,
    /// Whether early stopping ended the run.
    pub stopped_early: bool,
    /// The loss on the test text, in nats a token, if there is any.
    pub test_loss: Option<f64>,
    /// Minimal pairs, by paradigm.
    pub pairs: Vec<ParadigmScore>,
    /// Text that the model wrote; empty if it cannot write.
    pub sample: String,
}

impl Results {
    pub(super) fn gather(
        pipeline: &Pipeline,
        run: &Run,
        folder: &RunFolder,
        tokenizer: &Tokenizer,
        suites: &mut Suites,
        say: Say<'_>,
    ) -> Result<Self, Error> {
        say(Notice::Stage("results"));
        let metrics = read_metrics(folder.disk(), &folder.path(METRICS_FILE))
            .map_err(|e| Error::Mismatch(e.to_string()))?;
        folder.write(CURVE_FILE, loss_curve_svg(&metrics).as_bytes())?;
        let objective = pipeline.config.training.objective();
        let name = objective.validation_loss_name();
        let last = metrics.iter().rev().find_map(|m| m.get(name)?.as_f64());
        let (model, device) = (&*run.trainer.model, &run.trainer.device);
        let boundary = pipeline.config.data.boundary;
        let special = sentence_ids(model, boundary, tokenizer.special_ids());

        let complete = suites.score(model, device, &run.state, &StopFlag::new())?;
        debug_assert!(complete, "nobody stops it");
        let pairs = suites.last().to_vec();
        let reads_left_to_right = model.supports_generation();

        let options = GenerateOptions {
            sampling: Sampling::Temperature(0.8),
            top_k: None,
            top_p: None,
            seed: pipeline.config.random_seed,
            max_tokens: pipeline.config.data.max_sequence_length.min(128) - 1,
            stop: None,
        };
        let prompt = [special.bos.or(special.end()).unwrap_or(0)];
        let ids = if reads_left_to_right {
            generate(model, device, &prompt, &options)
        } else {
            Vec::new()
        };
        let texts = ids.split(|id| Some(*id) == special.eos).map(|ids| tokenizer.decode(ids));
        let sample = texts.collect::<Result<Vec<_>, _>>()?.join("\n");
        let test_loss = run.test_loss()?;
        device.check()?;
        Ok(Self {
            step: run.state.global_step,
            objective,
            validation_loss: last,
            best_validation: run.state.best_validation,
            stopped_early: run.stopped_early(),
            test_loss,
            pairs,
            sample,
        })
    }

    /// The share of all pairs that are right; None without pairs.
    #[must_use]
    pub fn pair_accuracy(&self) -> Option<f64> {
        let all = overall(&self.pairs);
        (all.pairs > 0).then(|| all.accuracy())
    }

    pub(super) fn to_run_result(&self) -> RunResult {
        let summary = self.summary();
        RunResult { final_step: self.step, checkpoint: folder_name(self.step), summary }
    }

    /// The figures by name.
    #[must_use]
    pub fn summary(&self) -> Map<String, Value> {
        let mut summary = Map::new();
        let mut put = |name: &str, value| summary.insert(name.to_owned(), value);
        put(self.objective.validation_loss_name(), json!(self.validation_loss));
        if self.objective == Objective::CausalLm {
            put("validation_perplexity", json!(self.validation_loss.map(f64::exp)));
        }
        put(self.objective.test_loss_name(), json!(self.test_loss));
        put("best_validation", json!(self.best_validation));
        put("stopped_early", json!(self.stopped_early));
        put("minimal_pair_accuracy", json!(self.pair_accuracy()));
        put("minimal_pairs", json!(self.pairs));
        put("sample", json!(self.sample));
        summary
    }
}
