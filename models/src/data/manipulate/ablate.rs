//! The five ablations that need to know what a word is: driven by CoNLL-U parses beside the text.
//!
//! | type | words | becomes |
//! |---|---|---|
//! | `remove_expletives` | deprel `expl`, head tagged VERB | nothing |
//! | `impoverish_determiners` | UPOS DET | `the` |
//! | `remove_articles` | UPOS DET, form a, an or the | nothing |
//! | `lemmatize_verbs` | UPOS VERB | its lemma |
//! | `remove_subject_pronominals` | UPOS PRON, deprel `nsubj` | nothing |
//!
//! The rules are those of the spaCy scripts they replace. Universal Dependencies make a copular sentence's noun or
//! adjective its head, so `heads: any` may be wanted for expletives (`it is clear that`), and `deprels` to widen the
//! relations (`[nsubj, "nsubj:pass"]`). What the scripts called a coreference check never found anything, and is not
//! here.
//!
//! Edits are made in the text itself, at the places of the parsed words: whatever is not edited keeps its bytes, double
//! spaces included. Words in a multiword token (`It's`) are edited in place where their forms are its parts; where they
//! are not (German `zum` = `zu dem`), an edited token is written as its words. The ablated parse is written beside the
//! ablated text, so that another ablation can follow: ids and heads renumbered, the children of a removed word attached
//! to its head, lemma and tags as they were, enhanced dependencies and empty nodes dropped.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::ManipulationError;
use super::conllu::{Id, Row, Sentence, Sentences, Surface};
use super::rewrite::{Case, Counts, Edit, Kept, Unit, join, rewrite};

/// What `remove_articles` removes.
pub(super) const ARTICLES: [&str; 3] = ["a", "an", "the"];

/// One of the five.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ablation {
    RemoveExpletives { deprels: Vec<String>, any_head: bool },
    ImpoverishDeterminers,
    RemoveArticles,
    LemmatizeVerbs,
    RemoveSubjectPronominals { deprels: Vec<String> },
}

impl Ablation {
    /// What happens to a word; `words` are all words of its sentence.
    fn edit(&self, word: &Row, words: &[&Row]) -> Edit {
        let remove = |condition| if condition { Edit::Remove } else { Edit::Keep };
        let one_of = |deprels: &[String]| deprels.iter().any(|deprel| deprel == word.deprel());
        match self {
            Self::RemoveExpletives { deprels, any_head } => {
                let head = word.head().checked_sub(1).and_then(|i| words.get(i));
                let verb = head.is_some_and(|head| head.upos() == "VERB");
                remove(one_of(deprels) && (*any_head || verb))
            }
            Self::ImpoverishDeterminers if word.upos() == "DET" => Edit::Replace("the".to_owned()),
            Self::RemoveArticles => {
                let form = word.form().to_lowercase();
                remove(word.upos() == "DET" && ARTICLES.contains(&form.as_str()))
            }
            // `_` is an annotator's "no lemma": such a verb stays as it is.
            Self::LemmatizeVerbs if word.upos() == "VERB" && word.lemma() != "_" => {
                Edit::Replace(word.lemma().to_owned())
            }
            Self::RemoveSubjectPronominals { deprels } => {
                remove(word.upos() == "PRON" && one_of(deprels))
            }
            Self::ImpoverishDeterminers | Self::LemmatizeVerbs => Edit::Keep,
        }
    }
}

/// A line after its ablation, with its parse (in CoNLL-U; empty where there is none).
#[derive(Debug, Default)]
pub(super) struct Ablated {
    pub(super) text: String,
    pub(super) parse: String,
    pub(super) counts: Counts,
}

/// Goes through a text and its parse side by side.
#[derive(Debug)]
pub(super) struct Ablator<'a> {
    ablation: &'a Ablation,
    case: Case,
    text: PathBuf,
    line: u64,
    sentences: Sentences,
}

impl<'a> Ablator<'a> {
    pub(super) fn open(
        ablation: &'a Ablation,
        case: Case,
        text: &Path,
        parse: &Path,
    ) -> Result<Self, ManipulationError> {
        let sentences = Sentences::open(parse)?;
        Ok(Self { ablation, case, text: text.to_owned(), line: 0, sentences })
    }

    /// Ablates the next line of the text (without its line end).
    pub(super) fn edit(&mut self, line: &str) -> Result<Ablated, ManipulationError> {
        self.line += 1;
        let mut sentences: Vec<Sentence> = Vec::new();
        // Where each surface token lies in the line.
        let mut places: Vec<Vec<(usize, usize)>> = Vec::new();
        let mut at = skip_space(line, 0);
        while at < line.len() {
            let Some(sentence) = self.sentences.next()? else {
                return Err(self.differ(0, format!("the parse ends before {:.40?}", &line[at..])));
            };
            let mut found = Vec::new();
            for token in sentence.surface() {
                at = skip_space(line, at);
                let Some(end) = match_form(line, at, token.form) else {
                    let message = format!(
                        "the text has {:.40?} where the parse has {:?}",
                        &line[at..],
                        token.form
                    );
                    return Err(self.differ(sentence.line, message));
                };
                found.push((at, end));
                at = end;
            }
            at = skip_space(line, at);
            places.push(found);
            sentences.push(sentence);
        }
        Ok(self.rewrite(line, &sentences, &places))
    }

    /// What is left of the parse when the text has ended must be nothing.
    pub(super) fn finish(mut self) -> Result<(), ManipulationError> {
        if let Some(sentence) = self.sentences.next()? {
            let message = format!("the text ends before {:.40?}", sentence.text());
            return Err(self.differ(sentence.line, message));
        }
        Ok(())
    }

    fn differ(&self, parse_line: u64, message: String) -> ManipulationError {
        ManipulationError::Differ {
            text: self.text.clone(),
            line: self.line,
            parse: self.sentences.path().clone(),
            parse_line,
            message,
        }
    }

    fn rewrite(
        &self,
        line: &str,
        sentences: &[Sentence],
        places: &[Vec<(usize, usize)>],
    ) -> Ablated {
        let mut units: Vec<Unit<'_>> = Vec::new();
        // The words (by sentence and index) that each unit writes.
        let mut covers: Vec<(usize, std::ops::Range<usize>)> = Vec::new();
        let ends = places.iter().flatten();
        let starts = places.iter().flatten().map(|(start, _)| *start).skip(1);
        let mut afters = ends.clone().zip(starts).map(|((_, end), start)| &line[*end..start]);
        for (s, (sentence, found)) in sentences.iter().zip(places).enumerate() {
            let words: Vec<&Row> = sentence.words().collect();
            for (token, (start, end)) in sentence.surface().iter().zip(found) {
                let after = afters.next().unwrap_or("");
                for (unit, cover) in self.units(token, &words, &line[*start..*end], after) {
                    units.push(Unit { sentence: s, ..unit });
                    covers.push((s, cover));
                }
            }
        }
        let (kept, counts) = rewrite(&units, self.case);
        let text = match (places.iter().flatten().next(), places.iter().flatten().last()) {
            (Some((start, _)), Some((_, end))) => {
                format!("{}{}{}", &line[..*start], join(&kept), &line[*end..])
            }
            _ => line.to_owned(),
        };
        let sentence = |(s, sentence): (usize, &Sentence)| {
            let mine: Vec<(&Kept<'_>, std::ops::Range<usize>)> = kept
                .iter()
                .filter(|k| covers[k.unit].0 == s)
                .map(|k| (k, covers[k.unit].1.clone()))
                .collect();
            renumber(sentence, &mine)
        };
        let mut parse = String::new();
        for sentence in sentences.iter().enumerate().filter_map(sentence) {
            sentence.write(&mut parse);
        }
        Ablated { text, parse, counts }
    }

    /// The units of one surface token: itself, or its words where they can be edited one by one.
    fn units<'l>(
        &self,
        token: &Surface<'_>,
        words: &[&Row],
        text: &'l str,
        after: &'l str,
    ) -> Vec<(Unit<'l>, std::ops::Range<usize>)> {
        let unit = |text: Cow<'l, str>, after, edit, upos: &str, cover| {
            let punctuation = matches!(upos, "PUNCT" | "SYM");
            (Unit { text, after, edit, punctuation, sentence: 0 }, cover)
        };
        let inside = &words[token.words.clone()];
        let edits: Vec<Edit> = inside.iter().map(|word| self.ablation.edit(word, words)).collect();
        if !token.multiword || edits.iter().all(|edit| *edit == Edit::Keep) {
            let edit = edits.into_iter().next().unwrap_or(Edit::Keep);
            let upos = inside.first().map_or("", |word| word.upos());
            return vec![unit(text.into(), after, edit, upos, token.words.clone())];
        }
        let joined: String = inside.iter().map(|word| word.form()).collect();
        let parts = joined == text;
        let last = inside.len() - 1;
        let mut at = 0;
        let part = |(i, (word, edit)): (usize, (&&Row, Edit))| {
            let text = if parts {
                let start = at;
                at += word.form().len();
                Cow::Borrowed(&text[start..at])
            } else {
                Cow::Owned(word.form().to_owned())
            };
            let after = match (i == last, parts) {
                (true, _) => after,
                (false, true) => "",
                (false, false) => " ",
            };
            let word_index = token.words.start + i;
            unit(text, after, edit, word.upos(), word_index..word_index + 1)
        };
        inside.iter().zip(edits).enumerate().map(part).collect()
    }
}

fn skip_space(line: &str, at: usize) -> usize {
    line[at..].find(|c: char| !c.is_whitespace()).map_or(line.len(), |skip| at + skip)
}

/// Where a form ends that begins at `at`. Any white space of the text stands for a space inside a form.
fn match_form(line: &str, mut at: usize, form: &str) -> Option<usize> {
    for (i, part) in form.split_whitespace().enumerate() {
        if i > 0 {
            at = skip_space(line, at);
        }
        at += line[at..].starts_with(part).then_some(part.len())?;
    }
    Some(at)
}

/// The parse of what is left of a sentence; `None` when nothing is.
fn renumber(old: &Sentence, kept: &[(&Kept<'_>, std::ops::Range<usize>)]) -> Option<Sentence> {
    let words: Vec<&Row> = old.words().collect();
    // Old index of a word -> its new id.
    let mut ids = vec![None; words.len()];
    for (new, index) in kept.iter().flat_map(|(_, cover)| cover.clone()).enumerate() {
        ids[index] = Some(new + 1);
    }
    // The nearest kept word above; 0 for none. Counting the steps ends a cycle that a broken parse may hold.
    let above = |index: usize| {
        let mut head = words[index].head();
        for _ in 0..words.len() {
            match head.checked_sub(1).map(|i| ids[i]) {
                None => return 0,
                Some(Some(id)) => return id,
                Some(None) => head = words[head - 1].head(),
            }
        }
        0
    };
    let mut root = None;
    let mut rows = Vec::new();
    for (i, (unit, cover)) in kept.iter().enumerate() {
        let space = !unit.after.is_empty() || i + 1 == kept.len();
        if cover.len() > 1 {
            let token = Id::Token(cover.start + 1, cover.end);
            let mut row = old.rows.iter().find(|row| row.id == token)?.clone();
            let first = ids[cover.start].unwrap_or(0);
            row.set_id(Id::Token(first, first + cover.len() - 1));
            row.set_form(&unit.text);
            row.set_space_after(space);
            rows.push(row);
        }
        for index in cover.clone() {
            let mut row = words[index].clone();
            let id = ids[index].unwrap_or(0);
            row.set_id(Id::Word(id));
            if cover.len() == 1 {
                row.set_form(&unit.text);
                row.set_space_after(space);
            }
            row.clear_deps();
            match (above(index), words[index].head()) {
                (0, 0) => {
                    row.set_head(0, None);
                    root.get_or_insert(id);
                }
                // What hung on a removed root: the first becomes the root, the others hang on it.
                (0, _) => match root {
                    None => {
                        root = Some(id);
                        row.set_head(0, Some("root"));
                    }
                    Some(root) => row.set_head(root, None),
                },
                (head, _) => row.set_head(head, None),
            }
            rows.push(row);
        }
    }
    let text: String = join(&kept.iter().map(|(k, _)| (*k).clone()).collect::<Vec<_>>());
    let comment = |c: &String| match c.starts_with("# text = ") {
        true => format!("# text = {}", text.trim_end()),
        false => c.clone(),
    };
    let comments = old.comments.iter().map(comment).collect();
    (!rows.is_empty()).then_some(Sentence { comments, rows, line: old.line })
}

#[cfg(test)]
mod tests;
