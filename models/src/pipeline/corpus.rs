//! The first stage: where the text is.

use super::{Notice, Pipeline, Say, grouped};
use crate::config::{Corpus, Synthetic};
use crate::data::DataError;
use crate::data::manipulate::{Event, Mode, Step, StepReport, run_steps};
use crate::data::synthetic::{Grammar, grammar_text, minimal_pairs, write_corpus, write_pairs};
use crate::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Minimal pairs made for each phenomenon of a grammar.
const PAIRS: usize = 200;

/// Where the training text is, and the minimal pairs that came with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CorpusPaths {
    /// A file or folder.
    pub training: PathBuf,
    /// A folder of `.jsonl` files, one a phenomenon: of a synthetic corpus.
    pub minimal_pairs: Option<PathBuf>,
}

impl Pipeline {
    /// The corpus of the configuration; a synthetic one is written into the cache, if it is not there.
    ///
    /// # Errors
    /// A grammar that cannot be used, a disk that refuses. Files are looked at by the next stage.
    pub fn corpus(&self, say: Say<'_>) -> Result<CorpusPaths, Error> {
        self.manipulate(Mode::Keep, say)?;
        match &self.config.data.corpus {
            Corpus::Files(path) => Ok(CorpusPaths { training: path.clone(), minimal_pairs: None }),
            Corpus::Synthetic(synthetic) => self.synthetic(synthetic, say),
        }
    }

    /// The steps of `dataset_manipulation`, in order; what they made before is kept.
    ///
    /// # Errors
    /// A step that is wrong, an input that is missing, a program that fails.
    pub fn manipulate(&self, mode: Mode, say: Say<'_>) -> Result<Vec<StepReport>, Error> {
        let steps = Step::of_config(&self.config)?;
        if steps.is_empty() {
            return Ok(Vec::new());
        }
        say(Notice::Stage("dataset manipulation"));
        let reports = run_steps(&steps, mode, &mut |event| {
            if let Event::Said { line } = event {
                say(Notice::Info(line.to_owned()));
            }
            ControlFlow::Continue(())
        })?;
        for report in &reports {
            say(Notice::Info(report.plan.clone()));
            report.warnings.iter().for_each(|w| say(Notice::Warning(w.clone())));
        }
        Ok(reports)
    }

    /// Where a synthetic corpus lies, or will, and its grammar.
    pub(super) fn synthetic_folder(
        &self,
        synthetic: &Synthetic,
    ) -> Result<(PathBuf, Grammar), Error> {
        let text = grammar_text(&synthetic.grammar)?;
        let grammar = Grammar::parse(&synthetic.grammar.display().to_string(), &text)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(text.as_bytes());
        hasher.update(&synthetic.sentences.to_le_bytes());
        hasher.update(&synthetic.seed.to_le_bytes());
        hasher.update(&PAIRS.to_le_bytes());
        let name = &hasher.finalize().to_hex()[..16];
        Ok((self.cache.join(format!("synthetic-{name}")), grammar))
    }

    fn synthetic(&self, synthetic: &Synthetic, say: Say<'_>) -> Result<CorpusPaths, Error> {
        let (folder, grammar) = self.synthetic_folder(synthetic)?;
        let paths = CorpusPaths {
            training: folder.join("corpus.txt"),
            minimal_pairs: Some(folder.join("minimal_pairs")),
        };
        if folder.is_dir() {
            say(Notice::Info(format!("synthetic corpus: {} (made before)", folder.display())));
            return Ok(paths);
        }
        say(Notice::Stage("synthetic corpus"));
        let write =
            |path: &Path, source| Error::Data(DataError::Write { path: path.to_owned(), source });
        std::fs::create_dir_all(&self.cache).map_err(|e| write(&self.cache, e))?;
        let fresh = tempfile::Builder::new()
            .prefix("synthetic.tmp-")
            .tempdir_in(&self.cache)
            .map_err(|e| write(&self.cache, e))?;
        let corpus = fresh.path().join("corpus.txt");
        let stats = write_corpus(&grammar, synthetic.sentences, synthetic.seed, &corpus)?;
        let phenomena = minimal_pairs(&grammar, synthetic.seed, PAIRS, synthetic.sentences)?;
        write_pairs(&phenomena, fresh.path().join("minimal_pairs"))?;
        match std::fs::rename(fresh.path(), &folder) {
            Ok(()) => drop(fresh.keep()),
            // Another process was faster with the same text.
            Err(_) if folder.is_dir() => {}
            Err(e) => return Err(write(&folder, e)),
        }
        say(Notice::Info(format!(
            "{} sentences, {} words, and {} minimal pairs for each of {} phenomena, none of their \
             good sentences in the text: {}",
            grouped(stats.sentences),
            grouped(stats.words),
            PAIRS,
            phenomena.len(),
            folder.display()
        )));
        Ok(paths)
    }
}
