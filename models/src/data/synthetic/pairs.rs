//! Minimal pairs: two sentences that differ in one word, one in the grammar and one not, for each phenomenon that
//! the grammar controls (Warstadt et al. 2020, *BLiMP*, whose file format is written).
//!
//! What every pair is held to, exactly and not by sampling:
//! - the grammar generates the good sentence and does not generate the bad one ([`Recogniser`]);
//! - they differ in one word between spaces;
//! - no two pairs of a phenomenon share their good sentence;
//! - the good sentence is none of the training sentences. The corpus is a pure function of (grammar, seed, index),
//!   so it is generated once more and every sentence of it is compared with the candidates: nothing is held out
//!   of the corpus, and the memory needed is that of the pairs.

use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;

use super::accept::Recogniser;
use super::error::GrammarError;
use super::generate::{Draws, Sampler, write_whole};
use super::grammar::{Grammar, Phenomenon as Plan};

/// The minimal pairs of one phenomenon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phenomenon {
    /// Its name: BLiMP's UID, and the name of its file.
    pub name: String,
    /// The pairs, all different.
    pub pairs: Vec<MinimalPair>,
}

/// One pair, with the fields of BLiMP's rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MinimalPair {
    /// The grammatical sentence.
    pub sentence_good: String,
    /// The ungrammatical one.
    pub sentence_bad: String,
    /// What both begin with; empty where the first word differs.
    pub one_prefix_prefix: String,
    /// The word that differs, without punctuation.
    pub one_prefix_word_good: String,
    /// The word that stands there in the bad sentence.
    pub one_prefix_word_bad: String,
    /// The field of linguistics.
    pub field: String,
    /// The class of phenomena.
    pub linguistics_term: String,
    /// The phenomenon.
    #[serde(rename = "UID")]
    pub uid: String,
    /// Always true: sentences can be compared by their probabilities.
    #[serde(rename = "simple_LM_method")]
    pub simple_lm_method: bool,
    /// Whether the words that differ can be compared after what both begin with.
    pub one_prefix_method: bool,
    /// Always false.
    pub two_prefix_method: bool,
    /// Whether the words that differ are forms of one lexeme.
    pub lexically_identical: bool,
    /// Counted from 0 within the phenomenon.
    #[serde(rename = "pairID")]
    pub pair_id: String,
}

/// After so many candidates in a row without a new one, a phenomenon has no more.
const PATIENCE: u64 = 20_000;

/// Draws `per_phenomenon` minimal pairs for each phenomenon of the grammar, none of whose good sentences is among
/// the first `training_sentences` of the corpus `seed`. A pure function of its arguments.
///
/// # Errors
/// [`GrammarError::TooFewPairs`] if a phenomenon has not that many, [`GrammarError::NotGenerated`] if a pattern
/// makes good sentences that the rules do not.
pub fn minimal_pairs(
    grammar: &Grammar,
    seed: u64,
    per_phenomenon: usize,
    training_sentences: u64,
) -> Result<Vec<Phenomenon>, GrammarError> {
    let recogniser = Recogniser::new(grammar);
    let mut pools: Vec<Pool<'_>> = grammar.phenomena.iter().map(Pool::new).collect();
    loop {
        let mut drawn = false;
        for pool in &mut pools {
            drawn |= pool.fill(grammar, &recogniser, seed, per_phenomenon)?;
        }
        if !drawn {
            break;
        }
        strike_trained(grammar, seed, training_sentences, &mut pools);
        if pools.iter().all(|pool| pool.free() >= per_phenomenon) {
            break;
        }
    }
    pools.into_iter().map(|pool| pool.finish(per_phenomenon)).collect()
}

/// Marks every candidate whose good sentence stands in the training text.
fn strike_trained(grammar: &Grammar, seed: u64, sentences: u64, pools: &mut [Pool<'_>]) {
    let mut candidates: HashMap<&str, bool> = HashMap::new();
    for pool in pools.iter() {
        candidates.extend(pool.candidates.iter().map(|c| (c.pair.sentence_good.as_str(), false)));
    }
    let (mut sampler, mut sentence) = (Sampler::new(grammar), String::new());
    for index in 0..sentences {
        sentence.clear();
        sampler.sentence(seed, index, &mut sentence);
        if let Some(trained) = candidates.get_mut(sentence.as_str()) {
            *trained = true;
        }
    }
    let trained: Vec<Vec<bool>> = pools
        .iter()
        .map(|pool| {
            let good = pool.candidates.iter().map(|c| c.pair.sentence_good.as_str());
            good.map(|sentence| candidates.get(sentence).copied().unwrap_or(false)).collect()
        })
        .collect();
    for (pool, trained) in pools.iter_mut().zip(trained) {
        for (candidate, trained) in pool.candidates.iter_mut().zip(trained) {
            candidate.trained = trained;
        }
    }
}

struct Candidate {
    pair: MinimalPair,
    trained: bool,
}

/// The candidates of one phenomenon so far.
struct Pool<'g> {
    plan: &'g Plan,
    purpose: u32,
    candidates: Vec<Candidate>,
    by_good: HashMap<String, usize>,
    tried: u64,
    since_new: u64,
    repeated: u64,
    ambiguous: u64,
    example: String,
}

impl<'g> Pool<'g> {
    fn new(plan: &'g Plan) -> Self {
        Self {
            plan,
            // A stream of its own, whatever other phenomena there are; never the corpus's, which is 0.
            purpose: crc32c::crc32c(plan.name.as_bytes()) | 1,
            candidates: Vec::new(),
            by_good: HashMap::new(),
            tried: 0,
            since_new: 0,
            repeated: 0,
            ambiguous: 0,
            example: String::new(),
        }
    }

    fn free(&self) -> usize {
        self.candidates.iter().filter(|c| !c.trained).count()
    }

    /// Draws until there are some more candidates than are wanted; says whether there was a new one.
    fn fill(
        &mut self,
        grammar: &Grammar,
        recogniser: &Recogniser<'_>,
        seed: u64,
        wanted: usize,
    ) -> Result<bool, GrammarError> {
        let (before, free) = (self.candidates.len(), self.free());
        let missing = wanted.saturating_sub(free);
        // The more of them were struck before, the more are drawn.
        let target = if missing == 0 { before } else { before + 2 * missing + before / 2 + 8 };
        let mut sampler = Sampler::new(grammar);
        while self.candidates.len() < target && self.since_new < PATIENCE {
            let mut draws = Draws::new(seed, self.purpose, self.tried);
            self.tried += 1;
            self.since_new += 1;
            let (line, pair) = self.draw(grammar, &mut sampler, &mut draws);
            let Some(pair) = pair else { continue };
            if self.by_good.contains_key(&pair.sentence_good) {
                self.repeated += 1;
                continue;
            }
            if !recogniser.accepts(&pair.sentence_good) {
                return Err(GrammarError::NotGenerated {
                    name: grammar.name.clone(),
                    line,
                    phenomenon: self.plan.name.clone(),
                    sentence: pair.sentence_good,
                });
            }
            if recogniser.accepts(&pair.sentence_bad) {
                self.ambiguous += 1;
                self.example = format!(" (\"{}\")", pair.sentence_bad);
                continue;
            }
            self.since_new = 0;
            self.by_good.insert(pair.sentence_good.clone(), self.candidates.len());
            self.candidates.push(Candidate { pair, trained: false });
        }
        Ok(self.candidates.len() > before)
    }

    /// One candidate; none where the contrast changes the spelling of a second word.
    fn draw(
        &self,
        grammar: &Grammar,
        sampler: &mut Sampler<'_>,
        draws: &mut Draws,
    ) -> (usize, Option<MinimalPair>) {
        let plan = self.plan;
        let pattern = &plan.patterns[plan.choice.pick(draws.unit(), plan.choice.len())];
        let contrast = pattern.contrasts[pattern.choice.pick(draws.unit(), pattern.choice.len())];
        let (mut words, mut slot) = (Vec::new(), 0);
        for (i, &part) in pattern.parts.iter().enumerate() {
            if i == pattern.slot {
                slot = words.len();
                words.push(contrast.good);
            } else {
                sampler.derive(part, draws, &mut words);
            }
        }
        let (mut good, mut bad) = (String::new(), String::new());
        grammar.spell(&words, &mut good);
        words[slot] = contrast.bad;
        grammar.spell(&words, &mut bad);
        let text = |word: u32| grammar.words[word as usize].text.clone();
        let differing: Vec<usize> = good
            .split(' ')
            .zip(bad.split(' '))
            .enumerate()
            .filter(|(_, (a, b))| a != b)
            .map(|(i, _)| i)
            .collect();
        let [place] = differing[..] else { return (pattern.line, None) };
        let prefix = good.split(' ').take(place).collect::<Vec<_>>().join(" ");
        let pair = MinimalPair {
            one_prefix_method: place > 0,
            one_prefix_prefix: prefix,
            one_prefix_word_good: text(contrast.good),
            one_prefix_word_bad: text(contrast.bad),
            sentence_good: good,
            sentence_bad: bad,
            field: plan.field.clone(),
            linguistics_term: plan.term.clone(),
            uid: plan.name.clone(),
            simple_lm_method: true,
            two_prefix_method: false,
            lexically_identical: contrast.one_lexeme,
            pair_id: String::new(),
        };
        (pattern.line, Some(pair))
    }

    fn finish(self, wanted: usize) -> Result<Phenomenon, GrammarError> {
        let (tried, found) = (self.tried, self.free());
        let trained = (self.candidates.len() - found) as u64;
        if found < wanted {
            return Err(GrammarError::TooFewPairs {
                phenomenon: self.plan.name.clone(),
                wanted,
                found,
                tried,
                repeated: self.repeated,
                trained,
                ambiguous: self.ambiguous,
                example: self.example,
            });
        }
        let free = self.candidates.into_iter().filter(|c| !c.trained).take(wanted);
        let number = |(i, c): (usize, Candidate)| MinimalPair { pair_id: i.to_string(), ..c.pair };
        Ok(Phenomenon {
            name: self.plan.name.clone(),
            pairs: free.enumerate().map(number).collect(),
        })
    }
}

/// Writes each phenomenon to `folder/NAME.jsonl`, one pair a line, as BLiMP does. Files of these names are
/// replaced.
///
/// # Errors
/// [`GrammarError::Io`] if a file cannot be written, [`GrammarError::ForeignPairs`] if the folder holds another
/// `.jsonl` file, which would be scored with these.
pub fn write_pairs(phenomena: &[Phenomenon], folder: impl AsRef<Path>) -> Result<(), GrammarError> {
    const ACTION: &str = "write the minimal pairs";
    let folder = folder.as_ref();
    std::fs::create_dir_all(folder).map_err(|e| GrammarError::io(ACTION, folder, e))?;
    let files = std::fs::read_dir(folder).and_then(|files| files.collect::<Result<Vec<_>, _>>());
    for file in files.map_err(|e| GrammarError::io(ACTION, folder, e))? {
        let path = file.path();
        let ours =
            phenomena.iter().any(|p| path.file_stem().is_some_and(|stem| stem == p.name.as_str()));
        if path.extension().is_some_and(|e| e == "jsonl") && !ours {
            return Err(GrammarError::ForeignPairs { path });
        }
    }
    for phenomenon in phenomena {
        let path = folder.join(format!("{}.jsonl", phenomenon.name));
        write_whole(&path, ACTION, |out| {
            for pair in &phenomenon.pairs {
                serde_json::to_writer(&mut *out, pair)?;
                out.write_all(b"\n")?;
            }
            Ok(())
        })?;
    }
    Ok(())
}
