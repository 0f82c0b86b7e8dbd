//! What a configuration can say, as data: the reference page, the JSON schema, the check of names
//! and the did-you-mean all walk the list that `sections!` draws from the structs of
//! [`super::raw`], so none of them can disagree with what is parsed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::choices::Choice;

/// A section of the configuration: a struct of [`super::raw`].
#[derive(Debug)]
pub struct Section {
    /// The lines of its documentation.
    pub doc: &'static [&'static str],
    /// Its fields, in the order of the documentation.
    pub fields: &'static [Field],
}

/// One field of a section.
#[derive(Debug)]
pub struct Field {
    /// The key.
    pub name: &'static str,
    /// The lines of its documentation: meaning and unit.
    pub doc: &'static [&'static str],
    /// The default in YAML's own words, `required`, or a phrase.
    pub default: &'static str,
    /// What may stand there.
    pub kind: Kind,
}

/// The type of a field.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A whole number, 0 or more.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Flag,
    /// A text.
    Text,
    /// A path, relative to the current directory.
    Path,
    /// One of these words, in any letter case.
    Choice(&'static [&'static str]),
    /// A list.
    List(&'static Kind),
    /// Keys and values that the user names.
    Map,
    /// A section.
    Section(&'static Section),
}

/// A type that a field can have.
pub trait FieldType {
    /// How the reference and the schema describe it.
    const KIND: Kind;
}

impl FieldType for u64 {
    const KIND: Kind = Kind::Integer;
}
impl FieldType for f64 {
    const KIND: Kind = Kind::Number;
}
impl FieldType for bool {
    const KIND: Kind = Kind::Flag;
}
impl FieldType for String {
    const KIND: Kind = Kind::Text;
}
impl FieldType for PathBuf {
    const KIND: Kind = Kind::Path;
}
impl<C: Choice> FieldType for C {
    const KIND: Kind = Kind::Choice(C::NAMES);
}
impl<T: FieldType> FieldType for Vec<T> {
    const KIND: Kind = Kind::List(&T::KIND);
}
impl<V> FieldType for BTreeMap<String, V> {
    const KIND: Kind = Kind::Map;
}

/// Declares the structs of the configuration as they are typed: every field is an `Option`
/// (absent and `null` are the same: the default holds), its comment is its documentation, and
/// the literal after `=` is the default that the documentation names.
macro_rules! sections {
    ($( $(#[doc = $doc:literal])+ $Name:ident {
        $( $(#[doc = $fdoc:literal])+ $field:ident: $Type:ty = $default:literal, )+
    } )+) => { $(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $Name { $(
            $(#[doc = $fdoc])+
            #[serde(skip_serializing_if = "Option::is_none")]
            pub $field: Option<$Type>,
        )+ }

        impl $Name {
            /// The section as the documentation lists it.
            pub const SECTION: $crate::config::fields::Section = $crate::config::fields::Section {
                doc: &[$($doc),+],
                fields: &[$( $crate::config::fields::Field {
                    name: $crate::config::fields::key(stringify!($field)),
                    doc: &[$($fdoc),+],
                    default: $default,
                    kind: <$Type as $crate::config::fields::FieldType>::KIND,
                } ),+],
            };
        }

        impl $crate::config::fields::FieldType for $Name {
            const KIND: $crate::config::fields::Kind =
                $crate::config::fields::Kind::Section(&Self::SECTION);
        }
    )+ };
}
pub(crate) use sections;

/// The YAML key of a Rust field name (`r#type` is `type`).
pub(crate) const fn key(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

impl Section {
    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// The field at a dotted path, list indices left out.
    pub fn at(&self, path: &str) -> Option<&'static Field> {
        let mut section = self;
        let mut found = None;
        for step in path.split('.').filter(|s| s.parse::<usize>().is_err()) {
            let field = section.field(step)?;
            found = Some(field);
            section = match field.kind {
                Kind::Section(s) | Kind::List(&Kind::Section(s)) => s,
                Kind::Map => return found,
                _ => &EMPTY,
            };
        }
        found
    }

    /// Every field that is not itself a section, with its dotted path.
    pub fn leaves(&self) -> Vec<(String, &'static Field)> {
        let mut leaves = Vec::new();
        self.collect("", &mut leaves);
        leaves
    }

    fn collect(&self, prefix: &str, leaves: &mut Vec<(String, &'static Field)>) {
        for field in self.fields {
            let path = format!("{prefix}{}", field.name);
            match field.kind {
                Kind::Section(s) => s.collect(&format!("{path}."), leaves),
                _ => leaves.push((path, field)),
            }
        }
    }
}

const EMPTY: Section = Section { doc: &[], fields: &[] };

impl Field {
    /// The documentation as one line.
    pub fn text(&self) -> String {
        one_line(self.doc)
    }
}

/// Joins the lines of a documentation comment.
pub(crate) fn one_line(doc: &[&str]) -> String {
    doc.iter().map(|l| l.trim()).collect::<Vec<_>>().join(" ")
}
