//! From ids to the log-probability of each token.
//!
//! The model runs in its own precision; its logits are widened, and the softmax and every sum are taken in f64:
//!
//! ```text
//! log p(id_t | id_<t) = z_t - log sum_v exp(z_v)      nats
//! ```
//!
//! Sequences are sorted by length and cut into batches; a batch is never larger than a number of tokens, and only
//! positions that are asked for reach the output layer, a block at a time. So memory depends on the batch, not on the
//! corpus. Equal sequences are scored once: their scores are equal to the last bit. What several sequences begin with is
//! read once (`prefix`), and a long text is read in segments by a model that keeps a state.

use crate::arch::{Batch, LanguageModel, LeftToRight};
use crate::collate::IGNORE;
use crate::train::signals::{StopFlag, Stopped};
use foundry_engine::{Ctx, DType, Device, Tensor};
use std::collections::HashMap;
use std::ops::Range;

mod prefix;

/// Tokens of a batch, padding included.
pub(super) const BATCH_TOKENS: usize = 4096;
/// Tokens that a model with a state reads at a time.
const SEGMENT: usize = 2048;
/// Logits that are there at a time.
const BLOCK_LOGITS: usize = 1 << 20;

/// Ids as the model reads them, and which of them are scored.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Sequence {
    /// Boundary tokens included.
    pub ids: Vec<u32>,
    /// The positions that are scored.
    pub scored: Range<usize>,
    /// The word of each id, by number; `u32::MAX` for boundary tokens. Empty where nobody asks for words.
    pub words: Vec<u32>,
}

impl Sequence {
    /// All ids but the first are scored, each given those before it.
    #[must_use]
    pub fn after_first(ids: Vec<u32>) -> Self {
        let scored = 1.min(ids.len())..ids.len();
        Self { ids, scored, words: Vec::new() }
    }
}

/// What is wanted of each token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detail {
    /// Its log-probability.
    Probability,
    /// Also the entropy of the distribution that it came from, and its rank there.
    Distribution,
}

/// The score of a token in its context.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TokenScore {
    /// Its log-probability, in nats.
    pub logprob_nats: f64,
    /// The distribution that it came from, if that was asked for.
    pub distribution: Option<Distribution>,
}

/// What the model expected before it saw a token.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Distribution {
    /// The entropy over the vocabulary, in nats.
    pub entropy_nats: f64,
    /// 1 for the most probable token; one more than the tokens that were more probable.
    pub rank: usize,
}

/// Something that gives tokens probabilities.
pub trait Scorer {
    /// The scores of the scored positions of each sequence.
    ///
    /// # Errors
    /// A stop that was asked for meanwhile.
    fn score(
        &self,
        sequences: &[Sequence],
        detail: Detail,
    ) -> Result<Vec<Vec<TokenScore>>, Stopped>;
}

/// A model that reads left to right: each token given those before it.
///
/// A sequence longer than the context is scored in windows that overlap: the first window scores all of its tokens, a
/// later one its last `stride`, so that each token is scored once and (the first window apart) sees at least
/// `context - stride` tokens before it.
#[derive(Clone)]
pub struct CausalScorer<'a> {
    model: &'a dyn LanguageModel,
    device: &'a Device,
    stop: StopFlag,
    /// The longest sequence that is read at once, and by how much windows of longer ones move.
    window: (usize, usize),
}

/// A window on a sequence.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Piece<'a> {
    ids: &'a [u32],
    scored: Range<usize>,
}

impl Piece<'_> {
    /// Nothing is predicted after the last id, so it is not read.
    fn read(&self) -> usize {
        self.ids.len().saturating_sub(1)
    }
}

impl<'a> CausalScorer<'a> {
    /// Windows of the model's context that move by `stride`, half of it by default.
    #[must_use]
    pub fn new(model: &'a dyn LanguageModel, device: &'a Device, stride: Option<usize>) -> Self {
        let context = model.context_length().unwrap_or(usize::MAX).max(2);
        let window = (context, stride.unwrap_or(context / 2));
        Self { model, device, stop: StopFlag::new(), window }
    }

    /// Asks `stop` before every batch.
    #[must_use]
    pub fn until(self, stop: &StopFlag) -> Self {
        Self { stop: stop.clone(), ..self }
    }

    /// The log-probabilities of a long text, whose beginning is only remembered.
    fn segments(
        &self,
        model: &dyn LeftToRight,
        piece: &Piece<'_>,
        detail: Detail,
    ) -> Result<Vec<TokenScore>, Stopped> {
        let mut memory = model.memory(1, piece.read());
        let (mut scores, mut first) = (Vec::with_capacity(piece.scored.len()), 0);
        for ids in piece.ids[..piece.read()].chunks(SEGMENT) {
            self.stop.check()?;
            let tensor = Tensor::from_u32(self.device, [1, ids.len()], ids);
            let hidden = model.read(&Ctx::eval(), &tensor, &mut memory);
            let seen = first + 1..first + 1 + ids.len();
            let scored = seen.start.max(piece.scored.start)..seen.end.min(piece.scored.end);
            let rows: Vec<usize> = scored.clone().map(|t| t - 1 - first).collect();
            scores.extend(at(self.model, &hidden, &rows, &piece.ids[scored], detail));
            first += ids.len();
        }
        Ok(scores)
    }

    /// The log-probabilities of groups, each of which begins with the same `batch.prefix` ids.
    fn shared(
        &self,
        model: &dyn LeftToRight,
        pieces: &[Piece<'_>],
        batch: &prefix::Batch,
        detail: Detail,
    ) -> Vec<(usize, Vec<TokenScore>)> {
        let (k, cx) = (batch.prefix, Ctx::eval());
        let first = |group: &[usize]| &pieces[group[0]];
        let rest = |i: usize| &pieces[i].ids[k..pieces[i].read()];
        let ids: Vec<u32> = batch.groups.iter().flat_map(|g| &first(g).ids[..k]).copied().collect();
        let members: Vec<(usize, usize)> = (0..)
            .zip(&batch.groups)
            .flat_map(|(g, group)| group.iter().map(move |&i| (g, i)))
            .collect();
        let time = members.iter().map(|&(_, i)| rest(i).len()).max().unwrap_or(0);

        let mut memory = model.memory(batch.groups.len(), k + time);
        let ids = Tensor::from_u32(self.device, [batch.groups.len(), k], &ids);
        let hidden = model.read(&cx, &ids, &mut memory);
        // The prefix is scored once a group, the token after it once a member.
        let (mut rows, mut targets) = (Vec::new(), Vec::new());
        for (g, group) in batch.groups.iter().enumerate() {
            rows.extend((1..k).map(|t| g * k + t - 1));
            targets.extend_from_slice(&first(group).ids[1..k]);
        }
        rows.extend(members.iter().map(|&(g, _)| g * k + k - 1));
        targets.extend(members.iter().map(|&(_, i)| pieces[i].ids[k]));
        let of_prefix = at(self.model, &hidden, &rows, &targets, detail);
        let (of_prefix, after) = of_prefix.split_at(batch.groups.len() * (k - 1));

        let (mut rows, mut targets) = (Vec::new(), Vec::new());
        let mut ids = Vec::with_capacity(members.len() * time);
        for (m, &(_, i)) in members.iter().enumerate() {
            ids.extend_from_slice(rest(i));
            ids.resize((m + 1) * time, 0);
            rows.extend((0..rest(i).len()).map(|t| m * time + t));
            targets.extend_from_slice(&pieces[i].ids[k + 1..]);
        }
        let mut of_rest = Vec::new();
        if !rows.is_empty() {
            let mut memory = memory.pick(&members.iter().map(|m| m.0).collect::<Vec<_>>());
            let ids = Tensor::from_u32(self.device, [members.len(), time], &ids);
            let hidden = model.read(&cx, &ids, &mut memory);
            of_rest = at(self.model, &hidden, &rows, &targets, detail);
        }
        let mut of_rest = of_rest.into_iter();
        let collect = |(m, &(g, i)): (usize, &(usize, usize))| {
            let mut all = of_prefix[g * (k - 1)..][..k - 1].to_vec();
            all.push(after[m]);
            all.extend(of_rest.by_ref().take(rest(i).len()));
            // all[t - 1] is that of position t.
            let scored = &pieces[i].scored;
            (i, all[scored.start - 1..scored.end - 1].to_vec())
        };
        members.iter().enumerate().map(collect).collect()
    }

    /// The log-probabilities of rows at once.
    fn batch(&self, pieces: &[&Piece<'_>], detail: Detail) -> Vec<Vec<TokenScore>> {
        let time = pieces.iter().map(|p| p.read()).max().unwrap_or(0);
        let (mut ids, mut rows, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        for (b, p) in pieces.iter().enumerate() {
            ids.extend_from_slice(&p.ids[..p.read()]);
            ids.resize((b + 1) * time, 0);
            rows.extend(p.scored.clone().map(|t| b * time + t - 1));
            targets.extend_from_slice(&p.ids[p.scored.clone()]);
        }
        if rows.is_empty() {
            return vec![Vec::new(); pieces.len()];
        }
        let batch = rectangle(self.device, [pieces.len(), time], &ids, None);
        let hidden = self.model.hidden(&Ctx::eval(), &batch);
        let mut scores = at(self.model, &hidden, &rows, &targets, detail).into_iter();
        pieces.iter().map(|p| scores.by_ref().take(p.scored.len()).collect()).collect()
    }
}

impl Scorer for CausalScorer<'_> {
    fn score(
        &self,
        sequences: &[Sequence],
        detail: Detail,
    ) -> Result<Vec<Vec<TokenScore>>, Stopped> {
        let (window, stride) = self.window;
        let mut places: HashMap<Piece<'_>, usize> = HashMap::new();
        let mut distinct: Vec<Piece<'_>> = Vec::new();
        let mut parts: Vec<Vec<usize>> = Vec::with_capacity(sequences.len());
        for s in sequences {
            debug_assert!(s.scored.start > 0 || s.scored.is_empty(), "nothing stands before it");
            let part = |(seen, new): (Range<usize>, Range<usize>)| {
                let scored = new.start - seen.start..new.end - seen.start;
                let piece = Piece { ids: &s.ids[seen], scored };
                *places.entry(piece.clone()).or_insert_with(|| {
                    distinct.push(piece);
                    distinct.len() - 1
                })
            };
            parts.push(windows(s.ids.len(), s.scored.clone(), window, stride).map(part).collect());
        }
        let mut scores = vec![Vec::new(); distinct.len()];
        let mut alone: Vec<usize> = (0..distinct.len()).collect();
        if let Some(model) = self.model.left_to_right() {
            let (shared, rest) = prefix::groups(&distinct);
            alone = rest;
            for batch in prefix::batches(&distinct, shared) {
                self.stop.check()?;
                for (i, s) in self.shared(model, &distinct, &batch, detail) {
                    scores[i] = s;
                }
            }
            if self.model.context_length().is_none() {
                let (long, short) =
                    alone.into_iter().partition(|&i| distinct[i].ids.len() > SEGMENT);
                alone = short;
                for i in long {
                    scores[i] = self.segments(model, &distinct[i], detail)?;
                }
            }
        }
        for batch in batches(&alone.iter().map(|&i| distinct[i].ids.len()).collect::<Vec<_>>()) {
            self.stop.check()?;
            let batch: Vec<usize> = batch.into_iter().map(|i| alone[i]).collect();
            let pieces: Vec<&Piece<'_>> = batch.iter().map(|&i| &distinct[i]).collect();
            for (&i, s) in batch.iter().zip(self.batch(&pieces, detail)) {
                scores[i] = s;
            }
        }
        let whole = |parts: Vec<usize>| parts.iter().flat_map(|&i| scores[i].clone()).collect();
        Ok(parts.into_iter().map(whole).collect())
    }
}

/// The windows that score the positions `scored` of a sequence: what each sees, and what it scores.
pub(super) fn windows(
    length: usize,
    scored: Range<usize>,
    window: usize,
    stride: usize,
) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let mut next = Some(scored.start);
    std::iter::from_fn(move || {
        let from = next.take()?;
        let end = if from == scored.start {
            window.max(from.saturating_add(1)).min(length)
        } else {
            (from + stride.max(1)).min(length)
        };
        let (start, until) = (end.saturating_sub(window), end.min(scored.end));
        next = (until < scored.end).then_some(until);
        Some((start..end, from..until.max(from)))
    })
}

/// Which sequences go together: of like lengths, longest first.
pub(super) fn batches(lengths: &[usize]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(lengths[i]));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for i in order {
        match batches.last_mut() {
            Some(batch) if (batch.len() + 1) * lengths[batch[0]] <= BATCH_TOKENS => batch.push(i),
            _ => batches.push(vec![i]),
        }
    }
    batches
}

/// Ids for a model, without targets.
pub(super) fn rectangle(
    device: &Device,
    shape: [usize; 2],
    ids: &[u32],
    mask: Option<&[u32]>,
) -> Batch {
    let tensor = |values: &[u32]| Tensor::from_u32(device, shape, values);
    let targets = tensor(&vec![IGNORE; ids.len()]);
    Batch { ids: tensor(ids), mask: mask.map(tensor), targets, predicted: None }
}

/// The scores of `targets` under the distributions that stand at `rows` of hidden states `[.., D]`.
pub(super) fn at(
    model: &dyn LanguageModel,
    hidden: &Tensor,
    rows: &[usize],
    targets: &[u32],
    detail: Detail,
) -> Vec<TokenScore> {
    let (cx, device) = (Ctx::eval(), hidden.device());
    let hidden = hidden.reshape([hidden.shape().rows(), hidden.shape().last()]);
    let block = (BLOCK_LOGITS / model.vocab_size().max(1)).max(1);
    let mut scores = Vec::with_capacity(rows.len());
    for (rows, targets) in rows.chunks(block).zip(targets.chunks(block)) {
        #[expect(clippy::cast_possible_truncation, reason = "rows of a batch")]
        let picked: Vec<u32> = rows.iter().map(|&r| r as u32).collect();
        let picked = hidden.embedding(&Tensor::from_u32(&device, [rows.len()], &picked));
        // In f64, and so on the CPU.
        let z = model.project(&cx, &picked).to_device(&Device::cpu()).to_dtype(DType::F64);
        let ids = Tensor::from_u32(&z.device(), [targets.len()], targets);
        let nll = z.cross_entropy(&ids, 0.0).to_vec::<f64>();
        let mut distributions = match detail {
            Detail::Probability => Vec::new(),
            Detail::Distribution => distributions(&z, targets),
        }
        .into_iter();
        scores.extend(
            nll.into_iter()
                .map(|nll| TokenScore { logprob_nats: -nll, distribution: distributions.next() }),
        );
    }
    scores
}

/// Of logits `[N, V]`.
fn distributions(z: &Tensor, targets: &[u32]) -> Vec<Distribution> {
    let entropies = (&z.softmax() * &z.log_softmax()).sum_axis(1).to_vec::<f64>();
    let logits = z.to_vec::<f64>();
    let rows = logits.chunks_exact(z.shape().last());
    let distribution = |((z, &target), entropy): ((&[f64], &u32), f64)| {
        let target = z[target as usize];
        let rank = 1 + z.iter().filter(|&&z| z > target).count();
        Distribution { entropy_nats: -entropy, rank }
    };
    rows.zip(targets).zip(entropies).map(distribution).collect()
}

#[cfg(test)]
mod tests;
