//! `foundry evaluate`: score a trained model.

use crate::failure::Failure;
use crate::setup;
use crate::terminal::{out, out_json, say};
use foundry_models::eval::{Perplexity, read_pairs, score_pairs};
use foundry_models::pipeline::{Trained, perplexity_of_file};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A run folder (its newest checkpoint), or a checkpoint folder.
    model: PathBuf,
    /// A text file or a folder of them: perplexity per token, word and byte.
    #[arg(long, value_name = "FILE")]
    perplexity: Option<PathBuf>,
    /// A .jsonl file or a folder of them: the share of pairs whose good sentence is the more probable.
    #[arg(long, value_name = "FILE|DIR")]
    minimal_pairs: Option<PathBuf>,
    /// Tokens by which scoring windows move; half the context by default.
    #[arg(long)]
    stride: Option<usize>,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    if args.perplexity.is_none() && args.minimal_pairs.is_none() {
        return Err(Failure::usage(
            "nothing to score: give --perplexity FILE or --minimal-pairs FILE",
        ));
    }
    let trained = Trained::load(&args.model)?;
    trained.notes.iter().for_each(say);
    let pool = setup::threads(None, Some(&trained.config))?;
    let mut report = serde_json::Map::new();
    report.insert("model".into(), json!(trained.folder));
    if let Some(path) = &args.perplexity {
        let p = pool.install(|| perplexity_of_file(&trained, path, args.stride))?;
        report.insert("perplexity".into(), perplexity_json(&p));
        if !args.json {
            show_perplexity(&p)?;
        }
        if !trained.scores_first_token() {
            say("the first token is not scored: the model was trained without a boundary token");
        }
    }
    if let Some(path) = &args.minimal_pairs {
        let (bos, tokenizer) = (trained.sentence_ids().bos, &trained.tokenizer);
        let mut rows = Vec::new();
        for (name, pairs) in read_pairs(path)? {
            let paradigm = (name.as_str(), pairs.as_slice());
            let score = pool.install(|| {
                score_pairs(&*trained.model, &trained.device, tokenizer, bos, paradigm)
            })?;
            if !args.json {
                let accuracy = 100.0 * score.accuracy();
                out(format_args!(
                    "{name:<56} {:>5} / {:<5} ties {:>3}  {accuracy:5.1} %",
                    score.right, score.pairs, score.ties
                ))?;
            }
            rows.push(score);
        }
        report.insert("minimal_pairs".into(), json!(rows));
    }
    if args.json {
        out_json(&report.into())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn perplexity_json(p: &Perplexity) -> serde_json::Value {
    json!({
        "nll_nats": p.nll_nats,
        "tokens": p.tokens,
        "words": p.words,
        "bytes": p.bytes,
        "unknown_tokens": p.unknown_tokens,
        "nats_per_token": p.nats_per_token(),
        "perplexity_per_token": p.per_token(),
        "perplexity_per_word": p.per_word(),
        "perplexity_per_byte": p.per_byte(),
        "bits_per_byte": p.bits_per_byte(),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a percentage")]
fn show_perplexity(p: &Perplexity) -> Result<(), Failure> {
    let unknown = 100.0 * p.unknown_tokens as f64 / p.tokens.max(1) as f64;
    out(format_args!("tokens scored  {} ({unknown:.2} % <unk>)", p.tokens))?;
    out(format_args!("loss           {:.4} nats a token", p.nats_per_token()))?;
    out(format_args!(
        "perplexity     {:.3} a token, {:.3} a word, {:.4} a byte",
        p.per_token(),
        p.per_word(),
        p.per_byte()
    ))?;
    out(format_args!("bits a byte    {:.4}", p.bits_per_byte()))
}
