//! Training: the parts that keep a run safe, and the loop.

pub mod average;
pub mod carried;
pub mod checkpoint;
pub mod checkpoint_schedule;
pub mod counts;
pub mod learning_rate;
pub mod lock;
pub mod log;
pub mod loss_scale;
pub mod manifest;
pub mod metrics;
mod objective;
pub mod plateau;
pub mod run;
pub mod run_folder;
pub mod run_length;
pub mod signals;
pub mod tensorboard;
pub mod trainer;
pub mod weights;
pub mod windows;
