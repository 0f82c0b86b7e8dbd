//! The data contract as a user meets it: formats, packing, the ledger, what is held out, caches.

use approx::assert_relative_eq;
use foundry_tests::binary::{Ran, Workplace};
use foundry_tests::{data, workspace};
use serde_json::Value;
use std::path::Path;

/// A command on `tiny.yaml` with fields set.
fn call(place: &Workplace, command: &str, set: &[&str]) -> Ran {
    let set = set.iter().flat_map(|set| ["--set", set]);
    place.foundry_args([command, "tiny.yaml", "--json"].into_iter().chain(set))
}

/// The account of a split.
fn ledger(place: &Workplace, split: usize, set: &[&str]) -> Value {
    call(place, "tokenize-dataset", set).ok().json()["splits"][split].clone()
}

fn count(account: &Value, field: &str) -> u64 {
    account[field].as_u64().unwrap_or_else(|| panic!("{field}: {account}"))
}

/// The weights at the end of a run.
fn trained(place: &Workplace, set: &[&str]) -> Vec<u8> {
    let _ = call(place, "train", set).ok();
    let model = place.read("runs/tiny/checkpoint-4/model.safetensors");
    std::fs::remove_dir_all(place.path("runs")).unwrap();
    model
}

fn as_records(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", serde_json::json!({"n": 1, "text": line}))).collect()
}

#[test]
fn test_data__the_same_text_in_any_format_gives_the_same_model() {
    let place = Workplace::new();
    let text = String::from_utf8(place.read("corpus.txt")).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let (first, second) = (lines[..150].concat(), lines[150..].concat());
    place.write("records.jsonl", as_records(&text).as_bytes());
    place.write("mixed/a.train", first.as_bytes());
    place.write("mixed/b.jsonl", as_records(&second).as_bytes());
    place.write("mixed/c.test", b"never read\n");
    let model = |corpus: &str| {
        let corpus = format!("data.training_corpus={corpus}");
        trained(&place, &[&corpus, "data.validation_fraction=0"])
    };
    let whole = model("corpus.txt");
    assert_eq!(model("records.jsonl"), whole);
    assert_eq!(model("mixed"), whole);
}

#[test]
fn test_data__records_without_text_are_named_by_their_line() {
    let place = Workplace::new();
    place.write("typo.jsonl", b"{\"text\": \"a\"}\n{\"txt\": \"b\"}\n");
    place.write("text.json", b"[]");
    place.write("cut/state.json", b"{");
    for (corpus, code, words) in [
        ("typo.jsonl", 3, "typo.jsonl:2: the record has no field 'text'; it has 'txt'"),
        ("text.json", 2, "a .json file is not read"),
        ("cut", 3, "state.json is damaged"),
    ] {
        for field in ["data.training_corpus", "data.validation_corpus"] {
            let set = [&format!("{field}={corpus}"), "data.validation_fraction=0"];
            let _ = call(&place, "train", &set).ended(code).says(&[words]);
        }
    }
}

/// A tokenizer of 1,004 tokens whose ids below 1,000 a dataset may use.
fn tokenizer(place: &Workplace, folder: &str) {
    let alphabet: String = ('!'..=char::MAX).filter(|c| c.is_alphanumeric()).take(1000).collect();
    place.write("alphabet.txt", format!("{alphabet}\n{alphabet}\n").as_bytes());
    let folder = format!("tokenizer.output_dir={folder}");
    let set = [
        "data.training_corpus=alphabet.txt",
        "data.validation_fraction=0",
        "tokenizer.tokenizer_type=character",
        "tokenizer.vocab_size=1004",
        &folder,
    ];
    assert_eq!(call(place, "train-tokenizer", &set).ok().json()["vocab_size"], 1004);
}

#[test]
fn test_data__datasets_of_token_ids_are_trained_on_with_their_tokenizer() {
    let place = Workplace::new();
    let fixture = workspace().join("tests/fixtures/datasets/sequences");
    let corpus = format!("data.training_corpus={}", fixture.display());
    let kind = ["tokenizer.tokenizer_type=character", "tokenizer.vocab_size=1004"];
    let set = [corpus.as_str(), "tokenizer.output_dir=ours", kind[0], kind[1]];
    // No tokenizer can be learned from ids.
    let refused = call(&place, "train", &set).ended(3);
    let _ = refused.says(&["holds token ids and no text", "tokenizer.output_dir"]);
    tokenizer(&place, "ours");
    let plain = ["data.boundary_token=none", "data.validation_fraction=0"];
    let account = ledger(&place, 0, &[&set[..], &plain].concat());
    assert_eq!(
        (count(&account, "boundary_tokens"), count(&account["files"][0], "tokens")),
        (0, 5002)
    );
    assert_eq!(account["files"][0]["kind"], "dataset_ids");
    // With the eos of the tokenizer behind each row, and every tenth row held out.
    let (train, held_out) = (ledger(&place, 0, &set), ledger(&place, 1, &set));
    assert_eq!(count(&train, "boundary_tokens") + count(&held_out, "boundary_tokens"), 100);
    assert!((5..=15).contains(&count(&held_out, "boundary_tokens")), "{held_out}");
    let outcome = call(&place, "train", &set).ok().json();
    assert!(outcome["validation_loss_nats"].as_f64().unwrap() > 0.0);
    let metrics = String::from_utf8(place.read("runs/tiny/metrics.jsonl")).unwrap();
    assert!(!metrics.contains("null"), "words and bytes of ids are known: {metrics}");
    // Rows of ids are scored as the texts that they are.
    let call = format!("evaluate runs/tiny --perplexity {} --by-line --json", fixture.display());
    let lines = place.foundry(&call).ok().json()["perplexity"].clone();
    assert!(count(&lines, "tokens") > 4900 && count(&lines, "bytes") > 5000, "{lines}");
    // The text in a dataset is text.
    let fixture = workspace().join("tests/fixtures/datasets/text_and_ids");
    let corpus = format!("data.training_corpus={}", fixture.display());
    let set =
        [corpus.as_str(), "data.validation_fraction=0", kind[0], "tokenizer.output_dir=letters"];
    let short = ["data.max_sequence_length=2"];
    let account = ledger(&place, 0, &[&set[..], &short].concat());
    assert_eq!(
        (count(&account["files"][0], "tokens"), count(&account, "boundary_tokens")),
        (20, 6)
    );
}

#[test]
fn test_data__ids_outside_the_vocabulary_are_refused() {
    let place = Workplace::new();
    tokenizer(&place, "ours");
    let fixture = workspace().join("tests/fixtures/datasets/edge_cases");
    let corpus = format!("data.training_corpus={}", fixture.display());
    let set = [
        corpus.as_str(),
        "tokenizer.output_dir=ours",
        "tokenizer.tokenizer_type=character",
        "tokenizer.vocab_size=1004",
        "data.validation_fraction=0",
    ];
    let refused = call(&place, "train", &set).ended(3);
    let _ = refused.says(&["row 4", "id 65534 is outside the vocabulary of 1004 tokens"]);
    assert!(!place.path("runs/tiny/provenance.json").exists());
}

#[test]
fn test_data__a_line_a_row_trains_and_validates() {
    let place = Workplace::new();
    let set = ["data.packing=sentence", "data.max_sequence_length=48"];
    let (train, held_out) = (ledger(&place, 0, &set), ledger(&place, 1, &set));
    assert_eq!(count(&train, "chunks") + count(&held_out, "chunks"), 400);
    assert_eq!(count(&train, "boundary_tokens"), 2 * count(&train, "chunks"));
    let outcome = call(&place, "train", &set).ok().json();
    // Every token of a held-out line and its eos is a target: the mean over them, without padding, is the loss.
    let targets = count(&held_out, "chunk_tokens") - count(&held_out, "chunks");
    let records = String::from_utf8(place.read("runs/tiny/metrics.jsonl")).unwrap();
    let records: Vec<Value> = records.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let validated = records.iter().rev().find(|r| r.get("validation_loss_nats").is_some()).unwrap();
    assert_eq!(validated["validation_loss_nats"], outcome["validation_loss_nats"]);
    let (loss, byte) = (
        outcome["validation_loss_nats"].as_f64().unwrap(),
        validated["validation_perplexity_per_byte"].as_f64(),
    );
    let bytes = count(&held_out["files"][0]["passed"], "bytes");
    if let Some(byte) = byte {
        #[expect(clippy::cast_precision_loss, reason = "few")]
        let by_hand = (loss * targets as f64 / bytes as f64).exp();
        assert_relative_eq!(byte, by_hand, max_relative = 1e-9);
    }
    // Shorter rows than the lines are: refused, with the remedy.
    let refused = call(
        &place,
        "train",
        &["data.packing=sentence", "data.max_sequence_length=8", "training.output_dir=runs/short"],
    );
    let _ = refused.ended(3).says(&["would be dropped", "a larger data.max_sequence_length"]);
}

/// A run of so many tokens ends with the update that reaches them, though rows differ in length.
#[test]
fn test_data__tokens_are_counted_in_rows_of_any_length() {
    let place = Workplace::new();
    let set = [
        "data.packing=sentence",
        "data.max_sequence_length=48",
        "training.train_steps=null",
        "training.train_tokens=1000",
        "logging.log_metrics_every_n_steps=1",
    ];
    let _ = call(&place, "train", &set).ok();
    let metrics = String::from_utf8(place.read("runs/tiny/metrics.jsonl")).unwrap();
    let seen: Vec<u64> = metrics
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|record| record["loss_nats"].is_f64())
        .map(|record| record["tokens_seen"].as_u64().unwrap())
        .collect();
    assert!(seen[seen.len() - 2] < 1000 && seen[seen.len() - 1] >= 1000, "{seen:?}");
}

#[test]
fn test_data__what_is_dropped_is_said_and_too_much_is_refused() {
    let place = Workplace::new();
    // Lines of eleven to fifteen tokens: blocks of 12 within them lose more than a twentieth.
    let short =
        ["data.packing=drop_short", "data.max_sequence_length=12", "data.validation_fraction=0"];
    let refused = call(&place, "train", &short).ended(3);
    let refused = refused.says(&["data.max_loss_fraction is 0.05", "set data.packing: pack"]);
    let words: Vec<&str> = refused.stderr.split_whitespace().collect();
    let at = words.iter().position(|w| *w == "data.max_loss_fraction").unwrap();
    let needed = words[at..].iter().skip_while(|w| **w != "to").nth(1).unwrap();
    let set = [short[0], short[1], short[2], &format!("data.max_loss_fraction={needed}")];
    let account = ledger(&place, 0, &set);
    assert_eq!(count(&account, "chunk_tokens"), 12 * count(&account, "chunks"));
    assert!(count(&account, "cut_tokens") > 0, "{account}");
    let _ = call(&place, "train", &set).ok();
    let saved: Value = serde_json::from_slice(&place.read("runs/tiny/data_ledger.json")).unwrap();
    assert_eq!(saved["splits"][0], account);
}

#[test]
fn test_data__the_loss_of_a_window_is_the_mean_over_its_targets() {
    // One update on the whole text, however it is cut into micro-batches of rows of different lengths.
    let place = Workplace::new();
    let logged = |batch: u32, accumulation: u32| -> f64 {
        let sizes = [
            format!("data.batch_size={batch}"),
            format!("training.gradient_accumulation_steps={accumulation}"),
        ];
        let set = [
            "data.packing=sentence",
            "data.max_sequence_length=48",
            "data.validation_fraction=0",
            "training.train_steps=1",
            "logging.log_metrics_every_n_steps=1",
            "model.transformer.dropout=0",
            "model.transformer.attention_dropout=0",
            &sizes[0],
            &sizes[1],
        ];
        let _ = call(&place, "train", &set).ok();
        let metrics = String::from_utf8(place.read("runs/tiny/metrics.jsonl")).unwrap();
        std::fs::remove_dir_all(place.path("runs/tiny")).unwrap();
        let record = metrics.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
        let losses: Vec<f64> = record.filter_map(|r| r["loss_nats"].as_f64()).collect();
        losses[0]
    };
    let whole = logged(64, 1);
    for (batch, accumulation) in [(8, 8), (16, 4)] {
        let cut = logged(batch, accumulation);
        assert_relative_eq!(cut, whole, max_relative = 1e-6);
    }
}

#[test]
fn test_data__what_is_held_out_never_shapes_the_tokenizer() {
    for split in ["blocks", "tail"] {
        let place = Workplace::new();
        // Ten lines of another script, where this split holds text out.
        let text = String::from_utf8(place.read("corpus.txt")).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let at = if split == "tail" { 391..400 } else { 19..20 };
        let text: String = (0..400)
            .map(|i| if at.contains(&i) { "Жаба\n".to_owned() } else { format!("{}\n", lines[i]) })
            .collect();
        place.write("corpus.txt", text.as_bytes());
        let split = format!("data.validation_split={split}");
        let set = [split.as_str(), "tokenizer.tokenizer_type=character"];
        let _ = call(&place, "train-tokenizer", &set).ok();
        let vocabulary =
            String::from_utf8(place.read("runs/tiny/tokenizer/tokenizer.json")).unwrap();
        assert!(!vocabulary.contains('Ж'), "{split}");
        let held_out = ledger(&place, 1, &set);
        assert_eq!(count(&held_out["files"][0], "unknown_tokens") % 4, 0);
        assert!(count(&held_out["files"][0], "unknown_tokens") > 0, "{split}: {held_out}");
        assert_eq!(count(&ledger(&place, 0, &set)["files"][0], "unknown_tokens"), 0);
    }
}

/// A shard holds four million tokens: more are two, and a second call reads both.
#[test]
fn test_data__large_corpora_are_cut_into_shards() {
    let place = Workplace::new();
    let text: String = (0..270_000_u32)
        .map(|i| format!("line {:06} abc\n", i.wrapping_mul(7919) % 1_000_000))
        .collect();
    place.write("large.txt", text.as_bytes());
    let set = [
        "data.training_corpus=large.txt",
        "data.validation_fraction=0",
        "data.max_sequence_length=512",
        "tokenizer.tokenizer_type=character",
        "tokenizer.output_dir=letters",
    ];
    let made = call(&place, "preprocess-data", &set).ok().json();
    let tokens = 270_000 * 16;
    let chunks = made["splits"][0]["chunks"].as_u64().unwrap();
    assert_eq!(chunks, tokens / 512);
    let folder = place.path(made["folder"].as_str().unwrap());
    let shards: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|e| e == "ids"))
        .collect();
    assert_eq!(shards.len(), 2, "{tokens} tokens: {shards:?}");
    // A second call verifies all of it and makes nothing.
    let again = call(&place, "preprocess-data", &set).ok();
    assert_eq!(again.json(), made);
    assert!(!again.stderr.contains("tokenizing"), "{}", again.stderr);
}

/// The size of the vocabulary decides the width of ids on disk; the run and the header agree.
#[test]
fn test_data__ids_on_disk_are_as_wide_as_the_vocabulary_needs() {
    for (characters, width) in [(65_532_usize, 2_u8), (65_533, 4)] {
        let place = Workplace::new();
        let all = ('!'..=char::MAX).filter(|c| !c.is_whitespace() && !c.is_control());
        let text: String = all.take(characters).collect();
        place.write("large.txt", format!("{text}\n").as_bytes());
        let set = [
            "data.training_corpus=large.txt",
            "data.validation_fraction=0",
            "tokenizer.tokenizer_type=character",
            "tokenizer.vocab_size=65537",
            "tokenizer.output_dir=letters",
        ];
        let made = call(&place, "preprocess-data", &set).ok().json();
        let shard = Path::new(made["folder"].as_str().unwrap()).join("train-00000.ids");
        assert_eq!(place.read(shard.to_str().unwrap())[12], width, "{characters}");
    }
}

/// The ablations on a treebank, by the command: dry run, run, again, anew.
#[test]
fn test_data__ablations_of_a_treebank_by_command() {
    let Some(treebank) = data("ud-english/en_childes-ud-dev.conllu") else { return };
    let parses = std::fs::read_to_string(treebank).unwrap();
    let place = Workplace::new();
    let text: String = parses
        .lines()
        .filter_map(|line| line.strip_prefix("# text = "))
        .map(|text| format!("{text}\n"))
        .collect();
    place.write("childes/a.train", text.as_bytes());
    place.write("parses/a.conllu", parses.as_bytes());
    let tiny = String::from_utf8(place.read("tiny.yaml")).unwrap();
    let kinds = [
        "remove_expletives",
        "impoverish_determiners",
        "remove_articles",
        "lemmatize_verbs",
        "remove_subject_pronominals",
    ];
    for kind in kinds {
        let steps = format!(
            "{tiny}dataset_manipulation:\n  - type: {kind}\n    input_path: childes\n    output_path: {kind}\n    parameters: {{parses: parses}}\n"
        );
        place.write("ablated.yaml", steps.replace("corpus.txt", kind).as_bytes());
        let _ = place.foundry("preprocess ablated.yaml --dry-run").ok();
        assert!(!place.path(kind).exists());
        let _ = place.foundry("preprocess ablated.yaml").ok();
        let made = place.files(kind);
        let record: Value =
            serde_json::from_slice(&place.read(&format!("{kind}/provenance.json"))).unwrap();
        let changed = String::from_utf8(place.read(&format!("{kind}/a.train"))).unwrap();
        assert_eq!(changed.lines().count(), text.lines().count(), "{kind}");
        assert_ne!(changed, text, "{kind}");
        assert!(
            record.to_string().contains("blake3") || record.to_string().contains("sha256"),
            "{record}"
        );
        // Done before: left alone. Changed by hand: refused, until asked for.
        let _ = place.foundry("preprocess ablated.yaml").ok();
        assert_eq!(place.files(kind), made);
        place.write(&format!("{kind}/a.train"), b"edited\n");
        assert_ne!(place.foundry("preprocess ablated.yaml").code, 0, "{kind}");
        let _ = place.foundry("preprocess ablated.yaml --overwrite").ok();
        assert_eq!(place.files(kind), made, "{kind}");
    }
}

/// The nats a word are those of a token times the tokens of a word, however many of the text's tokens were dropped.
#[test]
fn test_data__a_word_has_the_tokens_of_its_rows() {
    let place = Workplace::new();
    let nats = |packing: &str| {
        let set = [
            packing,
            "data.max_sequence_length=6",
            "data.max_loss_fraction=1",
            "evaluation.every_steps=1",
            "training.train_steps=1",
        ];
        let _ = call(&place, "train", &[&set[..], &["training.output_dir=runs/x"]].concat()).ok();
        let metrics = String::from_utf8(place.read("runs/x/metrics.jsonl")).unwrap();
        std::fs::remove_dir_all(place.path("runs/x")).unwrap();
        let records = metrics.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
        let record = records.rev().find(|r| r["validation_targets"].is_u64()).unwrap();
        let ln =
            |name: &str| record[format!("validation_perplexity_per_{name}")].as_f64().unwrap().ln();
        ln("word") / ln("token")
    };
    let [all, some] = ["data.packing=pack", "data.packing=drop_short"].map(nats);
    assert!((some / all - 1.0).abs() < 0.1, "{some} tokens a word, and {all} where all are kept");
}
