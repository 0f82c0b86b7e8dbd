//! Interrupted and resumed runs against uninterrupted ones (rows A1 to A5), at any size.

use crate::experiment::{
    Experiment, Extent, Files, PEAK, WARMUP, after, alter, differences, models, with_numbers,
    with_tensors,
};
use foundry_models::config::choices::{CheckpointUnit, LrScheduler};
use foundry_models::config::{EarlyStopping, Placement, Warmup};
use foundry_models::data::{Loader, Rebuild, Split};
use foundry_models::pipeline::{Notice, Stale};
use foundry_models::train::checkpoint::{
    BEST_FOLDER, MODEL_FILE, OPTIMIZER_FILE, RAW_MODEL_FILE, STATE_FILE,
};
use foundry_models::train::run::Event;
use foundry_models::train::run_folder::Wish;
use foundry_models::train::signals::StopFlag;
use foundry_models::train::windows::Windows;
use serde_json::{Value, json};
use std::sync::Arc;

/// From the content of a file to another.
type Change<'a> = dyn Fn(Vec<u8>) -> Vec<u8> + 'a;

fn assert_same(e: &Experiment, whole: &Files, what: &str) {
    let files = e.files();
    assert!(files.keys().any(|name| name.ends_with(MODEL_FILE)), "nothing was compared");
    let differ = differences(whole, &files);
    assert!(differ.is_empty(), "{} {what}: these files differ: {differ:?}", e.architecture());
    assert_learning_rates(e, what);
}

/// A3: the log has every step once, at the rate of Hugging Face's `get_linear_schedule_with_warmup`.
fn assert_learning_rates(e: &Experiment, what: &str) {
    let total = e.config.training.train_steps.expect("a number of steps");
    let logged: Vec<(u64, f64)> = e
        .metrics()
        .iter()
        .filter_map(|r| Some((r.get("step")?.as_u64()?, r.get("learning_rate")?.as_f64()?)))
        .collect();
    assert_eq!(logged.iter().map(|l| l.0).collect::<Vec<_>>(), (1..=total).collect::<Vec<_>>());
    for (step, rate) in logged {
        #[expect(clippy::cast_precision_loss, reason = "few steps")]
        let (s, w, n) = ((step - 1) as f64, WARMUP as f64, total as f64);
        let by_hand = if s < w { PEAK * s / w } else { PEAK * (n - s) / (n - w) };
        let error = (rate - by_hand).abs();
        assert!(error <= 1e-15 * PEAK, "{what}: step {step}: {rate} is not {by_hand}");
    }
}

/// A1, A3, A5: stopped after every step in turn, in the middle of validation, and after each step of one run; every
/// file of the run folder is then that of the uninterrupted run.
///
/// # Panics
/// If one is not.
#[must_use]
pub fn every_interruption(extent: Extent) -> String {
    let (mut runs, mut names) = (0, Vec::new());
    for model in models(extent) {
        let e = Experiment::new(&model, extent);
        names.push(e.architecture());
        let whole = e.finish(Wish::Start);
        assert_learning_rates(&e, "uninterrupted");
        for step in 0..extent.steps {
            e.clear();
            assert_eq!(e.interrupt(Wish::Start, &mut after(step)), step);
            let _ = e.finish(Wish::Resume);
            assert_same(&e, &whole, &format!("stopped after step {step}"));
            runs += 1;
        }

        let mut scored = 0;
        let mut validating = |notice: &Notice<'_>| {
            scored += u64::from(matches!(notice, Notice::Training(Event::Validating { .. })));
            scored == 5
        };
        e.clear();
        e.interrupt(Wish::Start, &mut validating);
        let _ = e.finish(Wish::Resume);
        assert_same(&e, &whole, "stopped while validating");

        e.clear();
        e.interrupt(Wish::Start, &mut after(0));
        for step in 1..extent.steps {
            assert_eq!(e.interrupt(Wish::Resume, &mut after(step)), step);
        }
        let _ = e.finish(Wish::Resume);
        assert_same(&e, &whole, "stopped after every step");
        runs += 2;
    }
    format!("{} interrupted runs of {}, all as uninterrupted", runs, names.join(", "))
}

/// A1, A3 for what a run remembers of its validations and weights: early stopping with its best checkpoint, the plateau
/// schedule, the moving average, and checkpoints counted in words; with activations recomputed. Stopped after every
/// step in turn; every file is then that of the uninterrupted run.
///
/// # Panics
/// If one is not, or if the run meets none of these.
#[must_use]
pub fn watched(extent: Extent) -> String {
    let mut runs = 0;
    for model in models(extent) {
        for stops_early in [true, false] {
            let mut e = Experiment::new(&model, extent);
            let training = &mut e.config.training;
            training.lr_scheduler = LrScheduler::Plateau;
            training.ema_decay = Some(0.5);
            training.use_gradient_checkpointing = true;
            training.checkpoints.unit = CheckpointUnit::Words;
            training.checkpoints.placement = Placement::Listed(vec![90, 200]);
            if stops_early {
                training.early_stopping = Some(EarlyStopping { patience: 4, min_delta: 0.3 });
            } else {
                // Too slow for any progress, whatever the size of the model: the rate is cut at the twelfth validation.
                // Not slower, since a cut by less than 1e-8 is none.
                training.learning_rate = 2e-8;
                training.warmup = Warmup::Steps(0);
            }
            e.config.evaluation.every_steps = Some(1);

            let whole = e.finish(Wish::Start);
            let rates: Vec<f64> =
                e.metrics().iter().filter_map(|r| r.get("learning_rate")?.as_f64()).collect();
            let has = |name: &str| whole.keys().any(|file| file.ends_with(name));
            assert!(has(RAW_MODEL_FILE), "no average");
            if stops_early {
                assert!((rates.len() as u64) < extent.steps, "it did not stop early: {rates:?}");
                assert!(has(&format!("{BEST_FOLDER}/{MODEL_FILE}")), "no best checkpoint");
            } else {
                assert!(rates.last() < rates.first(), "the rate was not cut: {rates:?}");
            }
            let end = rates.len() as u64;
            for step in 0..end {
                e.clear();
                assert_eq!(e.interrupt(Wish::Start, &mut after(step)), step);
                let files = e.finish(Wish::Resume);
                let differ = differences(&whole, &files);
                assert!(differ.is_empty(), "{}, step {step}: {differ:?}", e.architecture());
                runs += 1;
            }
            e.clear();
            for step in 0..end {
                let wish = if step == 0 { Wish::Start } else { Wish::Resume };
                assert_eq!(e.interrupt(wish, &mut after(step)), step);
            }
            let files = e.finish(Wish::Resume);
            assert_eq!(differences(&whole, &files), [""; 0], "stopped after every step");
            runs += 1;
        }
    }
    format!("{runs} interrupted runs that watch their validation loss, all as uninterrupted")
}

/// A1's control: a resume state of which one thing is wrong gives another run, and one of which a field is gone gives
/// none. Gives the number of cases.
///
/// # Panics
/// If a change goes unseen.
#[must_use]
pub fn wrong_state(extent: Extent) -> String {
    let (mut changed, mut refused) = (0, 0);
    let half = extent.steps / 2;
    for model in models(extent) {
        let e = Experiment::new(&model, extent);
        let whole = e.finish(Wish::Start);
        let altered = |file: &str, change: &Change<'_>| {
            e.clear();
            e.interrupt(Wish::Start, &mut after(half));
            alter(&e.checkpoint(half), file, change);
        };
        let tensors = |prefix: &'static str, number: fn(usize, f32) -> f32| {
            move |bytes: Vec<u8>| {
                with_tensors(&bytes, |all| {
                    let some = all.iter_mut().filter(|(name, _)| name.starts_with(prefix));
                    some.for_each(|(_, t)| with_numbers(&mut t.2, number));
                })
            }
        };
        let zero: fn(usize, f32) -> f32 = |_, _| 0.0;
        let nudge: fn(usize, f32) -> f32 = |_, x| f32::from_bits(x.to_bits() ^ 1);
        let numbers: [(&str, Box<Change<'_>>); 4] = [
            (OPTIMIZER_FILE, Box::new(tensors("exp_avg.", zero))),
            (OPTIMIZER_FILE, Box::new(tensors("exp_avg_sq.", zero))),
            (MODEL_FILE, Box::new(tensors("", nudge))),
            (
                STATE_FILE,
                Box::new(|bytes| {
                    edited(&bytes, |state| state["extra"]["optimizer_updates"] = json!(1))
                }),
            ),
        ];
        let last = format!("checkpoint-{}/{MODEL_FILE}", extent.steps);
        for (i, (file, change)) in numbers.iter().enumerate() {
            altered(file, change);
            let files = e.finish(Wish::Resume);
            let differ = differences(&whole, &files);
            assert!(
                differ.contains(&last.as_str()),
                "{}: change {i} goes unseen",
                e.architecture()
            );
            changed += 1;
        }
        for field in ["tokens_seen", "words_seen", "metrics_lines"] {
            altered(STATE_FILE, &|bytes| {
                edited(&bytes, |state| {
                    state[field] = json!(state[field].as_u64().expect("a count") - 1);
                })
            });
            let files = e.finish(Wish::Resume);
            assert!(!differences(&whole, &files).is_empty(), "{field} goes unseen");
            changed += 1;
        }

        e.clear();
        e.interrupt(Wish::Start, &mut after(half));
        let path = e.checkpoint(half).join(STATE_FILE);
        let saved = std::fs::read(&path).expect("a state");
        let state: Value = serde_json::from_slice(&saved).expect("a state");
        let mut fields: Vec<String> =
            state.as_object().expect("an object").keys().cloned().collect();
        fields.push("extra/optimizer_updates".to_owned());
        for field in &fields {
            altered(STATE_FILE, &|bytes| {
                edited(&bytes, |state| {
                    let (place, name) = match field.split_once('/') {
                        Some((outer, inner)) => (&mut state[outer], inner),
                        None => (state, field.as_str()),
                    };
                    place.as_object_mut().expect("an object").remove(name);
                })
            });
            let name = field.rsplit('/').next().unwrap_or(field);
            let mut warned = false;
            let outcome = e.train(Wish::Resume, &mut |notice| {
                warned |= matches!(notice, Notice::Warning(text) if text.contains(name));
                false
            });
            match outcome {
                // An older checkpoint was taken, with a word about this one.
                Ok(_) => {
                    assert!(warned, "{field} goes unseen");
                    assert_same(&e, &whole, &format!("resumed without {field}"));
                }
                Err(error) => {
                    assert!(error.to_string().contains(name), "{field}: {error}");
                    assert_eq!(error.exit_code(), 3, "{error}");
                }
            }
            refused += 1;
        }
    }
    format!("{changed} wrong values change the run, {refused} missing fields are refused")
}

fn edited(bytes: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut state: Value = serde_json::from_slice(bytes).expect("a state");
    change(&mut state);
    format!("{state:#}\n").into_bytes()
}

/// A4: each tensor of the optimizer's memory deleted, renamed, and in another shape: an error that names it.
///
/// # Panics
/// If one is loaded.
#[must_use]
pub fn wrong_optimizer(extent: Extent) -> String {
    let mut refused = 0;
    for model in models(extent) {
        let e = Experiment::new(&model, extent);
        e.interrupt(Wish::Start, &mut after(3));
        let saved = std::fs::read(e.checkpoint(3).join(OPTIMIZER_FILE)).expect("a file");
        let mut names = Vec::new();
        let _ = with_tensors(&saved, |all| names.extend(all.keys().cloned()));
        for name in &names {
            for damage in 0..3 {
                alter(&e.checkpoint(3), OPTIMIZER_FILE, |_| {
                    with_tensors(&saved, |all| {
                        let mut tensor = all.remove(name).expect("of this name");
                        if damage == 1 {
                            all.insert(format!("{name}_"), tensor);
                        } else if damage == 2 {
                            tensor.1.insert(0, 1);
                            all.insert(name.clone(), tensor);
                        }
                    })
                });
                let before = e.files();
                let error = e.train(Wish::Resume, &mut |_| false).expect_err(name);
                let message = error.to_string();
                assert!(
                    message.contains(&format!("'{name}'")) && message.contains(OPTIMIZER_FILE),
                    "{message}"
                );
                assert_eq!(error.exit_code(), 3, "{message}");
                assert_eq!(differences(&before, &e.files()), [""; 0], "a refusal changed files");
                refused += 1;
            }
        }
        alter(&e.checkpoint(3), OPTIMIZER_FILE, |_| saved);
        let _ = e.finish(Wish::Resume);
    }
    format!("{refused} damaged optimizer tensors, all refused by name")
}

/// A2: over three epochs every row comes once an epoch, wherever the run is entered, and in an order that does not
/// depend on how many micro-batches make a window, or on threads that make them ahead of time.
///
/// # Panics
/// If not.
#[must_use]
pub fn data_order(sizes: &[usize]) -> String {
    let mut entered = 0;
    for &rows in sizes {
        let extent = Extent { layers: 1, width: 16, steps: 4, rows };
        let e = Experiment::new(&models(extent)[0], extent);
        let (pipeline, say): (_, &mut dyn FnMut(Notice<'_>)) = (e.pipeline(), &mut |_| {});
        let corpus = pipeline.corpus(say).expect("a corpus");
        let tokenizer = pipeline.tokenizer(&corpus, Stale::Refuse, say).expect("a tokenizer");
        let dataset = pipeline
            .dataset(&corpus, &tokenizer, Rebuild::IfMissing, &StopFlag::new(), say)
            .expect("a dataset")
            .expect("not stopped");
        let chunks = dataset.split(Split::Train).expect("training text");
        assert_eq!(chunks.len(), rows as u64);

        let windows = |accumulation, workers| {
            let collator = Arc::new(foundry_models::collate::CausalLMDataCollator::new(0));
            let loader = Loader::shuffled(chunks.clone(), collator, 4, 7).expect("a loader");
            Windows::new(Arc::new(loader), None, accumulation).ahead_on(workers)
        };
        let ids = |windows: &Windows, step: u64| windows.window(step).expect("a window").rows();
        let mut orders = Vec::new();
        for (accumulation, workers) in [(1, 0), (2, 1), (3, 2)] {
            let whole = windows(accumulation, 0);
            let end = 3 * whole.per_epoch();
            let expected: Vec<Vec<u64>> = (1..=end).map(|step| ids(&whole, step)).collect();
            let order = expected.concat();
            for epoch in order.chunks(rows) {
                let mut epoch = epoch.to_vec();
                epoch.sort_unstable();
                assert_eq!(epoch, (0..rows as u64).collect::<Vec<_>>(), "each row once an epoch");
            }
            assert_eq!(order.len(), 3 * rows);
            for first in 1..=end {
                let resumed = windows(accumulation, workers);
                let rest: Vec<_> = (first..=end).map(|step| ids(&resumed, step)).collect();
                let from = usize::try_from(first - 1).expect("few steps");
                assert_eq!(rest, expected[from..], "entered at step {first}");
                entered += 1;
            }
            orders.push(order);
        }
        assert!(orders.iter().all(|order| *order == orders[0]), "accumulation changes the order");
        if rows > 3 {
            assert_ne!(orders[0][..rows], orders[0][rows..2 * rows], "epochs have the same order");
        }
    }
    format!("{} dataset sizes, entered at {entered} steps: every row once an epoch", sizes.len())
}
