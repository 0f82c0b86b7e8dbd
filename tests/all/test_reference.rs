//! What the command says of itself, in every form, and the page of it in `docs/`.

use foundry_tests::binary::Workplace;
use foundry_tests::workspace;
use serde_json::Value;

/// The commands that `--help` lists.
fn commands(place: &Workplace) -> Vec<String> {
    let help = place.foundry("--help").ok().stdout;
    let lines = help.lines().skip_while(|l| *l != "Commands:").skip(1);
    let listed = lines.take_while(|l| !l.is_empty()).filter(|l| l.starts_with("  "));
    let names = listed.filter_map(|l| l.strip_prefix("  ")?.split(' ').next());
    names.filter(|n| !n.is_empty() && *n != "help").map(str::to_owned).collect()
}

#[test]
fn test_reference__the_page_in_docs_is_what_the_command_prints() {
    let place = Workplace::new();
    let printed = place.foundry("man --markdown").ok().stdout;
    let path = workspace().join("docs/cli.md");
    if std::env::var_os("FOUNDRY_BLESS").is_some() {
        std::fs::write(&path, &printed).unwrap();
    }
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        page == printed,
        "docs/cli.md is stale; FOUNDRY_BLESS=1 cargo test -p foundry-tests reference writes it anew"
    );
    let commands = commands(&place);
    assert!(commands.len() > 15, "{commands:?}");
    for command in commands {
        assert!(page.contains(&format!("\n## foundry {command}\n")), "{command}");
    }
    assert!(page.contains("| `--resume` |  | Go on where"), "{page}");
}

#[test]
fn test_reference__there_is_a_manual_page_for_every_command() {
    let place = Workplace::new();
    let page = place.foundry("man").ok().stdout;
    assert!(page.contains(".TH foundry 1"), "{page}");
    let train = place.foundry("man train").ok().stdout;
    assert!(train.contains(".TH foundry-train 1") && train.contains("\\-\\-overwrite"), "{train}");
    let _ = place.foundry("man nothing").ended(2).says(&["nothing", "known:", "train"]);

    let _ = place.foundry("man --dir pages").ok();
    for command in commands(&place) {
        let page = place.read(&format!("pages/foundry-{command}.1"));
        assert!(page.len() > 200, "{command}");
    }
}

#[test]
fn test_reference__shells_complete_every_command() {
    let place = Workplace::new();
    let commands = commands(&place);
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = place.foundry(&format!("completions {shell}")).ok();
        assert_eq!(script.stderr, "");
        for command in &commands {
            assert!(script.stdout.contains(command), "{shell}: {command}");
        }
    }
    let _ = place.foundry("completions teletype").ended(2);
}

#[test]
fn test_reference__the_schema_is_printed() {
    let place = Workplace::new();
    let schema = place.foundry("schema").ok().json();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let path = workspace().join("docs/config.schema.json");
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(file, schema);
}

#[test]
fn test_reference__doctor_tries_the_disk_out() {
    let place = Workplace::new();
    let before = place.files(".");
    let said = place.foundry("doctor --json").ok().json();
    assert_eq!(said["problems"], 0);
    let findings = said["findings"].as_array().unwrap();
    for what in
        ["threads", "instruction set", "memory", "free disk", "writing", "locks", "CUDA driver"]
    {
        assert!(findings.iter().any(|f| f["what"] == what), "{what}");
    }
    assert_eq!(place.files("."), before, "something was left behind");
    let words = place.foundry("doctor").ok();
    assert!(words.stdout.contains("a second run is kept out"), "{}", words.stdout);
    let words = place.foundry("doctor tiny.yaml").ok();
    assert!(words.stdout.contains("tiny.yaml (tiny) is valid"), "{}", words.stdout);
    std::fs::remove_file(place.path("corpus.txt")).unwrap();
    let ran = place.foundry("doctor tiny.yaml").ended(1);
    assert!(ran.stdout.contains("data.training_corpus   PROBLEM"), "{}", ran.stdout);
    let ran = place.foundry("doctor --dir tiny.yaml").ended(1);
    assert!(ran.stdout.contains("PROBLEM") && ran.stdout.contains("mend: "), "{}", ran.stdout);
}
