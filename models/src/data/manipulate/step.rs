//! A step as the configuration gives it, with its parameters understood.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::ManipulationError;
use super::ablate::Ablation;
use super::command::Command;
use super::parameters::Parameters;
use super::rewrite::Case;
use super::words::{RegexReplace, WordEdit};
use crate::config::choices::Manipulation;
use crate::config::{Config, ManipulationStep};

/// One step of `dataset_manipulation`, ready to run.
///
/// Parameters by type (`*` = required):
///
/// | type | parameters |
/// |---|---|
/// | `remove_articles` | `parses` (without it, a word list does the work) |
/// | `remove_words` | `words` or `words_file`*, `case_sensitive` = false |
/// | `replace_words` | `replacements`* {old: new}, `case_sensitive` = false, `keep_case` = not case_sensitive |
/// | `regex_replace` | `pattern`*, `replacement`*, `ignore_case` = false |
/// | `remove_expletives` | `parses`, `deprels` = \[expl\], `heads` = verb (or any) |
/// | `remove_subject_pronominals` | `parses`, `deprels` = \[nsubj\] |
/// | `impoverish_determiners`, `lemmatize_verbs` | `parses` |
/// | `command` | `program`* (a text, or a list: program and first arguments); everything else becomes a flag |
///
/// All but `command` also take `replacement_pool_dir`, `allow_short` = false and `seed` (size matching, see
/// [`super::refill`](super)), all but `regex_replace` `repair_case` = false (whether a sentence that has lost its first
/// word begins with a capital again). `parses` is a folder (or, for a single file, a file) of `.conllu`; by default they
/// lie beside the text: `x.conllu` for `x.train`.
#[derive(Debug)]
pub struct Step {
    pub(super) index: usize,
    pub(super) kind: Manipulation,
    pub(super) input: PathBuf,
    pub(super) output: PathBuf,
    pub(super) parameters: BTreeMap<String, Value>,
    pub(super) work: Work,
}

/// What a step does.
#[derive(Debug)]
pub(super) enum Work {
    /// Changes text line by line.
    Edit { edit: LineEdit, pool: Option<Pool> },
    /// Runs a program.
    Run(Command),
}

/// A change of lines.
#[derive(Debug)]
pub(super) enum LineEdit {
    Words(WordEdit),
    Regex(RegexReplace),
    Parsed {
        ablation: Ablation,
        case: Case,
        /// Where the parses are; beside the text if `None`.
        parses: Option<PathBuf>,
    },
}

/// Where lines come from that make up for what was removed.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) path: PathBuf,
    pub(super) allow_short: bool,
    pub(super) seed: u64,
}

impl Step {
    /// Reads step number `index` (from 0). `seed` is the experiment's; it draws lines from a replacement pool unless the
    /// step names its own.
    ///
    /// # Errors
    /// [`ManipulationError::Setting`] for a parameter that is missing, unknown or of the wrong kind; it names the step
    /// and the field.
    pub fn new(
        index: usize,
        config: &ManipulationStep,
        seed: u64,
    ) -> Result<Self, ManipulationError> {
        let setting = |field: &str, message: &str| ManipulationError::Setting {
            step: index,
            field: field.to_owned(),
            message: message.to_owned(),
        };
        let ManipulationStep { kind, input_path, output_path, parameters } = config.clone();
        for (field, path) in [("input_path", &input_path), ("output_path", &output_path)] {
            if path.as_os_str().is_empty() {
                return Err(setting(field, "is empty; name a file or folder"));
            }
        }
        if same_place(&input_path, &output_path) {
            let message = "is also the input_path; a step never writes over what it reads";
            return Err(setting("output_path", message));
        }
        let p = Parameters::new(index, &parameters);
        let work = if kind == Manipulation::Command {
            Work::Run(Command::new(&p)?)
        } else {
            let edit = LineEdit::new(kind, &p)?;
            let pool = Pool::new(&p, seed)?;
            if pool.as_ref().is_some_and(|pool| same_place(&pool.path, &output_path)) {
                return Err(setting("output_path", "is also the replacement pool"));
            }
            p.finish()?;
            Work::Edit { edit, pool }
        };
        Ok(Self { index, kind, input: input_path, output: output_path, parameters, work })
    }

    /// Every step of a configuration, in order.
    ///
    /// # Errors
    /// As [`Step::new`], for the first step that is wrong.
    pub fn of_config(config: &Config) -> Result<Vec<Self>, ManipulationError> {
        let steps = config.dataset_manipulation.iter().enumerate();
        steps.map(|(i, step)| Self::new(i, step, config.random_seed)).collect()
    }

    /// Its place in `dataset_manipulation`, from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> Manipulation {
        self.kind
    }

    /// What it reads.
    #[must_use]
    pub fn input(&self) -> &Path {
        &self.input
    }

    /// What it writes.
    #[must_use]
    pub fn output(&self) -> &Path {
        &self.output
    }
}

impl LineEdit {
    fn new(kind: Manipulation, p: &Parameters<'_>) -> Result<Self, ManipulationError> {
        if kind == Manipulation::RegexReplace {
            return Ok(Self::Regex(RegexReplace::new(p)?));
        }
        let case = if p.flag("repair_case", false)? { Case::Repair } else { Case::Leave };
        match kind {
            Manipulation::RemoveWords => return Ok(Self::Words(WordEdit::removal(p, case)?)),
            Manipulation::ReplaceWords => return Ok(Self::Words(WordEdit::replacement(p, case)?)),
            _ => {}
        }
        let parses = p.path("parses")?;
        let ablation = match kind {
            Manipulation::RemoveArticles if parses.is_none() => {
                return Ok(Self::Words(WordEdit::articles(case)));
            }
            Manipulation::RemoveArticles => Ablation::RemoveArticles,
            Manipulation::ImpoverishDeterminers => Ablation::ImpoverishDeterminers,
            Manipulation::LemmatizeVerbs => Ablation::LemmatizeVerbs,
            Manipulation::RemoveSubjectPronominals => {
                Ablation::RemoveSubjectPronominals { deprels: deprels(p, "nsubj")? }
            }
            _ => {
                let any_head = match p.text("heads")?.as_deref() {
                    None | Some("verb") => false,
                    Some("any") => true,
                    Some(other) => {
                        return Err(p.error("heads", format!("must be verb or any, not '{other}'")));
                    }
                };
                Ablation::RemoveExpletives { deprels: deprels(p, "expl")?, any_head }
            }
        };
        Ok(Self::Parsed { ablation, case, parses })
    }
}

fn deprels(p: &Parameters<'_>, default: &str) -> Result<Vec<String>, ManipulationError> {
    let deprels = p.texts("deprels")?.unwrap_or_else(|| vec![default.to_owned()]);
    if deprels.is_empty()
        || deprels.iter().any(|deprel| deprel.trim() != deprel || deprel.is_empty())
    {
        return Err(p.error("deprels", format!("name at least one relation, such as {default}")));
    }
    Ok(deprels)
}

impl Pool {
    fn new(p: &Parameters<'_>, seed: u64) -> Result<Option<Self>, ManipulationError> {
        let path = p.path("replacement_pool_dir")?;
        let given = (p.has("allow_short"), p.has("seed"));
        let allow_short = p.flag("allow_short", false)?;
        let seed = p.number("seed")?.unwrap_or(seed);
        let Some(path) = path else {
            let idle = match given {
                (true, _) => "allow_short",
                (_, true) => "seed",
                _ => return Ok(None),
            };
            return Err(p.error(idle, "changes nothing without replacement_pool_dir"));
        };
        Ok(Some(Self { path, allow_short, seed }))
    }
}

/// Whether two paths name the same place, as far as they exist.
fn same_place(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| {
        std::fs::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or_default()
    };
    real(a) == real(b)
}
