//! There and back: what decoding gives for what encoding was given, on every character and on strings that are hard to
//! get right.

use foundry_models::tokenizer::{Tokenizer, TokenizerKind, TrainOptions};
use foundry_tests::data;

fn trained(options: &TrainOptions, texts: &[String]) -> Tokenizer {
    let mut text = texts.iter().map(|text| Ok(text.clone()));
    Tokenizer::train(options, &mut text).unwrap().0
}

/// 625 strings that are hard to get right, if they are there.
fn hard_strings() -> Vec<String> {
    let Some(path) = data("tokenizers/golden/test_strings.json") else { return Vec::new() };
    let strings: Vec<String> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(strings.len(), 625);
    strings
}

#[test]
fn test_character__identity_on_every_unicode_scalar_value() {
    let all: Vec<char> = (0..=0x10_FFFF).filter_map(char::from_u32).collect();
    assert_eq!(all.len(), 0x11_0000 - 0x800);
    for alphabet in all.chunks(200_000) {
        let texts: Vec<String> =
            alphabet.chunks(1000).map(|chars| chars.iter().collect()).collect();
        let tokenizer = trained(&TrainOptions::new(TokenizerKind::Character, 200_010), &texts);
        let ids = tokenizer.encode_batch(&texts).unwrap();
        for (text, ids) in texts.iter().zip(ids) {
            assert_eq!((ids.len(), tokenizer.count_unknown(&ids)), (text.chars().count(), 0));
            assert_eq!(&tokenizer.decode(&ids).unwrap(), text);
        }
    }
}

#[test]
fn test_character__identity_on_hard_strings() {
    let strings = hard_strings();
    if strings.is_empty() {
        return;
    }
    let tokenizer = trained(&TrainOptions::new(TokenizerKind::Character, 10_000), &strings);
    for text in &strings {
        let ids = tokenizer.encode(text).unwrap();
        assert_eq!(&tokenizer.decode(&ids).unwrap(), text);
        assert_eq!(tokenizer.count_unknown(&ids), 0, "{text:?}");
    }
}

/// Words and marks, normalised, with one space between them; a word that is longer than the 100 characters that
/// WordPiece looks at is unknown as a whole.
#[test]
fn test_wordpiece__hard_strings_come_back_normalised() {
    let strings = hard_strings();
    if strings.is_empty() {
        return;
    }
    for plain in [true, false] {
        let options = TrainOptions {
            min_frequency: 1,
            lowercase: plain,
            strip_accents: plain,
            ..TrainOptions::new(TokenizerKind::Wordpiece, 30_000)
        };
        let tokenizer = trained(&options, &strings);
        let mut unknown = 0;
        for text in &strings {
            let ids = tokenizer.encode(text).unwrap();
            let normalised = tokenizer.normalise(text).unwrap();
            if tokenizer.count_unknown(&ids) > 0 {
                let longest = normalised.split(' ').map(|word| word.chars().count()).max();
                assert!(longest > Some(100), "{text:?} has an unknown word");
                unknown += 1;
                continue;
            }
            assert_eq!(tokenizer.decode(&ids).unwrap(), normalised, "{text:?}");
        }
        assert!(unknown < 10, "{unknown} strings with a word beyond 100 characters");
    }
}
