//! Ablations by word list and by pattern: no parser needed, and none of its judgement.
//!
//! A **word** is a run of letters, digits and underscores, with hyphens, apostrophes and full stops inside it:
//! `don't`, `mother-in-law` and `a.m` are one word each. A list entry changes whole words only: `it` is not in `it's`,
//! and `a` not in `a.m.`; but a lone letter A (`vitamin A`) is an article to a word list. Where that matters, use
//! parses ([`super::ablate`]).

use std::collections::HashMap;
use std::path::Path;

use regex::{Captures, Regex, RegexBuilder};

use super::ManipulationError;
use super::error::absolute;
use super::parameters::Parameters;
use super::rewrite::{Case, Counts, Edit, Unit, capitalise, join, rewrite};

const WORD: &str = r"\w+(?:[-'’.]\w+)*|[^\w\s]+";

/// A compiled pattern is at most this large, so that no pattern takes all memory.
const PATTERN_BYTES: usize = 8 << 20;

/// Removes or replaces whole words.
#[derive(Debug)]
pub(super) struct WordEdit {
    word: Regex,
    /// What stands for each word; nothing for one that is removed. Keys are folded if case does not count.
    table: HashMap<String, Option<String>>,
    case_sensitive: bool,
    keep_case: bool,
    case: Case,
}

impl WordEdit {
    fn new(case: Case) -> Self {
        let word = Regex::new(WORD);
        #[expect(clippy::expect_used, reason = "a constant that every test compiles")]
        let word = word.expect("the pattern of a word");
        Self { word, table: HashMap::new(), case_sensitive: false, keep_case: false, case }
    }

    /// `remove_articles` without parses.
    pub(super) fn articles(case: Case) -> Self {
        let table = super::ablate::ARTICLES.map(|article| (article.to_owned(), None));
        Self { table: table.into(), ..Self::new(case) }
    }

    /// `remove_words`: parameters `words`, `words_file`, `case_sensitive`.
    pub(super) fn removal(p: &Parameters<'_>, case: Case) -> Result<Self, ManipulationError> {
        let mut edit = Self::new(case);
        edit.case_sensitive = p.flag("case_sensitive", false)?;
        let mut words = p.texts("words")?.unwrap_or_default();
        if let Some(path) = p.path("words_file")? {
            words.extend(read_list(p, &path)?);
        }
        if words.is_empty() {
            return Err(p.error("words", "name the words to remove, in 'words' or 'words_file'"));
        }
        for word in words {
            edit.check("words", &word, p)?;
            edit.table.insert(edit.key(&word), None);
        }
        Ok(edit)
    }

    /// `replace_words`: parameters `replacements`, `case_sensitive`, `keep_case`.
    pub(super) fn replacement(p: &Parameters<'_>, case: Case) -> Result<Self, ManipulationError> {
        let mut edit = Self::new(case);
        edit.case_sensitive = p.flag("case_sensitive", false)?;
        edit.keep_case = p.flag("keep_case", !edit.case_sensitive)?;
        let pairs = p.table("replacements")?.unwrap_or_default();
        if pairs.is_empty() {
            let message = "name the words and what replaces them, as {old: new}";
            return Err(p.error("replacements", message));
        }
        for (old, new) in pairs {
            edit.check("replacements", &old, p)?;
            if new.trim() != new || new.is_empty() || new.contains(char::is_control) {
                let message = format!(
                    "'{old}' cannot become {new:?}: use remove_words to remove, and no white space around"
                );
                return Err(p.error("replacements", message));
            }
            if edit.table.insert(edit.key(&old), Some(new)).is_some() {
                let message = format!(
                    "'{old}' stands there twice (upper and lower case count as one unless case_sensitive: true)"
                );
                return Err(p.error("replacements", message));
            }
        }
        Ok(edit)
    }

    /// Refuses an entry that no word can ever equal.
    fn check(&self, field: &str, entry: &str, p: &Parameters<'_>) -> Result<(), ManipulationError> {
        let whole = self.word.find(entry).is_some_and(|m| m.as_str() == entry);
        if whole && entry.starts_with(is_word_char) {
            return Ok(());
        }
        Err(p.error(
            field,
            format!("{entry:?} is not one word; use regex_replace for anything else"),
        ))
    }

    fn key(&self, word: &str) -> String {
        if self.case_sensitive { word.to_owned() } else { word.to_lowercase() }
    }

    pub(super) fn edit(&self, line: &str) -> (String, Counts) {
        let found: Vec<_> = self.word.find_iter(line).collect();
        let mut units = Vec::with_capacity(found.len());
        for (i, word) in found.iter().enumerate() {
            let edit = match self.table.get(&self.key(word.as_str())) {
                None => Edit::Keep,
                Some(None) => Edit::Remove,
                Some(Some(new)) => Edit::Replace(self.cased(new, word.as_str())),
            };
            units.push(Unit {
                text: word.as_str().into(),
                after: found.get(i + 1).map_or("", |next| &line[word.end()..next.start()]),
                edit,
                punctuation: !word.as_str().starts_with(is_word_char),
                sentence: 0,
            });
        }
        let (Some(first), Some(last)) = (found.first(), found.last()) else {
            return (line.to_owned(), Counts::default());
        };
        let (kept, counts) = rewrite(&units, self.case);
        (format!("{}{}{}", &line[..first.start()], join(&kept), &line[last.end()..]), counts)
    }

    /// The replacement in the case of the word it replaces: `the` for `This` is `The`, for `THIS` it is `THE`.
    fn cased(&self, new: &str, old: &str) -> String {
        let mut letters = old.chars().filter(|c| c.is_alphabetic());
        let capital = letters.next().is_some_and(char::is_uppercase);
        if !self.keep_case || !capital {
            return new.to_owned();
        }
        let mut others = letters.peekable();
        if others.peek().is_some() && others.all(char::is_uppercase) {
            new.to_uppercase()
        } else {
            capitalise(new)
        }
    }
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// One word a line; blank lines do not count.
fn read_list(p: &Parameters<'_>, path: &Path) -> Result<Vec<String>, ManipulationError> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| p.error("words_file", format!("cannot read {}: {e}", absolute(path))))?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// Replaces whatever a regular expression finds, line by line.
#[derive(Debug)]
pub(super) struct RegexReplace {
    pattern: Regex,
    replacement: String,
}

impl RegexReplace {
    /// `regex_replace`: parameters `pattern`, `replacement` (with `$1`, `${name}`), `ignore_case`.
    pub(super) fn new(p: &Parameters<'_>) -> Result<Self, ManipulationError> {
        let pattern = p
            .text("pattern")?
            .ok_or_else(|| p.error("pattern", "name the regular expression to search for"))?;
        let replacement = p.text("replacement")?.ok_or_else(|| {
            p.error("replacement", "name what is put there; \"\" removes what is found")
        })?;
        let pattern = RegexBuilder::new(&pattern)
            .case_insensitive(p.flag("ignore_case", false)?)
            .size_limit(PATTERN_BYTES)
            .build()
            .map_err(|e| p.error("pattern", format!("{e}")))?;
        if replacement.contains(['\n', '\r']) {
            let message = "a replacement cannot hold a line break: every line stays one line";
            return Err(p.error("replacement", message));
        }
        check_references(&pattern, &replacement, p)?;
        Ok(Self { pattern, replacement })
    }

    pub(super) fn edit(&self, line: &str) -> (String, Counts) {
        let mut counts = Counts::default();
        let new = self.pattern.replace_all(line, |found: &Captures<'_>| {
            let mut new = String::new();
            found.expand(&self.replacement, &mut new);
            counts.matched += 1;
            if new.is_empty() {
                counts.removed += 1;
            } else {
                counts.replaced += u64::from(new != found[0]);
            }
            new
        });
        let first = |text: &str| text.split_whitespace().next().map(str::to_owned);
        counts.sentence_starts = u64::from(counts.matched > 0 && first(&new) != first(line));
        (new.into_owned(), counts)
    }
}

/// Refuses `$x` where the pattern has no group x: the regex crate would silently put nothing there (and reads `$1a`
/// as the group `1a`).
fn check_references(
    pattern: &Regex,
    replacement: &str,
    p: &Parameters<'_>,
) -> Result<(), ManipulationError> {
    let mut rest = replacement;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
            continue;
        }
        let braced = rest.strip_prefix('{').and_then(|r| r.split_once('}')).map(|(name, _)| name);
        let bare = || rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next();
        let name = braced.or_else(bare).unwrap_or_default();
        let known = match name.parse::<usize>() {
            Ok(number) => number < pattern.captures_len(),
            Err(_) => pattern.capture_names().flatten().any(|known| known == name),
        };
        if !known {
            let digits: String = name.chars().take_while(char::is_ascii_digit).collect();
            let advice = match (name, digits.as_str()) {
                ("", _) => "write $$ for a dollar sign".to_owned(),
                (name, digits) if !digits.is_empty() && digits != name => {
                    format!("write ${{{digits}}}{} for group {digits}", &name[digits.len()..])
                }
                _ => format!("the pattern has {} groups", pattern.captures_len() - 1),
            };
            return Err(p.error("replacement", format!("there is no group '{name}'; {advice}")));
        }
    }
    Ok(())
}
