//! What can be wrong with a grammar, and how it is said: file:line:column, the line, a caret, the way to mend it.

use std::path::{Path, PathBuf};

/// Why a grammar could not be read, or could not give what was asked of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrammarError {
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}: {source}{}", absolute(path), mend(action, source))]
    Io {
        /// What was being done, as a verb: "read the grammar file", "write the corpus".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is not a grammar.
    #[error("{name}:{line}:{column}: {message}\n{excerpt}")]
    Invalid {
        /// The file, or whatever name the text was given.
        name: String,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        /// What was expected, and how to mend it.
        message: String,
        /// The offending line with a caret under the column.
        excerpt: String,
    },
    /// A phenomenon cannot give as many minimal pairs as were asked for.
    #[error(
        "phenomenon '{phenomenon}' gives only {found} of {wanted} minimal pairs: {tried} candidates were drawn, \
         of which {repeated} repeated another, {trained} had a good sentence that stands in the training text and \
         {ambiguous} a bad sentence that the grammar itself generates{example}. Give the phenomenon longer or more \
         varied patterns or more words, or ask for fewer training sentences"
    )]
    TooFewPairs {
        /// Its name.
        phenomenon: String,
        /// Pairs asked for.
        wanted: usize,
        /// Pairs that passed every check.
        found: usize,
        /// Candidates drawn.
        tried: u64,
        /// Candidates that were there already.
        repeated: u64,
        /// Candidates that occur in the training text.
        trained: u64,
        /// Candidates whose bad sentence is grammatical.
        ambiguous: u64,
        /// One such bad sentence, in brackets, or nothing.
        example: String,
    },
    /// A phenomenon calls a sentence good that its own grammar does not generate.
    #[error(
        "{name}:{line}: phenomenon '{phenomenon}' calls \"{sentence}\" good, but the grammar's rules do not generate \
         it: a model would be tested on what it was never shown. Let the pattern follow the rules, or add a rule"
    )]
    NotGenerated {
        /// The grammar.
        name: String,
        /// The line of the pattern.
        line: usize,
        /// The phenomenon.
        phenomenon: String,
        /// The sentence.
        sentence: String,
    },
    /// The folder for the pairs holds pairs of something else, which would be scored with them.
    #[error(
        "{} is not one of this grammar's phenomena; move it away or choose an empty folder, or it would be scored \
         with the new pairs",
        path.display()
    )]
    ForeignPairs {
        /// The file in the way.
        path: PathBuf,
    },
}

impl GrammarError {
    /// The process exit code: 2 for a fault of the grammar or of the request, 3 for a file that cannot be read, 1 for one
    /// that cannot be written.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Io { action, .. } if *action == READ => 3,
            Self::Io { .. } => 1,
            _ => 2,
        }
    }

    pub(super) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), source }
    }
}

/// The path from the root, as it was tried.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

fn mend(action: &str, source: &std::io::Error) -> &'static str {
    match (action, source.kind()) {
        (READ, std::io::ErrorKind::NotFound) => {
            "\n  mend: name a file that is there; relative paths start at the current folder, and 'grammar: english' \
             needs no file"
        }
        _ => "",
    }
}

/// The one action of [`GrammarError::Io`] that is the user's to mend.
pub(super) const READ: &str = "read the grammar file";

/// A place in the text: line and column (in characters), both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A grammar's text and the name to call it by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    pub(super) fn error(&self, at: Span, message: impl Into<String>) -> GrammarError {
        let line = self.text.lines().nth(at.line - 1).unwrap_or("");
        GrammarError::Invalid {
            name: self.name.to_owned(),
            line: at.line,
            column: at.column,
            message: message.into(),
            excerpt: excerpt(line, at),
        }
    }
}

/// The line around a column, cut to a terminal's width, with a caret beneath; control characters are made visible.
fn excerpt(line: &str, at: Span) -> String {
    const BEFORE: usize = 60;
    const AFTER: usize = 50;
    let column = at.column - 1;
    let first = column.saturating_sub(BEFORE);
    let shown: String = line
        .chars()
        .skip(first)
        .take(BEFORE + AFTER)
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect();
    let number = at.line.to_string();
    let margin = " ".repeat(number.len());
    let (dots, indent) = if first > 0 { ("...", column - first + 3) } else { ("", column) };
    format!("  {number} | {dots}{}\n  {margin} | {}^", shown.trim_end(), " ".repeat(indent))
}

/// `; did you mean 'x'?` where a known name is near the one that was typed.
pub(super) fn did_you_mean<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> String {
    let far = (typed.chars().count() / 3).max(1);
    known
        .map(|name| (strsim::osa_distance(typed, name), name))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| format!("; did you mean '{name}'?"))
        .unwrap_or_default()
}
