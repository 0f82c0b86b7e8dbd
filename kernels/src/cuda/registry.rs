//! All PTX texts.

/// A PTX text and the kernels in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// The name of the file in `kernels/ptx`.
    pub file: &'static str,
    /// The PTX text.
    pub text: &'static str,
}

macro_rules! sources {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {
        $($(#[$doc])* pub static $name: Source =
            Source { file: $file, text: include_str!(concat!("../../ptx/", $file)) };)*

        /// Every text, in alphabetical order.
        pub static ALL: &[&Source] = &[$(&$name),*];
    };
}

sources! {
    /// Non-linear functions and their gradients, or their slopes.
    ACTIVATION = "activation.ptx";
    /// One step of AdamW.
    ADAMW = "adamw.ptx";
    /// Attention.
    ATTENTION = "attention.ptx";
    /// Softmax cross-entropy.
    CROSS_ENTROPY = "cross_entropy.ptx";
    /// Dropout.
    DROPOUT = "dropout.ptx";
    /// Arithmetic and copies.
    ELEMENTWISE = "elementwise.ptx";
    /// Rows of a table, and the gradient of the table.
    EMBEDDING = "embedding.ptx";
    /// One value everywhere.
    FILL = "fill.ptx";
    /// GELU, alone and with its slope.
    GELU = "gelu.ptx";
    /// Matrix products in single precision.
    GEMM_F32 = "gemm_f32.ptx";
    /// A step of a GRU.
    GRU_CELL = "gru_cell.ptx";
    /// Whether an update may happen.
    JUDGE = "judge.ptx";
    /// Layer normalisation.
    LAYER_NORM = "layer_norm.ptx";
    /// A step of an LSTM.
    LSTM_CELL = "lstm_cell.ptx";
    /// Sums, and the clipping of gradients.
    REDUCE = "reduce.ptx";
    /// Sequences from their ends.
    REVERSE = "reverse.ptx";
    /// A step of a vanilla RNN.
    RNN_CELL = "rnn_cell.ptx";
    /// One step of stochastic gradient descent.
    SGD = "sgd.ptx";
    /// Softmax and its logarithm.
    SOFTMAX = "softmax.ptx";
}
