//! Layers: parameters and the ops that use them. Names are those of the checkpoints' formats.

mod activation;
mod conv1d;
mod embedding;
mod layer_norm;
mod linear;
mod recurrent;

pub use activation::activate;
pub use conv1d::Conv1D;
pub use embedding::Embedding;
pub use layer_norm::LayerNorm;
pub use linear::{Bias, Linear};
pub use recurrent::{Cell, Recurrent, RnnState};
