//! From a file and the command line's `--set` to a checked [`Config`].

use std::path::Path;

use serde::Deserialize;

use super::check::Check;
use super::memory::machine_memory;
use super::node::{Node, Value};
use super::problem::Source;
use super::raw::RawConfig;
use super::validated::missing_architecture;
use super::{Config, ConfigError, memory, names, yaml};

impl Config {
    /// Reads, overrides and checks a configuration file. Nothing but the file is touched.
    ///
    /// An override is a dotted path and a YAML value: `("training.learning_rate", "1e-4")`. They
    /// are applied in order, and each must name a field that exists.
    ///
    /// # Errors
    /// [`ConfigError`]: the file is not there, not readable, not UTF-8, not YAML, or says
    /// something that cannot be done; then with every problem that was found.
    pub fn load(path: &Path, overrides: &[(String, String)]) -> Result<Self, ConfigError> {
        let bytes = std::fs::read(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => ConfigError::NotFound {
                path: path.to_owned(),
                tried: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
            },
            _ => ConfigError::Unreadable { path: path.to_owned(), source },
        })?;
        let text = String::from_utf8(bytes).map_err(|e| ConfigError::NotUtf8 {
            path: path.to_owned(),
            byte: e.utf8_error().valid_up_to(),
        })?;
        Self::parse(&text, &path.display().to_string(), overrides)
    }

    /// [`Config::load`] for a text that is already in memory; `name` stands in messages.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with every problem that was found.
    pub fn parse(
        text: &str,
        name: &str,
        overrides: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        resolve(text, name, overrides, |config, c| memory::check(config, machine_memory(), c))
    }
}

/// A configuration that is valid, whether or not this build and this machine can do what it asks for.
pub(super) fn valid(text: &str, name: &str) -> Result<Config, ConfigError> {
    resolve(text, name, &[], |_, _| {})
}

/// The tree of a text that is a mapping.
pub(super) fn mapping(text: &str, name: &str) -> Result<Node, ConfigError> {
    let sources = [Source { name: name.to_owned(), text: text.to_owned(), lines: true }];
    let tree = tree(&sources, &[])?;
    match no_mapping(&tree, &sources) {
        Some(error) => Err(error),
        None => Ok(tree),
    }
}

fn no_mapping(tree: &Node, sources: &[Source]) -> Option<ConfigError> {
    if matches!(tree.value, Value::Map(_)) {
        return None;
    }
    let mut c = Check::new(tree, sources);
    c.problem("", "a configuration is a mapping: lines of 'key: value'")
        .help("'foundry init' writes one to start from");
    Some(ConfigError::Invalid { problems: c.into_problems() })
}

/// From the text to the configuration; `last` is the final check, on a configuration that is valid by all others.
fn resolve(
    text: &str,
    name: &str,
    overrides: &[(String, String)],
    last: impl FnOnce(&Config, &mut Check<'_>),
) -> Result<Config, ConfigError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut sources = vec![Source { name: name.to_owned(), text: text.to_owned(), lines: true }];
    for (field, value) in overrides {
        let name = format!("--set {field}={value}");
        sources.push(Source { name, text: value.clone(), lines: false });
    }
    let tree = tree(&sources, overrides)?;

    if let Some(error) = no_mapping(&tree, &sources) {
        return Err(error);
    }
    let mut c = Check::new(&tree, &sources);
    names::check(&tree, &mut c);
    let raw = match RawConfig::deserialize(&tree) {
        Ok(raw) => raw,
        Err(fault) => {
            // An old, flat model block has no architecture either; better to hear of both.
            if tree.find("model").is_some() && !c.typed("model.architecture") {
                missing_architecture(&mut c);
            }
            // An unknown key has been said already, with more help.
            let said = !c.is_clean() && fault.message.starts_with("unknown field");
            if !said {
                let meaning = super::check::root().at(&fault.path).map(|f| f.text());
                c.problem_at(&fault.path, fault.at, fault.message).help = meaning;
            }
            return refuse(c);
        }
    };
    let config = Config::resolve(raw, &mut c);
    if c.is_clean() {
        last(&config, &mut c);
    }
    if c.is_clean() { Ok(config) } else { refuse(c) }
}

fn refuse<T>(c: Check<'_>) -> Result<T, ConfigError> {
    Err(ConfigError::Invalid { problems: c.into_problems() })
}

/// Parses the file and puts the overrides into its tree.
fn tree(sources: &[Source], overrides: &[(String, String)]) -> Result<Node, ConfigError> {
    let parse = |i: usize| {
        yaml::parse(&sources[i].text, i).map_err(|e| {
            let nothing = Node {
                at: super::node::At { source: i, line: 1, column: 1, width: 1 },
                value: Value::Null,
                spelling: None,
            };
            let mut c = Check::new(&nothing, sources);
            c.problem_at("", Some(e.at.unwrap_or(nothing.at)), e.message);
            ConfigError::Invalid { problems: c.into_problems() }
        })
    };
    let mut tree = parse(0)?;
    for (i, (field, _)) in overrides.iter().enumerate() {
        let new = parse(i + 1)?;
        if let Err((message, help)) = names::check_override(field) {
            let mut c = Check::new(&tree, sources);
            c.problem_at(field, Some(new.at), message).help(help);
            return refuse(c);
        }
        tree.set(field, new);
    }
    Ok(tree)
}
