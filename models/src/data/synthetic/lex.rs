//! Characters to tokens, lines to statements.
//!
//! A statement begins at the left margin; a line that begins with white space continues the statement above it.

use super::error::{GrammarError, Source, Span};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A bare word: a name, a number, a form in a word table.
    Name(&'a str),
    /// `"that"`, without its quotes.
    Quoted(&'a str),
    /// `?n`, without its question mark.
    Variable(&'a str),
    /// One of `[ ] = , | / : -> !=`.
    Mark(&'static str),
}

impl std::fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(text) => write!(f, "'{text}'"),
            Self::Quoted(text) => write!(f, "\"{text}\""),
            Self::Variable(text) => write!(f, "'?{text}'"),
            Self::Mark(text) => write!(f, "'{text}'"),
        }
    }
}

/// The tokens of one line and the place just after them.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) tokens: Vec<(Token<'a>, Span)>,
    pub(super) end: Span,
}

/// A line at the margin and the indented lines beneath it; none of them empty.
#[derive(Debug)]
pub(super) struct Statement<'a> {
    pub(super) head: Line<'a>,
    pub(super) body: Vec<Line<'a>>,
}

const MARKS: [&str; 9] = ["->", "!=", "[", "]", "=", ",", "|", "/", ":"];

pub(super) fn statements<'a>(source: &Source<'a>) -> Result<Vec<Statement<'a>>, GrammarError> {
    let mut statements: Vec<Statement<'a>> = Vec::new();
    for (i, text) in source.text.lines().enumerate() {
        let line = tokens(source, i + 1, text)?;
        if line.tokens.is_empty() {
            continue;
        }
        if !text.starts_with(char::is_whitespace) {
            statements.push(Statement { head: line, body: Vec::new() });
        } else if let Some(statement) = statements.last_mut() {
            statement.body.push(line);
        } else {
            return Err(source.error(
                line.tokens[0].1,
                "an indented line continues the statement above it, but there is none: begin the line at the margin",
            ));
        }
    }
    Ok(statements)
}

fn tokens<'a>(source: &Source<'a>, line: usize, text: &'a str) -> Result<Line<'a>, GrammarError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut column = 1;
    let mut take = |rest: &mut &'a str, bytes: usize| -> (&'a str, Span) {
        let (taken, left) = rest.split_at(bytes);
        let at = Span { line, column };
        column += taken.chars().count();
        *rest = left;
        (taken, at)
    };
    loop {
        let blank = rest.len() - rest.trim_start().len();
        let (_, _) = take(&mut rest, blank);
        let Some(c) = rest.chars().next().filter(|c| *c != '#') else {
            let (_, end) = take(&mut rest, 0);
            return Ok(Line { tokens, end });
        };
        if let Some(mark) = MARKS.into_iter().find(|mark| rest.starts_with(mark)) {
            let (_, at) = take(&mut rest, mark.len());
            tokens.push((Token::Mark(mark), at));
        } else if c == '"' {
            let Some(length) = rest[1..].find('"') else {
                let (_, at) = take(&mut rest, 0);
                return Err(source.error(at, "this quotation mark is never closed on its line"));
            };
            let (quoted, at) = take(&mut rest, length + 2);
            tokens.push((Token::Quoted(&quoted[1..=length]), at));
        } else if c == '?' {
            let length = 1 + word_length(&rest[1..]);
            let (name, at) = take(&mut rest, length);
            if name.len() == 1 {
                return Err(source.error(at, "expected the name of a variable after '?', as in ?n"));
            }
            tokens.push((Token::Variable(&name[1..]), at));
        } else {
            let length = word_length(rest).max(c.len_utf8());
            let (name, at) = take(&mut rest, length);
            if let Some(odd) = name.chars().find(|c| c.is_control() || *c == '!') {
                let odd = odd.escape_debug();
                return Err(source.error(
                    at,
                    format!("'{odd}' cannot stand here; put a word that has it in quotes"),
                ));
            }
            tokens.push((Token::Name(name), at));
        }
    }
}

/// Bytes up to the next space, mark, quotation mark, question mark or comment.
fn word_length(text: &str) -> usize {
    let ends = |(i, c): (usize, char)| {
        c.is_whitespace()
            || matches!(c, '"' | '?' | '#')
            || MARKS.iter().any(|mark| text[i..].starts_with(mark))
    };
    text.char_indices().find(|&ic| ends(ic)).map_or(text.len(), |(i, _)| i)
}
