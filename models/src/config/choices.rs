//! The words that a configuration can choose from, each list in one place.
//!
//! A choice is read in any letter case and written in lower case; an unknown word is refused with
//! the whole list.

/// What every choice can tell about itself.
pub trait Choice: Copy + Sized + 'static {
    /// All words, in the order of the documentation.
    const NAMES: &'static [&'static str];
    /// The word as the configuration writes it.
    fn name(self) -> &'static str;
    /// Reads a word in any letter case.
    ///
    /// # Errors
    /// The sentence that names the unknown word and lists the known ones.
    fn parse(word: &str) -> Result<Self, String>;
}

macro_rules! choices {
    ($( $(#[$doc:meta])* $Name:ident ($noun:literal, $list:literal) {
        $( $(#[$vdoc:meta])* $Variant:ident = $word:literal, )+
    } )+) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $Name { $( $(#[$vdoc])* $Variant, )+ }

        impl $Name {
            /// All of them, in the order of the documentation.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$Variant),+];

            /// The word as the configuration writes it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$Variant => $word, )+ }
            }
        }

        impl Choice for $Name {
            const NAMES: &'static [&'static str] = &[$($word),+];

            fn name(self) -> &'static str {
                self.name()
            }

            fn parse(word: &str) -> Result<Self, String> {
                match word.to_ascii_lowercase() {
                    $( w if w == $word.to_ascii_lowercase() => Ok(Self::$Variant), )+
                    _ => Err(format!(
                        "Unknown {}: '{word}'. {}: {}", $noun, $list, Self::NAMES.join(", ")
                    )),
                }
            }
        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl serde::Serialize for $Name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $Name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let word = <String as serde::Deserialize>::deserialize(d)?;
                Self::parse(&word).map_err(serde::de::Error::custom)
            }
        }
    )+ };
}

choices! {
    /// The number format of training.
    Precision("precision", "Must be one of") {
        /// 32-bit floats throughout.
        Fp32 = "fp32",
        /// Mixed precision: bfloat16 arithmetic, 32-bit master weights.
        Bf16 = "bf16",
        /// Mixed precision: half-precision arithmetic with loss scaling, 32-bit master weights.
        Fp16 = "fp16",
    }

    /// What one unit of a corpus is.
    Unit("unit", "Must be one of") {
        /// One utterance a line; empty lines are skipped and counted.
        Line = "line",
        /// A file is one stream: newlines and blank lines are kept.
        Document = "document",
    }

    /// How held-out text is cut from the training corpus.
    ValidationSplit("validation split", "Must be one of") {
        /// Blocks spread evenly over the corpus.
        Blocks = "blocks",
        /// The last fraction of the characters.
        Tail = "tail",
    }

    /// How units become sequences of equal length.
    Packing("packing policy", "Must be one of") {
        /// Units are joined and cut in blocks; only the last partial block is dropped.
        Pack = "pack",
        /// One unit a sequence, padded.
        Sentence = "sentence",
        /// The original's rule: every unit shorter than a block is dropped.
        DropShort = "drop_short",
    }

    /// The token that stands between packed units.
    Boundary("boundary token", "Must be one of") {
        /// The end token after each unit.
        Eos = "eos",
        /// The begin token before and the end token after each unit.
        BosEos = "bos_eos",
        /// Nothing.
        None = "none",
    }

    /// A step of `dataset_manipulation`.
    Manipulation("manipulation type", "Must be one of") {
        /// Removes a, an, the.
        RemoveArticles = "remove_articles",
        /// Removes every word of a list.
        RemoveWords = "remove_words",
        /// Replaces words by a table.
        ReplaceWords = "replace_words",
        /// Replaces what a regular expression matches.
        RegexReplace = "regex_replace",
        /// Removes expletive subjects (needs parses).
        RemoveExpletives = "remove_expletives",
        /// Turns every determiner into "the" (needs parses).
        ImpoverishDeterminers = "impoverish_determiners",
        /// Turns every verb into its lemma (needs parses).
        LemmatizeVerbs = "lemmatize_verbs",
        /// Removes pronominal subjects (needs parses).
        RemoveSubjectPronominals = "remove_subject_pronominals",
        /// Runs an external program.
        Command = "command",
    }

    /// The kind of tokenizer.
    TokenizerKind("tokenizer type", "Supported types") {
        /// SentencePiece: unigram or bpe over raw text.
        Sentencepiece = "sentencepiece",
        /// WordPiece, as BERT's.
        Wordpiece = "wordpiece",
        /// Byte-level byte-pair encoding, as GPT-2's.
        Bpe = "bpe",
        /// One token a Unicode scalar value.
        Character = "character",
    }

    /// The model inside a SentencePiece tokenizer.
    SentencePieceModel("model type", "Must be one of") {
        /// Unigram language model.
        Unigram = "unigram",
        /// Byte-pair encoding.
        Bpe = "bpe",
    }

    /// The model family.
    Architecture("architecture", "Available architectures") {
        /// Decoder-only transformer, pre-LN.
        Gpt2 = "gpt2",
        /// Encoder transformer, post-LN, masked-LM head.
        Bert = "bert",
        /// Long short-term memory.
        Lstm = "lstm",
        /// Gated recurrent unit.
        Gru = "gru",
        /// Vanilla (Elman) recurrent network.
        Rnn = "rnn",
    }

    /// The feed-forward non-linearity of a transformer.
    Activation("activation function", "Must be one of") {
        /// x Phi(x), exact.
        Gelu = "gelu",
        /// The tanh approximation of GPT-2.
        GeluNew = "gelu_new",
        /// max(0, x).
        Relu = "relu",
        /// x sigmoid(x).
        Silu = "silu",
        /// Hyperbolic tangent.
        Tanh = "tanh",
    }

    /// The state non-linearity of a vanilla RNN.
    Nonlinearity("nonlinearity", "Must be one of") {
        /// Hyperbolic tangent.
        Tanh = "tanh",
        /// max(0, x).
        Relu = "relu",
    }

    /// The recurrent cell, as `model.rnn.rnn_type` names it.
    RnnType("rnn_type", "Must be one of") {
        /// Vanilla.
        Rnn = "rnn",
        /// LSTM.
        Lstm = "lstm",
        /// GRU.
        Gru = "gru",
    }

    /// What a model is trained to predict.
    Objective("training objective", "Must be one of") {
        /// The next token.
        CausalLm = "causal_lm",
        /// Tokens that were masked.
        MaskedLm = "masked_lm",
    }

    /// Which tokens are masked together.
    Masking("masking", "Must be one of") {
        /// Single tokens.
        Token = "token",
        /// All tokens of a word.
        WholeWord = "whole_word",
        /// Spans of words.
        Span = "span",
    }

    /// The update rule.
    Optimizer("optimizer", "Must be one of") {
        /// Adam with decoupled weight decay.
        AdamW = "adamw",
        /// Stochastic gradient descent.
        Sgd = "sgd",
    }

    /// The shape of the learning rate over a run.
    LrScheduler("learning-rate schedule", "Must be one of") {
        /// Warm-up, then a straight line to the floor.
        Linear = "linear",
        /// Warm-up, then half a cosine to the floor.
        Cosine = "cosine",
        /// The peak throughout.
        Constant = "constant",
        /// Warm-up, then the peak.
        ConstantWithWarmup = "constant_with_warmup",
        /// Warm-up, then one over the root of the step.
        InverseSqrt = "inverse_sqrt",
        /// Warm-up, the peak, and a straight line to the floor over the last tenth of the run.
        Wsd = "wsd",
        /// Warm-up, then the peak, cut to a tenth when the validation loss stops falling.
        Plateau = "plateau",
    }

    /// What happens when a loss or gradient is not finite.
    OnNonFinite("on_non_finite policy", "Must be one of") {
        /// The run stops; the last finite state is saved.
        Stop = "stop",
        /// The update is skipped and counted.
        Skip = "skip",
    }

    /// How the first epoch is sampled by checkpoints.
    FirstEpochSpacing("first_epoch spacing", "Must be one of") {
        /// Powers of the base: 1, 2, 4, 8 ...
        Log = "log",
        /// A given number of checkpoints, evenly spaced.
        Even = "even",
    }

    /// How later epochs are sampled by checkpoints.
    Spacing("subsequent_epochs_spacing", "Must be one of") {
        /// A checkpoint every so many steps.
        Linear = "linear",
        /// Powers of the base, counted from the epoch's start.
        Log = "log",
    }

    /// What the numbers of a checkpoint schedule count.
    CheckpointUnit("checkpoint unit", "Must be one of") {
        /// Optimizer updates.
        Steps = "steps",
        /// Tokens read, padding apart.
        Tokens = "tokens",
        /// Words whose first token has been read.
        Words = "words",
    }

    /// A published checkpoint schedule.
    CheckpointPreset("checkpoint preset", "Must be one of") {
        /// BabyLM strict-small: every 1 M words to 10 M, every 10 M to 100 M.
        BabylmStrictSmall = "babylm-strict-small",
        /// BabyLM strict: as strict-small, then every 100 M to 1000 M.
        BabylmStrict = "babylm-strict",
    }

    /// How much is said.
    LogLevel("log level", "Must be one of") {
        /// Everything.
        Debug = "DEBUG",
        /// What a user wants to follow.
        Info = "INFO",
        /// What may be wrong.
        Warning = "WARNING",
        /// What is wrong.
        Error = "ERROR",
        /// What ends the run.
        Critical = "CRITICAL",
    }
}

/// Where the default of a field is the first word of its choice.
macro_rules! first_is_default {
    ($($Name:ident)+) => { $(
        impl Default for $Name {
            fn default() -> Self {
                Self::ALL[0]
            }
        }
    )+ };
}
first_is_default! { Unit Packing Boundary ValidationSplit }

impl Architecture {
    /// Whether `model.transformer` describes it (otherwise `model.rnn` does).
    pub fn is_transformer(self) -> bool {
        matches!(self, Self::Gpt2 | Self::Bert)
    }
}

impl LogLevel {
    /// Whether a message of this level is shown where `least` is the lowest level shown.
    #[must_use]
    pub fn at_least(self, least: Self) -> bool {
        self as u8 >= least as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_choices__words_are_read_in_any_case_and_written_in_one() {
        assert_eq!(Activation::parse("GELU"), Ok(Activation::Gelu));
        assert_eq!(LogLevel::parse("info").map(Choice::name), Ok("INFO"));
        for name in Architecture::NAMES {
            assert_eq!(Architecture::parse(name).map(Choice::name), Ok(*name));
        }
    }

    #[test]
    fn test_choices__unknown_words_are_refused_with_the_list() {
        assert_eq!(
            Architecture::parse("mamba").unwrap_err(),
            "Unknown architecture: 'mamba'. Available architectures: gpt2, bert, lstm, gru, rnn"
        );
        assert_eq!(
            TokenizerKind::parse("bytes").unwrap_err(),
            "Unknown tokenizer type: 'bytes'. Supported types: sentencepiece, wordpiece, bpe, \
             character"
        );
        assert!(
            Objective::parse("seq2seq")
                .unwrap_err()
                .starts_with("Unknown training objective: 'seq2seq'")
        );
    }
}
