//! A grammar ready to be drawn from: plain context-free expansions with cumulative probabilities.

use std::io::Read;
use std::path::Path;

use super::analyse::{check, measure};
use super::compile::compile;
use super::error::{GrammarError, READ, Source};
use super::expand::{Symbol, expand};
use super::parse::{parse, utf8};
use super::resolve::resolve;
use super::syntax::Spelling;

/// Rules that one sentence may use; beyond, it is finished by the shortest way.
pub(super) const MAX_RULES_PER_SENTENCE: u64 = 10_000;

/// A grammar file is text written by hand; more is a mistake.
const MAX_BYTES: u64 = 4 << 20;

/// A weighted context-free grammar with agreement features, compiled.
///
/// ```
/// # use foundry_models::data::synthetic::Grammar;
/// let text = r#"
/// feature num = sg, pl
/// start S
/// S -> N[num=?n] V[num=?n] "."
/// words N forms [num=sg] [num=pl]
///   dog dogs
/// words V forms [num=sg] [num=pl]
///   sleeps sleep
/// "#;
/// let grammar = Grammar::parse("example", text)?;
/// let sentence = grammar.sentence(42, 0);
/// assert!(sentence == "dog sleeps." || sentence == "dogs sleep.");
/// assert!(grammar.accepts(&sentence) && !grammar.accepts("dogs sleeps."));
/// # Ok::<(), foundry_models::data::synthetic::GrammarError>(())
/// ```
#[derive(Debug)]
pub struct Grammar {
    pub(super) name: String,
    pub(super) words: Vec<Word>,
    pub(super) spellings: Vec<Spelling>,
    pub(super) lexicals: Vec<Lexical>,
    pub(super) phrases: Vec<Phrase>,
    pub(super) start: Symbol,
    pub(super) depth: u32,
    pub(super) phenomena: Vec<Phenomenon>,
    pub(super) lexemes: usize,
    pub(super) hash: String,
}

/// A word of the text.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) text: String,
    /// Punctuation is written without a space before it.
    pub(super) attaches: bool,
    /// Another spelling that it has before some words.
    pub(super) spelling: Option<usize>,
    /// The spellings that it calls for in the word before it, a bit each.
    pub(super) calls_for: u64,
}

/// A choice among forms or expansions: the probabilities summed up to and including each.
#[derive(Debug)]
pub(super) struct Choice(Vec<f64>);

impl Choice {
    pub(super) fn new(weights: impl Iterator<Item = f64>) -> Self {
        let mut sum = 0.0;
        Self(
            weights
                .map(|w| {
                    sum += w;
                    sum
                })
                .collect(),
        )
    }

    /// Chooses among the first `count` by a number in [0, 1), their probabilities renormalised.
    #[inline]
    pub(super) fn pick(&self, unit: f64, count: usize) -> usize {
        let sums = &self.0[..count];
        let Some(total) = sums.last() else { return 0 };
        let x = unit * total;
        sums.partition_point(|&sum| sum <= x).min(count - 1)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A category with values for its features, and the words that it may be.
#[derive(Debug)]
pub(super) struct Lexical {
    pub(super) words: Vec<u32>,
    pub(super) choice: Choice,
}

/// A category with values for its features, and what it may expand to; the lowest derivations first.
#[derive(Debug)]
pub(super) struct Phrase {
    pub(super) expansions: Vec<Expansion>,
    pub(super) choice: Choice,
    /// The expansion that is finished with the fewest rules.
    pub(super) cheapest: usize,
    /// How many rules that takes, its own included.
    pub(super) cost: u64,
}

#[derive(Debug)]
pub(super) struct Expansion {
    pub(super) parts: Vec<Symbol>,
    /// The lowest tree that it can head.
    pub(super) height: u32,
    /// The rules that its parts need at least.
    pub(super) parts_cost: u64,
}

/// A phenomenon that the grammar controls, and the patterns of its minimal pairs.
#[derive(Debug)]
pub(super) struct Phenomenon {
    pub(super) name: String,
    pub(super) field: String,
    pub(super) term: String,
    pub(super) choice: Choice,
    pub(super) patterns: Vec<Pattern>,
}

/// A pattern with its variables bound, and the words contrasted in its slot.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) line: usize,
    pub(super) parts: Vec<Symbol>,
    pub(super) slot: usize,
    pub(super) contrasts: Vec<Contrast>,
    pub(super) choice: Choice,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Contrast {
    pub(super) good: u32,
    pub(super) bad: u32,
    /// Are they forms of one lexeme?
    pub(super) one_lexeme: bool,
}

/// The grammars that the program carries, by the names that stand for them where a file could be named.
const BUILT_IN: [(&str, &str); 1] =
    [("english", include_str!("../../../../configs/grammars/english.grammar"))];

/// The text of a grammar that the program carries, if `path` is the name of one (and not `./name`, which is a file).
#[must_use]
pub fn built_in(path: &Path) -> Option<&'static str> {
    let name = path.as_os_str();
    BUILT_IN.iter().find(|(known, _)| name == *known).map(|(_, text)| *text)
}

/// The text of a grammar: one that the program carries, or a file.
///
/// # Errors
/// [`GrammarError::Io`] if the file cannot be read, [`GrammarError::Invalid`] if it is not UTF-8.
pub fn grammar_text(path: &Path) -> Result<String, GrammarError> {
    if let Some(text) = built_in(path) {
        return Ok(text.to_owned());
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|e| GrammarError::io(READ, path, e))?;
    if bytes.len() as u64 > MAX_BYTES {
        let message = format!("it is larger than {MAX_BYTES} bytes, so it is hardly a grammar");
        return Err(GrammarError::io(READ, path, std::io::Error::other(message)));
    }
    utf8(&path.display().to_string(), bytes)
}

impl Grammar {
    /// Reads and compiles a grammar: a file, or one that the program carries.
    ///
    /// # Errors
    /// [`GrammarError::Io`] if the file cannot be read, [`GrammarError::Invalid`] if it is no grammar.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, GrammarError> {
        let path = path.as_ref();
        Self::parse(&path.display().to_string(), &grammar_text(path)?)
    }

    /// Compiles a grammar; `name` stands in its error messages.
    ///
    /// # Errors
    /// [`GrammarError::Invalid`], with line and column, if the text is no grammar: a slip of syntax, an unknown
    /// name, a symbol that never ends, or something that nothing uses.
    pub fn parse(name: &str, text: &str) -> Result<Self, GrammarError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let source = Source { name, text };
        let syntax = parse(&source)?;
        let resolution = resolve(&source, &syntax)?;
        let expanded = expand(&source, &resolution)?;
        let measures = measure(&expanded);
        check(&source, &resolution, &expanded, &measures)?;
        compile(&source, &syntax, &resolution, &expanded, &measures)
    }

    /// The name that the grammar was given: its path where it was loaded.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of lexical items: entries of word tables, whatever the number of their forms.
    #[must_use]
    pub fn lexemes(&self) -> usize {
        self.lexemes
    }

    /// The names of the phenomena that it has minimal pairs for.
    pub fn phenomena(&self) -> impl Iterator<Item = &str> {
        self.phenomena.iter().map(|p| p.name.as_str())
    }

    /// BLAKE3 of the grammar's text, in hexadecimal: with seed and number of sentences it names the corpus.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }
}
