//! `foundry bench tokenize`: the rate at which text becomes chunks, beside that of the tokenizers crate's batch encoder.

use crate::failure::Failure;
use crate::setup;
use crate::terminal::{out, out_json};
use clap::builder::PossibleValuesParser;
use foundry_models::bench::{TokenizeOptions, tokenize};
use foundry_models::tokenizer::TokenizerKind;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(super) struct TokenizeArgs {
    /// The kind of tokenizer.
    #[arg(long, value_name = "KIND", default_value = "bpe",
          value_parser = PossibleValuesParser::new(TokenizerKind::ALL.map(|kind| kind.name())))]
    tokenizer: String,
    /// The size of its vocabulary.
    #[arg(long, default_value_t = 8_000)]
    vocab_size: usize,
    /// A text file; sentences of the English grammar if it is left out.
    #[arg(long, value_name = "FILE")]
    corpus: Option<PathBuf>,
    /// The size of the sentences, in units of 10^6 bytes.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    megabytes: u32,
    /// The length of a chunk, in tokens.
    #[arg(long, default_value_t = 128)]
    length: usize,
    /// Rounds, in turns; the median counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Threads to compute with; the cores this process may use if it is left out.
    #[arg(long)]
    threads: Option<usize>,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &TokenizeArgs) -> Result<ExitCode, Failure> {
    let pool = setup::threads(args.threads, None)?;
    let options = TokenizeOptions {
        kind: args.tokenizer.parse().map_err(Failure::usage)?,
        vocab_size: args.vocab_size,
        corpus: args.corpus.clone(),
        bytes: u64::from(args.megabytes) * 1_000_000,
        length: args.length,
        rounds: args.rounds.into(),
        seed: 1,
    };
    let timing = pool.install(|| tokenize(&options))?;
    let [foundry, library] = timing.rates().map(|rate| rate / 1e6);
    if args.json {
        out_json(&json!({
            "mode": "tokenize",
            "tokenizer": args.tokenizer,
            "vocab_size": timing.vocab_size,
            "threads": pool.current_num_threads(),
            "bytes": timing.bytes,
            "tokens": timing.tokens,
            "chunks": timing.chunks,
            "mb_per_s": foundry,
            "library_mb_per_s": library,
            "ratio": timing.ratio(),
            "rounds": args.rounds,
            "peak_rss_mb": timing.peak_rss.map(|bytes| bytes / (1 << 20)),
        }))?;
    } else {
        out(format_args!(
            "{} of {} tokens, {} threads, {:.1} MB of text: {foundry:.1} MB/s read, tokenized, packed and written; the \
             tokenizers crate's batch encoder alone {library:.1} MB/s; ratio {:.2} (median of {} rounds)",
            args.tokenizer,
            timing.vocab_size,
            pool.current_num_threads(),
            f64::from(u32::try_from(timing.bytes / 1000).unwrap_or(u32::MAX)) / 1e3,
            timing.ratio(),
            args.rounds,
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
