//! Training: the parts that keep a run safe, and the loop.

pub mod checkpoint;
pub mod manifest;
pub mod metrics;
pub mod signals;
pub mod tensorboard;
