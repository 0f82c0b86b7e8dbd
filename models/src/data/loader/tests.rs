use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::super::{DataOptions, Rebuild, Split, prepare};
use super::*;
use crate::collate::CausalLMDataCollator;
use crate::tokenizer::{SpecialTokens, Tokenizer, TokenizerKind, TrainOptions};

/// A loader over `lines` lines, each its own chunk of three letters and eos.
fn loader(lines: u32, batch_size: usize, seed: u64) -> (tempfile::TempDir, Arc<Loader>) {
    let root = tempfile::tempdir().unwrap();
    let letter = |i: u32| char::from_u32(u32::from('a') + i % 26).unwrap();
    let text: String = (0..lines)
        .map(|i| format!("{}{}{}\n", letter(i), letter(i / 26), letter(i / 676)))
        .collect();
    let path = root.path().join("a.txt");
    std::fs::write(&path, &text).unwrap();
    let options = TrainOptions {
        min_frequency: 1,
        special_tokens: SpecialTokens::default(),
        ..TrainOptions::new(TokenizerKind::Character, 5_000)
    };
    let mut alphabet = [Ok(('a'..='z').collect::<String>())].into_iter();
    let (tokenizer, _) = Tokenizer::train(&options, &mut alphabet).unwrap();
    let go = &mut |_| ControlFlow::Continue(());
    let cache = root.path().join("cache");
    let dataset =
        prepare(&DataOptions::new(path, 4), &tokenizer, &cache, Rebuild::IfMissing, go).unwrap();
    let store = dataset.split(Split::Train).unwrap().clone();
    assert_eq!(store.len(), u64::from(lines));
    let collator = Arc::new(CausalLMDataCollator::new(tokenizer.special_ids().pad.unwrap()));
    (root, Arc::new(Loader::shuffled(store, collator, batch_size, seed).unwrap()))
}

/// A2: in each of three epochs every row exactly once, for sizes that the batch does not divide; the labels are those
/// of the rows.
#[test]
fn test_loader__an_epoch_is_the_dataset() {
    for (lines, batch_size) in [(1, 1), (7, 3), (100, 8), (64, 64), (50, 200)] {
        let (_root, loader) = loader(lines, batch_size, 42);
        for epoch in 0..3 {
            let mut seen: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
            for batch in loader.epoch(epoch) {
                let batch = batch.unwrap();
                assert!(batch.batch <= batch_size && batch.batch > 0);
                assert_eq!(batch.targets, 3 * batch.batch as u64);
                for (i, row) in batch.rows.iter().enumerate() {
                    let ids = batch.ids[i * batch.time..(i + 1) * batch.time].to_vec();
                    assert_eq!(ids, loader.store().chunk(*row).unwrap().ids);
                    assert!(seen.insert(*row, ids).is_none());
                }
            }
            assert_eq!(u32::try_from(seen.len()).unwrap(), lines);
        }
    }
}

/// A2: a run that stops before any batch and goes on reads what an uninterrupted run reads, with any number of threads.
#[test]
fn test_loader__resumes_anywhere_with_any_number_of_workers() {
    let (_root, loader) = loader(23, 5, 7);
    let mut position = Position::default();
    let mut whole = Vec::new();
    for _ in 0..12 {
        whole.push((position, loader.batch(position).unwrap()));
        position = loader.next(position);
    }
    assert_eq!(position, Position { epoch: 2, batch: 2 });
    for workers in [0, 1, 2, 3, 8] {
        for start in 0..12 {
            let mut ahead = loader.clone().prefetch(whole[start].0, workers);
            for (position, batch) in &whole[start..] {
                assert_eq!(ahead.position(), *position);
                assert_eq!(ahead.take().unwrap(), *batch);
            }
        }
    }
}

#[test]
fn test_loader__seeds_and_epochs_differ_and_evaluation_keeps_the_order() {
    let (_root, loader) = loader(40, 8, 1);
    let rows = |loader: &Loader, epoch| -> Vec<u64> {
        loader.epoch(epoch).flat_map(|batch| batch.unwrap().rows).collect()
    };
    assert_ne!(rows(&loader, 0), rows(&loader, 1));
    let (store, collator) = (loader.store().clone(), Arc::new(CausalLMDataCollator::new(0)));
    let other = Loader::shuffled(store.clone(), collator.clone(), 8, 2).unwrap();
    assert_ne!(rows(&loader, 0), rows(&other, 0));
    // The batch size cuts the order and does not change it.
    let larger = Loader::shuffled(store.clone(), collator.clone(), 16, 1).unwrap();
    assert_eq!(rows(&loader, 1), rows(&larger, 1));
    let sequential = Loader::sequential(store.clone(), collator.clone(), 8, 1).unwrap();
    assert_eq!(rows(&sequential, 3), (0..40).collect::<Vec<u64>>());
    assert!(Loader::sequential(store, collator, 0, 1).is_err());
}

/// D7: a cache that is damaged during training is an error, from workers too.
#[test]
fn test_loader__damage_during_training_is_an_error() {
    let (root, loader) = loader(30, 4, 1);
    let mut ahead = loader.prefetch(Position::default(), 2);
    ahead.take().unwrap();
    for entry in std::fs::read_dir(root.path().join("cache")).unwrap() {
        let shard = entry.unwrap().path().join("train-00000.ids");
        std::fs::File::options().write(true).open(shard).unwrap().set_len(120).unwrap();
    }
    let errors = (0..20).find_map(|_| ahead.take().err());
    assert!(matches!(errors, Some(DataError::Damaged { .. })), "{errors:?}");
}
