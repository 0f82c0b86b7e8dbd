//! Sentences to be scored: one a line, as plain text or as JSON objects.
//!
//! In a `.jsonl` file a line is `{"text": ...}` or `{"regions": [...]}`, with `item` and `condition` if there are any;
//! regions are joined by single spaces. In any other file a line is the text itself. A file is read as it is scored,
//! a line at a time.

use super::align::{self, Unit};
use super::error::EvalError;
use super::ngram::Unigram;
use super::score::Sequence;
use crate::config::choices::TokenizerKind;
use crate::tokenizer::{SpecialIds, Tokenizer};
use serde::Deserialize;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// A sentence and what is known of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stimulus {
    /// The sentence.
    pub text: String,
    /// The item that it belongs to.
    pub item: Option<String>,
    /// Its condition.
    pub condition: Option<String>,
    /// The text of its regions.
    pub regions: Option<Vec<String>>,
}

const EXPECTED: &str =
    "a JSON object with text, or with regions (a list of strings); item and condition if you like";

/// Files that would be taken for lines of text, and how to make sentences of them.
const CONVERSIONS: [(&str, &str); 3] = [
    (
        "csv",
        "in Python, pandas.read_csv(FILE).to_json(\"FILE.jsonl\", orient=\"records\", lines=True), with a column text",
    ),
    (
        "tsv",
        "in Python, pandas.read_csv(FILE, sep=\"\\t\").to_json(\"FILE.jsonl\", orient=\"records\", lines=True), with a \
         column text",
    ),
    (
        "json",
        "one object a line: jq -c '.[]' FILE > FILE.jsonl; a suite of SyntaxGym is for --syntaxgym",
    ),
];

#[derive(Deserialize)]
struct Raw {
    text: Option<String>,
    regions: Option<Vec<String>>,
    item: Option<Value>,
    condition: Option<Value>,
}

/// The stimuli of a file, read as they are asked for.
pub struct Stimuli {
    path: PathBuf,
    lines: BufReader<File>,
    json: bool,
    line: usize,
}

impl Stimuli {
    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, EvalError> {
        let read = |source| EvalError::read("sentences", path, source);
        let file = File::open(path).map_err(read)?;
        if file.metadata().map_err(read)?.is_dir() {
            return Err(read(std::io::ErrorKind::IsADirectory.into()));
        }
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if let Some(how) = CONVERSIONS.iter().find(|(e, _)| *e == ending) {
            let reason = format!(
                "sentences are read from text, one a line, or from .jsonl\n  mend: {}",
                how.1
            );
            return Err(EvalError::File { path: path.to_owned(), reason });
        }
        let json = ending == "jsonl";
        Ok(Self { path: path.to_owned(), lines: BufReader::new(file), json, line: 0 })
    }

    fn next_line(&mut self) -> Result<Option<String>, EvalError> {
        let mut bytes = Vec::new();
        let read = |source| EvalError::read("sentences", &self.path, source);
        if self.lines.read_until(b'\n', &mut bytes).map_err(read)? == 0 {
            return Ok(None);
        }
        self.line += 1;
        while bytes.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
            bytes.pop();
        }
        let text = String::from_utf8(bytes)
            .map_err(|e| self.row(format!("not UTF-8 ({e})"), "text in UTF-8"))?;
        Ok(Some(match text.strip_prefix('\u{FEFF}') {
            Some(rest) if self.line == 1 => rest.to_owned(),
            _ => text,
        }))
    }

    fn row(&self, reason: String, expected: &'static str) -> EvalError {
        EvalError::Row { path: self.path.clone(), line: self.line, reason, expected }
    }

    fn parse(&self, line: String) -> Result<Stimulus, EvalError> {
        let item = Some(self.line.to_string());
        if !self.json {
            return Ok(Stimulus { text: line, item, ..Stimulus::default() });
        }
        let raw: Raw =
            serde_json::from_str(&line).map_err(|e| self.row(e.to_string(), EXPECTED))?;
        let word = |value: Option<Value>| match value? {
            Value::String(s) => Some(s),
            Value::Null => None,
            other => Some(other.to_string()),
        };
        let (item, condition) = (word(raw.item).or(item), word(raw.condition));
        let text = match (raw.text, &raw.regions) {
            (Some(text), None) => text,
            (None, Some(regions)) => align::join(regions).0,
            _ => return Err(self.row("it has neither text nor regions, or both".into(), EXPECTED)),
        };
        Ok(Stimulus { text, item, condition, regions: raw.regions })
    }
}

impl Iterator for Stimuli {
    type Item = Result<Stimulus, EvalError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.next_line() {
                // A line of a JSON Lines file may be empty; a line of text is a text.
                Ok(Some(line)) if self.json && line.trim().is_empty() => {}
                Ok(line) => return line.map(|line| self.parse(line)),
                Err(e) => return Some(Err(e)),
            }
        }
    }
}

/// How sentences become ids: as training made them.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    /// The model's tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// The tokens that begin and end a sentence; None where training had none.
    pub special: SpecialIds,
    /// Whether the token that ends a sentence is scored too.
    pub score_end: bool,
    /// Whether the model sees both sides: then the end stands there, and the first token has a context without a
    /// token before it.
    pub both_ways: bool,
    /// The frequencies of tokens, where SLOR is wanted.
    pub unigram: Option<&'a Unigram>,
}

/// A sentence as the model reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Encoded {
    /// What is scored.
    pub sequence: Sequence,
    /// The words and their tokens, by position among the ids.
    pub words: Vec<Unit>,
    /// The regions and theirs.
    pub regions: Vec<Unit>,
}

impl Reader<'_> {
    /// Whether the first token of a text has a score: something stands before it, or it is seen from behind.
    #[must_use]
    pub fn scores_first_token(&self) -> bool {
        self.both_ways || self.special.bos.is_some()
    }

    /// The ids of a sentence, and which of them are its words and regions.
    ///
    /// # Errors
    /// A text that cannot be tokenized.
    pub fn encode(&self, text: &str, regions: Option<&[String]>) -> Result<Encoded, EvalError> {
        let (tokens, ends) = self.tokenizer.encode_ends(text)?;
        let mut ids: Vec<u32> = self.special.bos.into_iter().collect();
        let first = ids.len();
        ids.extend(&tokens);
        let end = self.special.end().filter(|_| self.special.bos.is_some());
        ids.extend(end.filter(|_| self.score_end || self.both_ways));
        let last = if self.score_end { ids.len() } else { first + tokens.len() };
        // What stands first has nothing before it.
        let from = if self.both_ways { first } else { first.max(1) }.min(last);
        let shift = |unit: Unit| Unit {
            tokens: unit.tokens.start + first..unit.tokens.end + first,
            text: unit.text,
        };
        let words: Vec<Unit> = align::words(text, &ends).into_iter().map(shift).collect();
        let regions = regions.unwrap_or_default();
        let (_, spans) = align::join(regions);
        let tokens_of = align::assign(text, &ends, &spans);
        let region = |(text, tokens): (&String, _)| shift(Unit { text: text.clone(), tokens });
        let regions = regions.iter().zip(tokens_of).map(region).collect();
        let mut word_of = vec![u32::MAX; ids.len()];
        let mut number = 0;
        for word in &words {
            for at in word.tokens.clone() {
                number += u32::from(at == word.tokens.start || self.begins_piece(ids[at]));
                word_of[at] = number;
            }
        }
        let sequence = Sequence { ids, scored: from..last, words: word_of };
        Ok(Encoded { sequence, words, regions })
    }

    /// Whether a token of a WordPiece begins something new, as punctuation does: for what is hidden together, such
    /// tokenizers say themselves what a word is.
    fn begins_piece(&self, id: u32) -> bool {
        self.tokenizer.kind() == TokenizerKind::Wordpiece
            && self.tokenizer.token(id).is_none_or(|token| !token.starts_with("##"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::TrainOptions;

    #[test]
    fn test_reader__a_wordpiece_says_which_tokens_are_hidden_together() {
        let mut texts = ["the cats sat on the mats, the cat's mat", "the cats sat"]
            .map(|t| Ok(t.to_owned()))
            .into_iter();
        let options = TrainOptions::new(TokenizerKind::Wordpiece, 60);
        let (tokenizer, _) = Tokenizer::train(&options, &mut texts).unwrap();
        let special = tokenizer.special_ids();
        let special = SpecialIds { bos: special.begin(), cls: None, ..special };
        let reader = Reader {
            tokenizer: &tokenizer,
            special,
            score_end: false,
            both_ways: true,
            unigram: None,
        };

        let encoded = reader.encode("thes, cats", None).unwrap();

        // [CLS] the ##s , cats [SEP]
        let [cls, the, s, comma, cats, sep] = encoded.sequence.words[..] else {
            panic!("{encoded:?}")
        };
        assert!(the == s && s != comma && comma != cats);
        assert_eq!((cls, sep), (u32::MAX, u32::MAX));
        assert_eq!(encoded.words.len(), 2, "what is reported are the words between white space");
    }
}
