//! Unigram: a vocabulary of pieces with probabilities, and the segmentation that makes a text most probable.
//!
//! Kudo: *Subword regularization: improving neural network translation models with multiple subword candidates* (ACL
//! 2018). A word is taken to be drawn piece by piece, independently: P(word) = the sum over all segmentations of the
//! product of the probabilities of their pieces. Training starts from every substring that occurs often
//! ([`seed`]), fits the probabilities by expectation maximisation and drops the pieces whose loss costs least, again
//! and again ([`em`]), until the vocabulary has the size that was asked for. Encoding finds the one best segmentation
//! ([`encode`]).
//!
//! Google's SentencePiece is the reference, and its constants are kept. What differs is what made its result depend
//! on threads: words are sorted, counts are summed in the order of the words, and every tie is broken by the text of
//! the piece, so the same corpus gives the same bytes anywhere.

pub(super) mod em;
pub(super) mod encode;
mod lattice;
mod script;
mod seed;

pub(super) use script::one_script;

/// The longest piece, in characters.
pub(super) const MAX_PIECE: usize = 16;

/// What to train.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    /// The size of the vocabulary.
    pub(super) vocab_size: usize,
    /// How many entries of it are not trained: special tokens and bytes.
    pub(super) reserved: usize,
    /// How often a substring must occur to become a candidate; at least 2.
    pub(super) min_frequency: u64,
}
