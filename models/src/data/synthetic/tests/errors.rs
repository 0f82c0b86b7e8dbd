use std::fmt::Write;

use super::super::{Grammar, GrammarError};
use super::SMALL;

/// The error that a text gives: line, column, message.
fn error(text: &str) -> (usize, usize, String) {
    match Grammar::parse("g", text) {
        Err(GrammarError::Invalid { line, column, message, .. }) => (line, column, message),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("no error in\n{text}"),
    }
}

#[test]
fn test_errors__show_the_line_and_a_caret() {
    let text = "start S\nfeature num = sg, pl\nS -> N[nmu=sg]\nwords N forms [num=sg] [num=pl]\n  dog dogs\n";
    let error = Grammar::parse("my.grammar", text).unwrap_err();
    assert_eq!(
        error.to_string(),
        "my.grammar:3:8: feature 'nmu' is not declared; did you mean 'num'? (to declare it: feature nmu = value, \
         value)\n  3 | S -> N[nmu=sg]\n    |        ^"
    );
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn test_errors__long_and_odd_lines_are_cut() {
    let text =
        format!("start S\nS -> {}\u{7}\"x\" ] \"y\"", "\"x\" ".repeat(5000).replace(' ', "\t"));
    let error = Grammar::parse("g", &text).unwrap_err().to_string();
    assert!(error.lines().all(|line| line.chars().count() < 220), "{error}");
    assert!(!error.contains('\u{7}') && !error.contains('\t'), "{error}");
}

/// A slip in each construct: (text, line, column, words of the message).
#[test]
fn test_errors__syntax() {
    let cases = [
        ("start", 1, 6, "expected the start symbol, as in: start S, found the end of the line"),
        ("start S T", 1, 9, "expected the end of the line, found 'T'"),
        ("start S\nstart S", 2, 1, "this is the second"),
        ("  start S", 1, 3, "begin the line at the margin"),
        ("limit depth", 1, 12, "expected a whole number from 1 to 1000"),
        ("limit depth 0", 1, 13, "expected a whole number from 1 to 1000, found '0'"),
        ("limit width 3", 1, 7, "expected 'depth'"),
        ("limit depth 3\nlimit depth 4", 2, 1, "limited twice"),
        ("feature = a", 1, 9, "expected the name of a feature"),
        ("feature num sg", 1, 13, "expected '='"),
        ("feature num = sg,", 1, 18, "expected a value of the feature"),
        ("feature num = sg : x", 1, 20, "expected a weight from"),
        ("feature num = sg : -1", 1, 20, "expected a weight from"),
        ("feature num = sg : nan", 1, 20, "expected a weight from"),
        ("feature num = sg : inf", 1, 20, "expected a weight from"),
        ("feature num = sg, sg", 1, 19, "value 'sg' is there twice"),
        ("feature num = sg\nfeature num = pl", 2, 9, "declared on line 1 already"),
        ("spell a an", 1, 9, "expected 'as'"),
        ("spell a as an", 1, 14, "expected 'before'"),
        ("spell a as an before", 1, 21, "expected the first letters"),
        ("S \"x\"", 1, 3, "expected '->'"),
        ("S ->", 1, 5, "expected a symbol, or a word in quotes"),
        ("S -> \"x\" |", 1, 11, "expected a symbol, or a word in quotes"),
        ("S -> \"x", 1, 6, "never closed"),
        ("S -> \"\"", 1, 6, "at least one character"),
        ("S -> \"two words\"", 1, 6, "no space in it"),
        ("S -> N[num]", 1, 11, "expected '='"),
        ("S -> N[num=sg", 1, 14, "expected ',' or ']'"),
        ("S -> N[num=?]", 1, 12, "name of a variable after '?'"),
        ("S -> N[num=sg|]", 1, 15, "another value after '|'"),
        ("S -> N[num=sg, num=pl]", 1, 16, "given twice"),
        ("S -> \"x\" : 0", 1, 12, "expected a weight"),
        ("S -> \"x\" where ?n = ?m", 1, 19, "expected '!='"),
        ("S -> \"x\" / \"y\"", 1, 10, "only in a phenomenon"),
        ("S -> feature", 1, 6, "cannot name a symbol"),
        ("S -> 3x", 1, 6, "name of a symbol"),
        ("S -> a!b", 1, 6, "put a word that has it in quotes"),
        ("-> S", 1, 1, "expected a rule such as"),
        ("words N", 1, 7, "expected words on indented lines"),
        ("words N forms", 1, 14, "expected features in brackets"),
        ("words N [num=sg] [num=pl]\n  dog", 1, 18, "'forms' and a bracket"),
        ("words N zipf forms", 1, 14, "end of the line"),
        ("words N\n  dog : 2 cat", 2, 11, "after the weight"),
        ("words N\n  : 2", 2, 3, "before the weight"),
        ("words N forms [num=sg] [num=pl]\n  dog", 2, 3, "expected 2 forms"),
        ("words N forms [num=sg] [num=pl]\n  - -", 2, 3, "no form at all"),
        ("phenomenon p field f", 1, 21, "expected 'term'"),
        ("phenomenon p field f term t", 1, 12, "expected patterns"),
        ("phenomenon p field f term t\n  \"x\" \"y\"", 2, 3, "written as good / bad"),
        ("phenomenon p field f term t\n  \"x\" / \"y\" \"z\" / \"w\"", 2, 17, "second '/'"),
        ("phenomenon p field f term t\n  \"x\" /", 2, 8, "after '/'"),
        ("phenomenon né field f term t\n  \"x\" / \"y\"", 1, 12, "becomes a file name"),
    ];
    for (text, line, column, words) in cases {
        let (l, c, message) = error(text);
        assert!(message.contains(words), "{text:?}: {message:?} does not say {words:?}");
        assert_eq!((l, c), (line, column), "{text:?}: {message}");
    }
}

/// A slip of meaning: what is changed in a good grammar, and what is said.
#[test]
fn test_errors__names_and_use() {
    let cases = [
        ("start Text", "start Txt", "'Txt' has neither a rule nor words; did you mean 'Text'?"),
        ("start Text", "", "names no start symbol"),
        (
            "S -> NP[num=?n] V[num=?n]",
            "S -> NP[num=?n] W[num=?n]",
            "'W' has neither a rule nor words",
        ),
        ("S -> NP[num=?n] V[num=?n]", "S -> NP[num=?n] V[num=?m]", "variable ?n stands only here"),
        (
            "S -> NP[num=?n] V[num=?n]",
            "S -> NP[num=sg] V[num=dual]",
            "feature 'num' has no value 'dual'; its values are sg, pl",
        ),
        (
            "S -> NP[num=?n] V[num=?n]",
            "S -> NP[num=?n] V[num=?n] where ?n != ?m",
            "variable ?m does not occur",
        ),
        (
            "S -> NP[num=?n] V[num=?n]",
            "S -> NP[num=?n] V[num=?n] where ?n != ?n",
            "two variables of one feature",
        ),
        ("Text -> S \".\"", "Text -> S \".\"\nfeature case = nom", "feature 'case' is never used"),
        (
            "num = sg : 3, pl : 1",
            "num = sg : 3, pl : 1, dual",
            "value 'dual' of feature 'num' is never given",
        ),
        ("Text -> S \".\"", "Text -> S \".\"\nQ -> \"q\"", "'Q' is never used"),
        ("Text -> S \".\"", "Text -> S \".\"\nwords Q\n  q", "'Q' is never used"),
        ("Text -> S \".\"", "Text -> S \".\"\n  | L\nL -> L \"x\"\n  | \"x\" L", "'L' never ends"),
        ("Text -> S \".\"", "Text -> S \".\"\n  | L\nL -> M\nM -> M M", "'M' never ends"),
        ("Text -> S \".\"", "Text -> S \".\"\nText[num=sg] -> \"x\"", "this rule adds 'num'"),
        ("NP[num=_]", "NP[num=_, foo=_]", "feature 'foo' is not declared"),
        ("Text -> S", "Text -> S[num=sg]", "'S' has no feature 'num'; it has none"),
        ("words V forms", "words S forms", "'S' has rules (line 7)"),
        ("  cat cats", "  cat cats\n  dog dogs", "stands on line 15 already"),
        (
            "words V forms [num=sg] [num=pl]",
            "words V forms [num=?n] [num=pl]",
            "variables stand in rules only",
        ),
        ("spell a as an", "spell e as an", "has the word 'e'"),
        ("spell a as an", "spell a as owl", "'owl' is a word of its own"),
        (
            "phenomenon",
            "phenomenon attractor field f term t\n  \"the\" / \"a\"\nphenomenon",
            "'attractor' is there already",
        ),
        ("V[num=?n] / V[num=?m]", "NP[num=?n] / V[num=?m]", "'NP' has rules"),
        ("V[num=?n] / V[num=?m]", "V[num=?n] V[num=?m] \"a\" / \"a\"", "never differ"),
        (
            "start Text",
            "start Text\nlimit depth 2",
            "the shallowest sentence is 3 rules deep, and the limit is 2",
        ),
    ];
    for (from, to, words) in cases {
        assert!(SMALL.contains(from), "{from}");
        let (_, _, message) = error(&SMALL.replacen(from, to, 1));
        assert!(message.contains(words), "{to:?}: {message:?} does not say {words:?}");
    }
}

#[test]
fn test_errors__agreement_that_cannot_be_spelt() {
    let (line, column, message) = error(
        "start S\nfeature num = sg, pl\nS -> N[num=sg]\n  | M[num=pl]\nwords N forms [num=sg] [num=pl]\n  dog dogs\n\
         words M[num=sg]\n  x",
    );
    assert_eq!((line, column), (4, 5));
    assert_eq!(message, "this rule can never be finished: no words of 'M' fit [num=pl]");
}

#[test]
fn test_errors__rules_and_forms_that_nothing_asks_for() {
    let head = "start S\nfeature num = sg, pl\nS -> N[num=sg]\n";
    let (line, _, message) = error(&format!("{head}words N forms [num=sg] [num=pl]\n  dog dogs"));
    assert_eq!((line, message.contains("forms of 'N' are never used")), (4, true), "{message}");
    let (line, _, message) = error(&format!("{head}N[num=sg] -> \"dog\"\nN[num=pl] -> \"dogs\""));
    assert_eq!((line, message.contains("this rule is never used")), (5, true), "{message}");
}

/// Small texts that stand for very many combinations, or for endless sentences, are refused, not computed.
#[test]
fn test_errors__combinatorial_explosions() {
    let values: Vec<String> = (0..40).map(|i| format!("v{i}")).collect();
    let mut text = format!("start S\nfeature f = {}\nS -> ", values.join(", "));
    for i in 0..20 {
        let _ = write!(text, "N[f=?x{i}] N[f=?x{i}] ");
    }
    let _ = write!(text, "\nwords N[f={}]\n  dog", values.join("|"));
    let (line, _, message) = error(&text);
    assert_eq!((line, message.contains("can be combined in more than")), (3, true), "{message}");

    let mut text = "start A0\nlimit depth 100\n".to_owned();
    for i in 0..64 {
        let _ = writeln!(text, "A{i} -> A{0} A{0}", i + 1);
    }
    text.push_str("A64 -> \"x\"");
    let (line, _, message) = error(&text);
    assert_eq!(
        (line, message.contains("even the shortest sentence needs more")),
        (1, true),
        "{message}"
    );
}

#[test]
fn test_load__names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.grammar");
    let error = Grammar::load(&missing).unwrap_err();
    assert!(error.to_string().contains(missing.to_str().unwrap()), "{error}");
    assert!(error.to_string().contains("mend: name a file that is there"), "{error}");
    assert_eq!(error.exit_code(), 3);

    let latin1 = folder.path().join("latin1.grammar");
    std::fs::write(&latin1, b"start S\nS -> \"na\xefve\"\n").unwrap();
    let error = Grammar::load(&latin1).unwrap_err().to_string();
    assert!(error.contains("latin1.grammar:2:9: this byte is not UTF-8"), "{error}");

    let huge = folder.path().join("huge.grammar");
    std::fs::write(&huge, vec![b'\n'; (4 << 20) + 1]).unwrap();
    let error = Grammar::load(&huge).unwrap_err().to_string();
    assert!(error.contains("larger than"), "{error}");
}

#[test]
fn test_parse__byte_order_mark_windows_line_ends_and_comments() {
    let text = SMALL.replace('\n', " # a comment\r\n");
    let grammar = Grammar::parse("g", &format!("\u{feff}{text}")).unwrap();
    let plain = super::grammar(SMALL);
    assert!((0..50).all(|i| grammar.sentence(1, i) == plain.sentence(1, i)));
}
