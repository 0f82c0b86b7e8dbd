//! Taking units out of a line, or changing them, without touching the rest.
//!
//! A line is a sequence of **units** (words and punctuation), each with the white space behind it. A removed unit takes
//! that space along: `in the house` becomes `in house`. Where a unit without space behind it stood before punctuation or
//! at the end, the space before it goes instead: `did he?` becomes `did?`. A clitic stays where it was:
//! `It's cold` becomes `'s cold`, as in the scripts that this module replaces.
//!
//! A replacement never fuses two words: where letters would meet that stood in two units, a space is put between them
//! (`There's` with `'s` replaced by its lemma is `There be`, not `Therebe`).
//!
//! The case of a sentence's first letter is left as the change leaves it (`The dog barks` becomes `dog barks`) unless
//! [`Case::Repair`] is asked for; both ways, changed sentence starts are counted.

use std::borrow::Cow;

/// What happens to a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    Keep,
    Remove,
    Replace(String),
}

/// A word or punctuation of a line.
#[derive(Clone, Debug)]
pub(super) struct Unit<'a> {
    pub(super) text: Cow<'a, str>,
    /// The white space behind it; none behind the last unit of a line.
    pub(super) after: &'a str,
    pub(super) edit: Edit,
    pub(super) punctuation: bool,
    /// Units of one sentence have the same number.
    pub(super) sentence: usize,
}

/// What to do with the first letter of a sentence whose beginning has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Case {
    #[default]
    Leave,
    Repair,
}

/// How much a change did. Every count is of units, sentence starts apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Places that the step is about (a determiner that already is "the" is one of them).
    pub matched: u64,
    /// Taken out.
    pub removed: u64,
    /// Written differently.
    pub replaced: u64,
    /// Sentences (or lines, where sentences are not known) whose first word is another now.
    pub sentence_starts: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.matched += other.matched;
        self.removed += other.removed;
        self.replaced += other.replaced;
        self.sentence_starts += other.sentence_starts;
    }
}

/// A unit that is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept<'a> {
    /// Its index among the units before the change.
    pub(super) unit: usize,
    pub(super) text: Cow<'a, str>,
    pub(super) after: &'a str,
}

/// Carries the edits out.
pub(super) fn rewrite<'a>(units: &'a [Unit<'a>], case: Case) -> (Vec<Kept<'a>>, Counts) {
    let mut kept: Vec<Kept<'a>> = Vec::with_capacity(units.len());
    let mut counts = Counts::default();
    for (i, unit) in units.iter().enumerate() {
        let text = match &unit.edit {
            Edit::Keep => Cow::Borrowed(&*unit.text),
            Edit::Replace(text) => {
                counts.matched += 1;
                Cow::Borrowed(text.as_str())
            }
            Edit::Remove => {
                counts.matched += 1;
                counts.removed += 1;
                let next = units.get(i + 1);
                if let (true, Some(last)) = (unit.after.is_empty(), kept.last_mut()) {
                    let inside = units[last.unit].sentence == unit.sentence;
                    if next.is_none_or(|next| next.punctuation && inside) {
                        last.after = "";
                    }
                }
                continue;
            }
        };
        if let Some(last) = kept.last_mut() {
            let changed = text != unit.text || last.text != units[last.unit].text;
            let letters = last.text.ends_with(char::is_alphanumeric)
                && text.starts_with(char::is_alphanumeric);
            if changed && letters && last.after.is_empty() && last.unit + 1 == i {
                last.after = " ";
            }
        }
        kept.push(Kept { unit: i, text, after: unit.after });
    }
    counts.sentence_starts = starts(units, &mut kept, case);
    counts.replaced = kept.iter().filter(|k| k.text != units[k.unit].text).count() as u64;
    (kept, counts)
}

/// Counts the sentences whose first word has changed, and capitalises their new one if asked to.
fn starts<'a>(units: &'a [Unit<'a>], kept: &mut [Kept<'a>], case: Case) -> u64 {
    let mut changed = 0;
    let mut from = 0;
    for sentence in units.chunk_by(|a, b| a.sentence == b.sentence) {
        let range = from..from + sentence.len();
        from = range.end;
        let has_letter = |text: &str| text.contains(char::is_alphabetic);
        let Some(old) = range.clone().find(|&i| has_letter(&units[i].text)) else { continue };
        let new = kept.iter_mut().find(|k| range.contains(&k.unit) && has_letter(&k.text));
        let same = new.as_ref().is_some_and(|k| k.unit == old && k.text == units[old].text);
        if same {
            continue;
        }
        changed += 1;
        let capital = units[old].text.chars().find(|c| c.is_alphabetic());
        let Some(new) = new.filter(|_| case == Case::Repair) else { continue };
        if capital.is_some_and(char::is_uppercase) && new.text.starts_with(char::is_alphabetic) {
            new.text = Cow::Owned(capitalise(&new.text));
        }
    }
    changed
}

/// The text with its first letter in upper case.
pub(super) fn capitalise(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// The text of units in a row.
pub(super) fn join(kept: &[Kept<'_>]) -> String {
    kept.iter().flat_map(|k| [&*k.text, k.after]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Units from words; `-word` is removed, `word>new` replaced, `_` stands for no space behind.
    fn line(spec: &str, case: Case) -> (String, Counts) {
        let words: Vec<&str> = spec.split(' ').collect();
        let units: Vec<Unit<'_>> = words
            .iter()
            .enumerate()
            .map(|(i, word)| {
                let (word, glued) = word.strip_suffix('_').map_or((*word, false), |w| (w, true));
                let (word, edit) =
                    match word.strip_prefix('-').map_or(word.split_once('>'), |w| Some((w, ""))) {
                        Some((word, "")) => (word, Edit::Remove),
                        Some((word, new)) => (word, Edit::Replace(new.to_owned())),
                        None => (word, Edit::Keep),
                    };
                let after = if glued || i + 1 == words.len() { "" } else { " " };
                let punctuation = !word.contains(char::is_alphanumeric);
                Unit { text: word.into(), after, edit, punctuation, sentence: 0 }
            })
            .collect();
        let (kept, counts) = rewrite(&units, case);
        (join(&kept), counts)
    }

    #[test]
    fn test_rewrite__a_removed_unit_takes_one_space_along() {
        let cases = [
            ("in -the house_ .", "in house."),
            ("-The house_ .", "house."),
            ("did -he_ ?", "did?"),
            ("where is -it", "where is"),
            ("-It_ 's cold_ .", "'s cold."),
            ("but -it_ 's cold", "but 's cold"),
            ("(_ -it_ )", "()"),
            ("-the -the -the", ""),
            ("I want -the -it_ .", "I want."),
        ];
        for (spec, expected) in cases {
            assert_eq!(line(spec, Case::Leave).0, expected, "{spec}");
        }
    }

    #[test]
    fn test_rewrite__a_replacement_never_fuses_words() {
        assert_eq!(line("There_ 's>be a dog_ .", Case::Leave).0, "There be a dog.");
        assert_eq!(line("gon>go_ na eat", Case::Leave).0, "go na eat");
        assert_eq!(line("he went>go_ .", Case::Leave).0, "he go.");
        assert_eq!(line("do>do_ n't", Case::Leave).0, "don't");
    }

    #[test]
    fn test_rewrite__sentence_starts_are_counted_and_repaired_on_request() {
        let (left, counts) = line("\"_ -The dog", Case::Leave);
        assert_eq!((left.as_str(), counts.sentence_starts), ("\"dog", 1));
        assert_eq!(line("\"_ -The dog", Case::Repair).0, "\"Dog");
        assert_eq!(line("-the dog", Case::Repair).0, "dog");
        assert_eq!(line("-It_ 's cold", Case::Repair).0, "'s cold");
        assert_eq!(
            line("A>the dog", Case::Repair),
            (
                "The dog".to_owned(),
                Counts { matched: 1, removed: 0, replaced: 1, sentence_starts: 1 }
            )
        );
        assert_eq!(line("Go>go on", Case::Repair).1.replaced, 0);
        assert_eq!(line("see -the dog", Case::Repair).1.sentence_starts, 0);
    }
}
