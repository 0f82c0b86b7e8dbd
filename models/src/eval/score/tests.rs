use super::*;
use crate::arch::{Size, build, tiny};
use crate::eval::StreamScorer;
use crate::train::signals::StopReason;
use foundry_engine::Init;

const VOCAB: usize = 13;
const POSITIONS: usize = 24;

fn models() -> Vec<Box<dyn LanguageModel>> {
    let init = Init::new(&Device::cpu(), DType::F32, 5);
    let size = Size { vocab: VOCAB, positions: POSITIONS };
    let built = tiny::variants().into_iter().filter_map(|(_, c)| build(&c, size, &init));
    built.filter(|m| m.supports_generation()).collect()
}

/// Sequences of many lengths, two of them equal, some that begin alike.
fn sequences() -> Vec<Sequence> {
    let id =
        |i: usize, t: usize| u32::try_from((i / 3 * 7 + t * t + t * (i % 3 + 1)) % VOCAB).unwrap();
    let of = |i: usize| Sequence::after_first((0..2 + i * 5 % 17).map(|t| id(i, t)).collect());
    let mut all: Vec<_> = (0..20).map(of).collect();
    all.push(all[7].clone());
    all.push(Sequence::after_first(vec![3]));
    all.push(Sequence::after_first(vec![]));
    all
}

fn close(a: &[TokenScore], b: &[TokenScore], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a.logprob_nats - b.logprob_nats).abs() <= tolerance, "{a:?} {b:?}");
    }
}

/// The nll of the loss path, of one row and its targets.
fn loss_path(model: &dyn LanguageModel, ids: &[u32]) -> f64 {
    let (read, targets) = (&ids[..ids.len() - 1], &ids[1..]);
    let tensor = |ids: &[u32]| Tensor::from_u32(&Device::cpu(), [1, ids.len()], ids);
    let batch = Batch { ids: tensor(read), mask: None, targets: tensor(targets), predicted: None };
    model.nll(&Ctx::eval(), &batch, 0.0).to_vec_f64().iter().sum()
}

/// C5: batched = one by one, padding changes nothing, and the sum is that of the loss path.
#[test]
fn test_causal_scorer__batched_is_one_by_one_and_the_loss() {
    for model in models() {
        let (sequences, device) = (sequences(), Device::cpu());
        let scorer = CausalScorer::new(&*model, &device, None);
        let together = scorer.score(&sequences, Detail::Distribution).unwrap();
        for (s, scores) in sequences.iter().zip(&together) {
            let alone = scorer.score(std::slice::from_ref(s), Detail::Probability).unwrap();
            close(scores, &alone[0], 1e-5);
            assert_eq!(scores.len(), s.ids.len().saturating_sub(1));
            if !scores.is_empty() {
                let sum: f64 = scores.iter().map(|t| t.logprob_nats).sum();
                let loss = loss_path(&*model, &s.ids);
                assert!((sum + loss).abs() <= 1e-5 * loss, "{sum} {loss}");
            }
        }
        assert_eq!(together[7], together[20], "equal sequences have equal bits");
    }
}

#[test]
fn test_causal_scorer__distributions_by_definition() {
    for model in models() {
        let (ids, device) = (vec![1, 5, 2, 9, 9], Device::cpu());
        let scorer = CausalScorer::new(&*model, &device, None);
        let sequence = Sequence::after_first(ids.clone());
        let scores = &scorer.score(&[sequence], Detail::Distribution).unwrap()[0];
        let batch = rectangle(&device, [1, 5], &ids, None);
        let logits = model.logits(&Ctx::eval(), &batch).to_vec_f64();
        for (t, score) in scores.iter().enumerate() {
            let z = &logits[t * VOCAB..][..VOCAB];
            let total: f64 = z.iter().map(|z| z.exp()).sum();
            let p: Vec<f64> = z.iter().map(|z| z.exp() / total).collect();
            let target = ids[t + 1] as usize;
            let entropy: f64 = p.iter().map(|p| -p * p.ln()).sum();
            let found = score.distribution.unwrap();
            assert!((score.logprob_nats - p[target].ln()).abs() < 1e-5);
            assert!((found.entropy_nats - entropy).abs() < 1e-5);
            assert_eq!(found.rank, 1 + p.iter().filter(|&&q| q > p[target]).count());
        }
    }
}

/// A text longer than the context: every token once, each with at least context - stride before it.
#[test]
fn test_causal_scorer__windows_score_every_token_once() {
    for (length, window, stride) in
        [(100, 24, 12), (100, 24, 1), (25, 24, 23), (24, 24, 5), (2, 24, 5)]
    {
        let mut next = 1;
        for (seen, new) in windows(length, 1..length, window, stride) {
            assert_eq!(new.start, next);
            assert!(seen.end == new.end && seen.len() <= window);
            assert!(seen.start == 0 || new.start - seen.start >= window - stride);
            next = new.end;
        }
        assert_eq!(next, length);
    }
}

#[test]
fn test_stream__is_the_windows_of_the_whole() {
    for model in models() {
        let device = Device::cpu();
        let ids: Vec<u32> = (0..1000_u32).map(|i| (i * i + i / 7) % 13).collect();
        let (window, stride) = (16, 5);
        let scorer = CausalScorer::new(&*model, &device, None);
        let of = |(seen, new): (Range<usize>, Range<usize>)| Sequence {
            scored: new.start - seen.start..new.end - seen.start,
            ids: ids[seen].to_vec(),
            words: Vec::new(),
        };
        let whole: Vec<_> = windows(ids.len(), 1..ids.len(), window, stride).map(of).collect();
        let scores = scorer.score(&whole, Detail::Probability).unwrap();
        let expected: f64 = scores.iter().flatten().map(|t| -t.logprob_nats).sum();
        for piece in [1, 7, 1000] {
            let mut stream = StreamScorer::new(&scorer, (window, stride), Some(12));
            ids.chunks(piece).for_each(|ids| stream.push(ids).unwrap());
            let found = stream.finish().unwrap();
            assert_eq!(found.tokens, 999);
            assert_eq!(found.unknown_tokens, ids[1..].iter().filter(|&&i| i == 12).count() as u64);
            assert!((found.nll_nats - expected).abs() < 1e-6 * expected, "{piece}");
        }
    }
}

/// However long a text is, a stop is heard between two batches.
#[test]
fn test_causal_scorer__stops_inside_a_text() {
    let stop = StopFlag::new();
    for model in models() {
        let device = Device::cpu();
        let scorer = CausalScorer::new(&*model, &device, None).until(&stop);
        let long: Vec<u32> = (0..u32::try_from(3 * SEGMENT).unwrap()).map(|i| i % 13).collect();
        let twins = [vec![1, 2, 3, 4, 5], vec![1, 2, 3, 4, 6]].map(Sequence::after_first);
        for sequences in
            [&[Sequence::after_first(long)][..], &[Sequence::after_first(vec![1, 2])], &twins]
        {
            assert!(scorer.score(sequences, Detail::Probability).is_ok());
            let stop = StopFlag::new();
            stop.request(StopReason::Terminate);
            let stopped = scorer.clone().until(&stop).score(sequences, Detail::Probability);
            assert_eq!(stopped, Err(Stopped(StopReason::Terminate)));
        }
    }
}

/// Reading on gives what reading at once gives, for rows of a memory that go different ways.
#[test]
fn test_memory__reading_on_is_reading_at_once() {
    for model in models() {
        let (device, cx) = (Device::cpu(), Ctx::eval());
        let reader = model.left_to_right().unwrap();
        let rows: [[u32; 9]; 2] = [[1, 2, 3, 4, 5, 6, 7, 8, 9], [9, 3, 3, 1, 0, 12, 5, 5, 2]];
        let whole = |ids: &[u32]| {
            model.hidden(&cx, &rectangle(&device, [1, ids.len()], ids, None)).to_vec_f64()
        };
        let close = |a: &[f64], b: &[f64]| {
            assert_eq!(a.len(), b.len());
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5), "{}", model.architecture());
        };
        let mut memory = reader.memory(2, 12);
        let mut read = |from: usize, to: usize| {
            let ids: Vec<u32> = rows.iter().flat_map(|r| &r[from..to]).copied().collect();
            let ids = Tensor::from_u32(&device, [2, to - from], &ids);
            reader.read(&cx, &ids, &mut memory).to_vec_f64()
        };
        let (a, b, c) = (read(0, 4), read(4, 5), read(5, 9));
        let width = a.len() / 8;
        for (r, row) in rows.iter().enumerate() {
            let of = |x: &[f64], t: usize| x[r * t * width..(r + 1) * t * width].to_vec();
            close(&[of(&a, 4), of(&b, 1), of(&c, 4)].concat(), &whole(row));
        }
        assert_eq!(memory.read, 9);
        let mut twice = memory.pick(&[1, 0, 1]);
        let next = Tensor::from_u32(&device, [3, 1], &[4, 4, 6]);
        let y = reader.read(&cx, &next, &mut twice).to_vec_f64();
        for (n, (row, id)) in [(1, 4), (0, 4), (1, 6)].into_iter().enumerate() {
            let all = whole(&[&rows[row][..], &[id]].concat());
            close(&y[n * width..][..width], &all[9 * width..]);
        }
        assert_eq!(memory.read, 9, "the first memory is as it was");
    }
}

/// C5: a text of several segments is scored as if it were read at once.
#[test]
fn test_causal_scorer__long_texts_keep_their_state() {
    for model in models().iter().filter(|m| m.context_length().is_none()) {
        let device = Device::cpu();
        let length = u32::try_from(2 * SEGMENT + 100).unwrap();
        let ids: Vec<u32> = (0..length).map(|i| (i * i + i / 7) % 13).collect();
        let scorer = CausalScorer::new(&**model, &device, None);
        let piece = Piece { ids: &ids, scored: 5..ids.len() };
        let at_once = scorer.batch(&[&piece], Detail::Probability);
        let sequence = Sequence { ids: ids.clone(), scored: 5..ids.len(), words: Vec::new() };
        close(&scorer.score(&[sequence], Detail::Probability).unwrap()[0], &at_once[0], 1e-5);
    }
}
