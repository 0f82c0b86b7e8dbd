//! What a user reads when a configuration is refused: file, line and column, the line itself with
//! a caret, the field, what is allowed, and how to mend it.

use std::fmt;
use std::path::PathBuf;

use super::node::At;

/// A text that configuration came from: the file, or one `--set`.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
    /// Whether line and column say anything (they do not for a `--set`).
    pub(crate) lines: bool,
}

/// A place in a configuration, with the line that stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file's name as it was given, or `--set FIELD=VALUE`.
    pub source: String,
    /// Line and column, counted from 1; `None` for a `--set`.
    pub position: Option<(usize, usize)>,
    line: String,
    width: usize,
}

impl Place {
    pub(crate) fn new(at: At, sources: &[Source]) -> Option<Self> {
        let source = sources.get(at.source)?;
        let line = source.text.lines().nth(at.line - 1).unwrap_or_default().to_owned();
        Some(Self {
            source: source.name.clone(),
            position: source.lines.then_some((at.line, at.column)),
            line,
            width: at.width,
        })
    }

    /// The file as a whole, for what stands nowhere in it.
    pub(crate) fn whole(sources: &[Source]) -> Option<Self> {
        let source = sources.first()?.name.clone();
        Some(Self { source, position: None, line: String::new(), width: 0 })
    }

    fn head(&self) -> String {
        match self.position {
            Some((line, column)) => format!("{}:{line}:{column}", self.source),
            None => self.source.clone(),
        }
    }

    /// The source line with carets below; long lines are cut around the caret.
    fn snippet(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const BEFORE: usize = 60;
        const SHOWN: usize = 100;
        let Some((number, column)) = self.position else { return Ok(()) };
        let start = (column - 1).saturating_sub(BEFORE);
        let shown: String = self.line.chars().skip(start).take(SHOWN).collect();
        let shown = shown.replace(|c: char| c.is_control(), " ");
        let room = shown.chars().count().saturating_sub(column - 1 - start).max(1);
        let gutter = " ".repeat(number.to_string().len());
        let indent = " ".repeat(column - 1 - start);
        let carets = "^".repeat(self.width.clamp(1, room));
        write!(f, "\n{gutter} |\n{number} | {shown}\n{gutter} | {indent}{carets}")
    }
}

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The dotted path of the field; empty where the text is not YAML at all.
    pub field: String,
    /// What is wrong, and what is allowed.
    pub message: String,
    /// Where: the first is the field itself, others are what it disagrees with.
    pub places: Vec<Place>,
    /// How to mend it.
    pub help: Option<String>,
}

impl Problem {
    /// Adds advice.
    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.places.first() {
            write!(f, "{}: ", place.head())?;
        }
        f.write_str(&self.message)?;
        if let Some(place) = self.places.first() {
            place.snippet(f)?;
        }
        for place in self.places.iter().skip(1) {
            write!(f, "\n  and {}", place.head())?;
            place.snippet(f)?;
        }
        if !self.field.is_empty() {
            write!(f, "\n  field: {}", self.field)?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// Why a configuration could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no such file.
    #[error("Configuration file not found: {} (looked for {})", .path.display(), .tried.display())]
    NotFound {
        /// The path as it was given.
        path: PathBuf,
        /// The absolute path that was tried.
        tried: PathBuf,
    },
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", .path.display())]
    Unreadable {
        /// The path as it was given.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is not UTF-8 text.
    #[error("{}: not UTF-8 text: byte {byte} is not valid", .path.display())]
    NotUtf8 {
        /// The path as it was given.
        path: PathBuf,
        /// Offset of the first invalid byte, from 0.
        byte: usize,
    },
    /// The file was read, and refused.
    #[error("{}", list(.problems))]
    Invalid {
        /// Everything that was found wrong, in the order of the file; at least one.
        problems: Vec<Problem>,
    },
}

impl ConfigError {
    /// What was found wrong with the content; empty where the file could not be read.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Invalid { problems } => problems,
            _ => &[],
        }
    }

    /// The exit code of the command line: 2, usage or configuration.
    pub fn exit_code(&self) -> u8 {
        2
    }
}

fn list(problems: &[Problem]) -> String {
    let mut text = problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n\n");
    if problems.len() > 1 {
        text.push_str(&format!("\n\n{} problems", problems.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_problem__the_line_and_a_caret_are_shown() {
        let source = Source { name: "a.yaml".into(), text: "x: 1\nyy: abc\n".into(), lines: true };
        let at = At { source: 0, line: 2, column: 5, width: 3 };
        let place = Place::new(at, &[source]).unwrap();
        let problem = Problem {
            field: "yy".into(),
            message: "expected a number".into(),
            places: vec![place],
            help: Some("write 1".into()),
        };
        assert_eq!(
            problem.to_string(),
            "a.yaml:2:5: expected a number\n  |\n2 | yy: abc\n  |     ^^^\n  field: yy\n  help: write 1"
        );
    }

    #[test]
    fn test_problem__a_long_line_is_cut_around_the_caret() {
        let text = format!("{}!{}", "a".repeat(5000), "b".repeat(5000));
        let source = Source { name: "a".into(), text, lines: true };
        let place =
            Place::new(At { source: 0, line: 1, column: 5001, width: 1 }, &[source]).unwrap();
        let problem =
            Problem { field: String::new(), message: "m".into(), places: vec![place], help: None };
        let shown = problem.to_string();
        assert!(shown.len() < 400 && shown.contains('!'), "{shown}");
    }
}
