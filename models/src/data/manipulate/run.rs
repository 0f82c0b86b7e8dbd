//! Carrying one step out.

use std::path::{Path, PathBuf};

use super::ablate::{Ablated, Ablator};
use super::files::{FileDigest, Lines, Output, digest, is_corpus_file, name, split_end, tree};
use super::plan::{FilePlan, Plan, describe};
use super::provenance::{FileStatistics, Provenance, RefillStatistics};
use super::refill::{PoolLine, REMAINDER, count_tokens, draw};
use super::step::{LineEdit, Pool, Step, Work};
use super::{Event, ManipulationError, Mode, Observer, Outcome, StepReport, tell};

/// How often progress is told, in bytes.
const PROGRESS: u64 = 1 << 20;

pub(super) fn run_step(
    step: &Step,
    of: usize,
    mode: Mode,
    observer: &mut Observer<'_>,
) -> Result<StepReport, ManipulationError> {
    let plan = Plan::new(step)?;
    let mut record = Provenance::of_inputs(step, &plan.inputs)?;
    let before = Provenance::load(&plan.provenance);
    let done = before.filter(|b| b.same_request(&record) && b.is_intact(&plan.folder));
    let report = |outcome, state: &str, provenance, warnings| StepReport {
        index: step.index,
        kind: step.kind,
        outcome,
        plan: describe(step, of, Some(&plan), state),
        provenance,
        warnings,
    };
    match (mode, done) {
        (Mode::DryRun, done) => {
            let state = match (done, occupied(step, &plan)?) {
                (Some(_), _) => "up to date",
                (None, None) => "new",
                (None, Some(_)) => "exists, made from something else; needs --overwrite",
            };
            return Ok(report(Outcome::Planned, state, None, Vec::new()));
        }
        (Mode::Keep, Some(done)) => {
            return Ok(report(Outcome::UpToDate, "up to date", Some(done), Vec::new()));
        }
        (Mode::Keep, None) => {
            if let Some(error) = occupied(step, &plan)? {
                return Err(error);
            }
        }
        (Mode::Overwrite, _) => clear(step, &plan)?,
    }
    // Also under Overwrite: only what an earlier run of this step wrote is taken away.
    if let Some(stranger) = plan.strangers()?.first() {
        let reason = format!(
            "holds {}, which this step does not write and which would be trained on with its output; \
             name an empty folder",
            name(stranger)
        );
        let path = step.output.clone();
        return Err(ManipulationError::Occupied { step: step.index, path, reason });
    }
    std::fs::create_dir_all(&plan.folder).map_err(ManipulationError::write(&plan.folder))?;
    std::fs::write(&plan.marker, "").map_err(ManipulationError::write(&plan.marker))?;
    let warnings = match &step.work {
        Work::Edit { edit, pool } => {
            edit_files(step, edit, pool.as_ref(), &plan, &mut record, observer)?
        }
        Work::Run(command) => {
            command.run(step.index, &step.input, &step.output, observer)?;
            record_program_output(step, &plan, &mut record)?;
            Vec::new()
        }
    };
    record.save(&plan.provenance)?;
    remove(&plan.marker)?;
    Ok(report(Outcome::Done, "written", Some(record), warnings))
}

/// Why the output must not be written, if so.
fn occupied(step: &Step, plan: &Plan) -> Result<Option<ManipulationError>, ManipulationError> {
    let error = |reason: String| {
        let path = step.output.clone();
        Ok(Some(ManipulationError::Occupied { step: step.index, path, reason }))
    };
    let advice = "run again with --overwrite, or name another output_path";
    if plan.provenance.exists() {
        return error(format!(
            "was made from other files or with other settings, or has changed since; {advice}"
        ));
    }
    let is_program = matches!(step.work, Work::Run(_));
    if plan.marker.exists() {
        // Our own unfinished files are written anew; what a program left may be named anything.
        let left = if is_program { left_by_program(plan)? } else { Vec::new() };
        return match left.first() {
            None => Ok(None),
            Some(path) => {
                error(format!("holds {} of a run that did not end; {advice}", name(path)))
            }
        };
    }
    if let Some(path) = plan.existing() {
        return error(format!(
            "holds {} already, and no record says what made it; {advice}",
            name(&path)
        ));
    }
    if is_program && !left_by_program(plan)?.is_empty() {
        return error(format!("is not empty; {advice}"));
    }
    Ok(None)
}

/// Every file in the output folder of a program, but for the marker.
fn left_by_program(plan: &Plan) -> Result<Vec<PathBuf>, ManipulationError> {
    if !plan.folder.is_dir() {
        return Ok(Vec::new());
    }
    let files = tree(&plan.folder)?.into_values();
    Ok(files.filter(|path| *path != plan.marker).collect())
}

/// Takes away what an earlier run wrote: by its record, and all that a program left that did not end (its folder was
/// empty when it began). Links and everything else stay.
fn clear(step: &Step, plan: &Plan) -> Result<(), ManipulationError> {
    if plan.marker.exists() && matches!(step.work, Work::Run(_)) {
        for path in left_by_program(plan)? {
            remove(&path)?;
        }
    }
    let Some(old) = Provenance::load(&plan.provenance) else { return Ok(()) };
    std::fs::write(&plan.marker, "").map_err(ManipulationError::write(&plan.marker))?;
    remove(&plan.provenance)?;
    for (_, path) in old.outputs_in(&plan.folder) {
        if std::fs::symlink_metadata(&path).is_ok_and(|kind| kind.is_file()) {
            remove(&path)?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), ManipulationError> {
    std::fs::remove_file(path).map_err(ManipulationError::write(path))
}

/// Everything that a program wrote, which must include text.
fn record_program_output(
    step: &Step,
    plan: &Plan,
    record: &mut Provenance,
) -> Result<(), ManipulationError> {
    let mut has_text = false;
    for (relative, path) in tree(&plan.folder)? {
        if path == plan.marker || path == plan.provenance {
            continue;
        }
        has_text |= !relative.contains('/') && is_corpus_file(&path) && has_word(&path)?;
        record.push("text", digest(&path, relative)?);
    }
    if has_text {
        return Ok(());
    }
    let reason = "the program ended well but wrote no .train or .txt file with text".to_owned();
    Err(ManipulationError::NothingLeft { step: step.index, path: step.output.clone(), reason })
}

fn has_word(path: &Path) -> Result<bool, ManipulationError> {
    let mut lines = Lines::open(path)?;
    while let Some(line) = lines.next()? {
        if !line.trim().is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Changes every file; returns warnings.
fn edit_files(
    step: &Step,
    edit: &LineEdit,
    pool: Option<&Pool>,
    plan: &Plan,
    record: &mut Provenance,
    observer: &mut Observer<'_>,
) -> Result<Vec<String>, ManipulationError> {
    let mut warnings = Vec::new();
    for file in &plan.files {
        let statistics = edit_file(edit, pool, file, record, observer)?;
        if let Some(refill) = &statistics.refill
            && statistics.tokens < statistics.original_tokens
        {
            let missing = statistics.original_tokens - statistics.tokens;
            warnings.push(format!(
                "{}: the pool of {} lines is used up, {missing} tokens are missing",
                file.name, refill.pool_lines
            ));
        }
        record.push_statistics(statistics);
    }
    if record.totals.counts.matched == 0 {
        warnings.push(format!(
            "{}: nothing in the text matched; the output equals the input",
            step.kind
        ));
    }
    if record.totals.tokens == 0 {
        let reason = match record.totals.original_tokens {
            0 => "the input holds no text",
            _ => "every word was removed",
        };
        let (path, reason) = (step.output.clone(), reason.to_owned());
        return Err(ManipulationError::NothingLeft { step: step.index, path, reason });
    }
    Ok(warnings)
}

/// Changes the lines of a text, with its parse where the change needs one.
enum Editor<'a> {
    Plain(&'a LineEdit),
    Parsed(Box<Ablator<'a>>),
}

impl<'a> Editor<'a> {
    fn open(
        edit: &'a LineEdit,
        text: &Path,
        parse: Option<&Path>,
    ) -> Result<Self, ManipulationError> {
        match (edit, parse) {
            (LineEdit::Parsed { ablation, case, .. }, Some(parse)) => {
                Ok(Self::Parsed(Box::new(Ablator::open(ablation, *case, text, parse)?)))
            }
            _ => Ok(Self::Plain(edit)),
        }
    }

    fn edit(&mut self, line: &str) -> Result<Ablated, ManipulationError> {
        let (text, counts) = match self {
            Self::Parsed(ablator) => return ablator.edit(line),
            Self::Plain(LineEdit::Words(words)) => words.edit(line),
            Self::Plain(LineEdit::Regex(regex)) => regex.edit(line),
            Self::Plain(LineEdit::Parsed { .. }) => unreachable!("a plan finds every parse"),
        };
        Ok(Ablated { text, parse: String::new(), counts })
    }

    fn finish(self) -> Result<(), ManipulationError> {
        match self {
            Self::Parsed(ablator) => ablator.finish(),
            Self::Plain(_) => Ok(()),
        }
    }
}

/// A text and, where there is one, its parse, being written.
struct Pair {
    text: Output,
    parse: Option<Output>,
}

impl Pair {
    fn create(text: &Path, parse: Option<&Path>) -> Result<Self, ManipulationError> {
        let parse = parse.map(Output::create).transpose()?;
        Ok(Self { text: Output::create(text)?, parse })
    }

    fn write(&mut self, line: &Ablated, end: &str) -> Result<(), ManipulationError> {
        self.text.text(&line.text)?;
        self.text.text(end)?;
        self.parse.as_mut().map_or(Ok(()), |parse| parse.text(&line.parse))
    }

    fn finish(self) -> Result<(FileDigest, Option<FileDigest>), ManipulationError> {
        Ok((self.text.finish()?, self.parse.map(Output::finish).transpose()?))
    }
}

fn edit_file(
    edit: &LineEdit,
    pool: Option<&Pool>,
    file: &FilePlan,
    record: &mut Provenance,
    observer: &mut Observer<'_>,
) -> Result<FileStatistics, ManipulationError> {
    let of = std::fs::metadata(&file.text).map_err(ManipulationError::read(&file.text))?.len();
    let mut statistics = FileStatistics { file_name: file.name.clone(), ..Default::default() };
    let mut editor = Editor::open(edit, &file.text, file.parse.as_deref())?;
    let mut out = Pair::create(&file.output, file.output_parse().as_deref())?;
    let mut lines = Lines::open(&file.text)?;
    let (mut line_end, mut told) = ("\n", 0);
    loop {
        let bytes = lines.bytes();
        if bytes - told >= PROGRESS {
            told = bytes;
            tell(observer, Event::Progress { file: &file.name, bytes, of })?;
        }
        let Some(line) = lines.next()? else { break };
        let (line, end) = split_end(line);
        let ablated = editor.edit(line)?;
        statistics.original_tokens += count_tokens(line);
        statistics.tokens += count_tokens(&ablated.text);
        statistics.counts += ablated.counts;
        line_end = if end == "\r\n" { "\r\n" } else { "\n" };
        let open = end.is_empty() && file.pool.is_some();
        let end = if open { line_end } else { end }.to_owned();
        if lines.byte_order_mark && statistics.original_lines == 0 {
            out.text.text("\u{FEFF}")?;
        }
        statistics.original_lines += 1;
        out.write(&ablated, &end)?;
    }
    editor.finish()?;
    let before = i64::try_from(statistics.original_tokens).unwrap_or(i64::MAX);
    let after = i64::try_from(statistics.tokens).unwrap_or(i64::MAX);
    statistics.tokens_removed = before - after;
    statistics.proportion_removed = proportion(before - after, before);
    statistics.lines = statistics.original_lines;
    if let Some(pool) = pool {
        refill(edit, pool, file, line_end, &mut out, &mut statistics, record)?;
    }
    let (text, parse) = out.finish()?;
    record.push("text", text);
    if let Some(parse) = parse {
        record.push("parses", parse);
    }
    Ok(statistics)
}

#[expect(clippy::cast_precision_loss, reason = "a share, to be looked at")]
fn proportion(part: i64, whole: i64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Fills a file up from its pool, and saves what the pool has left.
fn refill(
    edit: &LineEdit,
    pool: &Pool,
    file: &FilePlan,
    line_end: &str,
    out: &mut Pair,
    statistics: &mut FileStatistics,
    record: &mut Provenance,
) -> Result<(), ManipulationError> {
    let (Some(path), Some((rest, rest_parse))) = (&file.pool, file.remainder()) else {
        return Ok(());
    };
    let mut editor = Editor::open(edit, path, file.pool_parse.as_deref())?;
    let mut lines = Lines::open(path)?;
    let mut pool_lines = Vec::new();
    while let Some(line) = lines.next()? {
        let (line, _) = split_end(line);
        let (ablated, tokens_before) = (editor.edit(line)?, count_tokens(line));
        pool_lines.push(PoolLine { ablated, tokens_before });
    }
    editor.finish()?;

    let wanted = statistics.original_tokens;
    let missing = wanted.saturating_sub(statistics.tokens);
    let (drawn, tokens_drawn) = draw(&pool_lines, missing, pool.seed, &file.name);
    if tokens_drawn < missing && !pool.allow_short {
        let (pool, file) = (path.clone(), file.name.clone());
        let missing = missing - tokens_drawn;
        return Err(ManipulationError::PoolShort { pool, file, wanted, missing });
    }
    let mut taken = vec![false; pool_lines.len()];
    let mut counts = super::Counts::default();
    for &line in &drawn {
        taken[line] = true;
        counts += pool_lines[line].ablated.counts;
        out.write(&pool_lines[line].ablated, line_end)?;
    }
    let folder = super::parent(&rest);
    std::fs::create_dir_all(&folder).map_err(ManipulationError::write(&folder))?;
    let mut remainder = Pair::create(&rest, rest_parse.as_deref())?;
    for (line, _) in pool_lines.iter().zip(&taken).filter(|(_, taken)| !**taken) {
        remainder.write(&line.ablated, line_end)?;
    }
    let in_folder =
        |file: FileDigest| FileDigest { name: format!("{REMAINDER}/{}", file.name), ..file };
    let (text, parse) = remainder.finish()?;
    record.push("remainder", in_folder(text));
    if let Some(parse) = parse {
        record.push("remainder_parses", in_folder(parse));
    }
    statistics.tokens += tokens_drawn;
    statistics.lines += drawn.len() as u64;
    statistics.refill = Some(RefillStatistics {
        pool_lines: pool_lines.len() as u64,
        lines_drawn: drawn.len() as u64,
        tokens_drawn,
        lines_remaining: (pool_lines.len() - drawn.len()) as u64,
        counts,
    });
    Ok(())
}
