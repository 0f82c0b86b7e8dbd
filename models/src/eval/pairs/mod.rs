//! Minimal pairs: does the model find the grammatical sentence more probable than its twin?
//!
//! Warstadt et al.: *BLiMP: the benchmark of linguistic minimal pairs for English* (2020); Huebner et al.: *BabyBERTa*
//! (2021), whose suite is Zorro. A pair is right if the log-probability of the whole good sentence is the larger; equal
//! ones are ties, reported and not counted right.

mod read;

pub use read::read_pairs;

use super::error::EvalError;
use super::score::{Detail, Scorer, Sequence, TokenScore};
use super::stimuli::Reader;
use super::table::{Origin, Row};
use serde::Serialize;

/// Pairs that are tokenized before any is scored.
const BLOCK: usize = 128;

/// Two sentences that differ in grammaticality.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MinimalPair {
    /// Its name in its paradigm.
    pub item: String,
    /// The grammatical sentence.
    pub good: String,
    /// The ungrammatical one.
    pub bad: String,
    /// Its condition in the experiment that it comes from, if it has one.
    pub condition: Option<String>,
}

/// Pairs of one kind.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Paradigm {
    /// What it was published with: suites may have phenomena of the same name.
    pub suite: String,
    /// Its name.
    pub name: String,
    /// What it is an instance of; its own name where nobody says.
    pub phenomenon: String,
    /// The pairs.
    pub pairs: Vec<MinimalPair>,
}

/// The score of a sentence.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SentenceScore {
    /// Of its scored tokens together, in nats.
    pub logprob_nats: f64,
    /// Tokens scored.
    pub tokens: usize,
    /// `<unk>` among them.
    pub unknown: usize,
    /// The syntactic log-odds ratio, in nats a token, if frequencies are known.
    pub slor: Option<f64>,
}

/// The scores of a pair.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PairScore {
    /// The grammatical sentence's.
    pub good: SentenceScore,
    /// The ungrammatical one's.
    pub bad: SentenceScore,
}

impl PairScore {
    /// log p(good) - log p(bad), in nats.
    #[must_use]
    pub fn difference_nats(&self) -> f64 {
        self.good.logprob_nats - self.bad.logprob_nats
    }

    /// Whether the grammatical sentence is the more probable.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.good.logprob_nats > self.bad.logprob_nats
    }

    /// Whether the two are equally probable.
    #[must_use]
    pub fn is_tie(&self) -> bool {
        self.good.logprob_nats.total_cmp(&self.bad.logprob_nats).is_eq()
    }

    /// Whether the grammatical sentence has the higher SLOR; None where that is not known.
    #[must_use]
    pub fn is_right_by_slor(&self) -> Option<bool> {
        Some(self.good.slor? > self.bad.slor?)
    }

    /// A line of the table of pairs, under [`PAIR_COLUMNS`].
    #[must_use]
    pub fn row(&self, origin: &Origin, paradigm: &Paradigm, pair: &MinimalPair) -> String {
        let mut row = Row::of(origin);
        row.text(Some(&paradigm.suite)).text(Some(&paradigm.phenomenon));
        row.text(Some(&paradigm.name)).text(Some(&pair.item)).text(pair.condition.as_deref());
        row.cell(self.good.logprob_nats).cell(self.bad.logprob_nats).cell(self.difference_nats());
        row.cell(self.good.tokens).cell(self.bad.tokens);
        row.cell(self.good.unknown).cell(self.bad.unknown);
        row.cell(u8::from(self.is_right())).cell(u8::from(self.is_tie()));
        row.option(self.good.slor).option(self.bad.slor);
        row.option(self.is_right_by_slor().map(u8::from));
        row.finish()
    }
}

/// The columns of [`PairScore::row`], after those of the origin.
pub const PAIR_COLUMNS: &str = "suite,phenomenon,paradigm,item,condition,logprob_good_nats,logprob_bad_nats,\
                                difference_nats,tokens_good,tokens_bad,unknown_good,unknown_bad,correct,tie,slor_good_nats,\
                                slor_bad_nats,correct_by_slor";

/// Right answers among pairs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ParadigmScore {
    /// What the paradigm was published with.
    pub suite: String,
    /// The name of the paradigm.
    pub paradigm: String,
    /// What it is an instance of.
    pub phenomenon: String,
    /// Pairs.
    pub pairs: usize,
    /// Pairs whose good sentence is the more probable.
    pub right: usize,
    /// Pairs of equal probability.
    pub ties: usize,
    /// Pairs whose good sentence has the higher SLOR, if frequencies are known.
    pub right_by_slor: Option<usize>,
    /// Tokens scored.
    pub tokens: usize,
    /// `<unk>` among them.
    pub unknown_tokens: usize,
}

impl ParadigmScore {
    /// The share of pairs that are right.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.pairs as f64
    }

    /// The share of pairs whose good sentence has the higher SLOR, if frequencies are known.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub fn accuracy_by_slor(&self) -> Option<f64> {
        self.right_by_slor.map(|right| right as f64 / self.pairs as f64)
    }

    fn add(&mut self, other: &Self) {
        self.pairs += other.pairs;
        self.right += other.right;
        self.ties += other.ties;
        self.tokens += other.tokens;
        self.unknown_tokens += other.unknown_tokens;
        self.right_by_slor = self.right_by_slor.zip(other.right_by_slor).map(|(a, b)| a + b);
    }
}

/// The paradigms of each phenomenon of each suite together, in the order in which they first come.
#[must_use]
pub fn by_phenomenon(paradigms: &[ParadigmScore]) -> Vec<ParadigmScore> {
    let of = |p: &ParadigmScore| ParadigmScore { paradigm: String::new(), ..p.clone() };
    sums(paradigms.iter().map(of))
}

/// The paradigms of each suite together, in the order in which they first come.
#[must_use]
pub fn by_suite(paradigms: &[ParadigmScore]) -> Vec<ParadigmScore> {
    let none = String::new;
    let of =
        |p: &ParadigmScore| ParadigmScore { paradigm: none(), phenomenon: none(), ..p.clone() };
    sums(paradigms.iter().map(of))
}

/// Those of the same names, added up.
fn sums(scores: impl Iterator<Item = ParadigmScore>) -> Vec<ParadigmScore> {
    let mut sums: Vec<ParadigmScore> = Vec::new();
    for p in scores {
        let same = |s: &&mut ParadigmScore| (&s.suite, &s.phenomenon) == (&p.suite, &p.phenomenon);
        match sums.iter_mut().find(same) {
            Some(sum) => sum.add(&p),
            None => sums.push(p),
        }
    }
    sums
}

/// All pairs together.
#[must_use]
pub fn overall(paradigms: &[ParadigmScore]) -> ParadigmScore {
    let right_by_slor = paradigms.first().and_then(|p| p.right_by_slor).map(|_| 0);
    let mut sum = ParadigmScore { right_by_slor, ..ParadigmScore::default() };
    paradigms.iter().for_each(|p| sum.add(p));
    sum
}

/// The columns of [`summary_rows`], after those of the origin.
pub const SUMMARY_COLUMNS: &str = "level,suite,phenomenon,paradigm,pairs,right,ties,accuracy,right_by_slor,\
                                   accuracy_by_slor,tokens,unknown_tokens";

/// The table of accuracies: of each paradigm, of each phenomenon, of each suite, and of all pairs.
#[must_use]
pub fn summary_rows(origin: &Origin, paradigms: &[ParadigmScore]) -> Vec<String> {
    let row = |level: &str, p: &ParadigmScore| {
        let mut row = Row::of(origin);
        let name = |s| Some(s).filter(|s: &&str| !s.is_empty());
        row.cell(level).text(name(&p.suite)).text(name(&p.phenomenon)).text(name(&p.paradigm));
        row.cell(p.pairs).cell(p.right).cell(p.ties).cell(p.accuracy());
        row.option(p.right_by_slor).option(p.accuracy_by_slor());
        row.cell(p.tokens).cell(p.unknown_tokens);
        row.finish()
    };
    let mut rows: Vec<String> = paradigms.iter().map(|p| row("paradigm", p)).collect();
    rows.extend(by_phenomenon(paradigms).iter().map(|p| row("phenomenon", p)));
    rows.extend(by_suite(paradigms).iter().map(|p| row("suite", p)));
    rows.push(row("overall", &overall(paradigms)));
    rows
}

/// Scores a paradigm; `each` is told of every pair, in order.
///
/// # Errors
/// A sentence that cannot be tokenized or has no token to score, and those of `each`.
pub fn score_pairs<E: From<EvalError>>(
    scorer: &dyn Scorer,
    reader: &Reader<'_>,
    paradigm: &Paradigm,
    mut each: impl FnMut(&MinimalPair, &PairScore) -> Result<(), E>,
) -> Result<ParadigmScore, E> {
    let mut total = ParadigmScore {
        suite: paradigm.suite.clone(),
        paradigm: paradigm.name.clone(),
        phenomenon: paradigm.phenomenon.clone(),
        pairs: paradigm.pairs.len(),
        right_by_slor: reader.unigram.map(|_| 0),
        ..ParadigmScore::default()
    };
    for block in paradigm.pairs.chunks(BLOCK) {
        let sentences = block.iter().flat_map(|pair| [&pair.good, &pair.bad]);
        let encode = |s: &String| reader.encode(s, None).map(|e| e.sequence);
        let sequences: Vec<Sequence> = sentences.map(encode).collect::<Result<_, _>>()?;
        let scores = scorer.score(&sequences, Detail::Probability).map_err(EvalError::from)?;
        for (pair, (ids, scores)) in
            block.iter().zip(sequences.chunks_exact(2).zip(scores.chunks_exact(2)))
        {
            let of = |i: usize| sentence(reader, &ids[i], &scores[i]);
            let result = PairScore { good: of(0), bad: of(1) };
            for (text, score) in [(&pair.good, &result.good), (&pair.bad, &result.bad)] {
                if score.tokens == 0 {
                    return Err(EvalError::NothingScored {
                        paradigm: paradigm.name.clone(),
                        item: pair.item.clone(),
                        text: text.clone(),
                    }
                    .into());
                }
                total.tokens += score.tokens;
                total.unknown_tokens += score.unknown;
            }
            total.right += usize::from(result.is_right());
            total.ties += usize::from(result.is_tie());
            let by_slor = usize::from(result.is_right_by_slor() == Some(true));
            total.right_by_slor = total.right_by_slor.map(|n| n + by_slor);
            each(pair, &result)?;
        }
    }
    Ok(total)
}

fn sentence(reader: &Reader<'_>, sequence: &Sequence, scores: &[TokenScore]) -> SentenceScore {
    let unk = reader.tokenizer.special_ids().unk;
    let ids = &sequence.ids[sequence.scored.clone()];
    let logprob_nats = scores.iter().map(|t| t.logprob_nats).sum();
    SentenceScore {
        logprob_nats,
        slor: reader.unigram.and_then(|u| u.slor(logprob_nats, ids)),
        tokens: scores.len(),
        unknown: ids.iter().filter(|&&id| Some(id) == unk).count(),
    }
}
