//! The reference page of the configuration, drawn from the structs of [`super::raw`]: `docs/configuration.md` is this
//! text, and a test holds it to it.

use std::fmt::Write;

use super::fields::{Kind, Section, one_line};
use super::raw::RawConfig;

const HEAD: &str = "# Configuration

One YAML file describes one experiment. This page is made from the source
(`models/src/config/raw.rs`); a test holds the two together.

- Every key is optional unless its default says *required*; `null` is the same as leaving it out.
- Unknown keys are refused, and so are keys that would have no effect on the run at hand (but for the rules of
  automatic checkpoints, over which a list and a preset win).
- Words such as `adamw` or `GELU` are read in any letter case.
- Relative paths start at the current directory.
- `foundry train CONFIG --set training.learning_rate=1e-4` overrides any field.
- `foundry validate-config CONFIG` checks a file, `foundry explain CONFIG` shows what it means.
- The run folder keeps the configuration with every default spelled out (`config.yaml`); it can be
  given to `train` again.
";

/// The text of `docs/configuration.md`.
pub fn markdown() -> String {
    let mut text = HEAD.to_owned();
    table(&RawConfig::SECTION, "", &mut text);
    text
}

fn table(section: &'static Section, path: &str, text: &mut String) {
    let title = if path.is_empty() { "Top level".to_owned() } else { format!("`{path}`") };
    // Writing to a String cannot fail.
    let _ = write!(text, "\n## {title}\n\n{}\n\n", one_line(section.doc));
    text.push_str("| field | type | default | meaning |\n|---|---|---|---|\n");
    for field in section.fields {
        let default = match field.default {
            "required" => "*required*".to_owned(),
            d if d.contains(' ') || d == "dropout" => d.to_owned(),
            d => format!("`{d}`"),
        };
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            field.name,
            words(&field.kind),
            default,
            field.text().replace('|', "\\|")
        );
    }
    for field in section.fields {
        let path =
            if path.is_empty() { field.name.into() } else { format!("{path}.{}", field.name) };
        match field.kind {
            Kind::Section(s) => table(s, &path, text),
            Kind::List(&Kind::Section(s)) => table(s, &format!("{path}[]"), text),
            _ => {}
        }
    }
}

fn words(kind: &Kind) -> String {
    match kind {
        Kind::Integer => "whole number".to_owned(),
        Kind::Number => "number".to_owned(),
        Kind::Flag => "`true`, `false`".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::Choice(words) => {
            words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
        }
        Kind::List(Kind::Section(_)) => "list of sections".to_owned(),
        Kind::List(Kind::Integer) => "list of whole numbers".to_owned(),
        Kind::List(kind) => format!("list of {}s", words(kind)),
        Kind::Map => "keys and values".to_owned(),
        Kind::Section(_) => "section".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_reference__the_page_is_what_the_source_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        if std::env::var_os("FOUNDRY_BLESS").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == markdown(),
            "docs/configuration.md is stale; FOUNDRY_BLESS=1 cargo test -p foundry-models --lib \
             config::reference writes it anew"
        );
    }
}
