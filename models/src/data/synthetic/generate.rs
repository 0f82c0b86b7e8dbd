//! Drawing sentences: each is a pure function of (grammar, seed, index), in constant memory.
//!
//! Top down, leftmost first, with a stack. A phrase that stands `d` rules below the limit of the depth chooses
//! among the expansions that can be finished within `d` rules, their probabilities renormalised, so that every
//! derivation ends; a sentence that has used very many rules is finished by the shortest way.

use std::io::{BufWriter, Write};
use std::path::Path;

use foundry_engine::philox::{open_unit_f64, philox};

use super::error::GrammarError;
use super::expand::Symbol;
use super::grammar::{Grammar, MAX_RULES_PER_SENTENCE};

/// What a corpus holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CorpusStats {
    /// Sentences, one a line.
    pub sentences: u64,
    /// Words: what stands between spaces.
    pub words: u64,
    /// Bytes, line ends included.
    pub bytes: u64,
    /// Words of the longest sentence.
    pub longest: u64,
    /// Sentences that would have been deeper but for the limit of the depth.
    pub limited: u64,
}

/// The streams of random numbers that a grammar draws from, the last word of Philox's counter.
pub(super) const CORPUS: u32 = 0;

/// Random numbers in (0, 1) for one sentence: Philox keyed by the seed, counting blocks, at (index, purpose).
pub(super) struct Draws {
    key: [u32; 2],
    counter: [u32; 4],
    block: [u32; 4],
    left: usize,
}

impl Draws {
    pub(super) fn new(seed: u64, purpose: u32, index: u64) -> Self {
        let ([s0, s1], [i0, i1]) = (halves(seed), halves(index));
        Self { key: [s0, s1], counter: [0, i0, i1, purpose], block: [0; 4], left: 0 }
    }

    #[inline]
    pub(super) fn unit(&mut self) -> f64 {
        if self.left == 0 {
            self.block = philox(self.key, self.counter);
            self.counter[0] = self.counter[0].wrapping_add(1);
            self.left = 4;
        }
        self.left -= 1;
        open_unit_f64(self.block[3 - self.left], 0)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of a 64-bit number")]
fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

/// Draws sentences, reusing its memory.
pub struct Sampler<'g> {
    grammar: &'g Grammar,
    stack: Vec<(Symbol, u32)>,
    words: Vec<u32>,
}

impl<'g> Sampler<'g> {
    /// A sampler of the grammar's sentences.
    #[must_use]
    pub fn new(grammar: &'g Grammar) -> Self {
        Self { grammar, stack: Vec::new(), words: Vec::new() }
    }

    /// Appends sentence `index` of the corpus `seed`, without a line end; says whether it would have been
    /// deeper but for the limit of the depth.
    pub fn sentence(&mut self, seed: u64, index: u64, out: &mut String) -> bool {
        let mut words = std::mem::take(&mut self.words);
        words.clear();
        let mut draws = Draws::new(seed, CORPUS, index);
        let limited = self.derive(self.grammar.start, &mut draws, &mut words);
        self.grammar.spell(&words, out);
        self.words = words;
        limited
    }

    /// Appends the words of a derivation of `root`.
    pub(super) fn derive(&mut self, root: Symbol, draws: &mut Draws, words: &mut Vec<u32>) -> bool {
        let g = self.grammar;
        let cost = |symbol: Symbol| match symbol {
            Symbol::Phrase(i) => g.phrases[i as usize].cost,
            _ => 0,
        };
        // `used` rules so far, and as many again are `reserved` to finish what is on the stack.
        let (mut used, mut reserved, mut limited) = (0, cost(root), false);
        self.stack.clear();
        self.stack.push((root, g.depth));
        while let Some((symbol, depth)) = self.stack.pop() {
            match symbol {
                Symbol::Word(word) => words.push(word),
                Symbol::Lexical(i) => {
                    let lexical = &g.lexicals[i as usize];
                    let form = lexical.choice.pick(draws.unit(), lexical.choice.len());
                    words.push(lexical.words[form]);
                }
                Symbol::Phrase(i) => {
                    let phrase = &g.phrases[i as usize];
                    // The expansions stand in the order of their heights: those within reach come first.
                    let all = phrase.expansions.len();
                    let within = match phrase.expansions.last() {
                        Some(highest) if highest.height > depth => {
                            phrase.expansions.partition_point(|x| x.height <= depth)
                        }
                        _ => all,
                    };
                    let unit = draws.unit();
                    limited |= within < all && phrase.choice.pick(unit, all) >= within;
                    let mut chosen = phrase.cheapest;
                    if within > 0 {
                        chosen = phrase.choice.pick(unit, within);
                    }
                    reserved -= phrase.cost;
                    used += 1;
                    if used + reserved + phrase.expansions[chosen].parts_cost
                        > MAX_RULES_PER_SENTENCE
                    {
                        (chosen, limited) = (phrase.cheapest, true);
                    }
                    let expansion = &phrase.expansions[chosen];
                    reserved += expansion.parts_cost;
                    let below = depth.saturating_sub(1);
                    self.stack.extend(expansion.parts.iter().rev().map(|&part| (part, below)));
                }
            }
        }
        limited
    }
}

impl Grammar {
    /// Sentence `index` of the corpus `seed`.
    #[must_use]
    pub fn sentence(&self, seed: u64, index: u64) -> String {
        let mut sentence = String::new();
        Sampler::new(self).sentence(seed, index, &mut sentence);
        sentence
    }

    /// Appends words as text: a space between two, none before punctuation, spelling rules applied.
    pub(super) fn spell(&self, words: &[u32], out: &mut String) {
        for (i, &id) in words.iter().enumerate() {
            let word = &self.words[id as usize];
            if i > 0 && !word.attaches {
                out.push(' ');
            }
            let next = words.get(i + 1).map_or(0, |&next| self.words[next as usize].calls_for);
            out.push_str(match word.spelling {
                Some(s) if next >> s & 1 == 1 => &self.spellings[s].variant,
                _ => &word.text,
            });
        }
    }
}

/// Writes the corpus `seed` of so many sentences, one a line, and gives its size. The file appears whole or not
/// at all.
///
/// # Errors
/// [`GrammarError::Io`] if the file cannot be written.
pub fn write_corpus(
    grammar: &Grammar,
    sentences: u64,
    seed: u64,
    path: impl AsRef<Path>,
) -> Result<CorpusStats, GrammarError> {
    let path = path.as_ref();
    let mut stats = CorpusStats { sentences, ..CorpusStats::default() };
    write_whole(path, "write the corpus", |out| {
        let (mut sampler, mut line) = (Sampler::new(grammar), String::new());
        for index in 0..sentences {
            line.clear();
            stats.limited += u64::from(sampler.sentence(seed, index, &mut line));
            let words = line.bytes().filter(|b| *b == b' ').count() as u64 + 1;
            line.push('\n');
            stats.words += words;
            stats.longest = stats.longest.max(words);
            stats.bytes += line.len() as u64;
            out.write_all(line.as_bytes())?;
        }
        Ok(())
    })?;
    Ok(stats)
}

/// Writes beside the target, then renames: a reader never sees half a file.
pub(super) fn write_whole(
    path: &Path,
    action: &'static str,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), GrammarError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let file = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut out = BufWriter::with_capacity(1 << 20, tempfile::NamedTempFile::new_in(folder)?);
        write(&mut out)?;
        let file = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    file().map_err(|e| GrammarError::io(action, path, e))
}
