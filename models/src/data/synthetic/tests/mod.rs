mod english;
mod errors;
mod generation;
mod phenomena;
mod robustness;

use super::Grammar;

/// The grammar that ships.
fn english() -> Grammar {
    Grammar::load(english_path()).unwrap_or_else(|e| panic!("{e}"))
}

fn english_path() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/grammars/english.grammar")
}

fn grammar(text: &str) -> Grammar {
    Grammar::parse("test", text).unwrap_or_else(|e| panic!("{e}"))
}

/// Agreement, a recursive rule, a spelling rule and a phenomenon in a few lines.
const SMALL: &str = r#"
start Text
feature num = sg : 3, pl : 1
spell a as an before a e i o u

Text -> S "."
S -> NP[num=?n] V[num=?n]
NP[num=?n] -> Det[num=?n] N[num=?n] : 3
  | Det[num=?n] N[num=?n] "near" NP[num=_] : 1

words Det forms [num=sg] [num=pl]
  a -
  the the
words N forms [num=sg] [num=pl] zipf
  dog dogs
  owl owls
  cat cats
words V forms [num=sg] [num=pl] zipf
  sleeps sleep
  runs run

phenomenon attractor field morphology term subject_verb_agreement
  "the" N[num=?n] "near" "the" N[num=?m] V[num=?n] / V[num=?m] "." where ?n != ?m
"#;
