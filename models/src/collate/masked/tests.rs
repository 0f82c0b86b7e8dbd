use super::*;
use crate::tokenizer::{SpecialTokens, Tokenizer, TokenizerKind, TrainOptions};

/// bos, eos, unk, pad and mask are 0 to 4.
const SPECIAL: SpecialIds = SpecialIds {
    bos: Some(0),
    eos: Some(1),
    unk: Some(2),
    pad: Some(3),
    mask: Some(4),
    cls: None,
    sep: None,
};
const VOCAB: u32 = 1005;

fn masking(masking: Masking) -> MaskingConfig {
    MaskingConfig { mlm_probability: 0.15, masking, mask_split: [0.8, 0.1, 0.1] }
}

fn collator(kind: Masking) -> MaskedLMDataCollator {
    MaskedLMDataCollator::new(&masking(kind), SPECIAL, VOCAB as usize).unwrap()
}

/// Rows of ordinary tokens in words of one to three, between bos and eos, with an unknown token now and then.
fn row(id: u64, length: usize) -> Chunk {
    let mut stream = Stream::new([9, u32::try_from(id).unwrap()]);
    let (mut ids, mut word_starts) = (vec![0], vec![false]);
    while ids.len() < length - 1 {
        let special = stream.below(20) == 0;
        for part in 0..1 + stream.below(3) {
            ids.push(if special { 2 } else { 5 + stream.below(VOCAB - 5) });
            word_starts.push(part == 0);
        }
    }
    ids.truncate(length - 1);
    word_starts.truncate(length - 1);
    ids.push(1);
    word_starts.push(false);
    Chunk { ids, word_starts }
}

fn collate(kind: Masking, epoch: u64, rows: &[u64], chunks: &[Chunk]) -> HostBatch {
    collator(kind).collate(RowKeys { seed: 7, epoch, rows }, chunks)
}

/// What was seen in many rows.
#[derive(Default, Debug)]
struct Counts {
    ordinary: f64,
    chosen: f64,
    masked: f64,
    random: f64,
    kept: f64,
}

fn count(kind: Masking, tokens: usize) -> Counts {
    let mut counts = Counts::default();
    let length = 200;
    let mut drawn = vec![0_u32; VOCAB as usize];
    for first in (0..(tokens / length) as u64).step_by(10) {
        let rows: Vec<u64> = (first..first + 10).collect();
        let chunks: Vec<Chunk> = rows.iter().map(|id| row(*id, length)).collect();
        let batch = collate(kind, 3, &rows, &chunks);
        let tokens = chunks.iter().flat_map(|c| &c.ids);
        for ((&token, &read), &label) in tokens.zip(&batch.ids).zip(&batch.labels) {
            counts.ordinary += f64::from(u8::from(token > 4));
            if label == IGNORE {
                assert_eq!(read, token, "what is not chosen is read as it is");
                continue;
            }
            assert!(token > 4, "special tokens are never chosen");
            assert_eq!(label, token);
            counts.chosen += 1.0;
            match read {
                4 => counts.masked += 1.0,
                _ if read == token => counts.kept += 1.0,
                _ => {
                    counts.random += 1.0;
                    drawn[read as usize] += 1;
                }
            }
        }
    }
    assert_eq!(drawn[..5], [0; 5], "special tokens are never drawn");
    if tokens >= 1_000_000 {
        assert!(drawn[5..].iter().all(|n| *n > 0), "every other one is");
    }
    counts
}

fn assert_shares(found: &Counts) {
    let near = |part: f64, whole: f64, share: f64| {
        assert!((part / whole - share).abs() < 0.003, "{part} of {whole}: {found:?}");
    };
    near(found.chosen, found.ordinary, 0.15);
    near(found.masked, found.chosen, 0.8);
    near(found.random, found.chosen, 0.1);
    near(found.kept, found.chosen, 0.1);
}

/// 80/10/10 within 0.3 points over 10^6 tokens.
#[test]
fn test_masked_collator__shares_of_single_tokens() {
    assert_shares(&count(Masking::Token, 1_000_000));
}

#[test]
fn test_masked_collator__shares_of_words() {
    assert_shares(&count(Masking::WholeWord, 1_000_000));
}

/// Tokens of a span have one fate, so that there are fewer draws: four times as many tokens.
#[test]
fn test_masked_collator__shares_of_spans() {
    assert_shares(&count(Masking::Span, 4_000_000));
}

#[test]
fn test_masked_collator__a_row_does_not_see_its_batch_or_its_padding() {
    let rows = [40, 7, 25];
    let chunks = [row(1, 40), row(2, 7), row(3, 25)];
    for kind in Masking::ALL {
        let together = collate(kind, 1, &rows, &chunks);
        for (i, chunk) in chunks.iter().enumerate() {
            let alone = collate(kind, 1, &rows[i..=i], &chunks[i..=i]);
            let from = i * together.time;
            assert_eq!(together.ids[from..from + chunk.ids.len()], alone.ids);
            assert_eq!(together.labels[from..from + chunk.ids.len()], alone.labels);
            let behind = from + chunk.ids.len()..from + together.time;
            assert!(together.ids[behind.clone()].iter().all(|id| *id == 3));
            assert!(together.labels[behind.clone()].iter().all(|label| *label == IGNORE));
            assert!(together.mask[behind].iter().all(|m| *m == 0));
        }
        let listed = together.predicted.as_ref().unwrap();
        let labelled: Vec<u32> = (0..)
            .zip(&together.labels)
            .filter(|(_, label)| **label != IGNORE)
            .map(|(i, _)| i)
            .collect();
        assert_eq!(*listed, labelled);
        assert_eq!(together.targets, labelled.len() as u64);
        assert_eq!(together.real_tokens, 72);
    }
}

/// The same row in another epoch, another row, another seed: other tokens are chosen.
#[test]
fn test_masked_collator__epoch_row_and_seed_count() {
    let chunk = [row(1, 200)];
    for kind in Masking::ALL {
        let labels = |seed, epoch, id| {
            let keys = RowKeys { seed, epoch, rows: &[id] };
            collator(kind).collate(keys, &chunk).labels
        };
        let one = labels(1, 1, 1);
        assert_eq!(one, labels(1, 1, 1));
        for other in [labels(2, 1, 1), labels(1, 2, 1), labels(1, 1, 2)] {
            assert_ne!(one, other);
        }
    }
}

/// A choice depends on the place in the row and, for words, on where words begin: not on what the tokens are.
#[test]
fn test_masked_collator__other_tokens_are_chosen_alike() {
    let chunk = Chunk { ids: (5..205).collect(), word_starts: vec![true; 200] };
    let other = Chunk { ids: (5..205).rev().collect(), ..chunk.clone() };
    for kind in Masking::ALL {
        let chosen = |chunk: &Chunk| {
            let batch = collate(kind, 0, &[5], std::slice::from_ref(chunk));
            batch.labels.iter().map(|label| *label != IGNORE).collect::<Vec<_>>()
        };
        assert_eq!(chosen(&chunk), chosen(&other));
    }
}

/// Frozen: every masked run hangs on these choices, and they change only with a new format version.
#[test]
fn test_masked_collator__choices_are_frozen() {
    let chunk = [Chunk { ids: (5..45).collect(), word_starts: [true, false].repeat(20) }];
    let chosen = |kind| {
        let batch = collate(kind, 2, &[11], &chunk);
        let chosen = (0..40).filter(|t| batch.labels[*t] != IGNORE);
        chosen.map(|t| (t, batch.ids[t])).collect::<Vec<_>>()
    };
    let found = [Masking::Token, Masking::WholeWord, Masking::Span].map(chosen);
    assert_eq!(found, [&TOKENS[..], &WORDS, &SPANS]);
}

const TOKENS: [(usize, u32); 7] =
    [(6, 4), (9, 4), (14, 19), (15, 4), (19, 160), (28, 4), (34, 891)];
const WORDS: [(usize, u32); 8] =
    [(6, 4), (7, 4), (14, 19), (15, 4), (28, 4), (29, 4), (34, 891), (35, 4)];
const SPANS: [(usize, u32); 8] =
    [(28, 4), (29, 4), (30, 4), (31, 4), (32, 4), (33, 4), (34, 4), (35, 4)];

#[test]
fn test_masked_collator__spans_are_longer_than_words() {
    let chunks: Vec<Chunk> =
        (0..200).map(|_| Chunk { ids: vec![9; 100], word_starts: vec![true; 100] }).collect();
    let rows: Vec<u64> = (0..200).collect();
    let batch = collate(Masking::Span, 0, &rows, &chunks);
    let chosen: Vec<bool> = batch.labels.iter().map(|label| *label != IGNORE).collect();
    let runs = chosen.windows(2).filter(|pair| pair[1] && !pair[0]).count();
    let mean = batch.targets as f64 / runs as f64;
    assert!((3.5..5.0).contains(&mean), "runs of {mean} words");
}

/// All tokens of a word or none, for the words that each kind of tokenizer makes of a text.
#[test]
fn test_masked_collator__whole_words_of_every_tokenizer() {
    let text = "unbelievably, the cats' whiskers (all seven) were re-examined yesterday ";
    let words = text.split_whitespace().count();
    for kind in TokenizerKind::ALL {
        let options = TrainOptions {
            special_tokens: SpecialTokens::of(kind).with_mask(),
            min_frequency: 2,
            ..TrainOptions::new(kind, 300)
        };
        let corpus = "the cats were seven all (a) examined re- yester day, believe ".repeat(20);
        let mut source = [corpus].into_iter().map(Ok);
        let (tokenizer, _) = Tokenizer::train(&options, &mut source).unwrap();
        let encoded = tokenizer.encode_words(&text.repeat(30), false).unwrap();
        let unknown = tokenizer.special_ids().unk;
        let chunk = Chunk { ids: encoded.ids, word_starts: encoded.word_starts };
        let config = MaskingConfig { mlm_probability: 0.4, ..masking(Masking::WholeWord) };
        let collator =
            MaskedLMDataCollator::new(&config, tokenizer.special_ids(), tokenizer.vocab_size())
                .unwrap();
        let keys = RowKeys { seed: 1, epoch: 0, rows: &[0] };
        let batch = collator.collate(keys, std::slice::from_ref(&chunk));

        let (mut found, mut hidden, mut pieces) = (0, 0, 0);
        let mut word: Option<bool> = None;
        for (t, &id) in chunk.ids.iter().enumerate() {
            if Some(id) == unknown {
                assert_eq!(batch.labels[t], IGNORE, "{kind}");
                word = None;
                found += usize::from(chunk.word_starts[t]);
                continue;
            }
            let chosen = batch.labels[t] != IGNORE;
            if chunk.word_starts[t] {
                found += 1;
                hidden += usize::from(chosen);
            } else if let Some(word) = word {
                assert_eq!(chosen, word, "{kind}: token {t} is torn from its word");
                pieces += usize::from(chosen);
            }
            word = Some(chosen);
        }
        assert_eq!(found, 30 * words, "{kind}");
        assert!(hidden > 30 && pieces > 30, "{kind}: {hidden} words hidden, {pieces} more tokens");
    }
}

#[test]
fn test_masked_collator__by_hand_with_certain_choices() {
    let all = MaskingConfig {
        mlm_probability: 1.0,
        mask_split: [1.0, 0.0, 0.0],
        ..masking(Masking::Token)
    };
    let collator = MaskedLMDataCollator::new(&all, SPECIAL, 10).unwrap();
    let chunks = [
        Chunk { ids: vec![0, 7, 2, 8, 1], word_starts: vec![false, true, true, true, false] },
        Chunk { ids: vec![0, 1], word_starts: vec![false; 2] },
    ];
    const X: u32 = IGNORE;
    let batch = collator.collate(RowKeys { seed: 0, epoch: 0, rows: &[4, 9] }, &chunks);
    assert_eq!(batch.ids, [0, 4, 2, 4, 1, 0, 1, 3, 3, 3]);
    assert_eq!(batch.labels, [X, 7, X, 8, X, X, X, X, X, X]);
    assert_eq!(batch.mask, [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]);
    assert_eq!(batch.predicted, Some(vec![1, 3]));
    assert_eq!((batch.lengths, batch.real_tokens), (vec![5, 2], 7));
    assert_eq!((batch.targets, batch.words), (2, 3));
    let empty = collator.collate(RowKeys { seed: 0, epoch: 0, rows: &[] }, &[]);
    assert_eq!((empty.ids.len(), empty.targets), (0, 0));
    let without = SpecialIds { mask: None, ..SPECIAL };
    assert!(MaskedLMDataCollator::new(&all, without, 10).is_none());
}
