//! The 27 defects that were found in the system that Foundry replaces: one test each, named by the number of the defect.
//!
//! Each looks from outside, with the command where the command can show it. What the defect was stands above its test.

use approx::{assert_abs_diff_eq, assert_relative_eq};
use foundry_engine::{Ctx, DType, Device, Init};
use foundry_models::arch::{Batch, LanguageModel, Size, build};
use foundry_models::collate::IGNORE;
use foundry_models::pipeline::Trained;
use foundry_models::tokenizer::{Tokenizer, TokenizerKind, TrainOptions};
use foundry_models::train::run_folder::Wish;
use foundry_tests::binary::{Ran, Workplace};
use foundry_tests::durability::Dice;
use foundry_tests::experiment::{Experiment, SMALL, after, differences, models};
use foundry_tests::numbers::batch;
use foundry_tests::shakespeare::between_bounds;
use foundry_tests::sources::Effort;
use foundry_tests::{Golden, data, tiny, workspace};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A command on `tiny.yaml` with fields set.
fn call(place: &Workplace, command: &str, set: &[&str]) -> Ran {
    let set = set.iter().flat_map(|set| ["--set", set]);
    place.foundry_args([command, "tiny.yaml", "--json"].into_iter().chain(set))
}

fn remove_runs(place: &Workplace) {
    std::fs::remove_dir_all(place.path("runs")).unwrap();
}

fn steps(place: &Workplace, set: &[&str]) -> Vec<u64> {
    let json = call(place, "generate-checkpoints", set).ok().json();
    json["checkpoint_schedule"].as_array().unwrap().iter().map(|s| s.as_u64().unwrap()).collect()
}

fn records(place: &Workplace) -> Vec<Value> {
    let log = String::from_utf8(place.read("runs/tiny/metrics.jsonl")).unwrap();
    log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The causal models, without dropout.
fn causal_models() -> Vec<Box<dyn LanguageModel>> {
    let init = Init::new(&Device::cpu(), DType::F64, 1);
    let size = Size { vocab: 23, positions: 8 };
    let built = tiny::configs().into_iter().filter_map(|config| build(&config, size, &init));
    let causal: Vec<_> = built.filter(|model| model.supports_generation()).collect();
    assert!(causal.len() >= 2);
    causal
}

/// Logits and losses of a row: `[T][V]` and `[T]`.
fn scores(model: &dyn LanguageModel, row: &[u32]) -> (Vec<Vec<f64>>, Vec<f64>) {
    let batch = Batch::from_host(&Device::cpu(), &batch(&[row.to_vec()]));
    let logits = model.logits(&Ctx::eval(), &batch).to_vec_f64();
    let nll = model.nll(&Ctx::eval(), &batch, 0.0).to_vec_f64();
    (logits.chunks(model.vocab_size()).map(<[f64]>::to_vec).collect(), nll)
}

const ROW: [u32; 7] = [3, 9, 14, 2, 20, 5, 11];

/// The recurrent models were trained to copy the token that they had just read.
#[test]
fn test_regressions__d01_the_loss_at_a_token_is_that_of_the_next() {
    for model in causal_models() {
        let (logits, nll) = scores(&*model, &ROW);
        for changed in 1..ROW.len() {
            let mut row = ROW;
            row[changed] = 17;
            let (other, other_nll) = scores(&*model, &row);
            assert_eq!(logits[..changed], other[..changed], "{}", model.architecture());
            assert_eq!(nll[..changed - 1], other_nll[..changed - 1]);
            let (old, new) = (nll[changed - 1], other_nll[changed - 1]);
            assert!((old - new).abs() > 1e-9, "the target of {}", changed - 1);
        }
    }
}

/// On real text: nothing is too good to be true, and everything beats pairs of letters.
#[test]
fn test_regressions__d01_real_text_is_learned_and_not_copied() {
    let Some(text) = data("tinyshakespeare/input.txt") else { return };
    let text = std::fs::read_to_string(text).unwrap();
    let report = between_bounds(&text, Effort { updates: 500, held_out: 200, width: 32 });
    assert_eq!(report.matches("copying").count(), causal_models().len(), "{report}");
}

/// The other way round: what a hidden token is, is asked where it is hidden, and not one place before.
#[test]
fn test_regressions__d01_masked_labels_are_not_shifted() {
    let init = Init::new(&Device::cpu(), DType::F64, 1);
    let size = Size { vocab: 23, positions: 8 };
    let mut asked = 0;
    for config in tiny::variants().into_iter().map(|(_, config)| config) {
        let model = build(&config, size, &init).unwrap();
        if model.supports_generation() {
            continue;
        }
        let mut host = batch(&[ROW.to_vec()]);
        host.labels.fill(IGNORE);
        (host.labels[2], host.labels[5], host.targets) = (7, 0, 2);
        let batch = Batch::from_host(&Device::cpu(), &host);
        let logits = model.logits(&Ctx::eval(), &batch).to_vec_f64();
        let nll = model.nll(&Ctx::eval(), &batch, 0.0).to_vec_f64();
        assert!(
            (nll.iter().sum::<f64>()
                - by_hand(&logits[2 * 23..3 * 23], 7)
                - by_hand(&logits[5 * 23..6 * 23], 0))
            .abs()
                < 1e-12,
            "{}",
            model.architecture()
        );
        asked += 1;
    }
    assert!(asked >= 4, "BERT, and each recurrent kind in both directions");
}

/// The loss of a target from the scores at one place.
fn by_hand(logits: &[f64], target: usize) -> f64 {
    let largest = logits.iter().copied().fold(f64::MIN, f64::max);
    let sum: f64 = logits.iter().map(|x| (x - largest).exp()).sum();
    largest + sum.ln() - logits[target]
}

/// Surprisal was read from the distribution after the word.
#[test]
fn test_regressions__d02_a_token_is_scored_by_the_distribution_before_it() {
    for model in causal_models() {
        let (logits, nll) = scores(&*model, &ROW);
        for t in 0..ROW.len() - 1 {
            let by_hand = by_hand(&logits[t], ROW[t + 1] as usize);
            assert_abs_diff_eq!(nll[t], by_hand, epsilon = 1e-12);
        }
        assert!(nll[ROW.len() - 1].abs() < 1e-300, "nothing follows the last token");
    }
}

/// The surprisals of a sentence add up to the loss that training has of it, and models whose every probability is known
/// have the surprisals that were worked out by hand.
#[test]
fn test_regressions__d02_surprisals_add_up_to_the_loss() {
    let place = Workplace::new();
    let _ = call(&place, "train", &[]).ok();
    let sentences = "the cat number 3 sat\nand saw dog 4\non mat\n";
    place.write("sentences.txt", sentences.as_bytes());
    let said = place.foundry("evaluate runs/tiny --surprisal sentences.txt --json").ok().stdout;
    let trained = Trained::load(&place.path("runs/tiny")).unwrap();
    for line in said.lines() {
        let sentence: Value = serde_json::from_str(line).unwrap();
        let ids: Vec<u32> = serde_json::from_value(sentence["ids"].clone()).unwrap();
        let bits: Vec<f64> = serde_json::from_value(sentence["surprisal_bits"].clone()).unwrap();
        let loss: f64 = scores(&*trained.model, &ids).1.iter().sum();
        let said = bits.iter().sum::<f64>() * std::f64::consts::LN_2;
        assert!(loss > 1.0, "{loss}");
        assert_relative_eq!(said, loss, max_relative = 1e-6);
    }
    assert_eq!(said.lines().count(), 3);
    let known = foundry_tests::scoring::oracles();
    assert!(known.contains("comparisons"), "{known}");
}

fn accuracy(place: &Workplace, pairs: &[(String, String)]) -> Value {
    let row = |(good, bad): &(String, String)| {
        format!("{}\n", json!({"sentence_good": good, "sentence_bad": bad}))
    };
    place.write("pairs.jsonl", pairs.iter().map(row).collect::<String>().as_bytes());
    place.foundry("evaluate runs/tiny --minimal-pairs pairs.jsonl --json").ok().json()
        ["minimal_pairs"][0]
        .clone()
}

/// Only the last token of a sentence was scored.
#[test]
fn test_regressions__d03_minimal_pairs_compare_whole_sentences() {
    let place = Workplace::new();
    let _ = call(&place, "train", &[]).ok();
    // The model knows next to nothing: the longer sentence is the less probable, whatever its last word.
    let nouns = ["cat", "mat", "dog", "number"];
    let pairs: Vec<(String, String)> = (0..12)
        .map(|i| {
            let noun = nouns[i % 4];
            (
                format!("the {noun}"),
                format!("the {} sat on mat {i} and saw the {noun}", nouns[i / 4]),
            )
        })
        .collect();
    let found = accuracy(&place, &pairs);
    assert_eq!((found["pairs"].as_u64(), found["right"].as_u64()), (Some(12), Some(12)), "{found}");
    let turned: Vec<_> = pairs.iter().map(|(good, bad)| (bad.clone(), good.clone())).collect();
    assert_eq!(accuracy(&place, &turned)["right"].as_u64(), Some(0));
    let same: Vec<_> = pairs.iter().map(|(good, _)| (good.clone(), good.clone())).collect();
    let found = accuracy(&place, &same);
    assert_eq!((found["ties"].as_u64(), found["right"].as_u64()), (Some(12), Some(0)), "{found}");
}

/// The loader asked for one configuration of BLiMP, and its manual knew 17 phenomena of one row each.
#[test]
fn test_regressions__d04_blimp_is_67_paradigms_with_any_number_of_rows() {
    let Some(blimp) = data("blimp-sample100") else { return };
    let place = Workplace::new();
    let _ = call(&place, "train", &[]).ok();
    let (mut phenomena, mut files) = (BTreeSet::new(), 0);
    for entry in std::fs::read_dir(blimp).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "jsonl") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        // The paper counts selection under argument structure.
        let term = first["linguistics_term"].as_str().unwrap();
        phenomena
            .insert(if term == "s-selection" { "argument_structure" } else { term }.to_owned());
        // 1 to 3 rows a file: as many as there are.
        let rows: Vec<&str> = text.lines().take(1 + files % 3).collect();
        let name = format!("blimp/{}", path.file_name().unwrap().to_str().unwrap());
        place.write(&name, rows.join("\n").as_bytes());
        files += 1;
    }
    assert_eq!((files, phenomena.len()), (67, 12));
    let scored = place.foundry("evaluate runs/tiny --minimal-pairs blimp --json").ok().json();
    let paradigms = scored["minimal_pairs"].as_array().unwrap();
    assert_eq!(paradigms.len(), 67);
    let pairs: u64 = paradigms.iter().map(|p| p["pairs"].as_u64().unwrap()).sum();
    assert_eq!(pairs, (0..67).map(|i| 1 + i % 3).sum::<u64>());
}

/// Every line shorter than a block was thrown away: nine tenths of the corpus, without a word.
#[test]
fn test_regressions__d05_no_token_is_lost_unsaid() {
    let place = Workplace::new();
    let account =
        |set: &[&str]| call(&place, "tokenize-dataset", set).ok().json()["splits"][0].clone();
    let long = ["data.max_sequence_length=64", "data.validation_fraction=0"];
    let packed = account(&long);
    let n = |account: &Value, field: &str| account[field].as_u64().unwrap();
    let tokens = n(&packed["files"][0], "tokens") + n(&packed, "boundary_tokens");
    assert_eq!(n(&packed, "boundary_tokens"), 400);
    assert_eq!(n(&packed, "chunk_tokens") + n(&packed, "remainder"), tokens);
    assert!(n(&packed, "remainder") < 64);
    // As the original did it: refused, since every line is lost; and counted when it is asked for.
    let short = [&long[..], &["data.packing=drop_short"]].concat();
    let _ = call(&place, "train", &short)
        .ended(3)
        .says(&["data.packing: drop_short", "set data.packing: pack"]);
    let some =
        ["data.max_sequence_length=14", "data.packing=drop_short", "data.validation_fraction=0"];
    let refused = call(&place, "train", &some).ended(3);
    let _ = refused.says(&["would be dropped", "set data.packing: pack"]);
    let counted = account(&[&some[..], &["data.max_loss_fraction=1"]].concat());
    assert!(n(&counted, "short_units") > 0 && n(&counted, "short_tokens") > 0, "{counted}");
}

/// What a run saves by default, worked out by hand: powers of two into each epoch, and its end.
fn powers(steps_per_epoch: u64, epochs: u64) -> Vec<u64> {
    let mut all = BTreeSet::from([0]);
    for begin in (0..epochs).map(|epoch| epoch * steps_per_epoch) {
        let inside = (0..).map(|i| 1 << i).take_while(|step| *step < steps_per_epoch);
        all.extend(inside.map(|step| begin + step));
        all.insert(begin + steps_per_epoch);
    }
    all.into_iter().collect()
}

/// Log spacing multiplied the absolute step: one checkpoint in each later epoch.
#[test]
fn test_regressions__d06_log_spacing_starts_anew_in_every_epoch() {
    let place = Workplace::new();
    let set = ["training.train_steps=null", "training.epochs=3"];
    let found = steps(&place, &set);
    let epoch = found.last().unwrap() / 3;
    assert!(epoch > 64, "{found:?}");
    assert_eq!(found, powers(epoch, 3));
}

/// The first epoch was evenly spaced where the manual promised 1, 2, 4, 8.
#[test]
fn test_regressions__d07_the_first_epoch_is_spaced_as_it_says() {
    let place = Workplace::new();
    let one = ["training.train_steps=null", "training.epochs=1"];
    let log = steps(&place, &one);
    let end = *log.last().unwrap();
    assert_eq!(log, powers(end, 1));
    let even =
        [&one[..], &["training.first_epoch=even", "training.first_epoch_checkpoints=5"]].concat();
    let quarter = |i: u64| {
        // Halves go to the even step.
        let (whole, rest) = (i * end / 4, i * end % 4);
        whole + u64::from(rest == 3 || rest == 2 && whole % 2 == 1)
    };
    assert_eq!(steps(&place, &even), (0..5).map(quarter).collect::<Vec<_>>());
}

/// Step 0 was in the schedule and never saved.
#[test]
fn test_regressions__d08_the_initial_weights_are_checkpoint_0() {
    let place = Workplace::new();
    let initial = |rate: &str| {
        let rate = format!("training.learning_rate={rate}");
        let _ = call(&place, "train", &["training.lr_scheduler=constant", &rate]).ok();
        let read = |step| place.read(&format!("runs/tiny/checkpoint-{step}/model.safetensors"));
        let (first, last) = (read(0), read(4));
        assert_ne!(first, last);
        remove_runs(&place);
        first
    };
    assert_eq!(initial("1e-3"), initial("1e-2"), "they do not depend on training");
}

/// Checkpoint N held N + 1 updates.
#[test]
fn test_regressions__d09_checkpoint_n_is_n_updates() {
    let place = Workplace::new();
    let model = |steps: u64, checkpoint: u64| {
        let steps = format!("training.train_steps={steps}");
        let set = ["training.lr_scheduler=constant", "training.checkpoint_schedule=[3]", &steps];
        let _ = call(&place, "train", &set).ok();
        let folder = format!("runs/tiny/checkpoint-{checkpoint}");
        let model = place.read(&format!("{folder}/model.safetensors"));
        remove_runs(&place);
        model
    };
    let three = model(3, 3);
    assert_eq!(model(5, 3), three, "the third checkpoint of five is the end of three");
    assert_ne!(model(4, 4), three);
}

/// Fields of the configuration that nothing read.
#[test]
fn test_regressions__d10_a_field_does_something_or_is_refused() {
    let place = Workplace::new();
    let set = ["training.train_steps=null", "training.epochs=2"];
    let (plain, wide) = (
        steps(&place, &set),
        steps(&place, &[&set[..], &["training.min_checkpoint_interval=20"]].concat()),
    );
    assert!(wide.len() < plain.len(), "{wide:?}");
    let inner = &wide[..wide.len() - 1];
    assert!(inner.windows(2).all(|pair| pair[1] - pair[0] >= 20), "{wide:?}");
    for dead in ["checkpointing_strategy=log_steps_first_epoch", "min_checkpoints_per_epoch=5"] {
        let field = dead.split('=').next().unwrap();
        let _ =
            call(&place, "validate-config", &[&format!("training.{dead}")]).ended(2).says(&[field]);
    }
}

/// A million steps were asked for beside 20 epochs, and the last epoch was repeated until then.
#[test]
fn test_regressions__d11_a_run_ends_at_whichever_end_comes_first() {
    let place = Workplace::new();
    let total = |set: &[&str]| {
        let set = set.iter().flat_map(|set| ["--set", set]);
        let explained =
            place.foundry_args(["explain", "tiny.yaml", "--data", "--json"].into_iter().chain(set));
        explained.ok().json()["total_steps"].as_u64().unwrap()
    };
    let epoch = total(&["training.train_steps=null", "training.epochs=1"]);
    assert_eq!(total(&["training.train_steps=1000000", "training.epochs=3"]), 3 * epoch);
    assert_eq!(total(&["training.train_steps=7", "training.epochs=3"]), 7);
    let last = steps(&place, &["training.train_steps=1000000", "training.epochs=3"]);
    assert_eq!(last.last(), Some(&(3 * epoch)));
    // Before anything is trained, it is said how far that is.
    let explained = place.foundry("explain tiny.yaml --data").ok();
    let explained = explained.stdout + &explained.stderr;
    for said in ["epochs", "tokens", "checkpoints", "disk"] {
        assert!(explained.contains(said), "{said}: {explained}");
    }
}

/// After resuming, the optimizer updated a model that nobody used.
#[test]
fn test_regressions__d12_a_resumed_run_goes_on_learning() {
    for model in models(SMALL) {
        let e = Experiment::new(&model, SMALL);
        let whole = e.finish(Wish::Start);
        e.clear();
        e.interrupt(Wish::Start, &mut after(6));
        let at = |step| std::fs::read(e.checkpoint(step).join("model.safetensors")).unwrap();
        let stopped = at(6);
        let resumed = e.finish(Wish::Resume);
        assert_ne!(stopped, at(12), "{}: the weights stand still", e.architecture());
        let loss = |step: u64| {
            let metrics = e.metrics();
            let mut of_step = metrics.iter().filter(|r| r["step"].as_u64() == Some(step));
            let is_loss =
                |name: &&String| name.starts_with("validation_") && name.ends_with("loss_nats");
            let loss = of_step.find_map(|r| r[r.keys().find(is_loss)?].as_f64());
            loss.unwrap()
        };
        // Which few tokens are hidden says more about a masked loss than six updates do.
        let masked = e.config.training.masking.is_some();
        assert!(masked || loss(12) < loss(6), "{}: nothing was learned", e.architecture());
        let differ = differences(&whole, &resumed);
        assert!(differ.is_empty(), "{}: {differ:?}", e.architecture());
    }
}

/// A resumed epoch began again at its first batch, with the random state of its middle.
#[test]
fn test_regressions__d13_a_run_stopped_within_an_epoch_goes_on_there() {
    let model = &models(SMALL)[0];
    let e = Experiment::new(model, SMALL);
    let whole = e.finish(Wish::Start);
    // Two epochs of four updates; a stop within an update takes effect at its end.
    for step in 1..=8 {
        e.clear();
        e.interrupt(Wish::Start, &mut after(step));
        let differ = differences(&whole, &e.finish(Wish::Resume)).join(", ");
        assert!(differ.is_empty(), "stopped after {step}: {differ}");
    }
}

/// The byte alphabet was not in the vocabulary, and there was no decoder.
#[test]
fn test_regressions__d14_byte_level_bpe_gives_back_every_text() {
    let options = TrainOptions::new(TokenizerKind::Bpe, 300);
    let mut text = ["the cat sat on the mat ".repeat(20)].into_iter().map(Ok);
    let (tokenizer, _) = Tokenizer::train(&options, &mut text).unwrap();
    let bytes = (0..tokenizer.vocab_size()).filter_map(|id| {
        let token = tokenizer.token(u32::try_from(id).ok()?)?;
        (token.chars().count() == 1).then_some(token)
    });
    assert_eq!(bytes.count(), 256, "every byte has a token");
    let alphabet: String = ('\u{0}'..='\u{2FFF}').collect();
    let mut dice = Dice(14);
    let random: String = (0..20_000)
        .filter_map(|_| char::from_u32(u32::try_from(dice.below(0x11_0000)).ok()?))
        .collect();
    for text in ["café Zürich 2026", "Speak, café rich", "🙂👩‍🚀 中文 \r\n\t ", &alphabet, &random]
    {
        let ids = tokenizer.encode(text).unwrap();
        assert_eq!(tokenizer.count_unknown(&ids), 0);
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    }
}

/// Trains a tokenizer by the command and loads what it saved.
fn kind(place: &Workplace, kind: &str, size: u32) -> Tokenizer {
    let set = [
        format!("tokenizer.tokenizer_type={kind}"),
        format!("tokenizer.output_dir={kind}"),
        format!("tokenizer.vocab_size={size}"),
    ];
    let set: Vec<&str> = set.iter().map(String::as_str).collect();
    let _ = call(place, "train-tokenizer", &set).ok();
    // The next stage loads it.
    assert_eq!(call(place, "tokenize-dataset", &set).ok().json()["tokenizer_type"], kind);
    Tokenizer::load(&place.path(kind)).unwrap()
}

/// Exporting a SentencePiece tokenizer failed.
#[test]
fn test_regressions__d15_every_kind_is_trained_saved_loaded_and_used() {
    let place = Workplace::new();
    for (name, size) in
        [("sentencepiece", 320), ("wordpiece", 100), ("bpe", 300), ("character", 100)]
    {
        let tokenizer = kind(&place, name, size);
        let text = "the cat sat on mat 3";
        let ids = tokenizer.encode(text).unwrap();
        assert_eq!(tokenizer.count_unknown(&ids), 0, "{name}");
        assert_eq!(tokenizer.decode(&ids).unwrap().trim(), text, "{name}");
    }
}

/// The id of padding was taken to be 0, which was another token: its vector was zero for good.
#[test]
fn test_regressions__d16_padding_is_what_the_tokenizer_says() {
    let place = Workplace::new();
    let lstm =
        "model={architecture: lstm, rnn: {embedding_size: 8, hidden_size: 8, num_layers: 1}}";
    let set = [
        lstm,
        "tokenizer.tokenizer_type=wordpiece",
        "tokenizer.vocab_size=100",
        "data.packing=sentence",
        "data.max_sequence_length=48",
    ];
    let _ = call(&place, "train", &set).ok();
    let tokenizer = Tokenizer::load(&place.path("runs/tiny/checkpoint-4")).unwrap();
    let pad = tokenizer.special_ids().pad.unwrap();
    assert_ne!(pad, 0);
    let config: Value =
        serde_json::from_slice(&place.read("runs/tiny/checkpoint-4/config.json")).unwrap();
    assert_eq!(config["pad_token_id"].as_u64(), Some(u64::from(pad)));
    // The row of token 0 is a vector like any other.
    let model = Golden::read(&place.path("runs/tiny/checkpoint-4/model.safetensors"));
    let table = model.names().find(|name| name.contains("embed")).unwrap().to_owned();
    assert!(model.get(&table)[..8].iter().any(|x| *x != 0.0));

    // A model whose padding is another token than the tokenizer's is not loaded.
    let _ = place.foundry("export runs/tiny hf").ok();
    let evaluate = "evaluate hf --surprisal corpus.txt";
    let _ = place.foundry(evaluate).ok();
    for (wrong, words) in [(0, "the tokenizer pads with"), (100_000, "there are only")] {
        let mut altered = config.clone();
        altered["pad_token_id"] = json!(wrong);
        place.write("hf/config.json", altered.to_string().as_bytes());
        let _ = place.foundry(evaluate).ended(3).says(&["pad_token_id", words, "config.json"]);
    }
}

/// The character tokenizer was never made.
#[test]
fn test_regressions__d17_characters_are_a_tokenizer() {
    let place = Workplace::new();
    let tokenizer = kind(&place, "character", 100);
    let text = "and saw dog 4";
    assert_eq!(tokenizer.encode(text).unwrap().len(), text.len());
    assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), text);
    assert_eq!(tokenizer.count_unknown(&tokenizer.encode("Ж").unwrap()), 1);
}

/// No shipped configuration could start: the name of the activation was in capitals.
#[test]
fn test_regressions__d18_shipped_configurations_are_valid_and_names_are_read_in_any_case() {
    let place = Workplace::new();
    for name in ["GELU", "Gelu_New", "relu", "SiLU", "TANH"] {
        let field = format!("model.transformer.activation_function={name}");
        let _ = call(&place, "validate-config", &[&field]).ok();
    }
    let _ =
        call(&place, "validate-config", &["model.transformer.activation_function=glue"]).ended(2);
    let mut found = 0;
    for entry in std::fs::read_dir(workspace().join("configs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "yaml") {
            let ran =
                place.foundry_args(["validate-config", path.to_str().unwrap(), "--json"]).ok();
            assert_eq!(ran.json()["valid"], true, "{}", path.display());
            found += 1;
        }
    }
    assert!(found >= 7);
}

/// A saved tokenizer did not say of what class it was.
#[test]
fn test_regressions__d19_a_saved_tokenizer_names_its_class() {
    let place = Workplace::new();
    for (name, size) in
        [("sentencepiece", 320), ("wordpiece", 100), ("bpe", 300), ("character", 100)]
    {
        let _ = kind(&place, name, size);
        let read = |file: &str| -> Value {
            serde_json::from_slice(&place.read(&format!("{name}/{file}"))).unwrap()
        };
        assert_eq!(read("tokenizer.json")["version"], "1.0");
        let class = read("tokenizer_config.json")["tokenizer_class"].clone();
        assert!(class.as_str().is_some_and(|class| class.contains("Tokenizer")), "{name}: {class}");
        assert!(read("special_tokens_map.json").as_object().is_some_and(|map| map.len() >= 4));
    }
}

/// Sizes were ignored, and decay could not be set and held for biases and norms.
#[test]
fn test_regressions__d20_sizes_agree_and_decay_is_for_matrices() {
    let place = Workplace::new();
    let refused = call(&place, "validate-config", &["model.transformer.embedding_size=8"]).ended(2);
    let _ = refused.says(&["embedding_size", "hidden_size"]);
    let weights = |decay: &str| {
        let set = [decay, "training.lr_scheduler=constant", "training.train_steps=1"];
        let _ = call(&place, "train", &set).ok();
        let file = Golden::read(&place.path("runs/tiny/checkpoint-1/model.safetensors"));
        remove_runs(&place);
        file
    };
    let (none, much) = (weights("training.weight_decay=0.0"), weights("training.weight_decay=0.5"));
    for name in none.names() {
        let same = none.get(name) == much.get(name);
        assert_eq!(same, none.shape(name).len() < 2, "{name}");
    }
    let loss = |dropout: &str| {
        let set = [dropout, "training.train_steps=1", "logging.log_metrics_every_n_steps=1"];
        let _ = call(&place, "train", &set).ok();
        let loss = records(&place).iter().find_map(|record| record["loss_nats"].as_f64()).unwrap();
        remove_runs(&place);
        loss
    };
    let field = "model.transformer.embedding_dropout";
    let (none, half) = (loss(&format!("{field}=0.0")), loss(&format!("{field}=0.5")));
    assert!((none - half).abs() > 1e-9, "{none} {half}");
}

/// With accumulation, the schedule counted in other steps than the training did.
#[test]
fn test_regressions__d21_the_rate_follows_the_updates_with_accumulation_too() {
    let place = Workplace::new();
    let set = [
        "training.gradient_accumulation_steps=4",
        "training.train_steps=8",
        "training.warmup_steps=2",
        "logging.log_metrics_every_n_steps=1",
    ];
    let _ = call(&place, "train", &set).ok();
    let rates: Vec<f64> =
        records(&place).iter().filter_map(|record| record["learning_rate"].as_f64()).collect();
    let by_hand = [0.0, 0.5, 1.0, 5.0 / 6.0, 4.0 / 6.0, 3.0 / 6.0, 2.0 / 6.0, 1.0 / 6.0];
    assert_eq!(rates.len(), 8);
    for (rate, share) in rates.iter().zip(by_hand) {
        assert_abs_diff_eq!(*rate, 1e-3 * share, epsilon = 1e-15);
    }
}

/// Where padding was eos, no eos was ever a target.
#[test]
fn test_regressions__d22_eos_is_learned_even_if_it_is_padding_too() {
    let place = Workplace::new();
    let set = ["data.packing=sentence", "data.max_sequence_length=48"];
    // Foundry's own have a token for each; those of others (GPT-2's, say) have not.
    let _ = call(&place, "train-tokenizer", &set).ok();
    for name in ["tokenizer_config.json", "special_tokens_map.json"] {
        let name = format!("runs/tiny/tokenizer/{name}");
        let mut roles: Value = serde_json::from_slice(&place.read(&name)).unwrap();
        roles["pad_token"] = roles["eos_token"].clone();
        place.write(&name, roles.to_string().as_bytes());
    }
    let ids = Tokenizer::load(&place.path("runs/tiny/tokenizer")).unwrap().special_ids();
    assert!(ids.pad.is_some() && ids.pad == ids.eos);
    let ledger = call(&place, "tokenize-dataset", &set).ok().json();
    let held_out = &ledger["splits"][1];
    let _ = call(&place, "train", &set).ok();
    let last = records(&place);
    let targets = last.iter().rev().find_map(|r| r["validation_targets"].as_u64()).unwrap();
    // Of every line, all tokens and its eos; rows are padded with eos, and no padding counts.
    let lines = held_out["files"][0]["passed"]["units"].as_u64().unwrap();
    assert_eq!(targets, held_out["files"][0]["tokens"].as_u64().unwrap() + lines);
}

/// Nothing stood between the lines of a chunk, and a first word had no surprisal.
#[test]
fn test_regressions__d23_lines_are_told_apart_and_first_words_are_scored() {
    let place = Workplace::new();
    let tokens = |boundary: &str| {
        let boundary = format!("data.boundary_token={boundary}");
        let _ = call(&place, "train", &[&boundary]).ok();
        let ran = place.foundry("evaluate runs/tiny --perplexity corpus.txt --json").ok();
        remove_runs(&place);
        (ran.json()["perplexity"]["tokens"].as_u64().unwrap(), ran.stderr)
    };
    let ((eos, said), (none, words)) = (tokens("eos"), tokens("none"));
    // With eos: every token and 400 ends. Without: every token but the very first.
    assert_eq!(eos - none, 401);
    assert!(!said.contains("not scored") && words.contains("not scored"), "{words}");
}

/// The tokenizer was trained on the test text too.
#[test]
fn test_regressions__d24_no_held_out_text_shapes_the_tokenizer() {
    let place = Workplace::new();
    let text = String::from_utf8(place.read("corpus.txt")).unwrap();
    place.write("corpus/a.train", text.as_bytes());
    place.write("corpus/a.test", "Жаба\n".repeat(50).as_bytes());
    place.write("corpus/deep/b.train", "Жаба\n".repeat(50).as_bytes());
    place.write("valid.txt", "Жаба и кот\n".repeat(50).as_bytes());
    let set = [
        "data.training_corpus=corpus",
        "data.validation_corpus=valid.txt",
        "data.test_corpus=valid.txt",
        "data.validation_fraction=0",
        "tokenizer.tokenizer_type=character",
    ];
    let _ = call(&place, "train-tokenizer", &set).ok();
    let saved = String::from_utf8(place.read("runs/tiny/tokenizer/tokenizer.json")).unwrap();
    assert!(saved.contains('c') && !saved.contains('Ж'));
}

/// A configuration of one step that takes the articles out, with a pool.
fn without_articles(place: &Workplace, pool: &str) {
    let tiny = String::from_utf8(place.read("tiny.yaml")).unwrap();
    let step = format!(
        "dataset_manipulation:\n  - type: remove_articles\n    input_path: raw\n    output_path: out\n    parameters: {{replacement_pool_dir: {pool}}}\n"
    );
    place.write("ablated.yaml", (tiny + &step).replace("corpus.txt", "out").as_bytes());
}

/// Lines that filled an ablated corpus up were glued together.
#[test]
fn test_regressions__d25_a_refilled_corpus_keeps_its_lines() {
    let place = Workplace::new();
    let (text, pool): (String, String) = (
        (0..60).map(|i| format!("the dog {i} saw a cat\n")).collect(),
        (0..200).map(|i| format!("pool line {i} with the moon\n")).collect(),
    );
    place.write("raw/x.train", text.as_bytes());
    place.write("pool/x.train", pool.as_bytes());
    without_articles(&place, "pool");
    let _ = place.foundry("preprocess ablated.yaml").ok();
    let read = |name: &str| String::from_utf8(place.read(name)).unwrap();
    let (made, rest) = (read("out/x.train"), read("out/replacement_pool_remainder/x.train"));
    assert_eq!(made.lines().count() + rest.lines().count(), 260);
    let good = |line: &str| line.starts_with("dog ") || line.starts_with("pool line ");
    assert!(made.lines().all(|line| good(line) && line.matches("line").count() <= 1), "{made}");
    assert!(made.lines().count() > 60 && made.ends_with('\n'));
    assert!(made.split_whitespace().count() >= text.split_whitespace().count());
}

/// A pool under another name was skipped in silence, and the corpus of the next step was empty.
#[test]
fn test_regressions__d26_a_missing_input_is_an_error() {
    let place = Workplace::new();
    place.write("raw/x.train", b"the dog saw a cat\n");
    place.write("pool/x.txt", b"the moon\n");
    for (pool, words) in [("pool", "x.txt"), ("nowhere", "nowhere")] {
        without_articles(&place, pool);
        let ran = place.foundry("train ablated.yaml").says(&[words]);
        assert!([2, 3].contains(&ran.code), "{ran:?}");
        assert!(!place.path("out").exists());
        assert!(!place.path("runs/tiny/provenance.json").exists());
    }
}

/// The schedule was written into the user's configuration without its comments, and a resumed run had another name.
#[test]
fn test_regressions__d27_no_file_of_the_user_is_rewritten_and_a_run_keeps_its_name() {
    let place = Workplace::new();
    let mut text = String::from_utf8(place.read("tiny.yaml")).unwrap();
    text.insert_str(0, "# my notes\n");
    place.write("tiny.yaml", text.as_bytes());
    let _ = call(&place, "generate-checkpoints", &[]).ok();
    let _ = place.foundry("generate-checkpoints tiny.yaml -o steps.yaml").ok();
    assert!(String::from_utf8(place.read("steps.yaml")).unwrap().contains("checkpoint_schedule"));
    let over = place.foundry("generate-checkpoints tiny.yaml -o tiny.yaml").ended(2);
    let _ = over.says(&["tiny.yaml is there already", "mend: name another file"]);
    assert_eq!(String::from_utf8(place.read("tiny.yaml")).unwrap(), text);
    let _ = call(&place, "train", &[]).ok();
    let id = |place: &Workplace| -> Value {
        let record: Value =
            serde_json::from_slice(&place.read("runs/tiny/provenance.json")).unwrap();
        record["run_id"].clone()
    };
    let first = id(&place);
    assert!(first.is_string());
    let longer =
        "train tiny.yaml --resume --set training.train_steps=6 --allow-change training.train_steps";
    let _ = place.foundry(longer).ok();
    assert_eq!(id(&place), first);
    let over = place.foundry("report runs/tiny -o tiny.yaml").ended(2);
    let _ = over.says(&["tiny.yaml is there already"]);
    let _ = place.foundry("report runs/tiny").ok();
    assert_eq!(String::from_utf8(place.read("tiny.yaml")).unwrap(), text);
}
