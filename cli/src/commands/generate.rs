//! `foundry generate`: continue a text.

use crate::failure::Failure;
use crate::setup;
use crate::terminal::{out, out_json, say};
use foundry_models::eval::{GenerateOptions, Sampling, generate};
use foundry_models::pipeline::Trained;
use foundry_models::tokenizer::Tokenizer;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A run folder (its newest checkpoint), a checkpoint folder, or a Hugging Face folder.
    model: PathBuf,
    /// The text to continue.
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    prompt: String,
    /// 0 takes the most probable token each time.
    #[arg(long, default_value_t = 1.0, value_parser = temperature, allow_negative_numbers = true)]
    temperature: f64,
    /// Only the K most probable tokens may come.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true)]
    top_k: Option<u32>,
    /// Only the most probable tokens that together have this probability may come.
    #[arg(long, value_parser = share, allow_negative_numbers = true)]
    top_p: Option<f64>,
    /// The same seed gives the same text.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The most tokens to add.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    max_tokens: u32,
    /// Where to compute: auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Print prompt, text and ids as JSON.
    #[arg(long)]
    json: bool,
}

fn temperature(word: &str) -> Result<f64, String> {
    let t: f64 = word.parse().map_err(|_| "expected a number".to_owned())?;
    if t.is_finite() && t >= 0.0 { Ok(t) } else { Err("expected a number of at least 0".into()) }
}

fn share(word: &str) -> Result<f64, String> {
    let p: f64 = word.parse().map_err(|_| "expected a number".to_owned())?;
    if p > 0.0 && p <= 1.0 { Ok(p) } else { Err("expected a number above 0 and at most 1".into()) }
}

/// The text of `new` behind that of `ids`: whether a space stands between them only both together tell.
fn continuation(tokenizer: &Tokenizer, ids: &[u32], new: &[u32]) -> Result<String, Failure> {
    let before = tokenizer.decode(ids)?;
    let whole = tokenizer.decode(&[ids, new].concat())?;
    Ok(match whole.strip_prefix(&before) {
        Some(text) => text.to_owned(),
        None => tokenizer.decode(new)?,
    })
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let trained = setup::place(Trained::load(&args.model)?, &args.device)?;
    trained.notes.iter().for_each(say);
    if !trained.model.supports_generation() {
        return Err(Failure::usage(format!(
            "'{}' reads both ways and cannot continue a text: only models that were trained with causal_lm can",
            trained.model.architecture()
        )));
    }
    let special = trained.sentence_ids();
    let mut ids: Vec<u32> = special.bos.into_iter().collect();
    ids.extend(trained.tokenizer.encode(&args.prompt)?);
    if ids.is_empty() {
        return Err(Failure::usage(
            "this model was trained without a boundary token, so it needs a text to continue: --prompt TEXT",
        ));
    }
    let options = GenerateOptions {
        sampling: if args.temperature > 0.0 {
            Sampling::Temperature(args.temperature)
        } else {
            Sampling::Greedy
        },
        top_k: args.top_k.map(|k| k as usize),
        top_p: args.top_p,
        seed: args.seed,
        max_tokens: args.max_tokens as usize,
        stop: special.end(),
    };
    let pool = setup::threads(None, trained.config.as_ref())?;
    let new = pool.install(|| generate(&*trained.model, &trained.device, &ids, &options));
    trained.device.check()?;
    let text = continuation(&trained.tokenizer, &ids, &new)?;
    if args.json {
        out_json(&json!({ "prompt": args.prompt, "text": text, "prompt_ids": ids, "ids": new }))?;
    } else {
        out(format_args!("{}{text}", args.prompt))?;
    }
    Ok(ExitCode::SUCCESS)
}
