//! SyntaxGym's test suites: predictions about the surprisal of regions in several conditions of an item.
//!
//! Hu, Gauthier, Qian, Wilcox, Levy: *A systematic assessment of syntactic generalization in neural language models*
//! (2020). The regions of a sentence are joined by single spaces, empty ones left out; a region's surprisal is the sum of
//! its tokens' in bits (or what the suite calls its metric); a token belongs to the region in which its first visible
//! character stands. An item is right if the formula holds of it.

mod formula;

pub use formula::{Formula, FormulaError, Reference};

use super::error::EvalError;
use super::score::{Detail, Scorer};
use super::stimuli::{Reader, Stimulus};
use super::surprisal::{Scored, score_stimuli};
use super::table::{Origin, Row};
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;
use std::path::{Path, PathBuf};

const WHAT: &str = "SyntaxGym suites";

/// A suite.
#[derive(Clone, PartialEq, Debug)]
pub struct Suite {
    /// Its name.
    pub name: String,
    metric: Metric,
    /// What is predicted of every item.
    pub predictions: Vec<Formula>,
    items: Vec<RawItem>,
}

/// How the tokens of a region make its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Metric {
    #[default]
    Sum,
    Mean,
    Median,
    Range,
    Max,
    Min,
}

#[derive(Deserialize)]
struct RawSuite {
    meta: RawMeta,
    predictions: Vec<RawPrediction>,
    items: Vec<RawItem>,
}

#[derive(Deserialize)]
struct RawMeta {
    name: String,
    #[serde(default)]
    metric: Metric,
}

#[derive(Deserialize)]
struct RawPrediction {
    formula: String,
}

#[derive(Clone, PartialEq, Debug, Deserialize)]
struct RawItem {
    item_number: u64,
    conditions: Vec<RawCondition>,
}

#[derive(Clone, PartialEq, Debug, Deserialize)]
struct RawCondition {
    condition_name: String,
    regions: Vec<RawRegion>,
}

#[derive(Clone, PartialEq, Debug, Deserialize)]
struct RawRegion {
    region_number: u32,
    content: String,
}

/// The suites of a `.json` file, or of those of a folder in the order of their names.
///
/// # Errors
/// A file that cannot be read or is no suite, a formula that is none or speaks of what the items do not have.
pub fn read_suites(path: &Path) -> Result<Vec<Suite>, EvalError> {
    let read = |source| EvalError::read(WHAT, path, source);
    let mut files: Vec<PathBuf> = Vec::new();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).map_err(read)? {
            files.push(entry.map_err(read)?.path());
        }
        files.retain(|f| f.extension().is_some_and(|e| e == "json"));
        files.sort();
    } else {
        files.push(path.to_owned());
    }
    if files.is_empty() {
        return Err(EvalError::Empty {
            what: WHAT,
            path: path.to_owned(),
            expected: ".json files",
        });
    }
    files.iter().map(|f| read_suite(f)).collect()
}

fn read_suite(path: &Path) -> Result<Suite, EvalError> {
    let read = |source| EvalError::read(WHAT, path, source);
    let wrong = |reason: String| EvalError::File { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(read)?;
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
    let raw: RawSuite =
        serde_json::from_str(text).map_err(|e| wrong(format!("not a SyntaxGym suite: {e}")))?;
    let parse = |(i, p): (usize, &RawPrediction)| {
        p.formula.parse::<Formula>().map_err(|e| wrong(format!("prediction {}: {e}", i + 1)))
    };
    let predictions: Vec<Formula> =
        raw.predictions.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
    if predictions.is_empty() || raw.items.is_empty() {
        return Err(wrong("expected at least one prediction and one item".into()));
    }
    for item in &raw.items {
        for reference in predictions.iter().flat_map(Formula::references) {
            let condition =
                item.conditions.iter().find(|c| c.condition_name == reference.condition);
            let there = condition.is_some_and(|c| {
                let is = |n| c.regions.iter().any(|r| r.region_number == n);
                reference.region.is_none_or(is)
            });
            if !there {
                let region = reference.region.map_or("*".to_owned(), |n| n.to_string());
                return Err(wrong(format!(
                    "item {} has no region {region} in a condition '{}', which a prediction speaks of",
                    item.item_number, reference.condition
                )));
            }
        }
    }
    let RawMeta { name, metric } = raw.meta;
    Ok(Suite { name, metric, predictions, items: raw.items })
}

/// How often a prediction holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PredictionScore {
    /// The suite.
    pub suite: String,
    /// Which of its predictions, from 1.
    pub prediction: usize,
    /// What is predicted.
    pub formula: String,
    /// Items.
    pub items: usize,
    /// Items of which it holds.
    pub right: usize,
    /// Items of which it cannot be said, for the first token of a sentence has no score.
    pub not_scored: usize,
    /// Tokens scored, of all sentences of the suite.
    pub tokens: usize,
    /// `<unk>` among them.
    pub unknown_tokens: usize,
}

impl PredictionScore {
    /// The share of items of which it holds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.items as f64
    }

    /// A line of the table of predictions, under [`PREDICTION_COLUMNS`].
    #[must_use]
    pub fn row(&self, origin: &Origin) -> String {
        let mut row = Row::of(origin);
        row.text(Some(&self.suite)).cell(self.prediction).text(Some(&self.formula));
        row.cell(self.items).cell(self.right).cell(self.not_scored).cell(self.accuracy());
        row.cell(self.tokens).cell(self.unknown_tokens);
        row.finish()
    }
}

/// The columns of [`PredictionScore::row`], after those of the origin.
pub const PREDICTION_COLUMNS: &str =
    "suite,prediction,formula,items,right,not_scored,accuracy,tokens,unknown_tokens";

/// The columns of the lines for regions, after those of the origin.
pub const REGION_COLUMNS: &str =
    "suite,item,condition,region_index,region,tokens,unknown_tokens,surprisal_bits";

/// Scores a suite; `each` gets a line for every region, under [`REGION_COLUMNS`].
///
/// # Errors
/// A sentence that cannot be tokenized, a formula that divides by 0, and those of `each`.
pub fn score_suite<E: From<EvalError>>(
    scorer: &dyn Scorer,
    reader: &Reader<'_>,
    origin: &Origin,
    suite: &Suite,
    mut each: impl FnMut(&str) -> Result<(), E>,
) -> Result<Vec<PredictionScore>, E> {
    let stimuli = suite.items.iter().flat_map(|item| {
        item.conditions.iter().map(|condition| {
            let regions: Vec<String> =
                condition.regions.iter().map(|r| r.content.clone()).collect();
            let text = super::align::join(&regions).0;
            let item = Some(item.item_number.to_string());
            let condition = Some(condition.condition_name.clone());
            Ok(Stimulus { text, item, condition, regions: Some(regions) })
        })
    });
    // One list of numbers for each condition of each item.
    let mut bits: Vec<Vec<Option<f64>>> = Vec::new();
    let unk = reader.tokenizer.special_ids().unk;
    let unknown = |ids: &[u32]| ids.iter().filter(|&&id| Some(id) == unk).count();
    let (mut tokens, mut unknown_tokens) = (0, 0);
    score_stimuli(scorer, reader, stimuli, Detail::Probability, |scored| {
        let of = |i: usize| suite.metric.of(&scored, i);
        let sequence = &scored.encoded.sequence;
        tokens += scored.tokens.len();
        unknown_tokens += unknown(&sequence.ids[sequence.scored.clone()]);
        let numbers: Vec<Option<f64>> = (0..scored.encoded.regions.len()).map(of).collect();
        for (i, (region, number)) in scored.encoded.regions.iter().zip(&numbers).enumerate() {
            let mut row = Row::of(origin);
            row.text(Some(&suite.name)).text(scored.stimulus.item.as_deref());
            row.text(scored.stimulus.condition.as_deref()).cell(i + 1).text(Some(&region.text));
            let ids = &sequence.ids[region.tokens.clone()];
            row.cell(ids.len()).cell(unknown(ids)).option(*number);
            each(&row.finish())?;
        }
        bits.push(numbers);
        Ok::<_, E>(())
    })?;
    let score = |(i, formula): (usize, &Formula)| -> Result<PredictionScore, E> {
        let mut bits = bits.iter();
        let (mut right, mut not_scored) = (0, 0);
        for item in &suite.items {
            let of_item: Vec<_> = item.conditions.iter().zip(&mut bits).collect();
            let surprisal = |r: &Reference| {
                let (condition, bits) =
                    of_item.iter().find(|c| c.0.condition_name == r.condition)?;
                let regions = condition.regions.iter().zip(*bits);
                let chosen = regions.filter(|(c, _)| r.region.is_none_or(|n| n == c.region_number));
                chosen.map(|(_, bits)| *bits).sum()
            };
            match formula.holds(surprisal) {
                Ok(Some(holds)) => right += usize::from(holds),
                Ok(None) => not_scored += 1,
                Err(reason) => {
                    return Err(EvalError::Prediction {
                        suite: suite.name.clone(),
                        prediction: i + 1,
                        item: item.item_number,
                        reason,
                    }
                    .into());
                }
            }
        }
        Ok(PredictionScore {
            suite: suite.name.clone(),
            prediction: i + 1,
            formula: formula.to_string(),
            items: suite.items.len(),
            right,
            not_scored,
            tokens,
            unknown_tokens,
        })
    };
    suite.predictions.iter().enumerate().map(score).collect()
}

impl Metric {
    /// The number of a region; None if a token of it has no score.
    fn of(self, scored: &Scored, region: usize) -> Option<f64> {
        let bits = |i| Some(-scored.token(i)?.logprob_nats / LN_2);
        let tokens = scored.encoded.regions[region].tokens.clone();
        let mut bits: Vec<f64> = tokens.map(bits).collect::<Option<_>>()?;
        if bits.is_empty() {
            return Some(0.0);
        }
        bits.sort_by(f64::total_cmp);
        let (n, least, most) = (bits.len(), bits[0], bits[bits.len() - 1]);
        #[expect(clippy::cast_precision_loss, reason = "tokens of a region")]
        let mean = bits.iter().sum::<f64>() / n as f64;
        Some(match self {
            Self::Sum => bits.iter().sum(),
            Self::Mean => mean,
            Self::Median => f64::midpoint(bits[(n - 1) / 2], bits[n / 2]),
            Self::Range => most - least,
            Self::Max => most,
            Self::Min => least,
        })
    }
}
