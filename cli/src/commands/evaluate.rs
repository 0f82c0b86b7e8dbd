//! `foundry evaluate`: score a trained model, or every checkpoint of its run.

use crate::failure::Failure;
use crate::setup;
use crate::terminal::{out, out_json, out_line, say};
use foundry_models::error::Error;
use foundry_models::eval::ngram::Unigram;
use foundry_models::eval::pairs::{
    PAIR_COLUMNS, Paradigm, ParadigmScore, SUMMARY_COLUMNS, by_phenomenon, by_suite, overall,
    summary_rows,
};
use foundry_models::eval::pseudo::Hiding;
use foundry_models::eval::stimuli::{Reader, Stimuli};
use foundry_models::eval::surprisal::{self, score_stimuli};
use foundry_models::eval::syntaxgym::{
    PREDICTION_COLUMNS, PredictionScore, REGION_COLUMNS, Suite, read_suites, score_suite,
};
use foundry_models::eval::table::{Origin, ScoredBy, Table};
use foundry_models::eval::{Detail, EvalError, Perplexity, Scorer, read_pairs, score_pairs};
use foundry_models::pipeline::{
    Context, Notice, PERPLEXITY_COLUMNS, Trained, ngram, perplexity_of, perplexity_row,
    texts_for_perplexity, unigram,
};
use foundry_models::train::signals::StopFlag;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A run folder (its newest checkpoint), a checkpoint folder, or a Hugging Face folder.
    model: PathBuf,
    /// A text file or a folder of them: perplexity per token, word and byte, of each file.
    #[arg(long, value_name = "FILE|DIR")]
    perplexity: Option<PathBuf>,
    /// Perplexity of each line by itself, instead of all as one stream as in training.
    #[arg(long, requires = "perplexity")]
    by_line: bool,
    /// Minimal pairs (BLiMP or other .jsonl, .csv, .tsv, Zorro's .txt): is the good sentence the more probable?
    #[arg(long, value_name = "FILE|DIR")]
    minimal_pairs: Option<PathBuf>,
    /// Sentences, one a line (or .jsonl with text or regions): the surprisal of every token, word and region.
    #[arg(long, value_name = "FILE")]
    surprisal: Option<PathBuf>,
    /// SyntaxGym's suites (.json): how often do their predictions about regions hold?
    #[arg(long, value_name = "FILE|DIR")]
    syntaxgym: Option<PathBuf>,
    /// Also score with an N-gram model of the training text (interpolated modified Kneser-Ney).
    #[arg(long, value_name = "N")]
    ngram: Option<usize>,
    /// Also give SLOR: log-probability minus that of the tokens by their frequency, a token.
    #[arg(long)]
    slor: bool,
    /// What is hidden from a model that sees both sides, besides the token that is asked for.
    #[arg(long, value_enum, default_value_t = Pll::WithinWord)]
    pll: Pll,
    /// Score every checkpoint of the run, oldest first.
    #[arg(long)]
    all_checkpoints: bool,
    /// Also write tidy tables (.csv) into this folder: a row for each file, pair, token.
    #[arg(long, value_name = "DIR")]
    tables: Option<PathBuf>,
    /// Tokens by which scoring windows move on texts longer than the context; half the context by default.
    #[arg(long)]
    stride: Option<usize>,
    /// Also score the token that ends a sentence.
    #[arg(long)]
    score_end: bool,
    /// Where to compute: auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Print as JSON: a line for each sentence of --surprisal, then one object with the rest.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Pll {
    /// Nothing else (Salazar et al. 2020).
    Token,
    /// The tokens of its word that come after it (Kauf and Ivanova 2023).
    WithinWord,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let reported =
        args.perplexity.is_some() || args.minimal_pairs.is_some() || args.syntaxgym.is_some();
    if !reported && args.surprisal.is_none() {
        return Err(Failure::usage(
            "nothing to score: give --perplexity FILE, --minimal-pairs FILE, --surprisal FILE or --syntaxgym FILE",
        ));
    }
    let stop = StopFlag::on_signals().map_err(Failure::runtime)?;
    let mut trained = setup::place(Trained::load(&args.model)?, &args.device)?;
    trained.notes.iter().for_each(say);
    if !trained.scores_first_token() {
        say("first tokens are not scored: the model was trained without a boundary token");
    }
    let pool = setup::threads(None, trained.config.as_ref())?;
    let (checkpoints, damaged) = match args.all_checkpoints {
        true => trained.checkpoints()?,
        false => (vec![trained.folder.clone()], Vec::new()),
    };
    damaged.iter().for_each(say);
    let mut evaluation = Evaluation::new(args, &trained, &stop)?;
    let mut note = |notice: Notice<'_>| notice.text().into_iter().for_each(say);
    let unigram = args.slor.then(|| unigram(&trained, &stop, &mut note)).transpose()?;
    let (mut reports, mut baseline) = (Vec::new(), None);
    for folder in checkpoints {
        if folder != trained.folder {
            trained.switch_to(&folder)?;
        }
        if args.all_checkpoints {
            evaluation.tell(folder.display())?;
        }
        reports.push(pool.install(|| evaluation.of_model(&trained, unigram.as_ref()))?);
        trained.device.check()?;
    }
    if let Some(order) = args.ngram {
        let counted = pool.install(|| ngram(&trained, order, &stop, &mut note))?;
        evaluation.tell(format_args!("kn{order}, of {} tokens", counted.tokens()))?;
        let reader = Reader {
            both_ways: false,
            unigram: unigram.as_ref(),
            ..trained.reader(args.score_end)
        };
        let origin = Origin { scorer: ScoredBy::Ngram(order), ..Origin::default() };
        baseline = Some(pool.install(|| evaluation.of(&trained, &counted, &reader, origin))?);
    }
    evaluation.finish()?;
    if args.json && reported {
        let report = match reports.pop() {
            Some(report) if !args.all_checkpoints => report,
            last => json!({ "checkpoints": reports.into_iter().chain(last).collect::<Vec<_>>() }),
        };
        let mut report = report;
        if let Some(baseline) = baseline {
            report["baseline"] = baseline;
        }
        if args.surprisal.is_some() { out_line(&report)? } else { out_json(&report)? }
    }
    Ok(ExitCode::SUCCESS)
}

/// What is scored, and where the results go.
struct Evaluation<'a> {
    args: &'a Args,
    stop: &'a StopFlag,
    texts: Vec<PathBuf>,
    /// Read once, whatever the number of checkpoints.
    pairs: Vec<Paradigm>,
    suites: Vec<Suite>,
    tables: Tables,
    /// Whether a table on standard output has its header.
    headed: bool,
}

#[derive(Default)]
struct Tables {
    perplexity: Option<Table>,
    summary: Option<Table>,
    pairs: Option<Table>,
    tokens: Option<Table>,
    predictions: Option<Table>,
    regions: Option<Table>,
}

impl<'a> Evaluation<'a> {
    /// Looks at all that is asked for before any of it is scored.
    fn new(args: &'a Args, trained: &Trained, stop: &'a StopFlag) -> Result<Self, Failure> {
        let texts = match &args.perplexity {
            Some(path) => texts_for_perplexity(trained, path, Self::context(args))?,
            None => Vec::new(),
        };
        if let Some(path) = &args.surprisal {
            // A pipe can be read only once.
            let pipe = std::fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir());
            if !pipe && Stimuli::open(path).map_err(Error::from)?.next().is_none() {
                return Err(empty(path));
            }
        }
        let pairs = match &args.minimal_pairs {
            Some(path) => read_pairs(path).map_err(Error::from)?,
            None => Vec::new(),
        };
        let suites = match &args.syntaxgym {
            Some(path) => read_suites(path).map_err(Error::from)?,
            None => Vec::new(),
        };
        let table = |wanted: &Option<PathBuf>, name: &str, columns| {
            let folder = args.tables.as_ref().filter(|_| wanted.is_some());
            folder
                .map(|f| Table::create_whole(&f.join(name), columns))
                .transpose()
                .map_err(Error::from)
        };
        let tables = Tables {
            perplexity: table(&args.perplexity, "perplexity.csv", PERPLEXITY_COLUMNS)?,
            summary: table(&args.minimal_pairs, "minimal_pairs.csv", SUMMARY_COLUMNS)?,
            pairs: table(&args.minimal_pairs, "pairs.csv", PAIR_COLUMNS)?,
            tokens: table(&args.surprisal, "surprisal.csv", surprisal::COLUMNS)?,
            predictions: table(&args.syntaxgym, "syntaxgym.csv", PREDICTION_COLUMNS)?,
            regions: table(&args.syntaxgym, "syntaxgym_regions.csv", REGION_COLUMNS)?,
        };
        Ok(Self { args, stop, texts, pairs, suites, tables, headed: false })
    }

    fn context(args: &Args) -> Context {
        let (stride, score_end) = (args.stride, args.score_end);
        if args.by_line { Context::Line { score_end } } else { Context::Stream(stride) }
    }

    /// Words for people: beside the rows of a table on standard output, where they would stand among them.
    fn tell(&self, line: impl std::fmt::Display) -> Result<(), Failure> {
        match (self.args.json, &self.args.surprisal) {
            (true, _) => Ok(()),
            (false, Some(_)) => {
                say(line);
                Ok(())
            }
            (false, None) => out(line),
        }
    }

    /// Scores one checkpoint.
    fn of_model(&mut self, trained: &Trained, unigram: Option<&Unigram>) -> Result<Value, Failure> {
        let hiding = match self.args.pll {
            Pll::Token => Hiding::Token,
            Pll::WithinWord => Hiding::WithinWord,
        };
        let origin = Origin { scorer: trained.scored_by(hiding), ..trained.origin };
        let scorer = trained.scorer(self.args.stride, hiding, self.stop)?;
        let reader = Reader { unigram, ..trained.reader(self.args.score_end) };
        self.of(trained, &*scorer, &reader, origin)
    }

    /// Scores with anything that gives tokens probabilities.
    fn of(
        &mut self,
        trained: &Trained,
        scorer: &dyn Scorer,
        reader: &Reader<'_>,
        origin: Origin,
    ) -> Result<Value, Failure> {
        let args = self.args;
        let first_token_scored = Some(reader.scores_first_token());
        let origin = Origin { first_token_scored, ..origin };
        let mut report = Map::new();
        report.insert("model".into(), json!(trained.folder));
        if let Value::Object(origin) = json!(origin) {
            report.extend(origin);
        }
        if args.perplexity.is_some() {
            let (all, files) = self.perplexity(trained, scorer, &origin)?;
            report.insert("perplexity".into(), all);
            report.insert("perplexity_of_files".into(), files.into());
        }
        if args.minimal_pairs.is_some() {
            let scores = self.minimal_pairs(scorer, reader, &origin)?;
            let json = |p: &ParadigmScore| {
                let mut object = json!(p);
                object["accuracy"] = p.accuracy().into();
                object["accuracy_by_slor"] = p.accuracy_by_slor().into();
                object
            };
            let list = |scores: &[ParadigmScore]| scores.iter().map(json).collect::<Vec<_>>();
            report.insert("minimal_pairs".into(), list(&scores).into());
            report.insert("phenomena".into(), list(&by_phenomenon(&scores)).into());
            report.insert("suites".into(), list(&by_suite(&scores)).into());
            report.insert("all_pairs".into(), json(&overall(&scores)));
        }
        if let Some(path) = &args.surprisal {
            self.surprisal(scorer, reader, &origin, path)?;
        }
        if args.syntaxgym.is_some() {
            report.insert("syntaxgym".into(), self.syntaxgym(scorer, reader, &origin)?.into());
        }
        Ok(report.into())
    }

    fn finish(self) -> Result<(), Failure> {
        let Tables { perplexity, summary, pairs, tokens, predictions, regions } = self.tables;
        let tables = [perplexity, summary, pairs, tokens, predictions, regions];
        for table in tables.into_iter().flatten() {
            table.finish().map_err(Error::from)?;
        }
        Ok(())
    }

    fn perplexity(
        &mut self,
        trained: &Trained,
        scorer: &dyn Scorer,
        origin: &Origin,
    ) -> Result<(Value, Vec<Value>), Failure> {
        let context = Self::context(self.args);
        let mut all = Perplexity::default();
        let mut rows = Vec::new();
        for file in &self.texts {
            let p = perplexity_of(trained, scorer, file, context, self.stop)?;
            all.add(&p);
            let name = file.display().to_string();
            if let Some(table) = &mut self.tables.perplexity {
                table.line(&perplexity_row(origin, &name, &p)).map_err(Error::from)?;
            }
            if self.texts.len() > 1 {
                self.tell(format_args!(
                    "{name:<40} perplexity {:.3} a token, {:.3} a word ({})",
                    p.per_token(),
                    p.per_word(),
                    unknown(p.unknown_tokens, p.tokens)
                ))?;
            }
            let mut row = perplexity_json(&p);
            row["file"] = name.into();
            rows.push(row);
        }
        self.tell_perplexity(&all)?;
        Ok((perplexity_json(&all), rows))
    }

    fn minimal_pairs(
        &mut self,
        scorer: &dyn Scorer,
        reader: &Reader<'_>,
        origin: &Origin,
    ) -> Result<Vec<ParadigmScore>, Failure> {
        let mut scores = Vec::new();
        let table = &mut self.tables.pairs;
        for paradigm in &self.pairs {
            let score = score_pairs(scorer, reader, paradigm, |pair, score| {
                self.stop.check()?;
                match table {
                    Some(table) => table.line(&score.row(origin, paradigm, pair)),
                    None => Ok::<_, EvalError>(()),
                }
            });
            scores.push(score.map_err(Error::from)?);
        }
        if let Some(table) = &mut self.tables.summary {
            for row in summary_rows(origin, &scores) {
                table.line(&row).map_err(Error::from)?;
            }
        }
        for score in &scores {
            self.tell_pairs(&score.paradigm, score)?;
        }
        let phenomena = by_phenomenon(&scores);
        if phenomena.len() > 1 && phenomena.len() < scores.len() {
            for score in &phenomena {
                self.tell_pairs(&format!("  {}", score.phenomenon), score)?;
            }
        }
        if scores.len() > 1 {
            self.tell_pairs("all", &overall(&scores))?;
        }
        Ok(scores)
    }

    fn syntaxgym(
        &mut self,
        scorer: &dyn Scorer,
        reader: &Reader<'_>,
        origin: &Origin,
    ) -> Result<Vec<Value>, Failure> {
        let mut list = Vec::new();
        for suite in &self.suites {
            let regions = &mut self.tables.regions;
            let scores: Vec<PredictionScore> = score_suite(scorer, reader, origin, suite, |row| {
                self.stop.check()?;
                match regions {
                    Some(regions) => regions.line(row),
                    None => Ok::<_, EvalError>(()),
                }
            })
            .map_err(Error::from)?;
            for score in scores {
                if let Some(table) = &mut self.tables.predictions {
                    table.line(&score.row(origin)).map_err(Error::from)?;
                }
                let name = format!("{} {}", score.suite, score.prediction);
                self.tell(format_args!(
                    "{name:<56} {:>5} / {:<5}           {:5.1} %  {}",
                    score.right,
                    score.items,
                    100.0 * score.accuracy(),
                    unknown(score.unknown_tokens as u64, score.tokens as u64)
                ))?;
                let mut object = json!(score);
                object["accuracy"] = score.accuracy().into();
                list.push(object);
            }
        }
        Ok(list)
    }

    fn surprisal(
        &mut self,
        scorer: &dyn Scorer,
        reader: &Reader<'_>,
        origin: &Origin,
        path: &Path,
    ) -> Result<(), Failure> {
        let (json, stop, table) = (self.args.json, self.stop, &mut self.tables.tokens);
        if !json && !self.headed {
            out(format_args!("{},{}", Origin::COLUMNS, surprisal::COLUMNS))?;
            self.headed = true;
        }
        let stimuli = Stimuli::open(path).map_err(Error::from)?;
        let each = |scored: surprisal::Scored| {
            stop.check().map_err(EvalError::from)?;
            if json {
                out_line(&scored.to_json(reader, origin))?;
            }
            if !json || table.is_some() {
                for row in scored.rows(reader, origin) {
                    if !json {
                        out(&row)?;
                    }
                    if let Some(table) = table {
                        table.line(&row).map_err(Error::from)?;
                    }
                }
            }
            Ok::<_, Stop>(())
        };
        match score_stimuli(scorer, reader, stimuli, Detail::Distribution, each) {
            Ok(0) => Err(empty(path)),
            Ok(_) => Ok(()),
            Err(Stop(failure)) => Err(failure),
        }
    }

    fn tell_pairs(&self, name: &str, score: &ParadigmScore) -> Result<(), Failure> {
        let slor =
            score.accuracy_by_slor().map(|share| format!("  by SLOR {:5.1} %", 100.0 * share));
        self.tell(format_args!(
            "{name:<56} {:>5} / {:<5} ties {:>3}  {:5.1} %{}  {}",
            score.right,
            score.pairs,
            score.ties,
            100.0 * score.accuracy(),
            slor.unwrap_or_default(),
            unknown(score.unknown_tokens as u64, score.tokens as u64)
        ))
    }

    fn tell_perplexity(&self, p: &Perplexity) -> Result<(), Failure> {
        let unknown = unknown(p.unknown_tokens, p.tokens);
        self.tell(format_args!("tokens scored  {} ({unknown})", p.tokens))?;
        self.tell(format_args!("loss           {:.4} nats a token", p.nats_per_token()))?;
        self.tell(format_args!(
            "perplexity     {:.3} a token, {:.3} a word, {:.4} a byte",
            p.per_token(),
            p.per_word(),
            p.per_byte()
        ))?;
        self.tell(format_args!("bits a byte    {:.4}", p.bits_per_byte()))
    }
}

/// Why scoring ends early.
struct Stop(Failure);

impl From<EvalError> for Stop {
    fn from(error: EvalError) -> Self {
        Self(Error::from(error).into())
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self(error.into())
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

fn perplexity_json(p: &Perplexity) -> Value {
    json!({
        "nll_nats": p.nll_nats,
        "tokens": p.tokens,
        "words": p.words,
        "bytes": p.bytes,
        "unknown_tokens": p.unknown_tokens,
        "nats_per_token": p.nats_per_token(),
        "perplexity_per_token": p.per_token(),
        "perplexity_per_word": p.per_word(),
        "perplexity_per_byte": p.per_byte(),
        "bits_per_byte": p.bits_per_byte(),
    })
}

fn empty(path: &Path) -> Failure {
    Error::Mismatch(format!("{} is empty", path.display())).into()
}

/// The share of tokens that the vocabulary does not know.
#[expect(clippy::cast_precision_loss, reason = "a percentage")]
fn unknown(unknown: u64, of: u64) -> String {
    format!("{:.2} % <unk>", 100.0 * unknown as f64 / of.max(1) as f64)
}
