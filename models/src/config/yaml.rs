//! YAML text to a located tree, and back: the only module that names the YAML crate.
//!
//! The parser is asked for a generic tree and not for the configuration's structs, because a
//! command line may still change the tree (`--set`), and because every later message wants the
//! place of a value: each node keeps its line, column and width, and each scalar its own spelling
//! (so that `experiment_name: 1.10` stays `1.10`).
//!
//! Hostile input is bounded here: file size, nesting, number of nodes and of alias expansions;
//! duplicate keys, merge keys, several documents and numbers that are not finite are refused.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy, Spanned};

use super::node::{At, Key, Node, Value};

/// The largest configuration file that is read, in bytes.
pub(crate) const MAX_BYTES: usize = 256 * 1024;

/// Why a text is not the YAML that was wanted.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub(crate) message: String,
    pub(crate) at: Option<At>,
}

/// Parses one YAML document. `source` is the number that the places in the tree will carry.
pub(crate) fn parse(text: &str, source: usize) -> Result<Node, SyntaxError> {
    if text.len() > MAX_BYTES {
        let message = format!(
            "the configuration has {} bytes; at most {MAX_BYTES} are read (it is no data file)",
            text.len()
        );
        return Err(SyntaxError { message, at: None });
    }
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_depth: 32,
            max_nodes: 50_000,
            max_aliases: 200,
            max_documents: 1,
        },
        alias_limits: serde_yaml::alias_limits! {
            max_total_replayed_events: 20_000,
            max_replay_stack_depth: 8,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        non_finite_float_policy: NonFiniteFloatPolicy::Reject,
        with_snippet: false,
    };
    let tree: Tree = serde_yaml::from_str_with_options(text, options).map_err(|e| SyntaxError {
        message: words(e.without_snippet()),
        at: e.location().map(|l| place(l, source)),
    })?;
    Ok(tree.into_node(text, source))
}

/// Writes a value as YAML.
pub(crate) fn emit<T: serde::Serialize>(value: &T) -> Result<String, String> {
    serde_yaml::to_string(value).map_err(|e| e.to_string())
}

/// The parser's message without the place, which is shown better, and without its own options,
/// which no user can set.
fn words(error: &serde_yaml::Error) -> String {
    match error {
        serde_yaml::Error::DuplicateMappingKey { key, .. } => {
            format!("duplicate key '{}': remove one of the two", key.as_deref().unwrap_or("?"))
        }
        serde_yaml::Error::NonFiniteFloat { value, .. } => {
            format!("numbers must be finite, found {value}")
        }
        other => {
            let message = other.to_string();
            let end = message.rfind(" at line ").unwrap_or(message.len());
            message[..end].to_owned()
        }
    }
}

fn place(location: serde_yaml::Location, source: usize) -> At {
    let small = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    At {
        source,
        line: small(location.line()).max(1),
        column: small(location.column()).max(1),
        width: small(location.span().len()).max(1),
    }
}

/// What serde sees: a node before its spelling is cut out of the text.
struct Tree {
    content: Content,
    used: serde_yaml::Location,
    defined: serde_yaml::Location,
}

enum Content {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Tree>),
    Map(Vec<(Spanned<String>, Tree)>),
}

impl Tree {
    fn into_node(self, text: &str, source: usize) -> Node {
        let spelling = || {
            let span = self.defined.span();
            let start = usize::try_from(span.byte_offset()?).ok()?;
            let end = start.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
            text.get(start..end).map(|s| s.trim().to_owned())
        };
        let (value, spelling) = match self.content {
            Content::Null => (Value::Null, None),
            Content::Bool(b) => (Value::Bool(b), spelling()),
            Content::Integer(i) => (Value::Integer(i), spelling()),
            Content::Float(f) => (Value::Float(f), spelling()),
            Content::Text(s) => (Value::Text(s), None),
            Content::List(items) => {
                let items = items.into_iter().map(|t| t.into_node(text, source)).collect();
                (Value::List(items), None)
            }
            Content::Map(entries) => {
                let entry = |(key, tree): (Spanned<String>, Tree)| {
                    let at = place(key.referenced, source);
                    (Key { name: key.value, at }, tree.into_node(text, source))
                };
                (Value::Map(entries.into_iter().map(entry).collect()), None)
            }
        };
        Node { at: place(self.used, source), value, spelling }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, defined, .. } = Spanned::<Content>::deserialize(d)?;
        Ok(Self { content: value, used: referenced, defined })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }
    fn visit_unit<E: de::Error>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }
    fn visit_none<E: de::Error>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }
    fn visit_bool<E: de::Error>(self, v: bool) -> Result<Content, E> {
        Ok(Content::Bool(v))
    }
    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Content, E> {
        Ok(Content::Integer(v.into()))
    }
    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Content, E> {
        Ok(Content::Integer(v.into()))
    }
    fn visit_i128<E: de::Error>(self, v: i128) -> Result<Content, E> {
        Ok(Content::Integer(v))
    }
    fn visit_u128<E: de::Error>(self, v: u128) -> Result<Content, E> {
        Ok(Content::Integer(i128::try_from(v).unwrap_or(i128::MAX)))
    }
    fn visit_f64<E: de::Error>(self, v: f64) -> Result<Content, E> {
        if !v.is_finite() {
            return Err(E::custom("numbers must be finite"));
        }
        Ok(Content::Float(v))
    }
    fn visit_str<E: de::Error>(self, v: &str) -> Result<Content, E> {
        Ok(Content::Text(v.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut a: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = a.next_element()? {
            items.push(item);
        }
        Ok(Content::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut a: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = a.next_entry()? {
            entries.push(entry);
        }
        Ok(Content::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> SyntaxError {
        parse(text, 0).expect_err("should be refused")
    }

    #[test]
    fn test_yaml__places_and_spellings_are_kept() {
        let node = parse("a:\n  name: 1.10\n  other: [1, two]\n", 0).unwrap();
        let name = node.find("a.name").unwrap();
        assert_eq!((name.at.line, name.at.column, name.at.width), (2, 9, 4));
        assert_eq!(name.spelling.as_deref(), Some("1.10"));
        let Value::List(items) = &node.find("a.other").unwrap().value else { panic!("no list") };
        assert_eq!((items[1].at.line, items[1].at.column, items[1].at.width), (3, 14, 3));
        let (key, _) = node.entry("a.other").unwrap();
        assert_eq!((key.at.line, key.at.column, key.at.width), (3, 3, 5));
    }

    #[test]
    fn test_yaml__an_alias_is_placed_where_it_is_used() {
        let node = parse("a: &x 12\nb: *x\n", 0).unwrap();
        let b = node.find("b").unwrap();
        assert_eq!(b.at.line, 2);
        assert_eq!(b.spelling.as_deref(), Some("12"));
    }

    #[test]
    fn test_yaml__numbers_that_are_not_finite_are_refused() {
        for text in ["a: .nan", "a: .inf", "a: -.inf", "a: 1e400"] {
            let error = refused(text);
            assert_eq!(error.at.expect("a place").line, 1, "{text}: {}", error.message);
        }
    }

    #[test]
    fn test_yaml__a_duplicate_key_is_refused_at_its_second_place() {
        let error = refused("a: 1\nb: 2\na: 3\n");
        assert_eq!(error.at.expect("a place").line, 3);
        assert!(error.message.contains("duplicate"), "{}", error.message);
    }

    #[test]
    fn test_yaml__bombs_are_refused_quickly() {
        let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..12 {
            let refs = vec![format!("*a{}", i - 1); 10].join(", ");
            laughs.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
        }
        refused(&laughs);
        refused(&"[".repeat(100_000));
        refused(&format!("a: {}\n", "x".repeat(MAX_BYTES)));
        refused(&format!("a: [{}]\n", "1, ".repeat(60_000)));
    }

    #[test]
    fn test_yaml__broken_text_is_refused_with_a_place() {
        for (text, line) in [("a: 1\n\tb: 2\n", 2), ("a: [1, 2\nb: 3", 2), ("a: 1\n b: 2\n", 2)] {
            let error = refused(text);
            let at = error.at.expect("a place");
            assert!(at.line >= line - 1, "{text:?}: {} at {at:?}", error.message);
        }
    }
}
