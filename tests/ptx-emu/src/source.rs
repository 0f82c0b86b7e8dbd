//! The text of a module, without comments, cut into statements that know their line.

/// Text without its comments; every character keeps its line.
pub(crate) fn strip_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("//").into_iter().chain(rest.find("/*")).min() {
        out.push_str(&rest[..at]);
        let comment = &rest[at..];
        let end = if comment.starts_with("//") {
            comment.find('\n').unwrap_or(comment.len())
        } else {
            comment.find("*/").map_or(comment.len(), |end| end + 2)
        };
        out.extend(comment[..end].chars().filter(|c| *c == '\n'));
        rest = &comment[end..];
    }
    out.push_str(rest);
    out
}

/// Reads through a text and counts lines.
pub(crate) struct Cursor<'a> {
    rest: &'a str,
    pub(crate) line: u32,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text, line: 1 }
    }

    /// Skips white space; what follows.
    pub(crate) fn peek(&mut self) -> Option<char> {
        let trimmed = self.rest.trim_start();
        self.advance(self.rest.len() - trimmed.len());
        trimmed.chars().next()
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let (passed, rest) = self.rest.split_at(bytes);
        self.line += u32::try_from(passed.matches('\n').count()).unwrap_or(0);
        self.rest = rest;
        passed
    }

    /// The text up to the first of these characters, which is taken too and returned; None at the end of the text.
    pub(crate) fn until(&mut self, ends: &[char]) -> Option<(&'a str, char)> {
        let at = self.rest.find(ends)?;
        let end = self.rest[at..].chars().next()?;
        let text = self.advance(at).trim();
        self.advance(end.len_utf8());
        Some((text, end))
    }

    /// The next word.
    pub(crate) fn word(&mut self) -> &'a str {
        self.peek();
        let stop = |c: char| c.is_whitespace() || "(){};,[]".contains(c);
        let end = self.rest.find(stop).unwrap_or(self.rest.len());
        self.advance(end)
    }

    /// Takes this character if it comes next.
    pub(crate) fn take(&mut self, c: char) -> bool {
        let next = self.peek() == Some(c);
        if next {
            self.advance(c.len_utf8());
        }
        next
    }

    /// A statement of a body: up to its semicolon (braces of vectors included), or a label with its colon.
    pub(crate) fn statement(&mut self) -> Option<&'a str> {
        self.peek()?;
        let label = self.rest.find(|c: char| !c.is_alphanumeric() && !"_$%".contains(c));
        if let Some(at) = label.filter(|&at| at > 0)
            && self.rest[at..].trim_start().starts_with(':')
        {
            let colon = self.rest.find(':').unwrap_or(at);
            return Some(&self.advance(colon + 1)[..=colon]);
        }
        let end = self.rest.find(';')?;
        let statement = self.advance(end);
        self.advance(1);
        Some(statement)
    }
}

/// Splits at the commas that stand outside of brackets and braces.
pub(crate) fn split_operands(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    let mut parts = vec![];
    let mut start = 0;
    for (i, c) in text.char_indices() {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    if !text[start..].trim().is_empty() || start > 0 {
        parts.push(text[start..].trim());
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_source__comments_go_and_lines_stay() {
        assert_eq!(strip_comments("a // b\nc /* d\n e */ f\n"), "a \nc \n f\n");
        assert_eq!(strip_comments("a // b"), "a ");
    }

    #[test]
    fn test_source__statements() {
        let mut cursor = Cursor::new("L1:\n  add.u32 %a,\n %b, %c; $L_2 : ret;");
        assert_eq!(cursor.statement(), Some("L1:"));
        cursor.peek();
        assert_eq!(cursor.line, 2);
        assert_eq!(cursor.statement(), Some("add.u32 %a,\n %b, %c"));
        assert_eq!(cursor.statement(), Some("$L_2 :"));
        assert_eq!(cursor.statement(), Some("ret"));
        assert_eq!(cursor.statement(), None);
    }

    #[test]
    fn test_source__operands() {
        assert_eq!(split_operands("{a, b}, [c+4], 1"), ["{a, b}", "[c+4]", "1"]);
        assert_eq!(split_operands(""), [""; 0]);
    }
}
