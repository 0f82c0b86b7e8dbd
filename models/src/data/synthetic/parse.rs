//! Statements to [`Syntax`]: recursive descent, one function a construct, one token of look-ahead.
//!
//! ```text
//! grammar     = { feature | "start" name | "limit" "depth" number | spell | rule | words | phenomenon }
//! feature     = "feature" name "=" value [":" weight] { "," value [":" weight] }
//! spell       = "spell" word "as" word "before" word { word }
//! rule        = symbol "->" alternative { "|" alternative }
//! alternative = part { part } [":" weight] [ "where" var "!=" var { "," var "!=" var } ]
//! part        = literal | symbol
//! symbol      = name [ "[" constraint { "," constraint } "]" ]
//! constraint  = feature "=" ( "_" | var | value { "|" value } )
//! words       = "words" symbol [ "forms" column { column } ] [ "zipf" ]   then one lexeme an indented line
//! column      = bundle { "or" bundle }
//! phenomenon  = "phenomenon" name "field" name "term" name                then one pattern an indented line
//! pattern     = an alternative in which one part is written   part "/" part   (good / bad)
//! ```

use super::cursor::{Cursor, Parsed};
use super::error::{Source, Span};
use super::lex::{Line, Token, statements};
use super::syntax::{
    Alternative, Column, Constraint, FeatureDecl, Item, PhenomenonDecl, Row, Rule, Spelling,
    SymbolRef, Syntax, Table, Term,
};

const RESERVED: [&str; 6] = ["feature", "start", "limit", "spell", "words", "phenomenon"];

/// Features of a grammar, values of a feature, spelling rules.
pub(super) const MAX_FEATURES: usize = 64;

/// Each phenomenon becomes a file.
const MAX_PHENOMENA: usize = 1000;

/// The deepest nesting that `limit depth` may allow.
const MAX_DEPTH: u32 = 1000;

pub(super) fn parse(source: &Source<'_>) -> Parsed<Syntax> {
    let mut syntax = Syntax::default();
    for statement in &statements(source)? {
        let c = Cursor::new(source, &statement.head);
        match c.peek() {
            Some(Token::Name("feature")) => {
                syntax.features.push(feature(&mut c.whole(source, statement))?);
            }
            Some(Token::Name("start")) => start(&mut c.whole(source, statement), &mut syntax)?,
            Some(Token::Name("limit")) => limit(&mut c.whole(source, statement), &mut syntax)?,
            Some(Token::Name("spell")) => {
                syntax.spellings.push(spelling(&mut c.whole(source, statement))?);
            }
            Some(Token::Name("words")) => syntax.tables.push(table(c, &statement.body)?),
            Some(Token::Name("phenomenon")) => {
                if syntax.phenomena.len() == MAX_PHENOMENA {
                    return Err(c.expected(&format!("at most {MAX_PHENOMENA} phenomena")));
                }
                syntax.phenomena.push(phenomenon(c, &statement.body)?);
            }
            Some(Token::Name(_)) => syntax.rules.push(rule(&mut c.whole(source, statement))?),
            _ => {
                return Err(c.expected(&format!(
                    "a rule such as NP[num=?n] -> Det N, or one of {}",
                    RESERVED.join(", ")
                )));
            }
        }
    }
    Ok(syntax)
}

/// The bytes as text, or the place of the first one that is not UTF-8.
pub(super) fn utf8(name: &str, bytes: Vec<u8>) -> Parsed<String> {
    String::from_utf8(bytes).map_err(|e| {
        let valid = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let text = String::from_utf8_lossy(valid);
        let line = text.matches('\n').count() + 1;
        let column = text.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        let at = Span { line, column };
        Source { name, text: &text }
            .error(at, "this byte is not UTF-8: save the grammar as UTF-8 text")
    })
}

fn feature(c: &mut Cursor<'_, '_>) -> Parsed<FeatureDecl> {
    c.next += 1;
    let name = c.name("the name of a feature, as in: feature num = sg, pl")?;
    c.need(Token::Mark("="), "'=' and the values of the feature")?;
    let mut values = Vec::new();
    loop {
        let value = c.name("a value of the feature")?;
        values.push((value, c.weight()?));
        if !c.mark(",") {
            break;
        }
    }
    c.end("',' and another value, or the end of the line")?;
    Ok(FeatureDecl { name, values })
}

fn start(c: &mut Cursor<'_, '_>, syntax: &mut Syntax) -> Parsed<()> {
    let at = c.at();
    c.next += 1;
    if syntax.start.is_some() {
        return Err(c.source.error(at, "a grammar has one start symbol; this is the second"));
    }
    syntax.start = Some(c.name("the start symbol, as in: start S")?);
    c.end("the end of the line")
}

fn limit(c: &mut Cursor<'_, '_>, syntax: &mut Syntax) -> Parsed<()> {
    let statement = c.at();
    c.next += 1;
    c.need(Token::Name("depth"), "'depth', as in: limit depth 20")?;
    let at = c.at();
    let depth = match c.peek() {
        Some(Token::Name(text)) => text.parse().ok().filter(|d| (1..=MAX_DEPTH).contains(d)),
        _ => None,
    };
    let depth =
        depth.ok_or_else(|| c.expected(&format!("a whole number from 1 to {MAX_DEPTH}")))?;
    c.next += 1;
    if syntax.depth.replace((depth, at)).is_some() {
        return Err(c.source.error(statement, "the depth is limited twice"));
    }
    c.end("the end of the line")
}

fn spelling(c: &mut Cursor<'_, '_>) -> Parsed<Spelling> {
    const EXAMPLE: &str = "as in: spell a as an before a e i o u";
    c.next += 1;
    let word = c.word(&format!("a word, {EXAMPLE}"))?;
    c.need(Token::Name("as"), &format!("'as', {EXAMPLE}"))?;
    let variant = c.word(&format!("the other spelling, {EXAMPLE}"))?.text;
    c.need(Token::Name("before"), &format!("'before', {EXAMPLE}"))?;
    let mut before = Vec::new();
    while before.is_empty() || c.peek().is_some() {
        if before.len() == MAX_FEATURES {
            return Err(c.expected(&format!("at most {MAX_FEATURES} beginnings of words")));
        }
        before.push(c.word("the first letters of the words that it stands before")?.text);
    }
    Ok(Spelling { word, variant, before })
}

fn rule(c: &mut Cursor<'_, '_>) -> Parsed<Rule> {
    let left = symbol(c)?;
    c.need(Token::Mark("->"), "'->' after the symbol that the rule rewrites")?;
    let mut alternatives = Vec::new();
    loop {
        alternatives.push(alternative(c, Contrast::Forbidden)?);
        if !c.mark("|") {
            break;
        }
    }
    c.end("a part of the rule, '|', ':' and a weight, 'where', or the end of the line")?;
    Ok(Rule { left, alternatives })
}

#[derive(Clone, Copy, PartialEq)]
enum Contrast {
    Forbidden,
    Required,
}

fn alternative(c: &mut Cursor<'_, '_>, allowed: Contrast) -> Parsed<Alternative> {
    let at = c.at();
    let (mut items, mut contrast) = (Vec::new(), None);
    while let Some(item) = item(c)? {
        items.push(item);
        let slash = c.at();
        if c.mark("/") {
            if allowed == Contrast::Forbidden {
                return Err(c
                    .source
                    .error(slash, "'/' contrasts good and bad, and stands only in a phenomenon"));
            }
            if contrast.is_some() {
                return Err(c
                    .source
                    .error(slash, "a pattern contrasts one part; this is the second '/'"));
            }
            let bad = item_after_slash(c)?;
            contrast = Some((items.len() - 1, bad));
        }
    }
    if items.is_empty() {
        return Err(c.expected("a symbol, or a word in quotes"));
    }
    if allowed == Contrast::Required && contrast.is_none() {
        return Err(c.source.error(
            at,
            "expected one part of the pattern written as good / bad, such as V[num=?n] / V[num=?m]",
        ));
    }
    let weight = c.weight()?;
    let mut different = Vec::new();
    if c.take(Token::Name("where")) {
        loop {
            let left = c.variable()?;
            c.need(Token::Mark("!="), "'!=' between two variables")?;
            different.push((left, c.variable()?));
            if !c.mark(",") {
                break;
            }
        }
    }
    Ok(Alternative { items, contrast, weight, different, at })
}

fn item(c: &mut Cursor<'_, '_>) -> Parsed<Option<Item>> {
    match c.peek() {
        Some(Token::Quoted(_)) => Ok(Some(Item::Literal(c.word("a word in quotes")?))),
        Some(Token::Name(name)) if name != "where" => Ok(Some(Item::Symbol(symbol(c)?))),
        _ => Ok(None),
    }
}

fn item_after_slash(c: &mut Cursor<'_, '_>) -> Parsed<Item> {
    match item(c)? {
        Some(item) => Ok(item),
        None => Err(c.expected("what the bad sentence has instead, after '/'")),
    }
}

fn symbol(c: &mut Cursor<'_, '_>) -> Parsed<SymbolRef> {
    let name = c.name("the name of a symbol (a word of the text stands in quotes)")?;
    if RESERVED.contains(&name.text.as_str()) {
        let message = format!("'{}' begins a statement and cannot name a symbol", name.text);
        return Err(c.source.error(name.at, message));
    }
    let constraints = if c.peek() == Some(Token::Mark("[")) { bundle(c)? } else { Vec::new() };
    Ok(SymbolRef { name, constraints })
}

fn bundle(c: &mut Cursor<'_, '_>) -> Parsed<Vec<Constraint>> {
    c.need(Token::Mark("["), "features in brackets, such as [num=sg]")?;
    let mut constraints: Vec<Constraint> = Vec::new();
    loop {
        let feature = c.name("the name of a feature")?;
        if constraints.len() == MAX_FEATURES {
            return Err(c
                .source
                .error(feature.at, format!("a symbol has at most {MAX_FEATURES} features")));
        }
        if constraints.iter().any(|other| other.feature.text == feature.text) {
            let message = format!("feature '{}' is given twice", feature.text);
            return Err(c.source.error(feature.at, message));
        }
        c.need(Token::Mark("="), "'=' and a value, a variable such as ?n, or _")?;
        let term_at = c.at();
        constraints.push(Constraint { feature, term: term(c)?, term_at });
        if !c.mark(",") {
            break;
        }
    }
    c.need(Token::Mark("]"), "',' or ']'")?;
    Ok(constraints)
}

fn term(c: &mut Cursor<'_, '_>) -> Parsed<Term> {
    if c.take(Token::Name("_")) {
        return Ok(Term::Any);
    }
    if matches!(c.peek(), Some(Token::Variable(_))) {
        return Ok(Term::Variable(c.variable()?.text));
    }
    let mut values = vec![c.name("a value, a variable such as ?n, or _")?];
    while c.mark("|") {
        values.push(c.name("another value after '|'")?);
    }
    Ok(Term::Values(values))
}

fn table(mut c: Cursor<'_, '_>, body: &[Line<'_>]) -> Parsed<Table> {
    c.next += 1;
    let head = symbol(&mut c)?;
    let mut columns = Vec::new();
    if c.take(Token::Name("forms")) {
        while columns.is_empty() || c.peek() == Some(Token::Mark("[")) {
            let at = c.at();
            let mut bundles = vec![bundle(&mut c)?];
            while c.take(Token::Name("or")) {
                bundles.push(bundle(&mut c)?);
            }
            columns.push(Column { bundles, at });
        }
    }
    let zipf = c.take(Token::Name("zipf"));
    c.end("'forms' and a bracket for each column, 'zipf', or the end of the line")?;
    let mut rows: Vec<Row> = Vec::new();
    for line in body {
        self::rows(Cursor::new(c.source, line), columns.len(), &mut rows)?;
    }
    if rows.is_empty() {
        return Err(c
            .source
            .error(head.name.at, "expected words on indented lines below, found none"));
    }
    if zipf {
        // Zipf's law: the word of rank r is met 1/r as often as the first.
        for (rank, row) in (1u32..).zip(&mut rows) {
            row.weight /= f64::from(rank);
        }
    }
    Ok(Table { head, columns, rows })
}

/// A line of a table: a lexeme with a form a column; or, where there are no columns, a lexeme a word.
fn rows(mut c: Cursor<'_, '_>, columns: usize, rows: &mut Vec<Row>) -> Parsed<()> {
    let at = c.at();
    let mut forms = Vec::new();
    while !matches!(c.peek(), None | Some(Token::Mark(":"))) {
        let missing = columns > 0 && c.peek() == Some(Token::Name("-"));
        let word = c.word("a word (put special characters in quotes)")?;
        forms.push((!missing).then_some(word));
    }
    let weight = c.weight()?;
    c.end("the end of the line after the weight")?;
    if columns == 0 {
        if forms.is_empty() {
            return Err(c.source.error(at, "expected a word before the weight"));
        }
        rows.extend(forms.into_iter().flatten().map(|word| Row {
            at: word.at,
            forms: vec![Some(word.text)],
            weight,
        }));
        return Ok(());
    }
    if forms.len() != columns {
        return Err(c.source.error(
            at,
            format!(
                "expected {columns} forms, one a column ('-' where there is none), found {}",
                forms.len()
            ),
        ));
    }
    if forms.iter().all(Option::is_none) {
        return Err(c.source.error(at, "this line has no form at all"));
    }
    let forms = forms.into_iter().map(|form| form.map(|word| word.text)).collect();
    rows.push(Row { forms, weight, at });
    Ok(())
}

fn phenomenon(mut c: Cursor<'_, '_>, body: &[Line<'_>]) -> Parsed<PhenomenonDecl> {
    const EXAMPLE: &str =
        "as in: phenomenon reflexive_gender field morphology term anaphor_agreement";
    c.next += 1;
    let name = c.name(&format!("a name, {EXAMPLE}"))?;
    let is_file_name =
        |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if name.text.len() > 64 || !is_file_name(&name.text) {
        return Err(c.source.error(
            name.at,
            "this name becomes a file name: use at most 64 of A-Z, a-z, 0-9, '_' and '-'",
        ));
    }
    c.need(Token::Name("field"), &format!("'field', {EXAMPLE}"))?;
    let field = c.name("a field of linguistics, such as morphology or syntax")?.text;
    c.need(Token::Name("term"), &format!("'term', {EXAMPLE}"))?;
    let term = c.name("a linguistic term, such as subject_verb_agreement")?.text;
    c.end("the end of the line")?;
    let mut patterns = Vec::new();
    for line in body {
        let mut c = Cursor::new(c.source, line);
        patterns.push(alternative(&mut c, Contrast::Required)?);
        c.end("a part of the pattern, ':' and a weight, 'where', or the end of the line")?;
    }
    if patterns.is_empty() {
        return Err(c
            .source
            .error(name.at, "expected patterns on indented lines below, found none"));
    }
    Ok(PhenomenonDecl { name, field, term, patterns })
}
