//! Models there and back: folders of transformers and torch. `tests/golden/interop` has what those write, with the numbers
//! that they compute; `tests/interop/roundtrip.py` holds the other direction against them.

use foundry_engine::{Ctx, Device, Tensor, for_each_param};
use foundry_models::arch::{Batch, LanguageModel};
use foundry_models::config::choices::{Boundary, CheckpointUnit, Unit};
use foundry_models::config::{ModelConfig, Placement};
use foundry_models::eval::{GenerateOptions, Sampling, generate};
use foundry_models::interchange::{export, revisions};
use foundry_models::pipeline::Trained;
use foundry_models::train::run_folder::Wish;
use foundry_models::train::signals::{StopFlag, StopReason};
use foundry_tests::binary::Workplace;
use foundry_tests::experiment::{Experiment, SMALL, Tensors, models, with_numbers, with_tensors};
use foundry_tests::workspace;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const GOLDEN: [&str; 10] = [
    "gpt2",
    "gpt2_untied_relu",
    "gpt2_old_f16",
    "bert",
    "bert_untied_relu",
    "bert_old",
    "torch_lstm",
    "torch_lstm_no_bias",
    "torch_gru_both",
    "torch_rnn",
];

fn interop(path: &str) -> PathBuf {
    workspace().join("tests/golden/interop").join(path)
}

/// A copy of a golden folder with the tokenizer that they share.
fn copy(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let files = std::fs::read_dir(interop(name)).unwrap().map(|e| e.unwrap().path());
    let shared = ["tokenizer.json", "tokenizer_config.json"].map(interop);
    for file in files.chain(shared) {
        std::fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
    }
    folder
}

/// Changes a copied folder's tensors.
fn alter(folder: &Path, change: impl FnOnce(&mut Tensors)) {
    let file = folder.join("model.safetensors");
    let bytes = with_tensors(&std::fs::read(&file).unwrap(), change);
    std::fs::write(file, bytes).unwrap();
}

/// Changes a copied folder's config.json.
fn configure(folder: &Path, field: &str, value: Value) {
    let file = folder.join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    config[field] = value;
    std::fs::write(file, config.to_string()).unwrap();
}

fn logits(model: &dyn LanguageModel, ids: &[u32]) -> Vec<f64> {
    let ids = Tensor::from_u32(&Device::cpu(), [1, ids.len()], ids);
    let batch = Batch { targets: ids.clone(), ids, mask: None, predicted: None };
    model.logits(&Ctx::eval(), &batch).to_vec_f64()
}

/// The log-probability of `token` by the scores of one position.
fn nats(scores: &[f64], token: u32) -> f64 {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|s| (s - largest).exp()).sum();
    scores[token as usize] - largest - sum.ln()
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

/// The largest difference from the numbers of a golden folder.
fn difference(model: &dyn LanguageModel, expected: &Value) -> f64 {
    let vocab = model.vocab_size();
    let mut worst = 0.0f64;
    for text in expected["texts"].as_array().unwrap() {
        let ids = ids(&text["ids"]);
        for (place, nll) in (1..).zip(text["logprobs_nats"].as_array().unwrap()) {
            let (seen, at) = match model.supports_generation() {
                true => (ids.clone(), place - 1),
                false => {
                    let mut seen = ids.clone();
                    seen[place] = u32::try_from(expected["mask"].as_u64().unwrap()).unwrap();
                    (seen, place)
                }
            };
            let scores = &logits(model, &seen)[at * vocab..(at + 1) * vocab];
            worst = worst.max((nats(scores, ids[place]) - nll.as_f64().unwrap()).abs());
        }
    }
    worst
}

fn expected(name: &str) -> Value {
    let text = std::fs::read(interop(name).join("expected.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn fails(folder: &Path) -> String {
    Trained::load(folder).err().expect("refused").to_string()
}

#[test]
fn test_import__the_numbers_of_transformers_and_torch() {
    for name in GOLDEN {
        let (folder, expected) = (copy(name), expected(name));
        let trained = Trained::load(folder.path()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let tolerance = if name.starts_with("torch") { 1e-5 } else { 1e-4 };
        let worst = difference(&*trained.model, &expected);
        assert!(worst <= tolerance, "{name}: {worst}");
        // Greedy, token for token.
        let Some(all) = expected["greedy"].as_array() else { continue };
        let (all, prompt) = (ids(&Value::from(all.clone())), &[1, 21, 6]);
        let options = GenerateOptions {
            sampling: Sampling::Greedy,
            top_k: None,
            top_p: None,
            seed: 0,
            max_tokens: 8,
            stop: None,
        };
        let new = generate(&*trained.model, &trained.device, prompt, &options);
        assert_eq!(new, all[prompt.len()..], "{name}");
        // And through a folder of our own.
        let ours = folder.path().join("ours");
        export(&trained, &ours).unwrap();
        let again = Trained::load(&ours).unwrap();
        assert!(again.notes.is_empty(), "{name}: {:?}", again.notes);
        assert_eq!(logits(&*again.model, prompt), logits(&*trained.model, prompt), "{name}");
        assert_eq!((again.special, again.boundary), (trained.special, trained.boundary), "{name}");
    }
}

#[test]
fn test_import__what_was_converted_or_left_out_is_said() {
    let said = |name: &str| Trained::load(copy(name).path()).unwrap().notes.join("\n");
    assert!(said("gpt2_old_f16").contains("F16 was converted"));
    assert!(said("bert_old").contains("bert.pooler.dense.weight"));
    assert!(said("torch_lstm_no_bias").contains("no bias"));
    assert!(said("torch_rnn").contains("tanh"));
    assert_eq!(said("gpt2"), "");
}

#[test]
fn test_import__a_tensor_that_does_not_fit_is_named() {
    type Change = fn(&mut Tensors);
    let cases: [(&str, &str, Change); 7] = [
        ("gpt2", "no tensor 'transformer.h.1.ln_2.weight'", |t| {
            t.remove("transformer.h.1.ln_2.weight");
        }),
        ("gpt2", "'transformer.h.0.mlp.c_fc.weight' has shape [48, 12]", |t| {
            t.get_mut("transformer.h.0.mlp.c_fc.weight").unwrap().1.reverse();
        }),
        ("gpt2", "'extra'", |t| {
            let other = t["transformer.ln_f.bias"].clone();
            t.insert("extra".into(), other);
        }),
        ("gpt2", "'lm_head.weight' differs from 'transformer.wte.weight'", |t| {
            let mut head = t["transformer.wte.weight"].clone();
            with_numbers(&mut head.2, |_, x| x + 1.0);
            t.insert("lm_head.weight".into(), head);
        }),
        ("bert", "'bert.encoder.layer.1.output.dense.bias' holds NaN at element 3", |t| {
            let tensor = t.get_mut("bert.encoder.layer.1.output.dense.bias").unwrap();
            with_numbers(&mut tensor.2, |i, x| if i == 3 { f32::NAN } else { x });
        }),
        ("torch_lstm", "no tensor 'rnn.bias_hh_l1'", |t| {
            t.remove("rnn.bias_hh_l1");
        }),
        ("torch_lstm", "weight_ih_l0", |t| {
            t.retain(|name, _| !name.starts_with("rnn."));
        }),
    ];
    for (name, words, change) in cases {
        let folder = copy(name);
        alter(folder.path(), change);
        let error = fails(folder.path());
        assert!(error.contains(words) && error.contains("model.safetensors"), "{name}: {error}");
    }
}

#[test]
fn test_import__a_field_that_does_not_fit_is_named() {
    let cases = [
        ("gpt2", "model_type", Value::from("llama"), "known: gpt2, bert, foundry_rnn"),
        ("gpt2", "activation_function", Value::from("mish"), "known: gelu"),
        ("gpt2", "n_head", Value::from(5), "does not divide n_embd (12)"),
        ("gpt2", "n_layer", Value::from(-1), "expected a whole number"),
        ("gpt2", "scale_attn_weights", Value::from(false), "Foundry has only true"),
        ("gpt2", "bos_token_id", Value::from(50256), "there are only 44 tokens"),
        ("gpt2", "layer_norm_epsilon", Value::from(0), "above 0"),
        ("bert", "position_embedding_type", Value::from("relative_key"), "absolute"),
        ("bert", "hidden_dropout_prob", Value::from(1.5), "below 1"),
    ];
    for (name, field, value, words) in cases {
        let folder = copy(name);
        configure(folder.path(), field, value);
        let error = fails(folder.path());
        let named = error.contains("config.json") && error.contains(field);
        assert!(named && error.contains(words), "{field}: {error}");
    }
    // A size that no memory has is noticed before it is asked for.
    let folder = copy("gpt2");
    configure(folder.path(), "n_layer", Value::from(4_000_000_000u32));
    assert!(fails(folder.path()).contains("describes a model of"));
}

/// Scores the golden sentences with `model`, and compares them with what minicons gave.
fn score_as_minicons(what: &str, model: &Path, pll: &[&str], golden: &Value, expected: &Value) {
    let sentences: Vec<String> = serde_json::from_value(golden["sentences"].clone()).unwrap();
    let place = Workplace::new();
    place.write("sentences.txt", (sentences.join("\n") + "\n").as_bytes());
    let args = ["evaluate", model.to_str().unwrap(), "--surprisal", "sentences.txt", "--json"];
    let ran = place.foundry_args(args.iter().chain(pll)).ok();
    let expected: Vec<f64> = serde_json::from_value(expected.clone()).unwrap();
    assert_eq!(expected.len(), sentences.len());
    assert_eq!(ran.stdout.lines().count(), expected.len());
    for (line, expected) in ran.stdout.lines().zip(expected) {
        let found: Value = serde_json::from_str(line).unwrap();
        let error = (found["logprob_nats"].as_f64().unwrap() - expected).abs();
        assert!(error <= 1e-4, "{what}: {error}: {line}");
    }
}

/// What minicons gives the golden sentences; `tests/golden/make_minicons.py` asked it.
fn minicons() -> Value {
    serde_json::from_slice(&std::fs::read(interop("minicons.json")).unwrap()).unwrap()
}

#[test]
fn test_evaluate__sentences_score_as_in_minicons() {
    let golden = minicons();
    let models = golden["causal"]["scores_nats"].as_object().unwrap();
    assert_eq!(models.len(), 4);
    for (name, expected) in models {
        score_as_minicons(name, copy(name).path(), &[], &golden, expected);
    }
}

/// The original pseudo-log-likelihood, and the one that hides the rest of a word too: a BERT that transformers 4 read.
#[test]
fn test_evaluate__pseudo_log_likelihoods_are_those_of_minicons() {
    let golden = minicons();
    for (metric, pll) in [("original", "token"), ("within_word_l2r", "within-word")] {
        let expected = &golden["masked"]["scores_nats"][metric];
        score_as_minicons(metric, &interop("bert_wordpiece"), &["--pll", pll], &golden, expected);
    }
}

#[test]
fn test_import__pickles_pieces_and_nothing_are_refused() {
    let folder = copy("gpt2");
    let weights = folder.path().join("model.safetensors");
    let second = folder.path().join("model-00002-of-00002.safetensors");
    std::fs::rename(&weights, folder.path().join("model-00001-of-00002.safetensors")).unwrap();
    std::fs::write(&second, b"").unwrap();
    assert!(fails(folder.path()).contains("max_shard_size"));
    std::fs::remove_file(folder.path().join("model-00001-of-00002.safetensors")).unwrap();
    std::fs::remove_file(second).unwrap();
    assert!(fails(folder.path()).contains("is not a model"));
    // Neither by its name, nor under a false one.
    let pickle = folder.path().join("pytorch_model.bin");
    std::fs::write(&pickle, b"PK\x03\x04aaaaaaaaaaaaaa").unwrap();
    for path in [folder.path(), &pickle] {
        let error = fails(path);
        assert!(error.contains("pytorch_model.bin") && error.contains("save_file"), "{error}");
    }
    std::fs::rename(pickle, &weights).unwrap();
    assert!(fails(folder.path()).contains("pickle"));
}

/// Every architecture: what was exported scores as the run does, to the last bit, and says nothing of this machine.
#[test]
fn test_export__reads_back_to_the_same_bits() {
    for model in models(SMALL) {
        let mut e = Experiment::new(&model, SMALL);
        e.config.data.boundary =
            if model.is_bidirectional() { Boundary::BosEos } else { Boundary::Eos };
        let _ = e.finish(Wish::Start);
        let run = Trained::load(e.run()).unwrap();
        let folder = e.folder().join("exported");

        export(&run, &folder).unwrap();

        let name = e.architecture();
        let back = Trained::load(&folder).unwrap_or_else(|e| panic!("{name}: {e}"));
        let text = [4, 9, 5, 5, 7];
        assert_eq!(logits(&*run.model, &text), logits(&*back.model, &text), "{name}");
        let ends = |t: &Trained| (t.special.begin(), t.special.end());
        assert_eq!(ends(&run), ends(&back), "{name}");
        assert_eq!(run.scores_first_token(), back.scores_first_token(), "{name}");
        assert_eq!(run.window, back.window, "{name}");
        let machine = e.folder().to_string_lossy().into_owned();
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let content = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            assert!(!content.contains(&machine), "{name}: {}", path.display());
        }
        let file = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap_or_default();
        let roles: Value = serde_json::from_str(&file("tokenizer_config.json")).unwrap();
        let begin = back.special.begin().and_then(|id| back.tokenizer.token(id)).unwrap();
        assert_eq!(roles["bos_token"], begin, "{name}: as training placed it");
        let around = file("tokenizer.json").contains("BertProcessing");
        assert_eq!(around, model.is_bidirectional(), "{name}: only a causal model's text is bare");
        assert_eq!(file("modeling_foundry_rnn.py").is_empty(), model.rnn().is_none(), "{name}");
        assert!(file("README.md").contains("from_pretrained"), "{name}");
        assert!(export(&run, &folder).unwrap_err().to_string().contains("nothing is overwritten"));
    }
}

/// Names and shapes are those that transformers gives a model of the same size.
#[test]
fn test_export__names_and_shapes_of_transformers() {
    let text = std::fs::read(interop("names.json")).unwrap();
    let golden: BTreeMap<String, BTreeMap<String, Vec<usize>>> =
        serde_json::from_slice(&text).unwrap();
    for mut model in models(SMALL).into_iter().filter(|m| m.transformer().is_some()) {
        for tied in [true, false] {
            if let ModelConfig::Gpt2(t) = &mut model {
                t.tie_weights = tied;
            }
            if let ModelConfig::Bert(b) = &mut model {
                b.transformer.tie_weights = tied;
            }
            let e = Experiment::new(&model, SMALL);
            let _ = e.finish(Wish::Start);
            let run = Trained::load(e.run()).unwrap();
            let folder = e.folder().join("exported");
            export(&run, &folder).unwrap();
            let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
            let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            let found: BTreeMap<String, Vec<usize>> =
                file.tensors().into_iter().map(|(name, t)| (name, t.shape().to_vec())).collect();
            let kind = format!("{}_{}", e.architecture(), if tied { "tied" } else { "untied" });
            assert_eq!(found, golden[&kind], "{kind}");
        }
    }
}

#[test]
fn test_export__revisions_by_words() {
    let mut e = Experiment::new(&models(SMALL)[0], SMALL);
    let counted = &mut e.config.training.checkpoints;
    (counted.unit, counted.placement) = (CheckpointUnit::Words, Placement::Listed(vec![20, 45]));
    let _ = e.finish(Wish::Start);
    let mut run = Trained::load(e.run()).unwrap();
    let folder = e.folder().join("revisions");

    let written = revisions(&mut run, &folder, &StopFlag::new()).unwrap();

    let names: Vec<&str> = written.iter().map(|r| &*r.name).collect();
    assert_eq!(names, ["chck_20", "chck_45"]);
    assert!(folder.join("main/model.safetensors").exists());
    // The folder with the models in it is none, and says which are.
    assert!(fails(&folder).contains("one of the 3 models in it, such as chck_20"));
    for revision in &written {
        let (path, step) = revision.written.clone().unwrap();
        let text = std::fs::read(path.join("foundry.json")).unwrap();
        let facts: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(facts["step"], step);
        let seen = facts["words_seen"].as_u64().unwrap();
        assert!(seen >= revision.words && step > 0, "{seen}");
        let mut at_step = Trained::load(&e.checkpoint(step)).unwrap();
        let exported = Trained::load(&path).unwrap();
        let numbers = |t: &Trained| {
            let mut all = Vec::new();
            for_each_param(&*t.model, |_, p| all.extend(p.value().to_vec_f64()));
            all
        };
        assert_eq!(numbers(&exported), numbers(&at_step));
        // The checkpoint before it had not seen so many words.
        let (before, _) = at_step.checkpoints().unwrap();
        let here = before.iter().position(|p| *p == at_step.folder).unwrap();
        at_step.switch_to(&before[here - 1]).unwrap();
        assert!(at_step.origin.words_seen.unwrap() < revision.words);
    }
}

/// Revisions appear together or not at all.
#[test]
fn test_export__revisions_are_never_half_there() {
    let mut e = Experiment::new(&models(SMALL)[0], SMALL);
    let counted = &mut e.config.training.checkpoints;
    (counted.unit, counted.placement) = (CheckpointUnit::Words, Placement::Listed(vec![20, 45]));
    let _ = e.finish(Wish::Start);
    let mut run = Trained::load(e.run()).unwrap();
    let parent = e.folder().join("out");
    let folder = parent.join("revisions");
    let nothing_is_left = || std::fs::read_dir(&parent).map_or(0, Iterator::count) == 0;

    let stop = StopFlag::new();
    stop.request(StopReason::Terminate);
    let stopped = revisions(&mut run, &folder, &stop).unwrap_err();
    assert_eq!(stopped.exit_code(), 75, "{stopped}");
    assert!(nothing_is_left());

    let weights = e.checkpoint(1).join("model.safetensors");
    std::fs::write(weights, b"damaged").unwrap();
    let damaged = revisions(&mut run, &folder, &StopFlag::new()).unwrap_err().to_string();
    assert!(damaged.contains("checkpoint-1"), "{damaged}");
    assert!(nothing_is_left());
}

/// What is known of a model's training goes with it: out of its run, into an export, and into the export of that.
#[test]
fn test_export__training_is_remembered() {
    let mut e = Experiment::new(&models(SMALL)[0], SMALL);
    e.config.data.unit = Unit::Document;
    // A document keeps its line ends.
    e.config.tokenizer.vocab_size = 18;
    let _ = e.finish(Wish::Start);
    let run = Trained::load(e.run()).unwrap();
    let (once, twice, taken) =
        (e.folder().join("once"), e.folder().join("twice"), e.folder().join("taken"));
    export(&run, &once).unwrap();
    export(&Trained::load(&once).unwrap(), &twice).unwrap();
    std::fs::create_dir(&taken).unwrap();
    for file in std::fs::read_dir(&run.folder).unwrap() {
        let file = file.unwrap().path();
        std::fs::copy(&file, taken.join(file.file_name().unwrap())).unwrap();
    }

    let read = |folder: &Path| Trained::load(folder).unwrap();
    for exported in [&once, &twice] {
        let back = read(exported);
        assert_eq!((back.origin, back.unit()), (run.origin, Unit::Document));
        let card = std::fs::read_to_string(exported.join("README.md")).unwrap();
        assert!(card.contains(&e.config.experiment_name) && card.contains("| seed |"), "{card}");
        assert!(card.contains("has the whole configuration of the run"), "{card}");
    }
    let file = |folder: &Path| std::fs::read(folder.join("foundry.json")).unwrap();
    let config = |folder: &Path| -> Value { serde_json::from_slice(&file(folder)).unwrap() };
    assert_eq!(config(&once)["config"], config(&twice)["config"]);
    assert_eq!(read(&taken).origin.step, run.origin.step);
    assert_eq!(read(&taken).origin.words_seen, run.origin.words_seen);

    // Somebody else's model has no such history, nor a foundry.json that speaks of another model.
    let other = copy("gpt2");
    let imported = e.folder().join("imported");
    std::fs::write(other.path().join("foundry.json"), file(&once)).unwrap();
    let trained = read(other.path());
    assert!(trained.notes.iter().any(|n| n.contains("foundry.json is passed over")));
    assert_eq!(trained.origin.step, None);
    export(&trained, &imported).unwrap();
    let card = std::fs::read_to_string(imported.join("README.md")).unwrap();
    assert!(card.contains("How it was trained is not known"), "{card}");
}

/// The whole way on the command line: a run, its export, and an import of that score alike.
#[test]
fn test_export__commands() {
    let place = Workplace::new();
    let _ = place.foundry("train tiny.yaml").ok();
    place.write("sentences.txt", b"the cat sat\na dog ran\n");
    let _ = place.foundry("export runs/tiny out/hf").ok().says(&[]);
    let _ = place.foundry("export runs/tiny out/hf").ended(2).says(&["nothing is overwritten"]);
    let _ = place.foundry("import out/hf imported").ok();
    let _ = place.foundry("import runs/tiny again").ended(2).says(&["foundry export"]);
    let _ = place.foundry("export runs/tiny chck --revisions").ended(2).says(&["numbers of words"]);
    assert!(!place.path("chck").exists());
    let generate = "generate runs/tiny --prompt -the";
    let _ = place.foundry(&format!("{generate} --temperature -1")).ended(2).says(&["at least 0"]);
    let _ = place.foundry(&format!("{generate} --top-p -1")).ended(2).says(&["above 0"]);
    let _ = place.foundry(&format!("{generate} --max-tokens 2")).ok();
    let _ = place.foundry("evaluate imported --surprisal sentences.txt --all-checkpoints").ended(2);
    let _ = place.foundry("evaluate imported --surprisal sentences.txt --slor").ended(2);
    let scores = |model: &str| {
        let ran = place.foundry(&format!("evaluate {model} --surprisal sentences.txt --json")).ok();
        let lines = ran.stdout.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
        lines.map(|l| (l["ids"].clone(), l["logprobs_nats"].clone())).collect::<Vec<_>>()
    };
    let (run, exported, imported) = (scores("runs/tiny"), scores("out/hf"), scores("imported"));
    assert_eq!(run.len(), 2);
    assert!(run == exported && exported == imported, "{run:?} {exported:?} {imported:?}");
    let perplexity = |model: &str| {
        place.foundry(&format!("evaluate {model} --perplexity sentences.txt --json")).ok().json()
    };
    assert_eq!(perplexity("runs/tiny")["perplexity"], perplexity("imported")["perplexity"]);
    let generated = |model: &str| {
        place.foundry(&format!("generate {model} --prompt the --temperature 0 --json")).ok().json()
    };
    assert_eq!(generated("runs/tiny"), generated("imported"));
}
