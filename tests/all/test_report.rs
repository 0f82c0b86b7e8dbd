//! `report.html`: one file that shows a run, loads nothing, and takes no text for markup.

use foundry_tests::binary::Workplace;

/// A page may hold no address that is fetched, and no program.
fn loads_nothing(html: &str) {
    for word in ["https://", "src=", "url(", "@import", "<link", "<script", "<iframe", "<img"] {
        assert!(!html.contains(word), "{word}");
    }
    let addresses = html.matches("http://").count();
    assert_eq!(addresses, html.matches("xmlns=\"http://www.w3.org/2000/svg\"").count());
    assert!(html.contains("default-src 'none'"));
}

/// Every element that is opened is closed, in order.
fn well_formed(html: &str) {
    const VOID: [&str; 4] = ["meta", "input", "br", "!DOCTYPE"];
    let mut open: Vec<&str> = Vec::new();
    for piece in html.split('<').skip(1) {
        let (tag, _) = piece.split_once('>').expect("a tag has an end");
        let name = tag.split([' ', '\n', '/']).find(|s| !s.is_empty()).unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "closed without being open");
        } else if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
    let mut ids: Vec<&str> =
        html.split(" id=\"").skip(1).map(|s| s.split('"').next().unwrap()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "an id that is not unique");
}

#[test]
fn test_report__a_finished_run_has_a_page() {
    let place = Workplace::new();
    let pairs = "{\"good\": \"the cat sat\", \"bad\": \"cat the sat\", \"phenomenon\": \"<b>order</b>\", \
                 \"paradigm\": \"a & b\"}\n";
    place.write("pairs.jsonl", pairs.as_bytes());
    let call = "train tiny.yaml --set evaluation.suites=[pairs.jsonl]";
    let _ = place.foundry(call).ok();
    let html = String::from_utf8(place.read("runs/tiny/report.html")).unwrap();
    loads_nothing(&html);
    well_formed(&html);
    for words in [
        "<dd>finished</dd>",
        "loss, nats a token",
        "perplexity a token",
        "Minimal pairs of pairs after 4 updates, scored by gpt2",
        "&lt;b&gt;order&lt;/b&gt;",
        "a &amp; b",
        "= tokens",
        "experiment_name: tiny",
        "config_fingerprint",
        "tokens/s",
    ] {
        assert!(html.contains(words), "{words}");
    }
    assert!(!html.contains("has not ended"));

    // Made anew from the folder, it is the same page; and it can be put elsewhere.
    let again = place.foundry("report runs/tiny -o page.html --json").ok().json();
    assert_eq!(again["finished"], true);
    assert_eq!(again["updates"], 4);
    assert_eq!(String::from_utf8(place.read("page.html")).unwrap(), html);
}

/// A run that is killed before `result.json` is there is resumed, and one killed after it is not: whatever belongs to a
/// finished run has to be there by then.
#[test]
fn test_report__the_mark_of_the_end_is_written_last() {
    let place = Workplace::new();
    let _ = place.foundry("train tiny.yaml").ok();
    let written = |name: &str| {
        let file = std::fs::metadata(place.path(&format!("runs/tiny/{name}"))).expect(name);
        file.modified().expect("a time of modification")
    };
    for name in ["report.html", "loss.svg", "metrics.jsonl", "config.yaml", "provenance.json"] {
        assert!(written(name) <= written("result.json"), "{name} is younger than result.json");
    }
}

#[test]
fn test_report__a_comparison_has_a_page() {
    let place = Workplace::new();
    let pairs =
        "{\"good\": \"the cat sat\", \"bad\": \"cat the sat\", \"phenomenon\": \"<i>order</i>\"}\n";
    place.write("pairs.jsonl", pairs.as_bytes());
    let call = "compare tiny.yaml --architectures gpt2,lstm,bert --seeds 1,2 --output both \
                --set evaluation.suites=[pairs.jsonl]";
    let _ = place.foundry(call).ok();
    let html = String::from_utf8(place.read("both/report.html")).unwrap();
    loads_nothing(&html);
    well_formed(&html);
    for words in [
        "Comparison of 3 models",
        "<dt>seeds</dt><dd>1, 2</dd>",
        "loss, nats a token",
        "loss, nats a hidden token",
        "&lt;i&gt;order&lt;/i&gt;",
        "href=\"lstm/seed-2/report.html\"",
        "= tokens",
        "experiment_name: lstm-seed1",
        "config_fingerprint",
        "±",
    ] {
        assert!(html.contains(words), "{words}");
    }
    assert!(!html.contains("Could not be shown"));
    // Losses of different things share no chart: of the two objectives, each model is in one.
    let part = |id: &str| {
        let from = html.find(&format!("<section aria-labelledby=\"{id}\"")).unwrap();
        html[from..].split("</section>").next().unwrap().to_owned()
    };
    let (causal, masked) = (part("causal"), part("masked"));
    assert!(causal.contains("lstm") && !causal.contains("bert") && masked.contains("bert"));
    assert!(!masked.contains("lstm") && !masked.contains("perplexity"));
    for run in ["gpt2/seed-1", "lstm/seed-2", "bert/seed-1"] {
        let page = String::from_utf8(place.read(&format!("both/{run}/report.html"))).unwrap();
        well_formed(&page);
    }

    // A run whose files are damaged is named, and the others are shown.
    place.write("both/lstm/seed-2/eval/minimal_pairs.csv", b"a,b\n1,2\n");
    let _ = place.foundry(call).ok();
    let html = String::from_utf8(place.read("both/report.html")).unwrap();
    well_formed(&html);
    assert!(html.contains("Could not be shown: lstm/seed-2: eval/minimal_pairs.csv"), "{html}");
}

#[test]
fn test_report__an_unfinished_or_damaged_run_is_called_so() {
    let place = Workplace::new();
    let _ = place.foundry("train tiny.yaml").ok();
    let remove = |name: &str| std::fs::remove_file(place.path(name)).unwrap();
    remove("runs/tiny/result.json");
    let ran = place.foundry("report runs/tiny").ok().says(&["has not ended"]);
    assert!(ran.stdout.trim_end().ends_with("report.html"), "{}", ran.stdout);
    let html = String::from_utf8(place.read("runs/tiny/report.html")).unwrap();
    well_formed(&html);
    assert!(html.contains("This run has not ended as configured: its log goes to update 4"));
    assert!(html.contains("<dd>unfinished</dd>"));

    place.write("runs/tiny/data_ledger.json", b"{\"<script>\": 1}");
    place.write("runs/tiny/metrics.jsonl", b"not json\n");
    remove("runs/tiny/config.yaml");
    let damaged = place.foundry("report runs/tiny").ok();
    let _ = damaged.says(&["data_ledger.json", "metrics.jsonl, line 1"]);
    let html = String::from_utf8(place.read("runs/tiny/report.html")).unwrap();
    loads_nothing(&html);
    well_formed(&html);
    assert!(html.contains("Nothing is logged yet."), "{html}");

    let _ = place.foundry("report nowhere").ended(3).says(&["nowhere", "output_dir"]);
}

#[test]
fn test_report__no_text_of_a_run_becomes_markup() {
    let place = Workplace::new();
    let hostile = "</pre></style><script>alert(1)</script>'\\\"&\\u202e";
    let _ = place.foundry("train tiny.yaml").ok();
    let edit = |name: &str, change: &dyn Fn(String) -> String| {
        let text = String::from_utf8(place.read(name)).unwrap();
        place.write(name, change(text).as_bytes());
    };
    edit("runs/tiny/provenance.json", &|s| {
        s.replace("\"tiny\"", &format!("\"{hostile}\""))
            .replace("\"isa\"", &format!("\"{hostile}\""))
    });
    edit("runs/tiny/data_ledger.json", &|s| s.replace("corpus.txt", hostile));
    edit("runs/tiny/config.yaml", &|s| s + "# " + hostile + "\n");
    edit("runs/tiny/result.json", &|s| {
        s.replacen('{', &format!("{{\"sample\": \"{hostile}\","), 1)
    });
    let said = place.foundry("report runs/tiny").ok();
    assert_eq!(said.stderr, "");
    let html = String::from_utf8(place.read("runs/tiny/report.html")).unwrap();
    loads_nothing(&html);
    well_formed(&html);
    assert!(html.matches("&lt;script&gt;alert(1)").count() >= 4, "{html}");
    assert!(!html.contains('\u{202e}'));
}
