use super::*;

use tokenizers::models::wordpiece::{WordPiece, WordPieceTrainer};
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{AddedToken, TokenizerBuilder, decoders, processors};

fn wordpiece(size: usize, texts: &[&str]) -> Tokenizer {
    train_on(&TrainOptions::new(TokenizerKind::Wordpiece, size), texts).unwrap()
}

#[test]
fn test_wordpiece__vocabulary_and_cutting() {
    let tokenizer = wordpiece(60, &["the cats sat on the mats, the cat's mat", "Thé CATS sat"]);
    let ids = tokenizer.special_ids();
    assert_eq!(
        (ids.unk, ids.pad, ids.mask, ids.cls, ids.sep),
        (Some(0), Some(1), Some(2), Some(3), Some(4))
    );
    assert_eq!((ids.begin(), ids.end()), (Some(3), Some(4)));
    let tokens = |text: &str| -> Vec<String> {
        let ids = tokenizer.encode(text).unwrap();
        ids.into_iter().map(|id| tokenizer.token(id).unwrap()).collect()
    };
    assert_eq!(tokens("The cats sat"), ["the", "cats", "sat"]);
    assert_eq!(tokens("thes"), ["the", "##s"]);
    assert!(
        !tokens("[MASK] [CLS] [SEP]").iter().any(|t| t == "[MASK]" || t == "[CLS]" || t == "[SEP]")
    );
    assert_eq!(tokenizer.count_unknown(&tokenizer.encode("zebra the").unwrap()), 1);
    assert_eq!(tokenizer.normalise("Thé  cats, sat").unwrap(), "the cats , sat");
    assert_eq!(
        tokenizer.decode(&tokenizer.encode("Thé  cats, sat").unwrap()).unwrap(),
        "the cats , sat"
    );
    assert_eq!(tokenizer.json()["post_processor"]["cls"], json!(["[CLS]", 3]));
}

#[test]
fn test_wordpiece__case_and_accents_are_kept_when_asked_for() {
    let options = TrainOptions {
        lowercase: false,
        strip_accents: false,
        ..TrainOptions::new(TokenizerKind::Wordpiece, 60)
    };
    let tokenizer = train_on(&options, &["Thé the Thé"]).unwrap();
    assert_eq!(tokenizer.normalise("Thé the").unwrap(), "Thé the");
    assert_eq!(tokenizer.decode(&tokenizer.encode("Thé the").unwrap()).unwrap(), "Thé the");
    let error = train_on(&TrainOptions { vocab_size: 9, ..options }, &["Thé the"]).unwrap_err();
    assert!(error.to_string().contains("at least 13"), "{error}");
}

/// As good as the trainer of the library, which gives another vocabulary each time.
#[test]
fn test_wordpiece__as_many_tokens_as_hugging_faces_trainer() {
    let Some(path) = data("tinyshakespeare/input.txt") else { return };
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    let (held, train): (Vec<_>, Vec<_>) = (0..).zip(lines).partition(|(i, _)| i % 10 == 0);
    let train: Vec<&str> = train.into_iter().map(|(_, line)| line).collect();
    let ours = wordpiece(3000, &train);

    let specials = ["[UNK]", "[PAD]", "[MASK]", "[CLS]", "[SEP]"];
    let mut trainer = WordPieceTrainer::builder()
        .vocab_size(3000)
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(specials.iter().map(|text| AddedToken::from(*text, true)).collect())
        .build();
    let model = WordPiece::builder().unk_token("[UNK]".into()).build().unwrap();
    let mut theirs = TokenizerBuilder::<
        _,
        _,
        _,
        processors::PostProcessorWrapper,
        decoders::DecoderWrapper,
    >::new()
    .with_model(model)
    .with_normalizer(Some(BertNormalizer::new(true, true, Some(true), true)))
    .with_pre_tokenizer(Some(BertPreTokenizer))
    .with_post_processor(None)
    .with_decoder(None)
    .build()
    .unwrap();
    theirs.train(&mut trainer, train.iter().copied()).unwrap();

    let count = |encode: &dyn Fn(&str) -> usize| -> usize {
        held.iter().map(|(_, line)| encode(line)).sum()
    };
    let mine = count(&|line| ours.encode(line).unwrap().len());
    let hf = count(&|line| theirs.encode(line, false).unwrap().len());
    println!("{mine} tokens, the library's vocabulary {hf}");
    assert!(mine.abs_diff(hf) * 200 <= hf, "{mine} against {hf}");
}
