use std::collections::BTreeSet;
use std::path::PathBuf;

use proptest::prelude::*;

use super::super::{Boundary, Frame, Packing, ValidationSplit};
use super::*;
use crate::test_data::data;
use crate::tokenizer::{SpecialTokens, TokenizerKind, TrainOptions};

struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn new(files: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("corpus")).unwrap();
        for (name, text) in files {
            std::fs::write(root.path().join("corpus").join(name), text).unwrap();
        }
        Self { root }
    }

    fn options(&self, length: usize) -> DataOptions {
        DataOptions {
            max_loss_fraction: 1.0,
            ..DataOptions::new(self.root.path().join("corpus"), length)
        }
    }

    fn cache(&self) -> PathBuf {
        self.root.path().join("cache")
    }

    fn prepare(&self, options: &DataOptions, tokenizer: &Tokenizer) -> Result<Dataset, DataError> {
        prepare(options, tokenizer, &self.cache(), Rebuild::IfMissing, &mut |_| {
            ControlFlow::Continue(())
        })
    }
}

fn tokenizer(kind: TokenizerKind, text: &str) -> Tokenizer {
    let options = TrainOptions {
        min_frequency: 2,
        special_tokens: SpecialTokens::default(),
        ..TrainOptions::new(kind, 300)
    };
    Tokenizer::train(&options, &mut [Ok(text.to_owned())].into_iter()).unwrap().0
}

fn letters() -> Tokenizer {
    tokenizer(TokenizerKind::Character, "abcdefghijklmnopqrstuvwxyz \n")
}

fn rows(dataset: &Dataset, split: Split) -> Vec<Vec<u32>> {
    let store = dataset.split(split).unwrap();
    (0..store.len()).map(|id| store.chunk(id).unwrap().ids).collect()
}

/// D-23: the boundary token, by hand. a = 6, b = 7, ..., eos = 1, bos = 0.
#[test]
fn test_pack__boundaries_by_hand() {
    let place = Place::new(&[("a.txt", "ab\n\nc\n"), ("b.txt", "de f")]);
    let tokenizer = letters();
    let cases = [
        (Boundary::Eos, vec![vec![6, 7, 1], vec![8, 1, 9], vec![10, 5, 11]], (3, 1, 4)),
        (
            Boundary::BosEos,
            vec![vec![0, 6, 7], vec![1, 0, 8], vec![1, 0, 9], vec![10, 5, 11]],
            (6, 1, 4),
        ),
        (Boundary::None, vec![vec![6, 7, 8], vec![9, 10, 5]], (0, 1, 3)),
    ];
    for (boundary_token, by_hand, (edges, remainder, words_kept)) in cases {
        let options = DataOptions { boundary_token, ..place.options(3) };
        let dataset = place.prepare(&options, &tokenizer).unwrap();
        assert_eq!(rows(&dataset, Split::Train), by_hand);
        let ledger = dataset.ledger().split(Split::Train).unwrap();
        assert_eq!((ledger.boundary_tokens, ledger.remainder), (edges, remainder));
        assert_eq!((ledger.text_tokens(), ledger.chunks), (7, by_hand.len() as u64));
        let words: usize = (0..by_hand.len() as u64)
            .map(|id| dataset.split(Split::Train).unwrap().chunk(id).unwrap())
            .map(|chunk| chunk.word_starts.iter().filter(|starts| **starts).count())
            .sum();
        // With no boundary, the word that is dropped is the last one.
        assert_eq!(words, words_kept);
    }
    // A document keeps its newlines (\n = 4), and the boundary stands between files only.
    let options = DataOptions { unit: Unit::Document, ..place.options(4) };
    let dataset = place.prepare(&options, &tokenizer).unwrap();
    assert_eq!(rows(&dataset, Split::Train), [[6, 7, 4, 4], [8, 4, 1, 9], [10, 5, 11, 1]]);
}

/// The three packings of the same lines, by hand. a = 6, ..., i = 14, eos = 1, bos = 0.
#[test]
fn test_pack__sentence_and_drop_short_by_hand() {
    let place = Place::new(&[("a.txt", "abc\n\nd\nefghi\nab\n")]);
    let tokenizer = letters();
    let get = |packing, boundary_token, frame| {
        let options = DataOptions { packing, boundary_token, frame, ..place.options(4) };
        let dataset = place.prepare(&options, &tokenizer).unwrap();
        let l = dataset.ledger().split(Split::Train).unwrap().clone();
        let lost = [l.short_units, l.short_tokens, l.cut_units, l.cut_tokens, l.remainder];
        let edges = [l.boundary_tokens, l.frame_tokens];
        assert_eq!(l.tokens(), l.chunk_tokens + l.dropped());
        (rows(&dataset, Split::Train), lost, edges)
    };
    use Packing::{DropShort, Sentence};
    // A boundary token on both sides: all tokens of a line are targets. The second row lost c and eos, the last "hi".
    let (found, lost, edges) = get(Sentence, Boundary::Eos, Frame::None);
    assert_eq!(found, [vec![1, 6, 7, 8], vec![1, 9, 1], vec![1, 10, 11, 12], vec![1, 6, 7, 1]]);
    assert_eq!((lost, edges), ([0, 0, 2, 4, 0], [8, 0]));
    // Alone, a line of one token has nothing to predict.
    let (found, lost, edges) = get(Sentence, Boundary::None, Frame::None);
    assert_eq!(found, [vec![6, 7, 8], vec![10, 11, 12, 13], vec![6, 7]]);
    assert_eq!((lost, edges), ([1, 1, 1, 1, 0], [0, 0]));
    // In the frame of BERT it has: itself. The frame takes two places of four, and the place of the boundary.
    let (found, lost, edges) = get(Sentence, Boundary::Eos, Frame::ClsSep);
    assert_eq!(found, [vec![0, 6, 7, 1], vec![0, 9, 1], vec![0, 10, 11, 1], vec![0, 6, 7, 1]]);
    assert_eq!((lost, edges), ([0, 0, 2, 4, 0], [0, 8]));
    // As the original: blocks of T within a line.
    let (found, lost, edges) = get(DropShort, Boundary::None, Frame::None);
    assert_eq!(found, [[10, 11, 12, 13]]);
    assert_eq!((lost, edges), ([3, 6, 1, 1, 0], [0, 0]));
    let (found, lost, _) = get(DropShort, Boundary::Eos, Frame::None);
    assert_eq!(found, [[6, 7, 8, 1], [10, 11, 12, 13]]);
    assert_eq!(lost, [2, 5, 1, 2, 0]);
    let (found, _, edges) = get(Packing::Pack, Boundary::Eos, Frame::ClsSep);
    assert_eq!(found[..3], [[0, 6, 7, 1], [0, 8, 1, 1], [0, 9, 1, 1]]);
    assert_eq!(edges, [4, 14]);
}

/// Held-out lines are rows like those that are trained on, and the account says so in words.
#[test]
fn test_pack__sentences_of_held_out_text() {
    let place = Place::new(&[("a.txt", "abc\n".repeat(100).as_str())]);
    let options = DataOptions {
        packing: Packing::Sentence,
        validation_fraction: 0.1,
        max_loss_fraction: 0.05,
        ..place.options(8)
    };
    let dataset = place.prepare(&options, &letters()).unwrap();
    let (train, held_out) = (rows(&dataset, Split::Train), rows(&dataset, Split::Validation));
    assert_eq!((train.len(), held_out.len()), (90, 10));
    assert!(train.iter().chain(&held_out).all(|row| *row == [1, 6, 7, 8, 1]));
    let text = dataset.ledger().to_string();
    assert!(text.contains("50 tokens = 50 in 10 chunks of at most 8 + 0 dropped"), "{text}");
    assert_eq!(dataset.ledger().tokens_to_predict(Split::Validation), 40);
    // Longer lines are cut: refused by default, and the remedy is the right one.
    let options = DataOptions { max_sequence_length: 4, ..options };
    let error = place.prepare(&options, &letters()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("20.0 %") && text.contains("a larger data.max_sequence_length"),
        "{text}"
    );
    let options = DataOptions { packing: Packing::DropShort, max_sequence_length: 3, ..options };
    let text = place.prepare(&options, &letters()).unwrap_err().to_string();
    assert!(text.contains("25.0 %") && text.contains("set data.packing: pack"), "{text}");
}

#[test]
fn test_prepare__needs_the_boundary_token() {
    let place = Place::new(&[("a.txt", "a b c d e f")]);
    let options = TrainOptions {
        min_frequency: 1,
        special_tokens: SpecialTokens { unk_token: Some("<unk>".into()), ..SpecialTokens::none() },
        ..TrainOptions::new(TokenizerKind::Character, 5_000)
    };
    let mut text = [Ok("abcdef ".to_owned())].into_iter();
    let (tokenizer, _) = Tokenizer::train(&options, &mut text).unwrap();
    let error = place.prepare(&place.options(3), &tokenizer).unwrap_err();
    assert!(error.to_string().contains("data.boundary_token") && error.exit_code() == 2, "{error}");
    let options = DataOptions { boundary_token: Boundary::None, ..place.options(3) };
    assert!(place.prepare(&options, &tokenizer).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// D-05: for any files and options, every character and every token is accounted for, and the text can be read
    /// back from the chunks and what the ledger says was dropped.
    #[test]
    fn test_ledger__conserves_characters_and_tokens(
        files in prop::collection::vec("[a-dé \r\n]{0,200}", 1..4),
        length in 2_usize..9,
        fraction in 0.0_f64..0.6,
        document: bool,
        tail: bool,
        eos: bool,
        bpe: bool,
        packing in 0..3_usize,
    ) {
        let packing = [Packing::Pack, Packing::Sentence, Packing::DropShort][packing];
        let document = document && packing == Packing::Pack;
        let names = ["a.txt", "b.train", "c.txt"];
        let named: Vec<(&str, &str)> = names.iter().copied().zip(files.iter().map(String::as_str)).collect();
        let place = Place::new(&named);
        let kind = if bpe { TokenizerKind::Bpe } else { TokenizerKind::Character };
        let tokenizer = tokenizer(kind, "abc abc \n");
        let options = DataOptions {
            unit: if document { Unit::Document } else { Unit::Line },
            validation_fraction: fraction,
            validation_split: if tail { ValidationSplit::Tail } else { ValidationSplit::Blocks },
            boundary_token: if eos { Boundary::Eos } else { Boundary::None },
            packing,
            ..place.options(length)
        };
        let dataset = match place.prepare(&options, &tokenizer) {
            Ok(dataset) => dataset,
            Err(DataError::Empty { .. } | DataError::TooShort { .. } | DataError::NoRow { .. }) => return Ok(()),
            Err(error) => panic!("{error}"),
        };
        let ledger = dataset.ledger();
        ledger.check().unwrap();
        let corpora = Corpora::open(&options).unwrap();
        for (split, corpus, held_out) in corpora.splits() {
            let account = ledger.split(split).unwrap();
            // The tokens of the units, worked out without the packer.
            let mut units = Vec::new();
            let mut unknown = 0;
            let mut unit = String::new();
            for piece in corpus.pieces(held_out) {
                let piece = piece.unwrap();
                unit.push_str(&piece.text);
                if piece.ends {
                    let mut ids = tokenizer.encode(&std::mem::take(&mut unit)).unwrap();
                    unknown += tokenizer.count_unknown(&ids);
                    ids.extend(eos.then_some(1));
                    units.push(ids);
                }
            }
            let chunks = rows(&dataset, split);
            prop_assert_eq!(account.unknown_tokens(), unknown);
            match packing {
                Packing::Pack => {
                    let (kept, stream) = (chunks.concat(), units.concat());
                    prop_assert_eq!(&kept[..], &stream[..kept.len()]);
                    prop_assert_eq!(kept.len() as u64 + account.remainder, stream.len() as u64);
                    prop_assert_eq!(account.tokens(), stream.len() as u64);
                    let most = if split == Split::Train { length as u64 } else { 2 };
                    prop_assert!(account.remainder < most);
                    prop_assert!(chunks.iter().rev().skip(1).all(|chunk| chunk.len() == length));
                }
                Packing::Sentence => {
                    let row = |unit: &Vec<u32>| -> Vec<u32> {
                        eos.then_some(1).iter().chain(unit).copied().take(length).collect()
                    };
                    let all: Vec<Vec<u32>> = units.iter().map(row).collect();
                    let long: Vec<_> = all.iter().filter(|row| row.len() > 1).cloned().collect();
                    prop_assert_eq!(&chunks, &long);
                    prop_assert_eq!(account.short_units, all.iter().filter(|row| row.len() == 1).count() as u64);
                    let lost = units.iter().filter(|unit| unit.len() + usize::from(eos) > length);
                    prop_assert_eq!(account.cut_units, lost.count() as u64);
                }
                Packing::DropShort => {
                    let blocks: Vec<_> = units.iter().flat_map(|unit| unit.chunks_exact(length)).collect();
                    prop_assert_eq!(&chunks, &blocks);
                    prop_assert_eq!(account.tokens(), units.concat().len() as u64);
                }
            }
        }
    }
}

#[test]
fn test_ledger__a_missing_token_is_an_error() {
    let place = Place::new(&[("a.txt", "abcdefgh\nabc")]);
    let dataset = place.prepare(&place.options(3), &letters()).unwrap();
    for change in 0..4 {
        let mut ledger = dataset.ledger().clone();
        match change {
            0 => ledger.splits[0].remainder += 1,
            1 => ledger.splits[0].boundary_tokens -= 1,
            2 => ledger.splits[0].files[0].tokens -= 1,
            _ => ledger.splits[0].files[0].passed.characters -= 1,
        }
        assert!(matches!(ledger.check(), Err(DataError::Ledger(_))));
    }
    let text = dataset.ledger().to_string();
    assert!(
        text.contains(
            "11 text tokens + 2 boundary tokens = 13 tokens = 12 in 4 chunks of 3 + 1 dropped"
        ),
        "{text}"
    );
    let json = serde_json::to_string(dataset.ledger()).unwrap();
    assert_eq!(&serde_json::from_str::<DataLedger>(&json).unwrap(), dataset.ledger());
    assert!(!json.contains(place.root.path().to_str().unwrap()));
}

#[test]
fn test_prepare__too_much_loss_is_refused_and_says_what_to_set() {
    let place = Place::new(&[("a.txt", "abcdefghij")]);
    let options = DataOptions { max_loss_fraction: 0.05, ..place.options(7) };
    let error = place.prepare(&options, &letters()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("4 of 11 tokens") && text.contains("max_loss_fraction to 0.364"),
        "{text}"
    );
    assert_eq!(error.exit_code(), 3);
    assert!(
        place.prepare(&DataOptions { max_loss_fraction: 0.364, ..options }, &letters()).is_ok()
    );
}

#[test]
fn test_prepare__what_cannot_be_is_refused() {
    let place = Place::new(&[("a.txt", "abc"), ("blank.txt", "\n \n")]);
    let refused = |options: DataOptions| place.prepare(&options, &letters()).unwrap_err();
    let error = refused(place.options(50));
    assert!(
        error.to_string().contains("4 tokens")
            && error.to_string().contains("max_sequence_length to 4"),
        "{error}"
    );
    for packing in [Packing::Sentence, Packing::DropShort] {
        let document = DataOptions { packing, unit: Unit::Document, ..place.options(2) };
        assert!(refused(document).to_string().contains("needs unit: line"));
    }
    let text = refused(DataOptions { packing: Packing::DropShort, ..place.options(50) });
    assert!(text.to_string().contains("the longest has 4; set data.packing: pack"), "{text}");
    for length in [0, 1, usize::MAX] {
        assert_eq!(refused(place.options(length)).exit_code(), 2);
    }
    let validation_corpus = Some(place.root.path().join("corpus/a.txt"));
    let both = DataOptions { validation_corpus, validation_fraction: 0.1, ..place.options(2) };
    assert!(refused(both).to_string().contains("data.validation_fraction"));
    let blank = DataOptions {
        training_corpus: place.root.path().join("corpus/blank.txt"),
        ..place.options(2)
    };
    assert!(refused(blank).to_string().contains("is empty"));
    let long = DataOptions {
        training_corpus: place.root.path().join("corpus/a.txt"),
        unit: Unit::Document,
        validation_fraction: 0.1,
        ..place.options(2)
    };
    assert!(refused(long).to_string().contains("validation_split: tail"));
}

#[test]
fn test_prepare__cache_is_used_and_follows_what_decides_the_data() {
    let place = Place::new(&[("a.txt", "the cat sat\non the mat\n")]);
    let tokenizer = letters();
    let mut runs = 0;
    let mut get = |options: &DataOptions, tokenizer: &Tokenizer, rebuild| {
        let mut built = false;
        let dataset = prepare(options, tokenizer, &place.cache(), rebuild, &mut |_| {
            built = true;
            ControlFlow::Continue(())
        });
        runs += 1;
        (dataset.unwrap().key().to_owned(), built)
    };
    let options = place.options(4);
    let (key, built) = get(&options, &tokenizer, Rebuild::IfMissing);
    assert!(built);
    assert_eq!(get(&options, &tokenizer, Rebuild::IfMissing), (key.clone(), false));
    assert_eq!(get(&options, &tokenizer, Rebuild::Always), (key.clone(), true));
    let mut keys = BTreeSet::from([key]);
    let changed = [
        place.options(5),
        DataOptions { boundary_token: Boundary::BosEos, ..options.clone() },
        DataOptions { unit: Unit::Document, ..options.clone() },
        DataOptions { validation_fraction: 0.5, ..options.clone() },
        DataOptions {
            validation_fraction: 0.5,
            validation_split: ValidationSplit::Tail,
            ..options.clone()
        },
    ];
    for options in &changed {
        let (key, built) = get(options, &tokenizer, Rebuild::IfMissing);
        assert!(built && keys.insert(key), "{options:?}");
    }
    let (key, built) =
        get(&options, &self::tokenizer(TokenizerKind::Bpe, "the cat"), Rebuild::IfMissing);
    assert!(built && keys.insert(key));
    std::fs::write(place.root.path().join("corpus/a.txt"), "the cat sat\non the mat!\n").unwrap();
    let (key, built) = get(&options, &tokenizer, Rebuild::IfMissing);
    assert!(built && keys.insert(key));
    assert_eq!(std::fs::read_dir(place.cache()).unwrap().count(), keys.len());
}

#[test]
fn test_prepare__stopping_and_failing_leave_nothing() {
    let place = Place::new(&[("a.txt", "the cat sat\n")]);
    let stop = &mut |_: Progress| ControlFlow::Break(());
    let error = prepare(&place.options(4), &letters(), &place.cache(), Rebuild::IfMissing, stop)
        .unwrap_err();
    assert_eq!(error.exit_code(), 75);
    assert_eq!(std::fs::read_dir(place.cache()).unwrap().count(), 0);
    std::fs::write(place.root.path().join("no folder"), "").unwrap();
    let cache = place.root.path().join("no folder");
    let go = &mut |_: Progress| ControlFlow::Continue(());
    let error = prepare(&place.options(4), &letters(), &cache, Rebuild::IfMissing, go).unwrap_err();
    assert!(matches!(error, DataError::Write { .. }), "{error}");
}

/// D7: damage in any file of an entry is an error that names the file, and `Always` mends it.
#[test]
fn test_prepare__damaged_cache_is_named_and_mended() {
    let place = Place::new(&[("a.txt", "the cat sat\non the mat\n")]);
    let options = place.options(4);
    let dataset = place.prepare(&options, &letters()).unwrap();
    for name in ["train-00000.ids", LIST] {
        let path = dataset.folder().join(name);
        let good = std::fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(good.len() / 40) {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            std::fs::write(&path, &bytes).unwrap();
            let error = place.prepare(&options, &letters()).unwrap_err();
            assert!(error.to_string().contains(name) && error.exit_code() == 3, "{error}");
        }
        let go = &mut |_: Progress| ControlFlow::Continue(());
        prepare(&options, &letters(), &place.cache(), Rebuild::Always, go).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), good);
    }
}

#[test]
fn test_prepare__two_at_once_agree() {
    let place = Place::new(&[("a.txt", &"the cat sat\n".repeat(2000))]);
    let options = place.options(8);
    let keys: Vec<Vec<Vec<u32>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| rows(&place.prepare(&options, &letters()).unwrap(), Split::Train))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|rows| *rows == keys[0]));
    assert_eq!(std::fs::read_dir(place.cache()).unwrap().count(), 1);
}

#[test]
fn test_prepare__same_bytes_for_any_number_of_threads() {
    let text: String =
        (0..40_000_u32).map(|i| format!("line {i} has word{} in it\n", i % 7919)).collect();
    let place = Place::new(&[("a.txt", &text)]);
    let tokenizer = tokenizer(TokenizerKind::Bpe, &text[..20_000]);
    let options = place.options(64);
    let hashes: BTreeSet<String> = [1, 2, 3, 8]
        .into_iter()
        .map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let cache = place.root.path().join(format!("cache{threads}"));
            let dataset = pool.install(|| {
                let go = &mut |_: Progress| ControlFlow::Continue(());
                prepare(&options, &tokenizer, &cache, Rebuild::IfMissing, go).unwrap()
            });
            let bytes = std::fs::read(dataset.folder().join("train-00000.ids")).unwrap();
            blake3::hash(&bytes).to_string()
        })
        .collect();
    assert_eq!(hashes.len(), 1);
}

/// D5: data and model must have one tokenizer.
#[test]
fn test_dataset__another_tokenizer_is_refused() {
    let place = Place::new(&[("a.txt", "the cat sat\n")]);
    let dataset = place.prepare(&place.options(4), &letters()).unwrap();
    dataset.check_tokenizer(&letters()).unwrap();
    let other = tokenizer(TokenizerKind::Character, "abc");
    let text = dataset.check_tokenizer(&other).unwrap_err().to_string();
    assert!(text.contains("32 tokens") && text.contains("7 tokens"), "{text}");
}

#[test]
fn test_dataset__three_splits_and_a_warning() {
    let place = Place::new(&[("a.txt", "the cat sat\non the mat\n")]);
    let validation = place.root.path().join("valid.txt");
    std::fs::write(&validation, "a dog\n").unwrap();
    let options = DataOptions {
        validation_corpus: Some(validation),
        test_corpus: Some(place.root.path().join("corpus/a.txt")),
        ..place.options(4)
    };
    let dataset = place.prepare(&options, &letters()).unwrap();
    // Six tokens: one full chunk and a short one, nothing dropped.
    let lengths: Vec<usize> = rows(&dataset, Split::Validation).iter().map(Vec::len).collect();
    assert_eq!(lengths, [4, 2]);
    assert!(dataset.split(Split::Test).is_some());
    assert!(dataset.ledger().warnings[0].contains("a.txt is also in the training corpus"));
    assert!(dataset.split(Split::Train).unwrap().chunk(6).is_err());
}

/// The whole account of tiny Shakespeare, as the product promises it.
#[test]
fn test_prepare__shakespeare_counts() {
    let Some(path) = data("tinyshakespeare/input.txt") else { return };
    let root = tempfile::tempdir().unwrap();
    let options = DataOptions {
        unit: Unit::Document,
        validation_fraction: 0.1,
        validation_split: ValidationSplit::Tail,
        boundary_token: Boundary::None,
        ..DataOptions::new(path, 64)
    };
    let corpora = Corpora::open(&options).unwrap();
    let train = TrainOptions {
        min_frequency: 2,
        special_tokens: SpecialTokens::default(),
        ..TrainOptions::new(TokenizerKind::Character, 5_000)
    };
    let (tokenizer, report) = Tokenizer::train(&train, &mut corpora.train().text()).unwrap();
    assert_eq!((tokenizer.vocab_size(), report.characters), (65 + 4, 1_003_854));
    let go = &mut |_: Progress| ControlFlow::Continue(());
    let dataset = prepare(&options, &tokenizer, root.path(), Rebuild::IfMissing, go).unwrap();
    let characters =
        |split| dataset.ledger().split(split).unwrap().total(|passed| passed.characters);
    assert_eq!(characters(Split::Train) + characters(Split::Validation), 1_115_394);
    let train = dataset.ledger().split(Split::Train).unwrap();
    assert_eq!((train.chunks, train.remainder, train.unknown_tokens()), (15_685, 14, 0));
    assert_eq!(dataset.ledger().split(Split::Validation).unwrap().unknown_tokens(), 0);
    assert_eq!(dataset.split(Split::Validation).unwrap().tokens(), 111_540);
}

/// A character tokenizer in which `tokens` have the ids of their places.
fn listed(tokens: &[String], special: &SpecialTokens) -> Tokenizer {
    let mut specials: Vec<&str> = special.texts();
    specials.retain(|special| !tokens.iter().any(|token| token == special));
    let mut text = [Ok("ab".to_owned())].into_iter();
    let options = TrainOptions {
        special_tokens: special.clone(),
        ..TrainOptions::new(TokenizerKind::Character, 300)
    };
    let (pattern, _) = Tokenizer::train(&options, &mut text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    pattern.save(folder.path(), None).unwrap();
    let path = folder.path().join("tokenizer.json");
    let mut json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let names = tokens.iter().map(String::as_str).chain(specials.iter().copied());
    let vocab: serde_json::Map<String, serde_json::Value> =
        names.enumerate().map(|(id, token)| (token.to_owned(), id.into())).collect();
    for added in json["added_tokens"].as_array_mut().unwrap() {
        added["id"] = vocab[added["content"].as_str().unwrap()].clone();
    }
    json["model"]["vocab"] = vocab.into();
    std::fs::write(&path, json.to_string()).unwrap();
    Tokenizer::load(folder.path()).unwrap()
}

/// Real `save_to_disk` folders, through the whole preparation: all ids arrive, and none other.
#[test]
fn test_prepare__datasets_of_the_python_library() {
    let Some(folder) = data("hf-datasets") else { return };
    let expected = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
    let mut alphabet: Vec<(u64, String)> = expected["char_vocab"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(c, id)| (id.as_u64().unwrap(), c.clone()))
        .collect();
    alphabet.sort();
    let alphabet: Vec<String> = alphabet.into_iter().map(|(_, c)| c).collect();
    let tokenizer = listed(&alphabet, &SpecialTokens::default());
    let root = tempfile::tempdir().unwrap();
    let get = |name: &str, unit, packing, length| {
        let options = DataOptions {
            unit,
            packing,
            boundary_token: Boundary::None,
            ..DataOptions::new(folder.join(name), length)
        };
        let go = &mut |_: Progress| ControlFlow::Continue(());
        let dataset = prepare(&options, &tokenizer, root.path(), Rebuild::IfMissing, go).unwrap();
        let ids = rows(&dataset, Split::Train);
        (dataset, ids)
    };
    let (_, ids) = get("tokenized_int64", Unit::Line, Packing::Sentence, 100_000);
    assert_eq!(ids.len() as u64, expected["n_rows"]["tokenized_int64"].as_u64().unwrap());
    let sum: u64 = ids.iter().flatten().map(|id| u64::from(*id)).sum();
    assert_eq!(sum, expected["sum_ids"].as_u64().unwrap());
    // The same rows as text, which is read where it is there: our ids of it are theirs.
    let (dataset, blocks) = get("text_uint16_3shards", Unit::Document, Packing::Pack, 2);
    let remainder = dataset.ledger().split(Split::Train).unwrap().remainder;
    let (ours, theirs) = (blocks.concat(), ids.concat());
    assert_eq!(ours.len() as u64 + remainder, theirs.len() as u64);
    assert_eq!(ours, theirs[..ours.len()]);
    // Rows that are blocks already come out as they are.
    let (dataset, ids) = get("chunked_int32", Unit::Line, Packing::Pack, 64);
    assert_eq!(ids.len() as u64, expected["n_rows"]["chunked_int32"].as_u64().unwrap());
    let original =
        super::super::hf_dataset::HfDataset::open(&folder.join("chunked_int32")).unwrap();
    let original: Vec<Vec<u32>> =
        original.ids("input_ids", None).unwrap().map(Result::unwrap).collect();
    assert_eq!(ids, original);
    // Words and bytes are known again: text by characters.
    let account = dataset.ledger().split(Split::Train).unwrap();
    assert_eq!(account.total(|passed| passed.bytes), account.chunk_tokens);
    let words: usize = (0..20)
        .map(|id| dataset.split(Split::Train).unwrap().chunk(id).unwrap())
        .map(|chunk| chunk.word_starts.iter().filter(|starts| **starts).count())
        .sum();
    let text = tokenizer.decode(&ids[..20].concat()).unwrap();
    let split = text.split_whitespace().count();
    assert!(words.abs_diff(split) <= 20, "{words} {split}");
}

/// D5: an id outside the vocabulary is named by its row; boundary tokens that are there are not doubled.
#[test]
fn test_prepare__rows_of_ids() {
    let fixture =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/datasets");
    let tokens = |n: usize| -> Vec<String> { (0..n).map(|i| format!("t{i}")).collect() };
    let root = tempfile::tempdir().unwrap();
    let special = SpecialTokens::default();
    let get = |tokens: &[String], boundary_token| {
        let options = DataOptions {
            boundary_token,
            packing: Packing::Sentence,
            ..DataOptions::new(fixture.join("sequences"), 64)
        };
        let go = &mut |_: Progress| ControlFlow::Continue(());
        prepare(&options, &listed(tokens, &special), root.path(), Rebuild::IfMissing, go)
    };
    let whole = get(&tokens(1000), Boundary::None).unwrap();
    let ids = rows(&whole, Split::Train);
    assert_eq!((ids.len(), ids.concat().len()), (100, 5002));
    assert_eq!(ids.concat().iter().map(|id| u64::from(*id)).sum::<u64>(), 2_490_678);
    let words = whole.ledger().to_string();
    assert!(
        words.contains("100 records, of which 100 here (0 empty, skipped), 5002 ids"),
        "{words}"
    );
    // With eos = 1001 on both sides; the ids below 1000 are the same.
    let framed = rows(&get(&tokens(1000), Boundary::Eos).unwrap(), Split::Train);
    assert!(framed.iter().zip(&ids).all(|(with, without)| with[1..with.len() - 1] == without[..]));
    // The first row begins with 0. If that is eos, it is not placed twice.
    let mut eos_first = tokens(1000);
    eos_first[0] = "</s>".to_owned();
    let placed = rows(&get(&eos_first, Boundary::Eos).unwrap(), Split::Train);
    assert_eq!((ids[0][0], &placed[0][..2]), (0, &ids[0][..2]));
    assert_eq!(placed[1][1..=ids[1].len()], ids[1]);
    let error = get(&tokens(900), Boundary::None).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("row 0") && text.contains("outside the vocabulary of 904"), "{text}");
    assert_eq!(error.exit_code(), 3);
}
