//! The located tree that a configuration is, between YAML text and typed structs.

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

/// A place in a source text. Lines and columns count from 1, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    /// Which text: 0 is the file, `i` is the `i`-th `--set`.
    pub(crate) source: usize,
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) width: usize,
}

/// A mapping's key with its place.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) at: At,
}

/// A value with its place and, for a plain number or boolean, its own spelling.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) value: Value,
    pub(crate) spelling: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

impl Node {
    /// The entries of a mapping; nothing for any other value.
    pub(crate) fn entries(&self) -> &[(Key, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The entry at a dotted path. A step that is a number selects an item of a list, which has
    /// no key; so a path that ends in one has no entry.
    pub(crate) fn entry(&self, path: &str) -> Option<(&Key, &Node)> {
        let (parent, last) = match path.rsplit_once('.') {
            Some((parent, last)) => (self.find(parent)?, last),
            None => (self, path),
        };
        parent.entries().iter().find(|(k, _)| k.name == last).map(|(k, n)| (k, n))
    }

    /// The node at a dotted path.
    pub(crate) fn find(&self, path: &str) -> Option<&Node> {
        let mut node = self;
        for step in path.split('.') {
            node = match &node.value {
                Value::List(items) => items.get(step.parse::<usize>().ok()?)?,
                _ => &node.entries().iter().find(|(k, _)| k.name == step)?.1,
            };
        }
        Some(node)
    }

    /// Puts `new` at a dotted path, making the mappings on the way; a number is the place in a list that is there.
    pub(crate) fn set(&mut self, path: &str, new: Node) {
        let at = new.at;
        let (first, rest) = path.split_once('.').map_or((path, None), |(f, r)| (f, Some(r)));
        if let Value::List(items) = &mut self.value
            && let Some(item) = first.parse::<usize>().ok().and_then(|i| items.get_mut(i))
        {
            return match rest {
                Some(rest) => item.set(rest, new),
                None => *item = new,
            };
        }
        if !matches!(self.value, Value::Map(_)) {
            self.value = Value::Map(Vec::new());
        }
        let Value::Map(entries) = &mut self.value else { return };
        let index = entries.iter().position(|(k, _)| k.name == first).unwrap_or_else(|| {
            let key = Key { name: first.to_owned(), at };
            entries.push((key, Node { at, value: Value::Null, spelling: None }));
            entries.len() - 1
        });
        let (key, child) = &mut entries[index];
        match rest {
            Some(rest) => child.set(rest, new),
            None => {
                key.at = at;
                *child = new;
            }
        }
    }

    /// What was found here, in words.
    fn words(&self) -> String {
        let spelling = || self.spelling.as_deref().unwrap_or_default();
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(b) => format!("the boolean {b}"),
            Value::Integer(i) => format!("the whole number {i}"),
            Value::Float(_) => format!("the number {}", spelling()),
            Value::Text(s) => format!("the text '{s}'"),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a section (key: value lines)".to_owned(),
        }
    }

    fn fault(&self, expected: &str) -> Fault {
        Fault::here(self.at, format!("expected {expected}, found {}", self.words()))
    }
}

/// Why a tree does not fit the structs of [`super::raw`].
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) message: String,
    pub(crate) at: Option<At>,
    /// Dotted path, outermost first.
    pub(crate) path: String,
}

impl Fault {
    fn here(at: At, message: String) -> Self {
        Self { message, at: Some(at), path: String::new() }
    }

    fn within(mut self, step: &str, at: At) -> Self {
        self.path = match self.path.is_empty() {
            true => step.to_owned(),
            false => format!("{step}.{}", self.path),
        };
        self.at = self.at.or(Some(at));
        self
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), at: None, path: String::new() }
    }
}

/// The types decide how a scalar is read: a plain `1.10` is a text where a text is wanted.
impl<'de> de::Deserializer<'de> for &'de Node {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Fault> {
        let result = match &self.value {
            Value::Null => v.visit_unit(),
            Value::Bool(b) => v.visit_bool(*b),
            Value::Integer(i) => match (u64::try_from(*i), i64::try_from(*i)) {
                (Ok(i), _) => v.visit_u64(i),
                (_, Ok(i)) => v.visit_i64(i),
                _ => return Err(self.fault("a whole number of 64 bits")),
            },
            Value::Float(f) => v.visit_f64(*f),
            Value::Text(s) => v.visit_borrowed_str(s),
            Value::List(items) => v.visit_seq(Items { items, next: 0 }),
            Value::Map(entries) => v.visit_map(Entries { entries, next: 0 }),
        };
        result.map_err(|e: Fault| Fault { at: e.at.or(Some(self.at)), ..e })
    }

    fn deserialize_u64<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Integer(i) => match u64::try_from(i) {
                Ok(i) => v.visit_u64(i),
                Err(_) => Err(self.fault("a whole number from 0 to 2^64 - 1")),
            },
            Value::Float(f) if f.fract() == 0.0 && (0.0..=9e15).contains(&f) => Err(Fault::here(
                self.at,
                format!("expected a whole number, found {}: write {f:.0}", self.words()),
            )),
            _ => Err(self.fault("a whole number")),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Fault> {
        match self.value {
            #[expect(clippy::cast_precision_loss, reason = "a number typed where a float is meant")]
            Value::Integer(i) => v.visit_f64(i as f64),
            Value::Float(f) => v.visit_f64(f),
            _ => Err(self.fault("a number")),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Bool(b) => v.visit_bool(b),
            _ => Err(self.fault("true or false")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Fault> {
        let result = match (&self.value, &self.spelling) {
            (Value::Text(s), _) | (_, Some(s)) => v.visit_borrowed_str(s),
            _ => Err(self.fault("a text")),
        };
        result.map_err(|e: Fault| Fault { at: e.at.or(Some(self.at)), ..e })
    }

    fn deserialize_string<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Fault> {
        self.deserialize_str(v)
    }

    fn deserialize_option<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Null => v.visit_none(),
            _ => v.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::List(items) => v.visit_seq(Items { items, next: 0 }),
            _ => Err(self.fault("a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Map(entries) => v.visit_map(Entries { entries, next: 0 }),
            _ => Err(self.fault("a section (key: value lines)")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        v: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(v)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 char bytes byte_buf unit unit_struct
        newtype_struct tuple tuple_struct enum identifier ignored_any
    }
}

struct Items<'de> {
    items: &'de [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let Some(item) = self.items.get(self.next) else { return Ok(None) };
        let step = self.next.to_string();
        self.next += 1;
        seed.deserialize(item).map(Some).map_err(|e| e.within(&step, item.at))
    }
}

struct Entries<'de> {
    entries: &'de [(Key, Node)],
    next: usize,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some((key, _)) = self.entries.get(self.next) else { return Ok(None) };
        let name: StrDeserializer<'_, Fault> = key.name.as_str().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|e| e.within(&key.name, key.at))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let Some((key, node)) = self.entries.get(self.next) else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        self.next += 1;
        seed.deserialize(node).map_err(|e| e.within(&key.name, node.at))
    }
}
