//! What `foundry bench tokenize` times: a corpus becoming chunks on the disk, beside the batch encoder of the `tokenizers`
//! crate on the same lines, which only gives ids.

use crate::data::synthetic::{Grammar, Sampler, write_corpus};
use crate::data::{Corpora, DataError, DataOptions, Rebuild, prepare};
use crate::error::Error;
use crate::machine;
use crate::tokenizer::{Tokenizer, TokenizerKind, TrainOptions};
use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What is timed.
#[derive(Clone, PartialEq, Debug)]
pub struct TokenizeOptions {
    /// The kind of tokenizer.
    pub kind: TokenizerKind,
    /// The size of its vocabulary.
    pub vocab_size: usize,
    /// The text; None for sentences of the English grammar.
    pub corpus: Option<PathBuf>,
    /// The size of a made text, in bytes.
    pub bytes: u64,
    /// The length of a chunk, in tokens.
    pub length: usize,
    /// How often each of the two is timed, in turns.
    pub rounds: usize,
    /// Seeds the sentences.
    pub seed: u64,
}

/// What came out.
#[derive(Clone, PartialEq, Debug)]
pub struct TokenizeTiming {
    /// The size of the text, in bytes.
    pub bytes: u64,
    /// Token ids of the text.
    pub tokens: u64,
    /// Its chunks.
    pub chunks: u64,
    /// The tokens that the vocabulary has.
    pub vocab_size: usize,
    /// Reading, tokenizing, packing and writing, in the order the rounds were made.
    pub foundry: Vec<Duration>,
    /// The batch encoder of the crate alone, on lines that are in memory.
    pub library: Vec<Duration>,
    /// The most memory that the process has held before the crate was given anything, in bytes.
    pub peak_rss: Option<u64>,
}

/// The tokenizer is trained on so much of the text.
const TRAINING_BYTES: usize = 10 << 20;
/// Lines that the crate encodes at a time: what it returns of 100 MB would not fit a small machine.
const LINES: usize = 10_000;

impl TokenizeTiming {
    /// The crate's time divided by Foundry's, round by round: the median.
    ///
    /// # Panics
    /// If no round was made.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        let of = |(library, own): (&Duration, &Duration)| library.as_secs_f64() / own.as_secs_f64();
        let mut ratios: Vec<f64> = self.library.iter().zip(&self.foundry).map(of).collect();
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    }

    /// Bytes a second: the median of Foundry, and of the crate.
    ///
    /// # Panics
    /// If no round was made.
    #[must_use]
    pub fn rates(&self) -> [f64; 2] {
        [&self.foundry, &self.library].map(|times| {
            let mut times = times.clone();
            times.sort_unstable();
            #[expect(clippy::cast_precision_loss, reason = "a text has far fewer than 2^52 bytes")]
            let bytes = self.bytes as f64;
            bytes / times[times.len() / 2].as_secs_f64()
        })
    }
}

/// Runs the benchmark in the rayon pool that the caller is in. What it writes is in a temporary folder.
///
/// # Errors
/// A text that cannot be read or has too little in it, a vocabulary that cannot be trained, a full disk.
pub fn tokenize(options: &TokenizeOptions) -> Result<TokenizeTiming, Error> {
    let folder = tempfile::tempdir().map_err(|e| write_failed(&std::env::temp_dir(), e))?;
    let path = match &options.corpus {
        Some(path) => path.clone(),
        None => made_corpus(options, folder.path())?,
    };
    let data = DataOptions::new(&path, options.length);
    let tokenizer = trained(options, &data)?;
    let cache = folder.path().join("cache");
    let round = || -> Result<_, Error> {
        let begin = Instant::now();
        let go_on = &mut |_| ControlFlow::Continue(());
        let dataset = prepare(&data, &tokenizer, &cache, Rebuild::Always, go_on)?;
        Ok((begin.elapsed(), dataset))
    };
    let (_, dataset) = round()?;
    let ledger = &dataset.ledger().splits[0];
    let mut timing = TokenizeTiming {
        bytes: ledger.files.iter().map(|f| f.file.bytes).sum(),
        tokens: ledger.files.iter().map(|f| f.tokens).sum(),
        chunks: ledger.chunks,
        vocab_size: tokenizer.vocab_size(),
        foundry: Vec::new(),
        library: Vec::new(),
        peak_rss: machine::peak_resident_bytes(),
    };
    drop(dataset);
    let lines = lines(&path)?;
    for _ in 0..options.rounds.max(1) {
        timing.foundry.push(round()?.0);
        let begin = Instant::now();
        for lines in lines.chunks(LINES) {
            tokenizer.encode_batch_by_library(lines)?;
        }
        timing.library.push(begin.elapsed());
    }
    Ok(timing)
}

/// Sentences of the English grammar, as many as give the bytes asked for.
fn made_corpus(options: &TokenizeOptions, folder: &Path) -> Result<PathBuf, Error> {
    const SAMPLE: u64 = 2_000;
    let grammar = Grammar::load("english")?;
    let (mut sampler, mut sample) = (Sampler::new(&grammar), String::new());
    for i in 0..SAMPLE {
        sampler.sentence(options.seed, i, &mut sample);
        sample.push('\n');
    }
    let sentences = (options.bytes * SAMPLE).div_ceil(sample.len() as u64).max(1);
    let path = folder.join("corpus.txt");
    write_corpus(&grammar, sentences, options.seed, &path)?;
    Ok(path)
}

/// A tokenizer trained on the beginning of the text.
fn trained(options: &TokenizeOptions, data: &DataOptions) -> Result<Tokenizer, Error> {
    let corpora = Corpora::open(data)?;
    let mut left = TRAINING_BYTES;
    let mut text = corpora.train().text().take_while(|piece| {
        let more = left > 0;
        left = left.saturating_sub(piece.as_ref().map_or(0, String::len));
        more
    });
    let train = TrainOptions::new(options.kind, options.vocab_size);
    Ok(Tokenizer::train(&train, &mut text)?.0)
}

fn lines(path: &Path) -> Result<Vec<String>, Error> {
    let failed = |source| DataError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let lines: Result<Vec<_>, _> = BufReader::new(file).lines().collect();
    Ok(lines.map_err(failed)?)
}

fn write_failed(path: &Path, source: std::io::Error) -> Error {
    DataError::Write { path: path.to_owned(), source }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_bench__tokenizing_accounts_for_the_text_it_times() {
        for kind in [TokenizerKind::Bpe, TokenizerKind::Wordpiece] {
            let options = TokenizeOptions {
                kind,
                vocab_size: 600,
                corpus: None,
                bytes: 100_000,
                length: 64,
                rounds: 2,
                seed: 1,
            };

            let timing = tokenize(&options).unwrap();

            assert!((90_000..110_000).contains(&timing.bytes), "{timing:?}");
            assert!(timing.tokens > timing.bytes / 10 && timing.chunks > timing.tokens / 70);
            assert_eq!((timing.foundry.len(), timing.library.len()), (2, 2));
        }
    }

    #[test]
    fn test_bench__the_ratio_is_the_median_of_the_rounds() {
        let seconds = |x: [u64; 3]| x.map(Duration::from_secs).to_vec();
        let timing = TokenizeTiming {
            bytes: 12,
            tokens: 1,
            chunks: 1,
            vocab_size: 1,
            foundry: seconds([1, 2, 4]),
            library: seconds([3, 4, 4]),
            peak_rss: None,
        };

        assert_eq!(timing.ratio(), 2.0);
        assert_eq!(timing.rates(), [6.0, 3.0]);
    }
}
