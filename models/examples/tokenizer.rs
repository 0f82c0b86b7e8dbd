//! Trains a tokenizer, or encodes the lines of a file, to be measured and compared with other programs.
//!
//! ```text
//! cargo run --release -p foundry-models --example tokenizer -- train KIND VOCAB_SIZE FOLDER FILE...
//! cargo run --release -p foundry-models --example tokenizer -- encode PATH FILE      # one JSON list of ids a line
//! cargo run --release -p foundry-models --example tokenizer -- tokens PATH FILE      # one JSON list of tokens a line
//! ```
//!
//! KIND is sentencepiece, sentencepiece-bpe, wordpiece, bpe or character. `RAYON_NUM_THREADS` sets the threads.
#![expect(clippy::print_stdout, reason = "it prints what it was asked for")]

use std::error::Error;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use foundry_models::tokenizer::{SentencePieceModel, Tokenizer, TrainOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["train", kind, vocab_size, folder, files @ ..] => {
            train(kind, vocab_size.parse()?, Path::new(folder), files)
        }
        [what @ ("encode" | "tokens"), path, file] => encode(what, Path::new(path), file),
        _ => {
            Err("train KIND VOCAB_SIZE FOLDER FILE..., encode PATH FILE, or tokens PATH FILE"
                .into())
        }
    }
}

fn train(kind: &str, size: usize, folder: &Path, files: &[&str]) -> Result<(), Box<dyn Error>> {
    let (kind, model_type) = match kind {
        "sentencepiece-bpe" => ("sentencepiece", SentencePieceModel::Bpe),
        kind => (kind, SentencePieceModel::Unigram),
    };
    let options = TrainOptions { model_type, ..TrainOptions::new(kind.parse()?, size) };
    let mut lines = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file)?;
        lines.extend(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned));
    }
    let begin = Instant::now();
    let (tokenizer, report) = Tokenizer::train(&options, &mut lines.into_iter().map(Ok))?;
    let seconds = begin.elapsed().as_secs_f64();
    tokenizer.save(folder, None)?;
    println!("{} tokens in {seconds:.2} s, hash {}", report.vocab_size, tokenizer.hash());
    report.notes.iter().for_each(|note| println!("{note}"));
    Ok(())
}

fn encode(what: &str, path: &Path, file: &str) -> Result<(), Box<dyn Error>> {
    let tokenizer = Tokenizer::load(path)?;
    let text = std::fs::read_to_string(file)?;
    let lines: Vec<&str> = text.split('\n').collect();
    let begin = Instant::now();
    let ids = tokenizer.encode_batch(&lines)?;
    eprintln!("encoded in {:.2} s", begin.elapsed().as_secs_f64());
    let mut out = BufWriter::new(std::io::stdout().lock());
    for ids in ids {
        if what == "encode" {
            writeln!(out, "{}", serde_json::to_string(&ids)?)?;
        } else {
            let tokens: Vec<_> = ids.iter().map(|id| tokenizer.token(*id)).collect();
            writeln!(out, "{}", serde_json::to_string(&tokens)?)?;
        }
    }
    Ok(())
}
