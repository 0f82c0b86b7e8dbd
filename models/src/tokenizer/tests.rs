use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::test_data::data;
use foundry_engine::rng::{Purpose, Stream, key};

mod kinds;
mod sentencepiece;
mod wordpiece;

const TEXT: &str =
    "the cat sat on the mat, the cats sat. He'll see 2026 the café </s> <unk>\n\n  the end";

fn options(kind: TokenizerKind, vocab_size: usize) -> TrainOptions {
    let special_tokens = SpecialTokens::default();
    TrainOptions { special_tokens, ..TrainOptions::new(kind, vocab_size) }
}

fn train_on(options: &TrainOptions, texts: &[&str]) -> Result<Tokenizer, TokenizerError> {
    let mut text = texts.iter().map(|text| Ok((*text).to_owned()));
    Tokenizer::train(options, &mut text).map(|(tokenizer, _)| tokenizer)
}

fn trained(kind: TokenizerKind) -> Tokenizer {
    train_on(&options(kind, 300), &[TEXT, TEXT]).unwrap()
}

/// Every Unicode scalar value, in strings of a thousand.
fn every_character() -> Vec<String> {
    let all: Vec<char> = (0..=0x10_FFFF).filter_map(char::from_u32).collect();
    all.chunks(1000).map(|chars| chars.iter().collect()).collect()
}

/// D-14.
#[test]
fn test_bpe__identity_on_every_character() {
    let tokenizer = trained(TokenizerKind::Bpe);
    for text in every_character() {
        let ids = tokenizer.encode(&text).unwrap();
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        assert_eq!(tokenizer.count_unknown(&ids), 0);
    }
    assert_eq!(
        tokenizer.decode(&tokenizer.encode("café Zürich 2026").unwrap()).unwrap(),
        "café Zürich 2026"
    );
}

/// 625 strings that are hard to get right, if they are there.
fn hard_strings() -> Vec<String> {
    let Some(path) = data("tokenizers/golden/test_strings.json") else { return Vec::new() };
    let strings: Vec<String> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(strings.len(), 625);
    strings
}

#[test]
fn test_bpe__identity_on_hard_strings() {
    let strings = hard_strings();
    let tokenizer = trained(TokenizerKind::Bpe);
    let ids = tokenizer.encode_batch(&strings).unwrap();
    for (text, ids) in strings.iter().zip(ids) {
        assert_eq!(&tokenizer.decode(&ids).unwrap(), text);
        assert_eq!(tokenizer.encode(text).unwrap(), ids);
    }
}

/// The ids and texts that Python gives for tokenizers that Python trained.
#[test]
fn test_load__same_ids_as_python() {
    for name in ["bpe_bytelevel_2000", "wordpiece_3000"] {
        let Some(path) = data(&format!("tokenizers/golden/{name}.json")) else { return };
        let folder = path.parent().unwrap();
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        let strings: Vec<String> = serde_json::from_slice(&read("test_strings.json")).unwrap();
        let expected: Value =
            serde_json::from_slice(&read(&format!("{name}.expected.json"))).unwrap();
        let tokenizer = Tokenizer::load(&path).unwrap();
        let bert = tokenizer.kind() == TokenizerKind::Wordpiece;
        for (i, text) in strings.iter().enumerate() {
            let python =
                expected["ids"][i].as_array().unwrap().iter().map(|id| id.as_u64().unwrap());
            let mut python: Vec<u32> = python.map(|id| u32::try_from(id).unwrap()).collect();
            if bert && python.first() == Some(&2) {
                python = python[1..python.len() - 1].to_vec();
            }
            assert_eq!(tokenizer.encode(text).unwrap(), python, "{name} {text:?}");
        }
        assert_eq!(tokenizer.special_ids().unk, Some(if bert { 1 } else { 2 }));
        assert_eq!(tokenizer.special_ids().begin(), Some(if bert { 2 } else { 0 }));
        assert_eq!(tokenizer.special_ids().end(), Some(if bert { 3 } else { 1 }));
    }
}

#[test]
fn test_character__vocabulary_is_specials_and_sorted_alphabet() {
    let tokenizer = train_on(&options(TokenizerKind::Character, 9), &["b\na", "é a"]).unwrap();
    let tokens: Vec<String> = (0..9).map(|id| tokenizer.token(id).unwrap()).collect();
    assert_eq!(tokens, ["<s>", "</s>", "<unk>", "<pad>", "\n", " ", "a", "b", "é"]);
    assert_eq!(tokenizer.vocab_size(), 9);
}

#[test]
fn test_character__identity_over_its_alphabet_and_unknown_counted() {
    let texts = every_character();
    let texts: Vec<&str> = texts.iter().take(120).map(String::as_str).collect();
    let tokenizer = train_on(&options(TokenizerKind::Character, 200_000), &texts).unwrap();
    for text in &texts {
        assert_eq!(&tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), text);
    }
    let ids = tokenizer.encode("a🙂b🙂").unwrap();
    assert_eq!(ids[1], tokenizer.special_ids().unk.unwrap());
    assert_eq!(tokenizer.count_unknown(&ids), 2);
}

/// The table must give what the library gives, which is what Python will give.
#[test]
fn test_character__table_agrees_with_the_file() {
    let tokenizer = trained(TokenizerKind::Character);
    assert!(matches!(tokenizer.engine, Engine::Character { .. }));
    for text in [TEXT, "", "\u{0}🙂 x\r\n", "</s><s>"] {
        let library = tokenizer.inner.encode_fast(text, false).unwrap();
        assert_eq!(tokenizer.encode(text).unwrap(), library.get_ids());
    }
}

#[test]
fn test_special__text_never_becomes_a_special_token() {
    for kind in [TokenizerKind::Bpe, TokenizerKind::Character] {
        let tokenizer = trained(kind);
        let specials: BTreeSet<u32> = tokenizer.special_ids().iter().collect();
        assert_eq!(specials, BTreeSet::from([0, 1, 2, 3]));
        let text = "the </s> cat<s> <unk><pad>";
        let ids = tokenizer.encode(text).unwrap();
        let known = kind == TokenizerKind::Bpe;
        assert!(
            ids.iter().all(|id| !specials.contains(id) || (!known && *id == 2)),
            "{kind} {ids:?}"
        );
        if known {
            assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        }
        // Placed ids are left out of decoded text.
        let with: Vec<u32> = [&[0], ids.as_slice(), &[1]].concat();
        assert_eq!(tokenizer.decode(&with).unwrap(), tokenizer.decode(&ids).unwrap());
    }
}

#[test]
fn test_special__refused_when_text_spells_them() {
    let with = |eos: &str| {
        let special_tokens =
            SpecialTokens { eos_token: Some(eos.into()), ..SpecialTokens::default() };
        TrainOptions { special_tokens, ..options(TokenizerKind::Bpe, 400) }
    };
    let error = train_on(&with("the"), &["the the the then other"]).unwrap_err();
    assert!(error.to_string().contains("eos_token") && error.exit_code() == 2, "{error}");
    let error = train_on(&with("#"), &["the"]).unwrap_err();
    assert!(error.to_string().contains("two characters"), "{error}");
    let error = train_on(&with("<pad>"), &["the"]).unwrap_err();
    assert!(error.to_string().contains("pad_token"), "{error}");
    assert!(train_on(&with("<s>"), &["the"]).is_ok());
}

#[test]
fn test_train__same_bytes_for_any_number_of_threads() {
    let lines: Vec<String> = (0..3000_u32)
        .map(|i| {
            format!(
                "line {} of {} with wörds{} and {}",
                i % 97,
                i % 11,
                i % 53,
                "ab".repeat(i as usize % 7)
            )
        })
        .collect();
    for kind in [TokenizerKind::Bpe, TokenizerKind::Character] {
        let hashes: BTreeSet<String> = [1, 1, 2, 3, 8]
            .into_iter()
            .map(|threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
                let tokenizer = pool.install(|| train_on(&options(kind, 600), &lines)).unwrap();
                blake3::hash(tokenizer.files(None)[0].1.as_bytes()).to_string()
            })
            .collect();
        assert_eq!(hashes.len(), 1, "{kind}");
    }
}

#[test]
fn test_train__sizes_that_cannot_be() {
    let error = train_on(&options(TokenizerKind::Bpe, 259), &[TEXT]).unwrap_err();
    assert!(error.to_string().contains("at least 260"), "{error}");
    assert!(train_on(&options(TokenizerKind::Bpe, 260), &[TEXT]).is_ok());
    let error = train_on(&options(TokenizerKind::Bpe, 1 << 40), &[TEXT]).unwrap_err();
    assert!(matches!(error, TokenizerError::VocabularyTooLarge { .. }));
    let mut text = [Ok(TEXT.to_owned())].into_iter();
    let (tokenizer, report) =
        Tokenizer::train(&options(TokenizerKind::Bpe, 10_000), &mut text).unwrap();
    assert!(tokenizer.vocab_size() < 400 && report.vocab_size == tokenizer.vocab_size());
    assert!(report.notes[0].contains("not the 10000 asked for"), "{:?}", report.notes);
    assert!(matches!(
        train_on(&options(TokenizerKind::Bpe, 300), &[""]),
        Err(TokenizerError::NoText)
    ));
    assert!(matches!(
        train_on(&options(TokenizerKind::Character, 9), &[]),
        Err(TokenizerError::NoText)
    ));
}

#[test]
fn test_train__unknown_kinds() {
    let error = "subword".parse::<TokenizerKind>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "Unknown tokenizer type: 'subword'. Supported types: sentencepiece, wordpiece, bpe, character"
    );
    for kind in TokenizerKind::ALL {
        assert_eq!(kind.name().parse::<TokenizerKind>().unwrap(), kind);
    }
}

/// D-15, D-16, D-17, D-19: saved, loaded, the same in every way.
#[test]
fn test_files__round_trip() {
    for kind in [TokenizerKind::Bpe, TokenizerKind::Character] {
        let special_tokens = SpecialTokens::default().with_mask();
        let tokenizer =
            train_on(&TrainOptions { special_tokens, ..options(kind, 300) }, &[TEXT]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        tokenizer.save(folder.path(), Some(128)).unwrap();
        let again = Tokenizer::load(folder.path()).unwrap();
        assert_eq!(again.hash(), tokenizer.hash());
        assert_eq!(again.kind(), kind);
        assert_eq!(again.vocab_size(), tokenizer.vocab_size());
        assert_eq!(again.special_ids(), tokenizer.special_ids());
        assert_eq!(again.special_ids().mask, Some(4));
        assert_ne!(again.special_ids().pad, again.special_ids().unk);
        assert_eq!(again.encode(TEXT).unwrap(), tokenizer.encode(TEXT).unwrap());
        assert_eq!(again.files(Some(128)), tokenizer.files(Some(128)));
        // A bare tokenizer.json still knows its roles.
        let bare = folder.path().join("bare.json");
        std::fs::copy(folder.path().join(TOKENIZER_FILE), &bare).unwrap();
        std::fs::remove_file(folder.path().join(CONFIG_FILE)).unwrap();
        std::fs::remove_file(folder.path().join(MAP_FILE)).unwrap();
        assert_eq!(Tokenizer::load(&bare).unwrap().special_ids(), tokenizer.special_ids());
        let config: Value = serde_json::from_str(&tokenizer.files(Some(128))[1].1).unwrap();
        assert_eq!(config["tokenizer_class"], "PreTrainedTokenizerFast");
        assert_eq!(config["model_max_length"], 128);
        assert_eq!(config["pad_token"], "<pad>");
    }
}

#[test]
fn test_encode__long_text_equals_its_stream_and_the_library() {
    let bpe = trained(TokenizerKind::Bpe);
    let long = "The cat, they'll say, sat  on\tthe mat's 2026 end.\n\n".repeat(6000);
    assert!(long.len() > 4 * cut::MAX);
    let whole = bpe.inner.encode_fast(long.as_str(), false).unwrap();
    assert_eq!(bpe.encode(&long).unwrap(), whole.get_ids());
    let japanese = "猫がマットの上に座った。「はい」、2026年！".repeat(4000);
    let whole = bpe.inner.encode_fast(japanese.as_str(), false).unwrap();
    assert_eq!(bpe.encode(&japanese).unwrap(), whole.get_ids());
    let wall = "é".repeat(200_000);
    assert_eq!(bpe.decode(&bpe.encode(&wall).unwrap()).unwrap(), wall);
}

/// Words are encoded one by one and remembered; the library, given the whole text, finds the same tokens in the same places.
#[test]
fn test_encode__word_by_word_is_as_the_library_encodes_the_whole() {
    const ALPHABET: [&str; 24] = [
        " ", " ", " ", "  ", "\n", "\t", "\u{b}", "\u{85}", "\u{a0}", "\u{3000}", "\u{301}", "a",
        "The", "cats", "'ll", "é", "É", "1", "26", ",", "...", "中", "Σ", "\u{200b}",
    ];
    let mut texts = hard_strings();
    texts.extend(every_character());
    let mut random = Stream::new(key(1, Purpose::Generation, 0, 0));
    for _ in 0..4000 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 24")]
        let part = |_| ALPHABET[(random.uniform() * 24.0) as usize];
        texts.push((0..12).map(part).collect());
    }
    for kind in [TokenizerKind::Bpe, TokenizerKind::Wordpiece] {
        let tokenizer = trained(kind);
        assert!(tokenizer.spellings.is_some());
        for text in texts.iter().chain(&texts) {
            let library = tokenizer.inner.encode(text.as_str(), false).unwrap();
            let (ids, ends) = tokenizer.encode_ends(text).unwrap();
            assert_eq!(ids, library.get_ids(), "{kind} {text:?}");
            if kind == TokenizerKind::Wordpiece {
                let expected: Vec<usize> =
                    library.get_offsets().iter().map(|(_, end)| *end).collect();
                assert_eq!(ends, expected, "{text:?}");
            }
        }
    }
}

/// A cut at whatever stands at the edge of a segment changes no token.
#[test]
fn test_encode__no_cut_can_be_seen() {
    let texts = [
        "a  b \n\n c\t\u{a0}the's 'll 12.5, x-y  ¿ é\u{301}; कि!मन ",
        "猫が座った。2026年、Ａ１　中文「字」",
        "'s't.'re12're 1'd,'d ",
    ];
    // Long runs of white space and punctuation are tokens here, so a cut inside one would show.
    let bpe = train_on(
        &options(TokenizerKind::Bpe, 3000),
        &texts.map(|text| text.repeat(3)).each_ref().map(String::as_str),
    )
    .unwrap();
    for text in texts {
        let long = text.repeat(cut::TARGET / text.len() + 9);
        for shift in 0..text.len() {
            let shifted = "z".repeat(shift) + &long;
            assert!(cut::segments(&shifted).count() == 2);
            let whole = bpe.inner.encode_fast(shifted.as_str(), false).unwrap();
            assert_eq!(bpe.encode(&shifted).unwrap(), whole.get_ids(), "shift {shift}");
        }
    }
}

#[test]
fn test_words__by_hand() {
    let mark = |text: &str, inside, ends: &[usize]| {
        let mut starts = Vec::new();
        mark_words(text, inside, ends.iter().copied(), &mut starts);
        starts
    };
    assert_eq!(mark("ab cd", false, &[1, 2, 3, 5]), [true, false, false, true]);
    assert_eq!(mark("ab cd", true, &[2, 4, 5]), [false, true, false]);
    // A token that ends where a word begins does not begin it; é is two bytes.
    assert_eq!(mark(" é x", false, &[1, 2, 3, 5]), [false, true, false, true]);
    assert_eq!(mark("a b", false, &[3]), [true]);
}

#[test]
fn test_words__each_word_begins_in_one_token() {
    let text = "  The cat\tsat,  he'll\n\u{a0}é 中文 x";
    let words = text.split_whitespace().count();
    let golden =
        data("tokenizers/golden/wordpiece_3000.json").map(|path| Tokenizer::load(&path).unwrap());
    let tokenizers =
        [Some(trained(TokenizerKind::Bpe)), Some(trained(TokenizerKind::Character)), golden];
    for tokenizer in tokenizers.iter().flatten() {
        let encoded = tokenizer.encode_words(text, false).unwrap();
        assert_eq!(encoded.ids, tokenizer.encode(text).unwrap());
        assert_eq!(encoded.ids.len(), encoded.word_starts.len());
        assert_eq!(encoded.word_starts.iter().filter(|starts| **starts).count(), words);
        let goes_on = tokenizer.encode_words("ing cat", true).unwrap();
        assert_eq!(goes_on.word_starts.iter().filter(|starts| **starts).count(), 1);
        assert!(!goes_on.word_starts[0]);
    }
    // Long texts are cut, and words with them, without being counted twice.
    let bpe = trained(TokenizerKind::Bpe);
    let long = format!("{} {}", "é".repeat(100_000), "the cat ".repeat(20_000));
    let encoded = bpe.encode_words(&long, false).unwrap();
    assert_eq!(encoded.word_starts.iter().filter(|starts| **starts).count(), 40_001);
}

#[test]
fn test_decode__ids_outside_are_refused() {
    let tokenizer = trained(TokenizerKind::Bpe);
    let last = u32::try_from(tokenizer.vocab_size() - 1).unwrap();
    assert!(tokenizer.decode(&[last]).is_ok());
    for id in [last + 1, u32::MAX] {
        let error = tokenizer.decode(&[0, id]).unwrap_err();
        assert!(error.to_string().contains(&format!("id {id} ")), "{error}");
    }
}

/// D3: what is wrong is said, and nothing panics. Each case changes one thing of a good file.
#[test]
fn test_load__broken_files_are_refused() {
    let good: Value = trained(TokenizerKind::Bpe).json().clone();
    let replace = |pointer: &str, value: Value| {
        let mut json = good.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        json.pointer_mut(parent).unwrap()[key] = value;
        json.to_string()
    };
    let sequence = (0..50).fold(
        json!({"type": "NFC"}),
        |inner, _| json!({"type": "Sequence", "normalizers": [inner]}),
    );
    let cases: Vec<(String, &str)> = vec![
        (String::new(), "not JSON"),
        ("[1, 2".into(), "not JSON"),
        ("[]".into(), "not a JSON object"),
        ("{}".into(), "model is missing"),
        ("[".repeat(100_000), "not JSON"),
        (replace("/version", json!("2.0")), "version"),
        (replace("/model", json!(7)), "model is not an object"),
        (replace("/model/type", json!("Magic")), "model.type"),
        (replace("/model/vocab", json!({})), "is not in model.vocab"),
        (replace("/model/vocab", json!(7)), "model.vocab"),
        (replace("/model/vocab/!", json!(5)), "two tokens"),
        (replace("/model/vocab/!", json!(-1)), "id of"),
        (replace("/model/vocab/!", json!(4_000_000_000_u64)), "id of"),
        (replace("/model/vocab/!", json!(9_000_000)), "largest id"),
        (replace("/model/merges", json!([["!", "nothere"]])), "merges[0]"),
        (replace("/model/merges", json!([["!", "\""]])), "is not in model.vocab"),
        (replace("/model/merges", json!(["! \" #"])), "merges[0]"),
        (replace("/model/merges", json!([[1, 2]])), "merges[0]"),
        (replace("/model/continuing_subword_prefix", json!("éé")), "continuing_subword_prefix"),
        (replace("/model/dropout", json!(0.1)), "dropout"),
        (replace("/added_tokens", json!([{"id": 0, "content": ""}])), "added_tokens[0]"),
        (replace("/added_tokens/0/id", json!(77)), "added token"),
        (replace("/pre_tokenizer", json!({"type": "FixedLength", "length": 0})), "FixedLength"),
        (
            replace(
                "/pre_tokenizer",
                json!({"type": "Split", "pattern": {"Regex": "(("}, "behavior": "Isolated", "invert": false}),
            ),
            "library",
        ),
        (
            replace("/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"})),
            "",
        ),
        (replace("/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": null})), ""),
        (replace("/normalizer", sequence), "nests deeper"),
        (
            replace("/decoder", json!({"type": "Strip", "content": " ", "start": 0, "stop": 9})),
            "stop",
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    for (text, reason) in cases {
        std::fs::write(&path, &text).unwrap();
        let begin: String = text.chars().take(80).collect();
        let error = Tokenizer::load(&path).expect_err(&begin).to_string();
        let reason = if reason == "library" { "" } else { reason };
        assert!(error.contains(reason) && error.contains("tokenizer.json"), "{begin}: {error}");
    }
    // What Foundry never uses is ignored, however wild.
    let padding = json!({"strategy": {"Fixed": 4_000_000_000_u64}, "direction": "Right", "pad_id": 0,
        "pad_type_id": 0, "pad_token": "<pad>", "pad_to_multiple_of": null});
    for (pointer, value) in [
        ("/padding", padding),
        ("/truncation", json!({"max_length": 1, "stride": 9})),
        ("/post_processor", json!({"type": "TemplateProcessing"})),
    ] {
        std::fs::write(&path, replace(pointer, value)).unwrap();
        assert!(Tokenizer::load(&path).unwrap().encode("a cat").is_ok(), "{pointer}");
    }
}

#[test]
fn test_load__roles_that_are_no_tokens_are_refused() {
    let tokenizer = trained(TokenizerKind::Bpe);
    let folder = tempfile::tempdir().unwrap();
    tokenizer.save(folder.path(), None).unwrap();
    let config = folder.path().join(CONFIG_FILE);
    std::fs::write(&config, r#"{"eos_token": "<nowhere>"}"#).unwrap();
    let error = Tokenizer::load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("eos_token") && error.contains("tokenizer_config.json"), "{error}");
    std::fs::write(&config, r#"{"eos_token": {"content": "</s>", "lstrip": false}}"#).unwrap();
    assert_eq!(Tokenizer::load(folder.path()).unwrap().special_ids().eos, Some(1));
    let error = Tokenizer::load(&folder.path().join("gone")).unwrap_err();
    assert!(matches!(error, TokenizerError::Read { .. }) && error.exit_code() == 3);
}

#[test]
fn test_load__oversized_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    std::fs::File::create(&path).unwrap().set_len(load::MAX_BYTES + 1).unwrap();
    let error = Tokenizer::load(&path).unwrap_err().to_string();
    assert!(error.contains("larger than 64 MiB"), "{error}");
}
