//! Scores as a linguist asks for them, on the command line.

use foundry_tests::binary::Workplace;
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
            assert!((b + nats / std::f64::consts::LN_2).abs() < 1e-12);
        }
        let words = object["words"].as_array().unwrap();
        let names: Vec<_> = words.iter().map(|w| w["word"].as_str().unwrap()).collect();
        assert_eq!(names, text.split_whitespace().collect::<Vec<_>>());
        let of_words: f64 = words.iter().map(|w| w["surprisal_bits"].as_f64().unwrap()).sum();
        assert!((of_words - bits.iter().sum::<f64>()).abs() < 1e-9, "{object}");
        assert_eq!(numbers(&object["entropy_bits"]).len(), bits.len());
        total -= logprobs.iter().sum::<f64>();
    }
    let call = "evaluate runs/tiny --perplexity sentences.txt --by-line --json";
    let p = place.foundry(call).ok().json();
    assert!((p["perplexity"]["nll_nats"].as_f64().unwrap() - total).abs() < 1e-4 * total);
    assert_eq!(p["perplexity"]["words"], 8);
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
    assert!(header.starts_with("step,tokens_seen,words_seen,seed,item,condition,region_index"));
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
    assert_eq!(table.lines().filter(|l| l.ends_with(",0,1")).count(), 7);
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
