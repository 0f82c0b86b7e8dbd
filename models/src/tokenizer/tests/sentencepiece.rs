use std::path::Path;

use super::*;
use crate::tokenizer::sentencepiece_model::ModelFile;

const GOLDEN: [&str; 2] = ["sp_unigram", "sp_bpe"];

/// Ids of Google's library for the 625 strings, and the strings.
fn golden(name: &str) -> Option<(Tokenizer, Vec<String>, Vec<Vec<u32>>)> {
    let path = data(&format!("tokenizers/golden/{name}.model"))?;
    let folder = path.parent().unwrap();
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let strings: Vec<String> = serde_json::from_slice(&read("test_strings.json")).unwrap();
    let expected: Value = serde_json::from_slice(&read(&format!("{name}.expected.json"))).unwrap();
    let ids = serde_json::from_value(expected["ids"].clone()).unwrap();
    Some((Tokenizer::load(&path).unwrap(), strings, ids))
}

#[test]
fn test_sentencepiece__model_files_give_googles_ids() {
    for name in GOLDEN {
        let Some((tokenizer, strings, expected)) = golden(name) else { return };
        assert_eq!(strings.len(), 625);
        let different: Vec<&String> = strings
            .iter()
            .zip(&expected)
            .filter(|(text, ids)| tokenizer.encode(text).unwrap() != **ids)
            .map(|(text, _)| text)
            .collect();
        assert!(different.is_empty(), "{name}: {} {different:?}", different.len());
        let ids = tokenizer.special_ids();
        assert_eq!(
            (ids.unk, ids.bos, ids.eos, ids.pad),
            (Some(0), Some(1), Some(2), Some(3)),
            "{name}"
        );
    }
}

/// A loaded model, written again, is the same model.
#[test]
fn test_sentencepiece__model_files_are_written_as_they_were_read() {
    for name in GOLDEN {
        let Some((tokenizer, strings, expected)) = golden(name) else { return };
        let folder = tempfile::tempdir().unwrap();
        tokenizer.save(folder.path(), None).unwrap();
        let original = data(&format!("tokenizers/golden/{name}.model")).unwrap();
        let parse = |path: &Path| ModelFile::parse(&std::fs::read(path).unwrap()).unwrap();
        let (original, written) = (parse(&original), parse(&folder.path().join(MODEL_FILE)));
        assert_eq!(written.pieces, original.pieces);
        assert_eq!(written.charsmap, original.charsmap);
        assert_eq!(written.roles, original.roles);
        // The folder is a Hugging Face folder, and gives the same ids.
        let again = Tokenizer::load(folder.path()).unwrap();
        assert_eq!(again.hash(), tokenizer.hash());
        for (text, ids) in strings.iter().zip(&expected).step_by(7) {
            assert_eq!(&again.encode(text).unwrap(), ids);
        }
        // Without its tokenizer.json it is a SentencePiece folder.
        std::fs::remove_file(folder.path().join(TOKENIZER_FILE)).unwrap();
        assert_eq!(Tokenizer::load(folder.path()).unwrap().special_ids(), tokenizer.special_ids());
    }
}

/// What Foundry trains, as a `.model` file, cuts text as its `tokenizer.json` does.
#[test]
fn test_sentencepiece__trained_models_survive_as_model_files() {
    let texts: Vec<String> = hard_strings();
    for model_type in [SentencePieceModel::Unigram, SentencePieceModel::Bpe] {
        let tokenizer = trained_with(model_type, true);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.model");
        std::fs::write(&path, tokenizer.sentencepiece_model().unwrap()).unwrap();
        let again = Tokenizer::load(&path).unwrap();
        assert_eq!(again.vocab_size(), tokenizer.vocab_size());
        assert_eq!(again.special_ids(), tokenizer.special_ids());
        for text in &texts {
            let (one, two) = (tokenizer.encode(text).unwrap(), again.encode(text).unwrap());
            // NUL ends a replacement in such a file, so it cannot be in it.
            assert!(one == two || text.contains('\0'), "{model_type:?} {text:?}");
        }
    }
    let error = trained(TokenizerKind::Bpe).sentencepiece_model().unwrap_err().to_string();
    assert!(error.contains("this bpe tokenizer cannot be written"), "{error}");
}

#[test]
fn test_sentencepiece__hostile_model_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.model");
    let good = trained_with(SentencePieceModel::Unigram, false).sentencepiece_model().unwrap();
    let mut broken = good.clone();
    let middle = good.len() / 2;
    broken[middle..].fill(0xFF);
    for bytes in [&b""[..], b"text", &good[..good.len() / 2], &broken] {
        std::fs::write(&path, bytes).unwrap();
        for path in [&path, folder.path()] {
            let error = Tokenizer::load(path).unwrap_err();
            assert!(error.to_string().contains("tokenizer.model"), "{error}");
            assert_eq!(error.exit_code(), 3);
        }
    }
    // A trie that leads astray is refused, or does no harm.
    for at in (0..4000).step_by(97) {
        let mut file = ModelFile::parse(&good).unwrap();
        let end = (at + 300).min(file.charsmap.len());
        file.charsmap[at..end].fill(0xF7);
        std::fs::write(&path, file.to_bytes()).unwrap();
        if let Ok(tokenizer) = Tokenizer::load(&path) {
            let _ = tokenizer.encode("the ﬁn½ cat");
        }
    }
}

fn trained_with(model_type: SentencePieceModel, byte_fallback: bool) -> Tokenizer {
    let kind = TokenizerKind::Sentencepiece;
    let options = TrainOptions {
        model_type,
        byte_fallback,
        ..TrainOptions::new(kind, 320 - 200 * usize::from(!byte_fallback))
    };
    train_on(&options, &[TEXT, TEXT]).unwrap()
}

/// Spaces become single, and what they stood for is lost; nothing else is, with byte fallback.
#[test]
fn test_sentencepiece__decoding_gives_the_normalised_text() {
    for model_type in [SentencePieceModel::Unigram, SentencePieceModel::Bpe] {
        let tokenizer = trained_with(model_type, true);
        for text in hard_strings().iter().chain(&every_character()) {
            let ids = tokenizer.encode(text).unwrap();
            assert_eq!(tokenizer.count_unknown(&ids), 0);
            let expected = tokenizer.normalise(text).unwrap();
            assert_eq!(tokenizer.decode(&ids).unwrap(), expected, "{model_type:?} {text:?}");
        }
        assert_eq!(tokenizer.normalise("  ﬁne\u{a0}\n▁ ½ ").unwrap(), "fine 1⁄2");
        let without = trained_with(model_type, false);
        let ids = without.encode("the 猫猫 cat").unwrap();
        assert_eq!(without.count_unknown(&ids), 1, "a run of unknown characters is one unknown");
        assert_eq!(
            without.decode(&without.encode(TEXT).unwrap()).unwrap(),
            without.normalise(TEXT).unwrap()
        );
    }
}

#[test]
fn test_sentencepiece__long_and_streamed_texts_come_out_whole() {
    let line = "The cat, they'll say,\tsat  on the mat's 2026 end.\n\n";
    let long = line.repeat(6000);
    assert!(long.len() > 4 * cut::MAX);
    for model_type in [SentencePieceModel::Unigram, SentencePieceModel::Bpe] {
        let tokenizer = trained_with(model_type, true);
        let once = tokenizer.encode(line).unwrap();
        assert_eq!(tokenizer.encode(&long).unwrap(), once.repeat(6000));
        // A wall without a space: nothing is put between its parts.
        let wall = "é,".repeat(60_000);
        assert_eq!(tokenizer.decode(&tokenizer.encode(&wall).unwrap()).unwrap(), wall);
        // As the corpus reader hands it on.
        let mut streamed = tokenizer.encode_words("the ca", false).unwrap().ids;
        streamed.extend(tokenizer.encode_words("t sat", true).unwrap().ids);
        streamed.extend(tokenizer.encode_words(" on", true).unwrap().ids);
        assert_eq!(tokenizer.decode(&streamed).unwrap(), "the cat sat on");
    }
}

/// The quality that docs/tokenizers.md promises, on a corpus that Google's trainer was run on once.
/// `google_shakespeare.tsv` is made by tests/interop/tokenizers_compare.py --golden.
#[test]
fn test_sentencepiece__unigram_cuts_words_as_googles_trainer_does() {
    let Some(path) = data("tinyshakespeare/input.txt") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    let options = TrainOptions {
        byte_fallback: false,
        ..TrainOptions::new(TokenizerKind::Sentencepiece, 2000)
    };
    let ours = train_on(&options, &lines).unwrap();
    let pieces: Vec<(&str, f64)> = include_str!("google_shakespeare.tsv")
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(piece, score)| (piece, score.parse().unwrap()))
        .collect();
    assert_eq!(pieces.len(), 1996);
    let mut json = ours.json().clone();
    let vocab = json["model"]["vocab"].as_array_mut().unwrap();
    vocab.truncate(4);
    vocab.extend(pieces.iter().map(|(piece, score)| json!([piece, score])));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(TOKENIZER_FILE);
    std::fs::write(&file, json.to_string()).unwrap();
    let google = Tokenizer::load(&file).unwrap();

    let cut = |tokenizer: &Tokenizer, word: &str| -> Vec<String> {
        let ids = tokenizer.encode(word).unwrap();
        ids.into_iter().map(|id| tokenizer.token(id).unwrap()).collect()
    };
    let (mut alike, mut total, mut tokens) = (0, 0, [0, 0]);
    for word in text.split_whitespace() {
        let (a, b) = (cut(&google, word), cut(&ours, word));
        total += 1;
        alike += u32::from(a == b);
        tokens[0] += a.len();
        tokens[1] += b.len();
    }
    println!("{alike} of {total} words alike, {tokens:?} tokens");
    assert!(f64::from(alike) >= 0.98 * f64::from(total), "{alike} of {total}");
    let lines = f64::from(u32::try_from(lines.len()).unwrap());
    let gap = (tokens[1] as f64 - tokens[0] as f64).abs() / lines;
    assert!(gap <= 0.05, "{gap} tokens a line");
}
