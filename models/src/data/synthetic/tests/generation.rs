use std::collections::HashMap;

use super::super::{GrammarError, Sampler, write_corpus};
use super::{SMALL, english, grammar};

fn frequencies(text: &str, sentences: u32) -> HashMap<String, f64> {
    let (grammar, mut counts) = (grammar(text), HashMap::new());
    for i in 0..sentences {
        *counts.entry(grammar.sentence(5, u64::from(i))).or_insert(0.0) +=
            1.0 / f64::from(sentences);
    }
    counts
}

/// The streams are frozen: these sentences must be the same on every machine and in every version.
#[test]
fn test_sentence__frozen() {
    let grammar = grammar(SMALL);
    let sentences: Vec<String> = (0..6).map(|i| grammar.sentence(42, i)).collect();
    assert_eq!(sentences, FROZEN);
}

const FROZEN: [&str; 6] = [
    "a cat sleeps.",
    "a dog sleeps.",
    "the dogs run.",
    "the owl runs.",
    "the owl near the owls sleeps.",
    "the dog sleeps.",
];

#[test]
fn test_sentence__depends_on_seed_and_index_only() {
    let grammar = english();
    let forwards: Vec<String> = (0..200).map(|i| grammar.sentence(7, i)).collect();
    let (mut sampler, mut sentence) = (Sampler::new(&grammar), String::new());
    for i in (0..200).rev() {
        sentence.clear();
        sampler.sentence(7, i, &mut sentence);
        assert_eq!(sentence, forwards[usize::try_from(i).unwrap()]);
    }
    let other: Vec<String> = (0..200).map(|i| grammar.sentence(8, i)).collect();
    let same = forwards.iter().zip(&other).filter(|(a, b)| a == b).count();
    assert!(same < 10, "{same} of 200 sentences are the same under another seed");
    for (seed, index) in [(7 | 1 << 40, 0), (7, 1 << 40)] {
        let high: Vec<String> = (0..200).map(|i| grammar.sentence(seed, i | index)).collect();
        assert_ne!(high, forwards, "the upper halves of seed and index count");
    }
}

#[test]
fn test_write_corpus__same_sentences_and_right_statistics() {
    let grammar = english();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new").join("corpus.txt");

    let stats = write_corpus(&grammar, 2_000, 3, &path).unwrap();

    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(stats.sentences, 2_000);
    assert_eq!(lines.len(), 2_000);
    assert_eq!(stats.bytes, text.len() as u64);
    assert_eq!(stats.words, text.split_whitespace().count() as u64);
    let longest = lines.iter().map(|line| line.split_whitespace().count()).max();
    assert_eq!(Some(stats.longest), longest.map(|n| n as u64));
    for (i, line) in lines.iter().enumerate() {
        assert_eq!(*line, grammar.sentence(3, i as u64));
    }
    let beside = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(beside, 1, "no temporary file is left");
}

#[test]
fn test_write_corpus__no_sentences() {
    let folder = tempfile::tempdir().unwrap();
    let stats = write_corpus(&grammar(SMALL), 0, 3, folder.path().join("c.txt")).unwrap();
    assert_eq!((stats.sentences, stats.words, stats.bytes), (0, 0, 0));
}

#[test]
fn test_write_corpus__says_where_it_cannot_write() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = write_corpus(&grammar(SMALL), 3, 3, file.join("corpus.txt")).unwrap_err();
    assert!(matches!(error, GrammarError::Io { .. }), "{error}");
    assert!(error.to_string().contains("corpus.txt"), "{error}");
    assert_eq!(error.exit_code(), 1);
}

#[test]
fn test_weights__of_alternatives_and_lexemes() {
    let text = "start S\nS -> A : 3\n  | B : 1\nwords A\n  x y : 2\n  z : 4\nwords B zipf\n  p q";
    let f = frequencies(text, 40_000);
    let expected =
        [("x", 0.1875), ("y", 0.1875), ("z", 0.375), ("p", 1.0 / 6.0), ("q", 1.0 / 12.0)];
    for (word, p) in expected {
        assert!((f[word] - p).abs() < 0.01, "{word}: {} instead of {p}", f[word]);
    }
}

/// A variable that only the right side has is drawn by the weights of the feature's values, whatever the numbers
/// of words that have them; values that cannot be finished leave their share to the others.
#[test]
fn test_weights__of_feature_values() {
    let text = "start S\nfeature n = a : 6, b : 2, c : 92\nS -> X[n=?n] Y[n=?n]\n  | X[n=c]\n\
                words X[n=a]\n  x\nwords X[n=b]\n  u v w\nwords X[n=c]\n  t\nwords Y[n=a|b]\n  y";
    let f = frequencies(text, 40_000);
    for (sentence, p) in [("x y", 0.375), ("u y", 0.125 / 3.0), ("w y", 0.125 / 3.0), ("t", 0.5)] {
        assert!((f[sentence] - p).abs() < 0.01, "{sentence}: {} instead of {p}", f[sentence]);
    }
}

/// `S -> a S : 3 | b : 1` within three rules: b 1/4, then (3/4) a; again b 1/4; the third may only be b.
#[test]
fn test_depth__limit_renormalises() {
    let f = frequencies("start S\nlimit depth 3\nS -> \"a\" S : 3\n  | \"b\" : 1", 40_000);
    assert_eq!(f.len(), 3, "{f:?}");
    for (sentence, p) in [("b", 0.25), ("a b", 0.1875), ("a a b", 0.5625)] {
        assert!((f[sentence] - p).abs() < 0.01, "{sentence}: {} instead of {p}", f[sentence]);
    }
}

#[test]
fn test_depth__counts_the_sentences_it_cut() {
    let grammar = grammar("start S\nlimit depth 3\nS -> \"a\" S : 3\n  | \"b\" : 1");
    let folder = tempfile::tempdir().unwrap();
    let stats = write_corpus(&grammar, 10_000, 1, folder.path().join("c.txt")).unwrap();
    // Three times "a", of which the third was refused: (3/4)^3 of all.
    assert!((4000..4440).contains(&stats.limited), "{stats:?}");
}

/// Each S makes two more, almost surely: without bounds no sentence would end.
#[test]
fn test_termination__explosive_recursion() {
    for depth in [1, 2, 7, 20, 1000] {
        let text = format!("start S\nlimit depth {depth}\nS -> S S S : 1000000\n  | \"x\" : 1");
        let grammar = grammar(&text);
        for i in 0..20 {
            let words = grammar.sentence(1, i).split(' ').count();
            let most = 3usize.checked_pow(depth - 1).unwrap_or(usize::MAX).min(10_000);
            assert!(words <= most, "{words} words at depth {depth}");
        }
    }
}

/// Left, right and centre recursion and unit cycles, mutual and at once.
#[test]
fn test_termination__all_kinds_of_recursion() {
    let grammar = grammar(
        "start S\nS -> S \"l\" : 99\n  | \"r\" S : 99\n  | \"(\" S \")\" : 99\n  | S : 999\n  | T : 9\n\
         T -> S : 99\n  | \"x\" : 1",
    );
    for i in 0..200 {
        let sentence = grammar.sentence(2, i);
        let opened = sentence.matches('(').count();
        assert_eq!(opened, sentence.matches(')').count());
        assert_eq!(sentence.matches('x').count(), 1);
        assert!(grammar.accepts(&sentence), "{sentence}");
    }
}

#[test]
fn test_spelling__before_a_vowel_and_punctuation() {
    let grammar = grammar(SMALL);
    for i in 0..500 {
        let sentence = grammar.sentence(9, i);
        assert!(sentence.ends_with('.') && !sentence.contains(" .") && !sentence.contains("  "));
        assert!(!sentence.contains("a owl") && !sentence.contains("an dog"), "{sentence}");
    }
    assert!(grammar.accepts("an owl sleeps."));
    for wrong in
        ["a owl sleeps.", "an dog sleeps.", "an owl sleeps .", "an owl  sleeps.", "an owl sleeps"]
    {
        assert!(!grammar.accepts(wrong), "{wrong}");
    }
}

#[test]
fn test_accepts__knows_agreement() {
    let grammar = grammar(SMALL);
    assert!(grammar.accepts("the dogs near the cat near an owl run."));
    assert!(!grammar.accepts("the dogs near the cat near an owl runs."));
    for wrong in [
        "",
        " ",
        ".",
        "the",
        "the dogs run. the dogs run.",
        "the unicorns run.",
        "a dogs run.",
        "..",
        "run",
    ] {
        assert!(!grammar.accepts(wrong), "{wrong:?}");
    }
}

/// Generation and recognition are two programs on one table: each sentence of the one is one of the other.
#[test]
fn test_accepts__every_generated_sentence() {
    let grammar = english();
    let recogniser = super::super::Recogniser::new(&grammar);
    for i in 0..2_000 {
        let sentence = grammar.sentence(11, i);
        assert!(recogniser.accepts(&sentence), "{sentence}");
    }
}
