use std::path::Path;

use super::*;
use crate::test_data::data;

const TAIL: HeldOut = HeldOut { fraction: 0.1, from: ValidationSplit::Tail };
const BLOCKS_10: HeldOut = HeldOut { fraction: 0.1, from: ValidationSplit::Blocks };

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn open(path: &Path, unit: Unit, held_out: HeldOut) -> Result<Corpus, DataError> {
    Corpus::open("data.training_corpus", path, unit, held_out)
}

/// The units of a split, pieces joined.
fn units(corpus: &Corpus, held_out: bool) -> Vec<String> {
    let mut units: Vec<String> = Vec::new();
    let mut inside = false;
    for piece in corpus.pieces(held_out) {
        let piece = piece.unwrap();
        assert_eq!(piece.begins, !inside);
        if piece.begins {
            units.push(String::new());
        }
        units.last_mut().unwrap().push_str(&piece.text);
        inside = !piece.ends;
    }
    assert!(!inside);
    units
}

#[test]
fn test_corpus__lines_and_documents() {
    let folder = folder(&[
        ("b.txt", "\u{FEFF}three\r\n \r\n\r\nfour"),
        ("a.train", "one\n\ntwo\n"),
        ("c.test", "never"),
        ("d.dev", "never"),
        (".hidden.txt", "never"),
    ]);
    std::fs::create_dir(folder.path().join("deep.txt")).unwrap();
    let lines = open(folder.path(), Unit::Line, HeldOut::NOTHING).unwrap();
    assert_eq!(units(&lines, false), ["one", "two", "three", "four"]);
    let mut pieces = lines.pieces(false);
    assert!(pieces.by_ref().all(|piece| piece.is_ok()));
    let expected = [
        Passed {
            units: 2,
            lines: 3,
            blank_lines: 1,
            characters: 6,
            skipped_characters: 3,
            bytes: 9,
        },
        Passed {
            units: 2,
            lines: 4,
            blank_lines: 2,
            characters: 9,
            skipped_characters: 4,
            bytes: 13,
        },
    ];
    assert_eq!(pieces.passed(), expected);
    let names: Vec<&str> = lines.files().iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["a.train", "b.txt"]);
    assert_eq!((lines.files()[1].byte_order_mark, lines.files()[1].carriage_returns), (true, 3));

    let documents = open(folder.path(), Unit::Document, HeldOut::NOTHING).unwrap();
    assert_eq!(units(&documents, false), ["one\n\ntwo\n", "three\n \n\nfour"]);
}

/// D-24: text that is held out, and `.test` files, never shape a tokenizer.
#[test]
fn test_corpus__text_for_the_tokenizer_has_nothing_held_out() {
    let lines: String = (0..200).map(|i| format!("line{i}\n")).collect();
    let folder = folder(&[("a.train", &lines), ("a.test", "secret")]);
    for (unit, held_out) in [(Unit::Line, BLOCKS_10), (Unit::Document, TAIL), (Unit::Line, TAIL)] {
        let corpus = open(folder.path(), unit, held_out).unwrap();
        let text: Vec<String> = corpus.text().map(Result::unwrap).collect();
        let text = text.join("\n");
        assert!(!text.contains("secret"));
        let held = units(&corpus, true);
        assert!(!held.is_empty());
        for line in
            held.iter().flat_map(|unit| unit.lines()).filter(|line| line.starts_with("line"))
        {
            assert!(!text.lines().any(|other| other == line), "{line}");
        }
    }
}

#[test]
fn test_corpus__tail_of_a_document_is_exact() {
    for text in ["0123456789".repeat(1000), "01234\n6789".repeat(1000)] {
        let folder = folder(&[("a.txt", &text), ("b.txt", "x")]);
        let corpus = open(&folder.path().join("a.txt"), Unit::Document, TAIL).unwrap();
        assert_eq!(units(&corpus, false).concat(), text[..9000]);
        assert_eq!(units(&corpus, true).concat(), text[9000..]);
        // Over two files, the tail is that of both together.
        let both = open(folder.path(), Unit::Document, TAIL).unwrap();
        assert_eq!(units(&both, true).concat(), format!("{}x", &text[9000..]));
    }
}

/// A block of the reader ends inside a line and at the very character where the tail begins.
#[test]
fn test_corpus__tail_at_every_place_of_a_block_edge() {
    for at in [65_535_usize, 65_536, 65_537, 131_072] {
        let total = at * 2;
        let text = "é".repeat(total);
        let folder = folder(&[("a.txt", &text)]);
        let half = HeldOut { fraction: 0.5, from: ValidationSplit::Tail };
        let corpus = open(folder.path(), Unit::Document, half).unwrap();
        for held_out in [false, true] {
            let units = units(&corpus, held_out);
            assert_eq!((units.len(), units[0].chars().count()), (1, at));
        }
    }
}

#[test]
fn test_corpus__blocks_are_whole_lines_evenly_spread() {
    let text: String = (0..1000).map(|i| format!("sentence {i:04}\n")).collect();
    let folder = folder(&[("a.txt", &text)]);
    let corpus = open(folder.path(), Unit::Line, BLOCKS_10).unwrap();
    let (train, held) = (units(&corpus, false), units(&corpus, true));
    assert_eq!((train.len(), held.len()), (900, 100));
    let mut all = [train, held.clone()].concat();
    all.sort();
    assert_eq!(all.iter().map(|line| format!("{line}\n")).collect::<String>(), text);
    assert!(
        (0..10)
            .all(|tenth| held.iter().filter(|line| line[10..11] == tenth.to_string()).count() == 10)
    );
    // In a document, what stood apart stays apart.
    let corpus = open(folder.path(), Unit::Document, BLOCKS_10).unwrap();
    assert_eq!((units(&corpus, false).len(), units(&corpus, true).len()), (11, 10));
}

/// Tiny Shakespeare, split as everybody splits it.
#[test]
fn test_corpus__shakespeare() {
    let Some(path) = data("tinyshakespeare/input.txt") else { return };
    let corpus = open(&path, Unit::Document, TAIL).unwrap();
    assert_eq!(corpus.files()[0].characters, 1_115_394);
    let count =
        |held_out| units(&corpus, held_out).iter().map(|unit| unit.chars().count()).sum::<usize>();
    assert_eq!((count(false), count(true)), (1_003_854, 111_540));
}

/// D9: pieces stay small however long a line is, and pieces join to the line.
#[test]
fn test_corpus__one_long_line_in_small_pieces() {
    let line = format!("{}{}", "word ".repeat(200_000), "é".repeat(500_000));
    let folder = folder(&[("a.txt", &format!("short\n{line}\nlast"))]);
    let corpus = open(folder.path(), Unit::Line, HeldOut::NOTHING).unwrap();
    let pieces: Vec<Piece> = corpus.pieces(false).map(Result::unwrap).collect();
    assert!(pieces.len() > 20 && pieces.iter().all(|piece| piece.text.len() <= cut::MAX + 4));
    assert_eq!(units(&corpus, false), ["short", line.as_str(), "last"]);
    // The cuts are those that the tokenizer makes in the whole line.
    let long: Vec<&str> =
        pieces[1..pieces.len() - 1].iter().map(|piece| piece.text.as_str()).collect();
    assert_eq!(long, cut::segments(&line).collect::<Vec<_>>());
    assert!(pieces.last().unwrap().begins && !pieces.last().unwrap().inside_word);
    assert!(pieces[pieces.len() - 2].inside_word);
}

#[test]
fn test_corpus__errors_name_file_and_reason() {
    let empty = folder(&[("a.test", "x")]);
    let message = |path: &Path| open(path, Unit::Line, HeldOut::NOTHING).unwrap_err().to_string();
    assert!(message(empty.path()).contains("no .train, .txt or .jsonl file"));
    let gone = Path::new("no/such/corpus.txt");
    let absolute = std::path::absolute(gone).unwrap().display().to_string();
    assert!(message(gone).contains(&absolute) && message(gone).contains("data.training_corpus"));
    let files = folder(&[("a.txt", ""), ("b.txt", "\u{FEFF}")]);
    assert!(message(files.path()).contains("is empty"));
    let bad = folder(&[("good.txt", "fine")]);
    std::fs::write(bad.path().join("bad.txt"), b"one\ntwo \xE9 three").unwrap();
    let text = message(bad.path());
    assert!(text.contains("bad.txt") && text.contains("offset 8"), "{text}");
    let jsonl = folder(&[("a.jsonl", "{}")]);
    assert!(message(&jsonl.path().join("a.jsonl")).contains("jsonl"));
    for fraction in [-0.1, 1.0, f64::NAN] {
        let held_out = HeldOut { fraction, from: ValidationSplit::Tail };
        let error = open(bad.path(), Unit::Line, held_out).unwrap_err();
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn test_corpus__a_file_that_changes_is_an_error() {
    let folder = folder(&[("a.txt", "one\ntwo\n")]);
    let corpus = open(folder.path(), Unit::Line, HeldOut::NOTHING).unwrap();
    std::fs::write(folder.path().join("a.txt"), "one\nTWO\n").unwrap();
    let last = corpus.pieces(false).last().unwrap();
    assert!(matches!(last, Err(DataError::Changed { .. })), "{last:?}");
}

/// A fixture dataset, which is there in every clone.
fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/datasets").join(name)
}

#[test]
fn test_corpus__records_are_lines_or_documents() {
    let folder = folder(&[
        ("a.txt", "one\n"),
        (
            "b.jsonl",
            "{\"text\": \"two\\r\\n\\nthree\"}\n\n{\"text\": \"\"}\n{\"text\": \"four\\n\"}\n",
        ),
    ]);
    let lines = open(folder.path(), Unit::Line, HeldOut::NOTHING).unwrap();
    assert_eq!(units(&lines, false), ["one", "two", "three", "four"]);
    let mut pieces = lines.pieces(false);
    assert!(pieces.by_ref().all(|piece| piece.is_ok()));
    let file = &lines.files()[1];
    assert_eq!((file.kind, file.records, file.carriage_returns), (SourceKind::Jsonl, 3, 1));
    let passed = pieces.passed()[1];
    assert_eq!((passed.units, passed.lines, passed.blank_lines), (3, 5, 2));
    assert_eq!(passed.characters + passed.skipped_characters, file.characters);
    assert_eq!(file.characters, 15);
    let documents = open(folder.path(), Unit::Document, HeldOut::NOTHING).unwrap();
    assert_eq!(units(&documents, false), ["one\n", "two\n\nthree", "four\n"]);
    assert_eq!(documents.text().map(Result::unwrap).collect::<String>(), "one\ntwo\n\nthreefour\n");
}

#[test]
fn test_corpus__a_record_is_held_out_as_a_whole() {
    let text: String =
        (0..200).map(|i| format!("{{\"text\": \"line {i}\\nof a record\"}}\n")).collect();
    let folder = folder(&[("a.jsonl", &text)]);
    for unit in [Unit::Line, Unit::Document] {
        for held_out in [TAIL, BLOCKS_10] {
            let corpus = open(folder.path(), unit, held_out).unwrap();
            let (train, kept_back) = (units(&corpus, false), units(&corpus, true));
            let whole = if unit == Unit::Document { 200 } else { 400 };
            assert_eq!(train.len() + kept_back.len(), whole);
            assert!((whole / 12..whole / 8).contains(&kept_back.len()), "{}", kept_back.len());
            if unit == Unit::Document {
                assert!(train.iter().chain(&kept_back).all(|unit| unit.ends_with("\nof a record")));
            }
        }
    }
}

#[test]
fn test_corpus__datasets_are_text_or_rows_of_ids() {
    // A column of text comes before the ids that somebody's tokenizer made of it.
    let corpus = open(&fixture("text_and_ids"), Unit::Line, HeldOut::NOTHING).unwrap();
    assert_eq!(units(&corpus, false), ["a", "cat", "sees", "dogs", "and", "barks"]);
    assert!(!corpus.is_tokenized());
    assert_eq!((corpus.files()[0].records, corpus.files()[0].characters), (7, 20));

    let corpus = open(&fixture("edge_cases"), Unit::Line, HeldOut::NOTHING).unwrap();
    assert!(corpus.is_tokenized());
    let rows: Vec<IdRow> = corpus.pieces(false).map(|piece| piece.unwrap().row.unwrap()).collect();
    let lengths: Vec<(u64, usize)> = rows.iter().map(|row| (row.number, row.ids.len())).collect();
    assert_eq!(lengths, [(1, 1), (2, 128), (4, 5), (5, 1)]);
    let mut pieces = corpus.pieces(false);
    assert_eq!(pieces.by_ref().count(), 4);
    assert_eq!((pieces.passed()[0].units, pieces.passed()[0].blank_lines), (4, 3));

    let corpus = open(&fixture("sequences"), Unit::Line, TAIL).unwrap();
    let count = |held_out| corpus.pieces(held_out).count();
    assert_eq!(count(false) + count(true), 100);
    assert!((8..=11).contains(&count(true)), "{}", count(true));
}

#[test]
fn test_corpus__files_of_other_kinds_say_what_to_do() {
    let folder =
        folder(&[("a.json", "[]"), ("b.csv.gz", "x"), ("c.arrow", "x"), ("d.jsonl", "{}\n")]);
    for (name, words) in [
        ("a.json", "as .jsonl"),
        ("b.csv.gz", "unpack it"),
        ("c.arrow", "the folder"),
        ("d.jsonl", "d.jsonl:1: the record has no field 'text'"),
        ("", "has no state.json"),
    ] {
        let error = open(&folder.path().join(name), Unit::Line, HeldOut::NOTHING).unwrap_err();
        assert!(error.to_string().contains(words), "{name}: {error}");
    }
}
