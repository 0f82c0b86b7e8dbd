//! Every configuration in `configs/` is what it says: valid, commented, and able to train.

use foundry_tests::binary::Workplace;
use foundry_tests::workspace;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The configurations below a folder, sorted.
fn configurations(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(configurations(&path));
        } else if path.extension().is_some_and(|e| e == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What a step will have written is not missed.
#[test]
fn test_configs__the_experiments_are_looked_at_without_false_alarm() {
    let place = place();
    for path in configurations(&workspace().join("configs/experiments")) {
        let mut call =
            vec!["validate-config".to_owned(), path.display().to_string(), "--json".into()];
        for (field, value) in small_sizes() {
            call.extend(["--set".to_owned(), format!("{field}={value}")]);
        }
        let json = place.foundry_args(&call).ok().json();
        assert_eq!(json["warnings"], serde_json::json!([]), "{}", path.display());
    }
    std::fs::remove_dir_all(place.path("data/raw/pull_10M")).unwrap();
    let path = workspace().join("configs/experiments/1_remove_expletives.yaml");
    let call = ["validate-config", path.to_str().unwrap(), "--set", "model.transformer.layers=1"];
    let field = "dataset_manipulation.0.parameters.replacement_pool_dir";
    let _ = place.foundry_args(call).ok().says(&[field, "data/raw/pull_10M does not exist"]);
}

/// What `init` wrote trains where nothing else is, and lies where its name says.
#[test]
fn test_init__its_file_trains_in_an_empty_folder_under_its_own_name() {
    for template in ["gpt2_tiny", "bert_tiny", "lstm_tiny", "quickstart"] {
        let place = Workplace::empty();
        let call = format!("init --template {template} -o my.run.yaml");
        let _ = place.foundry(&call).ok().says(&["'my.run'", "foundry train my.run.yaml"]);
        let text = String::from_utf8(place.read("my.run.yaml")).unwrap();
        assert!(!text.contains(template), "{text}");
        assert!(text.contains("#   foundry train my.run.yaml\n"), "{text}");
        let few = "--set training.train_steps=2 --set data.synthetic.sentences=300";
        let _ = place.foundry("train my.run.yaml --dry-run").ok();
        // The pairs of a BERT are scored token by token, and the quick start has a longer warm-up: both take long.
        if !["gpt2_tiny", "lstm_tiny"].contains(&template) {
            continue;
        }
        let trained = place.foundry(&format!("train my.run.yaml {few} --json")).ok().json();
        assert_eq!((&trained["run"], &trained["step"]), (&"runs/my.run".into(), &2.into()));
        let _ = place.foundry("report runs/my.run").ok();
        let _ = place.foundry(&call).ended(2).says(&["my.run.yaml is there already"]);
    }
}

#[test]
fn test_init__every_template_is_valid_under_any_name() {
    let place = Workplace::empty();
    let templates = place.foundry("init --template list").ok().stdout;
    for (i, template) in templates.lines().enumerate() {
        let file = format!("a b\u{e9} {i}.yaml");
        let _ = place.foundry_args(["init", "--template", template, "-o", &file]).ok();
        let json = place.foundry_args(["validate-config", &file, "--json"]).ok().json();
        assert_eq!(json["experiment_name"], format!("a_b__{i}"), "{template}");
        let text = String::from_utf8(place.read(&file)).unwrap();
        let folders = format!("output_dir: runs/a_b__{i}");
        assert_eq!(text.matches(&folders).count(), 2, "{template}: {text}");
        let shipped = place.foundry_args(["init", "--template", template]).ok().stdout;
        let columns = |text: &str| -> Vec<_> { text.lines().map(|l| l.find(" #")).collect() };
        assert_eq!(columns(&text), columns(&shipped), "{template}");
    }
}

/// A place with the data that the configurations name: text, and parses of it.
fn place() -> Workplace {
    let place = Workplace::new();
    for (folder, lines) in [("data/raw/train_90M", 200), ("data/raw/pull_10M", 600)] {
        let (text, parses) = parsed_text(lines);
        place.write(&format!("{folder}/speech.train"), text.as_bytes());
        place.write(&format!("{folder}/speech.conllu"), parses.as_bytes());
    }
    place
}

/// Sentences that have all that the ablations take away, with their parses.
fn parsed_text(lines: usize) -> (String, String) {
    // form, lemma, part of speech, head, relation
    const WEATHER: &[(&str, &str, &str, u8, &str)] = &[
        ("it", "it", "PRON", 2, "expl"),
        ("rains", "rain", "VERB", 0, "root"),
        ("in", "in", "ADP", 5, "case"),
        ("a", "a", "DET", 5, "det"),
        ("town", "town", "NOUN", 2, "obl"),
    ];
    const CHASE: &[(&str, &str, &str, u8, &str)] = &[
        ("she", "she", "PRON", 2, "nsubj"),
        ("sees", "see", "VERB", 0, "root"),
        ("those", "that", "DET", 4, "det"),
        ("dogs", "dog", "NOUN", 2, "obj"),
        ("near", "near", "ADP", 7, "case"),
        ("the", "the", "DET", 7, "det"),
        ("house", "house", "NOUN", 2, "obl"),
    ];
    let (mut text, mut parses) = (String::new(), String::new());
    for i in 0..lines {
        let words = if i % 3 == 0 { WEATHER } else { CHASE };
        let name = format!("place{}", i % 17);
        for (id, (form, lemma, tag, head, relation)) in (1..).zip(words) {
            parses.push_str(&format!(
                "{id}\t{form}\t{lemma}\t{tag}\t_\t_\t{head}\t{relation}\t_\t_\n"
            ));
            text.push_str(form);
            text.push(' ');
        }
        let id = words.len() + 1;
        parses.push_str(&format!("{id}\t{name}\t{name}\tPROPN\t_\t_\t2\tobl\t_\t_\n\n"));
        text.push_str(&name);
        text.push('\n');
    }
    (text, parses)
}

/// The changes that make a configuration small enough for five updates in a test; what is small stays.
fn small(text: &str) -> Vec<String> {
    let value = |key: &str| {
        let line = text.lines().find_map(|l| l.trim_start().strip_prefix(&format!("{key}:")));
        line.map(|rest| rest.split('#').next().unwrap_or("").trim().to_owned())
    };
    let whole = |key: &str| value(key).and_then(|v| v.parse::<u64>().ok());
    let mut set =
        vec!["training.train_steps=5".to_owned(), "evaluation.at_checkpoints=false".into()];
    let mut put = |field: &str, value: &str| set.push(format!("{field}={value}"));
    if value("epochs").is_some() {
        put("training.epochs", "null");
    }
    if value("warmup_steps").is_some() {
        put("training.warmup_steps", "1");
    }
    if !text.contains("data/raw/") {
        if value("synthetic").is_some() {
            // Synthetic text brings minimal pairs, whose scoring is tested elsewhere and takes longer than all else.
            put("data.synthetic", "null");
        }
        put("data.training_corpus", "corpus.txt");
        if whole("vocab_size") > Some(300) {
            put("tokenizer.vocab_size", "300");
        }
    } else {
        put("tokenizer.vocab_size", "300");
    }
    if whole("batch_size") > Some(8) {
        put("data.batch_size", "4");
        put("data.max_sequence_length", "16");
        put("data.max_loss_fraction", "1");
    }
    if value("gradient_accumulation_steps").is_some() {
        put("training.gradient_accumulation_steps", "2");
    }
    if whole("hidden_size") > Some(64) {
        let family = if value("transformer").is_some() { "transformer" } else { "rnn" };
        let sizes: &[(&str, &str)] = match family {
            "transformer" => {
                &[("layers", "1"), ("intermediate_hidden_size", "64"), ("attention_heads", "2")]
            }
            _ => &[("num_layers", "2")],
        };
        for (name, size) in sizes.iter().chain(&[("embedding_size", "32"), ("hidden_size", "32")]) {
            put(&format!("model.{family}.{name}"), size);
        }
    }
    set
}

#[test]
fn test_configs__each_trains_five_updates() {
    let place = place();
    let files = configurations(&workspace().join("configs"));
    assert!(files.len() >= 28, "{files:?}");
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        place.write("shipped.yaml", text.as_bytes());
        let mut args = vec!["train".to_owned(), "shipped.yaml".into(), "--json".into()];
        args.extend(small(&text).into_iter().flat_map(|set| ["--set".to_owned(), set]));
        let ran = place.foundry_args(&args);
        assert_eq!(ran.code, 0, "{}\n{ran:#?}", path.display());
        assert_eq!(ran.json()["step"], Value::from(5), "{}", path.display());
    }
}

#[test]
fn test_configs__each_says_what_it_is_and_how_it_is_run() {
    for path in configurations(&workspace().join("configs")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(workspace()).unwrap().display().to_string();
        assert!(text.starts_with("# "), "{name}");
        assert!(text.contains(&format!(" {name}")), "{name}: the command stands at its head");
        assert!(text.lines().filter(|l| l.contains(" # ")).count() >= 3, "{name}");
        let longest = text.lines().map(|l| l.chars().count()).max();
        assert!(longest <= Some(132), "{name}: {longest:?}");
    }
}

/// The eight designs differ in what they do to the corpus, and in nothing else.
#[test]
fn test_configs__experiments_differ_in_the_corpus_alone() {
    let folder = workspace().join("configs/experiments");
    let files = configurations(&folder);
    assert_eq!(files.len(), 8);
    let rest = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        let config =
            foundry_models::config::Config::parse(&text, "e.yaml", &small_sizes()).unwrap();
        let kinds: Vec<_> = config.dataset_manipulation.iter().map(|s| s.kind.name()).collect();
        let comparable = format!(
            "{:?} {:?} {:?} {:?} {:?} {}",
            config.model,
            config.tokenizer.rules,
            config.tokenizer.vocab_size,
            config.training.learning_rate,
            config.training.limits(),
            config.data.batch_size
        );
        (kinds, comparable)
    };
    let all: Vec<_> = files.iter().map(|path| rest(path)).collect();
    assert!(all.iter().all(|(_, rest)| *rest == all[0].1));
    let mut kinds: Vec<_> = all.iter().map(|(kinds, _)| kinds.clone()).collect();
    assert!(kinds[0].is_empty());
    assert!(kinds[1..].iter().all(|k| k[0] == "remove_expletives"));
    assert_eq!(kinds[7].len(), 5);
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds.len(), 8, "no two are the same");
}

/// So that the memory of the machine does not matter.
fn small_sizes() -> Vec<(String, String)> {
    let set = |field: &str, value: &str| (field.to_owned(), value.to_owned());
    vec![set("data.batch_size", "1"), set("model.transformer.layers", "1")]
}

/// `config migrate` prints a file that trains, says what it changed, and leaves the old one alone.
#[test]
fn test_configs__an_old_configuration_is_migrated_and_trains() {
    let place = place();
    let old = "\
experiment_name: old
seed: 3
data:
  training_corpus: corpus.txt  # text
  batch_size: 4
  max_sequence_length: 16
  pin_memory: true
tokenizer: {output_dir: tokenizer, vocab_size: 300, tokenizer_type: bpe}
model:
  layers: 1
  embedding_size: 16
  hidden_size: 16
  intermediate_hidden_size: 32
  attention_heads: 2
  activation_function: GELU
  dropout: 0.1
  attention_dropout: 0.1
training:
  output_dir: runs/old
  learning_rate: 1e-3
  train_steps: 5
  use_amp: false
logging: {level: INFO, use_wandb: false}
";
    place.write("old.yaml", old.as_bytes());
    let _ = place.foundry("train old.yaml").ended(2).says(&["'seed' is an old name"]);
    let ran = place.foundry("config migrate old.yaml").ok();
    let ran = ran.says(&["seed -> random_seed", "data.pin_memory", "logging.use_wandb"]);
    assert!(ran.stdout.contains("training_corpus: corpus.txt  # text"), "{}", ran.stdout);
    assert_eq!(place.read("old.yaml"), old.as_bytes());
    let json = place.foundry("config migrate old.yaml --json -o new.yaml").ok().json();
    assert_eq!(json["yaml"].as_str().unwrap().as_bytes(), place.read("new.yaml"));
    assert_eq!(place.foundry("train new.yaml --json").ok().json()["step"], 5);
    let _ = place.foundry("config migrate old.yaml -o new.yaml").ended(2);
    let _ = place.foundry("config migrate nowhere.yaml").ended(2).says(&["not found"]);
}

#[test]
fn test_configs__the_template_is_what_the_source_says() {
    let path = workspace().join("configs/TEMPLATE.yaml");
    let text = foundry_models::config::template::template();
    if std::env::var_os("FOUNDRY_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap() == text,
        "configs/TEMPLATE.yaml is stale; FOUNDRY_BLESS=1 cargo test -p foundry-tests template_is_what writes it anew"
    );
}

/// docs/adding_an_architecture.md names files, and what stands in them.
#[test]
fn test_configs__the_steps_to_an_architecture_are_true() {
    let page = std::fs::read_to_string(workspace().join("docs/adding_an_architecture.md")).unwrap();
    let quoted: Vec<&str> = page.split('`').skip(1).step_by(2).collect();
    let files: Vec<&&str> = quoted
        .iter()
        .filter(|w| w.contains('/') && w.contains('.') && !w.contains([' ', '*', '(']))
        .collect();
    assert!(files.len() >= 15, "{files:?}");
    for file in files {
        assert!(workspace().join(file).is_file(), "{file}");
    }
    for (file, holds) in [
        ("engine/src/ops/gru.rs", "pub fn gru_sequence"),
        ("engine/src/ops/mod.rs", "gru::"),
        ("models/src/arch/gru.rs", "impl Cell for GruCell"),
        ("models/src/arch/recurrent.rs", "pub struct RecurrentModel"),
        ("models/src/arch/mod.rs", "pub const ARCHITECTURES"),
        ("models/src/arch/mod.rs", "fn config_json"),
        ("models/src/arch/mod.rs", "fn hidden_from"),
        ("models/src/arch/mod.rs", "fn left_to_right"),
        ("models/src/config/choices.rs", "Gru = \"gru\""),
        ("models/src/config/validated/model.rs", "Gru(RnnConfig)"),
        ("models/src/config/memory.rs", "ModelConfig::Gru"),
        ("models/src/arch/tiny.rs", "pub fn variants()"),
        ("tests/src/fixtures.rs", "\"gru\""),
        ("cli/src/commands/init.rs", "gru_tiny"),
        ("models/src/bench/named.rs", "Family::Gru"),
        ("tests/all/test_golden_recurrent.rs", "gru"),
    ] {
        let text = std::fs::read_to_string(workspace().join(file)).unwrap();
        assert!(text.contains(holds), "{file}: {holds}");
        assert!(page.contains(file), "{file} is on the page");
    }
}

/// docs/migration.md tells every old name that the program knows.
#[test]
fn test_configs__the_page_on_migration_has_every_old_name() {
    let page = std::fs::read_to_string(workspace().join("docs/migration.md")).unwrap();
    for name in foundry_models::config::migrate::old_names() {
        let last = name.rsplit('.').next().unwrap();
        let listed =
            page.contains(last) || last.starts_with("wandb_") && page.contains("`wandb_*`");
        assert!(listed, "{name}");
    }
}
