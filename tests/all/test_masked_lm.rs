//! Masked language modelling from outside: from a corpus to a model that fills gaps.

use foundry_models::arch::{Size, build, tiny};
use foundry_models::config::memory;
use foundry_tests::binary::Workplace;
use foundry_tests::{accumulation, workspace};

/// The shipped configuration, smaller.
fn bert(place: &Workplace) {
    let text = std::fs::read_to_string(workspace().join("configs/bert_tiny.yaml")).unwrap();
    let text =
        text.replace("sentences: 2000", "sentences: 400").replace("epochs: 2 ", "train_steps: 5 ");
    assert!(text.contains("train_steps: 5"));
    place.write("bert.yaml", text.as_bytes());
}

/// `soak A8` does the same.
#[test]
fn test_accumulation__a_window_has_one_gradient_however_it_is_cut() {
    let report = accumulation::every_cut();
    assert!(report.contains("gradients of windows"), "{report}");
}

#[test]
fn test_masked_lm__bert_trains_five_steps_from_the_command_line() {
    let place = Workplace::new();
    bert(&place);
    let call = "train bert.yaml --json --set data.test_corpus=corpus.txt";
    let ran = place.foundry(call).ok().says(&["nats a hidden token"]);
    let report = ran.json();
    // Scored at every checkpoint, as models that read one way are.
    let table =
        std::fs::read_to_string(place.path("runs/bert_tiny/eval/minimal_pairs.csv")).unwrap();
    let all =
        table.lines().filter(|l| l.contains(",overall,")).map(|l| l.split(',').next().unwrap());
    assert_eq!(all.collect::<Vec<_>>(), ["0", "1", "2", "4", "5"]);
    assert!(table.contains(",bert_pll_word_l2r,1,"), "{table}");
    assert!(report["minimal_pairs"].as_array().unwrap().len() > 9, "by pseudo-log-likelihood");
    assert_eq!(report["step"], 5);
    let loss = report["validation_masked_loss_nats"].as_f64().unwrap();
    assert!(loss > 0.0 && loss < 7.0, "{loss}");
    assert_eq!(report["sample"], "");
    assert!(report["test_masked_loss_nats"].is_number() && report["test_loss_nats"].is_null());

    // A masked loss has no perplexity, and never the name of a causal one.
    let metrics = std::fs::read_to_string(place.path("runs/bert_tiny/metrics.jsonl")).unwrap();
    assert!(
        metrics.contains("\"masked_loss_nats\"")
            && metrics.contains("\"validation_masked_loss_nats\"")
    );
    assert!(!metrics.contains("\"loss_nats\"") && !metrics.contains("perplexity"), "{metrics}");
    let result = std::fs::read_to_string(place.path("runs/bert_tiny/result.json")).unwrap();
    assert!(!result.contains("perplexity"), "{result}");
    let config = std::fs::read(place.path("runs/bert_tiny/checkpoint-5/config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["architectures"][0], "BertForMaskedLM");

    let _ =
        place.foundry("generate runs/bert_tiny --prompt the").ended(2).says(&["reads both ways"]);
    let refused = place.foundry("evaluate runs/bert_tiny --perplexity corpus.txt").ended(2);
    let _ = refused.says(&["bert", "--by-line"]);
    place.write("pair.txt", b"dogs the barks\nthe dog barks\n");
    let call = "evaluate runs/bert_tiny --minimal-pairs pair.txt --json";
    let score = place.foundry(call).ok().json();
    assert_eq!(score["scorer"], "bert_pll_word_l2r");
    assert_eq!(place.foundry(&format!("{call} --pll token")).ok().json()["scorer"], "bert_pll");
}

/// Validation hides the same tokens each time: of a model that stands still, every loss is the same.
#[test]
fn test_masked_lm__validations_are_comparable() {
    let place = Workplace::new();
    bert(&place);
    let sets = "--set training.learning_rate=1e-30 --set evaluation.every_steps=1 --set training.masking=whole_word";
    let _ = place.foundry(&format!("train bert.yaml --json {sets}")).ok();
    let metrics = std::fs::read_to_string(place.path("runs/bert_tiny/metrics.jsonl")).unwrap();
    let values = |name: &str| -> Vec<f64> {
        let rows = metrics.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
        rows.filter_map(|row| row[name].as_f64()).collect()
    };
    let losses = values("validation_masked_loss_nats");
    assert_eq!(losses.len(), 6);
    assert!(losses.iter().all(|l| (l - losses[0]).abs() < 1e-9), "{losses:?}");
    let targets = values("validation_targets");
    assert!(targets.iter().all(|n| *n > 50.0), "{targets:?}");
}

/// A tokenizer from elsewhere may have no mask token.
#[test]
fn test_masked_lm__a_tokenizer_without_a_mask_token_is_refused() {
    let place = Workplace::new();
    bert(&place);
    let _ = place.foundry("train-tokenizer tiny.yaml --set tokenizer.output_dir=made").ok();
    std::fs::remove_file(place.path("made/foundry_tokenizer.json")).unwrap();
    let sets = "--set tokenizer.output_dir=made --set tokenizer.tokenizer_type=bpe";
    let ran = place.foundry(&format!("train bert.yaml {sets}")).ended(2);
    let _ = ran.says(&["masked_lm needs a mask token", "made has none", "mend:"]);
}

/// What the memory estimate counts is what is there.
#[test]
fn test_models__parameters_are_counted_before_they_are_made() {
    let size = Size { vocab: 23, positions: 9 };
    let init =
        foundry_engine::Init::new(&foundry_engine::Device::cpu(), foundry_engine::DType::F32, 1);
    for (variant, config) in tiny::variants() {
        let model = build(&config, size, &init).unwrap();
        let counted = memory::parameter_count(&config, size.vocab, size.positions);
        assert_eq!(
            counted,
            model.parameter_count() as u128,
            "{}, {variant}",
            config.architecture()
        );
    }
}
