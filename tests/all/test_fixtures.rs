//! The small configurations of `tests/fixtures/configs`: what their maker writes, and trained.

use foundry_tests::binary::Workplace;
use foundry_tests::{fixtures, workspace};

#[test]
fn test_fixtures__configurations_are_what_their_maker_writes() {
    let folder = workspace().join("tests/fixtures/configs");
    if std::env::var_os("FOUNDRY_BLESS").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in fixtures::configs() {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }
    let mut names = Vec::new();
    for (name, text) in fixtures::configs() {
        let read = std::fs::read_to_string(folder.join(&name));
        assert_eq!(read.unwrap_or_default(), text, "{name}: FOUNDRY_BLESS=1 writes it anew");
        names.push(name);
    }
    let found = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(found, names.len(), "a file that nobody makes");
}

#[test]
fn test_fixtures__configurations_train() {
    let place = Workplace::new();
    let grammar = place.read("english.grammar");
    place.write("configs/grammars/english.grammar", &grammar);
    for (name, text) in fixtures::configs() {
        place.write(&name, text.as_bytes());
        let _ = place.foundry(&format!("validate-config {name}")).ok();
        let trained = place.foundry(&format!("train {name} --json")).ok().json();
        assert_eq!(trained["step"], 8, "{name}");
        let masked = text.contains("objective: masked_lm");
        let loss = if masked { "validation_masked_loss_nats" } else { "validation_loss_nats" };
        assert!(trained[loss].as_f64().is_some_and(|loss| loss > 0.0), "{name}: {trained}");
    }
}
