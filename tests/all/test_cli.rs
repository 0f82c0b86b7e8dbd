//! The command line as a user meets it: every command, what it prints where, and what it returns.

use approx::assert_relative_eq;
use foundry_models::tokenizer::Tokenizer;
use foundry_tests::binary::{Ran, Workplace, watch};
use serde_json::Value;

const COMMANDS: [&str; 23] = [
    "compare",
    "config",
    "train",
    "preprocess",
    "train-tokenizer",
    "tokenize-dataset",
    "preprocess-data",
    "generate-checkpoints",
    "validate-config",
    "explain",
    "evaluate",
    "generate",
    "export",
    "import",
    "report",
    "schema",
    "doctor",
    "completions",
    "man",
    "gradcheck",
    "info",
    "selftest",
    "init",
];

#[test]
fn test_cli__help_and_version_are_data() {
    let place = Workplace::new();
    let help = place.foundry("--help").ok();
    assert_eq!(help.stderr, "");
    for command in COMMANDS {
        assert!(help.stdout.contains(&format!("  {command} ")), "{command}");
        let help = place.foundry(&format!("{command} --help")).ok();
        assert!(help.stdout.contains(&format!("Usage: foundry {command}")), "{}", help.stdout);
        assert_eq!(help.stderr, "");
    }
    let version = place.foundry("--version").ok();
    assert_eq!(version.stdout.trim(), concat!("foundry ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn test_cli__misuse_exits_2_and_leaves_standard_output_empty() {
    let place = Workplace::new();
    for call in [
        "",
        "trainn",
        "train",
        "train tiny.yaml --no-such-flag",
        "train tiny.yaml --resume --overwrite",
        "train tiny.yaml --threads 0",
        "train tiny.yaml --device abacus",
        "train tiny.yaml --set nothing",
        "evaluate runs/tiny",
        "generate runs/tiny --top-p 2",
        "gradcheck nothing",
        "init --template nothing",
    ] {
        let ran = place.foundry(call).ended(2);
        assert_eq!(ran.stdout, "", "{call}");
        assert_ne!(ran.stderr, "", "{call}");
    }
}

#[test]
fn test_cli__each_stage_is_a_command() {
    let place = Workplace::new();
    let json = |call: &str| place.foundry(&format!("{call} tiny.yaml --json")).ok().json();
    assert_eq!(json("validate-config")["valid"], true);
    assert_eq!(json("preprocess")["training_corpus"], "corpus.txt");
    assert_eq!(json("train-tokenizer")["vocab_size"], 300);
    assert!(json("tokenize-dataset").get("unit").is_some());
    assert_eq!(json("preprocess-data")["splits"][0]["split"], "train");
    assert_eq!(
        json("generate-checkpoints")["checkpoint_schedule"],
        serde_json::json!([0, 1, 2, 4])
    );
    assert_eq!(json("explain")["parameters"], 7312);
    assert_eq!(place.foundry("explain tiny.yaml --data --json").ok().json()["total_steps"], 4);
    let trained = json("train");
    assert_eq!(trained["step"], 4);
    assert!(trained["validation_loss_nats"].as_f64().unwrap() > 0.0);
    let said = place.foundry("generate runs/tiny --prompt the --max-tokens 3 --json").ok().json();
    assert_eq!(said["prompt"], "the");
    let scored = place.foundry("evaluate runs/tiny --perplexity corpus.txt --json").ok().json();
    assert!(scored["perplexity"]["perplexity_per_token"].as_f64().unwrap() > 1.0);
    assert!(place.foundry("info --json").ok().json()["architectures"].is_array());
    for name in ["gelu", "lstm"] {
        let checked = place.foundry(&format!("gradcheck {name} --json")).ok().json();
        assert_eq!(checked["failed"], 0, "{name}");
        assert_ne!(checked["findings"].as_array().unwrap().len(), 0, "{name}");
    }
    assert!(place.foundry("init").ok().stdout.starts_with('#'));
}

/// What ends a text is eos, or the separator of a tokenizer that has no eos.
#[test]
fn test_cli__generation_ends_where_a_text_ends() {
    for kind in ["bpe", "wordpiece"] {
        let place = Workplace::new();
        place.write("corpus.txt", "the cat sleeps\n".repeat(400).as_bytes());
        let call = format!(
            "train tiny.yaml --set tokenizer.tokenizer_type={kind} --set training.train_steps=60 --set training.learning_rate=0.02"
        );
        let _ = place.foundry(&call).ok();
        let call = "generate runs/tiny --prompt the --temperature 0 --max-tokens 30 --json";
        let new = place.foundry(call).ok().json()["ids"].as_array().unwrap().len();
        assert!(new < 30, "{kind}: a text of three words goes on for {new} tokens");
    }
}

#[test]
fn test_cli__a_whole_run_on_synthetic_text() {
    // Its sentences are longer than the context: they are scored in windows.
    let place = Workplace::new();
    let ran = place
        .foundry_args([
            "train",
            "tiny.yaml",
            "--set",
            "data.training_corpus=null",
            "--set",
            "data.synthetic={grammar: english.grammar, sentences: 300, seed: 1}",
            "--json",
        ])
        .ok();
    let pairs = ran.json()["minimal_pairs"].as_array().unwrap().clone();
    assert!(pairs.len() >= 10, "{pairs:?}");
    assert!(pairs.iter().all(|p| p["pairs"].as_u64() >= Some(200)), "{pairs:?}");
    assert!(place.path("runs/tiny/eval/minimal_pairs.csv").exists());
    assert!(!place.path("runs/tiny/lock").exists() || place.path("runs/tiny/result.json").exists());
}

#[test]
fn test_cli__no_escape_codes_when_nobody_watches_or_no_color_is_set() {
    let place = Workplace::new();
    let escapes = |ran: &Ran| (ran.stdout.clone() + &ran.stderr).contains('\u{1b}');
    for call in ["--help", "train nowhere.yaml", "train", "explain tiny.yaml"] {
        assert!(!escapes(&place.foundry(call)), "{call}");
    }
    for call in ["--help", "train"] {
        let watched = |variable: &[(&str, &str)]| {
            let mut command = place.command();
            command.arg(call).envs(variable.iter().copied()).env("CLICOLOR_FORCE", "1");
            watch(call, &mut command)
        };
        assert!(escapes(&watched(&[])), "{call} has colours for who wants them");
        assert!(!escapes(&watched(&[("NO_COLOR", "1")])), "{call}");
    }
}

/// On a terminal, which util-linux's `script` pretends to be.
#[test]
#[cfg(target_os = "linux")]
fn test_cli__a_terminal_has_colours_and_a_bar_unless_no_color_is_set() {
    let place = Workplace::new();
    if std::process::Command::new("script").arg("--version").output().is_err() {
        return eprintln!("skipped: no `script` here");
    }
    let on_terminal = |call: &str, variable: &[(&str, &str)]| {
        let call = format!("{} {call}", foundry_tests::binary::binary().display());
        let mut command = assert_cmd::Command::new("script");
        command.current_dir(place.folder()).args(["-qec", &call, "/dev/null"]);
        command.env("TERM", "xterm").env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
        command.envs(variable.iter().copied());
        watch(&call, &mut command).ok().stdout
    };
    let bold = "\u{1b}[1m";
    assert!(on_terminal("--help", &[]).contains(bold));
    assert!(!on_terminal("--help", &[("NO_COLOR", "1")]).contains('\u{1b}'));
    let trained = on_terminal("train tiny.yaml", &[]);
    assert!(trained.contains("4/4"), "a bar that moves: {trained}");
    let bare = on_terminal("train tiny.yaml --overwrite", &[("NO_COLOR", "1")]);
    let colours = bare.split('\u{1b}').skip(1).filter(|code| {
        code.trim_start_matches(|c: char| "[;0123456789".contains(c)).starts_with('m')
    });
    assert_eq!(colours.count(), 0, "{bare}");
}

#[test]
fn test_cli__a_finished_run_prints_its_result_and_is_left_alone() {
    let place = Workplace::new();
    let first = place.foundry("train tiny.yaml --json").ok().json();
    let files = place.files("runs");
    let again = place.foundry("train tiny.yaml --json").ok().says(&["finished", "--overwrite"]);
    assert_eq!(again.json()["final_step"], first["step"]);
    assert_eq!(again.json()["validation_loss_nats"], first["validation_loss_nats"]);
    assert_eq!(place.files("runs"), files, "nothing was touched");
    // Where and how it is computed and watched may differ.
    for change in [
        "--threads 1",
        "--device cpu",
        "--set threads=2",
        "--set logging.log_metrics_every_n_steps=1",
        "--set evaluation.batch_size=2",
    ] {
        let same = place.foundry(&format!("train tiny.yaml --json {change}")).ok();
        assert_eq!(same.json()["final_step"], 4, "{change}");
    }
    // Anew gives the same model.
    let model = place.read("runs/tiny/checkpoint-4/model.safetensors");
    let _ = place.foundry("train tiny.yaml --overwrite").ok();
    assert_eq!(place.read("runs/tiny/checkpoint-4/model.safetensors"), model);
}

#[test]
fn test_cli__an_unfinished_run_asks_what_to_do() {
    let place = Workplace::new();
    let stop = "--set training.time_limit=1 --set training.train_steps=1000000";
    let stopped = place.foundry(&format!("train tiny.yaml {stop}")).ended(75);
    let stopped = stopped.says(&["time", "checkpoint-", "resume with: foundry train tiny.yaml"]);
    assert_eq!(stopped.stdout, "", "a run that is not done has no data");
    let files = place.files("runs");
    let again = format!("foundry train tiny.yaml {stop}");
    let _ = place.foundry(&again["foundry ".len()..]).ended(2).says(&[
        "unfinished",
        &format!("{again} --resume"),
        &format!("{again} --overwrite"),
    ]);
    assert_eq!(place.files("runs"), files, "nothing was touched");
}

#[test]
fn test_cli__a_changed_field_is_named_on_resume() {
    let place = Workplace::new();
    let _ = place.foundry("train tiny.yaml").ok();
    let longer = "train tiny.yaml --set training.train_steps=6";
    let other = place.foundry(longer).ended(2);
    let _ = other.says(&["another configuration", "--resume", "--overwrite"]);
    let refused = place.foundry(&format!("{longer} --resume")).ended(2);
    let _ = refused.says(&["training.train_steps: 4 -> 6", "--allow-change training.train_steps"]);
    let two = format!("{longer} --resume --set training.learning_rate=0.5");
    let refused = place.foundry(&format!("{two} --allow-change training.train_steps")).ended(2);
    let refused = refused.says(&["training.learning_rate: 0.001 -> 0.5"]);
    assert!(!refused.stderr.contains("training.train_steps: "), "{}", refused.stderr);
    let allowed = format!("{longer} --resume --allow-change training.train_steps --json");
    assert_eq!(place.foundry(&allowed).ok().json()["step"], 6);
    assert!(place.path("runs/tiny/checkpoint-6/MANIFEST.json").exists());
}

#[test]
fn test_cli__dry_run_says_every_stage_and_makes_nothing() {
    let place = Workplace::new();
    let made = || place.path("runs").exists() || place.path(".foundry").exists();
    let dry = place.foundry("train tiny.yaml --dry-run").ok().says(&[
        "preprocess           would read corpus.txt",
        "train-tokenizer      would train a bpe tokenizer of at most 300 tokens: runs/tiny/tokenizer",
        "preprocess-data      would cut chunks of 16 tokens",
        "train                would train a gpt2 in runs/tiny",
        "evaluate             would score the validation text at checkpoints",
        "report               would write runs/tiny/report.html",
    ]);
    place.write("again.yaml", dry.stdout.as_bytes());
    let _ = place.foundry("validate-config again.yaml").ok();
    let json = place.foundry("train tiny.yaml --dry-run --json").ok().json();
    assert_eq!(json["stages"].as_array().unwrap().len(), 8, "{json}");
    assert_eq!(json["config"].as_str().unwrap().trim_end(), dry.stdout.trim_end());
    let json = place.foundry("preprocess tiny.yaml --dry-run --json").ok().json();
    assert_eq!(json["would"][0], "read corpus.txt");
    assert!(!made());
    let _ = place.foundry("train tiny.yaml").ok();
    let _ = place.foundry("train tiny.yaml --dry-run").ok().says(&["keep runs/tiny/tokenizer"]);
}

/// Whatever the configuration names is looked for before anything is made, and by the dry runs too.
#[test]
fn test_cli__what_is_named_and_not_there_is_said_before_anything_is_made() {
    let place = Workplace::new();
    place.write("pairs.jsonl", b"{\"good\": \"the cat sat\"}\n");
    let nowhere = place.path("nowhere").display().to_string();
    let step =
        "dataset_manipulation=[{type: remove_articles, input_path: nowhere, output_path: o}]";
    for (set, code, words) in [
        ("data.training_corpus=nowhere", 3, "data.training_corpus: {} does not exist"),
        ("data.test_corpus=nowhere", 3, "data.test_corpus: {} does not exist"),
        ("evaluation.suites=[nowhere]", 3, "evaluation.suites.0: {} does not exist"),
        ("evaluation.suites=[pairs.jsonl]", 3, "pairs.jsonl:1: "),
        (step, 3, "dataset_manipulation.0.input_path: {} does not exist"),
    ] {
        let words = words.replace("{}", &nowhere);
        for call in
            ["train tiny.yaml", "train tiny.yaml --dry-run", "preprocess tiny.yaml --dry-run"]
        {
            let args = call.split(' ').chain(["--set", set]);
            let ran = place.foundry_args(args).ended(code).says(&[&words]);
            assert_eq!(ran.stdout, "", "{call} {set}");
            let made = ["runs/tiny/provenance.json", "runs/tiny/tokenizer", ".foundry"];
            assert!(made.iter().all(|made| !place.path(made).exists()), "{call} {set}");
        }
        let ran = place.foundry_args(["validate-config", "tiny.yaml", "--json", "--set", set]).ok();
        let warnings = ran.json()["warnings"].as_array().unwrap().clone();
        assert!(warnings.iter().any(|w| w.as_str().unwrap().contains(&words)), "{warnings:?}");
    }
    let grammar = "data.synthetic={grammar: nowhere, sentences: 9, seed: 1}";
    let set = ["train", "tiny.yaml", "--set", "data.training_corpus=null", "--set", grammar];
    let _ = place.foundry_args(set).ended(3).says(&["data.synthetic.grammar", &nowhere]);
    let fine = place.foundry("validate-config tiny.yaml --json").ok().json();
    assert_eq!(fine["warnings"], serde_json::json!([]));
}

#[test]
fn test_cli__a_bad_configuration_is_one_object_for_programs() {
    let place = Workplace::new();
    let text = String::from_utf8(place.read("tiny.yaml")).unwrap();
    place.write("bad.yaml", text.replace("batch_size: 4", "batch_size: 0").as_bytes());
    let json = place.foundry("validate-config bad.yaml --json").ended(2).json();
    assert_eq!(json["valid"], false);
    let problem = &json["problems"][0];
    assert_eq!((&problem["field"], &problem["line"]), (&"data.batch_size".into(), &6.into()));
    assert!(problem["message"].as_str().unwrap().contains("data.batch_size must be"), "{json}");
    let step =
        "dataset_manipulation=[{type: remove_words, input_path: corpus.txt, output_path: o}]";
    let call = ["validate-config", "tiny.yaml", "--json", "--set", step];
    let json = place.foundry_args(call).ended(2).json();
    assert!(json["error"].as_str().unwrap().contains("name the words to remove"), "{json}");
    let json = place.foundry("validate-config none.yaml --json").ended(2).json();
    assert!(json["error"].as_str().unwrap().contains("not found: none.yaml"), "{json}");
}

#[test]
fn test_cli__a_field_that_may_change_has_to_be_one() {
    let place = Workplace::new();
    let slip = place.foundry("train tiny.yaml --allow-change training.train_stepz").ended(2);
    let _ =
        slip.says(&["--allow-change training.train_stepz", "did you mean 'training.train_steps'?"]);
    assert!(!place.path("runs").exists());
}

#[test]
fn test_cli__targets_that_are_never_met_are_said() {
    let place = Workplace::new();
    let call = "tiny.yaml --set training.checkpoint_schedule=[0,2,4,900,1000]";
    let ran = place.foundry(&format!("generate-checkpoints {call}")).ok();
    assert!(ran.stdout.contains("# not reached before the end of the run: 900, 1000\n"), "{ran:?}");
    let _ = ran.says(&["warning: checkpoint_schedule: 900 steps are not reached"]);
    let json = place.foundry(&format!("generate-checkpoints {call} --json")).ok().json();
    assert_eq!(json["unreachable"], serde_json::json!([900, 1000]));
    assert_eq!(json["checkpoint_schedule"], serde_json::json!([0, 2, 4]));
    let _ = place.foundry(&format!("explain {call} --data")).ok().says(&["1000 steps are not"]);
}

#[test]
fn test_cli__explain_says_what_follows_from_the_machine_and_how_long_it_takes() {
    let place = Workplace::new();
    let short = place.foundry("explain tiny.yaml --set threads=2 --set data.num_workers=3").ok();
    for words in ["threads      2 on", "num_workers  3 on", "time need the data: foundry explain"] {
        assert!(short.stdout.contains(words), "{words}: {}", short.stdout);
    }
    let whole = place.foundry("explain tiny.yaml --data").ok();
    assert!(whole.stdout.contains("\ntime         about "), "{}", whole.stdout);
    assert!(whole.stdout.contains(" for 4 updates ("), "{}", whole.stdout);
    let json = place.foundry("explain tiny.yaml --data --json").ok().json();
    let (all, each) =
        (json["seconds"].as_f64().unwrap(), json["seconds_per_update"].as_f64().unwrap());
    assert!(each > 0.0, "{json}");
    assert_relative_eq!(all, 4.0 * each, max_relative = 1e-9);
    assert!(!place.path("runs/tiny/checkpoint-0").exists(), "nothing was trained");
    let bert = "explain tiny.yaml --set model.architecture=bert --set training.objective=masked_lm";
    assert!(place.foundry(bert).ok().stdout.contains("pooler_type: first"));
}

#[test]
fn test_cli__files_of_a_run_name_no_place_of_this_machine() {
    assert_ne!(foundry_tests::scoring::no_places(), "");
}

#[test]
fn test_cli__a_device_that_is_not_there_exits_4() {
    let place = Workplace::new();
    let ran = place.foundry("train tiny.yaml --device cuda:99").ended(4).says(&["--device cpu"]);
    assert_eq!(ran.stdout, "");
    assert!(!place.path("runs").exists(), "nothing was made");
}

#[test]
fn test_cli__overwriting_spares_the_old_run_until_the_new_one_can_begin() {
    let place = Workplace::new();
    let _ = place.foundry("train tiny.yaml").ok();
    let checkpoints = || {
        let mut files = place.files("runs/tiny");
        files.retain(|(path, _)| path.to_string_lossy().contains("checkpoint-"));
        files
    };
    let before = checkpoints();
    assert!(before.len() > 10);
    for change in [
        "--set data.training_corpus=nowhere.txt",
        "--set data.max_sequence_length=20000 --set data.batch_size=1",
    ] {
        let ran = place.foundry(&format!("train tiny.yaml --overwrite {change}"));
        assert_ne!(ran.code, 0, "{ran:#?}");
        assert_eq!(checkpoints(), before, "{change}");
    }
    let _ = place.foundry("train tiny.yaml --overwrite --set random_seed=2").ok();
    assert_ne!(checkpoints(), before);
}

#[test]
fn test_cli__stages_write_the_log_of_the_experiment() {
    let place = Workplace::new();
    for stage in ["preprocess", "train-tokenizer", "tokenize-dataset", "preprocess-data"] {
        let _ = place.foundry(&format!("{stage} tiny.yaml")).ok();
        let log = String::from_utf8(place.read("logs/tiny.log")).unwrap();
        assert!(log.contains(&format!("foundry {stage} tiny.yaml")), "{log}");
    }
    let log = String::from_utf8(place.read("logs/tiny.log")).unwrap();
    assert!(log.contains("== tokenizer") && log.contains("training: "), "{log}");
    let broken = place.foundry("train-tokenizer tiny.yaml --set data.training_corpus=nowhere.txt");
    assert_ne!(broken.code, 0);
    let log = String::from_utf8(place.read("logs/tiny.log")).unwrap();
    assert!(log.contains("ERROR") && log.contains("nowhere.txt"), "{log}");
}

#[test]
fn test_cli__explaining_a_large_model_takes_no_memory_for_it() {
    // 1.6 thousand million numbers: 6.4 GB in f32, and explained at once.
    let place = Workplace::new();
    let large = "explain tiny.yaml --json --set model.transformer.layers=48 \
                 --set model.transformer.hidden_size=1600 --set model.transformer.embedding_size=1600 \
                 --set model.transformer.intermediate_hidden_size=6400 \
                 --set model.transformer.attention_heads=25 --set training.optimizer=sgd \
                 --set tokenizer.vocab_size=50257 --set data.batch_size=1";
    let ran = place.foundry(large);
    // A machine that could not train it says so instead.
    if ran.code == 0 {
        assert!(ran.json()["parameters"].as_u64().unwrap() > 1_500_000_000);
    } else {
        let _ = ran.ended(2).says(&["training needs at least"]);
    }
}

/// B7, at its small size; `soak B7` races 50 pairs.
#[test]
fn test_b7__of_two_processes_one_has_the_run_folder() {
    let report = foundry_tests::program::lock_race(2);
    assert!(report.ends_with("exactly one"), "{report}");
}

/// The keys of one training step's record, and that its share of the peak is what its other numbers make it.
#[test]
fn test_cli__bench_says_what_share_of_the_peak_a_step_is() {
    let call =
        "bench train --config lstm-tiny --threads 1 --warmup 0 --steps 3 --min-seconds 0 --json";
    let record = Workplace::new().foundry(call).ok().json();

    let number = |key: &str| record[key].as_f64().unwrap_or_else(|| panic!("{key}: {record}"));
    for key in ["tokens_per_s", "peak_rss_mb", "dropout", "threads"] {
        number(key);
    }
    assert_eq!((&record["config"], &record["mode"]), (&"lstm-tiny".into(), &"train".into()));
    assert_eq!(record["params"], 131_560);
    let rate = number("gflop_per_step") / (number("step_ms") / 1e3);
    assert_relative_eq!(
        number("percent_of_peak"),
        100.0 * rate / number("gflops_peak"),
        max_relative = 1e-9
    );
}

/// Whether a space stands between the prompt and what comes after it only both together tell.
#[test]
fn test_generate__goes_on_with_the_text_and_not_with_the_word() {
    for kind in ["sentencepiece", "wordpiece"] {
        let place = Workplace::new();
        let sets = format!("--set tokenizer.tokenizer_type={kind} --set tokenizer.vocab_size=320");
        let _ = place.foundry(&format!("train tiny.yaml {sets}")).ok();
        let tokenizer = Tokenizer::load(&place.path("runs/tiny/tokenizer")).unwrap();
        let call = "generate runs/tiny --prompt cat --max-tokens 12 --temperature 1";
        let said = place.foundry(&format!("{call} --json")).ok().json();
        let ids = |name: &str| {
            said[name]
                .as_array()
                .unwrap()
                .iter()
                .map(|id| u32::try_from(id.as_u64().unwrap()).unwrap())
        };
        let whole: Vec<u32> = ids("prompt_ids").chain(ids("ids")).collect();
        let whole = tokenizer.decode(&whole).unwrap();
        assert_eq!(format!("cat{}", said["text"].as_str().unwrap()), whole, "{kind}: {said}");
        assert_eq!(place.foundry(call).ok().stdout.trim_end(), whole.trim_end());
    }
}

/// A tokenizer of Google's library is used where it lies, and nothing is written over it.
#[test]
fn test_train__takes_a_sentencepiece_model_that_lies_there() {
    let place = Workplace::new();
    let kind = "--set tokenizer.tokenizer_type=sentencepiece --set tokenizer.vocab_size=320";
    let _ = place.foundry(&format!("train-tokenizer tiny.yaml {kind}")).ok();
    let model = place.read("runs/tiny/tokenizer/tokenizer.model");
    place.write("given/spiece.model", &model);
    for (i, path) in ["given", "given/spiece.model"].into_iter().enumerate() {
        let own = format!("--set tokenizer.output_dir={path} --set training.output_dir=runs/{i}");
        let _ = place.foundry(&format!("train tiny.yaml {kind} {own}")).ok().says(&["made before"]);
        assert_eq!(place.files("given").len(), 1, "nothing was written beside it");
        assert_eq!(place.read("given/spiece.model"), model);
    }
}

#[test]
fn test_plan__the_run_ends_at_whichever_limit_comes_first() {
    let place = Workplace::new();
    // Rows so unequal that their mean says little of an update.
    let line =
        |i: u32| if i.is_multiple_of(9) { "the cat number 4 sat on mat 2\n" } else { "cat\n" };
    place.write("corpus.txt", (0..90).map(line).collect::<String>().as_bytes());
    let steps = |sets: &str| {
        let call = format!(
            "generate-checkpoints tiny.yaml --set data.packing=sentence --set data.batch_size=1 {sets} --json"
        );
        let schedule = &place.foundry(&call).ok().json()["checkpoint_schedule"];
        schedule.as_array().unwrap().iter().filter_map(Value::as_u64).max().unwrap()
    };
    for tokens in (40..300).step_by(20) {
        let tokens = format!("--set training.train_tokens={tokens}");
        let alone = steps(&format!("{tokens} --set training.train_steps=null"));
        for limit in [alone - 1, alone, alone + 1].into_iter().filter(|limit| *limit > 0) {
            let both = steps(&format!("{tokens} --set training.train_steps={limit}"));
            assert_eq!(both, alone.min(limit), "{tokens}, {limit} updates");
        }
    }
}

#[test]
fn test_plan__what_cannot_be_counted_is_refused() {
    let place = Workplace::new();
    let many = "explain tiny.yaml --data --set training.train_steps=1000000000";
    for (unit, mend) in [
        ("checkpoint_unit=tokens", "checkpoint_unit: steps"),
        ("checkpoint_unit=words", "checkpoint_unit: steps"),
        ("checkpoint_preset=babylm-strict", "remove checkpoint_preset"),
    ] {
        let ran = place.foundry(&format!("{many} --set training.{unit}")).ended(2);
        let _ = ran.says(&["1,000,000,000", mend]);
    }
    // Where only the start and the end are kept there is nothing to count.
    let ends =
        "--set training.checkpoint_unit=words --set training.auto_generate_checkpoints=false";
    let _ = place.foundry(&format!("{many} {ends}")).ok();
}

/// An end that lies behind is never met.
#[test]
fn test_train__a_run_does_not_go_on_beyond_its_end() {
    let place = Workplace::new();
    let _ = place.foundry("train tiny.yaml").ok();
    // The lock says which process has it, the log what was said.
    let kept = || {
        let mut files = place.files("runs/tiny");
        files.retain(|(path, _)| !path.ends_with("lock") && !path.ends_with("log.txt"));
        files
    };
    let before = kept();
    let shorter = "--set training.train_steps=2 --allow-change training.train_steps";
    let ran = place.foundry(&format!("train tiny.yaml --resume {shorter}")).ended(2);
    let _ = ran.says(&["made 4 updates already", "end after 2"]);
    assert!(kept() == before, "a refusal changes nothing");
    let _ = place.foundry("train tiny.yaml --resume").ok();
}
