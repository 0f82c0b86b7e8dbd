//! A place in the tokens of a statement, and the small steps that the parser takes.

use super::error::{GrammarError, Source, Span};
use super::lex::{Line, Statement, Token};
use super::syntax::Name;

pub(super) type Parsed<T> = Result<T, GrammarError>;

/// A place in a row of tokens.
pub(super) struct Cursor<'s, 'a> {
    pub(super) source: &'s Source<'a>,
    tokens: Vec<(Token<'a>, Span)>,
    pub(super) next: usize,
    end: Span,
}

impl<'s, 'a> Cursor<'s, 'a> {
    pub(super) fn new(source: &'s Source<'a>, line: &Line<'a>) -> Self {
        Self { source, tokens: line.tokens.clone(), next: 0, end: line.end }
    }

    /// All lines of the statement as one.
    pub(super) fn whole(self, source: &'s Source<'a>, statement: &Statement<'a>) -> Self {
        let mut tokens = self.tokens;
        tokens.extend(statement.body.iter().flat_map(|line| line.tokens.iter().copied()));
        let end = statement.body.last().map_or(statement.head.end, |line| line.end);
        Self { source, tokens, next: 0, end }
    }

    pub(super) fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.next).map(|(token, _)| *token)
    }

    pub(super) fn at(&self) -> Span {
        self.tokens.get(self.next).map_or(self.end, |(_, at)| *at)
    }

    pub(super) fn take(&mut self, token: Token<'_>) -> bool {
        let there = self.peek() == Some(token);
        self.next += usize::from(there);
        there
    }

    pub(super) fn mark(&mut self, mark: &'static str) -> bool {
        self.take(Token::Mark(mark))
    }

    pub(super) fn need(&mut self, token: Token<'_>, what: &str) -> Parsed<()> {
        if self.take(token) { Ok(()) } else { Err(self.expected(what)) }
    }

    pub(super) fn expected(&self, what: &str) -> GrammarError {
        let found = self.peek().map_or("the end of the line".to_owned(), |token| token.to_string());
        self.source.error(self.at(), format!("expected {what}, found {found}"))
    }

    pub(super) fn end(&self, what: &str) -> Parsed<()> {
        if self.peek().is_none() { Ok(()) } else { Err(self.expected(what)) }
    }

    /// A name of the grammar's own: letters, digits, `_`, `-` and `'`, a letter first.
    pub(super) fn name(&mut self, what: &str) -> Parsed<Name> {
        let at = self.at();
        match self.peek() {
            Some(Token::Name(text)) if is_identifier(text) => {
                self.next += 1;
                Ok(Name { text: text.to_owned(), at })
            }
            _ => Err(self.expected(what)),
        }
    }

    pub(super) fn variable(&mut self) -> Parsed<Name> {
        let at = self.at();
        match self.peek() {
            Some(Token::Variable(text)) if is_identifier(text) => {
                self.next += 1;
                Ok(Name { text: text.to_owned(), at })
            }
            _ => Err(self.expected("a variable such as ?n")),
        }
    }

    /// A word of the text itself, bare or in quotes.
    pub(super) fn word(&mut self, what: &str) -> Parsed<Name> {
        let at = self.at();
        let text = match self.peek() {
            Some(Token::Name(text) | Token::Quoted(text)) => text,
            _ => return Err(self.expected(what)),
        };
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(self
                .source
                .error(at, "a word has at least one character and no space in it"));
        }
        self.next += 1;
        Ok(Name { text: text.to_owned(), at })
    }

    /// `: 2.5`, or 1 where there is none.
    pub(super) fn weight(&mut self) -> Parsed<f64> {
        if !self.mark(":") {
            return Ok(1.0);
        }
        let number = match self.peek() {
            Some(Token::Name(text)) => text.parse::<f64>().ok(),
            _ => None,
        };
        match number {
            Some(w) if (1e-6..=1e9).contains(&w) => {
                self.next += 1;
                Ok(w)
            }
            _ => Err(self.expected("a weight from 0.000001 to 1000000000 after ':'")),
        }
    }
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(char::is_alphabetic)
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '\''))
}
