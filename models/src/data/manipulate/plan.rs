//! Which files a step reads and writes, found before anything is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::ManipulationError;
use super::error::absolute;
use super::files::{entries, is_corpus_file, is_json_lines, name, tree};
use super::refill::REMAINDER;
use super::step::{LineEdit, Pool, Step, Work};

/// The files of a step.
#[derive(Debug)]
pub(super) struct Plan {
    /// Empty for a program: it looks for its files itself.
    pub(super) files: Vec<FilePlan>,
    /// The folder that outputs lie in.
    pub(super) folder: PathBuf,
    /// A single file goes to a file: what else lies beside it is none of its business.
    to_file: bool,
    /// Where the record goes.
    pub(super) provenance: PathBuf,
    /// Stands there while the output is incomplete.
    pub(super) marker: PathBuf,
    /// Everything that is read, by role, with the name that the record gives it.
    pub(super) inputs: BTreeMap<&'static str, Vec<(String, PathBuf)>>,
}

/// One text on its way through a step.
#[derive(Debug)]
pub(super) struct FilePlan {
    pub(super) name: String,
    pub(super) text: PathBuf,
    pub(super) parse: Option<PathBuf>,
    pub(super) pool: Option<PathBuf>,
    pub(super) pool_parse: Option<PathBuf>,
    pub(super) output: PathBuf,
}

impl FilePlan {
    /// Where the ablated parse goes.
    pub(super) fn output_parse(&self) -> Option<PathBuf> {
        self.parse.as_ref().map(|_| self.output.with_extension("conllu"))
    }

    /// Where the rest of the pool goes, and the parse of the rest.
    pub(super) fn remainder(&self) -> Option<(PathBuf, Option<PathBuf>)> {
        self.pool.as_ref()?;
        let path = self.output.with_file_name(REMAINDER).join(&self.name);
        let parse = self.pool_parse.as_ref().map(|_| path.with_extension("conllu"));
        Some((path, parse))
    }

    fn outputs(&self) -> impl Iterator<Item = PathBuf> {
        let (remainder, parse) = self.remainder().unzip();
        [Some(self.output.clone()), self.output_parse(), remainder, parse.flatten()]
            .into_iter()
            .flatten()
    }
}

impl Plan {
    /// Looks for everything that the step needs.
    pub(super) fn new(step: &Step) -> Result<Self, ManipulationError> {
        let missing = |field, path: &Path, hint: String| ManipulationError::Missing {
            step: step.index,
            field,
            path: path.to_owned(),
            hint,
        };
        if !step.input.exists() {
            return Err(missing("input_path", &step.input, String::new()));
        }
        let is_folder = step.input.is_dir();
        let edits = matches!(step.work, Work::Edit { .. });
        let to_file =
            edits && !is_folder && matches!(extension(&step.output), Some("train" | "txt"));
        let folder = if to_file { super::parent(&step.output) } else { step.output.clone() };
        let beside = |suffix: &str| match to_file {
            true => step.output.with_file_name(format!("{}{suffix}", name(&step.output))),
            false => step.output.join(suffix.trim_start_matches('.')),
        };
        let mut plan = Self {
            files: Vec::new(),
            provenance: beside(".provenance.json"),
            marker: match to_file {
                true => beside(".incomplete"),
                false => step.output.join(".incomplete"),
            },
            folder,
            to_file,
            inputs: BTreeMap::new(),
        };
        let Work::Edit { edit, pool } = &step.work else {
            let files = match is_folder {
                true => tree(&step.input)?.into_iter().collect(),
                false => vec![(name(&step.input), step.input.clone())],
            };
            if files.is_empty() {
                return Err(no_files(step));
            }
            plan.inputs.insert("text", files);
            return Ok(plan);
        };
        let texts = match is_folder {
            true => entries(&step.input)?,
            false => vec![step.input.clone()],
        };
        if let Some(path) = texts.iter().find(|path| is_json_lines(path)) {
            let (field, path) = ("input_path", path.clone());
            return Err(ManipulationError::JsonLines { step: step.index, field, path });
        }
        let texts: Vec<_> =
            texts.into_iter().filter(|path| !is_folder || is_corpus_file(path)).collect();
        if texts.is_empty() {
            return Err(no_files(step));
        }
        for text in texts {
            let file = name(&text);
            let (mut parse, mut pool_file, mut pool_parse) = (None, None, None);
            if let Some(pool) = pool {
                pool_file = Some(find_pool(step, pool, &text)?);
            }
            if let LineEdit::Parsed { parses, .. } = edit {
                parse = Some(find_parse(step, parses.as_deref(), &text)?);
                if let Some(pool) = &pool_file {
                    pool_parse = Some(find_parse(step, None, pool)?);
                }
            }
            let output = if to_file { step.output.clone() } else { step.output.join(&file) };
            plan.files.push(FilePlan {
                name: if to_file { name(&output) } else { file },
                text,
                parse,
                pool: pool_file,
                pool_parse,
                output,
            });
        }
        plan.collect_inputs();
        plan.check(step)?;
        Ok(plan)
    }

    fn collect_inputs(&mut self) {
        for file in &self.files {
            let roles = [
                ("text", Some(&file.text)),
                ("parses", file.parse.as_ref()),
                ("pool", file.pool.as_ref()),
                ("pool_parses", file.pool_parse.as_ref()),
            ];
            for (role, path) in roles {
                if let Some(path) = path {
                    self.inputs.entry(role).or_default().push((name(path), path.clone()));
                }
            }
        }
    }

    /// No output is written twice or over an input, and parses do not stand for two texts.
    fn check(&self, step: &Step) -> Result<(), ManipulationError> {
        let real = |path: &PathBuf| std::fs::canonicalize(path).ok();
        let read: BTreeSet<PathBuf> =
            self.inputs.values().flatten().filter_map(|(_, path)| real(path)).collect();
        let mut written = BTreeSet::new();
        for path in self.files.iter().flat_map(FilePlan::outputs) {
            let over_input = real(&path).is_some_and(|path| read.contains(&path));
            if over_input || !written.insert(path.clone()) {
                let reason = match over_input {
                    true => "is read by this very step; name another folder",
                    false => {
                        "would be written for two files (x.train and x.txt have one parse and one name for it); rename one"
                    }
                };
                let reason = reason.to_owned();
                return Err(ManipulationError::Occupied { step: step.index, path, reason });
            }
        }
        Ok(())
    }

    /// Corpus files in the output folder that the step does not write and that would be trained on with its own.
    pub(super) fn strangers(&self) -> Result<Vec<PathBuf>, ManipulationError> {
        if self.to_file || !self.folder.is_dir() {
            return Ok(Vec::new());
        }
        let ours: BTreeSet<PathBuf> = self.files.iter().map(|file| file.output.clone()).collect();
        let found = entries(&self.folder)?.into_iter();
        let trained_on = |path: &PathBuf| is_corpus_file(path) || is_json_lines(path);
        Ok(found.filter(|path| trained_on(path) && !ours.contains(path)).collect())
    }

    /// Outputs that are there already.
    pub(super) fn existing(&self) -> Option<PathBuf> {
        self.files.iter().flat_map(FilePlan::outputs).find(|path| path.exists())
    }
}

fn extension(path: &Path) -> Option<&str> {
    path.extension()?.to_str()
}

fn no_files(step: &Step) -> ManipulationError {
    let only_parses = entries(&step.input)
        .is_ok_and(|paths| paths.iter().any(|path| extension(path) == Some("conllu")));
    let hint = if only_parses {
        "; give each x.conllu its text x.train, one line a sentence (their '# text = ' lines)"
    } else {
        ""
    };
    ManipulationError::NoFiles { step: step.index, path: step.input.clone(), hint }
}

/// The pool file of a text: the same name in the pool's folder.
fn find_pool(step: &Step, pool: &Pool, text: &Path) -> Result<PathBuf, ManipulationError> {
    let file = if pool.path.is_file() { pool.path.clone() } else { pool.path.join(name(text)) };
    if is_json_lines(&file) {
        let field = "parameters.replacement_pool_dir";
        return Err(ManipulationError::JsonLines { step: step.index, field, path: file });
    }
    if file.is_file() && (pool.path != file || !step.input.is_dir()) {
        return Ok(file);
    }
    let other = ["train", "txt"].map(|e| file.with_extension(e)).into_iter().find(|p| p.is_file());
    let hint = if pool.path.is_file() {
        "; a folder of texts needs a folder of pools, with a file of the same name for each"
            .to_owned()
    } else if !pool.path.is_dir() {
        "; the whole folder is missing".to_owned()
    } else if let Some(other) = other {
        format!("; the pool has {}: it must have the name of the text", name(&other))
    } else {
        "; every text needs a pool of the same name".to_owned()
    };
    let field = "parameters.replacement_pool_dir";
    Err(ManipulationError::Missing { step: step.index, field, path: file, hint })
}

/// The parse of a text: `x.conllu` or `x.train.conllu` in the folder of the parses, or beside the text.
fn find_parse(
    step: &Step,
    parses: Option<&Path>,
    text: &Path,
) -> Result<PathBuf, ManipulationError> {
    if let Some(file) = parses.filter(|path| path.is_file() && !step.input.is_dir()) {
        return Ok(file.to_owned());
    }
    let folder = parses.map_or_else(|| super::parent(text), Path::to_owned);
    let short = folder.join(Path::new(&name(text)).with_extension("conllu"));
    let long = folder.join(format!("{}.conllu", name(text)));
    if let Some(found) = [&short, &long].into_iter().find(|path| path.is_file()) {
        return Ok(found.clone());
    }
    let hint = format!(
        " (nor {}); {} needs the CoNLL-U parse of {}",
        name(&long),
        step.kind,
        absolute(text)
    );
    Err(ManipulationError::Missing {
        step: step.index,
        field: "parameters.parses",
        path: short,
        hint,
    })
}

/// A step in words, for `--dry-run`.
pub(super) fn describe(step: &Step, of: usize, plan: Option<&Plan>, state: &str) -> String {
    let mut text = format!("step {} of {of}: {}\n", step.index + 1, step.kind);
    let mut line = |what: &str, value: &str| {
        let _ = writeln!(text, "  {what:<8}{value}");
    };
    let files = |role: &str| {
        let files = plan?.inputs.get(role)?;
        let bytes: u64 =
            files.iter().map(|(_, path)| std::fs::metadata(path).map_or(0, |m| m.len())).sum();
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).take(6).collect();
        let more = if files.len() > names.len() { ", ..." } else { "" };
        let plural = if files.len() == 1 { "" } else { "s" };
        Some(format!("{} file{plural}, {bytes} bytes: {}{more}", files.len(), names.join(", ")))
    };
    let of_role = |role| files(role).unwrap_or_else(|| "made by a step before".to_owned());
    line("input", &format!("{} ({})", step.input.display(), of_role("text")));
    if let Work::Edit { edit, pool } = &step.work {
        if let LineEdit::Parsed { parses, .. } = edit {
            let place =
                parses.as_ref().map_or("beside the text".to_owned(), |p| p.display().to_string());
            line("parses", &format!("{place} ({})", of_role("parses")));
        }
        if let Some(pool) = pool {
            line(
                "pool",
                &format!("{} ({}), seed {}", pool.path.display(), of_role("pool"), pool.seed),
            );
        }
    }
    line("output", &format!("{} ({state})", step.output.display()));
    match &step.work {
        Work::Run(command) => {
            line(
                "[DRY RUN]",
                &format!(" Would execute: {}", command.shown(&step.input, &step.output)),
            );
        }
        Work::Edit { .. } => {
            for (name, value) in &step.parameters {
                line("with", &format!("{name}: {value}"));
            }
        }
    }
    text
}
