//! What is claimed of the grammar that ships, checked by reading its word tables and its sentences only.

use std::collections::{HashMap, HashSet};

use super::super::{MinimalPair, Phenomenon, Recogniser, minimal_pairs, write_corpus};
use super::{english, english_path};

const TRAINING: u64 = 30_000;

/// The rows of all tables whose head begins so, by splitting lines: no part of the parser is used.
fn rows(head: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(english_path()).unwrap();
    let (mut rows, mut inside) = (Vec::new(), false);
    for line in text.lines() {
        if line.starts_with(' ') && inside {
            let forms = line.split(':').next().unwrap_or("");
            rows.push(forms.split_whitespace().map(str::to_owned).collect());
        } else if !line.starts_with(' ') {
            inside = line.starts_with(head);
        }
    }
    assert!(!rows.is_empty(), "{head}");
    rows
}

fn column(head: &str, column: usize) -> HashSet<String> {
    rows(head).into_iter().map(|mut row| row.swap_remove(column)).collect()
}

fn plain(word: &str) -> &str {
    word.trim_end_matches('.')
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    Singular,
    Plural,
}

/// Number by form, for nouns or for verbs in the present and "be".
struct Numbers(HashMap<String, Number>);

impl Numbers {
    fn new(heads: &[&str]) -> Self {
        let mut numbers = HashMap::new();
        for head in heads {
            for row in rows(head) {
                numbers.insert(row[0].clone(), Number::Singular);
                numbers.insert(row[1].clone(), Number::Plural);
            }
        }
        Self(numbers)
    }

    fn of(&self, word: &str) -> Option<Number> {
        self.0.get(plain(word)).copied()
    }
}

fn all_pairs() -> Vec<Phenomenon> {
    minimal_pairs(&english(), 42, 200, TRAINING).unwrap_or_else(|e| panic!("{e}"))
}

fn pairs_of(name: &str) -> Vec<MinimalPair> {
    all_pairs().into_iter().find(|p| p.name == name).unwrap().pairs
}

#[test]
fn test_english__at_least_300_lexical_items() {
    let listed: usize = ["words N[", "words V["].iter().map(|head| rows(head).len()).sum::<usize>()
        + ["words Name[", "words Adj", "words Adv", "words Prep"]
            .iter()
            .map(|head| rows(head).iter().map(Vec::len).sum::<usize>())
            .sum::<usize>();
    assert!(listed >= 300, "{listed}");
    assert!(english().lexemes() >= listed);
}

#[test]
fn test_english__phenomena() {
    let grammar = english();
    let names: Vec<&str> = grammar.phenomena().collect();
    for name in [
        "agreement_adjacent",
        "agreement_attractor_pp",
        "agreement_attractor_relative",
        "agreement_coordination",
        "agreement_existential",
        "reflexive_number",
        "reflexive_gender",
        "determiner_noun",
        "determiner_noun_adjective",
        "pronoun_case",
        "expletive",
        "transitivity",
        "verb_form",
    ] {
        assert!(names.contains(&name), "{name}");
    }
}

/// Every promise about every pair, against the corpus as it stands on disk.
#[test]
fn test_english__every_pair_is_minimal_and_unseen() {
    let grammar = english();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("corpus.txt");
    write_corpus(&grammar, TRAINING, 42, &path).unwrap();
    let corpus = std::fs::read_to_string(&path).unwrap();
    let corpus: HashSet<&str> = corpus.lines().collect();
    let recogniser = Recogniser::new(&grammar);
    let phenomena = all_pairs();
    assert_eq!(phenomena.len(), grammar.phenomena().count());
    for phenomenon in phenomena {
        assert_eq!(phenomenon.pairs.len(), 200, "{}", phenomenon.name);
        let good: HashSet<&str> =
            phenomenon.pairs.iter().map(|p| p.sentence_good.as_str()).collect();
        assert_eq!(good.len(), 200, "{}: a good sentence is there twice", phenomenon.name);
        for pair in &phenomenon.pairs {
            let (good, bad) = (&pair.sentence_good, &pair.sentence_bad);
            assert!(!corpus.contains(good.as_str()), "trained on: {good}");
            assert!(!corpus.contains(bad.as_str()), "trained on: {bad}");
            let (a, b): (Vec<_>, Vec<_>) = (good.split(' ').collect(), bad.split(' ').collect());
            assert_eq!(a.len(), b.len());
            let different: Vec<usize> = (0..a.len()).filter(|&i| a[i] != b[i]).collect();
            assert_eq!(different.len(), 1, "{good} / {bad}");
            assert_eq!(plain(a[different[0]]), pair.one_prefix_word_good);
            assert_eq!(plain(b[different[0]]), pair.one_prefix_word_bad);
            assert!(recogniser.accepts(good), "not generated: {good}");
            assert!(!recogniser.accepts(bad), "generated: {bad}");
        }
    }
}

/// The first noun agrees with the verb that is contrasted, and the noun just before it does not.
#[test]
fn test_english__attractors_attract() {
    let nouns = Numbers::new(&["words N["]);
    let verbs = Numbers::new(&["words V[", "words Be"]);
    for name in ["agreement_attractor_pp", "agreement_attractor_relative"] {
        for pair in pairs_of(name) {
            let before: Vec<Number> =
                pair.one_prefix_prefix.split(' ').filter_map(|word| nouns.of(word)).collect();
            let verb = verbs.of(&pair.one_prefix_word_good);
            assert_eq!(before.len(), 2, "{pair:?}");
            assert_eq!(verb, Some(before[0]), "{pair:?}");
            assert_ne!(verb, Some(before[1]), "{pair:?}");
            assert_eq!(verbs.of(&pair.one_prefix_word_bad), Some(before[1]), "{pair:?}");
        }
    }
}

#[test]
fn test_english__half_of_the_agreement_pairs_are_plural() {
    let verbs = Numbers::new(&["words V[", "words Be", "words Stand"]);
    for phenomenon in all_pairs().iter().filter(|p| p.name.starts_with("agreement")) {
        let of = |pair: &MinimalPair| verbs.of(&pair.one_prefix_word_good);
        let plural = phenomenon.pairs.iter().filter(|p| of(p) == Some(Number::Plural)).count();
        assert!((70..=130).contains(&plural), "{}: {plural} of 200", phenomenon.name);
    }
}

/// In the corpus itself: determiners agree with the next noun, a and an with the next letter, reflexives with the
/// subject where it is a pronoun or a name.
#[test]
fn test_english__corpus_agrees() {
    let grammar = english();
    let nouns = Numbers::new(&["words N["]);
    let adjectives: HashSet<String> = rows("words Adj").into_iter().flatten().collect();
    let singular = ["a", "an", "another", "every", "each", "this"];
    let plural =
        ["these", "those", "many", "several", "some", "few", "two", "three", "all", "both", "most"];
    let names: HashSet<String> = rows("words Name[gender=fem]").into_iter().flatten().collect();
    let mut checked = [0; 3];
    for i in 0..20_000 {
        let sentence = grammar.sentence(3, i);
        let words: Vec<&str> = sentence.split(' ').map(plain).collect();
        for (i, word) in words.iter().enumerate() {
            let number = if singular.contains(word) {
                Number::Singular
            } else if plural.contains(word) {
                Number::Plural
            } else {
                continue;
            };
            let noun = words[i + 1..].iter().find(|w| !adjectives.contains(**w));
            assert_eq!(noun.and_then(|n| nouns.of(n)), Some(number), "{sentence}");
            checked[0] += 1;
            if matches!(*word, "a" | "an") {
                let vowel = words[i + 1].starts_with(['a', 'e', 'i', 'o', 'u']);
                assert_eq!(vowel, *word == "an", "{sentence}");
                checked[1] += 1;
            }
        }
        if let [subject, _, reflexive] = words[..]
            && (reflexive.ends_with("self") || reflexive.ends_with("selves"))
        {
            let expected = match subject {
                "he" => "himself",
                "she" => "herself",
                "it" => "itself",
                "they" => "themselves",
                "we" => "ourselves",
                name if names.contains(name) => "herself",
                _ => "himself",
            };
            assert_eq!(reflexive, expected, "{sentence}");
            checked[2] += 1;
        }
    }
    assert!(checked.iter().all(|&n| n > 100), "{checked:?}");
}

/// Frequent enough to be learnt, short enough for a small model.
#[test]
fn test_english__sentence_lengths() {
    let grammar = english();
    let lengths: Vec<usize> =
        (0..5_000).map(|i| grammar.sentence(1, i).split(' ').count()).collect();
    let usual = lengths.iter().filter(|n| (3..=14).contains(*n)).count();
    assert!(usual > 4_500, "{usual}");
    let verbs = column("words V[", 0);
    assert!(verbs.contains("sleeps"));
}
