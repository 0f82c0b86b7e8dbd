//! Google's `.model` files as `tokenizer.json`, and back.
//!
//! A `.model` file is taken as it is: its own normalisation (the charsmap), its own treatment of spaces, and the whole
//! text cut at once, not word by word; so the ids are those of Google's library. Control pieces are never found in
//! text, there as here.
//!
//! The other way, a tokenizer that Foundry trained or imported becomes a file that Google's library reads.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::charsmap::nfkc_and_spaces;
use super::sentencepiece::{decoder, model, normalizer};
use super::sentencepiece_model::{Algorithm, ModelFile, Piece, PieceKind};
use super::unigram::encode::byte_piece;
use super::{LEADING_SPACES, SentencePieceModel, SpecialTokens, WORD_MARK};

const TRAILING_SPACES: &str = r"[ ▁]+\z";
const REPEATED_SPACES: &str = " {2,}";

/// The `tokenizer.json` of a `.model` file, and the roles that it names.
pub(super) fn to_json(file: &ModelFile) -> Result<(Value, SpecialTokens), String> {
    for (id, piece) in file.pieces.iter().enumerate() {
        let refuse = |what: &str| Err(format!("piece {id}, {:?}, is {what}", piece.text));
        match (piece.kind, file.algorithm) {
            (PieceKind::UserDefined, _) => {
                return refuse("user defined; such pieces cannot be read exactly");
            }
            (PieceKind::Unused, Algorithm::Bpe) => {
                return refuse("unused; such pieces cannot be read exactly in a bpe model");
            }
            _ => {}
        }
    }
    let special = |piece: &&Piece| piece.kind != PieceKind::Normal && piece.kind != PieceKind::Byte;
    let added: Vec<Value> = file
        .pieces
        .iter()
        .enumerate()
        .filter(|(_, piece)| special(piece))
        .map(|(id, piece)| {
            json!({
                "id": id, "content": piece.text, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true
            })
        })
        .collect();

    let replace = |pattern: &str, content: &str| json!({ "type": "Replace", "pattern": { "Regex": pattern }, "content": content });
    let mut normalizers = Vec::new();
    if !file.charsmap.is_empty() {
        let charsmap = STANDARD.encode(&file.charsmap);
        normalizers.push(json!({ "type": "Precompiled", "precompiled_charsmap": charsmap }));
    }
    if file.remove_extra_whitespaces {
        normalizers.push(replace(LEADING_SPACES, ""));
        normalizers.push(replace(TRAILING_SPACES, ""));
        normalizers.push(replace(REPEATED_SPACES, " "));
    }
    if file.add_dummy_prefix {
        normalizers.push(json!({ "type": "Prepend", "prepend": WORD_MARK }));
    }
    normalizers
        .push(json!({ "type": "Replace", "pattern": { "String": " " }, "content": WORD_MARK }));

    let model_type = match file.algorithm {
        Algorithm::Unigram => SentencePieceModel::Unigram,
        Algorithm::Bpe => SentencePieceModel::Bpe,
    };
    // Merges are made of ordinary pieces; the others come first, as the trainer writes them.
    let ordinary = |piece: &Piece| piece.kind == PieceKind::Normal;
    let reserved = file.pieces.iter().position(ordinary).unwrap_or(file.pieces.len());
    if file.algorithm == Algorithm::Bpe && !file.pieces[reserved..].iter().all(ordinary) {
        return Err("control pieces stand between the ordinary ones of a bpe model".into());
    }
    let vocab: Vec<(String, f32)> =
        file.pieces.iter().map(|piece| (piece.text.clone(), piece.score)).collect();
    let unk = file.pieces.iter().find(|piece| piece.kind == PieceKind::Unknown);
    let unk = unk.map(|piece| piece.text.as_str());
    let json = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": { "type": "Sequence", "normalizers": normalizers },
        "pre_tokenizer": null,
        "post_processor": null,
        "decoder": decoder(file.add_dummy_prefix),
        "model": model(model_type, &vocab, unk, file.byte_fallback, reserved)
    });
    let [unk_token, bos_token, eos_token, pad_token] = file.roles.clone();
    let specials =
        SpecialTokens { unk_token, bos_token, eos_token, pad_token, ..SpecialTokens::none() };
    Ok((json, specials))
}

/// The `.model` file of a `tokenizer.json`, if it is one that Foundry trained or imported.
pub(super) fn from_json(json: &Value, specials: &SpecialTokens) -> Result<ModelFile, String> {
    let added: Vec<&str> = json["added_tokens"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|token| token["content"].as_str())
        .collect();
    let fallback = json["model"]["byte_fallback"] == true;
    let bytes: Vec<String> = (0..=255).filter(|_| fallback).map(byte_piece).collect();
    let unk = specials.unk_token.as_deref();
    let kind = |text: &str| {
        if Some(text) == unk {
            PieceKind::Unknown
        } else if added.contains(&text) {
            PieceKind::Control
        } else if bytes.iter().any(|byte| byte == text) {
            PieceKind::Byte
        } else {
            PieceKind::Normal
        }
    };
    if !matches!(json["model"]["type"].as_str(), Some("Unigram" | "BPE")) {
        return Err("it is neither unigram nor bpe".into());
    }
    let other = || "its vocabulary is not that of a SentencePiece model".to_owned();
    #[expect(clippy::cast_possible_truncation, reason = "scores are single precision in the file")]
    let (algorithm, list): (_, Vec<(String, f32)>) = match &json["model"]["vocab"] {
        Value::Array(entries) => {
            let entry = |entry: &Value| {
                Some((entry.get(0)?.as_str()?.to_owned(), entry.get(1)?.as_f64()? as f32))
            };
            let list = entries.iter().map(entry).collect::<Option<_>>();
            (Algorithm::Unigram, list.ok_or_else(other)?)
        }
        Value::Object(entries) => {
            let mut list: Vec<(u64, &String)> =
                entries.iter().filter_map(|(text, id)| Some((id.as_u64()?, text))).collect();
            list.sort_unstable();
            if list.iter().zip(0..).any(|((id, _), place)| *id != place) {
                return Err("its ids have gaps".into());
            }
            let first = list.iter().position(|(_, text)| kind(text) == PieceKind::Normal);
            let score = |place: usize| match place.checked_sub(first.unwrap_or(0)) {
                Some(rank) => -(rank as f32),
                None => 0.0,
            };
            let list = list.into_iter().enumerate();
            (Algorithm::Bpe, list.map(|(i, (_, text))| (text.clone(), score(i))).collect())
        }
        _ => return Err(other()),
    };
    if let Some((text, _)) = list.iter().find(|(text, _)| text.contains('\0')) {
        return Err(format!("the token {text:?} has a NUL, which the file cannot hold"));
    }
    let pieces: Vec<Piece> =
        list.into_iter().map(|(text, score)| Piece { kind: kind(&text), text, score }).collect();

    let trained =
        json["normalizer"] == normalizer() && json["pre_tokenizer"]["type"] == "Metaspace";
    let parts = json["normalizer"]["normalizers"].as_array().map_or(&[][..], Vec::as_slice);
    let has = |part: &dyn Fn(&Value) -> bool| parts.iter().any(part);
    let charsmap = parts.iter().find_map(|part| part["precompiled_charsmap"].as_str());
    let marks = has(&|part| part["pattern"]["String"] == " ");
    let imported = json["pre_tokenizer"].is_null() && marks;
    if !trained && !imported {
        return Err("its normalizer is neither Foundry's nor that of a SentencePiece model".into());
    }
    let charsmap = match charsmap {
        _ if trained => nfkc_and_spaces().to_vec(),
        Some(text) => STANDARD.decode(text).map_err(|error| error.to_string())?,
        None => Vec::new(),
    };
    Ok(ModelFile {
        pieces,
        algorithm,
        byte_fallback: fallback,
        roles: [
            specials.unk_token.clone(),
            specials.bos_token.clone(),
            specials.eos_token.clone(),
            specials.pad_token.clone(),
        ],
        normalizer_name: if trained { "nfkc" } else { "imported" }.into(),
        charsmap,
        add_dummy_prefix: trained || has(&|part| part["type"] == "Prepend"),
        remove_extra_whitespaces: trained
            || has(&|part| part["pattern"]["Regex"] == LEADING_SPACES),
    })
}
