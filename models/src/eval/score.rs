//! From rows of ids to the negative log-likelihood of each token.

use crate::arch::{Batch, LanguageModel};
use crate::collate::{CausalLMDataCollator, Collator, HostBatch, RowKeys};
use crate::data::Chunk;
use foundry_engine::{Ctx, Device};

/// The nll of every token of `rows` but the first of each, in nats: row i gives `rows[i].len() - 1` numbers.
///
/// The rows are padded to one length; padding changes no number, for no position sees what stands to its right.
#[must_use]
pub fn row_nll(model: &dyn LanguageModel, device: &Device, rows: &[&[u32]]) -> Vec<Vec<f64>> {
    let chunks: Vec<Chunk> =
        rows.iter().map(|ids| Chunk { ids: ids.to_vec(), word_starts: Vec::new() }).collect();
    let numbers: Vec<u64> = (0..rows.len() as u64).collect();
    let keys = RowKeys { seed: 0, epoch: 0, rows: &numbers };
    let host = CausalLMDataCollator::new(0).collate(keys, &chunks);
    let nll = batch_nll(model, device, &host);
    let time = host.time.max(1);
    let scored =
        |(i, row): (usize, &&[u32])| nll[i * time..][..row.len().saturating_sub(1)].to_vec();
    rows.iter().enumerate().map(scored).collect()
}

/// The nll of each text as a whole, its first token apart, in nats. Texts longer than the model's context are scored in
/// windows that overlap by half.
#[must_use]
pub fn text_nll(model: &dyn LanguageModel, device: &Device, texts: &[&[u32]]) -> Vec<f64> {
    let context = model.context_length().unwrap_or(usize::MAX).max(2);
    let fitting: Vec<&[u32]> = texts.iter().copied().filter(|ids| ids.len() <= context).collect();
    let mut fitting = row_nll(model, device, &fitting).into_iter();
    let mut whole = |ids: &[u32]| {
        if ids.len() <= context {
            return fitting.next().unwrap_or_default().iter().sum();
        }
        let mut nll = 0.0;
        stream_nll(model, device, ids, (context, context / 2), 8, |new| {
            nll += new.iter().sum::<f64>();
        });
        nll
    };
    texts.iter().map(|ids| whole(ids)).collect()
}

/// The nll of every position of a batch, `[B·T]`; 0 where there is no target.
#[must_use]
pub(crate) fn batch_nll(model: &dyn LanguageModel, device: &Device, host: &HostBatch) -> Vec<f64> {
    if host.ids.is_empty() {
        return Vec::new();
    }
    let batch = Batch::from_host(device, host);
    model.nll(&Ctx::eval(), &batch, 0.0).to_vec_f64()
}

/// The nll of `ids[1..]`, each given what stands before it, in windows of `window` tokens that overlap by
/// `window - stride`: the first window scores all of its tokens, a later one its last `stride`, so that each token is
/// scored once and (the first window apart) sees at least `window - stride` tokens before it.
///
/// `window` is at least 2 and `stride` between 1 and `window - 1`; `each` is called with the nlls in order.
pub fn stream_nll(
    model: &dyn LanguageModel,
    device: &Device,
    ids: &[u32],
    (window, stride): (usize, usize),
    batch_size: usize,
    mut each: impl FnMut(&[f64]),
) {
    let mut starts = vec![0];
    let mut end = window.min(ids.len());
    while end < ids.len() {
        let next = (end + stride).min(ids.len());
        starts.push(next - window);
        end = next;
    }
    let mut scored = 1;
    for group in starts.chunks(batch_size.max(1)) {
        let rows: Vec<&[u32]> =
            group.iter().map(|&s| &ids[s..(s + window).min(ids.len())]).collect();
        for (&start, nll) in group.iter().zip(row_nll(model, device, &rows)) {
            // nll[k] is that of token start + 1 + k.
            let new = &nll[(scored - start - 1).min(nll.len())..];
            each(new);
            scored += new.len();
        }
    }
}
