//! The prediction formulas of SyntaxGym: what a suite expects of the surprisals of regions.
//!
//! ```text
//! truth   = truth '|' truth | truth '&' truth | number ('<' | '>' | '=') number
//! number  = number ('+' | '-' | '*' | '/') number | '-' number | digits | '(' region ';' '%' condition '%' ')'
//! region  = digits | '*'                       * is the whole sentence
//! ```
//!
//! Both `[..]` and `(..)` group. Times binds closer than plus, plus closer than a comparison, that closer than `&`, and `&`
//! closer than `|`. Two sums are equal (`=`) if they differ by at most 1e-6.

use std::fmt;
use std::str::FromStr;

/// How far apart two equal numbers may be, in bits: what single precision leaves.
const EQUAL: f64 = 1e-6;

/// A region in a condition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reference {
    /// Its number; None for the whole sentence.
    pub region: Option<u32>,
    /// The name of the condition.
    pub condition: String,
}

/// A formula that is true or false of an item.
#[derive(Clone, PartialEq, Debug)]
pub struct Formula {
    root: Node,
    text: String,
}

#[derive(Clone, PartialEq, Debug)]
enum Node {
    Region(Reference),
    Constant(f64),
    Negate(Box<Node>),
    Pair(Operator, Box<(Node, Node)>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operator {
    Or,
    And,
    Less,
    Greater,
    Equal,
    Plus,
    Minus,
    Times,
    Over,
}

/// Binding closer from line to line.
const LEVELS: [&[(char, Operator)]; 5] = [
    &[('|', Operator::Or)],
    &[('&', Operator::And)],
    &[('<', Operator::Less), ('>', Operator::Greater), ('=', Operator::Equal)],
    &[('+', Operator::Plus), ('-', Operator::Minus)],
    &[('*', Operator::Times), ('/', Operator::Over)],
];

/// What is wrong with a formula, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FormulaError {
    text: String,
    /// In characters.
    at: usize,
    reason: String,
}

impl fmt::Display for FormulaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = " ".repeat(self.at);
        write!(f, "formula, character {}: {}\n  {}\n  {mark}^", self.at + 1, self.reason, self.text)
    }
}

impl std::error::Error for FormulaError {}

impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Formula {
    type Err = FormulaError;

    fn from_str(text: &str) -> Result<Self, FormulaError> {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut parser = Parser { chars: text.chars().collect(), at: 0, depth: 0 };
        let parsed = parser.level(0).and_then(|root| match parser.peek() {
            Some(c) => Err((parser.at, format!("'{c}' is not expected here"))),
            None => truth(root, 0),
        });
        match parsed {
            Ok(root) => Ok(Self { root, text }),
            Err((at, reason)) => Err(FormulaError { text, at, reason }),
        }
    }
}

type Parsed<T> = Result<T, (usize, String)>;

struct Parser {
    chars: Vec<char>,
    at: usize,
    depth: usize,
}

impl Parser {
    /// The next character that is not white space.
    fn peek(&mut self) -> Option<char> {
        while self.chars.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
        self.chars.get(self.at).copied()
    }

    fn take(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, c: char) -> Parsed<()> {
        if self.take(c) {
            return Ok(());
        }
        let found = self.peek().map_or("the end".to_owned(), |c| format!("'{c}'"));
        Err((self.at, format!("expected '{c}', found {found}")))
    }

    fn level(&mut self, level: usize) -> Parsed<Node> {
        let Some(operators) = LEVELS.get(level) else { return self.atom() };
        let start = self.at;
        let mut left = self.level(level + 1)?;
        while let Some(&(_, operator)) =
            self.peek().and_then(|c| operators.iter().find(|(symbol, _)| *symbol == c))
        {
            let at = self.at;
            self.at += 1;
            let right = self.level(level + 1)?;
            let of = if matches!(operator, Operator::Or | Operator::And) { truth } else { number };
            left = Node::Pair(operator, Box::new((of(left, start)?, of(right, at + 1)?)));
        }
        Ok(left)
    }

    fn atom(&mut self) -> Parsed<Node> {
        // Past the white space.
        self.peek();
        let start = self.at;
        self.depth += 1;
        if self.depth > 100 {
            return Err((start, "brackets stand too deep in each other".into()));
        }
        let node = match self.peek() {
            Some('(') if self.is_reference() => self.reference(),
            Some(open @ ('(' | '[')) => {
                self.at += 1;
                let inner = self.level(0)?;
                self.expect(if open == '(' { ')' } else { ']' })?;
                Ok(inner)
            }
            Some('-') => {
                self.at += 1;
                Ok(Node::Negate(Box::new(number(self.atom()?, start)?)))
            }
            Some(c) if c.is_ascii_digit() || c == '.' => {
                let word = self.word(|c| c.is_ascii_digit() || c == '.');
                let value = word.parse().map_err(|_| (start, format!("{word} is no number")))?;
                Ok(Node::Constant(value))
            }
            Some(c) => Err((self.at, format!("'{c}' begins no number and no region"))),
            None => Err((self.at, "something is missing at the end".into())),
        };
        self.depth -= 1;
        node
    }

    /// Whether `(` is followed by a region and `;`.
    fn is_reference(&self) -> bool {
        let inside = self.chars[self.at + 1..].iter();
        let mut rest = inside.skip_while(|c| c.is_whitespace() || c.is_ascii_digit() || **c == '*');
        rest.next() == Some(&';')
    }

    fn reference(&mut self) -> Parsed<Node> {
        self.expect('(')?;
        let region = if self.take('*') {
            None
        } else {
            self.peek();
            let at = self.at;
            let word = self.word(|c| c.is_ascii_digit());
            Some(
                word.parse()
                    .map_err(|_| (at, "expected the number of a region, or *".to_owned()))?,
            )
        };
        self.expect(';')?;
        self.expect('%')?;
        let condition = self.word(|c| c != '%');
        self.expect('%')?;
        self.expect(')')?;
        Ok(Node::Region(Reference { region, condition }))
    }

    fn word(&mut self, part: impl Fn(char) -> bool) -> String {
        let start = self.at;
        while self.chars.get(self.at).is_some_and(|c| part(*c)) {
            self.at += 1;
        }
        self.chars[start..self.at].iter().collect()
    }
}

impl Node {
    fn is_truth(&self) -> bool {
        use Operator::{And, Equal, Greater, Less, Or};
        matches!(self, Self::Pair(Or | And | Less | Greater | Equal, _))
    }
}

fn truth(node: Node, at: usize) -> Parsed<Node> {
    if node.is_truth() {
        Ok(node)
    } else {
        Err((at, "this is a number; a comparison is expected".into()))
    }
}

fn number(node: Node, at: usize) -> Parsed<Node> {
    if node.is_truth() {
        Err((at, "this is true or false; a number is expected".into()))
    } else {
        Ok(node)
    }
}

impl Formula {
    /// Every region that the formula speaks of.
    #[must_use]
    pub fn references(&self) -> Vec<&Reference> {
        fn walk<'a>(node: &'a Node, found: &mut Vec<&'a Reference>) {
            match node {
                Node::Region(r) => found.push(r),
                Node::Constant(_) => {}
                Node::Negate(inner) => walk(inner, found),
                Node::Pair(_, pair) => {
                    walk(&pair.0, found);
                    walk(&pair.1, found);
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.root, &mut found);
        found
    }

    /// Whether it holds, where `surprisal` gives that of a region; None where one is not known.
    ///
    /// # Errors
    /// A number that is divided by 0.
    pub fn holds(
        &self,
        mut surprisal: impl FnMut(&Reference) -> Option<f64>,
    ) -> Result<Option<bool>, &'static str> {
        Ok(value(&self.root, &mut surprisal)?.map(|value| value > 0.5))
    }
}

/// The number; of a truth 1 or 0.
fn value(
    node: &Node,
    surprisal: &mut dyn FnMut(&Reference) -> Option<f64>,
) -> Result<Option<f64>, &'static str> {
    let (operator, pair) = match node {
        Node::Region(reference) => return Ok(surprisal(reference)),
        Node::Constant(c) => return Ok(Some(*c)),
        Node::Negate(inner) => return Ok(value(inner, surprisal)?.map(|v| -v)),
        Node::Pair(operator, pair) => (operator, pair),
    };
    let (Some(a), Some(b)) = (value(&pair.0, surprisal)?, value(&pair.1, surprisal)?) else {
        return Ok(None);
    };
    let truth = |t: bool| f64::from(u8::from(t));
    Ok(Some(match operator {
        Operator::Or => a.max(b),
        Operator::And => a.min(b),
        Operator::Less => truth(a < b),
        Operator::Greater => truth(a > b),
        Operator::Equal => truth((a - b).abs() <= EQUAL),
        Operator::Plus => a + b,
        Operator::Minus => a - b,
        Operator::Times => a * b,
        Operator::Over if b == 0.0 => return Err("divides by 0"),
        Operator::Over => a / b,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Region r of condition "a" has r bits, of "b" 10 r; the whole sentence 100.
    fn holds(text: &str) -> bool {
        let formula: Formula = text.parse().unwrap_or_else(|e| panic!("{e}"));
        let value = |r: &Reference| {
            let scale = if r.condition == "a" { 1.0 } else { 10.0 };
            Some(r.region.map_or(100.0, |n| scale * f64::from(n)))
        };
        formula.holds(value).unwrap().unwrap()
    }

    #[test]
    fn test_formula__values_and_precedence() {
        assert!(holds("(1;%a%) < (1;%b%)"));
        assert!(!holds("(1;%a%) > (1;%b%)"));
        assert!(holds("[ (1;%a%) + (2;%a%) ] = (3;%a%)"));
        assert!(holds("[(2;%b%)-(1;%b%)]+[[(1;%a%)+(2;%a%)]-[(3;%a%)+(1;%a%)]]>8.5"));
        assert!(holds("(1;%b%) - 2 * 3 + 1 = 5"), "(10 - 6) + 1");
        assert!(holds("-(1;%a%) < 0 & (*;%a%) = 100"));
        assert!(holds("1 > 2 & 1 > 2 | 1 < 2"), "& binds closer than |");
        assert!(!holds("1 > 2 & [1 > 2 | 1 < 2]"));
        assert!(holds("(1 + 2) * 3 = 9 & 9 / 3 = 3"));
    }

    #[test]
    fn test_formula__errors_point_at_the_place() {
        for (text, at, words) in [
            ("", 0, "missing at the end"),
            ("(1;%a%)", 0, "a comparison is expected"),
            ("(1;%a%) < (2;%a%) < 3", 0, "a number is expected"),
            ("(1;%a%) & (2;%a%) > 1", 0, "a comparison is expected"),
            ("(1;%a%) < (2;%a)", 16, "expected '%'"),
            ("(1;%a%) < (2,%a%)", 12, "expected ')', found ','"),
            ("[(1;%a%) < 3", 12, "expected ']', found the end"),
            ("(1;%a%) < 3 ]", 12, "']' is not expected here"),
            ("(1;%a%) < 1.2.3", 10, "1.2.3 is no number"),
            ("(;%a%) < 3", 1, "number of a region"),
            ("x < 3", 0, "'x' begins no number"),
        ] {
            let error = text.parse::<Formula>().unwrap_err();
            assert!(error.reason.contains(words), "{text}: {error}");
            assert_eq!(error.at, at, "{text}: {error}");
        }
        let deep = "[".repeat(100_000);
        assert!(deep.parse::<Formula>().is_err());
    }

    #[test]
    fn test_formula__knows_its_regions() {
        let formula: Formula = "(6;%no-obj_no-comma%) < (*;%b%)".parse().unwrap();
        let named = |r: &&Reference| (r.region, r.condition.clone());
        let found: Vec<_> = formula.references().iter().map(named).collect();
        assert_eq!(found, [(Some(6), "no-obj_no-comma".into()), (None, "b".into())]);
        assert_eq!(formula.holds(|r| r.region.map(f64::from)), Ok(None));
        let formula: Formula = "(1;%a%) / (2;%a%) > 1".parse().unwrap();
        assert_eq!(formula.holds(|_| Some(0.0)), Err("divides by 0"));
    }
}
