//! Files that are broken or mean harm (rows D3 to D7), at any size: `cargo test` runs these small, `soak` in full.

use crate::durability::Dice;
use crate::experiment::{Experiment, Extent, after, differences, models};
use crate::workspace;
use foundry_models::config::Config;
use foundry_models::data::{
    Boundary, DataOptions, Dataset, Packing, Rebuild, Split, Unit, prepare,
};
use foundry_models::error::Error;
use foundry_models::pipeline::{CACHE_FOLDER, Notice};
use foundry_models::tokenizer::{SpecialTokens, Tokenizer, TokenizerKind, TrainOptions};
use foundry_models::train::run::Event;
use foundry_models::train::run_folder::Wish;
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// A folder in memory, where the system has one: thousands of small files need no disk.
fn folder() -> tempfile::TempDir {
    let memory = tempfile::tempdir_in("/dev/shm");
    memory.or_else(|_| tempfile::tempdir()).expect("a temporary folder")
}

fn trained(kind: TokenizerKind) -> Tokenizer {
    let text = "the cat sat on the mat, the dogs' café is 12 km away. ".repeat(40);
    let options = TrainOptions::new(kind, 320);
    Tokenizer::train(&options, &mut [Ok(text)].into_iter()).expect("a tokenizer").0
}

/// `tokenizer.json` as it is saved.
fn saved(tokenizer: &Tokenizer) -> Value {
    let files = tokenizer.files(None);
    let (_, text) = files.iter().find(|(name, _)| *name == "tokenizer.json").expect("the file");
    serde_json::from_str(text).expect("JSON")
}

/// What a file is changed to, by hand: pointer, value, and whether it may still be read (what is never used).
fn by_hand() -> Vec<(&'static str, Value, bool)> {
    let split = |regex: &str| json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false});
    let template = json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[X]", "type_id": 0}}],
        "pair": [], "special_tokens": {}});
    let padding = |strategy: Value| {
        json!({"strategy": strategy, "direction": "Right", "pad_to_multiple_of": 0, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "<pad>"})
    };
    let truncation = |max: u64, stride: u64| json!({"direction": "Right", "max_length": max, "strategy": "LongestFirst", "stride": stride});
    let deep = (0..200).fold(
        json!({"type": "NFC"}),
        |inner, _| json!({"type": "Sequence", "normalizers": [inner]}),
    );
    vec![
        // The eight that make the library panic.
        ("/pre_tokenizer", json!({"type": "FixedLength", "length": 0}), false),
        ("/model/merges", json!([["the longest token of all that", "is not there"]]), false),
        ("/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"}), false),
        ("/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": null}), false),
        ("/model/continuing_subword_prefix", json!("éé"), false),
        ("/decoder", json!({"type": "Strip", "content": " ", "start": 9, "stop": 9}), false),
        ("/post_processor", template, true),
        ("/truncation", truncation(2, 2), true),
        // The one that asks for 16 GB.
        ("/padding", padding(json!({"Fixed": 4_000_000_000_u64})), true),
        ("/padding", padding(json!("BatchLongest")), true),
        ("/truncation", truncation(0, 0), true),
        ("/version", json!("99"), false),
        ("/model", json!(null), false),
        ("/model/type", json!("Oracle"), false),
        ("/model/vocab", json!({}), false),
        ("/model/vocab", json!({"a": 4_294_967_295_u64}), false),
        ("/model/vocab", json!({"a": -1}), false),
        ("/model/vocab", json!({"a": 0, "b": 0}), false),
        // A byte-level vocabulary knows every byte.
        ("/model/unk_token", json!("<nowhere>"), true),
        ("/added_tokens", json!([{"id": 4_000_000_000_u64, "content": "x"}]), false),
        ("/added_tokens", json!({"a": "b"}), false),
        ("/pre_tokenizer", split("(((("), false),
        ("/normalizer", deep, false),
        ("/decoder", json!({"type": "Sequence", "decoders": [[[[]]]]}), false),
    ]
}

/// D3: the 24 files by hand, of every kind of tokenizer, and `mutations` of good files in which one value is another.
/// Each is refused in words, or read and then encodes and decodes.
///
/// # Panics
/// If one is read that may not be; and where the loader panics.
#[must_use]
pub fn tokenizers(mutations: usize) -> String {
    let folder = folder();
    let path = folder.path().join("tokenizer.json");
    let load = |json: &str, what: &str| -> bool {
        std::fs::write(&path, json).expect("room enough");
        match Tokenizer::load(&path) {
            Ok(tokenizer) => {
                for text in ["", "the cat", "café 🙂 中文\r\n\u{0}", "<pad> ## ▁"] {
                    if let Ok(ids) = tokenizer.encode(text) {
                        assert!(ids.iter().all(|id| (*id as usize) < tokenizer.vocab_size()));
                        // Refused or decoded, and no panic.
                        let _ = tokenizer.decode(&ids);
                    }
                }
                true
            }
            Err(error) => {
                let said = error.to_string();
                assert!(said.contains("tokenizer.json"), "{what}: {said}");
                false
            }
        }
    };
    let kinds = [
        TokenizerKind::Bpe,
        TokenizerKind::Wordpiece,
        TokenizerKind::Sentencepiece,
        TokenizerKind::Character,
    ];
    let good: Vec<Value> = kinds.into_iter().map(|kind| saved(&trained(kind))).collect();
    let cases = by_hand();
    assert_eq!(cases.len(), 24);
    for (pointer, value, readable) in &cases {
        let mut json = good[0].clone();
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        json.pointer_mut(parent).expect("a parent")[key] = value.clone();
        let what = format!("{pointer} = {value}");
        assert_eq!(load(&json.to_string(), &what[..what.len().min(120)]), *readable, "{what}");
    }
    let (mut dice, mut read) = (Dice(3), 0);
    for i in 0..mutations {
        let mut json = good[i % good.len()].clone();
        mutate(&mut json, &mut dice);
        let mut text = json.to_string();
        if dice.below(10) == 0 {
            let most = text.len() as u64;
            let mut cut = usize::try_from(dice.below(most)).expect("a length");
            while !text.is_char_boundary(cut) {
                cut -= 1;
            }
            text.truncate(cut);
        }
        read += usize::from(load(&text, &format!("mutation {i}")));
    }
    format!("24 files by hand, {mutations} mutations ({read} still read): no panic")
}

/// Puts a hostile value in a random place.
fn mutate(json: &mut Value, dice: &mut Dice) {
    let mut node = json;
    loop {
        let size = match node {
            Value::Object(map) => map.len(),
            Value::Array(list) => list.len(),
            _ => 0,
        };
        // Large containers are gone into; small ones may be replaced themselves.
        if size == 0 || size < 20 && dice.below(4) == 0 {
            break;
        }
        let i = usize::try_from(dice.below(size as u64)).expect("an index");
        node = match node {
            Value::Object(map) => map.values_mut().nth(i).expect("a value"),
            Value::Array(list) => &mut list[i],
            _ => return,
        };
    }
    let pool = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(4_294_967_296_u64),
        json!(1e308),
        json!(""),
        json!("éé"),
        json!("<unk>"),
        json!("x".repeat(5000)),
        json!([]),
        json!({}),
        json!([["a", "b"], ["ab", "c"]]),
        json!({"type": "FixedLength", "length": 0}),
        json!({"type": "Strip", "content": "é", "start": 7, "stop": 7}),
        json!({"type": "Metaspace", "replacement": "▁▁", "prepend_scheme": "first"}),
        json!({"type": "Replace", "pattern": {"Regex": "(a*)*b"}, "content": "aaaa"}),
        json!({"Regex": "("}),
    ];
    let i = usize::try_from(dice.below(pool.len() as u64)).expect("an index");
    *node = pool[i].clone();
}

/// A configuration that is good.
const GOOD: &str = "experiment_name: a
random_seed: 1
data: {training_corpus: a.txt, batch_size: 4, max_sequence_length: 16}
tokenizer: {output_dir: t, tokenizer_type: bpe, vocab_size: 300}
model: {architecture: lstm, rnn: {embedding_size: 8, hidden_size: 8, num_layers: 1}}
training: {output_dir: r, learning_rate: 1e-3, train_steps: 4}
";

/// D4: YAML bombs and silent typos are refused with a place; `mutations` random changes of a good configuration are
/// refused or read, and nothing else happens.
///
/// # Panics
/// If a bomb is accepted; and where the parser panics.
#[must_use]
pub fn configurations(mutations: usize) -> String {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..20 {
        let refs = vec![format!("*a{}", i - 1); 10].join(", ");
        laughs += &format!("a{i}: &a{i} [{refs}]\n");
    }
    // 40 kB whose aliases would be 16 million nodes.
    let quadratic =
        format!("a: &a [{}]\nb: [{}]\n", vec!["1"; 4000].join(", "), vec!["*a"; 4000].join(", "));
    let change = |old: &str, new: &str| {
        assert!(GOOD.contains(old), "{old}");
        GOOD.replacen(old, new, 1)
    };
    let bad = [
        laughs + GOOD,
        quadratic + GOOD,
        "[".repeat(100_000),
        "a: ".repeat(50_000),
        format!("{}{GOOD}", "# long\n".repeat(60_000)),
        format!("{GOOD}---\n{GOOD}"),
        change("learning_rate: 1e-3", "learning_rate: .nan"),
        change("learning_rate: 1e-3", "learning_rate: .inf"),
        change("learning_rate: 1e-3", "learning_rate: 1e400"),
        change("learning_rate: 1e-3", "learning_rate: yes"),
        change("learning_rate: 1e-3", "learning_rat: 1e-3"),
        change("train_steps: 4", "train_steps: 99999999999999999999"),
        change("train_steps: 4", "train_steps: -1"),
        change("architecture: lstm", "architecture: null"),
        change("architecture: lstm", "architecture: 1.10"),
        change("experiment_name: a", "experiment_name: !!python/object:os.system [ls]"),
        change("random_seed: 1", "random_seed: 1\nrandom_seed: 2"),
        change("random_seed: 1", "<<: {random_seed: 1}"),
        change("random_seed: 1", "random_seed: 1\n\trandom: 2"),
    ];
    let refused = bad.len();
    for text in bad {
        let error = Config::parse(&text, "bomb.yaml", &[]).expect_err(&text[..80.min(text.len())]);
        assert!(error.to_string().contains("bomb.yaml"), "{error}");
    }
    let good = Config::parse(GOOD, "good.yaml", &[]).map(drop);
    assert!(good.is_ok(), "{good:?}");
    let pieces = [
        "&a ", "*a", "- ", ": ", "{", "}", "[", "]", "\n", "\t", "  ", "!!str ", "|", ">", "\"",
        "'", "null", "1e999", "0x", "?", "%", "---\n", "é", "\u{FEFF}", "\u{0}", "\u{2028}", "#",
        ",",
    ];
    let (mut dice, mut read) = (Dice(4), 0);
    for _ in 0..mutations {
        let mut text: Vec<char> = GOOD.chars().collect();
        for _ in 0..=dice.below(3) {
            let at = usize::try_from(dice.below(text.len() as u64)).expect("a place");
            let piece = pieces[usize::try_from(dice.below(pieces.len() as u64)).expect("a piece")];
            let gone = usize::try_from(dice.below(4)).expect("few").min(text.len() - at);
            text.splice(at..at + gone, piece.chars());
        }
        let text: String = text.into_iter().collect();
        match Config::parse(&text, "mutated.yaml", &[]) {
            Ok(_) => read += 1,
            Err(error) => assert!(error.to_string().contains("mutated.yaml"), "{error}"),
        }
    }
    format!(
        "{refused} bombs and typos refused, {mutations} mutations ({read} still read): no panic"
    )
}

/// A text of `n` distinct characters, none of them white space, and the tokenizer of `n` and its four special tokens.
fn characters(n: usize) -> (String, Tokenizer) {
    let all = ('!'..=char::MAX).filter(|c| !c.is_whitespace() && !c.is_control());
    let text: String = all.take(n).collect();
    let options = TrainOptions {
        special_tokens: SpecialTokens::default(),
        ..TrainOptions::new(TokenizerKind::Character, n + 4)
    };
    let mut source = [Ok(text.clone())].into_iter();
    let tokenizer = Tokenizer::train(&options, &mut source).expect("an alphabet").0;
    assert_eq!(tokenizer.vocab_size(), n + 4);
    (text, tokenizer)
}

fn prepared(
    corpus: &Path,
    tokenizer: &Tokenizer,
    cache: &Path,
) -> Result<Dataset, foundry_models::data::DataError> {
    let options = DataOptions {
        packing: Packing::Sentence,
        boundary_token: Boundary::None,
        max_loss_fraction: 1.0,
        unit: Unit::Line,
        ..DataOptions::new(corpus, 1 << 18)
    };
    prepare(&options, tokenizer, cache, Rebuild::IfMissing, &mut |_| ControlFlow::Continue(()))
}

fn rows(dataset: &Dataset) -> Vec<Vec<u32>> {
    let store = dataset.split(Split::Train).expect("training text");
    (0..store.len()).map(|id| store.chunk(id).expect("a chunk").ids).collect()
}

/// D6: for every vocabulary, a corpus that uses all of it comes back from the shards id by id, and their header says
/// the width: two bytes up to 65,536 tokens.
///
/// # Panics
/// If an id is another.
#[must_use]
pub fn id_widths(vocabularies: &[usize]) -> String {
    for &size in vocabularies {
        let folder = folder();
        let (text, tokenizer) = characters(size - 4);
        let corpus = folder.path().join("corpus.txt");
        let backwards: String = text.chars().rev().collect();
        std::fs::write(&corpus, format!("{text}\n{backwards}\n")).expect("room enough");
        let dataset = prepared(&corpus, &tokenizer, &folder.path().join("cache")).expect("data");
        let found = rows(&dataset);
        let ids = 4..u32::try_from(size).expect("a vocabulary");
        assert!(found[0].iter().copied().eq(ids.clone()), "{size}: forwards");
        assert!(found[1].iter().copied().eq(ids.rev()), "{size}: backwards");
        let shard = std::fs::read(dataset.folder().join("train-00000.ids")).expect("a shard");
        let width = if size <= 65_536 { 2 } else { 4 };
        assert_eq!(shard[12..16], [width, 0, 0, 0], "{size}: the width in the header");
    }
    format!("vocabularies of {vocabularies:?}: every id came back")
}

/// Copies a fixture dataset whose one data file has other bytes.
fn with_arrow(name: &str, folder: &Path, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let original = workspace().join("tests/fixtures/datasets").join(name);
    let file = "data-00000-of-00001.arrow";
    let mut bytes = std::fs::read(original.join(file)).expect("a fixture");
    change(&mut bytes);
    std::fs::create_dir_all(folder).expect("a folder");
    std::fs::copy(original.join("state.json"), folder.join("state.json")).expect("room enough");
    std::fs::write(folder.join(file), bytes).expect("room enough");
    folder.to_owned()
}

/// D5: ids at each boundary (the last of the vocabulary and the first beyond it, both sides of 16 bits, a negative one)
/// in a dataset are read, or refused by row with the size of the vocabulary.
///
/// # Panics
/// If one is mistaken.
#[must_use]
pub fn ids_at_boundaries() -> String {
    let mut cases = 0;
    for size in [1_000, 65_535, 65_536, 65_537, 70_000_usize] {
        let (_, tokenizer) = characters(size - 4);
        let edge = i32::try_from(size).expect("a vocabulary");
        for id in [0, edge - 1, edge, edge + 1, 65_535, 65_536, 65_537, i32::MAX, -1, i32::MIN] {
            let folder = folder();
            // The fixture has 0, 65,534 to 65,537 and 2^31 - 1.
            let dataset = with_arrow("edge_cases", &folder.path().join("data"), |bytes| {
                let mut put = |old: &[i32], new: &[i32]| {
                    let flat = |ids: &[i32]| {
                        ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<_>>()
                    };
                    let (old, new) = (flat(old), flat(new));
                    let at = bytes.windows(old.len()).position(|some| some == old);
                    let at = at.expect("ids of the fixture");
                    bytes[at..at + new.len()].copy_from_slice(&new);
                };
                put(&[65_534, 65_535, 65_536, 65_537], &[1, 2, 3, id]);
                put(&[i32::MAX], &[5]);
            });
            let result = prepared(&dataset, &tokenizer, &folder.path().join("cache"));
            let inside = usize::try_from(id).is_ok_and(|id| id < size);
            match result {
                Ok(dataset) => {
                    assert!(inside, "{id} of {size} was read");
                    let read = rows(&dataset).into_iter().find(|row| row.len() == 5);
                    let id = u32::try_from(id).expect("inside");
                    assert_eq!(read, Some(vec![0, 1, 2, 3, id]));
                }
                Err(error) => {
                    let said = error.to_string();
                    assert!(!inside, "{id} of {size}: {said}");
                    assert!(said.contains("row ") && said.contains(&id.to_string()), "{said}");
                    assert!(id < 0 || said.contains(&format!("{size} tokens")), "{said}");
                    assert_eq!(error.exit_code(), 3);
                }
            }
            cases += 1;
        }
    }
    format!("{cases} ids at boundaries: read or refused by row")
}

/// D7: a dataset that is cut at `cuts` places is refused; with each of `flips` random bits flipped it is refused, or is
/// other ids of the vocabulary. A cache under the same damage is always refused.
///
/// # Panics
/// If damage goes unseen.
#[must_use]
pub fn damage(cuts: usize, flips: usize) -> String {
    let (_, tokenizer) = characters(996);
    let folder = folder();
    let whole = with_arrow("sequences", &folder.path().join("whole"), |_| {});
    let length = std::fs::metadata(whole.join("data-00000-of-00001.arrow")).expect("it").len();
    let length = usize::try_from(length).expect("small");
    let cache = folder.path().join("cache");
    let attempt = |change: &dyn Fn(&mut Vec<u8>)| {
        let dataset = with_arrow("sequences", &folder.path().join("damaged"), change);
        let result = prepared(&dataset, &tokenizer, &cache);
        // Other ids are other data; the folder is not to grow.
        let _ = std::fs::remove_dir_all(&cache);
        result
    };
    let exit_3 = |result: Result<Dataset, foundry_models::data::DataError>, what: &str| {
        let error = result.map(drop).expect_err(what);
        assert_eq!(error.exit_code(), 3, "{what}: {error}");
    };
    for i in 0..cuts {
        exit_3(attempt(&|bytes| bytes.truncate(length * i / cuts)), "a dataset that was cut");
    }
    let (mut dice, mut refused) = (Dice(7), 0);
    for _ in 0..flips {
        let bit = usize::try_from(dice.below(8 * length as u64)).expect("a place");
        match attempt(&|bytes| bytes[bit / 8] ^= 1 << (bit % 8)) {
            Ok(dataset) => assert!(rows(&dataset).concat().iter().all(|id| *id < 1000)),
            Err(error) => {
                assert_eq!(error.exit_code(), 3, "bit {bit}: {error}");
                refused += 1;
            }
        }
    }
    let dataset = prepared(&whole, &tokenizer, &cache).expect("whole");
    let shard = dataset.folder().join("train-00000.ids");
    let good = std::fs::read(&shard).expect("a shard");
    let damaged = |bytes: &[u8]| {
        std::fs::write(&shard, bytes).expect("room enough");
        exit_3(prepared(&whole, &tokenizer, &cache), "a damaged cache");
    };
    (0..cuts).for_each(|i| damaged(&good[..good.len() * i / cuts]));
    for _ in 0..flips {
        let bit = usize::try_from(dice.below(8 * good.len() as u64)).expect("a place");
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        damaged(&bytes);
    }
    std::fs::write(&shard, &good).expect("room enough");
    assert_eq!(rows(&prepared(&whole, &tokenizer, &cache).expect("whole")).len(), 100);
    format!(
        "dataset: {cuts} cuts refused, {flips} bits ({refused} refused, the others other ids); cache: all refused"
    )
}

/// D7: a cache that is cut while training goes on is an error that names it, with the state before it saved; with the
/// cache made anew the run ends as if nothing had happened.
///
/// # Panics
/// If not.
#[must_use]
pub fn cut_while_training(extent: Extent) -> String {
    let mut names = Vec::new();
    for model in models(extent) {
        for workers in [0, 2] {
            let mut e = Experiment::new(&model, extent);
            e.config.data.num_workers = Some(workers);
            let whole = e.finish(Wish::Start);
            e.clear();
            let cache = e.folder().join(CACHE_FOLDER);
            let error = e.train(Wish::Start, &mut |notice| {
                if matches!(notice, Notice::Training(Event::Step { step: 3, .. })) {
                    for entry in std::fs::read_dir(&cache).expect("a cache").flatten() {
                        let shard = entry.path().join("train-00000.ids");
                        let file = std::fs::File::options().write(true).open(shard);
                        file.and_then(|file| file.set_len(130)).expect("it can be cut");
                    }
                }
                false
            });
            let error: Error = error.expect_err("no data any more");
            let said = error.to_string();
            assert_eq!(error.exit_code(), 3, "{said}");
            assert!(said.contains("train-00000.ids") && said.contains("--resume"), "{said}");
            std::fs::remove_dir_all(&cache).expect("it can be removed");
            let differ = differences(&whole, &e.finish(Wish::Resume)).join(", ");
            assert!(differ.is_empty(), "{}: {differ} differ", e.architecture());
            // That an ordinary stop is told apart from this one.
            e.clear();
            assert_eq!(e.interrupt(Wish::Start, &mut after(1)), 1);
        }
        names.push(model.architecture().to_string());
    }
    format!("{}: an error, and the run went on from it to the same files", names.join(", "))
}
