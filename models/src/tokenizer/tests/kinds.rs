use super::*;

/// Every kind, small, trained on `text`.
fn every_kind(text: &[&str]) -> Vec<Tokenizer> {
    let kinds = TokenizerKind::ALL.map(|kind| TrainOptions::new(kind, 330));
    let bpe = TrainOptions { model_type: SentencePieceModel::Bpe, ..kinds[0].clone() };
    let without = TrainOptions { byte_fallback: false, vocab_size: 70, ..kinds[0].clone() };
    let options = kinds.into_iter().chain([bpe, without]);
    options.map(|options| train_on(&options, text).unwrap()).collect()
}

#[test]
fn test_d15__every_kind_trains_saves_loads_and_encodes() {
    for tokenizer in every_kind(&[TEXT, TEXT]) {
        let kind = tokenizer.kind();
        let folder = tempfile::tempdir().unwrap();
        tokenizer.save(folder.path(), Some(128)).unwrap();
        let again = Tokenizer::load(folder.path()).unwrap();
        assert_eq!(again.hash(), tokenizer.hash(), "{kind}");
        assert_eq!((again.kind(), again.vocab_size()), (kind, tokenizer.vocab_size()));
        assert_eq!(again.special_ids(), tokenizer.special_ids(), "{kind}");
        assert_eq!(again.files(Some(128)), tokenizer.files(Some(128)), "{kind}");
        for text in [TEXT, "the cat", "", "  ", "Zürich 猫🙂 </s>"] {
            let ids = tokenizer.encode(text).unwrap();
            assert_eq!(again.encode(text).unwrap(), ids, "{kind} {text:?}");
            assert_eq!(again.decode(&ids).unwrap(), tokenizer.decode(&ids).unwrap());
        }
        // decode(encode(x)) = normalise(x) over what the tokenizer knows.
        let ids = tokenizer.encode(TEXT).unwrap();
        assert_eq!(tokenizer.count_unknown(&ids), 0, "{kind}");
        assert_eq!(tokenizer.decode(&ids).unwrap(), tokenizer.normalise(TEXT).unwrap(), "{kind}");
    }
}

#[test]
fn test_d17__a_character_tokenizer_is_made_and_loaded() {
    let tokenizer = trained(TokenizerKind::Character);
    let folder = tempfile::tempdir().unwrap();
    tokenizer.save(folder.path(), None).unwrap();
    let again = Tokenizer::load(folder.path()).unwrap();
    assert_eq!(again.kind(), TokenizerKind::Character);
    assert_eq!(again.decode(&again.encode(TEXT).unwrap()).unwrap(), TEXT);
}

/// What `AutoTokenizer` needs to choose a class; that it does is shown by tests/interop/tokenizers_compare.py.
#[test]
fn test_d19__a_saved_folder_names_its_class_and_roles() {
    for tokenizer in every_kind(&[TEXT]) {
        let folder = tempfile::tempdir().unwrap();
        tokenizer.save(folder.path(), Some(64)).unwrap();
        let read = |name: &str| -> Value {
            serde_json::from_slice(&std::fs::read(folder.path().join(name)).unwrap()).unwrap()
        };
        let (config, map) = (read(CONFIG_FILE), read(MAP_FILE));
        assert_eq!(config["tokenizer_class"], "PreTrainedTokenizerFast");
        assert_eq!(config["model_max_length"], 64);
        for (role, text) in tokenizer.special_tokens().roles() {
            assert_eq!((&config[role], &map[role]), (&json!(text), &json!(text)));
            assert!(tokenizer.token_id(text).is_some());
        }
        assert_eq!(read(TOKENIZER_FILE)["version"], "1.0");
        let model = folder.path().join(MODEL_FILE).exists();
        assert_eq!(model, tokenizer.kind() == TokenizerKind::Sentencepiece);
    }
}

/// Regular expressions in the file must be ones that Python's Oniguruma takes as well.
#[test]
fn test_kinds__regular_expressions_are_in_the_common_subset() {
    fn patterns(json: &Value, found: &mut BTreeSet<String>) {
        match json {
            Value::Object(map) => {
                found.extend(map.get("Regex").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| patterns(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| patterns(value, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    every_kind(&[TEXT]).iter().for_each(|tokenizer| patterns(tokenizer.json(), &mut found));
    let known = [r"[\s\S]", r"[\s▁]+"].map(str::to_owned);
    assert_eq!(found, BTreeSet::from(known), "try a new pattern in Python, then add it here");
}

#[test]
fn test_kinds__text_never_becomes_a_special_token() {
    for tokenizer in every_kind(&[TEXT]) {
        let unk = tokenizer.special_ids().unk;
        let specials: Vec<u32> =
            tokenizer.special_ids().iter().filter(|id| Some(*id) != unk).collect();
        assert!(specials.len() >= 3);
        let text = "<s>the</s> <unk><pad> [CLS] cat [SEP] [PAD][MASK]";
        let ids = tokenizer.encode(text).unwrap();
        assert!(!ids.iter().any(|id| specials.contains(id)), "{} {ids:?}", tokenizer.kind());
    }
    let spelled = |kind| {
        let special_tokens =
            SpecialTokens { eos_token: Some("the".into()), ..SpecialTokens::of(kind) };
        let options = TrainOptions { special_tokens, ..TrainOptions::new(kind, 400) };
        train_on(&options, &["the the then there"]).unwrap_err()
    };
    for kind in [TokenizerKind::Wordpiece, TokenizerKind::Bpe] {
        let error = spelled(kind);
        assert!(error.to_string().contains("eos_token") && error.exit_code() == 2, "{error}");
    }
    for kind in [TokenizerKind::Wordpiece, TokenizerKind::Sentencepiece] {
        let special_tokens = SpecialTokens { unk_token: None, ..SpecialTokens::of(kind) };
        let options = TrainOptions { special_tokens, ..TrainOptions::new(kind, 400) };
        let error = train_on(&options, &[TEXT]).unwrap_err();
        assert!(error.to_string().contains("unk_token"), "{error}");
    }
}

#[test]
fn test_kinds__same_bytes_for_any_number_of_threads() {
    let lines: Vec<String> = (0..3000_u32)
        .map(|i| {
            let run = "ab".repeat(i as usize % 7);
            format!("line {} of {} with wörds{} and {run}, don't {}", i % 97, i % 11, i % 53, i * i)
        })
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for kind in [TokenizerKind::Sentencepiece, TokenizerKind::Wordpiece] {
        for model_type in [SentencePieceModel::Unigram, SentencePieceModel::Bpe] {
            let options = TrainOptions { model_type, ..TrainOptions::new(kind, 600) };
            let hashes: BTreeSet<String> = [1, 1, 2, 3, 8]
                .into_iter()
                .map(|threads| {
                    let pool =
                        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let tokenizer = pool.install(|| train_on(&options, &lines)).unwrap();
                    tokenizer.hash().to_string()
                })
                .collect();
            assert_eq!(hashes.len(), 1, "{kind} {model_type:?}");
        }
    }
}

#[test]
fn test_kinds__sizes_that_cannot_be() {
    for kind in [TokenizerKind::Sentencepiece, TokenizerKind::Wordpiece] {
        for model_type in [SentencePieceModel::Unigram, SentencePieceModel::Bpe] {
            let options = |size| TrainOptions { model_type, ..TrainOptions::new(kind, size) };
            let error = train_on(&options(5), &[TEXT]).unwrap_err();
            assert!(matches!(error, TokenizerError::VocabularyTooSmall { .. }), "{error}");
            let error = train_on(&options(1 << 40), &[TEXT]).unwrap_err();
            assert!(matches!(error, TokenizerError::VocabularyTooLarge { .. }), "{error}");
            let mut text = [Ok(TEXT.to_owned())].into_iter();
            let (tokenizer, report) = Tokenizer::train(&options(10_000), &mut text).unwrap();
            assert!(tokenizer.vocab_size() < 600, "{kind} {}", tokenizer.vocab_size());
            assert!(report.notes[0].contains("not the 10000 asked for"), "{:?}", report.notes);
            assert!(matches!(train_on(&options(600), &[""]), Err(TokenizerError::NoText)));
            // White space alone is no text to learn from, but no reason to fail either.
            let blank = train_on(&options(600), &[" \t\n "]).unwrap();
            assert!(blank.vocab_size() <= 260);
        }
    }
    // The least that is named is enough.
    for kind in [TokenizerKind::Sentencepiece, TokenizerKind::Wordpiece] {
        for model_type in [SentencePieceModel::Unigram, SentencePieceModel::Bpe] {
            let options = |size| TrainOptions { model_type, ..TrainOptions::new(kind, size) };
            let size = if kind == TokenizerKind::Wordpiece { 30 } else { 265 };
            let Err(TokenizerError::VocabularyTooSmall { least, .. }) =
                train_on(&options(size), &[TEXT])
            else {
                panic!("{kind} fits into {size}");
            };
            assert!(train_on(&options(least - 1), &[TEXT]).is_err(), "{kind} {least}");
            assert_eq!(train_on(&options(least), &[TEXT]).unwrap().vocab_size(), least);
        }
    }
}
