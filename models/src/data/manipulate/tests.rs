use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use super::*;
use crate::config::ManipulationStep;
use crate::config::choices::Choice;
use crate::test_data::data;

const DOGS: &str = "The dog sees a cat.\n\nit's an A.\nA  big\tapple\r\nlast line";

/// A folder with `raw/` and whatever else a test puts there.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new(files: &[(&str, &str)]) -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = desk.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        desk
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
    /// The files below a folder.
    fn list(&self, name: &str) -> Vec<String> {
        files::tree(&self.path(name)).unwrap().into_keys().collect()
    }
    fn step(
        &self,
        kind: &str,
        input: &str,
        output: &str,
        parameters: Value,
    ) -> Result<Step, ManipulationError> {
        let parameters: BTreeMap<String, Value> = serde_json::from_value(parameters).unwrap();
        let config = ManipulationStep {
            kind: Manipulation::parse(kind).unwrap(),
            input_path: self.path(input),
            output_path: self.path(output),
            parameters,
        };
        Step::new(usize::from(kind == "command"), &config, 42)
    }
    fn run(&self, kind: &str, parameters: Value) -> Result<StepReport, ManipulationError> {
        self.run_to("raw", "out", kind, parameters, Mode::Keep)
    }
    fn run_to(
        &self,
        input: &str,
        output: &str,
        kind: &str,
        parameters: Value,
        mode: Mode,
    ) -> Result<StepReport, ManipulationError> {
        let steps = [self.step(kind, input, output, parameters)?];
        Ok(run_steps(&steps, mode, &mut ignore)?.remove(0))
    }
    fn pool(&self) -> Value {
        json!(self.path("pool").to_str().unwrap())
    }
}

fn ignore(_: Event<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn text_of(error: Result<impl std::fmt::Debug, ManipulationError>) -> String {
    error.unwrap_err().to_string()
}

#[test]
fn test_words__articles_go_and_every_other_byte_stays() {
    let desk = Desk::new(&[("raw/x.train", DOGS), ("raw/notes.md", "the")]);
    let report = desk.run("remove_articles", json!({})).unwrap();
    assert_eq!(desk.read("out/x.train"), "dog sees cat.\n\nit's.\nbig\tapple\r\nlast line");
    let record = report.provenance.unwrap();
    let counts = Counts { matched: 5, removed: 5, replaced: 0, sentence_starts: 2 };
    assert_eq!(record.totals.counts, counts);
    let file = &record.files[0];
    assert_eq!((file.original_tokens, file.tokens_removed, file.tokens), (13, 5, 8));
    assert_eq!((file.original_lines, file.lines), (5, 5));
    assert_eq!(desk.list("out"), ["provenance.json", "x.train"]);
}

#[test]
fn test_words__only_whole_words_are_removed() {
    let text = "it's it a.m. a IT mother-in-law in x_a à\n";
    let desk = Desk::new(&[("raw/x.txt", text)]);
    desk.run("remove_words", json!({"words": ["it", "a", "in"]})).unwrap();
    assert_eq!(desk.read("out/x.txt"), "it's a.m. mother-in-law x_a à\n");
    let same = json!({"words": "it", "case_sensitive": true});
    desk.run_to("raw", "sensitive", "remove_words", same, Mode::Keep).unwrap();
    assert_eq!(desk.read("sensitive/x.txt"), "it's a.m. a IT mother-in-law in x_a à\n");
}

#[test]
fn test_words__replacements_take_the_case_over() {
    let desk = Desk::new(&[("raw/x.txt", "This THIS this I saw Those dogs.\n")]);
    let parameters = json!({"replacements": {"this": "the", "those": "the", "i": "me"}});
    let report = desk.run("replace_words", parameters).unwrap();
    assert_eq!(desk.read("out/x.txt"), "The THE the Me saw The dogs.\n");
    assert_eq!(report.provenance.unwrap().totals.counts.replaced, 5);
}

#[test]
fn test_regex__groups_and_anchors_work_line_by_line() {
    let desk = Desk::new(&[("raw/x.txt", "ab 12\r\nno\nab 34")]);
    let parameters = json!({"pattern": r"^(\w+) (\d+)$", "replacement": "${2}x $1"});
    let report = desk.run("regex_replace", parameters).unwrap();
    assert_eq!(desk.read("out/x.txt"), "12x ab\r\nno\n34x ab");
    assert_eq!(report.provenance.unwrap().totals.counts.matched, 2);
}

#[test]
fn test_parameters__mistakes_name_step_field_and_remedy() {
    let desk = Desk::new(&[("raw/x.txt", "a\n")]);
    let cases = [
        (
            "remove_words",
            json!({"word": ["a"], "words": "b"}),
            "parameters.word: Unknown parameter 'word'; did you mean 'words'?",
        ),
        ("remove_words", json!({}), "parameters.words: name the words to remove"),
        ("remove_words", json!({"words": [1]}), "must be a text or a list of texts, not [1]"),
        ("remove_words", json!({"words": "two words"}), "is not one word"),
        (
            "remove_words",
            json!({"words": "a", "case_sensitive": "yes"}),
            "must be true or false, not \"yes\"",
        ),
        ("replace_words", json!({"replacements": {"a": ""}}), "use remove_words"),
        ("replace_words", json!({"replacements": {"a": "x", "A": "y"}}), "twice"),
        (
            "regex_replace",
            json!({"pattern": "(", "replacement": ""}),
            "parameters.pattern: regex parse error",
        ),
        ("regex_replace", json!({"pattern": "a"}), "parameters.replacement"),
        (
            "regex_replace",
            json!({"pattern": "(a)", "replacement": "$1x"}),
            "write ${1}x for group 1",
        ),
        (
            "regex_replace",
            json!({"pattern": "(a)", "replacement": "$2"}),
            "the pattern has 1 groups",
        ),
        ("regex_replace", json!({"pattern": "a", "replacement": "5 $"}), "write $$"),
        ("regex_replace", json!({"pattern": "a", "replacement": "\n"}), "line break"),
        (
            "regex_replace",
            json!({"pattern": "(a{900}){900}", "replacement": ""}),
            "exceeds size limit",
        ),
        ("lemmatize_verbs", json!({"spacy_model": "en"}), "give CoNLL-U parses"),
        ("lemmatize_verbs", json!({"chunk_size": 1000}), "not needed"),
        ("remove_expletives", json!({"heads": "noun"}), "must be verb or any"),
        ("remove_articles", json!({"seed": 3}), "changes nothing without replacement_pool_dir"),
        (
            "remove_articles",
            json!({"replacement_pol_dir": "x"}),
            "did you mean 'replacement_pool_dir'?",
        ),
        ("command", json!({}), "parameters.program: name the program"),
        ("command", json!({"program": {"a": 1}}), "must be a text or a list of texts"),
        (
            "command",
            json!({"program": "x", "list": [1]}),
            "parameters.list: must be a text, a number",
        ),
        ("command", json!({"program": "x", "--v": true}), "is no flag"),
        ("command", json!({"program": "x", "output_dir": "y"}), "is set from output_path"),
    ];
    for (kind, parameters, words) in cases {
        let message = text_of(desk.step(kind, "raw", "out", parameters.clone()));
        let at = format!("dataset_manipulation.{}.parameters.", usize::from(kind == "command"));
        assert!(message.starts_with(&at), "{message}");
        assert!(message.contains(words), "{kind} {parameters}: {message}");
    }
}

#[test]
fn test_d26__a_missing_input_is_an_error_and_no_file_is_skipped() {
    let pool = json!("nowhere");
    let desk =
        Desk::new(&[("raw/x.train", "the dog\n"), ("empty/x.md", ""), ("pool/x.txt", "a b\n")]);
    let run = |input: &str, parameters| {
        desk.run_to(input, "out", "remove_articles", parameters, Mode::Keep)
    };
    assert!(text_of(run("nowhere", json!({}))).contains("input_path: "));
    assert!(text_of(run("empty", json!({}))).contains("no .train and no .txt"));
    assert!(
        text_of(run("raw", json!({"replacement_pool_dir": pool})))
            .contains("whole folder is missing")
    );
    let message = text_of(run("raw", json!({"replacement_pool_dir": desk.pool()})));
    assert!(message.contains("the pool has x.txt: it must have the name of the text"), "{message}");
    let error = run("raw", json!({"parses": desk.pool()})).unwrap_err();
    assert!(error.to_string().contains("x.conllu does not exist (nor x.train.conllu)"), "{error}");
    assert_eq!(error.exit_code(), 3);
    assert!(!desk.path("out").exists());
}

#[test]
fn test_d26__chained_steps_refill_from_the_remainder_under_its_own_name() {
    let lines = |n: usize, word: &str| {
        (0..n).map(|i| format!("the {word} this n{i}\n")).collect::<String>()
    };
    let desk =
        Desk::new(&[("raw/x.train", &lines(20, "dog")), ("pool/x.train", &lines(50, "pool"))]);
    let remainder = desk.path("one/replacement_pool_remainder");
    let steps = [
        desk.step("remove_articles", "raw", "one", json!({"replacement_pool_dir": desk.pool()}))
            .unwrap(),
        desk.step(
            "remove_words",
            "one",
            "two",
            json!({"words": "this", "replacement_pool_dir": remainder.to_str().unwrap()}),
        )
        .unwrap(),
    ];
    let reports = run_steps(&steps, Mode::Keep, &mut ignore).unwrap();
    let two = desk.read("two/x.train");
    // Both ablations hold in every line, the refilled ones of the second step included.
    assert!(!two.contains("the ") && !two.contains("this "), "{two}");
    let refills: Vec<_> = reports
        .iter()
        .map(|r| r.provenance.as_ref().unwrap().files[0].refill.clone().unwrap())
        .collect();
    assert_eq!((refills[0].lines_drawn, refills[0].lines_remaining), (7, 43));
    assert_eq!((refills[1].pool_lines, refills[1].lines_drawn), (43, 14));
    assert_eq!(
        desk.list("two"),
        ["provenance.json", "replacement_pool_remainder/x.train", "x.train"]
    );
}

#[test]
fn test_d25__refilled_lines_are_never_glued_and_never_lost() {
    let desk = Desk::new(&[
        ("raw/x.train", "the a dog\n\nthe end"),
        ("pool/x.train", "one the two\n\nthe\nthree four five\nsix"),
    ]);
    let report = desk.run("remove_articles", json!({"replacement_pool_dir": desk.pool()})).unwrap();
    let (out, rest) =
        (desk.read("out/x.train"), desk.read("out/replacement_pool_remainder/x.train"));
    let file = &report.provenance.unwrap().files[0];
    let refill = file.refill.as_ref().unwrap();
    assert!(
        out.starts_with("dog\n\nend\n") && out.ends_with('\n') && rest.ends_with('\n'),
        "{out:?}"
    );
    assert_eq!(out.lines().count() as u64, 3 + refill.lines_drawn);
    assert_eq!(file.lines, 3 + refill.lines_drawn);
    assert_eq!(rest.lines().count() as u64, refill.lines_remaining);
    assert_eq!((refill.pool_lines, refill.lines_drawn + refill.lines_remaining), (5, 5));
    assert!(file.tokens >= file.original_tokens);
    // Every line of the pool, ablated, is in exactly one of the two.
    let mut all: Vec<&str> = out.lines().skip(3).chain(rest.lines()).collect();
    all.sort_unstable();
    assert_eq!(all, ["", "", "one two", "six", "three four five"]);
}

#[test]
fn test_refill__a_pool_that_is_used_up_is_an_error_unless_allowed() {
    let desk = Desk::new(&[("raw/x.train", "the a the a\nx\n"), ("pool/x.train", "the one\n")]);
    let mut parameters = json!({"replacement_pool_dir": desk.pool()});
    let error = desk.run("remove_articles", parameters.clone()).unwrap_err();
    assert!(matches!(error, ManipulationError::PoolShort { missing: 3, wanted: 5, .. }), "{error}");
    assert!(!desk.path("out/provenance.json").exists());
    parameters["allow_short"] = json!(true);
    // What the failed run left is incomplete and is made again without being asked.
    let report = desk.run("remove_articles", parameters).unwrap();
    assert_eq!(report.outcome, Outcome::Done);
    assert!(report.warnings[0].contains("3 tokens are missing"), "{:?}", report.warnings);
    assert!(!desk.path("out/.incomplete").exists());
}

#[test]
fn test_run__a_step_is_done_once_and_nothing_is_overwritten_unasked() {
    let desk = Desk::new(&[("raw/x.train", "the dog\n"), ("raw/y.train", "a cat\n")]);
    let run = |mode| desk.run_to("raw", "out", "remove_articles", json!({}), mode);
    let first = run(Mode::Keep).unwrap();
    assert_eq!(first.outcome, Outcome::Done);
    let second = run(Mode::Keep).unwrap();
    assert_eq!(second.outcome, Outcome::UpToDate);
    assert_eq!(second.provenance, first.provenance);

    fs::write(desk.path("raw/x.train"), "the fox\n").unwrap();
    let error = run(Mode::Keep).unwrap_err();
    assert!(error.to_string().contains("--overwrite") && error.exit_code() == 2, "{error}");
    assert_eq!(desk.read("out/x.train"), "dog\n");
    // A file that the corpus has lost is not left behind to be trained on.
    fs::remove_file(desk.path("raw/y.train")).unwrap();
    assert_eq!(run(Mode::Overwrite).unwrap().outcome, Outcome::Done);
    assert_eq!(desk.list("out"), ["provenance.json", "x.train"]);
    assert_eq!(desk.read("out/x.train"), "fox\n");

    fs::write(desk.path("out/x.train"), "edited by hand\n").unwrap();
    assert!(text_of(run(Mode::Keep)).contains("has changed since"));
}

#[test]
fn test_run__strangers_in_the_output_folder_are_refused() {
    let desk = Desk::new(&[
        ("raw/x.train", "the dog\n"),
        ("out/old.train", "the old\n"),
        ("raw2/x.train", "b"),
    ]);
    let message = text_of(desk.run("remove_articles", json!({})));
    assert!(message.contains("holds old.train"), "{message}");
    assert_eq!(desk.list("out"), ["old.train"]);
    let same = text_of(desk.step("remove_articles", "raw", "raw", json!({})));
    assert!(same.contains("never writes over what it reads"), "{same}");
    let step = |input| desk.step("remove_articles", input, "both", json!({})).unwrap();
    let twice = text_of(run_steps(&[step("raw"), step("raw2")], Mode::Keep, &mut ignore));
    assert!(twice.contains("of a step before"), "{twice}");
}

/// Training would read them, and a step would read their markup as words.
#[test]
fn test_run__json_lines_are_refused_and_not_left_out() {
    let record = "{\"text\": \"the dog\"}\n";
    let desk = Desk::new(&[("raw/x.train", "the dog\n"), ("raw/y.jsonl", record)]);
    for input in ["raw", "raw/y.jsonl"] {
        let message = text_of(desk.run_to(input, "new", "remove_articles", json!({}), Mode::Keep));
        assert!(message.contains("y.jsonl is JSON Lines"), "{message}");
        assert!(!desk.path("new").exists());
    }
    let desk = Desk::new(&[("raw/x.train", "the dog\n"), ("out/y.jsonl", record)]);
    let message = text_of(desk.run("remove_articles", json!({})));
    assert!(message.contains("holds y.jsonl"), "{message}");
}

#[test]
fn test_run__a_single_file_goes_to_a_file_or_into_a_folder() {
    let desk = Desk::new(&[("raw/x.train", "\u{FEFF}the dog\n")]);
    let run = |output| {
        desk.run_to("raw/x.train", output, "remove_articles", json!({}), Mode::Keep).unwrap()
    };
    run("deep/y.txt");
    run("folder");
    assert_eq!(desk.list("deep"), ["y.txt", "y.txt.provenance.json"]);
    assert_eq!(desk.list("folder"), ["provenance.json", "x.train"]);
    assert_eq!(desk.read("deep/y.txt"), "\u{FEFF}dog\n");
    assert_eq!(run("deep/y.txt").outcome, Outcome::UpToDate);
    // Beside its input, where other texts lie, a single file is at home.
    run("raw/y.train");
    assert_eq!(desk.list("raw"), ["x.train", "y.train", "y.train.provenance.json"]);
}

#[test]
fn test_provenance__is_the_same_twice_and_names_no_place() {
    let desk = Desk::new(&[
        ("raw/x.train", "the dog sees a cat\n"),
        ("pool/x.train", "one two three four\n"),
    ]);
    let parameters = json!({"replacement_pool_dir": desk.pool()});
    desk.run_to("raw", "one", "remove_articles", parameters.clone(), Mode::Keep).unwrap();
    desk.run_to("raw", "two", "remove_articles", parameters, Mode::Keep).unwrap();
    let json = desk.read("one/provenance.json");
    assert_eq!(json, desk.read("two/provenance.json"));
    assert!(!json.contains(desk.0.path().to_str().unwrap()) && !json.contains("/home"), "{json}");
    let record: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(record["seed"], json!(42));
    assert_eq!(record["parameters"]["replacement_pool_dir"], "pool");
    let hash = blake3::hash(b"the dog sees a cat\n").to_hex().to_string();
    assert_eq!(record["inputs"]["text"][0]["blake3"], json!(hash));
    assert_eq!(record["outputs"]["remainder"][0]["name"], "replacement_pool_remainder/x.train");
    assert_eq!(record["files"][0]["tokens_removed"], json!(2));
}

#[test]
fn test_run__text_that_loses_everything_is_an_error_and_no_match_a_warning() {
    let desk = Desk::new(&[
        ("raw/x.train", "the\na\n"),
        ("other/x.train", "dog\n"),
        ("blank/x.train", "\n"),
    ]);
    let run = |input, output| desk.run_to(input, output, "remove_articles", json!({}), Mode::Keep);
    assert!(text_of(run("raw", "o1")).contains("every word was removed"));
    assert!(text_of(run("blank", "o2")).contains("holds no text"));
    assert!(run("other", "o3").unwrap().warnings[0].contains("nothing in the text matched"));
    fs::write(desk.path("other/x.train"), b"caf\xE9").unwrap();
    let error = run("other", "o4").unwrap_err();
    assert!(error.to_string().contains("offset 3") && error.exit_code() == 3, "{error}");
    assert_eq!(desk.list("o4"), [".incomplete"]);
}

#[test]
fn test_dry_run__says_everything_and_writes_nothing() {
    let desk = Desk::new(&[("raw/x.train", "the dog\n"), ("pool/x.train", "one two\n")]);
    let steps = [
        desk.step("remove_articles", "raw", "one", json!({"replacement_pool_dir": desk.pool()}))
            .unwrap(),
        desk.step(
            "command",
            "one",
            "two",
            json!({"program": ["python3", "my script.py"], "n": 3, "deep": true, "not": false}),
        )
        .unwrap(),
    ];
    let reports = run_steps(&steps, Mode::DryRun, &mut ignore).unwrap();
    let plan: String = reports.iter().map(|r| r.plan.as_str()).collect();
    for words in [
        "step 1 of 2: remove_articles",
        "1 file, 8 bytes: x.train",
        "seed 42",
        "(new)",
        "step 2 of 2: command",
        "made by a step before",
        "[DRY RUN] Would execute: python3 'my script.py' --input_dir ",
        "--deep --n 3",
    ] {
        assert!(plan.contains(words), "{words:?} is missing from\n{plan}");
    }
    // A pool that a step before would leave is not missing either.
    let remainder = desk.path("one/replacement_pool_remainder");
    let chained = json!({"words": "dog", "replacement_pool_dir": remainder.to_str().unwrap()});
    let steps = [
        desk.step("remove_articles", "raw", "one", json!({})).unwrap(),
        desk.step("remove_words", "raw", "two", chained).unwrap(),
    ];
    assert_eq!(run_steps(&steps, Mode::DryRun, &mut ignore).unwrap()[1].outcome, Outcome::Planned);
    assert!(run_steps(&steps[1..], Mode::DryRun, &mut ignore).is_err());
    assert!(!plan.contains("--not"));
    assert!(!desk.path("one").exists() && !desk.path("two").exists());
    assert!(reports.iter().all(|r| r.outcome == Outcome::Planned));
}

#[test]
fn test_run__an_observer_can_stop_it() {
    let desk = Desk::new(&[("raw/x.train", &"the dog\n".repeat(400_000))]);
    let step = [desk.step("remove_articles", "raw", "out", json!({})).unwrap()];
    let mut seen = 0;
    let stop = run_steps(&step, Mode::Keep, &mut |event| {
        seen += u32::from(matches!(event, Event::Progress { .. }));
        if seen > 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(stop.unwrap_err().exit_code(), 75);
    assert_eq!(desk.list("out"), [".incomplete"]);
    assert_eq!(run_steps(&step, Mode::Keep, &mut ignore).unwrap()[0].outcome, Outcome::Done);
}

#[cfg(unix)]
mod command {
    use super::*;

    /// A shell script as the external program.
    fn script(desk: &Desk, body: &str) -> Value {
        let path = desk.path("run me.sh");
        fs::write(&path, body).unwrap();
        json!(["/bin/sh", path.to_str().unwrap()])
    }

    #[test]
    fn test_command__gets_folders_and_flags_and_no_shell() {
        let desk = Desk::new(&[("raw/x.train", "the dog\n")]);
        let body = "for a in \"$@\"; do echo \"$a\"; done > \"$4/args.txt\"; echo hello; \
                    sed s/the/THE/ \"$2/x.train\" > \"$4/x.train\"";
        let program = script(&desk, body);
        let parameters = json!({
            "program": program, "text": "$HOME; `rm x` *", "verbose": true, "quiet": false, "n": 0.5
        });
        let steps = [desk.step("command", "raw", "out", parameters).unwrap()];
        let mut said = Vec::new();
        let mut listen = |event: Event<'_>| {
            if let Event::Said { line } = event {
                said.push(line.to_owned());
            }
            ControlFlow::Continue(())
        };

        let report = run_steps(&steps, Mode::Keep, &mut listen).unwrap().remove(0);

        let (input, output) = (desk.path("raw"), desk.path("out"));
        let expected = format!(
            "--input_dir\n{}\n--output_dir\n{}\n--n\n0.5\n--text\n$HOME; `rm x` *\n--verbose\n",
            input.display(),
            output.display()
        );
        assert_eq!(desk.read("out/args.txt"), expected);
        assert_eq!(desk.read("out/x.train"), "THE dog\n");
        assert_eq!(said, ["hello"]);
        let written: Vec<_> =
            report.provenance.unwrap().outputs["text"].iter().map(|f| f.name.clone()).collect();
        assert_eq!(written, ["args.txt", "x.train"]);
        assert_eq!(
            run_steps(&steps, Mode::Keep, &mut ignore).unwrap()[0].outcome,
            Outcome::UpToDate
        );
    }

    #[test]
    fn test_command__failure_shows_status_and_standard_error() {
        let desk = Desk::new(&[("raw/x.train", "the dog\n")]);
        let run = |program: Value| {
            desk.run_to("raw", "out", "command", json!({"program": program}), Mode::Overwrite)
        };
        let error = run(script(&desk, "echo 'No module named spacy' >&2; exit 3")).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("exit status: 3") && message.contains("No module named spacy"),
            "{message}"
        );
        assert_eq!(error.exit_code(), 1);
        let message = text_of(run(script(&desk, "exit 0")));
        assert!(message.contains("wrote no .train or .txt file"), "{message}");
        let message = text_of(run(script(&desk, ": > \"$4/x.train\"")));
        assert!(message.contains("wrote no .train or .txt file with text"), "{message}");
        // What it left is not mixed with what the next run writes.
        let again = desk.run("command", json!({"program": script(&desk, "exit 0")}));
        assert!(text_of(again).contains("holds x.train of a run that did not end"));
        let message = text_of(run(json!("python3 ablate.py")));
        assert!(message.contains("write program: [python3, ablate.py]"), "{message}");
        assert!(text_of(run(script(&desk, "kill -9 $$"))).contains("signal"));
    }

    #[test]
    fn test_command__stops_when_asked() {
        let desk = Desk::new(&[("raw/x.train", "the dog\n")]);
        let program = script(&desk, "echo begun; exec sleep 600");
        let steps = [desk.step("command", "raw", "out", json!({"program": program})).unwrap()];
        let stop = run_steps(&steps, Mode::Keep, &mut |event| match event {
            Event::Said { .. } => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
        assert!(matches!(stop, Err(ManipulationError::Stopped)));
    }
}

#[test]
fn test_run__parsed_ablations_chain_on_a_treebank() {
    let Some(path) = data("ud-english/en_childes-ud-dev.conllu") else { return };
    let parse = fs::read_to_string(path).unwrap();
    let blocks: Vec<String> = parse.split_inclusive("\n\n").map(str::to_owned).collect();
    let text = |blocks: &[String]| -> String {
        blocks
            .iter()
            .flat_map(|b| b.lines())
            .filter_map(|l| l.strip_prefix("# text = "))
            .map(|t| format!("{t}\n"))
            .collect()
    };
    let (main, pool) = blocks.split_at(1800);
    let desk = Desk::new(&[
        ("raw/x.train", &text(main)),
        ("raw/x.conllu", &main.concat()),
        ("pool/x.train", &text(pool)),
        ("pool/x.conllu", &pool.concat()),
    ]);
    let remainder = desk.path("one/replacement_pool_remainder");
    let steps = [
        desk.step("remove_expletives", "raw", "one", json!({"replacement_pool_dir": desk.pool()}))
            .unwrap(),
        desk.step(
            "remove_subject_pronominals",
            "one",
            "two",
            json!({"replacement_pool_dir": remainder.to_str().unwrap(), "repair_case": true}),
        )
        .unwrap(),
        desk.step("lemmatize_verbs", "two", "three", json!({})).unwrap(),
    ];
    let reports = run_steps(&steps, Mode::Keep, &mut ignore).unwrap();
    let files: Vec<_> =
        reports.iter().map(|r| r.provenance.as_ref().unwrap().files[0].clone()).collect();
    assert!(
        files[0].tokens >= files[0].original_tokens && files[1].tokens >= files[1].original_tokens
    );
    assert_eq!(files[1].original_lines, files[0].lines);
    assert!(files[1].counts.removed > 1000, "{:?}", files[1]);
    // In the last text's own parse, no subject pronoun and no expletive of a verb is left.
    let last = desk.read("three/x.conllu");
    assert!(!last.lines().any(|l| l.contains("\tPRON\t") && l.contains("\tnsubj\t")));
    // Its '# text' lines are the text, blank lines apart.
    let stated: Vec<&str> = last.lines().filter_map(|l| l.strip_prefix("# text = ")).collect();
    let text = desk.read("three/x.train");
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    assert_eq!(stated, lines);
}

#[test]
fn test_docs__the_examples_of_the_manual_are_steps() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/dataset_manipulation.md");
    let manual = fs::read_to_string(manual).unwrap();
    let mut kinds = Vec::new();
    for block in manual.split("```yaml\n").skip(1) {
        let yaml = block.split("```").next().unwrap();
        let value: BTreeMap<String, Vec<BTreeMap<String, Value>>> =
            serde_yaml::from_str(yaml).unwrap();
        for (i, step) in value["dataset_manipulation"].iter().enumerate() {
            let text = |name: &str| step[name].as_str().unwrap().to_owned();
            let config = ManipulationStep {
                kind: Manipulation::parse(&text("type")).unwrap(),
                input_path: text("input_path").into(),
                output_path: text("output_path").into(),
                parameters: serde_json::from_value(step["parameters"].clone()).unwrap(),
            };
            kinds.push(Step::new(i, &config, 1).unwrap().kind());
        }
    }
    assert_eq!(kinds.len(), 6);
    for name in Manipulation::NAMES {
        assert!(manual.contains(&format!("| `{name}` |")), "{name} is not in the manual");
    }
}
