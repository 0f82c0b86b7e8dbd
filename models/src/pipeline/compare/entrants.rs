//! Who is compared: models of several configurations, or several architectures of one.

use crate::config::choices::{Architecture, Choice, Objective};
use crate::config::raw::{RawConfig, RawModel, RawRnn, RawTransformer};
use crate::config::{Config, ModelConfig, RnnConfig, TransformerConfig, memory};
use crate::error::Error;

/// A model of a comparison.
#[derive(Clone, Debug)]
pub struct Entrant {
    /// What it is called, in tables and folders.
    pub name: String,
    /// Its model and how it is trained.
    pub config: Config,
}

/// An architecture and its direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind {
    /// The family.
    pub architecture: Architecture,
    /// Whether a recurrent model reads from both ends.
    pub bidirectional: bool,
}

impl Kind {
    /// Reads a list such as `gpt2,lstm,gru_bidirectional`, or `all`: the five architectures.
    ///
    /// # Errors
    /// An unknown word, with all that are known.
    pub fn list(words: &str) -> Result<Vec<Self>, Error> {
        let one = |architecture, bidirectional| Self { architecture, bidirectional };
        if words.trim().eq_ignore_ascii_case("all") {
            return Ok(Architecture::ALL.map(|a| one(a, false)).to_vec());
        }
        let read = |word: &str| {
            let (name, both) = match word.trim().strip_suffix("_bidirectional") {
                Some(name) => (name, true),
                None => (word.trim(), false),
            };
            match Architecture::parse(name) {
                Ok(a) if !(both && a.is_transformer()) => Ok(one(a, both)),
                _ => Err(Error::Usage(format!(
                    "--architectures: '{}' is not known\n  known: all, {}, and lstm_bidirectional, gru_bidirectional, \
                     rnn_bidirectional",
                    word.trim(),
                    Architecture::NAMES.join(", ")
                ))),
            }
        };
        words.split(',').map(read).collect()
    }

    /// Of a configuration's model.
    #[must_use]
    pub fn of(model: &ModelConfig) -> Self {
        let bidirectional = model.rnn().is_some_and(|r| r.bidirectional);
        Self { architecture: model.architecture(), bidirectional }
    }

    /// `lstm`, `lstm_bidirectional`.
    #[must_use]
    pub fn name(self) -> String {
        let direction = if self.bidirectional { "_bidirectional" } else { "" };
        format!("{}{direction}", self.architecture)
    }

    /// What such a model can learn to predict.
    #[must_use]
    pub fn objective(self) -> Objective {
        match self.bidirectional || self.architecture == Architecture::Bert {
            true => Objective::MaskedLm,
            false => Objective::CausalLm,
        }
    }
}

impl Entrant {
    /// A model of another kind, of the depth and width of `config`'s and trained likewise.
    ///
    /// # Errors
    /// What the new configuration would be refused for.
    pub fn of_kind(config: &Config, kind: Kind) -> Result<Self, Error> {
        let name = kind.name();
        refuse_stateful(&name, config)?;
        if Kind::of(&config.model) == kind {
            return Ok(Self { name, config: config.clone() });
        }
        let mut raw = config.to_raw();
        raw.model = Some(match kind.architecture.is_transformer() {
            true => RawModel {
                architecture: Some(kind.architecture),
                transformer: Some(transformer(config)),
                ..RawModel::default()
            },
            false => RawModel {
                architecture: Some(kind.architecture),
                rnn: Some(rnn(&config.model, kind)),
                ..RawModel::default()
            },
        });
        if let Some(training) = &mut raw.training {
            training.objective = Some(kind.objective());
            if kind.objective() == Objective::CausalLm {
                (training.mlm_probability, training.masking, training.mask_split) =
                    (None, None, None);
            }
        }
        let config = Config::from_raw(&raw, &name)?;
        Ok(Self { name, config })
    }

    /// The model with another width, so that it has as many parameters as `target`, or as near to it as can be.
    pub(super) fn matched(mut self, target: u128, vocab: usize, positions: usize) -> Self {
        let count = |model: &ModelConfig| memory::parameter_count(model, vocab, positions);
        let nearest = |a: ModelConfig, b: ModelConfig| {
            if count(&a).abs_diff(target) <= count(&b).abs_diff(target) { a } else { b }
        };
        let step = match &self.config.model {
            ModelConfig::Gpt2(t) => t.attention_heads,
            ModelConfig::Bert(b) => b.transformer.attention_heads,
            _ => 1,
        };
        let original = self.config.model.clone();
        let of_width = |n: usize| with_width(&original, n * step);
        // The first width that has more: the count grows with it.
        let (mut low, mut high) = (1, 1);
        while count(&of_width(high)) < target {
            (low, high) = (high, high * 2);
        }
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            match count(&of_width(middle)) < target {
                true => low = middle,
                false => high = middle,
            }
        }
        let mut model = nearest(of_width(low), of_width(high));
        // The inside of the feed-forward layers is the finer screw of a transformer.
        if let Some(inside) = model.transformer().map(|t| t.intermediate_hidden_size) {
            let (now, one) = (count(&model), count(&with_inside(&model, inside + 1)));
            let each = one.saturating_sub(now).max(1);
            let moves = usize::try_from(now.abs_diff(target) / each).unwrap_or(0);
            let finer = if now < target { inside + moves } else { inside.saturating_sub(moves) };
            let finer = with_inside(&model, finer.max(1));
            model = nearest(finer, model);
        }
        self.config.model = model;
        self
    }
}

/// A stateful model has an order of its own.
pub(super) fn refuse_stateful(name: &str, config: &Config) -> Result<(), Error> {
    if !config.model.is_stateful() {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{name}: model.rnn.stateful cannot be compared: its data are in an order of their own\n  mend: --set \
         model.rnn.stateful=false"
    )))
}

/// A model of another width; what is inside a feed-forward layer keeps its proportion.
fn with_width(model: &ModelConfig, width: usize) -> ModelConfig {
    let mut model = model.clone();
    let transformer = |t: &mut TransformerConfig| {
        t.intermediate_hidden_size = (t.intermediate_hidden_size * width).div_ceil(t.hidden_size);
        t.hidden_size = width;
    };
    let rnn = |r: &mut RnnConfig| {
        let directions = r.directions();
        r.hidden_size = width;
        r.embedding_size = if r.tie_weights { width * directions } else { width };
    };
    match &mut model {
        ModelConfig::Gpt2(t) => transformer(t),
        ModelConfig::Bert(b) => transformer(&mut b.transformer),
        ModelConfig::Lstm(r) | ModelConfig::Gru(r) | ModelConfig::Rnn(r) => rnn(r),
    }
    model
}

fn with_inside(model: &ModelConfig, size: usize) -> ModelConfig {
    let mut model = model.clone();
    match &mut model {
        ModelConfig::Gpt2(t) => t.intermediate_hidden_size = size,
        ModelConfig::Bert(b) => b.transformer.intermediate_hidden_size = size,
        _ => {}
    }
    model
}

/// The shape of a transformer for a model of any kind: the same depth and width.
fn transformer(config: &Config) -> RawTransformer {
    if let Some(raw) = config.to_raw().model.and_then(|m| m.transformer) {
        // Each family has its own epsilon.
        return RawTransformer { layer_norm_epsilon: None, ..raw };
    }
    let Some(r) = config.model.rnn() else { return RawTransformer::default() };
    // Heads of about 32 dimensions that divide the width.
    let width = r.hidden_size;
    let heads = (1..=(width / 32).max(1)).rev().find(|h| width.is_multiple_of(*h)).unwrap_or(1);
    RawTransformer {
        layers: Some(r.num_layers as u64),
        embedding_size: Some(width as u64),
        hidden_size: Some(width as u64),
        intermediate_hidden_size: Some(4 * width as u64),
        attention_heads: Some(heads as u64),
        dropout: Some(r.dropout),
        attention_dropout: Some(r.dropout),
        tie_weights: Some(r.tie_weights),
        ..RawTransformer::default()
    }
}

/// The shape of a recurrent model for a model of any kind: the same depth and width.
fn rnn(model: &ModelConfig, kind: Kind) -> RawRnn {
    let (width, layers, dropout, tied) = match (model.transformer(), model.rnn()) {
        (Some(t), _) => (t.hidden_size, t.layers, t.dropout, t.tie_weights),
        (_, Some(r)) => (r.hidden_size, r.num_layers, r.dropout, r.tie_weights),
        _ => return RawRnn::default(),
    };
    let directions = 1 + usize::from(kind.bidirectional);
    RawRnn {
        embedding_size: Some(if tied { width * directions } else { width } as u64),
        hidden_size: Some(width as u64),
        num_layers: Some(layers as u64),
        bidirectional: Some(kind.bidirectional),
        dropout: Some(dropout),
        tie_weights: Some(tied),
        ..RawRnn::default()
    }
}

/// What all models of a comparison share, put into the configuration of one of them.
pub(super) fn adapted(base: &Config, entrant: &Entrant, run: &Shared<'_>) -> Result<Config, Error> {
    let config = &entrant.config;
    let mut raw: RawConfig = config.to_raw();
    let shared = base.to_raw();
    raw.experiment_name = Some(format!("{}-seed{}", entrant.name, run.seed));
    raw.random_seed = Some(run.seed);
    (raw.device, raw.threads, raw.precision) = (shared.device, shared.threads, shared.precision);
    raw.dataset_manipulation = shared.dataset_manipulation;
    raw.evaluation = shared.evaluation;
    raw.data = shared.data;
    if let Some(data) = &mut raw.data {
        data.max_sequence_length = Some(positions(base, &config.model) as u64);
    }
    raw.tokenizer = shared.tokenizer;
    if let Some(tokenizer) = &mut raw.tokenizer {
        let tokens = base.tokenizer.special_tokens.clone().with_mask();
        let roles = tokens.roles().map(|(role, text)| (role.to_owned(), text.to_owned()));
        tokenizer.special_tokens = Some(roles.collect());
        tokenizer.output_dir = Some(run.folder.join("tokenizer"));
    }
    raw.logging = shared.logging;
    if let Some(logging) = &mut raw.logging {
        logging.dir = Some(run.folder.join("logs"));
    }
    if let (Some(training), Some(length)) = (&mut raw.training, shared.training) {
        training.output_dir =
            Some(run.folder.join(&entrant.name).join(format!("seed-{}", run.seed)));
        training.gradient_accumulation_steps = length.gradient_accumulation_steps;
        (training.epochs, training.train_steps) = (length.epochs, length.train_steps);
        training.train_tokens = length.train_tokens;
        training.resume_from_checkpoint = Some(false);
        if let Some(steps) = run.steps {
            // Tokens are counted with those that frame a row; updates are the same for all.
            (training.epochs, training.train_tokens) = (None, None);
            training.train_steps = Some(steps);
        }
    }
    Ok(Config::from_raw(&raw, &entrant.name)?)
}

/// Where and how long a run of a comparison goes.
pub(super) struct Shared<'a> {
    pub(super) folder: &'a std::path::Path,
    pub(super) seed: u64,
    /// Updates, where they are known.
    pub(super) steps: Option<u64>,
}

/// Positions of a model: a BERT's rows have two tokens more around the same block.
pub(super) fn positions(base: &Config, model: &ModelConfig) -> usize {
    let length = base.data.max_sequence_length;
    match model {
        ModelConfig::Bert(_) => length,
        _ => length.saturating_sub(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> Config {
        let text = include_str!("../../../../configs/gpt2_tiny.yaml");
        Config::parse(text, "gpt2_tiny.yaml", &[]).unwrap()
    }

    #[test]
    fn test_compare__every_kind_follows_from_every_other() {
        let kinds =
            Kind::list("gpt2,bert,lstm,gru,rnn,lstm_bidirectional,rnn_bidirectional").unwrap();
        for from in &kinds {
            let from = Entrant::of_kind(&tiny(), *from).unwrap();
            for to in &kinds {
                let to_config = Entrant::of_kind(&from.config, *to).unwrap().config;
                assert_eq!(Kind::of(&to_config.model), *to);
                assert_eq!(to_config.training.objective(), to.objective());
            }
        }
        assert_eq!(Kind::list("all").unwrap().len(), 5);
        assert!(Kind::list("gpt2,mamba").unwrap_err().to_string().contains("'mamba'"));
        assert!(Kind::list("bert_bidirectional").is_err());
    }

    #[test]
    fn test_compare__widths_match_parameters_within_two_percent() {
        let (vocab, positions) = (400, 30);
        let base = tiny();
        let kinds = Kind::list("gpt2,bert,lstm,gru,rnn,gru_bidirectional").unwrap();
        for target in [150_000_u128, 1_000_003, 30_000_000] {
            for kind in &kinds {
                let entrant = Entrant::of_kind(&base, *kind).unwrap();
                let matched = entrant.matched(target, vocab, positions).config;
                let n = memory::parameter_count(&matched.model, vocab, positions);
                assert!(n.abs_diff(target) * 50 <= target, "{kind:?}: {n} for {target}");
                // It is a configuration that can be written down.
                assert_eq!(
                    Config::from_raw(&matched.to_raw(), "matched").unwrap().model,
                    matched.model
                );
            }
        }
    }
}
