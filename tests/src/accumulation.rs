//! A window of rows has one gradient, however it is cut into micro-batches (row A8).

use crate::durability::Dice;
use crate::numbers::trainer;
use crate::tiny;
use foundry_engine::gradcheck::tensor_error;
use foundry_engine::{DType, Device, Init, for_each_param};
use foundry_models::arch::{LanguageModel, Size, build};
use foundry_models::collate::{
    CausalLMDataCollator, Collator, HostBatch, MaskedLMDataCollator, RowKeys,
};
use foundry_models::config::choices::Masking;
use foundry_models::config::{MaskingConfig, ModelConfig};
use foundry_models::data::Chunk;
use foundry_models::optim::{Optimizer, Rule};
use foundry_models::tokenizer::SpecialIds;

const SIZE: Size = Size { vocab: 29, positions: 24 };
/// (batch size, accumulation): all make windows of eight rows.
const CUTS: [(usize, usize); 4] = [(8, 1), (1, 8), (2, 4), (3, 3)];

/// Rows of 2 to 24 tokens: eight in each window but the last, which has five.
fn rows() -> Vec<Chunk> {
    let mut dice = Dice(3);
    let row = |i: usize| {
        let length = [24, 3, 17, 2, 9, 24, 5, 12][i % 8];
        let id = |_| 5 + u32::try_from(dice.below(24)).unwrap_or(0);
        let ids: Vec<u32> = (0..length).map(id).collect();
        Chunk { word_starts: (0..length).map(|t| t % 3 == 0).collect(), ids }
    };
    (0..13).map(row).collect()
}

/// The collators that suit a model, with their names.
fn collators(config: &ModelConfig) -> Vec<(String, Box<dyn Collator>)> {
    if !config.is_bidirectional() {
        return vec![("causal".into(), Box::new(CausalLMDataCollator::new(3)))];
    }
    let ids = SpecialIds { pad: Some(3), mask: Some(4), ..SpecialIds::default() };
    let masked = |masking: Masking| {
        let options = MaskingConfig { mlm_probability: 0.5, masking, mask_split: [0.8, 0.1, 0.1] };
        let collator = MaskedLMDataCollator::new(&options, ids, SIZE.vocab).expect("a mask token");
        (masking.to_string(), Box::new(collator) as Box<dyn Collator>)
    };
    Masking::ALL.map(masked).into()
}

/// By parameter.
type Gradients = Vec<(String, Vec<f64>)>;

/// The loss of a window and all gradients of its update.
fn update(config: &ModelConfig, update: u64, window: &[HostBatch]) -> (f64, Gradients) {
    let values = |model: &dyn LanguageModel| {
        let mut all = Vec::new();
        for_each_param(model, |name, p| all.push((name.to_owned(), p.value().to_vec_f64())));
        all
    };
    let init = Init::new(&Device::cpu(), DType::F64, 5);
    let mut trainer = trainer(build(config, SIZE, &init).expect("an architecture"), 1.0, None);
    // One step of plain descent at rate 1 takes the gradient from the weights.
    trainer.optimizer = Optimizer::new(Rule::Sgd { momentum: 0.0 }, 0.0, &*trainer.model);
    let before = values(&*trainer.model);
    let report = trainer.step(update, window).unwrap_or_else(|e| panic!("{e}"));
    let after = values(&*trainer.model);
    let mut gradients = before;
    for ((_, before), (_, after)) in gradients.iter_mut().zip(&after) {
        before.iter_mut().zip(after).for_each(|(b, a)| *b -= a);
    }
    (report.loss, gradients)
}

/// A8: (batch 8, accumulation 1) = (1, 8) = (2, 4) = (3, 3), for rows of different lengths, which are padded to
/// different widths, and a last window of five rows; every architecture, dropout on, every way of masking: the
/// gradients in f64 agree to 1e-12.
///
/// # Panics
/// If they do not.
#[must_use]
pub fn every_cut() -> String {
    let rows = rows();
    let numbers: Vec<u64> = (0..rows.len() as u64).map(|i| 7 * i).collect();
    let (mut compared, mut worst) = (0, 0.0_f64);
    for (variant, config) in tiny::variants() {
        for (objective, collator) in collators(&config) {
            for (step, window) in (1..).zip([0..8, 8..13]) {
                let cut = |(batch, _): (usize, usize)| -> Vec<HostBatch> {
                    let places: Vec<usize> = window.clone().collect();
                    let micro = |places: &[usize]| {
                        let (from, to) = (places[0], places[places.len() - 1]);
                        let keys = RowKeys { seed: 9, epoch: 1, rows: &numbers[from..=to] };
                        collator.collate(keys, &rows[from..=to])
                    };
                    places.chunks(batch).map(micro).collect()
                };
                let whole = cut(CUTS[0]);
                assert_eq!(whole.len(), 1);
                assert!(whole[0].targets > 0, "{variant}, {objective}: something to predict");
                let (loss, gradients) = update(&config, step, &whole);
                let norm = |g: &[f64]| g.iter().map(|x| x * x).sum::<f64>().sqrt();
                let floor = 1e-3 * gradients.iter().map(|(_, g)| norm(g)).fold(0.0, f64::max);
                assert!(floor > 0.0, "a gradient");
                for other in &CUTS[1..] {
                    let window = cut(*other);
                    assert!(window.len() > 1 && window.len() <= other.1);
                    let (other_loss, other_gradients) = update(&config, step, &window);
                    assert!((loss - other_loss).abs() <= 1e-12 * loss, "{loss} {other_loss}");
                    for ((name, g), (_, h)) in gradients.iter().zip(&other_gradients) {
                        let error = tensor_error(h, g, floor);
                        let what = config.architecture();
                        assert!(
                            error <= 1e-12,
                            "{what}, {variant}, {objective}, {other:?}: {name}: {error:e}"
                        );
                        worst = worst.max(error);
                        compared += 1;
                    }
                }
            }
        }
    }
    format!(
        "{compared} gradients of windows cut in {} ways: largest difference {worst:.1e}",
        CUTS.len()
    )
}
