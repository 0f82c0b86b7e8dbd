//! `foundry compare`: the same tokens in the same order for every architecture, and one report.

use foundry_models::collate::CausalLMDataCollator;
use foundry_models::config::Config;
use foundry_models::data::{Loader, Position, Rebuild, Split};
use foundry_models::pipeline::{Pipeline, Stale};
use foundry_models::train::signals::StopFlag;
use foundry_tests::binary::Workplace;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A place with minimal pairs, and the changes that have them scored.
fn place() -> Workplace {
    let place = Workplace::new();
    let pairs = "{\"sentence_good\": \"the cat sat\", \"sentence_bad\": \"the cat mat\"}\n";
    place.write("pairs/order.jsonl", pairs.as_bytes());
    place
}

const CALL: &str = "compare tiny.yaml --set evaluation.suites=[pairs]";

fn runs(comparison: &Value) -> &Vec<Value> {
    comparison["runs"].as_array().unwrap()
}

/// The log of a command is written whatever it does.
fn runs_without_logs(place: &Workplace) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = place.files("runs");
    files.retain(|(path, _)| path.extension().is_none_or(|e| e != "log"));
    files
}

#[test]
fn test_compare__all_architectures_one_report() {
    let place = place();
    let call = format!("{CALL} --architectures all --seeds 1,2 --json");
    let first = place.foundry(&call).ok().json();
    assert_eq!(runs(&first).len(), 10);
    for run in runs(&first) {
        let masked = run["model"] == "bert";
        assert_eq!(run["objective"], if masked { "masked_lm" } else { "causal_lm" });
        assert_eq!(run["validation_perplexity"].is_null(), masked, "{run}");
        assert_eq!(run["steps"], 4);
        for figure in ["validation_loss_nats", "minimal_pair_accuracy", "tokens_per_second"] {
            assert!(run[figure].is_number(), "{figure}: {run}");
        }
        assert!(!cfg!(target_os = "linux") || run["peak_memory_bytes"].as_u64() > Some(1 << 20));
        let folder = format!("{}/seed-{}", run["model"].as_str().unwrap(), run["seed"]);
        assert!(place.path(&format!("runs/tiny-compare/{folder}/result.json")).exists());
    }
    // Losses of different things share no picture.
    let text =
        |name: &str| String::from_utf8(place.read(&format!("runs/tiny-compare/{name}"))).unwrap();
    let (causal, masked) = (text("causal.svg"), text("masked.svg"));
    assert!(
        ["gpt2", "lstm", "gru", "rnn"].iter().all(|name| causal.contains(&format!(">{name}<")))
    );
    assert!(!causal.contains("bert") && masked.contains(">bert<") && !masked.contains("gpt2"));
    assert_eq!(causal.matches("<polyline").count(), 8);
    assert_eq!(text("runs.csv").lines().count(), 11);
    assert_eq!(text("minimal_pairs.csv").lines().count(), 11);
    assert!(text("curves.csv").lines().filter(|l| l.starts_with("gru,causal_lm,2,")).count() >= 2);

    // Again: nothing is trained, and all is as it was.
    let files = runs_without_logs(&place);
    assert_eq!(place.foundry(&call).ok().json(), first);
    assert_eq!(runs_without_logs(&place), files);

    // One run cut off: it is named, gone on with, and nothing else is touched.
    std::fs::remove_file(place.path("runs/tiny-compare/gru/seed-2/result.json")).unwrap();
    let said = place.foundry(&call).ended(2);
    let _ = said.says(&["unfinished", "foundry compare tiny.yaml --architectures all", "--resume"]);
    let again = place.foundry(&format!("{call} --resume")).ok().json();
    for (again, first) in runs(&again).iter().zip(runs(&first)) {
        assert_eq!(again["validation_loss_nats"], first["validation_loss_nats"]);
        assert_eq!(again["minimal_pairs"], first["minimal_pairs"]);
    }

    // The table is for people.
    let table = place.foundry(&call.replace(" --json", "")).ok().stdout;
    let (causal, masked) = table.split_once("masked language models").unwrap();
    assert!(causal.contains("gpt2") && causal.contains('±') && !causal.contains("bert"), "{table}");
    assert!(masked.contains("bert"), "{table}");
    same_tokens_in_the_same_order(&place);
}

/// What the frozen configurations of the runs read, batch by batch, without the tokens that frame a BERT's rows.
fn same_tokens_in_the_same_order(place: &Workplace) {
    let read = |model: &str| {
        let folder = place.path("runs/tiny-compare");
        let absolute = |path: std::path::PathBuf| path.display().to_string();
        let overrides = [
            ("data.training_corpus".to_owned(), absolute(place.path("corpus.txt"))),
            ("tokenizer.output_dir".to_owned(), absolute(folder.join("tokenizer"))),
            ("evaluation.suites".to_owned(), "[]".to_owned()),
        ];
        let config = folder.join(model).join("seed-1/config.yaml");
        let config = Config::load(&config, &overrides).unwrap();
        assert!(config.tokenizer.special_tokens.roles().any(|(role, _)| role == "mask_token"));
        let (batch, length) = (config.data.batch_size, config.data.max_sequence_length);
        let pipeline = Pipeline { config, cache: place.path(".foundry/cache") };
        let corpus = pipeline.corpus(&mut |_| {}).unwrap();
        let tokenizer = pipeline.tokenizer(&corpus, Stale::Refuse, &mut |_| {}).unwrap();
        let stop = StopFlag::new();
        let dataset =
            pipeline.dataset(&corpus, &tokenizer, Rebuild::IfMissing, &stop, &mut |_| {}).unwrap();
        let chunks = dataset.unwrap().split(Split::Train).unwrap().clone();
        let collator = Arc::new(CausalLMDataCollator::new(0));
        let loader = Loader::shuffled(chunks, collator, batch, 1).unwrap();
        let mut rows = Vec::new();
        for batch in 0..3 {
            let batch = loader.batch(Position { epoch: 0, batch }).unwrap();
            for row in batch.ids.chunks(batch.time) {
                rows.push(if model == "bert" {
                    row[1..row.len() - 1].to_vec()
                } else {
                    row.to_vec()
                });
            }
        }
        (length, rows)
    };
    let (length, rows) = read("bert");
    assert!(length == 16 && rows.iter().all(|row| row.len() == 14));
    assert!(rows.iter().collect::<BTreeSet<_>>().len() > 6);
    for model in ["gpt2", "lstm", "gru", "rnn"] {
        assert_eq!(read(model), (14, rows.clone()), "{model}");
    }
}

#[test]
fn test_compare__parameters_are_matched_and_directions_are_entrants() {
    let place = place();
    let list = "gpt2,bert,gru,rnn_bidirectional";
    let sizes = "--set model.transformer.hidden_size=64 --set model.transformer.embedding_size=64";
    let call = format!("{CALL} {sizes} --architectures {list} --match-parameters --json");
    let comparison = place.foundry(&call).ok().json();
    let count = |run: &Value| run["parameters"].as_f64().unwrap();
    let first = count(&runs(&comparison)[0]);
    for run in runs(&comparison) {
        assert!((count(run) / first - 1.0).abs() <= 0.02, "{run}");
        // The count is that of the model that was trained.
        let folder = format!("runs/tiny-compare/{}/seed-1", run["model"].as_str().unwrap());
        let config = format!("explain {folder}/config.yaml --data --json");
        assert_eq!(place.foundry(&config).ok().json()["parameters"], run["parameters"]);
    }
    assert_eq!(runs(&comparison)[3]["objective"], "masked_lm");
}

#[test]
fn test_compare__several_configurations_read_the_data_of_the_first() {
    let place = place();
    let tiny = String::from_utf8(place.read("tiny.yaml")).unwrap();
    let other = tiny
        .replace("experiment_name: tiny", "experiment_name: deep")
        .replace("vocab_size: 300", "vocab_size: 280")
        .replace("layers: 1", "layers: 2")
        + "evaluation: {suites: [pairs]}\n";
    place.write("deep.yaml", other.as_bytes());
    let call = "compare tiny.yaml deep.yaml --output both --json";
    let ran = place.foundry(call).ok().says(&[
        "deep: tokenizer.vocab_size: 280 -> 300",
        "deep: another section 'evaluation' (all are evaluated as tiny says)",
    ]);
    let names: Vec<_> = runs(&ran.json()).iter().map(|r| r["model"].clone()).collect();
    assert_eq!(names, ["tiny", "deep"]);
    assert!(place.path("both/comparison.json").exists());
}

/// A transformer beside a recurrent model has its ties too.
#[test]
fn test_compare__a_transformer_is_tied_as_the_recurrent_model_is() {
    let place = place();
    for tied in ["true", "false"] {
        let rnn = format!(
            "model={{architecture: lstm, rnn: {{embedding_size: 8, hidden_size: 8, num_layers: 1, tie_weights: {tied}}}}}"
        );
        let call = ["compare", "tiny.yaml", "--architectures", "lstm,gpt2", "--output", tied];
        let _ = place.foundry_args(call.into_iter().chain(["--set", &rnn])).ok();
        let config = place.read(&format!("{tied}/gpt2/seed-1/config.yaml"));
        let config = String::from_utf8(config).unwrap();
        assert!(config.contains(&format!("tie_weights: {tied}")), "{config}");
    }
}

#[test]
fn test_compare__what_cannot_be_compared_is_refused() {
    let place = place();
    let stateful = "model={architecture: lstm, rnn: {embedding_size: 8, hidden_size: 8, num_layers: 1, stateful: true}}";
    let args = ["compare", "tiny.yaml", "--architectures", "lstm,gru", "--set", stateful];
    let _ = place.foundry_args(args).ended(2).says(&["stateful"]);
    let _ = place.foundry("compare tiny.yaml").ended(2).says(&["two models or more"]);
    let _ = place.foundry("compare tiny.yaml tiny.yaml").ended(2).says(&["two models are called"]);
    let mamba = place.foundry("compare tiny.yaml --architectures gpt2,mamba").ended(2);
    let _ = mamba.says(&["'mamba' is not known", "lstm_bidirectional"]);
    let short = "compare tiny.yaml --architectures all --set data.max_sequence_length=3";
    let _ = place.foundry(short).ended(2).says(&["max_sequence_length"]);
    assert!(!place.path("runs").exists());
}
