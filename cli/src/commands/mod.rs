//! One file a command.

pub(crate) mod bench;
pub(crate) mod compare;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod evaluate;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod generate;
pub(crate) mod gpu_selftest;
pub(crate) mod gradcheck;
pub(crate) mod import;
pub(crate) mod info;
pub(crate) mod init;
pub(crate) mod man;
pub(crate) mod report;
pub(crate) mod schema;
pub(crate) mod selftest;
pub(crate) mod steps;
pub(crate) mod train;
pub(crate) mod validate;
