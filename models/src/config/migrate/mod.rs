//! From a configuration of the original system to one of this: `foundry config migrate`.
//!
//! Every old name has a rule here, and whatever a rule does is said. What has no place any more is taken out, said, and
//! listed at the end of the new file; so nothing disappears unseen. Where an old name had a meaning that differs from
//! today's default, the new file spells that meaning out.

mod document;
#[cfg(test)]
mod tests;

use document::{Content, Document, Entry};

use super::choices::{Architecture, Choice};
use super::fields::{Kind, Section};
use super::node::Node;
use super::raw::RawConfig;
use super::{Config, ConfigError, load, names, yaml};

/// An old configuration in the new words.
#[derive(Debug)]
pub struct Migrated {
    /// The new file.
    pub yaml: String,
    /// What was changed, in words.
    pub changes: Vec<String>,
    /// What of the old file has no place in the new one, in words.
    pub dropped: Vec<String>,
    /// Whether the comments of the old file are in the new one.
    pub kept_comments: bool,
    /// What is still wrong with it: something that the old file said, or did not say.
    pub invalid: Option<ConfigError>,
    /// What it asks for and this build cannot do, or this machine has no room for.
    pub refused_here: Option<ConfigError>,
}

/// Names that say the same under another name.
const MOVED: &[(&str, &str)] = &[
    ("seed", "random_seed"),
    ("training.seed", "random_seed"),
    ("evaluation.run_perplexity", "evaluation.perplexity"),
    ("evaluation.test_corpus", "data.test_corpus"),
];

/// Keys of a flat model block: old name, new name in a transformer, new name in a recurrent model.
const SHAPE: &[(&str, Option<&str>, Option<&str>)] = &[
    ("layers", Some("layers"), Some("num_layers")),
    ("num_layers", Some("layers"), Some("num_layers")),
    ("embedding_size", Some("embedding_size"), Some("embedding_size")),
    ("hidden_size", Some("hidden_size"), Some("hidden_size")),
    ("intermediate_hidden_size", Some("intermediate_hidden_size"), None),
    ("attention_heads", Some("attention_heads"), None),
    ("activation_function", Some("activation_function"), None),
    ("dropout", Some("dropout"), Some("dropout")),
    ("attention_dropout", Some("attention_dropout"), None),
    ("bidirectional", None, Some("bidirectional")),
    ("rnn_type", None, Some("rnn_type")),
];

/// Parameters of the old ablation scripts that steer nothing here.
const SCRIPT_PARAMETERS: &[&str] = &["chunk_size", "skip_validation", "verbose", "batch_size"];

/// The names of the original that have another spelling or no place today.
pub fn old_names() -> impl Iterator<Item = &'static str> {
    names::RENAMED.iter().chain(MOVED).map(|(old, _)| *old)
}

/// Rewrites an old configuration. A file that has nothing old in it comes back as it is.
///
/// # Errors
/// A text that is not YAML, or no mapping.
pub fn migrate(text: &str, name: &str) -> Result<Migrated, ConfigError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let tree = load::mapping(text, name)?;
    let faithful = |document: &Document| {
        yaml::parse(&document.write(), 0).is_ok_and(|again| same(&again, &tree))
    };
    let read = Document::read(text, &tree).filter(faithful);
    let kept_comments = read.is_some();
    let mut work = Work {
        file: read.unwrap_or_else(|| Document::of_tree(&tree)),
        changes: Vec::new(),
        dropped: Vec::new(),
    };
    work.rewrite();
    let untouched = work.changes.is_empty() && work.dropped.is_empty();
    let mut yaml = if untouched { text.to_owned() } else { work.file.write() };
    if !untouched {
        work.without_effect(&mut yaml);
    }
    if !work.dropped.is_empty() {
        yaml.push_str("\n# Not carried over:\n");
        for line in &work.dropped {
            yaml.push_str(&format!("#   {line}\n"));
        }
    }
    let invalid = load::valid(&yaml, name).err();
    let refused_here = match invalid {
        None => Config::parse(&yaml, name, &[]).err(),
        Some(_) => None,
    };
    let Work { changes, dropped, .. } = work;
    Ok(Migrated { yaml, changes, dropped, kept_comments, invalid, refused_here })
}

/// Whether two trees say the same, wherever they stand.
fn same(a: &Node, b: &Node) -> bool {
    use super::node::Value::{Bool, Float, Integer, List, Map, Null, Text};
    match (&a.value, &b.value) {
        (Null, Null) => true,
        (Bool(a), Bool(b)) => a == b,
        (Integer(a), Integer(b)) => a == b,
        (Float(a), Float(b)) => a.to_bits() == b.to_bits(),
        (Text(a), Text(b)) => a == b,
        (List(a), List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Map(a), Map(b)) => {
            let entry = |((ka, a), (kb, b)): (&(_, Node), &(_, Node))| {
                let (ka, kb): (&super::node::Key, &super::node::Key) = (ka, kb);
                ka.name == kb.name && same(a, b)
            };
            a.len() == b.len() && a.iter().zip(b).all(entry)
        }
        _ => false,
    }
}

struct Work {
    file: Document,
    changes: Vec<String>,
    dropped: Vec<String>,
}

impl Work {
    fn rewrite(&mut self) {
        self.model();
        for (old, new) in MOVED {
            self.rename(old, new);
        }
        self.log_level();
        self.precision();
        self.checkpoints();
        self.suites();
        self.manipulation();
        self.objective();
        self.warmup();
        self.unknown(&RawConfig::SECTION, "");
    }

    fn scalar(&self, path: &str) -> Option<String> {
        self.file.find(path)?.scalar().map(str::to_owned)
    }

    /// Whether an entry says `true`, in any of YAML's spellings.
    fn is_true(&self, path: &str) -> bool {
        self.scalar(path).is_some_and(|v| v.eq_ignore_ascii_case("true"))
    }

    fn changed(&mut self, what: impl Into<String>) {
        self.changes.push(what.into());
    }

    /// Takes a field out, and says why.
    fn drop(&mut self, path: &str, why: &str) {
        if let Some(entry) = self.file.take(path) {
            self.dropped.push(format!("{path}: {} ({why})", entry.shown()));
        }
    }

    /// Adds a field that was not there, with a comment.
    fn add(&mut self, path: &str, value: &str, why: &str) {
        if self.file.find(path).is_some() {
            return;
        }
        let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
        self.file.put(section, Entry::new(name, &format!("{value}  # {why}")));
        self.changed(format!("added {path}: {value} ({why})"));
    }

    /// Moves an entry to another place, unless something is there.
    fn rename(&mut self, old: &str, new: &str) {
        if self.file.find(old).is_none() {
            return;
        }
        if self.file.find(new).is_some() {
            return self.drop(old, &format!("{new} says it"));
        }
        let Some(mut entry) = self.file.take(old) else { return };
        let (section, name) = new.rsplit_once('.').unwrap_or(("", new));
        name.clone_into(&mut entry.name);
        let value = entry.shown();
        self.file.put(section, entry);
        self.changed(format!("{old} -> {new}: {value}"));
    }

    /// A flat model block becomes a nested one.
    fn model(&mut self) {
        let has = |name: &str| self.file.find(&format!("model.{name}")).is_some();
        let flat: Vec<_> = SHAPE.iter().filter(|(name, ..)| has(name)).collect();
        let recurrent = has("rnn_type") || has("num_layers") || has("bidirectional");
        let nested = has("transformer") || has("rnn");
        let architecture = match self.scalar("model.architecture") {
            Some(name) => Architecture::parse(&name).ok(),
            None if recurrent || has("rnn") => {
                let cell = self.scalar("model.rnn_type").or(self.scalar("model.rnn.rnn_type"));
                cell.map_or(Some(Architecture::Lstm), |cell| Architecture::parse(&cell).ok())
            }
            None if !flat.is_empty() || has("transformer") => Some(Architecture::Gpt2),
            None => None,
        };
        let Some(architecture) = architecture else { return };
        let transformer = architecture.is_transformer();
        if !has("architecture")
            && let Some(model) = self.file.section_mut("model")
        {
            model.insert(0, Entry::new("architecture", architecture.name()));
            self.changed(format!("added model.architecture: {architecture}"));
        }
        let section = if transformer { "transformer" } else { "rnn" };
        for (old, in_transformer, in_rnn) in flat {
            let new = if transformer { in_transformer } else { in_rnn };
            let old = format!("model.{old}");
            match new {
                Some(new) => self.rename(&old, &format!("model.{section}.{new}")),
                None => self.drop(&old, &format!("a {architecture} has none")),
            }
        }
        if transformer && !nested {
            self.widths(architecture);
        }
    }

    /// A transformer has one width; the original read one of two fields and passed over the other.
    fn widths(&mut self, architecture: Architecture) {
        let at = |name: &str| format!("model.transformer.{name}");
        let (read, passed_over) = match architecture {
            Architecture::Bert => ("hidden_size", "embedding_size"),
            _ => ("embedding_size", "hidden_size"),
        };
        if let (Some(width), Some(other)) = (self.scalar(&at(read)), self.scalar(&at(passed_over)))
            && width != other
            && let Some(entry) = self.file.find_mut(&at(passed_over))
        {
            entry.set(&width);
            self.changed(format!(
                "model.transformer.{passed_over}: {other} -> {width} (the original read {read} alone)"
            ));
        }
        let dropout = self.scalar(&at("dropout"));
        if architecture == Architecture::Gpt2 && dropout.is_some_and(|d| d.parse() != Ok(0.1)) {
            let why = "the original's was fixed";
            self.add(&at("embedding_dropout"), "0.1", why);
        }
    }

    /// One level for both logs became two.
    fn log_level(&mut self) {
        let Some(level) = self.scalar("logging.level") else { return };
        if self.file.find("logging.file_level").is_none() {
            self.file.put("logging", Entry::new("file_level", &level));
        }
        self.rename("logging.level", "logging.console_level");
        self.changed(format!("logging.level -> logging.file_level: {level}"));
    }

    /// Flags for number formats became one word.
    fn precision(&mut self) {
        let flags = [
            ("training.use_amp", "fp16"),
            ("training.use_fp16", "fp16"),
            ("training.fp16", "fp16"),
            ("training.bf16", "bf16"),
            ("evaluation.use_fp16", "fp16"),
        ];
        for (old, format) in flags {
            let Some(entry) = self.file.find(old) else { continue };
            let shown = entry.shown();
            if self.is_true(old) && old.starts_with("training") {
                self.add("precision", format, &format!("was {old}: {shown}"));
                self.file.take(old);
                self.changed(format!("{old}: {shown} -> precision: {format}"));
            } else if self.is_true(old) {
                self.drop(old, "scores are computed in fp32");
            } else {
                self.drop(old, "fp32 is the default");
            }
        }
    }

    /// The original's strategy was a free text; its automatic schedule spaced the first epoch evenly.
    fn checkpoints(&mut self) {
        let at = "training.checkpointing_strategy";
        if let Some(strategy) = self.scalar(at) {
            if strategy.contains("log") {
                self.rename(at, "training.first_epoch");
                if let Some(entry) = self.file.find_mut("training.first_epoch") {
                    entry.set("log");
                }
            } else {
                self.drop(at, "see training.first_epoch and checkpoint_schedule");
            }
        } else {
            let automatic = self.is_true("training.auto_generate_checkpoints");
            if automatic || self.file.find("training.first_epoch_checkpoints").is_some() {
                self.add("training.first_epoch", "even", "what the original did");
            }
        }
        let at = "training.resume_state_steps";
        if self.scalar(at).is_some_and(|v| v.parse::<u64>().is_ok()) {
            self.rename(at, "training.rolling_resume_every_steps");
        }
    }

    /// Folders of minimal pairs became a list; the switch beside each is the list itself.
    fn suites(&mut self) {
        let mut suites = Vec::new();
        for (folder, switch) in
            [("blimp_dir", "run_blimp"), ("null_subject_dir", "run_null_subject")]
        {
            let switch = format!("evaluation.{switch}");
            let off = self.scalar(&switch).is_some_and(|v| v.eq_ignore_ascii_case("false"));
            let old = format!("evaluation.{folder}");
            if let Some(path) = self.scalar(&old) {
                if off {
                    self.drop(&old, &format!("{switch} was false"));
                } else {
                    self.file.take(&old);
                    self.changed(format!("{old} -> evaluation.suites"));
                    suites.push(serde_json::Value::from(path).to_string());
                }
            }
            self.drop(&switch, "evaluation.suites lists what is scored");
        }
        if !suites.is_empty() && self.file.find("evaluation.suites").is_none() {
            let list = format!("[{}]", suites.join(", "));
            self.file.put("evaluation", Entry::new("suites", &list));
        }
    }

    /// Ablations are driven by parses that lie beside the text.
    fn manipulation(&mut self) {
        let steps = match self.file.find("dataset_manipulation").map(|e| &e.content) {
            Some(Content::Items(steps)) => steps.len(),
            _ => return,
        };
        let mut parsed = Vec::new();
        for i in 0..steps {
            let at = |name: &str| format!("dataset_manipulation.{i}.{name}");
            self.drop(&at("spacy_model"), "no parser runs in here: give CoNLL-U files");
            for name in SCRIPT_PARAMETERS {
                let path = at(&format!("parameters.{name}"));
                self.drop(&path, "a setting of the old script");
            }
            if self.file.section(&at("parameters")).is_some_and(Vec::is_empty) {
                self.file.take(&at("parameters"));
            }
            let kind = self.scalar(&at("type")).unwrap_or_default();
            let by_parse = ["remove_expletives", "impoverish_determiners", "lemmatize_verbs"];
            if by_parse.contains(&kind.as_str()) || kind == "remove_subject_pronominals" {
                parsed.push(kind);
            }
        }
        let old = !self.changes.is_empty() || !self.dropped.is_empty();
        if old && !parsed.is_empty() {
            let types = parsed.join(", ");
            self.changed(format!(
                "{types}: parses are read instead of made; put x.conllu beside each text (docs/dataset_manipulation.md)"
            ));
        }
    }

    /// The original let a BERT be trained to predict the token that it sees.
    fn objective(&mut self) {
        let both_ways = self.scalar("model.architecture").is_some_and(|a| a == "bert")
            || self.is_true("model.rnn.bidirectional");
        if !both_ways || self.scalar("training.objective").is_some_and(|o| o == "masked_lm") {
            return;
        }
        let why = "a model that sees both sides learns from hidden tokens";
        match self.file.find_mut("training.objective") {
            Some(entry) => {
                entry.set("masked_lm");
                self.changed(format!("training.objective: causal_lm -> masked_lm ({why})"));
            }
            None => self.add("training.objective", "masked_lm", why),
        }
    }

    /// A number of steps won over a ratio.
    fn warmup(&mut self) {
        let steps = self.scalar("training.warmup_steps");
        if steps.is_some_and(|s| s.parse::<u64>().is_ok()) {
            self.drop("training.warmup_ratio", "training.warmup_steps says it");
        }
    }

    /// Takes out every key that no section has.
    fn unknown(&mut self, known: &'static Section, path: &str) {
        let listed: Vec<String> = match self.file.section(path) {
            Some(entries) => entries.iter().map(|e| e.name.clone()).collect(),
            None => return,
        };
        for name in listed {
            let at = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match known.field(&name).map(|f| f.kind) {
                None => {
                    let why = names::advice(&at, &name, known);
                    self.drop(&at, &why);
                }
                Some(Kind::Section(inner)) => self.unknown(inner, &at),
                Some(Kind::List(&Kind::Section(inner))) => {
                    let items = match self.file.find(&at).map(|e| &e.content) {
                        Some(Content::Items(items)) => items.len(),
                        _ => 0,
                    };
                    (0..items).for_each(|i| self.unknown(inner, &format!("{at}.{i}")));
                }
                Some(_) => {}
            }
        }
    }

    /// Takes out fields that were read over: today they are refused.
    fn without_effect(&mut self, yaml: &mut String) {
        // Each round takes at least one field out of the file.
        while let Err(error) = load::valid(yaml, "") {
            let idle: Vec<_> = error
                .problems()
                .iter()
                .filter(|p| p.message.contains("has no effect here"))
                .collect();
            let before = self.dropped.len();
            for problem in idle {
                let why = problem.message.split_once("here: ").map_or("", |(_, why)| why);
                self.drop(&problem.field, why);
            }
            if self.dropped.len() == before {
                return;
            }
            *yaml = self.file.write();
        }
    }
}
