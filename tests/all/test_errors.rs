//! What goes wrong, said in words: nothing panics, nothing that was there is lost, and the exit code tells the kind.

use foundry_tests::binary::{Ran, Workplace, watch};
use foundry_tests::workspace;

/// `train` with fields set.
fn train(place: &Workplace, set: &[&str]) -> Ran {
    place.foundry_args(["train", "tiny.yaml"].into_iter().chain(with(set)))
}

fn with<'a>(set: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    set.iter().flat_map(|set| ["--set", set])
}

/// `validate-config` of `tiny.yaml` with a piece of its text replaced.
fn validate(place: &Workplace, (old, new): (&str, &str)) -> Ran {
    let text = String::from_utf8(place.read("tiny.yaml")).unwrap();
    assert!(text.contains(old), "{old}");
    place.write("changed.yaml", text.replacen(old, new, 1).as_bytes());
    place.foundry("validate-config changed.yaml")
}

#[test]
fn test_errors__configurations_are_refused_in_the_words_that_are_promised() {
    let place = Workplace::new();
    for (change, words) in [
        (
            ("  architecture: gpt2\n", ""),
            "Missing required field 'architecture' in model config. Must be one of: gpt2, bert, lstm, gru, rnn",
        ),
        (
            ("architecture: gpt2", "architecture: mamba"),
            "Unknown architecture: 'mamba'. Available architectures: gpt2, bert, lstm, gru, rnn",
        ),
        (
            ("architecture: gpt2", "architecture: lstm"),
            "Architecture 'lstm' requires 'rnn' configuration",
        ),
        (
            ("train_steps: 4", "train_steps: 4\n  objective: telepathy"),
            "Unknown training objective: 'telepathy'",
        ),
        (
            ("tokenizer_type: bpe", "tokenizer_type: chopsticks"),
            "Unknown tokenizer type: 'chopsticks'. Supported types: sentencepiece, wordpiece, bpe, character",
        ),
        (
            ("attention_heads: 2", "attention_heads: 3"),
            "hidden_size (16) must be a multiple of attention_heads (3)",
        ),
        (
            ("embedding_size: 16", "embedding_size: 8"),
            "embedding_size (8) must equal hidden_size (16) in a transformer",
        ),
    ] {
        let ran = validate(&place, change).ended(2).says(&[words]);
        assert_eq!(ran.stdout, "", "{change:?}");
    }
    let ran = place.foundry("validate-config tiny.yaml --set model.transformer=null").ended(2);
    let _ = ran.says(&["Architecture 'gpt2' requires 'transformer' configuration"]);
    let ran = place.foundry("train nowhere.yaml").ended(2);
    let tried = place.folder().join("nowhere.yaml");
    let _ = ran.says(&["Configuration file not found: nowhere.yaml", tried.to_str().unwrap()]);
}

#[test]
fn test_errors__an_unknown_field_is_shown_where_it_stands() {
    let place = Workplace::new();
    let ran = validate(&place, ("learning_rate:", "learning_rat:")).ended(2);
    let _ = ran.says(&["changed.yaml:24:3: ", "learning_rat", "learning_rate", "^^^"]);
    let ran = place.foundry("validate-config tiny.yaml --set training.learning_rat=1").ended(2);
    let _ = ran.says(&["learning_rat", "learning_rate"]);
}

#[test]
fn test_errors__corpora_that_cannot_be_used_are_named() {
    let place = Workplace::new();
    place.write("empty.txt", b"");
    place.write("blank.txt", b"\n\n \n");
    place.write("short.txt", b"ab");
    place.write("latin.txt", b"good line\nbad \xe9 line\n");
    let missing = place.path("nowhere.txt");
    for (corpus, code, words) in [
        ("empty.txt", 3, "empty.txt is empty"),
        ("blank.txt", 3, "blank.txt"),
        ("latin.txt", 3, "latin.txt is not UTF-8: bad byte at offset 14"),
        ("nowhere.txt", 3, missing.to_str().unwrap()),
    ] {
        let corpus = format!("data.training_corpus={corpus}");
        let ran = train(&place, &[&corpus]).ended(code);
        assert_eq!(ran.says(&[words]).stdout, "");
    }
    let short = ["data.training_corpus=short.txt", "data.validation_fraction=0"];
    let _ = train(&place, &short).ended(3).says(&["do not fill one chunk of 16"]);
    assert!(!place.path("runs/tiny/provenance.json").exists());
}

#[test]
fn test_errors__vocabularies_that_cannot_be_are_refused() {
    let place = Workplace::new();
    let small = train(&place, &["tokenizer.vocab_size=10"]).ended(2);
    let _ = small.says(&["tokenizer.vocab_size", "260"]);
    let _ = train(&place, &["tokenizer.vocab_size=1099511627776"]).ended(2);
    let characters = ["tokenizer.tokenizer_type=character", "tokenizer.vocab_size=9"];
    let more = train(&place, &characters).ended(2);
    let _ = more.says(&["tokenizer.vocab_size is 9", "characters and 4 special tokens"]);
    let enough = ["tokenizer.tokenizer_type=character", "tokenizer.vocab_size=60"];
    let _ = train(&place, &enough).ok();
}

#[test]
fn test_errors__sizes_beyond_the_machine_are_refused_before_anything_is_made() {
    let place = Workplace::new();
    for set in [
        "model.transformer.layers=2147483648",
        "tokenizer.vocab_size=1099511627776",
        "data.max_sequence_length=1000000000",
        "data.batch_size=18446744073709551615",
        "model.transformer.intermediate_hidden_size=9223372036854775807",
    ] {
        for command in ["explain", "train", "validate-config", "train-tokenizer", "explain --data"]
        {
            let call = format!("{command} tiny.yaml --set {set}");
            assert_eq!(place.foundry(&call).ended(2).stdout, "", "{call}");
        }
    }
    assert!(!place.path("runs").exists() && !place.path(".foundry").exists());
}

#[test]
fn test_errors__numbers_that_explode_end_with_5_and_a_state_to_look_at() {
    let place = Workplace::new();
    let set = ["training.learning_rate=1e30", "training.warmup_ratio=0", "training.train_steps=8"];
    let ran = train(&place, &set).ended(5);
    let _ = ran.says(&["is not finite", "resume with:", "data rows"]);
    assert!(place.path("runs/tiny/checkpoint-1/MANIFEST.json").exists());
}

#[test]
fn test_errors__an_output_folder_that_cannot_be_or_is_not_ours_is_left_alone() {
    let place = Workplace::new();
    let below_a_file = train(&place, &["training.output_dir=corpus.txt/run"]).ended(1);
    let _ = below_a_file.says(&["corpus.txt/run"]);
    if cfg!(target_os = "linux") {
        let _ = train(&place, &["training.output_dir=/proc/run"]).ended(1).says(&["/proc/run"]);
    }
    place.write("mine/thesis.txt", b"years of work");
    for flag in ["", "--resume", "--overwrite"] {
        let call = format!("train tiny.yaml --set training.output_dir=mine {flag}");
        let _ = place.foundry(&call).ended(2).says(&["thesis.txt", "not a run folder"]);
    }
    assert_eq!(place.read("mine/thesis.txt"), b"years of work");
}

/// Whoever may write anywhere is no test of this: then the call is made by nobody.
#[test]
#[cfg(target_os = "linux")]
fn test_errors__a_folder_that_may_not_be_written_to_loses_nothing() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65_534;
    let place = Workplace::new();
    let _ = train(&place, &[]).ok();
    let program = place.path("foundry");
    std::fs::copy(foundry_tests::binary::binary(), &program).unwrap();
    let files = place.files("runs");
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let folders = || [place.folder().to_owned(), place.path("runs"), place.path("runs/tiny")];
    folders().iter().for_each(|folder| mode(folder, 0o555));
    let call = |call: &str| {
        let mut command = std::process::Command::new(&program);
        if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.current_dir(place.folder()).args(call.split(' '));
        watch(call, &mut assert_cmd::Command::from_std(command))
    };
    let longer = "--set training.train_steps=6 --allow-change training.train_steps";
    let resumed = call(&format!("train tiny.yaml --resume {longer}"));
    let anew = call("train tiny.yaml --overwrite");
    let other = call("train tiny.yaml --set training.output_dir=runs/other");
    folders().iter().for_each(|folder| mode(folder, 0o755));
    for (ran, named) in [(resumed, "runs/tiny"), (anew, "runs/tiny"), (other, "runs/other")] {
        assert_eq!(ran.stdout, "");
        let _ = ran.ended(1).says(&["error: ", named, "ermission denied"]);
    }
    assert_eq!(place.files("runs"), files);
}

#[test]
fn test_errors__a_damaged_checkpoint_is_seen_and_passed_over() {
    let place = Workplace::new();
    let _ = train(&place, &[]).ok();
    let damage = |name: &str| {
        let mut bytes = place.read(name);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        place.write(name, &bytes);
    };
    damage("runs/tiny/checkpoint-4/model.safetensors");
    let _ = place.foundry("generate runs/tiny/checkpoint-4").ended(3).says(&["checkpoint-4"]);
    let _ = place.foundry("generate runs/tiny").ok().says(&["passed over", "checkpoint-4"]);
    for n in [0, 1, 2] {
        damage(&format!("runs/tiny/checkpoint-{n}/model.safetensors"));
    }
    let _ = place.foundry("generate runs/tiny").ended(3);
    let _ = place.foundry("generate nowhere").ended(3).says(&["nowhere is not there"]);
    let _ = place.foundry("generate corpus.txt").ended(3).says(&["corpus.txt is a file"]);
}

#[test]
fn test_errors__a_damaged_cache_never_shapes_a_model() {
    let place = Workplace::new();
    let _ = train(&place, &[]).ok();
    let model = place.read("runs/tiny/checkpoint-4/model.safetensors");
    for (path, content) in place.files(".foundry/cache") {
        let mut damaged = content.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        let ran = train(&place, &["training.output_dir=runs/again"]);
        if ran.code == 0 {
            let again = place.read("runs/again/checkpoint-4/model.safetensors");
            assert_eq!(again, model, "{}", path.display());
        } else {
            let _ = ran.ended(3);
        }
        if place.path("runs/again").exists() {
            std::fs::remove_dir_all(place.path("runs/again")).unwrap();
        }
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &content).unwrap();
    }
}

#[test]
fn test_errors__a_run_is_not_resumed_with_another_tokenizer() {
    let place = Workplace::new();
    let _ = train(&place, &[]).ok();
    let other = ["tokenizer.output_dir=other", "tokenizer.vocab_size=280"];
    let _ =
        place.foundry_args(["train-tokenizer", "tiny.yaml"].into_iter().chain(with(&other))).ok();
    place.write("runs/tiny/tokenizer/tokenizer.json", &place.read("other/tokenizer.json"));
    let model = place.files("runs/tiny/checkpoint-4");
    let call =
        "train tiny.yaml --resume --set training.train_steps=6 --allow-change training.train_steps";
    let _ = place.foundry(call).ended(3).says(&["is not what the checkpoint was trained with"]);
    assert_eq!(place.files("runs/tiny/checkpoint-4"), model);
}

#[test]
#[cfg(target_os = "linux")]
fn test_errors__a_full_disk_loses_no_checkpoint() {
    let place = Workplace::new();
    let _ = train(&place, &[]).ok();
    let saved = place.files("runs/tiny/checkpoint-4");
    // The size that a file may have stands for the space that a disk has: 8 blocks are 4 or 8 KiB.
    let call =
        "train tiny.yaml --resume --set training.train_steps=6 --allow-change training.train_steps";
    let script = format!("ulimit -f 8; exec {} {call}", foundry_tests::binary::binary().display());
    let mut limited = assert_cmd::Command::new("sh");
    limited.current_dir(place.folder()).args(["-c", &script]);
    let ran = watch("ulimit -f 8", &mut limited).ended(1);
    let _ = ran.says(&["was not saved", "/runs/tiny/", "untouched", "--resume"]);
    assert_eq!(place.files("runs/tiny/checkpoint-4"), saved);
    let ran = place.foundry(&format!("{call} --json")).ok();
    assert_eq!(ran.json()["step"], 6, "with space again, it goes on");
    // Standard output on a full disk is an error too, and a reader that goes away is none.
    let script = format!("{} info >/dev/full", foundry_tests::binary::binary().display());
    let ran = watch("/dev/full", assert_cmd::Command::new("sh").args(["-c", &script])).ended(1);
    let _ = ran.says(&["cannot write to standard output"]);
    let script = format!("{} init | true", foundry_tests::binary::binary().display());
    let _ = watch("| true", assert_cmd::Command::new("sh").args(["-c", &script])).ok();
}

#[test]
fn test_errors__the_log_of_a_run_has_its_messages_and_its_end() {
    let place = Workplace::new();
    let _ = train(&place, &["logging.dir=diary"]).ok();
    let text = |name: &str| String::from_utf8(place.read(name)).unwrap();
    let log = text("runs/tiny/log.txt");
    assert!(log.contains(" DEBUG    step 4/4  loss ") && log.contains(" INFO     == training"));
    let _ = train(&place, &["logging.dir=diary", "data.training_corpus=nowhere.txt"]).ended(2);
    let diary = text("diary/tiny.log");
    assert!(diary.starts_with(&log[..20]) || diary.contains("== training"));
    assert!(diary.contains(" ERROR    error: "), "{diary}");
    // A log in the way of something else stops nobody.
    place.write("file", b"");
    let again = ["logging.dir=file", "training.output_dir=runs/again"];
    let _ = train(&place, &again).ok().says(&["warning: cannot write", "goes on without it"]);
    let quiet = ["logging.console_level=ERROR", "logging.file_level=WARNING"];
    let ran = place
        .foundry_args(["train", "tiny.yaml", "--overwrite"].into_iter().chain(with(&quiet)))
        .ok();
    assert_eq!(ran.stderr, "");
    assert_eq!(text("runs/tiny/log.txt"), "");
}

#[test]
fn test_errors__data_workers_change_no_bit() {
    let place = Workplace::new();
    let model = |workers: &str| {
        let set = [workers, "training.gradient_accumulation_steps=2", "data.batch_size=100"];
        let call = ["train", "tiny.yaml", "--overwrite"].into_iter().chain(with(&set));
        let _ = place.foundry_args(call).ok();
        place.read("runs/tiny/checkpoint-4/model.safetensors")
    };
    let alone = model("data.num_workers=0");
    assert_eq!(model("data.num_workers=1"), alone);
    assert_eq!(model("data.num_workers=3"), alone);
}

/// A small generator of choices: the same every time.
struct Choices(u64);

impl Choices {
    fn below(&mut self, n: usize) -> usize {
        // Knuth's MMIX generator; its upper bits are good enough here.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

const FIELDS: [&str; 44] = [
    "experiment_name",
    "random_seed",
    "device",
    "threads",
    "precision",
    "data",
    "data.training_corpus",
    "data.synthetic",
    "data.unit",
    "data.validation_fraction",
    "data.validation_split",
    "data.batch_size",
    "data.max_sequence_length",
    "data.packing",
    "data.boundary_token",
    "data.max_loss_fraction",
    "data.num_workers",
    "tokenizer.output_dir",
    "tokenizer.vocab_size",
    "tokenizer.tokenizer_type",
    "tokenizer.min_frequency",
    "tokenizer.special_tokens",
    "model",
    "model.architecture",
    "model.transformer.layers",
    "model.transformer.hidden_size",
    "model.transformer.dropout",
    "model.transformer.activation_function",
    "model.rnn.hidden_size",
    "training.output_dir",
    "training.learning_rate",
    "training.lr_scheduler",
    "training.warmup_steps",
    "training.train_steps",
    "training.epochs",
    "training.train_tokens",
    "training.time_limit",
    "training.max_grad_norm",
    "training.checkpoint_schedule",
    "training.log_base",
    "evaluation.every_steps",
    "evaluation.suites",
    "logging.dir",
    "no.such.field",
];

const HOSTILE: [&str; 28] = [
    "",
    "null",
    "~",
    "-1",
    "0",
    "1",
    "18446744073709551616",
    "1e308",
    "-0.0",
    ".nan",
    ".inf",
    "true",
    "''",
    "\"\\0\"",
    "\u{1F600}",
    "../../etc",
    "/",
    "[]",
    "[0, -1, a]",
    "{a: b}",
    "{",
    "]",
    "*anchor",
    "&a [*a]",
    "!!binary x",
    "a\nb: c",
    "2147483648",
    "%",
];

const FLAGS: [&str; 24] = [
    "--json",
    "--set",
    "--set=",
    "--resume",
    "--overwrite",
    "--device",
    "cpu",
    "--threads",
    "99999999999",
    "-1",
    "--dry-run",
    "--prompt",
    "\u{FFFD}",
    "--stride",
    "--template",
    "-o",
    "--",
    "-",
    "--seed",
    "--temperature",
    "nan",
    "--top-k",
    "--max-tokens",
    "nowhere",
];

/// A shipped configuration with one to three wounds.
fn wounded(choices: &mut Choices, texts: &[String]) -> Vec<u8> {
    let mut text = texts[choices.below(texts.len())].clone().into_bytes();
    for _ in 0..=choices.below(3) {
        let at = choices.below(text.len().max(1)).min(text.len().saturating_sub(1));
        match choices.below(6) {
            0 => text.truncate(at),
            1 => drop(text.splice(at..at, HOSTILE[choices.below(HOSTILE.len())].bytes())),
            2 => drop(text.drain(at..(at + 1 + choices.below(40)).min(text.len()))),
            3 => text[at] = [0, b'\t', b':', b'-', 0xff, b'{', b'"', b'#'][choices.below(8)],
            4 => text.extend_from_within(at..),
            _ => drop(text.splice(
                at..at,
                [b"\n".as_slice(), b"  ", b": "][choices.below(3)].iter().copied(),
            )),
        }
        if text.is_empty() {
            break;
        }
    }
    text
}

#[test]
fn test_errors__five_hundred_broken_calls_end_in_words() {
    let place = Workplace::new();
    let mut texts: Vec<_> = std::fs::read_dir(workspace().join("configs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    texts.sort();
    let texts: Vec<_> = texts.iter().map(|p| std::fs::read_to_string(p).unwrap()).collect();
    let commands = [
        "train",
        "run",
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
        "gradcheck",
        "info",
        "init",
        "nothing",
    ];
    let mut choices = Choices(20);
    let mut codes = std::collections::BTreeMap::new();
    for i in 0..500 {
        // Every call is watched for panics, hangs and exit codes.
        let ran = match i % 5 {
            0 | 1 => {
                place.write("wounded.yaml", &wounded(&mut choices, &texts));
                let command = choices.of(&["validate-config", "train --dry-run"]);
                place.foundry(&format!("{command} wounded.yaml"))
            }
            2 | 3 => {
                let (field, value) = (choices.of(&FIELDS), choices.of(&HOSTILE));
                let set = format!("{field}={value}");
                let call = ["train", "tiny.yaml", "--dry-run", "--json", "--set", &set];
                place.foundry_args(call)
            }
            _ => {
                let mut call = vec![choices.of(&commands)];
                // Without a configuration that is there, so that none of them works for long.
                for _ in 0..choices.below(5) {
                    call.push(choices.of(&FLAGS));
                }
                if call[0] == "gradcheck" {
                    call.push("no-such-operation");
                }
                place.foundry_args(call)
            }
        };
        assert_eq!(ran.code == 0, !ran.stderr.contains("error: "), "{ran:#?}");
        *codes.entry(ran.code).or_insert(0) += 1;
    }
    assert!(codes.keys().all(|code| [0, 2, 3].contains(code)), "{codes:?}");
    assert!(codes[&2] > 200, "{codes:?}");
}
