//! The small files beside the weights.

use crate::arch::LanguageModel;
use crate::tokenizer::{CONFIG_FILE, MAP_FILE, SpecialIds, TOKENIZER_FILE, Tokenizer};
use serde_json::{Map, Value, json};

/// What `transformers` needs to know to go on with a text.
pub const GENERATION_FILE: &str = "generation_config.json";
/// The recurrent models, for `transformers`.
pub const MODELING_FILE: &str = "modeling_foundry_rnn.py";

const MODELING: &str = include_str!("modeling_foundry_rnn.py");

/// The files that say how the model beside them is built: `config.json`, and what `transformers` needs besides.
/// `special` are the tokens that begin and end a text.
#[must_use]
pub fn beside_weights(
    model: &dyn LanguageModel,
    special: &SpecialIds,
) -> Vec<(&'static str, String)> {
    let config = model.config_json(special);
    let recurrent = config["model_type"] == "foundry_rnn";
    let mut files = vec![("config.json", pretty(&config))];
    if model.supports_generation() {
        let generation = json!({
            "bos_token_id": special.begin(),
            "eos_token_id": special.end(),
            "pad_token_id": special.pad,
        });
        files.push((GENERATION_FILE, pretty(&generation)));
    }
    if recurrent {
        files.push((MODELING_FILE, MODELING.to_owned()));
    }
    files
}

/// The tokenizer's files, for the model that they go with: bos_token and eos_token are what stands around a text in
/// training, and a model that sees both sides gets them from the tokenizer, which a causal one does not, as with GPT-2.
pub(super) fn tokenizer_files(
    tokenizer: &Tokenizer,
    special: &SpecialIds,
    both_ways: bool,
    max_length: usize,
) -> Vec<(&'static str, String)> {
    let text = |id: Option<u32>| id.and_then(|id| tokenizer.token(id));
    let (begin, end) = (special.begin(), special.end());
    let around = match (begin.zip(text(begin)), end.zip(text(end))) {
        (Some(begin), Some(end)) if both_ways => json!({
            "type": "BertProcessing",
            "cls": [begin.1, begin.0],
            "sep": [end.1, end.0],
        }),
        _ => Value::Null,
    };
    let roles = |json: &mut Map<String, Value>| {
        let ends = [("bos_token", "cls_token", text(begin)), ("eos_token", "sep_token", text(end))];
        for (role, of_bert, text) in ends {
            match text {
                // [CLS] and [SEP] have roles of their own where they stand around a text.
                Some(text) if both_ways && json.get(of_bert).is_some_and(|t| *t == *text) => {}
                Some(text) => {
                    json.insert(role.into(), text.into());
                }
                None => {
                    json.remove(role);
                }
            }
        }
    };
    let adjusted = |(name, content): (&'static str, String)| {
        let Ok(Value::Object(mut json)) = serde_json::from_str(&content) else {
            return (name, content);
        };
        match name {
            TOKENIZER_FILE => {
                json.insert("post_processor".into(), around.clone());
            }
            CONFIG_FILE | MAP_FILE => roles(&mut json),
            _ => {}
        }
        (name, pretty(&Value::Object(json)))
    };
    tokenizer.files(Some(max_length)).into_iter().map(adjusted).collect()
}

pub(super) fn pretty(json: &Value) -> String {
    format!("{json:#}\n")
}
