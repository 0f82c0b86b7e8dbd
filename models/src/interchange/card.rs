//! The model card: README.md of an exported folder.

use super::record::Record;
use crate::config::choices::{Boundary, Objective};
use crate::pipeline::{Trained, grouped};
use serde_json::Value;
use std::fmt::Write;

/// What the model is, how to load it, and how its scores are meant.
pub(super) fn card(trained: &Trained) -> String {
    let model = &*trained.model;
    let architecture = model.architecture();
    let causal = model.supports_generation();
    let (class, pipeline) = match causal {
        true => ("AutoModelForCausalLM", "text-generation"),
        false => ("AutoModelForMaskedLM", "fill-mask"),
    };
    let recurrent = !["gpt2", "bert"].contains(&architecture);
    let trust = if recurrent { ", trust_remote_code=True" } else { "" };
    let record = Record::of(trained);
    let field = |pointer: &str| record.field(pointer);
    let name = field("/experiment_name").and_then(Value::as_str).unwrap_or(architecture);

    let mut card = format!(
        "---\nlibrary_name: transformers\npipeline_tag: {pipeline}\ntags:\n- foundry\n- {architecture}\n---\n\n\
         # {name}\n\n| | |\n|---|---|\n"
    );
    let mut row = |what: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(card, "| {what} | {value} |");
    };
    let both = if causal || architecture == "bert" { "" } else { ", both directions" };
    row("architecture", format!("{architecture}{both}"));
    row("parameters", grouped(model.parameter_count() as u64));
    let kind = trained.tokenizer.kind();
    row("vocabulary", format!("{} tokens ({kind})", grouped(model.vocab_size() as u64)));
    if let Some(length) = model.context_length() {
        row("context", format!("{length} tokens"));
    }
    let origin = &trained.origin;
    let counts = [
        ("updates", origin.step),
        ("tokens seen", origin.tokens_seen),
        ("words seen", origin.words_seen),
    ];
    for (what, count) in counts {
        if let Some(count) = count {
            row(what, grouped(count));
        }
    }
    if let Some(seed) = origin.seed {
        row("seed", seed.to_string());
    }
    if let Some(rate) = field("/training/learning_rate").and_then(Value::as_f64) {
        row(
            "objective",
            if causal { Objective::CausalLm } else { Objective::MaskedLm }.to_string(),
        );
        row("learning rate", format!("{rate:e}"));
    }

    let first = match (trained.boundary, causal) {
        (Boundary::None, true) => {
            "Nothing stood before the first token of a text in training: its probability means nothing.".to_owned()
        }
        (Boundary::None, false) => "Texts were not marked at their ends in training.".to_owned(),
        (_, causal) => {
            let text = trained.special.begin().and_then(|id| trained.tokenizer.token(id));
            let text = text.unwrap_or_default();
            match causal {
                true => format!(
                    "In training `{text}` stood before the first token of a text; it is the tokenizer's `bos_token`. \
                     Put it there when you score sentences: the tokenizer does not add it by itself."
                ),
                false => format!("In training `{text}` stood before a text; the tokenizer adds it."),
            }
        }
    };
    let whole = match field("") {
        Some(_) => " `foundry.json` has the whole configuration of the run.",
        None => " How it was trained is not known.",
    };
    let _ = write!(
        card,
        "\n```python\nfrom transformers import {class}, AutoTokenizer\n\
         model = {class}.from_pretrained(FOLDER{trust})\n\
         tokenizer = AutoTokenizer.from_pretrained(FOLDER{trust})\n```\n\n\
         {first}\n\nWritten by Foundry {}.{whole}\n",
        env!("CARGO_PKG_VERSION")
    );
    card
}
