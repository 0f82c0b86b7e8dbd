//! Position t never sees what comes after it.

use foundry_engine::ops::cross_entropy::IGNORE;
use foundry_engine::{Ctx, DType, Device, Init, Tensor};
use foundry_models::arch::{ARCHITECTURES, Batch, LanguageModel, Size};
use foundry_tests::tiny;

const SIZE: Size = Size { vocab: 23, positions: 12 };

fn batch(ids: &[u32], rows: usize) -> Batch {
    let shape = [rows, ids.len() / rows];
    let tensor = |x: &[u32]| Tensor::from_u32(&Device::cpu(), shape, x);
    Batch {
        ids: tensor(ids),
        mask: None,
        targets: tensor(&vec![IGNORE; ids.len()]),
        predicted: None,
    }
}

fn causal_models(dtype: DType) -> Vec<Box<dyn LanguageModel>> {
    let init = Init::new(&Device::cpu(), dtype, 3);
    let configs = tiny::configs();
    let build = |a: &foundry_models::arch::Architecture| {
        configs
            .iter()
            .find_map(|c| (a.build)(c, SIZE, &init))
            .expect("a tiny configuration of each")
    };
    ARCHITECTURES.iter().map(build).filter(|m| m.supports_generation()).collect()
}

#[test]
fn test_causality__changing_token_j_leaves_earlier_logits_alone() {
    let ids: Vec<u32> = (0..12).map(|i| (i * 7 + 1) % 23).collect();
    for model in causal_models(DType::F32) {
        for cx in [Ctx::eval as fn() -> Ctx, || Ctx::train(1, 1, 0)] {
            let before = model.logits(&cx(), &batch(&ids, 1)).to_vec::<f32>();
            for j in 0..12 {
                let mut changed = ids.clone();
                changed[j] = (changed[j] + 5) % 23;
                let after = model.logits(&cx(), &batch(&changed, 1)).to_vec::<f32>();
                let bits = |x: &[f32]| x[..j * 23].iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&before), bits(&after), "{}: token {j}", model.architecture());
                assert_ne!(before[j * 23..], after[j * 23..], "{}: {j}", model.architecture());
            }
        }
    }
}

/// Two rows, the second of them shorter: its last five places are padding.
fn padded(ids: &[u32; 24]) -> Batch {
    let mask: Vec<u32> = (0..24).map(|i| u32::from(i < 12 + 7)).collect();
    Batch { mask: Some(Tensor::from_u32(&Device::cpu(), [2, 12], &mask)), ..batch(ids, 2) }
}

#[test]
fn test_causality__neither_padding_nor_the_other_row_nor_a_later_token_is_seen() {
    let ids: [u32; 24] = std::array::from_fn(|i| (u32::try_from(i).unwrap() * 7 + 1) % 23);
    for model in causal_models(DType::F32) {
        for cx in [Ctx::eval as fn() -> Ctx, || Ctx::train(1, 1, 0)] {
            let logits = |ids: &[u32; 24]| model.logits(&cx(), &padded(ids)).to_vec::<f32>();
            let before = logits(&ids);
            for j in 0..24 {
                let mut changed = ids;
                changed[j] = (changed[j] + 5) % 23;
                let after = logits(&changed);
                let is_padding = |place: usize| place >= 12 + 7;
                for place in (0..24).filter(|place| !is_padding(*place)) {
                    let of = |x: &[f32]| {
                        x[place * 23..][..23].iter().map(|x| x.to_bits()).collect::<Vec<_>>()
                    };
                    let may_see = j / 12 == place / 12 && j <= place && !is_padding(j);
                    let (name, same) = (model.architecture(), of(&before) == of(&after));
                    assert!(may_see || same, "{name}: place {place} sees {j}");
                    assert!(place != j || !same, "{name}: place {j} does not see its own token");
                }
            }
        }
    }
}

#[test]
fn test_causality__no_gradient_of_a_logit_reaches_later_tokens() {
    // Every token once. The token that is asked about is none of them: where the table is tied to the output layer, its
    // row has a gradient of its own.
    let ids: Vec<u32> = (0..12).collect();
    let asked = 22;
    for model in causal_models(DType::F64) {
        for t in 0..12 {
            let cx = Ctx::grad();
            let logits = model.logits(&cx, &batch(&ids, 1)).reshape([12, 23]);
            let mut pick = vec![0.0; 12 * 23];
            pick[t * 23 + asked] = 1.0;
            let pick = Tensor::from_f64(&Device::cpu(), [12, 23], &pick);
            let grads = (&logits * &pick).sum().backward();
            let mut table = None;
            foundry_engine::for_each_param(&*model, |name, p| {
                if name.contains("wte") || name.contains("embed") {
                    table = grads.param(p).map(Tensor::to_vec_f64);
                }
            });
            let table = table.expect("a gradient of the embedding table");
            let reached = |token: usize| {
                table[token * tiny::WIDTH..][..tiny::WIDTH].iter().any(|g| *g != 0.0)
            };
            assert!(
                reached(t),
                "{}: the logit at {t} does not see its own token",
                model.architecture()
            );
            for later in t + 1..12 {
                assert!(!reached(later), "{}: the logit at {t} sees {later}", model.architecture());
            }
        }
    }
}

#[test]
fn test_causality__no_gradient_reaches_later_tokens() {
    // Every token once, so that the row of the embedding table names the position.
    let ids: Vec<u32> = (0..12).collect();
    for model in causal_models(DType::F64) {
        for t in 0..12 {
            let cx = Ctx::grad();
            let hidden = model.hidden(&cx, &batch(&ids, 1)).reshape([12, tiny::WIDTH]);
            let mut pick = vec![0.0; 12 * tiny::WIDTH];
            pick[t * tiny::WIDTH..(t + 1) * tiny::WIDTH].fill(1.0);
            let pick = Tensor::from_f64(&Device::cpu(), [12, tiny::WIDTH], &pick);
            let grads = (&hidden * &pick).sum().backward();
            let mut table = None;
            foundry_engine::for_each_param(&*model, |name, p| {
                if name.contains("wte") || name.contains("embed") {
                    table = grads.param(p).map(Tensor::to_vec_f64);
                }
            });
            let table = table.expect("a gradient of the embedding table");
            for later in t + 1..12 {
                let row = &table[later * tiny::WIDTH..(later + 1) * tiny::WIDTH];
                assert!(
                    row.iter().all(|g| g.to_bits() == 0 || *g == 0.0),
                    "{}: {t} sees {later}",
                    model.architecture()
                );
            }
        }
    }
}

/// C3; `soak C3` trains longer.
#[test]
fn test_leaks__random_tokens_cannot_be_learned_but_by_models_that_cheat() {
    let report = foundry_tests::numbers::leak_alarm(300);
    assert!(report.starts_with("mean loss"), "{report}");
}
