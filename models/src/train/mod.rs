//! Training: the parts that keep a run safe, and the loop.

pub mod checkpoint;
pub mod lock;
pub mod manifest;
pub mod metrics;
pub mod run_folder;
pub mod signals;
pub mod tensorboard;
