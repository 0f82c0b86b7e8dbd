//! The JSON schema of configuration files, drawn from the structs of [`super::raw`]: `docs/config.schema.json` is what
//! `foundry schema` prints, and a test holds the two together.
//!
//! A schema knows fields and their types. What depends on other fields is checked by `foundry validate-config` alone.

use serde_json::{Value, json};

use super::fields::{Field, Kind, Section, one_line};
use super::raw::RawConfig;

/// The JSON schema of a configuration file (draft 2020-12), for editors that complete and check YAML.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = object(&RawConfig::SECTION);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Foundry experiment");
    schema
}

fn object(section: &'static Section) -> Value {
    let field = |f: &'static Field| {
        let mut value = type_of(&f.kind);
        value["description"] = json!(f.text());
        if let Some(default) = default(f) {
            value["default"] = default;
        }
        (f.name.to_owned(), value)
    };
    let properties: serde_json::Map<_, _> = section.fields.iter().map(field).collect();
    let required: Vec<_> =
        section.fields.iter().filter(|f| f.default == "required").map(|f| f.name).collect();
    json!({
        "type": ["object", "null"],
        "description": one_line(section.doc),
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// What stands for a field that is left out; None where that follows from other fields, or where there is nothing to follow.
fn default(field: &Field) -> Option<Value> {
    match field.kind {
        Kind::Section(_) => None,
        Kind::Choice(words) => words.contains(&field.default).then(|| json!(field.default)),
        Kind::Text | Kind::Path if !["null", "required"].contains(&field.default) => {
            Some(json!(field.default))
        }
        _ => serde_json::from_str(field.default).ok().filter(|value| *value != Value::Null),
    }
}

fn type_of(kind: &Kind) -> Value {
    match kind {
        Kind::Integer => json!({"type": ["integer", "null"], "minimum": 0}),
        Kind::Number => json!({"type": ["number", "null"]}),
        Kind::Flag => json!({"type": ["boolean", "null"]}),
        // A name may look like a number: it is taken as it is spelled.
        Kind::Text | Kind::Path => json!({"type": ["string", "number", "boolean", "null"]}),
        Kind::Choice(words) => json!({"anyOf": [
            {"enum": words},
            {"type": "string", "pattern": any_case(words)},
            {"type": "null"},
        ]}),
        Kind::List(item) => json!({"type": ["array", "null"], "items": type_of(item)}),
        Kind::Map => json!({"type": ["object", "null"]}),
        Kind::Section(s) => object(s),
    }
}

/// A regular expression of the words in any letter case: that of JSON schemas has no flag for it.
fn any_case(words: &[&str]) -> String {
    let letter = |c: char| {
        let (small, large) = (c.to_ascii_lowercase(), c.to_ascii_uppercase());
        if small == large { c.to_string() } else { format!("[{small}{large}]") }
    };
    let words: Vec<String> = words.iter().map(|w| w.chars().map(letter).collect()).collect();
    format!("^({})$", words.join("|"))
}

#[cfg(test)]
mod tests {
    use super::super::node::{Node, Value as Typed};
    use super::super::yaml;
    use super::*;
    use std::path::{Path, PathBuf};

    /// What a value breaks of a schema: the part of draft 2020-12 that [`json_schema`] uses. A keyword that is not known
    /// here is a failure, so that nothing is passed over.
    fn violations(schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let mut found = Vec::new();
        for (keyword, rule) in schema.as_object().unwrap() {
            let holds = match keyword.as_str() {
                "$schema" | "title" | "description" | "default" => true,
                "type" => one_or_more(rule).any(|name| is_of_type(value, name)),
                "enum" => rule.as_array().unwrap().contains(value),
                "minimum" => value.as_f64().is_none_or(|v| v >= rule.as_f64().unwrap()),
                "pattern" => value.as_str().is_none_or(|word| matches_any_case(rule, word)),
                "anyOf" => {
                    let mut of = rule.as_array().unwrap().iter();
                    of.any(|schema| violations(schema, value, at).is_empty())
                }
                "required" => value.as_object().is_none_or(|map| {
                    rule.as_array().unwrap().iter().all(|n| map.contains_key(n.as_str().unwrap()))
                }),
                "additionalProperties" => {
                    assert_eq!(rule, false);
                    let known = schema["properties"].as_object().unwrap();
                    value.as_object().is_none_or(|m| m.keys().all(|k| known.contains_key(k)))
                }
                "properties" => {
                    for (name, value) in value.as_object().into_iter().flatten() {
                        let at = format!("{at}.{name}");
                        let rule = rule.get(name);
                        found.extend(rule.iter().flat_map(|rule| violations(rule, value, &at)));
                    }
                    true
                }
                "items" => {
                    for value in value.as_array().into_iter().flatten() {
                        found.extend(violations(rule, value, &format!("{at}[]")));
                    }
                    true
                }
                other => panic!("a keyword that this test does not know: {other}"),
            };
            if !holds {
                found.push(format!("{at}: {keyword}"));
            }
        }
        found
    }

    fn one_or_more(rule: &Value) -> impl Iterator<Item = &str> {
        let list = rule.as_array().map_or(std::slice::from_ref(rule), Vec::as_slice);
        list.iter().map(|name| name.as_str().unwrap())
    }

    fn is_of_type(value: &Value, name: &str) -> bool {
        match name {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("{other} is no type of JSON"),
        }
    }

    /// The patterns of this schema are words in brackets; small letters stand first.
    fn matches_any_case(pattern: &Value, word: &str) -> bool {
        let pattern = pattern.as_str().unwrap();
        let words = pattern.strip_prefix("^(").unwrap().strip_suffix(")$").unwrap();
        let word: String = word.to_ascii_lowercase();
        words.split('|').any(|w| {
            let mut small = String::new();
            let mut rest = w.chars();
            while let Some(c) = rest.next() {
                small.push(if c == '[' { rest.next().unwrap() } else { c });
                if c == '[' {
                    let large = rest.next().unwrap();
                    assert_eq!(Some(large), small.chars().last().map(|c| c.to_ascii_uppercase()));
                    assert_eq!(rest.next(), Some(']'));
                }
            }
            small == word
        })
    }

    fn as_json(node: &Node) -> Value {
        match &node.value {
            Typed::Null => Value::Null,
            Typed::Bool(b) => json!(b),
            Typed::Integer(i) => json!(i64::try_from(*i).unwrap()),
            Typed::Float(f) => json!(f),
            Typed::Text(s) => json!(s),
            Typed::List(items) => items.iter().map(as_json).collect(),
            Typed::Map(entries) => {
                entries.iter().map(|(k, v)| (k.name.clone(), as_json(v))).collect()
            }
        }
    }

    fn of(text: &str) -> Vec<String> {
        let mut found = violations(&json_schema(), &as_json(&yaml::parse(text, 0).unwrap()), "");
        found.sort();
        found
    }

    fn configurations(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                configurations(&path, found);
            } else if path.extension().is_some_and(|e| e == "yaml") {
                found.push(path);
            }
        }
    }

    #[test]
    fn test_schema__the_checked_in_file_is_what_the_source_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/config.schema.json");
        let schema = format!("{:#}\n", json_schema());
        if std::env::var_os("FOUNDRY_BLESS").is_some() {
            std::fs::write(path, &schema).unwrap();
        }
        let file = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            file == schema,
            "docs/config.schema.json is stale; FOUNDRY_BLESS=1 cargo test -p foundry-models --lib \
             config::schema writes it anew"
        );
    }

    #[test]
    fn test_schema__every_field_is_in_it() {
        let schema = json_schema();
        for (path, _) in RawConfig::SECTION.leaves() {
            let mut at = &schema;
            for step in path.split('.') {
                at = &at["properties"][step];
            }
            assert!(at["description"].as_str().is_some_and(|d| d.len() > 5), "{path}");
            if let Some(default) = at.get("default") {
                assert!(violations(at, default, &path).is_empty(), "{path}: {default}");
            }
        }
        let default = |path: &str| {
            schema.pointer(&format!("/properties/{}/default", path.replace('.', "/properties/")))
        };
        assert_eq!(default("device"), Some(&json!("auto")));
        assert_eq!(default("data.packing"), Some(&json!("pack")));
        assert_eq!(default("training.mask_split"), Some(&json!([0.8, 0.1, 0.1])));
        assert_eq!(default("training.log_base"), Some(&json!(2)));
        assert_eq!(default("training.epochs"), None, "left out, it is nothing");
        assert_eq!(default("model.transformer.embedding_dropout"), None, "that of another field");
    }

    #[test]
    fn test_schema__every_configuration_that_ships_is_valid() {
        let mut paths = Vec::new();
        configurations(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../configs")), &mut paths);
        assert!(paths.len() > 20, "{paths:?}");
        for path in paths {
            let found = of(&std::fs::read_to_string(&path).unwrap());
            assert!(found.is_empty(), "{}: {found:?}", path.display());
        }
    }

    #[test]
    fn test_schema__what_is_wrong_is_found() {
        let good = include_str!("../../../configs/gpt2_tiny.yaml");
        let with = |old: &str, new: &str| {
            assert!(good.contains(old), "{old}");
            of(&good.replace(old, new))
        };
        assert_eq!(of(good), [""; 0]);
        assert_eq!(with("random_seed: 42", "seed: 42"), [": additionalProperties", ": required"]);
        assert_eq!(with("batch_size: 8", "batch_size: eight"), [".data.batch_size: type"]);
        assert_eq!(with("layers: 2", "layers: -2"), [".model.transformer.layers: minimum"]);
        assert_eq!(with("layers: 2", "layers: 2.5"), [".model.transformer.layers: type"]);
        assert_eq!(
            with("architecture: gpt2", "architecture: gtp2"),
            [".model.architecture: anyOf"]
        );
        // As the configuration reads them.
        for fine in ["GELU", "Gelu_New", "null"] {
            assert_eq!(
                with("activation_function: GELU", &format!("activation_function: {fine}")),
                [""; 0]
            );
        }
        assert_eq!(with("experiment_name: gpt2_tiny", "experiment_name: 1.10"), [""; 0]);
    }
}
