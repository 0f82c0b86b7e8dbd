//! One YAML file, one experiment.
//!
//! A configuration passes through two levels. What was **typed** ([`raw`]) mirrors the file: every
//! field optional, unknown keys refused. What it **means** ([`Config`]) has every default resolved
//! and every rule checked, before any tensor or file is made; the rest of Foundry sees only this.
//!
//! ```text
//! text --yaml--> located tree --(--set)--> RawConfig --resolve--> Config --to_yaml--> text
//! ```
//!
//! The tree keeps line and column of every value, so a message can show the line it speaks of; the
//! notebook of `check` collects all problems, so a user mends a file in one go.

pub(crate) mod check;
pub mod choices;
pub mod fields;
mod freeze;
mod load;
pub mod memory;
pub mod migrate;
mod names;
mod node;
mod problem;
pub mod raw;
pub mod reference;
pub mod schema;
pub mod template;
mod validated;
mod yaml;

#[cfg(test)]
mod tests;

pub use freeze::FieldChange;
pub use names::check_field;
pub(crate) use names::closest;
pub use problem::{ConfigError, Place, Problem};
pub use validated::*;
