//! Scores as a linguist asks for them, on the command line.

use approx::assert_abs_diff_eq;
use foundry_models::arch::{Size, build};
use foundry_models::config::choices::Activation;
use foundry_models::config::{ModelConfig, TransformerConfig};
use foundry_models::eval::{CausalScorer, Detail, Scorer, Sequence};
use foundry_models::storage::Disk;
use foundry_models::tensors::TensorFile;
use foundry_models::train::weights::load_model;
use foundry_tests::binary::Workplace;
use foundry_tests::{data, scoring};
use serde_json::Value;

/// A folder with a finished run, `runs/tiny`.
fn trained() -> Workplace {
    let place = Workplace::new();
    let _ = place.foundry("train tiny.yaml").ok();
    place
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// C5: one object a line; words add up to the sentence; perplexity by line is the sum of the sentences.
#[test]
fn test_evaluate__surprisal_of_tokens_and_words() {
    let place = trained();
    let sentences = "the cat sat.\n\n  a dog, ran   far \nThe dogs\n";
    place.write("sentences.txt", sentences.as_bytes());
    let ran = place.foundry("evaluate runs/tiny --surprisal sentences.txt --json").ok();
    let objects = lines(&ran.stdout);
    assert_eq!(objects.len(), 4, "one object a line");
    let mut total = 0.0;
    for (object, text) in objects.iter().zip(sentences.lines()) {
        assert_eq!(object["text"], text);
        let (ids, logprobs) = (numbers(&object["ids"]), numbers(&object["logprobs_nats"]));
        assert_eq!(ids.len(), logprobs.len() + 1, "all but the boundary token are scored");
        assert_eq!(object["tokens"].as_array().unwrap().len(), ids.len());
        let bits = numbers(&object["surprisal_bits"]);
        for (b, nats) in bits.iter().zip(&logprobs) {
            assert_abs_diff_eq!(*b, -nats / std::f64::consts::LN_2, epsilon = 1e-12);
        }
        let words = object["words"].as_array().unwrap();
        let names: Vec<_> = words.iter().map(|w| w["word"].as_str().unwrap()).collect();
        assert_eq!(names, text.split_whitespace().collect::<Vec<_>>());
        let of_words: f64 = words.iter().map(|w| w["surprisal_bits"].as_f64().unwrap()).sum();
        assert_abs_diff_eq!(of_words, bits.iter().sum::<f64>(), epsilon = 1e-9);
        assert_eq!(numbers(&object["entropy_bits"]).len(), bits.len());
        total -= logprobs.iter().sum::<f64>();
    }
    let call = "evaluate runs/tiny --perplexity sentences.txt --by-line --json";
    let p = place.foundry(call).ok().json();
    assert!((p["perplexity"]["nll_nats"].as_f64().unwrap() - total).abs() < 1e-4 * total);
    assert_eq!(p["perplexity"]["words"], 9);
    // The end of a sentence is scored only if asked for.
    let ran = place.foundry("evaluate runs/tiny --surprisal sentences.txt --json --score-end").ok();
    let with_end = &lines(&ran.stdout)[0];
    let scored = |o: &Value| numbers(&o["logprobs_nats"]).len();
    assert_eq!(scored(with_end), scored(&objects[0]) + 1);
    let ids = numbers(&with_end["ids"]);
    assert_eq!(ids.first(), ids.last(), "a sentence begins after the token that ends one");
}

#[test]
fn test_evaluate__regions_and_tidy_tables() {
    let place = trained();
    let stimuli = concat!(
        r#"{"item": 3, "condition": "plural", "regions": ["The dogs", "", "that ran", "sleep"]}"#,
        "\n",
        r#"{"text": "The \"dog\", sleeps"}"#,
        "\n"
    );
    place.write("stimuli.jsonl", stimuli.as_bytes());
    let call = "evaluate runs/tiny --surprisal stimuli.jsonl";
    let objects = lines(&place.foundry(&format!("{call} --json")).ok().stdout);
    assert_eq!(objects[0]["text"], "The dogs that ran sleep");
    assert_eq!(objects[0]["regions"].as_array().unwrap().len(), 4);
    assert_eq!(objects[0]["regions"][1]["surprisal_bits"], 0.0, "an empty region");
    let ran = place.foundry(&format!("{call} --all-checkpoints --tables out")).ok();
    let table = String::from_utf8(place.read("out/surprisal.csv")).unwrap();
    let mut rows = table.lines();
    let header = rows.next().unwrap();
    assert!(header.starts_with(
        "step,tokens_seen,words_seen,seed,scorer,first_token_scored,item,condition,region"
    ));
    assert!(ran.stdout.contains(header));
    let rows: Vec<&str> = rows.collect();
    let tokens: usize = objects.iter().map(|o| numbers(&o["logprobs_nats"]).len()).sum();
    assert_eq!(rows.len(), 4 * tokens, "a row for each token at steps 0, 1, 2 and 4");
    assert!(rows[0].starts_with("0,0,0,"), "{}", rows[0]);
    assert!(rows.last().unwrap().starts_with("4,"), "{:?}", rows.last());
    assert!(rows.iter().any(|r| r.contains(",3,plural,1,The dogs,2,dogs,")), "{table}");
}

/// C5: pairs of equal sentences are ties, and not right.
#[test]
fn test_evaluate__minimal_pairs_of_every_format_and_ties() {
    let place = trained();
    let blimp = |good: &str, bad: &str, uid: &str| {
        format!(
            "{{\"sentence_good\":\"{good}\",\"sentence_bad\":\"{bad}\",\"UID\":\"{uid}\",\"linguistics_term\":\"number\",\"pairID\":\"0\"}}\n"
        )
    };
    let ties = blimp("the cat sat.", "the cat sat.", "ties").repeat(7);
    place.write("pairs/ties.jsonl", ties.as_bytes());
    place.write("pairs/x.jsonl", blimp("the cat sat.", "Zq!;§~#", "x").as_bytes());
    place.write("pairs/number-y.txt", "Zq!;§~#\nthe cat sat.\n".as_bytes());
    let call = "evaluate runs/tiny --minimal-pairs pairs";
    let report = place.foundry(&format!("{call} --json --tables out")).ok().json();
    let scores = report["minimal_pairs"].as_array().unwrap();
    let of = |name: &str| scores.iter().find(|s| s["paradigm"] == name).unwrap();
    assert_eq!((&of("ties")["ties"], &of("ties")["right"]), (&7.into(), &0.into()));
    assert_eq!((&of("x")["ties"], &of("x")["right"]), (&0.into(), &1.into()));
    assert_eq!(of("number-y")["right"], 1);
    assert_eq!(report["phenomena"].as_array().unwrap().len(), 1);
    assert_eq!(report["all_pairs"]["pairs"], 9);
    let table = String::from_utf8(place.read("out/pairs.csv")).unwrap();
    assert_eq!(table.lines().count(), 10);
    assert_eq!(table.lines().filter(|l| l.ends_with(",0,1,NA,NA,NA")).count(), 7);
    let table = String::from_utf8(place.read("out/minimal_pairs.csv")).unwrap();
    let of_suite = table.lines().find(|l| l.contains(",suite,pairs,NA,NA,9,2,7,")).unwrap();
    assert!(of_suite.contains(",gpt2,1,suite,"), "first tokens are scored: {of_suite}");
    let all = place.foundry(&format!("{call} --json --all-checkpoints")).ok().json();
    let steps: Vec<_> =
        all["checkpoints"].as_array().unwrap().iter().map(|c| c["step"].clone()).collect();
    assert_eq!(steps, [0, 1, 2, 4]);
    assert_eq!(all["checkpoints"][3]["minimal_pairs"], report["minimal_pairs"]);
}

#[test]
fn test_evaluate__what_is_wrong_is_named() {
    let place = trained();
    place.write("bad.jsonl", b"{\"text\": \"a\"}\n{\"texts\": \"a\"}\n");
    place.write("latin.txt", b"caf\xe9\n");
    place.write("empty.txt", b"");
    let refused = |call: &str, code, words: &[&str]| {
        let _ = place.foundry(&format!("evaluate runs/tiny {call}")).ended(code).says(words);
    };
    refused("--surprisal bad.jsonl", 3, &["bad.jsonl:2", "text", "regions"]);
    refused("--surprisal latin.txt", 3, &["latin.txt:1", "UTF-8"]);
    refused("--surprisal empty.txt", 3, &["empty.txt is empty"]);
    refused("--surprisal nowhere.txt", 3, &["nowhere.txt"]);
    refused("--surprisal . ", 3, &["directory"]);
    refused("--surprisal latin.txt --stride 9999", 2, &["--stride 9999", "context"]);
}

/// A pipe to R or pandas gets a table and nothing else; headings stand beside it.
#[test]
fn test_evaluate__standard_output_of_surprisal_is_one_table() {
    let place = trained();
    place.write("sentences.txt", b"the cat sat.\na dog\n");
    place.write("pairs.txt", b"cat the sat\nthe cat sat\n");
    let call = "evaluate runs/tiny --surprisal sentences.txt --minimal-pairs pairs.txt";
    let ran = place.foundry(&format!("{call} --all-checkpoints --ngram 2 --slor")).ok();
    let ran =
        ran.says(&["checkpoint-0", "checkpoint-4", "kn2, of", "ties   0", "by SLOR", "% <unk>"]);
    let records = foundry_models::eval::table::parse(&ran.stdout).unwrap();
    let width = records[0].1.len();
    assert_eq!(records[0].1[0], "step");
    assert!(records.iter().all(|(_, fields)| fields.len() == width), "{}", ran.stdout);
    assert_eq!(records.iter().filter(|(_, fields)| fields[0] == "step").count(), 1);
    let scorers: std::collections::BTreeSet<_> =
        records[1..].iter().map(|(_, fields)| fields[4].as_str()).collect();
    assert_eq!(scorers.into_iter().collect::<Vec<_>>(), ["gpt2", "kn2"]);
}

/// A document is scored as it streams by: every token of the whole once, and every word; an export knows what a unit was.
#[test]
fn test_evaluate__a_document_is_one_stream_however_long() {
    let place = trained();
    let sets = "--set data.unit=document --set data.validation_split=tail \
                --set training.output_dir=runs/whole --set tokenizer.output_dir=runs/whole/tokenizer";
    let _ = place.foundry(&format!("train tiny.yaml {sets}")).ok();
    // Words and walls of letters around the places where long texts are cut.
    let text = format!("{} {} the\n\ncat sat\n", "ab ".repeat(30_000), "x".repeat(150_000));
    place.write("long.txt", text.as_bytes());
    let whole = foundry_models::pipeline::Trained::load(&place.path("runs/whole")).unwrap();
    let tokens = whole.tokenizer.encode(&text).unwrap().len();

    let score = |model: &str, text: &str| {
        let report = place.foundry(&format!("evaluate {model} --perplexity {text} --json")).ok();
        report.json()["perplexity"].clone()
    };
    let found = score("runs/whole", "long.txt");
    assert_eq!(found["tokens"], tokens + 1, "and the end of the document");
    assert_eq!(found["words"], text.split_whitespace().count());
    assert_eq!(found["bytes"], text.len());

    let _ = place.foundry("export runs/whole out/hf").ok();
    place.write("two.txt", b"the cat sat\na dog ran\n");
    assert_eq!(score("runs/whole", "two.txt"), score("out/hf", "two.txt"));
}

/// Nothing is printed or written before what is asked for has been found.
#[test]
fn test_evaluate__inputs_are_looked_at_first() {
    let place = trained();
    place.write("sentences.txt", b"the cat\n");
    place.write("empty.txt", b"");
    place.write("table.csv", b"text\nthe cat\n");
    place.write("list.json", b"[]");
    let here = place.path("nowhere").display().to_string();
    for (call, words) in [
        ("--perplexity nowhere", here.as_str()),
        ("--minimal-pairs nowhere", &here),
        ("--surprisal nowhere", &here),
        ("--syntaxgym nowhere", &here),
        ("--surprisal empty.txt", "is empty"),
        ("--surprisal table.csv", "mend: in Python, pandas.read_csv"),
        ("--surprisal list.json", "--syntaxgym"),
    ] {
        let call = format!("evaluate runs/tiny --all-checkpoints --tables out {call}");
        let ran = place.foundry(&call).ended(3).says(&[words]);
        assert_eq!(ran.stdout, "", "{call}");
        let left = std::fs::read_dir(place.path("out")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{call}");
    }
    // A pipe is read once, from its beginning.
    #[cfg(unix)]
    {
        let mut piped = place.command();
        piped.args(["evaluate", "runs/tiny", "--json", "--surprisal", "/dev/stdin"]);
        let ran = foundry_tests::binary::watch("a pipe", piped.write_stdin("the cat\na dog\n"));
        assert_eq!(lines(&ran.ok().stdout).len(), 2);
    }
    // A failure later leaves no half a table either.
    place.write("bad.jsonl", b"{\"text\": \"a\"}\n{\"texts\": \"a\"}\n");
    let _ = place.foundry("evaluate runs/tiny --surprisal bad.jsonl --tables out").ended(3);
    assert_eq!(std::fs::read_dir(place.path("out")).unwrap().count(), 0);
}

/// Where training had no token before a text, its first token has no score: every output says so.
#[test]
fn test_evaluate__without_a_boundary_every_report_says_so() {
    let place = Workplace::new();
    place.write("pairs.txt", b"cat the sat\nthe cat sat\n");
    place.write("words.txt", b"the cat\n");
    let sets = "--set data.boundary_token=none --set evaluation.suites=[pairs.txt]";
    let _ = place.foundry(&format!("train tiny.yaml {sets}")).ok();
    let html = String::from_utf8(place.read("runs/tiny/report.html")).unwrap();
    assert!(html.contains("The first token of a sentence is not scored"));
    let call = "evaluate runs/tiny --minimal-pairs pairs.txt --surprisal words.txt --tables out";
    let ran = place.foundry(call).ok().says(&["first tokens are not scored"]);
    let (header, row) = ran.stdout.split_once('\n').unwrap();
    let at = header.split(',').position(|c| c == "first_token_scored").unwrap();
    assert_eq!(row.split(',').nth(at), Some("0"));
    for table in ["out/pairs.csv", "out/minimal_pairs.csv", "runs/tiny/eval/pairs.csv"] {
        let table = String::from_utf8(place.read(table)).unwrap();
        assert!(table.lines().skip(1).all(|l| l.split(',').nth(at) == Some("0")), "{table}");
    }
    let report = place.foundry("evaluate runs/tiny --minimal-pairs pairs.txt --json").ok().json();
    assert_eq!(report["first_token_scored"], false);
    // A sentence of one token has no score at all, and would win.
    place.write("one.jsonl", b"{\"good\": \"t\", \"bad\": \"the cat\", \"item\": \"i7\"}\n");
    let refused = place.foundry("evaluate runs/tiny --minimal-pairs one.jsonl").ended(3);
    let _ = refused.says(&["i7", "'t' has no token that is scored"]);
}

/// A damaged checkpoint is told before the others are scored, not after hours.
#[test]
fn test_evaluate__damaged_checkpoints_are_told_first() {
    let place = trained();
    place.write("words.txt", b"the cat\n");
    place.write("runs/tiny/checkpoint-4/model.safetensors", b"damaged");
    let call = "evaluate runs/tiny --perplexity words.txt --all-checkpoints --json";
    let ran = place.foundry(call).ok().says(&["passed over", "checkpoint-4"]);
    let steps = ran.json()["checkpoints"].as_array().unwrap().len();
    assert_eq!(steps, 3, "steps 0, 1 and 2");
}

const SUITE: &str = r#"{
  "meta": {"name": "number", "metric": "sum"},
  "predictions": [{"type": "formula", "formula": "[(2;%a%) < (2;%b%)] | [(2;%a%) >= 0]"}],
  "items": [{"item_number": 1, "conditions": [
    {"condition_name": "a", "regions": [{"region_number": 1, "content": "the cat"}, {"region_number": 2, "content": "sat"}]},
    {"condition_name": "b", "regions": [{"region_number": 1, "content": "the cat"}, {"region_number": 2, "content": "Zq!;"}]}
  ]}]
}"#;

#[test]
fn test_evaluate__syntaxgym_predictions() {
    let place = trained();
    place.write("wrong.json", SUITE.as_bytes());
    let call = "evaluate runs/tiny --syntaxgym";
    let refused = place.foundry(&format!("{call} wrong.json")).ended(3);
    let _ = refused.says(&["wrong.json", "prediction 1", "character 33", "^"]);
    let sound = SUITE.replace(" | [(2;%a%) >= 0]", " & [(*;%a%) - (1;%a%) = (2;%a%)]");
    place.write("suite.json", sound.as_bytes());
    let report = place.foundry(&format!("{call} suite.json --json --tables out")).ok().json();
    let score = &report["syntaxgym"][0];
    assert_eq!((&score["items"], &score["right"]), (&1.into(), &1.into()), "{report}");
    let regions = String::from_utf8(place.read("out/syntaxgym_regions.csv")).unwrap();
    assert_eq!(regions.lines().count(), 5, "{regions}");
    let zero = sound.replace("(2;%a%) < (2;%b%)", "(2;%a%) / [(1;%a%) - (1;%a%)] < (2;%b%)");
    place.write("zero.json", zero.as_bytes());
    let refused = place.foundry(&format!("{call} zero.json")).ended(3);
    let _ = refused.says(&["suite number", "prediction 1 of item 1 divides by 0"]);
    place.write("suite.json", sound.replace("(2;%b%)", "(3;%b%)").as_bytes());
    let _ = place.foundry(&format!("{call} suite.json")).ended(3).says(&["no region 3", "'b'"]);
}

/// What stands for unknown characters, beside every score that it is part of: by file, by region, by prediction.
#[test]
fn test_evaluate__unknown_tokens_are_counted_where_they_are() {
    let place = Workplace::new();
    let character = "--set tokenizer.tokenizer_type=character --set tokenizer.vocab_size=100";
    let _ = place.foundry(&format!("train tiny.yaml {character}")).ok();
    let column = |table: &str, name: &str| -> Vec<u64> {
        let text = String::from_utf8(place.read(table)).unwrap();
        let mut rows = text.lines().map(|row| row.split(','));
        let at = rows.next().unwrap().position(|column| column == name).unwrap();
        rows.map(|mut row| row.nth(at).unwrap().parse().unwrap()).collect()
    };
    place.write("texts/a.txt", b"the cat sat\n");
    place.write("texts/b.txt", "the 犬猫 sat\nthe 猫\n".as_bytes());
    let _ = place.foundry("evaluate runs/tiny --perplexity texts --tables out").ok();
    assert_eq!(column("out/perplexity.csv", "unknown_tokens"), [0, 3]);
    let suite = SUITE.replace(" | [(2;%a%) >= 0]", "").replace("Zq!;", "犬猫");
    place.write("suite.json", suite.as_bytes());
    let _ = place.foundry("evaluate runs/tiny --syntaxgym suite.json --tables out").ok();
    assert_eq!(column("out/syntaxgym_regions.csv", "unknown_tokens"), [0, 0, 0, 2]);
    assert_eq!(column("out/syntaxgym.csv", "unknown_tokens"), [2]);
}

#[test]
fn test_evaluate__shipped_suites_can_be_read() {
    let Some(folder) = data("syntaxgym/test_suites/json") else { return };
    let suites = foundry_models::eval::syntaxgym::read_suites(&folder).unwrap();
    assert!(suites.len() >= 9, "{}", suites.len());
    assert!(suites.iter().all(|s| !s.predictions.is_empty()));
}

/// BLiMP's 12 phenomena, Zorro's 13: no paradigm is lost.
#[test]
fn test_evaluate__blimp_and_zorro_can_be_read() {
    let (Some(blimp), Some(zorro)) = (data("blimp-sample100"), data("zorro/sentences/babyberta"))
    else {
        return;
    };
    for (folder, paradigms, phenomena) in [(blimp, 67, 12), (zorro, 23, 13)] {
        let read = foundry_models::eval::read_pairs(&folder).unwrap();
        assert_eq!(read.len(), paradigms, "{}", folder.display());
        let names: std::collections::BTreeSet<_> =
            read.iter().map(|p| p.phenomenon.as_str()).collect();
        assert_eq!(names.len(), phenomena, "{names:?}");
    }
}

#[test]
fn test_evaluate__ngram_baseline_and_slor() {
    let place = trained();
    let pairs =
        r#"{"good": "the cat number 4 sat on mat 2", "bad": "the mat on 4 cat sat number 2"}"#;
    place.write("pairs.jsonl", pairs.as_bytes());
    let call =
        "evaluate runs/tiny --minimal-pairs pairs.jsonl --ngram 3 --slor --json --tables out";
    let report = place.foundry(call).ok().json();
    assert_eq!(report["baseline"]["all_pairs"]["right"], 1, "{report}");
    assert_eq!(report["baseline"]["all_pairs"]["right_by_slor"], 1);
    let table = String::from_utf8(place.read("out/pairs.csv")).unwrap();
    let scorers: Vec<_> = table.lines().skip(1).map(|l| l.split(',').nth(4).unwrap()).collect();
    assert_eq!(scorers, ["gpt2", "kn3"]);
    assert_eq!(report["baseline"]["all_pairs"]["accuracy_by_slor"], 1.0);
    let refused = place.foundry("evaluate runs/tiny --minimal-pairs pairs.jsonl --ngram 99");
    let _ = refused.ended(2).says(&["--ngram 99", "expected 1 to"]);
}

/// A sentence is counted after what stands before it when it is scored, and up to its end, however rows were made.
#[test]
fn test_evaluate__ngrams_are_counted_alike_in_every_layout() {
    let place = Workplace::new();
    let bert = "model.architecture=bert training.objective=masked_lm";
    let tokens = |bos: &str, eos: &str| {
        format!(
            r#"tokenizer.special_tokens={{"bos_token":"{bos}","eos_token":"{eos}","unk_token":"<unk>","pad_token":"<pad>","mask_token":"<mask>"}}"#
        )
    };
    let two = tokens("<s>", "</s>");
    let four = two.replace('}', r#","cls_token":"[CLS]","sep_token":"[SEP]"}"#);
    let layouts = [
        format!("data.packing=pack {two}"),
        format!("data.packing=sentence {two}"),
        format!("data.packing=sentence data.boundary_token=bos_eos {two}"),
        format!("data.packing=pack data.boundary_token=bos_eos {}", tokens("</s>", "</s>")),
        format!("data.packing=pack {bert} {two}"),
        format!("data.packing=sentence {bert} {two}"),
        format!("data.packing=pack {bert} {four}"),
    ];
    let bits = layouts.each_ref().map(|layout| {
        let set: String = layout.split(' ').map(|set| format!(" --set {set}")).collect();
        let own = "--set data.max_sequence_length=64 --set training.train_steps=1 --set training.output_dir=runs/x";
        let _ = place.foundry(&format!("train-tokenizer tiny.yaml --force{set}")).ok();
        let _ = place.foundry(&format!("train tiny.yaml --overwrite {own}{set}")).ok();
        let call = "evaluate runs/x --surprisal corpus.txt --score-end --ngram 2 --json";
        let scored = lines(&place.foundry(call).ok().stdout);
        let counted = scored.iter().filter(|object| object["step"].is_null());
        let nats: Vec<f64> = counted.flat_map(|object| numbers(&object["logprobs_nats"])).collect();
        -nats.iter().sum::<f64>() / nats.len() as f64
    });
    for (layout, nats) in layouts.iter().zip(bits) {
        assert!((nats / bits[0] - 1.0).abs() < 0.01, "{layout}: {nats}, and not {}", bits[0]);
    }
}

#[test]
fn test_evaluate__only_the_text_of_the_training_is_counted() {
    let place = trained();
    place.write("corpus.txt", &[&place.read("corpus.txt")[..], b"the dog barked\n"].concat());
    for flag in ["--slor", "--ngram 2"] {
        let ran = place.foundry(&format!("evaluate runs/tiny --surprisal corpus.txt {flag}"));
        let _ = ran.ended(3).says(&["are not those of", "put the files back"]);
    }
}

/// What surrounds the texts of a record is no text.
#[test]
fn test_evaluate__a_byte_of_json_lines_is_one_of_their_texts() {
    let place = trained();
    place.write("a.txt", "the café sat\nthe dog\n".as_bytes());
    let records = r#"{"source": "a book", "text": "the caf\u00e9 sat\n"}
{"source": "another", "text": "the dog\n"}
"#;
    place.write("a.jsonl", records.as_bytes());
    for by_line in ["", "--by-line"] {
        let of = |file: &str| {
            let call = format!("evaluate runs/tiny --perplexity {file} --json {by_line}");
            place.foundry(&call).ok().json()["perplexity"].clone()
        };
        assert_eq!(of("a.txt")["bytes"], 22, "é is two");
        assert_eq!(of("a.jsonl"), of("a.txt"));
    }
}

/// Rows of BERT stand between [CLS] and [SEP], in training and when they are scored, also where the tokenizer has other tokens for
/// the ends of a text.
#[test]
fn test_evaluate__a_bert_is_scored_in_the_frame_it_was_trained_in() {
    let place = Workplace::new();
    let tokens = r#"tokenizer.special_tokens={"bos_token":"<s>","eos_token":"</s>","unk_token":"<unk>","pad_token":"<pad>","mask_token":"<mask>","cls_token":"[CLS]","sep_token":"[SEP]"}"#;
    let sets = ["model.architecture=bert", "training.objective=masked_lm", tokens];
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    let _ = place.foundry_args(["train", "tiny.yaml"].into_iter().chain(sets)).ok();
    let tokenizer: Value =
        serde_json::from_slice(&place.read("runs/tiny/tokenizer/tokenizer.json")).unwrap();
    let added = tokenizer["added_tokens"].as_array().unwrap();
    let id = |token: &str| added.iter().find(|t| t["content"] == token).unwrap()["id"].clone();
    place.write("one.txt", b"the cat sat\n");
    let ran = place.foundry("evaluate runs/tiny --surprisal one.txt --json").ok();
    let ids = lines(&ran.stdout)[0]["ids"].as_array().unwrap().clone();
    assert_eq!((&ids[0], &ids[ids.len() - 1]), (&id("[CLS]"), &id("[SEP]")), "{ids:?}");
    let config: Value =
        serde_json::from_slice(&place.read("runs/tiny/checkpoint-4/config.json")).unwrap();
    assert_eq!((&config["bos_token_id"], &config["eos_token_id"]), (&id("[CLS]"), &id("[SEP]")));
}

/// Pairs are scored at every checkpoint while training; a run that was stopped has each row once.
#[test]
fn test_evaluate__suites_at_checkpoints() {
    let place = Workplace::new();
    let pairs = r#"{"good": "the cat sat", "bad": "cat the sat", "item": "x"}"#;
    place.write("pairs.jsonl", pairs.as_bytes());
    let train = "train tiny.yaml --set evaluation.suites=[pairs.jsonl]";
    let _ = place.foundry(train).ok();
    let whole = String::from_utf8(place.read("runs/tiny/eval/pairs.csv")).unwrap();
    let steps: Vec<_> = whole.lines().skip(1).map(|l| l.split(',').next().unwrap()).collect();
    assert_eq!(steps, ["0", "1", "2", "4"]);
    let later = format!("{train} --resume --set training.train_steps=6");
    let _ = place.foundry(&format!("{later} --allow-change training.train_steps")).ok();
    let longer = String::from_utf8(place.read("runs/tiny/eval/pairs.csv")).unwrap();
    let steps: Vec<_> = longer.lines().skip(1).map(|l| l.split(',').next().unwrap()).collect();
    assert_eq!(steps, ["0", "1", "2", "4", "6"]);
    let alone = place
        .foundry("evaluate runs/tiny --minimal-pairs pairs.jsonl --all-checkpoints --tables out")
        .ok();
    assert!(alone.stdout.contains("pairs"), "{alone:?}");
    assert_eq!(String::from_utf8(place.read("out/pairs.csv")).unwrap(), longer, "the same rows");
}

/// C5: the numbers of transformers' GPT-2, token by token.
#[test]
fn test_evaluate__equals_transformers() {
    let Some(folder) = data("golden/gpt2-tiny") else { return };
    let text = std::fs::read_to_string(folder.join("config.json")).unwrap();
    let c: Value = serde_json::from_str(&text).unwrap();
    let n = |name: &str| usize::try_from(c[name].as_u64().unwrap()).unwrap();
    let inner = c["n_inner"].as_u64().map_or(4 * n("n_embd"), |n| usize::try_from(n).unwrap());
    let config = ModelConfig::Gpt2(TransformerConfig {
        layers: n("n_layer"),
        hidden_size: n("n_embd"),
        intermediate_hidden_size: inner,
        attention_heads: n("n_head"),
        activation: Activation::GeluNew,
        dropout: 0.0,
        attention_dropout: 0.0,
        embedding_dropout: 0.0,
        layer_norm_epsilon: c["layer_norm_epsilon"].as_f64().unwrap(),
        tie_weights: true,
        initializer_range: 0.02,
    });
    let size = Size { vocab: n("vocab_size"), positions: n("n_positions") };
    let device = foundry_engine::Device::cpu();
    let init = foundry_engine::Init::new(&device, foundry_engine::DType::F32, 0);
    let mut model = build(&config, size, &init).unwrap();
    let file = TensorFile::read(&Disk::real(), &folder.join("model.safetensors")).unwrap();
    load_model(&mut *model, file).unwrap();
    let golden = foundry_tests::Golden::read(&folder.join("expected.safetensors"));
    let (ids, logits) = (golden.get("input_ids"), golden.get("logits"));
    let shape = golden.shape("input_ids").to_vec();
    let (rows, time, vocab) = (shape[0], shape[1], size.vocab);
    let real = |r: usize| golden.get("attention_mask")[r * time..][..time].iter().sum::<f64>();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "ids and lengths")]
    let row = |r: usize| -> Vec<u32> {
        ids[r * time..][..real(r) as usize].iter().map(|&id| id as u32).collect()
    };
    let sequences: Vec<Sequence> = (0..rows).map(|r| Sequence::after_first(row(r))).collect();
    let scorer = CausalScorer::new(&*model, &device, None);
    let scores = scorer.score(&sequences, Detail::Probability).unwrap();
    for (r, (sequence, scores)) in sequences.iter().zip(&scores).enumerate() {
        for (t, score) in scores.iter().enumerate() {
            let z = &logits[(r * time + t) * vocab..][..vocab];
            let total: f64 = z.iter().map(|z| z.exp()).sum();
            let expected = z[sequence.ids[t + 1] as usize] - total.ln();
            assert_abs_diff_eq!(score.logprob_nats, expected, epsilon = 1e-5);
        }
    }
}

#[test]
fn test_selftest__passes() {
    let place = Workplace::new();
    let report = place.foundry("selftest --json").ok().json();
    assert_eq!(report["failed"], 0);
    assert_ne!(scoring::oracles(), "");
}

/// C6, at a reduced size.
#[test]
fn test_evaluate__memory_does_not_grow_with_the_text() {
    assert_ne!(scoring::memory(40_000, 8), "");
}

/// D1.
#[test]
fn test_evaluate__pickles_are_never_read() {
    assert_ne!(scoring::pickles(), "");
}

/// D2, at a reduced size.
#[test]
fn test_evaluate__hostile_tensor_files() {
    assert_ne!(scoring::hostile_tensors(20_000), "");
}
