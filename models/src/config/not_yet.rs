//! What the configuration can say and this build cannot do yet. Such a configuration is valid,
//! parsed and checked like any other; [`check`] is the only place that refuses it. Building a
//! feature ends with deleting its line here.

use super::Config;
use super::check::Check;
use super::choices::Precision;

struct NotYet {
    /// The field to point at.
    field: &'static str,
    /// What is asked for, as the subject of "... is not available yet".
    what: &'static str,
    /// Whether a configuration asks for it.
    asked: fn(&Config) -> bool,
}

const LIST: &[NotYet] = &[NotYet {
    field: "precision",
    what: "mixed precision",
    asked: |c| c.precision != Precision::Fp32,
}];

/// Writes down everything that `config` asks for and this build cannot do.
pub(crate) fn check(config: &Config, c: &mut Check<'_>) {
    for item in LIST.iter().filter(|item| (item.asked)(config)) {
        c.problem(item.field, format!("{} is not available yet", item.what))
            .help("the README lists what works and what is not yet there");
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::Section;
    use super::super::raw::RawConfig;
    use super::*;

    #[test]
    fn test_not_yet__every_line_names_a_field() {
        let root: &Section = &RawConfig::SECTION;
        for item in LIST {
            assert!(root.at(item.field).is_some(), "{}", item.field);
        }
    }
}
