use super::super::{GrammarError, minimal_pairs, write_pairs};
use super::{SMALL, grammar};

#[test]
fn test_minimal_pairs__frozen_by_seed() {
    let grammar = grammar(SMALL);
    let once = minimal_pairs(&grammar, 1, 4, 5).unwrap();
    let again = minimal_pairs(&grammar, 1, 4, 5).unwrap();
    assert_eq!(once, again);
    assert_ne!(once, minimal_pairs(&grammar, 2, 4, 5).unwrap());
}

#[test]
fn test_minimal_pairs__other_phenomena_change_nothing() {
    let more = SMALL.replace(
        "phenomenon",
        "phenomenon determiner field morphology term determiner_noun_agreement\n  \
         \"a\" N[num=sg] / N[num=pl] V[num=sg] \".\"\nphenomenon",
    );
    let two = minimal_pairs(&grammar(&more), 1, 4, 0).unwrap();
    let one = minimal_pairs(&grammar(SMALL), 1, 4, 0).unwrap();
    assert_eq!(two[1], one[0]);
}

/// 2 numbers x 3 nouns x 3 nouns x 2 verbs = 36 pairs, and no more.
#[test]
fn test_minimal_pairs__all_there_are_and_not_one_more() {
    let grammar = grammar(SMALL);
    let pairs = &minimal_pairs(&grammar, 1, 36, 0).unwrap()[0].pairs;
    let good: std::collections::BTreeSet<_> = pairs.iter().map(|p| &p.sentence_good).collect();
    assert_eq!(good.len(), 36);
    let error = minimal_pairs(&grammar, 1, 37, 0).unwrap_err();
    assert!(matches!(error, GrammarError::TooFewPairs { found: 36, wanted: 37, .. }), "{error}");
    assert!(error.to_string().contains("phenomenon 'attractor' gives only 36 of 37"), "{error}");
    assert_eq!(error.exit_code(), 2);
}

/// The more of the 36 stand in the training text, the fewer are left; found by counting, not by the generator.
#[test]
fn test_minimal_pairs__none_of_the_training_text() {
    let grammar = grammar(SMALL);
    let sentences = 3_000;
    let all = minimal_pairs(&grammar, 1, 36, 0).unwrap().remove(0).pairs;
    let corpus: std::collections::HashSet<String> =
        (0..sentences).map(|i| grammar.sentence(1, i)).collect();
    let left = all.iter().filter(|p| !corpus.contains(&p.sentence_good)).count();
    assert!((1..36).contains(&left), "{left}");

    let pairs = minimal_pairs(&grammar, 1, left, sentences).unwrap().remove(0).pairs;
    assert!(pairs.iter().all(|p| !corpus.contains(&p.sentence_good)));
    let error = minimal_pairs(&grammar, 1, left + 1, sentences).unwrap_err();
    let GrammarError::TooFewPairs { found, trained, .. } = error else { panic!("{error}") };
    assert_eq!((found, trained), (left, 36 - left as u64));
}

#[test]
fn test_minimal_pairs__numbers_are_balanced() {
    let text = SMALL.replace("sg : 3, pl : 1", "sg : 1000, pl : 1");
    let pairs = minimal_pairs(&grammar(&text), 1, 30, 0).unwrap().remove(0).pairs;
    let plural = pairs.iter().filter(|p| !p.one_prefix_word_good.ends_with('s')).count();
    assert!((8..=22).contains(&plural), "{plural} of 30 are plural");
}

#[test]
fn test_minimal_pairs__good_sentences_must_follow_the_rules() {
    let text = SMALL.replace("\"the\" N[num=?n] \"near\"", "\"the\" N[num=?n] \"the\" \"near\"");
    let error = minimal_pairs(&grammar(&text), 1, 1, 0).unwrap_err();
    assert!(matches!(error, GrammarError::NotGenerated { line: 23, .. }), "{error}");
    assert!(
        error.to_string().starts_with("test:23: phenomenon 'attractor' calls \"the "),
        "{error}"
    );
}

/// "sheep run" and "sheep runs" are both in the grammar: no pair.
#[test]
fn test_minimal_pairs__ambiguous_candidates_are_counted() {
    let text = "start S\nfeature num = sg, pl\nS -> N[num=?n] V[num=?n]\n\
                words N forms [num=sg] [num=pl]\n  sheep sheep\n  dog dogs\n\
                words V forms [num=sg] [num=pl]\n  runs run\n  sits sit\n\
                phenomenon p field morphology term agreement\n  N[num=?n] V[num=?n] / V[num=?m] where ?n != ?m";
    let pairs = minimal_pairs(&grammar(text), 1, 4, 0).unwrap().remove(0).pairs;
    assert!(pairs.iter().all(|p| p.sentence_good.starts_with("dog")), "{pairs:?}");
    let error = minimal_pairs(&grammar(text), 1, 5, 0).unwrap_err();
    let GrammarError::TooFewPairs { found: 4, ambiguous, example, .. } = error else {
        panic!("{error}")
    };
    assert!(ambiguous > 0 && example.starts_with(" (\"sheep "), "{ambiguous} {example}");
}

#[test]
fn test_minimal_pairs__no_phenomena() {
    let grammar = grammar("start S\nS -> \"x\"");
    assert_eq!(minimal_pairs(&grammar, 1, 200, 10).unwrap(), Vec::new());
}

/// The rows have the keys and types of BLiMP's.
#[test]
fn test_write_pairs__blimp_format() {
    let folder = tempfile::tempdir().unwrap();
    let pairs = minimal_pairs(&grammar(SMALL), 1, 8, 0).unwrap();

    write_pairs(&pairs, folder.path().join("pairs")).unwrap();

    let text = std::fs::read_to_string(folder.path().join("pairs/attractor.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 8);
    for (i, line) in text.lines().enumerate() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        assert_eq!(text("field"), "morphology");
        assert_eq!(text("linguistics_term"), "subject_verb_agreement");
        assert_eq!(text("UID"), "attractor");
        assert_eq!(text("pairID"), i.to_string());
        assert_eq!(row["simple_LM_method"], true);
        assert_eq!(row["one_prefix_method"], true);
        assert_eq!(row["two_prefix_method"], false);
        assert_eq!(row["lexically_identical"], true);
        let prefix = text("one_prefix_prefix");
        assert_eq!(text("sentence_good"), format!("{prefix} {}.", text("one_prefix_word_good")));
        assert_eq!(text("sentence_bad"), format!("{prefix} {}.", text("one_prefix_word_bad")));
    }
}

#[test]
fn test_write_pairs__refuses_a_folder_with_other_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let pairs = minimal_pairs(&grammar(SMALL), 1, 2, 0).unwrap();
    write_pairs(&pairs, folder.path()).unwrap();
    write_pairs(&pairs, folder.path()).unwrap();
    std::fs::write(folder.path().join("old.jsonl"), "").unwrap();
    let error = write_pairs(&pairs, folder.path()).unwrap_err();
    assert!(matches!(error, GrammarError::ForeignPairs { .. }), "{error}");
    assert!(error.to_string().contains("old.jsonl"), "{error}");
}

/// The example that the documentation begins with is a grammar, and makes the pair that is shown.
#[test]
fn test_documentation__first_example() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/grammar.md");
    let text = std::fs::read_to_string(path).unwrap();
    let example = text.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let grammar = grammar(example);
    assert!(grammar.accepts("this dog near the mice sleeps."));
    assert!(!grammar.accepts("this dog near the mice sleep."));
    assert_eq!(minimal_pairs(&grammar, 1, 10, 10).unwrap()[0].pairs.len(), 10);
}
