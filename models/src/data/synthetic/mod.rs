//! Text made by a grammar: a corpus whose every regularity is known, and minimal pairs that test for them.
//!
//! A grammar file (`docs/grammar.md` describes the format, `configs/grammars/english.grammar` is one) holds weighted
//! context-free rules whose symbols have features; a variable such as `?n` has one value throughout its rule, which
//! is how a verb agrees with its subject whatever stands between them. From it come
//!
//! - a corpus, one sentence a line ([`write_corpus`]): sentence `i` is a pure function of (grammar, seed, `i`);
//! - minimal pairs ([`minimal_pairs`], [`write_pairs`]) for each phenomenon that the grammar declares;
//! - a judge ([`Recogniser`]) that tells sentences of the grammar from others.
//!
//! The stages, a file each: `lex` -> `parse` (to `syntax`) -> `resolve` (to `resolution`: no more names) -> `expand`
//! (unification) -> `analyse` (does everything end, is everything used) -> `compile` (probabilities; to `grammar`)
//! -> `generate`, `accept`, `pairs`.

mod accept;
mod analyse;
mod compile;
mod cursor;
mod error;
mod expand;
mod generate;
mod grammar;
mod lex;
mod pairs;
mod parse;
mod resolution;
mod resolve;
mod syntax;
#[cfg(test)]
mod tests;

pub use accept::Recogniser;
pub use error::GrammarError;
pub use generate::{CorpusStats, Sampler, write_corpus};
pub use grammar::{Grammar, built_in, grammar_text};
pub use pairs::{MinimalPair, Phenomenon, minimal_pairs, write_pairs};
